/* What two operations' vjps share. Not a public header. */
#ifndef ATH_GRAPH_OPS_ELEMENTWISE_H
#define ATH_GRAPH_OPS_ELEMENTWISE_H
#include <stddef.h>

/* The gradient of a factor that all values of an image have. */
static inline double ath_dot(size_t len, const float *a, const float *b) {
    double sum = 0;
    for (size_t i = 0; i < len; i++) sum += (double)a[i] * (double)b[i];
    return sum;
}

#endif
