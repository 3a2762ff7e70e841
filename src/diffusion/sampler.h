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

/* E[x_0 | x] at one noise level. Guidance and clipping wrap one denoiser in another; a
 * sampler cannot tell. x, x0: n images of `dim` doubles; must not overlap. */
typedef struct ath_denoiser {
    void *self;
    ath_status (*x0)(void *self, const double *x, ath_level at, double *x0, ath_err *err);
} ath_denoiser;

/* Where a sampler's own noise comes from: the k-th standard normal tensor, (n, dim). */
typedef struct ath_noise_source {
    void *self; /* NULL with fill NULL: drawn from (rng, image, k) */
    ath_status (*fill)(void *self, int k, double *out, ath_err *err);
} ath_noise_source;

typedef struct ath_sample_job {
    ath_denoiser net;
    const ath_level *level; /* level[0] noisiest .. level[n_steps], where it ends */
    int n_steps;
    double *x; /* in: the state at level[0]; out: samples            */
    size_t n, dim;
    double *work;       /* sampler->n_work * n * dim doubles                  */
    const void *config; /* the sampler's options, already checked             */
    ath_rng rng;
    uint64_t first_image; /* image i draws as number first_image + i            */
    ath_noise_source noise;
    /* Called after each step with the state there and the last x0, NULL for none. Anything
     * but ATH_OK ends the run with that status. */
    ath_status (*on_step)(void *user, int step, const double *x, const double *x0);
    void *user;
    int nfe, draws; /* out: network evaluations an image, noise tensors drawn */
    ath_err *err;
} ath_sample_job;

typedef struct ath_sampler {
    const char *name, *summary, *paper;
    int order; /* of convergence on the probability-flow ODE; 0 for a stochastic one */
    int nfe_per_step;
    int n_work;
    bool stochastic; /* draws noise with its default options */
    const ath_option *options;
    int n_options;
    size_t config_size;
    ath_status (*run)(ath_sample_job *job);
} ath_sampler;

/* Every file of samplers/, by name. */
const ath_sampler *const *ath_sampler_all(int *n);
const ath_sampler *ath_sampler_find(const char *name); /* NULL if there is none */

/* ---- for samplers ---- */
/* Calls the denoiser and counts. */
ath_status ath_predict(ath_sample_job *job, const double *x, ath_level at, double *x0);
/* The next standard normal tensor, (n, dim). Image i's numbers depend on the seed, its number and
 * how many tensors were drawn before, not on the batch. */
ath_status ath_draw_noise(ath_sample_job *job, double *z);
/* Tells on_step, if there is one, that step `step` (0 ..) is done. */
ath_status ath_step_done(ath_sample_job *job, int step, const double *x0);

#endif
