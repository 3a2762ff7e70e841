/* athanor info: what a run, an exact model, a safetensors file or a data set holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/data.h"
#include "io/grid.h"
#include "io/picture.h"
#include "io/safetensors.h"
#include "model/json.h"
#include "model/mixture_file.h"
#include "model/workers.h"

typedef struct options {
    bool json, coarse_labels, skip_broken;
    char out[ATH_TEXT_LEN], background[ATH_TEXT_LEN];
    int image_size, channels;
    int64_t max_pixels;
    cli_data_options from;
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print one JSON object"},
    {FIELD(out, "out"), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE.png",
     .help = "of a data set: write a grid of its first images (also -o)"},
    {FIELD(image_size, "image-size"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "of a data set, as `athanor train` takes it: crop to a square and resize to N pixels"},
    {FIELD(channels, "channels"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 3, .value = "1|3",
     .help = "make images grey (1) or RGB (3)"},
    {FIELD(background, "background"), .type = ATH_OPT_TEXT, .dflt = "black", .value = "COLOUR",
     .help = "what transparent pixels are laid over: black, white or r,g,b"},
    {FIELD(max_pixels, "max-pixels"), .type = ATH_OPT_INT64, .dflt = "134217728", .min = 1, .max = 1 << 30,
     .value = "N", .help = "refuse PNG and JPEG files of more pixels"},
    {FIELD(coarse_labels, "coarse-labels"), .type = ATH_OPT_BOOL, .dflt = "false",
     .help = "of CIFAR-100: the 20 coarse classes in place of the 100"},
    {FIELD(skip_broken, "skip-broken"), .type = ATH_OPT_BOOL, .dflt = "false",
     .help = "leave damaged files of a folder out"},
    CLI_SPLIT_OPTION(options, from),
    CLI_CACHE_OPTION(options, from.cache),
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf(
        "usage: athanor info PATH [--json] [-o grid.png] [options]\n\n"
        "PATH is a run directory, an exact model (a .json file), a .safetensors file, or a data set: a folder or file\n"
        "of IDX or CIFAR binary, a .npy or .npz file of images, or a folder of PNG and JPEG files with or without "
        "class\n"
        "sub-folders.\n\n");
    cli_print_options(table, N_TABLE);
}

/* Prints "key: value" lines of an object, values as JSON; or the object itself. Takes it over. */
static void show(json_t *object, bool as_json) {
    if (as_json) {
        cli_print_json(object);
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach(object, key, value) {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));
        printf("%-24s %s\n", key, json_is_string(value) ? json_string_value(value) : text ? text : "");
        free(text);
    }
    json_decref(object);
}

static json_t *shape_of(int n_dim, const int64_t *dim) {
    json_t *list = json_array();
    for (int i = 0; i < n_dim; i++) json_array_append_new(list, json_integer(dim[i]));
    return list;
}

static void add_process(json_t *o, const ath_process *p) {
    json_object_set_new(o, "process", json_string(ath_process_name(p->kind)));
    if (!p->schedule) return;
    json_object_set_new(o, "schedule", json_string(p->schedule->kind ? p->schedule->kind->name : "given betas"));
    json_object_set_new(o, "timesteps", json_integer(p->schedule->timesteps));
    json_object_set_new(o, "zero_snr", json_boolean(p->schedule->zero_snr));
}

static double ratio_at(const ath_schedule *s, double t) {
    const ath_level at = ath_schedule_level(s, t);
    return at.alpha > 0 ? at.sigma / at.alpha : (double)INFINITY;
}

/* Noise over signal at both ends of a schedule, which ve has as they are. Infinity is no JSON. */
static void add_range(json_t *o, const ath_process *p) {
    const ath_schedule *s = p->schedule;
    if (p->kind == ATH_PROCESS_FLOW) {
        json_object_set_new(o, "shift", json_real(p->shift));
        return;
    }
    const double most = s ? ratio_at(s, s->timesteps - 1) : p->sigma_max;
    json_object_set_new(o, "sigma_min", json_real(s ? ratio_at(s, 0) : p->sigma_min));
    json_object_set_new(o, "sigma_max", isfinite(most) ? json_real(most) : json_string("inf"));
    if (p->kind == ATH_PROCESS_VE) json_object_set_new(o, "rho", json_real(p->rho));
}

static ath_status info_exact(const char *path, bool as_json, ath_err *err) {
    ath_exact_model m;
    ATH_TRY(ath_exact_model_open(&m, path, err));
    const ath_process p = ath_scheduler_process(&m.scheduler);
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string("exact model"));
    json_object_set_new(o, "image", json_pack("[i,i,i]", m.image.w, m.image.h, m.image.c));
    json_object_set_new(o, "parts", json_integer((json_int_t)m.mixture->parts));
    json_object_set_new(o, "rms", json_real(m.mixture->scale));
    add_process(o, &p);
    add_range(o, &p);
    show(o, as_json);
    ath_exact_model_close(&m);
    return ATH_OK;
}

static ath_status info_run(const char *path, bool as_json, ath_err *err) {
    ath_model *m;
    ATH_TRY(ath_model_open(&m, path, err));
    json_t *o = json_object();
    json_object_set_new(o, "kind", json_string("model"));
    json_object_set_new(o, "net", json_string(m->net->name));
    json_object_set_new(o, "parameters", json_integer((json_int_t)m->n_params));
    json_object_set_new(o, "image", json_pack("[i,i,i]", m->image.w, m->image.h, m->image.c));
    json_object_set_new(o, "classes", json_integer(m->null_class >= 0 ? m->null_class : m->classes));
    json_object_set_new(o, "prediction_type", json_string(ath_prediction_name(m->prediction)));
    add_process(o, &m->process);
    if (m->prediction == ATH_EDM_F) json_object_set_new(o, "sigma_data", json_real(m->sigma_data));
    json_object_set_new(o, "forward_gflop_per_image", json_real(ath_graph_flops(m->graph) / 1e9));
    ath_options_to_json(m->net->options, m->net->n_options, m->config, o);
    char *state = ath_path_join(path, "training_state.safetensors");
    ath_safetensors *file = NULL;
    if (state && ath_path_exists(state) && ath_safetensors_open(&file, state, NULL) == ATH_OK) {
        static const char *const counts[] = {"step", "updates", "skipped"}, *const numbers[] = {"loss_ema", "seconds"};
        for (int i = 0; i < 3; i++) {
            int64_t value;
            const char *text = ath_safetensors_meta(file, counts[i]);
            if (text && ath_parse_int64(text, &value)) json_object_set_new(o, counts[i], json_integer(value));
        }
        for (int i = 0; i < 2; i++) {
            double value;
            const char *text = ath_safetensors_meta(file, numbers[i]);
            if (text && ath_parse_double(text, &value)) json_object_set_new(o, numbers[i], json_real(value));
        }
    }
    ath_safetensors_close(file);
    free(state);
    show(o, as_json);
    ath_model_destroy(m);
    return ATH_OK;
}

static ath_status info_safetensors(const char *path, bool as_json, ath_err *err) {
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, path, err));
    json_t *o = json_object(), *tensors = json_object();
    int64_t numbers = 0;
    for (int i = 0; i < ath_safetensors_count(file); i++) {
        const ath_array *a = ath_safetensors_at(file, i);
        numbers += ath_array_len(a);
        json_object_set_new(
            tensors, a->name,
            json_pack("{s:s, s:o}", "dtype", ath_dtype_name(a->dtype), "shape", shape_of(a->n_dim, a->dim)));
    }
    json_object_set_new(o, "kind", json_string("safetensors"));
    json_object_set_new(o, "tensors", json_integer(ath_safetensors_count(file)));
    json_object_set_new(o, "numbers", json_integer(numbers));
    if (as_json)
        json_object_set(o, "shapes", tensors);
    else
        json_object_update(o, tensors);
    json_decref(tensors);
    show(o, as_json);
    ath_safetensors_close(file);
    return ATH_OK;
}

enum { MOST_GRID_PIXELS = 1 << 24 };

static ath_status write_grid(const ath_dataset *d, const char *path, ath_err *err) {
    const int64_t most = MOST_GRID_PIXELS / ((int64_t)d->h * d->w);
    const int shown = most < 1 ? 1 : most < 100 ? (int)most : 100;
    const int n = d->n < shown ? d->n : shown, cols = (int)ceil(sqrt(n));
    const size_t dim = (size_t)d->h * (size_t)d->w * (size_t)d->c;
    float *x = malloc((size_t)n * dim * sizeof *x);
    if (!x) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (int i = 0; i < n; i++) ath_dataset_image(d, i, false, x + (size_t)i * dim);
    const ath_status status = ath_grid_save(path, x, n, d->h, d->w, d->c, cols, (n + cols - 1) / cols, NULL, 0, err);
    free(x);
    return status;
}

static ath_status info_dataset(const char *path, const options *o, ath_err *err) {
    ath_dataset d;
    ath_dataset_options how = {.image_size = o->image_size,
                               .channels = o->channels,
                               .coarse_labels = o->coarse_labels,
                               .skip_broken = o->skip_broken,
                               .max_pixels = o->max_pixels};
    ATH_TRY(ath_background_parse(o->background, how.background, err));
    ATH_TRY(cli_dataset_open(&d, path, how, &o->from, err));
    const size_t len = (size_t)d.n * (size_t)d.h * (size_t)d.w * (size_t)d.c;
    uint64_t sum = 0, squares = 0; /* of at most 2^33 bytes: exact */
    for (size_t i = 0; i < len; i++) {
        sum += d.pixel[i];
        squares += (uint64_t)d.pixel[i] * d.pixel[i];
    }
    const double mean = (double)sum / (double)len, square = (double)squares / (double)len;
    ath_status status = *o->out ? write_grid(&d, o->out, err) : ATH_OK;
    if (status == ATH_OK) {
        json_t *facts = json_object();
        json_object_set_new(facts, "kind", json_string("dataset"));
        json_object_set_new(facts, "format", json_string(d.format));
        json_object_set_new(facts, "images", json_integer(d.n));
        if (o->skip_broken) json_object_set_new(facts, "skipped", json_integer(d.n_skipped));
        json_object_set_new(facts, "image", json_pack("[i,i,i]", d.w, d.h, d.c));
        json_object_set_new(facts, "classes", json_integer(d.n_class));
        json_t *names = json_array();
        for (int i = 0; i < d.n_class && i < 100; i++) json_array_append_new(names, json_string(d.class_name[i]));
        json_object_set_new(facts, "class_names", names);
        json_object_set_new(facts, "mean", json_real(mean / 127.5 - 1));
        json_object_set_new(facts, "std", json_real(sqrt(fmax(0, square - mean * mean)) / 127.5));
        show(facts, o->json);
    }
    ath_dataset_close(&d);
    return status;
}

static bool holds(const char *folder, const char *name) {
    char *path = ath_path_join(folder, name);
    const bool found = path && ath_path_exists(path);
    free(path);
    return found;
}

static bool ends_with(const char *text, const char *end) {
    const size_t len = strlen(text), tail = strlen(end);
    return len > tail && strcmp(text + len - tail, end) == 0;
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    options o;
    ath_status status = cli_parse(argc, argv, table, N_TABLE, &o, 1, &line, &err);
    if (status == ATH_OK && line.help) {
        print_help();
        return CLI_OK;
    }
    if (status == ATH_OK && line.n_arguments == 0)
        status = ath_fail(&err, ATH_E_ARG, "PATH: say what to describe; see --help");
    if (status != ATH_OK) return cli_fail("info", status, &err);
    const char *path = line.argument[0];
    if (holds(path, "model_index.json") || holds(path, "unet/config.json") || holds(path, "config.json"))
        status = info_run(path, o.json, &err);
    else if (ends_with(path, ".safetensors"))
        status = info_safetensors(path, o.json, &err);
    else if (ends_with(path, ".json"))
        status = info_exact(path, o.json, &err);
    else
        status = info_dataset(path, &o, &err);
    return status == ATH_OK ? CLI_OK : cli_fail("info", status, &err);
}

const cli_command cli_info = {"info", "describe a run, an exact model, a checkpoint or a dataset", run};
