/* Linear multistep methods: steps made of the flow's slopes d = dx/dsigma at the levels behind.
 *
 * With slopes d_0 (the newest), d_1, ... at sigma_0, sigma_1, ..., Adams and Bashforth's step is
 *     x += sum_j w_j d_j,   w_j = integral over sigma, from the step's start to its end, of l_j(g(sigma)),
 * l_j the Lagrange basis on g(sigma_0), g(sigma_1), ... What tells these methods apart is the clock g, in which the
 * slope is taken for a polynomial. For samplers in the views SIGMA and ODE. */
#ifndef ATH_SOLVER_MULTISTEP_H
#define ATH_SOLVER_MULTISTEP_H
#include "diffusion/sampler.h"

typedef enum ath_clock {
    ATH_CLOCK_EVEN,      /* as if all steps were of one length: the constants 3/2, -1/2 and so on                 */
    ATH_CLOCK_SIGMA,     /* sigma: variable-step Adams-Bashforth (LMS; DEIS's rhoAB, arXiv:2204.13902)            */
    ATH_CLOCK_LOG_SIGMA, /* log sigma (diffusers' DEIS)                                                           */
    ATH_CLOCK_VP_TIME    /* the t of a VP process with beta linear in t (DEIS's tAB), 0.002 at 0.001 and 80 at 1  */
} ath_clock;

enum { ATH_SLOPES = 4 }; /* that a step uses at most: the highest order */

/* w[0..n-1] for nodes node[0..n-1] (no two alike; not read with EVEN), n from 1 to ATH_SLOPES; exact but for rounding.
 * `to` may be 0 with EVEN and SIGMA. */
void ath_adams_weights(ath_clock clock, const double *node, int n, double from, double to, double *w);

/* The last slopes, the newest first. */
typedef struct ath_slopes {
    size_t len;
    int kept;
    double at[ATH_SLOPES];
    double *d[ATH_SLOPES];
} ath_slopes;

/* Over memory of ATH_SLOPES * len doubles, borrowed. */
ath_slopes ath_slopes_over(double *memory, size_t len);
/* Memory for the slope at sigma, the newest now; it takes the place of one at the same sigma. */
double *ath_slopes_push(ath_slopes *s, double sigma);
/* Forgets the j-th newest. */
void ath_slopes_drop(ath_slopes *s, int j);
/* Predicts x0 at (job->x, at) and pushes (x - x0)/sigma. With `afs` the first slope of all is analytical: see below. */
ath_status ath_slopes_evaluate(ath_slopes *s, ath_sample_job *job, ath_level at, bool afs, double *x0);
/* x += sum_j w_j d_j from `from` to `to` with the newest `order` slopes, or as many as there are. */
void ath_slopes_add(const ath_slopes *s, ath_clock clock, int order, double from, double to, double *x);

/* A method of this kind. It begins with lower orders, while there are fewer slopes. */
typedef struct ath_multistep {
    ath_clock clock;
    int order;
    /* Analytical first step (GENIE, arXiv:2210.05475): pure noise is its own eps, so the first slope is that of
     * eps = x/sqrt(alpha^2 + sigma^2), without an evaluation. */
    bool afs;
    bool denoise_to_zero;   /* the step onto the clean level returns x0; else it is one like the others             */
    bool lower_order_final; /* of fewer than 15 steps the last is of order 1 at most, the last but one of order 2   */
} ath_multistep;

enum { ATH_MULTISTEP_WORK = ATH_SLOPES + 1 }; /* states of work memory: the slopes, and x0 before them */

/* Step i, on slopes over job->work + n * dim: ath_multistep_run is these in a row. */
ath_status ath_multistep_step(const ath_multistep *m, ath_sample_job *job, ath_slopes *s, int i);
ath_status ath_multistep_run(const ath_multistep *m, ath_sample_job *job);

#endif
