/* athanor sample: images from a model, as a grid, one by one, or as tensors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/recipe.h"
#include "cli/skip_tuning.h"
#include "cli/starts.h"
#include "cli/trajectory.h"
#include "io/grid.h"
#include "model/generate.h"

typedef struct options {
    char out[ATH_TEXT_LEN], sampler[ATH_TEXT_LEN], grid[ATH_TEXT_LEN], spacing[ATH_TEXT_LEN], levels[ATH_TEXT_LEN];
    char skip_tuning[ATH_TEXT_LEN], images[ATH_TEXT_LEN], noise[ATH_TEXT_LEN], trajectory[ATH_TEXT_LEN];
    char trajectory_grid[ATH_TEXT_LEN], gif[ATH_TEXT_LEN], interpolate[ATH_TEXT_LEN];
    char guidance_interval[ATH_TEXT_LEN], threshold[ATH_TEXT_LEN], skip_window[ATH_TEXT_LEN];
    int steps, nfe, order, count, label, threads;
    int64_t seed;
    bool clip_sample, quiet, json;
    double guidance, guidance_rescale, clip_range, eta;
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(out, "out"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.png", .help = "where the grid goes (also -o)"},
    {FIELD(sampler, "sampler"), .type = ATH_OPT_TEXT, .dflt = "ddim", .value = "NAME[:K=V,...]",
     .help = "see `athanor list samplers`"},
    {FIELD(order, "order"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 10, .value = "N",
     .help = "the sampler's option of that name; 0: its own"},
    {FIELD(eta, "eta"), .type = ATH_OPT_FLOAT, .dflt = "-1", .min = -1, .max = 100, .value = "X",
     .help = "the sampler's option of that name; -1: its own"},
    {FIELD(steps, "steps"), .type = ATH_OPT_INT, .dflt = "20", .min = 1, .max = 100000, .value = "N",
     .help = "sampling steps"},
    {FIELD(nfe, "nfe"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 100000, .value = "N",
     .help = "in place of --steps: as many as cost N network evaluations"},
    {FIELD(spacing, "spacing"), .type = ATH_OPT_TEXT, .dflt = "auto", .value = "NAME[:K=V,...]",
     .help = "which noise levels are visited, see `athanor list spacings`; auto: what suits model and sampler"},
    {FIELD(levels, "levels"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.json",
     .help = "{\"timesteps\": [...]} or {\"sigmas\": [...]}: visit these, in place of --steps and --spacing"},
    {FIELD(count, "count"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1000000, .value = "N",
     .help = "images; 0: as many as the grid has cells, or 64"},
    {FIELD(grid, "grid"), .type = ATH_OPT_TEXT, .dflt = "", .value = "COLSxROWS",
     .help = "shape of the grid; by default as square as can be"},
    {FIELD(seed, "seed"), .type = ATH_OPT_INT64, .dflt = "0", .min = -9e15, .max = 9e15, .value = "N",
     .help = "image k of a seed is the same whatever --count and --threads"},
    {FIELD(interpolate, "interpolate"), .type = ATH_OPT_TEXT, .dflt = "", .value = "SEED_A:SEED_B",
     .help = "each row of the grid goes from one seed's noise to the other's"},
    {FIELD(clip_sample, "clip-sample"), .type = ATH_OPT_BOOL, .dflt = "true",
     .help = "clamp each predicted image to [-1,1] (not of exact models)"},
    {FIELD(clip_range, "clip-range"), .type = ATH_OPT_FLOAT, .dflt = "1", .min = 0.001, .max = 1000, .value = "R",
     .help = "clamp to [-R,R] instead"},
    {FIELD(skip_tuning, "skip-tuning"), .type = ATH_OPT_TEXT, .dflt = "", .value = "A[:B]|auto",
     .help =
         "scale the skip connections, from A at the deepest to B (1) at the shallowest (arXiv:2402.15170); auto: as "
         "`compare --tune-skip` found"},
    {FIELD(skip_window, "skip-window"), .type = ATH_OPT_TEXT, .dflt = "", .value = "LO:HI",
     .help = "only where LO < sigma/alpha <= HI"},
    {FIELD(label, "class"), .type = ATH_OPT_INT, .dflt = "-1", .min = -1, .max = 1048576, .value = "K",
     .help = "draw only this class of a class-conditional model; else all in turn"},
    {FIELD(guidance, "guidance"), .type = ATH_OPT_FLOAT, .dflt = "1", .min = 0, .max = 100, .value = "W",
     .help = "classifier-free guidance; 1: none (arXiv:2207.12598)"},
    {FIELD(guidance_interval, "guidance-interval"), .type = ATH_OPT_TEXT, .dflt = "", .value = "LO:HI",
     .help = "guidance only where LO < sigma/alpha <= HI (arXiv:2404.07724)"},
    {FIELD(guidance_rescale, "guidance-rescale"), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 1,
     .value = "PHI", .help = "give the guided image its contrast back, 0.7 for most of it (arXiv:2305.08891)"},
    {FIELD(threshold, "threshold"), .type = ATH_OPT_TEXT, .dflt = "", .value = "Q[:MAX]",
     .help = "dynamic thresholding at this quantile, such as 0.995 (arXiv:2205.11487)"},
    {FIELD(images, "images"), .type = ATH_OPT_TEXT, .dflt = "", .value = "DIR", .help = "also write one PNG an image"},
    {FIELD(noise, "noise"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "safetensors with x_init or x_start, and noise (see README)"},
    {FIELD(trajectory, "trajectory"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "write every step's state as safetensors"},
    {FIELD(trajectory_grid, "trajectory-grid"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.png",
     .help = "the way from noise to image, a row an image"},
    {FIELD(gif, "gif"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.gif", .help = "the same, moving"},
    {FIELD(threads, "threads"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores"},
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print what was done as one JSON object"},
    {FIELD(quiet, "quiet"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "no progress"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: athanor sample RUN -o grid.png [options]\n\n"
           "Draws images from a model. RUN is a run directory of `athanor train`, any diffusers\n"
           "directory with a UNet2DModel, or a mixture.json, an exact model.\n\n"
           "  athanor sample runs/mnist -o grid.png\n"
           "  athanor sample runs/mnist -o grid.png --sampler dpmpp_2m:final=zero --steps 10 --spacing karras\n"
           "  athanor sample runs/mnist -o grid.png --sampler ddpm --steps 50 --grid 10x4\n"
           "  athanor sample runs/mnist -o threes.png --class 3 --guidance 2\n"
           "  athanor sample runs/mnist --count 1000 --images out\n\n");
    cli_print_options(table, N_TABLE);
}

/* Everything the work needs; freed together. */
typedef struct work {
    options o;
    const char *path;
    ath_source *source;
    cli_recipe recipe;
    cli_starts starts;
    cli_trajectory trajectory;
    int cols, rows;
    float *skip, *images;
    ath_shaping shaping;
    cli_progress progress;
    char *command;
} work;

static void work_free(work *w) {
    cli_trajectory_free(&w->trajectory);
    cli_starts_free(&w->starts);
    cli_recipe_free(&w->recipe);
    ath_source_close(w->source);
    free(w->skip);
    free(w->images);
    free(w->command);
}

static ath_status parse_grid(work *w, ath_err *err) {
    options *o = &w->o;
    if (*o->grid) {
        char rest;
        if (sscanf(o->grid, "%dx%d%c", &w->cols, &w->rows, &rest) != 2 || w->cols < 1 || w->rows < 1 ||
            w->cols > 1000 || w->rows > 1000)
            return ath_fail(err, ATH_E_ARG, "--grid: \"%s\" is not COLSxROWS, such as 8x4", o->grid);
        if (o->count == 0) o->count = w->cols * w->rows;
        return ATH_OK;
    }
    if (o->count == 0) o->count = w->starts.count ? w->starts.count : 64;
    const int shown = o->count < 1024 ? o->count : 1024; /* a grid for the eye */
    w->cols = (int)ceil(sqrt(shown));
    w->rows = (shown + w->cols - 1) / w->cols;
    return ATH_OK;
}

static ath_status make_starts(work *w, ath_err *err) {
    options *o = &w->o;
    if (*o->noise && *o->interpolate)
        return ath_fail(err, ATH_E_ARG, "--interpolate: makes the noise that --noise gives already");
    const bool count_is_the_file_s = *o->noise && o->count == 0 && !*o->grid;
    if (count_is_the_file_s) ATH_TRY(cli_starts_read(&w->starts, w->source, o->noise, 0, err));
    ATH_TRY(parse_grid(w, err));
    if (*o->noise && !w->starts.start) ATH_TRY(cli_starts_read(&w->starts, w->source, o->noise, o->count, err));
    if (!*o->interpolate) return ATH_OK;
    ATH_TRY(cli_starts_between(&w->starts, w->source, o->interpolate, w->cols, w->rows, err));
    o->count = w->starts.count;
    return ATH_OK;
}

static ath_status on_step(void *user, int done, int total, int first, int n, int step, const double *x,
                          const double *x0) {
    (void)x0;
    work *w = user;
    char text[64];
    if (n > 0)
        snprintf(text, sizeof text, "step %d/%d of images %d to %d", step + 1, w->recipe.n_steps, first, first + n - 1);
    else
        snprintf(text, sizeof text, "step %d/%d of a pilot run", step + 1, w->recipe.n_steps);
    cli_progress_show(&w->progress, (double)done / total, text);
    if (w->trajectory.x) cli_trajectory_keep(&w->trajectory, step + 1, first, n, x);
    return cli_signal() ? ATH_E_STOP : ATH_OK;
}

static ath_status write_images(const work *w, ath_err *err) {
    const ath_shape s = w->source->image;
    for (int i = 0; i < w->o.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%06d.png", i);
        char *path = ath_path_join(w->o.images, name);
        if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.images);
        const ath_status status =
            ath_image_save(path, w->images + (size_t)i * w->source->dim, s.h, s.w, s.c, NULL, 0, err);
        free(path);
        if (status != ATH_OK) return status;
    }
    return ATH_OK;
}

static ath_status write_files(const work *w, int nfe, ath_err *err) {
    const ath_shape s = w->source->image;
    const options *o = &w->o;
    const ath_png_text text[] = {{"Software", "athanor " ATH_VERSION}, {"athanor", w->command}};
    if (*o->out) ATH_TRY(ath_grid_save(o->out, w->images, o->count, s.h, s.w, s.c, w->cols, w->rows, text, 2, err));
    if (*o->images) ATH_TRY(write_images(w, err));
    if (*o->trajectory) ATH_TRY(cli_trajectory_save(&w->trajectory, o->trajectory, nfe, err));
    if (*o->trajectory_grid) ATH_TRY(cli_trajectory_grid(&w->trajectory, o->trajectory_grid, text, 2, err));
    if (*o->gif) ATH_TRY(cli_trajectory_gif(&w->trajectory, o->gif, w->cols, w->rows, err));
    return ATH_OK;
}

/* Files to write, and their names in --json. */
enum { N_FILES = 5 };
static const char *file_of(const options *o, int i, const char **key) {
    const struct {
        const char *key, *path;
    } file[N_FILES] = {{"grid", o->out},
                       {"images", o->images},
                       {"trajectory", o->trajectory},
                       {"trajectory_grid", o->trajectory_grid},
                       {"gif", o->gif}};
    *key = file[i].key;
    return *file[i].path ? file[i].path : NULL;
}

static ath_status make_skip_scales(work *w, ath_err *err) {
    char found[32];
    if (strcmp(w->o.skip_tuning, "auto") != 0) return cli_skip_scales(w->source, w->o.skip_tuning, &w->skip, err);
    double a;
    ATH_TRY(cli_tuned_find(w->path, w->o.sampler, w->recipe.n_steps, &a, err));
    snprintf(found, sizeof found, "%.17g", a);
    return cli_skip_scales(w->source, found, &w->skip, err);
}

/* Everything that can be wrong with the request, before any work. */
static ath_status prepare(work *w, ath_err *err) {
    options *o = &w->o;
    const bool way = *o->trajectory || *o->trajectory_grid || *o->gif,
               shows = *o->out || *o->trajectory_grid || *o->gif;
    if (!shows && !way && !*o->images)
        return ath_fail(err, ATH_E_ARG,
                        "-o: say where the grid goes, such as -o grid.png (or use --images, --trajectory)");
    for (int i = 0; i < N_FILES; i++) {
        const char *key, *path = file_of(o, i, &key);
        if (path && path != o->images) ATH_TRY(ath_writer_check(path, err));
    }
    ATH_TRY(ath_source_open(&w->source, w->path, o->threads, err));
    const ath_source *s = w->source;
    if ((shows || *o->images) && s->image.c != 1 && s->image.c != 3)
        return ath_fail(err, ATH_E_ARG, "-o: images of %d channels cannot be shown; use --trajectory", s->image.c);
    if (o->label >= 0 && o->label >= s->classes)
        return s->classes ? ath_fail(err, ATH_E_ARG, "--class: %d, expected 0 to %d", o->label, s->classes - 1)
                          : ath_fail(err, ATH_E_ARG, "--class: this model was trained without classes");
    if (o->guidance != 1 && s->null_class < 0)
        return ath_fail(err, ATH_E_ARG,
                        "--guidance: this model has no null class; train it with --class-conditional --label-dropout");
    const cli_recipe_request request = {.sampler = o->sampler,
                                        .spacing = o->spacing,
                                        .levels = o->levels,
                                        .steps = o->steps,
                                        .nfe = o->nfe,
                                        .order = o->order,
                                        .eta = o->eta < 0 ? (double)NAN : o->eta};
    ATH_TRY(cli_recipe_make(&w->recipe, s, &request, err));
    const cli_shaping_request shaping = {o->guidance_interval, o->threshold, o->skip_window, o->guidance_rescale,
                                         o->clip_range};
    ATH_TRY(cli_shaping(&shaping, &w->shaping, err));
    ATH_TRY(make_skip_scales(w, err));
    ATH_TRY(make_starts(w, err));
    w->images = malloc(((size_t)o->count * s->dim + 1) * sizeof *w->images);
    if (!w->images || !w->command) return ath_fail(err, ATH_E_MEM, "out of memory");
    if (*o->images) ATH_TRY(cli_output_folder(o->images, "000000.png", err));
    return way ? cli_trajectory_begin(&w->trajectory, s, &w->recipe, o->count, err) : ATH_OK;
}

/* x[0]: the states at the first level, as the generator makes them. */
static ath_status record_start(work *w, const ath_generate_job *job, ath_err *err) {
    double *x = malloc(((size_t)job->count * w->source->dim + 1) * sizeof *x);
    if (!x) return ath_fail(err, ATH_E_MEM, "out of memory");
    ath_generate_start(w->source, job, 0, job->count, x);
    cli_trajectory_keep(&w->trajectory, 0, 0, job->count, x);
    free(x);
    return ATH_OK;
}

static ath_status generate(work *w, ath_generate_job *job, ath_err *err) {
    *job = (ath_generate_job){.sampler = w->recipe.sampler,
                              .sampler_config = w->recipe.config,
                              .level = w->recipe.level,
                              .n_steps = w->recipe.n_steps,
                              .count = w->o.count,
                              .rng = {(uint64_t)w->o.seed},
                              .label = w->o.label,
                              .guidance = w->o.guidance,
                              .clip = w->o.clip_sample && !w->source->exact,
                              .skip_scales = w->skip,
                              .shaping = w->shaping,
                              .labels = w->o.label < 0 ? w->starts.labels : NULL,
                              .start = w->starts.start,
                              .start_is_state = w->starts.is_state,
                              .noise = w->starts.noise,
                              .n_noise = w->starts.n_noise,
                              .images_per_path = *w->o.interpolate ? w->cols : 1,
                              .on_step = on_step,
                              .user = w};
    if (w->trajectory.x) ATH_TRY(record_start(w, job, err));
    ATH_TRY(ath_generate(w->source, job, w->images, err));
    return write_files(w, job->nfe, err);
}

static void report(const work *w, const ath_generate_job *job) {
    if (w->o.json) {
        json_t *object =
            json_pack("{s:s, s:s, s:i, s:i, s:i, s:I}", "run", w->path, "sampler", w->o.sampler, "steps",
                      w->recipe.n_steps, "nfe", job->nfe, "count", w->o.count, "seed", (json_int_t)w->o.seed);
        for (int i = 0; i < N_FILES; i++) {
            const char *key, *path = file_of(&w->o, i, &key);
            if (path) json_object_set_new(object, key, json_string(path));
        }
        cli_print_json(object);
        return;
    }
    for (int i = 0; i < N_FILES; i++) {
        const char *key, *path = file_of(&w->o, i, &key);
        if (path) puts(path);
    }
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
        status = ath_fail(&err, ATH_E_ARG, "RUN: say which run directory; see --help");
    w.path = line.argument[0];
    w.command = cli_command_line(argc, argv);
    w.progress = cli_progress_begin(w.o.quiet);
    ath_generate_job job = {0};
    if (status == ATH_OK) status = prepare(&w, &err);
    if (status == ATH_OK) {
        cli_catch_signals();
        status = generate(&w, &job, &err);
        cli_progress_end(&w.progress);
    }
    if (status == ATH_OK) report(&w, &job);
    work_free(&w);
    if (status == ATH_E_STOP) return 128 + cli_signal();
    return status == ATH_OK ? CLI_OK : cli_fail("sample", status, &err);
}

const cli_command cli_sample = {"sample", "draw images from a model: a grid, single images, tensors", run};
