/* The list of operations and parameters that builders append to: see graph.h, op.h. */
#include "graph/graph.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "graph/op.h"

enum { NAME_MAX_LEN = 256, SCOPE_MAX = 16 };

struct ath_graph {
    ath_node *node;
    int n_node, room_node;
    ath_param *param;
    int n_param, room_param;
    int32_t *slot; /* (n_slot), by the hash of its name a parameter's index + 1; 0: none */
    size_t n_slot; /* a power of two, at least twice n_param                             */
    size_t total;
    ath_tensor output;
    char scope[NAME_MAX_LEN];
    size_t scope_end[SCOPE_MAX];
    int depth;
    ath_err err;
};

ath_graph *ath_graph_create(void) { return calloc(1, sizeof(ath_graph)); }

void ath_graph_destroy(ath_graph *g) {
    if (!g) return;
    for (int i = 0; i < g->n_node; i++) free((char *)g->node[i].name);
    for (int i = 0; i < g->n_param; i++) free((char *)g->param[i].name);
    free(g->node);
    free(g->param);
    free(g->slot);
    free(g);
}

void ath_graph_fail(ath_graph *g, const char *fmt, ...) {
    if (g->err.code != ATH_OK) return; /* the first mistake is the one to report */
    char text[sizeof g->err.text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (g->depth)
        ath_fail(&g->err, ATH_E_SHAPE, "%.*s: %s", (int)g->scope_end[g->depth - 1], g->scope, text);
    else
        ath_fail(&g->err, ATH_E_SHAPE, "%s", text);
}

bool ath_graph_ok(const ath_graph *g) { return g->err.code == ATH_OK; }

ath_status ath_graph_status(const ath_graph *g, ath_err *err) {
    if (g->err.code != ATH_OK) return ath_fail(err, g->err.code, "%s", g->err.text);
    if (!g->output.id) return ath_fail(err, ATH_E_SHAPE, "the network has no output");
    return ATH_OK;
}

void ath_scope_push(ath_graph *g, const char *fmt, ...) {
    if (g->depth == SCOPE_MAX) {
        ath_graph_fail(g, "scopes nest deeper than %d", SCOPE_MAX);
        return;
    }
    size_t at = g->depth ? g->scope_end[g->depth - 1] : 0;
    if (at && at < NAME_MAX_LEN - 1) g->scope[at++] = '.';
    va_list args;
    va_start(args, fmt);
    const int len = vsnprintf(g->scope + at, NAME_MAX_LEN - at, fmt, args);
    va_end(args);
    size_t end = at + (len > 0 ? (size_t)len : 0);
    if (end >= NAME_MAX_LEN) {
        ath_graph_fail(g, "a scope's name is longer than %d characters", NAME_MAX_LEN);
        end = NAME_MAX_LEN - 1;
    }
    g->scope_end[g->depth++] = end;
}

void ath_scope_pop(ath_graph *g) {
    ATH_ASSERT(g->depth > 0);
    g->depth--;
}

/* "<scope>.<name>[.<part>]" in malloc'ed memory. */
static char *full_name(const ath_graph *g, const char *name, const char *part) {
    const int scope = g->depth ? (int)g->scope_end[g->depth - 1] : 0;
    const size_t room = (size_t)scope + strlen(name) + strlen(part) + 3;
    char *text = malloc(room);
    if (text) snprintf(text, room, "%.*s%s%s%s%s", scope, g->scope, scope ? "." : "", name, *part ? "." : "", part);
    return text;
}

/* Makes room for one more item of `size` bytes; NULL when out of memory. */
static void *make_room(void *array, int count, int *room, size_t size) {
    if (count < *room) return array;
    const int wanted = *room ? *room * 2 : 64;
    void *grown = realloc(array, (size_t)wanted * size);
    if (grown) *room = wanted;
    return grown;
}

ath_node *ath_node_add(ath_graph *g, const ath_op *op, const char *name, ath_shape y, ath_tensor x0, ath_tensor x1,
                       ath_tensor x2) {
    if (!ath_graph_ok(g)) return NULL;
    if (y.h <= 0 || y.w <= 0 || y.c <= 0) {
        ath_graph_fail(g, "%s (%s): its result would have shape (%d,%d,%d)", name, op->name, y.h, y.w, y.c);
        return NULL;
    }
    ath_node *grown = make_room(g->node, g->n_node, &g->room_node, sizeof *g->node);
    char *text = full_name(g, name, "");
    if (grown) g->node = grown;
    if (!grown || !text) {
        free(text);
        ath_fail(&g->err, ATH_E_MEM, "out of memory for the graph");
        return NULL;
    }
    ath_node *node = &g->node[g->n_node++];
    *node = (ath_node){.op = op, .x = {x0.id, x1.id, x2.id}, .y = y, .param = {-1, -1, -1, -1}, .name = text};
    return node;
}

ath_tensor ath_node_tensor(const ath_graph *g, const ath_node *node) {
    return (ath_tensor){node ? (int32_t)(node - g->node) + 1 : 0};
}

/* The place of a name in the table, taken or free: FNV-1a, then the next ones. */
static int32_t *slot_of(const ath_graph *g, const char *name) {
    uint64_t hash = 14695981039346656037u;
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 1099511628211u;
    size_t at = hash & (g->n_slot - 1);
    while (g->slot[at] && strcmp(g->param[g->slot[at] - 1].name, name) != 0) at = (at + 1) & (g->n_slot - 1);
    return &g->slot[at];
}

/* Room in the table for one more; false when out of memory. */
static bool make_slots(ath_graph *g) {
    const size_t wanted = g->n_slot ? 2 * g->n_slot : 256;
    if (2 * ((size_t)g->n_param + 1) <= g->n_slot) return true;
    int32_t *grown = calloc(wanted, sizeof *grown);
    if (!grown) return false;
    free(g->slot);
    g->slot = grown;
    g->n_slot = wanted;
    for (int i = 0; i < g->n_param; i++) *slot_of(g, g->param[i].name) = i + 1;
    return true;
}

int32_t ath_param_add(ath_graph *g, const char *name, const char *part, ath_param_kind kind, int n_dim,
                      const int64_t *dim, double init_scale) {
    if (!ath_graph_ok(g)) return -1;
    ath_param *grown = make_room(g->param, g->n_param, &g->room_param, sizeof *g->param);
    char *text = full_name(g, name, part);
    if (grown) g->param = grown;
    if (!grown || !text || !make_slots(g)) {
        free(text);
        ath_fail(&g->err, ATH_E_MEM, "out of memory for the graph");
        return -1;
    }
    ath_param *p = &g->param[g->n_param];
    *p =
        (ath_param){.name = text, .kind = kind, .n_dim = n_dim, .offset = g->total, .len = 1, .init_scale = init_scale};
    for (int i = 0; i < n_dim; i++) {
        p->dim[i] = dim[i];
        p->len *= (size_t)dim[i];
    }
    p->decay = kind == ATH_P_CONV || kind == ATH_P_LINEAR || kind == ATH_P_TABLE;
    int32_t *slot = slot_of(g, text);
    if (*slot) ath_graph_fail(g, "two parameters are named \"%s\"", text);
    g->total += p->len;
    *slot = ++g->n_param;
    return g->n_param - 1;
}

void ath_output(ath_graph *g, ath_tensor y) {
    if (!ath_graph_ok(g)) return;
    if (g->output.id) ath_graph_fail(g, "the network has two outputs");
    g->output = y;
}

ath_shape ath_shape_of(const ath_graph *g, ath_tensor t) { return t.id ? g->node[t.id - 1].y : (ath_shape){0, 0, 0}; }

int ath_graph_nodes(const ath_graph *g) { return g->n_node; }
const ath_node *ath_graph_node(const ath_graph *g, int i) { return &g->node[i]; }
ath_tensor ath_graph_output(const ath_graph *g) { return g->output; }

size_t ath_param_total(const ath_graph *g) { return g->total; }
int ath_param_count(const ath_graph *g) { return g->n_param; }
const ath_param *ath_param_at(const ath_graph *g, int i) { return &g->param[i]; }

const ath_param *ath_param_find(const ath_graph *g, const char *name) {
    const int32_t found = g->n_slot ? *slot_of(g, name) : 0;
    return found ? &g->param[found - 1] : NULL;
}
