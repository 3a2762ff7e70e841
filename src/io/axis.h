/* Private to src/io: one axis of a plot, linear or logarithmic: its range, where values lie on it, its ticks. */
#ifndef ATH_IO_AXIS_H
#define ATH_IO_AXIS_H
#include <stdbool.h>

enum { ATH_MAX_TICK = 100 };

typedef struct ath_tick {
    double at; /* in the axis' own measure: the value or its log10 */
    char label[32];
    bool minor; /* a line without a label */
} ath_tick;

typedef struct ath_axis {
    bool log;
    double lo, hi;      /* the same measure */
    int pixel0, pixel1; /* where lo and hi are */
    int n_tick;
    ath_tick tick[ATH_MAX_TICK];
} ath_axis;

/* The value in the axis' measure; false when it cannot be shown. */
bool ath_axis_measure(const ath_axis *a, double value, double *at);
/* Where that is, in pixels. */
double ath_axis_pixel(const ath_axis *a, double at);
/* Makes the axis go from lo to hi (in its measure), opened around its middle where there is nothing between them, and by
 * `room` of its length beyond both; `to_zero`: a linear axis that nearly reaches zero begins there. */
void ath_axis_open(ath_axis *a, double lo, double hi, double room, bool to_zero);
/* Puts ticks at 1, 2 or 5 times powers of ten, about `want` of them, for pixel0 and pixel1. */
void ath_axis_find_ticks(ath_axis *a, int want);

#endif
