/* AdamW with clipping and the moving average, on flat arrays. */
#ifndef ATH_TRAIN_OPTIMIZER_H
#define ATH_TRAIN_OPTIMIZER_H
#include <stdint.h>
#include "base/pool.h"
#include "graph/params.h"

/* Loshchilov & Hutter 2019, arXiv:1711.05101, as torch.optim.AdamW computes it:
 *     m = beta1 m + (1 - beta1) g,   v = beta2 v + (1 - beta2) g^2,
 *     w = (1 - lr decay) w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps).
 * g is the gradient, scaled to clip_norm when its global norm is larger (0: never). Then
 *     ema = ema + (1 - ema_decay) (w - ema). */
typedef struct ath_adamw {
    double lr, beta1, beta2, eps, weight_decay, clip_norm, ema_decay;
} ath_adamw;

/* Five arrays of ath_param_total(g) floats; grad is read only. */
typedef struct ath_weights {
    float *w, *ema, *m, *v;
    const float *grad;
} ath_weights;

/* Euclidean norm of n floats, summed in double in parts in a fixed order: the same bits for any number of threads and
 * any instruction set. */
double ath_grad_norm(ath_pool *pool, size_t n, const float *grad);
/* Update number t (from 1). `norm` is ath_grad_norm's. Decay applies to parameters that say so. */
void ath_adamw_step(ath_pool *pool, const ath_graph *g, const ath_adamw *o, uint64_t t, double norm, ath_weights a);

/* min(decay, (1 + s) / (10 + s)) at step s (from 0): a run of a few hundred steps has a
 * usable average too. */
double ath_ema_decay(double decay, uint64_t step);

#endif
