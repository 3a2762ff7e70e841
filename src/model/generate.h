/* Drawing images from a model with a sampler. */
#ifndef ATH_MODEL_GENERATE_H
#define ATH_MODEL_GENERATE_H
#include "model/denoiser.h"
#include "model/source.h"

typedef struct ath_generate_job {
    const ath_sampler *sampler;
    const void *sampler_config; /* its options, checked                                          */
    const ath_level *level;     /* n_steps + 1, from ath_levels                                  */
    int n_steps;
    int count;             /* images                                                        */
    ath_rng rng;           /* image k's noise depends on the seed and k alone               */
    int label;             /* of every image; -1: the classes in turn                       */
    const int32_t *labels; /* (count) in place of label, or NULL                         */
    double guidance;       /* 1: none                                                       */
    bool clip;
    const float *skip_scales; /* (skips) or NULL                                               */
    ath_shaping shaping;      /* of trained models: where guidance and skip scales apply, thresholding ...; 0: none */
    int images_per_path;      /* that many neighbours share a sampler's noise and a class; 0: 1 */
    const double *start;      /* (count, image) starting states in place of drawn ones, or NULL */
    bool start_is_state;      /* start is x at the first level as it is; else unit noise       */
    const double *noise;      /* (n_noise, count, image) in place of the sampler's own, or NULL */
    int n_noise;
    /* (n_steps) for a sampler that needs it (sampler.h). NULL: measured by a pilot run of 32 images of a seed of its own, so
     * that an image stays what it is in any number; its evaluations are not counted. */
    const double *x0_variance;
    /* After each step of each chunk of images, NULL for none: `done` of `total` steps; x and x0
     * (n, image) of images first .. first + n - 1 at level[step + 1]; n = 0 in a pilot run. Other than ATH_OK ends the run. */
    ath_status (*on_step)(void *user, int done, int total, int first, int n, int step, const double *x,
                          const double *x0);
    void *user;
    int nfe;   /* out: evaluations an image, guidance's second one not counted  */
    int draws; /* out: noise tensors that the sampler drew */
} ath_generate_job;

/* out: (count, image) float NHWC. Images are made in chunks of up to 256, which bounds memory
 * and changes no result. */
ath_status ath_generate(const ath_source *s, ath_generate_job *job, float *out, ath_err *err);

/* The states at the first level of images first .. first + n - 1, as ath_generate starts them: x (n, image). */
void ath_generate_start(const ath_source *s, const ath_generate_job *job, int first, int n, double *x);

/* The denoiser of a job's images first .. first + n - 1, exact or a network's, shaped as the job says. */
typedef struct ath_job_net {
    ath_mixture_denoiser exact;
    ath_model_denoiser model;
    float *label; /* (n), owned */
    ath_denoiser net;
} ath_job_net;
ath_status ath_job_net_init(ath_job_net *d, const ath_source *s, const ath_generate_job *job, int first, int n,
                            ath_err *err);
void ath_job_net_free(ath_job_net *d);

#endif
