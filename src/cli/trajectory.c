/* Trajectories and the files that show them: see trajectory.h. */
#include "cli/trajectory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "io/safetensors.h"

ath_status cli_trajectory_begin(cli_trajectory *t, const ath_source *s, const cli_recipe *r, int count, ath_err *err) {
    *t = (cli_trajectory){.source = s, .recipe = r, .count = count};
    t->x = malloc(((size_t)(r->n_steps + 1) * (size_t)count * s->dim + 1) * sizeof *t->x);
    return t->x ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory for %d states of %d images", r->n_steps + 1, count);
}

void cli_trajectory_free(cli_trajectory *t) {
    free(t->x);
    *t = (cli_trajectory){0};
}

void cli_trajectory_keep(cli_trajectory *t, int i, int first, int n, const double *x) {
    const size_t at = ((size_t)i * (size_t)t->count + (size_t)first) * t->source->dim;
    memcpy(t->x + at, x, (size_t)n * t->source->dim * sizeof *x);
}

/* The states in the file's order and precision; malloc'ed. */
static void *states_of_file(const cli_trajectory *t, bool wide) {
    const size_t states = (size_t)(t->recipe->n_steps + 1) * (size_t)t->count, len = states * t->source->dim;
    double *x = malloc((len + 1) * sizeof *x);
    if (!x) return NULL;
    cli_nhwc_to_nchw(states, t->source->image, t->x, x);
    if (wide) return x;
    float *narrow = malloc((len + 1) * sizeof *narrow);
    for (size_t i = 0; narrow && i < len; i++) narrow[i] = (float)x[i];
    free(x);
    return narrow;
}

ath_status cli_trajectory_save(const cli_trajectory *t, const char *path, int nfe, ath_err *err) {
    const ath_shape s = t->source->image;
    const int n = t->recipe->n_steps;
    const bool wide = t->source->exact, timesteps = t->source->process.kind != ATH_PROCESS_VE;
    void *x = states_of_file(t, wide);
    double *at = malloc(2 * ((size_t)n + 1) * sizeof *at), *sigma = at ? at + n + 1 : NULL;
    ath_status status = x && at ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (status == ATH_OK) {
        for (int i = 0; i <= n; i++) {
            const ath_level level = t->recipe->level[i];
            at[i] = level.t;
            sigma[i] = level.alpha > 0 ? level.sigma / level.alpha : (double)INFINITY;
        }
        const ath_array array[] = {{.name = "x",
                                    .dtype = wide ? ATH_F64 : ATH_F32,
                                    .n_dim = 5,
                                    .dim = {n + 1, t->count, s.c, s.h, s.w},
                                    .data = x},
                                   {.name = "sigmas", .dtype = ATH_F64, .n_dim = 1, .dim = {n + 1}, .data = sigma},
                                   {.name = "timesteps", .dtype = ATH_F64, .n_dim = 1, .dim = {n}, .data = at}};
        char count[16];
        snprintf(count, sizeof count, "%d", nfe);
        const ath_meta meta[] = {{"nfe", count}, {"sampler", t->recipe->sampler->name}};
        status = ath_safetensors_save(path, array, timesteps ? 3 : 2, meta, 2, err);
    }
    free(x);
    free(at);
    return status;
}
