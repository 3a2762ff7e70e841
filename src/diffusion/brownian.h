/* Brownian motion W(sigma), W(0) = 0, at any sigma without keeping it: halving log sigma, each half's value is a Brownian
 * bridge between its ends with a normal drawn from the half's own number. (The virtual Brownian tree of Li et al. 2020,
 * arXiv:2001.01328, algorithm 3.) Path `path` of a seed is one function, whoever asks, in whatever order. */
#ifndef ATH_DIFFUSION_BROWNIAN_H
#define ATH_DIFFUSION_BROWNIAN_H
#include "base/rng.h"

/* w (dim) = W(sigma), sigma from 8.3e-7 to 1.2e6 (clamped). Within a cell of 0.09 % of sigma the path is a
 * bridge whose noise has one shape: closer than that it is not Brownian. `work`: 3 * dim doubles. path < 2^47. */
void ath_brownian(ath_rng rng, uint64_t path, double sigma, double *w, size_t dim, double *work);

#endif
