/* Whole-file reading and write-beside-then-rename: see file.h. */
#define _POSIX_C_SOURCE 200809L
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "base/lock.h"

static const char temp_suffix[] = ".athanor.tmp"; /* nobody else's, so that leftovers may be removed */

ath_status ath_reader_open(ath_reader *r, const char *path, ath_err *err) {
    *r = (ath_reader){.path = path};
    /* not blocking, so that a pipe without a writer is at its end, not waited for */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat is;
    if (fd < 0 || fstat(fd, &is) != 0 || fcntl(fd, F_SETFL, 0) != 0) {
        const int why = errno;
        if (fd >= 0) close(fd);
        return ath_fail(err, ATH_E_IO, "%s: cannot open: %s", path, strerror(why));
    }
    const char *wrong = S_ISDIR(is.st_mode)                             ? "folder"
                        : S_ISCHR(is.st_mode) || S_ISBLK(is.st_mode)    ? "device"
                        : !S_ISREG(is.st_mode) && !S_ISFIFO(is.st_mode) ? "special file"
                                                                        : NULL;
    if (!wrong && (r->file = fdopen(fd, "rb")) != NULL) {
        r->size = S_ISREG(is.st_mode) ? (int64_t)is.st_size : -1;
        return ATH_OK;
    }
    close(fd);
    return wrong ? ath_fail(err, ATH_E_IO, "%s: is a %s, expected a file", path, wrong)
                 : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
}

ath_status ath_reader_get(ath_reader *r, void *to, size_t n, ath_err *err) {
    if (fread(to, 1, n, r->file) == n) return ATH_OK;
    if (ferror(r->file)) return ath_fail(err, ATH_E_IO, "%s: cannot read: %s", r->path, strerror(errno));
    return ath_fail(err, ATH_E_FORMAT, "%s: ends too early", r->path);
}

void ath_reader_close(ath_reader *r) {
    if (r->file) fclose(r->file);
    *r = (ath_reader){0};
}

bool ath_is_bomb(uint64_t unpacked, uint64_t packed) {
    enum { FLOOR = 1 << 26, RATIO = 256 };
    return unpacked > FLOOR && unpacked / RATIO > packed;
}

/* Grows by doubling while reading, since the size of a pipe or of what a gzip
 * stream holds is not known beforehand. */
typedef struct growing {
    uint8_t *data;
    size_t size, room;
    size_t expected; /* 0: not known */
} growing;

static bool grow(growing *g, size_t max) {
    size_t room = g->room ? g->room * 2 : g->expected ? g->expected + 2 : 65536;
    if (room > max + 2) room = max + 2; /* one byte over the limit, to see it exceeded, and the final zero */
    if (room <= g->room) return true;
    uint8_t *data = realloc(g->data, room);
    if (!data) return false;
    g->data = data;
    g->room = room;
    return true;
}

/* A descriptor of its own, so that either may be closed. gzread passes through what is not gzip. */
static gzFile unzip(const ath_reader *r, ath_err *err, ath_status *status) {
    const int fd = dup(fileno(r->file));
    const gzFile zipped = fd < 0 ? NULL : gzdopen(fd, "rb");
    if (!zipped && fd >= 0) close(fd);
    *status = zipped ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", r->path);
    return zipped;
}

/* `zipped` is NULL where bytes are wanted as they are. */
static ath_status read_some(ath_reader *r, gzFile zipped, uint8_t *to, size_t want, size_t *got, ath_err *err) {
    if (!zipped) {
        *got = fread(to, 1, want, r->file);
        return ferror(r->file) ? ath_fail(err, ATH_E_IO, "%s: cannot read: %s", r->path, strerror(errno)) : ATH_OK;
    }
    const int n = gzread(zipped, to, (unsigned)want);
    int code = Z_OK;
    const char *why = gzerror(zipped, &code);
    if (code == Z_ERRNO) return ath_fail(err, ATH_E_IO, "%s: cannot read: %s", r->path, strerror(errno));
    if (n < 0 || (code != Z_OK && code != Z_STREAM_END))
        return ath_fail(err, ATH_E_FORMAT, "%s: damaged or truncated gzip data (%s)", r->path, why);
    *got = (size_t)n;
    return ATH_OK;
}

static ath_status read_to_end(ath_reader *r, gzFile zipped, size_t max, growing *g, ath_err *err) {
    enum { MOST_AT_ONCE = 1 << 22 }; /* between two looks at how much it has become */
    for (size_t got = 1; got > 0; g->size += got) {
        if (g->size > max) break;
        if (g->size + 1 >= g->room && !grow(g, max))
            return ath_fail(err, ATH_E_MEM, "%s: out of memory after %zu bytes", r->path, g->size);
        const size_t left = g->room - 1 - g->size;
        ATH_TRY(read_some(r, zipped, g->data + g->size, left < MOST_AT_ONCE ? left : MOST_AT_ONCE, &got, err));
        if (zipped && r->size >= 0 && ath_is_bomb(g->size + got, (uint64_t)r->size))
            return ath_fail(err, ATH_E_FORMAT, "%s: unpacks to more than 256 times its %lld bytes, as no images do",
                            r->path, (long long)r->size);
    }
    return g->size > max ? ath_fail(err, ATH_E_FORMAT, "%s: holds more than the %zu bytes allowed", r->path, max)
                         : ATH_OK;
}

static ath_status read_all(const char *path, bool unzips, size_t max, uint8_t **data, size_t *size, ath_err *err) {
    ath_reader r;
    ATH_TRY(ath_reader_open(&r, path, err));
    ath_status status = ATH_OK;
    growing g = {0};
    gzFile zipped = NULL;
    if (unzips) zipped = unzip(&r, err, &status);
    const bool as_it_is = status == ATH_OK && (!zipped || gzdirect(zipped)) && r.size > 0;
    if (as_it_is && (uint64_t)r.size > max) /* before memory is taken for it */
        status = ath_fail(err, ATH_E_FORMAT, "%s: holds more than the %zu bytes allowed", path, max);
    else if (as_it_is)
        g.expected = (size_t)r.size;
    if (status == ATH_OK) status = read_to_end(&r, zipped, max, &g, err);
    if (zipped && gzclose_r(zipped) != Z_OK && status == ATH_OK)
        status = ath_fail(err, ATH_E_FORMAT, "%s: damaged or truncated gzip data", path);
    ath_reader_close(&r);
    if (status != ATH_OK) {
        free(g.data);
        return status;
    }
    g.data[g.size] = 0;
    *data = g.data;
    *size = g.size;
    return ATH_OK;
}

ath_status ath_file_read(const char *path, size_t max, uint8_t **data, size_t *size, ath_err *err) {
    return read_all(path, false, max, data, size, err);
}

ath_status ath_file_read_gz(const char *path, size_t max, uint8_t **data, size_t *size, ath_err *err) {
    return read_all(path, true, max, data, size, err);
}

ath_status ath_file_peek(const char *path, uint8_t *head, size_t n, size_t *got, ath_err *err) {
    *got = 0;
    ath_reader r;
    ATH_TRY(ath_reader_open(&r, path, err));
    ath_status status;
    const gzFile zipped = unzip(&r, err, &status);
    if (zipped) {
        status = read_some(&r, zipped, head, n, got, err);
        gzclose_r(zipped);
    }
    ath_reader_close(&r);
    return status;
}

ath_status ath_writer_open(ath_writer *w, const char *path, ath_err *err) {
    *w = (ath_writer){0};
    const size_t len = strlen(path);
    struct stat there;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) /* renaming would replace a device or a folder */
        return ath_fail(err, ATH_E_IO, "%s: cannot write: it exists and is not a regular file", path);
    w->path = malloc(len + 1);
    w->temp = malloc(len + 32);
    if (!w->path || !w->temp) {
        ath_writer_abort(w);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    }
    memcpy(w->path, path, len + 1);
    snprintf(w->temp, len + 32, "%s%s", path, temp_suffix); /* what a killed process left is written over */
    const int fd = ath_lock_open(w->temp);
    if (fd < 0) { /* nothing of ours to remove */
        const char *why = errno == EWOULDBLOCK ? "another process is writing it" : strerror(errno);
        free(w->temp);
        w->temp = NULL;
        ath_writer_abort(w);
        return ath_fail(err, ATH_E_IO, "%s: cannot write: %s", path, why);
    }
    if (ftruncate(fd, 0) != 0 || !(w->file = fdopen(fd, "wb"))) {
        const ath_status status = ath_fail(err, ATH_E_IO, "%s: cannot write: %s", path, strerror(errno));
        ath_writer_abort(w);
        close(fd);
        return status;
    }
    return ATH_OK;
}

void ath_writer_abort(ath_writer *w) {
    if (w->temp) unlink(w->temp); /* while the lock is still held */
    if (w->file) fclose(w->file);
    free(w->path);
    free(w->temp);
    *w = (ath_writer){0};
}

/* A name is on disk only when the folder that holds it is. Some file systems cannot sync a folder, and some
 * folders can be written but not read. */
static ath_status sync_folder_of(const char *path, ath_err *err) {
    char *folder = malloc(strlen(path) + 2);
    if (!folder) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    strcpy(folder, path);
    char *slash = strrchr(folder, '/');
    if (!slash)
        strcpy(folder, ".");
    else if (slash == folder)
        slash[1] = 0;
    else
        *slash = 0;
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const bool failed = fd >= 0 && fsync(fd) != 0 && errno != EINVAL;
    const ath_status status =
        failed ? ath_fail(err, ATH_E_IO, "%s: cannot write: %s", folder, strerror(errno)) : ATH_OK;
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

ath_status ath_writer_commit(ath_writer *w, ath_err *err) {
    ath_status status = ATH_OK;
    if (fflush(w->file) != 0 || ferror(w->file) || fsync(fileno(w->file)) != 0)
        status = ath_fail(err, ATH_E_IO, "%s: cannot write: %s", w->path, strerror(errno));
    /* renamed while the lock is held; what closing could still report, fsync has */
    if (status == ATH_OK && rename(w->temp, w->path) != 0)
        status = ath_fail(err, ATH_E_IO, "%s: cannot rename into place: %s", w->path, strerror(errno));
    if (status == ATH_OK) {
        free(w->temp);
        w->temp = NULL;
        status = sync_folder_of(w->path, err);
    }
    ath_writer_abort(w);
    return status;
}

ath_status ath_writer_check(const char *path, ath_err *err) {
    ath_writer w;
    ATH_TRY(ath_writer_open(&w, path, err));
    ath_writer_abort(&w);
    return ATH_OK;
}

ath_status ath_file_write(const char *path, const void *data, size_t size, ath_err *err) {
    ath_writer w;
    ATH_TRY(ath_writer_open(&w, path, err));
    if (size) fwrite(data, 1, size, w.file); /* a short write is found by ferror at commit */
    return ath_writer_commit(&w, err);
}

void ath_remove_unfinished(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir) return;
    const size_t suffix = strlen(temp_suffix);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const size_t len = strlen(entry->d_name);
        if (len <= suffix || strcmp(entry->d_name + len - suffix, temp_suffix) != 0) continue;
        char *path = ath_path_join(folder, entry->d_name);
        const int fd = path ? ath_lock_open(path) : -1;
        if (fd >= 0) {
            ath_lock_unlink(path, fd);
            close(fd);
        }
        free(path);
    }
    closedir(dir);
}

bool ath_path_exists(const char *path) {
    struct stat s;
    return stat(path, &s) == 0;
}

bool ath_path_is_dir(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

ath_status ath_make_dir(const char *path, ath_err *err) {
    if (mkdir(path, 0777) == 0) return sync_folder_of(path, err);
    const int why = errno; /* before the question below changes it */
    if (ath_path_is_dir(path)) return ATH_OK;
    return ath_fail(err, ATH_E_IO, "%s: cannot create folder: %s", path, strerror(why));
}

ath_status ath_make_dirs(const char *path, ath_err *err) {
    char *copy = malloc(strlen(path) + 1);
    if (!copy) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    strcpy(copy, path);
    ath_status status = ATH_OK;
    for (char *p = copy + (*copy == '/'); status == ATH_OK; p++) {
        if (*p != '/' && *p != 0) continue;
        const char was = *p;
        *p = 0;
        status = ath_make_dir(copy, err);
        *p = was;
        if (was == 0) break;
    }
    free(copy);
    return status;
}

char *ath_path_join(const char *a, const char *b) {
    const size_t len = strlen(a), more = strlen(b);
    char *joined = malloc(len + more + 2);
    if (!joined) return NULL;
    memcpy(joined, a, len);
    size_t at = len;
    if (at && joined[at - 1] != '/') joined[at++] = '/';
    memcpy(joined + at, b, more + 1);
    return joined;
}
