/* Convolution with bias, and the linear layer, which is a 1x1 convolution under the names and the disk layout of
 * torch.nn.Linear. The arithmetic is kernels.h's.
 *
 * What surrounds a convolution in these networks is done with it when fuse.c has put it together:
 *
 *     y = conv(silu(group_norm([x, s x2]) (1 + scale) + shift)) + bias + vector + residual
 *     y = conv(upsample2(x)) + bias + vector + residual
 *
 * The normalised and activated input is work memory, made again in the vjp, so that of all this only x and x2 are
 * kept; they are never concatenated. Without a norm, [x, s x2] is two convolutions with a part of the weights each. */
#include "graph/op.h"
#include "kernels/norm.h"

static ath_conv_shape shape_of(const ath_node *node, ath_shape x, int n, int c_in) {
    const bool upsampled = node->at.conv.upsampled;
    return (ath_conv_shape){.n = n,
                            .h = upsampled ? 2 * x.h : x.h,
                            .w = upsampled ? 2 * x.w : x.w,
                            .upsampled = upsampled,
                            .c_in = c_in,
                            .c_out = node->y.c,
                            .kernel = node->at.conv.kernel,
                            .stride = node->at.conv.stride,
                            .pad_before = node->at.conv.pad_before,
                            .pad_after = node->at.conv.pad_after};
}

static size_t round16(size_t floats) { return (floats + 15) / 16 * 16; }

/* The convolutions that run: one, or one for each part of x when there is no norm to join them. */
typedef struct layout {
    int parts, c[2], channels; /* channels of each, and of x whole */
    ath_conv_shape s[2];
} layout;

static layout layout_of(const ath_node *node, ath_shape x, ath_shape x2, int n) {
    layout l = {.parts = 1, .c = {x.c + x2.c, 0}, .channels = x.c + x2.c};
    if (node->at.conv.groups == 0 && x2.c > 0) l = (layout){.parts = 2, .c = {x.c, x2.c}, .channels = x.c + x2.c};
    for (int j = 0; j < l.parts; j++) l.s[j] = shape_of(node, x, n, l.c[j]);
    return l;
}

static layout layout_in(const ath_graph *g, const ath_node *node, int n) {
    return layout_of(node, ath_shape_of(g, (ath_tensor){node->x[CONV_X]}),
                     ath_shape_of(g, (ath_tensor){node->x[CONV_X2]}), n);
}

/* The weights of part j as they are stored: the channels of x are not the fastest, so a part is contiguous only in 1x1. */
static size_t weight_at(const layout *l, int j) { return j == 0 ? 0 : (size_t)l->c[0] * (size_t)l->s[0].c_out; }

/* The weights of part j for one pass: packed, or as they are. */
static const float *weights_for(const ath_call *c, const layout *l, ath_conv_pass pass, int j) {
    const float *packed = pass == ATH_CONV_FORWARD ? c->packed_forward : c->packed_vjp;
    if (c->k->conv_pack_floats(&l->s[j], pass) == 0) return c->p[CONV_WEIGHT] + weight_at(l, j);
    return packed + (j == 0 ? 0 : round16(c->k->conv_pack_floats(&l->s[0], pass)));
}

static ath_norm norm_of(const ath_call *c) {
    const ath_shape x = c->xs[CONV_X];
    return (ath_norm){.n = c->n,
                      .hw = x.h * x.w,
                      .groups = c->node->at.conv.groups,
                      .c = {x.c, c->xs[CONV_X2].c},
                      .x = {c->x[CONV_X], c->x[CONV_X2]},
                      .moments = {c->x_moments[CONV_X], c->x_moments[CONV_X2]},
                      .part_scale = c->x[CONV_X2_SCALES] ? c->x[CONV_X2_SCALES] + c->node->at.conv.index : NULL,
                      .part_step = (size_t)c->xs[CONV_X2_SCALES].c,
                      .eps = c->node->at.conv.eps,
                      .silu = c->node->at.conv.silu,
                      .gamma = c->p[CONV_GAMMA],
                      .beta = c->p[CONV_BETA],
                      .scale = c->x[CONV_SCALE],
                      .shift = c->x[CONV_SHIFT]};
}

/* The scale of image i's second part. */
static float scale_of(const ath_call *c, size_t i) {
    if (!c->x[CONV_X2_SCALES]) return 1;
    return c->x[CONV_X2_SCALES][i * (size_t)c->xs[CONV_X2_SCALES].c + (size_t)c->node->at.conv.index];
}

static bool is_scaled(const ath_call *c) {
    for (size_t i = 0; i < (size_t)c->n; i++)
        if (scale_of(c, i) != 1) return true;
    return false;
}

/* Part j of x with its scale: as it is, or in work memory. */
static const float *part_of(const ath_call *c, int j, float *work) {
    const size_t len = ath_shape_len(c->xs[j]);
    if (j == 0 || !is_scaled(c)) return c->x[j];
    for (size_t i = 0; i < (size_t)c->n; i++)
        c->k->copy_rows(1, len, scale_of(c, i), c->x[j] + i * len, len, work + i * len, len, false);
    return work;
}

/* ---- work memory ----
 * Forward: a table of biases; the activated input of some images, or the scaled second part; the norm's and the
 * convolution's own. The vjp: the same for all images. */

enum { AT_ONCE = 1024 }; /* positions */

/* Images whose activated input is made at once: few, so that it stays in L2, but positions enough for Winograd's weights
 * to be made for (kernels/vector/winograd.h). */
static int images_at_once(ath_shape x, int n) {
    const int enough = AT_ONCE / (x.h * x.w);
    return enough < 1 ? 1 : enough < n ? enough : n;
}

/* Where each begins. */
typedef struct work {
    size_t bias, input, norm, conv;
} work;

static work work_of(const ath_node *node, ath_shape x, const layout *l, int n, bool in_vjp) {
    const size_t image = (size_t)x.h * (size_t)x.w, bias = node->x[CONV_VECTOR] ? (size_t)n * (size_t)node->y.c : 0;
    size_t input = 0;
    if (node->at.conv.groups)
        input = (size_t)(in_vjp ? n : images_at_once(x, n)) * image * (size_t)l->channels;
    else if (l->parts == 2 && node->x[CONV_X2_SCALES])
        input = (size_t)n * image * (size_t)l->c[1];
    work w = {.input = in_vjp ? 0 : round16(bias)};
    w.norm = w.input + round16(input);
    w.conv = w.norm + (node->at.conv.groups ? round16(ath_norm_work_floats(l->channels)) : 0);
    return w;
}

/* A plan also runs fewer images than it has room for, and a kernel that cuts the work into
 * equal blocks may want more scratch for fewer: the largest of all counts is kept. */
static size_t scratch_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, int n, bool in_vjp) {
    const ath_shape x = ath_shape_of(g, (ath_tensor){node->x[CONV_X]});
    const layout all = layout_in(g, node, n);
    size_t most = 0;
    for (int i = 1; i <= n; i++) {
        const layout l = layout_in(g, node, i);
        for (int j = 0; j < l.parts; j++)
            for (int pass = in_vjp ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD;
                 pass <= (in_vjp ? ATH_CONV_WEIGHT_GRAD : ATH_CONV_FORWARD); pass++) {
                const size_t floats = k->conv_scratch_floats(&l.s[j], (ath_conv_pass)pass);
                if (floats > most) most = floats;
            }
    }
    return work_of(node, x, &all, n, in_vjp).conv + most;
}

/* ---- forward ---- */

/* bias + vector of each image */
static void add_vectors(const ath_call *c, float *table) {
    const size_t channels = (size_t)c->ys.c;
    for (size_t i = 0; i < (size_t)c->n; i++)
        for (size_t j = 0; j < channels; j++)
            table[i * channels + j] = c->p[CONV_BIAS][j] + c->x[CONV_VECTOR][i * channels + j];
}

/* Images first.. of what is added to the result and told of it. */
static ath_conv_add added(const ath_call *c, const float *table, int first) {
    const bool vectors = c->x[CONV_VECTOR] != NULL;
    const size_t step = vectors ? (size_t)c->ys.c : 0;
    ath_conv_add add = {.bias = vectors ? table + (size_t)first * step : c->p[CONV_BIAS], .bias_step = step};
    if (c->x[CONV_RESIDUAL]) add.residual = c->x[CONV_RESIDUAL] + (size_t)first * ath_shape_len(c->ys);
    if (c->moments) add.moments = c->moments + 2 * (size_t)first * (size_t)c->ys.c;
    return add;
}

/* One convolution, which is divided by output channels. */
typedef struct divided {
    const ath_call *c;
    const ath_conv_shape *s;
    const float *x, *weights;
    ath_conv_add add;
    float *y;
    size_t conv; /* where the kernel's own work memory begins */
    int parts;
} divided;

static void convolve_part(void *self, int part, float *scratch) {
    const divided *d = self;
    d->c->k->conv_forward(d->s, d->x, d->weights, d->add, (ath_part){part, d->parts}, d->y, scratch + d->conv);
}

static void convolve(divided *d) {
    d->parts = d->c->pool ? ath_parts_of(d->c, d->c->k->conv_parts(d->s)) : 1;
    ath_divide(d->c, d->parts > 1, d->parts, convolve_part, d);
}

static void normed_forward(const ath_call *c, const layout *l, const work *w) {
    const ath_norm norm = norm_of(c);
    const int at_once = images_at_once(c->xs[CONV_X], c->n);
    for (int first = 0; first < c->n; first += at_once) {
        ath_conv_shape s = l->s[0];
        s.n = c->n - first < at_once ? c->n - first : at_once;
        ath_norm_forward(c->k, &norm, c->aux, first, s.n, c->scratch + w->input, c->scratch + w->norm);
        convolve(&(divided){.c = c,
                            .s = &s,
                            .x = c->scratch + w->input,
                            .weights = weights_for(c, l, ATH_CONV_FORWARD, 0),
                            .add = added(c, c->scratch + w->bias, first),
                            .y = c->y + (size_t)first * ath_shape_len(c->ys),
                            .conv = w->conv});
    }
}

static void forward(const ath_call *c) {
    const layout l = layout_of(c->node, c->xs[CONV_X], c->xs[CONV_X2], c->n);
    const work w = work_of(c->node, c->xs[CONV_X], &l, c->n, false);
    if (c->x[CONV_VECTOR]) add_vectors(c, c->scratch + w.bias);
    if (c->node->at.conv.groups) {
        normed_forward(c, &l, &w);
        return;
    }
    for (int j = 0; j < l.parts; j++)
        convolve(&(divided){.c = c,
                            .s = &l.s[j],
                            .x = part_of(c, j, c->scratch + w.input),
                            .weights = weights_for(c, &l, ATH_CONV_FORWARD, j),
                            .add = j == 0 ? added(c, c->scratch + w.bias, 0) : (ath_conv_add){.residual = c->y},
                            .y = c->y,
                            .conv = w.conv});
}

/* ---- vjp ---- */

/* dw (and db with the first part) of a part whose values are x. */
static void weight_grad(const ath_call *c, const layout *l, const work *w, int j, const float *x) {
    if (!c->dp[CONV_WEIGHT]) return;
    c->k->conv_weight_grad(&l->s[j], x, c->dy, c->dp[CONV_WEIGHT] + weight_at(l, j), j == 0 ? c->dp[CONV_BIAS] : NULL,
                           c->add_params, c->scratch + w->conv);
}

static void normed_vjp(const ath_call *c, const layout *l, const work *w) {
    const ath_norm norm = norm_of(c);
    ath_norm_apply(c->k, &norm, c->aux, 0, c->n, c->scratch + w->input, c->scratch + w->norm);
    weight_grad(c, l, w, 0, c->scratch + w->input);
    if (!c->dp[CONV_GAMMA] && !c->dx[CONV_X] && !c->dx[CONV_X2] && !c->dx[CONV_SCALE] && !c->dx[CONV_SHIFT]) return;
    const ath_norm_grads to = {.dx = {c->dx[CONV_X], c->dx[CONV_X2]},
                               .acc = {c->acc[CONV_X], c->acc[CONV_X2]},
                               .dgamma = c->dp[CONV_GAMMA],
                               .dbeta = c->dp[CONV_BETA],
                               .acc_params = c->add_params,
                               .dscale = c->dx[CONV_SCALE],
                               .dshift = c->dx[CONV_SHIFT],
                               .acc_scale = c->acc[CONV_SCALE],
                               .acc_shift = c->acc[CONV_SHIFT]};
    const int at_once = images_at_once(c->xs[CONV_X], c->n);
    for (int first = 0; first < c->n; first += at_once) {
        ath_conv_shape s = l->s[0];
        s.n = c->n - first < at_once ? c->n - first : at_once;
        c->k->conv_input_grad(&s, c->dy + (size_t)first * ath_shape_len(c->ys),
                              weights_for(c, l, ATH_CONV_INPUT_GRAD, 0), c->scratch + w->input, false,
                              c->scratch + w->conv);
        ath_norm_vjp(c->k, &norm, c->aux, first, s.n, c->scratch + w->input, to, c->scratch + w->norm);
    }
}

static void part_vjp(const ath_call *c, const layout *l, const work *w, int j) {
    const float *weights = weights_for(c, l, ATH_CONV_INPUT_GRAD, j);
    weight_grad(c, l, w, j, part_of(c, j, c->scratch + w->input));
    if (!c->dx[j]) return;
    if (j == 0 || !is_scaled(c)) {
        c->k->conv_input_grad(&l->s[j], c->dy, weights, c->dx[j], c->acc[j], c->scratch + w->conv);
        return;
    }
    const size_t len = ath_shape_len(c->xs[j]);
    c->k->conv_input_grad(&l->s[j], c->dy, weights, c->scratch + w->input, false, c->scratch + w->conv);
    for (size_t i = 0; i < (size_t)c->n; i++)
        c->k->copy_rows(1, len, scale_of(c, i), c->scratch + w->input + i * len, len, c->dx[j] + i * len, len,
                        c->acc[j]);
}

static void vjp(const ath_call *c) {
    const layout l = layout_of(c->node, c->xs[CONV_X], c->xs[CONV_X2], c->n);
    const work w = work_of(c->node, c->xs[CONV_X], &l, c->n, true);
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    if (c->node->at.conv.groups)
        normed_vjp(c, &l, &w);
    else
        for (int j = 0; j < l.parts; j++) part_vjp(c, &l, &w, j);
    for (size_t i = 0; c->dx[CONV_VECTOR] && i < (size_t)c->n; i++)
        c->k->sum_rows(positions, channels, c->dy + i * positions * channels, NULL, c->dx[CONV_VECTOR] + i * channels,
                       c->acc[CONV_VECTOR]);
    if (c->dx[CONV_RESIDUAL] && c->dx[CONV_RESIDUAL] != c->dy)
        c->k->copy_rows((size_t)c->n, positions * channels, 1, c->dy, positions * channels, c->dx[CONV_RESIDUAL],
                        positions * channels, c->acc[CONV_RESIDUAL]);
}

/* ---- what plans ask ---- */

static bool gives_moments(const ath_graph *g, const ath_node *node, const ath_kernels *k) {
    const layout l = layout_in(g, node, 1);
    return l.parts == 1 && k->conv_gives_moments(&l.s[0]);
}

static bool takes_moments(const ath_node *node, int j) {
    return node->at.conv.groups > 0 && (j == CONV_X || j == CONV_X2);
}

static size_t aux_floats(const ath_node *node, int n) { return 2 * (size_t)n * (size_t)node->at.conv.groups; }

static size_t pack_floats(const ath_graph *g, const ath_node *node, const ath_kernels *k, bool in_vjp) {
    const layout l = layout_in(g, node, 1);
    const ath_conv_pass pass = in_vjp ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD;
    return round16(k->conv_pack_floats(&l.s[0], pass)) + (l.parts == 2 ? k->conv_pack_floats(&l.s[1], pass) : 0);
}

static void pack(const ath_graph *g, const ath_node *node, const ath_kernels *k, bool in_vjp, const float *w,
                 float *packed) {
    const layout l = layout_in(g, node, 1);
    const ath_conv_pass pass = in_vjp ? ATH_CONV_INPUT_GRAD : ATH_CONV_FORWARD;
    for (int j = 0; j < l.parts; j++)
        if (k->conv_pack_floats(&l.s[j], pass))
            k->conv_pack(&l.s[j], pass, w + weight_at(&l, j),
                         packed + (j == 0 ? 0 : round16(k->conv_pack_floats(&l.s[0], pass))));
}

static double flops(const ath_graph *g, const ath_node *node) {
    const double taps = (double)node->at.conv.kernel * node->at.conv.kernel;
    return 2 * taps * layout_in(g, node, 1).channels * (double)ath_shape_len(node->y);
}

/* Without a norm scale and shift are not there, so what is read is said for both. */
#define CONVOLUTION(label)                                                                                             \
    {                                                                                                                  \
        .name = label, .forward = forward, .vjp = vjp,                                                                 \
        .vjp_reads = (ATH_READS_X0 << CONV_X) | (ATH_READS_X0 << CONV_X2) | (ATH_READS_X0 << CONV_X2_SCALES) |         \
                     (ATH_READS_X0 << CONV_SCALE) | (ATH_READS_X0 << CONV_SHIFT) | ATH_READS_AUX,                      \
        .passes_on = CONV_RESIDUAL, .adds_params = true, .aux_floats = aux_floats, .scratch_floats = scratch_floats,   \
        .pack_floats = pack_floats, .pack = pack, .gives_moments = gives_moments, .takes_moments = takes_moments,      \
        .flops = flops, .is_conv = true                                                                                \
    }
static const ath_op conv2d = CONVOLUTION("conv2d");
static const ath_op linear = CONVOLUTION("linear");

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
    node->param[CONV_WEIGHT] = ath_param_add(g, name, "weight", ATH_P_CONV, 4,
                                             (int64_t[]){c_out, xs.c, how.kernel, how.kernel}, how.zero_init ? 0 : 1);
    node->param[CONV_BIAS] = ath_param_add(g, name, "bias", ATH_P_BIAS, 1, (int64_t[]){c_out}, 0);
    return ath_node_tensor(g, node);
}

ath_tensor ath_linear(ath_graph *g, ath_tensor x, const char *name, int c_out, bool zero_init) {
    if (!x.id) return none;
    const ath_shape xs = ath_shape_of(g, x);
    ath_node *node = ath_node_add(g, &linear, name, (ath_shape){xs.h, xs.w, c_out}, x, none, none);
    if (!node) return none;
    node->at.conv.kernel = node->at.conv.stride = 1;
    node->at.conv.pad_before = node->at.conv.pad_after = 0;
    node->param[CONV_WEIGHT] =
        ath_param_add(g, name, "weight", ATH_P_LINEAR, 2, (int64_t[]){c_out, xs.c}, zero_init ? 0 : 1);
    node->param[CONV_BIAS] = ath_param_add(g, name, "bias", ATH_P_BIAS, 1, (int64_t[]){c_out}, 0);
    return ath_node_tensor(g, node);
}
