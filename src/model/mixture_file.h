/* mixture.json: an exact model, a mixture or a data set and the process that it is to be sampled on.
 *
 *   {"_class_name": "GaussianMixture", "shape": [C,H,W], "weights": [..], "means": [[..],..], "stds": [..],
 *    "process": "vp"|"ve"|"flow", "schedule": {..}}
 *
 * Means are in the order C,H,W. In place of weights, means and stds "dataset": PATH, relative to the file's own
 * folder, makes a part of each image: with "std" (0) for all of them, "image_size" to resize to, "limit" to take the
 * first so many; "shape" may then be left out. "schedule" holds the process's numbers by the names of
 * scheduler_config.json: the betas of vp (linear, 1e-4 to 0.02, 1000 timesteps), sigma_min, sigma_max, rho of ve
 * (0.002, 80, 7), shift of a flow (1). "process" is vp where it is left out. Other keys are passed over. */
#ifndef ATH_MODEL_MIXTURE_FILE_H
#define ATH_MODEL_MIXTURE_FILE_H
#include "diffusion/mixture.h"
#include "graph/graph.h"
#include "model/scheduler.h"

typedef struct ath_exact_model {
    ath_mixture *mixture;    /* owned; means in the order H,W,C, as images are everywhere else */
    ath_shape image;         /* h * w * c = mixture->dim                                       */
    ath_scheduler scheduler; /* its process: see ath_scheduler_process                         */
} ath_exact_model;

/* Fails with ATH_E_IO when a file cannot be read, ATH_E_FORMAT naming path and key for what is missing, of the wrong
 * type or length, not finite, or larger than 2^31 numbers in all, as ath_dataset_open does, and ATH_E_MEM. *out is
 * zeroed then. */
ath_status ath_exact_model_open(ath_exact_model *out, const char *path, ath_err *err);
void ath_exact_model_close(ath_exact_model *m); /* accepts a zeroed one */

#endif
