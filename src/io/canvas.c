/* Strokes, ink and text: see canvas.h. */
#include "io/canvas.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "io/font.h"

static int least(int a, int b) { return a < b ? a : b; }
static int most(int a, int b) { return a > b ? a : b; }

static const ath_box nothing = {1 << 30, 1 << 30, 0, 0};

bool ath_canvas_create(ath_canvas *c, int w, int h) {
    const size_t n = (size_t)w * (size_t)h;
    *c = (ath_canvas){.w = w, .h = h, .clip = {0, 0, w, h}, .dirty = nothing};
    c->rgb = malloc(n * 3);
    c->cover = calloc(n, sizeof *c->cover);
    if (!c->rgb || !c->cover) {
        ath_canvas_destroy(c);
        return false;
    }
    memset(c->rgb, 255, n * 3);
    return true;
}

void ath_canvas_destroy(ath_canvas *c) {
    free(c->rgb);
    free(c->cover);
    *c = (ath_canvas){0};
}

static void cover(ath_canvas *c, int x, int y, double depth) {
    float *at = &c->cover[(size_t)y * (size_t)c->w + (size_t)x];
    if (depth > *at) *at = depth < 1 ? (float)depth : 1;
}

static void add_dirty(ath_canvas *c, ath_box box) {
    c->dirty = (ath_box){least(c->dirty.x0, box.x0), least(c->dirty.y0, box.y0), most(c->dirty.x1, box.x1),
                         most(c->dirty.y1, box.y1)};
}

/* A pixel is covered by how deep its centre lies within the stroke's edge, over one pixel. */
static void cover_pixel(ath_canvas *c, int x, int y, double ax, double ay, double dx, double dy, double radius) {
    const double len2 = dx * dx + dy * dy;
    double t = len2 > 0 ? ((x - ax) * dx + (y - ay) * dy) / len2 : 0;
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    cover(c, x, y, radius + 0.5 - hypot(x - ax - t * dx, y - ay - t * dy));
}

void ath_canvas_stroke(ath_canvas *c, double ax, double ay, double bx, double by, double radius) {
    const double reach = radius + 0.5, dx = bx - ax, dy = by - ay;
    const ath_box box = {
        most(c->clip.x0, (int)floor(fmin(ax, bx) - reach)), most(c->clip.y0, (int)floor(fmin(ay, by) - reach)),
        least(c->clip.x1, (int)ceil(fmax(ax, bx) + reach) + 1), least(c->clip.y1, (int)ceil(fmax(ay, by) + reach) + 1)};
    if (box.x0 >= box.x1 || box.y0 >= box.y1) return;
    /* Walk along the longer side; across it, what the stroke can reach is `reach` measured
     * at the line's slope: a long diagonal costs its length, not its bounding box. */
    const double len = hypot(dx, dy);
    const bool steep = fabs(dy) > fabs(dx);
    const double slope = len > 0 ? (steep ? dx / dy : dy / dx) : 0,
                 across = len > 0 ? reach * sqrt(1 + slope * slope) : reach;
    if (steep) {
        for (int y = box.y0; y < box.y1; y++) {
            const double middle = ax + (y - ay) * slope;
            const int from = most(box.x0, (int)floor(middle - across)),
                      to = least(box.x1, (int)ceil(middle + across) + 1);
            for (int x = from; x < to; x++) cover_pixel(c, x, y, ax, ay, dx, dy, radius);
        }
    } else {
        for (int x = box.x0; x < box.x1; x++) {
            const double middle = ay + (x - ax) * slope;
            const int from = most(box.y0, (int)floor(middle - across)),
                      to = least(box.y1, (int)ceil(middle + across) + 1);
            for (int y = from; y < to; y++) cover_pixel(c, x, y, ax, ay, dx, dy, radius);
        }
    }
    add_dirty(c, box);
}

void ath_canvas_polygon(ath_canvas *c, int n, const double *corner) {
    double x0 = INFINITY, y0 = INFINITY, x1 = -INFINITY, y1 = -INFINITY, area = 0;
    for (int i = 0; i < n; i++) {
        const double *p = corner + 2 * i, *q = corner + 2 * ((i + 1) % n);
        x0 = fmin(x0, p[0]), x1 = fmax(x1, p[0]);
        y0 = fmin(y0, p[1]), y1 = fmax(y1, p[1]);
        area += p[0] * q[1] - p[1] * q[0];
    }
    if (!(x1 >= c->clip.x0 - 1 && x0 <= c->clip.x1 + 1 && y1 >= c->clip.y0 - 1 && y0 <= c->clip.y1 + 1)) return;
    const ath_box box = {most(c->clip.x0, (int)floor(x0)), most(c->clip.y0, (int)floor(y0)),
                         least(c->clip.x1, (int)ceil(x1) + 1), least(c->clip.y1, (int)ceil(y1) + 1)};
    for (int y = box.y0; y < box.y1; y++)
        for (int x = box.x0; x < box.x1; x++) {
            double depth = INFINITY; /* of the pixel's centre within the nearest side */
            for (int i = 0; i < n; i++) {
                const double *p = corner + 2 * i, *q = corner + 2 * ((i + 1) % n), dx = q[0] - p[0], dy = q[1] - p[1];
                const double len = hypot(dx, dy), across = dx * (y - p[1]) - dy * (x - p[0]);
                if (len > 0) depth = fmin(depth, (area < 0 ? -across : across) / len);
            }
            cover(c, x, y, depth + 0.5);
        }
    add_dirty(c, box);
}

static void blend(uint8_t *p, ath_colour colour, double alpha) {
    const uint8_t ink[3] = {colour.r, colour.g, colour.b};
    for (int k = 0; k < 3; k++) p[k] = (uint8_t)(p[k] + (ink[k] - p[k]) * alpha + 0.5);
}

void ath_canvas_ink(ath_canvas *c, ath_colour colour, double alpha) {
    for (int y = c->dirty.y0; y < c->dirty.y1; y++)
        for (int x = c->dirty.x0; x < c->dirty.x1; x++) {
            const size_t at = (size_t)y * (size_t)c->w + (size_t)x;
            if (c->cover[at] <= 0) continue;
            blend(c->rgb + 3 * at, colour, alpha * (double)c->cover[at]);
            c->cover[at] = 0;
        }
    c->dirty = nothing;
}

void ath_canvas_fill(ath_canvas *c, ath_box box, ath_colour colour, double alpha) {
    for (int y = most(box.y0, c->clip.y0); y < least(box.y1, c->clip.y1); y++)
        for (int x = most(box.x0, c->clip.x0); x < least(box.x1, c->clip.x1); x++)
            blend(c->rgb + 3 * ((size_t)y * (size_t)c->w + (size_t)x), colour, alpha);
}

static const ath_glyph *glyph_of(char ch) {
    const int i = (unsigned char)ch - ATH_GLYPH_FIRST;
    return &ath_font[i >= 0 && i < ATH_GLYPH_COUNT ? i : '?' - ATH_GLYPH_FIRST];
}

double ath_canvas_text_width(const char *text, double size) {
    int units = 0;
    for (const char *p = text; *p; p++) units += glyph_of(*p)->width + (p[1] ? ATH_GLYPH_GAP : 0);
    return units * size;
}

void ath_canvas_text(ath_canvas *c, double x, double y, double size, bool upwards, const char *text,
                     ath_colour colour) {
    const double radius = 0.58 * size; /* of the strokes; 0.5 looks thin, 0.7 heavy */
    double pen = 0;
    for (; *text; text++) {
        const ath_glyph *glyph = glyph_of(*text);
        double last_x = 0, last_y = 0;
        bool down = false;
        for (const char *s = glyph->stroke; *s;) {
            if (*s == ' ') {
                down = false;
                s++;
                continue;
            }
            const double u = (pen + (s[0] - '0')) * size, v = (s[1] >= 'a' ? 'a' - 1 - s[1] : s[1] - '0') * size;
            const double at_x = upwards ? x - v : x + u, at_y = upwards ? y - u : y - v;
            const bool dot = !down && (s[2] == ' ' || s[2] == 0);
            if (down || dot)
                ath_canvas_stroke(c, dot ? at_x : last_x, dot ? at_y : last_y, at_x, at_y, dot ? radius * 1.4 : radius);
            last_x = at_x;
            last_y = at_y;
            down = true;
            s += 2;
        }
        pen += glyph->width + ATH_GLYPH_GAP;
    }
    ath_canvas_ink(c, colour, 1);
}

void ath_canvas_text_fit(char *out, size_t out_size, const char *text, double room, double size) {
    snprintf(out, out_size, "%s", text ? text : "");
    size_t len = strlen(out);
    bool whole = !text || len == strlen(text);
    while (len > 2 && (!whole || ath_canvas_text_width(out, size) > room)) {
        len--;
        while (len > 2 && ((unsigned char)out[len - 2] & 0xc0) == 0x80) len--; /* not within a character of UTF-8 */
        strcpy(out + len - 2, "..");
        whole = true;
    }
}
