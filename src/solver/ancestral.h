/* Ancestral sampling: a step of an ODE solver goes further down than the next level, and noise brings the state back up to
 * it (k-diffusion's get_ancestral_step). With down^2 + up^2 = next^2 the state has the next level's distribution, as far as
 * the solver is exact:
 *     up = min(next, eta sqrt(next^2 (sigma^2 - next^2) / sigma^2)),   sigma noise over signal
 * eta = 1 is the posterior's deviation, DDPM's small variance; at eta = 0 the flow is left as it is. */
#ifndef ATH_SOLVER_ANCESTRAL_H
#define ATH_SOLVER_ANCESTRAL_H
#include "solver/one_step.h"

typedef struct ath_ancestral {
    double eta, s_noise;
} ath_ancestral;

/* Two rows of a sampler's option table; `Config` has a member `ath_ancestral noise`. */
#define ATH_ANCESTRAL_OPTIONS(Config, default_eta, greatest_eta)                                                       \
    {.name = "eta",                                                                                                    \
     .type = ATH_OPT_FLOAT,                                                                                            \
     .offset = offsetof(Config, noise.eta),                                                                            \
     .dflt = default_eta,                                                                                              \
     .min = 0,                                                                                                         \
     .max = greatest_eta,                                                                                              \
     .help = "noise made anew at each step: 0 none, 1 as DDPM"},                                                       \
    {                                                                                                                  \
        .name = "s_noise", .type = ATH_OPT_FLOAT, .offset = offsetof(Config, noise.s_noise), .dflt = "1", .min = 0,    \
        .max = 2, .help = "deviation of that noise; a little over 1 makes up for lost detail"                          \
    }

typedef struct ath_ancestral_split {
    double down, up;
} ath_ancestral_split;
/* sigma may be INFINITY, next 0. */
ath_ancestral_split ath_ancestral_between(double sigma, double next, double eta);

/* Runs a job in the view SIGMA: at each level an evaluation, a step down, noise up; onto the clean level x0. eta <= 1. The
 * sampler has two states of work memory or more, one of them what `step` needs or the noise. */
ath_status ath_ancestral_run(ath_sample_job *job, const ath_ancestral *noise, ath_one_step step);

#endif
