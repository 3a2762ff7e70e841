/* Dropout (Srivastava et al. 2014), scaled at training time. The mask is drawn again
 * in the vjp from the same counters, so that nothing is kept. */
#include "graph/op.h"

enum { MAX_LAYERS = 4096, CHUNK = 256 };

/* y = mask * x / (1 - rate), or y += */
static void apply(const ath_call *c, const float *x, float *y, bool acc) {
    const size_t len = ath_shape_len(c->ys);
    const float rate = c->node->at.dropout.rate;
    if (!c->training || rate == 0) {
        const size_t all = (size_t)c->n * len;
        if (x != y) c->k->copy_rows(1, all, 1, x, all, y, all, acc);
        return;
    }
    const float keep = 1 / (1 - rate);
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const uint64_t image = c->first_image + i;
        for (size_t at = 0; at < len; at += CHUNK) {
            float u[CHUNK];
            const size_t count = len - at < CHUNK ? len - at : CHUNK;
            const uint64_t layer = (uint64_t)c->node->at.dropout.ordinal;
            /* 24 bits of the index for layer and chunk, 40 for the image */
            ath_rng_uniform(c->rng, ATH_S_DROPOUT, image << 24 | layer << 12 | (at / CHUNK & 4095), u, count);
            for (size_t j = 0; j < count; j++) {
                const size_t k = i * len + at + j;
                y[k] = (acc ? y[k] : 0) + (u[j] < rate ? 0 : keep * x[k]);
            }
        }
    }
}

static void forward(const ath_call *c) { apply(c, c->x[0], c->y, false); }
static void vjp(const ath_call *c) { apply(c, c->dy, c->dx[0], c->acc[0]); }

static const ath_op dropout = {.name = "dropout", .forward = forward, .vjp = vjp, .in_place = true};

ath_tensor ath_dropout(ath_graph *g, ath_tensor x, double rate) {
    if (!x.id || rate == 0) return x;
    const ath_tensor none = {0};
    if (!(rate > 0 && rate < 1)) {
        ath_graph_fail(g, "dropout: a rate of %g, expected 0 <= rate < 1", rate);
        return none;
    }
    if (ath_shape_len(ath_shape_of(g, x)) > (size_t)CHUNK * 4096 || ath_graph_nodes(g) >= MAX_LAYERS) {
        ath_graph_fail(g, "dropout: the tensor or the network is too large for its mask's counters");
        return none;
    }
    ath_node *node = ath_node_add(g, &dropout, "dropout", ath_shape_of(g, x), x, none, none);
    if (node) {
        node->at.dropout.rate = (float)rate;
        node->at.dropout.ordinal = ath_graph_nodes(g) - 1;
    }
    return ath_node_tensor(g, node);
}
