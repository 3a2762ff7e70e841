/* Cells of a comparison and what they are held against: see compare.h. */
#include "cli/compare.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "diffusion/mixture_flow.h"

enum { REFERENCE_STEPS = 500 };

void cli_cell_free(cli_cell *c) {
    cli_recipe_free(&c->recipe);
    free(c->images);
    *c = (cli_cell){0};
}

void cli_comparison_free(cli_comparison *c) {
    free(c->before.x);
    free(c->end.x);
}

/* ---- the flow's own answer ---- */

static bool same_level(ath_level a, ath_level b) { return a.alpha == b.alpha && a.sigma == b.sigma; }

/* What a run tells as it goes. */
typedef struct watch {
    cli_comparison *c;
    const char *what;
    int keep_step; /* after this step the states of the images held are kept */
    double *kept;
} watch;

static ath_status on_step(void *user, int done, int total, int first, int n, int step, const double *x,
                          const double *x0) {
    (void)x0;
    const watch *w = user;
    const size_t dim = w->c->source->dim;
    const int held = w->c->held - first < n ? w->c->held - first : n;
    if (w->kept && step == w->keep_step && held > 0)
        memcpy(w->kept + (size_t)first * dim, x, (size_t)held * dim * sizeof *x);
    return w->c->on_progress ? w->c->on_progress(w->c->user, w->what, (double)done / total) : ATH_OK;
}

static ath_status run(cli_comparison *c, const cli_recipe *r, int count, watch *w, ath_generate_job *job, float *images,
                      ath_err *err) {
    *job = c->job;
    job->sampler = r->sampler;
    job->sampler_config = r->config;
    job->level = r->level;
    job->n_steps = r->n_steps;
    job->count = count;
    job->on_step = on_step;
    job->user = w;
    return ath_generate(c->source, job, images, err);
}

/* Heun in 500 steps from `from` to the clean level: of second order, so that its error is a hundredth of that of 50. */
static ath_status solve_by_heun(cli_comparison *c, ath_level from, double *x, ath_err *err) {
    const ath_source *s = c->source;
    const double most = from.alpha > 0 ? from.sigma / from.alpha : 0;
    cli_recipe r = {.n_steps = REFERENCE_STEPS};
    ath_grid_options grid = {.sigma_max = most, .final = "zero"};
    watch w = {.c = c, .what = "the reference, heun in 500 steps", .keep_step = REFERENCE_STEPS - 1, .kept = x};
    ath_generate_job job;
    r.sampler = ath_sampler_find("heun");
    r.config = calloc(1, r.sampler->config_size + 1);
    r.level = malloc((REFERENCE_STEPS + 1) * sizeof *r.level);
    float *images = malloc(((size_t)c->held * s->dim + 1) * sizeof *images);
    ath_status status = r.config && r.level && images ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory");
    if (status == ATH_OK) {
        const ath_spacing how = s->process.kind == ATH_PROCESS_FLOW ? ATH_UNIFORM_FLOW : ATH_KARRAS;
        ath_options_default(r.sampler->options, r.sampler->n_options, r.config);
        status = ath_levels(&s->process, how, &grid, r.n_steps, r.level, err);
    }
    if (status == ATH_OK) {
        r.level[0] = from;
        status = run(c, &r, c->held, &w, &job, images, err);
    }
    free(images);
    cli_recipe_free(&r);
    return status;
}

/* Makes `solution` that of the flow between two levels, from the states that ath_generate starts with. */
static ath_status solve(cli_comparison *c, cli_solution *solution, ath_level from, ath_level to, ath_err *err) {
    if (solution->x && same_level(solution->from, from) && same_level(solution->to, to)) return ATH_OK;
    const ath_source *s = c->source;
    const size_t len = (size_t)c->held * s->dim;
    free(solution->x);
    *solution = (cli_solution){from, to, malloc((len + 1) * sizeof *solution->x)};
    if (!solution->x) return ath_fail(err, ATH_E_MEM, "out of memory for %d images", c->held);
    ath_status status;
    if (s->exact) {
        ath_generate_job job = c->job;
        job.level = &from;
        ath_generate_start(s, &job, 0, c->held, solution->x);
        status = ath_mixture_flow(s->mixture, s->pool, (size_t)c->held, solution->x, from, to, 0, NULL, err);
    } else
        status = solve_by_heun(c, from, solution->x, err);
    if (status != ATH_OK) {
        free(solution->x);
        solution->x = NULL;
    }
    return status;
}

/* ---- a cell ---- */

static void distance(const double *a, const double *b, size_t len, double *rms, double *worst) {
    double sum = 0, most = 0;
    for (size_t i = 0; i < len; i++) {
        const double d = fabs(a[i] - b[i]);
        sum += d * d;
        if (!(d <= most)) most = d; /* a NaN stays */
    }
    *rms = sqrt(sum / (double)len);
    if (worst) *worst = most;
}

static ath_status measure(cli_comparison *c, cli_cell *cell, const double *before, ath_err *err) {
    const cli_recipe *r = &cell->recipe;
    const size_t len = (size_t)c->held * c->source->dim;
    const ath_level from = r->level[0], last = r->level[r->n_steps - 1], end = r->level[r->n_steps];
    const bool clean = end.sigma == 0;
    if (c->source->exact) {
        ATH_TRY(solve(c, &c->before, from, clean ? last : end, err));
        distance(before, c->before.x, len, &cell->order_rms, &cell->order_worst);
    }
    if (!clean) return ATH_OK;
    ATH_TRY(solve(c, &c->end, from, end, err));
    double *images = malloc((len + 1) * sizeof *images);
    if (!images) return ath_fail(err, ATH_E_MEM, "out of memory");
    for (size_t i = 0; i < len; i++) images[i] = (double)cell->images[i];
    distance(images, c->end.x, len, &cell->rms, NULL);
    free(images);
    return ATH_OK;
}

/* `kept`, if not NULL, becomes the states of the images held at the last level that is not clean. */
static ath_status draw(cli_comparison *c, cli_cell *cell, double *kept, ath_err *err) {
    const cli_recipe *r = &cell->recipe;
    const bool clean = r->level[r->n_steps].sigma == 0;
    watch w = {.c = c, .what = cell->text, .keep_step = r->n_steps - (clean ? 2 : 1), .kept = kept};
    ath_generate_job job = c->job;
    cell->rms = cell->order_rms = cell->order_worst = (double)NAN;
    cell->images = malloc(((size_t)c->job.count * c->source->dim + 1) * sizeof *cell->images);
    if (!cell->images) return ath_fail(err, ATH_E_MEM, "out of memory for %d images", c->job.count);
    job.level = r->level;
    if (kept) ath_generate_start(c->source, &job, 0, c->held, kept); /* a run of one step has nothing else before it */
    const double begin = ath_clock();
    const ath_status status = run(c, r, c->job.count, &w, &job, cell->images, err);
    cell->seconds = ath_clock() - begin;
    cell->nfe = job.nfe;
    cell->drew = job.draws > 0;
    return status;
}

ath_status cli_compare_draw(cli_comparison *c, cli_cell *cell, ath_err *err) { return draw(c, cell, NULL, err); }

ath_status cli_compare_cell(cli_comparison *c, cli_cell *cell, ath_err *err) {
    double *before = malloc(((size_t)c->held * c->source->dim + 1) * sizeof *before);
    if (!before) return ath_fail(err, ATH_E_MEM, "out of memory for %d images", c->held);
    ath_status status = draw(c, cell, before, err);
    if (status == ATH_OK && !cell->drew) status = measure(c, cell, before, err);
    free(before);
    return status;
}
