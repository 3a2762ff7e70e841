/* DEIS: Zhang & Chen 2022, arXiv:2204.13902. With x/alpha and rho = sigma/alpha the flow is dx/drho = eps, and a step
 * integrates the polynomial through the last eps. `mode` says in what it is a polynomial:
 *     logrho   log rho (diffusers' DEISMultistepScheduler, which has orders 1 to 3 in closed form)
 *     tab      the time t of a VP process (tAB-DEIS; the clock is that of zju-pi/diff-sampler)
 *     rhoab    rho (rhoAB-DEIS)
 * One evaluation a step. The first steps are of lower orders, which caps the order at 2 in the limit; from sigma = 80,
 * where the flow is nearly straight, order 3 is seen. The step onto the clean level returns x0. */
#include <string.h>
#include "solver/multistep.h"

typedef struct deis_config {
    int order;
    char mode[ATH_TEXT_LEN];
    bool afs, lower_order_final;
} deis_config;

#define FIELD(key) .name = #key, .offset = offsetof(deis_config, key)
static const ath_option options[] = {
    {FIELD(order), .type = ATH_OPT_INT, .dflt = "3", .min = 1, .max = 4, .help = "slopes a step combines"},
    {FIELD(mode), .type = ATH_OPT_TEXT, .dflt = "logrho", .choices = "logrho|tab|rhoab",
     .help = "what eps is a polynomial in: log(sigma/alpha), a VP process's time, or sigma/alpha"},
    {FIELD(afs), .type = ATH_OPT_BOOL, .dflt = "false", .help = "analytical first step: no evaluation of pure noise"},
    {FIELD(lower_order_final), .type = ATH_OPT_BOOL, .dflt = "true",
     .help = "with fewer than 15 steps the last is of order 1, the last but one of order 2"},
};

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)to_clean;
    return n_steps - ((const deis_config *)config)->afs;
}

static ath_status run(ath_sample_job *job) {
    const deis_config *c = job->config;
    const ath_multistep m = {.clock = strcmp(c->mode, "tab") == 0     ? ATH_CLOCK_VP_TIME
                                      : strcmp(c->mode, "rhoab") == 0 ? ATH_CLOCK_SIGMA
                                                                      : ATH_CLOCK_LOG_SIGMA,
                             .order = c->order,
                             .afs = c->afs,
                             .denoise_to_zero = true,
                             .lower_order_final = c->lower_order_final};
    return ath_multistep_run(&m, job);
}

const ath_sampler ath_sampler_deis = {
    .name = "deis",
    .summary = "exponential integrator, multistep, good from 5 to 20 steps",
    .paper = "arXiv:2204.13902",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 4,
    .config_size = sizeof(deis_config),
    .nfe = nfe,
    .run = run,
};
