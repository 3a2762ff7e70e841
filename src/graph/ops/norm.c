/* Group norm and layer norm: y = gamma (x - mean) / sqrt(var + eps) + beta, with the
 * mean and the biased variance of a group of channels over an image, or of all
 * channels at one position, which is group norm of one group on images of one pixel. */
#include "graph/op.h"
#include "kernels/norm.h"

/* Images, positions an image, groups. */
static ath_norm view_of(const ath_node *node, int n) {
    const ath_shape s = node->y;
    ath_norm v = {.n = n, .hw = s.h * s.w, .groups = node->at.norm.groups, .c = {s.c, 0}, .eps = node->at.norm.eps};
    if (v.groups == 0) {
        v.n = n * v.hw;
        v.hw = v.groups = 1;
    }
    return v;
}

static ath_norm norm_of(const ath_call *c) {
    ath_norm v = view_of(c->node, c->n);
    v.x[0] = c->x[0];
    v.moments[0] = c->x_moments[0];
    v.gamma = c->p[0];
    v.beta = c->p[1];
    return v;
}

static void forward(const ath_call *c) {
    const ath_norm v = norm_of(c);
    ath_norm_forward(c->k, &v, c->aux, 0, v.n, c->y, c->scratch);
}

static void vjp(const ath_call *c) {
    const ath_norm v = norm_of(c);
    const ath_norm_grads to = {
        .dx = {c->dx[0]}, .acc = {c->acc[0]}, .dgamma = c->dp[0], .dbeta = c->dp[1], .acc_params = c->add_params};
    ath_norm_vjp(c->k, &v, c->aux, 0, v.n, (float *)c->dy, to, c->scratch); /* only a silu changes dy */
}

static bool takes_moments(const ath_node *node, int j) {
    (void)node;
    return j == 0;
}

static size_t aux_floats(const ath_node *node, int n) {
    const ath_norm v = view_of(node, n);
    return 2 * (size_t)v.n * (size_t)v.groups;
}

static size_t scratch_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, int n, bool in_vjp) {
    (void)g, (void)k, (void)n, (void)in_vjp;
    return ath_norm_work_floats(node->y.c);
}

static const ath_op group_norm = {.name = "group_norm",
                                  .forward = forward,
                                  .vjp = vjp,
                                  .vjp_reads = ATH_READS_X0 | ATH_READS_AUX,
                                  .adds_params = true,
                                  .aux_floats = aux_floats,
                                  .scratch_floats = scratch_floats,
                                  .takes_moments = takes_moments};
static const ath_op layer_norm = {.name = "layer_norm",
                                  .forward = forward,
                                  .vjp = vjp,
                                  .vjp_reads = ATH_READS_X0 | ATH_READS_AUX,
                                  .adds_params = true,
                                  .aux_floats = aux_floats,
                                  .scratch_floats = scratch_floats};

static ath_tensor add_norm(ath_graph *g, const ath_op *op, ath_tensor x, const char *name, int groups, double eps) {
    const ath_tensor none = {0};
    const ath_shape s = ath_shape_of(g, x);
    ath_node *node = ath_node_add(g, op, name, s, x, none, none);
    if (!node) return none;
    node->at.norm.groups = groups;
    node->at.norm.eps = (float)eps;
    node->param[0] = ath_param_add(g, name, "weight", ATH_P_GAIN, 1, (int64_t[]){s.c}, 0);
    node->param[1] = ath_param_add(g, name, "bias", ATH_P_BIAS, 1, (int64_t[]){s.c}, 0);
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
