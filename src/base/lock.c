/* Lock files: see lock.h. */
#define _DEFAULT_SOURCE /* flock, gethostname */
#include "base/lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool names(const char *path, int file) {
    struct stat there, held;
    return lstat(path, &there) == 0 && fstat(file, &held) == 0 && there.st_ino == held.st_ino &&
           there.st_dev == held.st_dev;
}

int ath_lock_open(const char *path) {
    enum { TRIES = 100 }; /* each is another process that had it and is done */
    for (int i = 0; i < TRIES; i++) {
        const int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (file < 0) return -1;
        if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno != ENOLCK && errno != ENOSYS && errno != EOPNOTSUPP) {
            const int why = errno;
            close(file);
            errno = why;
            return -1;
        }
        /* Between our open and our lock its holder may have renamed or removed the file: then we hold what is no
         * longer at `path`, and try again. */
        if (names(path, file)) return file;
        close(file);
    }
    errno = EWOULDBLOCK;
    return -1;
}

void ath_lock_unlink(const char *path, int file) {
    if (names(path, file)) unlink(path);
}

/* "process <pid> on <host>", from what its holder wrote; that may be nothing yet, or not his. */
static void describe_holder(const char *path, char *text, size_t room) {
    char host[65];
    long pid;
    FILE *f = fopen(path, "r");
    const bool known = f && fscanf(f, "%ld %64[!-~]", &pid, host) == 2;
    if (f) fclose(f);
    if (known)
        snprintf(text, room, "process %ld on %s", pid, host);
    else
        snprintf(text, room, "another process");
}

static bool sign(int file) {
    char host[65] = "", text[128];
    if (gethostname(host, sizeof host - 1) != 0 || !*host) strcpy(host, "localhost");
    const int len = snprintf(text, sizeof text, "%ld %s\n", (long)getpid(), host);
    return ftruncate(file, 0) == 0 && write(file, text, (size_t)len) == len;
}

ath_status ath_lock_take(ath_lock *l, const char *path, const char *what, ath_err *err) {
    *l = (ath_lock){0};
    char *copy = malloc(strlen(path) + 1);
    if (!copy) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    strcpy(copy, path);
    const int file = ath_lock_open(path);
    if (file < 0) {
        const int why = errno;
        char holder[128];
        free(copy);
        if (why != EWOULDBLOCK) return ath_fail(err, ATH_E_IO, "%s: cannot write: %s", path, strerror(why));
        describe_holder(path, holder, sizeof holder);
        return ath_fail(err, ATH_E_IO, "%s: %s by %s", path, what, holder);
    }
    *l = (ath_lock){copy, file};
    if (sign(file)) return ATH_OK;
    const ath_status status = ath_fail(err, ATH_E_IO, "%s: cannot write: %s", path, strerror(errno));
    ath_lock_release(l);
    return status;
}

ath_status ath_lock_check(const ath_lock *l, ath_err *err) {
    if (names(l->path, l->file)) return ATH_OK;
    return ath_fail(err, ATH_E_IO, "%s: is gone: it or its folder was moved, removed or replaced", l->path);
}

void ath_lock_release(ath_lock *l) {
    if (!l->path) return;
    ath_lock_unlink(l->path, l->file);
    close(l->file);
    free(l->path);
    *l = (ath_lock){0};
}
