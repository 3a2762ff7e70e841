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
    bool zero_snr;     /* alpha_bar was rescaled to end in pure noise: ath_schedule_rescale_zero_snr */
    double *beta;      /* (timesteps), owned: as they were made or given, before any rescaling       */
    double *alpha_bar; /* (timesteps), owned                                                         */
} ath_schedule;

/* Fails with ATH_E_ARG for timesteps outside 1..1000000 or betas outside (0, 1]. */
ath_status ath_schedule_make(ath_schedule *s, const ath_schedule_kind *kind, int timesteps, double beta_start,
                             double beta_end, ath_err *err);
ath_status ath_schedule_from_betas(ath_schedule *s, const double *beta, int timesteps, ath_err *err);
/* Shifts and scales sqrt(alpha_bar) so that it is 0 at the last timestep and what it was at the first: training then sees the pure
 * noise that sampling starts from (Lin et al. 2023, arXiv:2305.08891, algorithm 1; diffusers' rescale_betas_zero_snr). x0 cannot
 * be had from epsilon or the score there. Again it changes nothing. Fails with ATH_E_ARG when the first timestep has no more
 * signal than the last. */
ath_status ath_schedule_rescale_zero_snr(ath_schedule *s, ath_err *err);
void ath_schedule_free(ath_schedule *s); /* accepts a zeroed schedule */

/* The level of timestep t; a fraction is interpolated linearly in log(sigma/alpha), on the way to pure noise in alpha.
 * t < 0 is the clean level. */
ath_level ath_schedule_level(const ath_schedule *s, double t);

/* A forward process: the curve of its (alpha, sigma). One number names a level of it, ratio = sigma/alpha, so that
 * a solver may go between the levels it was given, and any process can be sampled on the grid of any other. */
typedef enum ath_process_kind {
    ATH_PROCESS_VP,  /* alpha^2 + sigma^2 = 1; t: the timestep             */
    ATH_PROCESS_VE,  /* alpha = 1; t: log(sigma)/4, EDM's c_noise          */
    ATH_PROCESS_FLOW /* alpha + sigma = 1; t: 1000 sigma                   */
} ath_process_kind;

typedef struct ath_process {
    ath_process_kind kind;
    const ath_schedule *schedule; /* of vp: borrowed. NULL: any ratio, and t is 0                   */
    double sigma_min, sigma_max;  /* of ve: where sampling ends and starts; 0: 0.002 and 80 (EDM)   */
    double rho;                   /* of ve: of its karras grid; 0: 7                                */
    double shift;                 /* of flow, towards noise; 0: 1, none                             */
} ath_process;

/* Beyond this sigma/alpha there is no signal left to tell levels of a vp process apart. */
static const double ath_most_vp_ratio = 200;

const char *ath_process_name(ath_process_kind kind); /* "vp", "ve", "flow" */
/* The level where sigma/alpha = ratio, from 0 (clean) to INFINITY (pure noise). */
ath_level ath_process_level(const ath_process *p, double ratio);

#endif
