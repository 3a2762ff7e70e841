/* NumPy files: arrays of images as numpy.save writes them and archives of them with labels of any
 * integers read as they are, and headers, shapes and archives that are not what is read are refused. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include <stdbool.h>
#include <zip.h>
#include "base/file.h"
#include "io/dataset.h"

/* An array: the header of this version around the dict, padded as numpy pads it, and n bytes. */
static bytes npy(int version, const char *dict, const void *items, size_t n) {
    bytes b = {.size = 0};
    const size_t start = version == 1 ? 10 : 12, len = (start + strlen(dict) + 1 + 63) / 64 * 64 - start;
    memcpy(b.data, "\x93NUMPY", 6);
    b.data[6] = (uint8_t)version;
    b.data[8] = (uint8_t)len, b.data[9] = (uint8_t)(len >> 8);
    memset(b.data + start, ' ', len - 1);
    memcpy(b.data + start, dict, strlen(dict));
    b.data[start + len - 1] = '\n';
    b.size = start + len;
    memcpy(b.data + b.size, items, n);
    b.size += n;
    return b;
}

static const char grey_dict[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4), }";
static uint8_t item[7 * 5 * 4 * 3];
static void fill_items(void) {
    for (size_t k = 0; k < sizeof item; k++) item[k] = noise();
}
static bytes grey_images(void) { return npy(1, grey_dict, item, 140); }

static void an_array_of_images_reads_back_in_every_version(void **state) {
    (void)state;
    fill_items();
    for (int version = 1; version <= 3; version++)
        for (int zipped = 0; zipped < 2; zipped++) {
            const bytes b = npy(version, grey_dict, item, 140);
            (zipped ? put_gz : put_file)("x.npy", b.data, b.size);
            ath_dataset d = open_ok(in_folder("x.npy"), NULL);
            check_shape(&d, 7, 5, 4, 1, 0);
            assert_memory_equal(d.pixel, item, 140);
            assert_null(d.label);
            assert_string_equal(d.format, "NumPy .npy");
            ath_dataset_close(&d);
        }
    static const char *const rgb[] = {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4, 3), }",
                                      "{\"shape\":(7,5,4,3),\"descr\":\"|u1\",\"fortran_order\":False}",
                                      "{ 'fortran_order' : False , 'descr':'|u1', 'shape': ( 7 , 5 , 4 , 3 , ) , } "};
    for (int k = 0; k < 3; k++) {
        const bytes b = npy(1, rgb[k], item, 420);
        put_file("x.npy", b.data, b.size);
        ath_dataset d = open_ok(in_folder("x.npy"), NULL);
        check_shape(&d, 7, 5, 4, 3, 0);
        assert_memory_equal(d.pixel, item, 420);
        ath_dataset_close(&d);
        d = open_ok(in_folder("x.npy"), &(ath_dataset_options){.image_size = 8, .channels = 1});
        check_shape(&d, 7, 8, 8, 1, 0);
        ath_dataset_close(&d);
    }
    must_fail(in_folder("x.npy"), &(ath_dataset_options){.test_split = true}, ATH_E_ARG, "test split");
    must_fail(folder, NULL, ATH_E_FORMAT, "x.npy: give that file itself");
}

/* ---- archives ---- */

/* Adds members to an archive (`first`: a new one), deflated or stored. */
static void put_member(const char *archive, bool first, const char *name, bytes b, bool deflated) {
    int code;
    zip_t *zip = zip_open(in_folder(archive), ZIP_CREATE | (first ? ZIP_TRUNCATE : 0), &code);
    assert_non_null(zip);
    const zip_int64_t at = zip_file_add(zip, name, zip_source_buffer(zip, b.data, b.size, 0), ZIP_FL_OVERWRITE);
    assert_true(at >= 0);
    assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)at, deflated ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0), 0);
    assert_int_equal(zip_close(zip), 0);
}

static const int label_value[7] = {3, 0, 1, 3, 2, 0, 1};

static bytes labels_of(const char *descr, const char *shape) {
    char dict[128];
    snprintf(dict, sizeof dict, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    const size_t n = (size_t)(descr[2] - '0');
    uint8_t data[7 * 8] = {0};
    for (size_t i = 0; i < 7; i++) data[i * n + (descr[0] == '>' ? n - 1 : 0)] = (uint8_t)label_value[i];
    return npy(1, dict, data, 7 * n);
}

static void an_archive_has_images_and_labels_of_any_integers(void **state) {
    (void)state;
    static const char *const key[][2] = {{"arr_0.npy", "arr_1.npy"},     {"images.npy", "labels.npy"},
                                         {"x_train.npy", "y_train.npy"}, {"train_images.npy", "train_labels.npy"},
                                         {"x_test.npy", "y_test.npy"},   {"test_images.npy", "test_labels.npy"}};
    static const char *const descr[] = {"|u1", "|i1", "<i2", "<u2", ">i2", "<i4", "<u4", ">u4", "<i8", "<u8", ">i8"};
    fill_items();
    for (int k = 0; k < 6; k++)
        for (int t = 0; t < 11; t++) {
            const bool deflated = t % 2;
            put_member("x.npz", true, key[k][0], grey_images(), deflated);
            put_member("x.npz", false, key[k][1], labels_of(descr[t], t % 3 ? "(7,)" : "(7, 1)"), !deflated);
            ath_dataset d = open_ok(in_folder("x.npz"), &(ath_dataset_options){.test_split = k >= 4});
            check_shape(&d, 7, 5, 4, 1, 4);
            assert_memory_equal(d.pixel, item, 140);
            for (int i = 0; i < 7; i++) assert_int_equal(d.label[i], label_value[i]);
            assert_string_equal(d.class_name[3], "3");
            assert_string_equal(d.format, "NumPy .npz");
            ath_dataset_close(&d);
            must_fail(in_folder("x.npz"), &(ath_dataset_options){.test_split = k < 4}, ATH_E_FORMAT, "holds no array");
        }
    put_member("x.npz", true, "arr_0.npy", grey_images(), true);
    ath_dataset d = open_ok(in_folder("x.npz"), NULL);
    check_shape(&d, 7, 5, 4, 1, 0);
    ath_dataset_close(&d);
}

/* ---- labels beside an array ---- */

static void labels_are_found_beside_an_array_under_every_usual_name(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"x.npy", "x_labels.npy"},
                                           {"digits.npy", "digits_labels.npy"},
                                           {"images.npy", "labels.npy"},
                                           {"my-images-1.npy", "my-labels-1.npy"},
                                           {"x_train.npy", "y_train.npy"},
                                           {"X_test.npy", "y_test.npy"},
                                           {"X.npy", "y.npy"},
                                           {"digits.npy", "labels.npy"},
                                           {"digits.NPY", "labels.npy"},
                                           {"digits.npy.gz", "digits_labels.npy.gz"},
                                           {"images.npy", "images_labels.npy"}};
    fill_items();
    for (size_t k = 0; k < sizeof pairs / sizeof *pairs; k++) {
        const bytes images = grey_images(), labels = labels_of("<i8", "(7,)");
        put_file(pairs[k][0], images.data, images.size);
        ath_dataset d = open_ok(in_folder(pairs[k][0]), NULL);
        check_shape(&d, 7, 5, 4, 1, 0);
        ath_dataset_close(&d);
        put_file(pairs[k][1], labels.data, labels.size);
        d = open_ok(in_folder(pairs[k][0]), &(ath_dataset_options){.image_size = 3});
        check_shape(&d, 7, 3, 3, 1, 4);
        for (int i = 0; i < 7; i++) assert_int_equal(d.label[i], label_value[i]);
        assert_string_equal(d.class_name[3], "3");
        ath_dataset_close(&d);
        assert_int_equal(remove(in_folder(pairs[k][0])), 0);
        assert_int_equal(remove(in_folder(pairs[k][1])), 0);
    }
}

static void the_nearest_name_is_the_labels_and_must_fit(void **state) {
    (void)state;
    fill_items();
    const bytes images = grey_images(), labels = labels_of("<i8", "(7,)"), few = labels_of("<i8", "(6,)");
    put_file("images.npy", images.data, images.size);
    put_file("labels.npy", few.data, few.size);
    must_fail(in_folder("images.npy"), NULL, ATH_E_FORMAT, "labels.npy: expected 7 labels");
    put_file("images_labels.npy", labels.data, labels.size);
    ath_dataset d = open_ok(in_folder("images.npy"), NULL);
    check_shape(&d, 7, 5, 4, 1, 4);
    ath_dataset_close(&d);
    put_file("images_labels.npy", "x", 1);
    must_fail(in_folder("images.npy"), NULL, ATH_E_FORMAT, "images_labels.npy: ends within");
    put_file("labels.npy", images.data, images.size); /* itself is not its labels */
    d = open_ok(in_folder("labels.npy"), NULL);
    check_shape(&d, 7, 5, 4, 1, 0);
    ath_dataset_close(&d);
}

/* ---- hostile files ---- */

static void labels_that_do_not_fit_are_refused(void **state) {
    (void)state;
    fill_items();
    put_member("x.npz", true, "arr_0.npy", grey_images(), true);
    static const char *const bad[][2] = {{"<f4", "(7,)"},    {"|b1", "(7,)"}, {"<i4", "(8,)"},
                                         {"<i4", "(6,)"},    {"<i4", "()"},   {"<i4", "(7,2)"},
                                         {"<i4", "(7,1,1)"}, {"<i3", "(7,)"}, {"<u8", "(1,7)"}};
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        put_member("x.npz", false, "arr_1.npy", labels_of(bad[k][0], bad[k][1]), false);
        must_fail(in_folder("x.npz"), NULL, ATH_E_FORMAT, "arr_1.npy: ");
    }
    static const uint8_t value[][8] = {{255, 255, 255, 255, 255, 255, 255, 255}, /* -1 */
                                       {0, 0, 1},                                /* 65536 */
                                       {0, 0, 0, 0, 1},
                                       {0, 0, 0, 0, 0, 0, 0, 128}};
    for (int k = 0; k < 8; k++) {
        uint8_t data[56] = {0};
        memcpy(data + 16, value[k % 4], 8);
        char dict[80];
        snprintf(dict, sizeof dict, "{'descr': '<%c8', 'fortran_order': False, 'shape': (7,), }", k < 4 ? 'i' : 'u');
        put_member("x.npz", false, "arr_1.npy", npy(1, dict, data, 56), false);
        must_fail(in_folder("x.npz"), NULL, ATH_E_FORMAT, "label 2 is out of range");
    }
}

static void an_array_cut_anywhere_or_too_long_is_refused(void **state) {
    (void)state;
    fill_items();
    bytes b = grey_images();
    for (size_t n = 0; n < b.size; n++) {
        put_file("cut.npy", b.data, n);
        must_fail(in_folder("cut.npy"), NULL, ATH_E_FORMAT, in_folder("cut.npy"));
        if (n == 0) continue;
        bytes cut = b;
        cut.size = n;
        if (n % 5 == 0) put_member("cut.npz", true, "images.npy", cut, n % 2);
        if (n % 5 == 0) must_fail(in_folder("cut.npz"), NULL, ATH_E_FORMAT, "images.npy: ");
    }
    b.size++;
    put_file("long.npy", b.data, b.size);
    must_fail(in_folder("long.npy"), NULL, ATH_E_FORMAT, in_folder("long.npy"));
    put_member("long.npz", true, "images.npy", b, true);
    must_fail(in_folder("long.npz"), NULL, ATH_E_FORMAT, "images.npy: has at least");
}

static void a_header_with_any_bit_flipped_is_refused_or_reads_the_same(void **state) {
    (void)state;
    fill_items();
    bytes b = grey_images();
    for (size_t bit = 0; bit < 8 * (b.size - 140); bit++) {
        bytes f = b;
        f.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file("flipped.npy", f.data, f.size);
        ath_dataset d;
        const ath_status status = ath_dataset_open(&d, in_folder("flipped.npy"), NULL, &err);
        if (status == ATH_OK) { /* one blank for another, or for a comma */
            CHECK(d.n == 7 && memcmp(d.pixel, item, 140) == 0, "bit %zu changed the images", bit);
            ath_dataset_close(&d);
        } else
            CHECK(status == ATH_E_FORMAT, "bit %zu: status %d", bit, (int)status);
    }
}

static void a_header_that_is_not_what_is_read_is_refused_by_what_is_wrong(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"", "expected a dict"},
        {"[]", "expected a dict"},
        {"{", "expected a key"},
        {"{}", "each once"},
        {"{'descr': '|u1', 'shape': (7, 5, 4)}", "each once"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4), 'more': 1}", "each once"},
        {"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4)}", "each once"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4), 'shape': (7, 5, 4)}", "each once"},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (7, 5, 4), }", "ascontiguousarray"},
        {"{'descr': '|u1', 'fortran_order': 0, 'shape': (7, 5, 4), }", "True or False"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (7, 5, 4), }", "type f4"},
        {"{'descr': '|i1', 'fortran_order': False, 'shape': (7, 5, 4), }", "type i1"},
        {"{'descr': '<u2', 'fortran_order': False, 'shape': (7, 5, 4), }", "type u2"},
        {"{'descr': [('a', '|u1')], 'fortran_order': False, 'shape': (7, 5, 4), }", "plain type"},
        {"{'descr': '|u', 'fortran_order': False, 'shape': (7, 5, 4), }", "plain type"},
        {"{'descr': '|O8', 'fortran_order': False, 'shape': (7, 5, 4), }", "plain type"},
        {"{'descr': '<U10', 'fortran_order': False, 'shape': (7, 5, 4), }", "plain type"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4) 'x'}", "expected ','"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4)} import os", "nothing after"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': [7, 5, 4]}", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7)}", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, -5, 4)}", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5.0, 4)}", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4, 1, 1)}", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 4", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (18446744073709551617, 5, 4)}", "tuple"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (140,)}", "1 dimensions"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': ()}", "0 dimensions"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 5, 4)}", "no images"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 0, 4)}", "0 pixels"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 4097, 1)}", "4097 pixels"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (7, 5, 2, 2)}", "2 channels"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 3, 5, 4)}", "channels seem to come first"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999999999, 4096, 4096, 3)}", "2^33"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2147483647, 4096, 4096, 3)}", "2^33"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (512, 4096, 4096, 1)}", "promises 8589934"},
        {"{'desc", "expected a key"},
        {"{'descr\\'': '|u1'}", "expected a key"},
        {"{'a key that is far too long': '|u1'}", "expected a key"},
    };
    fill_items();
    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        const bytes b = npy(1, bad[k][0], item, 140);
        put_file("bad.npy", b.data, b.size);
        must_fail(in_folder("bad.npy"), NULL, ATH_E_FORMAT, bad[k][1]);
        CHECK(strstr(err.text, "bad.npy"), "\"%s\" does not name the file", err.text);
        put_member("bad.npz", true, "arr_0.npy", b, k % 2);
        must_fail(in_folder("bad.npz"), NULL, ATH_E_FORMAT, bad[k][1]);
        CHECK(strstr(err.text, "bad.npz: arr_0.npy"), "\"%s\" does not name the member", err.text);
    }
    for (int version = 0; version < 256; version += 4) {
        const bytes b = npy(version == 0 ? 0 : version, grey_dict, item, 140);
        put_file("bad.npy", b.data, b.size);
        must_fail(in_folder("bad.npy"), NULL, ATH_E_FORMAT, "version");
    }
    bytes b = npy(2, grey_dict, item, 140);
    b.data[11] = 0x80; /* a header of 2^31 bytes */
    put_file("bad.npy", b.data, b.size);
    must_fail(in_folder("bad.npy"), NULL, ATH_E_FORMAT, "at most 65535");
}

static void an_archive_cut_or_damaged_anywhere_does_no_harm(void **state) {
    (void)state;
    fill_items();
    put_member("good.npz", true, "arr_0.npy", grey_images(), true);
    put_member("good.npz", false, "arr_1.npy", labels_of("<i8", "(7,)"), false);
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_file_read(in_folder("good.npz"), 1 << 20, &data, &size, &err));
    for (size_t n = 0; n < size; n++) {
        put_file("cut.npz", data, n);
        must_fail(in_folder("cut.npz"), NULL, ATH_E_FORMAT, in_folder("cut.npz"));
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        put_file("flipped.npz", data, size);
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        ath_dataset d;
        const ath_status status = ath_dataset_open(&d, in_folder("flipped.npz"), NULL, &err);
        if (status == ATH_OK) { /* dates, versions, and names of labels: the images have a checksum */
            CHECK(d.n == 7 && memcmp(d.pixel, item, 140) == 0, "bit %zu changed the images", bit);
            ath_dataset_close(&d);
        } else
            CHECK(status == ATH_E_FORMAT, "bit %zu: status %d: %s", bit, (int)status, err.text);
    }
    free(data);
}

static void an_archive_without_known_arrays_is_refused_with_what_it_has(void **state) {
    (void)state;
    fill_items();
    put_member("x.zip", true, "photos.npy", grey_images(), true);
    must_fail(in_folder("x.zip"), NULL, ATH_E_FORMAT,
              "holds no array arr_0, images, x_train or train_images but photos.npy");
    must_fail(in_folder("x.zip"), &(ath_dataset_options){.test_split = true}, ATH_E_FORMAT, "x_test");
    const uint8_t empty[22] = {'P', 'K', 5, 6};
    put_file("empty.npz", empty, sizeof empty);
    must_fail(in_folder("empty.npz"), NULL, ATH_E_FORMAT, "holds no array");
    put_member("x.npz", true, "arr_0.npy", labels_of("<i8", "(7,)"), true);
    must_fail(in_folder("x.npz"), NULL, ATH_E_FORMAT, "type i8, expected images");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_array_of_images_reads_back_in_every_version),
        TEST(an_archive_has_images_and_labels_of_any_integers),
        TEST(labels_are_found_beside_an_array_under_every_usual_name),
        TEST(the_nearest_name_is_the_labels_and_must_fit),
        TEST(labels_that_do_not_fit_are_refused),
        TEST(an_array_cut_anywhere_or_too_long_is_refused),
        TEST(a_header_with_any_bit_flipped_is_refused_or_reads_the_same),
        TEST(a_header_that_is_not_what_is_read_is_refused_by_what_is_wrong),
        TEST(an_archive_cut_or_damaged_anywhere_does_no_harm),
        TEST(an_archive_without_known_arrays_is_refused_with_what_it_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
