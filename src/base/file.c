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

/* Grows by doubling while reading, since the size of a pipe or of what a gzip
 * stream holds is not known beforehand. */
typedef struct growing {
    uint8_t *data;
    size_t size, room;
} growing;

static bool grow(growing *g, size_t max) {
    size_t room = g->room ? g->room * 2 : 65536;
    if (room > max + 2) room = max + 2; /* one byte over the limit, to see it exceeded, and the final zero */
    if (room <= g->room) return true;
    uint8_t *data = realloc(g->data, room);
    if (!data) return false;
    g->data = data;
    g->room = room;
    return true;
}

/* One reader for both: gzread passes plain files through when asked to look. */
static ath_status read_all(const char *path, bool unzip, size_t max, uint8_t **data, size_t *size, ath_err *err) {
    if (ath_path_is_dir(path)) return ath_fail(err, ATH_E_IO, "%s: is a folder, expected a file", path);
    FILE *plain = NULL;
    gzFile zipped = NULL;
    if (unzip)
        zipped = gzopen(path, "rb");
    else
        plain = fopen(path, "rb");
    if (!plain && !zipped)
        return ath_fail(err, ATH_E_IO, "%s: cannot open: %s", path, strerror(errno ? errno : ENOMEM));
    ath_status status = ATH_OK;
    growing g = {0};
    for (;;) {
        if (g.size + 1 >= g.room && !grow(&g, max)) {
            status = ath_fail(err, ATH_E_MEM, "%s: out of memory after %zu bytes", path, g.size);
            break;
        }
        size_t want = g.room - 1 - g.size;
        if (want == 0) {
            status = ath_fail(err, ATH_E_FORMAT, "%s: holds more than the %zu bytes allowed", path, max);
            break;
        }
        if (want > INT_MAX / 2) want = INT_MAX / 2;
        long got;
        if (unzip) {
            got = gzread(zipped, g.data + g.size, (unsigned)want);
            int code = Z_OK;
            const char *why = gzerror(zipped, &code);
            if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) {
                status = code == Z_ERRNO
                             ? ath_fail(err, ATH_E_IO, "%s: cannot read: %s", path, strerror(errno))
                             : ath_fail(err, ATH_E_FORMAT, "%s: damaged or truncated gzip data (%s)", path, why);
                break;
            }
        } else {
            got = (long)fread(g.data + g.size, 1, want, plain);
            if (ferror(plain)) {
                status = ath_fail(err, ATH_E_IO, "%s: cannot read: %s", path, strerror(errno));
                break;
            }
        }
        if (got == 0) break;
        g.size += (size_t)got;
    }
    if (plain) fclose(plain);
    if (zipped) {
        const int code = gzclose_r(zipped);
        if (status == ATH_OK && code != Z_OK)
            status = ath_fail(err, ATH_E_FORMAT, "%s: damaged or truncated gzip data", path);
    }
    if (status == ATH_OK && g.size > max)
        status = ath_fail(err, ATH_E_FORMAT, "%s: holds more than the %zu bytes allowed", path, max);
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
