/* What one-step solvers of the probability flow share: the way down the levels, and churn. A solver is a function that
 * takes the state from one level to another. Views SIGMA and ODE. */
#ifndef ATH_SOLVER_ONE_STEP_H
#define ATH_SOLVER_ONE_STEP_H
#include "diffusion/sampler.h"

/* Churn is noise that is added before a step, for the step to take away again (Karras et al. 2022, arXiv:2206.00364,
 * algorithm 2): from sigma up to sigma (1 + gamma), gamma = min(s_churn / steps, sqrt(2) - 1), wherever s_tmin <= sigma <=
 * s_tmax. Here sigma is noise over signal, sigma/alpha, in any process. */
typedef struct ath_churn {
    double s_churn, s_tmin, s_tmax, s_noise;
} ath_churn;

/* Four rows of a sampler's option table; `Config` has a member `ath_churn churn`. */
#define ATH_CHURN_OPTIONS(Config)                                                                                      \
    {.name = "s_churn",                                                                                                \
     .type = ATH_OPT_FLOAT,                                                                                            \
     .offset = offsetof(Config, churn.s_churn),                                                                        \
     .dflt = "0",                                                                                                      \
     .min = 0,                                                                                                         \
     .max = 1e6,                                                                                                       \
     .help = "noise put in and taken out again over the whole run; 0: none"},                                          \
        {.name = "s_tmin",                                                                                             \
         .type = ATH_OPT_FLOAT,                                                                                        \
         .offset = offsetof(Config, churn.s_tmin),                                                                     \
         .dflt = "0",                                                                                                  \
         .min = 0,                                                                                                     \
         .max = 1e6,                                                                                                   \
         .help = "churn only from this noise/signal up"},                                                              \
        {.name = "s_tmax",                                                                                             \
         .type = ATH_OPT_FLOAT,                                                                                        \
         .offset = offsetof(Config, churn.s_tmax),                                                                     \
         .dflt = "1e6",                                                                                                \
         .min = 0,                                                                                                     \
         .max = 1e6,                                                                                                   \
         .help = "churn only up to this noise/signal"},                                                                \
    {                                                                                                                  \
        .name = "s_noise", .type = ATH_OPT_FLOAT, .offset = offsetof(Config, churn.s_noise), .dflt = "1", .min = 0,    \
        .max = 2, .help = "deviation of the noise put in; a little over 1 makes up for lost detail"                    \
    }

/* Takes job->x from level `at` up to the noisier one, which `at` then is; z: work, (n, dim). With s_churn > 0 it draws at
 * every step, as k-diffusion and EDM do, whether gamma is 0 there or not. */
ath_status ath_churn_up(ath_sample_job *job, const ath_churn *c, ath_level *at, double *z);

/* Takes job->x from `at` to `to`, not clean, x0 being what the network says at `at`. `work`: the sampler's states of
 * work memory but the first. */
typedef ath_status (*ath_one_step)(ath_sample_job *job, ath_level at, ath_level to, const double *x0, double *work);

/* Runs the job: at each level churn (NULL: none), an evaluation, a step; onto the clean level x0. The sampler has two states of
 * work memory or more. */
ath_status ath_one_step_run(ath_sample_job *job, const ath_churn *churn, ath_one_step step);

#endif
