/* y = a + b, y = a + vector at every position, y = a + scales[index] b. */
#include "graph/op.h"
#include "graph/ops/elementwise.h"

static void add_forward(const ath_call *c) { c->k->add((size_t)c->n * ath_shape_len(c->ys), c->x[0], c->x[1], c->y); }

static void add_vjp(const ath_call *c) {
    const size_t len = (size_t)c->n * ath_shape_len(c->ys);
    for (int j = 0; j < 2; j++)
        if (c->dx[j]) ath_scaled_copy(len, 1, c->dy, c->dx[j], c->acc[j]);
}

static void add_vector_forward(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    for (size_t i = 0; i < (size_t)c->n; i++)
        for (size_t p = 0; p < positions; p++) {
            const size_t at = (i * positions + p) * channels;
            c->k->add(channels, c->x[0] + at, c->x[1] + i * channels, c->y + at);
        }
}

static void add_vector_vjp(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    if (c->dx[0]) ath_scaled_copy((size_t)c->n * positions * channels, 1, c->dy, c->dx[0], c->acc[0]);
    if (!c->dx[1]) return;
    for (size_t i = 0; i < (size_t)c->n; i++)
        ath_sum_positions(positions, channels, c->dy + i * positions * channels, c->dx[1] + i * channels, c->acc[1]);
}

static void add_scaled_forward(const ath_call *c) {
    const size_t len = ath_shape_len(c->ys);
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const float scale = c->x[2][i * (size_t)c->xs[2].c + (size_t)c->node->at.scaled.index];
        for (size_t j = i * len; j < (i + 1) * len; j++) c->y[j] = c->x[0][j] + scale * c->x[1][j];
    }
}

static void add_scaled_vjp(const ath_call *c) {
    const size_t len = ath_shape_len(c->ys), scales = (size_t)c->xs[2].c, index = (size_t)c->node->at.scaled.index;
    if (c->dx[0]) ath_scaled_copy((size_t)c->n * len, 1, c->dy, c->dx[0], c->acc[0]);
    for (size_t i = 0; i < (size_t)c->n; i++) {
        if (c->dx[1]) ath_scaled_copy(len, c->x[2][i * scales + index], c->dy + i * len, c->dx[1] + i * len, c->acc[1]);
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
