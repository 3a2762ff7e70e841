/* A plot's surface of pixels: see surface.h. */
#include <math.h>
#include <stddef.h>
#include "io/surface.h"

/* The series' colours are those of Okabe and Ito, told apart by most colour-blind eyes, without the yellow. */
static const ath_colour colour[ATH_N_PAINT] = {
    [ATH_PAPER] = {255, 255, 255},    [ATH_MINOR] = {241, 241, 241},     [ATH_GRID] = {226, 226, 226},
    [ATH_LINE] = {130, 130, 130},     [ATH_INK] = {50, 50, 50},          [ATH_SERIES] = {0, 114, 178},
    [ATH_SERIES + 1] = {213, 94, 0},  [ATH_SERIES + 2] = {0, 158, 115},  [ATH_SERIES + 3] = {204, 121, 167},
    [ATH_SERIES + 4] = {230, 159, 0}, [ATH_SERIES + 5] = {86, 180, 233}, [ATH_SERIES + 6] = {90, 90, 90}};

const double ath_dash[ATH_N_DASH][4] = {{0}, {7, 4, 7, 4}, {2, 4, 2, 4}, {9, 4, 2, 4}};

static void clip(void *self, const ath_box *box) {
    ath_canvas *c = ((ath_canvas_surface *)self)->canvas;
    c->clip = box ? *box : (ath_box){0, 0, c->w, c->h};
}

static void group(void *self, const char *title) {
    (void)self;
    (void)title;
}

static void fill(void *self, ath_box box, int paint) {
    ath_canvas_fill(((ath_canvas_surface *)self)->canvas, box, colour[paint], 1);
}

static void begin(void *self, ath_style style) {
    ath_canvas_surface *s = self;
    s->style = style;
    s->n = 0;
    s->walked = 0;
}

/* The parts of a line from (ax,ay) to (bx,by) at which its dashes are on. */
static void stroke_dashes(ath_canvas_surface *s, double ax, double ay, double bx, double by) {
    const double *dash = ath_dash[s->style.dash], period = dash[0] + dash[1] + dash[2] + dash[3];
    const double len = hypot(bx - ax, by - ay);
    if (!(len > 0)) return;
    double done = 0, in = fmod(s->walked, period);
    int k = 0;
    while (in >= dash[k]) {
        in -= dash[k];
        k = (k + 1) % 4;
    }
    while (done < len) {
        const double until = fmin(len, done + dash[k] - in), from = done / len, to = until / len;
        if (k % 2 == 0)
            ath_canvas_stroke(s->canvas, ax + (bx - ax) * from, ay + (by - ay) * from, ax + (bx - ax) * to,
                              ay + (by - ay) * to, s->style.radius);
        done = until;
        in = 0;
        k = (k + 1) % 4;
    }
    s->walked += len;
}

static void point(void *self, double x, double y) {
    ath_canvas_surface *s = self;
    const int at = s->style.filled && s->n < ATH_POLYGON ? s->n : 0;
    if (s->n && !s->style.filled) {
        if (s->style.dash)
            stroke_dashes(s, s->corner[0][0], s->corner[0][1], x, y);
        else
            ath_canvas_stroke(s->canvas, s->corner[0][0], s->corner[0][1], x, y, s->style.radius);
    }
    s->corner[at][0] = x;
    s->corner[at][1] = y;
    s->n++;
}

static void end(void *self) {
    ath_canvas_surface *s = self;
    if (s->style.filled)
        ath_canvas_polygon(s->canvas, s->n, s->corner[0]);
    else if (s->n == 1)
        ath_canvas_stroke(s->canvas, s->corner[0][0], s->corner[0][1], s->corner[0][0], s->corner[0][1],
                          s->style.radius);
    ath_canvas_ink(s->canvas, colour[s->style.paint], s->style.alpha);
}

/* Text begins at a whole pixel, so that its upright strokes are sharp. */
static void text(void *self, ath_label at, const char *words) {
    const double width = ath_canvas_text_width(words, at.size), shift = at.anchor == ATH_FROM     ? 0
                                                                        : at.anchor == ATH_MIDDLE ? width / 2
                                                                                                  : width;
    const double x = at.upwards ? at.x : floor(at.x - shift), y = at.upwards ? floor(at.y + shift) : at.y;
    ath_canvas_text(((ath_canvas_surface *)self)->canvas, x, y, at.size, at.upwards, words, colour[at.paint]);
}

ath_surface ath_surface_canvas(ath_canvas_surface *state, ath_canvas *canvas) {
    *state = (ath_canvas_surface){.canvas = canvas};
    return (ath_surface){state, clip, group, fill, begin, point, end, text};
}
