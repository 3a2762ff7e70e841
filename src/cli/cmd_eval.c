/* athanor eval: how far a set of images is from a data set. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/scoring.h"
#include "io/safetensors.h"

typedef struct options {
    char data[ATH_TEXT_LEN];
    int count, image_size, channels, threads;
    int64_t seed;
    bool json, quiet;
    cli_data_options from; /* of --data; the images are all there are */
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(data, "data"), .type = ATH_OPT_TEXT, .dflt = "", .value = "PATH",
     .help = "the data set that the images should be like"},
    {FIELD(count, "count"), .type = ATH_OPT_INT, .dflt = "10000", .min = 1, .max = 10000000, .value = "N",
     .help = "images of each set at most, evenly over the set"},
    {FIELD(image_size, "image-size"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 4096, .value = "N",
     .help = "crop and resize both to this; 0: the data to the images' size"},
    {FIELD(channels, "channels"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 3, .value = "1|3",
     .help = "of both; 0: as the images are"},
    {FIELD(seed, "seed"), .type = ATH_OPT_INT64, .dflt = "0", .min = -9e15, .max = 9e15, .value = "N",
     .help = "of the scores' own random numbers"},
    {FIELD(threads, "threads"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "0: all cores"},
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print one JSON object"},
    CLI_SPLIT_OPTION(options, from),
    CLI_CACHE_OPTION(options, from.cache),
    {FIELD(quiet, "quiet"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "no progress"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: athanor eval IMAGES --data PATH [options]\n\n"
           "Scores images against a data set. IMAGES is a folder, an IDX file, or a .safetensors of samples: the last "
           "state\n"
           "of a trajectory `x` [steps+1,N,C,H,W], or `x` [N,C,H,W]. `deviation` is what the score's own\n"
           "random numbers contribute.\n\n"
           "  athanor eval samples --data data/mnist\n\n");
    cli_print_options(table, N_TABLE);
}

/* The samples of a file of tensors, as NHWC. */
static ath_status read_tensors(ath_image_set *s, const char *path, ath_err *err) {
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, path, err));
    const ath_array *a = ath_safetensors_find(file, "x");
    const int d = a && a->n_dim == 5 ? 1 : 0;
    ath_status status = ATH_OK;
    bool fits = a && (a->n_dim == 4 || a->n_dim == 5) && (a->dtype == ATH_F32 || a->dtype == ATH_F64);
    for (int k = 0; fits && k < a->n_dim; k++) fits = a->dim[k] >= 1 && a->dim[k] <= INT32_MAX;
    if (!fits)
        status = ath_fail(err, ATH_E_FORMAT,
                          "%s: expected a tensor \"x\", F32 or F64 of shape [N,C,H,W] or [steps+1,N,C,H,W]", path);
    double *raw = NULL, *x = NULL;
    float *out = NULL;
    if (status == ATH_OK) {
        const size_t len = (size_t)ath_array_len(a), last = len / (size_t)(d ? a->dim[0] : 1);
        const ath_shape shape = {(int)a->dim[d + 2], (int)a->dim[d + 3], (int)a->dim[d + 1]};
        raw = malloc(len * sizeof *raw);
        x = malloc(last * sizeof *x);
        out = malloc(last * sizeof *out);
        if (raw && x && out) {
            ath_array_to_f64(a, raw);
            cli_nchw_to_nhwc((size_t)a->dim[d], shape, raw + (len - last), x);
            for (size_t i = 0; i < last; i++) out[i] = (float)x[i];
            *s = (ath_image_set){out, (int)a->dim[d], shape.h, shape.w, shape.c};
        } else {
            status = ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
            free(out);
        }
    }
    free(raw);
    free(x);
    ath_safetensors_close(file);
    return status;
}

static bool is_safetensors(const char *path) {
    const size_t len = strlen(path);
    return len > 12 && strcmp(path + len - 12, ".safetensors") == 0;
}

static ath_status read_sets(const options *o, const char *path, ath_image_set *images, ath_image_set *data,
                            ath_err *err) {
    const cli_data_options as_they_are = {.cache = o->from.cache};
    if (!*o->data) return ath_fail(err, ATH_E_ARG, "--data: say which data set the images should be like");
    ATH_TRY(is_safetensors(path)
                ? read_tensors(images, path, err)
                : cli_image_set_read(images, path, &as_they_are, o->image_size, o->channels, o->count, err));
    if (images->h != images->w)
        return ath_fail(err, ATH_E_ARG, "%s: images of %dx%d are not square; use --image-size", path, images->w,
                        images->h);
    return cli_image_set_read(data, o->data, &o->from, images->h, images->c, o->count, err);
}

static ath_status score_all(const options *o, const ath_image_set *images, const ath_image_set *data, ath_err *err) {
    int n;
    const ath_score *const *all = ath_score_all(&n);
    json_t *object = json_pack("{s:i, s:i}", "images", images->n, "data", data->n);
    for (int i = 0; i < n; i++) {
        double value, deviation;
        const ath_status status =
            ath_score_compute(all[i], images, data, (ath_rng){(uint64_t)o->seed}, o->threads, &value, &deviation, err);
        if (status != ATH_OK) {
            json_decref(object);
            return ath_fail_within(err, status, "%s", all[i]->name);
        }
        json_object_set_new(object, all[i]->name, json_real(value));
        if (!o->json)
            printf("%-8s %.6g +- %.2g   %s, %d images against %d\n", all[i]->name, value, deviation, all[i]->title,
                   images->n, data->n);
    }
    if (o->json)
        cli_print_json(object);
    else
        json_decref(object);
    return ATH_OK;
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    options o;
    ath_image_set images = {0}, data = {0};
    ath_status status = cli_parse(argc, argv, table, N_TABLE, &o, 1, &line, &err);
    if (status == ATH_OK && line.help) {
        print_help();
        return CLI_OK;
    }
    if (status == ATH_OK && line.n_arguments == 0)
        status = ath_fail(&err, ATH_E_ARG, "IMAGES: say which folder, IDX file or .safetensors; see --help");
    if (status == ATH_OK) status = read_sets(&o, line.argument[0], &images, &data, &err);
    if (status == ATH_OK) status = score_all(&o, &images, &data, &err);
    cli_image_set_free(&images);
    cli_image_set_free(&data);
    return status == ATH_OK ? CLI_OK : cli_fail("eval", status, &err);
}

const cli_command cli_eval = {"eval", "score a set of images against a dataset", run};
