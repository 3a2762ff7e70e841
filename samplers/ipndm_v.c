/* iPNDM-v: iPNDM (arXiv:2204.13902) with weights for steps of different lengths, the integrals of the slopes' Lagrange
 * polynomials in sigma. The closed forms in circulation for orders 3 and 4 (zju-pi/diff-sampler 68d5ce42) are not these
 * integrals: a misplaced parenthesis, a sign and a ratio of steps make them inexact for quadratics already.
 * One evaluation a step. The first step is Euler's and caps the order at 2 in the limit; from sigma = 80, where the flow
 * is nearly straight, orders 3 and 4 are seen (abv has the start that keeps them). The step onto the clean level returns
 * x0. */
#include "solver/multistep.h"

typedef struct ipndm_v_config {
    int order;
    bool afs, denoise_to_zero;
} ipndm_v_config;

#define FIELD(key) .name = #key, .offset = offsetof(ipndm_v_config, key)
static const ath_option options[] = {
    {FIELD(order), .type = ATH_OPT_INT, .dflt = "4", .min = 1, .max = 4, .help = "slopes a step combines"},
    {FIELD(afs), .type = ATH_OPT_BOOL, .dflt = "false", .help = "analytical first step: no evaluation of pure noise"},
    {FIELD(denoise_to_zero), .type = ATH_OPT_BOOL, .dflt = "true",
     .help = "the step onto the clean level returns x0; false: it is one like the others"},
};

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)to_clean;
    return n_steps - ((const ipndm_v_config *)config)->afs;
}

static ath_status run(ath_sample_job *job) {
    const ipndm_v_config *c = job->config;
    const ath_multistep m = {
        .clock = ATH_CLOCK_SIGMA, .order = c->order, .afs = c->afs, .denoise_to_zero = c->denoise_to_zero};
    return ath_multistep_run(&m, job);
}

const ath_sampler ath_sampler_ipndm_v = {
    .name = "ipndm_v",
    .summary = "multistep with exact weights for steps of any lengths",
    .paper = "arXiv:2204.13902",
    .order = 3,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 3,
    .config_size = sizeof(ipndm_v_config),
    .nfe = nfe,
    .run = run,
};
