/* RUN/skip_tuning.json: the skip scales that `compare --tune-skip` found, and `sample --skip-tuning auto` uses. */
#ifndef ATH_CLI_SKIP_TUNING_H
#define ATH_CLI_SKIP_TUNING_H
#include "base/status.h"

/* What was found for one sampler at one number of steps. */
typedef struct cli_tuned {
    const char *sampler; /* as it was asked for, options included */
    int steps;
    double a;            /* scale at the deepest connection; 1 at the shallowest */
    double score, plain; /* the score with it, and without */
} cli_tuned;

/* Adds entries to the file of a run, in place of those for the same sampler and number of steps; `score` names what was minimised. */
ath_status cli_tuned_store(const char *run, const cli_tuned *tuned, int n, const char *score, ath_err *err);
/* The scale for a sampler, at the nearest number of steps found for it. Fails with ATH_E_IO where the run has no such file,
 * ATH_E_FORMAT, and ATH_E_ARG where it names other samplers only. */
ath_status cli_tuned_find(const char *run, const char *sampler, int steps, double *a, ath_err *err);

#endif
