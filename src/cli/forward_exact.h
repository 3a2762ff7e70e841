/* athanor forward on an exact model: what a network that has learnt everything would say. */
#ifndef ATH_CLI_FORWARD_EXACT_H
#define ATH_CLI_FORWARD_EXACT_H
#include "diffusion/prediction.h"

/* Reads x [N,C,H,W] and timesteps [N] of `input`, writes y [N,C,H,W] as F64 to `output`; metadata and *says tell which
 * prediction it is: of a vp process epsilon at timesteps 0 .. T-1, fractions between, of a flow eps - x0 at 1000 t, and of ve
 * epsilon at log(sigma)/4. EDM's own F is not defined without a sigma_data; x is the state itself there, not scaled.
 * *n: how many images. threads 0: all cores. */
ath_status cli_forward_exact(const char *model, const char *input, const char *output, int threads, int *n,
                             ath_prediction *says, ath_err *err);

#endif
