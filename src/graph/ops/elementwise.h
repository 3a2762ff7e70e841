/* Three loops that several operations' vjps share. Not a public header. */
#ifndef ATH_GRAPH_OPS_ELEMENTWISE_H
#define ATH_GRAPH_OPS_ELEMENTWISE_H
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* y = scale * x, or y += scale * x */
static inline void ath_scaled_copy(size_t len, float scale, const float *x, float *y, bool acc) {
    if (acc)
        for (size_t i = 0; i < len; i++) y[i] += scale * x[i];
    else if (scale == 1)
        memcpy(y, x, len * sizeof *y);
    else
        for (size_t i = 0; i < len; i++) y[i] = scale * x[i];
}

/* out[c] = sum over positions of x[p][c], or += */
static inline void ath_sum_positions(size_t positions, size_t c, const float *x, float *out, bool acc) {
    if (!acc) memset(out, 0, c * sizeof *out);
    for (size_t p = 0; p < positions; p++)
        for (size_t i = 0; i < c; i++) out[i] += x[p * c + i];
}

static inline double ath_dot(size_t len, const float *a, const float *b) {
    double sum = 0;
    for (size_t i = 0; i < len; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

#endif
