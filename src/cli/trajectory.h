/* What a run passes through, kept for files that show it. */
#ifndef ATH_CLI_TRAJECTORY_H
#define ATH_CLI_TRAJECTORY_H
#include "cli/recipe.h"
#include "io/png.h"

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

/* States are shown as x / sqrt(alpha^2 + sigma^2): noise of variance 1 at first, the image at last. */
/* A row an image, up to 8 of them; a column a level, up to 12, first and last included. */
ath_status cli_trajectory_grid(const cli_trajectory *t, const char *path, const ath_png_text *text, int n_text,
                               ath_err *err);
/* Every level a frame of the grid of all images, `cols` by `rows`; the last stays for a while. */
ath_status cli_trajectory_gif(const cli_trajectory *t, const char *path, int cols, int rows, ath_err *err);

#endif
