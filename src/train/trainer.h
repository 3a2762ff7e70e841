/* Training: the loop of DDPM (Ho et al. 2020, algorithm 1) with everything around it
 * that a run needs: checkpoints, resuming, previews, a log, a guard against numbers
 * that are not finite. */
#ifndef ATH_TRAIN_TRAINER_H
#define ATH_TRAIN_TRAINER_H
#include "io/dataset.h"
#include "train/options.h"

/* Where a run stands, told after each step. */
typedef struct ath_progress {
    int64_t step, steps; /* done, and in all; steps is 0 when minutes decide           */
    int64_t images;      /* seen since the run began                                   */
    double loss, loss_ema, grad_norm, lr;
    double images_per_second;     /* over the last seconds, checkpoints and previews left out   */
    double seconds, seconds_left; /* of training since the run began, and expected until its end */
} ath_progress;

/* What the caller wants to hear, and whether to stop; any may be NULL. Called from the
 * thread that called ath_train. */
typedef struct ath_train_hooks {
    void *user;
    void (*on_start)(void *user, const char *description); /* one line: data, network, process */
    void (*on_step)(void *user, const ath_progress *p);
    void (*on_note)(void *user, const char *text); /* a checkpoint, a preview, a skipped step */
    bool (*should_stop)(void *user);               /* asked after each step */
} ath_train_hooks;

typedef struct ath_train_result {
    ath_progress last;
    bool stopped; /* by should_stop, after saving */
} ath_train_result;

/* Trains on `data` as `o` says and leaves a run directory at o->out. `o` must be whole: defaults
 * and preset applied. With o->resume it goes on from RUN/training_state.safetensors when
 * that exists. The run directory is made when missing; without resume one that holds a run is refused, and so is,
 * always, one that another process is training: RUN/train.lock is held while this runs (base/lock.h).
 * After a failure the last checkpoint is whole. `hooks` and `result` may be NULL. */
ath_status ath_train(const ath_train_options *o, const ath_dataset *data, const ath_train_hooks *hooks,
                     ath_train_result *result, ath_err *err);

#endif
