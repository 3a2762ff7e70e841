/* Reading mixture.json: see mixture_file.h. */
#define _POSIX_C_SOURCE 200809L
#include "model/mixture_file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "io/dataset.h"
#include "model/json.h"

enum { MAX_SIDE = 65536 };
static const uint64_t max_numbers = (uint64_t)1 << 31; /* of all means together */

void ath_exact_model_close(ath_exact_model *m) {
    ath_mixture_destroy(m->mixture);
    ath_scheduler_free(&m->scheduler);
    *m = (ath_exact_model){0};
}

static size_t length_of(ath_shape s) { return (size_t)s.h * (size_t)s.w * (size_t)s.c; }

/* [C,H,W] */
static ath_status read_shape(ath_shape *out, const json_t *o, const char *path, ath_err *err) {
    const json_t *list = json_object_get(o, "shape");
    json_int_t side[3] = {0};
    bool good = json_array_size(list) == 3;
    for (size_t i = 0; i < 3 && good; i++) {
        side[i] = json_integer_value(json_array_get(list, i));
        good = side[i] >= 1 && side[i] <= MAX_SIDE;
    }
    if (!good || (uint64_t)(side[0] * side[1] * side[2]) > max_numbers)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: shape: expected [C,H,W], three sizes from 1 to %d, of at most 2^31 numbers", path,
                        MAX_SIDE);
    *out = (ath_shape){(int)side[1], (int)side[2], (int)side[0]};
    return ATH_OK;
}

/* ---- given parts ---- */

/* Every number of a list of `n`, which the message calls key or key[k]. */
static ath_status read_numbers(const json_t *list, size_t n, double *out, const char *path, const char *key,
                               ath_err *err) {
    if (!json_is_array(list)) return ath_fail(err, ATH_E_FORMAT, "%s: %s: expected a list of numbers", path, key);
    if (json_array_size(list) != n)
        return ath_fail(err, ATH_E_FORMAT, "%s: %s: %zu numbers, expected %zu", path, key, json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_number(item)) return ath_fail(err, ATH_E_FORMAT, "%s: %s: item %zu is not a number", path, key, i);
        out[i] = json_number_value(item);
    }
    return ATH_OK;
}

static ath_status read_means(const json_t *list, size_t parts, ath_shape s, double *mean, const char *path,
                             ath_err *err) {
    const size_t dim = length_of(s), pixels = (size_t)s.h * (size_t)s.w, channels = (size_t)s.c;
    double *planes = malloc(dim * sizeof *planes);
    ath_status status = planes ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (size_t k = 0; k < parts && status == ATH_OK; k++) {
        char key[64];
        snprintf(key, sizeof key, "means[%zu] (of shape's size)", k);
        status = read_numbers(json_array_get(list, k), dim, planes, path, key, err);
        for (size_t i = 0; i < dim && status == ATH_OK; i++)
            mean[k * dim + i % pixels * channels + i / pixels] = planes[i];
    }
    free(planes);
    return status;
}

static ath_status make_parts(ath_exact_model *m, const json_t *o, const char *path, ath_err *err) {
    const json_t *means = json_object_get(o, "means");
    const size_t parts = json_array_size(means);
    if (parts == 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: means: expected a list of lists of numbers (or \"dataset\")", path);
    ATH_TRY(read_shape(&m->image, o, path, err));
    const size_t dim = length_of(m->image);
    if (parts > max_numbers / dim)
        return ath_fail(err, ATH_E_FORMAT, "%s: means: %zu of %zu numbers are more than 2^31", path, parts, dim);
    /* before so much memory is asked for: the first mean has what the shape promises */
    if (json_array_size(json_array_get(means, 0)) != dim)
        return ath_fail(err, ATH_E_FORMAT, "%s: means[0]: %zu numbers, expected %zu, as shape says", path,
                        json_array_size(json_array_get(means, 0)), dim);
    double *weight = malloc(parts * sizeof *weight), *std = malloc(parts * sizeof *std);
    double *mean = malloc(parts * dim * sizeof *mean);
    ath_status status = weight && std && mean ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (status == ATH_OK) status = read_numbers(json_object_get(o, "weights"), parts, weight, path, "weights", err);
    if (status == ATH_OK) status = read_numbers(json_object_get(o, "stds"), parts, std, path, "stds", err);
    if (status == ATH_OK) status = read_means(means, parts, m->image, mean, path, err);
    if (status == ATH_OK) {
        status = ath_mixture_create(&m->mixture, parts, dim, weight, mean, std, err);
        if (status == ATH_E_ARG) ath_fail_within(err, status = ATH_E_FORMAT, "%s", path);
    }
    free(weight);
    free(std);
    free(mean);
    return status;
}

/* ---- a data set ---- */

/* `name` as it is found from the file at `path`; NULL when out of memory. */
static char *beside(const char *path, const char *name) {
    const char *slash = strrchr(path, '/');
    if (name[0] == '/' || !slash) return strdup(name);
    char *folder = strdup(path);
    if (!folder) return NULL;
    folder[slash == path ? 1 : slash - path] = 0;
    char *joined = ath_path_join(folder, name);
    free(folder);
    return joined;
}

static ath_status images_of(ath_exact_model *m, const ath_dataset *d, size_t parts, double std, const char *path,
                            ath_err *err) {
    const size_t dim = length_of(m->image);
    if (parts > max_numbers / dim)
        return ath_fail(err, ATH_E_FORMAT, "%s: dataset: %zu images of %zu numbers are more than 2^31: use \"limit\"",
                        path, parts, dim);
    float *image = malloc(parts * dim * sizeof *image);
    if (!image) return ath_fail(err, ATH_E_MEM, "%s: out of memory for %zu images", path, parts);
    for (size_t k = 0; k < parts; k++) ath_dataset_image(d, (int)k, false, image + k * dim);
    return ath_mixture_from_images(&m->mixture, parts, dim, image, std, err);
}

static ath_status make_dataset(ath_exact_model *m, const json_t *o, const char *path, ath_err *err) {
    const char *name = json_string_value(json_object_get(o, "dataset"));
    ath_dataset_options options = {0};
    double std;
    int limit;
    if (!name) return ath_fail(err, ATH_E_FORMAT, "%s: dataset: expected a path", path);
    if (json_object_get(o, "means") || json_object_get(o, "weights") || json_object_get(o, "stds"))
        return ath_fail(err, ATH_E_FORMAT, "%s: dataset: expected it in place of weights, means and stds", path);
    ATH_TRY(ath_json_number(o, "std", 0, 0, 1e6, &std, path, err));
    ATH_TRY(ath_json_int(o, "image_size", 0, 0, 4096, &options.image_size, path, err));
    ATH_TRY(ath_json_int(o, "limit", 0, 0, INT32_MAX, &limit, path, err));
    char *from = beside(path, name);
    if (!from) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    ath_dataset d = {0};
    ath_status status = ath_dataset_open(&d, from, &options, err);
    if (status != ATH_OK) ath_fail_within(err, status, "%s: dataset", path);
    m->image = (ath_shape){d.h, d.w, d.c};
    ath_shape given = m->image;
    if (status == ATH_OK && json_object_get(o, "shape")) status = read_shape(&given, o, path, err);
    if (status == ATH_OK && (given.h != d.h || given.w != d.w || given.c != d.c))
        status = ath_fail(err, ATH_E_FORMAT, "%s: shape: [%d,%d,%d], but the images are [%d,%d,%d]", path, given.c,
                          given.h, given.w, d.c, d.h, d.w);
    if (status == ATH_OK) status = images_of(m, &d, (size_t)(limit > 0 && limit < d.n ? limit : d.n), std, path, err);
    ath_dataset_close(&d);
    free(from);
    return status;
}

/* ---- the whole ---- */

static ath_status read_process(ath_exact_model *m, const json_t *o, const char *path, ath_err *err) {
    const json_t *process = json_object_get(o, "process"), *schedule = json_object_get(o, "schedule");
    const char *name = process ? json_string_value(process) : ath_process_name(ATH_PROCESS_VP);
    int kind = 0;
    while (name && kind <= ATH_PROCESS_FLOW && strcmp(name, ath_process_name((ath_process_kind)kind)) != 0) kind++;
    if (!name || kind > ATH_PROCESS_FLOW)
        return ath_fail(err, ATH_E_FORMAT, "%s: process: expected \"vp\", \"ve\" or \"flow\"", path);
    if (json_is_null(schedule)) schedule = NULL;
    if (schedule && !json_is_object(schedule))
        return ath_fail(err, ATH_E_FORMAT, "%s: schedule: expected an object", path);
    char where[300];
    snprintf(where, sizeof where, "%s: schedule", path);
    return ath_scheduler_read_process(&m->scheduler, (ath_process_kind)kind, schedule, where, err);
}

static ath_status read_object(ath_exact_model *m, const json_t *o, const char *path, ath_err *err) {
    const char *class = json_string_value(json_object_get(o, "_class_name"));
    if (!class || strcmp(class, "GaussianMixture") != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: _class_name: expected \"GaussianMixture\"", path);
    ATH_TRY(read_process(m, o, path, err));
    return json_object_get(o, "dataset") ? make_dataset(m, o, path, err) : make_parts(m, o, path, err);
}

ath_status ath_exact_model_open(ath_exact_model *out, const char *path, ath_err *err) {
    *out = (ath_exact_model){0};
    json_t *o;
    ATH_TRY(ath_json_read(&o, path, err));
    const ath_status status = read_object(out, o, path, err);
    json_decref(o);
    if (status != ATH_OK) ath_exact_model_close(out);
    return status;
}
