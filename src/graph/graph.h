/* A network, written down once.
 *
 * Builders append an operation and return a handle; nothing is computed and no
 * activation memory exists until a plan is compiled (plan.h). The first mistake is
 * kept in the graph with the layer's name, later builders return the null handle,
 * and ath_plan_compile reports it: a net reads without an `if` after every line.
 *
 * Every activation is NHWC float32. A shape is that of one image: how many images
 * run together is the plan's business. Tokens are (h,w,c) with T = h*w, vectors
 * (1,1,c). A graph may be shared by threads once it is built. */
#ifndef ATH_GRAPH_GRAPH_H
#define ATH_GRAPH_GRAPH_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/status.h"

typedef struct ath_graph ath_graph;

typedef struct ath_tensor {
    int32_t id; /* 0 is "no tensor" */
} ath_tensor;

typedef struct ath_shape {
    int32_t h, w, c;
} ath_shape;

ath_graph *ath_graph_create(void);    /* NULL when out of memory */
void ath_graph_destroy(ath_graph *g); /* accepts NULL */

/* Parameters made below are named "<scope>.<name>.weight" and ".bias". Scopes nest. */
void ath_scope_push(ath_graph *g, const char *fmt, ...) ATH_PRINTF(2, 3);
void ath_scope_pop(ath_graph *g);
/* Puts a net's own objection into the graph, as the builders do theirs. */
void ath_graph_fail(ath_graph *g, const char *fmt, ...) ATH_PRINTF(2, 3);

/* What the caller fills before each forward. `differentiable`: whether its gradient
 * exists at all (labels have none). */
ath_tensor ath_input(ath_graph *g, const char *name, ath_shape s, bool differentiable);
ath_tensor ath_input_find(const ath_graph *g, const char *name); /* {0} if there is none */
/* The network's result; once. */
void ath_output(ath_graph *g, ath_tensor y);

/* Weight (c_out, c_in, kernel, kernel) on disk, cross-correlation, with bias. */
typedef struct ath_conv {
    int kernel, stride;        /* 0 means 3 and 1                                          */
    int pad_before, pad_after; /* zeros added at the top and left, at the bottom and right;
                                    * both 0 with `valid` unset means kernel/2 on each side     */
    bool valid;                /* no padding at all                                        */
    bool zero_init;            /* weights start at 0 (the last layer of a residual branch) */
} ath_conv;
ath_tensor ath_conv2d(ath_graph *g, ath_tensor x, const char *name, int c_out, ath_conv how);
/* On the channels of each position. Weight (c_out, c_in) on disk. */
ath_tensor ath_linear(ath_graph *g, ath_tensor x, const char *name, int c_out, bool zero_init);

/* Wu & He 2018, arXiv:1803.08494; eps as in torch.nn.GroupNorm. */
ath_tensor ath_group_norm(ath_graph *g, ath_tensor x, const char *name, int groups, double eps);
/* Over the channels of each position; Ba et al. 2016, arXiv:1607.06450. */
ath_tensor ath_layer_norm(ath_graph *g, ath_tensor x, const char *name, double eps);

ath_tensor ath_silu(ath_graph *g, ath_tensor x); /* x / (1 + exp(-x)) */
ath_tensor ath_gelu(ath_graph *g, ath_tensor x); /* x Phi(x), the exact form */

/* a + b; b may also be a vector (1,1,c), added at every position. */
ath_tensor ath_add(ath_graph *g, ath_tensor a, ath_tensor b);
/* a + scales[index] * b, scales (1,1,K): an additive skip connection that can be tuned. */
ath_tensor ath_add_scaled(ath_graph *g, ath_tensor a, ath_tensor b, ath_tensor scales, int index);
/* [a, b] along the channels, b times scales[index] when scales is a tensor: a
 * concatenating skip connection that can be tuned (Skip-Tuning, arXiv:2402.15170). */
ath_tensor ath_concat(ath_graph *g, ath_tensor a, ath_tensor b, ath_tensor scales, int index);
/* Channels first .. first + count - 1. */
ath_tensor ath_slice(ath_graph *g, ath_tensor x, int first, int count);
/* x * (1 + scale) + shift, scale and shift (1,1,c): AdaGN, AdaLN. */
ath_tensor ath_scale_shift(ath_graph *g, ath_tensor x, ath_tensor scale, ath_tensor shift);

ath_tensor ath_upsample2(ath_graph *g, ath_tensor x);            /* nearest, (h,w) -> (2h,2w) */
ath_tensor ath_avg_pool2(ath_graph *g, ath_tensor x);            /* mean of 2x2, (h,w) -> (h/2,w/2); h, w even */
ath_tensor ath_reshape(ath_graph *g, ath_tensor x, ath_shape s); /* the same numbers in the same order */

/* softmax(q k^T / sqrt(c/heads)) v for each image and head; q, k, v (h,w,c); head j
 * has channels j*c/heads ... */
ath_tensor ath_attention(ath_graph *g, ath_tensor q, ath_tensor k, ath_tensor v, int heads);

/* Sinusoids of t (1,1,1): frequency i of half = c/2 is exp(-ln(10000) i / (half - freq_shift)),
 * [sin, cos], or [cos, sin] with flip_sin_to_cos; in float32, as diffusers computes it. */
ath_tensor ath_timestep_embedding(ath_graph *g, ath_tensor t, int c, bool flip_sin_to_cos, double freq_shift);
/* Row `label` (1,1,1) of a table (rows, c) named "<scope>.<name>.weight". A label out of range gives zeros. */
ath_tensor ath_label_embedding(ath_graph *g, ath_tensor label, const char *name, int rows, int c);

/* In training: each value becomes 0 with probability `rate`, else it is divided by
 * 1 - rate. The mask is a function of (seed, image, layer, element). Otherwise a copy. */
ath_tensor ath_dropout(ath_graph *g, ath_tensor x, double rate);

ath_shape ath_shape_of(const ath_graph *g, ath_tensor t); /* {0,0,0} of no tensor */

#endif
