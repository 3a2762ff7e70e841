/* A line plot as a PNG: see plot.h. Ticks stand at 1, 2 or 5 times a power of ten; the
 * legend goes where the fewest drawn pixels are. Curves longer than the picture is wide
 * are thinned to four points a pixel column, which draws the same (M4: Jugel et al.,
 * VLDB 2014). A faint curve takes the colour of the next that is not faint, or of the
 * last when none follows, so that raw and smoothed values come in pairs. */
#include "io/plot.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/canvas.h"
#include "io/png.h"

enum {
    MAX_TICK = 100,
    MAX_LEGEND = 24,
    LINE_HEIGHT = 18,
    MARKED = 32 /* a curve of no more points than this shows each as a dot */
};

/* The colours of Okabe and Ito, told apart by most colour-blind eyes, without the yellow. */
static const ath_colour palette[] = {{0, 114, 178}, {213, 94, 0},   {0, 158, 115}, {204, 121, 167},
                                     {230, 159, 0}, {86, 180, 233}, {90, 90, 90}};
enum { N_PALETTE = sizeof palette / sizeof palette[0] };
static const ath_colour white = {255, 255, 255}, ink = {50, 50, 50}, line_grey = {130, 130, 130},
                        grid_grey = {226, 226, 226}, minor_grey = {241, 241, 241};

typedef struct tick {
    double at; /* in the axis' own measure: the value or its log10 */
    char label[32];
    bool minor; /* a line without a label */
} tick;

typedef struct axis {
    bool log;
    double lo, hi;      /* the same measure */
    int pixel0, pixel1; /* where lo and hi are */
    int n_tick;
    tick tick[MAX_TICK];
} axis;

static double to_pixel(const axis *a, double at) {
    return a->pixel0 + (at - a->lo) / (a->hi - a->lo) * (a->pixel1 - a->pixel0);
}

/* The value in the axis' measure; false when it cannot be shown. Beyond 1e300 differences
 * overflow, below 1e-300 they lose their digits. */
static bool measure(const axis *a, double value, double *at) {
    if (!(fabs(value) <= 1e300) || (a->log && !(value >= 1e-300))) return false;
    *at = a->log ? log10(value) : fabs(value) >= 1e-300 ? value : 0;
    return true;
}

/* ---- ranges and ticks ---- */

static void find_range(axis *a, axis *b, const ath_plot *plot) {
    double lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    for (int k = 0; k < plot->n_curve; k++)
        for (int i = 0; i < plot->curve[k].n; i++) {
            double at[2];
            if (!measure(a, plot->curve[k].x[i], &at[0]) || !measure(b, plot->curve[k].y[i], &at[1])) continue;
            for (int j = 0; j < 2; j++) {
                lo[j] = fmin(lo[j], at[j]);
                hi[j] = fmax(hi[j], at[j]);
            }
        }
    axis *both[2] = {a, b};
    for (int j = 0; j < 2; j++) {
        if (lo[j] > hi[j]) lo[j] = 0, hi[j] = 1;
        /* a range that double could not divide into ticks, or none at all, is opened around its middle */
        const double size = fmax(both[j]->log ? 1 : 0, fmax(fabs(lo[j]), fabs(hi[j])));
        if (hi[j] - lo[j] <= 1e-9 * size || hi[j] == lo[j]) {
            const double open = both[j]->log ? 0.5 : size > 0 ? 0.1 * size : 1;
            lo[j] -= open;
            hi[j] += open;
        }
        both[j]->lo = lo[j];
        both[j]->hi = hi[j];
    }
    const double room = 0.05 * (b->hi - b->lo);
    const bool from_zero = !b->log && b->lo >= 0 && b->lo < room;
    b->lo = from_zero ? 0 : b->lo - room;
    b->hi += room;
}

/* "1e-05" to "1e-5", "2e+06" to "2e6". */
static void shorten_exponent(char *text) {
    char *e = strchr(text, 'e');
    if (!e) return;
    char *to = e + 1, *from = e + 1;
    if (*from == '-') to++;
    from++;
    while (*from == '0' && from[1]) from++;
    memmove(to, from, strlen(from) + 1);
}

static void add_tick(axis *a, double at, const char *label) {
    if (a->n_tick == MAX_TICK) return;
    const double slack = 1e-9 * (a->hi - a->lo);
    if (!(at >= a->lo - slack && at <= a->hi + slack)) return;
    tick *t = &a->tick[a->n_tick++];
    t->at = at;
    t->minor = label == NULL;
    snprintf(t->label, sizeof t->label, "%s", label ? label : "");
}

/* The smallest 1, 2 or 5 times a power of ten that is no less than `least`. */
static double nice_step(double least) {
    const double power = pow(10, floor(log10(least)));
    const double f = least / power;
    return power * (f <= 1 ? 1 : f <= 2 ? 2 : f <= 5 ? 5 : 10);
}

/* Ticks at multiples of a round step between two values; on a log axis they are placed by their log. */
static void linear_ticks(axis *a, double lo, double hi, int want) {
    const double step = nice_step((hi - lo) / want), size = fmax(fabs(lo), fabs(hi));
    double unit = 1;
    const char *suffix = "";
    if (size >= 1e5 && size < 1e13) {
        unit = size >= 1e9 ? 1e9 : size >= 1e6 ? 1e6 : 1e3;
        suffix = size >= 1e9 ? "G" : size >= 1e6 ? "M" : "k";
    }
    const int decimals = (int)fmax(0, -floor(log10(step / unit) + 1e-6));
    const bool scientific = decimals > 6 || size >= 1e13;
    const int digits = (int)fmin(12, fmax(0, floor(log10(size) + 1e-6) - floor(log10(step) + 1e-6)));
    for (double k = ceil(lo / step - 1e-6); k * step <= hi + 1e-6 * step; k++) {
        const double value = k * step;
        char label[sizeof a->tick->label];
        if (k == 0)
            snprintf(label, sizeof label, "0");
        else if (scientific)
            snprintf(label, sizeof label, "%.*e", digits, value);
        else
            snprintf(label, sizeof label, "%.*f%s", decimals, value / unit, suffix);
        shorten_exponent(label);
        if (!a->log)
            add_tick(a, value, label);
        else if (value > 0)
            add_tick(a, log10(value), label);
    }
}

static void log_ticks(axis *a, int want) {
    const double span = a->hi - a->lo;
    if (span < 0.7) { /* less than from 1 to 5: powers of ten would leave the axis bare */
        linear_ticks(a, pow(10, a->lo), pow(10, a->hi), want);
        return;
    }
    const int every = (int)ceil(span / want);
    const bool with_2_and_5 = span < 2;
    for (int e = (int)floor(a->lo); e <= (int)ceil(a->hi); e++)
        for (int m = 1; m < 10; m++) {
            if (m > 1 && every > 1) break;
            const bool labelled = (m == 1 && e % every == 0) || ((m == 2 || m == 5) && with_2_and_5);
            char label[sizeof a->tick->label];
            snprintf(label, sizeof label, m * pow(10, e) >= 1e5 || e < -4 ? "%.0e" : "%g", m * pow(10, e));
            shorten_exponent(label);
            add_tick(a, e + log10(m), labelled ? label : NULL);
        }
}

static void find_ticks(axis *a, int want) {
    a->n_tick = 0;
    if (want < 2) want = 2;
    if (a->log)
        log_ticks(a, want);
    else
        linear_ticks(a, a->lo, a->hi, want);
}

/* ---- curves ---- */

typedef struct pen {
    ath_canvas *canvas;
    double x, y, radius;
    int n; /* points since it was put down */
} pen;

static void line_to(pen *p, double x, double y) {
    if (p->n++) ath_canvas_stroke(p->canvas, p->x, p->y, x, y, p->radius);
    p->x = x;
    p->y = y;
}

/* A point alone between gaps would not show as a line: it becomes a dot. */
static void lift(pen *p) {
    if (p->n == 1) ath_canvas_stroke(p->canvas, p->x, p->y, p->x, p->y, p->radius + 1.2);
    p->n = 0;
}

/* The points of a run within one pixel column: its first and last, lowest and highest. */
typedef struct column {
    double x[4], y[4];
    int index[4]; /* of the points in the run, in the order first, lowest, highest, last */
    int n;
} column;

static void add_to_column(column *c, double x, double y) {
    for (int j = 0; j < 4; j++) {
        const bool takes = c->n == 0 || j == 3 || (j == 1 && y > c->y[1]) || (j == 2 && y < c->y[2]);
        if (!takes) continue;
        c->x[j] = x;
        c->y[j] = y;
        c->index[j] = c->n;
    }
    c->n++;
}

static void draw_column(column *c, pen *p) {
    if (c->n == 0) return;
    const bool swap = c->index[1] > c->index[2];
    const int order[4] = {0, swap ? 2 : 1, swap ? 1 : 2, 3};
    int last = -1;
    for (int j = 0; j < 4; j++)
        if (c->index[order[j]] > last) {
            line_to(p, c->x[order[j]], c->y[order[j]]);
            last = c->index[order[j]];
        }
    c->n = 0;
}

static void draw_curve(ath_canvas *canvas, const ath_curve *curve, const axis *a, const axis *b, ath_colour colour,
                       uint8_t *touched) {
    pen p = {.canvas = canvas, .radius = curve->faint ? 0.5 : 0.85};
    column c = {.n = 0};
    double at_column = 0;
    for (int i = 0; i < curve->n; i++) {
        double u, v;
        if (!measure(a, curve->x[i], &u) || !measure(b, curve->y[i], &v)) {
            draw_column(&c, &p);
            lift(&p);
            continue;
        }
        const double x = to_pixel(a, u), y = to_pixel(b, v);
        if (curve->n <= MARKED && !curve->faint) ath_canvas_stroke(canvas, x, y, x, y, 2.4);
        if (c.n && floor(x) != at_column) draw_column(&c, &p);
        at_column = floor(x);
        add_to_column(&c, x, y);
    }
    draw_column(&c, &p);
    lift(&p);
    ath_canvas_ink(canvas, colour, curve->faint ? 0.35 : 1, touched);
}

/* The colour of curve k: its place among those that are not faint. */
static ath_colour colour_of(const ath_plot *plot, int k) {
    int place = 0, n_solid = 0;
    for (int i = 0; i < plot->n_curve; i++) {
        if (plot->curve[i].faint) continue;
        if (i < k) place++;
        n_solid++;
    }
    if (place > 0 && place == n_solid && plot->curve[k].faint) place--; /* none follows */
    return palette[place % N_PALETTE];
}

/* ---- text around the curves ---- */

/* Text cut with ".." to fit `room` pixels. */
static void fit_text(char *out, size_t size, const char *text, double room, double scale) {
    snprintf(out, size, "%s", text ? text : "");
    size_t len = strlen(out);
    while (len > 2 && ath_text_width(out, scale) > room) {
        len--;
        strcpy(out + len - 2, "..");
    }
}

static void draw_axes(ath_canvas *c, const axis *a, const axis *b) {
    for (int pass = 0; pass < 2; pass++) { /* minor lines lie under the others */
        const bool minor = pass == 0;
        const ath_colour colour = minor ? minor_grey : grid_grey;
        for (int i = 0; i < a->n_tick; i++) {
            const int x = (int)lround(to_pixel(a, a->tick[i].at));
            if (a->tick[i].minor == minor) ath_canvas_fill(c, (ath_box){x, b->pixel1, x + 1, b->pixel0}, colour, 1);
        }
        for (int i = 0; i < b->n_tick; i++) {
            const int y = (int)lround(to_pixel(b, b->tick[i].at));
            if (b->tick[i].minor == minor) ath_canvas_fill(c, (ath_box){a->pixel0, y, a->pixel1 + 1, y + 1}, colour, 1);
        }
    }
    ath_canvas_fill(c, (ath_box){a->pixel0, b->pixel0, a->pixel1 + 1, b->pixel0 + 1}, line_grey, 1);
    ath_canvas_fill(c, (ath_box){a->pixel0, b->pixel1, a->pixel0 + 1, b->pixel0 + 1}, line_grey, 1);
    double free_from = 0; /* labels that would touch their neighbour are left out */
    for (int i = 0; i < a->n_tick; i++) {
        if (a->tick[i].minor) continue;
        const int x = (int)lround(to_pixel(a, a->tick[i].at));
        const double width = ath_text_width(a->tick[i].label, 1);
        double left = floor(x - width / 2 + 0.5);
        if (left + width > c->w - 3) left = floor(c->w - 3 - width);
        ath_canvas_fill(c, (ath_box){x, b->pixel0 + 1, x + 1, b->pixel0 + 5}, line_grey, 1);
        if (left < free_from) continue;
        ath_canvas_text(c, left, b->pixel0 + 17, 1, false, a->tick[i].label, ink);
        free_from = left + width + 10;
    }
    double free_to = c->h;
    for (int i = 0; i < b->n_tick; i++) {
        if (b->tick[i].minor) continue;
        const int y = (int)lround(to_pixel(b, b->tick[i].at));
        ath_canvas_fill(c, (ath_box){a->pixel0 - 4, y, a->pixel0, y + 1}, line_grey, 1);
        if (y + 5 > free_to) continue;
        ath_canvas_text(c, floor(a->pixel0 - 8 - ath_text_width(b->tick[i].label, 1)), y + 4, 1, false,
                        b->tick[i].label, ink);
        free_to = y - 5 - 4;
    }
}

static long count_touched(const uint8_t *touched, int stride, ath_box box) {
    long n = 0;
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++) n += touched[(size_t)y * (size_t)stride + (size_t)x];
    return n;
}

static void draw_legend(ath_canvas *c, const ath_plot *plot, const axis *a, const axis *b, const uint8_t *touched) {
    enum { SAMPLE = 22, PAD = 9 };
    const int inner_w = a->pixel1 - a->pixel0, inner_h = b->pixel0 - b->pixel1;
    char label[MAX_LEGEND][64];
    int curve[MAX_LEGEND], n = 0;
    double widest = 0;
    for (int k = 0; k < plot->n_curve && n < MAX_LEGEND; k++) {
        if (!plot->curve[k].label || !plot->curve[k].label[0]) continue;
        if ((n + 1) * LINE_HEIGHT + PAD + 16 > inner_h) break;
        fit_text(label[n], sizeof label[n], plot->curve[k].label, inner_w * 0.6 - SAMPLE, 1);
        widest = fmax(widest, ath_text_width(label[n], 1));
        curve[n++] = k;
    }
    const int w = (int)ceil(widest) + SAMPLE + 8 + 2 * PAD, h = n * LINE_HEIGHT + PAD;
    if (n == 0 || w + 16 > inner_w) return;
    const int left[3] = {a->pixel1 - 8 - w, a->pixel0 + 9, (a->pixel0 + a->pixel1 - w) / 2};
    const int top[2] = {b->pixel1 + 8, b->pixel0 - 8 - h};
    ath_box best = {0};
    long fewest = -1;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            const ath_box box = {left[i], top[j], left[i] + w, top[j] + h};
            const long touches = count_touched(touched, c->w, box);
            if (fewest >= 0 && touches >= fewest) continue;
            fewest = touches;
            best = box;
        }
    ath_canvas_fill(c, best, grid_grey, 1);
    ath_canvas_fill(c, (ath_box){best.x0 + 1, best.y0 + 1, best.x1 - 1, best.y1 - 1}, white, 1);
    for (int i = 0; i < n; i++) {
        const ath_curve *k = &plot->curve[curve[i]];
        const int base = best.y0 + PAD / 2 + i * LINE_HEIGHT + 14;
        ath_canvas_stroke(c, best.x0 + PAD, base - 4, best.x0 + PAD + SAMPLE, base - 4, k->faint ? 0.5 : 1);
        ath_canvas_ink(c, colour_of(plot, curve[i]), k->faint ? 0.45 : 1, NULL);
        ath_canvas_text(c, best.x0 + PAD + SAMPLE + 8, base, 1, false, label[i], ink);
    }
}

static double widest_label(const axis *a) {
    double widest = 0;
    for (int i = 0; i < a->n_tick; i++) widest = fmax(widest, ath_text_width(a->tick[i].label, 1));
    return widest;
}

static bool given(const char *text) { return text && text[0]; }

static void draw(ath_canvas *c, const ath_plot *plot, uint8_t *touched) {
    const double title_size = 1.3;
    axis a = {.log = plot->log_x}, b = {.log = plot->log_y};
    find_range(&a, &b, plot);
    b.pixel1 = given(plot->title) ? 42 : 16;
    b.pixel0 = c->h - (given(plot->x_label) ? 52 : 30);
    find_ticks(&b, (b.pixel0 - b.pixel1) / 50);
    a.pixel0 = (int)ceil(widest_label(&b)) + (given(plot->y_label) ? 40 : 18);
    a.pixel1 = c->w - 20;
    find_ticks(&a, (a.pixel1 - a.pixel0) / 90);
    draw_axes(c, &a, &b);

    char text[256];
    const int middle_x = (a.pixel0 + a.pixel1) / 2, middle_y = (b.pixel0 + b.pixel1) / 2;
    fit_text(text, sizeof text, plot->title, c->w - 20, title_size);
    double x = fmin(middle_x - ath_text_width(text, title_size) / 2, c->w - 10 - ath_text_width(text, title_size));
    ath_canvas_text(c, fmax(10, floor(x)), 26, title_size, false, text, ink);
    fit_text(text, sizeof text, plot->x_label, a.pixel1 - a.pixel0, 1);
    ath_canvas_text(c, floor(middle_x - ath_text_width(text, 1) / 2), c->h - 12, 1, false, text, ink);
    fit_text(text, sizeof text, plot->y_label, b.pixel0 - b.pixel1, 1);
    ath_canvas_text(c, 20, floor(middle_y + ath_text_width(text, 1) / 2), 1, true, text, ink);

    c->clip = (ath_box){a.pixel0 - 2, b.pixel1 - 4, a.pixel1 + 4, b.pixel0 + 3};
    for (int pass = 0; pass < 2; pass++) /* faint curves lie under the others */
        for (int k = 0; k < plot->n_curve; k++)
            if (plot->curve[k].faint == (pass == 0))
                draw_curve(c, &plot->curve[k], &a, &b, colour_of(plot, k), touched);
    c->clip = (ath_box){0, 0, c->w, c->h};
    draw_legend(c, plot, &a, &b, touched);
    if (count_touched(touched, c->w, c->clip) == 0)
        ath_canvas_text(c, middle_x - floor(ath_text_width("no data", 1) / 2), middle_y, 1, false, "no data",
                        line_grey);
}

ath_status ath_plot_save(const char *path, const ath_plot *plot, ath_err *err) {
    const int w = plot->width ? plot->width : 900, h = plot->height ? plot->height : 540;
    if (w < 160 || w > 8192 || h < 120 || h > 8192)
        return ath_fail(err, ATH_E_ARG, "%s: cannot plot on %d x %d pixels: expected 160 x 120 to 8192 x 8192", path, w,
                        h);
    ath_canvas canvas;
    uint8_t *touched = calloc((size_t)w * (size_t)h, 1);
    if (!touched || !ath_canvas_create(&canvas, w, h)) {
        free(touched);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for a plot of %d x %d pixels", path, w, h);
    }
    draw(&canvas, plot, touched);
    const ath_status status = ath_png_save(path, canvas.rgb, h, w, 3, NULL, 0, err);
    ath_canvas_destroy(&canvas);
    free(touched);
    return status;
}
