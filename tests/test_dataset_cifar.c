/* CIFAR-10 and CIFAR-100 binary files: planes become pixels, splits, parts, labels and names are found
 * in a folder as in a file, zipped or not, and what is damaged is refused. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include <stdbool.h>
#include "base/file.h"
#include "io/dataset.h"

enum { IMAGE = 3072 };

/* n records with `n_label` bytes of label, record i having the labels i % 10 (and then i % 100), of noise. */
static uint8_t *records(int n, int n_label) {
    const int record = n_label + IMAGE;
    uint8_t *data = malloc((size_t)(n * record));
    assert_non_null(data);
    for (int i = 0; i < n * record; i++) data[i] = noise();
    for (int i = 0; i < n; i++) {
        data[i * record] = (uint8_t)(i % 10);
        data[i * record + n_label - 1] = (uint8_t)(i % (n_label == 1 ? 10 : 100));
    }
    return data;
}

static uint8_t *put_records(const char *name, int n, int n_label) {
    uint8_t *data = records(n, n_label);
    const size_t size = (size_t)(n * (n_label + IMAGE));
    (strstr(name, ".gz") ? put_gz : put_file)(name, data, size);
    return data;
}

/* Images first..first+n of the data set are these records' pixels and labels. */
static void check_records(const ath_dataset *d, int first, const uint8_t *data, int n, int n_label, int which) {
    for (int i = 0; i < n; i++) {
        const uint8_t *record = data + i * (n_label + IMAGE), *pixel = d->pixel + (size_t)(first + i) * IMAGE;
        assert_int_equal(d->label[first + i], record[which]);
        for (int k = 0; k < 3; k++)
            for (int y = 0; y < 32; y++)
                for (int x = 0; x < 32; x++)
                    CHECK(pixel[(y * 32 + x) * 3 + k] == record[n_label + k * 1024 + y * 32 + x],
                          "image %d, channel %d at (%d,%d)", first + i, k, x, y);
    }
}

static void a_file_is_read_by_its_size_zipped_or_not(void **state) {
    (void)state;
    static const char *const name[] = {"some.bin", "some.bin.gz"};
    for (int zipped = 0; zipped < 2; zipped++)
        for (int n_label = 1; n_label <= 2; n_label++)
            for (int coarse = 0; coarse < n_label; coarse++) {
                uint8_t *data = put_records(name[zipped], 12, n_label);
                ath_dataset d = open_ok(in_folder(name[zipped]), &(ath_dataset_options){.coarse_labels = coarse});
                check_shape(&d, 12, 32, 32, 3, n_label == 1 ? 10 : coarse ? 20 : 100);
                assert_string_equal(d.format, n_label == 1 ? "CIFAR-10" : "CIFAR-100");
                check_records(&d, 0, data, 12, n_label, coarse ? 0 : n_label - 1);
                assert_string_equal(d.class_name[7], "7");
                ath_dataset_close(&d);
                free(data);
            }
}

static void a_folder_gives_its_parts_in_order_and_its_test_split(void **state) {
    (void)state;
    put_file("batches.meta.txt", "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n", 21);
    uint8_t *first = put_records("data_batch_1.bin", 3, 1), *second = put_records("data_batch_2.bin.gz", 4, 1);
    put_gz("data_batch_1.bin.gz", first, 3 * 3073); /* the same once more: not read twice */
    must_fail(folder, &(ath_dataset_options){.test_split = true}, ATH_E_FORMAT, "test_batch.bin");
    must_fail(folder, &(ath_dataset_options){.coarse_labels = true}, ATH_E_ARG, "coarse_labels");
    uint8_t *test = put_records("test_batch.bin", 2, 1);
    put_file("notes.txt", "x", 1);
    ath_dataset d = open_ok(folder, NULL);
    check_shape(&d, 7, 32, 32, 3, 10);
    check_records(&d, 0, first, 3, 1, 0);
    check_records(&d, 3, second, 4, 1, 0);
    assert_string_equal(d.class_name[9], "j");
    ath_dataset_close(&d);
    d = open_ok(folder, &(ath_dataset_options){.test_split = true});
    check_shape(&d, 2, 32, 32, 3, 10);
    check_records(&d, 0, test, 2, 1, 0);
    ath_dataset_close(&d);
    d = open_ok(folder, &(ath_dataset_options){.image_size = 16, .channels = 1});
    check_shape(&d, 7, 16, 16, 1, 10);
    ath_dataset_close(&d);
    free(first), free(second), free(test);
}

static void cifar_100_has_two_sets_of_names(void **state) {
    (void)state;
    uint8_t *train = put_records("train.bin", 5, 2), *test = put_records("test.bin", 3, 2);
    char names[100 * 4 + 1] = "";
    for (int k = 0; k < 100; k++) sprintf(names + strlen(names), "f%d\r\n", k % 10);
    put_file("fine_label_names.txt", names, strlen(names));
    put_file("coarse_label_names.txt", names, 20 * 4);
    for (int k = 0; k < 4; k++) {
        const bool coarse = k & 1, is_test = k & 2;
        ath_dataset d = open_ok(folder, &(ath_dataset_options){.coarse_labels = coarse, .test_split = is_test});
        check_shape(&d, is_test ? 3 : 5, 32, 32, 3, coarse ? 20 : 100);
        check_records(&d, 0, is_test ? test : train, d.n, 2, !coarse);
        assert_string_equal(d.class_name[19], "f9");
        ath_dataset_close(&d);
    }
    put_file("coarse_label_names.txt", names, 19 * 4);
    must_fail(folder, &(ath_dataset_options){.coarse_labels = true}, ATH_E_FORMAT, "names 19 classes, expected 20");
    put_file("coarse_label_names.txt", names, 21 * 4);
    must_fail(folder, &(ath_dataset_options){.coarse_labels = true}, ATH_E_FORMAT, "names 21 classes, expected 20");
    put_file("fine_label_names.txt", "", 0);
    must_fail(folder, NULL, ATH_E_FORMAT, "fine_label_names.txt");
    static uint8_t long_file[(1 << 16) + 1];
    put_file("fine_label_names.txt", long_file, sizeof long_file);
    must_fail(folder, NULL, ATH_E_FORMAT, "fine_label_names.txt");
    free(train), free(test);
}

static void what_is_cut_or_has_a_wrong_label_is_refused(void **state) {
    (void)state;
    static const size_t length[] = {1, 3072, 3075, 6145, 6147, 9218};
    uint8_t *data = records(3, 1);
    data[0] = 1; /* not the beginning of an IDX file */
    for (size_t i = 0; i < sizeof length / sizeof length[0]; i++) {
        put_file("data_batch_1.bin", data, length[i]);
        must_fail(in_folder("data_batch_1.bin"), NULL, ATH_E_FORMAT, in_folder("data_batch_1.bin"));
        must_fail(folder, NULL, ATH_E_FORMAT, "data_batch_1.bin: ends within a record");
    }
    put_file("data_batch_1.bin", "", 0);
    must_fail(in_folder("data_batch_1.bin"), NULL, ATH_E_FORMAT, "empty");
    must_fail(folder, NULL, ATH_E_FORMAT, "data_batch_1.bin: the file is empty");
    data[2 * 3073] = 10;
    put_file("data_batch_1.bin", data, 3 * 3073);
    must_fail(folder, NULL, ATH_E_FORMAT, "record 2 has label 10, expected 0 to 9");
    put_gz("data_batch_1.bin", data, 3 * 3073);
    uint8_t *zipped;
    size_t size;
    CHECK_OK(ath_file_read(in_folder("data_batch_1.bin"), 1 << 20, &zipped, &size, &err));
    for (size_t n = 20; n < size; n += 97) {
        put_file("data_batch_1.bin", zipped, n);
        must_fail(folder, NULL, ATH_E_FORMAT, "data_batch_1.bin");
    }
    free(zipped);
    free(data);
    data = records(2, 2);
    assert_int_equal(remove(in_folder("data_batch_1.bin")), 0);
    data[3074] = 20;
    put_file("train.bin", data, 2 * 3074);
    must_fail(folder, NULL, ATH_E_FORMAT, "record 1 has label 20, expected 0 to 19");
    data[3074] = 0, data[3075] = 100;
    put_file("train.bin", data, 2 * 3074);
    must_fail(folder, NULL, ATH_E_FORMAT, "record 1 has label 100, expected 0 to 99");
    free(data);
}

static void the_subset_of_cifar_is_what_it_is_known_to_be(void **state) {
    (void)state;
    const char *path = ATH_SOURCE_DIR "/../shared/data/cifar10-subset";
    if (!ath_path_exists(path)) skip();
    ath_dataset d = open_ok(path, &(ath_dataset_options){.test_split = true});
    check_shape(&d, 2000, 32, 32, 3, 10);
    int of[10] = {0};
    for (int i = 0; i < d.n; i++) of[d.label[i]]++;
    for (int k = 0; k < 10; k++) assert_int_equal(of[k], 200);
    assert_string_equal(d.class_name[0], "airplane");
    assert_string_equal(d.class_name[9], "truck");
    ath_dataset_close(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_is_read_by_its_size_zipped_or_not),
        TEST(a_folder_gives_its_parts_in_order_and_its_test_split),
        TEST(cifar_100_has_two_sets_of_names),
        TEST(what_is_cut_or_has_a_wrong_label_is_refused),
        TEST(the_subset_of_cifar_is_what_it_is_known_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
