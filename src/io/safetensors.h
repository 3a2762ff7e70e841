/* safetensors files: named arrays and a text header (u64 little-endian header length,
 * a multiple of 8; JSON {name: {dtype, shape, data_offsets}, "__metadata__": {...}}; raw
 * little-endian data). */
#ifndef ATH_IO_SAFETENSORS_H
#define ATH_IO_SAFETENSORS_H
#include <stdint.h>
#include "base/status.h"

typedef enum ath_dtype { ATH_F32, ATH_F64, ATH_I64, ATH_I32, ATH_U8, ATH_F16, ATH_BF16 } ath_dtype;
size_t ath_dtype_size(ath_dtype t);
const char *ath_dtype_name(ath_dtype t); /* "F32", ... */

enum { ATH_MAX_DIM = 8 };
typedef struct ath_array {
    const char *name;
    ath_dtype dtype;
    int n_dim;
    int64_t dim[ATH_MAX_DIM];
    const void *data; /* in native order; only little-endian hosts are supported */
} ath_array;
int64_t ath_array_len(const ath_array *a); /* the product of its dims; 1 for a scalar */

typedef struct ath_meta {
    const char *key, *value;
} ath_meta;

/* Writes beside `path` and renames. Arrays are listed in the order given; their data
 * goes by falling item size, hence aligned and without gaps. */
ath_status ath_safetensors_save(const char *path, const ath_array *array, int n_array, const ath_meta *meta, int n_meta,
                                ath_err *err);

typedef struct ath_safetensors ath_safetensors;
/* Reads the whole file; every bound, offset, overlap and size is checked before use. */
ath_status ath_safetensors_open(ath_safetensors **out, const char *path, ath_err *err);
void ath_safetensors_close(ath_safetensors *f); /* accepts NULL */
int ath_safetensors_count(const ath_safetensors *f);
/* Valid until close. NULL when absent. */
const ath_array *ath_safetensors_at(const ath_safetensors *f, int i);
const ath_array *ath_safetensors_find(const ath_safetensors *f, const char *name);
const char *ath_safetensors_meta(const ath_safetensors *f, const char *key);

/* Any of the dtypes as floats or doubles: dst holds ath_array_len(a) items. */
void ath_array_to_f32(const ath_array *a, float *dst);
void ath_array_to_f64(const ath_array *a, double *dst);

#endif
