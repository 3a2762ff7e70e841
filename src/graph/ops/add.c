/* y = a + b, y = a + vector at every position, y = a + scales[index] b. */
#include <string.h>
#include "graph/op.h"
#include "graph/ops/elementwise.h"

/* The gradient of a sum: dx[j] = scale * dy, or +=, of `len` floats from `at`. */
static void pass_gradient(const ath_call *c, int j, float scale, size_t at, size_t len) {
    if (c->dx[j]) c->k->copy_rows(1, len, scale, c->dy + at, len, c->dx[j] + at, len, c->acc[j]);
}

static void add_forward(const ath_call *c) { c->k->add((size_t)c->n * ath_shape_len(c->ys), c->x[0], c->x[1], c->y); }

static void add_vjp(const ath_call *c) {
    const size_t len = (size_t)c->n * ath_shape_len(c->ys);
    for (int j = 0; j < 2; j++) pass_gradient(c, j, 1, 0, len);
}

static void add_vector_forward(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const size_t at = i * positions * channels;
        c->k->affine_rows(positions, channels, c->x[0] + at, NULL, c->x[1] + i * channels, c->y + at, false);
    }
}

static void add_vector_vjp(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    pass_gradient(c, 0, 1, 0, (size_t)c->n * positions * channels);
    for (size_t i = 0; c->dx[1] && i < (size_t)c->n; i++)
        c->k->sum_rows(positions, channels, c->dy + i * positions * channels, NULL, c->dx[1] + i * channels, c->acc[1]);
}

static void add_scaled_forward(const ath_call *c) {
    const size_t len = ath_shape_len(c->ys);
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const float scale = c->x[2][i * (size_t)c->xs[2].c + (size_t)c->node->at.scaled.index];
        if (c->y != c->x[0]) memcpy(c->y + i * len, c->x[0] + i * len, len * sizeof(float));
        c->k->copy_rows(1, len, scale, c->x[1] + i * len, len, c->y + i * len, len, true);
    }
}

static void add_scaled_vjp(const ath_call *c) {
    const size_t len = ath_shape_len(c->ys), scales = (size_t)c->xs[2].c, index = (size_t)c->node->at.scaled.index;
    pass_gradient(c, 0, 1, 0, (size_t)c->n * len);
    for (size_t i = 0; i < (size_t)c->n; i++) {
        pass_gradient(c, 1, c->x[2][i * scales + index], i * len, len);
        if (!c->dx[2]) continue;
        if (!c->acc[2]) memset(c->dx[2] + i * scales, 0, scales * sizeof(float));
        c->dx[2][i * scales + index] += (float)ath_dot(len, c->x[1] + i * len, c->dy + i * len);
    }
}

static const ath_op add = {.name = "add", .forward = add_forward, .vjp = add_vjp, .in_place = true};
static const ath_op add_vector = {
    .name = "add_vector", .forward = add_vector_forward, .vjp = add_vector_vjp, .in_place = true};
static const ath_op add_scaled = {.name = "add_scaled",
                                  .forward = add_scaled_forward,
                                  .vjp = add_scaled_vjp,
                                  .vjp_reads = ATH_READS_X1 | ATH_READS_X2,
                                  .in_place = true};

static const ath_tensor none = {0};

ath_tensor ath_add(ath_graph *g, ath_tensor a, ath_tensor b) {
    if (!a.id || !b.id) return none;
    const ath_shape as = ath_shape_of(g, a), bs = ath_shape_of(g, b);
    const bool same = as.h == bs.h && as.w == bs.w && as.c == bs.c;
    if (!same && !(bs.h == 1 && bs.w == 1 && bs.c == as.c)) {
        ath_graph_fail(g, "add: shapes (%d,%d,%d) and (%d,%d,%d) differ", as.h, as.w, as.c, bs.h, bs.w, bs.c);
        return none;
    }
    return ath_node_tensor(g, ath_node_add(g, same ? &add : &add_vector, "add", as, a, b, none));
}

ath_tensor ath_add_scaled(ath_graph *g, ath_tensor a, ath_tensor b, ath_tensor scales, int index) {
    if (!a.id || !b.id) return none;
    if (!scales.id) return ath_add(g, a, b);
    const ath_shape as = ath_shape_of(g, a), bs = ath_shape_of(g, b), ss = ath_shape_of(g, scales);
    if (as.h != bs.h || as.w != bs.w || as.c != bs.c || ss.h != 1 || ss.w != 1 || index < 0 || index >= ss.c) {
        ath_graph_fail(g, "add_scaled: shapes (%d,%d,%d), (%d,%d,%d) and scale %d of %d do not fit", as.h, as.w, as.c,
                       bs.h, bs.w, bs.c, index, ss.c);
        return none;
    }
    ath_node *node = ath_node_add(g, &add_scaled, "add_scaled", as, a, b, scales);
    if (node) node->at.scaled.index = index;
    return ath_node_tensor(g, node);
}
