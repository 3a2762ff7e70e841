/* Plots with names: the two pictures of one show the same, the legend covers nothing, many curves are told apart. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "markup.h"
#include "temp_folder.h"
#include <float.h>
#include "io/plot.h"
#include "io/png.h"

static ath_err err;

enum { MOST_CURVES = 56, MOST_POINTS = 40 };
static double xs[MOST_CURVES][MOST_POINTS], ys[MOST_CURVES][MOST_POINTS];
static char labels[MOST_CURVES][64];
static ath_curve curves[MOST_CURVES];

static unsigned noise_state = 1;
static double noise(void) { /* in [0, 1) */
    noise_state = noise_state * 1664525u + 1013904223u;
    return (noise_state >> 8) / 16777216.0;
}

/* n curves as `compare` has them: errors over evaluations. */
static ath_plot comparison(int n, int points) {
    for (int k = 0; k < n; k++) {
        const double order = 0.5 + 2.5 * noise(), factor = 0.1 + 10 * noise();
        for (int i = 0; i < points; i++) {
            xs[k][i] = 5 * pow(2, 4.0 * i / (points - 1)) * (1 + k % 2);
            ys[k][i] = factor * pow(xs[k][i], -order);
        }
        snprintf(labels[k], sizeof labels[k], "sampler %d:order=%d", k, k % 3);
        curves[k] = (ath_curve){labels[k], xs[k], ys[k], points, false};
    }
    return (ath_plot){.title = "error over evaluations",
                      .x_label = "network evaluations (NFE)",
                      .y_label = "distance",
                      .log_x = true,
                      .log_y = true,
                      .curve = curves,
                      .n_curve = n};
}

static char *svg_of(const ath_plot *plot) {
    static char *svg; /* static: GCC 12 takes its value for its address otherwise, and warns */
    CHECK_OK(ath_plot_svg(plot, &svg, &err));
    return svg;
}

/* Whether the picture has a text of just these words, which need no escaping. */
static bool shows(const char *svg, const char *words) {
    const size_t len = strlen(words);
    for (const char *p = svg; (p = strstr(p, words)); p++)
        if (p[-1] == '>' && strncmp(p + len, "</text>", 7) == 0) return true;
    return false;
}

/* A dot of the SVG, which is a line of one point, is where the PNG has the first curve's blue. */
static void both_pictures_have_their_points_in_the_same_places(void **state) {
    (void)state;
    for (int log = 0; log < 4; log++) {
        ath_plot plot = comparison(1, 20);
        plot.log_x = log & 1;
        plot.log_y = log & 2;
        char *svg = svg_of(&plot);
        CHECK_OK(ath_plot_save(in_folder("p.png"), &plot, &err));
        uint8_t *pixel;
        int h, w, c, dots = 0;
        CHECK_OK(ath_png_load(in_folder("p.png"), &pixel, &h, &w, &c, &err));
        for (const char *p = svg; (p = strstr(p, "<path class=\"s0\" d=\"M")); p++) {
            double x, y;
            int n = 0;
            sscanf(p, "<path class=\"s0\" d=\"M%lf %lfh0%n", &x, &y, &n);
            if (n == 0) continue;
            const uint8_t *at = pixel + 3 * ((int)floor(y) * w + (int)floor(x));
            CHECK(at[0] == 0 && at[1] == 114 && at[2] == 178, "at %g, %g: %d %d %d", x, y, at[0], at[1], at[2]);
            dots++;
        }
        CHECK(dots == 20 + 1, "%d dots of 20 and one in the legend", dots);
        free(pixel);
        free(svg);
    }
}

typedef struct rect {
    double x, y, w, h;
} rect;

/* The legend's frame: the only grey rectangle that is no line. */
static rect legend_of(const char *svg) {
    rect r;
    for (const char *p = svg; (p = strstr(p, "<rect class=\"grid\"")); p++) {
        CHECK(sscanf(p, "<rect class=\"grid\" fill=\"currentColor\" x=\"%lf\" y=\"%lf\" width=\"%lf\" height=\"%lf\"",
                     &r.x, &r.y, &r.w, &r.h) == 4,
              "%.100s", p);
        if (r.w > 1 && r.h > 1) return r;
    }
    return (rect){0};
}

/* Walks along the lines of the curves, which stand before the legend, and looks whether any lies under it. */
static void check_legend_is_clear(const char *svg, int n) {
    const rect r = legend_of(svg);
    CHECK(r.w > 0, "%d curves have no legend", n);
    const char *end = strstr(strstr(svg, "<g>"), "</svg>");
    for (const char *p = svg; (p = strstr(p, " d=\"M")) && p < end; p++) {
        double x, y, next_x, next_y;
        int used;
        const char *at = p + 5;
        CHECK(sscanf(at, "%lf %lf%n", &x, &y, &used) == 2, "%.40s", p);
        while (at += used + (at[used] == 'L' || at[used] == ' '),
               sscanf(at, "%lf %lf%n", &next_x, &next_y, &used) == 2) {
            for (int i = 0; i <= 100; i++) {
                const double u = x + (next_x - x) * i / 100, v = y + (next_y - y) * i / 100;
                CHECK(u < r.x || u > r.x + r.w || v < r.y || v > r.y + r.h,
                      "%d curves: a line passes (%.0f, %.0f) under the legend at %.0f, %.0f, %.0f x %.0f", n, u, v, r.x,
                      r.y, r.w, r.h);
            }
            x = next_x;
            y = next_y;
        }
    }
}

static void the_legend_covers_no_curve(void **state) {
    (void)state;
    for (int n = 1; n <= 40; n += n < 12 ? 1 : 7)
        for (int points = 3; points <= 40; points += 37) {
            ath_plot plot = comparison(n, points);
            for (int kind = 0; kind < 4; kind++) {
                plot.log_x = kind & 1;
                plot.log_y = kind & 2;
                char *svg = svg_of(&plot);
                check_legend_is_clear(svg, n);
                for (int k = 0; k < n; k++) {
                    CHECK(shows(svg, labels[k]), "curve %d of %d is not in the legend", k, n);
                }
                free(svg);
            }
        }
}

static void a_legend_that_cannot_be_whole_says_so(void **state) {
    (void)state;
    ath_plot plot = comparison(40, 5);
    plot.width = 900;
    plot.height = 300;
    char *svg = svg_of(&plot);
    const char *more = strstr(svg, ">and ");
    CHECK(more != NULL, "nothing says that curves are missing");
    int shown = 0;
    for (int k = 0; k < 40; k++) shown += shows(svg, labels[k]);
    CHECK(shown > 5 && atoi(more + 5) == 40 - shown, "%d shown, %.12s", shown, more + 1);
    free(svg);
}

/* Of curves through the same points, each must look different. */
static void many_curves_are_told_apart(void **state) {
    (void)state;
    const ath_plot plot = comparison(MOST_CURVES, 5);
    for (int k = 0; k < MOST_CURVES; k++) {
        curves[k].x = xs[0];
        curves[k].y = ys[0];
    }
    char *svg = svg_of(&plot);
    const char *look[MOST_CURVES];
    size_t len[MOST_CURVES];
    const char *p = svg;
    for (int k = 0; k < MOST_CURVES; k++) {
        look[k] = strstr(strstr(p, "<g>"), "</title>");
        p = strstr(look[k], "</g>");
        len[k] = (size_t)(p - look[k]);
        for (int i = 0; i < k; i++)
            CHECK(len[i] != len[k] || memcmp(look[i], look[k], len[k]) != 0, "curves %d and %d look the same", i, k);
    }
    free(svg);
}

static void ticks_are_at_1_2_and_5_times_powers_of_ten(void **state) {
    (void)state;
    static const double from[] = {5, 1, 0.003, 100, 2e-7}, to[] = {100, 60, 0.2, 3000, 9e-6};
    static const char *const expected[5][6] = {{"5", "10", "20", "50", "100"},
                                               {"1", "2", "5", "10", "20", "50"},
                                               {"0.005", "0.01", "0.02", "0.05", "0.1", "0.2"},
                                               {"100", "200", "500", "1000", "2000"},
                                               {"2e-7", "5e-7", "1e-6", "2e-6", "5e-6"}};
    for (int i = 0; i < 5; i++) {
        const double x[2] = {from[i], to[i]}, y[2] = {1, 2};
        const ath_curve curve = {NULL, x, y, 2, false};
        char *svg = svg_of(&(ath_plot){.log_x = true, .curve = &curve, .n_curve = 1});
        for (int k = 0; k < 6 && expected[i][k]; k++) {
            CHECK(shows(svg, expected[i][k]), "%g to %g has no label %s", from[i], to[i], expected[i][k]);
        }
        free(svg);
    }
}

static void no_text_and_no_data_breaks_an_svg(void **state) {
    (void)state;
    static const double odd[] = {0,        -0.0,    1,      NAN,   INFINITY, -INFINITY, DBL_MAX,
                                 -DBL_MAX, DBL_MIN, 5e-324, 1e300, -1e-300,  3};
    enum { N_ODD = sizeof odd / sizeof odd[0] };
    static const char *const texts[] = {"<&>\"'",
                                        "\xff\x01",
                                        "Fr\xc3\xa9"
                                        "chet \xe2\x89\xa4",
                                        "]]>--><script>",
                                        NULL,
                                        ""};
    for (int i = 0; i < 6; i++) {
        char long_text[600];
        memset(long_text, 0, sizeof long_text);
        for (int k = 0; k < 40 && texts[i]; k++) strcat(long_text, texts[i]); /* to be cut, anywhere */
        for (int kind = 0; kind < 4; kind++) {
            const ath_curve two[2] = {{texts[i], odd, odd, N_ODD, false}, {long_text, odd, odd, N_ODD, true}};
            const ath_plot plot = {.title = i % 2 ? long_text : texts[i],
                                   .x_label = texts[i],
                                   .y_label = long_text,
                                   .log_x = kind & 1,
                                   .log_y = kind & 2,
                                   .curve = two,
                                   .n_curve = kind == 3 ? 0 : 2,
                                   .width = kind == 1 ? 160 : 0,
                                   .height = kind == 1 ? 120 : 0};
            char *svg = svg_of(&plot);
            check_well_formed(svg);
            CHECK(strstr(svg, "nan") == NULL && strstr(svg, "inf") == NULL, "a place that is no number");
            CHECK((strstr(svg, "no data") != NULL) == (kind == 3), "kind %d", kind);
            free(svg);
        }
    }
    CHECK_FAILS(ath_plot_svg(&(ath_plot){.width = 1}, &(char *){NULL}, &err), ATH_E_ARG, "160 x 120");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_pictures_have_their_points_in_the_same_places),
        cmocka_unit_test(the_legend_covers_no_curve),
        cmocka_unit_test(a_legend_that_cannot_be_whole_says_so),
        cmocka_unit_test(many_curves_are_told_apart),
        cmocka_unit_test(ticks_are_at_1_2_and_5_times_powers_of_ten),
        cmocka_unit_test(no_text_and_no_data_breaks_an_svg),
    };
    return cmocka_run_group_tests_name("plots", tests, make_folder, remove_folder);
}
