/* The cache of decoded folders: what comes from it is what was decoded, whatever changed is decoded, and whatever is wrong
 * with the cache is as if there were none. */
#define _DEFAULT_SOURCE /* usleep */
#define _XOPEN_SOURCE   700
#include "check.h"
#include "dataset_files.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "io/png.h"

static char cache[80];

static int make_folders(void **state) {
    if (make_folder(state) != 0) return -1;
    snprintf(cache, sizeof cache, "%s/cache", folder);
    sub_folder("data");
    return 0;
}

static void put_png(const char *name, int h, int w, int c, uint8_t value) {
    uint8_t pixel[64 * 3];
    for (size_t k = 0; k < sizeof pixel; k++) pixel[k] = (uint8_t)(value + k);
    CHECK_OK(ath_png_save(in_folder(name), pixel, h, w, c, NULL, 0, &err));
}

/* What was just written could be written again at the same time of the file system's clock, and is not kept. */
static void settle(void) {
    struct stat is;
    assert_int_equal(stat(folder, &is), 0);
    usleep(is.st_ctim.tv_nsec == 0 ? 2100000 : 60000);
}

static void put_classes(void) {
    sub_folder("data/cat/more");
    sub_folder("data/dog");
    put_png("data/cat/a.png", 3, 4, 1, 10);
    put_png("data/cat/b.png", 3, 4, 3, 20);
    put_png("data/cat/more/c.png", 3, 4, 1, 30);
    put_png("data/dog/a.png", 3, 4, 1, 40);
    settle();
}

static ath_dataset open_cached(ath_dataset_options options, bool expected) {
    options.cache = cache;
    ath_dataset d = open_ok(in_folder("data"), &options);
    CHECK(d.from_cache == expected, "the data were %s", d.from_cache ? "in the cache" : "decoded");
    return d;
}

static bool are_same(const ath_dataset *a, const ath_dataset *b) {
    bool same = a->n == b->n && a->h == b->h && a->w == b->w && a->c == b->c && a->n_class == b->n_class &&
                a->n_skipped == b->n_skipped && strcmp(a->format, b->format) == 0 && !a->label == !b->label &&
                !a->class_name == !b->class_name;
    if (!same) return false;
    for (int k = 0; k < a->n_class; k++) same = same && strcmp(a->class_name[k], b->class_name[k]) == 0;
    const size_t n = (size_t)a->n;
    return same && memcmp(a->pixel, b->pixel, n * (size_t)(a->h * a->w * a->c)) == 0 &&
           (!a->label || memcmp(a->label, b->label, n * sizeof *a->label) == 0);
}

/* Opened with the cache, the data are as without. */
static void check_opens(ath_dataset_options options, bool cached) {
    ath_dataset with = open_cached(options, cached), without = open_ok(in_folder("data"), &options);
    assert_false(without.from_cache);
    CHECK(are_same(&with, &without), "the data differ, cached %d", cached);
    ath_dataset_close(&with);
    ath_dataset_close(&without);
}
static void check_kept(ath_dataset_options options) {
    check_opens(options, false);
    check_opens(options, true);
}

/* The one file of the cache. */
static const char *cached_file(void) {
    static char path[256];
    char command[160];
    snprintf(command, sizeof command, "ls '%s'/*.pictures", cache);
    FILE *p = popen(command, "r");
    if (!p || !fgets(path, sizeof path, p)) fail();
    pclose(p);
    path[strcspn(path, "\n")] = 0;
    return path;
}

static void the_second_opening_is_the_first_without_decoding(void **state) {
    (void)state;
    put_classes();
    check_kept((ath_dataset_options){0});
    check_kept((ath_dataset_options){.image_size = 2});
    check_kept((ath_dataset_options){.channels = 1});
    check_kept((ath_dataset_options){.background = {1, 2, 3}});
    check_kept((ath_dataset_options){.max_pixels = 1000});
    check_kept((ath_dataset_options){.skip_broken = true});
    check_opens((ath_dataset_options){.threads = 3}, true); /* which decides no pixel */
    assert_int_equal(count_entries(cache), 6);
    struct stat is;
    assert_int_equal(stat(cache, &is), 0);
    CHECK((is.st_mode & 0777) == 0700, "others may look into the cache: %o", is.st_mode & 0777);
}

static void a_folder_without_classes_is_kept_too(void **state) {
    (void)state;
    put_png("data/a.png", 2, 2, 3, 1);
    put_png("data/b.png", 2, 2, 3, 2);
    settle();
    check_kept((ath_dataset_options){0});
    /* where it stands, or how it is spelled, is of no account */
    assert_int_equal(rename(in_folder("data"), in_folder("moved")), 0);
    assert_int_equal(symlink("moved", in_folder("data")), 0);
    check_opens((ath_dataset_options){0}, true);
}

static void files_left_out_are_counted_as_before(void **state) {
    (void)state;
    sub_folder("data/cat");
    sub_folder("data/dog");
    put_png("data/cat/a.png", 2, 2, 1, 1);
    put_file("data/cat/b.png", "broken", 6);
    put_file("data/dog/c.png", "broken", 6); /* a class of which nothing is left */
    settle();
    check_kept((ath_dataset_options){.skip_broken = true});
    ath_dataset d = open_cached((ath_dataset_options){.skip_broken = true}, true);
    assert_int_equal(d.n_skipped, 2);
    assert_int_equal(d.n_class, 2);
    ath_dataset_close(&d);
    must_fail(in_folder("data"), &(ath_dataset_options){.cache = cache}, ATH_E_FORMAT, "cat/b.png");
}

/* Whatever is done to the folder, the data are those of now. */
static void a_folder_that_changed_is_decoded(void **state) {
    (void)state;
    put_classes();
    check_kept((ath_dataset_options){0});
    for (int change = 0; change < 6; change++) {
        struct stat is;
        switch (change) {
        case 0: /* the content alone: size and time of modification are as they were */
            assert_int_equal(stat(in_folder("data/dog/a.png"), &is), 0);
            put_png("data/dog/a.png", 3, 4, 1, 41);
            const struct timespec times[2] = {is.st_atim, is.st_mtim};
            assert_int_equal(utimensat(AT_FDCWD, in_folder("data/dog/a.png"), times, 0), 0);
            break;
        case 1:
            put_png("data/dog/b.png", 3, 4, 1, 50);
            break;
        case 2:
            assert_int_equal(remove(in_folder("data/cat/b.png")), 0);
            break;
        case 3:
            assert_int_equal(rename(in_folder("data/cat/a.png"), in_folder("data/cat/z.png")), 0);
            break;
        case 4: /* the order of the classes */
            assert_int_equal(rename(in_folder("data/cat"), in_folder("data/zebra")), 0);
            break;
        case 5: /* swapped: both were there before */
            assert_int_equal(rename(in_folder("data/dog/a.png"), in_folder("data/dog/t")), 0);
            assert_int_equal(rename(in_folder("data/dog/b.png"), in_folder("data/dog/a.png")), 0);
            assert_int_equal(rename(in_folder("data/dog/t"), in_folder("data/dog/b.png")), 0);
            break;
        }
        settle();
        check_kept((ath_dataset_options){0});
    }
}

static void what_changed_just_now_is_not_kept(void **state) {
    (void)state;
    bool tried = false;
    for (int i = 0; i < 50 && !tried; i++) { /* the machine may be slow */
        struct stat is;
        struct timespec now;
        put_png("data/a.png", 2, 2, 1, (uint8_t)i);
        ath_dataset d = open_cached((ath_dataset_options){0}, false);
        ath_dataset_close(&d);
        clock_gettime(CLOCK_REALTIME, &now);
        assert_int_equal(stat(in_folder("data/a.png"), &is), 0);
        tried = (double)(now.tv_sec - is.st_ctim.tv_sec) + 1e-9 * (double)(now.tv_nsec - is.st_ctim.tv_nsec) < 0.05;
        if (tried) assert_int_equal(access(cache, F_OK), -1);
    }
    assert_true(tried);
}

static void a_damaged_cache_is_made_again(void **state) {
    (void)state;
    put_png("data/a.png", 2, 2, 1, 1);
    settle();
    check_kept((ath_dataset_options){0});
    uint8_t *data;
    size_t size;
    const char *path = cached_file();
    CHECK_OK(ath_file_read(path, 1 << 20, &data, &size, &err));
    uint8_t *bad = malloc(size + 1);
    for (size_t at = 0; at < size; at++)
        for (int how = 0; how < (at % 7 ? 1 : 2); how++) { /* a byte changed, or all from there on gone */
            memcpy(bad, data, size);
            bad[at] ^= (uint8_t)(1 << at % 8);
            FILE *file = fopen(path, "wb");
            assert_non_null(file);
            assert_int_equal(fwrite(bad, 1, how ? at : size, file), how ? at : size);
            assert_int_equal(fclose(file), 0);
            ath_dataset d = open_cached((ath_dataset_options){0}, false);
            check_shape(&d, 1, 2, 2, 1, 0);
            assert_int_equal(d.pixel[3], 4);
            ath_dataset_close(&d);
        }
    check_opens((ath_dataset_options){0}, true);
    assert_int_equal(count_entries(cache), 1);
    /* too long */
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fputc(0, file), 0);
    assert_int_equal(fclose(file), 0);
    check_kept((ath_dataset_options){0});
    /* of another key */
    char other[sizeof cache + 80];
    snprintf(other, sizeof other, "%s/kept", cache);
    assert_int_equal(rename(path, other), 0);
    put_png("data/a.png", 2, 2, 1, 7);
    settle();
    check_opens((ath_dataset_options){0}, false);
    assert_int_equal(rename(other, cached_file()), 0);
    check_kept((ath_dataset_options){0});
    free(bad);
    free(data);
}

static void a_cache_that_cannot_be_written_is_none(void **state) {
    (void)state;
    put_png("data/a.png", 2, 2, 1, 1);
    put_file("file", "x", 1);
    settle();
    static const char *const places[] = {"file", "file/cache", "no/such/cache", "/proc/cache", "/dev/null"};
    for (int i = 0; i < 5; i++) {
        snprintf(cache, sizeof cache, "%s", *places[i] == '/' ? places[i] : in_folder(places[i]));
        for (int k = 0; k < 2; k++) check_opens((ath_dataset_options){0}, false);
    }
    assert_int_equal(access(in_folder("no"), F_OK), -1);
}

static void many_processes_share_a_cache(void **state) {
    (void)state;
    enum { MANY = 6 };
    put_classes();
    pid_t child[MANY];
    for (int i = 0; i < MANY; i++)
        if ((child[i] = fork()) == 0) {
            bool good = true;
            for (int k = 0; k < 10 && good; k++) {
                ath_dataset d;
                good =
                    ath_dataset_open(&d, in_folder("data"),
                                     &(ath_dataset_options){.cache = cache, .image_size = 1 + k % 3}, NULL) == ATH_OK &&
                    d.n == 4 && d.n_class == 2 && d.label[3] == 1;
                ath_dataset_close(&d);
            }
            _exit(!good);
        }
    for (int i = 0; i < MANY; i++) {
        int status;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        CHECK(status == 0, "process %d ended with %d", i, status);
    }
    for (int size = 1; size <= 3; size++) check_opens((ath_dataset_options){.image_size = size}, true);
    assert_int_equal(count_entries(cache), 3); /* and nothing unfinished */
}

/* A file of the cache that was last used `days` ago and seems to hold so many GiB. */
static void put_old(const char *name, double gib, int days) {
    char path[64];
    snprintf(path, sizeof path, "cache/%s", name);
    put_file(path, "", 0);
    assert_int_equal(truncate(in_folder(path), (off_t)(gib * (1 << 30))), 0);
    const struct timespec used = {.tv_sec = time(NULL) - days * 24 * 3600};
    const struct timespec times[2] = {used, used};
    assert_int_equal(utimensat(AT_FDCWD, in_folder(path), times, 0), 0);
}

static void what_was_not_used_for_long_goes_first(void **state) {
    (void)state;
    sub_folder("cache");
    put_png("data/a.png", 2, 2, 1, 1);
    put_old("recent.pictures", 1, 1);
    put_old("older.pictures", 2.5, 10);
    put_old("oldest.pictures", 1, 20);
    put_old("forgotten.pictures", 0, 91);
    put_old("half.pictures.athanor.tmp", 1, 1);
    put_old("of-others", 8, 1000);
    settle();
    check_kept((ath_dataset_options){0});
    static const char *const stays[] = {"recent.pictures", "older.pictures", "of-others"};
    static const char *const goes[] = {"oldest.pictures", "forgotten.pictures", "half.pictures.athanor.tmp"};
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "cache/%s", stays[i]);
        CHECK(access(in_folder(path), F_OK) == 0, "%s is gone", stays[i]);
        snprintf(path, sizeof path, "cache/%s", goes[i]);
        CHECK(access(in_folder(path), F_OK) != 0, "%s is still there", goes[i]);
    }
    /* use makes young */
    const char *path = cached_file();
    const struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    check_opens((ath_dataset_options){0}, true);
    struct stat is;
    assert_int_equal(stat(path, &is), 0);
    CHECK(is.st_mtime > 1000, "the time of the last use is still %ld", (long)is.st_mtime);
}

#undef TEST
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folders, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_second_opening_is_the_first_without_decoding),
        TEST(a_folder_without_classes_is_kept_too),
        TEST(files_left_out_are_counted_as_before),
        TEST(a_folder_that_changed_is_decoded),
        TEST(what_changed_just_now_is_not_kept),
        TEST(a_damaged_cache_is_made_again),
        TEST(a_cache_that_cannot_be_written_is_none),
        TEST(many_processes_share_a_cache),
        TEST(what_was_not_used_for_long_goes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
