/* athanor sample: images from a model, as a grid, one by one, or as tensors. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "io/grid.h"
#include "io/safetensors.h"
#include "model/generate.h"
#include "model/json.h"

typedef struct options {
    char out[ATH_TEXT_LEN], sampler[ATH_TEXT_LEN], grid[ATH_TEXT_LEN], spacing[ATH_TEXT_LEN], levels[ATH_TEXT_LEN];
    char skip_tuning[ATH_TEXT_LEN], images[ATH_TEXT_LEN], noise[ATH_TEXT_LEN], trajectory[ATH_TEXT_LEN];
    int steps, count, label, threads;
    int64_t seed;
    bool clip_sample, quiet, json;
    double guidance;
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(out, "out"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.png", .help = "where the grid goes (also -o)"},
    {FIELD(sampler, "sampler"), .type = ATH_OPT_TEXT, .dflt = "ddim", .value = "NAME[:K=V,...]",
     .help = "see `athanor list samplers`"},
    {FIELD(steps, "steps"), .type = ATH_OPT_INT, .dflt = "20", .min = 1, .max = 100000, .value = "N",
     .help = "sampling steps"},
    {FIELD(count, "count"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1000000, .value = "N",
     .help = "images; 0: as many as the grid has cells, or 64"},
    {FIELD(grid, "grid"), .type = ATH_OPT_TEXT, .dflt = "", .value = "COLSxROWS",
     .help = "shape of the grid; by default as square as can be"},
    {FIELD(seed, "seed"), .type = ATH_OPT_INT64, .dflt = "0", .min = -9e15, .max = 9e15, .value = "N",
     .help = "image k of a seed is the same whatever --count and --threads"},
    {FIELD(spacing, "spacing"), .type = ATH_OPT_TEXT, .dflt = "auto", .choices = "auto|leading|linspace|trailing",
     .value = "NAME",
     .help = "which timesteps are visited; auto: leading for epsilon and score models, trailing for others"},
    {FIELD(levels, "levels"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.json",
     .help = "{\"timesteps\": [...]}: visit these, in place of --steps and --spacing"},
    {FIELD(clip_sample, "clip-sample"), .type = ATH_OPT_BOOL, .dflt = "true",
     .help = "clamp each predicted image to [-1,1]"},
    {FIELD(skip_tuning, "skip-tuning"), .type = ATH_OPT_TEXT, .dflt = "", .value = "A[:B]",
     .help = "scale the skip connections, from A at the deepest to B (1) at the shallowest (arXiv:2402.15170)"},
    {FIELD(label, "class"), .type = ATH_OPT_INT, .dflt = "-1", .min = -1, .max = 1048576, .value = "K",
     .help = "draw only this class of a class-conditional model; else all in turn"},
    {FIELD(guidance, "guidance"), .type = ATH_OPT_FLOAT, .dflt = "1", .min = 0, .max = 100, .value = "W",
     .help = "classifier-free guidance; 1: none (arXiv:2207.12598)"},
    {FIELD(images, "images"), .type = ATH_OPT_TEXT, .dflt = "", .value = "DIR", .help = "also write one PNG an image"},
    {FIELD(noise, "noise"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "safetensors with x_init or x_start, and noise (see README)"},
    {FIELD(trajectory, "trajectory"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "write every step's state as safetensors"},
    {FIELD(threads, "threads"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores"},
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print what was done as one JSON object"},
    {FIELD(quiet, "quiet"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "no progress"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: athanor sample RUN -o grid.png [options]\n\n"
           "Draws images from a trained model. RUN is a run directory of `athanor train`, or any\n"
           "diffusers directory with a UNet2DModel.\n\n"
           "  athanor sample runs/mnist -o grid.png\n"
           "  athanor sample runs/mnist -o grid.png --sampler ddpm --steps 50 --grid 10x4\n"
           "  athanor sample runs/mnist -o threes.png --class 3 --guidance 2\n"
           "  athanor sample runs/mnist --count 1000 --images out\n\n");
    cli_print_options(table, N_TABLE);
}

/* Everything the work needs; freed together. */
typedef struct work {
    options o;
    const char *path;
    ath_model *model;
    ath_workers *workers;
    const ath_sampler *sampler;
    void *sampler_config;
    ath_level *level;
    int n_steps, cols, rows;
    size_t dim;
    float *skip, *images;
    double *start, *noise, *trajectory;
    int n_noise;
    bool start_is_state;
    cli_progress progress;
    char *command;
} work;

static void work_free(work *w) {
    ath_workers_destroy(w->workers);
    ath_model_destroy(w->model);
    free(w->sampler_config);
    free(w->level);
    free(w->skip);
    free(w->images);
    free(w->start);
    free(w->noise);
    free(w->trajectory);
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
    if (o->count == 0) o->count = 64;
    const int shown = o->count < 1024 ? o->count : 1024; /* a grid for the eye */
    w->cols = (int)ceil(sqrt(shown));
    w->rows = (shown + w->cols - 1) / w->cols;
    return ATH_OK;
}

/* rho_i from A at the deepest (the last) to B at the shallowest (the first). */
static ath_status parse_skip_tuning(work *w, ath_err *err) {
    const char *text = w->o.skip_tuning;
    if (!*text) return ATH_OK;
    double a, b = 1;
    char first[ATH_TEXT_LEN];
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, ":"), text);
    const char *colon = strchr(text, ':');
    if (!ath_parse_double(first, &a) || (colon && !ath_parse_double(colon + 1, &b)))
        return ath_fail(err, ATH_E_ARG, "--skip-tuning: \"%s\" is not A or A:B, such as 0.8:1", text);
    const int n = w->model->skips;
    if (n == 0)
        return ath_fail(err, ATH_E_ARG, "--skip-tuning: the network %s has no skip connections", w->model->net->name);
    w->skip = malloc((size_t)n * sizeof *w->skip);
    if (!w->skip) return ath_fail(err, ATH_E_MEM, "out of memory");
    for (int i = 0; i < n; i++) w->skip[i] = (float)(n > 1 ? b + (a - b) * i / (n - 1) : a);
    return ATH_OK;
}

static ath_status read_levels(work *w, ath_err *err) {
    const char *path = w->o.levels;
    json_t *object;
    ATH_TRY(ath_json_read(&object, path, err));
    const json_t *list = json_object_get(object, "timesteps");
    const size_t n = json_array_size(list);
    ath_status status = ATH_OK;
    if (n == 0 || n > 100000)
        status = ath_fail(err, ATH_E_FORMAT, "%s: expected {\"timesteps\": [...]} with 1 to 100000 numbers", path);
    else if (!(w->level = malloc((n + 1) * sizeof *w->level)))
        status = ath_fail(err, ATH_E_MEM, "out of memory");
    for (size_t i = 0; i < n && status == ATH_OK; i++) {
        const json_t *item = json_array_get(list, i);
        const double t = json_number_value(item);
        if (!json_is_number(item) || !(t >= 0 && t <= w->model->schedule.timesteps - 1))
            status = ath_fail(err, ATH_E_FORMAT, "%s: timestep %zu is not a number from 0 to %d", path, i,
                              w->model->schedule.timesteps - 1);
        else if (i && t >= w->level[i - 1].t)
            status = ath_fail(err, ATH_E_FORMAT, "%s: timestep %zu is not below the one before it", path, i);
        else
            w->level[i] = ath_schedule_level(&w->model->schedule, t);
    }
    if (status == ATH_OK) {
        w->level[n] = ath_schedule_level(&w->model->schedule, -1);
        w->n_steps = (int)n;
    }
    json_decref(object);
    return status;
}

static ath_status make_levels(work *w, ath_err *err) {
    if (*w->o.levels) return read_levels(w, err);
    ath_spacing spacing;
    if (strcmp(w->o.spacing, "auto") == 0)
        spacing = ath_prediction_spacing(w->model->prediction);
    else
        ATH_TRY(ath_spacing_parse(w->o.spacing, &spacing, err));
    w->n_steps = w->o.steps;
    w->level = malloc(((size_t)w->n_steps + 1) * sizeof *w->level);
    if (!w->level) return ath_fail(err, ATH_E_MEM, "out of memory");
    const ath_process process = {.kind = ATH_PROCESS_VP, .schedule = &w->model->schedule};
    const ath_status status = ath_levels(&process, spacing, NULL, w->n_steps, w->level, err);
    return status == ATH_OK ? ATH_OK : ath_fail_within(err, status, "--steps");
}

/* A tensor [lead,]N,C,H,W of the file as doubles in NHWC; *lead is 1 where there is none. */
static ath_status read_images(const work *w, const ath_array *a, bool has_lead, double **out, int *lead, ath_err *err) {
    const ath_shape s = w->model->image;
    const int d = has_lead ? 1 : 0;
    const bool fits = a->n_dim == 4 + d && a->dim[d] == w->o.count && a->dim[d + 1] == s.c && a->dim[d + 2] == s.h &&
                      a->dim[d + 3] == s.w && (a->dtype == ATH_F32 || a->dtype == ATH_F64);
    if (!fits)
        return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is not F32 or F64 of shape [%s%d,%d,%d,%d]", w->o.noise,
                        a->name, has_lead ? "draws," : "", w->o.count, s.c, s.h, s.w);
    const size_t len = (size_t)ath_array_len(a);
    double *raw = malloc((len + 1) * sizeof *raw);
    *out = malloc((len + 1) * sizeof **out);
    if (!raw || !*out) {
        free(raw);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.noise);
    }
    ath_array_to_f64(a, raw);
    cli_nchw_to_nhwc(len / w->dim, s, raw, *out);
    free(raw);
    *lead = has_lead ? (int)a->dim[0] : 1;
    return ATH_OK;
}

static ath_status read_noise(work *w, ath_err *err) {
    if (!*w->o.noise) return ATH_OK;
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, w->o.noise, err));
    const ath_array *unit = ath_safetensors_find(file, "x_init"), *state = ath_safetensors_find(file, "x_start");
    const ath_array *noise = ath_safetensors_find(file, "noise"), *start = state ? state : unit;
    ath_status status = ATH_OK;
    int one;
    if (!start) status = ath_fail(err, ATH_E_FORMAT, "%s: expected a tensor x_init or x_start", w->o.noise);
    if (start && w->o.count == 0 && start->n_dim == 4 && start->dim[0] > 0 && start->dim[0] < 1000000)
        w->o.count = (int)start->dim[0];
    if (status == ATH_OK) status = read_images(w, start, false, &w->start, &one, err);
    if (status == ATH_OK && noise) status = read_images(w, noise, true, &w->noise, &w->n_noise, err);
    w->start_is_state = state != NULL;
    ath_safetensors_close(file);
    return status;
}

static ath_status on_step(void *user, int done, int total, int first, int n, int step, const double *x,
                          const double *x0) {
    (void)x0;
    work *w = user;
    char text[64];
    snprintf(text, sizeof text, "step %d/%d of images %d to %d", step + 1, w->n_steps, first, first + n - 1);
    cli_progress_show(&w->progress, (double)done / total, text);
    if (w->trajectory) {
        const size_t at = ((size_t)(step + 1) * (size_t)w->o.count + (size_t)first) * w->dim;
        cli_nhwc_to_nchw((size_t)n, w->model->image, x, w->trajectory + at);
    }
    return cli_signal() ? ATH_E_STOP : ATH_OK;
}

/* x[0]: the state at the first level, as the generator makes it. */
static void record_start(work *w) {
    const size_t len = (size_t)w->o.count * w->dim;
    double *x = malloc((len + 1) * sizeof *x);
    if (!x) return;
    if (w->start)
        memcpy(x, w->start, len * sizeof *x);
    else
        for (int i = 0; i < w->o.count; i++)
            ath_rng_normal_f64((ath_rng){(uint64_t)w->o.seed}, ATH_S_START, (uint64_t)i, x + (size_t)i * w->dim,
                               w->dim);
    cli_nhwc_to_nchw((size_t)w->o.count, w->model->image, x, w->trajectory);
    free(x);
}

static ath_status write_trajectory(const work *w, int nfe, ath_err *err) {
    const ath_shape s = w->model->image;
    const size_t len = (size_t)(w->n_steps + 1) * (size_t)w->o.count * w->dim;
    float *x = malloc((len + 1) * sizeof *x);
    double *timesteps = malloc((size_t)(w->n_steps + 1) * sizeof *timesteps);
    ath_status status = x && timesteps ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.trajectory);
    if (status == ATH_OK) {
        for (size_t i = 0; i < len; i++) x[i] = (float)w->trajectory[i];
        for (int i = 0; i < w->n_steps; i++) timesteps[i] = w->level[i].t;
        const ath_array array[] = {
            {.name = "x", .dtype = ATH_F32, .n_dim = 5, .dim = {w->n_steps + 1, w->o.count, s.c, s.h, s.w}, .data = x},
            {.name = "timesteps", .dtype = ATH_F64, .n_dim = 1, .dim = {w->n_steps}, .data = timesteps}};
        char count[16];
        snprintf(count, sizeof count, "%d", nfe);
        const ath_meta meta[] = {{"nfe", count}, {"sampler", w->o.sampler}};
        status = ath_safetensors_save(w->o.trajectory, array, 2, meta, 2, err);
    }
    free(x);
    free(timesteps);
    return status;
}

static ath_status write_images(const work *w, ath_err *err) {
    ATH_TRY(ath_make_dirs(w->o.images, err));
    const ath_shape s = w->model->image;
    for (int i = 0; i < w->o.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "%06d.png", i);
        char *path = ath_path_join(w->o.images, name);
        if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.images);
        const ath_status status = ath_image_save(path, w->images + (size_t)i * w->dim, s.h, s.w, s.c, NULL, 0, err);
        free(path);
        if (status != ATH_OK) return status;
    }
    return ATH_OK;
}

static ath_status write_grid(const work *w, ath_err *err) {
    const ath_shape s = w->model->image;
    const ath_png_text text[] = {{"Software", "athanor " ATH_VERSION}, {"athanor", w->command}};
    return ath_grid_save(w->o.out, w->images, w->o.count, s.h, s.w, s.c, w->cols, w->rows, text, 2, err);
}

/* Everything that can be wrong with the request, before any work. */
static ath_status prepare(work *w, ath_err *err) {
    options *o = &w->o;
    if (!*o->out && !*o->images && !*o->trajectory)
        return ath_fail(err, ATH_E_ARG,
                        "-o: say where the grid goes, such as -o grid.png (or use --images, --trajectory)");
    if (*o->out) ATH_TRY(ath_writer_check(o->out, err));
    if (*o->trajectory) ATH_TRY(ath_writer_check(o->trajectory, err));
    ATH_TRY(cli_sampler(o->sampler, &w->sampler, &w->sampler_config, err));
    ATH_TRY(ath_model_open(&w->model, w->path, err));
    const ath_shape s = w->model->image;
    w->dim = (size_t)s.h * (size_t)s.w * (size_t)s.c;
    if (*o->out && s.c != 1 && s.c != 3)
        return ath_fail(err, ATH_E_ARG, "-o: images of %d channels cannot be shown; use --trajectory", s.c);
    const int classes = w->model->null_class >= 0 ? w->model->null_class : w->model->classes;
    if (o->label >= 0 && o->label >= classes)
        return classes ? ath_fail(err, ATH_E_ARG, "--class: %d, expected 0 to %d", o->label, classes - 1)
                       : ath_fail(err, ATH_E_ARG, "--class: this model was trained without classes");
    if (o->guidance != 1 && w->model->null_class < 0)
        return ath_fail(err, ATH_E_ARG,
                        "--guidance: this model has no null class; train it with --class-conditional --label-dropout");
    ATH_TRY(make_levels(w, err));
    ATH_TRY(parse_skip_tuning(w, err));
    if (*o->noise && o->count == 0 && !*o->grid) ATH_TRY(read_noise(w, err));
    ATH_TRY(parse_grid(w, err));
    if (*o->noise && !w->start) ATH_TRY(read_noise(w, err));
    ATH_TRY(ath_workers_create(&w->workers, w->model, o->threads, 0, ATH_FORWARD, err));
    w->images = malloc(((size_t)o->count * w->dim + 1) * sizeof *w->images);
    if (*o->trajectory)
        w->trajectory = malloc(((size_t)(w->n_steps + 1) * (size_t)o->count * w->dim + 1) * sizeof *w->trajectory);
    if (!w->images || !w->command || (*o->trajectory && !w->trajectory))
        return ath_fail(err, ATH_E_MEM, "out of memory");
    return ATH_OK;
}

static ath_status generate(work *w, ath_generate_job *job, ath_err *err) {
    ath_workers_use(w->workers, w->model->params);
    if (w->trajectory) record_start(w);
    *job = (ath_generate_job){.sampler = w->sampler,
                              .sampler_config = w->sampler_config,
                              .level = w->level,
                              .n_steps = w->n_steps,
                              .count = w->o.count,
                              .rng = {(uint64_t)w->o.seed},
                              .label = w->o.label,
                              .guidance = w->o.guidance,
                              .clip = w->o.clip_sample,
                              .skip_scales = w->skip,
                              .start = w->start,
                              .start_is_state = w->start_is_state,
                              .noise = w->noise,
                              .n_noise = w->n_noise,
                              .on_step = on_step,
                              .user = w};
    ATH_TRY(ath_generate(w->model, w->workers, job, w->images, err));
    if (*w->o.out) ATH_TRY(write_grid(w, err));
    if (*w->o.images) ATH_TRY(write_images(w, err));
    if (*w->o.trajectory) ATH_TRY(write_trajectory(w, job->nfe, err));
    return ATH_OK;
}

static void report(const work *w, const ath_generate_job *job) {
    if (w->o.json) {
        json_t *object = json_pack("{s:s, s:s, s:i, s:i, s:i, s:I}", "run", w->path, "sampler", w->o.sampler, "steps",
                                   w->n_steps, "nfe", job->nfe, "count", w->o.count, "seed", (json_int_t)w->o.seed);
        if (*w->o.out) json_object_set_new(object, "grid", json_string(w->o.out));
        if (*w->o.images) json_object_set_new(object, "images", json_string(w->o.images));
        if (*w->o.trajectory) json_object_set_new(object, "trajectory", json_string(w->o.trajectory));
        cli_print_json(object);
        return;
    }
    if (*w->o.out) puts(w->o.out);
    if (*w->o.images) puts(w->o.images);
    if (*w->o.trajectory) puts(w->o.trajectory);
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
