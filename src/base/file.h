/* Files as the rest of the library needs them: read whole (gzip or not), and
 * written beside their place and renamed into it, so that a file that exists is
 * complete and an old one is never damaged. Messages name the path. */
#ifndef ATH_BASE_FILE_H
#define ATH_BASE_FILE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "base/status.h"

/* Reads all of `path` into *data (owned by the caller, free()), with a zero byte
 * after the last that *size does not count. Fails with ATH_E_IO when it cannot be
 * read (see ath_reader_open), ATH_E_FORMAT when it holds more than `max` bytes, ATH_E_MEM. */
ath_status ath_file_read(const char *path, size_t max, uint8_t **data, size_t *size, ath_err *err);
/* The same, decompressing when the content is gzip; `max` limits the result. A
 * truncated or damaged gzip stream is ATH_E_FORMAT, and so is a bomb (see ath_is_bomb). */
ath_status ath_file_read_gz(const char *path, size_t max, uint8_t **data, size_t *size, ath_err *err);

/* The first bytes of a file, decompressed when it is gzip; *got < n when it is shorter. */
ath_status ath_file_peek(const char *path, uint8_t *head, size_t n, size_t *got, ath_err *err);

/* Whether so many bytes out of so few are a decompression bomb's: more than 64 MiB and more than 256 times as many. Images
 * unpack to 1 to 20 times, deflate can make 1032 of what is all one byte. To be asked before memory is taken. */
bool ath_is_bomb(uint64_t unpacked, uint64_t packed);

/* A file being read, from its start. */
typedef struct ath_reader {
    const char *path; /* the caller's */
    FILE *file;
    int64_t size; /* bytes, -1 for a pipe */
} ath_reader;

/* Fails with ATH_E_IO where there is no file to read: a folder, or a device, which may have no end. A pipe that has no
 * writer is at its end: it is not waited for. */
ath_status ath_reader_open(ath_reader *r, const char *path, ath_err *err);
/* Exactly n bytes; ATH_E_FORMAT when there are fewer. */
ath_status ath_reader_get(ath_reader *r, void *to, size_t n, ath_err *err);
void ath_reader_close(ath_reader *r); /* accepts a zeroed one */

/* A file being written beside its place. */
typedef struct ath_writer {
    FILE *file;        /* write here with stdio; errors are found at commit */
    char *path, *temp; /* owned by the writer                               */
} ath_writer;

/* Writes to "<path>.athanor.tmp", locked, so that two processes cannot write one file at once. What a killed process
 * left there is written over. */
ath_status ath_writer_open(ath_writer *w, const char *path, ath_err *err);
/* Whether ath_writer_open would succeed, to be told before long work; leaves nothing behind. */
ath_status ath_writer_check(const char *path, ath_err *err);
/* Flushes, syncs, renames into place, syncs the folder: after a loss of power too, there is the old file or the new
 * one. After an error nothing is left behind and what stood at `path` before is untouched (unless it is the folder that
 * cannot be synced). Closes the writer in either case. */
ath_status ath_writer_commit(ath_writer *w, ath_err *err);
/* Throws the unfinished file away. Accepts a zeroed writer. */
void ath_writer_abort(ath_writer *w);

/* open + write + commit */
ath_status ath_file_write(const char *path, const void *data, size_t size, ath_err *err);

/* Removes the unfinished files that killed processes left in `folder`; those being written stay. Does what it can. */
void ath_remove_unfinished(const char *folder);

bool ath_path_exists(const char *path);
bool ath_path_is_dir(const char *path);
/* Creates the folder, on disk; fine when it is there already. An error when its parent is not: whoever writes into a
   folder of the user's must not bring it back once it was moved away. */
ath_status ath_make_dir(const char *path, ath_err *err);
/* The same, and its parents. */
ath_status ath_make_dirs(const char *path, ath_err *err);
/* "<a>/<b>" in malloc'ed memory, NULL when out of memory. */
char *ath_path_join(const char *a, const char *b);

#endif
