/* Compiles a graph into a schedule with planned memory, and runs it: see plan.h. */
#define _POSIX_C_SOURCE 200809L
#include "graph/plan.h"
#include <math.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/pages.h"
#include "graph/fuse.h"
#include "graph/memory.h"
#include "graph/op.h"

enum { NO_BUFFER = -1 };
static const size_t not_packed = SIZE_MAX;

/* What the plan decided about one operation. */
typedef struct node_plan {
    bool reaches_output;                                                 /* its value counts                      */
    bool needs_grad;                                                     /* somebody wants what flows through it  */
    bool has_vjp;                                                        /* its vjp is scheduled                  */
    bool acc[ATH_MAX_IN];                                                /* its vjp adds to dx[j], does not write */
    int value, grad, aux, moments, forward_scratch, vjp_scratch, dparam; /* buffers */
    size_t packed_forward, packed_vjp;                                   /* offsets */
} node_plan;

struct ath_plan {
    const ath_graph *g; /* as it was written: whose tensors callers name, and whose parameters these are */
    ath_graph *fused;   /* the operations that run */
    int32_t *map;       /* from tensor ids of g to those of fused */
    const ath_kernels *k;
    int n, n_node, n_buffer;
    unsigned want;
    node_plan *node;
    ath_buffer *buffer;
    float *arena;
    size_t arena_floats, packed_floats;
    double (*seconds)[3]; /* of each operation: forward, vjp, sum; NULL when nobody asked */
    double images;
};

static int forward_step(int i) { return i; }
static int vjp_step(const ath_plan *p, int i) { return 2 * p->n_node - i; }

static int add_buffer(ath_plan *p, size_t size, int first, int last) {
    if (size == 0) return NO_BUFFER;
    p->buffer[p->n_buffer] = (ath_buffer){.size = size, .first = first, .last = last};
    return p->n_buffer++;
}

static void extend(ath_plan *p, int buffer, int step) {
    if (buffer == NO_BUFFER) return;
    ath_buffer *b = &p->buffer[buffer];
    if (step > b->last) b->last = step;
    if (step < b->first) b->first = step;
}

static bool is_input(const ath_node *node) { return node->op->forward == NULL; }

/* Who needs a gradient, whose vjp runs, and which edges add rather than write. */
static void trace_gradients(ath_plan *p) {
    for (int i = 0; i < p->n_node; i++) {
        const ath_node *node = ath_graph_node(p->fused, i);
        node_plan *np = &p->node[i];
        if (is_input(node))
            np->needs_grad = (p->want & ATH_GRAD_INPUTS) && node->at.input.differentiable;
        else if (node->op->vjp) {
            np->needs_grad = (p->want & ATH_GRAD_PARAMS) && node->param[0] >= 0;
            for (int j = 0; j < ATH_MAX_IN; j++)
                if (node->x[j] && p->node[node->x[j] - 1].needs_grad) np->needs_grad = true;
        }
    }
    p->node[ath_graph_output(p->fused).id - 1].reaches_output = true;
    for (int i = p->n_node - 1; i >= 0; i--) {
        const ath_node *node = ath_graph_node(p->fused, i);
        node_plan *np = &p->node[i];
        if (!np->reaches_output) continue;
        np->has_vjp = np->needs_grad && !is_input(node);
        for (int j = 0; j < ATH_MAX_IN; j++)
            if (node->x[j]) p->node[node->x[j] - 1].reaches_output = true;
    }
}

/* Whether the gradient of input j of operation i may live where that of its result does, since it is the same. */
static bool passes_on(const ath_plan *p, int i, int j) {
    const ath_node *node = ath_graph_node(p->fused, i);
    if (j == 0 || j != node->op->passes_on || (p->want & ATH_UNSHARED)) return false;
    for (int k = 0; k < ATH_MAX_IN; k++)
        if (k != j && node->x[k] == node->x[j]) return false;
    return i != ath_graph_output(p->fused).id - 1; /* that one is the caller's */
}

static bool takes_moments(const ath_node *node, int j) {
    return node->x[j] && node->op->takes_moments && node->op->takes_moments(node, j);
}

/* If operation i reads the moments of its input j and the input's maker can tell them, they stand until then. */
static void ask_for_moments(ath_plan *p, int i, int j) {
    const ath_node *node = ath_graph_node(p->fused, i);
    if ((p->want & ATH_UNFUSED) || !takes_moments(node, j)) return;
    const int maker = node->x[j] - 1, made = forward_step(maker);
    const ath_node *from = ath_graph_node(p->fused, maker);
    if (!from->op->gives_moments || !from->op->gives_moments(p->fused, from, p->k)) return;
    node_plan *np = &p->node[maker];
    const size_t doubles = 2 * (size_t)p->n * (size_t)from->y.c;
    if (np->moments == NO_BUFFER) np->moments = add_buffer(p, doubles * sizeof(double) / sizeof(float), made, made);
    extend(p, np->moments, forward_step(i));
}

/* Buffers for everything, with the steps between which each must stand. */
static void find_lifetimes(ath_plan *p) {
    const size_t n = (size_t)p->n;
    const int output = ath_graph_output(p->fused).id - 1, hand_over = p->n_node;
    for (int i = 0; i < p->n_node; i++) {
        const ath_node *node = ath_graph_node(p->fused, i);
        const ath_op *op = node->op;
        node_plan *np = &p->node[i];
        np->value = np->grad = np->aux = np->moments = np->forward_scratch = np->vjp_scratch = np->dparam = NO_BUFFER;
        np->packed_forward = np->packed_vjp = not_packed;
        if (!np->reaches_output && !is_input(node)) continue;
        const int now = forward_step(i);
        for (int j = 0; j < ATH_MAX_IN; j++) {
            if (!node->x[j]) continue;
            extend(p, p->node[node->x[j] - 1].value, now);
            ask_for_moments(p, i, j);
        }
        np->value = add_buffer(p, n * ath_shape_len(node->y), is_input(node) ? 0 : now, now);
        if (op->aux_floats) np->aux = add_buffer(p, op->aux_floats(node, p->n), now, now);
        if (op->scratch_floats)
            np->forward_scratch = add_buffer(p, op->scratch_floats(p->fused, node, p->k, p->n, false), now, now);
    }
    extend(p, p->node[output].value, hand_over);
    if (!p->node[output].needs_grad) return;
    p->node[output].grad = add_buffer(p, n * ath_shape_len(ath_graph_node(p->fused, output)->y), hand_over, hand_over);
    for (int i = p->n_node - 1; i >= 0; i--) {
        const ath_node *node = ath_graph_node(p->fused, i);
        const ath_op *op = node->op;
        node_plan *np = &p->node[i];
        const int now = vjp_step(p, i);
        if (is_input(node)) extend(p, np->grad, 2 * p->n_node); /* the caller reads it at the end */
        if (!np->has_vjp) continue;
        extend(p, np->grad, now);
        for (int j = 0; j < ATH_MAX_IN; j++) {
            if (!node->x[j]) continue;
            node_plan *from = &p->node[node->x[j] - 1];
            if (op->vjp_reads & ((unsigned)ATH_READS_X0 << j)) extend(p, from->value, now);
            if (!from->needs_grad) continue;
            np->acc[j] = from->grad != NO_BUFFER;
            if (from->grad != NO_BUFFER) continue;
            if (passes_on(p, i, j))
                from->grad = np->grad;
            else
                from->grad = add_buffer(p, n * ath_shape_len(ath_graph_node(p->fused, node->x[j] - 1)->y), now, now);
        }
        if (op->vjp_reads & ATH_READS_Y) extend(p, np->value, now);
        if (op->vjp_reads & ATH_READS_AUX) extend(p, np->aux, now);
        if (op->scratch_floats)
            np->vjp_scratch = add_buffer(p, op->scratch_floats(p->fused, node, p->k, p->n, true), now, now);
        size_t len = 0;
        for (int j = 0; (p->want & ATH_GRAD_PARAMS) && j < ATH_MAX_PARAM; j++)
            if (node->param[j] >= 0) len += ath_param_at(p->g, node->param[j])->len;
        np->dparam = add_buffer(p, len, now, now);
    }
}

/* Lets y take over its first input's memory where the operation allows it and nobody
 * reads that input later. The merged buffer keeps the earlier one's place in the list. */
static void reuse_in_place(ath_plan *p) {
    for (int i = 0; i < p->n_node; i++) {
        const ath_node *node = ath_graph_node(p->fused, i);
        node_plan *np = &p->node[i];
        if (!node->op->in_place || np->value == NO_BUFFER || is_input(ath_graph_node(p->fused, node->x[0] - 1)))
            continue;
        const int old = p->node[node->x[0] - 1].value;
        bool read_twice = false; /* by this very operation */
        for (int j = 1; j < ATH_MAX_IN; j++) read_twice |= node->x[j] == node->x[0];
        if (p->buffer[old].last != i || read_twice || p->buffer[old].size != p->buffer[np->value].size) continue;
        p->buffer[old].last = p->buffer[np->value].last;
        p->buffer[np->value].size = 0;
        np->value = old;
    }
}

static void find_packed(ath_plan *p) {
    for (int i = 0; i < p->n_node; i++) {
        const ath_node *node = ath_graph_node(p->fused, i);
        node_plan *np = &p->node[i];
        if (!node->op->pack_floats || !np->reaches_output) continue;
        const size_t forward = node->op->pack_floats(p->fused, node, p->k, false);
        if (forward) {
            np->packed_forward = p->packed_floats;
            p->packed_floats += (forward + 15) / 16 * 16;
        }
        bool wants_dx = np->has_vjp && node->param[CONV_GAMMA] >= 0; /* the norm before it does, whatever its input */
        for (int j = 0; np->has_vjp && j < ATH_MAX_IN; j++)
            if (node->x[j]) wants_dx |= p->node[node->x[j] - 1].needs_grad;
        const size_t vjp = wants_dx ? node->op->pack_floats(p->fused, node, p->k, true) : 0;
        if (vjp) {
            np->packed_vjp = p->packed_floats;
            p->packed_floats += (vjp + 15) / 16 * 16;
        }
    }
}

ath_status ath_plan_compile(ath_plan **out, const ath_graph *g, int n, unsigned want, ath_err *err) {
    ATH_TRY(ath_graph_status(g, err));
    if (n < 1) return ath_fail(err, ATH_E_ARG, "a plan for %d images: expected at least 1", n);
    const char *mode = getenv("ATH_PLAN"), *fuse = getenv("ATH_FUSE");
    if (mode && strcmp(mode, "unshared") == 0) want |= ATH_UNSHARED;
    if (fuse && strcmp(fuse, "0") == 0) want |= ATH_UNFUSED;
    ath_plan *p = calloc(1, sizeof *p);
    if (!p) return ath_fail(err, ATH_E_MEM, "out of memory for the plan");
    p->g = g;
    p->k = ath_kernels_best();
    p->n = n;
    p->want = want;
    p->map = calloc((size_t)ath_graph_nodes(g) + 1, sizeof *p->map);
    if (p->map)
        p->fused = want & ATH_UNFUSED ? ath_graph_copy(g, p->map) : ath_graph_fuse(g, want & ATH_GRAD_INPUTS, p->map);
    if (p->fused) {
        p->n_node = ath_graph_nodes(p->fused);
        p->node = calloc((size_t)p->n_node, sizeof *p->node);
        p->buffer = calloc((size_t)p->n_node * 7 + 1, sizeof *p->buffer);
    }
    ath_status status = p->node && p->buffer ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory for the plan");
    if (status == ATH_OK) {
        trace_gradients(p);
        find_lifetimes(p);
        if (!(want & ATH_UNSHARED)) reuse_in_place(p);
        find_packed(p);
        status = ath_memory_place(p->buffer, p->n_buffer, !(want & ATH_UNSHARED), &p->arena_floats, err);
    }
    if (status == ATH_OK) {
        const size_t bytes = p->arena_floats * sizeof(float);
        p->arena = ath_pages(bytes);
        if (!p->arena)
            status = ath_fail(err, ATH_E_MEM, "out of memory: activations of %d images need %zu MiB", n, bytes >> 20);
    }
    if (status != ATH_OK) {
        ath_plan_destroy(p);
        return status;
    }
    *out = p;
    return ATH_OK;
}

void ath_plan_destroy(ath_plan *p) {
    if (!p) return;
    ath_graph_destroy(p->fused);
    free(p->map);
    free(p->node);
    free(p->buffer);
    free(p->arena);
    free(p->seconds);
    free(p);
}

static float *at_buffer(const ath_plan *p, int buffer) {
    return buffer == NO_BUFFER ? NULL : p->arena + p->buffer[buffer].offset;
}

static double *doubles_at(const ath_plan *p, int buffer) { return (double *)(void *)at_buffer(p, buffer); }

/* An operation that needs none still adds offsets to what it is given. */
static float *scratch_at(const ath_plan *p, int buffer) {
    return buffer == NO_BUFFER ? p->arena : at_buffer(p, buffer);
}

float *ath_plan_value(ath_plan *p, ath_tensor t) {
    return p->map[t.id] ? at_buffer(p, p->node[p->map[t.id] - 1].value) : NULL;
}
float *ath_plan_grad(ath_plan *p, ath_tensor t) {
    return p->map[t.id] ? at_buffer(p, p->node[p->map[t.id] - 1].grad) : NULL;
}

size_t ath_plan_packed_floats(const ath_plan *p) { return p->packed_floats; }

void ath_plan_pack(const ath_plan *p, const float *params, float *packed, int part, int parts) {
    for (int i = part; i < p->n_node; i += parts) {
        const ath_node *node = ath_graph_node(p->fused, i);
        const node_plan *np = &p->node[i];
        if (node->param[0] < 0) continue;
        const float *w = params + ath_param_at(p->g, node->param[0])->offset;
        if (np->packed_forward != not_packed)
            node->op->pack(p->fused, node, p->k, false, w, packed + np->packed_forward);
        if (np->packed_vjp != not_packed) node->op->pack(p->fused, node, p->k, true, w, packed + np->packed_vjp);
    }
}

/* What forward and vjp of one operation both need. */
static ath_call make_call(const ath_plan *p, const ath_run *run, int i) {
    const ath_node *node = ath_graph_node(p->fused, i);
    const node_plan *np = &p->node[i];
    ath_call call = {.node = node,
                     .k = p->k,
                     .n = run->n,
                     .ys = node->y,
                     .y = at_buffer(p, np->value),
                     .aux = at_buffer(p, np->aux),
                     .training = run->training,
                     .rng = run->rng,
                     .first_image = run->first_image};
    for (int j = 0; j < ATH_MAX_IN; j++) {
        if (!node->x[j]) continue;
        call.x[j] = at_buffer(p, p->node[node->x[j] - 1].value);
        call.xs[j] = ath_graph_node(p->fused, node->x[j] - 1)->y;
    }
    for (int j = 0; j < ATH_MAX_PARAM; j++)
        if (node->param[j] >= 0) call.p[j] = run->params + ath_param_at(p->g, node->param[j])->offset;
    call.packed_forward = np->packed_forward == not_packed ? call.p[0] : run->packed + np->packed_forward;
    call.packed_vjp = np->packed_vjp == not_packed ? call.p[0] : run->packed + np->packed_vjp;
    return call;
}

/* Adds the time since *since to what part `part` of operation i took, and starts the next. */
static void take_time(ath_plan *p, int i, int part, double *since) {
    if (!p->seconds) return;
    const double now = ath_clock();
    p->seconds[i][part] += now - *since;
    *since = now;
}

void ath_plan_forward(ath_plan *p, const ath_run *run) {
    ATH_ASSERT(run->n >= 1 && run->n <= p->n);
    enum { MOST_THREADS = 64 }; /* more than one image has parts for: such pools leave it alone */
    float *scratch_of[MOST_THREADS];
    const bool shared = run->pool && ath_pool_threads(run->pool) <= MOST_THREADS;
    double since = p->seconds ? ath_clock() : 0;
    p->images += run->n;
    for (int i = 0; i < p->n_node; i++) {
        const ath_node *node = ath_graph_node(p->fused, i);
        if (is_input(node) || !p->node[i].reaches_output) continue;
        ath_call call = make_call(p, run, i);
        call.scratch = scratch_at(p, p->node[i].forward_scratch);
        call.moments = doubles_at(p, p->node[i].moments);
        for (int j = 0; j < ATH_MAX_IN; j++)
            if (takes_moments(node, j)) call.x_moments[j] = doubles_at(p, p->node[node->x[j] - 1].moments);
        if (shared) {
            for (int j = 0; j < ath_pool_threads(run->pool); j++)
                scratch_of[j] = scratch_at(run->plan_of[j], p->node[i].forward_scratch);
            call.pool = run->pool;
            call.scratch_of = scratch_of;
        }
        node->op->forward(&call);
        take_time(p, i, 0, &since);
    }
}

struct ath_grad_sum {
    const ath_graph *g;
    float *total;
    atomic_int *turn; /* one an operation: the micro-batch that adds next */
};

ath_status ath_grad_sum_create(ath_grad_sum **out, const ath_graph *g, ath_err *err) {
    ath_grad_sum *s = calloc(1, sizeof *s);
    atomic_int *turn = calloc((size_t)ath_graph_nodes(g) + 1, sizeof *turn);
    if (!s || !turn) {
        free(s);
        free(turn);
        return ath_fail(err, ATH_E_MEM, "out of memory for the gradient");
    }
    s->g = g;
    s->turn = turn;
    *out = s;
    return ATH_OK;
}

void ath_grad_sum_destroy(ath_grad_sum *s) {
    if (!s) return;
    free(s->turn);
    free(s);
}

void ath_grad_sum_begin(ath_grad_sum *s, float *total) {
    s->total = total;
    for (int i = 0; i < ath_graph_nodes(s->g); i++) atomic_store(&s->turn[i], 0);
}

/* Waits until it is micro-batch `index`'s turn to add the gradients of operation i. */
static void wait_for_turn(ath_grad_sum *s, int i, int index) {
    for (int spin = 0; atomic_load_explicit(&s->turn[i], memory_order_acquire) != index; spin++)
        if (spin > 1000) sched_yield();
}

/* Where the vjp of operation i puts its parameters' gradients: into the sum itself when it is this micro-batch's turn
 * already, else into memory of its own. Returns whether it is the sum. */
static bool place_params(const ath_plan *p, int i, ath_grad_sum *sum, int index, ath_call *call) {
    const ath_node *node = ath_graph_node(p->fused, i);
    float *own = at_buffer(p, p->node[i].dparam);
    if (!own) return false;
    const bool direct =
        sum &&
        (index == 0 || (node->op->adds_params && atomic_load_explicit(&sum->turn[i], memory_order_acquire) == index));
    call->add_params = direct && index > 0;
    for (int j = 0; j < ATH_MAX_PARAM; j++) {
        if (node->param[j] < 0) continue;
        const ath_param *param = ath_param_at(p->g, node->param[j]);
        call->dp[j] = direct ? sum->total + param->offset : own;
        if (!direct) own += param->len;
    }
    return direct;
}

static void add_in_turn(const ath_plan *p, int i, ath_grad_sum *sum, int index, const ath_call *call) {
    const ath_node *node = ath_graph_node(p->fused, i);
    wait_for_turn(sum, i, index);
    for (int j = 0; j < ATH_MAX_PARAM; j++) {
        if (node->param[j] < 0) continue;
        const ath_param *param = ath_param_at(p->g, node->param[j]);
        p->k->add(param->len, sum->total + param->offset, call->dp[j], sum->total + param->offset);
    }
}

void ath_plan_vjp(ath_plan *p, const ath_run *run, ath_grad_sum *sum, int index) {
    double since = p->seconds ? ath_clock() : 0;
    for (int i = p->n_node - 1; i >= 0; i--) {
        const node_plan *np = &p->node[i];
        if (!np->has_vjp) continue;
        const ath_node *node = ath_graph_node(p->fused, i);
        ath_call call = make_call(p, run, i);
        call.dy = at_buffer(p, np->grad);
        call.scratch = scratch_at(p, np->vjp_scratch);
        for (int j = 0; j < ATH_MAX_IN; j++) {
            if (!node->x[j] || !p->node[node->x[j] - 1].needs_grad) continue;
            call.dx[j] = at_buffer(p, p->node[node->x[j] - 1].grad);
            call.acc[j] = np->acc[j];
        }
        const bool direct = place_params(p, i, sum, index, &call);
        node->op->vjp(&call);
        take_time(p, i, 1, &since);
        if (!call.dp[0] || !sum) continue;
        if (!direct) add_in_turn(p, i, sum, index, &call);
        atomic_store_explicit(&sum->turn[i], index + 1, memory_order_release);
        take_time(p, i, 2, &since);
    }
}

ath_status ath_plan_time(ath_plan *p, ath_err *err) {
    if (!p->seconds) p->seconds = calloc((size_t)p->n_node, sizeof *p->seconds);
    if (!p->seconds) return ath_fail(err, ATH_E_MEM, "out of memory for the plan's times");
    memset(p->seconds, 0, (size_t)p->n_node * sizeof *p->seconds);
    p->images = 0;
    return ATH_OK;
}

bool ath_plan_time_of(const ath_plan *p, int i, ath_op_time *out) {
    if (i >= p->n_node) return false;
    const ath_node *node = ath_graph_node(p->fused, i);
    *out = (ath_op_time){.op = node->op->name, .name = node->name, .out = node->y};
    if (node->x[0]) out->in = ath_graph_node(p->fused, node->x[0] - 1)->y;
    if (node->op->is_conv && node->x[CONV_X2]) out->in.c += ath_graph_node(p->fused, node->x[CONV_X2] - 1)->y.c;
    if (!p->seconds || is_input(node) || !p->node[i].reaches_output) return true;
    out->kernel = node->op->is_conv ? node->at.conv.kernel : 0;
    out->stride = node->op->is_conv ? node->at.conv.stride : 0;
    out->flops = node->op->flops ? node->op->flops(p->fused, node) : 0;
    out->images = p->images;
    out->forward = p->seconds[i][0];
    out->vjp = p->seconds[i][1];
    out->sum = p->seconds[i][2];
    return true;
}

const char *ath_plan_isa(void) { return ath_kernels_best()->isa; }

size_t ath_plan_bytes(const ath_plan *p) { return p->arena_floats * sizeof(float); }

double ath_graph_flops(const ath_graph *g) {
    double total = 0;
    for (int i = 0; i < ath_graph_nodes(g); i++) {
        const ath_node *node = ath_graph_node(g, i);
        if (node->op->flops) total += node->op->flops(g, node);
    }
    return total;
}

void ath_plan_poison(ath_plan *p) {
    for (size_t i = 0; i < p->arena_floats; i++) p->arena[i] = NAN;
}

static void dump_buffer(const ath_plan *p, FILE *file, const char *what, int buffer) {
    if (buffer == NO_BUFFER) return;
    const ath_buffer *b = &p->buffer[buffer];
    fprintf(file, "  %s %zu+%zu [%d,%d]", what, b->offset, b->size, b->first, b->last);
}

void ath_plan_dump(const ath_plan *p, FILE *file) {
    fprintf(file, "plan of %d operations for %d images: %.2f MiB, packed weights %.2f MiB\n", p->n_node, p->n,
            (double)ath_plan_bytes(p) / 1048576, (double)p->packed_floats * sizeof(float) / 1048576);
    for (int i = 0; i < p->n_node; i++) {
        const ath_node *node = ath_graph_node(p->fused, i);
        const node_plan *np = &p->node[i];
        fprintf(file, "%4d %-18s %-52s (%d,%d,%d)%s", i, node->op->name, node->name, node->y.h, node->y.w, node->y.c,
                np->has_vjp ? " vjp" : "");
        dump_buffer(p, file, "value", np->value);
        dump_buffer(p, file, "grad", np->grad);
        dump_buffer(p, file, "aux", np->aux);
        dump_buffer(p, file, "moments", np->moments);
        dump_buffer(p, file, "scratch", np->forward_scratch);
        dump_buffer(p, file, "vjp-scratch", np->vjp_scratch);
        dump_buffer(p, file, "dparam", np->dparam);
        fputc('\n', file);
    }
}
