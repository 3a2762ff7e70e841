/* RUN/training_state.safetensors: what --resume needs. One file, so that weights, their
 * average and the moments are always of the same step. */
#ifndef ATH_TRAIN_STATE_H
#define ATH_TRAIN_STATE_H
#include "model/model.h"

/* Every random number is a function of (seed, step), so a step number is the whole
 * state of the generator. */
typedef struct ath_train_state {
    float *w, *ema, *m, *v; /* (n_params) each, owned */
    int64_t step;           /* steps done, skipped ones included */
    int64_t updates;        /* updates made: Adam's t */
    int64_t skipped;        /* steps whose loss or gradient was not finite */
    double loss_ema, seconds;
    double sigma_data; /* that the model was begun with, see model.h */
} ath_train_state;

ath_status ath_train_state_create(ath_train_state *s, const ath_model *m, ath_err *err);
void ath_train_state_free(ath_train_state *s);
ath_status ath_train_state_save(const ath_train_state *s, const ath_model *m, const char *path, ath_err *err);
/* Fails with ATH_E_FORMAT when a tensor is missing or of another shape: a checkpoint of another network. */
ath_status ath_train_state_load(ath_train_state *s, const ath_model *m, const char *path, ath_err *err);

#endif
