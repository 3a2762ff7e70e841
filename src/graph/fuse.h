/* Puts together what runs better as one operation. Not a public header. */
#ifndef ATH_GRAPH_FUSE_H
#define ATH_GRAPH_FUSE_H
#include "graph/graph.h"

/* A new graph that computes what g does, with
 *
 *     [concat ->] group_norm -> [scale_shift ->] silu -> conv2d -> [+ vector] -> [+ residual]
 *     concat -> 1x1 conv2d, linear
 *     upsample2 -> conv2d
 *
 * and the parts of these that are there as one convolution each (ops/conv2d.c), where nobody else reads what lies
 * between. A concat goes when all its readers take the two parts. `inputs`: the gradients of inputs are wanted, for which
 * a concat stays, since a scale of its second part has one. Parameters are those of g, by the same indices.
 * map (nodes of g + 1) receives for each tensor id of g its id in the new graph, 0 where there is none. NULL
 * when out of memory; ath_graph_destroy. */
ath_graph *ath_graph_fuse(const ath_graph *g, bool inputs, int32_t *map);
/* The same with nothing put together. */
ath_graph *ath_graph_copy(const ath_graph *g, int32_t *map);

#endif
