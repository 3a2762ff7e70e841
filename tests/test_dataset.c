/* Data sets: IDX files read as they were written, zipped or not, with their labels, and no
 * damaged or unfit one passes or harms. Sizes, channels, folders of PNG: test_dataset_folder.c. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include <stdbool.h>
#include "base/file.h"
#include "io/dataset.h"
#include "io/png.h"

/* ---- IDX files ---- */

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
    put_file("x.npy", "\x93NUMPY", 6);
    must_fail(in_folder("x.npy"), NULL, ATH_E_FORMAT, "ends within the .npy header");
    put_file("x.JPG", "\xff\xd8\xff", 3);
    must_fail(in_folder("x.JPG"), NULL, ATH_E_FORMAT, "single JPEG");
    put_file("notes.txt", "hello", 5);
    must_fail(in_folder("notes.txt"), NULL, ATH_E_FORMAT, "expected an IDX");
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
