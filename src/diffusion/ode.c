/* Dormand-Prince 5(4): see ode.h. */
#include "diffusion/ode.h"
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/dormand_prince.h"

/* A system under way. */
typedef struct course {
    size_t which; /* of the caller's */
    double t, h;
    double last_error; /* of the last step taken, in units of what is allowed */
    long steps;
    bool last; /* the step under way ends at t1 */
} course;

/* The live systems lie in the places 0 .. live-1 of every array. */
typedef struct solver {
    ath_ode *ode;
    double t1, *result;
    size_t live;
    course *course;
    double *t, *x, *y, *k[ATH_DP_STAGES]; /* (n), (n, dim): where slopes are asked for, states, arguments, slopes */
} solver;

static void begin(solver *s, double t0, const double *x) {
    const ath_ode *ode = s->ode;
    memcpy(s->x, x, ode->n * ode->dim * sizeof *x);
    s->live = ode->n;
    /* A first step that is short enough for most; if it is not, it will be refused. */
    double h = (s->t1 - t0) * fmin(0.1, pow(ode->tolerance, 0.2));
    if (fabs(h) < 1e-14 * (fabs(t0) + fabs(s->t1))) h = s->t1 - t0; /* a stretch of a few roundings */
    for (size_t i = 0; i < ode->n; i++) {
        s->course[i] = (course){.which = i, .t = t0, .h = h, .last_error = 1e-4};
        s->t[i] = t0;
    }
}

/* Argument of stage q: x + h sum_p ath_dp_weight[q][p] k_p. */
static void stage(solver *s, int q) {
    const size_t dim = s->ode->dim;
    for (size_t i = 0; i < s->live; i++) {
        const course *c = &s->course[i];
        s->t[i] = c->last && ath_dp_node[q] == 1 ? s->t1 : c->t + ath_dp_node[q] * c->h;
        double *y = s->y + i * dim;
        for (size_t d = 0; d < dim; d++) y[d] = 0;
        for (int p = 0; p < q; p++) {
            const double w = ath_dp_weight[q][p], *k = s->k[p] + i * dim;
            for (size_t d = 0; w != 0 && d < dim; d++) y[d] += w * k[d];
        }
        for (size_t d = 0; d < dim; d++) y[d] = s->x[i * dim + d] + c->h * y[d];
    }
}

/* The largest error of system i's step, in units of what is allowed; NaN when something is. */
static double step_error(const solver *s, size_t i) {
    const size_t dim = s->ode->dim;
    double most = 0;
    for (size_t d = i * dim; d < (i + 1) * dim; d++) {
        double error = 0;
        for (int p = 0; p < ATH_DP_STAGES; p++) error += ath_dp_error[p] * s->k[p][d];
        error = fabs(s->course[i].h * error) / (s->ode->tolerance * (1 + fmax(fabs(s->x[d]), fabs(s->y[d]))));
        if (!(error <= most)) most = error;
        if (isnan(error)) return NAN;
    }
    return most;
}

static ath_status refuse(const solver *s, const course *c, const char *why, ath_err *err) {
    return ath_fail(err, ATH_E_ARG, "ode: system %zu %s at t = %g of the way to %g, after %ld steps", c->which, why,
                    c->t, s->t1, c->steps);
}

/* The next step's length, PI control: h 0.9 error^-(0.2 - 0.75 b) last_error^b with b = 0.04. */
static ath_status decide(solver *s, size_t i, bool *taken, ath_err *err) {
    course *c = &s->course[i];
    const long most_steps = s->ode->max_steps ? s->ode->max_steps : 100000;
    double error = step_error(s, i);
    if (!isfinite(error)) error = 1e10; /* a shorter step may not overflow */
    *taken = error <= 1;
    c->steps++;
    if (*taken) {
        s->ode->steps++;
        c->t = c->last ? s->t1 : c->t + c->h;
        const double factor = 0.9 * pow(fmax(error, 1e-10), -0.17) * pow(c->last_error, 0.04);
        c->h *= fmax(0.2, fmin(10, factor));
        c->last_error = fmax(error, 1e-4);
    } else {
        s->ode->refused++;
        c->h *= fmax(0.1, 0.9 * pow(error, -0.17));
        c->last = false;
    }
    if (c->t == s->t1) return ATH_OK;
    if (c->steps >= most_steps) return refuse(s, c, "needs more steps than allowed", err);
    if (c->t + c->h == c->t) return refuse(s, c, "is not finite or needs steps too short for double", err);
    return ATH_OK;
}

/* System i is done; the last one takes its place. */
static void retire(solver *s, size_t i) {
    const size_t dim = s->ode->dim, last = --s->live;
    memcpy(s->result + s->course[i].which * dim, s->x + i * dim, dim * sizeof *s->x);
    if (i == last) return;
    s->course[i] = s->course[last];
    memcpy(s->x + i * dim, s->x + last * dim, dim * sizeof *s->x);
    memcpy(s->y + i * dim, s->y + last * dim, dim * sizeof *s->y);
    for (int p = 0; p < ATH_DP_STAGES; p++) memcpy(s->k[p] + i * dim, s->k[p] + last * dim, dim * sizeof *s->x);
}

/* One step of each live system. */
static ath_status step(solver *s, ath_err *err) {
    const ath_ode *ode = s->ode;
    const size_t dim = ode->dim;
    for (size_t i = 0; i < s->live; i++) {
        course *c = &s->course[i];
        c->last = fabs(c->h) >= fabs(s->t1 - c->t);
        if (c->last) c->h = s->t1 - c->t;
    }
    for (int q = 1; q < ATH_DP_STAGES; q++) {
        stage(s, q);
        ATH_TRY(ode->slope(ode->self, s->live, s->t, s->y, s->k[q], err));
        s->ode->calls++;
    }
    for (size_t i = s->live; i-- > 0;) { /* from the end: whoever takes a place has had its turn */
        bool taken;
        ATH_TRY(decide(s, i, &taken, err));
        if (!taken) continue;
        memcpy(s->x + i * dim, s->y + i * dim, dim * sizeof *s->x);
        memcpy(s->k[0] + i * dim, s->k[ATH_DP_STAGES - 1] + i * dim, dim * sizeof *s->x);
        if (s->course[i].t == s->t1) retire(s, i);
    }
    return ATH_OK;
}

ath_status ath_ode_solve(ath_ode *ode, double t0, double t1, double *x, ath_err *err) {
    const size_t len = ode->n * ode->dim;
    ode->steps = ode->refused = ode->calls = 0;
    if (!(ode->tolerance > 0 && isfinite(t0) && isfinite(t1)))
        return ath_fail(err, ATH_E_ARG, "ode: tolerance %g from %g to %g, expected a positive one and finite ends",
                        ode->tolerance, t0, t1);
    if (t0 == t1 || len == 0) return ATH_OK;
    double *memory = malloc((ode->n + (ATH_DP_STAGES + 2) * len) * sizeof *memory);
    solver s = {.ode = ode, .t1 = t1, .result = x, .course = malloc(ode->n * sizeof *s.course), .t = memory};
    ath_status status =
        memory && s.course ? ATH_OK : ath_fail(err, ATH_E_MEM, "ode: out of memory for %zu systems", ode->n);
    if (status == ATH_OK) {
        s.x = memory + ode->n;
        s.y = s.x + len;
        for (int p = 0; p < ATH_DP_STAGES; p++) s.k[p] = s.y + (size_t)(p + 1) * len;
        begin(&s, t0, x);
        status = ode->slope(ode->self, s.live, s.t, s.x, s.k[0], err);
        ode->calls++;
    }
    while (status == ATH_OK && s.live > 0) status = step(&s, err);
    free(memory);
    free(s.course);
    return status;
}
