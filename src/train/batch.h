/* One training batch: what is drawn for each image, the loss, the gradient. */
#ifndef ATH_TRAIN_BATCH_H
#define ATH_TRAIN_BATCH_H
#include "diffusion/prediction.h"
#include "io/dataset.h"
#include "model/workers.h"

/* Image `k` of a run (k = step * batch + i) is image permute(epoch, k mod n) of the data in a
 * shuffled pass, with noise, mirroring and label dropout drawn from counter k. */
typedef struct ath_batch_rules {
    const ath_model *model;
    const ath_dataset *data;
    ath_rng rng;
    int batch;
    bool flip;
    double label_dropout;
    ath_loss_weight weight;
} ath_batch_rules;

/* One image's draw: x0 and eps (image) are written, the label and the level returned. Levels are stratified over the
 * batch: image i's is the (i + U)/batch quantile of their distribution, so that each has that distribution, and together
 * they cover it evenly, which lowers the variance of the gradient. Of a vp process timesteps are uniform, of a flow t,
 * and of EDM's log sigma is N(-1.2, 1.2^2). */
typedef struct ath_draw {
    float label;
    ath_level level;
} ath_draw;
ath_draw ath_batch_draw(const ath_batch_rules *r, uint64_t step, int i, float *x0, float *eps);

typedef struct ath_batch ath_batch;
ath_status ath_batch_create(ath_batch **out, const ath_batch_rules *rules, ath_workers *workers, ath_err *err);
void ath_batch_destroy(ath_batch *b); /* accepts NULL */

/* The mean over batch and pixels of weight (F - target)^2 at step `step`, with the weights
 * that the workers use, and its gradient into grad (n_params). Any number of workers gives the same bits. */
double ath_batch_gradient(ath_batch *b, uint64_t step, float *grad);

#endif
