/* PNDM: Liu et al. 2022, arXiv:2202.09778 (F-PNDM; diffusers' PNDMScheduler by default). Three pseudo Runge-Kutta steps,
 * which are the classical rule with DDIM's step in place of Euler's and the middle in timesteps, then linear multistep
 * steps of order 4 (see plms.c). Second order: neither the middle nor the constants are those of sigma. Four evaluations
 * in each of the first three steps, then one. A step onto the clean level, where nothing can be evaluated, is multistep
 * however early it comes, and like the others, as in diffusers. */
#include <math.h>
#include <string.h>
#include "solver/multistep.h"

enum { RUNGE_KUTTA_STEPS = ATH_SLOPES - 1 };

typedef struct pndm_config {
    bool denoise_to_zero;
} pndm_config;

static const ath_option options[] = {
    {.name = "denoise_to_zero",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(pndm_config, denoise_to_zero),
     .dflt = "false",
     .help = "the step onto the clean level returns x0; false: it is one like the others"},
};

static int nfe(const void *config, int n_steps, bool to_clean) {
    (void)config;
    const int noisy = n_steps - to_clean;
    return n_steps + 3 * (noisy < RUNGE_KUTTA_STEPS ? noisy : RUNGE_KUTTA_STEPS);
}

/* The level halfway in timesteps, rounded down where they are whole; where there are none, in log sigma. */
static ath_level halfway(const ath_sample_job *job, ath_level from, ath_level to) {
    const ath_schedule *schedule = job->process.kind == ATH_PROCESS_VP ? job->process.schedule : NULL;
    if (!schedule) return ath_level_at(job, sqrt(from.sigma * to.sigma));
    const double middle = (from.t + to.t) / 2;
    const bool whole = from.t == floor(from.t) && to.t == floor(to.t);
    const ath_level at = ath_schedule_level(schedule, whole ? floor(middle) : middle);
    return ath_level_at(job, at.sigma / at.alpha);
}

static ath_status runge_kutta_step(ath_sample_job *job, ath_slopes *s, int i) {
    static const double part[4] = {1 / 6.0, 1 / 3.0, 1 / 3.0, 1 / 6.0};
    const ath_level from = job->level[i], to = job->level[i + 1], middle = halfway(job, from, to);
    const ath_level at[4] = {from, middle, middle, to};
    double *x = job->x, *x0 = job->work, *start = job->work + ATH_MULTISTEP_WORK * s->len, *d = start + s->len,
           *sum = d + s->len;
    memcpy(start, x, s->len * sizeof *x);
    memset(sum, 0, s->len * sizeof *sum);
    for (int stage = 0; stage < 4; stage++) {
        const double h = (stage < 3 ? at[stage + 1].sigma : to.sigma) - from.sigma;
        ATH_TRY(ath_predict(job, x, at[stage], x0));
        for (size_t k = 0; k < s->len; k++) {
            d[k] = (x[k] - x0[k]) / at[stage].sigma;
            sum[k] += part[stage] * d[k];
            x[k] = start[k] + h * (stage < 3 ? d[k] : sum[k]);
        }
        if (stage == 0) memcpy(ath_slopes_push(s, from.sigma), d, s->len * sizeof *d);
    }
    return ath_step_done(job, i, x0);
}

static ath_status run(ath_sample_job *job) {
    const pndm_config *c = job->config;
    const size_t len = job->n * job->dim;
    const ath_multistep m = {.clock = ATH_CLOCK_EVEN, .order = 4, .denoise_to_zero = c->denoise_to_zero};
    ath_slopes s = ath_slopes_over(job->work + len, len);
    for (int i = 0; i < job->n_steps; i++)
        if (i < RUNGE_KUTTA_STEPS && job->level[i + 1].sigma > 0)
            ATH_TRY(runge_kutta_step(job, &s, i));
        else
            ATH_TRY(ath_multistep_step(&m, job, &s, i));
    return ATH_OK;
}

const ath_sampler ath_sampler_pndm = {
    .name = "pndm",
    .summary = "three Runge-Kutta steps of 4 NFE, then multistep",
    .paper = "arXiv:2202.09778",
    .order = 2,
    .nfe_per_step = 1,
    .n_work = ATH_MULTISTEP_WORK + 3,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 1,
    .config_size = sizeof(pndm_config),
    .nfe = nfe,
    .run = run,
};
