/* Channels beside channels: concat, with an optional scale on the second part, and slice. */
#include <string.h>
#include "graph/op.h"
#include "graph/ops/elementwise.h"

/* The scale of image i's second part. */
static float scale_of(const ath_call *c, size_t i) {
    return c->x[2] ? c->x[2][i * (size_t)c->xs[2].c + (size_t)c->node->at.scaled.index] : 1.0f;
}

static void concat_forward(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w;
    const size_t ca = (size_t)c->xs[0].c, cb = (size_t)c->xs[1].c;
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const size_t p = i * positions, cy = ca + cb;
        c->k->copy_rows(positions, ca, 1, c->x[0] + p * ca, ca, c->y + p * cy, cy, false);
        c->k->copy_rows(positions, cb, scale_of(c, i), c->x[1] + p * cb, cb, c->y + p * cy + ca, cy, false);
    }
}

static void concat_vjp(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w;
    const size_t ca = (size_t)c->xs[0].c, cb = (size_t)c->xs[1].c;
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const size_t p = i * positions, cy = ca + cb;
        const float *da = c->dy + p * cy, *db = da + ca;
        if (c->dx[0]) c->k->copy_rows(positions, ca, 1, da, cy, c->dx[0] + p * ca, ca, c->acc[0]);
        if (c->dx[1]) c->k->copy_rows(positions, cb, scale_of(c, i), db, cy, c->dx[1] + p * cb, cb, c->acc[1]);
        if (!c->dx[2]) continue;
        double dscale = 0;
        for (size_t q = 0; q < positions; q++) dscale += ath_dot(cb, c->x[1] + (p + q) * cb, db + q * cy);
        float *out = c->dx[2] + i * (size_t)c->xs[2].c;
        if (!c->acc[2]) memset(out, 0, (size_t)c->xs[2].c * sizeof *out);
        out[c->node->at.scaled.index] += (float)dscale;
    }
}

static void slice_forward(const ath_call *c) {
    const size_t positions = (size_t)c->n * (size_t)c->ys.h * (size_t)c->ys.w;
    const size_t from = (size_t)c->xs[0].c, count = (size_t)c->ys.c, first = (size_t)c->node->at.slice.first;
    c->k->copy_rows(positions, count, 1, c->x[0] + first, from, c->y, count, false);
}

static void slice_vjp(const ath_call *c) {
    const size_t positions = (size_t)c->n * (size_t)c->ys.h * (size_t)c->ys.w;
    const size_t from = (size_t)c->xs[0].c, count = (size_t)c->ys.c, first = (size_t)c->node->at.slice.first;
    if (!c->acc[0]) memset(c->dx[0], 0, positions * from * sizeof(float));
    c->k->copy_rows(positions, count, 1, c->dy, count, c->dx[0] + first, from, true);
}

static const ath_op concat = {
    .name = "concat", .forward = concat_forward, .vjp = concat_vjp, .vjp_reads = ATH_READS_X1 | ATH_READS_X2};
static const ath_op slice = {.name = "slice", .forward = slice_forward, .vjp = slice_vjp};

static const ath_tensor none = {0};

ath_tensor ath_concat(ath_graph *g, ath_tensor a, ath_tensor b, ath_tensor scales, int index) {
    if (!a.id || !b.id) return none;
    const ath_shape as = ath_shape_of(g, a), bs = ath_shape_of(g, b), ss = ath_shape_of(g, scales);
    if (as.h != bs.h || as.w != bs.w || (scales.id && (ss.h != 1 || ss.w != 1 || index < 0 || index >= ss.c))) {
        ath_graph_fail(g, "concat: shapes (%d,%d,%d), (%d,%d,%d) and scale %d of %d do not fit", as.h, as.w, as.c, bs.h,
                       bs.w, bs.c, index, ss.c);
        return none;
    }
    ath_node *node = ath_node_add(g, &concat, "concat", (ath_shape){as.h, as.w, as.c + bs.c}, a, b, scales);
    if (node) node->at.scaled.index = index;
    return ath_node_tensor(g, node);
}

ath_tensor ath_slice(ath_graph *g, ath_tensor x, int first, int count) {
    if (!x.id) return none;
    const ath_shape s = ath_shape_of(g, x);
    if (first < 0 || count < 1 || first > s.c - count) {
        ath_graph_fail(g, "slice: channels %d..%d of %d", first, first + count - 1, s.c);
        return none;
    }
    ath_node *node = ath_node_add(g, &slice, "slice", (ath_shape){s.h, s.w, count}, x, none, none);
    if (node) node->at.slice.first = first;
    return ath_node_tensor(g, node);
}
