/* Noise levels and schedules.
 *
 * Forward process:  x_t = alpha(t) x_0 + sigma(t) eps,   eps ~ N(0, I).
 *
 * The pair (alpha, sigma) is all a sampler needs, so one DDIM serves
 *   VP (DDPM)        alpha^2 + sigma^2 = 1, alpha = sqrt(alpha_bar)
 *   VE / EDM         alpha = 1
 *   rectified flow   alpha = 1 - t, sigma = t
 * lambda = log(alpha / sigma) is half the log-SNR (Kingma et al. 2021, arXiv:2107.00630). */
#ifndef ATH_DIFFUSION_LEVEL_H
#define ATH_DIFFUSION_LEVEL_H
#include <stdbool.h>
#include "base/status.h"

/* t is the network's time: the timestep 0 .. T-1 of a discrete schedule. The clean
 * level, where sampling ends, is {-1, 1, 0}. */
typedef struct ath_level {
    double t, alpha, sigma;
} ath_level;

/* A kind of schedule: how the betas of T steps are made. */
typedef struct ath_schedule_kind {
    const char *name, *summary, *paper;
    /* diffusers' name in scheduler_config.json, NULL when it has none (the betas are then
     * written out as trained_betas) */
    const char *diffusers;
    void (*betas)(int timesteps, double beta_start, double beta_end, double *beta);
} ath_schedule_kind;

const ath_schedule_kind *ath_schedule_kinds(int *n);
const ath_schedule_kind *ath_schedule_kind_find(const char *name); /* NULL if there is none */

/* A discrete variance-preserving schedule: alpha_bar[t] = prod_{i<=t} (1 - beta_i). */
typedef struct ath_schedule {
    const ath_schedule_kind *kind; /* NULL: made from given betas */
    int timesteps;
    double beta_start, beta_end;
    double *alpha_bar; /* (timesteps), owned */
} ath_schedule;

/* Fails with ATH_E_ARG for timesteps outside 1..1000000 or betas outside (0, 1]. */
ath_status ath_schedule_make(ath_schedule *s, const ath_schedule_kind *kind, int timesteps, double beta_start,
                             double beta_end, ath_err *err);
ath_status ath_schedule_from_betas(ath_schedule *s, const double *beta, int timesteps, ath_err *err);
void ath_schedule_free(ath_schedule *s); /* accepts a zeroed schedule */

/* The level of timestep t; a fraction is interpolated linearly in log(sigma/alpha). t < 0 is
 * the clean level. */
ath_level ath_schedule_level(const ath_schedule *s, double t);

/* Which timesteps a sampler of few steps visits (the names and the rounding are diffusers'; Lin et al.
 * 2023, arXiv:2305.08891, table 2). */
typedef enum ath_spacing {
    ATH_LEADING,  /* 0, T/n, 2T/n, ...: never visits the last timesteps  */
    ATH_LINSPACE, /* both ends                                           */
    ATH_TRAILING  /* T-1, T-1-T/n, ...: starts at the noisiest           */
} ath_spacing;
ath_status ath_spacing_parse(const char *name, ath_spacing *out, ath_err *err);
const char *ath_spacing_name(ath_spacing s);

/* level[0..n_steps]: the noisiest first, the clean level last. Fails with ATH_E_ARG when n_steps is
 * outside 1..timesteps. */
ath_status ath_levels(const ath_schedule *s, ath_spacing how, int n_steps, ath_level *level, ath_err *err);

#endif
