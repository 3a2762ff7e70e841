/* Exponential integrators in lambda = -log sigma, which DPM-Solver (arXiv:2206.00927), DPM-Solver++ (arXiv:2211.01095) and
 * UniPC (arXiv:2302.04867) are. For samplers in the view SIGMA (alpha = 1).
 *
 * The linear part of the flow is solved exactly; of f, which is x0 or eps, values are known at some lambda. With h the step in
 * lambda and u = (lambda - lambda_s)/h:
 *     x0:   dx/dlambda = -(1 + eta) (x - x0) + sqrt(2 eta) sigma dw
 *           x_t = e^-H x_s + H int_0^1 e^{-H(1-u)} x0(u) du + sigma_t sqrt(1 - e^{-2 eta h}) z,    H = (1 + eta) h
 *     eps:  dx/dlambda = -(1 + eta) sigma eps + sqrt(2 eta) sigma dw
 *           x_t = x_s - (1 + eta) sigma_t h int_0^1 e^{h(1-u)} eps(u) du + sigma_t sqrt(eta (e^{2h} - 1)) z
 * eta = 0 is the probability-flow ODE, eta = 1 the reverse SDE. A step is keep x_s + gain sum_j w_j f_j + noise z, and the weights
 * are those that give the moments int_0^1 e^{z(1-u)} u^k du at the places u_j. What distinguishes the published rules is which
 * values they use, and where they take a moment other than the exact one. */
#ifndef ATH_DIFFUSION_EXPONENTIAL_H
#define ATH_DIFFUSION_EXPONENTIAL_H
#include "diffusion/sampler.h"

/* ---- arithmetic ---- */
enum { ATH_MAX_VALUES = 5 };

/* moment[k] = int_0^1 e^{z(1-u)} u^k du = k! phi_{k+1}(z), k = 0 .. n-1, to rounding for any z; n <= ATH_MAX_VALUES. */
void ath_exponential_moments(double z, int n, double *moment);
/* The weights w with sum_j w_j u_j^k = moment[k], k = 0 .. n-1: exact for polynomials below degree n. The n places differ. */
void ath_moment_weights(int n, const double *place, const double *moment, double *weight);

/* ---- values of f ---- */
/* The last `room` values, the newest first. */
typedef struct ath_values {
    int n, room;
    double lambda[ATH_MAX_VALUES];
    double *f[ATH_MAX_VALUES]; /* borrowed memory, len doubles each */
} ath_values;

/* Takes room * len doubles of `memory`; returns what comes after them. */
double *ath_values_open(ath_values *v, int room, double *memory, size_t len);
/* Where the value at sigma goes, as f[0]; the oldest gives way. Where sigma is the newest's still, to 1e-9, that one does: no
 * slope can be told between the two. */
double *ath_values_push(ath_values *v, double sigma);
/* Forgets the newest `count`. */
void ath_values_drop(ath_values *v, int count);

/* f (x0, or eps) and x0 of x at a level. They are the same memory when f is x0, and must not be otherwise. */
ath_status ath_exponential_predict(ath_sample_job *job, const double *x, ath_level at, bool eps, double *x0, double *f);

/* ---- a step ---- */
typedef struct ath_span {
    double lambda, h; /* where it starts, how long it is */
    double keep, gain, z, noise;
} ath_span;

/* From sigma `from` to `to`, both above 0. */
ath_span ath_span_between(double from, double to, bool eps, double eta);
/* Changes the exact moments of a rule with n values into its own; moment[0] stays. */
typedef void ath_moment_rule(double z, int n, double *moment);
/* out = keep x + gain sum_j w_j f_j with the newest n values; `rule` NULL: exact moments. out may be x. */
void ath_span_advance(const ath_span *span, const ath_values *v, int n, ath_moment_rule *rule, size_t len,
                      const double *x, double *out);

/* Of two values, moment[1] = moment[0]/2: DPM-Solver's type "midpoint". */
ath_moment_rule ath_midpoint_moments;
/* Of three values, half of moment[2], as the multistep solvers of third order are shipped. */
ath_moment_rule ath_half_square_moments;
/* Both. */
ath_moment_rule ath_shipped_moments;

/* ---- whole samplers ---- */
typedef struct ath_exponential {
    int order; /* values that a step uses at most, 1 .. 3 */
    bool eps;  /* f is eps; else x0                       */
    double eta, s_noise;
    ath_moment_rule *rule;  /* NULL: exact moments                                           */
    bool lower_order_final; /* the last steps of the lowest orders: see each                 */
    bool euler_at_final;    /* multistep: the last step of order 1                           */
    bool correct_first;     /* multistep: the first step is done again, with the trapezoidal
                             * rule, when the value at its end is known: so that its order
                             * is two like what follows                                     */
    bool skip_inner;        /* singlestep: of three values, the middle one is not used       */
} ath_exponential;

/* States of work memory of either. */
#define ATH_EXPONENTIAL_WORK(order) ((order) + 3)

/* One evaluation a step; a step uses the values before it, as many as there are. lower_order_final, in runs of fewer than 15 steps:
 * the last step has order 1, the one before at most 2. */
ath_status ath_exponential_multistep(ath_sample_job *job, const ath_exponential *e);
/* The same evaluations, in blocks of `order` levels: each step of a block starts at the block's first level and uses the values
 * since, so that the block's last is one step of that order. Where the number of steps is not a multiple of the order, where
 * the end is clean, and with lower_order_final always, the last 1 .. order levels make smaller blocks, the very last of
 * order 1 if need be. */
ath_status ath_exponential_singlestep(ath_sample_job *job, const ath_exponential *e);

#endif
