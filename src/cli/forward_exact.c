/* athanor forward on an exact model: see forward_exact.h. */
#include "cli/forward_exact.h"
#include <math.h>
#include <stdlib.h>
#include "cli/cli.h"
#include "cli/tensors.h"
#include "model/source.h"

typedef struct work {
    ath_source *source;
    ath_prediction says;
    int n;
    double *x, *t, *y, *x0; /* (n, h, w, c), (n) */
    ath_level *level;       /* (n)               */
} work;

static void work_free(work *w) {
    double *all[] = {w->x, w->t, w->y, w->x0};
    for (int i = 0; i < 4; i++) free(all[i]);
    free(w->level);
    ath_source_close(w->source);
}

/* The level at which a network is told t, if there is one. */
static bool level_of(const ath_process *p, double t, ath_level *out) {
    if (p->kind == ATH_PROCESS_VE) {
        *out = (ath_level){t, 1, exp(4 * t)};
        return isfinite(out->sigma) && out->sigma > 0;
    }
    const bool flow = p->kind == ATH_PROCESS_FLOW;
    if (!(t >= 0 && t <= (flow ? 1000 : p->schedule->timesteps - 1))) return false;
    *out = flow ? (ath_level){t, 1 - t / 1000, t / 1000} : ath_schedule_level(p->schedule, t);
    return true;
}

static ath_status read_levels(work *w, const char *path, ath_err *err) {
    const ath_process *p = &w->source->process;
    w->level = malloc((size_t)w->n * sizeof *w->level);
    if (!w->level) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (int i = 0; i < w->n; i++) {
        if (level_of(p, w->t[i], &w->level[i])) continue;
        if (p->kind == ATH_PROCESS_VE)
            return ath_fail(err, ATH_E_FORMAT, "%s: timestep %d is %g, expected log(sigma)/4", path, i, w->t[i]);
        return ath_fail(err, ATH_E_FORMAT, "%s: timestep %d is %g, expected 0 to %d", path, i, w->t[i],
                        p->kind == ATH_PROCESS_FLOW ? 1000 : p->schedule->timesteps - 1);
    }
    return ATH_OK;
}

static ath_status read_input(work *w, const char *path, ath_err *err) {
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, path, err));
    ath_status status = cli_tensor_count(file, path, &w->n, err);
    if (status == ATH_OK) status = cli_tensor_read(file, path, "x", w->n, &w->source->image, &w->x, err);
    if (status == ATH_OK) status = cli_tensor_read(file, path, "timesteps", w->n, NULL, &w->t, err);
    ath_safetensors_close(file);
    return status == ATH_OK ? read_levels(w, path, err) : status;
}

static ath_status evaluate(work *w, ath_err *err) {
    const size_t n = (size_t)w->n, len = n * w->source->dim;
    w->y = malloc((len + 1) * sizeof *w->y);
    w->x0 = malloc((len + 1) * sizeof *w->x0);
    if (!w->y || !w->x0) return ath_fail(err, ATH_E_MEM, "out of memory for %d images", w->n);
    ATH_TRY(ath_mixture_denoise(w->source->mixture, w->source->pool, n, w->x, w->level, 1, w->x0, w->y, err));
    if (w->says == ATH_FLOW)
        for (size_t i = 0; i < len; i++) w->y[i] -= w->x0[i];
    return ATH_OK;
}

static ath_status write_output(work *w, const char *path, ath_err *err) {
    const ath_shape s = w->source->image;
    cli_nhwc_to_nchw((size_t)w->n, s, w->y, w->x0); /* x0 is needed no more */
    const ath_array y = {.name = "y", .dtype = ATH_F64, .n_dim = 4, .dim = {w->n, s.c, s.h, s.w}, .data = w->x0};
    const ath_meta meta = {"prediction_type", ath_prediction_name(w->says)};
    return ath_safetensors_save(path, &y, 1, &meta, 1, err);
}

ath_status cli_forward_exact(const char *model, const char *input, const char *output, int threads, int *n,
                             ath_prediction *says, ath_err *err) {
    work w = {0};
    ath_status status = ath_source_open(&w.source, model, threads, err);
    if (status == ATH_OK) w.says = w.source->process.kind == ATH_PROCESS_FLOW ? ATH_FLOW : ATH_EPSILON;
    if (status == ATH_OK) status = read_input(&w, input, err);
    if (status == ATH_OK) status = evaluate(&w, err);
    if (status == ATH_OK) status = write_output(&w, output, err);
    *n = w.n;
    *says = w.says;
    work_free(&w);
    return status;
}
