/* Inputs: what the caller writes. They have no forward, by which the plan knows them. */
#include <string.h>
#include "graph/op.h"

static const ath_op input = {.name = "input"};

ath_tensor ath_input(ath_graph *g, const char *name, ath_shape s, bool differentiable) {
    ath_node *node = ath_node_add(g, &input, name, s, (ath_tensor){0}, (ath_tensor){0}, (ath_tensor){0});
    if (node) node->at.input.differentiable = differentiable;
    return ath_node_tensor(g, node);
}

ath_tensor ath_input_find(const ath_graph *g, const char *name) {
    for (int i = 0; i < ath_graph_nodes(g); i++) {
        const ath_node *node = ath_graph_node(g, i);
        if (node->op == &input && strcmp(node->name, name) == 0) return (ath_tensor){i + 1};
    }
    return (ath_tensor){0};
}
