/* A model as a denoiser (sampler.h): a level becomes the network's time, its output
 * becomes x0, guided and shaped (shaping.h) on the way. */
#ifndef ATH_MODEL_DENOISER_H
#define ATH_MODEL_DENOISER_H
#include "diffusion/sampler.h"
#include "diffusion/shaping.h"
#include "model/workers.h"

/* F (n,image) = the network at x (n,image) with times t (n), labels (n) or NULL, and skip
 * scales (n,skips) or NULL for 1. All in the graph's NHWC. */
void ath_evaluate(ath_workers *w, const ath_model *m, int n, const float *x, const float *t, const float *label,
                  const float *skip_scales, float *f);

typedef struct ath_model_denoiser {
    const ath_model *model;
    ath_workers *workers;
    int n;              /* images a call                                                    */
    const float *label; /* (n) class numbers; NULL for an unconditional model               */
    double guidance;    /* weight of classifier-free guidance (ath_guide_x0); 1 means none. The network runs a second
                               * time, without the label, for the images it applies to           */
    bool clip;          /* x0 to [-1,1], or shaping's range                                 */
    const float *skip_scales; /* (skips), where shaping says so; or NULL                          */
    ath_shaping shaping;
    /* Work memory, owned. With guidance there is room for 2 n images: those with their labels, then those without. */
    float *x, *f, *t, *labels, *scales;
    double *work; /* 2 images */
} ath_model_denoiser;

/* Fill model .. shaping, then call this. Fails with ATH_E_ARG when guidance other than 1 is asked of a model without labels
 * or without a null class, or shaping is out of range; ATH_E_MEM. */
ath_status ath_model_denoiser_init(ath_model_denoiser *d, ath_err *err);
void ath_model_denoiser_free(ath_model_denoiser *d);
ath_denoiser ath_model_denoiser_as(ath_model_denoiser *d); /* borrowed */

#endif
