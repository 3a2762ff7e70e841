/* PLMS, the pseudo linear multistep method of PNDM (Liu et al. 2022, arXiv:2202.09778; diffusers' PNDMScheduler with
 * skip_prk_steps): DDIM's step, which is Euler's in sigma/alpha, on eps combined by Adams and Bashforth's constants (see
 * ipndm.c). The first step is taken twice: to level 1, and again with the mean of its eps and the one found there; so n
 * steps cost n + 1 evaluations. Then orders 2, 3 and 4. Second order, since the constants are those of steps of one
 * length. The step onto the clean level is one like the others, as in diffusers; a single step onto it is DDIM's. */
#include <string.h>
#include "solver/multistep.h"

typedef struct plms_config {
    bool denoise_to_zero;
} plms_config;

static const ath_option options[] = {
    {.name = "denoise_to_zero",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(plms_config, denoise_to_zero),
     .dflt = "false",
     .help = "the step onto the clean level returns x0; false: it is one like the others"},
};

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    return n_steps + !(n_steps == 1 && to_clean);
}

/* The trapezoid rule, of whose slopes the first is kept. */
static ath_status first_step(ath_sample_job *job, ath_slopes *s) {
    const ath_level from = job->level[0], to = job->level[1];
    double *x = job->x, *x0 = job->work, *start = job->work + ATH_MULTISTEP_WORK * s->len;
    memcpy(start, x, s->len * sizeof *x);
    ATH_TRY(ath_slopes_evaluate(s, job, from, false, x0));
    ath_slopes_add(s, ATH_CLOCK_EVEN, 1, from.sigma, to.sigma, x);
    if (to.sigma > 0) {
        ATH_TRY(ath_predict(job, x, to, x0));
        for (size_t k = 0; k < s->len; k++)
            x[k] = start[k] + (to.sigma - from.sigma) * (s->d[0][k] + (x[k] - x0[k]) / to.sigma) / 2;
    }
    return ath_step_done(job, 0, x0);
}

static ath_status run(ath_sample_job *job) {
    const plms_config *c = job->config;
    const size_t len = job->n * job->dim;
    const ath_multistep m = {.clock = ATH_CLOCK_EVEN, .order = 4, .denoise_to_zero = c->denoise_to_zero};
    ath_slopes s = ath_slopes_over(job->work + len, len);
    ATH_TRY(first_step(job, &s));
    for (int i = 1; i < job->n_steps; i++) ATH_TRY(ath_multistep_step(&m, job, &s, i));
    return ATH_OK;
}

const ath_sampler ath_sampler_plms = {
    .name = "plms",
    .summary = "PNDM without Runge-Kutta steps, as Stable Diffusion had it",
    .paper = "arXiv:2202.09778",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK + 1,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(plms_config),
    .nfe = nfe,
    .run = run,
};
