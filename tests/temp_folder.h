/* A folder of a test program's own, made before its tests and removed after them:
 * cmocka_run_group_tests_name(..., make_folder, remove_folder). Needs _XOPEN_SOURCE 700. */
#ifndef ATH_TESTS_TEMP_FOLDER_H
#define ATH_TESTS_TEMP_FOLDER_H
#include <ftw.h>
#include <unistd.h>
#include "check.h"

static char folder[64];

static inline int remove_entry(const char *path, const struct stat *s, int type, struct FTW *at) {
    (void)s, (void)type, (void)at;
    return remove(path);
}

static inline int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/athanor-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static inline int remove_folder(void **state) {
    (void)state;
    return nftw(folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* "<folder>/<name>"; the last two results stay valid. */
static inline const char *in_folder(const char *name) {
    static char path[2][192];
    static int turn;
    turn ^= 1;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static inline int count_entries(const char *path) {
    char command[256], answer[32] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", path);
    FILE *p = popen(command, "r");
    if (!p || !fgets(answer, sizeof answer, p)) fail();
    pclose(p);
    return atoi(answer);
}

#endif
