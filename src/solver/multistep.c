/* Linear multistep methods: see multistep.h. */
#include "solver/multistep.h"
#include <math.h>
#include <string.h>

/* ---- weights ---- */

static const double even[ATH_SLOPES][ATH_SLOPES] = {
    {1}, {3 / 2.0, -1 / 2.0}, {23 / 12.0, -16 / 12.0, 5 / 12.0}, {55 / 24.0, -59 / 24.0, 37 / 24.0, -9 / 24.0}};

/* sigma(t)^2 = exp(d t^2/2 + m t) - 1; d and m put sigma = 0.002 at t = 0.001 and 80 at t = 1, EDM's range. */
static double vp_time(double sigma) {
    const double low = log1p(0.002 * 0.002) / 1e-3, high = log1p(80.0 * 80.0);
    const double d = 2 * (high - low) / (1 - 1e-3), m = high - d / 2;
    return (sqrt(m * m + 2 * d * log1p(sigma * sigma)) - m) / d;
}

static double clock_at(ath_clock clock, double sigma) {
    if (clock == ATH_CLOCK_LOG_SIGMA) return log(sigma);
    return clock == ATH_CLOCK_VP_TIME ? vp_time(sigma) : sigma;
}

static double lagrange(const double *node, int n, int j, double y) {
    double l = 1;
    for (int k = 0; k < n; k++)
        if (k != j) l *= (y - node[k]) / (node[j] - node[k]);
    return l;
}

/* Gauss and Legendre's eight points: exact for the cubics of sigma. The other clocks are integrated over u = log sigma in
 * pieces of at most 1/2: neither they nor e^u are singular nearer to the real line than i pi/2 (1 + sigma^2 = 0), so the
 * error falls as rho^-16, rho = 2 pi + sqrt(4 pi^2 + 1) = 12.6: 2e-18. */
void ath_adams_weights(ath_clock clock, const double *node, int n, double from, double to, double *w) {
    static const double point[4] = {0.18343464249564981, 0.52553240991632899, 0.79666647741362674, 0.96028985649753623};
    static const double part[4] = {0.36268378337836198, 0.31370664587788729, 0.22238103445337447, 0.10122853629037626};
    double place[ATH_SLOPES];
    for (int j = 0; j < n; j++) w[j] = clock == ATH_CLOCK_EVEN ? even[n - 1][j] * (to - from) : 0;
    if (clock == ATH_CLOCK_EVEN) return;
    for (int j = 0; j < n; j++) place[j] = clock_at(clock, node[j]);
    const bool by_log = clock != ATH_CLOCK_SIGMA;
    const double start = by_log ? log(from) : from, length = (by_log ? log(to) : to) - start;
    const int pieces = by_log ? 1 + (int)(2 * fabs(length)) : 1;
    const double half = length / pieces / 2;
    for (int p = 0; p < pieces; p++)
        for (int q = -4; q < 4; q++) {
            const int k = q < 0 ? -q - 1 : q;
            const double u = start + half * (2 * p + 1 + (q < 0 ? -point[k] : point[k]));
            const double sigma = by_log ? exp(u) : u, weight = half * part[k] * (by_log ? sigma : 1);
            for (int j = 0; j < n; j++) w[j] += weight * lagrange(place, n, j, clock_at(clock, sigma));
        }
}

/* ---- slopes ---- */

ath_slopes ath_slopes_over(double *memory, size_t len) {
    ath_slopes s = {.len = len};
    for (int j = 0; j < ATH_SLOPES; j++) s.d[j] = memory + (size_t)j * len;
    return s;
}

double *ath_slopes_push(ath_slopes *s, double sigma) {
    if (s->kept > 0 && s->at[0] == sigma) return s->d[0];
    double *oldest = s->d[ATH_SLOPES - 1];
    for (int j = ATH_SLOPES - 1; j > 0; j--) s->d[j] = s->d[j - 1], s->at[j] = s->at[j - 1];
    s->d[0] = oldest;
    s->at[0] = sigma;
    if (s->kept < ATH_SLOPES) s->kept++;
    return oldest;
}

void ath_slopes_drop(ath_slopes *s, int j) {
    double *freed = s->d[j];
    for (s->kept--; j < s->kept; j++) s->d[j] = s->d[j + 1], s->at[j] = s->at[j + 1];
    s->d[s->kept] = freed;
}

/* x0 where eps = x/r, r = sqrt(alpha^2 + sigma^2): (1 - sigma/r) x/alpha, written so that alpha may be 0. */
static void analytical_x0(const double *x, ath_level at, double *x0, size_t len) {
    const double r = sqrt(at.alpha * at.alpha + at.sigma * at.sigma), k = at.alpha / (r * (r + at.sigma));
    for (size_t i = 0; i < len; i++) x0[i] = k * x[i];
}

ath_status ath_slopes_evaluate(ath_slopes *s, ath_sample_job *job, ath_level at, bool afs, double *x0) {
    if (afs && s->kept == 0)
        analytical_x0(job->x, at, x0, s->len);
    else
        ATH_TRY(ath_predict(job, job->x, at, x0));
    double *d = ath_slopes_push(s, at.sigma);
    for (size_t k = 0; k < s->len; k++) d[k] = (job->x[k] - x0[k]) / at.sigma;
    return ATH_OK;
}

void ath_slopes_add(const ath_slopes *s, ath_clock clock, int order, double from, double to, double *x) {
    double w[ATH_SLOPES];
    const int n = order < s->kept ? order : s->kept;
    ath_adams_weights(clock, s->at, n, from, to, w);
    for (int j = 0; j < n; j++)
        for (size_t k = 0; k < s->len; k++) x[k] += w[j] * s->d[j][k];
}

/* ---- a method ---- */

ath_status ath_multistep_step(const ath_multistep *m, ath_sample_job *job, ath_slopes *s, int i) {
    const ath_level from = job->level[i], to = job->level[i + 1];
    double *x = job->x, *x0 = job->work;
    ATH_TRY(ath_slopes_evaluate(s, job, from, m->afs && i == 0, x0));
    const int left = job->n_steps - i;
    const int most = m->lower_order_final && job->n_steps < 15 && left < m->order ? left : m->order;
    if (to.sigma == 0 && m->denoise_to_zero)
        memcpy(x, x0, s->len * sizeof *x);
    else
        ath_slopes_add(s, m->clock, most, from.sigma, to.sigma, x);
    return ath_step_done(job, i, x0);
}

ath_status ath_multistep_run(const ath_multistep *m, ath_sample_job *job) {
    const size_t len = job->n * job->dim;
    ath_slopes s = ath_slopes_over(job->work + len, len);
    for (int i = 0; i < job->n_steps; i++) ATH_TRY(ath_multistep_step(m, job, &s, i));
    return ATH_OK;
}
