/* Grids, single images and plots: where each pixel must be, and that no data breaks them. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include <float.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/file.h"
#include "io/grid.h"
#include "io/plot.h"

static ath_err err;

typedef struct picture {
    uint8_t *pixel;
    int h, w, c;
} picture;

static picture load(const char *path) {
    picture p;
    CHECK_OK(ath_png_load(path, &p.pixel, &p.h, &p.w, &p.c, &err));
    return p;
}

static unsigned noise_state = 1;
static float noise(void) { /* in [-1.2, 1.2): some must be clamped */
    noise_state = noise_state * 1664525u + 1013904223u;
    return (float)(noise_state >> 8) / 16777216.0f * 2.4f - 1.2f;
}

/* ---- grids ---- */

/* The rule of the header, said once more, pixel by pixel. */
static int expected_byte(const float *x, int n, int h, int w, int c, int cols, int zoom, int v, int u, int k) {
    const int cell_h = h * zoom + 2, cell_w = w * zoom + 2;
    const int row = (v - 2 + cell_h) / cell_h - 1, col = (u - 2 + cell_w) / cell_w - 1;
    const int in_v = v - 2 - row * cell_h, in_u = u - 2 - col * cell_w;
    if (row < 0 || col < 0 || in_v >= h * zoom || in_u >= w * zoom || row * cols + col >= n) return 40;
    const float value = x[(((row * cols + col) * h + in_v / zoom) * w + in_u / zoom) * c + k];
    const double p = rint((value + 1.0) * 127.5);
    return p < 0 ? 0 : p > 255 ? 255 : (int)p;
}

static void every_pixel_of_a_grid_is_where_the_rule_puts_it(void **state) {
    (void)state;
    static const struct {
        int n, h, w, c, cols, rows, zoom;
    } cases[] = {{5, 28, 28, 1, 3, 2, 2}, {6, 28, 28, 3, 3, 2, 2}, {9, 8, 8, 3, 2, 2, 8},  {1, 64, 64, 1, 1, 1, 1},
                 {4, 70, 65, 3, 4, 1, 1}, {0, 16, 16, 1, 2, 3, 4}, {3, 1, 1, 1, 3, 1, 64}, {2, 5, 9, 1, 1, 3, 7},
                 {3, 32, 20, 3, 5, 5, 2}, {2, 63, 40, 1, 2, 1, 1}};
    static float x[9 * 70 * 70 * 3];
    for (size_t k = 0; k < sizeof x / sizeof *x; k++) x[k] = noise();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const int n = cases[i].n, h = cases[i].h, w = cases[i].w, c = cases[i].c, zoom = cases[i].zoom;
        CHECK_OK(ath_grid_save(in_folder("g.png"), x, n, h, w, c, cases[i].cols, cases[i].rows, NULL, 0, &err));
        const picture p = load(in_folder("g.png"));
        const int height = 2 + cases[i].rows * (h * zoom + 2), width = 2 + cases[i].cols * (w * zoom + 2);
        CHECK(p.h == height && p.w == width && p.c == c, "case %zu: %d x %d x %d, expected %d x %d x %d", i, p.h, p.w,
              p.c, height, width, c);
        for (int v = 0; v < p.h; v++)
            for (int u = 0; u < p.w; u++)
                for (int k = 0; k < c; k++) {
                    const int got = p.pixel[(v * p.w + u) * c + k],
                              expected = expected_byte(x, n, h, w, c, cases[i].cols, zoom, v, u, k);
                    CHECK(got == expected, "case %zu, row %d, column %d: %d, expected %d", i, v, u, got, expected);
                }
        free(p.pixel);
    }
}

static void an_image_keeps_its_size_and_every_byte_value_its_place(void **state) {
    (void)state;
    float x[256];
    for (int p = 0; p < 256; p++) x[p] = (float)p / 127.5f - 1; /* as data sets make them */
    CHECK_OK(ath_image_save(in_folder("i.png"), x, 8, 32, 1, NULL, 0, &err));
    const picture p = load(in_folder("i.png"));
    CHECK(p.h == 8 && p.w == 32 && p.c == 1, "%d x %d x %d", p.h, p.w, p.c);
    for (int k = 0; k < 256; k++) CHECK(p.pixel[k] == k, "%d came back as %d", k, p.pixel[k]);
    free(p.pixel);
}

static void what_is_not_a_number_is_black_and_the_infinite_is_clamped(void **state) {
    (void)state;
    const float x[6] = {NAN, INFINITY, -INFINITY, FLT_MAX, -NAN, 1.0001f};
    const uint8_t expected[6] = {0, 255, 0, 255, 0, 255};
    CHECK_OK(ath_image_save(in_folder("n.png"), x, 2, 1, 3, NULL, 0, &err));
    const picture p = load(in_folder("n.png"));
    assert_memory_equal(p.pixel, expected, 6);
    free(p.pixel);
    CHECK_OK(ath_grid_save(in_folder("n.png"), x, 6, 1, 1, 1, 6, 1, NULL, 0, &err));
    const picture g = load(in_folder("n.png"));
    for (int k = 0; k < 6; k++) assert_int_equal(g.pixel[30 * g.w + 2 + 66 * k + 30], expected[k]);
    free(g.pixel);
}

static void a_grid_that_cannot_be_is_refused(void **state) {
    (void)state;
    const float x[3] = {0};
    const char *path = in_folder("bad.png");
    CHECK_FAILS(ath_grid_save(path, x, 1, 1, 1, 2, 1, 1, NULL, 0, &err), ATH_E_ARG, "c = 1 or 3");
    CHECK_FAILS(ath_grid_save(path, x, 1, 0, 1, 1, 1, 1, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_grid_save(path, x, 1, 1, 1, 1, 0, 1, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_grid_save(path, x, 1, 1, 1, 1, 1, -1, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_grid_save(path, x, -1, 1, 1, 1, 1, 1, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_grid_save(path, x, 0, 1 << 30, 1 << 30, 3, 1 << 30, 1 << 30, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_image_save(path, x, 1, 1, 4, NULL, 0, &err), ATH_E_ARG, path);
    CHECK_FAILS(ath_image_save(in_folder("no/i.png"), x, 1, 1, 3, NULL, 0, &err), ATH_E_IO, "no/i.png");
    CHECK_FAILS(ath_grid_save(in_folder("no/g.png"), x, 1, 1, 1, 1, 1, 1, NULL, 0, &err), ATH_E_IO, "no/g.png");
    CHECK(!ath_path_exists(path), "%s was written", path);
}

/* ---- plots ---- */

enum { N = 400 };
static double px[N], py[N];

static picture draw(const ath_plot *plot) {
    CHECK_OK(ath_plot_save(in_folder("p.png"), plot, &err));
    return load(in_folder("p.png"));
}

/* The first curve's blue, told from greys: how much bluer than red, 0..1. */
static double blueness(const picture *p, int v, int u) {
    const uint8_t *pixel = p->pixel + 3 * (v * p->w + u);
    return (pixel[2] - pixel[0]) / 178.0;
}

/* The height of the curve's centre in a column of pixels; NAN where there is none. */
static double centre(const picture *p, int u) {
    double sum = 0, weight = 0;
    for (int v = 0; v < p->h; v++) {
        const double b = blueness(p, v, u);
        if (b > 0.02) sum += b * v, weight += b;
    }
    return weight > 0 ? sum / weight : NAN;
}

static void ends_of_curve(const picture *p, int *from, int *to) {
    *from = p->w;
    *to = -1;
    for (int u = 0; u < p->w; u++)
        if (!isnan(centre(p, u))) {
            if (u < *from) *from = u;
            *to = u;
        }
}

/* The greatest distance of the centres from the straight line between two of them. */
static double bend(const picture *p, int from, int to) {
    const double a = centre(p, from), b = centre(p, to);
    double most = 0;
    for (int u = from; u <= to; u++) most = fmax(most, fabs(centre(p, u) - (a + (b - a) * (u - from) / (to - from))));
    return most;
}

static void a_plot_has_the_size_asked_for(void **state) {
    (void)state;
    ath_plot plot = {.title = "t"};
    picture p = draw(&plot);
    CHECK(p.w == 900 && p.h == 540 && p.c == 3, "default: %d x %d x %d", p.w, p.h, p.c);
    free(p.pixel);
    plot.width = 160;
    plot.height = 120;
    p = draw(&plot);
    CHECK(p.w == 160 && p.h == 120, "%d x %d", p.w, p.h);
    free(p.pixel);
    static const int bad[][2] = {{1, 300}, {-900, 540}, {900, 1}, {9000, 540}, {900, 1 << 30}};
    for (int i = 0; i < 5; i++) {
        plot.width = bad[i][0];
        plot.height = bad[i][1];
        CHECK_FAILS(ath_plot_save(in_folder("bad.png"), &plot, &err), ATH_E_ARG, "bad.png");
    }
}

static void on_axes_of_the_right_kind_the_curve_is_straight(void **state) {
    (void)state;
    for (int log_x = 0; log_x < 2; log_x++)
        for (int log_y = 0; log_y < 2; log_y++) {
            for (int i = 0; i < N; i++) {
                const double t = 0.1 + i / 100.0;
                px[i] = log_x ? pow(10, t) : t;
                py[i] = log_y ? pow(10, -1.5 * t) : 3 - 7 * t;
            }
            const ath_curve curve = {NULL, px, py, N, false};
            ath_plot plot = {.log_x = log_x, .log_y = log_y, .curve = &curve, .n_curve = 1};
            picture p = draw(&plot);
            int from, to;
            ends_of_curve(&p, &from, &to);
            CHECK(to - from > 700, "the curve spans columns %d to %d of %d", from, to, p.w);
            CHECK(centre(&p, from + 5) < 100 && centre(&p, to - 5) > 440, "a falling curve goes from %.0f to %.0f",
                  centre(&p, from + 5), centre(&p, to - 5));
            /* half a pixel is what anti-aliasing and the 8 bits of a column's centre leave */
            CHECK(bend(&p, from + 5, to - 5) < 0.5, "log_x %d, log_y %d: %.2f pixels from straight", log_x, log_y,
                  bend(&p, from + 5, to - 5));
            free(p.pixel);
            plot.log_y = !log_y;
            if (!log_y)
                for (int i = 0; i < N; i++) py[i] += 100; /* a log axis needs positive values */
            p = draw(&plot);
            ends_of_curve(&p, &from, &to);
            CHECK(bend(&p, from + 5, to - 5) > 2, "on the other axis the curve should bend, but %.2f",
                  bend(&p, from + 5, to - 5));
            free(p.pixel);
        }
}

static void a_point_that_is_not_finite_breaks_the_line(void **state) {
    (void)state;
    static const double no_number[] = {NAN, INFINITY, -INFINITY};
    for (int j = 0; j < 3; j++) {
        for (int i = 0; i < N; i++) px[i] = i, py[i] = sin(i * 0.05);
        for (int i = 150; i < 250; i++) py[i] = no_number[j];
        const ath_curve curve = {NULL, px, py, N, false};
        const picture p = draw(&(ath_plot){.curve = &curve, .n_curve = 1});
        int from, to;
        ends_of_curve(&p, &from, &to);
        for (int u = from + 2; u < to - 2; u++) {
            const double at = (double)(u - from) / (to - from) * (N - 1);
            if (at > 152 && at < 247) CHECK(isnan(centre(&p, u)), "ink in the gap, at x = %.0f", at);
            if (at < 146 || at > 253) CHECK(!isnan(centre(&p, u)), "no ink at x = %.0f", at);
        }
        free(p.pixel);
    }
}

static void points_a_log_axis_cannot_show_leave_no_trace(void **state) {
    (void)state;
    for (int i = 0; i < N; i++) px[i] = i + 1, py[i] = 1 + i % 7;
    ath_curve curve = {"c", px, py, N, false};
    const ath_plot plot = {.log_x = true, .log_y = true, .curve = &curve, .n_curve = 1};
    CHECK_OK(ath_plot_save(in_folder("without.png"), &plot, &err));
    double more_x[N + 4], more_y[N + 4];
    memcpy(more_x + 2, px, sizeof px);
    memcpy(more_y + 2, py, sizeof py);
    more_x[0] = 0, more_y[0] = 5;
    more_x[1] = 3, more_y[1] = 0;
    more_x[N + 2] = 3, more_y[N + 2] = -2;
    more_x[N + 3] = -1e9, more_y[N + 3] = 2;
    curve = (ath_curve){"c", more_x, more_y, N + 4, false};
    CHECK_OK(ath_plot_save(in_folder("with.png"), &plot, &err));
    uint8_t *a, *b;
    size_t n, m;
    CHECK_OK(ath_file_read(in_folder("without.png"), 1 << 24, &a, &n, &err));
    CHECK_OK(ath_file_read(in_folder("with.png"), 1 << 24, &b, &m, &err));
    CHECK(n == m && memcmp(a, b, n) == 0, "the two plots differ");
    free(a);
    free(b);
}

static void a_long_curve_still_shows_its_extremes(void **state) {
    (void)state;
    enum { MANY = 200000 };
    double *x = malloc(MANY * sizeof *x), *y = malloc(MANY * sizeof *y);
    for (int i = 0; i < MANY; i++) x[i] = i, y[i] = 0;
    y[70001] = 1; /* one point in 250 of its column */
    y[140002] = -1;
    const ath_curve curve = {NULL, x, y, MANY, false};
    const picture p = draw(&(ath_plot){.curve = &curve, .n_curve = 1});
    int up = 0, down = 0, from, to;
    ends_of_curve(&p, &from, &to);
    const double middle = centre(&p, from + 40);
    for (int u = 0; u < p.w; u++) {
        up += centre(&p, u) < middle - 50;
        down += centre(&p, u) > middle + 50;
    }
    CHECK(up >= 1 && up <= 4 && down >= 1 && down <= 4, "the spikes cover %d and %d columns", up, down);
    free(p.pixel);
    free(x);
    free(y);
}

static double total_blue(const picture *p) {
    double sum = 0;
    for (int v = 0; v < p->h; v++)
        for (int u = 0; u < p->w; u++) sum += fmax(0, blueness(p, v, u));
    return sum;
}

static void a_faint_curve_is_lighter_and_has_its_partners_colour(void **state) {
    (void)state;
    for (int i = 0; i < N; i++) px[i] = i, py[i] = sin(i * 0.05);
    ath_curve curve[2] = {{NULL, px, py, N, false}, {NULL, px, py, 0, false}};
    const ath_plot plot = {.curve = curve, .n_curve = 2};
    picture p = draw(&plot);
    const double solid = total_blue(&p);
    free(p.pixel);
    curve[0].faint = true; /* its colour is that of the next, which is the first colour again */
    p = draw(&plot);
    const double faint = total_blue(&p);
    CHECK(faint > 0.1 * solid && faint < 0.5 * solid, "faint %.0f, solid %.0f", faint, solid);
    free(p.pixel);
}

static void no_data_breaks_a_plot(void **state) {
    (void)state;
    static const double odd[] = {0,        -0.0,    1,      1,     NAN,    INFINITY, -INFINITY, DBL_MAX,
                                 -DBL_MAX, DBL_MIN, 5e-324, 1e300, -1e300, 1e-300,   -1e-300,   1 + DBL_EPSILON,
                                 3,        1e18,    -7,     1e-9};
    enum { N_ODD = sizeof odd / sizeof odd[0] };
    char long_text[1000];
    memset(long_text, 'W', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = 0;
    ath_curve curve[60];
    for (int k = 0; k < 60; k++)
        curve[k] = (ath_curve){k % 3 ? long_text + 10 * k : "\xc3\xa9\n\x7f", odd, odd, N_ODD, k % 2};
    for (int kind = 0; kind < 4; kind++) {
        ath_plot plot = {.title = long_text,
                         .x_label = long_text,
                         .y_label = "\xff",
                         .log_x = kind & 1,
                         .log_y = kind & 2,
                         .curve = curve,
                         .n_curve = 60,
                         .width = kind % 2 ? 160 : 0,
                         .height = kind % 2 ? 120 : 0};
        CHECK_OK(ath_plot_save(in_folder("p.png"), &plot, &err));
        /* every pair of odd values as the ends of both axes */
        for (int i = 0; i < N_ODD; i++)
            for (int j = 0; j < N_ODD; j += 3) {
                const double ends[2] = {odd[i], odd[j]}, swapped[2] = {odd[j], odd[i]};
                const ath_curve two = {"two", ends, i % 2 ? ends : swapped, 2, false};
                const ath_plot small = {
                    .log_x = kind & 1, .log_y = kind & 2, .curve = &two, .n_curve = 1, .width = 200, .height = 150};
                CHECK_OK(ath_plot_save(in_folder("p.png"), &small, &err));
            }
    }
}

static void a_failed_write_leaves_the_old_plot(void **state) {
    (void)state;
    ath_plot plot = {.title = "old"};
    const char *path = in_folder("kept.png");
    CHECK_OK(ath_plot_save(path, &plot, &err));
    uint8_t *before, *after;
    size_t n, m;
    CHECK_OK(ath_file_read(path, 1 << 24, &before, &n, &err));
    struct rlimit was, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    small = was;
    small.rlim_cur = 100; /* the disk is full after this many bytes */
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    plot.title = "new";
    const ath_status status = ath_plot_save(path, &plot, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    signal(SIGXFSZ, handler);
    CHECK(status == ATH_E_IO && strstr(err.text, path), "status %d: %s", (int)status, err.text);
    CHECK_OK(ath_file_read(path, 1 << 24, &after, &m, &err));
    CHECK(n == m && memcmp(before, after, n) == 0, "the old plot was damaged");
    free(before);
    free(after);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_pixel_of_a_grid_is_where_the_rule_puts_it),
        TEST(an_image_keeps_its_size_and_every_byte_value_its_place),
        TEST(what_is_not_a_number_is_black_and_the_infinite_is_clamped),
        TEST(a_grid_that_cannot_be_is_refused),
        TEST(a_plot_has_the_size_asked_for),
        TEST(on_axes_of_the_right_kind_the_curve_is_straight),
        TEST(a_point_that_is_not_finite_breaks_the_line),
        TEST(points_a_log_axis_cannot_show_leave_no_trace),
        TEST(a_long_curve_still_shows_its_extremes),
        TEST(a_faint_curve_is_lighter_and_has_its_partners_colour),
        TEST(no_data_breaks_a_plot),
        TEST(a_failed_write_leaves_the_old_plot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
