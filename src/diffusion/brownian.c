/* A Brownian path without memory: see brownian.h. */
#include "diffusion/brownian.h"
#include <math.h>
#include <stdbool.h>

enum { DEPTH = 15 };
static const double log_range = 14; /* log sigma from -14 to 14 */

static void draw(ath_rng rng, uint64_t path, uint64_t node, double *z, size_t dim) {
    ath_rng_normal_f64(rng, ATH_S_PATH, path << (DEPTH + 2) | node, z, dim);
}

/* out = the bridge from a at time `ta` to b at `tb`, at time t. out may be a or b. */
static void bridge(double ta, const double *a, double tb, const double *b, double t, const double *z, double *out,
                   size_t dim) {
    const double part = (t - ta) / (tb - ta), deviation = sqrt((t - ta) * (tb - t) / (tb - ta));
    for (size_t i = 0; i < dim; i++) out[i] = a[i] + part * (b[i] - a[i]) + deviation * z[i];
}

void ath_brownian(ath_rng rng, uint64_t path, double sigma, double *w, size_t dim, double *work) {
    double *low = work, *high = low + dim, *z = high + dim;
    double from = -log_range, to = log_range; /* of log sigma, and of sigma: */
    double at_low = exp(from), at_high = exp(to);
    const double at = fmax(from, fmin(to, log(sigma)));
    /* node 0: W at the least sigma; 1 is the root of the tree, whose upper end is node 2^(DEPTH+1) */
    draw(rng, path, 0, low, dim);
    draw(rng, path, 1u << (DEPTH + 1), high, dim);
    const double first = sqrt(at_low), rise = sqrt(at_high - at_low);
    for (size_t i = 0; i < dim; i++) {
        low[i] *= first;
        high[i] = low[i] + rise * high[i];
    }
    uint64_t node = 1;
    for (int d = 0; d < DEPTH; d++) {
        const double middle = (from + to) / 2, at_middle = exp(middle);
        const bool upper = at >= middle;
        draw(rng, path, node, z, dim);
        bridge(at_low, low, at_high, high, at_middle, z, upper ? low : high, dim);
        *(upper ? &from : &to) = middle;
        *(upper ? &at_low : &at_high) = at_middle;
        node = 2 * node + (uint64_t)upper;
    }
    draw(rng, path, node, z, dim);
    bridge(at_low, low, at_high, high, exp(at), z, w, dim);
}
