/* athanor compare: which sampler, in how many steps, on this model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/compare.h"
#include "cli/scoring.h"
#include "cli/skip_tuning.h"
#include "eval/report.h"
#include "io/grid.h"

enum { MAX_SAMPLERS = 64, HELD = 16, HELD_EXACT = 256, SHOWN = 4 };

typedef struct options {
    char out[ATH_TEXT_LEN], samplers[ATH_TEXT_LEN], spacing[ATH_TEXT_LEN], data[ATH_TEXT_LEN];
    char skip_tuning[ATH_TEXT_LEN];
    ath_ints steps, nfe;
    int count, label, threads;
    int64_t seed;
    bool clip_sample, tune_skip, quiet, json;
    double guidance;
    cli_data_options from; /* of --data */
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(out, "out"), .type = ATH_OPT_TEXT, .dflt = "", .value = "DIR",
     .help = "where table.csv, plot.png, grid.png and report.html go (also -o)"},
    {FIELD(samplers, "samplers"), .type = ATH_OPT_TEXT, .dflt = "ddim,heun,dpmpp_2m,unipc", .value = "LIST",
     .help = "NAME[:K=V,...],NAME,...; see `athanor list samplers`"},
    {FIELD(steps, "steps"), .type = ATH_OPT_INTS, .dflt = "5,10,20,50", .min = 1, .max = 100000, .value = "LIST",
     .help = "numbers of steps"},
    {FIELD(nfe, "nfe"), .type = ATH_OPT_INTS, .dflt = "none", .min = 1, .max = 100000, .value = "LIST",
     .help = "in place of --steps: budgets of network evaluations"},
    {FIELD(spacing, "spacing"), .type = ATH_OPT_TEXT, .dflt = "auto", .value = "NAME[:K=V,...]",
     .help = "levels of every run; auto: flow for a flow, else karras, so that all start alike"},
    {FIELD(count, "count"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1000000, .value = "N",
     .help = "images of each run; 0: 2048 with --data, else what the distances need, 16 (256 of an exact model)"},
    {FIELD(data, "data"), .type = ATH_OPT_TEXT, .dflt = "", .value = "PATH",
     .help = "also the sliced Wasserstein distance to this data set"},
    CLI_SPLIT_OPTION(options, from),
    CLI_CACHE_OPTION(options, from.cache),
    {FIELD(seed, "seed"), .type = ATH_OPT_INT64, .dflt = "0", .min = -9e15, .max = 9e15, .value = "N",
     .help = "every run starts from the same noise"},
    {FIELD(clip_sample, "clip-sample"), .type = ATH_OPT_BOOL, .dflt = "true",
     .help = "clamp each predicted image to [-1,1] (not of exact models)"},
    {FIELD(skip_tuning, "skip-tuning"), .type = ATH_OPT_TEXT, .dflt = "", .value = "A[:B]",
     .help = "scale the skip connections of every run, as in `sample`"},
    {FIELD(tune_skip, "tune-skip"), .type = ATH_OPT_BOOL, .dflt = "false",
     .help = "search A for each run on the score against --data; found scales go to RUN/skip_tuning.json"},
    {FIELD(label, "class"), .type = ATH_OPT_INT, .dflt = "-1", .min = -1, .max = 1048576, .value = "K",
     .help = "draw only this class; else all in turn"},
    {FIELD(guidance, "guidance"), .type = ATH_OPT_FLOAT, .dflt = "1", .min = 0, .max = 100, .value = "W",
     .help = "classifier-free guidance; 1: none"},
    {FIELD(threads, "threads"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores"},
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print the table as one JSON object"},
    {FIELD(quiet, "quiet"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "no progress"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: athanor compare RUN -o DIR [options]\n\n"
           "Draws the same images with several samplers in several numbers of steps, and says how far each is\n"
           "from the solution of the model's probability-flow ODE (exact for a mixture.json, else Heun's in 500\n"
           "steps) and, with --data, from the data.\n\n"
           "  athanor compare runs/mnist -o compared --samplers ddim,heun,dpmpp_2m,unipc --steps 5,10,20\n"
           "  athanor compare runs/mnist -o compared --samplers ddim,ddpm --data data/mnist --count 1000\n"
           "  athanor compare mixture.json -o orders --samplers euler,heun,dpmpp_3m:exact --steps 40,80,160\n\n");
    cli_print_options(table, N_TABLE);
}

/* Everything the work needs; freed together. */
typedef struct work {
    options o;
    const char *path;
    ath_source *source;
    char samplers[ATH_TEXT_LEN]; /* the list, cut into texts */
    char spacing[ATH_TEXT_LEN + 16];
    const char *sampler[MAX_SAMPLERS];
    int n_samplers, n_columns;
    cli_cell *cell; /* (n_samplers, n_columns) */
    cli_comparison c;
    cli_scoring scoring;
    cli_tuned *tuned; /* (n_samplers, n_columns), with --tune-skip */
    float *skip;
    cli_progress progress;
    int done, total; /* runs */
} work;

static void work_free(work *w) {
    for (int i = 0; w->cell && i < w->n_samplers * w->n_columns; i++) cli_cell_free(&w->cell[i]);
    free(w->cell);
    free(w->tuned);
    free(w->skip);
    cli_comparison_free(&w->c);
    cli_scoring_free(&w->scoring);
    ath_source_close(w->source);
}

/* ---- the request ---- */

/* "a:x=1,y=2,b" is two samplers: a piece that is no sampler's name belongs to the one before. */
static bool begins_sampler(const char *piece) {
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(piece, ":"), piece);
    return ath_sampler_find(name) != NULL;
}

static ath_status split_samplers(work *w, ath_err *err) {
    memcpy(w->samplers, w->o.samplers, sizeof w->samplers);
    for (char *piece = w->samplers, *next; piece; piece = next) {
        if ((next = strchr(piece, ','))) *next++ = 0;
        const char *last = w->n_samplers ? w->sampler[w->n_samplers - 1] : NULL;
        if (!begins_sampler(piece) && last && strchr(last, ':')) {
            piece[-1] = ','; /* joined again */
            continue;
        }
        if (w->n_samplers == MAX_SAMPLERS)
            return ath_fail(err, ATH_E_ARG, "--samplers: more than %d of them", (int)MAX_SAMPLERS);
        w->sampler[w->n_samplers++] = piece;
    }
    return ATH_OK;
}

static ath_status make_cells(work *w, ath_err *err) {
    const bool budget = w->o.nfe.n > 0;
    const ath_ints *list = budget ? &w->o.nfe : &w->o.steps;
    const bool flow = w->source->process.kind == ATH_PROCESS_FLOW;
    /* "auto:rho=5" keeps its settings */
    const bool chosen = strncmp(w->o.spacing, "auto", 4) == 0;
    snprintf(w->spacing, sizeof w->spacing, "%s%.1000s", chosen ? flow ? "flow" : "karras" : "",
             w->o.spacing + (chosen ? 4 : 0));
    w->n_columns = list->n;
    w->cell = calloc((size_t)(w->n_samplers * w->n_columns) + 1, sizeof *w->cell);
    if (!w->cell) return ath_fail(err, ATH_E_MEM, "out of memory");
    for (int i = 0; i < w->n_samplers * w->n_columns; i++) {
        const int n = list->v[i % w->n_columns];
        const cli_recipe_request request = {.sampler = w->sampler[i / w->n_columns],
                                            .spacing = w->spacing,
                                            .steps = n,
                                            .nfe = budget ? n : 0,
                                            .eta = (double)NAN};
        w->cell[i].text = request.sampler;
        ATH_TRY(cli_recipe_make(&w->cell[i].recipe, w->source, &request, err));
    }
    return ATH_OK;
}

static ath_status on_progress(void *user, const char *what, double fraction) {
    work *w = user;
    char text[256];
    snprintf(text, sizeof text, "%.100s (%d of %d)", what, w->done + 1, w->total);
    cli_progress_show(&w->progress, (w->done + fraction) / w->total, text);
    return cli_signal() ? ATH_E_STOP : ATH_OK;
}

/* Everything that can be wrong with the request, before any work. */
static ath_status prepare(work *w, ath_err *err) {
    options *o = &w->o;
    if (!*o->out) return ath_fail(err, ATH_E_ARG, "-o: say which folder the comparison goes to, such as -o compared");
    if (o->steps.n < 1 && o->nfe.n < 1) return ath_fail(err, ATH_E_ARG, "--steps: say how many");
    if (o->tune_skip && !*o->data)
        return ath_fail(err, ATH_E_ARG, "--tune-skip: needs --data to score the images against");
    ATH_TRY(split_samplers(w, err));
    ATH_TRY(ath_source_open(&w->source, w->path, o->threads, err));
    const ath_source *s = w->source;
    if (s->image.c != 1 && s->image.c != 3 && !s->exact)
        return ath_fail(err, ATH_E_ARG, "%s: images of %d channels cannot be shown", w->path, s->image.c);
    if (o->label >= s->classes && o->label >= 0)
        return ath_fail(err, ATH_E_ARG, "--class: %d, this model has %d classes", o->label, s->classes);
    if (o->tune_skip && s->skips == 0)
        return ath_fail(err, ATH_E_ARG, "--tune-skip: this model has no skip connections");
    ATH_TRY(cli_skip_scales(s, o->skip_tuning, &w->skip, err));
    ATH_TRY(make_cells(w, err));
    const int held = s->exact ? HELD_EXACT : HELD;
    if (o->count == 0) o->count = *o->data ? 2048 : held;
    ATH_TRY(
        cli_scoring_begin(&w->scoring, s, o->data, &o->from, o->count, (ath_rng){(uint64_t)o->seed}, o->threads, err));
    ATH_TRY(cli_output_folder(o->out, "table.csv", err));
    if (o->tune_skip) ATH_TRY(cli_output_folder(w->path, "skip_tuning.json", err));
    w->c = (cli_comparison){.source = s,
                            .job = {.count = o->count,
                                    .rng = {(uint64_t)o->seed},
                                    .label = o->label,
                                    .guidance = o->guidance,
                                    .clip = o->clip_sample && !s->exact,
                                    .skip_scales = w->skip},
                            .held = o->count < held ? o->count : held,
                            .on_progress = on_progress,
                            .user = w};
    w->total = w->n_samplers * w->n_columns;
    return ATH_OK;
}

/* ---- Skip-Tuning ---- */

/* The score of a cell's images with A at the deepest skip connection. */
static ath_status score_with(work *w, const cli_cell *like, double a, cli_tuned *t, ath_err *err) {
    char text[32];
    float *scales = NULL;
    double value;
    cli_cell cell = {.text = like->text, .recipe = like->recipe};
    snprintf(text, sizeof text, "%.4f", a);
    ath_status status = cli_skip_scales(w->source, text, &scales, err);
    w->c.job.skip_scales = scales;
    if (status == ATH_OK) status = cli_compare_draw(&w->c, &cell, err);
    if (status == ATH_OK) status = cli_scoring_of(&w->scoring, cell.images, w->o.count, &value, err);
    if (status == ATH_OK && value < t->score) t->score = value, t->a = a;
    w->c.job.skip_scales = w->skip;
    w->done++;
    free(cell.images);
    free(scales);
    return status;
}

enum { TRIED = 6 };

/* A from 0.7 to 1.1 by tenths, of which 1 is known, then a twentieth to either side of the best. */
static ath_status tune(work *w, const cli_cell *cell, double plain, cli_tuned *t, ath_err *err) {
    static const double tried[] = {0.7, 0.8, 0.9, 1.1};
    *t = (cli_tuned){.sampler = cell->text, .steps = cell->recipe.n_steps, .a = 1, .score = plain, .plain = plain};
    for (int k = 0; k < 4; k++) ATH_TRY(score_with(w, cell, tried[k], t, err));
    const double best = t->a;
    ATH_TRY(score_with(w, cell, best - 0.05, t, err));
    return score_with(w, cell, best + 0.05, t, err);
}

/* ---- the results ---- */

enum { MAX_SCORES = 4 };

/* Columns: what is known of every run. */
static int score_columns(const work *w, ath_report_score *column) {
    int n = 0;
    if (w->source->exact) {
        column[n++] = (ath_report_score){"ode", "distance to the exact solution, at the last noisy level", true};
        column[n++] = (ath_report_score){"ode_max", "greatest distance of any number", true};
    }
    column[n++] = (ath_report_score){
        "rms", w->source->exact ? "distance of the images" : "distance to the solution (heun, 500 steps)", true};
    if (w->scoring.score)
        column[n++] =
            (ath_report_score){w->scoring.score->name, w->scoring.score->title, w->scoring.score->lower_is_better};
    return n;
}

/* A row as the report takes it, and the memory behind it. */
typedef struct result {
    char name[64], options[ATH_TEXT_LEN];
    double score[MAX_SCORES];
} result;

static void fill_row(const work *w, const cli_cell *cell, double skip, double score, result *r, ath_report_row *row) {
    const char *colon = strchr(cell->text, ':');
    int n = 0;
    if (w->source->exact) {
        r->score[n++] = cell->order_rms;
        r->score[n++] = cell->order_worst;
    }
    r->score[n++] = cell->rms;
    if (w->scoring.score) r->score[n++] = score;
    snprintf(r->name, sizeof r->name, "%.*s", (int)strcspn(cell->text, ":"), cell->text);
    snprintf(r->options, sizeof r->options, "%s", colon ? colon + 1 : "");
    if (skip != 1) {
        const size_t used = strlen(r->options);
        snprintf(r->options + used, sizeof r->options - used, "%sskip-tuning=%g", used ? "," : "", skip);
    }
    *row = (ath_report_row){.sampler = r->name,
                            .options = r->options,
                            .steps = cell->recipe.n_steps,
                            .nfe = cell->nfe,
                            .seconds = cell->seconds,
                            .score = r->score,
                            .order = (double)NAN};
}

static ath_status save_grid(const work *w, const char *path, ath_err *err) {
    const ath_shape s = w->source->image;
    const float **cell = calloc((size_t)(w->n_samplers * w->n_columns) + 1, sizeof *cell);
    if (!cell) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    char label[ATH_MAX_INTS][16];
    const char *labels[ATH_MAX_INTS];
    const ath_ints *list = w->o.nfe.n > 0 ? &w->o.nfe : &w->o.steps;
    for (int j = 0; j < w->n_columns; j++) {
        snprintf(label[j], sizeof label[j], "%d", list->v[j]);
        labels[j] = label[j];
    }
    for (int i = 0; i < w->n_samplers * w->n_columns; i++) cell[i] = w->cell[i].images;
    const ath_labelled_grid grid = {.rows = w->n_samplers,
                                    .cols = w->n_columns,
                                    .row_label = w->sampler,
                                    .col_label = labels,
                                    .col_name = w->o.nfe.n > 0 ? "network evaluations" : "steps",
                                    .count = w->o.count < SHOWN ? w->o.count : SHOWN,
                                    .h = s.h,
                                    .w = s.w,
                                    .c = s.c,
                                    .cell = cell};
    const ath_png_text text[] = {{"Software", "athanor " ATH_VERSION}};
    const ath_status status = ath_labelled_grid_save(path, &grid, text, 1, err);
    free(cell);
    return status;
}

static json_t *to_json(const ath_report *r) {
    json_t *rows = json_array();
    for (int i = 0; i < r->n_row; i++) {
        const ath_report_row *row = &r->row[i];
        json_t *o = json_pack("{s:s, s:s, s:i, s:i, s:f}", "sampler", row->sampler, "options", row->options, "steps",
                              row->steps, "nfe", (int)row->nfe, "seconds", row->seconds);
        for (int k = 0; k < r->n_score; k++)
            json_object_set_new(o, r->score[k].name, isfinite(row->score[k]) ? json_real(row->score[k]) : json_null());
        json_object_set_new(o, "order", isfinite(row->order) ? json_real(row->order) : json_null());
        json_array_append_new(rows, o);
    }
    return json_pack("{s:o}", "rows", rows);
}

static ath_status in_folder(const work *w, const char *name, char **path, ath_err *err) {
    *path = ath_path_join(w->o.out, name);
    return *path ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.out);
}

/* table.csv, plot.png, grid.png, report.html; the table to standard output. */
static ath_status write_results(const work *w, ath_report *r, ath_err *err) {
    static const char *const names[] = {"table.csv", "plot.png", "grid.png", "report.html"};
    char *path[4] = {0}, *text = NULL;
    const bool picture = w->source->image.c == 1 || w->source->image.c == 3;
    ath_status status = ATH_OK;
    for (int i = 0; i < 4 && status == ATH_OK; i++) status = in_folder(w, names[i], &path[i], err);
    if (status == ATH_OK) status = ath_report_save_csv(r, path[0], err);
    /* what --data asked for, else the distance */
    const int plotted = w->scoring.score && !w->source->exact ? r->n_score - 1 : 0;
    if (status == ATH_OK) status = ath_report_save_plot(r, plotted, path[1], err);
    if (status == ATH_OK && picture) status = save_grid(w, path[2], err);
    if (status == ATH_OK && picture) r->grid_path = path[2];
    if (status == ATH_OK) status = ath_report_save_html(r, path[3], err);
    if (status == ATH_OK) status = ath_report_table(r, &text, err);
    if (status == ATH_OK && w->o.json)
        cli_print_json(to_json(r));
    else if (status == ATH_OK)
        fputs(text, stdout);
    for (int i = 0; i < 4; i++) free(path[i]);
    free(text);
    return status;
}

static ath_status report(const work *w, const double *score, ath_err *err) {
    const int n = w->n_samplers * w->n_columns, rows = w->tuned ? 2 * n : n;
    result *memory = calloc((size_t)rows + 1, sizeof *memory);
    ath_report_row *row = calloc((size_t)rows + 1, sizeof *row);
    if (!memory || !row) {
        free(memory);
        free(row);
        return ath_fail(err, ATH_E_MEM, "out of memory");
    }
    for (int i = 0; i < n; i++) fill_row(w, &w->cell[i], 1, score[i], &memory[i], &row[i]);
    int n_row = n;
    for (int i = 0; w->tuned && i < n; i++) {
        if (w->tuned[i].a == 1) continue;
        cli_cell cell = w->cell[i];
        cell.rms = (double)NAN; /* another model, as it were: its flow is another */
        fill_row(w, &cell, w->tuned[i].a, w->tuned[i].score, &memory[n_row], &row[n_row]);
        n_row++;
    }
    if (w->source->exact) ath_report_find_orders(row, n_row, 0);
    for (int i = 0; i < n; i++)
        if (w->cell[i].recipe.sampler->adaptive) row[i].order = (double)NAN; /* its steps are not the grid's */
    ath_report_score column[MAX_SCORES];
    char images[32], seed[32], held[96], half[64] = "none";
    if (w->scoring.score) snprintf(half, sizeof half, "%s %.4g", w->scoring.score->name, w->scoring.floor);
    snprintf(images, sizeof images, "%d", w->o.count);
    snprintf(seed, sizeof seed, "%lld", (long long)w->o.seed);
    snprintf(held, sizeof held, "of the first %d images, %s", w->c.held,
             w->source->exact ? "Dormand-Prince at 1e-12" : "Heun in 500 steps");
    const ath_fact fact[] = {{"model", w->path},
                             {"process", ath_process_name(w->source->process.kind)},
                             {"spacing", w->spacing},
                             {"images", images},
                             {"seed", seed},
                             {"solution", held},
                             {"data", *w->o.data         ? w->o.data
                                      : w->source->exact ? "draws from the model"
                                                         : "none"},
                             {"half of the data against the other", half}};
    ath_report r = {.title = "athanor compare",
                    .fact = fact,
                    .n_fact = sizeof fact / sizeof *fact,
                    .score = column,
                    .n_score = score_columns(w, column),
                    .row = row,
                    .n_row = n_row,
                    .grid_caption = "The same noise in every cell."};
    const ath_status status = write_results(w, &r, err);
    free(memory);
    free(row);
    return status;
}

static ath_status run_all(work *w, ath_err *err) {
    const int n = w->n_samplers * w->n_columns;
    double *score = calloc((size_t)n + 1, sizeof *score);
    if (!score) return ath_fail(err, ATH_E_MEM, "out of memory");
    if (w->o.tune_skip) w->tuned = calloc((size_t)n + 1, sizeof *w->tuned);
    w->total = n * (w->tuned ? 1 + TRIED : 1);
    ath_status status = w->o.tune_skip && !w->tuned ? ath_fail(err, ATH_E_MEM, "out of memory") : ATH_OK;
    for (int i = 0; i < n && status == ATH_OK; i++) {
        cli_cell *cell = &w->cell[i];
        status = cli_compare_cell(&w->c, cell, err);
        w->done++;
        if (status == ATH_OK) status = cli_scoring_of(&w->scoring, cell->images, w->o.count, &score[i], err);
        if (status == ATH_OK && w->tuned) status = tune(w, cell, score[i], &w->tuned[i], err);
    }
    cli_progress_end(&w->progress);
    if (status == ATH_OK && w->tuned) status = cli_tuned_store(w->path, w->tuned, n, w->scoring.score->name, err);
    if (status == ATH_OK) status = report(w, score, err);
    free(score);
    return status;
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    work w = {0};
    ath_status status = cli_parse(argc, argv, table, N_TABLE, &w.o, 1, &line, &err);
    if (status == ATH_OK && line.help) {
        print_help();
        return CLI_OK;
    }
    if (status == ATH_OK && line.n_arguments == 0)
        status = ath_fail(&err, ATH_E_ARG, "RUN: say which run directory or mixture.json; see --help");
    w.path = line.argument[0];
    w.progress = cli_progress_begin(w.o.quiet);
    if (status == ATH_OK) status = prepare(&w, &err);
    if (status == ATH_OK) {
        cli_catch_signals();
        status = run_all(&w, &err);
    }
    work_free(&w);
    if (status == ATH_E_STOP) return 128 + cli_signal();
    return status == ATH_OK ? CLI_OK : cli_fail("compare", status, &err);
}

const cli_command cli_compare = {"compare", "several samplers at several step counts on one model", run};
