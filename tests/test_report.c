/* Reports: what the tables hold is what was measured, the best is marked, the page stands alone and holds no text as code. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "markup.h"
#include "temp_folder.h"
#include "base/file.h"
#include "eval/report_parts.h"
#include "io/png.h"

static ath_err err;

enum { ROWS = 9 };
/* Two scores: an error with known orders (1, 2, 3) and one that is better when higher, with a gap. */
static const double scores[ROWS][2] = {{0.4, 0.5},  {0.2, 0.6},   {0.1, 0.65},  {0.32, 0.55}, {0.08, 0.7},
                                       {0.02, 0.7}, {0.064, NAN}, {0.008, 0.9}, {0.001, 0.2}};
static ath_report_row rows[ROWS] = {{"ddim", NULL, 5, 5, 0.1, scores[0], NAN},
                                    {"ddim", NULL, 10, 10, 0.2, scores[1], NAN},
                                    {"ddim", NULL, 20, 20, 0.4, scores[2], NAN},
                                    {"heun", "", 5, 9, 0.2, scores[3], NAN},
                                    {"heun", "", 10, 19, 0.41, scores[4], NAN},
                                    {"heun", "", 20, 39, 12.5, scores[5], NAN},
                                    {"unipc", "order=3,note=\"a \"\"b\nc", 5, 5, 0.1, scores[6], NAN},
                                    {"unipc", "order=3,note=\"a \"\"b\nc", 10, 10, NAN, scores[7], NAN},
                                    {"unipc", "order=3,note=\"a \"\"b\nc", 20, 20, 123.4, scores[8], NAN}};
static const ath_report_score columns[2] = {{"error", "distance to the exact solution", true},
                                            {"precision, %", "precision & <recall>", false}};
static const ath_fact facts[2] = {{"command", "athanor compare x --steps 5,10 && echo '</script>'"},
                                  {"note <b>", "\xff is no UTF-8, \xe2\x89\xa4 is"}};
static const ath_report report = {.title = "<script>alert(1)</script>",
                                  .fact = facts,
                                  .n_fact = 2,
                                  .score = columns,
                                  .n_score = 2,
                                  .row = rows,
                                  .n_row = ROWS};

static char *read_text(const char *path) {
    static uint8_t *data; /* static: GCC 12 takes its value for its address otherwise, and warns */
    size_t size;
    CHECK_OK(ath_file_read(path, 1 << 24, &data, &size, &err));
    return (char *)data;
}

static void orders_are_those_of_the_errors(void **state) {
    (void)state;
    ath_report_row shuffled[ROWS];
    for (int i = 0; i < ROWS; i++) shuffled[i] = rows[i * 4 % ROWS];
    ath_report_find_orders(shuffled, ROWS, 0);
    for (int i = 0; i < ROWS; i++) {
        const int row = i * 4 % ROWS;
        if (row % 3 == 0)
            CHECK(isnan(shuffled[i].order), "the coarsest run %d has order %g", row, shuffled[i].order);
        else
            CHECK(fabs(shuffled[i].order - (row / 3 + 1)) < 1e-9, "run %d: order %g, expected %d", row,
                  shuffled[i].order, row / 3 + 1);
    }
    ath_report_find_orders(shuffled, ROWS, 1); /* one of its values is missing */
    for (int i = 0; i < ROWS; i++)
        if (i * 4 % ROWS == 7) CHECK(isnan(shuffled[i].order), "an order from a missing value: %g", shuffled[i].order);
}

static void the_best_is_what_no_cheaper_run_beats(void **state) {
    (void)state;
    /* error: unipc leads at 5, 10 and 20 evaluations; precision: ddim at 5 (unipc's is missing), heun at 9 and, dearer
     * than unipc's 10 evaluations with 0.9, never again */
    static const bool expected[ROWS][2] = {{false, true}, {false, false}, {false, false},
                                           {false, true}, {false, false}, {false, false},
                                           {true, false}, {true, true},   {true, false}};
    for (int i = 0; i < ROWS; i++)
        for (int k = 0; k < 2; k++)
            CHECK(ath_report_is_best(&report, i, k) == expected[i][k], "row %d, score %d", i, k);
    ath_report one = report;
    one.n_row = 1;
    CHECK(ath_report_is_best(&one, 0, 0) && !ath_report_is_marked(&one, 0, 0), "a run alone is marked");
}

static void numbers_have_the_digits_asked_for(void **state) {
    (void)state;
    static const struct {
        double value;
        int digits;
        const char *text;
    } cases[] = {{0.0123, 4, "0.01230"},
                 {41.25, 3, "41.2"},
                 {9.9996, 4, "10.00"},
                 {9.9994, 4, "9.999"},
                 {0, 4, "0"},
                 {123456, 3, "123456"},
                 {1234567, 4, "1.235e6"},
                 {1.24e-4, 2, "1.2e-4"},
                 {0.00099996, 4, "0.001000"},
                 {-0.5, 3, "-0.500"},
                 {1e-300, 3, "1.00e-300"},
                 {NAN, 3, ""},
                 {INFINITY, 3, ""},
                 {1000, 4, "1000"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const ath_shown s = ath_show_number(cases[i].value, cases[i].digits);
        CHECK(strcmp(s.text, cases[i].text) == 0, "%g: \"%s\", expected \"%s\"", cases[i].value, s.text, cases[i].text);
    }
}

/* The next field of RFC 4180, unquoted; *end is ',' or '\n'. */
static const char *next_field(const char *p, char *field, char *end) {
    if (*p == '"') {
        for (p++; *p != '"' || p[1] == '"'; p++) {
            CHECK(*p, "a quote does not end");
            if (*p == '"') p++;
            *field++ = *p;
        }
        p++;
    } else
        for (; *p && *p != ',' && *p != '\n'; p++) {
            CHECK(*p != '"', "a quote within a field: %.20s", p);
            *field++ = *p;
        }
    *field = 0;
    CHECK(*p == ',' || *p == '\n', "a field ends with: %.20s", p);
    *end = *p;
    return p + 1;
}

static void check_number(const char *field, double expected, const char *what, int row) {
    char *end;
    const double got = strtod(field, &end);
    CHECK(isfinite(expected) ? *field && !*end && fabs(got - expected) <= 1e-9 * fabs(expected) : !*field,
          "row %d, %s: \"%s\", expected %.10g", row, what, field, expected);
}

static void the_csv_holds_every_value(void **state) {
    (void)state;
    ath_report_row with_orders[ROWS];
    memcpy(with_orders, rows, sizeof rows);
    ath_report_find_orders(with_orders, ROWS, 0);
    for (int orders = 0; orders < 2; orders++) {
        ath_report r = report;
        if (orders) r.row = with_orders;
        CHECK_OK(ath_report_save_csv(&r, in_folder("t.csv"), &err));
        char *csv = read_text(in_folder("t.csv")), field[200], end;
        static const char *const head[8] = {"sampler", "options", "steps",        "nfe",
                                            "seconds", "error",   "precision, %", "order"};
        const int columns_n = 7 + orders;
        const char *p = csv;
        for (int k = 0; k < columns_n; k++) {
            p = next_field(p, field, &end);
            CHECK(strcmp(field, head[k]) == 0 && end == (k == columns_n - 1 ? '\n' : ','), "head %d is \"%s\"", k,
                  field);
        }
        for (int i = 0; i < ROWS; i++) {
            const ath_report_row *row = &r.row[i];
            const double number[6] = {row->steps, row->nfe, row->seconds, row->score[0], row->score[1], row->order};
            p = next_field(p, field, &end);
            assert_string_equal(field, row->sampler);
            p = next_field(p, field, &end);
            assert_string_equal(field, row->options ? row->options : "");
            for (int k = 2; k < columns_n; k++) {
                p = next_field(p, field, &end);
                check_number(field, number[k - 2], head[k], i);
                CHECK(end == (k == columns_n - 1 ? '\n' : ','), "row %d has another number of fields", i);
            }
        }
        CHECK(*p == 0, "more rows than there were: %.40s", p);
        free(csv);
    }
}

static void the_table_is_aligned_and_marks_the_best(void **state) {
    (void)state;
    static const ath_report_row two[3] = {{"fr\xc3\xa9"
                                           "chet",
                                           NULL, 5, 5, 0.1, scores[0], NAN},
                                          {"fr\xc3\xa9"
                                           "chet",
                                           NULL, 10, 10, 0.1, scores[1], 0.998},
                                          {"x", "eta=1", 100, 1000, 0.1, scores[8], NAN}};
    ath_report r = report;
    static char *text; /* static: as above */
    r.row = two;
    r.n_row = 3;
    CHECK_OK(ath_report_table(&r, &text, &err));
    int width = 0, at = 0, mark_error = -1;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), at++) {
        int shown = 0;
        for (const char *p = line; *p; shown++) p += ath_utf8_length(p);
        CHECK(line[strlen(line) - 1] != ' ', "line %d ends in a space", at);
        if (at == 0) width = shown;
        if (at == 0 || at == 2 || at == 6) CHECK((int)strspn(line, "-") == width, "line %d: %s", at, line);
        if (at == 1) {
            CHECK(shown == width && strstr(line, "NFE"), "line %d: %s", at, line);
            mark_error = (int)(strstr(line, "error") - line) + 5; /* marks stand in a column of their own */
        }
        /* the accent is a byte more */
        if (at == 3)
            CHECK(strncmp(line,
                          "fr\xc3\xa9"
                          "chet ",
                          9) == 0 &&
                      line[mark_error + 1] == '*',
                  "%s", line);
        if (at == 4) CHECK(line[0] == ' ' && line[mark_error] == '*' && shown == width, "%s", line);
        if (at == 5)
            CHECK(strncmp(line, "x:eta=1 ", 8) == 0 && line[mark_error] == '*' && strstr(line, "1000"), "%s", line);
        if (at == 7) CHECK(line[0] == '*', "%s", line);
    }
    CHECK(at == 8, "%d lines", at);
    free(text);
}

static void a_report_of_nothing_is_a_report(void **state) {
    (void)state;
    const ath_report none = {.title = "nothing"};
    char *text;
    CHECK_OK(ath_report_table(&none, &text, &err));
    CHECK(strstr(text, "sampler") != NULL, "%s", text);
    free(text);
    CHECK_OK(ath_report_save_csv(&none, in_folder("n.csv"), &err));
    CHECK_OK(ath_report_save_html(&none, in_folder("n.html"), &err));
    char *html = read_text(in_folder("n.html"));
    check_well_formed(html);
    free(html);
}

/* What the base64 of a picture in a page stands for. */
static size_t decode(const char *s, uint8_t *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    unsigned bits = 0;
    for (int have = 0; *s != '"' && *s != '='; s++) {
        bits = bits << 6 | (unsigned)(strchr(digits, *s) - digits);
        have += 6;
        if (have >= 8) out[n++] = (uint8_t)(bits >> (have -= 8));
    }
    return n;
}

static void the_page_stands_alone(void **state) {
    (void)state;
    static uint8_t grey[40 * 30];
    ath_report r = report;
    r.grid_path = in_folder("grid.png");
    r.grid_caption = "\"onerror=\"alert(1)\" <i>";
    for (int i = 0; i < 40 * 30; i++) grey[i] = (uint8_t)(i * i);
    CHECK_OK(ath_png_save(r.grid_path, grey, 30, 40, 1, NULL, 0, &err));
    CHECK_OK(ath_report_save_html(&r, in_folder("r.html"), &err));
    char *html = read_text(in_folder("r.html"));
    check_well_formed(html);

    uint8_t *png, *held = malloc(strlen(html));
    size_t size;
    CHECK_OK(ath_file_read(in_folder("grid.png"), 1 << 20, &png, &size, &err));
    const char *data = strstr(html, "src=\"data:image/png;base64,");
    CHECK(data != NULL, "the grid is not in the page");
    CHECK(decode(data + 27, held) == size && memcmp(held, png, size) == 0, "the grid in the page is another");
    free(png);
    free(held);

    int sources = 0, links = 0;
    for (const char *p = html; (p = strstr(p, "src=")); p++) sources++;
    for (const char *p = html; (p = strstr(p, "http")); p++)
        links += strncmp(p, "http://www.w3.org/2000/svg\"", 27) != 0;
    for (const char *p = html; (p = strstr(p, "http-equiv")); p++) links--;
    CHECK(sources == 1 && links == 0 && !strstr(html, "href") && !strstr(html, "@import") && !strstr(html, "url("),
          "%d sources, %d links", sources, links);
    CHECK(!strstr(html, "<script>alert") && !strstr(html, "<b>") && !strstr(html, "<i>") && !strstr(html, "\"onerror"),
          "text became code");
    CHECK(strstr(html, "<h1>&lt;script&gt;alert(1)&lt;/script&gt;</h1>") != NULL, "the title is not there");
    CHECK(strstr(html, "\xef\xbf\xbd is no UTF-8, \xe2\x89\xa4 is") != NULL, "the second fact is not there");
    free(html);
}

static void the_page_holds_every_run_and_both_plots(void **state) {
    (void)state;
    CHECK_OK(ath_report_save_html(&report, in_folder("r.html"), &err));
    char *html = read_text(in_folder("r.html"));
    int svgs = 0, runs = 0, bold = 0;
    for (const char *p = html; (p = strstr(p, "<svg xmlns")); p++) svgs++;
    const char *p = strstr(html, "<tbody>");
    for (; (p = strstr(p, "<tr>")); p++) {
        char cell[64];
        if (isfinite(scores[runs][1])) {
            snprintf(cell, sizeof cell, "<td data-value=\"%.17g\">", scores[runs][1]);
            const char *found = strstr(p, cell), *end = strstr(p, "</tr>");
            CHECK(found && found < end, "run %d lacks %s", runs, cell);
        }
        runs++;
    }
    for (const char *q = html, *end = strstr(html, "</tbody>"); (q = strstr(q, "\"><strong>")) && q < end; q++) bold++;
    CHECK(svgs == 2 && runs == ROWS && bold == 6, "%d plots, %d runs, %d marked", svgs, runs, bold);
    CHECK(strstr(html, "sampler:") == NULL && strstr(html, "unipc:order=3") != NULL,
          "curves are not named as on the command line");
    free(html);
}

static void a_plot_is_saved(void **state) {
    (void)state;
    uint8_t *pixel;
    int h, w, c;
    CHECK_OK(ath_report_save_plot(&report, 1, in_folder("p.png"), &err));
    CHECK_OK(ath_png_load(in_folder("p.png"), &pixel, &h, &w, &c, &err));
    CHECK(w >= 900 && h >= 540 && c == 3, "%d x %d x %d", w, h, c);
    free(pixel);
    char *svg;
    CHECK_OK(ath_report_plot_svg(&report, 0, &svg, &err));
    check_well_formed(svg);
    int curves = 0;
    for (const char *p = svg; (p = strstr(p, "<g>")); p++) curves++;
    CHECK(curves == 3, "%d curves", curves);
    free(svg);
}

static void a_failure_leaves_the_old_files(void **state) {
    (void)state;
    CHECK_OK(ath_file_write(in_folder("r.html"), "old", 3, &err));
    CHECK_OK(ath_file_write(in_folder("no.png"), "GIF89a, is it not", 17, &err));
    ath_report r = report;
    r.grid_path = in_folder("missing.png");
    CHECK_FAILS(ath_report_save_html(&r, in_folder("r.html"), &err), ATH_E_IO, "missing.png");
    r.grid_path = in_folder("no.png");
    CHECK_FAILS(ath_report_save_html(&r, in_folder("r.html"), &err), ATH_E_FORMAT, "no.png");
    char *html = read_text(in_folder("r.html"));
    assert_string_equal(html, "old");
    free(html);
    CHECK(count_entries(folder) == 2, "something was left");
    CHECK_FAILS(ath_report_save_csv(&report, in_folder("no/t.csv"), &err), ATH_E_IO, "no/t.csv");
    CHECK_FAILS(ath_report_save_plot(&report, 0, in_folder("no/p.png"), &err), ATH_E_IO, "no/p.png");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(orders_are_those_of_the_errors),
        TEST(the_best_is_what_no_cheaper_run_beats),
        TEST(numbers_have_the_digits_asked_for),
        TEST(the_csv_holds_every_value),
        TEST(the_table_is_aligned_and_marks_the_best),
        TEST(a_report_of_nothing_is_a_report),
        TEST(the_page_stands_alone),
        TEST(the_page_holds_every_run_and_both_plots),
        TEST(a_plot_is_saved),
        TEST(a_failure_leaves_the_old_files),
    };
    return cmocka_run_group_tests_name("reports", tests, NULL, NULL);
}
