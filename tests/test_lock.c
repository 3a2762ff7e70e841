/* Lock files: held by one at a time, told by whom, taken over from the dead; and what killed writers leave. */
#define _XOPEN_SOURCE 700
#include "temp_folder.h"
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "base/file.h"
#include "base/lock.h"

static ath_err err;

/* A process that calls `hold` and then waits to be killed; returns when it has. */
static pid_t holder(void (*hold)(const char *path), const char *path) {
    int done[2];
    char byte;
    assert_int_equal(pipe(done), 0);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        hold(path);
        if (write(done[1], "", 1) != 1) _exit(1);
        for (;;) pause();
    }
    close(done[1]);
    CHECK(read(done[0], &byte, 1) == 1, "the other process could not hold %s", path);
    close(done[0]);
    return pid;
}
static void end(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void take(const char *path) {
    ath_lock lock;
    if (ath_lock_take(&lock, path, "taken", NULL) != ATH_OK) _exit(1);
}
static void begin_writing(const char *path) {
    ath_writer w;
    if (ath_writer_open(&w, path, NULL) != ATH_OK) _exit(1);
    fputs("half", w.file);
    fflush(w.file);
}

static void put_text(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void a_lock_is_held_by_one_and_its_file_goes_with_it(void **state) {
    (void)state;
    const char *path = in_folder("one.lock");
    ath_lock a, b;
    char said[128], host[65] = "";
    CHECK_OK(ath_lock_take(&a, path, "this is taken", &err));
    assert_int_equal(gethostname(host, sizeof host - 1), 0);
    snprintf(said, sizeof said, "one.lock: this is taken by process %ld on %s", (long)getpid(), host);
    CHECK_FAILS(ath_lock_take(&b, path, "this is taken", &err), ATH_E_IO, said);
    CHECK(b.path == NULL, "a lock that was refused owns something");
    ath_lock_release(&b);
    CHECK(ath_path_exists(path), "releasing nothing removed the other's file");
    ath_lock_release(&a);
    CHECK(!ath_path_exists(path), "the file stays");
    CHECK_OK(ath_lock_take(&b, path, "this is taken", &err));
    ath_lock_release(&b);
    ath_lock_release(&b);
}

static void the_lock_of_a_killed_process_is_taken_over(void **state) {
    (void)state;
    const char *path = in_folder("killed.lock");
    ath_lock lock;
    for (int i = 0; i < 20; i++) {
        char said[64];
        const pid_t pid = holder(take, path);
        snprintf(said, sizeof said, "by process %ld on ", (long)pid);
        CHECK_FAILS(ath_lock_take(&lock, path, "taken", &err), ATH_E_IO, said);
        end(pid);
        CHECK(ath_path_exists(path), "a killed process removed its file");
        CHECK_OK(ath_lock_take(&lock, path, "taken", &err));
        if (i % 2)
            ath_lock_release(&lock);
        else { /* as an exec or a crash would: the file stays, the lock goes */
            close(lock.file);
            free(lock.path);
        }
    }
}

/* After a reboot its number may be another process's, alive: here it is this test's own, and init's. */
static void the_number_in_a_file_that_nobody_holds_means_nothing(void **state) {
    (void)state;
    const char *path = in_folder("old.lock");
    char own[64];
    snprintf(own, sizeof own, "%ld here\n", (long)getpid());
    const char *const texts[] = {"", "1 elsewhere\n", own, "no number", "99999999999999999999999 \x01\x02"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ath_lock lock;
        put_text(path, texts[i]);
        CHECK_OK(ath_lock_take(&lock, path, "taken", &err));
        ath_lock_release(&lock);
    }
    /* one who holds it without having written who he is yet */
    ath_lock lock;
    const int file = ath_lock_open(path);
    assert_true(file >= 0);
    CHECK_FAILS(ath_lock_take(&lock, path, "taken", &err), ATH_E_IO, "taken by another process");
    close(file);
}

static void what_is_in_the_place_of_a_lock_is_not_followed_nor_removed(void **state) {
    (void)state;
    ath_lock lock;
    put_text(in_folder("precious"), "text");
    assert_int_equal(symlink(in_folder("precious"), in_folder("link.lock")), 0);
    CHECK_FAILS(ath_lock_take(&lock, in_folder("link.lock"), "taken", &err), ATH_E_IO, "link.lock: cannot write");
    CHECK_FAILS(ath_lock_take(&lock, in_folder("no/such.lock"), "taken", &err), ATH_E_IO, "no/such.lock: cannot write");
    /* the folder was removed and made again, by somebody who holds a lock of the same name */
    CHECK_OK(ath_lock_take(&lock, in_folder("gone.lock"), "taken", &err));
    CHECK_OK(ath_lock_check(&lock, &err));
    assert_int_equal(unlink(in_folder("gone.lock")), 0);
    CHECK_FAILS(ath_lock_check(&lock, &err), ATH_E_IO, "gone.lock: is gone");
    ath_lock other;
    CHECK_OK(ath_lock_take(&other, in_folder("gone.lock"), "taken", &err));
    CHECK_FAILS(ath_lock_check(&lock, &err), ATH_E_IO, "gone.lock: is gone");
    CHECK_OK(ath_lock_check(&other, &err));
    ath_lock_release(&lock);
    CHECK(ath_path_exists(in_folder("gone.lock")), "another's file was removed");
    ath_lock_release(&other);
}

static void two_processes_cannot_write_one_file(void **state) {
    (void)state;
    ath_writer w;
    char path[128];
    snprintf(path, sizeof path, "%s", in_folder("shared"));
    put_text(path, "old");
    const pid_t pid = holder(begin_writing, path);
    CHECK_FAILS(ath_writer_open(&w, path, &err), ATH_E_IO, "shared: cannot write: another process is writing it");
    end(pid);
    CHECK(ath_path_exists(in_folder("shared.athanor.tmp")), "a killed writer removed its file");
    CHECK_OK(ath_file_write(path, "new text", 8, &err));
    CHECK(!ath_path_exists(in_folder("shared.athanor.tmp")), "the unfinished file stays");
}

static void unfinished_files_of_the_dead_are_removed_and_no_others(void **state) {
    (void)state;
    char sub[128], path[192], text[192];
    snprintf(sub, sizeof sub, "%s", in_folder("unfinished"));
    assert_int_equal(mkdir(sub, 0777), 0);
    snprintf(path, sizeof path, "%s/dead", sub);
    end(holder(begin_writing, path));
    snprintf(path, sizeof path, "%s/alive", sub);
    const pid_t alive = holder(begin_writing, path);
    static const char *const others[] = {"a.tmp", "athanor.tmp", ".athanor.tmp", "x.athanor.tmp.png"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        snprintf(text, sizeof text, "%s/%s", sub, others[i]);
        put_text(text, "mine");
    }
    snprintf(text, sizeof text, "%s/folder.athanor.tmp", sub);
    assert_int_equal(mkdir(text, 0777), 0);
    CHECK(count_entries(sub) == 7, "%d entries", count_entries(sub));
    ath_remove_unfinished(sub);
    CHECK(count_entries(sub) == 6, "%d entries, expected 6", count_entries(sub));
    snprintf(path, sizeof path, "%s/dead.athanor.tmp", sub);
    CHECK(!ath_path_exists(path), "what the killed process left is still there");
    end(alive);
    ath_remove_unfinished(sub);
    CHECK(count_entries(sub) == 5, "%d entries, expected 5", count_entries(sub));
    ath_remove_unfinished(in_folder("not there"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lock_is_held_by_one_and_its_file_goes_with_it),
        cmocka_unit_test(the_lock_of_a_killed_process_is_taken_over),
        cmocka_unit_test(the_number_in_a_file_that_nobody_holds_means_nothing),
        cmocka_unit_test(what_is_in_the_place_of_a_lock_is_not_followed_nor_removed),
        cmocka_unit_test(two_processes_cannot_write_one_file),
        cmocka_unit_test(unfinished_files_of_the_dead_are_removed_and_no_others),
    };
    return cmocka_run_group_tests_name("lock", tests, make_folder, remove_folder);
}
