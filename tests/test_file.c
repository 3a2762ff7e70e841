/* Files: read whole, within a limit, gzip or not; written so that what stands at a path is
 * always complete, and a failure leaves the old file and nothing else. */
#define _DEFAULT_SOURCE /* usleep */
#define _XOPEN_SOURCE   700
#include "check.h"
#include "temp_folder.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#include "base/file.h"

static ath_err err;

static void put_file(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}
static void put_gzip(const char *path, const char *mode, const void *data, unsigned size) {
    gzFile file = gzopen(path, mode);
    assert_non_null(file);
    assert_int_equal(gzwrite(file, data, size), size);
    assert_int_equal(gzclose(file), Z_OK);
}
/* n bytes that compress a little */
static uint8_t *some_bytes(size_t n) {
    uint8_t *data = malloc(n + 1);
    assert_non_null(data);
    for (size_t i = 0; i < n; i++) data[i] = (uint8_t)((i * 2654435761u >> 13 & 15) + i / 1000);
    return data;
}

typedef ath_status reader(const char *path, size_t max, uint8_t **data, size_t *size, ath_err *err_out);
static reader *const readers[2] = {ath_file_read, ath_file_read_gz};

static void check_reads(reader *read_file, const char *path, size_t max, const void *expected, size_t n) {
    uint8_t *data = NULL;
    size_t size = 0;
    CHECK_OK(read_file(path, max, &data, &size, &err));
    CHECK(size == n, "%s: %zu bytes, expected %zu", path, size, n);
    CHECK(memcmp(data, expected, n) == 0, "%s: %zu bytes differ from what was written", path, n);
    CHECK(data[size] == 0, "%s: the byte after the last is %d", path, data[size]);
    free(data);
}

/* Sizes about the first buffer's and its doublings. */
static void a_file_is_read_whole_with_a_zero_behind_it(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 65534, 65535, 65536, 65537, 131071, 131072, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *data = some_bytes(sizes[i]);
        put_file(in_folder("whole"), data, sizes[i]);
        for (int r = 0; r < 2; r++) check_reads(readers[r], in_folder("whole"), 1 << 20, data, sizes[i]);
        put_gzip(in_folder("whole.gz"), "wb6", data, (unsigned)sizes[i]);
        check_reads(ath_file_read_gz, in_folder("whole.gz"), 1 << 20, data, sizes[i]);
        free(data);
    }
}

static void the_limit_is_the_last_size_that_is_read(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 10, 65535, 65536, 100000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = sizes[i];
        uint8_t *data = some_bytes(n), *got = NULL;
        size_t size = 0;
        put_file(in_folder("limit"), data, n);
        put_gzip(in_folder("limit.gz"), "wb6", data, (unsigned)n);
        for (int r = 0; r < 3; r++) {
            reader *read_file = readers[r > 0];
            const char *path = in_folder(r == 2 ? "limit.gz" : "limit");
            check_reads(read_file, path, n, data, n);
            if (n == 0) continue;
            CHECK_FAILS(read_file(path, n - 1, &got, &size, &err), ATH_E_FORMAT, path);
            CHECK_FAILS(read_file(path, n / 2, &got, &size, &err), ATH_E_FORMAT, "more than");
        }
        free(data);
    }
}

static void a_file_whose_size_is_not_known_is_read_whole(void **state) {
    (void)state;
    uint8_t *data = NULL;
    size_t size = 0;
    if (access("/proc/self/status", R_OK) != 0) skip();
    CHECK_OK(ath_file_read("/proc/self/status", 1 << 20, &data, &size, &err)); /* stat says 0 bytes */
    CHECK(size > 100 && strlen((char *)data) == size, "%zu bytes of /proc/self/status", size);
    free(data);
}

static void what_cannot_be_opened_is_named(void **state) {
    (void)state;
    uint8_t *data = NULL;
    size_t size = 0;
    for (int r = 0; r < 2; r++) {
        CHECK_FAILS(readers[r](in_folder("missing"), 100, &data, &size, &err), ATH_E_IO, "missing");
        CHECK_FAILS(readers[r](folder, 100, &data, &size, &err), ATH_E_IO, folder);
        CHECK_FAILS(readers[r]("", 100, &data, &size, &err), ATH_E_IO, "cannot open");
    }
    CHECK(data == NULL, "a failure returned data");
}

static void what_is_no_file_is_refused_and_not_waited_for(void **state) {
    (void)state;
    uint8_t *data = NULL, head[4];
    size_t size = 0, got;
    assert_int_equal(mkfifo(in_folder("pipe"), 0600), 0);
    assert_int_equal(symlink("loop", in_folder("loop")), 0);
    alarm(60); /* a reader that waits for the pipe's writer ends here */
    for (int r = 0; r < 2; r++) {
        CHECK_FAILS(readers[r]("/dev/zero", 100, &data, &size, &err), ATH_E_IO, "/dev/zero: is a device");
        CHECK_FAILS(readers[r]("/dev/null", 100, &data, &size, &err), ATH_E_IO, "/dev/null: is a device");
        CHECK_FAILS(readers[r](in_folder("loop"), 100, &data, &size, &err), ATH_E_IO, "loop: cannot open");
        check_reads(readers[r], in_folder("pipe"), 100, "", 0);
    }
    CHECK_FAILS(ath_file_peek("/dev/zero", head, sizeof head, &got, &err), ATH_E_IO, "is a device");
    CHECK_OK(ath_file_peek(in_folder("pipe"), head, sizeof head, &got, &err));
    assert_int_equal(got, 0);
    alarm(0);
}

/* `(printf ...)`, as a shell hands it over. */
static void a_pipe_with_a_writer_is_read_whole(void **state) {
    (void)state;
    enum { MANY = 200000 };
    int ends[2];
    char path[64];
    assert_int_equal(pipe(ends), 0);
    const pid_t writer = fork();
    if (writer == 0) {
        uint8_t *data = some_bytes(MANY);
        usleep(20000); /* so that the reader finds it empty at first */
        size_t at = 0;
        for (ssize_t n; at < MANY && (n = write(ends[1], data + at, MANY - at)) > 0;) at += (size_t)n;
        _exit(at != MANY);
    }
    close(ends[1]);
    snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    uint8_t *data = some_bytes(MANY);
    if (access(path, R_OK) == 0) check_reads(ath_file_read, path, MANY, data, MANY);
    close(ends[0]);
    int status = 0;
    waitpid(writer, &status, 0);
    free(data);
}

/* 128 MiB of zeros from 128 KiB, which may be as large as it likes. */
static void a_gzip_bomb_is_refused_before_it_fills_the_memory(void **state) {
    (void)state;
    enum { LEN = 1 << 27 };
    uint8_t *data = calloc(LEN, 1), *got = NULL;
    size_t size = 0;
    put_gzip(in_folder("bomb.gz"), "wb9", data, LEN);
    CHECK_FAILS(ath_file_read_gz(in_folder("bomb.gz"), (size_t)1 << 33, &got, &size, &err), ATH_E_FORMAT, "256 times");
    put_gzip(in_folder("large.gz"), "wb9", data, 1 << 26); /* as dense, but not as large */
    check_reads(ath_file_read_gz, in_folder("large.gz"), (size_t)1 << 33, data, 1 << 26);
    free(data);
}

/* Several gzip members one after the other are one file (RFC 1952, 2.2). */
static void gzip_members_are_joined(void **state) {
    (void)state;
    put_gzip(in_folder("members.gz"), "wb", "one ", 4);
    put_gzip(in_folder("members.gz"), "ab", "two ", 4);
    put_gzip(in_folder("members.gz"), "ab", "three", 5);
    check_reads(ath_file_read_gz, in_folder("members.gz"), 100, "one two three", 13);
}

static void gzip_cut_off_anywhere_is_refused(void **state) {
    (void)state;
    uint8_t *data = some_bytes(5000), *zipped = NULL, *got = NULL;
    size_t n = 0, size = 0;
    put_gzip(in_folder("full.gz"), "wb9", data, 5000);
    CHECK_OK(ath_file_read(in_folder("full.gz"), 1 << 20, &zipped, &n, &err));
    const char *cut = in_folder("cut.gz");
    for (size_t keep = 2; keep < n; keep += keep < 40 || keep > n - 20 ? 1 : 13) { /* 2: the magic number alone */
        put_file(cut, zipped, keep);
        memset(&err, 0, sizeof err);
        const ath_status status = ath_file_read_gz(cut, 1 << 20, &got, &size, &err);
        CHECK(status == ATH_E_FORMAT && strstr(err.text, "cut.gz"), "%zu of %zu bytes: status %d, \"%s\"", keep, n,
              (int)status, err.text);
    }
    free(data);
    free(zipped);
}

static void damaged_gzip_is_refused(void **state) {
    (void)state;
    uint8_t *data = some_bytes(5000), *zipped = NULL, *got = NULL;
    size_t n = 0, size = 0;
    put_gzip(in_folder("good.gz"), "wb9", data, 5000);
    CHECK_OK(ath_file_read(in_folder("good.gz"), 1 << 20, &zipped, &n, &err));
    for (size_t at = 10; at < n; at += at < n - 20 ? 7 : 1) { /* 10: behind the header, which has fields of no effect */
        if (at == n - 9) continue; /* the last byte before the checksum may have unused bits */
        zipped[at] ^= 0x10;
        put_file(in_folder("bad.gz"), zipped, n);
        memset(&err, 0, sizeof err);
        const ath_status status = ath_file_read_gz(in_folder("bad.gz"), 1 << 20, &got, &size, &err);
        CHECK(status == ATH_E_FORMAT, "byte %zu of %zu changed: status %d", at, n, (int)status);
        zipped[at] ^= 0x10;
    }
    free(data);
    free(zipped);
}

static void a_small_gzip_that_holds_too_much_is_refused(void **state) {
    (void)state;
    uint8_t *zeros = calloc(1, 1 << 24), *got = NULL;
    size_t size = 0;
    assert_non_null(zeros);
    put_gzip(in_folder("bomb.gz"), "wb9", zeros, 1 << 24);
    free(zeros);
    CHECK_FAILS(ath_file_read_gz(in_folder("bomb.gz"), 1 << 20, &got, &size, &err), ATH_E_FORMAT, "more than");
}

/* ---- writing ---- */

static const char *fresh_folder(const char *name) {
    const char *path = in_folder(name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static void a_written_file_reads_back_and_replaces_the_old(void **state) {
    (void)state;
    fresh_folder("write");
    const char *path = in_folder("write/file");
    uint8_t *data = some_bytes(200000);
    CHECK_OK(ath_file_write(path, "old", 3, &err));
    check_reads(ath_file_read, path, 100, "old", 3);
    CHECK_OK(ath_file_write(path, data, 200000, &err));
    check_reads(ath_file_read, path, 1 << 20, data, 200000);
    CHECK_OK(ath_file_write(path, NULL, 0, &err));
    check_reads(ath_file_read, path, 100, "", 0);
    CHECK(count_entries(in_folder("write")) == 1, "%d files, expected 1", count_entries(in_folder("write")));
    free(data);
}

static void the_old_file_stands_until_the_new_one_is_committed(void **state) {
    (void)state;
    fresh_folder("commit");
    const char *path = in_folder("commit/file");
    put_file(path, "old", 3);
    ath_writer w;
    CHECK_OK(ath_writer_open(&w, path, &err));
    fputs("new text", w.file);
    fflush(w.file);
    check_reads(ath_file_read, path, 100, "old", 3);
    CHECK_OK(ath_writer_commit(&w, &err));
    check_reads(ath_file_read, path, 100, "new text", 8);
    CHECK(!w.file && !w.path && !w.temp, "a committed writer still owns something");
    ath_writer_abort(&w); /* accepts it */
    CHECK(count_entries(in_folder("commit")) == 1, "%d files, expected 1", count_entries(in_folder("commit")));
}

static void an_aborted_write_leaves_the_old_file_and_nothing_else(void **state) {
    (void)state;
    fresh_folder("abort");
    const char *path = in_folder("abort/file");
    ath_writer w;
    CHECK_OK(ath_writer_open(&w, path, &err));
    fputs("half", w.file);
    ath_writer_abort(&w);
    CHECK(count_entries(in_folder("abort")) == 0, "%d files, expected none", count_entries(in_folder("abort")));
    put_file(path, "old", 3);
    CHECK_OK(ath_writer_open(&w, path, &err));
    fputs("half", w.file);
    ath_writer_abort(&w);
    check_reads(ath_file_read, path, 100, "old", 3);
    CHECK(count_entries(in_folder("abort")) == 1, "%d files, expected 1", count_entries(in_folder("abort")));
    ath_writer zero = {0};
    ath_writer_abort(&zero);
}

/* The writer's stream is put on /dev/full, which takes every byte into its buffer and
 * none to disk: the error comes at the flush, in commit. */
static void a_full_disk_fails_the_commit_and_keeps_the_old_file(void **state) {
    (void)state;
    if (access("/dev/full", W_OK) != 0) skip();
    fresh_folder("full");
    const char *path = in_folder("full/file");
    put_file(path, "old", 3);
    ath_writer w;
    CHECK_OK(ath_writer_open(&w, path, &err));
    fclose(w.file);
    w.file = fopen("/dev/full", "wb");
    assert_non_null(w.file);
    fputs("new text", w.file);
    CHECK_FAILS(ath_writer_commit(&w, &err), ATH_E_IO, path);
    check_reads(ath_file_read, path, 100, "old", 3);
    CHECK(count_entries(in_folder("full")) == 1, "%d files, expected 1", count_entries(in_folder("full")));
}

/* A file-size limit of the process stands for a disk that fills in the middle of a write. */
static void a_write_cut_short_fails_and_keeps_the_old_file(void **state) {
    (void)state;
    fresh_folder("short");
    const char *path = in_folder("short/file");
    put_file(path, "old", 3);
    uint8_t *data = some_bytes(1 << 20);
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 100000;
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    memset(&err, 0, sizeof err);
    const ath_status status = ath_file_write(path, data, 1 << 20, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, handler);
    CHECK(status == ATH_E_IO && strstr(err.text, path), "status %d, \"%s\"", (int)status, err.text);
    check_reads(ath_file_read, path, 100, "old", 3);
    CHECK(count_entries(in_folder("short")) == 1, "%d files, expected 1", count_entries(in_folder("short")));
    free(data);
}

static void what_cannot_be_replaced_fails_and_leaves_nothing(void **state) {
    (void)state;
    fresh_folder("taken");
    assert_int_equal(mkdir(in_folder("taken/folder"), 0777), 0);
    put_file(in_folder("taken/folder/inside"), "x", 1);
    CHECK_FAILS(ath_file_write(in_folder("taken/folder"), "new", 3, &err), ATH_E_IO, "taken/folder");
    CHECK(count_entries(in_folder("taken")) == 1, "%d entries, expected 1", count_entries(in_folder("taken")));
    CHECK_FAILS(ath_file_write(in_folder("no/such/file"), "new", 3, &err), ATH_E_IO, "no/such/file");
    CHECK(!ath_path_exists(in_folder("no")), "a folder was made");
    ath_writer w;
    CHECK_FAILS(ath_writer_open(&w, in_folder("no/such/file"), &err), ATH_E_IO, "no/such/file");
    CHECK(!w.file && !w.path && !w.temp, "a writer that did not open owns something");
}

/* ---- paths ---- */

static void folders_are_made_with_their_parents(void **state) {
    (void)state;
    CHECK_OK(ath_make_dirs(in_folder("p/q/r"), &err));
    CHECK(ath_path_is_dir(in_folder("p/q/r")), "p/q/r");
    CHECK_OK(ath_make_dirs(in_folder("p/q/r"), &err)); /* again */
    CHECK_OK(ath_make_dirs(in_folder("p//s/"), &err));
    CHECK(ath_path_is_dir(in_folder("p/s")), "p/s");
    CHECK_OK(ath_make_dirs("/", &err));
    CHECK_OK(ath_make_dirs(".", &err));
    CHECK_FAILS(ath_make_dirs("", &err), ATH_E_IO, "cannot create");
    CHECK_OK(ath_make_dir(in_folder("p/t"), &err));
    CHECK_OK(ath_make_dir(in_folder("p/t"), &err));
    CHECK_FAILS(ath_make_dir(in_folder("gone/t"), &err), ATH_E_IO, "gone/t: cannot create folder: No such file");
    CHECK(!ath_path_exists(in_folder("gone")), "a parent was made");
    put_file(in_folder("p/file"), "x", 1);
    CHECK_FAILS(ath_make_dir(in_folder("p/file"), &err), ATH_E_IO, "p/file");
    CHECK_FAILS(ath_make_dirs(in_folder("p/file"), &err), ATH_E_IO, "p/file");
    CHECK_FAILS(ath_make_dirs(in_folder("p/file/below"), &err), ATH_E_IO, "p/file");
    CHECK(ath_path_exists(in_folder("p/file")) && !ath_path_is_dir(in_folder("p/file")), "p/file is a file");
    CHECK(!ath_path_exists(in_folder("p/none")) && !ath_path_is_dir(in_folder("p/none")), "p/none is nothing");
}

static void paths_are_joined_with_one_slash(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"/", "b", "/b"}, {"", "b", "b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *joined = ath_path_join(cases[i][0], cases[i][1]);
        assert_non_null(joined);
        assert_string_equal(joined, cases[i][2]);
        free(joined);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_read_whole_with_a_zero_behind_it),
        cmocka_unit_test(the_limit_is_the_last_size_that_is_read),
        cmocka_unit_test(a_file_whose_size_is_not_known_is_read_whole),
        cmocka_unit_test(what_cannot_be_opened_is_named),
        cmocka_unit_test(what_is_no_file_is_refused_and_not_waited_for),
        cmocka_unit_test(a_pipe_with_a_writer_is_read_whole),
        cmocka_unit_test(a_gzip_bomb_is_refused_before_it_fills_the_memory),
        cmocka_unit_test(gzip_members_are_joined),
        cmocka_unit_test(gzip_cut_off_anywhere_is_refused),
        cmocka_unit_test(damaged_gzip_is_refused),
        cmocka_unit_test(a_small_gzip_that_holds_too_much_is_refused),
        cmocka_unit_test(a_written_file_reads_back_and_replaces_the_old),
        cmocka_unit_test(the_old_file_stands_until_the_new_one_is_committed),
        cmocka_unit_test(an_aborted_write_leaves_the_old_file_and_nothing_else),
        cmocka_unit_test(a_full_disk_fails_the_commit_and_keeps_the_old_file),
        cmocka_unit_test(a_write_cut_short_fails_and_keeps_the_old_file),
        cmocka_unit_test(what_cannot_be_replaced_fails_and_leaves_nothing),
        cmocka_unit_test(folders_are_made_with_their_parents),
        cmocka_unit_test(paths_are_joined_with_one_slash),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
