/* Data sets: IDX files and folders of PNG read as they were written, sizes and channels
 * follow their rules, and no damaged or unfit file passes or harms. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include "base/file.h"
#include "io/dataset.h"
#include "io/png.h"

static ath_err err;

static const char *sub_folder(const char *name) {
    const char *path = in_folder(name);
    CHECK_OK(ath_make_dirs(path, &err));
    return path;
}

/* Not ath_file_write, which waits for the disk: there are thousands of hostile files. */
static void put_file(const char *name, const void *data, size_t size) {
    const char *path = in_folder(name);
    remove(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
static void put_gz(const char *name, const void *data, size_t size) {
    gzFile file = gzopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, (unsigned)size), (int)size);
    assert_int_equal(gzclose(file), Z_OK);
}

static unsigned noise_state = 1;
static uint8_t noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (uint8_t)(noise_state >> 24);
}

/* ---- IDX files as bytes ---- */

typedef struct bytes {
    uint8_t data[4096];
    size_t size;
} bytes;

static void put_u32(bytes *b, uint32_t v) {
    for (int k = 3; k >= 0; k--) b->data[b->size++] = (uint8_t)(v >> (8 * k));
}
/* Header and noise; dims end with 0. */
static bytes idx(uint32_t magic, uint32_t n, uint32_t h, uint32_t w, uint32_t c) {
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
static bytes idx_images(void) { return idx(0x803, 7, 5, 4, 0); }
static bytes idx_labels(uint32_t n, uint8_t most) {
    bytes b = idx(0x801, n, 0, 0, 0);
    for (uint32_t i = 0; i < n; i++) b.data[8 + i] = (uint8_t)(b.data[8 + i] % (most + 1));
    b.data[8] = most;
    return b;
}

/* Opening must fail so, say so, and leave nothing. */
static void must_fail(const char *path, ath_dataset_options *options, ath_status expected, const char *word) {
    ath_dataset d, zero = {0};
    memset(&d, 0x55, sizeof d);
    CHECK_FAILS(ath_dataset_open(&d, path, options, &err), expected, word);
    CHECK(memcmp(&d, &zero, sizeof d) == 0, "%s: the data set is not zeroed after \"%s\"", path, err.text);
    CHECK(err.code == expected, "%s: err.code is %d", path, (int)err.code);
}

static ath_dataset open_ok(const char *path, ath_dataset_options *options) {
    ath_dataset d;
    CHECK_OK(ath_dataset_open(&d, path, options, &err));
    return d;
}

static void check_shape(const ath_dataset *d, int n, int h, int w, int c, int n_class) {
    CHECK(d->n == n && d->h == h && d->w == w && d->c == c && d->n_class == n_class,
          "(%d,%d,%d,%d) of %d classes, expected (%d,%d,%d,%d) of %d", d->n, d->h, d->w, d->c, d->n_class, n, h, w, c,
          n_class);
}

static void an_idx_file_reads_back_zipped_or_not_grey_or_rgb(void **state) {
    (void)state;
    for (int k = 0; k < 4; k++) {
        const bool rgb = k & 1, zipped = k & 2;
        const bytes b = rgb ? idx(0x804, 7, 5, 4, 3) : k == 2 ? idx(0x804, 7, 5, 4, 1) : idx_images();
        const size_t header = b.data[3] == 4 ? 20 : 16;
        (zipped ? put_gz : put_file)("some.idx", b.data, b.size);
        ath_dataset d = open_ok(in_folder("some.idx"), NULL);
        check_shape(&d, 7, 5, 4, rgb ? 3 : 1, 0);
        assert_memory_equal(d.pixel, b.data + header, b.size - header);
        assert_null(d.label);
        assert_string_equal(d.format, "IDX");
        ath_dataset_close(&d);
    }
}

static void labels_are_found_beside_the_images_under_every_usual_name(void **state) {
    (void)state;
    static const char *const names[][2] = {
        {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
        {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"},
        {"train-images.idx3-ubyte", "train-labels.idx1-ubyte"},
        {"train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"},
        {"train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte"},
        {"train-images-idx4-ubyte", "train-labels-idx1-ubyte"},
        {"train-images.idx4-ubyte.gz", "train-labels.idx1-ubyte.gz"},
        {"train-images", "train-labels"},
    };
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        char sub[32], name[2][128];
        snprintf(sub, sizeof sub, "images-idx3-%zu", k); /* the folder's name must not be changed */
        sub_folder(sub);
        const bytes b[2] = {idx_images(), idx_labels(7, 4)};
        for (int j = 0; j < 2; j++) {
            snprintf(name[j], sizeof name[j], "%s/%s", sub, names[k][j]);
            (strstr(name[j], ".gz") ? put_gz : put_file)(name[j], b[j].data, b[j].size);
        }
        for (int j = 0; j < 2; j++) { /* by the file and by the folder */
            ath_dataset d = open_ok(in_folder(j ? sub : name[0]), NULL);
            check_shape(&d, 7, 5, 4, 1, 5);
            for (int i = 0; i < 7; i++) assert_int_equal(d.label[i], b[1].data[8 + i]);
            for (int i = 0; i < 5; i++) assert_int_equal(atoi(d.class_name[i]), i);
            ath_dataset_close(&d);
        }
    }
}

static void the_test_split_is_t10k_and_must_be_there(void **state) {
    (void)state;
    const bytes train = idx(0x803, 3, 2, 2, 0), test = idx(0x803, 2, 2, 2, 0);
    ath_dataset_options options = {.test_split = true};
    put_file("train-images-idx3-ubyte", train.data, train.size);
    must_fail(folder, &options, ATH_E_FORMAT, "t10k-images");
    put_file("t10k-images-idx3-ubyte", test.data, test.size);
    for (int k = 0; k < 2; k++) {
        options.test_split = k;
        ath_dataset d = open_ok(folder, &options);
        assert_int_equal(d.n, k ? 2 : 3);
        ath_dataset_close(&d);
    }
    must_fail(in_folder("train-images-idx3-ubyte"), &(ath_dataset_options){.test_split = true}, ATH_E_ARG,
              "test split");
    assert_int_equal(remove(in_folder("train-images-idx3-ubyte")), 0);
    must_fail(folder, NULL, ATH_E_FORMAT, "train-images");
}

static void an_image_becomes_floats_from_minus_one_to_one_and_its_mirror(void **state) {
    (void)state;
    bytes b = idx(0x804, 2, 8, 16, 3);
    for (size_t k = 20; k < b.size; k++) b.data[k] = (uint8_t)(k * 7);
    b.data[20] = 0, b.data[21] = 255;
    put_file("x", b.data, b.size);
    ath_dataset d = open_ok(in_folder("x"), NULL);
    static float x[8 * 16 * 3], y[8 * 16 * 3];
    for (int i = 0; i < 2; i++) {
        ath_dataset_image(&d, i, false, x);
        ath_dataset_image(&d, i, true, y);
        for (int v = 0; v < 8; v++)
            for (int u = 0; u < 16; u++)
                for (int k = 0; k < 3; k++) {
                    const float got = x[(v * 16 + u) * 3 + k], p = (float)d.pixel[((i * 8 + v) * 16 + u) * 3 + k];
                    CHECK(got == p / 127.5f - 1, "%g became %g", (double)p, (double)got);
                    assert_true(y[(v * 16 + 15 - u) * 3 + k] == got);
                }
        if (i == 0) assert_true(x[0] == -1 && x[1] == 1);
    }
    ath_dataset_close(&d);
}

/* ---- hostile IDX files ---- */

static void an_idx_file_cut_anywhere_or_too_long_is_refused(void **state) {
    (void)state;
    bytes b = idx_images();
    for (size_t n = 0; n < b.size; n++) {
        put_file("cut", b.data, n);
        must_fail(in_folder("cut"), NULL, ATH_E_FORMAT, in_folder("cut"));
    }
    put_file("long", b.data, b.size + 1);
    must_fail(in_folder("long"), NULL, ATH_E_FORMAT, in_folder("long"));
    put_gz("long", b.data, b.size + 1);
    must_fail(in_folder("long"), NULL, ATH_E_FORMAT, in_folder("long"));
    put_gz("short", b.data, b.size - 1);
    must_fail(in_folder("short"), NULL, ATH_E_FORMAT, in_folder("short"));
}

static void a_gzip_file_cut_or_damaged_anywhere_is_refused_or_reads_the_same(void **state) {
    (void)state;
    const bytes b = idx_images();
    put_gz("whole", b.data, b.size);
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_file_read(in_folder("whole"), 1 << 20, &data, &size, &err));
    for (size_t n = 0; n < size; n++) {
        put_file("cut", data, n);
        must_fail(in_folder("cut"), NULL, ATH_E_FORMAT, in_folder("cut"));
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file("flipped", data, size);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ath_dataset d;
        const ath_status status = ath_dataset_open(&d, in_folder("flipped"), NULL, &err);
        if (status == ATH_OK) { /* a bit of gzip's header, or of padding, that says nothing about the data */
            CHECK(d.n == 7 && memcmp(d.pixel, b.data + 16, b.size - 16) == 0, "bit %zu changed the images", bit);
            ath_dataset_close(&d);
        } else
            CHECK(status == ATH_E_FORMAT, "bit %zu: status %d", bit, (int)status);
    }
    free(data);
}

static void an_idx_header_with_any_bit_flipped_is_refused(void **state) {
    (void)state;
    bytes b = idx(0x804, 7, 5, 4, 3);
    for (size_t bit = 0; bit < 8 * 20; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file("flipped", b.data, b.size);
        b.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        must_fail(in_folder("flipped"), NULL, ATH_E_FORMAT, in_folder("flipped"));
    }
}

static void sizes_beyond_all_bounds_are_refused_before_they_are_believed(void **state) {
    (void)state;
    static const uint32_t dims[][4] = {
        {0xffffffff, 0xffffffff, 0xffffffff, 3},
        {0x80000000, 1, 1, 1},
        {0xffffffff, 4096, 4096, 3},
        {1, 4097, 1, 1},
        {1, 1, 4097, 1},
        {0x7fffffff, 64, 1, 1},
        {1, 0, 4, 1},
        {1, 4, 0, 1},
        {0, 4, 4, 1},
        {1, 4, 4, 2},
        {1, 4, 4, 0},
        {1, 4, 4, 4},
        {0x10000, 0x10000, 0x10000, 0x10000}, /* 2^64: nothing, where it wraps */
        {0x7fffffff, 4096, 4096, 1},
        {513, 4096, 4096, 1},
    };
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        bytes b = {.size = 0};
        put_u32(&b, 0x804);
        for (int k = 0; k < 4; k++) put_u32(&b, dims[i][k]);
        b.size += 48;
        put_file("huge", b.data, b.size);
        must_fail(in_folder("huge"), NULL, ATH_E_FORMAT, in_folder("huge"));
    }
}

static void labels_that_do_not_fit_are_refused(void **state) {
    (void)state;
    const bytes images = idx_images();
    const char *const name = "train-labels-idx1-ubyte";
    put_file("train-images-idx3-ubyte", images.data, images.size);
    bytes b = idx_labels(6, 3);
    put_file(name, b.data, b.size);
    must_fail(folder, NULL, ATH_E_FORMAT, "6 labels, expected 7");
    b = idx_labels(8, 3);
    put_file(name, b.data, b.size);
    must_fail(folder, NULL, ATH_E_FORMAT, name);
    b = idx_labels(7, 3);
    for (size_t n = 0; n < b.size; n++) {
        put_file(name, b.data, n);
        must_fail(folder, NULL, ATH_E_FORMAT, name);
    }
    put_file(name, b.data, b.size + 1);
    must_fail(folder, NULL, ATH_E_FORMAT, name);
    put_file(name, images.data, images.size);
    must_fail(folder, NULL, ATH_E_FORMAT, "(images)");
    b.data[2] = 0x0c; /* 32-bit integers */
    put_file(name, b.data, b.size);
    must_fail(folder, NULL, ATH_E_FORMAT, "0x0c");
    assert_int_equal(remove(in_folder(name)), 0);
    sub_folder(name);
    must_fail(folder, NULL, ATH_E_IO, name);
}

static void a_file_that_is_no_idx_file_of_images_is_named_for_what_it_is(void **state) {
    (void)state;
    const bytes labels = idx_labels(7, 3);
    put_file("labels", labels.data, labels.size);
    must_fail(in_folder("labels"), NULL, ATH_E_FORMAT, "(labels)");
    bytes b = idx_images();
    b.data[2] = 0x0d;
    put_file("floats", b.data, b.size);
    must_fail(in_folder("floats"), NULL, ATH_E_FORMAT, "0x0d");
    const uint8_t grey[4] = {1, 2, 3, 4};
    CHECK_OK(ath_png_save(in_folder("one.png"), grey, 2, 2, 1, NULL, 0, &err));
    must_fail(in_folder("one.png"), NULL, ATH_E_FORMAT, "single PNG");
    put_file("data_batch_1.bin", grey, 4);
    must_fail(in_folder("data_batch_1.bin"), NULL, ATH_E_FORMAT, "CIFAR");
    put_gz("data_batch_1.bin.gz", "\0\0\0\0\0\0", 6);
    must_fail(in_folder("data_batch_1.bin.gz"), NULL, ATH_E_FORMAT, "not supported yet");
    put_file("x.npy", "\x93NUMPY", 6);
    must_fail(in_folder("x.npy"), NULL, ATH_E_FORMAT, "NumPy");
    put_file("x.JPG", "\xff\xd8\xff", 3);
    must_fail(in_folder("x.JPG"), NULL, ATH_E_FORMAT, "JPEG");
    put_file("notes.txt", "hello", 5);
    must_fail(in_folder("notes.txt"), NULL, ATH_E_FORMAT, "expected an IDX file");
    put_file("empty", "", 0);
    must_fail(in_folder("empty"), NULL, ATH_E_FORMAT, "empty");
    must_fail(in_folder("none"), NULL, ATH_E_IO, in_folder("none"));
    must_fail(in_folder("none/none"), NULL, ATH_E_IO, "none/none");
    must_fail("", NULL, ATH_E_IO, "cannot open");
}

static void an_option_out_of_range_is_refused_by_name(void **state) {
    (void)state;
    const bytes b = idx_images();
    put_file("x", b.data, b.size);
    static const int bad_size[] = {-1, 4097}, bad_channels[] = {2, 4, -3};
    for (int k = 0; k < 2; k++)
        must_fail(in_folder("x"), &(ath_dataset_options){.image_size = bad_size[k]}, ATH_E_ARG, "image_size");
    for (int k = 0; k < 3; k++)
        must_fail(in_folder("x"), &(ath_dataset_options){.channels = bad_channels[k]}, ATH_E_ARG, "channels");
}

/* ---- size and channels ---- */

/* One image (h,w,c) through the reader; the caller frees by ath_dataset_close. */
static ath_dataset through(const uint8_t *pixel, int h, int w, int c, int size, int channels) {
    uint8_t *data = malloc(20 + (size_t)(h * w * c));
    bytes head = {.size = 0};
    put_u32(&head, 0x804);
    put_u32(&head, 1);
    put_u32(&head, (uint32_t)h);
    put_u32(&head, (uint32_t)w);
    put_u32(&head, (uint32_t)c);
    memcpy(data, head.data, 20);
    memcpy(data + 20, pixel, (size_t)(h * w * c));
    put_file("one", data, 20 + (size_t)(h * w * c));
    free(data);
    ath_dataset d = open_ok(in_folder("one"), &(ath_dataset_options){.image_size = size, .channels = channels});
    if (size) check_shape(&d, 1, size, size, channels ? channels : c, 0);
    return d;
}

static uint8_t image[64 * 64 * 3];
static void fill_noise(void) {
    for (size_t k = 0; k < sizeof image; k++) image[k] = noise();
}

static void shrinking_is_the_mean_over_each_pixels_area(void **state) {
    (void)state;
    static const int pairs[][2] = {{8, 4}, {9, 3}, {28, 14}, {32, 28}, {7, 5}, {64, 1}, {13, 12}};
    fill_noise();
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        for (int c = 1; c <= 3; c += 2) {
            const int side = pairs[i][0], size = pairs[i][1];
            ath_dataset d = through(image, side, side, c, size, 0);
            const double scale = (double)side / size;
            for (int v = 0; v < size; v++)
                for (int u = 0; u < size; u++)
                    for (int k = 0; k < c; k++) {
                        double sum = 0;
                        for (int y = 0; y < side; y++)
                            for (int x = 0; x < side; x++) {
                                const double dy = fmin(y + 1, (v + 1) * scale) - fmax(y, v * scale);
                                const double dx = fmin(x + 1, (u + 1) * scale) - fmax(x, u * scale);
                                if (dy > 0 && dx > 0) sum += dy * dx * image[(y * side + x) * c + k];
                            }
                        const double mean = sum / (scale * scale), got = d.pixel[(v * size + u) * c + k];
                        CHECK(fabs(got - mean) <= 0.5 + 1e-9, "%d -> %d at (%d,%d): %g, the mean is %g", side, size, v,
                              u, got, mean);
                    }
            ath_dataset_close(&d);
        }
}

static void enlarging_is_linear_between_pixel_centres(void **state) {
    (void)state;
    static const int pairs[][2] = {{4, 8}, {28, 32}, {1, 5}, {2, 3}, {7, 64}};
    fill_noise();
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const int side = pairs[i][0], size = pairs[i][1];
        ath_dataset d = through(image, side, side, 1, size, 0);
        for (int v = 0; v < size; v++)
            for (int u = 0; u < size; u++) {
                const double last = side - 1;
                const double y = fmin(fmax((v + 0.5) * side / size - 0.5, 0), last),
                             x = fmin(fmax((u + 0.5) * side / size - 0.5, 0), last);
                const int y0 = (int)y, x0 = (int)x, y1 = y0 + (y0 < side - 1), x1 = x0 + (x0 < side - 1);
                const double a = (1 - (x - x0)) * image[y0 * side + x0] + (x - x0) * image[y0 * side + x1];
                const double b = (1 - (x - x0)) * image[y1 * side + x0] + (x - x0) * image[y1 * side + x1];
                const double exact = a + (y - y0) * (b - a), got = d.pixel[v * size + u];
                CHECK(fabs(got - exact) <= 0.5 + 1e-9, "%d -> %d at (%d,%d): %g, expected %g", side, size, v, u, got,
                      exact);
            }
        ath_dataset_close(&d);
    }
}

static void a_constant_image_stays_constant_at_any_size(void **state) {
    (void)state;
    for (int value = 0; value < 256; value += 17)
        for (int size = 1; size <= 40; size += 3) {
            memset(image, value, sizeof image);
            ath_dataset d = through(image, 11, 19, 3, size, 0);
            for (int k = 0; k < size * size * 3; k++)
                CHECK(d.pixel[k] == value, "%d became %d at size %d", value, d.pixel[k], size);
            ath_dataset_close(&d);
        }
}

static void the_middle_of_an_oblong_image_is_kept(void **state) {
    (void)state;
    fill_noise();
    for (int c = 1; c <= 3; c += 2) {
        ath_dataset wide = through(image, 6, 16, c, 6, 0), tall = through(image, 16, 6, c, 6, 0);
        for (int y = 0; y < 6; y++)
            for (int k = 0; k < 6 * c; k++) {
                assert_int_equal(wide.pixel[y * 6 * c + k], image[(y * 16 + 5) * c + k]);
                assert_int_equal(tall.pixel[y * 6 * c + k], image[(y + 5) * 6 * c + k]);
            }
        ath_dataset_close(&wide);
        ath_dataset_close(&tall);
    }
}

static void grey_is_rec_601_luma_and_grey_to_rgb_and_back_is_grey(void **state) {
    (void)state;
    fill_noise();
    ath_dataset grey = through(image, 20, 30, 3, 0, 1), rgb = through(image, 20, 30, 1, 0, 3);
    check_shape(&grey, 1, 20, 30, 1, 0);
    check_shape(&rgb, 1, 20, 30, 3, 0);
    for (int k = 0; k < 600; k++) {
        const double luma = 0.299 * image[3 * k] + 0.587 * image[3 * k + 1] + 0.114 * image[3 * k + 2];
        CHECK(fabs(grey.pixel[k] - luma) <= 0.5 + 1e-9, "luma %g became %d", luma, grey.pixel[k]);
        for (int j = 0; j < 3; j++) assert_int_equal(rgb.pixel[3 * k + j], image[k]);
    }
    ath_dataset back = through(rgb.pixel, 20, 30, 3, 0, 1);
    assert_memory_equal(back.pixel, image, 600);
    ath_dataset_close(&grey);
    ath_dataset_close(&rgb);
    ath_dataset_close(&back);
}

/* ---- folders of PNG ---- */

/* An image whose bytes are all `value`. */
static void put_png(const char *name, int h, int w, int c, uint8_t value) {
    uint8_t pixel[64 * 3];
    memset(pixel, value, sizeof pixel);
    CHECK_OK(ath_png_save(in_folder(name), pixel, h, w, c, NULL, 0, &err));
}

static void class_folders_are_read_in_the_order_of_their_names(void **state) {
    (void)state;
    sub_folder("dog");
    sub_folder("Zebra"); /* strcmp: capitals first */
    sub_folder("cat");
    put_png("dog/10.png", 2, 3, 1, 5);
    put_png("dog/9.png", 2, 3, 1, 6); /* "10" < "9" */
    put_png("cat/x.PNG", 2, 3, 1, 4);
    put_png("Zebra/b.png", 2, 3, 1, 3);
    put_png("Zebra/a.png", 2, 3, 1, 2);
    put_png("Zebra/.hidden.png", 8, 8, 1, 99);
    sub_folder(".git");
    put_file(".DS_Store", "x", 1);
    put_file("labels.txt", "x", 1);
    put_file("cat/notes.txt", "x", 1);
    ath_dataset_options options = {.n_skipped = 77};
    ath_dataset d = open_ok(folder, &options);
    check_shape(&d, 5, 2, 3, 1, 3);
    static const int label[] = {0, 0, 1, 2, 2};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(d.label[i], label[i]);
        for (int k = 0; k < 6; k++) assert_int_equal(d.pixel[6 * i + k], 2 + i);
    }
    assert_string_equal(d.class_name[0], "Zebra");
    assert_string_equal(d.class_name[1], "cat");
    assert_string_equal(d.class_name[2], "dog");
    assert_string_equal(d.format, "folder of PNG");
    assert_int_equal(options.n_skipped, 0);
    ath_dataset_close(&d);
}

static void a_flat_folder_has_no_labels(void **state) {
    (void)state;
    put_png("b.png", 4, 4, 3, 2);
    put_png("a.png", 4, 4, 3, 1);
    sub_folder("raw"); /* without a picture it is no class */
    char with_slash[80];
    snprintf(with_slash, sizeof with_slash, "%s/", folder);
    for (int k = 0; k < 2; k++) {
        ath_dataset d = open_ok(k ? with_slash : folder, NULL);
        check_shape(&d, 2, 4, 4, 3, 0);
        assert_null(d.label);
        assert_null(d.class_name);
        assert_int_equal(d.pixel[0], 1);
        assert_int_equal(d.pixel[48], 2);
        ath_dataset_close(&d);
    }
    must_fail(folder, &(ath_dataset_options){.test_split = true}, ATH_E_ARG, "test split");
}

static void one_rgb_picture_among_grey_ones_makes_all_rgb(void **state) {
    (void)state;
    static const char *const name[] = {"a.png", "b.png", "c.png", "d.png"};
    for (int colour = 0; colour < 4; colour++) { /* wherever it stands */
        for (int i = 0; i < 4; i++) put_png(name[i], 3, 2, i == colour ? 3 : 1, (uint8_t)(10 * i + 1));
        for (int channels = 0; channels <= 3; channels++) {
            if (channels == 2) continue;
            ath_dataset d = open_ok(folder, &(ath_dataset_options){.channels = channels});
            check_shape(&d, 4, 3, 2, channels == 1 ? 1 : 3, 0);
            for (int i = 0; i < 4; i++)
                for (int k = 0; k < 6 * d.c; k++) assert_int_equal(d.pixel[6 * d.c * i + k], 10 * i + 1);
            ath_dataset_close(&d);
        }
    }
}

static void pictures_of_two_sizes_need_image_size(void **state) {
    (void)state;
    put_png("a.png", 8, 8, 1, 1);
    put_png("b.png", 5, 8, 1, 2);
    put_png("c.png", 3, 4, 1, 3);
    must_fail(folder, NULL, ATH_E_FORMAT, "--image-size");
    CHECK(strstr(err.text, "a.png") && strstr(err.text, "b.png"), "\"%s\" names not both files", err.text);
    ath_dataset d = open_ok(folder, &(ath_dataset_options){.image_size = 4});
    check_shape(&d, 3, 4, 4, 1, 0);
    for (int k = 0; k < 48; k++) assert_int_equal(d.pixel[k], 1 + k / 16);
    ath_dataset_close(&d);
}

static void a_damaged_picture_fails_or_is_skipped_and_counted(void **state) {
    (void)state;
    sub_folder("one");
    sub_folder("two");
    put_png("one/a.png", 4, 4, 1, 1);
    put_png("one/c.png", 4, 4, 3, 3);
    put_png("two/e.png", 4, 4, 1, 5);
    put_file("one/b.png", "not a picture", 13);
    put_file("two/d.png", "", 0);
    put_file("two/f.png", "\x89PNG\r\n\x1a\n", 8);
    must_fail(folder, NULL, ATH_E_FORMAT, "one/b.png");
    ath_dataset_options options = {.skip_broken = true};
    for (int again = 0; again < 2; again++) { /* the count starts anew */
        ath_dataset d = open_ok(folder, &options);
        check_shape(&d, 3, 4, 4, 3, 2);
        assert_int_equal(options.n_skipped, 3);
        static const int value[] = {1, 3, 5}, label[] = {0, 0, 1};
        for (int i = 0; i < 3; i++) {
            assert_int_equal(d.pixel[48 * i], value[i]);
            assert_int_equal(d.label[i], label[i]);
        }
        ath_dataset_close(&d);
    }
    /* a file that cannot be read at all is not a damaged one */
    assert_int_equal(symlink("nowhere", in_folder("one/link.png")), 0);
    must_fail(folder, &options, ATH_E_IO, "one/link.png");
    assert_int_equal(remove(in_folder("one/link.png")), 0);
    put_file("one/a.png", "x", 1);
    put_file("one/c.png", "x", 1);
    put_file("two/e.png", "x", 1);
    must_fail(folder, &options, ATH_E_FORMAT, "6 PNG files");
}

static void a_folder_that_is_no_data_set_is_refused_with_what_was_found(void **state) {
    (void)state;
    must_fail(folder, NULL, ATH_E_FORMAT, "empty");
    must_fail(folder, &(ath_dataset_options){.test_split = true}, ATH_E_ARG, "t10k-images");
    put_file(".hidden", "x", 1);
    must_fail(folder, NULL, ATH_E_FORMAT, "empty");
    sub_folder("cat");
    must_fail(folder, NULL, ATH_E_FORMAT, "cat");
    put_file("cat/0001.jpg", "x", 1);
    must_fail(folder, NULL, ATH_E_FORMAT, "JPEG");
    assert_int_equal(remove(in_folder("cat/0001.jpg")), 0);
    put_file("batches.meta.txt", "x", 1); /* the file that tells most is named, not the first */
    put_file("data_batch_1.bin.gz", "x", 1);
    must_fail(folder, NULL, ATH_E_FORMAT, "CIFAR");
    assert_int_equal(remove(in_folder("data_batch_1.bin.gz")), 0);
    assert_int_equal(remove(in_folder("batches.meta.txt")), 0);
    put_file("notes.txt", "x", 1);
    must_fail(folder, NULL, ATH_E_FORMAT, "notes.txt");
    put_png("cat/a.png", 2, 2, 1, 1);
    sub_folder("dog");
    must_fail(folder, NULL, ATH_E_FORMAT, "dog");
    put_png("direct.png", 2, 2, 1, 1);
    must_fail(folder, NULL, ATH_E_FORMAT, "beside");
    CHECK(strstr(err.text, "direct.png") && strstr(err.text, folder), "\"%s\" names not both", err.text);
}

/* ---- real data ---- */

static void mnist_is_what_it_is_known_to_be(void **state) {
    (void)state;
    const char *path = ATH_SOURCE_DIR "/../shared/data/mnist";
    if (!ath_path_exists(path)) skip();
    static const int first[2][5] = {{5, 0, 4, 1, 9}, {7, 2, 1, 0, 4}};
    for (int test = 0; test < 2; test++) {
        ath_dataset d = open_ok(path, &(ath_dataset_options){.test_split = test});
        check_shape(&d, test ? 10000 : 60000, 28, 28, 1, 10);
        for (int i = 0; i < 5; i++) assert_int_equal(d.label[i], first[test][i]);
        ath_dataset_close(&d);
    }
    ath_dataset_options options = {.image_size = 32, .channels = 3, .test_split = true};
    ath_dataset d = open_ok(path, &options);
    check_shape(&d, 10000, 32, 32, 3, 10);
    ath_dataset_close(&d);
    must_fail(ATH_SOURCE_DIR "/../shared/data/mnist/t10k-labels-idx1-ubyte.gz", NULL, ATH_E_FORMAT, "(labels)");
}

static void the_sample_of_cifar_has_ten_classes_of_a_hundred(void **state) {
    (void)state;
    const char *path = ATH_SOURCE_DIR "/../shared/data/cifar10-png-sample";
    if (!ath_path_exists(path)) skip();
    ath_dataset d = open_ok(path, NULL);
    check_shape(&d, 1000, 32, 32, 3, 10);
    for (int i = 0; i < d.n; i++) assert_int_equal(d.label[i], i / 100);
    for (int k = 1; k < 10; k++) assert_true(strcmp(d.class_name[k - 1], d.class_name[k]) < 0);
    assert_string_equal(d.class_name[9], "truck");
    ath_dataset_close(&d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_idx_file_reads_back_zipped_or_not_grey_or_rgb),
        TEST(labels_are_found_beside_the_images_under_every_usual_name),
        TEST(the_test_split_is_t10k_and_must_be_there),
        TEST(an_image_becomes_floats_from_minus_one_to_one_and_its_mirror),
        TEST(an_idx_file_cut_anywhere_or_too_long_is_refused),
        TEST(a_gzip_file_cut_or_damaged_anywhere_is_refused_or_reads_the_same),
        TEST(an_idx_header_with_any_bit_flipped_is_refused),
        TEST(sizes_beyond_all_bounds_are_refused_before_they_are_believed),
        TEST(labels_that_do_not_fit_are_refused),
        TEST(a_file_that_is_no_idx_file_of_images_is_named_for_what_it_is),
        TEST(an_option_out_of_range_is_refused_by_name),
        TEST(shrinking_is_the_mean_over_each_pixels_area),
        TEST(enlarging_is_linear_between_pixel_centres),
        TEST(a_constant_image_stays_constant_at_any_size),
        TEST(the_middle_of_an_oblong_image_is_kept),
        TEST(grey_is_rec_601_luma_and_grey_to_rgb_and_back_is_grey),
        TEST(class_folders_are_read_in_the_order_of_their_names),
        TEST(a_flat_folder_has_no_labels),
        TEST(one_rgb_picture_among_grey_ones_makes_all_rgb),
        TEST(pictures_of_two_sizes_need_image_size),
        TEST(a_damaged_picture_fails_or_is_skipped_and_counted),
        TEST(a_folder_that_is_no_data_set_is_refused_with_what_was_found),
        TEST(mnist_is_what_it_is_known_to_be),
        TEST(the_sample_of_cifar_has_ten_classes_of_a_hundred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
