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
    ATH_UNIFORM_FLOW     /* t = sigma/(alpha + sigma) even, then shifted (arXiv:2403.03206, eq. 23) */
} ath_spacing;
enum { ATH_SPACINGS = 10 };
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

/* level[0..n_steps], the noisiest first. The range of sigma/alpha of a vp process is its schedule's, but at most 200: beyond, as at
 * the end of the cosine schedule, there is no signal left to tell levels apart. Fails with ATH_E_ARG when n_steps is below 1 or
 * beyond the timesteps, when a ve process is asked for timesteps, or when the range is empty. */
ath_status ath_levels(const ath_process *p, ath_spacing how, const ath_grid_options *o, int n_steps, ath_level *level,
                      ath_err *err);

/* A list of sigma/alpha, falling; the last may be 0. n >= 2 levels, ends included. */
ath_status ath_levels_from_ratios(const ath_process *p, const double *ratio, int n, ath_level *level, ath_err *err);

#endif
