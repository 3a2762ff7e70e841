/* Memory for large arrays: base/pages.h. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "base/pages.h"
#include "check.h"

static void memory_begins_at_a_cache_line_or_huge_page_and_is_all_there(void **state) {
    (void)state;
    const size_t huge = 2 << 20;
    const size_t sizes[] = {0, 1, 63, 64, 4097, 1 << 20, huge, huge + 1, (4 << 20) + 1, 9 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *p = ath_pages(sizes[i]);
        CHECK(p != NULL && (uintptr_t)p % (sizes[i] < huge ? 64 : huge) == 0, "%zu bytes at %p", sizes[i], (void *)p);
        memset(p, 1, sizes[i]);
        free(p);
    }
}

static void zeros_are_zeros_in_memory_that_was_used_before(void **state) {
    (void)state;
    for (size_t bytes = 1000; bytes < (size_t)20 << 20; bytes *= 10) {
        unsigned char *p = ath_pages(bytes);
        assert_non_null(p);
        memset(p, 0xff, bytes);
        free(p);
        p = ath_pages_zero(bytes);
        assert_non_null(p);
        size_t set = 0;
        for (size_t i = 0; i < bytes; i++) set += p[i] != 0;
        CHECK(set == 0, "%zu bytes of %zu are not zero", set, bytes);
        free(p);
    }
}

static void what_cannot_be_had_is_null(void **state) {
    (void)state;
    volatile size_t all = SIZE_MAX; /* or the compiler says that it is too large */
    assert_null(ath_pages(all));
    assert_null(ath_pages_zero(all - 100));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_begins_at_a_cache_line_or_huge_page_and_is_all_there),
        cmocka_unit_test(zeros_are_zeros_in_memory_that_was_used_before),
        cmocka_unit_test(what_cannot_be_had_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
