/* The cache of decoded folders: see cache.h. A file of it is a head, the names of the classes, each with its zero
 * byte, the pixels (n,h,w,c), of a set with classes the labels (n) as i32, and a CRC-32 of all before it; numbers are as
 * this machine has them. */
#define _POSIX_C_SOURCE 200809L
#include "io/cache.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include "base/sha256.h"

static const char magic[] = "athpics1",
                  suffix[] = ".pictures";              /* the 1 changes with the layout, or with what pixels are */
static const uint64_t most_bytes = (uint64_t)4 << 30;  /* of all files */
static const time_t most_age = (time_t)90 * 24 * 3600; /* since the last use, in seconds */

typedef struct head {
    char magic[8];
    uint8_t hash[32];
    uint64_t n, h, w, c, n_class, n_skipped;
    uint64_t names; /* bytes */
} head;

/* ---- keys ---- */

/* Whether another change right behind the last one would bear another time: clocks of files tick every 10 ms at most, those of
 * file systems that count whole seconds, or two, as slowly as that. */
static bool has_settled(const ath_picture_file *file, int64_t listed) {
    const int64_t second = 1000000000, tick = file->changed % second == 0 ? 2 * second : second / 20;
    return file->changed + tick <= listed;
}

void ath_cache_key_make(ath_cache_key *key, const char *path, const ath_picture_list *list,
                        const ath_dataset_options *options) {
    char text[256];
    ath_sha256 s = ath_sha256_begin();
    const uint8_t *ground = options->background;
    const int len =
        snprintf(text, sizeof text, "%s %s %d %d %d %d,%d,%d %" PRId64, magic, ATH_VERSION, options->image_size,
                 options->channels, options->skip_broken, ground[0], ground[1], ground[2], options->max_pixels);
    ath_sha256_add(&s, text, (size_t)len);
    key->settled = true;
    for (int i = 0; i < list->n; i++) {
        const ath_picture_file *file = &list->file[i];
        const char *below = ath_path_below(path, file->path);
        const int64_t stamp[3] = {file->size, file->modified, file->changed};
        ath_sha256_add(&s, below, strlen(below) + 1);
        ath_sha256_add(&s, stamp, sizeof stamp);
        key->settled = key->settled && has_settled(file, list->begun);
    }
    ath_sha256_end(&s, key->hash);
}

/* malloc'ed; NULL when out of memory */
static char *path_of(const ath_cache_key *key) {
    char name[2 * sizeof key->hash + sizeof suffix];
    for (size_t i = 0; i < sizeof key->hash; i++) snprintf(name + 2 * i, 3, "%02x", key->hash[i]);
    strcpy(name + 2 * sizeof key->hash, suffix);
    return ath_path_join(key->folder, name);
}

/* ---- reading ---- */

typedef struct loading {
    ath_reader reader;
    uLong sum;
} loading;

static bool get(loading *l, void *to, size_t n) {
    if (ath_reader_get(&l->reader, to, n, NULL) != ATH_OK) return false;
    l->sum = crc32_z(l->sum, to, n);
    return true;
}

static uint64_t pixels_of(const head *h) { return h->n * h->h * h->w * h->c; }
static uint64_t labels_of(const head *h) { return h->n_class ? h->n * sizeof(int32_t) : 0; }
static uint64_t bytes_of(const head *h) {
    return sizeof *h + h->names + pixels_of(h) + labels_of(h) + sizeof(uint32_t);
}

/* Whether the head is this key's and all it promises is there, before memory is taken for it. */
static bool is_sound(const head *h, const ath_cache_key *key, const ath_reader *r) {
    return memcmp(h->magic, magic, sizeof h->magic) == 0 && memcmp(h->hash, key->hash, sizeof h->hash) == 0 &&
           ath_dataset_check_shape(r->path, h->n, h->h, h->w, h->c, NULL) == ATH_OK && h->n_skipped <= INT_MAX &&
           h->names <= INT_MAX && h->n_class <= h->names && r->size >= 0 && bytes_of(h) == (uint64_t)r->size;
}

static bool take_names(ath_dataset *out, const char *names, size_t size) {
    const char *end = names + size;
    out->class_name = calloc((size_t)out->n_class, sizeof *out->class_name);
    for (int k = 0; out->class_name && k < out->n_class; k++) {
        const size_t len = (size_t)(end - names);
        if (!memchr(names, 0, len) || !(out->class_name[k] = strdup(names))) return false;
        names += strlen(names) + 1;
    }
    return out->class_name && names == end;
}

static bool load_classes(ath_dataset *out, loading *l, const head *h) {
    char *names = malloc((size_t)h->names + 1);
    const bool taken = names && get(l, names, (size_t)h->names) && take_names(out, names, (size_t)h->names);
    free(names);
    return taken;
}

static bool load_labels(ath_dataset *out, loading *l) {
    out->label = malloc((size_t)out->n * sizeof *out->label);
    if (!out->label || !get(l, out->label, (size_t)out->n * sizeof *out->label)) return false;
    for (int i = 0; i < out->n; i++)
        if (out->label[i] < 0 || out->label[i] >= out->n_class) return false;
    return true;
}

static bool load(ath_dataset *out, loading *l, const ath_cache_key *key) {
    head h;
    uint32_t sum;
    if (!get(l, &h, sizeof h) || !is_sound(&h, key, &l->reader)) return false;
    *out = (ath_dataset){.n = (int)h.n,
                         .h = (int)h.h,
                         .w = (int)h.w,
                         .c = (int)h.c,
                         .n_class = (int)h.n_class,
                         .n_skipped = (int)h.n_skipped,
                         .from_cache = true};
    if (h.n_class && !load_classes(out, l, &h)) return false;
    if (ath_dataset_allocate(out, l->reader.path, out->n, out->h, out->w, out->c, NULL) != ATH_OK) return false;
    if (!get(l, out->pixel, (size_t)pixels_of(&h)) || (h.n_class && !load_labels(out, l))) return false;
    return ath_reader_get(&l->reader, &sum, sizeof sum, NULL) == ATH_OK && sum == l->sum;
}

bool ath_cache_load(ath_dataset *out, const ath_cache_key *key) {
    char *path = path_of(key);
    ath_dataset d = {0};
    loading l = {.sum = crc32(0, NULL, 0)};
    const bool loaded = path && ath_reader_open(&l.reader, path, NULL) == ATH_OK && load(&d, &l, key);
    if (loaded) {
        futimens(fileno(l.reader.file), NULL); /* used just now: the last to be evicted */
        d.format = out->format;
        *out = d;
    } else
        ath_dataset_close(&d);
    ath_reader_close(&l.reader);
    free(path);
    return loaded;
}

/* ---- writing ---- */

static bool is_unchanged(const ath_picture_file *file) {
    struct stat is;
    ath_picture_file now = *file;
    if (stat(file->path, &is) != 0) return false;
    ath_picture_file_stamp(&now, &is);
    return now.size == file->size && now.modified == file->modified && now.changed == file->changed;
}

/* For its owner's eyes, as the pictures may be; the folder it is in is made too. */
static bool make_folder(const char *folder) {
    char *above = strdup(folder), *slash = above ? strrchr(above, '/') : NULL;
    if (slash && slash > above) {
        *slash = 0;
        ath_make_dir(above, NULL);
    }
    free(above);
    mkdir(folder, 0700);
    return ath_path_is_dir(folder);
}

/* A cache is not worth the disk's last bytes. */
static bool has_room(const char *folder, uint64_t bytes) {
    struct statvfs disk;
    return statvfs(folder, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize / 2 > bytes;
}

static void put(FILE *file, uLong *sum, const void *bytes, size_t n) {
    if (n && !ferror(file)) fwrite(bytes, 1, n, file); /* a short write is found at commit */
    *sum = crc32_z(*sum, bytes, n);
}

static void write_all(FILE *file, const ath_dataset *d, const head *h) {
    uLong sum = crc32(0, NULL, 0);
    put(file, &sum, h, sizeof *h);
    for (int k = 0; k < d->n_class; k++) put(file, &sum, d->class_name[k], strlen(d->class_name[k]) + 1);
    put(file, &sum, d->pixel, (size_t)pixels_of(h));
    if (d->n_class) put(file, &sum, d->label, (size_t)labels_of(h));
    const uint32_t end = (uint32_t)sum;
    put(file, &sum, &end, sizeof end);
}

/* ---- what goes ---- */

typedef struct kept {
    char *path;
    uint64_t size;
    time_t used;
} kept;

static int by_use(const void *a, const void *b) {
    const time_t p = ((const kept *)a)->used, q = ((const kept *)b)->used;
    return p > q ? -1 : p < q;
}

static void evict(const char *folder) {
    ath_names names;
    if (ath_list_folder(folder, &names, NULL) != ATH_OK) return;
    kept *file = calloc((size_t)names.n + 1, sizeof *file);
    int n = 0;
    for (int i = 0; file && i < names.n; i++) {
        struct stat is;
        char *path = ath_ends_with(names.name[i], suffix) ? ath_path_join(folder, names.name[i]) : NULL;
        if (path && stat(path, &is) == 0)
            file[n++] = (kept){path, (uint64_t)is.st_size, is.st_mtime};
        else
            free(path);
    }
    if (n) qsort(file, (size_t)n, sizeof *file, by_use);
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        total += file[i].size;
        if (total > most_bytes || file[i].used + most_age < time(NULL)) unlink(file[i].path);
        free(file[i].path);
    }
    free(file);
    ath_names_free(&names);
}

void ath_cache_save(const ath_dataset *d, const ath_cache_key *key, const ath_picture_list *list) {
    head h = {.n = (uint64_t)d->n,
              .h = (uint64_t)d->h,
              .w = (uint64_t)d->w,
              .c = (uint64_t)d->c,
              .n_class = (uint64_t)d->n_class,
              .n_skipped = (uint64_t)d->n_skipped};
    memcpy(h.magic, magic, sizeof h.magic);
    memcpy(h.hash, key->hash, sizeof h.hash);
    for (int k = 0; k < d->n_class; k++) h.names += strlen(d->class_name[k]) + 1;
    if (!key->settled || bytes_of(&h) > most_bytes) return;
    for (int i = 0; i < list->n; i++)
        if (!is_unchanged(&list->file[i])) return;
    if (!make_folder(key->folder) || !has_room(key->folder, bytes_of(&h))) return;
    ath_remove_unfinished(key->folder);
    char *path = path_of(key);
    ath_writer w;
    if (path && ath_writer_open(&w, path, NULL) == ATH_OK) { /* else another process is writing it */
        write_all(w.file, d, &h);
        ath_writer_commit(&w, NULL);
        evict(key->folder);
    }
    free(path);
}
