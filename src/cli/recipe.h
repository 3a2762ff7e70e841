/* A way of drawing: a sampler with its options, and the levels that it visits. */
#ifndef ATH_CLI_RECIPE_H
#define ATH_CLI_RECIPE_H
#include "model/source.h"
#include "diffusion/sampler.h"
#include "diffusion/shaping.h"

/* As it was typed; an empty text, NAN or 0 means not given. */
typedef struct cli_recipe_request {
    const char *sampler; /* NAME[:key=value,...]; final=zero|sigma_min is the grid's, whatever the sampler */
    const char *spacing; /* "auto", or NAME[:key=value,...] */
    const char *levels;  /* FILE.json, in place of spacing and steps */
    int steps, nfe;      /* nfe: as many steps as cost that many evaluations at most */
    int order;           /* shortcuts for the sampler's options */
    double eta;
} cli_recipe_request;

typedef struct cli_recipe {
    const ath_sampler *sampler;
    void *config;
    ath_level *level; /* (n_steps + 1) */
    int n_steps;
} cli_recipe;

/* Errors name the option at fault. On failure nothing needs to be freed. */
ath_status cli_recipe_make(cli_recipe *r, const ath_source *s, const cli_recipe_request *q, ath_err *err);
void cli_recipe_free(cli_recipe *r); /* accepts a zeroed one */

/* What shapes predictions, as it was typed: "LO:HI" in sigma/alpha, "Q[:MAX]"; "" for none. */
typedef struct cli_shaping_request {
    const char *guidance_interval, *threshold, *skip_window;
    double guidance_rescale, clip_range;
} cli_shaping_request;
ath_status cli_shaping(const cli_shaping_request *q, ath_shaping *out, ath_err *err);

/* rho_k of every skip connection, from A at the deepest to B (1) at the shallowest (Skip-Tuning, arXiv:2402.15170), of "A[:B]".
 * malloc'ed (skips); NULL for an empty text. */
ath_status cli_skip_scales(const ath_source *s, const char *text, float **scales, ath_err *err);

#endif
