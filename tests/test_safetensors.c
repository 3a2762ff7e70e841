/* safetensors files: arrays and text read back as they were written, every number of the
 * half formats converts by their definition, and no header is believed. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include <float.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/file.h"
#include "io/safetensors.h"

static ath_err err;

/* Not ath_file_write, which waits for the disk: there are thousands of hostile files. */
static void put_file(const char *path, const void *data, size_t size) {
    remove(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static ath_safetensors *open_ok(const char *path) {
    ath_safetensors *f;
    CHECK_OK(ath_safetensors_open(&f, path, &err));
    return f;
}

static size_t bytes_of(const ath_array *a) { return (size_t)ath_array_len(a) * ath_dtype_size(a->dtype); }

static void check_same_array(const ath_array *a, const ath_array *b) {
    assert_non_null(a);
    assert_string_equal(a->name, b->name);
    CHECK(a->dtype == b->dtype && a->n_dim == b->n_dim, "%s: %s of %d dimensions, expected %s of %d", b->name,
          ath_dtype_name(a->dtype), a->n_dim, ath_dtype_name(b->dtype), b->n_dim);
    for (int k = 0; k < a->n_dim; k++)
        CHECK(a->dim[k] == b->dim[k], "%s: dimension %d is %lld, expected %lld", b->name, k, (long long)a->dim[k],
              (long long)b->dim[k]);
    CHECK((uintptr_t)a->data % ath_dtype_size(a->dtype) == 0, "%s: data is not aligned", a->name);
    if (bytes_of(b)) assert_memory_equal(a->data, b->data, bytes_of(b));
}

static const uint8_t noise[256] = {3,  141, 59, 26, 53, 58, 97,  93,  238, 46, 26, 43,
                                   38, 32,  79, 50, 28, 84, 197, 169, 39,  93, 75, 105};

/* One of each dtype, a scalar, empty ones, the most dimensions; in an order that makes bytes
 * come before wider items. */
static const ath_array mixed[] = {
    {"bytes", ATH_U8, 1, {3}, noise},
    {"conv.weight", ATH_F32, 4, {2, 1, 3, 2}, noise},
    {"scalar", ATH_F64, 0, {0}, noise + 5},
    {"empty", ATH_F32, 2, {0, 7}, NULL},
    {"h\xc3\xa9 \"quoted\"\\\n/", ATH_F16, 1, {5}, noise + 1},
    {"", ATH_BF16, 2, {1, 1}, noise},
    {"steps", ATH_I64, 1, {3}, noise},
    {"int", ATH_I32, 8, {1, 1, 1, 1, 2, 1, 1, 3}, noise},
    {"empty bytes", ATH_U8, 1, {0}, NULL},
    {"last", ATH_U8, 2, {7, 1}, noise + 9},
};
enum { N_MIXED = sizeof mixed / sizeof mixed[0] };
static const ath_meta meta[] = {
    {"format", "pt"}, {"", "empty key"}, {"command", "athanor train \"x\" \xe2\x82\xac\n"}, {"empty", ""}};

static void arrays_and_text_read_back_in_the_order_given(void **state) {
    (void)state;
    for (int with_meta = 0; with_meta < 2; with_meta++)
        for (int n = 0; n <= N_MIXED; n++) {
            CHECK_OK(ath_safetensors_save(in_folder("a"), mixed, n, meta, with_meta ? 4 : 0, &err));
            ath_safetensors *f = open_ok(in_folder("a"));
            assert_int_equal(ath_safetensors_count(f), n);
            for (int i = 0; i < n; i++) {
                check_same_array(ath_safetensors_at(f, i), &mixed[i]);
                assert_ptr_equal(ath_safetensors_find(f, mixed[i].name), ath_safetensors_at(f, i));
            }
            assert_null(ath_safetensors_at(f, n));
            assert_null(ath_safetensors_at(f, -1));
            assert_null(ath_safetensors_find(f, "none"));
            assert_null(ath_safetensors_find(f, "__metadata__"));
            for (int i = 0; i < 4; i++) {
                const char *value = ath_safetensors_meta(f, meta[i].key);
                if (with_meta)
                    assert_string_equal(value, meta[i].value);
                else
                    assert_null(value);
            }
            assert_null(ath_safetensors_meta(f, "none"));
            ath_safetensors_close(f);
        }
    ath_safetensors_close(NULL);
}

static uint64_t header_length(const uint8_t *data) {
    uint64_t length = 0;
    for (int k = 7; k >= 0; k--) length = length << 8 | data[k];
    return length;
}

static void a_file_has_a_padded_header_and_its_data_without_gaps(void **state) {
    (void)state;
    for (int n = 0; n <= N_MIXED; n++) {
        CHECK_OK(ath_safetensors_save(in_folder("a"), mixed, n, meta, n % 3, &err));
        uint8_t *data;
        size_t size, total = 0;
        CHECK_OK(ath_file_read(in_folder("a"), 1 << 20, &data, &size, &err));
        const uint64_t length = header_length(data);
        CHECK(length % 8 == 0 && data[8] == '{', "a header of %llu bytes that starts with '%c'",
              (unsigned long long)length, data[8]);
        uint64_t end = length;
        while (data[8 + end - 1] == ' ') end--;
        CHECK(data[8 + end - 1] == '}' && length - end < 8, "%llu spaces after the header",
              (unsigned long long)(length - end));
        for (int i = 0; i < n; i++) total += bytes_of(&mixed[i]);
        CHECK(size == 8 + length + total, "%zu bytes, expected %zu", size, (size_t)(8 + length + total));
        free(data);
    }
}

static void what_cannot_be_stored_is_refused(void **state) {
    (void)state;
    const char *path = in_folder("no");
    ath_array two[2] = {mixed[0], mixed[0]};
    CHECK_FAILS(ath_safetensors_save(path, two, 2, NULL, 0, &err), ATH_E_ARG, "\"bytes\" is given twice");
    const ath_meta same[2] = {{"k", "1"}, {"k", "2"}}, broken[2] = {{"k", "\xff"}, {"\xff", "v"}};
    CHECK_FAILS(ath_safetensors_save(path, NULL, 0, same, 2, &err), ATH_E_ARG, "\"k\" is given twice");
    CHECK_FAILS(ath_safetensors_save(path, NULL, 0, broken, 1, &err), ATH_E_ARG, "UTF-8");
    CHECK_FAILS(ath_safetensors_save(path, NULL, 0, broken + 1, 1, &err), ATH_E_ARG, "UTF-8");
    ath_array a = {"__metadata__", ATH_U8, 1, {1}, noise};
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, "__metadata__");
    a.name = "caf\xe9";
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, "UTF-8");
    a.name = NULL;
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, path);
    a = (ath_array){"wrong", ATH_F32, 2, {2, -1}, noise};
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, "wrong");
    a = (ath_array){"wrong", ATH_F32, 2, {INT64_MAX, 4}, noise};
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, "wrong");
    a = (ath_array){"wrong", ATH_F32, 9, {1, 1}, noise};
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, "wrong");
    a = (ath_array){"huge", ATH_U8, 1, {INT64_MAX / 2}, noise};
    CHECK_FAILS(ath_safetensors_save(path, &a, 1, NULL, 0, &err), ATH_E_ARG, "2^40");
    CHECK(!ath_path_exists(path), "%s was written", path);
    CHECK_FAILS(ath_safetensors_save(in_folder("no/such/a"), mixed, 1, NULL, 0, &err), ATH_E_IO, "no/such/a");
}

static void a_failed_write_leaves_the_old_file_and_nothing_else(void **state) {
    (void)state;
    const char *path = in_folder("kept");
    CHECK_OK(ath_safetensors_save(path, mixed, N_MIXED, meta, 2, &err));
    enum { BIG = 1 << 18 };
    float *zeros = calloc(BIG, sizeof *zeros);
    const ath_array big = {"big", ATH_F32, 1, {BIG}, zeros};
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 100000; /* the disk is full after this many bytes */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const ath_status status = ath_safetensors_save(path, &big, 1, NULL, 0, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, handler);
    free(zeros);
    CHECK(status == ATH_E_IO && strstr(err.text, path), "status %d: %s", (int)status, err.text);
    ath_safetensors *f = open_ok(path);
    for (int i = 0; i < N_MIXED; i++) check_same_array(ath_safetensors_at(f, i), &mixed[i]);
    ath_safetensors_close(f);
    assert_int_equal(remove(path), 0);
    CHECK(rmdir(folder) == 0, "the folder is not empty"); /* nothing was left behind */
    assert_int_equal(mkdir(folder, 0700), 0);
}

/* ---- conversion ---- */

static void check_value(const char *what, unsigned bits, double got, double expected) {
    if (isnan(expected))
        CHECK(isnan(got), "%s %04x: %g, expected not a number", what, bits, got);
    else
        CHECK(got == expected && !signbit(got) == !signbit(expected), "%s %04x: %.17g, expected %.17g", what, bits, got,
              expected);
}

/* sign * 2^(exponent - bias) * 1.fraction, with zero, subnormals, infinity, no number. */
static double by_definition(unsigned bits, int n_fraction, int n_exponent) {
    const int bias = (1 << (n_exponent - 1)) - 1;
    const int fraction = (int)(bits & ((1u << n_fraction) - 1)),
              exponent = (int)(bits >> n_fraction & ((1u << n_exponent) - 1));
    double value;
    if (exponent == (1 << n_exponent) - 1)
        value = fraction ? (double)NAN : (double)INFINITY;
    else if (exponent == 0)
        value = ldexp(fraction, 1 - bias - n_fraction);
    else
        value = ldexp((1 << n_fraction) + fraction, exponent - bias - n_fraction);
    return bits & 0x8000u ? -value : value;
}

static void every_half_and_bfloat16_converts_by_its_definition(void **state) {
    (void)state;
    static uint16_t all[65536];
    static float f32[65536];
    static double f64[65536];
    for (unsigned i = 0; i < 65536; i++) all[i] = (uint16_t)i;
    for (int half = 0; half < 2; half++) {
        const ath_array a = {"all", half ? ATH_F16 : ATH_BF16, 2, {256, 256}, all};
        ath_array_to_f32(&a, f32);
        ath_array_to_f64(&a, f64);
        for (unsigned i = 0; i < 65536; i++) {
            const double expected = half ? by_definition(i, 10, 5) : by_definition(i, 7, 8);
            check_value(half ? "half" : "bfloat16", i, (double)f32[i], expected);
            check_value(half ? "half" : "bfloat16", i, f64[i], expected);
        }
    }
}

static void the_other_dtypes_convert_as_c_converts_them(void **state) {
    (void)state;
    static const float f[] = {0, -0.0f, 1.5f, -FLT_MAX, FLT_MIN, 1e-45f, INFINITY};
    static const double d[] = {0.1, -1e300, 1e-300, 3};
    static const int64_t l[] = {0, -1, 1LL << 40, INT64_MAX, INT64_MIN, 16777217};
    static const int32_t n[] = {0, -1, INT32_MAX, INT32_MIN, 16777217};
    static const uint8_t b[] = {0, 1, 127, 128, 255};
    float f32[8];
    double f64[8];
#define SAME(type, items, count)                                                                                       \
    do {                                                                                                               \
        const ath_array a = {"x", type, 1, {count}, items};                                                            \
        ath_array_to_f32(&a, f32);                                                                                     \
        ath_array_to_f64(&a, f64);                                                                                     \
        for (unsigned i = 0; i < count; i++) {                                                                         \
            check_value(ath_dtype_name(type), i, (double)f32[i], (double)(float)(items)[i]);                           \
            check_value(ath_dtype_name(type), i, f64[i], (double)(items)[i]);                                          \
        }                                                                                                              \
    } while (0)
    SAME(ATH_F32, f, 7);
    SAME(ATH_F64, d, 4);
    SAME(ATH_I64, l, 6);
    SAME(ATH_I32, n, 5);
    SAME(ATH_U8, b, 5);
    const ath_array unaligned = {"x", ATH_F64, 1, {2}, noise + 1};
    double expected[2];
    memcpy(expected, noise + 1, sizeof expected);
    ath_array_to_f64(&unaligned, f64);
    assert_memory_equal(f64, expected, sizeof expected);
}

/* ---- files of others, and hostile ones ---- */

/* A file with this header (as it is, unless `length` says otherwise) and n bytes of noise. */
static void put_tensors_as(const char *path, const char *header, uint64_t length, size_t n) {
    const size_t len = strlen(header);
    uint8_t *data = calloc(1, 8 + len + n + 1);
    for (int k = 0; k < 8; k++) data[k] = (uint8_t)(length >> (8 * k));
    memcpy(data + 8, header, len);
    for (size_t k = 0; k < n; k++) data[8 + len + k] = noise[k % sizeof noise];
    put_file(path, data, 8 + len + n);
    free(data);
}
static void put_tensors(const char *path, const char *header, size_t n) {
    put_tensors_as(path, header, strlen(header), n);
}

static void data_of_any_alignment_is_given_out_aligned(void **state) {
    (void)state;
    static const char *const header[] = {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[0,16]}}",
                                         "{\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{"
                                         "\"dtype\":\"F64\",\"shape\":[2],\"data_offsets\":[1,17]},"
                                         "\"c\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[17,21]}}"};
    for (int which = 0; which < 2; which++)
        for (int spaces = 0; spaces < 9; spaces++) {
            char padded[300];
            snprintf(padded, sizeof padded, "%s%*s", header[which], spaces, "");
            put_tensors(in_folder("a"), padded, which ? 21 : 16);
            ath_safetensors *f = open_ok(in_folder("a"));
            check_same_array(ath_safetensors_find(f, "a"), &(ath_array){"a", ATH_F64, 1, {2}, noise + which});
            if (which) {
                check_same_array(ath_safetensors_find(f, "b"), &(ath_array){"b", ATH_U8, 1, {1}, noise});
                check_same_array(ath_safetensors_find(f, "c"), &(ath_array){"c", ATH_I32, 0, {0}, noise + 17});
            }
            ath_safetensors_close(f);
        }
}

static void unusual_but_valid_headers_are_read(void **state) {
    (void)state;
    static const struct {
        const char *header;
        size_t n;
        int count;
    } good[] = {
        {"{}", 0, 0},
        {"{ \"__metadata__\" : { } }  ", 0, 0},
        {"{\"a\":{\"data_offsets\":[0,4],\"shape\":[1],\"dtype\":\"F32\",\"more\":[1,{}]}}", 4, 1},
        {"{\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_"
         "offsets\":[0,2]}}",
         4, 2},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"e\":{\"dtype\":\"F32\",\"shape\":[3,0],"
         "\"data_offsets\":[0,0]}}",
         2, 2},
        {"{\"e\":{\"dtype\":\"F32\",\"shape\":[0,9223372036854775807],\"data_offsets\":[0,0]}}", 0, 1},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        put_tensors(in_folder("a"), good[i].header, good[i].n);
        ath_safetensors *f = open_ok(in_folder("a"));
        CHECK(ath_safetensors_count(f) == good[i].count, "%s: %d arrays", good[i].header, ath_safetensors_count(f));
        float x[8];
        for (int k = 0; k < good[i].count; k++) ath_array_to_f32(ath_safetensors_at(f, k), x);
        ath_safetensors_close(f);
    }
}

static void a_header_that_lies_is_refused_with_the_reason(void **state) {
    (void)state;
#define ENTRY(dtype, shape, offsets) "{\"arr\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define PAIR(first, second)                                                                                            \
    "{\"one\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" first                                                 \
    "},\"two\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":" second "}}"
    static const struct {
        const char *header;
        size_t n; /* bytes of data */
        const char *word;
    } bad[] = {
        {"", 0, "header"},
        {" ", 0, "header"},
        {"[]", 0, "object"},
        {"7", 0, "header"},
        {"{\"a\":1", 0, "header"},
        {"{}}", 0, "header"},
        {"{} x", 0, "header"},
        {"{\"arr\":7}", 0, "arr"},
        {"{\"arr\":null}", 0, "arr"},
        {"{\"arr\":{}}", 0, "dtype"},
        {"{\"a\\u0000b\":{}}", 0, "header"},
        {"{\"\xff\":{}}", 0, "header"},
        {"{\"arr\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
        {"{\"arr\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"arr\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"arr\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "duplicate"},
        {"{\"arr\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"arr\":{\"dtype\":\"U8\",\"shape\":[1],"
         "\"data_offsets\":[0,1]}}",
         1, "duplicate"},
        {ENTRY("\"BOOL\"", "[1]", "[0,1]"), 1, "arr"},
        {ENTRY("\"F8_E4M3\"", "[1]", "[0,1]"), 1, "F8_E4M3"},
        {ENTRY("\"f32\"", "[1]", "[0,4]"), 4, "f32"},
        {ENTRY("32", "[1]", "[0,4]"), 4, "dtype"},
        {ENTRY("\"F32\"", "1", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "{}", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[1.0]", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[\"1\"]", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[-1]", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[-1,-1]", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[9223372036854775807]", "[0,4]"), 4, "shape"},
        {ENTRY("\"F32\"", "[4611686018427387904,4]", "[0,0]"), 0, "shape"}, /* 2^66 bytes: nothing, where it wraps */
        {ENTRY("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "shape"},
        {ENTRY("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), 0, "shape"},
        {ENTRY("\"F32\"", "[99999999999999999999]", "[0,4]"), 4, "header"},
        {ENTRY("\"F32\"", "[1]", "[0]"), 4, "data_offsets"},
        {ENTRY("\"F32\"", "[1]", "[0,4,8]"), 4, "data_offsets"},
        {ENTRY("\"F32\"", "[1]", "[0,4.0]"), 4, "data_offsets"},
        {ENTRY("\"F32\"", "[1]", "4"), 4, "data_offsets"},
        {ENTRY("\"F32\"", "[1]", "[0,3]"), 4, "arr"},
        {ENTRY("\"F32\"", "[1]", "[0,5]"), 4, "arr"},
        {ENTRY("\"F32\"", "[2]", "[0,8]"), 7, "arr"},
        {ENTRY("\"F32\"", "[1]", "[4,8]"), 4, "arr"},
        {ENTRY("\"F32\"", "[1]", "[-4,0]"), 4, "arr"},
        {ENTRY("\"F32\"", "[1]", "[4,0]"), 4, "arr"},
        {ENTRY("\"F32\"", "[1]", "[9223372036854775804,-9223372036854775808]"), 4, "arr"},
        {ENTRY("\"F32\"", "[1]", "[0,9223372036854775807]"), 4, "arr"},
        {ENTRY("\"F32\"", "[1]", "[1,5]"), 5, "belong to no array"},
        {ENTRY("\"F32\"", "[1]", "[0,4]"), 5, "belong to no array"},
        {"{}", 1, "belong to no array"},
        {PAIR("[0,4]", "[0,4]"), 4, "overlap"},
        {PAIR("[0,4]", "[3,7]"), 7, "overlap"},
        {PAIR("[2,6]", "[0,4]"), 6, "overlap"},
        {PAIR("[0,4]", "[5,9]"), 9, "belong to no array"},
        {PAIR("[0,4]", "[4,7]"), 8, "two"},
        {"{\"__metadata__\":[]}", 0, "__metadata__"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "\"k\""},
        {"{\"__metadata__\":{\"k\":null}}", 0, "\"k\""},
    };
    const char *path = in_folder("lie");
    ath_safetensors *f = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_tensors(path, bad[i].header, bad[i].n);
        CHECK_FAILS(ath_safetensors_open(&f, path, &err), ATH_E_FORMAT, bad[i].word);
        CHECK(strstr(err.text, path), "\"%s\" does not name the file", err.text);
        assert_null(f);
    }
    /* nesting deep enough to exhaust a stack */
    char *deep = malloc(200001);
    memset(deep, '[', 200000);
    deep[200000] = 0;
    put_tensors(path, deep, 0);
    CHECK_FAILS(ath_safetensors_open(&f, path, &err), ATH_E_FORMAT, path);
    free(deep);
}

static void a_header_length_beyond_the_file_or_the_limit_is_refused(void **state) {
    (void)state;
    static const uint64_t length[] = {3,         100000000,  100000001,  0xffffffff,    1ULL << 32,
                                      INT64_MAX, 1ULL << 63, UINT64_MAX, UINT64_MAX - 7};
    ath_safetensors *f;
    for (size_t i = 0; i < sizeof length / sizeof length[0]; i++) {
        put_tensors_as(in_folder("long"), "{}", length[i], 0);
        CHECK_FAILS(ath_safetensors_open(&f, in_folder("long"), &err), ATH_E_FORMAT, in_folder("long"));
    }
    put_tensors_as(in_folder("long"), "{}", 0, 0);
    CHECK_FAILS(ath_safetensors_open(&f, in_folder("long"), &err), ATH_E_FORMAT, in_folder("long"));
    CHECK_FAILS(ath_safetensors_open(&f, in_folder("none"), &err), ATH_E_IO, in_folder("none"));
    CHECK_FAILS(ath_safetensors_open(&f, folder, &err), ATH_E_IO, folder);
}

static void a_file_cut_short_or_lengthened_is_refused(void **state) {
    (void)state;
    CHECK_OK(ath_safetensors_save(in_folder("whole"), mixed, N_MIXED, meta, 4, &err));
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_file_read(in_folder("whole"), 1 << 20, &data, &size, &err));
    ath_safetensors *f;
    for (size_t n = 0; n <= size + 1; n++) {
        if (n == size) continue;
        put_file(in_folder("cut"), data, n); /* the byte after the last is the reader's zero */
        CHECK_FAILS(ath_safetensors_open(&f, in_folder("cut"), &err), ATH_E_FORMAT, in_folder("cut"));
    }
    free(data);
}

static void a_flipped_bit_never_leads_outside_the_data(void **state) {
    (void)state;
    CHECK_OK(ath_safetensors_save(in_folder("whole"), mixed, N_MIXED, meta, 4, &err));
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_file_read(in_folder("whole"), 1 << 20, &data, &size, &err));
    const size_t head = 8 + (size_t)header_length(data);
    int refused = 0;
    for (size_t bit = 0; bit < 8 * head; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file(in_folder("flipped"), data, size);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ath_safetensors *f;
        const ath_status status = ath_safetensors_open(&f, in_folder("flipped"), &err);
        if (status == ATH_OK) { /* another name or text; the sanitizers watch what is read */
            double sum[64];
            for (int i = 0; i < ath_safetensors_count(f); i++) {
                const ath_array *a = ath_safetensors_at(f, i);
                CHECK(ath_array_len(a) <= 64, "%s has grown to %lld", a->name, (long long)ath_array_len(a));
                ath_array_to_f64(a, sum);
            }
            ath_safetensors_close(f);
        } else {
            CHECK(status == ATH_E_FORMAT, "bit %zu: status %d", bit, (int)status);
            refused++;
        }
    }
    CHECK(refused > (int)head, "only %d of %zu flips were refused", refused, 8 * head);
    free(data);
}

static void a_file_of_the_reference_library_reads_and_writes_back(void **state) {
    (void)state;
    const char *path = ATH_SOURCE_DIR "/../shared/golden/unet/u1_8x8_lpb1/diffusion_pytorch_model.safetensors";
    if (!ath_path_exists(path)) skip();
    ath_safetensors *f = open_ok(path);
    const int n = ath_safetensors_count(f);
    CHECK(n > 10, "%d arrays", n);
    const ath_array *conv = ath_safetensors_find(f, "conv_in.weight");
    CHECK(conv && conv->n_dim == 4 && conv->dtype == ATH_F32, "conv_in.weight is missing or not of 4 dimensions");
    ath_array *all = calloc((size_t)n, sizeof *all);
    for (int i = 0; i < n; i++) all[i] = *ath_safetensors_at(f, i);
    CHECK_OK(ath_safetensors_save(in_folder("again"), all, n, NULL, 0, &err));
    ath_safetensors *g = open_ok(in_folder("again"));
    assert_int_equal(ath_safetensors_count(g), n);
    for (int i = 0; i < n; i++) check_same_array(ath_safetensors_at(g, i), &all[i]);
    free(all);
    ath_safetensors_close(f);
    ath_safetensors_close(g);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(arrays_and_text_read_back_in_the_order_given),
        TEST(a_file_has_a_padded_header_and_its_data_without_gaps),
        TEST(what_cannot_be_stored_is_refused),
        TEST(a_failed_write_leaves_the_old_file_and_nothing_else),
        TEST(every_half_and_bfloat16_converts_by_its_definition),
        TEST(the_other_dtypes_convert_as_c_converts_them),
        TEST(data_of_any_alignment_is_given_out_aligned),
        TEST(unusual_but_valid_headers_are_read),
        TEST(a_header_that_lies_is_refused_with_the_reason),
        TEST(a_header_length_beyond_the_file_or_the_limit_is_refused),
        TEST(a_file_cut_short_or_lengthened_is_refused),
        TEST(a_flipped_bit_never_leads_outside_the_data),
        TEST(a_file_of_the_reference_library_reads_and_writes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
