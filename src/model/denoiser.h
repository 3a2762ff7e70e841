/* A model as a denoiser (sampler.h): a level becomes the network's time, its output
 * becomes x0, guided and clipped on the way. */
#ifndef ATH_MODEL_DENOISER_H
#define ATH_MODEL_DENOISER_H
#include "diffusion/sampler.h"
#include "model/workers.h"

/* F (n,image) = the network at x (n,image) with times t (n), labels (n) or NULL, and skip
 * scales (skips) or NULL for 1. All in the graph's NHWC. */
void ath_evaluate(ath_workers *w, const ath_model *m, int n, const float *x, const float *t, const float *label,
                  const float *skip_scales, float *f);

typedef struct ath_model_denoiser {
    const ath_model *model;
    ath_workers *workers;
    int n;                    /* images a call                                                    */
    const float *label;       /* (n) class numbers; NULL for an unconditional model               */
    double guidance;          /* F = F_null + guidance (F_label - F_null): classifier-free guidance, Ho &
                               * Salimans 2022, arXiv:2207.12598; 1 means none                    */
    bool clip;                /* x0 to [-1,1]                                                     */
    const float *skip_scales; /* (skips) or NULL                                                  */
    float *x, *f, *t;         /* work memory, owned                                               */
    float *null_label;        /* (n), owned                                                       */
} ath_model_denoiser;

/* Fill model .. skip_scales, then call this. Fails with ATH_E_ARG when guidance other than 1
 * is asked of a model without labels or without a null class, ATH_E_MEM. */
ath_status ath_model_denoiser_init(ath_model_denoiser *d, ath_err *err);
void ath_model_denoiser_free(ath_model_denoiser *d);
ath_denoiser ath_model_denoiser_as(ath_model_denoiser *d); /* borrowed */

#endif
