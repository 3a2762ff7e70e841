/* Worker threads, each with a plan (and so an arena) of its own, that share out the
 * micro-batches of a batch. Nothing in these networks mixes images, so a worker runs
 * its micro-batch through the whole network alone: no barrier but the batch's end. */
#ifndef ATH_MODEL_WORKERS_H
#define ATH_MODEL_WORKERS_H
#include "base/pool.h"
#include "graph/plan.h"
#include "model/model.h"

typedef struct ath_workers ath_workers;

/* Images a micro-batch in training with batches of this size, from that and the network alone, since the gradient's
 * bits depend on it: the largest power of two up to 8 whose activations stay below 256 MiB and that leaves four
 * micro-batches or more to share out; at least 1. */
int ath_micro_batch(const ath_graph *g, int batch);

/* `threads` 0 means all cores this process may use. micro_batch is 1 to 256, or 0: the largest power of two up to 8
 * whose activations stay below 64 MiB, or below 5 MiB where packed weights are small (32 MiB), which is for evaluation,
 * where results do not depend on it. `want` as in plan.h. The model is borrowed. */
ath_status ath_workers_create(ath_workers **out, const ath_model *m, int threads, int micro_batch, unsigned want,
                              ath_err *err);
void ath_workers_destroy(ath_workers *w); /* accepts NULL */
int ath_workers_threads(const ath_workers *w);
int ath_workers_micro_batch(const ath_workers *w); /* at most 256 */
size_t ath_workers_bytes(const ath_workers *w);    /* of all arenas and packed weights */

const char *ath_workers_isa(void); /* the kernels in use: isa of kernels.h */

/* Says which weights (n_params, borrowed until the next call) the next batches run with,
 * and packs them. To be called again when their values change. */
void ath_workers_use(ath_workers *w, const float *params);

/* One micro-batch: images first .. first + run->n - 1 of the batch, number `index` of its
 * micro-batches, by worker 0 .. threads-1. The callback fills the plan's inputs and runs it. */
typedef void ath_micro_batch_fn(void *self, int worker, ath_plan *plan, ath_run *run, int first, int index);
/* Runs fn over n images: micro-batches are taken in order by whichever worker is free. They are smaller than their
 * size where that keeps all workers busy and no gradient is summed; then also all threads share the work of a single
 * image. */
void ath_workers_run(ath_workers *w, int n, ath_micro_batch_fn *fn, void *self);

ath_plan *ath_workers_plan(const ath_workers *w, int worker); /* for measuring; owned by the workers */
ath_pool *ath_workers_pool(const ath_workers *w);             /* the threads themselves; owned by the workers */

#endif
