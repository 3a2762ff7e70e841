/* What solvers share that take steps of their own between level[0] and the last level that is not clean, perhaps other ones
 * for each image: errors that choose the steps, and the states at the job's levels. Views SIGMA and ODE. */
#ifndef ATH_DIFFUSION_OWN_STEPS_H
#define ATH_DIFFUSION_OWN_STEPS_H
#include "diffusion/flow_time.h"

/* More tries than this are not a solution: the network is rougher than the tolerance. */
enum { ATH_MOST_TRIES = 10000 };

/* A row of a sampler's option table; `Config` has a member `char control[ATH_TEXT_LEN]`. */
#define ATH_CONTROL_OPTION(Config)                                                                                     \
    {                                                                                                                  \
        .name = "control", .type = ATH_OPT_TEXT, .offset = offsetof(Config, control), .dflt = "image",                 \
        .choices = "image|batch", .help = "steps for each image by its own error, or for all by the error of all"      \
    }
/* norm (n) = the root mean square of each image's vector/scale, (n, dim) both; with `control` "batch" that over all. */
void ath_error_norms(const ath_sample_job *job, const char *control, const double *vector, const double *scale,
                     double *norm);

/* Index of the last level that is not clean. */
int ath_last_noisy_level(const ath_sample_job *job);

/* The states at the levels. Between two states of the solver the way is a cubic through both with both slopes (Hermite), in the
 * time of a flow (flow_time.h), where it is nearly straight; so what is reported does not change the steps. Without on_step
 * nothing is kept. */
typedef struct ath_trace {
    ath_sample_job *job;
    ath_flow_time time;
    int last;     /* the last level that is not clean                                             */
    int told;     /* levels 1 .. told have been reported                                          */
    int *reached; /* (n): states of image i at levels 1 .. reached[i] are known                   */
    double *u;    /* (n): where image i is                                                        */
    double *y;    /* (n, dim): its state there, scaled                                            */
    double *d;    /* (n, dim): and dy/du                                                          */
    double **at;  /* (last + 1): at[l] the states at level l, (n, dim), from when it is reached until it is reported */
} ath_trace;

/* Fails with ATH_E_MEM. End with ath_trace_free, which also takes a zeroed trace. */
ath_status ath_trace_begin(ath_trace *t, ath_sample_job *job);
void ath_trace_free(ath_trace *t);

/* Image i is at sigma, no more than before, with state x and, where it is known, x0 (else NULL), (dim) each. */
ath_status ath_trace_state(ath_trace *t, size_t i, double sigma, const double *x, const double *x0);
/* Reports the levels that all images have reached. */
ath_status ath_trace_tell(ath_trace *t);

/* The end of a run whose job->x is at the last level that is not clean: reports all levels, and where the grid ends clean
 * takes x onto x0. x0 (n, dim): what the network says of that x, or, where it is not known yet, memory for it. */
ath_status ath_trace_finish(ath_trace *t, double *x0, bool known);

#endif
