/* What a run passes through, kept for files that show it. */
#ifndef ATH_CLI_TRAJECTORY_H
#define ATH_CLI_TRAJECTORY_H
#include "cli/recipe.h"

typedef struct cli_trajectory {
    const ath_source *source;
    const cli_recipe *recipe;
    int count;
    double *x; /* (n_steps + 1, count, h, w, c), in the model's own scale; owned */
} cli_trajectory;

ath_status cli_trajectory_begin(cli_trajectory *t, const ath_source *s, const cli_recipe *r, int count, ath_err *err);
void cli_trajectory_free(cli_trajectory *t); /* accepts a zeroed one */
/* The states of images first .. first + n - 1 at level[i]. */
void cli_trajectory_keep(cli_trajectory *t, int i, int first, int n, const double *x);

/* `x` [steps+1,N,C,H,W], F64 for an exact model and F32 else; `timesteps` where the model has them, and `sigmas`, sigma/alpha, of
 * every level; the number of evaluations in the metadata. */
ath_status cli_trajectory_save(const cli_trajectory *t, const char *path, int nfe, ath_err *err);

#endif
