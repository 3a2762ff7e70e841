/* A model: a network with its weights, and the diffusion process it was trained for.
 * On disk it is a diffusers pipeline directory:
 *   model_index.json
 *   unet/config.json  unet/diffusion_pytorch_model.safetensors
 *   scheduler/scheduler_config.json      (of EDM's process not in the index: diffusers' pipelines would draw wrong pictures)
 * A bare network directory (config.json and its weights side by side) opens too, with
 * the default process. */
#ifndef ATH_MODEL_MODEL_H
#define ATH_MODEL_MODEL_H
#include "base/rng.h"
#include "diffusion/net.h"
#include "graph/params.h"
#include "model/scheduler.h"

typedef struct ath_model {
    const ath_net *net;
    void *config;                                /* net->config_size bytes, owned        */
    ath_graph *graph;                            /* owned                                */
    ath_tensor x, t, label, skip_scales, output; /* label, skip_scales: {0} where there is none */
    ath_shape image;
    int classes;           /* rows of the label table; 0: unconditional               */
    int null_class;        /* the row that means "no class", -1 when there is none    */
    int skips;             /* skip connections with a scale                           */
    ath_schedule schedule; /* of a vp process, owned; else zero                       */
    ath_process process;   /* what it was trained for; its schedule is the one above  */
    ath_prediction prediction;
    double sigma_data; /* standard deviation of the training data, for ATH_EDM_F    */
    size_t n_params;
    float *params; /* (n_params), owned; the weights that are sampled from; NULL until there are any */
} ath_model;

/* Builds the network of `config` (copied) without weights.
 * null_class as above. The scheduler is taken over. On failure *out is NULL and the scheduler is freed. */
ath_status ath_model_create(ath_model **out, const ath_net *net, const void *config, ath_scheduler scheduler,
                            int null_class, ath_err *err);
/* Memory for the weights, zeros. */
ath_status ath_model_allocate(ath_model *m, ath_err *err);
/* Reads a run directory or a bare network directory; of the weights, what weights.h says. */
ath_status ath_model_open(ath_model **out, const char *path, ath_err *err);
/* Writes the pipeline's files below `path`, a folder that is there, with these weights. */
ath_status ath_model_save(const ath_model *m, const float *params, const char *path, ath_err *err);
void ath_model_destroy(ath_model *m); /* accepts NULL */
/* m->process. */
ath_process ath_model_process(const ath_model *m);

#endif
