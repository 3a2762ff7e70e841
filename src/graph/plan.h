/* A graph made ready to run: order, and every byte of memory, decided.
 *
 * The time line has 2N+1 steps for N operations: step i runs operation i forward, at
 * step N the caller reads the output and writes its gradient, step 2N-i runs the vjp
 * of operation i. Each buffer is given the interval of steps in which it must keep
 * its contents; buffers whose intervals are disjoint share memory. Running a plan
 * allocates nothing.
 *
 * A plan is compiled for a micro-batch of up to n images and one set of wanted
 * gradients, and runs in one thread: parallelism is several plans of one graph, each
 * on its own micro-batch, or (the pool of ath_run) one forward whose largest operations
 * are divided. They share parameters (the caller's arrays), not
 * activations; one plan must not be run from two threads at once. */
#ifndef ATH_GRAPH_PLAN_H
#define ATH_GRAPH_PLAN_H
#include <stdio.h>
#include "base/pool.h"
#include "base/rng.h"
#include "graph/graph.h"

typedef struct ath_plan ath_plan;

enum {
    ATH_FORWARD = 0,
    ATH_GRAD_PARAMS = 1,
    ATH_GRAD_INPUTS = 2,
    /* The slow twins, for tests and debugging: */
    ATH_UNSHARED = 4, /* every buffer in memory of its own */
    ATH_UNFUSED = 8   /* every operation as the net wrote it: see fuse.h */
};

/* Fails with the graph's own first mistake, or ATH_E_MEM. The graph is borrowed: it must outlive the plan. The environment's
 * ATH_PLAN=unshared sets ATH_UNSHARED, ATH_FUSE=0 sets ATH_UNFUSED. */
ath_status ath_plan_compile(ath_plan **out, const ath_graph *g, int n, unsigned want, ath_err *err);
void ath_plan_destroy(ath_plan *p); /* accepts NULL */

/* Where the caller writes an input before each forward, or reads the output before the
 * vjp; (n, h, w, c) of that tensor. Only inputs and the output have such a place. */
float *ath_plan_value(ath_plan *p, ath_tensor t);
/* The output's gradient, to be written between forward and vjp; an input's, to be read
 * after the vjp, NULL when it was not wanted or does not reach the output. */
float *ath_plan_grad(ath_plan *p, ath_tensor t);

/* Convolutions may want their weights in another order (kernels.h). That copy is made
 * once per change of the parameters and shared by every plan of the graph with the
 * same `want`: floats needed, and making part `part` of `parts` of it. */
size_t ath_plan_packed_floats(const ath_plan *p);
void ath_plan_pack(const ath_plan *p, const float *params, float *packed, int part, int parts);

/* One micro-batch. */
typedef struct ath_run {
    int n;                /* images, 1 .. the plan's n                             */
    const float *params;  /* ath_param_total() floats                              */
    const float *packed;  /* ath_plan_pack of these params                         */
    bool training;        /* dropout on                                            */
    ath_rng rng;          /* of dropout                                            */
    uint64_t first_image; /* image i of the micro-batch draws with first_image + i */
    /* The forward's heavy operations may be divided among the threads of a pool, whose other threads then use the work
     * memory of other plans of the same graph: the same bytes come out. NULL: the caller alone. */
    ath_pool *pool;
    ath_plan *const *plan_of; /* one for each thread of the pool, this plan first */
} ath_run;

void ath_plan_forward(ath_plan *p, const ath_run *run);

/* The sum of the micro-batches' parameter gradients, in the order of their numbers, so
 * that it has the same bits for any number of workers: for each operation, micro-batch
 * k waits until k-1 has added. Micro-batches must be started in order, 0 first. */
typedef struct ath_grad_sum ath_grad_sum;
ath_status ath_grad_sum_create(ath_grad_sum **out, const ath_graph *g, ath_err *err);
void ath_grad_sum_destroy(ath_grad_sum *s);
/* Starts a new sum into total (ath_param_total() floats): micro-batch 0 writes it. */
void ath_grad_sum_begin(ath_grad_sum *s, float *total);

/* From the output's gradient: adds the parameters' gradients to `sum` as micro-batch
 * `index` (sum may be NULL when the plan has no ATH_GRAD_PARAMS), and leaves the inputs'
 * gradients if wanted. Must follow ath_plan_forward with the same run. */
void ath_plan_vjp(ath_plan *p, const ath_run *run, ath_grad_sum *sum, int index);

/* Where the time goes. From ath_plan_time on, each operation's is measured and summed over the runs. */
typedef struct ath_op_time {
    const char *op, *name; /* what it is, and the layer's name */
    ath_shape in, out;     /* of one image */
    int kernel, stride;    /* of a convolution, else 0 */
    double flops;          /* of one image's forward */
    double images;         /* run forward */
    double forward, vjp;   /* seconds */
    double sum;            /* seconds waiting for the turn and adding to the gradient's sum */
} ath_op_time;
ath_status ath_plan_time(ath_plan *p, ath_err *err);
/* Of operation i; false when there are no more. Operations that never run have images 0. */
bool ath_plan_time_of(const ath_plan *p, int i, ath_op_time *out);

size_t ath_plan_bytes(const ath_plan *p); /* of the arena */
const char *ath_plan_isa(void);           /* the kernels that plans run on: isa of kernels.h */
/* Multiply-adds times two of one image's forward: convolutions, linear layers, attention. */
double ath_graph_flops(const ath_graph *g);
/* Fills the arena with NaN: a test that passes afterwards reads nothing that was not written. */
void ath_plan_poison(ath_plan *p);
/* One line an operation: name, shape, the place and life of its buffers. */
void ath_plan_dump(const ath_plan *p, FILE *file);

#endif
