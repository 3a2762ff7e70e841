/* IDX, the format of MNIST (http://yann.lecun.com/exdb/mnist): two zero bytes, the type
 * of the items, the number of dimensions, each dimension as a big-endian u32, the items.
 * Read here: unsigned bytes, images (n,h,w) or (n,h,w,c), labels (n). */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "io/dataset_private.h"

enum { UNSIGNED_BYTE = 0x08, MAX_HEADER = 4 + 4 * 4 };

typedef struct idx_header {
    int n_dim;
    uint64_t dim[4];
    size_t size; /* bytes before the items */
} idx_header;

static uint32_t big_endian(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What `what` needs: n_dim between the two, of unsigned bytes. */
static ath_status read_header(const char *path, const char *what, int least_dim, int most_dim, idx_header *header,
                              ath_err *err) {
    uint8_t head[MAX_HEADER];
    size_t got;
    ATH_TRY(ath_file_peek(path, head, sizeof head, &got, err));
    if (got < 4) return ath_fail(err, ATH_E_FORMAT, "%s: ends within the IDX header", path);
    if (head[0] != 0 || head[1] != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: not an IDX file: starts with %02x %02x, expected 00 00", path, head[0],
                        head[1]);
    if (head[2] != UNSIGNED_BYTE || head[3] < least_dim || head[3] > most_dim) {
        const char *mistaken = head[2] != UNSIGNED_BYTE ? ""
                               : head[3] == 1           ? " (labels)"
                               : head[3] == 3           ? " (images)"
                                                        : "";
        return ath_fail(
            err, ATH_E_FORMAT,
            "%s: holds IDX data of type 0x%02x with %d dimensions%s, expected %s: type 0x08 (unsigned bytes) with %s "
            "dimensions",
            path, head[2], head[3], mistaken, what, least_dim == most_dim ? "1" : "3 or 4");
    }
    header->n_dim = head[3];
    header->size = 4 + 4 * (size_t)header->n_dim;
    if (got < header->size) return ath_fail(err, ATH_E_FORMAT, "%s: ends within the IDX header", path);
    for (int k = 0; k < header->n_dim; k++) header->dim[k] = big_endian(head + 4 + 4 * k);
    return ATH_OK;
}

/* All of a file that must be `header` and then `n` bytes; *data starts at the items. */
static ath_status read_items(const char *path, const idx_header *header, uint64_t n, uint8_t **data, ath_err *err) {
    const uint64_t expected = header->size + n;
    size_t size;
    const ath_status status = ath_file_read_gz(path, (size_t)expected, data, &size, err);
    if (status != ATH_OK)
        return ath_fail_within(err, status, "expected %llu bytes after the IDX header", (unsigned long long)n);
    if (size != expected) {
        free(*data);
        *data = NULL;
        return ath_fail(err, ATH_E_FORMAT, "%s: ends after %llu bytes, its IDX header promises %llu", path,
                        (unsigned long long)size, (unsigned long long)expected);
    }
    memmove(*data, *data + header->size, (size_t)n);
    return ATH_OK;
}

/* ---- labels ---- */

/* Replaces the last `from` in the file name (not the folder) by `to`, of the same length. */
static bool replace_last(char *path, const char *from, const char *to) {
    char *name = strrchr(path, '/'), *found = NULL;
    for (char *p = name ? name : path; (p = strstr(p, from)) != NULL; p++) found = p;
    if (found) memcpy(found, to, strlen(to));
    return found != NULL;
}

/* The file of labels that goes with one of images: ".../train-images-idx3-ubyte.gz" has
 * ".../train-labels-idx1-ubyte" with or without the ".gz". *labels is NULL without one. */
static ath_status find_labels(const char *images, char **labels, ath_err *err) {
    const size_t len = strlen(images);
    *labels = malloc(len + 4);
    if (!*labels) return ath_fail(err, ATH_E_MEM, "%s: out of memory", images);
    memcpy(*labels, images, len + 1);
    const bool named = replace_last(*labels, "images", "labels");
    if (!replace_last(*labels, "idx3", "idx1")) replace_last(*labels, "idx4", "idx1");
    for (int attempt = 0; named && attempt < 2; attempt++) {
        if (ath_path_exists(*labels)) return ATH_OK;
        if (ath_ends_with(*labels, ".gz"))
            (*labels)[len - 3] = 0;
        else
            strcat(*labels, ".gz");
    }
    free(*labels);
    *labels = NULL;
    return ATH_OK;
}

static ath_status read_labels(ath_dataset *out, const char *path, const char *images, ath_err *err) {
    idx_header header;
    ATH_TRY(read_header(path, "labels", 1, 1, &header, err));
    if (header.dim[0] != (uint64_t)out->n)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds %llu labels, expected %d, one for each image of %s", path,
                        (unsigned long long)header.dim[0], out->n, images);
    uint8_t *data;
    ATH_TRY(read_items(path, &header, header.dim[0], &data, err));
    out->label = malloc((size_t)out->n * sizeof *out->label);
    if (!out->label) {
        free(data);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for %d labels", path, out->n);
    }
    for (int i = 0; i < out->n; i++) {
        out->label[i] = data[i];
        if (data[i] >= out->n_class) out->n_class = data[i] + 1;
    }
    free(data);
    return ath_dataset_number_classes(out, path, err);
}

/* ---- images ---- */

ath_status ath_dataset_read_idx(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    idx_header header;
    ATH_TRY(read_header(path, "images", 3, 4, &header, err));
    ATH_TRY(ath_dataset_check_shape(path, header.dim[0], header.dim[1], header.dim[2],
                                    header.n_dim == 4 ? header.dim[3] : 1, err));
    out->n = (int)header.dim[0];
    out->h = (int)header.dim[1];
    out->w = (int)header.dim[2];
    out->c = header.n_dim == 4 ? (int)header.dim[3] : 1;
    ATH_TRY(
        read_items(path, &header, header.dim[0] * header.dim[1] * header.dim[2] * (uint64_t)out->c, &out->pixel, err));
    char *labels;
    ATH_TRY(find_labels(path, &labels, err));
    const ath_status status = labels ? read_labels(out, labels, path, err) : ATH_OK;
    free(labels);
    ATH_TRY(status);
    return ath_dataset_fit(out, path, options, err);
}
