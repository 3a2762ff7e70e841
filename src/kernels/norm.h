/* Group norm with what goes with it, in terms of the channel-by-channel kernels:
 *
 *     y = f(((x - mean) rstd gamma + beta) (1 + scale) + shift),   f the identity or silu,
 *
 * mean and rstd = 1/sqrt(var + eps) being those of a group of channels over an image (Wu & He 2018,
 * arXiv:1803.08494), scale and shift of an image and channel (AdaGN, arXiv:2105.05233). x may come in two parts
 * with channels side by side that lie in different places: a concatenation that is never made. Pure, like kernels. */
#ifndef ATH_KERNELS_NORM_H
#define ATH_KERNELS_NORM_H
#include "kernels/kernels.h"

typedef struct ath_norm {
    int n, hw, groups;
    int c[2];                 /* channels of the parts; c[1] is 0 when there is one */
    const float *x[2];        /* (n,hw,c[j]) */
    const float *part_scale;  /* x[1] of image i counts times part_scale[i * part_step]; NULL: once */
    size_t part_step;         /* 0: the same for all images */
    const double *moments[2]; /* of x[j] where they are known: (n,2,c[j]), as in ath_conv_add; or NULL */
    float eps;
    bool silu;
    const float *gamma, *beta;  /* (c[0] + c[1]) */
    const float *scale, *shift; /* (n, c[0] + c[1]), or NULL */
} ath_norm;

/* Floats of the work memory that each of these takes, aligned for doubles. */
size_t ath_norm_work_floats(int channels);

/* stats (n,groups,2): mean and rstd of images first .. first+count-1. */
void ath_norm_stats(const ath_kernels *k, const ath_norm *v, int first, int count, float *stats, float *work);
/* y (count,hw,c) of images first .. first+count-1 */
void ath_norm_apply(const ath_kernels *k, const ath_norm *v, const float *stats, int first, int count, float *y,
                    float *work);
/* Both, image by image: the second reading finds an image in cache. */
void ath_norm_forward(const ath_kernels *k, const ath_norm *v, float *stats, int first, int count, float *y,
                      float *work);

/* Where gradients go; any may be NULL. `acc` says to add. */
typedef struct ath_norm_grads {
    float *dx[2];
    bool acc[2];
    float *dgamma, *dbeta; /* (c) */
    bool acc_params;
    float *dscale, *dshift; /* (n,c) */
    bool acc_scale, acc_shift;
} ath_norm_grads;

/* From d = dL/dy (count,hw,c) of images first .. first+count-1, which is changed where there is a silu. All images must come in
 * order, with one `work` that is left alone between: it sums what the parameters get, which is written with the last. */
void ath_norm_vjp(const ath_kernels *k, const ath_norm *v, const float *stats, int first, int count, float *d,
                  ath_norm_grads to, float *work);

#endif
