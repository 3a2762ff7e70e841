/* Private to src/io: the readers behind dataset.h, one a format, and what they share. */
#ifndef ATH_IO_DATASET_PRIVATE_H
#define ATH_IO_DATASET_PRIVATE_H
#include "io/dataset.h"

enum { ATH_MAX_SIDE = 4096 };                            /* pixels, of a data set's images */
static const uint64_t ath_max_bytes = (uint64_t)1 << 33; /* of a data set's images        */

/* The readers fill `out`, which is zeroed, and leave what they allocated in it on failure;
 * `options` has been checked. */

/* `path` is a file; labels are looked for beside it. */
ath_status ath_dataset_read_idx(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err);
/* *found is false, and nothing was read, when the folder holds no file of CIFAR's names. */
ath_status ath_dataset_read_cifar_folder(ath_dataset *out, const char *path, const ath_dataset_options *options,
                                         bool *found, ath_err *err);
ath_status ath_dataset_read_cifar(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err);
ath_status ath_dataset_read_npy(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err);
ath_status ath_dataset_read_npz(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err);
ath_status ath_dataset_read_folder(ath_dataset *out, const char *path, const ath_dataset_options *options,
                                   ath_err *err);

/* Whether a header's sizes can be images at all, before anything is multiplied or allocated. */
ath_status ath_dataset_check_shape(const char *path, uint64_t n, uint64_t h, uint64_t w, uint64_t c, ath_err *err);

/* out->pixel for n images of h x w x c; fails when that is more than is allowed. */
ath_status ath_dataset_allocate(ath_dataset *out, const char *path, int n, int h, int w, int c, ath_err *err);

/* Brings images that were read as they are to the size and channels asked for. */
ath_status ath_dataset_fit(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err);
/* Classes "0", "1", ... up to out->n_class. */
ath_status ath_dataset_number_classes(ath_dataset *out, const char *path, ath_err *err);

typedef struct ath_names {
    char **name;
    int n;
} ath_names;
/* What a folder holds, without hidden names, sorted by strcmp. Owned by the caller. */
ath_status ath_list_folder(const char *path, ath_names *out, ath_err *err);
void ath_names_free(ath_names *names);
const char *ath_last_part(const char *path); /* behind the last slash */
/* Whether `name` ends so, capital letters taken as small ones. */
bool ath_ends_with(const char *name, const char *end);
/* Resizes squares of `side` pixels to `size`: the mean over each pixel's area when that is
 * smaller, bilinear when it is larger; exact integers, rounded once at the end. */
typedef struct ath_resizer {
    int side, size;
    int *first, *count; /* (size): the source pixels each result reads */
    uint32_t *weight;   /* (size, reach)                               */
    int reach;          /* most source pixels one result reads         */
    uint32_t total;     /* what every result's weights sum to          */
    uint32_t *row;      /* (side, size, 3): after the horizontal pass  */
} ath_resizer;

/* False when out of memory; accepts a resizer made before (or zeroed) and keeps it if it fits. */
bool ath_resizer_prepare(ath_resizer *r, int side, int size);
void ath_resizer_free(ath_resizer *r);
/* The square in the middle of (h,w,c), min(h,w) == r->side, becomes (size,size,c). */
void ath_resize(const ath_resizer *r, const uint8_t *from, int h, int w, int c, uint8_t *to);

/* n pixels of c_from channels become c_to, each 1 or 3. In place is fine. */
void ath_set_channels(const uint8_t *from, size_t n, int c_from, uint8_t *to, int c_to);

#endif
