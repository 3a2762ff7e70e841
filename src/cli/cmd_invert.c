/* athanor invert: from images to the noise that DDIM draws them from, and back. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/data.h"
#include "cli/recipe.h"
#include "io/grid.h"
#include "io/safetensors.h"
#include "model/invert.h"

typedef struct options {
    char out[ATH_TEXT_LEN], reconstruction[ATH_TEXT_LEN], spacing[ATH_TEXT_LEN], levels[ATH_TEXT_LEN];
    int steps, count, iterations, label, threads;
    double guidance;
    bool clip_sample, json, quiet;
    cli_data_options from; /* of the images */
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(out, "out"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "safetensors with x_start and the images' classes, for `sample --noise` (also -o)"},
    {FIELD(reconstruction, "reconstruction"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.png",
     .help = "images, their noise, and what DDIM draws from it"},
    {FIELD(steps, "steps"), .type = ATH_OPT_INT, .dflt = "50", .min = 2, .max = 100000, .value = "N",
     .help = "steps, there and back"},
    {FIELD(spacing, "spacing"), .type = ATH_OPT_TEXT, .dflt = "auto", .value = "NAME[:K=V,...]",
     .help = "levels, as in `sample`"},
    {FIELD(levels, "levels"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.json", .help = "levels, as in `sample`"},
    {FIELD(iterations, "iterations"), .type = ATH_OPT_INT, .dflt = "3", .min = 0, .max = 1000, .value = "K",
     .help = "fixed-point iterations a step (arXiv:2309.04907); 0: plain DDIM inversion"},
    {FIELD(count, "count"), .type = ATH_OPT_INT, .dflt = "16", .min = 1, .max = 100000, .value = "N",
     .help = "of IMAGES, the first"},
    CLI_SPLIT_OPTION(options, from),
    CLI_CACHE_OPTION(options, from.cache),
    {FIELD(label, "class"), .type = ATH_OPT_INT, .dflt = "-1", .min = -1, .max = 1048576, .value = "K",
     .help = "of all images; -1: their own labels"},
    {FIELD(guidance, "guidance"), .type = ATH_OPT_FLOAT, .dflt = "1", .min = 0, .max = 100, .value = "W",
     .help = "classifier-free guidance; 1: none"},
    {FIELD(clip_sample, "clip-sample"), .type = ATH_OPT_BOOL, .dflt = "false",
     .help = "clamp each predicted image to [-1,1]: what is clamped cannot come back"},
    {FIELD(threads, "threads"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores"},
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print one JSON object"},
    {FIELD(quiet, "quiet"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "no progress"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: athanor invert RUN IMAGES -o noise.safetensors [options]\n\n"
           "Runs DDIM backwards: from images (a folder or an IDX file) to the noise that it draws them from, and "
           "prints how far\n"
           "the images drawn from that noise are from the first (root mean square, pixels in [-1,1]).\n\n"
           "  athanor invert runs/mnist digits -o noise.safetensors --iterations 4\n"
           "  athanor sample runs/mnist --noise noise.safetensors --steps 50 --no-clip-sample -o again.png\n\n");
    cli_print_options(table, N_TABLE);
}

typedef struct work {
    options o;
    const char *run, *data;
    ath_source *source;
    cli_recipe recipe;
    float *images, *again; /* (count, h, w, c) */
    int32_t *labels;       /* (count), NULL: none */
    double *state;
    double error; /* of the round trip */
    int nfe;
    cli_progress progress;
    const char *phase;
    double done; /* of both directions, before this one */
} work;

static void work_free(work *w) {
    cli_recipe_free(&w->recipe);
    ath_source_close(w->source);
    free(w->images);
    free(w->again);
    free(w->labels);
    free(w->state);
}

static ath_status read_images(work *w, ath_err *err) {
    const ath_shape s = w->source->image;
    ath_dataset d;
    const ath_dataset_options how = {.image_size = s.h, .channels = s.c};
    ATH_TRY(cli_dataset_open(&d, w->data, how, &w->o.from, err));
    const size_t dim = w->source->dim;
    if (w->o.count > d.n) w->o.count = d.n;
    const size_t n = (size_t)w->o.count;
    const bool classes = w->source->classes > 0 && w->o.label < 0;
    w->images = malloc(n * dim * sizeof *w->images);
    w->again = malloc(n * dim * sizeof *w->again);
    w->state = malloc(n * dim * sizeof *w->state);
    if (classes) w->labels = malloc(n * sizeof *w->labels);
    ath_status status = w->images && w->again && w->state && (!classes || w->labels)
                            ? ATH_OK
                            : ath_fail(err, ATH_E_MEM, "out of memory for %d images", w->o.count);
    if (status == ATH_OK && classes && !d.label)
        status = ath_fail(err, ATH_E_ARG, "--class: %s has no labels, and the model wants them", w->data);
    for (size_t i = 0; i < n && status == ATH_OK; i++) {
        ath_dataset_image(&d, (int)i, false, w->images + i * dim);
        if (!classes) continue;
        w->labels[i] = d.label[i];
        if (d.label[i] >= w->source->classes)
            status = ath_fail(err, ATH_E_FORMAT, "%s: image %zu is of class %d, the model has %d classes", w->data, i,
                              d.label[i], w->source->classes);
    }
    ath_dataset_close(&d);
    return status;
}

static ath_status on_step(void *user, int done, int total, int first, int n, int step, const double *x,
                          const double *x0) {
    (void)first, (void)n, (void)step, (void)x, (void)x0;
    work *w = user;
    cli_progress_show(&w->progress, w->done + 0.5 * done / total, w->phase);
    return cli_signal() ? ATH_E_STOP : ATH_OK;
}

static ath_status prepare(work *w, ath_err *err) {
    const options *o = &w->o;
    if (!*o->out && !*o->reconstruction)
        return ath_fail(err, ATH_E_ARG,
                        "-o: say where the noise goes, such as -o noise.safetensors (or use --reconstruction)");
    if (*o->out) ATH_TRY(ath_writer_check(o->out, err));
    if (*o->reconstruction) ATH_TRY(ath_writer_check(o->reconstruction, err));
    ATH_TRY(ath_source_open(&w->source, w->run, o->threads, err));
    if (o->label >= 0 && o->label >= w->source->classes)
        return ath_fail(err, ATH_E_ARG, "--class: %d, this model has %d classes", o->label, w->source->classes);
    const cli_recipe_request request = {
        .sampler = "ddim", .spacing = o->spacing, .levels = o->levels, .steps = o->steps, .eta = (double)NAN};
    ATH_TRY(cli_recipe_make(&w->recipe, w->source, &request, err));
    return read_images(w, err);
}

/* There and back. */
static ath_status round_trip(work *w, ath_err *err) {
    ath_generate_job job = {.sampler = w->recipe.sampler,
                            .sampler_config = w->recipe.config,
                            .level = w->recipe.level,
                            .n_steps = w->recipe.n_steps,
                            .count = w->o.count,
                            .label = w->o.label,
                            .labels = w->labels,
                            .guidance = w->o.guidance,
                            .clip = w->o.clip_sample,
                            .on_step = on_step,
                            .user = w};
    w->phase = "to the noise";
    ATH_TRY(ath_invert(w->source, &job, w->o.iterations, w->images, w->state, err));
    w->nfe = job.nfe;
    job.start = w->state;
    job.start_is_state = true;
    w->phase = "and back";
    w->done = 0.5;
    ATH_TRY(ath_generate(w->source, &job, w->again, err));
    double sum = 0;
    const size_t len = (size_t)w->o.count * w->source->dim;
    for (size_t i = 0; i < len; i++) sum += pow((double)w->again[i] - (double)w->images[i], 2);
    w->error = sqrt(sum / (double)len);
    return ATH_OK;
}

static ath_status save_noise(const work *w, ath_err *err) {
    const ath_shape s = w->source->image;
    const size_t n = (size_t)w->o.count;
    double *x = malloc(n * w->source->dim * sizeof *x), *labels = malloc(n * sizeof *labels);
    ath_status status = x && labels ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.out);
    if (status == ATH_OK) {
        cli_nhwc_to_nchw(n, s, w->state, x);
        for (size_t i = 0; i < n && w->labels; i++) labels[i] = w->labels[i];
        const ath_array array[] = {
            {.name = "x_start", .dtype = ATH_F64, .n_dim = 4, .dim = {w->o.count, s.c, s.h, s.w}, .data = x},
            {.name = "class_labels", .dtype = ATH_F64, .n_dim = 1, .dim = {w->o.count}, .data = labels}};
        const ath_meta meta[] = {{"made_by", "athanor invert"}};
        status = ath_safetensors_save(w->o.out, array, w->labels ? 2 : 1, meta, 1, err);
    }
    free(x);
    free(labels);
    return status;
}

/* Rows: the images, their noise at variance 1, what came back. */
static ath_status save_reconstruction(const work *w, ath_err *err) {
    enum { MOST = 12 };
    static const char *const rows[] = {"image", "noise", "drawn again"};
    const ath_shape s = w->source->image;
    const size_t dim = w->source->dim;
    const int cols = w->o.count < MOST ? w->o.count : MOST;
    const ath_level at = w->recipe.level[0];
    const double scale = 1 / sqrt(at.alpha * at.alpha + at.sigma * at.sigma);
    float *noise = malloc((size_t)cols * dim * sizeof *noise);
    if (!noise) return ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.reconstruction);
    for (size_t i = 0; i < (size_t)cols * dim; i++) noise[i] = (float)(scale * w->state[i]);
    const float *cell[3 * MOST];
    for (int k = 0; k < cols; k++) {
        cell[k] = w->images + (size_t)k * dim;
        cell[cols + k] = noise + (size_t)k * dim;
        cell[2 * cols + k] = w->again + (size_t)k * dim;
    }
    const ath_labelled_grid grid = {
        .rows = 3, .cols = cols, .row_label = rows, .count = 1, .h = s.h, .w = s.w, .c = s.c, .cell = cell};
    const ath_png_text text[] = {{"Software", "athanor " ATH_VERSION}};
    const ath_status status = ath_labelled_grid_save(w->o.reconstruction, &grid, text, 1, err);
    free(noise);
    return status;
}

static void report(const work *w) {
    const options *o = &w->o;
    if (o->json) {
        json_t *object = json_pack("{s:s, s:i, s:i, s:i, s:f}", "run", w->run, "count", o->count, "steps",
                                   w->recipe.n_steps, "nfe", w->nfe, "round_trip_rms", w->error);
        if (*o->out) json_object_set_new(object, "noise", json_string(o->out));
        if (*o->reconstruction) json_object_set_new(object, "reconstruction", json_string(o->reconstruction));
        cli_print_json(object);
        return;
    }
    printf("round trip: %.6g rms, %d images, %d evaluations to the noise\n", w->error, o->count, w->nfe);
    if (*o->out) puts(o->out);
    if (*o->reconstruction) puts(o->reconstruction);
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    work w = {0};
    ath_status status = cli_parse(argc, argv, table, N_TABLE, &w.o, 2, &line, &err);
    if (status == ATH_OK && line.help) {
        print_help();
        return CLI_OK;
    }
    if (status == ATH_OK && line.n_arguments < 2)
        status = ath_fail(&err, ATH_E_ARG, "RUN IMAGES: say which model and which images; see --help");
    w.run = line.argument[0], w.data = line.argument[1];
    w.progress = cli_progress_begin(w.o.quiet);
    if (status == ATH_OK) status = prepare(&w, &err);
    if (status == ATH_OK) {
        cli_catch_signals();
        status = round_trip(&w, &err);
        cli_progress_end(&w.progress);
    }
    if (status == ATH_OK && *w.o.out) status = save_noise(&w, &err);
    if (status == ATH_OK && *w.o.reconstruction) status = save_reconstruction(&w, &err);
    if (status == ATH_OK) report(&w);
    work_free(&w);
    if (status == ATH_E_STOP) return 128 + cli_signal();
    return status == ATH_OK ? CLI_OK : cli_fail("invert", status, &err);
}

const cli_command cli_invert = {"invert", "from images to the noise that DDIM draws them from", run};
