/* What is done to a prediction before a sampler sees it: guidance, thresholding, clipping, and where they apply. The
 * arithmetic alone, on x0 of one image; who evaluates the network is model/denoiser.h. All of it works on x0, so that it means the
 * same whatever the network predicts, and eps, which samplers derive from x0, agrees with it. */
#ifndef ATH_DIFFUSION_SHAPING_H
#define ATH_DIFFUSION_SHAPING_H
#include <stdbool.h>
#include "diffusion/level.h"

/* What beside the weight of guidance and whether to clip may be set. 0 is off, in every field. */
typedef struct ath_shaping {
    /* Guidance only where low < sigma/alpha <= high; high 0: no bound (Kynkaanniemi et al. 2024, arXiv:2404.07724). */
    double guidance_low, guidance_high;
    double guidance_rescale; /* phi: see ath_guide_x0                                                   */
    double threshold;        /* quantile, up to 1: see ath_threshold_x0; 0.995 is usual                 */
    double threshold_max;    /* the largest threshold; 0: any                                           */
    double clip_range;       /* where x0 is clipped: to [-range, range]; 0: 1                           */
    /* Skip connections are scaled only where low < sigma/alpha <= high; high 0: no bound (Skip-Tuning, arXiv:2402.15170). */
    double skip_low, skip_high;
} ath_shaping;

/* Fails with ATH_E_ARG when a field is out of range; the message says what was expected. */
ath_status ath_shaping_check(const ath_shaping *s, ath_err *err);

/* low < sigma/alpha <= high; high 0: no bound. */
bool ath_level_within(ath_level at, double low, double high);

/* Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598): x0 = null + weight (x0 - null), x0 in: with the label,
 * null: without. Then x0 is scaled to rescale (old std/new std) + 1 - rescale of itself, std that of the image's pixels: a large
 * weight makes pictures glare (Lin et al. 2023, arXiv:2305.08891, eq. 15 and 16; 0.7 there). weight 1 changes nothing. */
void ath_guide_x0(double *x0, const double *null, size_t dim, double weight, double rescale);

/* Dynamic thresholding (Saharia et al. 2022, arXiv:2205.11487, sec. 2.3): s = the quantile of |x0| over the image, between
 * neighbours linearly, at least 1 and, where `most` is not 0, at most that; x0 = clamp(x0, -s, s)/s. work: dim doubles. */
void ath_threshold_x0(double *x0, size_t dim, double quantile, double most, double *work);

/* Thresholds where it is on, then clips where `clip` says so. work: dim doubles, not used without a threshold. */
void ath_shape_x0(const ath_shaping *s, bool clip, double *x0, size_t dim, double *work);

#endif
