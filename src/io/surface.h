/* Private to src/io: what a plot is drawn on, a canvas of pixels or the text of an SVG, so that both show the same.
 * Coordinates are pixels, x to the right, y down; whole numbers are pixel centres on a canvas. */
#ifndef ATH_IO_SURFACE_H
#define ATH_IO_SURFACE_H
#include <stdbool.h>
#include "base/text.h"
#include "io/canvas.h"

/* What things are coloured as; a surface knows the colours. */
typedef enum ath_paint {
    ATH_PAPER,
    ATH_MINOR, /* lines at minor ticks */
    ATH_GRID,
    ATH_LINE,  /* axes, ticks */
    ATH_INK,   /* text */
    ATH_SERIES /* and the ones after it: a curve's */
} ath_paint;
enum { ATH_N_SERIES = 7, ATH_N_PAINT = ATH_SERIES + ATH_N_SERIES };

enum { ATH_N_DASH = 4, ATH_POLYGON = 8 /* corners at most */ };
/* Pixels on, off, on, off; the first is solid. */
extern const double ath_dash[ATH_N_DASH][4];

typedef struct ath_style {
    int paint;
    double radius; /* half the width of a line, whose ends are round; a line of one point is a dot */
    double alpha;  /* 1: opaque                                                                  */
    int dash;      /* of ath_dash                                                                */
    bool filled;   /* the inside of a convex polygon of up to ATH_POLYGON corners, and no line   */
} ath_style;

typedef enum ath_anchor { ATH_FROM, ATH_MIDDLE, ATH_UP_TO } ath_anchor;

typedef struct ath_label {
    double x, y; /* on the baseline, where `anchor` says */
    double size; /* capitals are 9 * size pixels high    */
    ath_anchor anchor;
    bool upwards; /* turned to be read from below        */
    int paint;
} ath_label;

typedef struct ath_surface {
    void *self;
    void (*clip)(void *self, const ath_box *box); /* what follows stays inside; NULL: no longer */
    void (*group)(void *self, const char *title); /* what follows is one thing of this name; NULL: it ends */
    void (*fill)(void *self, ath_box box, int paint);
    void (*begin)(void *self, ath_style style); /* a line or polygon ... */
    void (*point)(void *self, double x, double y);
    void (*end)(void *self);
    void (*text)(void *self, ath_label at, const char *text);
} ath_surface;

typedef struct ath_canvas_surface {
    ath_canvas *canvas;
    ath_style style;
    double corner[ATH_POLYGON][2]; /* of a polygon; [0] is a line's last point */
    int n;
    double walked; /* along the line, for its dashes */
} ath_canvas_surface;

/* Draws on a canvas. *state is the surface's own while it is used. */
ath_surface ath_surface_canvas(ath_canvas_surface *state, ath_canvas *canvas);

typedef struct ath_svg_surface {
    ath_text *text;
    ath_style style;
    int n;
} ath_svg_surface;

/* Writes the elements of an SVG. ath_svg_begin and ath_svg_end go around them. */
ath_surface ath_surface_svg(ath_svg_surface *state, ath_text *text);
/* title: for those who cannot see the picture; may be NULL. */
void ath_svg_begin(ath_text *text, int w, int h, const char *title);
void ath_svg_end(ath_text *text);

#endif
