/* Text that grows: it holds what was added, and what HTML and files get of it reads the same. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include "base/file.h"
#include "base/text.h"

static ath_err err;

static void what_is_added_is_there_in_order(void **state) {
    (void)state;
    enum { MANY = 4000 };
    ath_text t = {0};
    static char expected[8 * MANY + 1];
    char *got;
    for (int i = 0; i < MANY; i++) {
        snprintf(expected + 8 * i, 9, "%04u,ab;", (unsigned)i % 10000);
        ath_text_addf(&t, "%04d", i);
        ath_text_add(&t, ",a");
        ath_text_add_bytes(&t, "b;more", 2);
    }
    CHECK(t.len == strlen(t.data), "%zu bytes, counted as %zu", strlen(t.data), t.len);
    CHECK_OK(ath_text_take(&t, "text", &got, &err));
    assert_string_equal(got, expected);
    free(got);
    CHECK(t.data == NULL && t.len == 0, "taken text is still there");
    CHECK_OK(ath_text_take(&t, "text", &got, &err));
    assert_string_equal(got, "");
    free(got);
}

static void escaped_text_reads_as_it_was(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"a<b && \"c\" > 'd'", "a&lt;b &amp;&amp; &quot;c&quot; &gt; &#39;d&#39;"},
        {"Fr\xc3\xa9"
         "chet \xe2\x89\xa4 \xf0\x9f\x9c\x81",
         "Fr\xc3\xa9"
         "chet \xe2\x89\xa4 \xf0\x9f\x9c\x81"},
        {"line\nand\ttab", "line\nand\ttab"},
        {"\x01\x7f", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xe9t\xe9", "\xef\xbf\xbdt\xef\xbf\xbd"},               /* Latin-1 */
        {"\xc3", "\xef\xbf\xbd"},                                 /* cut */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* a surrogate */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ath_text t = {0};
        ath_text_escape(&t, cases[i][0]);
        CHECK(strcmp(t.data, cases[i][1]) == 0, "case %zu: \"%s\", expected \"%s\"", i, t.data, cases[i][1]);
        ath_text_free(&t);
    }
}

/* RFC 3629, section 4: the shortest form only, no surrogates, no more than U+10FFFF. */
static void utf8_is_well_formed_as_the_rfc_says(void **state) {
    (void)state;
    static const struct {
        const char *s;
        int n;
    } cases[] = {{"", 0},
                 {"a", 1},
                 {"\x7f", 1},
                 {"\x80", 0},
                 {"\xc1\xbf", 0},
                 {"\xc2\x80", 2},
                 {"\xdf\xbf", 2},
                 {"\xdf", 0},
                 {"\xe0\x9f\xbf", 0},
                 {"\xe0\xa0\x80", 3},
                 {"\xed\x9f\xbf", 3},
                 {"\xed\xa0\x80", 0},
                 {"\xee\x80\x80", 3},
                 {"\xef\xbf\xbf", 3},
                 {"\xe2\x82", 0},
                 {"\xf0\x8f\xbf\xbf", 0},
                 {"\xf0\x90\x80\x80", 4},
                 {"\xf4\x8f\xbf\xbf", 4},
                 {"\xf4\x90\x80\x80", 0},
                 {"\xf5\x80\x80\x80", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        CHECK(ath_utf8_length(cases[i].s) == cases[i].n, "case %zu: %d, expected %d", i, ath_utf8_length(cases[i].s),
              cases[i].n);
}

/* The test vectors of RFC 4648, section 10, and bytes beyond ASCII. */
static void base64_is_that_of_the_rfc(void **state) {
    (void)state;
    static const char *const cases[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"},
                                           {"\xfb\xff\xfe", "+//+"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ath_text t = {0};
        ath_text_base64(&t, cases[i][0], strlen(cases[i][0]));
        CHECK(strcmp(t.data, cases[i][1]) == 0, "\"%s\" gave %s", cases[i][0], t.data);
        ath_text_free(&t);
    }
}

static void text_that_could_not_grow_is_not_saved(void **state) {
    (void)state;
    ath_text t = {0};
    char *got;
    ath_text_add(&t, "half");
    ath_text_add_bytes(&t, "", SIZE_MAX / 2); /* refused before a byte is read */
    ath_text_add(&t, "lost");
    CHECK(t.failed && t.len == 4, "failed %d, %zu bytes", (int)t.failed, t.len);
    CHECK_FAILS(ath_text_save(&t, in_folder("half.txt"), &err), ATH_E_MEM, "half.txt");
    CHECK(!ath_path_exists(in_folder("half.txt")), "half a file was written");
    ath_text_add_bytes(&t, "", SIZE_MAX / 2);
    CHECK_FAILS(ath_text_take(&t, "the table", &got, &err), ATH_E_MEM, "the table");
    ath_text_add(&t, "whole");
    CHECK_OK(ath_text_save(&t, in_folder("whole.txt"), &err));
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_file_read(in_folder("whole.txt"), 100, &data, &size, &err));
    assert_string_equal((char *)data, "whole");
    free(data);
}

/* What json.h reads at most: files that grow most in memory are refused before they are parsed. */
static void json_of_too_many_values_is_not_modest(void **state) {
    (void)state;
    static const char *const piece[] = {"1,", "[],", "{},", "\"a\":1,"};
    static const int units[] = {1, 9, 9, 3};
    enum { MOST = 1 << 21, ROOM = 1 << 24 };
    char *text = malloc(ROOM);
    assert_non_null(text);
    for (int k = 0; k < 4; k++) {
        const size_t len = strlen(piece[k]), n = MOST / (size_t)units[k];
        for (size_t i = 0; i <= n; i++) memcpy(text + i * len, piece[k], len);
        CHECK(ath_json_is_modest(text, n * len), "%zu times %s", n, piece[k]);
        CHECK(!ath_json_is_modest(text, (n + 1) * len), "%zu times %s", n + 1, piece[k]);
    }
    assert_true(ath_json_is_modest("", 0));
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_added_is_there_in_order),
        cmocka_unit_test(escaped_text_reads_as_it_was),
        cmocka_unit_test(utf8_is_well_formed_as_the_rfc_says),
        cmocka_unit_test(base64_is_that_of_the_rfc),
        cmocka_unit_test(text_that_could_not_grow_is_not_saved),
        cmocka_unit_test(json_of_too_many_values_is_not_modest),
    };
    return cmocka_run_group_tests_name("text", tests, make_folder, remove_folder);
}
