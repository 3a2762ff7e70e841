/* LMS, the linear multistep method of k-diffusion and diffusers on the flow of Karras et al. 2022, arXiv:2206.00364:
 * variable-step Adams-Bashforth in sigma,
 *     x += sum_j w_j d_j,   w_j = integral over sigma, from sigma_i to sigma_{i+1}, of l_j,
 * l_j the Lagrange basis on the last sigmas. Both peers integrate by quadrature; here it is exact. One evaluation a step.
 * The first step is Euler's and caps the order at 2 in the limit; from sigma = 80, where the flow is nearly straight,
 * order 4 is seen (abv has the start that keeps it). The step onto the clean level is one like the others, as in both
 * peers. */
#include "solver/multistep.h"

typedef struct lms_config {
    int order;
    bool denoise_to_zero;
} lms_config;

#define FIELD(key) .name = #key, .offset = offsetof(lms_config, key)
static const ath_option options[] = {
    {FIELD(order), .type = ATH_OPT_INT, .dflt = "4", .min = 1, .max = 4, .help = "slopes a step combines"},
    {FIELD(denoise_to_zero), .type = ATH_OPT_BOOL, .dflt = "false",
     .help = "the step onto the clean level returns x0; false: it is one like the others"},
};

static ath_status run(ath_sample_job *job) {
    const lms_config *c = job->config;
    const ath_multistep m = {.clock = ATH_CLOCK_SIGMA, .order = c->order, .denoise_to_zero = c->denoise_to_zero};
    return ath_multistep_run(&m, job);
}

const ath_sampler ath_sampler_lms = {
    .name = "lms",
    .summary = "linear multistep in sigma, as in k-diffusion",
    .paper = "arXiv:2206.00364",
    .order = 3,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 2,
    .config_size = sizeof(lms_config),
    .run = run,
};
