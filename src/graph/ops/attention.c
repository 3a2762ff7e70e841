/* Scaled dot-product attention with heads (Vaswani et al. 2017, arXiv:1706.03762):
 *     P = softmax(q k^T / sqrt(d)),  y = P v,   d = c / heads,
 * for the T = h*w tokens of each image. P is made again in the vjp, so that nothing
 * of size T x T is kept:
 *     dv = P^T dy,  dP = dy v^T,  dS = P (dP - sum(P dP)) / sqrt(d),  dq = dS k,  dk = dS^T q.
 * The arithmetic is kernels.h's, for each head of each image. */
#include <math.h>
#include <string.h>
#include "graph/op.h"

static ath_attention_shape shape_of(const ath_node *node) {
    const int d = node->y.c / node->at.attention.heads;
    return (ath_attention_shape){node->y.h * node->y.w, d, node->y.c, (float)(1 / sqrt((double)d))};
}

/* Where head j of image i begins. */
static size_t start_of(const ath_attention_shape *s, int i, int j) {
    return (size_t)i * (size_t)s->tokens * (size_t)s->stride + (size_t)j * (size_t)s->d;
}

/* Heads of images, each in parts. */
typedef struct divided {
    const ath_call *c;
    ath_attention_shape s;
    int parts;
} divided;

static void attend_part(void *self, int i, float *scratch) {
    const divided *d = self;
    const ath_call *c = d->c;
    const int part = i % d->parts, head = i / d->parts, heads = c->node->at.attention.heads;
    const size_t at = start_of(&d->s, head / heads, head % heads);
    c->k->attention_forward(&d->s, c->x[0] + at, c->x[1] + at, c->x[2] + at, (ath_part){part, d->parts}, c->y + at,
                            scratch);
}

static void forward(const ath_call *c) {
    const int heads = c->node->at.attention.heads;
    divided d = {.c = c, .s = shape_of(c->node), .parts = 1};
    ath_attention_shape all = d.s; /* heads together */
    all.d *= heads;
    const int parts = c->pool ? ath_parts_of(c, c->k->attention_parts(&all)) : 1;
    if (parts > heads) d.parts = (parts + heads - 1) / heads;
    ath_divide(c, parts > 1, c->n * heads * d.parts, attend_part, &d);
}

static float *past(float *x, size_t at) { return x ? x + at : NULL; }

/* One tensor that is several inputs is only added to: their gradients are made side by side. */
static void clear_repeated(const ath_call *c, bool acc[3]) {
    for (int j = 0; j < 3; j++) {
        acc[j] = c->acc[j];
        for (int i = 0; i < j; i++) {
            if (!c->dx[j] || c->dx[i] != c->dx[j]) continue;
            if (!acc[i]) memset(c->dx[i], 0, (size_t)c->n * ath_shape_len(c->ys) * sizeof(float));
            acc[i] = acc[j] = true;
        }
    }
}

static void vjp(const ath_call *c) {
    const ath_attention_shape s = shape_of(c->node);
    bool acc[3];
    clear_repeated(c, acc);
    for (int i = 0; i < c->n; i++)
        for (int j = 0; j < c->node->at.attention.heads; j++) {
            const size_t at = start_of(&s, i, j);
            c->k->attention_vjp(&s, c->x[0] + at, c->x[1] + at, c->x[2] + at, c->dy + at, past(c->dx[0], at),
                                past(c->dx[1], at), past(c->dx[2], at), acc, c->scratch);
        }
}

static size_t scratch_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, int n, bool in_vjp) {
    (void)g, (void)n;
    const ath_attention_shape s = shape_of(node);
    return k->attention_scratch_floats(&s, in_vjp);
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
