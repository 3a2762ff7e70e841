/* A folder of PNG and JPEG files as a data set; its sub-folders are classes, with all pictures below
 * them. Everything is read in the order of the names, so that image i is the same on every machine. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/pool.h"
#include "io/dataset_private.h"
#include "io/picture.h"

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
    if ((names->n & (names->n - 1)) == 0) { /* at 0 and at each power of two: full, or has been */
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

bool ath_is_file(const char *path) {
    struct stat s;
    return stat(path, &s) != 0 || S_ISREG(s.st_mode);
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

/* ---- what a folder holds ---- */

/* The pictures to read, in order, by their paths. */
typedef struct picture_list {
    ath_names path;
    ath_names sub; /* sub-folders: the classes, when the pictures are in them             */
    int *end;      /* (sub.n): how many pictures there are up to and with that sub-folder;
                    * NULL when the pictures are in the folder itself                     */
} picture_list;

static void picture_list_free(picture_list *list) {
    ath_names_free(&list->path);
    ath_names_free(&list->sub);
    free(list->end);
    *list = (picture_list){0};
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

/* Sorts a folder's entries into paths of pictures and of sub-folders; *other is the name of an
 * entry that is neither, owned by the caller (NULL: none so far). */
static ath_status sort_entries(const char *path, ath_names *picture, ath_names *sub, char **other, ath_err *err) {
    ath_names entries;
    ATH_TRY(ath_list_folder(path, &entries, err));
    bool enough = true;
    for (int i = 0; enough && i < entries.n; i++) {
        char *full = ath_path_join(path, entries.name[i]);
        if (!full) {
            enough = false;
        } else if (ath_path_is_dir(full)) {
            enough = add_name(sub, full);
        } else if (ath_is_file(full) && is_picture(full)) {
            enough = add_name(picture, full);
        } else {
            free(full);
            enough = keep_telling(other, entries.name[i]);
        }
    }
    ath_names_free(&entries);
    return enough ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory for its file names", path);
}

/* The folders that a class was searched in: symbolic links may go round in circles, or to one
 * folder in many ways, so that no class is led into the same folder twice. */
typedef struct folder_id {
    dev_t device;
    ino_t inode;
} folder_id;

typedef struct search {
    ath_names *picture; /* found so far */
    char **other;
    folder_id *been;
    int n_been, room;
} search;

/* *fresh: whether the folder has not been searched before. */
static ath_status enter(search *s, const char *path, bool *fresh, ath_err *err) {
    struct stat is;
    if (stat(path, &is) != 0) return ath_fail(err, ATH_E_IO, "%s: cannot read the folder: %s", path, strerror(errno));
    *fresh = true;
    for (int i = 0; i < s->n_been; i++)
        if (s->been[i].inode == is.st_ino && s->been[i].device == is.st_dev) *fresh = false;
    if (!*fresh) return ATH_OK;
    if (s->n_been == s->room) {
        const int room = s->room ? 2 * s->room : 16;
        folder_id *more = realloc(s->been, (size_t)room * sizeof *more);
        if (!more) return ath_fail(err, ATH_E_MEM, "%s: out of memory for its folders", path);
        s->been = more;
        s->room = room;
    }
    s->been[s->n_been++] = (folder_id){is.st_dev, is.st_ino};
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

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
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
                        last_part(sub->name[0]), expected);
    return ath_fail(err, ATH_E_FORMAT, "%s: the folder is empty: %s", path, expected);
}

/* Searches each sub-folder for a class's pictures. One that leads back to the folder itself is no class. */
static ath_status search_classes(const char *path, picture_list *list, char **other, ath_err *err) {
    search s = {.picture = &list->path, .other = other};
    int n = 0;
    bool fresh;
    ath_status status = enter(&s, path, &fresh, err);
    for (int k = 0; k < list->sub.n; k++) {
        char *name = list->sub.name[k];
        s.n_been = 1; /* each class may lead to what another has */
        if (status == ATH_OK) status = search_below(&s, name, &fresh, err);
        if (status == ATH_OK && fresh) {
            list->end[n] = list->path.n;
            list->sub.name[n++] = name;
        } else
            free(name);
    }
    list->sub.n = n;
    free(s.been);
    return status;
}

/* `direct` and `other` are the caller's to free in any case. */
static ath_status find_pictures(const char *path, picture_list *list, ath_names *direct, char **other, ath_err *err) {
    ATH_TRY(sort_entries(path, direct, &list->sub, other, err));
    list->end = calloc((size_t)list->sub.n + 1, sizeof *list->end);
    if (!list->end) return ath_fail(err, ATH_E_MEM, "%s: out of memory for its file names", path);
    ATH_TRY(search_classes(path, list, other, err));
    if (direct->n && list->path.n)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: holds pictures (%.60s) beside folders of pictures (%.60s): expected either files without "
                        "classes or one folder a class",
                        path, last_part(direct->name[0]), last_part(list->path.name[0]));
    if (!direct->n && !list->path.n) return say_nothing_found(path, &list->sub, *other, err);
    if (direct->n) {
        list->path = *direct;
        *direct = (ath_names){0};
        free(list->end);
        list->end = NULL;
        return ATH_OK;
    }
    /* whether an empty class counts would shift the labels of those after it */
    for (int k = 0; k < list->sub.n; k++)
        if (list->end[k] == (k ? list->end[k - 1] : 0))
            return ath_fail(err, ATH_E_FORMAT, "%s: the class folder %.100s holds no PNG or JPEG file", path,
                            last_part(list->sub.name[k]));
    return ATH_OK;
}

/* ---- reading ---- */

/* What goes on between pictures. */
typedef struct reading {
    ath_dataset *out;
    const char *folder;
    const ath_dataset_options *options;
    int n_file;        /* pictures there may be at most */
    const char *first; /* path of the first picture read */
} reading;

/* The path below the folder that was given. */
static const char *below(const reading *r, const char *path) {
    path += strlen(r->folder);
    while (*path == '/') path++;
    return path;
}

/* All pictures so far become RGB, because one more is. */
static ath_status turn_to_rgb(reading *r, ath_err *err) {
    ath_dataset *out = r->out;
    const size_t len = (size_t)out->h * (size_t)out->w;
    uint8_t *grey = out->pixel;
    out->pixel = NULL;
    const ath_status status = ath_dataset_allocate(out, r->folder, r->n_file, out->h, out->w, 3, err);
    if (status == ATH_OK) {
        ath_set_channels(grey, (size_t)out->n * len, 1, out->pixel, 3);
        out->c = 3;
    }
    free(grey);
    return status;
}

/* Adds a picture to the data set, whose shape the first one decides. */
static ath_status add_picture(reading *r, const char *path, const ath_picture *picture, ath_err *err) {
    ath_dataset *out = r->out;
    const int h = picture->h, w = picture->w, c = picture->c;
    if (!r->first) {
        const int channels = r->options->channels ? r->options->channels : c;
        ATH_TRY(ath_dataset_allocate(out, r->folder, r->n_file, h, w, channels, err));
        out->h = h;
        out->w = w;
        out->c = channels;
        r->first = path;
    }
    if (h != out->h || w != out->w)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: %.90s has %d x %d pixels but %.90s has %d x %d: make them one size with --image-size",
                        r->folder, below(r, r->first), out->w, out->h, below(r, path), w, h);
    if (c == 3 && out->c == 1 && !r->options->channels) ATH_TRY(turn_to_rgb(r, err));
    const size_t len = (size_t)h * (size_t)w;
    ath_set_channels(picture->pixel, len, c, out->pixel + (size_t)out->n * len * (size_t)out->c, out->c);
    out->n++;
    return ATH_OK;
}

/* Pictures are decoded a block at a time, each by whichever thread is free, and added in their order. A block
 * also bounds how many of full size are in memory at once. */
enum { MOST_IN_BLOCK = 16, BLOCK_BYTES = 1 << 26 };

typedef struct loaded {
    ath_picture picture;
    ath_status status;
    ath_err fault;
} loaded;

typedef struct block {
    const ath_names *path;
    int first, n;
    const ath_dataset *so_far; /* not changed while a block is loaded */
    int image_size;
    ath_picture_options how;
    loaded at[MOST_IN_BLOCK];
} block;

static ath_status make_square(ath_picture *p, const char *path, int size, ath_err *err) {
    if (p->h == size && p->w == size) return ATH_OK;
    ath_resizer resizer = {0};
    uint8_t *square = malloc((size_t)size * (size_t)size * (size_t)p->c);
    const bool enough = square && ath_resizer_prepare(&resizer, p->h < p->w ? p->h : p->w, size);
    if (enough) ath_resize(&resizer, p->pixel, p->h, p->w, p->c, square);
    ath_resizer_free(&resizer);
    free(p->pixel);
    if (!enough) {
        free(square);
        *p = (ath_picture){0};
        return ath_fail(err, ATH_E_MEM, "%s: out of memory to resize it", path);
    }
    *p = (ath_picture){square, size, size, p->c};
    return ATH_OK;
}

static void load_part(void *self, int part) {
    block *b = self;
    loaded *l = &b->at[part];
    const char *path = b->path->name[b->first + part];
    l->status = ath_picture_load(&l->picture, path, &b->how, &l->fault);
    if (l->status != ATH_OK) return;
    if (b->image_size) {
        l->status = make_square(&l->picture, path, b->image_size, &l->fault);
    } else if (b->so_far->n > 0 && (l->picture.h != b->so_far->h || l->picture.w != b->so_far->w)) {
        free(l->picture.pixel); /* add_picture will say so; until then it may be large */
        l->picture.pixel = NULL;
    }
}

/* As many as are kept in BLOCK_BYTES; one while the size is not known. */
static int block_size(const ath_dataset *so_far, int image_size, int left) {
    const int64_t h = image_size ? image_size : so_far->h, w = image_size ? image_size : so_far->w;
    const int64_t n = h > 0 ? BLOCK_BYTES / (3 * h * w) : 1;
    const int fit = n < 1 ? 1 : n < MOST_IN_BLOCK ? (int)n : MOST_IN_BLOCK;
    return fit < left ? fit : left;
}

/* `k` is the class of the picture before; those that are left out are counted. */
static ath_status add_block(reading *r, const picture_list *list, block *b, int *k, ath_dataset_options *options,
                            ath_err *fault, ath_err *err) {
    ath_status status = ATH_OK;
    for (int i = 0; i < b->n; i++) {
        loaded *l = &b->at[i];
        while (list->end && b->first + i >= list->end[*k]) ++*k;
        if (status == ATH_OK && l->status == ATH_E_FORMAT && options->skip_broken) {
            options->n_skipped++;
            *fault = l->fault;
        } else if (status == ATH_OK && l->status != ATH_OK) {
            status = ath_fail(err, l->status, "%s", l->fault.text);
        } else if (status == ATH_OK) {
            if (list->end) r->out->label[r->out->n] = *k;
            status = add_picture(r, list->path.name[b->first + i], &l->picture, err);
        }
        free(l->picture.pixel);
    }
    return status;
}

static ath_status read_blocks(reading *r, const picture_list *list, block *b, ath_dataset_options *options,
                              ath_err *err) {
    ath_pool *pool;
    ATH_TRY(ath_pool_create(&pool, options->threads, err));
    ath_err fault = {0};
    ath_status status = ATH_OK;
    for (int k = 0; status == ATH_OK && b->first < list->path.n; b->first += b->n) {
        b->n = block_size(r->out, b->image_size, list->path.n - b->first);
        ath_pool_each(pool, b->n, load_part, b);
        status = add_block(r, list, b, &k, options, &fault, err);
    }
    ath_pool_destroy(pool);
    if (status == ATH_OK && r->out->n == 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: each of its %d pictures is damaged; the last: %.200s", r->folder,
                        list->path.n, fault.text);
    return status;
}

static ath_status read_pictures(reading *r, const picture_list *list, ath_dataset_options *options, ath_err *err) {
    block *b = calloc(1, sizeof *b);
    if (!b) return ath_fail(err, ATH_E_MEM, "%s: out of memory", r->folder);
    b->path = &list->path;
    b->so_far = r->out;
    b->image_size = options->image_size;
    b->how.max_pixels = options->max_pixels;
    b->how.least_side = 2 * options->image_size; /* the rest of the way is a mean over areas */
    memcpy(b->how.background, options->background, sizeof b->how.background);
    const ath_status status = read_blocks(r, list, b, options, err);
    free(b);
    return status;
}

static ath_status name_classes(ath_dataset *out, const picture_list *list) {
    out->class_name = calloc((size_t)list->sub.n, sizeof *out->class_name);
    if (!out->class_name) return ATH_E_MEM;
    out->n_class = list->sub.n;
    for (int k = 0; k < out->n_class; k++)
        if (!(out->class_name[k] = strdup(last_part(list->sub.name[k])))) return ATH_E_MEM;
    return ATH_OK;
}

static ath_status read_list(ath_dataset *out, const char *path, const picture_list *list, ath_dataset_options *options,
                            ath_err *err) {
    if (list->end) {
        out->label = malloc((size_t)list->path.n * sizeof *out->label);
        if (!out->label || name_classes(out, list) != ATH_OK)
            return ath_fail(err, ATH_E_MEM, "%s: out of memory for labels", path);
    }
    reading r = {.out = out, .folder = path, .options = options, .n_file = list->path.n};
    return read_pictures(&r, list, options, err);
}

ath_status ath_dataset_read_folder(ath_dataset *out, const char *path, ath_dataset_options *options, ath_err *err) {
    picture_list list = {0};
    ath_names direct = {0};
    char *other = NULL;
    ath_status status = find_pictures(path, &list, &direct, &other, err);
    if (status == ATH_OK) status = read_list(out, path, &list, options, err);
    picture_list_free(&list);
    ath_names_free(&direct);
    free(other);
    return status;
}
