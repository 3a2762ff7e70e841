/* Finds convolutions and what surrounds them: see fuse.h. */
#include "graph/fuse.h"
#include <stdlib.h>
#include <string.h>
#include "graph/op.h"

/* What is known of one node of the graph as it was written. Indices of nodes, -1 for none. */
typedef struct seen {
    int readers, reader; /* how many read its tensor, and the last of them */
    bool gone;           /* part of another node's operation */
    /* of a convolution */
    int silu, scale_shift, norm, upsample, source; /* what comes before; whose tensor it reads in the end */
    int add_vector, add, residual;                 /* what comes after */
    /* of the last node of what comes after */
    int conv;
} seen;

typedef struct fusion {
    const ath_graph *g;
    int n;
    seen *node;
} fusion;

static const ath_node *node_at(const fusion *f, int i) { return ath_graph_node(f->g, i); }
static bool is(const fusion *f, int i, const char *op) { return i >= 0 && strcmp(node_at(f, i)->op->name, op) == 0; }
/* The node that makes node i's input j. */
static int maker(const fusion *f, int i, int j) { return node_at(f, i)->x[j] - 1; }
static bool read_once(const fusion *f, int i) { return i >= 0 && f->node[i].readers == 1; }

static void count_readers(fusion *f) {
    for (int i = 0; i < f->n; i++)
        for (int j = 0; j < ATH_MAX_IN; j++) {
            const int from = maker(f, i, j);
            if (from < 0) continue;
            f->node[from].readers++;
            f->node[from].reader = i;
        }
    f->node[ath_graph_output(f->g).id - 1].readers += 2; /* the caller: never only one */
}

/* group_norm -> [scale_shift ->] silu, or upsample2, before convolution i. */
static void look_before(fusion *f, int i) {
    seen *conv = &f->node[i];
    conv->silu = conv->scale_shift = conv->norm = conv->upsample = -1;
    conv->source = maker(f, i, 0);
    if (is(f, conv->source, "upsample2") && read_once(f, conv->source)) {
        conv->upsample = conv->source;
        conv->source = maker(f, conv->upsample, 0);
        f->node[conv->upsample].gone = true;
        return;
    }
    int silu = conv->source, shift = -1;
    if (!is(f, silu, "silu") || !read_once(f, silu)) return;
    int norm = maker(f, silu, 0);
    if (is(f, norm, "scale_shift") && read_once(f, norm)) {
        shift = norm;
        norm = maker(f, shift, 0);
    }
    if (!is(f, norm, "group_norm") || !read_once(f, norm)) return;
    /* One pixel that is scaled by itself: the vjp gives the scale its gradient first, and is told to give it last. */
    const int source = maker(f, norm, 0);
    if (shift >= 0 && (maker(f, shift, 1) == source || maker(f, shift, 2) == source)) return;
    conv->silu = silu;
    conv->scale_shift = shift;
    conv->norm = norm;
    conv->source = source;
    f->node[silu].gone = f->node[norm].gone = true;
    if (shift >= 0) f->node[shift].gone = true;
}

/* -> [+ vector] -> [+ residual] after convolution i. */
static void look_after(fusion *f, int i) {
    seen *conv = &f->node[i];
    int last = i;
    conv->add_vector = conv->add = conv->residual = -1;
    int next = read_once(f, last) ? f->node[last].reader : -1;
    if (is(f, next, "add_vector") && maker(f, next, 0) == last) {
        conv->add_vector = next;
        last = next;
        next = read_once(f, last) ? f->node[last].reader : -1;
    }
    if (is(f, next, "add") && f->node[next].conv < 0) {
        conv->add = next;
        conv->residual = maker(f, next, maker(f, next, 0) == last);
        last = next;
    }
    if (last != i) f->node[i].gone = true;
    if (conv->add_vector >= 0 && last != conv->add_vector) f->node[conv->add_vector].gone = true;
    f->node[last].conv = i;
}

static bool takes_parts(const fusion *f, int i) {
    const ath_node *node = node_at(f, i);
    return f->node[i].norm >= 0 || (f->node[i].upsample < 0 && node->at.conv.kernel == 1 && node->at.conv.stride == 1 &&
                                    node->at.conv.pad_before == 0 && node->at.conv.pad_after == 0);
}

/* Concatenations all of whose readers take the parts. */
static void find_concats(fusion *f) {
    for (int i = 0; i < f->n; i++) {
        if (!is(f, i, "concat")) continue;
        const int scales = maker(f, i, 2);
        if (scales >= 0 && node_at(f, scales)->op->forward) continue; /* not an input: they may have parameters */
        int taken = 0;
        for (int j = i + 1; j < f->n; j++)
            taken += node_at(f, j)->op->is_conv && f->node[j].source == i && takes_parts(f, j);
        f->node[i].gone = taken == f->node[i].readers;
    }
}

/* A copy of a node with its inputs renamed; NULL when out of memory. */
static ath_node *copy_node(ath_graph *to, const ath_node *node, const int32_t *map) {
    const ath_tensor none = {0};
    ath_node *copy = ath_node_add(to, node->op, node->name, node->y, none, none, none);
    if (!copy) return NULL;
    const char *name = copy->name;
    *copy = *node;
    copy->name = name;
    for (int j = 0; j < ATH_MAX_IN; j++) copy->x[j] = map[node->x[j]];
    return copy;
}

/* Convolution i with all that was found around it. */
static ath_node *copy_conv(const fusion *f, ath_graph *to, int i, const int32_t *map) {
    const seen *conv = &f->node[i];
    ath_node *copy = copy_node(to, node_at(f, i), map);
    if (!copy) return NULL;
    copy->x[CONV_X] = map[conv->source + 1];
    if (is(f, conv->source, "concat") && f->node[conv->source].gone) {
        const ath_node *concat = node_at(f, conv->source);
        copy->x[CONV_X] = map[concat->x[0]];
        copy->x[CONV_X2] = map[concat->x[1]];
        copy->x[CONV_X2_SCALES] = map[concat->x[2]];
        copy->at.conv.index = concat->at.scaled.index;
    }
    copy->at.conv.upsampled = conv->upsample >= 0;
    if (conv->norm >= 0) {
        const ath_node *norm = node_at(f, conv->norm);
        copy->at.conv.groups = norm->at.norm.groups;
        copy->at.conv.eps = norm->at.norm.eps;
        copy->at.conv.silu = true;
        copy->param[CONV_GAMMA] = norm->param[0];
        copy->param[CONV_BETA] = norm->param[1];
    }
    if (conv->scale_shift >= 0) {
        copy->x[CONV_SCALE] = map[node_at(f, conv->scale_shift)->x[1]];
        copy->x[CONV_SHIFT] = map[node_at(f, conv->scale_shift)->x[2]];
    }
    if (conv->add_vector >= 0) copy->x[CONV_VECTOR] = map[node_at(f, conv->add_vector)->x[1]];
    if (conv->residual >= 0) copy->x[CONV_RESIDUAL] = map[conv->residual + 1];
    return copy;
}

static void look(fusion *f, bool inputs) {
    count_readers(f);
    for (int i = 0; i < f->n; i++) {
        if (!node_at(f, i)->op->is_conv) continue;
        look_before(f, i);
        look_after(f, i);
    }
    if (!inputs) find_concats(f);
}

static ath_graph *make(const ath_graph *g, bool fuse, bool inputs, int32_t *map) {
    fusion f = {.g = g, .n = ath_graph_nodes(g)};
    ath_graph *to = ath_graph_create();
    f.node = calloc((size_t)f.n + 1, sizeof *f.node);
    bool ok = to && f.node;
    for (int i = 0; ok && i < f.n; i++) f.node[i].conv = -1;
    if (ok && fuse) look(&f, inputs);
    map[0] = 0;
    for (int i = 0; ok && i < f.n; i++) {
        map[i + 1] = 0;
        if (f.node[i].gone) continue;
        const ath_node *copy =
            f.node[i].conv >= 0 ? copy_conv(&f, to, f.node[i].conv, map) : copy_node(to, node_at(&f, i), map);
        ok = copy != NULL;
        if (ok) map[i + 1] = ath_node_tensor(to, copy).id;
    }
    if (ok) ath_output(to, (ath_tensor){map[ath_graph_output(g).id]});
    free(f.node);
    if (ok) return to;
    ath_graph_destroy(to);
    return NULL;
}

ath_graph *ath_graph_fuse(const ath_graph *g, bool inputs, int32_t *map) { return make(g, true, inputs, map); }
ath_graph *ath_graph_copy(const ath_graph *g, int32_t *map) { return make(g, false, false, map); }
