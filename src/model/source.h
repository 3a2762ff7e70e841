/* What images are drawn from: a trained model and the threads that run it, or an exact model. Drawing, comparing and inverting
 * see no difference. */
#ifndef ATH_MODEL_SOURCE_H
#define ATH_MODEL_SOURCE_H
#include "diffusion/grid.h"
#include "diffusion/mixture.h"
#include "model/workers.h"

typedef struct ath_source {
    ath_model *model;
    ath_workers *workers;  /* compiled with ATH_FORWARD, using the weights wanted */
    bool owned;            /* model and workers are the source's own */
    ath_mixture *mixture;  /* an exact model, owned; NULL: a trained one */
    ath_pool *pool;        /* its threads, owned */
    ath_schedule schedule; /* its process', owned */
    ath_shape image;
    size_t dim; /* h * w * c */
    ath_process process;
    int classes;    /* that can be asked for; 0: unconditional */
    int null_class; /* -1: none */
    int skips;      /* skip connections that can be scaled */
    bool exact;     /* its denoiser is exact, and double throughout */
} ath_source;

/* A run directory, as ath_model_open takes it, or a mixture.json. threads 0: all cores. *out is NULL on failure. */
ath_status ath_source_open(ath_source **out, const char *path, int threads, ath_err *err);
void ath_source_close(ath_source *s); /* accepts NULL */
/* A model that is open already, with workers that use the weights wanted: both borrowed. */
ath_source ath_source_of(ath_model *m, ath_workers *workers);

/* The spacing that suits source and sampler: for ddpm and ddim, on a schedule, what suits the prediction; else karras, or flow for a
 * flow. (A schedule that ends in pure noise, as the cosine does, has sigma/alpha = 20000 there: a method that draws
 * a straight line, or a curve, from there to 8 misses by thousands, so that it begins after a step of DDIM's: sampler.h.) */
ath_spacing ath_source_spacing(const ath_source *s, const ath_sampler *sampler);

#endif
