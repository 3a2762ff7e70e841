/* What the fuzz targets share. A target is one format: LLVMFuzzerTestOneInput gives bytes to the format's own reader,
 * as files in a folder in memory, and uses what was read. libFuzzer calls it (cmake -DATH_FUZZ=ON), or replay.c does.
 * Whatever a file holds, it is read or refused with a message that is not empty: the sanitizers watch the rest. */
#ifndef ATH_TESTS_FUZZ_FUZZ_H
#define ATH_TESTS_FUZZ_FUZZ_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- files ---- */

static char fuzz_root[64];

static inline void fuzz_fail(const char *what) {
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

static inline void fuzz_leave(void) {
    char command[96];
    snprintf(command, sizeof command, "rm -rf '%s'", fuzz_root);
    if (system(command) != 0) perror(fuzz_root);
}

/* The path of a file in this process' own folder, which is removed at its end; valid until the fourth call from here. */
static inline const char *fuzz_path(const char *name) {
    static char path[4][160];
    static int turn;
    if (!*fuzz_root) {
        struct stat is;
        strcpy(fuzz_root, stat("/dev/shm", &is) == 0 ? "/dev/shm/athanor-fuzz-XXXXXX" : "/tmp/athanor-fuzz-XXXXXX");
        if (!mkdtemp(fuzz_root)) fuzz_fail("cannot make a folder");
        atexit(fuzz_leave);
    }
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", fuzz_root, name);
    return path[turn];
}

static inline void fuzz_folder(const char *name) {
    if (mkdir(fuzz_path(name), 0700) != 0) fuzz_fail("cannot make a folder");
}

static inline void fuzz_put(const char *name, const void *data, size_t size) {
    FILE *file = fopen(fuzz_path(name), "wb");
    if (!file || (size && fwrite(data, 1, size, file) != size) || fclose(file) != 0) fuzz_fail("cannot write a file");
}

static inline void fuzz_remove(const char *name) { unlink(fuzz_path(name)); }

/* ---- one input, several files ---- */

typedef struct fuzz_part {
    const uint8_t *data;
    size_t size;
} fuzz_part;

/* The next part of an input, up to a line "%%%"; the rest stays in *rest. What is missing is empty, with data NULL. */
static inline fuzz_part fuzz_next(fuzz_part *rest) {
    static const char between[] = "\n%%%\n";
    const size_t len = sizeof between - 1;
    fuzz_part part = *rest;
    const uint8_t *at = part.data ? memmem(part.data, part.size, between, len) : NULL;
    if (!at) {
        *rest = (fuzz_part){0};
        return part;
    }
    part.size = (size_t)(at - part.data);
    *rest = (fuzz_part){at + len, rest->size - part.size - len};
    return part;
}

/* As a file, or none where the input has no such part. */
static inline void fuzz_put_part(const char *name, fuzz_part part) {
    if (part.data)
        fuzz_put(name, part.data, part.size);
    else
        fuzz_remove(name);
}

/* The first byte of an input: what the target is to be asked for. */
static inline uint8_t fuzz_first(fuzz_part *rest) {
    if (rest->size == 0) return 0;
    rest->size--;
    return *rest->data++;
}

/* A reader's answer: an error has its code and says something. */
static inline void fuzz_check(ath_status status, const ath_err *err) {
    if (status != ATH_OK && (err->code != status || !*err->text)) fuzz_fail("an error without a message");
}

#endif
