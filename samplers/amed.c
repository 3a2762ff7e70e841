/* AMED-Solver and AMED-Plugin: Zhou et al. 2024, arXiv:2312.00094. A step from sigma to sigma' evaluates the network
 * twice, at its start and at s = sigma'^r sigma^(1-r):
 *     x_s = x + (s - sigma) d(x, sigma),   d_s = (x_s - x0(x_s, a s))/s,
 *     base=amed    x' = x + c (sigma' - sigma) d_s      r = 1/2, c = a = 1: DPM-Solver-2's middle (arXiv:2206.00927)
 *     base=euler   x' = x_s + c (sigma' - s) d_s        the plug-in: a step of the base solver to s, and one from
 *     base=ipndm   the same with iPNDM's sums of d      there with its slope scaled (see ipndm.c)
 * AMED learns r, c = scale_dir and a = scale_time, for each image and step: they come from job->predictor, or are the
 * numbers given as options, lists whose k-th serves step k, over and over. a s is kept within the step. base=amed is of
 * second order where c = a = 1. The step onto the clean level returns x0, at one evaluation. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "solver/multistep.h"

typedef struct amed_config {
    char base[ATH_TEXT_LEN];
    ath_floats r, scale_dir, scale_time;
    int order;
    bool afs;
} amed_config;

#define FIELD(key) .name = #key, .offset = offsetof(amed_config, key)
static const ath_option options[] = {
    {FIELD(base), .type = ATH_OPT_TEXT, .dflt = "amed", .choices = "amed|euler|ipndm",
     .help = "the solver: AMED's own, or what it is plugged into"},
    {FIELD(r), .type = ATH_OPT_FLOATS, .dflt = "0.5", .min = 0.001, .max = 0.999,
     .help = "where a step evaluates again, from its start (0) to its end (1) in log sigma; a list, as 0.45/0.55, for "
             "step after step"},
    {FIELD(scale_dir), .type = ATH_OPT_FLOATS, .dflt = "1", .min = 0.5, .max = 2,
     .help = "factor of the slope found there; a list likewise"},
    {FIELD(scale_time), .type = ATH_OPT_FLOATS, .dflt = "1", .min = 0.5, .max = 2,
     .help = "factor of the sigma that the network is given there; a list likewise"},
    {FIELD(order), .type = ATH_OPT_INT, .dflt = "3", .min = 1, .max = 4,
     .help = "of base=ipndm: slopes a step combines"},
    {FIELD(afs), .type = ATH_OPT_BOOL, .dflt = "false", .help = "analytical first step: no evaluation of pure noise"},
};

static int nfe(const void *config, int n_steps, bool to_clean) {
    return 2 * n_steps - to_clean - ((const amed_config *)config)->afs;
}

static double listed(const ath_floats *list, int step, double otherwise) {
    return list->n > 0 ? list->v[step % list->n] : otherwise;
}

static ath_status choose(ath_sample_job *job, int step, ath_step_choice *choice) {
    const amed_config *c = job->config;
    for (size_t i = 0; i < job->n; i++)
        choice[i] = (ath_step_choice){listed(&c->r, step, 0.5), listed(&c->scale_dir, step, 1),
                                      listed(&c->scale_time, step, 1)};
    if (!job->predictor.choose) return ATH_OK;
    ATH_TRY(job->predictor.choose(job->predictor.self, job, step, choice));
    for (size_t i = 0; i < job->n; i++)
        if (!(choice[i].r > 0 && choice[i].r < 1 && choice[i].scale_time > 0 && isfinite(choice[i].scale_dir)))
            return ath_fail(job->err, ATH_E_ARG,
                            "step %d: the predictor chose r %g, scale_dir %g, scale_time %g; expected r within 0 and 1",
                            step, choice[i].r, choice[i].scale_dir, choice[i].scale_time);
    return ATH_OK;
}

/* Where a step evaluates again. */
static double middle_of(const ath_step_choice *choice, ath_level from, ath_level to) {
    return from.sigma * pow(to.sigma / from.sigma, choice->r);
}

/* x += h sum_j w_j d_j for image i, of the newest `order` slopes with iPNDM's constants. */
static void advance(const ath_sample_job *job, const ath_slopes *s, int order, size_t i, double h) {
    double w[ATH_SLOPES];
    const int n = order < s->kept ? order : s->kept;
    ath_adams_weights(ATH_CLOCK_EVEN, NULL, n, 0, h, w);
    for (int j = 0; j < n; j++)
        for (size_t k = i * job->dim; k < (i + 1) * job->dim; k++) job->x[k] += w[j] * s->d[j][k];
}

/* From the step's start, whose slope is the newest, to its end. choice, told: room for n. */
static ath_status rest_of_step(ath_sample_job *job, ath_slopes *s, int step, ath_step_choice *choice, ath_level *told) {
    const amed_config *c = job->config;
    const bool own = strcmp(c->base, "amed") == 0;
    const int order = strcmp(c->base, "ipndm") == 0 ? c->order : 1;
    const ath_level from = job->level[step], to = job->level[step + 1];
    double *x0 = job->work, *start = job->work + ATH_MULTISTEP_WORK * s->len;
    ATH_TRY(choose(job, step, choice));
    memcpy(start, job->x, s->len * sizeof *start);
    for (size_t i = 0; i < job->n; i++) {
        const double middle = middle_of(&choice[i], from, to);
        advance(job, s, order, i, middle - from.sigma);
        told[i] = ath_level_at(job, fmin(choice[i].scale_time * middle, from.sigma));
    }
    ATH_TRY(ath_predict_each(job, job->x, told, x0));
    double *d = ath_slopes_push(s, middle_of(&choice[0], from, to)); /* which the constants do not read */
    for (size_t i = 0; i < job->n; i++) {
        const double middle = middle_of(&choice[i], from, to);
        for (size_t k = i * job->dim; k < (i + 1) * job->dim; k++) d[k] = (job->x[k] - x0[k]) / middle;
    }
    if (own) memcpy(job->x, start, s->len * sizeof *start);
    for (size_t i = 0; i < job->n; i++)
        advance(job, s, order, i,
                choice[i].scale_dir * (to.sigma - (own ? from.sigma : middle_of(&choice[i], from, to))));
    return ATH_OK;
}

static ath_status steps(ath_sample_job *job, ath_step_choice *choice, ath_level *told) {
    const amed_config *c = job->config;
    const size_t len = job->n * job->dim;
    ath_slopes s = ath_slopes_over(job->work + len, len);
    for (int i = 0; i < job->n_steps; i++) {
        ATH_TRY(ath_slopes_evaluate(&s, job, job->level[i], c->afs && i == 0, job->work));
        if (job->level[i + 1].sigma == 0)
            memcpy(job->x, job->work, len * sizeof *job->x);
        else
            ATH_TRY(rest_of_step(job, &s, i, choice, told));
        ATH_TRY(ath_step_done(job, i, job->work));
    }
    return ATH_OK;
}

static ath_status run(ath_sample_job *job) {
    ath_step_choice *choice = malloc((job->n + 1) * sizeof *choice);
    ath_level *told = malloc((job->n + 1) * sizeof *told);
    const ath_status status = choice && told ? steps(job, choice, told)
                                             : ath_fail(job->err, ATH_E_MEM, "out of memory for %zu images", job->n);
    free(choice);
    free(told);
    return status;
}

const ath_sampler ath_sampler_amed = {
    .name = "amed",
    .summary = "a second evaluation where it was learned to be best; plugs into euler and ipndm",
    .paper = "arXiv:2312.00094",
    .order = 2,
    .nfe_per_step = 2,
    .n_work = ATH_MULTISTEP_WORK + 1,
    .needs_signal = true,
    .view = ATH_VIEW_ODE,
    .options = options,
    .n_options = 6,
    .config_size = sizeof(amed_config),
    .nfe = nfe,
    .run = run,
};
