/* A line plot as a PNG or SVG, drawn here so that a run needs no other program to be looked at: axes with round tick
 * values, labels (in the PNG in a small built-in font), a legend where no curve passes. */
#ifndef ATH_IO_PLOT_H
#define ATH_IO_PLOT_H
#include <stdbool.h>
#include "base/status.h"

typedef struct ath_curve {
    const char *label;
    const double *x, *y; /* n points; a point that is not finite breaks the line. Up to 32 get a marker each */
    int n;
    bool faint; /* drawn lighter and thinner, for raw values behind a smoothed curve,
                          * in the colour of the next curve that is not faint */
} ath_curve;

typedef struct ath_plot {
    const char *title, *x_label, *y_label; /* printable ASCII */
    bool log_x, log_y;                     /* points that are not positive are left out */
    const ath_curve *curve;
    int n_curve;
    int width, height; /* pixels, 160x120 to 8192x8192; 0 means 900 x 540, or more where the legend needs it */
} ath_plot;

ath_status ath_plot_save(const char *path, const ath_plot *plot, ath_err *err);
/* The same as the text of an SVG 1.1 document, owned by the caller (free()), to stand alone or within an HTML page: it needs no
 * other file, has no identifiers (several can share a page) and takes dark colours where the reader prefers them. Texts may be UTF-8.
 * Hovering over a curve shows its label. */
ath_status ath_plot_svg(const ath_plot *plot, char **svg, ath_err *err);

#endif
