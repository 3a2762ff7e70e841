/* The program run on files: what it says, how it ends, and the most memory it had. In the folder of temp_folder.h. */
#ifndef ATH_TESTS_PROGRAM_H
#define ATH_TESTS_PROGRAM_H
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "temp_folder.h"

enum { MOST_WORDS = 24, MOST_MIB = 200, MOST_SECONDS = 120 };

typedef struct outcome {
    int code; /* exit status, or minus the signal that ended it */
    long peak_mib;
    char error[2048];
    bool spoke; /* on standard output */
} outcome;

/* Whether the memory that the system counts for the program is the program's: not under a sanitizer, and not under
 * valgrind (scripts/valgrind says so), whose memory of this test the fork has too. */
static inline bool memory_is_its_own(void) {
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return getenv("UNDER_VALGRIND") == NULL;
#endif
}

/* `command` is words between spaces. */
static inline outcome run_program(const char *command) {
    char text[512], *argv[MOST_WORDS + 2] = {"athanor"};
    snprintf(text, sizeof text, "%s", command);
    int n = 1;
    for (char *rest = text, *word; n <= MOST_WORDS && (word = strtok_r(rest, " ", &rest)) != NULL;) argv[n++] = word;
    const pid_t child = fork();
    if (child == 0) {
        alarm(MOST_SECONDS);
        const int out = chdir(folder) == 0 ? open(".out", O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;
        const int error = open(".err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (out < 0 || error < 0 || dup2(out, 1) < 0 || dup2(error, 2) < 0) _exit(99);
        execv(ATH_PROGRAM, argv);
        _exit(98);
    }
    outcome o = {0};
    int status = 0;
    struct rusage used;
    assert_int_equal(wait4(child, &status, 0, &used), child);
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    o.peak_mib = used.ru_maxrss / 1024;
    FILE *file = fopen(in_folder(".err"), "r");
    assert_non_null(file);
    o.error[fread(o.error, 1, sizeof o.error - 1, file)] = 0;
    fclose(file);
    struct stat is;
    o.spoke = stat(in_folder(".out"), &is) != 0 || is.st_size > 0;
    return o;
}

static inline void check_memory(const char *command, const outcome *o) {
    CHECK(!memory_is_its_own() || o->peak_mib < MOST_MIB, "athanor %s: took %ld MiB (%s)", command, o->peak_mib,
          o->error);
}

/* Exit status `code`, nothing on standard output and one line "athanor: COMMAND: ..." that has `file` and `fault` in it. */
static inline void must_refuse(const char *command, int code, const char *file, const char *fault) {
    char begin[64];
    snprintf(begin, sizeof begin, "athanor: %.*s: ", (int)strcspn(command, " "), command);
    const outcome o = run_program(command);
    CHECK(o.code == code, "athanor %s: exit status %d, expected %d (%s)", command, o.code, code, o.error);
    CHECK(!o.spoke, "athanor %s: wrote to standard output (%s)", command, o.error);
    const char *line = strchr(o.error, '\n');
    CHECK(strncmp(o.error, begin, strlen(begin)) == 0 && line && line[1] == 0,
          "athanor %s: \"%s\" is not one line of it", command, o.error);
    CHECK(strstr(o.error, file), "athanor %s: \"%s\" does not name %s", command, o.error, file);
    CHECK(strstr(o.error, fault), "athanor %s: \"%s\" does not say \"%s\"", command, o.error, fault);
    check_memory(command, &o);
}

static inline void must_do(const char *command) {
    const outcome o = run_program(command);
    CHECK(o.code == 0, "athanor %s: exit status %d (%s)", command, o.code, o.error);
    check_memory(command, &o);
}

#endif
