/* Scaled dot-product attention with heads (Vaswani et al. 2017, arXiv:1706.03762):
 *     P = softmax(q k^T / sqrt(d)),  y = P v,   d = c / heads,
 * for the T = h*w tokens of each image. P is made in scratch and made again in the
 * vjp, so that nothing of size T x T is kept:
 *     dv = P^T dy,  dP = dy v^T,  dS = P (dP - sum(P dP)) / sqrt(d),  dq = dS k,  dk = dS^T q. */
#include <math.h>
#include "graph/op.h"

typedef struct sizes {
    int tokens, c, d, heads;
    float scale;
} sizes;

static sizes sizes_of(const ath_call *c) {
    const int heads = c->node->at.attention.heads, d = c->ys.c / heads;
    return (sizes){c->ys.h * c->ys.w, c->ys.c, d, heads, (float)(1 / sqrt((double)d))};
}

/* P (tokens, tokens) of one image and head, whose q and k begin at the pointers. */
static void probabilities(const ath_call *c, sizes s, const float *q, const float *k, float *p) {
    ath_gemm(false, true, s.tokens, s.tokens, s.d, 1, q, s.c, k, s.c, 0, p, s.tokens);
    c->k->softmax_forward(s.tokens, s.tokens, s.scale, p, p);
}

static void forward(const ath_call *c) {
    const sizes s = sizes_of(c);
    for (int i = 0; i < c->n; i++)
        for (int head = 0; head < s.heads; head++) {
            const size_t at = (size_t)i * (size_t)s.tokens * (size_t)s.c + (size_t)head * (size_t)s.d;
            probabilities(c, s, c->x[0] + at, c->x[1] + at, c->scratch);
            ath_gemm(false, false, s.tokens, s.d, s.tokens, 1, c->scratch, s.tokens, c->x[2] + at, s.c, 0, c->y + at,
                     s.c);
        }
}

static void vjp(const ath_call *c) {
    const sizes s = sizes_of(c);
    const int t = s.tokens;
    float *p = c->scratch, *dp = c->scratch + (size_t)t * (size_t)t;
    for (int i = 0; i < c->n; i++)
        for (int head = 0; head < s.heads; head++) {
            const size_t at = (size_t)i * (size_t)t * (size_t)s.c + (size_t)head * (size_t)s.d;
            const float *q = c->x[0] + at, *k = c->x[1] + at, *v = c->x[2] + at, *dy = c->dy + at;
            probabilities(c, s, q, k, p);
            ath_gemm(false, true, t, t, s.d, 1, dy, s.c, v, s.c, 0, dp, t);
            c->k->softmax_vjp(t, t, s.scale, p, dp, dp);
            if (c->dx[0]) ath_gemm(false, false, t, s.d, t, 1, dp, t, k, s.c, c->acc[0] ? 1 : 0, c->dx[0] + at, s.c);
            if (c->dx[1]) ath_gemm(true, false, t, s.d, t, 1, dp, t, q, s.c, c->acc[1] ? 1 : 0, c->dx[1] + at, s.c);
            if (c->dx[2]) ath_gemm(true, false, t, s.d, t, 1, p, t, dy, s.c, c->acc[2] ? 1 : 0, c->dx[2] + at, s.c);
        }
}

static size_t scratch_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, int n, bool in_vjp) {
    (void)g, (void)k, (void)n;
    const size_t tokens = (size_t)node->y.h * (size_t)node->y.w;
    return (in_vjp ? 2 : 1) * tokens * tokens;
}

static double flops(const ath_graph *g, const ath_node *node) {
    (void)g;
    const double tokens = (double)node->y.h * node->y.w;
    return 4 * tokens * tokens * node->y.c;
}

static const ath_op attention = {.name = "attention",
                                 .forward = forward,
                                 .vjp = vjp,
                                 .vjp_reads = ATH_READS_X0 | ATH_READS_X1 | ATH_READS_X2,
                                 .scratch_floats = scratch_floats,
                                 .flops = flops};

ath_tensor ath_attention(ath_graph *g, ath_tensor q, ath_tensor k, ath_tensor v, int heads) {
    if (!q.id || !k.id || !v.id) return (ath_tensor){0};
    const ath_shape s = ath_shape_of(g, q), ks = ath_shape_of(g, k), vs = ath_shape_of(g, v);
    if (heads < 1 || s.c % heads || ks.h != s.h || ks.w != s.w || ks.c != s.c || vs.h != s.h || vs.w != s.w ||
        vs.c != s.c) {
        ath_graph_fail(g, "attention: %d heads on q (%d,%d,%d), k (%d,%d,%d), v (%d,%d,%d)", heads, s.h, s.w, s.c, ks.h,
                       ks.w, ks.c, vs.h, vs.w, vs.c);
        return (ath_tensor){0};
    }
    ath_node *node = ath_node_add(g, &attention, "attention", s, q, k, v);
    if (node) node->at.attention.heads = heads;
    return ath_node_tensor(g, node);
}
