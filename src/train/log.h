/* RUN/log.csv, one line a step, and RUN/loss.png, drawn from it. */
#ifndef ATH_TRAIN_LOG_H
#define ATH_TRAIN_LOG_H
#include "train/trainer.h"

typedef struct ath_log ath_log;

/* Opens the log for appending; lines of steps beyond `step` (written after the checkpoint
 * that is resumed from) are dropped, as is a last line that was cut off. */
ath_status ath_log_open(ath_log **out, const char *path, int64_t step, ath_err *err);
ath_status ath_log_add(ath_log *l, const ath_progress *p, ath_err *err);
/* Puts on disk what was added: called before a checkpoint, so that the log is never behind it. */
ath_status ath_log_sync(ath_log *l, ath_err *err);
/* Loss over steps, raw and averaged. Needs two points; fewer draw nothing. */
ath_status ath_log_plot(const ath_log *l, const char *path, ath_err *err);
void ath_log_close(ath_log *l); /* accepts NULL */

#endif
