/* A line plot as a PNG, drawn here so that a run needs no other program to be
 * looked at: axes with round tick values, labels in a small built-in font, a legend. */
#ifndef ATH_IO_PLOT_H
#define ATH_IO_PLOT_H
#include <stdbool.h>
#include "base/status.h"

typedef struct ath_curve {
    const char *label;
    const double *x, *y; /* n points; a point that is not finite breaks the line */
    int n;
    bool faint; /* drawn lighter and thinner, for raw values behind a smoothed curve,
                          * in the colour of the next curve that is not faint */
} ath_curve;

typedef struct ath_plot {
    const char *title, *x_label, *y_label; /* printable ASCII */
    bool log_x, log_y;                     /* points that are not positive are left out */
    const ath_curve *curve;
    int n_curve;
    int width, height; /* pixels, 160x120 to 8192x8192; 0 means 900 x 540 */
} ath_plot;

ath_status ath_plot_save(const char *path, const ath_plot *plot, ath_err *err);

#endif
