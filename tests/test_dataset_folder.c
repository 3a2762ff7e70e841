/* Data sets: sizes and channels follow their rules, folders of PNG read as they were written
 * or are refused for what they are, and the real data, where they are there, are what they are
 * known to be. IDX files: test_dataset.c. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "dataset_files.h"
#include <stdbool.h>
#include <unistd.h>
#include "base/file.h"
#include "io/dataset.h"
#include "io/png.h"

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
    ath_dataset d = open_ok(folder, NULL);
    check_shape(&d, 5, 2, 3, 1, 3);
    static const int label[] = {0, 0, 1, 2, 2};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(d.label[i], label[i]);
        for (int k = 0; k < 6; k++) assert_int_equal(d.pixel[6 * i + k], 2 + i);
    }
    assert_string_equal(d.class_name[0], "Zebra");
    assert_string_equal(d.class_name[1], "cat");
    assert_string_equal(d.class_name[2], "dog");
    assert_string_equal(d.format, "folder of pictures");
    assert_int_equal(d.n_skipped, 0);
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

static void a_class_has_all_pictures_below_its_folder(void **state) {
    (void)state;
    sub_folder("cat/2024/may");
    sub_folder("cat/empty/.git");
    sub_folder("dog/a");
    put_png("cat/z.png", 2, 2, 1, 1);
    put_png("cat/2024/x.png", 2, 2, 1, 2);
    put_png("cat/2024/may/a.png", 2, 2, 1, 3);
    put_png("cat/empty/.git/a.png", 2, 2, 1, 99);
    put_png("dog/a/b.png", 2, 2, 1, 4);
    ath_dataset d = open_ok(folder, NULL);
    check_shape(&d, 4, 2, 2, 1, 2);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(d.pixel[4 * i], i + 1); /* a folder's own pictures, then those below it */
        assert_int_equal(d.label[i], i == 3);
    }
    assert_string_equal(d.class_name[1], "dog");
    ath_dataset_close(&d);
}

static void links_in_a_circle_end(void **state) {
    (void)state;
    sub_folder("cat/in");
    sub_folder("dog");
    put_png("cat/in/a.png", 2, 2, 1, 1);
    put_png("dog/b.png", 2, 2, 1, 2);
    assert_int_equal(symlink("..", in_folder("cat/in/up")), 0);
    assert_int_equal(symlink("../..", in_folder("cat/in/top")), 0);
    assert_int_equal(symlink(".", in_folder("all")), 0);      /* the folder itself: no class */
    assert_int_equal(symlink("loop", in_folder("loop")), 0);  /* leads nowhere */
    assert_int_equal(symlink("cat", in_folder("kitten")), 0); /* the same pictures, as a class of its own */
    ath_dataset d = open_ok(folder, NULL);
    check_shape(&d, 3, 2, 2, 1, 3);
    static const int value[] = {1, 2, 1};
    for (int i = 0; i < 3; i++) assert_int_equal(d.pixel[4 * i], value[i]);
    assert_string_equal(d.class_name[2], "kitten");
    ath_dataset_close(&d);
    /* folders that all lead to each other: as many ways as there are orders of twelve */
    for (int i = 0; i < 12; i++) {
        char name[32], link[64], to[32];
        snprintf(name, sizeof name, "dog/%c", 'a' + i);
        sub_folder(name);
        for (int j = 0; j < 12; j++) {
            snprintf(link, sizeof link, "%s/%c", name, 'a' + j);
            snprintf(to, sizeof to, "../%c", 'a' + j);
            assert_int_equal(symlink(to, in_folder(link)), 0);
        }
    }
    d = open_ok(folder, NULL);
    check_shape(&d, 3, 2, 2, 1, 3);
    ath_dataset_close(&d);
}

/* As when a mixture names "/" for its data set: an error after a moment, not the whole disk. */
static void more_folders_than_a_data_set_has_are_refused(void **state) {
    (void)state;
    enum { N = 320 }; /* classes, each a link to the same folder of as many */
    sub_folder("one");
    put_png("one/a.png", 2, 2, 1, 1);
    char name[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "one/%d", i);
        sub_folder(name);
        snprintf(name, sizeof name, "link%d", i);
        assert_int_equal(symlink("one", in_folder(name)), 0);
    }
    ath_dataset d;
    CHECK_FAILS(ath_dataset_open(&d, folder, NULL, &err), ATH_E_FORMAT, "more than 100000 folders");
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
        assert_int_equal(d.n_skipped, 3);
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
    must_fail(folder, &options, ATH_E_FORMAT, "6 pictures");
}

static void the_number_of_threads_changes_nothing(void **state) {
    (void)state;
    sub_folder("a");
    sub_folder("b");
    for (int i = 0; i < 50; i++) {
        char name[32];
        snprintf(name, sizeof name, "%c/%02d.png", i < 30 ? 'a' : 'b', i);
        if (i % 7 == 3)
            put_file(name, "broken", 6);
        else
            put_png(name, 2 + i % 5, 3 + i % 4, i % 11 == 9 ? 3 : 1, (uint8_t)(5 * i));
    }
    ath_dataset first = {0};
    for (int threads = 1; threads <= 5; threads += 2) {
        ath_dataset_options options = {.image_size = 6, .skip_broken = true, .threads = threads};
        ath_dataset d = open_ok(folder, &options);
        assert_int_equal(d.n_skipped, 7);
        check_shape(&d, 43, 6, 6, 3, 2);
        if (threads == 1) {
            first = d;
            for (int i = 0, file = 0; i < 43; i++, file++) {
                file += file % 7 == 3;
                assert_int_equal(d.pixel[i * 108], 5 * file);
                assert_int_equal(d.label[i], file >= 30);
            }
            continue;
        }
        assert_memory_equal(d.pixel, first.pixel, 43 * 108);
        assert_memory_equal(d.label, first.label, 43 * sizeof *d.label);
        ath_dataset_close(&d);
    }
    ath_dataset_close(&first);
    must_fail(folder, &(ath_dataset_options){.image_size = 6, .threads = 3}, ATH_E_FORMAT, "a/03.png");
}

static void a_folder_that_is_no_data_set_is_refused_with_what_was_found(void **state) {
    (void)state;
    must_fail(folder, NULL, ATH_E_FORMAT, "empty");
    must_fail(folder, &(ath_dataset_options){.test_split = true}, ATH_E_ARG, "t10k-images");
    put_file(".hidden", "x", 1);
    must_fail(folder, NULL, ATH_E_FORMAT, "empty");
    sub_folder("cat");
    must_fail(folder, NULL, ATH_E_FORMAT, "cat");
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

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(shrinking_is_the_mean_over_each_pixels_area),
        TEST(enlarging_is_linear_between_pixel_centres),
        TEST(a_constant_image_stays_constant_at_any_size),
        TEST(the_middle_of_an_oblong_image_is_kept),
        TEST(grey_is_rec_601_luma_and_grey_to_rgb_and_back_is_grey),
        TEST(class_folders_are_read_in_the_order_of_their_names),
        TEST(a_flat_folder_has_no_labels),
        TEST(a_class_has_all_pictures_below_its_folder),
        TEST(links_in_a_circle_end),
        TEST(more_folders_than_a_data_set_has_are_refused),
        TEST(one_rgb_picture_among_grey_ones_makes_all_rgb),
        TEST(pictures_of_two_sizes_need_image_size),
        TEST(a_damaged_picture_fails_or_is_skipped_and_counted),
        TEST(the_number_of_threads_changes_nothing),
        TEST(a_folder_that_is_no_data_set_is_refused_with_what_was_found),
        TEST(mnist_is_what_it_is_known_to_be),
        TEST(the_sample_of_cifar_has_ten_classes_of_a_hundred),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
