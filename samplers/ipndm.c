/* iPNDM: Zhang & Chen 2022, arXiv:2204.13902, after PNDM (arXiv:2202.09778). Adams and Bashforth's constants on the
 * slopes d = dx/dsigma, whatever the lengths of the steps, beginning with the lower orders:
 *     x += h d_0,   h (3 d_0 - d_1)/2,   h (23 d_0 - 16 d_1 + 5 d_2)/12,   h (55 d_0 - 59 d_1 + 37 d_2 - 9 d_3)/24.
 * One evaluation a step. On steps of different lengths it is of second order at most, and yet among the best with ten
 * steps or fewer (AMED, arXiv:2312.00094). The step onto the clean level returns x0. */
#include "solver/multistep.h"

typedef struct ipndm_config {
    int order;
    bool afs, denoise_to_zero;
} ipndm_config;

#define FIELD(key) .name = #key, .offset = offsetof(ipndm_config, key)
static const ath_option options[] = {
    {FIELD(order), .type = ATH_OPT_INT, .dflt = "4", .min = 1, .max = 4, .help = "slopes a step combines"},
    {FIELD(afs), .type = ATH_OPT_BOOL, .dflt = "false", .help = "analytical first step: no evaluation of pure noise"},
    {FIELD(denoise_to_zero), .type = ATH_OPT_BOOL, .dflt = "true",
     .help = "the step onto the clean level returns x0; false: it is one like the others (as in diffusers)"},
};

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)to_clean;
    return n_steps - ((const ipndm_config *)config)->afs;
}

static ath_status run(ath_sample_job *job) {
    const ipndm_config *c = job->config;
    const ath_multistep m = {
        .clock = ATH_CLOCK_EVEN, .order = c->order, .afs = c->afs, .denoise_to_zero = c->denoise_to_zero};
    return ath_multistep_run(&m, job);
}

const ath_sampler ath_sampler_ipndm = {
    .name = "ipndm",
    .summary = "multistep with constant weights, good below 10 steps",
    .paper = "arXiv:2204.13902",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 3,
    .config_size = sizeof(ipndm_config),
    .nfe = nfe,
    .run = run,
};
