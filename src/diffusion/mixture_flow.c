/* Exact solutions of a mixture's probability-flow ODE: see mixture_flow.h.
 *
 * The variable is the angle theta = atan(tau / L), tau = sigma / alpha, L the data's scale, and the state
 *   w = x / sqrt(alpha^2 L^2 + sigma^2) = X cos(theta) / L,   X = x / alpha,
 * which is of the size of 1 for every process at every level. From dX/dtau = eps and X = x0 + tau eps follows
 *   dw/dtheta = cos(theta) eps - sin(theta) x0 / L,
 * regular at both ends, pure noise (pi/2) and clean (0); for L = 1 and VP it is v (Salimans & Ho 2022, arXiv:2202.00512,
 * app. D). A state w is that of the level (cos(theta)/L, sin(theta)). */
#include "diffusion/mixture_flow.h"
#include <math.h>
#include <stdlib.h>
#include "diffusion/ode.h"

enum { CHUNK = 256 };

typedef struct flow {
    const ath_mixture *m;
    ath_pool *pool;
    double tolerance, *eps; /* (CHUNK, dim) */
    ath_level *level;       /* (CHUNK) */
    long steps;
} flow;

static ath_status slope(void *self, size_t n, const double *theta, const double *w, double *dw, ath_err *err) {
    const flow *f = self;
    const size_t dim = f->m->dim;
    for (size_t i = 0; i < n; i++) f->level[i] = (ath_level){0, cos(theta[i]) / f->m->scale, sin(theta[i])};
    ATH_TRY(ath_mixture_denoise(f->m, f->pool, n, w, f->level, 1, dw, f->eps, err));
    for (size_t i = 0; i < n; i++)
        for (size_t d = i * dim; d < (i + 1) * dim; d++)
            dw[d] = f->level[i].alpha * f->m->scale * f->eps[d] - f->level[i].sigma / f->m->scale * dw[d];
    return ATH_OK;
}

/* Solved in pieces that shrink tenfold below TENTH: where parts are points (std 0) the slope's rounding error is
 * that of w over theta, which one long step that ends at a small theta would multiply by its length. */
static ath_status solve(flow *f, size_t n, double *w, double from, double to, ath_err *err) {
    static const double tenth = 0.1;
    ath_ode ode = {.n = n, .dim = f->m->dim, .self = f, .slope = slope, .tolerance = f->tolerance};
    while (from != to) {
        double end = to;
        if (to < from && from > tenth) end = fmax(to, tenth * tenth);
        if (to < from && from <= tenth) end = fmax(to, from * tenth);
        if (to > from && from < tenth) end = fmin(to, from > 0 ? from / tenth : tenth);
        ATH_TRY(ath_ode_solve(&ode, from, end, w, err));
        f->steps += ode.steps;
        from = end;
    }
    return ATH_OK;
}

/* Where the last stretch to the clean level begins: below it each part's share in a point is settled, up to the
 * fourth power of theta over the least std. */
static double landing_angle(const ath_mixture *m) {
    double least = 0.1 * m->scale;
    for (size_t k = 0; k < m->parts; k++)
        if (m->std[k] > 0) least = fmin(least, m->std[k]);
    return fmax(1e-4 * least / m->scale, 1e-10);
}

static double size_of(const ath_mixture *m, ath_level at) { return hypot(at.alpha * m->scale, at.sigma); }

static ath_status run_chunk(flow *f, size_t n, double *x, ath_level from, ath_level to, ath_err *err) {
    const ath_mixture *m = f->m;
    const size_t len = n * m->dim;
    const double start = atan2(from.sigma, from.alpha * m->scale), end = atan2(to.sigma, to.alpha * m->scale);
    const double landing = end == 0 && start > 0 ? fmin(landing_angle(m), start) : end;
    for (size_t d = 0; d < len; d++) x[d] /= size_of(m, from);
    ATH_TRY(solve(f, n, x, start, landing, err));
    if (landing != end) {
        const ath_level last = {0, cos(landing) / m->scale, sin(landing)};
        ATH_TRY(ath_mixture_land(m, f->pool, n, x, &last, 0, x, err));
        for (size_t d = 0; d < len; d++) x[d] *= to.alpha;
    } else
        for (size_t d = 0; d < len; d++) x[d] *= size_of(m, to);
    return ATH_OK;
}

ath_status ath_mixture_flow(const ath_mixture *m, ath_pool *pool, size_t n, double *x, ath_level from, ath_level to,
                            double tolerance, long *steps, ath_err *err) {
    ATH_TRY(ath_mixture_check_level(from, err));
    ATH_TRY(ath_mixture_check_level(to, err));
    for (size_t k = 0; from.sigma == 0 && to.sigma > 0 && k < m->parts; k++)
        if (m->std[k] == 0)
            return ath_fail(err, ATH_E_ARG, "flow: from sigma = 0 there is no way back where a std is 0, as part %zu's",
                            k);
    const size_t room = n < CHUNK ? n : CHUNK;
    flow f = {.m = m,
              .pool = pool,
              .tolerance = tolerance > 0 ? tolerance : 1e-12,
              .eps = malloc((room * m->dim + 1) * sizeof *f.eps),
              .level = malloc((room + 1) * sizeof *f.level)};
    ath_status status = f.eps && f.level ? ATH_OK : ath_fail(err, ATH_E_MEM, "flow: out of memory for %zu points", n);
    for (size_t i = 0; status == ATH_OK && i < n; i += CHUNK)
        status = run_chunk(&f, n - i < CHUNK ? n - i : CHUNK, x + i * m->dim, from, to, err);
    free(f.eps);
    free(f.level);
    if (steps) *steps = f.steps;
    return status;
}
