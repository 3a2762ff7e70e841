/* Private to src/io: a picture to draw plots on, with anti-aliased strokes and text.
 * Strokes first gather as coverage, so that a line crossing itself is not darker there
 * and a glyph's strokes join; ath_canvas_ink then lays one colour through it.
 * Coordinates are pixels, x to the right, y down; whole numbers are pixel centres. */
#ifndef ATH_IO_CANVAS_H
#define ATH_IO_CANVAS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ath_colour {
    uint8_t r, g, b;
} ath_colour;

/* Pixels x0 <= x < x1, y0 <= y < y1. */
typedef struct ath_box {
    int x0, y0, x1, y1;
} ath_box;

typedef struct ath_canvas {
    int w, h;
    uint8_t *rgb;  /* (h,w,3)                                             */
    float *cover;  /* (h,w), 0..1: what ath_canvas_ink will colour        */
    ath_box clip;  /* strokes and fills stay inside; all of it at first   */
    ath_box dirty; /* where `cover` may not be 0                          */
} ath_canvas;

/* A white canvas; false when out of memory. */
bool ath_canvas_create(ath_canvas *c, int w, int h);
void ath_canvas_destroy(ath_canvas *c);

/* Adds to the coverage a line with round ends; with both ends equal, a dot. */
void ath_canvas_stroke(ath_canvas *c, double ax, double ay, double bx, double by, double radius);
/* Adds the inside of a convex polygon; corner: n times x, y, in either direction. */
void ath_canvas_polygon(ath_canvas *c, int n, const double *corner);
/* Colours what is covered (alpha 1: opaque) and clears the coverage. */
void ath_canvas_ink(ath_canvas *c, ath_colour colour, double alpha);
void ath_canvas_fill(ath_canvas *c, ath_box box, ath_colour colour, double alpha);

/* Text in the built-in font; capitals are 9 * size pixels high. `x`, `y`: where the
 * baseline starts. `upwards`: turned to be read from below. Bytes that are not printable
 * ASCII show as '?'. */
void ath_canvas_text(ath_canvas *c, double x, double y, double size, bool upwards, const char *text, ath_colour colour);
double ath_canvas_text_width(const char *text, double size);
/* Text (NULL: none) that is cut, with "..", to be `room` pixels wide at most and fit `out`, size 4 or more. */
void ath_canvas_text_fit(char *out, size_t out_size, const char *text, double room, double size);

#endif
