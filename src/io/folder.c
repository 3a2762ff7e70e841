/* A folder of PNG and JPEG files as a data set; its sub-folders are classes, with all pictures below
 * them. Decoded in parallel; kept in a cache where one is given. */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include "base/pool.h"
#include "io/cache.h"
#include "io/dataset_private.h"
#include "io/folder_list.h"
#include "io/picture.h"

/* What goes on between pictures. */
typedef struct reading {
    ath_dataset *out;
    const char *folder;
    const ath_dataset_options *options;
    int n_file;        /* pictures there may be at most */
    const char *first; /* path of the first picture read */
} reading;

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
                        r->folder, ath_path_below(r->folder, r->first), out->w, out->h, ath_path_below(r->folder, path),
                        w, h);
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
    const ath_picture_file *file;
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
    const char *path = b->file[b->first + part].path;
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
static ath_status add_block(reading *r, const ath_picture_list *list, block *b, int *k, ath_err *fault, ath_err *err) {
    ath_status status = ATH_OK;
    for (int i = 0; i < b->n; i++) {
        loaded *l = &b->at[i];
        while (list->end && b->first + i >= list->end[*k]) ++*k;
        if (status == ATH_OK && l->status == ATH_E_FORMAT && r->options->skip_broken) {
            r->out->n_skipped++;
            *fault = l->fault;
        } else if (status == ATH_OK && l->status != ATH_OK) {
            status = ath_fail(err, l->status, "%s", l->fault.text);
        } else if (status == ATH_OK) {
            if (list->end) r->out->label[r->out->n] = *k;
            status = add_picture(r, list->file[b->first + i].path, &l->picture, err);
        }
        free(l->picture.pixel);
    }
    return status;
}

static ath_status read_blocks(reading *r, const ath_picture_list *list, block *b, ath_err *err) {
    ath_pool *pool;
    ATH_TRY(ath_pool_create(&pool, r->options->threads, err));
    ath_err fault = {0};
    ath_status status = ATH_OK;
    for (int k = 0; status == ATH_OK && b->first < list->n; b->first += b->n) {
        b->n = block_size(r->out, b->image_size, list->n - b->first);
        ath_pool_each(pool, b->n, load_part, b);
        status = add_block(r, list, b, &k, &fault, err);
    }
    ath_pool_destroy(pool);
    if (status == ATH_OK && r->out->n == 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: each of its %d pictures is damaged; the last: %.200s", r->folder,
                        list->n, fault.text);
    return status;
}

static ath_status read_pictures(reading *r, const ath_picture_list *list, ath_err *err) {
    const ath_dataset_options *options = r->options;
    block *b = calloc(1, sizeof *b);
    if (!b) return ath_fail(err, ATH_E_MEM, "%s: out of memory", r->folder);
    b->file = list->file;
    b->so_far = r->out;
    b->image_size = options->image_size;
    b->how.max_pixels = options->max_pixels;
    b->how.least_side = 2 * options->image_size; /* the rest of the way is a mean over areas */
    b->how.most_side = options->image_size ? 0 : ATH_MAX_SIDE;
    memcpy(b->how.background, options->background, sizeof b->how.background);
    const ath_status status = read_blocks(r, list, b, err);
    free(b);
    return status;
}

static ath_status name_classes(ath_dataset *out, const ath_picture_list *list) {
    out->class_name = calloc((size_t)list->sub.n, sizeof *out->class_name);
    if (!out->class_name) return ATH_E_MEM;
    out->n_class = list->sub.n;
    for (int k = 0; k < out->n_class; k++)
        if (!(out->class_name[k] = strdup(ath_last_part(list->sub.name[k])))) return ATH_E_MEM;
    return ATH_OK;
}

static ath_status read_list(ath_dataset *out, const char *path, const ath_picture_list *list,
                            const ath_dataset_options *options, ath_err *err) {
    if (list->end) {
        out->label = malloc((size_t)list->n * sizeof *out->label);
        if (!out->label || name_classes(out, list) != ATH_OK)
            return ath_fail(err, ATH_E_MEM, "%s: out of memory for labels", path);
    }
    reading r = {.out = out, .folder = path, .options = options, .n_file = list->n};
    return read_pictures(&r, list, err);
}

ath_status ath_dataset_read_folder(ath_dataset *out, const char *path, const ath_dataset_options *options,
                                   ath_err *err) {
    ath_picture_list list;
    ath_cache_key key = {.folder = options->cache};
    ATH_TRY(ath_picture_list_find(&list, path, err));
    if (key.folder) ath_cache_key_make(&key, path, &list, options);
    ath_status status = ATH_OK;
    if (!key.folder || !ath_cache_load(out, &key)) {
        status = read_list(out, path, &list, options, err);
        if (status == ATH_OK && key.folder) ath_cache_save(out, &key, &list);
    }
    ath_picture_list_free(&list);
    return status;
}
