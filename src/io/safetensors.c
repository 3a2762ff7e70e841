/* safetensors files: see safetensors.h; the format is that of
 * https://github.com/huggingface/safetensors, whose rules are all checked here: the data
 * is covered by the arrays without gap or overlap. A file is not trusted in anything. */
#include "io/safetensors.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/text.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data is read and written in place, which needs a little-endian host"
#endif

enum { MAX_HEADER = 100000000 /* bytes, the format's own limit */ };
static const size_t max_file = (size_t)1 << 40;
static const char metadata_key[] = "__metadata__";

static const struct {
    const char *name;
    size_t size;
} dtype_table[] = {
    [ATH_F32] = {"F32", 4}, [ATH_F64] = {"F64", 8}, [ATH_I64] = {"I64", 8},   [ATH_I32] = {"I32", 4},
    [ATH_U8] = {"U8", 1},   [ATH_F16] = {"F16", 2}, [ATH_BF16] = {"BF16", 2},
};
enum { N_DTYPE = sizeof dtype_table / sizeof dtype_table[0] };

size_t ath_dtype_size(ath_dtype t) { return dtype_table[t].size; }
const char *ath_dtype_name(ath_dtype t) { return dtype_table[t].name; }

int64_t ath_array_len(const ath_array *a) {
    int64_t len = 1;
    for (int k = 0; k < a->n_dim; k++) len *= a->dim[k];
    return len;
}

/* Bytes of the data; false when a dimension is negative or the product overflows. */
static bool array_bytes(const ath_array *a, uint64_t *bytes) {
    uint64_t product = ath_dtype_size(a->dtype);
    for (int k = 0; k < a->n_dim; k++) {
        if (a->dim[k] < 0) return false;
        if (a->dim[k] > 0 && product > (uint64_t)INT64_MAX / (uint64_t)a->dim[k]) return false;
        product *= (uint64_t)a->dim[k];
    }
    *bytes = product;
    return true;
}

/* ---- writing ---- */

/* Data goes out with the largest items first and otherwise in the order given: so each
 * array is aligned to its items and there are no gaps, which the format forbids. */
typedef struct placed {
    int index;
    size_t item;
    uint64_t bytes;
} placed;

static int by_item(const void *a, const void *b) {
    const placed *p = a, *q = b;
    if (p->item != q->item) return p->item > q->item ? -1 : 1;
    return p->index - q->index;
}

static ath_status check_array(const char *path, const ath_array *a, uint64_t *bytes, ath_err *err) {
    if (!a->name || strcmp(a->name, metadata_key) == 0)
        return ath_fail(err, ATH_E_ARG, "%s: \"%s\" cannot be an array's name", path, a->name ? a->name : "");
    if ((unsigned)a->dtype >= N_DTYPE || a->n_dim < 0 || a->n_dim > ATH_MAX_DIM || !array_bytes(a, bytes))
        return ath_fail(err, ATH_E_ARG, "%s: array %.100s: wrong dtype or dimensions", path, a->name);
    return ATH_OK;
}

/* {"dtype": ..., "shape": [...], "data_offsets": [from, to]}; NULL when out of memory. */
static json_t *describe(const ath_array *a, uint64_t from, uint64_t to) {
    json_t *shape = json_array();
    for (int k = 0; k < a->n_dim; k++)
        if (json_array_append_new(shape, json_integer(a->dim[k])) != 0) {
            json_decref(shape);
            return NULL;
        }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", ath_dtype_name(a->dtype), "shape", shape, "data_offsets",
                     (json_int_t)from, (json_int_t)to);
}

/* Adds what `value` is under a new name; takes it over. jansson refuses what is not UTF-8. */
static ath_status add(json_t *object, const char *path, const char *what, const char *name, json_t *value,
                      ath_err *err) {
    if (json_object_get(object, name)) {
        json_decref(value);
        return ath_fail(err, ATH_E_ARG, "%s: %s \"%.100s\" is given twice", path, what, name);
    }
    if (json_object_set_new(object, name, value) != 0)
        return ath_fail(err, ATH_E_ARG, "%s: %s \"%.100s\": its text is not UTF-8, or memory ran out", path, what,
                        name);
    return ATH_OK;
}

static ath_status fill_header(json_t *root, const char *path, const ath_array *array, int n_array, const ath_meta *meta,
                              int n_meta, placed *place, ath_err *err) {
    if (n_meta > 0) {
        json_t *text = json_object(); /* owned by root */
        ATH_TRY(add(root, path, "metadata", metadata_key, text, err));
        for (int i = 0; i < n_meta; i++)
            ATH_TRY(add(text, path, "metadata key", meta[i].key, json_string(meta[i].value), err));
    }
    uint64_t total = 0;
    for (int i = 0; i < n_array; i++) {
        place[i] = (placed){.index = i};
        ATH_TRY(check_array(path, &array[i], &place[i].bytes, err));
        place[i].item = ath_dtype_size(array[i].dtype);
        if (place[i].bytes > max_file - total)
            return ath_fail(err, ATH_E_ARG, "%s: arrays of more than 2^40 bytes", path);
        total += place[i].bytes;
        /* the entry's place in the header is the order given; offsets come when all sizes are known */
        ATH_TRY(add(root, path, "array", array[i].name, json_null(), err));
    }
    if (n_array) qsort(place, (size_t)n_array, sizeof *place, by_item);
    uint64_t at = 0;
    for (int i = 0; i < n_array; i++) {
        const ath_array *a = &array[place[i].index];
        if (json_object_set_new(root, a->name, describe(a, at, at + place[i].bytes)) != 0)
            return ath_fail(err, ATH_E_MEM, "%s: out of memory for the header", path);
        at += place[i].bytes;
    }
    return ATH_OK;
}

static ath_status write_file(const char *path, const char *header, const ath_array *array, int n_array,
                             const placed *place, ath_err *err) {
    const size_t len = strlen(header), padded = (len + 7) / 8 * 8;
    if (padded > MAX_HEADER)
        return ath_fail(err, ATH_E_ARG, "%s: a header of %zu bytes, the format allows %d", path, padded, MAX_HEADER);
    ath_writer w;
    ATH_TRY(ath_writer_open(&w, path, err));
    uint8_t length[8];
    for (int k = 0; k < 8; k++) length[k] = (uint8_t)((uint64_t)padded >> (8 * k));
    fwrite(length, 1, sizeof length, w.file);
    fwrite(header, 1, len, w.file);
    fwrite("       ", 1, padded - len, w.file);
    for (int i = 0; i < n_array && !ferror(w.file); i++)
        if (place[i].bytes) fwrite(array[place[i].index].data, 1, (size_t)place[i].bytes, w.file);
    return ath_writer_commit(&w, err);
}

ath_status ath_safetensors_save(const char *path, const ath_array *array, int n_array, const ath_meta *meta, int n_meta,
                                ath_err *err) {
    json_t *root = json_object();
    placed *place = calloc((size_t)n_array + 1, sizeof *place);
    char *header = NULL;
    ath_status status = ATH_OK;
    if (!root || !place)
        status = ath_fail(err, ATH_E_MEM, "%s: out of memory for the header", path);
    else
        status = fill_header(root, path, array, n_array, meta, n_meta, place, err);
    if (status == ATH_OK && !(header = json_dumps(root, JSON_COMPACT)))
        status = ath_fail(err, ATH_E_MEM, "%s: out of memory for the header", path);
    if (status == ATH_OK) status = write_file(path, header, array, n_array, place, err);
    free(header);
    free(place);
    json_decref(root);
    return status;
}

/* ---- reading ---- */

struct ath_safetensors {
    json_t *header; /* owns the names and the metadata's text */
    uint8_t *buffer;
    ath_array *array;
    const ath_array **by_name; /* sorted, to be found */
    int n;
};

typedef struct span {
    uint64_t from, to;
    const char *name;
    ath_array *array;
} span;

static int by_offset(const void *a, const void *b) {
    const span *p = a, *q = b;
    if (p->from != q->from) return p->from < q->from ? -1 : 1;
    return p->to < q->to ? -1 : p->to > q->to; /* empty arrays before what starts where they do */
}

static ath_status read_dtype(const char *path, const json_t *entry, ath_array *a, ath_err *err) {
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!dtype) return ath_fail(err, ATH_E_FORMAT, "%s: array %.100s: no \"dtype\", expected a string", path, a->name);
    for (int t = 0; t < N_DTYPE; t++)
        if (strcmp(dtype, dtype_table[t].name) == 0) {
            a->dtype = (ath_dtype)t;
            return ATH_OK;
        }
    return ath_fail(err, ATH_E_FORMAT,
                    "%s: array %.100s: dtype \"%.20s\", expected F32, F64, I64, I32, U8, F16 or BF16", path, a->name,
                    dtype);
}

/* One entry of the header, checked against the `size` bytes of data there are. */
static ath_status read_entry(const char *path, const json_t *entry, uint64_t size, ath_array *a, span *s,
                             ath_err *err) {
    if (!json_is_object(entry))
        return ath_fail(err, ATH_E_FORMAT, "%s: array %.100s: expected an object", path, a->name);
    ATH_TRY(read_dtype(path, entry, a, err));
    const json_t *shape = json_object_get(entry, "shape"), *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_array(shape) || json_array_size(shape) > ATH_MAX_DIM)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: array %.100s: \"shape\" missing or wrong, expected at most %d dimensions", path, a->name,
                        ATH_MAX_DIM);
    a->n_dim = (int)json_array_size(shape);
    for (int k = 0; k < a->n_dim; k++) {
        const json_t *dim = json_array_get(shape, (size_t)k);
        if (!json_is_integer(dim))
            return ath_fail(err, ATH_E_FORMAT, "%s: array %.100s: \"shape\" holds what is no integer", path, a->name);
        a->dim[k] = json_integer_value(dim);
    }
    uint64_t bytes;
    if (!array_bytes(a, &bytes))
        return ath_fail(err, ATH_E_FORMAT, "%s: array %.100s: \"shape\" is negative or too large", path, a->name);
    const json_t *from = json_array_get(offsets, 0), *to = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(from) || !json_is_integer(to))
        return ath_fail(err, ATH_E_FORMAT, "%s: array %.100s: \"data_offsets\" missing or wrong, expected two integers",
                        path, a->name);
    const int64_t first = json_integer_value(from), last = json_integer_value(to);
    if (first < 0 || last < first || (uint64_t)last > size)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: array %.100s: data from %lld to %lld, but the file holds %llu bytes of data", path,
                        a->name, (long long)first, (long long)last, (unsigned long long)size);
    if ((uint64_t)(last - first) != bytes)
        return ath_fail(err, ATH_E_FORMAT, "%s: array %.100s: %lld bytes of data, its shape and dtype make %llu", path,
                        a->name, (long long)(last - first), (unsigned long long)bytes);
    *s = (span){(uint64_t)first, (uint64_t)last, a->name, a};
    return ATH_OK;
}

static ath_status check_coverage(const char *path, span *spans, int n, uint64_t size, ath_err *err) {
    if (n) qsort(spans, (size_t)n, sizeof *spans, by_offset);
    uint64_t at = 0;
    for (int i = 0; i < n; i++) {
        if (spans[i].from < at)
            return ath_fail(err, ATH_E_FORMAT, "%s: the data of %.100s overlaps that of %.100s", path, spans[i].name,
                            spans[i - 1].name);
        if (spans[i].from > at)
            return ath_fail(err, ATH_E_FORMAT, "%s: %llu bytes before the data of %.100s belong to no array", path,
                            (unsigned long long)(spans[i].from - at), spans[i].name);
        at = spans[i].to;
    }
    if (at != size)
        return ath_fail(err, ATH_E_FORMAT, "%s: the last %llu bytes belong to no array", path,
                        (unsigned long long)(size - at));
    return ATH_OK;
}

static ath_status check_metadata(const char *path, json_t *metadata, ath_err *err) {
    if (!metadata) return ATH_OK;
    if (!json_is_object(metadata)) return ath_fail(err, ATH_E_FORMAT, "%s: %s is not an object", path, metadata_key);
    const char *key;
    json_t *value;
    json_object_foreach(metadata, key, value) {
        if (!json_is_string(value))
            return ath_fail(err, ATH_E_FORMAT, "%s: %s: \"%.100s\" is not a string", path, metadata_key, key);
    }
    return ATH_OK;
}

/* The data in the order of the file, which `spans` are in and cover; in memory each array starts at a multiple of 8. */
static ath_status read_data(ath_safetensors *f, ath_reader *r, const span *spans, uint64_t size, ath_err *err) {
    const size_t room = (size_t)size + 8 * (size_t)f->n + 1;
    f->buffer = malloc(room);
    if (!f->buffer) return ath_fail(err, ATH_E_MEM, "%s: out of memory for %zu bytes", r->path, room);
    size_t at = 0;
    for (int i = 0; i < f->n; i++) {
        const size_t bytes = (size_t)(spans[i].to - spans[i].from);
        spans[i].array->data = f->buffer + at;
        if (bytes) ATH_TRY(ath_reader_get(r, f->buffer + at, bytes, err));
        at += (bytes + 7) / 8 * 8;
    }
    return ATH_OK;
}

static int in_order(const void *a, const void *b) {
    return strcmp((*(const ath_array *const *)a)->name, (*(const ath_array *const *)b)->name);
}

/* `spans` has room for each entry of the header, and `size` bytes of data follow it. */
static ath_status read_arrays(ath_safetensors *f, ath_reader *r, uint64_t size, span *spans, ath_err *err) {
    const char *name;
    json_t *entry;
    json_object_foreach(f->header, name, entry) {
        if (strcmp(name, metadata_key) == 0) continue;
        ath_array *a = &f->array[f->n];
        a->name = name;
        ATH_TRY(read_entry(r->path, entry, size, a, &spans[f->n], err));
        f->n++;
    }
    ATH_TRY(check_coverage(r->path, spans, f->n, size, err));
    for (int i = 0; i < f->n; i++) f->by_name[i] = &f->array[i];
    if (f->n) qsort(f->by_name, (size_t)f->n, sizeof *f->by_name, in_order);
    return read_data(f, r, spans, size, err);
}

/* The length of the header, held against the file's before memory is taken for it. */
static ath_status read_length(ath_reader *r, size_t *out, ath_err *err) {
    uint8_t bytes[8];
    uint64_t length = 0;
    if (r->size < 0) return ath_fail(err, ATH_E_IO, "%s: is a pipe, expected a file", r->path);
    if (r->size < 8)
        return ath_fail(err, ATH_E_FORMAT, "%s: not a safetensors file: %lld bytes, expected at least 8", r->path,
                        (long long)r->size);
    ATH_TRY(ath_reader_get(r, bytes, sizeof bytes, err));
    for (int k = 7; k >= 0; k--) length = length << 8 | bytes[k];
    if (length > MAX_HEADER)
        return ath_fail(err, ATH_E_FORMAT, "%s: not a safetensors file: a header of %llu bytes, expected at most %d",
                        r->path, (unsigned long long)length, MAX_HEADER);
    if (length > (uint64_t)r->size - 8)
        return ath_fail(err, ATH_E_FORMAT, "%s: truncated: a header of %llu bytes in a file of %lld", r->path,
                        (unsigned long long)length, (long long)r->size);
    *out = (size_t)length;
    return ATH_OK;
}

static ath_status parse_header(ath_safetensors *f, const char *path, const char *text, size_t length, ath_err *err) {
    json_error_t fault;
    if (!ath_json_is_modest(text, length))
        return ath_fail(err, ATH_E_FORMAT, "%s: its header has more values than the two million allowed", path);
    f->header = json_loadb(text, length, JSON_REJECT_DUPLICATES, &fault);
    if (!f->header)
        return ath_fail(err, ATH_E_FORMAT, "%s: damaged header: %s at byte %d", path, fault.text, fault.position);
    if (!json_is_object(f->header))
        return ath_fail(err, ATH_E_FORMAT, "%s: damaged header: expected a JSON object", path);
    return check_metadata(path, json_object_get(f->header, metadata_key), err);
}

static ath_status read_header(ath_safetensors *f, ath_reader *r, size_t *length, ath_err *err) {
    ATH_TRY(read_length(r, length, err));
    char *text = malloc(*length + 1);
    if (!text) return ath_fail(err, ATH_E_MEM, "%s: out of memory for a header of %zu bytes", r->path, *length);
    ath_status status = ath_reader_get(r, text, *length, err);
    if (status == ATH_OK) status = parse_header(f, r->path, text, *length, err);
    free(text);
    return status;
}

static ath_status read_file(ath_safetensors *f, ath_reader *r, ath_err *err) {
    size_t length = 0;
    ATH_TRY(read_header(f, r, &length, err));
    const size_t room = json_object_size(f->header) + 1;
    f->array = calloc(room, sizeof *f->array);
    f->by_name = calloc(room, sizeof *f->by_name);
    span *spans = calloc(room, sizeof *spans);
    const ath_status status = f->array && f->by_name && spans
                                  ? read_arrays(f, r, (uint64_t)r->size - 8 - length, spans, err)
                                  : ath_fail(err, ATH_E_MEM, "%s: out of memory for %zu arrays", r->path, room);
    free(spans);
    return status;
}

ath_status ath_safetensors_open(ath_safetensors **out, const char *path, ath_err *err) {
    ath_safetensors *f = calloc(1, sizeof *f);
    if (!f) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    ath_reader r;
    ath_status status = ath_reader_open(&r, path, err);
    if (status == ATH_OK) status = read_file(f, &r, err);
    ath_reader_close(&r);
    if (status != ATH_OK) {
        ath_safetensors_close(f);
        return status;
    }
    *out = f;
    return ATH_OK;
}

void ath_safetensors_close(ath_safetensors *f) {
    if (!f) return;
    json_decref(f->header);
    free(f->array);
    free(f->by_name);
    free(f->buffer);
    free(f);
}

int ath_safetensors_count(const ath_safetensors *f) { return f->n; }

const ath_array *ath_safetensors_at(const ath_safetensors *f, int i) {
    return i >= 0 && i < f->n ? &f->array[i] : NULL;
}

const ath_array *ath_safetensors_find(const ath_safetensors *f, const char *name) {
    const ath_array wanted = {.name = name}, *key = &wanted;
    const ath_array **found = f->n ? bsearch(&key, f->by_name, (size_t)f->n, sizeof *f->by_name, in_order) : NULL;
    return found ? *found : NULL;
}

const char *ath_safetensors_meta(const ath_safetensors *f, const char *key) {
    return json_string_value(json_object_get(json_object_get(f->header, metadata_key), key));
}

/* ---- conversion ---- */

static float bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE half: sign, 5 bits of exponent (bias 15), 10 of fraction; exact in float. */
static float half_to_float(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu;
    if (exponent == 31) return bits_to_float(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) { /* zero or subnormal: fraction / 2^24 */
        const float value = (float)fraction / 16777216.0f;
        return sign ? -value : value;
    }
    return bits_to_float(sign | (exponent + 112) << 23 | fraction << 13);
}

/* Item i as a double, which holds all but large I64 exactly. memcpy: no alignment is asked of `data`. */
static double item_at(const ath_array *a, size_t i) {
    const uint8_t *p = (const uint8_t *)a->data + i * ath_dtype_size(a->dtype);
    union {
        float f32;
        double f64;
        int64_t i64;
        int32_t i32;
        uint16_t u16;
    } v;
    memcpy(&v, p, ath_dtype_size(a->dtype));
    switch (a->dtype) {
    case ATH_F32:
        return (double)v.f32;
    case ATH_F64:
        return v.f64;
    case ATH_I64:
        return (double)v.i64;
    case ATH_I32:
        return v.i32;
    case ATH_U8:
        return *p;
    case ATH_F16:
        return (double)half_to_float(v.u16);
    case ATH_BF16:
        return (double)bits_to_float((uint32_t)v.u16 << 16);
    }
    return 0;
}

void ath_array_to_f32(const ath_array *a, float *dst) {
    const size_t len = (size_t)ath_array_len(a);
    if (a->dtype == ATH_F32) {
        if (len) memcpy(dst, a->data, len * sizeof *dst);
        return;
    }
    for (size_t i = 0; i < len; i++) dst[i] = (float)item_at(a, i);
}

void ath_array_to_f64(const ath_array *a, double *dst) {
    const size_t len = (size_t)ath_array_len(a);
    for (size_t i = 0; i < len; i++) dst[i] = item_at(a, i);
}
