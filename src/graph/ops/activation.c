/* SiLU (kernels.h) and GELU in its exact form, x Phi(x) with Phi the normal
 * distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415). */
#include <math.h>
#include "graph/op.h"

static void silu_forward(const ath_call *c) { c->k->silu_forward((size_t)c->n * ath_shape_len(c->ys), c->x[0], c->y); }

static void silu_vjp(const ath_call *c) {
    c->k->silu_vjp((size_t)c->n * ath_shape_len(c->ys), c->x[0], c->dy, c->dx[0], c->acc[0]);
}

static void gelu_forward(const ath_call *c) {
    const size_t len = (size_t)c->n * ath_shape_len(c->ys);
    for (size_t i = 0; i < len; i++) {
        const float x = c->x[0][i];
        c->y[i] = 0.5f * x * (1 + erff(x * 0.70710678f));
    }
}

/* d/dx x Phi(x) = Phi(x) + x phi(x), phi the normal density. */
static void gelu_vjp(const ath_call *c) {
    const size_t len = (size_t)c->n * ath_shape_len(c->ys);
    for (size_t i = 0; i < len; i++) {
        const float x = c->x[0][i];
        const float slope = 0.5f * (1 + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
        c->dx[0][i] = (c->acc[0] ? c->dx[0][i] : 0) + slope * c->dy[i];
    }
}

static const ath_op silu = {
    .name = "silu", .forward = silu_forward, .vjp = silu_vjp, .vjp_reads = ATH_READS_X0, .in_place = true};
static const ath_op gelu = {
    .name = "gelu", .forward = gelu_forward, .vjp = gelu_vjp, .vjp_reads = ATH_READS_X0, .in_place = true};

static ath_tensor activate(ath_graph *g, const ath_op *op, ath_tensor x) {
    if (!x.id) return x;
    const ath_tensor none = {0};
    return ath_node_tensor(g, ath_node_add(g, op, op->name, ath_shape_of(g, x), x, none, none));
}

ath_tensor ath_silu(ath_graph *g, ath_tensor x) { return activate(g, &silu, x); }
ath_tensor ath_gelu(ath_graph *g, ath_tensor x) { return activate(g, &gelu, x); }
