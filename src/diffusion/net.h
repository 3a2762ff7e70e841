/* Networks: one file in nets/ each, which writes its graph down and says what options
 * it has. A net sees no noise schedule and no sampler. */
#ifndef ATH_DIFFUSION_NET_H
#define ATH_DIFFUSION_NET_H
#include "base/option.h"
#include "graph/graph.h"

/* What every net is given. x is the noisy image, t its timestep (1,1,1), label a class
 * number (1,1,1) or {0} for a net without classes. Skip scales are asked for by the net with
 * ath_input(g, "skip_scales", (1,1,K), true), scale k for the k-th skip connection from
 * the shallowest; the caller fills them with 1 unless told otherwise. */
typedef struct ath_net_io {
    ath_tensor x, t, label;
} ath_net_io;

/* What a user asks of any net, in words that do not depend on which. 0 and "" mean the net's own choice. */
typedef struct ath_net_request {
    int image_size, channels, classes; /* classes: rows of the label table, 0 for none */
    int base_channels, res_blocks, norm_groups, time_embedding;
    ath_ints channel_mults, attention; /* attention: resolutions; n = -1 means not given */
    double dropout;
} ath_net_request;

typedef struct ath_net {
    const char *name, *summary, *paper;
    const char *class_name; /* "_class_name" of config.json */
    const ath_option *options;
    int n_options; /* config.json's keys are the options' names */
    size_t config_size;
    /* Fills the config (already at its defaults) from what the user asked for. */
    ath_status (*configure)(const ath_net_request *request, void *config, ath_err *err);
    /* Sets what a config.json means by keys that it lacks, where that is not the options' default. NULL: nothing. */
    void (*absent_keys)(void *config);
    /* Image shape and number of label rows that this config is for. */
    void (*describe)(const void *config, ath_shape *image, int *classes);
    /* Writes the resolutions that request->attention may name, the largest first, at most ATH_MAX_INTS; returns how many.
     * NULL: a net without attention. A preset names what its own image size has, so that configure lets others be. */
    int (*resolutions)(const ath_net_request *request, int *side);
    /* Returns F, of the image's shape. */
    ath_tensor (*build)(ath_graph *g, ath_net_io in, const void *config);
} ath_net;

const ath_net *const *ath_net_all(int *n);
const ath_net *ath_net_find(const char *name); /* NULL if there is none */

#endif
