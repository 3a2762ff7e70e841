/* Steps of DPM-Solver of order 1, 2 and 3 (Lu et al. 2022, arXiv:2206.00927, eq. 3.7 and algorithms 1 and 2), each image over its
 * own way, as k-diffusion's DPMSolver takes them: x in the view SIGMA, lambda = -log sigma, eps = (x - x0)/sigma. With h
 * the way in lambda, sigma' the end's, D1, D2 the differences of eps at the stages r1, r2 of the way to that at the start:
 *     1: x' = x - sigma' (e^h - 1) eps
 *     2: ... - sigma' (e^h - 1) / (2 r1) D1                      r1 = 1/2
 *     3: ... - sigma' ((e^h - 1)/h - 1) / r2 D2                  r1 = 1/3, r2 = 2/3
 */
#ifndef ATH_SOLVER_DPM_STEP_H
#define ATH_SOLVER_DPM_STEP_H
#include "solver/ancestral.h"

typedef struct ath_dpm_step {
    double start, end;          /* lambda of the job's first level and of its last that is not clean            */
    double *from, *to;          /* (n): lambda where each image's step starts and ends, to >= from              */
    ath_level *at;              /* (n)                                                                          */
    double *x0, *eps, *d, *mid; /* (n, dim): work. x0: the network's at the start of the step that was taken    */
} ath_dpm_step;

enum { ATH_DPM_STATES = 4 }; /* (n, dim) each, of work memory */
/* Takes `work`, and memory for a few numbers an image: fails with ATH_E_MEM. End with
 * ath_dpm_step_free, which also takes a zeroed step. */
ath_status ath_dpm_step_begin(ath_dpm_step *s, const ath_sample_job *job, double *work);
void ath_dpm_step_free(ath_dpm_step *s);

/* high = a step of `order` from x, by `order` evaluations; low, where it is not NULL, the step of one order less that the same
 * evaluations give (order 2 or 3). high, low and x must not overlap; where to == from they are x. */
ath_status ath_dpm_step_take(ath_sample_job *job, ath_dpm_step *s, int order, const double *x, double *high,
                             double *low);

/* Where an ancestral step between two lambdas goes down to, at most to `end`; *up: the deviation of the noise after it. */
double ath_dpm_down(double from, double to, double end, double eta, double *up);

#endif
