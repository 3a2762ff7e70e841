/* Nearest-neighbour upsampling by two and the mean of 2x2 blocks: each is the other's
 * adjoint up to a factor of four. Reshape, which moves no number, is here too. */
#include <string.h>
#include "graph/op.h"
#include "kernels/resample.h"

static void spread(const ath_call *k, ath_shape small, float factor, const float *x, float *y, bool acc) {
    ath_spread(k->k->copy_rows, (size_t)k->n, (size_t)small.h, (size_t)small.w, (size_t)small.c, factor, x, y, acc);
}

static void gather(const ath_call *k, ath_shape small, float factor, const float *x, float *y, bool acc) {
    ath_gather(k->k->copy_rows, (size_t)k->n, (size_t)small.h, (size_t)small.w, (size_t)small.c, factor, x, y, acc);
}

static void upsample_forward(const ath_call *c) { spread(c, c->xs[0], 1, c->x[0], c->y, false); }
static void upsample_vjp(const ath_call *c) { gather(c, c->xs[0], 1, c->dy, c->dx[0], c->acc[0]); }
static void pool_forward(const ath_call *c) { gather(c, c->ys, 0.25f, c->x[0], c->y, false); }
static void pool_vjp(const ath_call *c) { spread(c, c->ys, 0.25f, c->dy, c->dx[0], c->acc[0]); }
static void reshape_forward(const ath_call *c) {
    if (c->y != c->x[0]) memcpy(c->y, c->x[0], (size_t)c->n * ath_shape_len(c->ys) * sizeof(float));
}
static void reshape_vjp(const ath_call *c) {
    const size_t len = (size_t)c->n * ath_shape_len(c->ys);
    c->k->copy_rows(1, len, 1, c->dy, len, c->dx[0], len, c->acc[0]);
}

static const ath_op upsample2 = {.name = "upsample2", .forward = upsample_forward, .vjp = upsample_vjp};
static const ath_op avg_pool2 = {.name = "avg_pool2", .forward = pool_forward, .vjp = pool_vjp};
static const ath_op reshape = {.name = "reshape", .forward = reshape_forward, .vjp = reshape_vjp, .in_place = true};

static const ath_tensor none = {0};

ath_tensor ath_upsample2(ath_graph *g, ath_tensor x) {
    if (!x.id) return none;
    const ath_shape s = ath_shape_of(g, x);
    return ath_node_tensor(g,
                           ath_node_add(g, &upsample2, "upsample2", (ath_shape){2 * s.h, 2 * s.w, s.c}, x, none, none));
}

ath_tensor ath_avg_pool2(ath_graph *g, ath_tensor x) {
    if (!x.id) return none;
    const ath_shape s = ath_shape_of(g, x);
    if (s.h % 2 || s.w % 2) {
        ath_graph_fail(g, "avg_pool2: an image of %dx%d cannot be halved", s.h, s.w);
        return none;
    }
    return ath_node_tensor(g,
                           ath_node_add(g, &avg_pool2, "avg_pool2", (ath_shape){s.h / 2, s.w / 2, s.c}, x, none, none));
}

ath_tensor ath_reshape(ath_graph *g, ath_tensor x, ath_shape s) {
    if (!x.id) return none;
    const ath_shape from = ath_shape_of(g, x);
    if (ath_shape_len(from) != ath_shape_len(s)) {
        ath_graph_fail(g, "reshape: (%d,%d,%d) to (%d,%d,%d)", from.h, from.w, from.c, s.h, s.w, s.c);
        return none;
    }
    return ath_node_tensor(g, ath_node_add(g, &reshape, "reshape", s, x, none, none));
}
