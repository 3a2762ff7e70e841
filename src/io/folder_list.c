/* What a folder of pictures holds: its PNG and JPEG files, or sub-folders as classes, with all pictures below
 * them. Everything in the order of the names, so that image i is the same on every machine. */
#define _GNU_SOURCE /* tdestroy */
#include <dirent.h>
#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/file.h"
#include "io/folder_list.h"

/* ---- names ---- */

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

void ath_names_free(ath_names *names) {
    for (int i = 0; i < names->n; i++) free(names->name[i]);
    free(names->name);
    *names = (ath_names){0};
}

/* Takes `name` over, also when it fails: false for NULL or when out of memory. */
static bool add_name(ath_names *names, char *name) {
    if (!name) return false;
    if ((names->n & (names->n - 1)) == 0) { /* full at 0 and at each power of two */
        char **more = realloc(names->name, (names->n ? 2 * (size_t)names->n : 1) * sizeof *more);
        if (!more) {
            free(name);
            return false;
        }
        names->name = more;
    }
    names->name[names->n++] = name;
    return true;
}

ath_status ath_list_folder(const char *path, ath_names *out, ath_err *err) {
    *out = (ath_names){0};
    DIR *folder = opendir(path);
    if (!folder) return ath_fail(err, ATH_E_IO, "%s: cannot read the folder: %s", path, strerror(errno));
    ath_status status = ATH_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno) status = ath_fail(err, ATH_E_IO, "%s: cannot read the folder: %s", path, strerror(errno));
            break;
        }
        if (entry->d_name[0] == '.') continue;
        if (!add_name(out, strdup(entry->d_name))) {
            status = ath_fail(err, ATH_E_MEM, "%s: out of memory for its file names", path);
            break;
        }
    }
    closedir(folder);
    if (status != ATH_OK) {
        ath_names_free(out);
        return status;
    }
    if (out->n) qsort(out->name, (size_t)out->n, sizeof *out->name, by_name);
    return ATH_OK;
}

bool ath_ends_with(const char *name, const char *end) {
    const size_t n = strlen(name), m = strlen(end);
    if (m > n) return false;
    for (size_t i = 0; i < m; i++) {
        const char ch = name[n - m + i];
        if ((ch >= 'A' && ch <= 'Z' ? ch - 'A' + 'a' : ch) != end[i]) return false;
    }
    return true;
}

const char *ath_path_below(const char *folder, const char *path) {
    path += strlen(folder);
    while (*path == '/') path++;
    return path;
}

const char *ath_last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- what a folder holds ---- */

void ath_picture_list_free(ath_picture_list *list) {
    for (int i = 0; i < list->n; i++) free(list->file[i].path);
    free(list->file);
    ath_names_free(&list->sub);
    free(list->end);
    *list = (ath_picture_list){0};
}

static int64_t in_nanoseconds(struct timespec t) { return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec; }

void ath_picture_file_stamp(ath_picture_file *file, const struct stat *is) {
    file->size = is->st_size;
    file->modified = in_nanoseconds(is->st_mtim);
    file->changed = in_nanoseconds(is->st_ctim);
}

/* Takes `path` over, also when it fails: false when out of memory. */
static bool add_file(ath_picture_list *list, char *path, const struct stat *is) {
    if ((list->n & (list->n - 1)) == 0) { /* full at 0 and at each power of two */
        ath_picture_file *more = realloc(list->file, (list->n ? 2 * (size_t)list->n : 1) * sizeof *more);
        if (!more) {
            free(path);
            return false;
        }
        list->file = more;
    }
    ath_picture_file *file = &list->file[list->n++];
    file->path = path;
    ath_picture_file_stamp(file, is);
    return true;
}

static bool is_own_set(const char *name) { return ath_ends_with(name, ".npy") || ath_ends_with(name, ".npz"); }

/* Of the entries that are of no use, one is kept for the error message: the first, or the
 * first that is a data set by itself. False when out of memory. */
static bool keep_telling(char **other, const char *name) {
    if (*other && (is_own_set(*other) || !is_own_set(name))) return true;
    free(*other);
    *other = strdup(name);
    return *other != NULL;
}

static bool is_picture(const char *name) {
    return ath_ends_with(name, ".png") || ath_ends_with(name, ".jpg") || ath_ends_with(name, ".jpeg");
}

/* Sorts a folder's entries into pictures and paths of sub-folders; *other is the name of an
 * entry that is neither, owned by the caller (NULL: none so far). A name that leads nowhere counts as a file: reading it says why. */
static ath_status sort_entries(const char *path, ath_picture_list *picture, ath_names *sub, char **other,
                               ath_err *err) {
    ath_names entries;
    ATH_TRY(ath_list_folder(path, &entries, err));
    bool enough = true;
    for (int i = 0; enough && i < entries.n; i++) {
        char *full = ath_path_join(path, entries.name[i]);
        struct stat is = {0};
        const bool there = full && stat(full, &is) == 0;
        if (!full) {
            enough = false;
        } else if (there && S_ISDIR(is.st_mode)) {
            enough = add_name(sub, full);
        } else if ((!there || S_ISREG(is.st_mode)) && is_picture(full)) {
            enough = add_file(picture, full, &is);
        } else {
            free(full);
            enough = keep_telling(other, entries.name[i]);
        }
    }
    ath_names_free(&entries);
    return enough ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory for its file names", path);
}

/* A folder that was searched, and for which class last: symbolic links may go round in circles, or to one folder in
 * many ways, so that no class is led into the same folder twice. */
typedef struct folder_id {
    dev_t device;
    ino_t inode;
    int class;
} folder_id;

enum { NO_CLASS = -1 }; /* the data set's own folder, which is part of none */

typedef struct search {
    ath_picture_list *picture; /* found so far */
    char **other;
    void *been; /* of folder_id, libc's tree */
    int n_entered, class;
} search;

static int by_id(const void *a, const void *b) {
    const folder_id *p = a, *q = b;
    if (p->device != q->device) return p->device < q->device ? -1 : 1;
    return p->inode < q->inode ? -1 : p->inode > q->inode;
}

/* *fresh: whether the folder has not been searched for this class. */
static ath_status enter(search *s, const char *path, bool *fresh, ath_err *err) {
    struct stat is;
    if (stat(path, &is) != 0) return ath_fail(err, ATH_E_IO, "%s: cannot read the folder: %s", path, strerror(errno));
    folder_id *id = malloc(sizeof *id);
    if (id) *id = (folder_id){is.st_dev, is.st_ino, s->class};
    folder_id **known = id ? tsearch(id, &s->been, by_id) : NULL;
    if (!known) {
        free(id);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for its folders", path);
    }
    *fresh = *known == id;
    if (!*fresh) {
        free(id);
        *fresh = (*known)->class != NO_CLASS && (*known)->class != s->class;
        if (*fresh) (*known)->class = s->class;
    }
    if (*fresh && ++s->n_entered > ATH_MAX_FOLDERS)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: the data set leads to more than %d folders: expected folders of pictures", path,
                        ATH_MAX_FOLDERS);
    return ATH_OK;
}

/* Adds a folder's pictures and then those below it, in the order of the names; *fresh as in enter, of the folder itself.
 * Folders wait in a list, the next one last, so that no depth of folders is one of calls. */
static ath_status search_below(search *s, const char *path, bool *fresh, ath_err *err) {
    ath_names waiting = {0}, sub = {0};
    ATH_TRY(enter(s, path, fresh, err));
    ath_status status = *fresh ? sort_entries(path, s->picture, &sub, s->other, err) : ATH_OK;
    for (;;) {
        while (status == ATH_OK && sub.n > 0)
            if (!add_name(&waiting, sub.name[--sub.n])) status = ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
        if (status != ATH_OK || waiting.n == 0) break;
        char *next = waiting.name[--waiting.n];
        bool is_new;
        status = enter(s, next, &is_new, err);
        if (status == ATH_OK && is_new) status = sort_entries(next, s->picture, &sub, s->other, err);
        free(next);
    }
    ath_names_free(&waiting);
    ath_names_free(&sub);
    return status;
}

static ath_status say_nothing_found(const char *path, const ath_names *sub, const char *other, ath_err *err) {
    const char *expected = "expected PNG or JPEG files, class folders of such, MNIST's IDX files or CIFAR's .bin files";
    if (other && is_own_set(other))
        return ath_fail(err, ATH_E_FORMAT, "%s: holds no PNG or JPEG file but %.100s: give that file itself", path,
                        other);
    if (other)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds no PNG or JPEG file but %.100s: %s", path, other, expected);
    if (sub->n)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds no PNG or JPEG file, nor does %.100s in it: %s", path,
                        ath_last_part(sub->name[0]), expected);
    return ath_fail(err, ATH_E_FORMAT, "%s: the folder is empty: %s", path, expected);
}

/* Searches each sub-folder for a class's pictures. One that leads back to the folder itself is no class. */
static ath_status search_classes(const char *path, ath_picture_list *list, char **other, ath_err *err) {
    search s = {.picture = list, .other = other, .class = NO_CLASS};
    int n = 0;
    bool fresh;
    ath_status status = enter(&s, path, &fresh, err);
    for (int k = 0; k < list->sub.n; k++) {
        char *name = list->sub.name[k];
        s.class = k; /* each class may lead to what another has */
        if (status == ATH_OK) status = search_below(&s, name, &fresh, err);
        if (status == ATH_OK && fresh) {
            list->end[n] = list->n;
            list->sub.name[n++] = name;
        } else
            free(name);
    }
    list->sub.n = n;
    tdestroy(s.been, free);
    return status;
}

/* `direct` and `other` are the caller's to free in any case. */
static ath_status find(ath_picture_list *list, ath_picture_list *direct, char **other, const char *path, ath_err *err) {
    ATH_TRY(sort_entries(path, direct, &list->sub, other, err));
    list->end = calloc((size_t)list->sub.n + 1, sizeof *list->end);
    if (!list->end) return ath_fail(err, ATH_E_MEM, "%s: out of memory for its file names", path);
    ATH_TRY(search_classes(path, list, other, err));
    if (direct->n && list->n)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: holds pictures (%.60s) beside folders of pictures (%.60s): expected either files without "
                        "classes or one folder a class",
                        path, ath_last_part(direct->file[0].path), ath_last_part(list->file[0].path));
    if (!direct->n && !list->n) return say_nothing_found(path, &list->sub, *other, err);
    if (direct->n) {
        direct->begun = list->begun;
        ath_picture_list_free(list);
        *list = *direct;
        *direct = (ath_picture_list){0};
        return ATH_OK;
    }
    /* whether an empty class counts would shift the labels of those after it */
    for (int k = 0; k < list->sub.n; k++)
        if (list->end[k] == (k ? list->end[k - 1] : 0))
            return ath_fail(err, ATH_E_FORMAT, "%s: the class folder %.100s holds no PNG or JPEG file", path,
                            ath_last_part(list->sub.name[k]));
    return ATH_OK;
}

ath_status ath_picture_list_find(ath_picture_list *out, const char *path, ath_err *err) {
    ath_picture_list direct = {0};
    char *other = NULL;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    *out = (ath_picture_list){.begun = in_nanoseconds(now)};
    const ath_status status = find(out, &direct, &other, path, err);
    ath_picture_list_free(&direct);
    free(other);
    if (status != ATH_OK) ath_picture_list_free(out);
    return status;
}
