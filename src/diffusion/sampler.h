/* Samplers: from noise to images through a denoiser.
 *
 * A sampler sees (alpha, sigma) levels and x0, never a timestep's meaning, a graph or
 * a kind of prediction: one file in samplers/ serves every model. Its state is double;
 * the network sees a float copy. */
#ifndef ATH_DIFFUSION_SAMPLER_H
#define ATH_DIFFUSION_SAMPLER_H
#include <stdbool.h>
#include "base/option.h"
#include "base/rng.h"
#include "diffusion/level.h"

/* E[x_0 | x]. Guidance and clipping wrap one denoiser in another; a sampler cannot tell.
 * x, x0: n images of `dim` doubles; must not overlap. Image i is at level at[i * each]: each = 0, all
 * at one level, or 1, each at its own. */
typedef struct ath_denoiser {
    void *self;
    ath_status (*x0)(void *self, const double *x, const ath_level *at, size_t each, double *x0, ath_err *err);
} ath_denoiser;

/* Noise in place of a sampler's own: the k-th standard normal tensor, (n, dim). */
typedef struct ath_noise_source {
    void *self; /* fill NULL: the sampler's own */
    ath_status (*fill)(void *self, int k, double *out, ath_err *err);
} ath_noise_source;

typedef struct ath_sample_job ath_sample_job;

/* What was learned about one step of one image (AMED, arXiv:2312.00094, sec. 3.3): r, where the step evaluates the
 * network a second time, at sigma_to^r sigma_from^(1-r); the factor of the slope found there; the factor of the sigma
 * that the network is told there. */
typedef struct ath_step_choice {
    double r, scale_dir, scale_time;
} ath_step_choice;

/* Chooses them on the way from job->level[step] to job->level[step + 1] (in the sampler's view), never onto the clean
 * level. each: (n), the sampler's options when it is called; what it chooses for an image must depend on that image
 * alone. The network was last evaluated at the step's start, so a denoiser that keeps its deepest activations has the
 * features of these states at hand (AMED's predictor reads them); job->nfe is 0 where that evaluation was spared (afs).
 * Other than ATH_OK ends the run. */
typedef struct ath_step_predictor {
    void *self; /* choose NULL: the sampler's options */
    ath_status (*choose)(void *self, const ath_sample_job *job, int step, ath_step_choice *each);
} ath_step_predictor;

/* The coordinates that a sampler's states and levels are in. */
typedef enum ath_view {
    ATH_VIEW_OWN,  /* the model's: x = alpha x0 + sigma eps                                            */
    ATH_VIEW_SIGMA /* x/alpha = x0 + sigma/alpha eps: levels are (t, 1, sigma/alpha). Pure noise, where alpha
                    * is 0, counts as sigma/alpha = 2^20.                                              */
    ,
    ATH_VIEW_ODE /* where the flow is dx/dsigma = (x - x0)/sigma: the model's own for a flow process
                    * (sigma = t), sigma's for any other. So one Heun is EDM's and ReFlow's.            */
} ath_view;

/* Private to sampler.c: memory of a run. */
typedef struct ath_sample_run ath_sample_run;

struct ath_sample_job {
    ath_denoiser net;
    ath_process process; /* what x and the levels below belong to                  */
    const ath_level
        *level; /* level[0] noisiest .. level[n_steps], where it ends; in the sampler's view while it runs */
    int n_steps;
    double *x; /* in: the state at level[0]; out: samples            */
    size_t n, dim;
    const void *config; /* the sampler's options, already checked             */
    ath_rng rng;
    uint64_t first_image;     /* image i draws as number first_image + i ...                */
    uint64_t images_per_path; /* ... divided by this, 0 meaning 1: neighbours may share their noise */
    ath_noise_source noise;
    /* (n_steps) E tr Cov[x0 | x]/dim at each level, for a sampler that needs it; NULL: not known */
    const double *x0_variance;
    /* (n_steps) or NULL. A pilot run: the above is measured on this run's images as they go, used at once, and left here. Its
     * images depend on each other. */
    double *pilot;
    double pilot_most;            /* it is no more than this, the variance of the data at most: 1 in [-1,1]; 0: any */
    ath_step_predictor predictor; /* of the samplers that can be taught: amed           */
    /* Called after each step with the state there, in the model's own coordinates, and the last x0, NULL for
     * none. Anything but ATH_OK ends the run with that status. */
    ath_status (*on_step)(void *user, int step, const double *x, const double *x0);
    void *user;
    int nfe, draws; /* out: network evaluations an image, noise tensors drawn */
    ath_err *err;
    double *work; /* while it runs: sampler->n_work * n * dim doubles    */
    ath_sample_run *run;
};

typedef struct ath_sampler {
    const char *name, *summary, *paper;
    int order; /* of convergence on the probability-flow ODE; 0 for a stochastic one */
    int nfe_per_step;
    int n_work;      /* states of work memory */
    bool stochastic; /* draws noise with its default options */
    bool adaptive;   /* chooses its own steps between level[0] and the last that is not clean */
    /* From pure noise, or a vp process' level with sigma/alpha of ath_most_vp_ratio or more, a straight line in sigma down to less
     * than an eighth of it misses by many times the image. With this set DDIM's steps lead from there, one evaluation each and no noise
     * drawn, which are exact as long as x0 stays the same, as it does there; run() then sees the levels that are left, if any,
     * as if the job began with them (an adaptive sampler begins at ath_most_vp_ratio). Of no effect where the view is the
     * model's own. */
    bool needs_signal;
    ath_view view;
    const ath_option *options;
    int n_options;
    size_t config_size;
    /* Evaluations of n_steps steps, the last of them onto a clean level or not; NULL: n_steps * nfe_per_step. */
    int (*nfe)(const void *config, int n_steps, bool to_clean);
    /* Whether runs with these options need job->x0_variance; NULL: never. */
    bool (*needs_x0_variance)(const void *config);
    ath_status (*run)(ath_sample_job *job);
} ath_sampler;

/* Every file of samplers/, by name. */
const ath_sampler *const *ath_sampler_all(int *n);
const ath_sampler *ath_sampler_find(const char *name); /* NULL if there is none */

/* Runs a job: level, n_steps, x, n, dim, config and the fields above them filled. Memory is its own.
 * Fails with ATH_E_ARG when the levels do not fall or x0_variance is needed and missing, ATH_E_MEM, and as the denoiser, the noise
 * and on_step do. */
ath_status ath_sampler_run(const ath_sampler *s, ath_sample_job *job);
bool ath_sampler_needs_x0_variance(const ath_sampler *s, const void *config);
/* Evaluations of n_steps steps; 0 for an adaptive sampler, which cannot tell. Fewer where DDIM's steps stand in (needs_signal). */
int ath_sampler_nfe(const ath_sampler *s, const void *config, int n_steps, bool to_clean);

/* ---- for samplers ---- */
/* Calls the denoiser and counts. x and level are in the sampler's view, so is x0 (it is the same in all). */
ath_status ath_predict(ath_sample_job *job, const double *x, ath_level at, double *x0);
/* The same with a level for each image, (n). */
ath_status ath_predict_each(ath_sample_job *job, const double *x, const ath_level *at, double *x0);
/* d = (x - x0)/sigma, the flow's dx/dsigma in the views SIGMA and ODE. x0 may be d. */
ath_status ath_slope(ath_sample_job *job, const double *x, ath_level at, double *d);
/* A level between the given ones, by its sigma in the sampler's view (SIGMA or ODE). */
ath_level ath_level_at(const ath_sample_job *job, double sigma);

/* A standard normal tensor (n, dim) for the way between two levels: image i's Brownian path in sigma/alpha, which
 * depends on the seed and the image's number alone, between the two, over the root of their distance. So runs of
 * any number of steps see one noise, finer or coarser. Draws over ways that do not overlap are independent. */
ath_status ath_draw_noise(ath_sample_job *job, ath_level from, ath_level to, double *z);
ath_status ath_draw_noise_each(ath_sample_job *job, const ath_level *from, const ath_level *to, double *z);
/* One that belongs to a level and no path: independent of every other draw. For noise that is added to be taken away again (churn,
 * Langevin steps). */
ath_status ath_draw_fresh_noise(ath_sample_job *job, ath_level at, double *z);
/* job->x0_variance[i], in a pilot run measured on job->x, which is at level i, and its x0. Of any view. */
double ath_x0_variance(ath_sample_job *job, int i, const double *x0);
/* Tells on_step, if there is one, that step `step` (0 ..) is done. */
ath_status ath_step_done(ath_sample_job *job, int step, const double *x0);
/* The same with a state that is not job->x: what a sampler that takes steps of its own was at level[step + 1]. */
ath_status ath_step_done_at(ath_sample_job *job, int step, const double *x, const double *x0);

#endif
