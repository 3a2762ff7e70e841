/* Convolution with bias, and the linear layer, which is a 1x1 convolution under the
 * names and the disk layout of torch.nn.Linear. The arithmetic is kernels.h's. */
#include "graph/op.h"

static ath_conv_shape shape_of(const ath_node *node, ath_shape x, int n) {
    return (ath_conv_shape){.n = n,
                            .h = x.h,
                            .w = x.w,
                            .c_in = x.c,
                            .c_out = node->y.c,
                            .kernel = node->at.conv.kernel,
                            .stride = node->at.conv.stride,
                            .pad_before = node->at.conv.pad_before,
                            .pad_after = node->at.conv.pad_after};
}

static ath_conv_shape shape_in(const ath_graph *g, const ath_node *node, int n) {
    return shape_of(node, ath_shape_of(g, (ath_tensor){node->x[0]}), n);
}

static void forward(const ath_call *c) {
    const ath_conv_shape s = shape_of(c->node, c->xs[0], c->n);
    c->k->conv_forward(&s, c->x[0], c->packed_forward, c->b, c->y, c->scratch);
}

static void vjp(const ath_call *c) {
    const ath_conv_shape s = shape_of(c->node, c->xs[0], c->n);
    if (c->dw) c->k->conv_weight_grad(&s, c->x[0], c->dy, c->dw, c->db, c->scratch);
    if (c->dx[0]) c->k->conv_input_grad(&s, c->dy, c->packed_vjp, c->dx[0], c->acc[0], c->scratch);
}

/* A plan also runs fewer images than it has room for, and a kernel that cuts the work into
 * equal blocks may want more scratch for fewer: the largest of all counts is kept. */
static size_t scratch_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, int n, bool in_vjp) {
    size_t most = 0;
    for (int i = 1; i <= n; i++) {
        const ath_conv_shape s = shape_in(g, node, i);
        for (int pass = in_vjp ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD;
             pass <= (in_vjp ? ATH_CONV_WEIGHT_GRAD : ATH_CONV_FORWARD); pass++) {
            const size_t floats = k->conv_scratch_floats(&s, (ath_conv_pass)pass);
            if (floats > most) most = floats;
        }
    }
    return most;
}

static size_t pack_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, bool in_vjp) {
    const ath_conv_shape s = shape_in(g, node, 1);
    return k->conv_pack_floats(&s, in_vjp ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD);
}

static void pack(const ath_graph *g, const ath_node *node, const ath_kernels *k, bool in_vjp, const float *w,
                 float *packed) {
    const ath_conv_shape s = shape_in(g, node, 1);
    k->conv_pack(&s, in_vjp ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD, w, packed);
}

static double flops(const ath_graph *g, const ath_node *node) {
    const double taps = (double)node->at.conv.kernel * node->at.conv.kernel;
    return 2 * taps * ath_shape_of(g, (ath_tensor){node->x[0]}).c * (double)ath_shape_len(node->y);
}

static const ath_op conv2d = {.name = "conv2d",
                              .forward = forward,
                              .vjp = vjp,
                              .vjp_reads = ATH_READS_X0,
                              .scratch_floats = scratch_floats,
                              .pack_floats = pack_floats,
                              .pack = pack,
                              .flops = flops,
                              .is_conv = true};

static const ath_op linear = {.name = "linear",
                              .forward = forward,
                              .vjp = vjp,
                              .vjp_reads = ATH_READS_X0,
                              .scratch_floats = scratch_floats,
                              .pack_floats = pack_floats,
                              .pack = pack,
                              .flops = flops,
                              .is_conv = true};

static const ath_tensor none = {0};

ath_tensor ath_conv2d(ath_graph *g, ath_tensor x, const char *name, int c_out, ath_conv how) {
    if (!x.id) return none;
    if (how.kernel == 0) how.kernel = 3;
    if (how.stride == 0) how.stride = 1;
    if (!how.valid && how.pad_before == 0 && how.pad_after == 0) how.pad_before = how.pad_after = how.kernel / 2;
    const ath_shape xs = ath_shape_of(g, x);
    const int h = xs.h + how.pad_before + how.pad_after - how.kernel;
    const int w = xs.w + how.pad_before + how.pad_after - how.kernel;
    if (how.kernel < 1 || how.stride < 1 || how.pad_before < 0 || how.pad_after < 0 || c_out < 1 || h < 0 || w < 0) {
        ath_graph_fail(g, "%s (conv2d): kernel %d, stride %d, %d channels do not fit an input of (%d,%d,%d)", name,
                       how.kernel, how.stride, c_out, xs.h, xs.w, xs.c);
        return none;
    }
    ath_node *node =
        ath_node_add(g, &conv2d, name, (ath_shape){h / how.stride + 1, w / how.stride + 1, c_out}, x, none, none);
    if (!node) return none;
    node->at.conv.kernel = how.kernel;
    node->at.conv.stride = how.stride;
    node->at.conv.pad_before = how.pad_before;
    node->at.conv.pad_after = how.pad_after;
    node->weight = ath_param_add(g, name, "weight", ATH_P_CONV, 4, (int64_t[]){c_out, xs.c, how.kernel, how.kernel},
                                 how.zero_init ? 0 : 1);
    node->bias = ath_param_add(g, name, "bias", ATH_P_BIAS, 1, (int64_t[]){c_out}, 0);
    return ath_node_tensor(g, node);
}

ath_tensor ath_linear(ath_graph *g, ath_tensor x, const char *name, int c_out, bool zero_init) {
    if (!x.id) return none;
    const ath_shape xs = ath_shape_of(g, x);
    ath_node *node = ath_node_add(g, &linear, name, (ath_shape){xs.h, xs.w, c_out}, x, none, none);
    if (!node) return none;
    node->at.conv.kernel = node->at.conv.stride = 1;
    node->at.conv.pad_before = node->at.conv.pad_after = 0;
    node->weight = ath_param_add(g, name, "weight", ATH_P_LINEAR, 2, (int64_t[]){c_out, xs.c}, zero_init ? 0 : 1);
    node->bias = ath_param_add(g, name, "bias", ATH_P_BIAS, 1, (int64_t[]){c_out}, 0);
    return ath_node_tensor(g, node);
}
