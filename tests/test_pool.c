/* The pool of threads: every worker runs, every part is taken once, and
 * rounds follow each other without one being lost. */
#include "check.h"
#include <stdatomic.h>
#include "base/pool.h"

enum { MOST = 8, PARTS = 1000 };

typedef struct tally {
    atomic_int worker[MOST], part[PARTS];
} tally;

static void count_worker(void *self, int worker) { atomic_fetch_add(&((tally *)self)->worker[worker], 1); }
static void count_part(void *self, int part) { atomic_fetch_add(&((tally *)self)->part[part], 1); }

static void every_worker_runs_once_a_round(void **state) {
    (void)state;
    ath_err err = {0};
    for (int threads = 1; threads <= MOST; threads++) {
        ath_pool *pool;
        tally t = {0};
        CHECK_OK(ath_pool_create(&pool, threads, &err));
        CHECK(ath_pool_threads(pool) == threads, "%d threads of %d", ath_pool_threads(pool), threads);
        for (int round = 0; round < 200; round++) ath_pool_run(pool, count_worker, &t);
        for (int i = 0; i < MOST; i++)
            CHECK(t.worker[i] == (i < threads ? 200 : 0), "worker %d of %d ran %d times", i, threads, t.worker[i]);
        ath_pool_destroy(pool);
    }
}

/* Worker 0 has always run, nobody runs after the call, and who sleeps through a round joins a later one. */
static void help_is_not_waited_for_but_ends_with_the_call(void **state) {
    (void)state;
    ath_err err = {0};
    ath_pool *pool;
    CHECK_OK(ath_pool_create(&pool, 4, &err));
    int total = 0;
    for (int round = 1; round <= 2000; round++) {
        tally t = {0};
        ath_pool_help(pool, count_worker, &t);
        const tally then = t;
        CHECK(then.worker[0] == 1, "round %d: worker 0 ran %d times", round, then.worker[0]);
        for (int i = 1; i < 4; i++) {
            CHECK(then.worker[i] <= 1, "round %d: worker %d ran %d times", round, i, then.worker[i]);
            total += then.worker[i];
        }
        if (round % 100) continue;
        ath_pool_run(pool, count_worker, &t);
        for (int i = 0; i < 4; i++) CHECK(t.worker[i] == then.worker[i] + 1, "round %d: worker %d", round, i);
    }
    print_message("    %d of 6000 came to help\n", total);
    ath_pool_destroy(pool);
}

static void every_part_is_taken_once(void **state) {
    (void)state;
    ath_err err = {0};
    ath_pool *pool;
    static tally t;
    CHECK_OK(ath_pool_create(&pool, 3, &err));
    ath_pool_each(pool, PARTS, count_part, &t);
    ath_pool_each(pool, 0, count_part, &t);
    for (int i = 0; i < PARTS; i++) CHECK(t.part[i] == 1, "part %d was taken %d times", i, t.part[i]);
    ath_pool_destroy(pool);
}

static void no_number_of_threads_means_the_cores(void **state) {
    (void)state;
    ath_err err = {0};
    ath_pool *pool;
    CHECK_OK(ath_pool_create(&pool, 0, &err));
    CHECK(ath_pool_threads(pool) >= 1, "%d threads", ath_pool_threads(pool));
    ath_pool_destroy(pool);
    ath_pool_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_runs_once_a_round),
        cmocka_unit_test(help_is_not_waited_for_but_ends_with_the_call),
        cmocka_unit_test(every_part_is_taken_once),
        cmocka_unit_test(no_number_of_threads_means_the_cores),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
