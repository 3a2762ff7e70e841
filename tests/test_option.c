/* Options: one table sets defaults, parses, checks, explains and writes back. */
#include "check.h"
#include <float.h>
#include <stdbool.h>
#include "base/option.h"

typedef struct config {
    int steps;
    int64_t seed;
    double rate;
    bool flip;
    char name[ATH_TEXT_LEN], kind[ATH_TEXT_LEN], words[ATH_TEXT_LEN];
    ath_ints mults, unset;
    double free_number;
    ath_floats weights, no_weights;
} config;

static const ath_option table[] = {
    {.name = "steps", .type = ATH_OPT_INT, .offset = offsetof(config, steps), .dflt = "50", .min = 1, .max = 1000},
    {.name = "seed", .type = ATH_OPT_INT64, .offset = offsetof(config, seed), .dflt = "1234567890123"},
    {.name = "learning-rate",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(config, rate),
     .dflt = "2e-4",
     .min = 0,
     .max = 1},
    {.name = "flip", .type = ATH_OPT_BOOL, .offset = offsetof(config, flip), .dflt = "true"},
    {.name = "name", .type = ATH_OPT_TEXT, .offset = offsetof(config, name), .dflt = "run"},
    {.name = "variance",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(config, kind),
     .dflt = "small",
     .choices = "small|large"},
    {.name = "levels", .type = ATH_OPT_WORDS, .offset = offsetof(config, words), .dflt = "a,b"},
    {.name = "mults", .type = ATH_OPT_INTS, .offset = offsetof(config, mults), .dflt = "1,2,2", .min = 1, .max = 16},
    {.name = "attention", .type = ATH_OPT_INTS, .offset = offsetof(config, unset)},
    {.name = "shift", .type = ATH_OPT_FLOAT, .offset = offsetof(config, free_number), .dflt = "-3"},
    {.name = "r", .type = ATH_OPT_FLOATS, .offset = offsetof(config, weights), .dflt = "0.5", .min = 0, .max = 1},
    {.name = "no-weights", .type = ATH_OPT_FLOATS, .offset = offsetof(config, no_weights)},
};
enum { N = sizeof table / sizeof *table };

static ath_err err;

static config defaults(void) {
    config c;
    memset(&c, 0x55, sizeof c);
    ath_options_default(table, N, &c);
    return c;
}

static void every_field_starts_at_its_default(void **state) {
    (void)state;
    const config c = defaults();
    CHECK(c.steps == 50, "steps %d", c.steps);
    CHECK(c.seed == 1234567890123, "seed %lld", (long long)c.seed);
    CHECK(c.rate == 2e-4, "rate %g", c.rate);
    CHECK(c.flip, "flip");
    assert_string_equal(c.name, "run");
    assert_string_equal(c.kind, "small");
    assert_string_equal(c.words, "a,b");
    CHECK(c.mults.n == 3 && c.mults.v[0] == 1 && c.mults.v[1] == 2 && c.mults.v[2] == 2, "mults: %d of them",
          c.mults.n);
    CHECK(c.unset.n == -1, "a list without a default has n %d, expected -1: not given", c.unset.n);
    CHECK(c.free_number == -3, "shift %g", c.free_number);
    CHECK(c.weights.n == 1 && c.weights.v[0] == 0.5, "r: %d of them, first %g", c.weights.n, c.weights.v[0]);
    CHECK(c.no_weights.n == 0, "a list of numbers without a default has n %d, expected 0", c.no_weights.n);
}

static void every_type_is_read_from_text(void **state) {
    (void)state;
    config c = defaults();
    CHECK_OK(ath_options_set(table, N, &c, "steps", "7", &err));
    CHECK_OK(ath_options_set(table, N, &c, "seed", "-9223372036854775808", &err));
    CHECK_OK(ath_options_set(table, N, &c, "learning-rate", "1e-3", &err));
    CHECK_OK(ath_options_set(table, N, &c, "name", "", &err));
    CHECK_OK(ath_options_set(table, N, &c, "variance", "large", &err));
    CHECK_OK(ath_options_set(table, N, &c, "levels", "x,y,z", &err));
    CHECK_OK(ath_options_set(table, N, &c, "mults", "4", &err));
    CHECK_OK(ath_options_set(table, N, &c, "attention", "-1,0,1,2,3,4,5,6,7,8,9,10,11,12,13,14", &err));
    CHECK(c.steps == 7 && c.seed == INT64_MIN && c.rate == 1e-3, "steps %d, seed %lld, rate %g", c.steps,
          (long long)c.seed, c.rate);
    assert_string_equal(c.name, "");
    assert_string_equal(c.kind, "large");
    assert_string_equal(c.words, "x,y,z");
    CHECK(c.mults.n == 1 && c.mults.v[0] == 4, "mults: %d of them, first %d", c.mults.n, c.mults.v[0]);
    CHECK(c.unset.n == 16 && c.unset.v[0] == -1 && c.unset.v[15] == 14, "attention: %d of them", c.unset.n);
    CHECK_OK(ath_options_set(table, N, &c, "attention", "none", &err));
    CHECK(c.unset.n == 0, "\"none\" gives %d numbers", c.unset.n);
    CHECK_OK(ath_options_set(table, N, &c, "r", "0.25,1e-3/1", &err));
    CHECK(c.weights.n == 3 && c.weights.v[0] == 0.25 && c.weights.v[1] == 1e-3 && c.weights.v[2] == 1, "r: %d of them",
          c.weights.n);
    static const char *const yes[] = {"true", "1", "yes"}, *const no[] = {"false", "0", "no"};
    for (int i = 0; i < 3; i++) {
        CHECK_OK(ath_options_set(table, N, &c, "flip", no[i], &err));
        CHECK(!c.flip, "flip=%s", no[i]);
        CHECK_OK(ath_options_set(table, N, &c, "flip", yes[i], &err));
        CHECK(c.flip, "flip=%s", yes[i]);
    }
}

static void what_is_not_of_the_type_is_refused_by_name(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        {"steps", ""},
        {"steps", "seven"},
        {"steps", "7x"},
        {"steps", "7.5"},
        {"steps", "99999999999"},
        {"seed", "1e3"},
        {"seed", "9223372036854775808"},
        {"flip", "maybe"},
        {"flip", ""},
        {"mults", "1,x"},
        {"mults", "1,"},
        {"mults", ",1"},
        {"mults", "1 2"},
        {"learning-rate", "fast"},
        {"learning-rate", "nan"},
        {"learning-rate", "inf"},
        {"learning-rate", "1e999"},
        {"learning-rate", ""},
        {"r", "0.5,"},
        {"r", "0.5,nan"},
        {"r", "0.5;0.5"},
        {"no-weights", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"},
        {"attention", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config c = defaults();
        CHECK_FAILS(ath_options_set(table, N, &c, wrong[i][0], wrong[i][1], &err), ATH_E_ARG, wrong[i][0]);
        CHECK(strncmp(err.text, wrong[i][0], strlen(wrong[i][0])) == 0, "\"%s\" does not begin with %s", err.text,
              wrong[i][0]);
    }
    config c = defaults();
    char text[ATH_TEXT_LEN + 1];
    memset(text, 'a', ATH_TEXT_LEN);
    text[ATH_TEXT_LEN] = 0;
    CHECK_FAILS(ath_options_set(table, N, &c, "name", text, &err), ATH_E_ARG, "name");
    text[ATH_TEXT_LEN - 1] = 0;
    CHECK_OK(ath_options_set(table, N, &c, "name", text, &err));
    assert_string_equal(c.name, text);
}

static void numbers_out_of_range_are_refused_with_the_range(void **state) {
    (void)state;
    config c = defaults();
    CHECK_FAILS(ath_options_set(table, N, &c, "steps", "0", &err), ATH_E_ARG, "1 to 1000");
    CHECK_FAILS(ath_options_set(table, N, &c, "steps", "1001", &err), ATH_E_ARG, "1 to 1000");
    CHECK_FAILS(ath_options_set(table, N, &c, "learning-rate", "-1e-9", &err), ATH_E_ARG, "0 to 1");
    CHECK_FAILS(ath_options_set(table, N, &c, "learning-rate", "1.0001", &err), ATH_E_ARG, "learning-rate");
    CHECK_FAILS(ath_options_set(table, N, &c, "mults", "1,17", &err), ATH_E_ARG, "1 to 16");
    CHECK(c.steps == 50 && c.rate == 2e-4, "a refused value was stored: steps %d, rate %g", c.steps, c.rate);
    CHECK_OK(ath_options_set(table, N, &c, "steps", "1", &err));
    CHECK_OK(ath_options_set(table, N, &c, "steps", "1000", &err));
    CHECK_OK(ath_options_set(table, N, &c, "learning-rate", "0", &err));
    CHECK_OK(ath_options_set(table, N, &c, "shift", "-1e300", &err)); /* no range: any */
}

static void only_the_choices_are_taken(void **state) {
    (void)state;
    static const char *const wrong[] = {"",  "smal",        "small ", "smallest", "arge",
                                        "|", "small|large", "small|", "LARGE"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        config c = defaults();
        CHECK_FAILS(ath_options_set(table, N, &c, "variance", wrong[i], &err), ATH_E_ARG, "small|large");
        assert_string_equal(c.kind, "small");
    }
}

static void an_unknown_key_is_answered_with_the_nearest(void **state) {
    (void)state;
    config c = defaults();
    CHECK_FAILS(ath_options_set(table, N, &c, "step", "7", &err), ATH_E_ARG, "did you mean steps?");
    CHECK_FAILS(ath_options_set(table, N, &c, "learning_rate", "7", &err), ATH_E_ARG, "did you mean learning-rate?");
    CHECK_FAILS(ath_options_set(table, N, &c, "varaince", "7", &err), ATH_E_ARG, "did you mean variance?");
    CHECK_FAILS(ath_options_set(table, N, &c, "qqqqqqqqqqqq", "7", &err), ATH_E_ARG, "no such option");
    CHECK(!strstr(err.text, "did you mean"), "nothing is near: \"%s\"", err.text);
    CHECK_FAILS(ath_options_set(table, 0, &c, "steps", "7", &err), ATH_E_ARG, "there are none");
    CHECK(ath_options_find(table, N, "steps") == &table[0], "steps is found");
    CHECK(ath_options_find(table, N, "step") == NULL, "step is not");
}

static void the_nearest_name_is_by_edits(void **state) {
    (void)state;
    static const char *const names[] = {"ddim", "ddpm", "heun", "dpm++2m"};
    static const char *const asked[][2] = {{"dimm", "ddim"}, {"ddpn", "ddpm"}, {"hen", "heun"}, {"dpm2m", "dpm++2m"}};
    for (int i = 0; i < 4; i++) {
        const char *near = ath_nearest_name(asked[i][0], names, 4);
        CHECK(near && strcmp(near, asked[i][1]) == 0, "%s: %s, expected %s", asked[i][0], near ? near : "none",
              asked[i][1]);
    }
    CHECK(ath_nearest_name("euler", names, 4) == NULL, "euler is near %s", ath_nearest_name("euler", names, 4));
    CHECK(ath_nearest_name("", names, 4) == NULL, "nothing is near to nothing");
    CHECK(ath_nearest_name("ddim", names, 0) == NULL, "there are no names");
    char longest[1000];
    memset(longest, 'd', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    (void)ath_nearest_name(longest, names, 4); /* no overflow */
}

static void a_line_of_keys_and_values_sets_them_all(void **state) {
    (void)state;
    config c = defaults();
    CHECK_OK(ath_options_parse(table, N, &c, "steps=9,mults=1/2/4,name=a=b,flip=no,shift=.5", &err));
    CHECK(c.steps == 9 && !c.flip && c.free_number == 0.5, "steps %d, shift %g", c.steps, c.free_number);
    CHECK(c.mults.n == 3 && c.mults.v[1] == 2 && c.mults.v[2] == 4, "mults: %d of them", c.mults.n);
    assert_string_equal(c.name, "a=b");
    c = defaults();
    CHECK_OK(ath_options_parse(table, N, &c, "", &err));
    CHECK(c.steps == 50, "steps %d", c.steps);
    c.flip = false;
    CHECK_OK(ath_options_parse(table, N, &c, "flip,steps=8", &err));
    CHECK(c.flip && c.steps == 8, "flip alone is true; steps %d", c.steps);
    CHECK_FAILS(ath_options_parse(table, N, &c, "steps", &err), ATH_E_ARG, "key=value");
    CHECK_FAILS(ath_options_parse(table, N, &c, "flop", &err), ATH_E_ARG, "key=value");
    CHECK_FAILS(ath_options_parse(table, N, &c, "steps=9,,flip=no", &err), ATH_E_ARG, "key=value");
    CHECK_FAILS(ath_options_parse(table, N, &c, "steps=9,stps=8", &err), ATH_E_ARG, "did you mean steps?");
    CHECK_FAILS(ath_options_parse(table, N, &c, "=9", &err), ATH_E_ARG, "no such option");
    char text[4 * ATH_TEXT_LEN];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    CHECK_FAILS(ath_options_parse(table, N, &c, text, &err), ATH_E_ARG, "too long");
}

static void what_is_formatted_reads_back_as_it_was(void **state) {
    (void)state;
    static const char *const typed[][2] = {{"steps", "123"},
                                           {"seed", "-9223372036854775808"},
                                           {"learning-rate", "0.0002"},
                                           {"learning-rate", "0.3"},
                                           {"flip", "false"},
                                           {"name", "a b"},
                                           {"variance", "large"},
                                           {"levels", "x,y"},
                                           {"mults", "1,2,2,16"},
                                           {"attention", "none"},
                                           {"shift", "1e+300"},
                                           {"attention", "16"},
                                           {"r", "0.1,0.0001,1"}};
    for (size_t i = 0; i < sizeof typed / sizeof *typed; i++) {
        config c = defaults();
        char text[512];
        CHECK_OK(ath_options_set(table, N, &c, typed[i][0], typed[i][1], &err));
        ath_options_format(ath_options_find(table, N, typed[i][0]), &c, text, sizeof text);
        CHECK(strcmp(text, typed[i][1]) == 0, "%s: \"%s\", expected \"%s\"", typed[i][0], text, typed[i][1]);
    }
    static const double values[] = {1.0 / 3, 0.1 + 0.2, 1e-300 / 7, -DBL_MAX, 0, 0x1.fffffffffffffp-2};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        config a = defaults(), b = defaults();
        a.free_number = values[i];
        char text[512];
        ath_options_format(ath_options_find(table, N, "shift"), &a, text, sizeof text);
        CHECK_OK(ath_options_set(table, N, &b, "shift", text, &err));
        CHECK(b.free_number == values[i], "%a was written \"%s\" and read %a", values[i], text, b.free_number);
    }
}

static void formatting_stays_within_its_room(void **state) {
    (void)state;
    config c = defaults();
    CHECK_OK(ath_options_set(table, N, &c, "attention", "100000,200000,300000", &err));
    for (int i = 0; i < N; i++)
        for (size_t room = 1; room < 24; room++) {
            char text[32];
            memset(text, '#', sizeof text);
            ath_options_format(&table[i], &c, text, room);
            CHECK(memchr(text, 0, room) != NULL, "%s in %zu characters: no end", table[i].name, room);
            CHECK(text[room] == '#', "%s in %zu characters: written behind its end", table[i].name, room);
        }
}

static void numbers_are_read_whole_or_not_at_all(void **state) {
    (void)state;
    double d = 5;
    int64_t w = 5;
    CHECK(ath_parse_double("-1.5e3", &d) && d == -1500, "%g", d);
    CHECK(ath_parse_int64("9223372036854775807", &w) && w == INT64_MAX, "%lld", (long long)w);
    static const char *const not_double[] = {"", "x", "1x", "1 ", "nan", "-inf", "1e400"};
    static const char *const not_whole[] = {"", "x", "1x", "1.0", "9223372036854775808", "--1"};
    d = 5, w = 5;
    for (size_t i = 0; i < sizeof not_double / sizeof *not_double; i++)
        CHECK(!ath_parse_double(not_double[i], &d) && d == 5, "\"%s\" was read as %g", not_double[i], d);
    for (size_t i = 0; i < sizeof not_whole / sizeof *not_whole; i++)
        CHECK(!ath_parse_int64(not_whole[i], &w) && w == 5, "\"%s\" was read as %lld", not_whole[i], (long long)w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_starts_at_its_default),
        cmocka_unit_test(every_type_is_read_from_text),
        cmocka_unit_test(what_is_not_of_the_type_is_refused_by_name),
        cmocka_unit_test(numbers_out_of_range_are_refused_with_the_range),
        cmocka_unit_test(only_the_choices_are_taken),
        cmocka_unit_test(an_unknown_key_is_answered_with_the_nearest),
        cmocka_unit_test(the_nearest_name_is_by_edits),
        cmocka_unit_test(a_line_of_keys_and_values_sets_them_all),
        cmocka_unit_test(what_is_formatted_reads_back_as_it_was),
        cmocka_unit_test(formatting_stays_within_its_room),
        cmocka_unit_test(numbers_are_read_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
