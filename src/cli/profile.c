/* The table of `athanor bench --profile`: where the workers' time went, operations of the
 * same kind and shape together, the slowest first. */
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"

typedef struct row {
    ath_op_time t; /* summed; `images` counts an image once for each operation */
    int ops;
} row;

static bool same_kind(const ath_op_time *a, const ath_op_time *b) {
    return strcmp(a->op, b->op) == 0 && memcmp(&a->in, &b->in, sizeof a->in) == 0 &&
           memcmp(&a->out, &b->out, sizeof a->out) == 0 && a->kernel == b->kernel && a->stride == b->stride;
}

static double time_of(const ath_op_time *t) { return t->forward + t->vjp + t->sum; }

static int slower_first(const void *a, const void *b) {
    const double x = time_of(&((const row *)a)->t), y = time_of(&((const row *)b)->t);
    return x > y ? -1 : x < y;
}

static void add_to(row *r, const ath_op_time *t) {
    r->t.images += t->images;
    r->t.forward += t->forward;
    r->t.vjp += t->vjp;
    r->t.sum += t->sum;
}

/* All operations of all workers, merged; returns how many rows. */
static int merge(const ath_workers *w, row *rows, int room) {
    int n = 0;
    for (int i = 0; i < ath_workers_threads(w); i++) {
        ath_op_time t;
        for (int op = 0; ath_plan_time_of(ath_workers_plan(w, i), op, &t); op++) {
            if (t.images == 0) continue;
            int at = 0;
            while (at < n && !same_kind(&rows[at].t, &t)) at++;
            if (at == room) continue;
            if (at == n) {
                rows[n] = (row){.t = t};
                rows[n].t.images = rows[n].t.forward = rows[n].t.vjp = rows[n].t.sum = 0;
                n++;
            }
            add_to(&rows[at], &t);
            rows[at].ops += i == 0;
        }
    }
    qsort(rows, (size_t)n, sizeof *rows, slower_first);
    return n;
}

/* GFLOP/s of `times` forwards' worth of operations; 0 where nothing was measured. */
static double rate(const ath_op_time *t, double times, double seconds) {
    return seconds > 0 ? times * t->flops * t->images / seconds / 1e9 : 0;
}

void cli_print_profile(const ath_workers *w, const char *mode, double wall, double images) {
    enum { ROOM = 1024 };
    static row rows[ROOM];
    const int n = merge(w, rows, ROOM);
    const double spent = wall * ath_workers_threads(w);
    double inside = 0;
    printf(
        "\n%s: %.0f images in %.2f s on %d workers. Time of an image in all operations of a row, a worker's; GFLOP/s "
        "of the direct algorithm.\n",
        mode, images, wall, ath_workers_threads(w));
    printf("%-18s %-28s %4s %9s %9s %9s %8s %8s %6s\n", "operation", "in -> out (h,w,c)", "ops", "fwd us", "vjp us",
           "sum us", "fwd GF/s", "vjp GF/s", "share");
    for (int i = 0; i < n; i++) {
        const ath_op_time *t = &rows[i].t;
        char shape[64], op[32];
        snprintf(shape, sizeof shape, "%d,%d,%d -> %d,%d,%d", t->in.h, t->in.w, t->in.c, t->out.h, t->out.w, t->out.c);
        if (t->kernel > 1)
            snprintf(op, sizeof op, "%s %dx%d/%d", t->op, t->kernel, t->kernel, t->stride);
        else
            snprintf(op, sizeof op, "%s", t->op);
        inside += time_of(t);
        printf("%-18s %-28s %4d %9.1f %9.1f %9.1f %8.1f %8.1f %5.1f%%\n", op, shape, rows[i].ops,
               t->forward / images * 1e6, t->vjp / images * 1e6, t->sum / images * 1e6, rate(t, 1, t->forward),
               rate(t, 2, t->vjp), 100 * time_of(t) / spent);
    }
    printf("%-18s %-28s %4s %9.1f %9s %9s %8s %8s %5.1f%%\n", "the rest", "(data, weights, waiting)", "",
           (spent - inside) / images * 1e6, "", "", "", "", 100 * (spent - inside) / spent);
}
