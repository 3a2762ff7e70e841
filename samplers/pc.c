/* Predictor-corrector: Song et al. 2021, arXiv:2011.13456, algorithms 1 and 2. From level s to t in X = x0 + sigma eps,
 * with the score g = (x0 - X)/sigma^2,
 *   predictor  X = X + (sigma_s^2 - sigma_t^2) g + deviation z
 *              reverse: deviation^2 = sigma_s^2 - sigma_t^2 (the reverse diffusion sampler, their eq. 46)
 *              ancestral: that times sigma_t^2/sigma_s^2 (their eq. 47; DDPM's small variance)
 *              none: X stays: annealed Langevin dynamics (Song & Ermon 2019, arXiv:1907.05600)
 *   corrector  X = X + e g + sqrt(2 e) z at t, `corrector_steps` times
 *              langevin: e = 2 (snr |z|/|g|)^2 (their algorithm 4)
 *              annealed: e = 2 (snr sigma)^2, which is about the same for images (Song & Ermon 2019, algorithm 1)
 * The norms are those of each image. The paper's code takes their means over the batch, and an image then depends on those beside it.
 * But a step that depends on X draws from p |g|^2 in place of p: for Gaussian data of d numbers the variance is 1 + 2/d of what
 * it should be. That is nothing for images; for points use annealed. e is sigma^2 at most, where the drift ends on x0, since with
 * few numbers g can come near 0.
 * The step onto the clean level is x0 (their appendix G, "denoise"), and is not corrected. Evaluations a step: one
 * for the predictor, one for each corrector step. */
#include "diffusion/sampler.h"
#include <math.h>
#include <string.h>

typedef struct pc_config {
    char predictor[ATH_TEXT_LEN], corrector[ATH_TEXT_LEN];
    int corrector_steps;
    double snr;
} pc_config;

static const ath_option options[] = {
    {.name = "predictor",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(pc_config, predictor),
     .dflt = "ancestral",
     .choices = "reverse|ancestral|none",
     .help = "reverse: reverse diffusion, for many steps; none: Langevin steps alone, for hundreds"},
    {.name = "corrector",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(pc_config, corrector),
     .dflt = "langevin",
     .choices = "langevin|annealed",
     .help = "size of a step from the image's score, or from sigma alone"},
    {.name = "corrector_steps",
     .type = ATH_OPT_INT,
     .offset = offsetof(pc_config, corrector_steps),
     .dflt = "1",
     .min = 0,
     .max = 100,
     .help = "Langevin steps at each level"},
    {.name = "snr",
     .type = ATH_OPT_FLOAT,
     .offset = offsetof(pc_config, snr),
     .dflt = "0.16",
     .min = 0,
     .max = 10,
     .help = "size of a Langevin step: drift over noise"},
};

static bool predicts(const pc_config *c) { return strcmp(c->predictor, "none") != 0; }

static ath_status predictor(ath_sample_job *job, ath_level s, ath_level t, double *x0, double *z) {
    const pc_config *config = job->config;
    const size_t len = job->n * job->dim;
    double *x = job->x;
    ATH_TRY(ath_predict(job, x, s, x0));
    const double kept = t.sigma * t.sigma / (s.sigma * s.sigma);
    for (size_t k = 0; k < len; k++) x[k] = x0[k] + kept * (x[k] - x0[k]);
    if (t.sigma == 0) return ATH_OK;
    const bool ancestral = strcmp(config->predictor, "ancestral") == 0;
    const double deviation = s.sigma * sqrt((1 - kept) * (ancestral ? kept : 1));
    ATH_TRY(ath_draw_noise(job, s, t, z));
    for (size_t k = 0; k < len; k++) x[k] += deviation * z[k];
    return ATH_OK;
}

/* One Langevin step of one image. */
static void correct(const pc_config *c, double *x, const double *x0, const double *z, size_t dim, double sigma) {
    double ratio = 1; /* (|z|/|sigma g|)^2 */
    if (strcmp(c->corrector, "langevin") == 0) {
        double g2 = 0, z2 = 0;
        for (size_t k = 0; k < dim; k++) {
            const double sigma_g = (x0[k] - x[k]) / sigma;
            g2 += sigma_g * sigma_g, z2 += z[k] * z[k];
        }
        ratio = z2 / fmax(g2, 1e-300);
    }
    const double way = fmin(2 * c->snr * c->snr * ratio, 1), noise = sigma * sqrt(2 * way); /* way = e/sigma^2 */
    for (size_t k = 0; k < dim; k++) x[k] += way * (x0[k] - x[k]) + noise * z[k];
}

static ath_status corrector(ath_sample_job *job, ath_level t, double *x0, double *z) {
    const pc_config *config = job->config;
    for (int j = 0; j < config->corrector_steps; j++) {
        ATH_TRY(ath_predict(job, job->x, t, x0));
        ATH_TRY(ath_draw_fresh_noise(job, t, z));
        for (size_t i = 0; i < job->n; i++) {
            const size_t at = i * job->dim;
            correct(config, job->x + at, x0 + at, z + at, job->dim, t.sigma);
        }
    }
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    const pc_config *config = job->config;
    if (!predicts(config) && config->corrector_steps == 0)
        return ath_fail(job->err, ATH_E_ARG, "pc: predictor=none with corrector_steps=0 does nothing");
    double *x0 = job->work, *z = x0 + job->n * job->dim;
    for (int i = 0; i < job->n_steps; i++) {
        const ath_level s = job->level[i], t = job->level[i + 1];
        if (predicts(config) || t.sigma == 0) ATH_TRY(predictor(job, s, t, x0, z));
        if (t.sigma > 0) ATH_TRY(corrector(job, t, x0, z));
        ATH_TRY(ath_step_done(job, i, x0));
    }
    return ATH_OK;
}

static int nfe(const void *config, int n_steps, bool to_clean) {
    const pc_config *c = config;
    const int corrected = to_clean ? n_steps - 1 : n_steps;
    return (predicts(c) ? n_steps : to_clean) + corrected * c->corrector_steps;
}

const ath_sampler ath_sampler_pc = {
    .name = "pc",
    .summary = "predictor-corrector: Langevin steps at every level, for many evaluations",
    .paper = "arXiv:2011.13456",
    .nfe_per_step = 2,
    .n_work = 2,
    .stochastic = true,
    .view = ATH_VIEW_SIGMA,
    .options = options,
    .n_options = 4,
    .config_size = sizeof(pc_config),
    .nfe = nfe,
    .run = run,
};
