/* What an operation must supply. One file in graph/ops/ each; not a public header. */
#ifndef ATH_GRAPH_OP_H
#define ATH_GRAPH_OP_H
#include "base/pool.h"
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/params.h"
#include "kernels/kernels.h"

enum { ATH_MAX_IN = 7, ATH_MAX_PARAM = 4 };

typedef struct ath_op ath_op;

/* One operation of a graph; its result is tensor id = index + 1. */
typedef struct ath_node {
    const ath_op *op;
    int32_t x[ATH_MAX_IN]; /* tensor ids, 0 where there is none */
    ath_shape y;
    /* Indices of parameters, -1 for none: weight, bias; a fused convolution's norm has two more. */
    int32_t param[ATH_MAX_PARAM];
    const char *name; /* the layer's, for messages and tables */
    union {           /* what is particular to one op */
        struct {
            int kernel, stride, pad_before, pad_after;
            int groups; /* of the group norm that is fused with it, 0: none */
            float eps;
            bool silu;
            int index;      /* of the scale of the second part of x */
            bool upsampled; /* x is read through upsample2 */
        } conv;
        struct {
            int groups;
            float eps;
        } norm;
        struct {
            int heads;
        } attention;
        struct {
            bool flip;
            double shift;
        } timestep;
        struct {
            int rows;
        } label;
        struct {
            float rate;
            int ordinal;
        } dropout;
        struct {
            int index;
        } scaled;
        struct {
            int first;
        } slice;
        struct {
            bool differentiable;
        } input;
    } at;
} ath_node;

/* One execution, on n images. Pointers are into the plan's arena; none may be kept. Where one
 * tensor is several inputs, dx[] repeats and acc[] is set from the second on: dx[0] comes first. */
typedef struct ath_call {
    const ath_node *node;
    const ath_kernels *k;
    int n;
    ath_shape xs[ATH_MAX_IN], ys;             /* of one image                             */
    const float *x[ATH_MAX_IN];               /* values (n, xs); NULL where there is none */
    float *y;                                 /* (n, ys)                                  */
    float *aux;                               /* kept from forward to vjp                 */
    const float *p[ATH_MAX_PARAM];            /* parameters, as stored                    */
    const float *packed_forward, *packed_vjp; /* as the op packed the first, or it itself */
    const float *dy;                          /* (n, ys)                                  */
    float *dx[ATH_MAX_IN];                    /* NULL when nobody wants it                */
    bool acc[ATH_MAX_IN];                     /* add to dx[j] rather than write it        */
    float *dp[ATH_MAX_PARAM];                 /* their gradients; NULL: not wanted        */
    bool add_params;                          /* add to dp rather than write: what is added has the bits
                                               * that would be written                    */
    double *moments;                          /* forward: to tell those of y, (n,2,c) as in ath_conv_add; or NULL */
    const double *x_moments[ATH_MAX_IN];      /* forward: what the makers of x told; or NULL */
    float *scratch;                           /* scratch_floats(), contents undefined; not NULL */
    ath_pool *pool;                           /* forward: threads that may share the work; NULL: alone */
    float *const *scratch_of;                 /* one for each thread of the pool, scratch first    */
    bool training;                            /* dropout is on                            */
    ath_rng rng;
    uint64_t first_image; /* image i draws with first_image + i       */
} ath_call;

/* What a vjp reads of the forward's values, so that memory lives as long as it must. */
enum {
    ATH_READS_X0 = 1, /* << j: input j */
    ATH_READS_X1 = 2,
    ATH_READS_X2 = 4,
    ATH_READS_Y = 1 << ATH_MAX_IN,
    ATH_READS_AUX = 2 << ATH_MAX_IN
};

struct ath_op {
    const char *name;
    void (*forward)(const ath_call *);
    void (*vjp)(const ath_call *); /* dx = J^T dy, dw = ...; NULL: no gradient passes (labels) */
    unsigned vjp_reads;
    bool in_place;    /* y may be x[0]'s memory */
    bool adds_params; /* knows add_params */
    int passes_on; /* dx of this input, if not 0, is dy or adds it: where it would be written it may be dy's memory */
    bool is_conv;  /* node.at.conv is this one's */
    /* Sizes for n images; NULL means 0. `vjp` says for which of the two. */
    size_t (*aux_floats)(const ath_node *, int n);
    size_t (*scratch_floats)(const ath_graph *, const ath_node *, const ath_kernels *, int n, bool vjp);
    /* Weights in an order of the op's own, made once per change of the weights. */
    size_t (*pack_floats)(const ath_graph *, const ath_node *, const ath_kernels *, bool vjp);
    void (*pack)(const ath_graph *, const ath_node *, const ath_kernels *, bool vjp, const float *w, float *packed);
    /* Whether forward can tell the moments of its result, and whether it reads those of input j. NULL: no. */
    bool (*gives_moments)(const ath_graph *, const ath_node *, const ath_kernels *);
    bool (*takes_moments)(const ath_node *, int j);
    double (*flops)(const ath_graph *, const ath_node *); /* of one image's forward; NULL means next to none */
};

/* ---- for a forward that several threads may share ---- */
/* How many parts to divide into what is worth `worth`: 1 without a pool. */
int ath_parts_of(const ath_call *c, int worth);
/* fn(self, part, scratch) for part 0 .. parts-1: in this thread, or when `shared` by whichever thread of the call's pool is
 * free, scratch being that thread's. */
typedef void ath_part_fn(void *self, int part, float *scratch);
void ath_divide(const ath_call *c, bool shared, int parts, ath_part_fn *fn, void *self);

/* ---- for builders ---- */
/* Appends a node, NULL after a failure or when an input is the null handle where one
 * is needed (inputs x0.. in order, {0} beyond). The pointer is valid until the next one. */
ath_node *ath_node_add(ath_graph *g, const ath_op *op, const char *name, ath_shape y, ath_tensor x0, ath_tensor x1,
                       ath_tensor x2);
ath_tensor ath_node_tensor(const ath_graph *g, const ath_node *node); /* {0} of NULL */
/* Appends a parameter "<scope>.<name>.<part>" and returns its index, -1 after a failure. */
int32_t ath_param_add(ath_graph *g, const char *name, const char *part, ath_param_kind kind, int n_dim,
                      const int64_t *dim, double init_scale);
bool ath_graph_ok(const ath_graph *g);

/* Channels of a convolution's inputs and what else it reads once fuse.c has seen it; a plain one has only x. In the order
 * in which the vjp gives gradients to them: two may be one tensor. */
enum { CONV_X, CONV_X2, CONV_X2_SCALES, CONV_SCALE, CONV_SHIFT, CONV_VECTOR, CONV_RESIDUAL };
enum { CONV_WEIGHT, CONV_BIAS, CONV_GAMMA, CONV_BETA };

/* ---- for plans ---- */
int ath_graph_nodes(const ath_graph *g);
const ath_node *ath_graph_node(const ath_graph *g, int i);
ath_tensor ath_graph_output(const ath_graph *g);
/* The first mistake made while building, or that there is no output. */
ath_status ath_graph_status(const ath_graph *g, ath_err *err);

static inline size_t ath_shape_len(ath_shape s) { return (size_t)s.h * (size_t)s.w * (size_t)s.c; }

#endif
