/* Divides the forward of one operation among threads: see op.h. */
#include <stdatomic.h>
#include "graph/op.h"

int ath_parts_of(const ath_call *c, int worth) {
    const int threads = c->pool ? ath_pool_threads(c->pool) : 1;
    const int most = threads > 1 ? 2 * threads : 1; /* one who is slow is waited for half as long */
    return worth < most ? worth : most;
}

typedef struct division {
    const ath_call *c;
    int parts;
    ath_part_fn *fn;
    void *self;
    atomic_int next;
} division;

static void take_parts(void *self, int worker) {
    division *d = self;
    float *scratch = d->c->pool ? d->c->scratch_of[worker] : d->c->scratch;
    for (int part; (part = atomic_fetch_add(&d->next, 1)) < d->parts;) d->fn(d->self, part, scratch);
}

void ath_divide(const ath_call *c, bool shared, int parts, ath_part_fn *fn, void *self) {
    division d = {.c = c, .parts = parts, .fn = fn, .self = self};
    if (shared && c->pool)
        ath_pool_help(c->pool, take_parts, &d);
    else
        take_parts(&d, 0);
}
