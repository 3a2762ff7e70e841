/* CIFAR-10 and CIFAR-100 as binary files (https://www.cs.toronto.edu/~kriz/cifar.html), zipped
 * or not: records of one label byte, of CIFAR-100 two, coarse and fine, and 32 x 32 pixels as
 * a plane of red, one of green, one of blue. There is no header: the size is all that tells. */
#define _POSIX_C_SOURCE 200809L
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "io/dataset_private.h"

enum { SIDE = 32, PLANE = SIDE * SIDE, IMAGE = 3 * PLANE, MAX_FILE = 1 << 30, MAX_NAMES = 1 << 16 };

typedef struct cifar_kind {
    const char *name, *train, *test; /* the files' names start so */
    int n_label;                     /* bytes of a record         */
    struct {
        int n_class;
        const char *names; /* the file of the classes' names, a line each */
    } label[2];
} cifar_kind;

static const cifar_kind cifar_10 = {"CIFAR-10", "data_batch_", "test_batch.bin", 1, {{10, "batches.meta.txt"}}};
static const cifar_kind cifar_100 = {
    "CIFAR-100", "train.bin", "test.bin", 2, {{20, "coarse_label_names.txt"}, {100, "fine_label_names.txt"}}};

static size_t record_of(const cifar_kind *kind) { return (size_t)kind->n_label + IMAGE; }

/* Which label is asked for: the last, the fine one, unless it is to be the coarse. */
static int label_of(const cifar_kind *kind, const ath_dataset_options *options) {
    return options->coarse_labels ? 0 : kind->n_label - 1;
}

/* ---- records ---- */

static ath_status make_room(ath_dataset *out, const char *path, size_t n, ath_err *err) {
    if (n > ath_max_bytes / IMAGE - (size_t)out->n)
        return ath_fail(err, ATH_E_FORMAT, "%s: with it the images are more than the 2^33 bytes allowed", path);
    const size_t total = (size_t)out->n + n; /* < 2^22 */
    uint8_t *pixel = realloc(out->pixel, total * IMAGE);
    if (pixel) out->pixel = pixel;
    int32_t *label = realloc(out->label, total * sizeof *label);
    if (label) out->label = label;
    if (!pixel || !label) return ath_fail(err, ATH_E_MEM, "%s: out of memory for %zu images", path, total);
    return ATH_OK;
}

static void from_planes(const uint8_t *plane, uint8_t *pixel) {
    for (int i = 0; i < PLANE; i++)
        for (int k = 0; k < 3; k++) pixel[3 * i + k] = plane[k * PLANE + i];
}

/* Adds a file's records to those that are there. */
static ath_status add_records(ath_dataset *out, const cifar_kind *kind, int which, const char *path,
                              const uint8_t *data, size_t size, ath_err *err) {
    const size_t record = record_of(kind), n = size / record;
    if (size == 0) return ath_fail(err, ATH_E_FORMAT, "%s: the file is empty", path);
    if (size % record != 0)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: ends within a record: it has %zu bytes, expected a multiple of the %zu of %s", path, size,
                        record, kind->name);
    ATH_TRY(make_room(out, path, n, err));
    for (size_t i = 0; i < n; i++, data += record) {
        for (int k = 0; k < kind->n_label; k++)
            if (data[k] >= kind->label[k].n_class)
                return ath_fail(err, ATH_E_FORMAT, "%s: record %zu has label %d, expected 0 to %d of %s", path, i,
                                data[k], kind->label[k].n_class - 1, kind->name);
        out->label[out->n] = data[which];
        from_planes(data + kind->n_label, out->pixel + (size_t)out->n * IMAGE);
        out->n++;
    }
    return ATH_OK;
}

static ath_status add_file(ath_dataset *out, const cifar_kind *kind, int which, const char *path, ath_err *err) {
    uint8_t *data;
    size_t size;
    ATH_TRY(ath_file_read_gz(path, MAX_FILE, &data, &size, err));
    const ath_status status = add_records(out, kind, which, path, data, size, err);
    free(data);
    return status;
}

/* ---- names of classes ---- */

/* Lines that are not blank become names: exactly `out->n_class`. */
static ath_status take_names(ath_dataset *out, const char *path, char *text, ath_err *err) {
    out->class_name = calloc((size_t)out->n_class, sizeof *out->class_name);
    if (!out->class_name) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    int n = 0;
    for (char *rest = text, *line; (line = strtok_r(rest, "\r\n", &rest)) != NULL; n++)
        if (n < out->n_class && !(out->class_name[n] = strdup(line)))
            return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (n != out->n_class)
        return ath_fail(err, ATH_E_FORMAT, "%s: names %d classes, expected %d, one a line", path, n, out->n_class);
    return ATH_OK;
}

/* From the file beside the images; numbers when there is none. */
static ath_status name_classes(ath_dataset *out, const cifar_kind *kind, int which, const char *folder, ath_err *err) {
    out->n_class = kind->label[which].n_class;
    char *path = ath_path_join(folder, kind->label[which].names);
    if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
    ath_status status;
    if (!ath_path_exists(path)) {
        status = ath_dataset_number_classes(out, folder, err);
    } else {
        uint8_t *text = NULL;
        size_t size;
        status = ath_file_read(path, MAX_NAMES, &text, &size, err);
        if (status == ATH_OK) status = take_names(out, path, (char *)text, err);
        free(text);
    }
    free(path);
    return status;
}

/* ---- a folder or a file ---- */

static ath_status finish(ath_dataset *out, const cifar_kind *kind, const char *path, const char *folder,
                         const ath_dataset_options *options, ath_err *err) {
    out->h = out->w = SIDE;
    out->c = 3;
    out->format = strdup(kind->name);
    ATH_TRY(name_classes(out, kind, label_of(kind, options), folder, err));
    return ath_dataset_fit(out, path, options, err);
}

static bool is_part(const char *name, const char *start) {
    return strncmp(name, start, strlen(start)) == 0 && (ath_ends_with(name, ".bin") || ath_ends_with(name, ".bin.gz"));
}

/* "x.bin.gz" is not read where "x.bin", which sorts before it, was. */
static bool is_zipped_twin(const char *name, const char *last) {
    return last && strlen(name) == strlen(last) + 3 && strncmp(name, last, strlen(last)) == 0;
}

static ath_status read_parts(ath_dataset *out, const cifar_kind *kind, const char *start, const char *folder,
                             const ath_names *names, const ath_dataset_options *options, ath_err *err) {
    const char *last = NULL;
    for (int i = 0; i < names->n; i++) {
        if (!is_part(names->name[i], start) || is_zipped_twin(names->name[i], last)) continue;
        last = names->name[i];
        char *path = ath_path_join(folder, last);
        if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
        const ath_status status = add_file(out, kind, label_of(kind, options), path, err);
        free(path);
        ATH_TRY(status);
    }
    return finish(out, kind, folder, folder, options, err);
}

static bool has_part(const ath_names *names, const char *start) {
    for (int i = 0; i < names->n; i++)
        if (is_part(names->name[i], start)) return true;
    return false;
}

ath_status ath_dataset_read_cifar_folder(ath_dataset *out, const char *path, const ath_dataset_options *options,
                                         bool *found, ath_err *err) {
    *found = true;
    ath_names names;
    ATH_TRY(ath_list_folder(path, &names, err));
    const cifar_kind *kind = has_part(&names, cifar_10.train) || has_part(&names, cifar_10.test)     ? &cifar_10
                             : has_part(&names, cifar_100.train) || has_part(&names, cifar_100.test) ? &cifar_100
                                                                                                     : NULL;
    ath_status status = ATH_OK;
    if (!kind) {
        *found = false;
    } else {
        const char *start = options->test_split ? kind->test : kind->train;
        status = has_part(&names, start)
                     ? read_parts(out, kind, start, path, &names, options, err)
                     : ath_fail(err, ATH_E_FORMAT, "%s: holds files of %s but no %s*, expected for the %s split", path,
                                kind->name, start, options->test_split ? "test" : "training");
    }
    ath_names_free(&names);
    return status;
}

/* The folder of a file: malloc'ed, NULL when out of memory. */
static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) return strdup(".");
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

static ath_status read_one(ath_dataset *out, const char *path, const uint8_t *data, size_t size, const char *folder,
                           const ath_dataset_options *options, ath_err *err) {
    const cifar_kind *kind = size % record_of(&cifar_10) == 0    ? &cifar_10
                             : size % record_of(&cifar_100) == 0 ? &cifar_100
                                                                 : NULL;
    if (!kind)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: has %zu bytes, expected a whole number of records of CIFAR-10 (%zu bytes) or CIFAR-100 "
                        "(%zu)",
                        path, size, record_of(&cifar_10), record_of(&cifar_100));
    ATH_TRY(add_records(out, kind, label_of(kind, options), path, data, size, err));
    return finish(out, kind, path, folder, options, err);
}

ath_status ath_dataset_read_cifar(ath_dataset *out, const char *path, const ath_dataset_options *options,
                                  ath_err *err) {
    uint8_t *data;
    size_t size;
    ATH_TRY(ath_file_read_gz(path, MAX_FILE, &data, &size, err));
    char *folder = folder_of(path);
    const ath_status status = folder ? read_one(out, path, data, size, folder, options, err)
                                     : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    free(folder);
    free(data);
    return status;
}
