/* Workers on micro-batches: see workers.h. */
#include "model/workers.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include "base/cpu.h"
#include "base/pages.h"

struct ath_workers {
    const ath_model *model;
    int threads, micro_batch;
    bool sums; /* gradients of parameters, whose bits depend on the size of the micro-batches */
    ath_pool *pool;
    ath_plan **plan; /* (threads) */
    const float *params;
    float *packed;
};

enum { MOST = 8 }; /* images: products have enough rows by then */

/* The largest power of two up to `most` whose activations fit, at least 1. (So it is when the graph does not compile:
 * ath_workers_create will say what is wrong.) */
static int that_fits(const ath_plan *of_one, int most, size_t limit) {
    const size_t bytes = ath_plan_bytes(of_one);
    int n = MOST;
    while (n > 1 && (n > most || (size_t)n * bytes > limit)) n /= 2;
    return n;
}

int ath_micro_batch(const ath_graph *g, int batch) {
    ath_plan *plan;
    if (ath_plan_compile(&plan, g, 1, ATH_GRAD_PARAMS, NULL) != ATH_OK) return 1;
    const int n = that_fits(plan, batch / 4, (size_t)256 << 20);
    ath_plan_destroy(plan);
    return n;
}

/* For evaluation. Each micro-batch reads all weights again, so that large ones want many images; with small ones it
 * counts more that activations stay in L2, unless L3 is near: mnist-s (21 MiB of weights, 1.1 MiB an image) draws 1.1
 * times as fast by 4 as by 8 on a machine of Intel's, and 0.95 times on one of AMD's. */
static int evaluated_at_once(const ath_graph *g, unsigned want) {
    enum { SMALL_WEIGHTS = 32 << 20, SMALL_ACTIVATIONS = 5 << 20, ACTIVATIONS = 64 << 20 };
    ath_plan *plan;
    if (ath_plan_compile(&plan, g, 1, want, NULL) != ATH_OK) return 1;
    const bool small = ath_plan_packed_floats(plan) * sizeof(float) <= SMALL_WEIGHTS && !ath_l3_is_near();
    const int n = that_fits(plan, MOST, small ? SMALL_ACTIVATIONS : ACTIVATIONS);
    ath_plan_destroy(plan);
    return n;
}

ath_status ath_workers_create(ath_workers **out, const ath_model *m, int threads, int micro_batch, unsigned want,
                              ath_err *err) {
    *out = NULL;
    if (micro_batch < 0 || micro_batch > 256)
        return ath_fail(err, ATH_E_ARG, "micro-batch: %d images, expected 1 to 256, or 0 to choose", micro_batch);
    if (micro_batch == 0) micro_batch = evaluated_at_once(m->graph, want);
    ath_workers *w = calloc(1, sizeof *w);
    if (!w) return ath_fail(err, ATH_E_MEM, "out of memory for the workers");
    w->model = m;
    w->micro_batch = micro_batch;
    w->sums = (want & ATH_GRAD_PARAMS) != 0;
    ath_status status = ath_pool_create(&w->pool, threads, err);
    if (status == ATH_OK) {
        w->threads = ath_pool_threads(w->pool);
        w->plan = calloc((size_t)w->threads, sizeof *w->plan);
        if (!w->plan) status = ath_fail(err, ATH_E_MEM, "out of memory for the workers");
    }
    for (int i = 0; i < w->threads && status == ATH_OK; i++)
        status = ath_plan_compile(&w->plan[i], m->graph, micro_batch, want, err);
    if (status == ATH_OK) {
        w->packed = ath_pages((ath_plan_packed_floats(w->plan[0]) + 1) * sizeof *w->packed);
        if (!w->packed) status = ath_fail(err, ATH_E_MEM, "out of memory for the weights");
    }
    if (status != ATH_OK) {
        ath_workers_destroy(w);
        return status;
    }
    *out = w;
    return ATH_OK;
}

void ath_workers_destroy(ath_workers *w) {
    if (!w) return;
    for (int i = 0; w->plan && i < w->threads; i++) ath_plan_destroy(w->plan[i]);
    ath_pool_destroy(w->pool);
    free(w->plan);
    free(w->packed);
    free(w);
}

int ath_workers_threads(const ath_workers *w) { return w->threads; }
const char *ath_workers_isa(void) { return ath_plan_isa(); }
int ath_workers_micro_batch(const ath_workers *w) { return w->micro_batch; }

size_t ath_workers_bytes(const ath_workers *w) {
    return (size_t)w->threads * ath_plan_bytes(w->plan[0]) + ath_plan_packed_floats(w->plan[0]) * sizeof(float);
}

ath_plan *ath_workers_plan(const ath_workers *w, int worker) { return w->plan[worker]; }
ath_pool *ath_workers_pool(const ath_workers *w) { return w->pool; }

enum { PACK_PARTS = 64 };

static void pack_part(void *self, int part) {
    const ath_workers *w = self;
    ath_plan_pack(w->plan[0], w->params, w->packed, part, PACK_PARTS);
}

void ath_workers_use(ath_workers *w, const float *params) {
    w->params = params;
    if (ath_plan_packed_floats(w->plan[0])) ath_pool_each(w->pool, PACK_PARTS, pack_part, w);
}

/* One call of ath_workers_run. */
typedef struct batch_run {
    ath_workers *w;
    atomic_int next; /* taken in order: the ordered gradient sum relies on it */
    int n, size, count;
    ath_micro_batch_fn *fn;
    void *self;
} batch_run;

static void take_micro_batches(void *argument, int worker) {
    batch_run *b = argument;
    const ath_workers *w = b->w;
    for (int index; (index = atomic_fetch_add(&b->next, 1)) < b->count;) {
        const int first = index * b->size;
        ath_run run = {.n = b->n - first < b->size ? b->n - first : b->size,
                       .params = w->params,
                       .packed = w->packed,
                       .first_image = (uint64_t)first};
        b->fn(b->self, worker, w->plan[worker], &run, first, index);
    }
}

void ath_workers_run(ath_workers *w, int n, ath_micro_batch_fn *fn, void *self) {
    /* An image's own results do not depend on its company, so that a few are shared out as evenly as can be. */
    const int share = (n + w->threads - 1) / w->threads,
              size = !w->sums && share < w->micro_batch ? share : w->micro_batch;
    if (n == 1 && !w->sums) { /* all threads on the one image */
        ath_run run = {.n = 1, .params = w->params, .packed = w->packed, .pool = w->pool, .plan_of = w->plan};
        fn(self, 0, w->plan[0], &run, 0, 0);
        return;
    }
    batch_run b = {.w = w, .n = n, .size = size, .count = (n + size - 1) / size, .fn = fn, .self = self};
    ath_pool_run(w->pool, take_micro_batches, &b);
}
