/* Files for the tests of data sets, in a folder that each test has for its own: bytes, zipped
 * or not, as a file; IDX files of noise; and a data set opened, its shape checked, or refused.
 * Needs _XOPEN_SOURCE 700. */
#ifndef ATH_TESTS_DATASET_FILES_H
#define ATH_TESTS_DATASET_FILES_H
#include <stdbool.h>
#include <zlib.h>
#include "check.h"
#include "temp_folder.h"
#include "base/file.h"
#include "io/dataset.h"

static ath_err err;

static inline const char *sub_folder(const char *name) {
    const char *path = in_folder(name);
    CHECK_OK(ath_make_dirs(path, &err));
    return path;
}

/* Not ath_file_write, which waits for the disk: there are thousands of hostile files. */
static inline void put_file(const char *name, const void *data, size_t size) {
    const char *path = in_folder(name);
    remove(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
static inline void put_gz(const char *name, const void *data, size_t size) {
    gzFile file = gzopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

static unsigned noise_state = 1;
static inline uint8_t noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (uint8_t)(noise_state >> 24);
}

/* ---- IDX files as bytes ---- */

typedef struct bytes {
    uint8_t data[4096];
    size_t size;
} bytes;

static inline void put_u32(bytes *b, uint32_t v) {
    for (int k = 3; k >= 0; k--) b->data[b->size++] = (uint8_t)(v >> (8 * k));
}
/* Header and noise; dims end with 0. */
static inline bytes idx(uint32_t magic, uint32_t n, uint32_t h, uint32_t w, uint32_t c) {
    bytes b = {.size = 0};
    put_u32(&b, magic);
    put_u32(&b, n);
    if (h) put_u32(&b, h);
    if (w) put_u32(&b, w);
    if (c) put_u32(&b, c);
    const uint32_t len = n * (h ? h : 1) * (w ? w : 1) * (c ? c : 1);
    for (uint32_t k = 0; k < len; k++) b.data[b.size++] = noise();
    return b;
}
static inline bytes idx_images(void) { return idx(0x803, 7, 5, 4, 0); }
static inline bytes idx_labels(uint32_t n, uint8_t most) {
    bytes b = idx(0x801, n, 0, 0, 0);
    for (uint32_t i = 0; i < n; i++) b.data[8 + i] = (uint8_t)(b.data[8 + i] % (most + 1));
    b.data[8] = most;
    return b;
}

/* ---- opening ---- */

/* Opening must fail so, say so, and leave nothing. */
static inline void must_fail(const char *path, const ath_dataset_options *options, ath_status expected,
                             const char *word) {
    ath_dataset d, zero = {0};
    memset(&d, 0x55, sizeof d);
    CHECK_FAILS(ath_dataset_open(&d, path, options, &err), expected, word);
    CHECK(memcmp(&d, &zero, sizeof d) == 0, "%s: the data set is not zeroed after \"%s\"", path, err.text);
    CHECK(err.code == expected, "%s: err.code is %d", path, (int)err.code);
}

static inline ath_dataset open_ok(const char *path, const ath_dataset_options *options) {
    ath_dataset d;
    CHECK_OK(ath_dataset_open(&d, path, options, &err));
    return d;
}

static inline void check_shape(const ath_dataset *d, int n, int h, int w, int c, int n_class) {
    CHECK(d->n == n && d->h == h && d->w == w && d->c == c && d->n_class == n_class,
          "(%d,%d,%d,%d) of %d classes, expected (%d,%d,%d,%d) of %d", d->n, d->h, d->w, d->c, d->n_class, n, h, w, c,
          n_class);
}

/* A test in a folder of its own. */
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

#endif
