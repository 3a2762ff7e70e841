/* Grids: which levels a sampler of few steps visits. */
#ifndef ATH_DIFFUSION_GRID_H
#define ATH_DIFFUSION_GRID_H
#include "base/option.h"
#include "diffusion/level.h"

/* The first four pick timesteps and round them as diffusers does (Lin et al. 2023, arXiv:2305.08891, table 2); T is the
 * schedule's timesteps, 1000 for a flow. The others place sigma/alpha between its greatest and its least. */
typedef enum ath_spacing {
    ATH_LEADING,         /* 0, T/n, 2T/n, ...: never visits the last timesteps                     */
    ATH_LINSPACE,        /* both ends                                                              */
    ATH_TRAILING,        /* T-1, T-1-T/n, ...: starts at the noisiest                              */
    ATH_QUADRATIC,       /* sqrt(t) even, not rounded (DDIM, arXiv:2010.02502, app. D.2)           */
    ATH_KARRAS,          /* sigma^(1/rho) even (arXiv:2206.00364, eq. 5)                           */
    ATH_EDM,             /* the same from 80 to 0.002, whatever the process                        */
    ATH_EXPONENTIAL,     /* log sigma even                                                         */
    ATH_LAMBDA,          /* the same, as DPM-Solver calls it: half the log-SNR even                */
    ATH_POLYEXPONENTIAL, /* log sigma = a + b r^rho, r even from 1 to 0; rho = 1: exponential      */
    ATH_TIME,            /* t^(1/rho) even from 1 to 0.001, t the time of a continuous vp process (below) */
    ATH_BETA,            /* sigma at even quantiles of a beta distribution (below)                 */
    ATH_UNIFORM_FLOW     /* t = sigma/(alpha + sigma) even, then shifted (arXiv:2403.03206, eq. 23) */
} ath_spacing;
enum { ATH_SPACINGS = 12 };
/* time: of the process with beta(t) = beta_min + beta_d t (Song et al. 2021, arXiv:2011.13456, eq. 32), in which
 *     log(1 + sigma^2/alpha^2) = beta_d t^2/2 + beta_min t,
 * with those two numbers that put sigma_max at t = 1 and sigma_min at 0.001: 19.9 and 0.1 for the usual 152.17 and 0.010486.
 * (Zhang & Chen 2023, DEIS, arXiv:2204.13902, with rho = 1 or 2.)
 * beta: alpha = beta = 0.6, so that levels gather at both ends (Lee et al. 2024, arXiv:2407.12173). The paper places
 * timesteps so; diffusers' use_beta_sigmas, which is followed here, sigma.
 * flow: u = 1 - i/n is shifted once and the clean level comes after 1/n. diffusers' flow-matching schedulers end their even u at
 * the shifted 0.001, shift all again, and then go to 0: another rule. --levels takes their list. */
ath_status ath_spacing_parse(const char *name, ath_spacing *out, ath_err *err);
const char *ath_spacing_name(ath_spacing s);
const char *ath_spacing_summary(ath_spacing s);

/* What a user may set of a grid, as in --spacing NAME:key=value. 0: what suits spacing and process. */
typedef struct ath_grid_options {
    double rho, sigma_min, sigma_max, shift;
    char final
        [ATH_TEXT_LEN]; /* "zero": n levels and the clean one; "sigma_min": n + 1 levels, the last of them the least noisy */
} ath_grid_options;
const ath_option *ath_grid_table(int *n);

/* level[0..n_steps], the noisiest first. The range of sigma/alpha of a vp process is its schedule's, but at most
 * ath_most_vp_ratio: beyond, as at the end of the cosine schedule, there is no signal left to tell levels apart. Fails with
 * ATH_E_ARG when n_steps is below 1 or beyond the timesteps, when a ve process is asked for timesteps, or when the range is
 * empty. */
ath_status ath_levels(const ath_process *p, ath_spacing how, const ath_grid_options *o, int n_steps, ath_level *level,
                      ath_err *err);

/* A list of sigma/alpha, falling; the last may be 0. n >= 2 levels, ends included. */
ath_status ath_levels_from_ratios(const ath_process *p, const double *ratio, int n, ath_level *level, ath_err *err);

#endif
