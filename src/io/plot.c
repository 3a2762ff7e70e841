/* A line plot as a PNG or SVG: see plot.h. It is laid out and drawn once, on whichever surface (surface.h). Ticks stand at 1, 2 or
 * 5 times a power of ten. Curves longer than the picture is wide are thinned to four points a pixel column, which draws
 * the same (M4: Jugel et al., VLDB 2014). A faint curve takes the colour of the next that is not faint, or of the
 * last when none follows, so that raw and smoothed values come in pairs. */
#include "io/plot.h"
#include <math.h>
#include <stdio.h>
#include "io/axis.h"
#include "io/png.h"
#include "io/surface.h"

enum {
    MARKED = 32, /* a curve of no more points than this shows each */
    MOST_ENTRIES = 100,
    LINE_HEIGHT = 18, /* of the legend */
    SAMPLE = 30,      /* pixels of a curve in the legend */
    PAD = 9,
    N_MARKER = 8
};

/* Corners of the markers, for a radius of 1; without corners: a dot. */
typedef struct marker {
    int n;
    double corner[ATH_POLYGON][2];
    bool crossed; /* lines from the middle rather than a polygon */
    bool hollow;
} marker;

static const marker markers[N_MARKER] = {
    {0},
    {.n = 4, .corner = {{-0.9, -0.9}, {0.9, -0.9}, {0.9, 0.9}, {-0.9, 0.9}}},
    {.n = 3, .corner = {{0, -1.25}, {1.15, 0.85}, {-1.15, 0.85}}},
    {.n = 4, .corner = {{0, -1.3}, {1.3, 0}, {0, 1.3}, {-1.3, 0}}},
    {.n = 4, .corner = {{-1, -1}, {1, 1}, {1, -1}, {-1, 1}}, .crossed = true},
    {.hollow = true},
    {.n = 3, .corner = {{0, 1.25}, {1.15, -0.85}, {-1.15, -0.85}}},
    {.n = 4, .corner = {{-1.3, 0}, {1.3, 0}, {0, -1.3}, {0, 1.3}}, .crossed = true}};

typedef struct legend {
    int entry[MOST_ENTRIES]; /* the curves that have a name */
    int n, shown;            /* the last line says how many more there are, when not all are */
    int w;
    ath_box box;
} legend;

typedef struct layout {
    const ath_plot *plot;
    int w, h;
    ath_axis x, y;
    bool empty; /* no point can be shown */
    legend legend;
} layout;

static bool given(const char *text) { return text && text[0]; }

/* ---- curves ---- */

typedef struct pen {
    const ath_surface *to;
    ath_style style;
    bool down;
} pen;

static void line_to(pen *p, double x, double y) {
    if (!p->down) p->to->begin(p->to->self, p->style);
    p->down = true;
    p->to->point(p->to->self, x, y);
}

static void lift(pen *p) {
    if (p->down) p->to->end(p->to->self);
    p->down = false;
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

/* The place of curve k among those that are not faint: what it looks like follows from that. */
static int place_of(const ath_plot *plot, int k) {
    int place = 0, n_solid = 0;
    for (int i = 0; i < plot->n_curve; i++) {
        if (plot->curve[i].faint) continue;
        if (i < k) place++;
        n_solid++;
    }
    if (place > 0 && place == n_solid && plot->curve[k].faint) place--; /* none follows */
    return place;
}

/* Colours and markers repeat after different numbers of curves, and dashes change with each round of colours. */
static ath_style style_of(const ath_plot *plot, int k) {
    const bool faint = plot->curve[k].faint;
    const int place = place_of(plot, k);
    return (ath_style){.paint = ATH_SERIES + place % ATH_N_SERIES,
                       .radius = faint ? 0.5 : 0.85,
                       .alpha = faint ? 0.35 : 1,
                       .dash = faint ? 0 : place / ATH_N_SERIES % ATH_N_DASH};
}

static bool has_markers(const ath_curve *curve) { return curve->n <= MARKED && !curve->faint; }

static void draw_dot(const ath_surface *to, double x, double y, double radius, int paint) {
    to->begin(to->self, (ath_style){.paint = paint, .radius = radius, .alpha = 1});
    to->point(to->self, x, y);
    to->end(to->self);
}

static void draw_marker(const ath_surface *to, int place, double x, double y) {
    const marker *m = &markers[place % N_MARKER];
    const double radius = 3.4;
    const int paint = ATH_SERIES + place % ATH_N_SERIES;
    if (m->n == 0) {
        draw_dot(to, x, y, radius, paint);
        if (m->hollow) draw_dot(to, x, y, radius - 1.6, ATH_PAPER);
        return;
    }
    const int line = m->crossed ? 2 : m->n; /* corners of one line or polygon */
    for (int i = 0; i < m->n; i += line) {
        to->begin(to->self, (ath_style){.paint = paint, .radius = 0.9, .alpha = 1, .filled = !m->crossed});
        for (int j = i; j < i + line; j++)
            to->point(to->self, x + radius * m->corner[j][0], y + radius * m->corner[j][1]);
        to->end(to->self);
    }
}

/* Point i of a curve in pixels; false when the axes cannot show it. */
static bool point_at(const layout *l, const ath_curve *curve, int i, double *x, double *y) {
    if (!ath_axis_measure(&l->x, curve->x[i], x) || !ath_axis_measure(&l->y, curve->y[i], y)) return false;
    *x = ath_axis_pixel(&l->x, *x);
    *y = ath_axis_pixel(&l->y, *y);
    return true;
}

static void draw_curve(const ath_surface *to, const layout *l, int k) {
    const ath_curve *curve = &l->plot->curve[k];
    pen p = {.to = to, .style = style_of(l->plot, k)};
    column c = {.n = 0};
    double at_column = 0, x, y;
    for (int i = 0; i < curve->n; i++) {
        if (!point_at(l, curve, i, &x, &y)) {
            draw_column(&c, &p);
            lift(&p);
            continue;
        }
        if (c.n && floor(x) != at_column) draw_column(&c, &p);
        at_column = floor(x);
        add_to_column(&c, x, y);
    }
    draw_column(&c, &p);
    lift(&p);
    if (!has_markers(curve)) return;
    for (int i = 0; i < curve->n; i++)
        if (point_at(l, curve, i, &x, &y)) draw_marker(to, place_of(l->plot, k), x, y);
}

static void draw_curves(const ath_surface *to, const layout *l) {
    for (int pass = 0; pass < 2; pass++) /* faint curves lie under the others */
        for (int k = 0; k < l->plot->n_curve; k++) {
            if (l->plot->curve[k].faint != (pass == 0)) continue;
            const bool named = given(l->plot->curve[k].label);
            if (named) to->group(to->self, l->plot->curve[k].label);
            draw_curve(to, l, k);
            if (named) to->group(to->self, NULL);
        }
}

/* ---- axes ---- */

static double widest_label(const ath_axis *a) {
    double widest = 0;
    for (int i = 0; i < a->n_tick; i++) widest = fmax(widest, ath_canvas_text_width(a->tick[i].label, 1));
    return widest;
}

static void find_ranges(layout *l) {
    const ath_plot *plot = l->plot;
    double lo[2] = {INFINITY, INFINITY}, hi[2] = {-INFINITY, -INFINITY};
    bool marked = false;
    for (int k = 0; k < plot->n_curve; k++)
        for (int i = 0; i < plot->curve[k].n; i++) {
            double at[2];
            if (!ath_axis_measure(&l->x, plot->curve[k].x[i], &at[0]) ||
                !ath_axis_measure(&l->y, plot->curve[k].y[i], &at[1]))
                continue;
            marked |= has_markers(&plot->curve[k]);
            for (int j = 0; j < 2; j++) {
                lo[j] = fmin(lo[j], at[j]);
                hi[j] = fmax(hi[j], at[j]);
            }
        }
    l->empty = lo[0] > hi[0];
    ath_axis_open(&l->x, l->empty ? 0 : lo[0], l->empty ? 1 : hi[0], marked ? 0.03 : 0, false);
    ath_axis_open(&l->y, l->empty ? 0 : lo[1], l->empty ? 1 : hi[1], 0.05, true);
}

/* Leaves `right` pixels free at the right of the x axis. */
static void place_axes(layout *l, int right) {
    const ath_plot *plot = l->plot;
    l->y.pixel1 = given(plot->title) ? 42 : 16;
    l->y.pixel0 = l->h - (given(plot->x_label) ? 52 : 30);
    ath_axis_find_ticks(&l->y, (l->y.pixel0 - l->y.pixel1) / 50);
    l->x.pixel0 = (int)ceil(widest_label(&l->y)) + (given(plot->y_label) ? 40 : 18);
    l->x.pixel1 = l->w - right;
    ath_axis_find_ticks(&l->x, (l->x.pixel1 - l->x.pixel0) / 90);
}

static void draw_lines(const ath_surface *to, const ath_axis *a, const ath_axis *b, bool minor) {
    const int paint = minor ? ATH_MINOR : ATH_GRID;
    for (int i = 0; i < a->n_tick; i++) {
        const int x = (int)lround(ath_axis_pixel(a, a->tick[i].at));
        if (a->tick[i].minor == minor) to->fill(to->self, (ath_box){x, b->pixel1, x + 1, b->pixel0}, paint);
    }
    for (int i = 0; i < b->n_tick; i++) {
        const int y = (int)lround(ath_axis_pixel(b, b->tick[i].at));
        if (b->tick[i].minor == minor) to->fill(to->self, (ath_box){a->pixel0, y, a->pixel1 + 1, y + 1}, paint);
    }
}

static void draw_axes(const ath_surface *to, const layout *l) {
    const ath_axis *a = &l->x, *b = &l->y;
    draw_lines(to, a, b, true); /* minor lines lie under the others */
    draw_lines(to, a, b, false);
    to->fill(to->self, (ath_box){a->pixel0, b->pixel0, a->pixel1 + 1, b->pixel0 + 1}, ATH_LINE);
    to->fill(to->self, (ath_box){a->pixel0, b->pixel1, a->pixel0 + 1, b->pixel0 + 1}, ATH_LINE);
    double free_from = 0; /* labels that would touch their neighbour are left out */
    for (int i = 0; i < a->n_tick; i++) {
        if (a->tick[i].minor) continue;
        const int x = (int)lround(ath_axis_pixel(a, a->tick[i].at));
        const double width = ath_canvas_text_width(a->tick[i].label, 1), middle = fmin(x + 0.5, l->w - 3 - width / 2);
        to->fill(to->self, (ath_box){x, b->pixel0 + 1, x + 1, b->pixel0 + 5}, ATH_LINE);
        if (middle - width / 2 < free_from) continue;
        to->text(to->self, (ath_label){middle, b->pixel0 + 17, 1, ATH_MIDDLE, false, ATH_INK}, a->tick[i].label);
        free_from = middle + width / 2 + 10;
    }
    double free_to = l->h;
    for (int i = 0; i < b->n_tick; i++) {
        if (b->tick[i].minor) continue;
        const int y = (int)lround(ath_axis_pixel(b, b->tick[i].at));
        to->fill(to->self, (ath_box){a->pixel0 - 4, y, a->pixel0, y + 1}, ATH_LINE);
        if (y + 5 > free_to) continue;
        to->text(to->self, (ath_label){a->pixel0 - 8, y + 4, 1, ATH_UP_TO, false, ATH_INK}, b->tick[i].label);
        free_to = y - 5 - 4;
    }
}

/* Title and the axes' names. */
static void draw_names(const ath_surface *to, const layout *l) {
    const double title_size = 1.3;
    const ath_axis *a = &l->x, *b = &l->y;
    const double middle_x = (a->pixel0 + a->pixel1) / 2, middle_y = (b->pixel0 + b->pixel1) / 2;
    char text[256];
    ath_canvas_text_fit(text, sizeof text, l->plot->title, l->w - 20, title_size);
    const double half = ath_canvas_text_width(text, title_size) / 2;
    const double x = fmax(10 + half, fmin(middle_x, l->w - 10 - half));
    to->text(to->self, (ath_label){x, 26, title_size, ATH_MIDDLE, false, ATH_INK}, text);
    ath_canvas_text_fit(text, sizeof text, l->plot->x_label, a->pixel1 - a->pixel0, 1);
    to->text(to->self, (ath_label){middle_x, l->h - 12, 1, ATH_MIDDLE, false, ATH_INK}, text);
    ath_canvas_text_fit(text, sizeof text, l->plot->y_label, b->pixel0 - b->pixel1, 1);
    to->text(to->self, (ath_label){20, middle_y, 1, ATH_MIDDLE, true, ATH_INK}, text);
    if (l->empty) to->text(to->self, (ath_label){middle_x, middle_y, 1, ATH_MIDDLE, false, ATH_LINE}, "no data");
}

/* ---- the legend ---- */

/* A surface that draws nothing: it measures what of the curves would lie in a box. */
typedef struct gauge {
    ath_box box;
    double x, y, inside;
    int n;
} gauge;

static void ignore_box(void *self, const ath_box *box) { (void)self, (void)box; }
static void ignore_title(void *self, const char *title) { (void)self, (void)title; }

static void gauge_begin(void *self, ath_style style) {
    (void)style;
    ((gauge *)self)->n = 0;
}

/* The part of a line from p to p + d that is between lo and hi, in parts of d, meets that in from..to. */
static void meet(double p, double d, double lo, double hi, double *from, double *to) {
    if (d == 0) {
        if (p < lo || p > hi) *to = -1;
        return;
    }
    const double one = (lo - p) / d, other = (hi - p) / d;
    *from = fmax(*from, fmin(one, other));
    *to = fmin(*to, fmax(one, other));
}

/* A line's length within the box (Liang and Barsky 1984); its first point counts as a pixel. */
static void gauge_point(void *self, double x, double y) {
    gauge *g = self;
    const double dx = g->n ? x - g->x : 0, dy = g->n ? y - g->y : 0;
    double from = 0, to = 1;
    meet(x - dx, dx, g->box.x0, g->box.x1, &from, &to);
    meet(y - dy, dy, g->box.y0, g->box.y1, &from, &to);
    if (to >= from) g->inside += g->n ? (to - from) * hypot(dx, dy) : 1;
    g->x = x;
    g->y = y;
    g->n++;
}

static void gauge_end(void *self) { (void)self; }

static double ink_within(const layout *l, ath_box box) {
    gauge g = {.box = box};
    const ath_surface to = {.self = &g,
                            .clip = ignore_box,
                            .group = ignore_title,
                            .begin = gauge_begin,
                            .point = gauge_point,
                            .end = gauge_end};
    draw_curves(&to, l);
    return g.inside;
}

static void list_entries(layout *l) {
    legend *g = &l->legend;
    double widest = 0;
    for (int k = 0; k < l->plot->n_curve && g->n < MOST_ENTRIES; k++) {
        if (!given(l->plot->curve[k].label)) continue;
        widest = fmax(widest, ath_canvas_text_width(l->plot->curve[k].label, 1));
        g->entry[g->n++] = k;
    }
    g->w = (int)ceil(fmin(widest, 0.3 * l->w)) + SAMPLE + 8 + 2 * PAD;
}

static int legend_height(int lines) { return lines * LINE_HEIGHT + PAD; }

/* The corner or middle, above or below, where the fewest curves pass; returns how much of them does. */
static double place_inside(layout *l) {
    legend *g = &l->legend;
    const ath_axis *a = &l->x, *b = &l->y;
    const int h = legend_height(g->shown), margin = 8, clear = 5; /* clear: that a marker is wide */
    const int left[3] = {a->pixel1 - margin - g->w, a->pixel0 + margin + 1, (a->pixel0 + a->pixel1 - g->w) / 2};
    const int top[2] = {b->pixel1 + margin, b->pixel0 - margin - h};
    double fewest = INFINITY;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            const ath_box box = {left[i], top[j], left[i] + g->w, top[j] + h};
            const double ink = ink_within(l, (ath_box){box.x0 - clear, box.y0 - clear, box.x1 + clear, box.y1 + clear});
            if (ink >= fewest) continue;
            fewest = ink;
            g->box = box;
        }
    return fewest;
}

/* Inside, where no curve passes; else at the right, where there is room; else inside, where few pass. */
static void place_legend(layout *l) {
    enum { EDGE = 20 }; /* right of the x axis */
    legend *g = &l->legend;
    place_axes(l, EDGE);
    if (g->n == 0) return;
    const int inner_w = l->x.pixel1 - l->x.pixel0, inner_h = l->y.pixel0 - l->y.pixel1;
    const int fit_inside = (inner_h - PAD - 16) / LINE_HEIGHT,
              fit_outside = (l->h - l->y.pixel1 - 8 - PAD) / LINE_HEIGHT;
    const bool may_inside = g->w + 16 <= inner_w && fit_inside >= 1,
               may_outside = g->w <= inner_w / 2 && fit_outside >= 1;
    if (may_inside) {
        g->shown = g->n <= fit_inside ? g->n : fit_inside;
        const double ink = place_inside(l);
        if (!may_outside || (ink == 0 && g->n <= fit_inside)) return;
    }
    if (!may_outside) return;
    g->shown = g->n <= fit_outside ? g->n : fit_outside;
    if (!l->plot->width) l->w += g->w;
    place_axes(l, EDGE + g->w);
    g->box = (ath_box){l->w - 10 - g->w, l->y.pixel1, l->w - 10, l->y.pixel1 + legend_height(g->shown)};
}

static void draw_legend(const ath_surface *to, const layout *l) {
    const legend *g = &l->legend;
    if (g->shown == 0) return;
    to->fill(to->self, g->box, ATH_GRID);
    to->fill(to->self, (ath_box){g->box.x0 + 1, g->box.y0 + 1, g->box.x1 - 1, g->box.y1 - 1}, ATH_PAPER);
    for (int i = 0; i < g->shown; i++) {
        const double x = g->box.x0 + PAD, base = g->box.y0 + PAD / 2 + i * LINE_HEIGHT + 14, y = base - 4;
        ath_label at = {x, base, 1, ATH_FROM, false, ATH_INK};
        char text[256];
        if (i == g->shown - 1 && g->shown < g->n) {
            snprintf(text, sizeof text, "and %d more", g->n - i);
            to->text(to->self, at, text);
            return;
        }
        const ath_curve *curve = &l->plot->curve[g->entry[i]];
        pen p = {.to = to, .style = style_of(l->plot, g->entry[i])};
        line_to(&p, x, y);
        line_to(&p, x + SAMPLE, y);
        lift(&p);
        if (has_markers(curve)) draw_marker(to, place_of(l->plot, g->entry[i]), x + SAMPLE / 2, y);
        ath_canvas_text_fit(text, sizeof text, curve->label, g->w - 2 * PAD - SAMPLE - 8, 1);
        at.x += SAMPLE + 8;
        to->text(to->self, at, text);
    }
}

/* ---- the whole ---- */

static ath_status lay_out(layout *l, const ath_plot *plot, ath_err *err) {
    *l = (layout){.plot = plot, .w = plot->width ? plot->width : 900, .x.log = plot->log_x, .y.log = plot->log_y};
    list_entries(l);
    const int needed = legend_height(l->legend.n) + 60;
    l->h = plot->height ? plot->height : needed > 540 ? needed : 540;
    if (l->w < 160 || l->w > 8192 || l->h < 120 || l->h > 8192)
        return ath_fail(err, ATH_E_ARG, "cannot plot on %d x %d pixels: expected 160 x 120 to 8192 x 8192", l->w, l->h);
    find_ranges(l);
    place_legend(l);
    return ATH_OK;
}

static void draw(const ath_surface *to, const layout *l) {
    to->fill(to->self, (ath_box){0, 0, l->w, l->h}, ATH_PAPER);
    draw_axes(to, l);
    draw_names(to, l);
    const ath_box inside = {l->x.pixel0 - 2, l->y.pixel1 - 4, l->x.pixel1 + 4, l->y.pixel0 + 3};
    to->clip(to->self, &inside);
    draw_curves(to, l);
    to->clip(to->self, NULL);
    draw_legend(to, l);
}

ath_status ath_plot_save(const char *path, const ath_plot *plot, ath_err *err) {
    layout l;
    ath_canvas canvas;
    ath_canvas_surface state;
    const ath_status laid_out = lay_out(&l, plot, err);
    if (laid_out != ATH_OK) return ath_fail_within(err, laid_out, "%s", path);
    if (!ath_canvas_create(&canvas, l.w, l.h))
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for a plot of %d x %d pixels", path, l.w, l.h);
    const ath_surface to = ath_surface_canvas(&state, &canvas);
    draw(&to, &l);
    const ath_status status = ath_png_save(path, canvas.rgb, l.h, l.w, 3, NULL, 0, err);
    ath_canvas_destroy(&canvas);
    return status;
}

ath_status ath_plot_svg(const ath_plot *plot, char **svg, ath_err *err) {
    layout l;
    ath_text text = {0};
    ath_svg_surface state;
    *svg = NULL;
    ATH_TRY(lay_out(&l, plot, err));
    const ath_surface to = ath_surface_svg(&state, &text);
    ath_svg_begin(&text, l.w, l.h, plot->title);
    draw(&to, &l);
    ath_svg_end(&text);
    return ath_text_take(&text, "plot", svg, err);
}
