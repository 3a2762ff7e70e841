/* All parameters of a net as one flat array, with names.
 *
 * Weights, gradient, the EMA copy and Adam's moments are arrays of the same length
 * and order, so that an optimizer, an average, a norm or a checkpoint is one loop,
 * and running a plan on the EMA, a teacher or a student is passing another pointer.
 *
 * On disk a parameter has the layout of torch (convolutions OIHW, linear layers
 * [out, in]); in memory c_out is the unit-stride axis (kernels.h). */
#ifndef ATH_GRAPH_PARAMS_H
#define ATH_GRAPH_PARAMS_H
#include "base/rng.h"
#include "graph/graph.h"

typedef enum ath_param_kind { ATH_P_CONV, ATH_P_LINEAR, ATH_P_TABLE, ATH_P_BIAS, ATH_P_GAIN } ath_param_kind;

typedef struct ath_param {
    const char *name;
    ath_param_kind kind;
    int n_dim;
    int64_t dim[4];     /* on disk */
    size_t offset, len; /* in the flat array, floats */
    bool decay;         /* weight decay applies: weights and tables, not biases and gains */
    double init_scale;  /* of ath_param_init; 0 means zeros */
} ath_param;

size_t ath_param_total(const ath_graph *g); /* floats */
int ath_param_count(const ath_graph *g);
const ath_param *ath_param_at(const ath_graph *g, int i);              /* owned by the graph */
const ath_param *ath_param_find(const ath_graph *g, const char *name); /* NULL if there is none */

/* DDPM's initialisation (Ho et al. 2020, official code): weights uniform with variance
 * scale / ((fan_in + fan_out)/2), biases 0, gains 1, tables N(0,1) as torch.nn.Embedding. */
void ath_param_init(const ath_graph *g, ath_rng rng, float *params);

/* One parameter between torch's layout and ours; len floats each, must not overlap. */
void ath_param_from_disk(const ath_param *p, const float *disk, float *memory);
void ath_param_to_disk(const ath_param *p, const float *memory, float *disk);

#endif
