/* Quantiles by Newton's method: see normal.h. */
#include "base/normal.h"
#include <math.h>

/* z < 0 with Phi(z) = p <= 1/2: from Abramowitz & Stegun 26.2.23, which is within 4.5e-4, by Halley's steps on
 * Phi(z) = erfc(-z / sqrt 2) / 2, each of which triples the digits. */
static double lower_quantile(double p) {
    static const double root_half = 0.70710678118654752440, root_2pi = 2.5066282746310005024;
    const double t = sqrt(-2 * log(p));
    double z = (2.515517 + t * (0.802853 + t * 0.010328)) / (1 + t * (1.432788 + t * (0.189269 + t * 0.001308))) - t;
    for (int i = 0; i < 2; i++) {
        const double newton = (0.5 * erfc(-z * root_half) - p) * root_2pi * exp(0.5 * z * z);
        z -= newton / (1 + 0.5 * z * newton);
    }
    return z;
}

double ath_normal_quantile(double p) {
    if (!(p > 0)) return p == 0 ? -(double)INFINITY : (double)NAN;
    if (p > 0.5) return p == 1 ? (double)INFINITY : -lower_quantile(1 - p);
    return lower_quantile(p);
}
