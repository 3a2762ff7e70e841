/* The probability-flow ODE of a mixture, solved to many digits: what samplers are measured against. */
#ifndef ATH_DIFFUSION_MIXTURE_FLOW_H
#define ATH_DIFFUSION_MIXTURE_FLOW_H
#include "diffusion/mixture.h"

/* The flow d(x/alpha)/d(sigma/alpha) = E[eps|x] (Song et al. 2021, arXiv:2011.13456, eq. 13; in this form Karras et al.
 * 2022, arXiv:2206.00364) carries every process's states: of VP, VE and rectified flow alike, with x = alpha x0 + sigma
 * eps. Levels are points of it, t is not read.
 *
 * from, to   any two levels, in either direction. `from` may be pure noise (alpha = 0). `to` may be clean (sigma = 0);
 *            `from` only if no std is 0, for there the flow has no inverse.
 * x          (n, dim): in, states at `from`; out, those at `to`
 * tolerance  that a step may err by, relative to the size of state and data; 0: 1e-12. The solution's error is some ten
 *            times that, more where trajectories part.
 * steps      out, may be NULL: steps of all points together; 7 evaluations each, less one.
 *
 * Each point has its own steps, but they advance together, in chunks of up to 256, so that they share passes over
 * the means. A result's bits depend on its own point alone. Fails as ath_mixture_denoise and ath_ode_solve do, and with
 * ATH_E_ARG for what is not a level, or a `from` without an inverse. */
ath_status ath_mixture_flow(const ath_mixture *m, ath_pool *pool, size_t n, double *x, ath_level from, ath_level to,
                            double tolerance, long *steps, ath_err *err);

#endif
