/* Trajectories and the files that show them: see trajectory.h. */
#include "cli/trajectory.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "io/gif.h"
#include "io/grid.h"
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

/* ---- pictures ---- */

/* Images 0 .. n - 1 at level[i], as they are shown: (n, h, w, c). */
static void shown(const cli_trajectory *t, int i, int n, float *out) {
    const ath_level at = t->recipe->level[i];
    const double scale = 1 / sqrt(at.alpha * at.alpha + at.sigma * at.sigma);
    const double *x = t->x + (size_t)i * (size_t)t->count * t->source->dim;
    for (size_t k = 0; k < (size_t)n * t->source->dim; k++) out[k] = (float)(scale * x[k]);
}

enum { MAX_ROWS = 8, MAX_COLS = 12 };

ath_status cli_trajectory_grid(const cli_trajectory *t, const char *path, const ath_png_text *text, int n_text,
                               ath_err *err) {
    const int levels = t->recipe->n_steps + 1, rows = t->count < MAX_ROWS ? t->count : MAX_ROWS;
    const int cols = levels < MAX_COLS ? levels : MAX_COLS;
    const size_t dim = t->source->dim;
    float *x = malloc((size_t)(rows * cols) * dim * sizeof *x);
    if (!x) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    char label[MAX_COLS][16];
    const char *labels[MAX_COLS];
    const float *cell[MAX_ROWS * MAX_COLS];
    for (int j = 0; j < cols; j++) {
        const int i = cols > 1 ? (int)rint((double)j * (levels - 1) / (cols - 1)) : 0;
        const ath_level at = t->recipe->level[i];
        shown(t, i, rows, x + (size_t)(j * rows) * dim);
        snprintf(label[j], sizeof label[j], "%.3g", at.alpha > 0 ? at.sigma / at.alpha : (double)INFINITY);
        labels[j] = label[j];
        for (int r = 0; r < rows; r++) cell[r * cols + j] = x + (size_t)(j * rows + r) * dim;
    }
    const ath_shape s = t->source->image;
    const ath_labelled_grid grid = {.rows = rows,
                                    .cols = cols,
                                    .col_label = labels,
                                    .col_name = "sigma/alpha",
                                    .count = 1,
                                    .h = s.h,
                                    .w = s.w,
                                    .c = s.c,
                                    .cell = cell};
    const ath_status status = ath_labelled_grid_save(path, &grid, text, n_text, err);
    free(x);
    return status;
}

ath_status cli_trajectory_gif(const cli_trajectory *t, const char *path, int cols, int rows, ath_err *err) {
    const ath_shape s = t->source->image;
    const int last = t->recipe->n_steps, frame_time = last < 30 ? 10 : last < 100 ? 4 : 2; /* hundredths of a second */
    ath_gif *gif = NULL;
    ath_status status = ATH_OK;
    float *x = malloc(((size_t)t->count * t->source->dim + 1) * sizeof *x);
    if (!x) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (int i = 0; i <= last && status == ATH_OK; i++) {
        ath_picture p = {0};
        shown(t, i, t->count, x);
        status = ath_grid_render(x, t->count, s.h, s.w, s.c, cols, rows, &p, err);
        if (status == ATH_OK && !gif) status = ath_gif_create(&gif, path, p.h, p.w, p.c, true, err);
        if (status == ATH_OK) status = ath_gif_add(gif, p.pixel, i == last ? 150 : frame_time, err);
        free(p.pixel);
    }
    free(x);
    if (status == ATH_OK) return ath_gif_finish(gif, err);
    ath_gif_destroy(gif);
    return status;
}
