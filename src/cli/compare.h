/* Samplers side by side: each draws the same images from the same noise, and is held against the flow's own answer. */
#ifndef ATH_CLI_COMPARE_H
#define ATH_CLI_COMPARE_H
#include "cli/recipe.h"
#include "model/generate.h"

/* One sampler at one number of steps. */
typedef struct cli_cell {
    const char *text;  /* NAME[:key=value,...] as it was asked for, borrowed */
    cli_recipe recipe; /* owned */
    int nfe;
    bool drew; /* noise on the way: there is no answer to be held against */
    double seconds;
    /* Distances from the solution of the probability-flow ODE that leaves from the same state; NAN where there is none.
     * The solution is exact for an exact model, else Heun's in 500 steps. */
    double rms; /* of the images: root mean square of a pixel                                              */
    double order_rms, order_worst; /* exact models: at the last level that is not clean, since the step from there is of
                                    * first order for most; root mean square, and the greatest of any pixel   */
    float *images;                 /* (count, h, w, c), owned */
} cli_cell;
void cli_cell_free(cli_cell *c); /* accepts a zeroed one */

/* The flow's states at one level, of the images that are held against it. */
typedef struct cli_solution {
    ath_level from, to;
    double *x; /* (held, h, w, c), owned; NULL: none yet */
} cli_solution;

typedef struct cli_comparison {
    const ath_source *source;
    ath_generate_job
        job;  /* count, rng, label, guidance and the like; the sampler's own fields are filled for each cell */
    int held; /* that many of the images, the first, are held against the solution */
    cli_solution before, end; /* of the last cell, which the next mostly shares; zeroed at first */
    /* While images are drawn: what for, and how far of 1; anything but ATH_OK ends the run with that status. May be NULL. */
    ath_status (*on_progress)(void *user, const char *what, double fraction);
    void *user;
} cli_comparison;
void cli_comparison_free(cli_comparison *c);

/* Draws c->job.count images by the cell's recipe: images, nfe, seconds. */
ath_status cli_compare_draw(cli_comparison *c, cli_cell *cell, ath_err *err);
/* Draws them and holds them against the solution. */
ath_status cli_compare_cell(cli_comparison *c, cli_cell *cell, ath_err *err);

#endif
