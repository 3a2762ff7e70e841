/* Group norm and layer norm: y = gamma (x - mean) / sqrt(var + eps) + beta, with the
 * mean and the biased variance of a group of channels over an image, or of all
 * channels at one position, which is group norm of one group on images of one pixel. */
#include "graph/op.h"

/* The kernel's view: images, positions an image, groups. */
typedef struct view {
    int n, hw, groups;
} view;

static view view_of(const ath_node *node, ath_shape s, int n) {
    if (node->at.norm.groups == 0) return (view){n * s.h * s.w, 1, 1};
    return (view){n, s.h * s.w, node->at.norm.groups};
}

static void forward(const ath_call *c) {
    const view v = view_of(c->node, c->ys, c->n);
    c->k->group_norm_forward(v.n, v.hw, c->ys.c, v.groups, c->node->at.norm.eps, c->x[0], c->w, c->b, c->y, c->aux);
}

static void vjp(const ath_call *c) {
    const view v = view_of(c->node, c->ys, c->n);
    c->k->group_norm_vjp(v.n, v.hw, c->ys.c, v.groups, c->x[0], c->w, c->aux, c->dy, c->dx[0], c->acc[0], c->dw, c->db);
}

static size_t aux_floats(const ath_node *node, int n) {
    const view v = view_of(node, node->y, n);
    return 2 * (size_t)v.n * (size_t)v.groups;
}

static const ath_op group_norm = {.name = "group_norm",
                                  .forward = forward,
                                  .vjp = vjp,
                                  .vjp_reads = ATH_READS_X0 | ATH_READS_AUX,
                                  .aux_floats = aux_floats};
static const ath_op layer_norm = {.name = "layer_norm",
                                  .forward = forward,
                                  .vjp = vjp,
                                  .vjp_reads = ATH_READS_X0 | ATH_READS_AUX,
                                  .aux_floats = aux_floats};

static ath_tensor add_norm(ath_graph *g, const ath_op *op, ath_tensor x, const char *name, int groups, double eps) {
    const ath_tensor none = {0};
    const ath_shape s = ath_shape_of(g, x);
    ath_node *node = ath_node_add(g, op, name, s, x, none, none);
    if (!node) return none;
    node->at.norm.groups = groups;
    node->at.norm.eps = (float)eps;
    node->weight = ath_param_add(g, name, "weight", ATH_P_GAIN, 1, (int64_t[]){s.c}, 0);
    node->bias = ath_param_add(g, name, "bias", ATH_P_BIAS, 1, (int64_t[]){s.c}, 0);
    return ath_node_tensor(g, node);
}

ath_tensor ath_group_norm(ath_graph *g, ath_tensor x, const char *name, int groups, double eps) {
    if (!x.id) return x;
    const int c = ath_shape_of(g, x).c;
    if (groups < 1 || c % groups != 0) {
        ath_graph_fail(g, "%s (group_norm): %d channels cannot be split into %d groups", name, c, groups);
        return (ath_tensor){0};
    }
    return add_norm(g, &group_norm, x, name, groups, eps);
}

ath_tensor ath_layer_norm(ath_graph *g, ath_tensor x, const char *name, double eps) {
    if (!x.id) return x;
    return add_norm(g, &layer_norm, x, name, 0, eps);
}
