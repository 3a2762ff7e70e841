/* Which reader a path is for, and what data sets of every format share: see dataset.h. */
#define _POSIX_C_SOURCE 200809L
#include "io/dataset.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "io/dataset_private.h"
#include "io/picture.h"

ath_status ath_dataset_check_shape(const char *path, uint64_t n, uint64_t h, uint64_t w, uint64_t c, ath_err *err) {
    if (n < 1) return ath_fail(err, ATH_E_FORMAT, "%s: holds no images", path);
    if (h < 1 || w < 1 || h > ATH_MAX_SIDE || w > ATH_MAX_SIDE)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds images of %llu x %llu pixels, expected 1 to %d on a side", path,
                        (unsigned long long)w, (unsigned long long)h, ATH_MAX_SIDE);
    if (c != 1 && c != 3)
        return ath_fail(err, ATH_E_FORMAT, "%s: holds images of %llu channels, expected 1 or 3", path,
                        (unsigned long long)c);
    /* n < 2^31, h and w <= 2^12, c <= 3: no product below overflows */
    if (n > INT_MAX || n * h * w * c > ath_max_bytes)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: promises %llu images of %llu x %llu x %llu, more than the 2^33 bytes allowed", path,
                        (unsigned long long)n, (unsigned long long)h, (unsigned long long)w, (unsigned long long)c);
    return ATH_OK;
}

ath_status ath_dataset_allocate(ath_dataset *out, const char *path, int n, int h, int w, int c, ath_err *err) {
    if (h > ATH_MAX_SIDE || w > ATH_MAX_SIDE)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: holds images of %d x %d pixels, expected at most %d on a side: see --image-size", path, w,
                        h, ATH_MAX_SIDE);
    /* 2^31 images of 2^24 pixels of 3 bytes: no overflow */
    const uint64_t bytes = (uint64_t)n * (uint64_t)h * (uint64_t)w * (uint64_t)c;
    if (bytes > ath_max_bytes)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: %d images of %d x %d x %d are more than the 2^33 bytes allowed: see --image-size", path, n,
                        h, w, c);
    out->pixel = malloc((size_t)bytes);
    if (!out->pixel)
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for %d images of %d x %d x %d", path, n, h, w, c);
    return ATH_OK;
}

ath_status ath_dataset_number_classes(ath_dataset *out, const char *path, ath_err *err) {
    out->class_name = calloc((size_t)out->n_class, sizeof *out->class_name);
    for (int k = 0; out->class_name && k < out->n_class; k++) {
        char *name = out->class_name[k] = malloc(12);
        if (!name) break;
        snprintf(name, 12, "%d", k);
    }
    if (!out->class_name || !out->class_name[out->n_class - 1])
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    return ATH_OK;
}

ath_status ath_dataset_fit(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    const int side = out->h < out->w ? out->h : out->w;
    const int size = options->image_size, c = options->channels ? options->channels : out->c;
    const bool resizes = size && (size != out->h || size != out->w);
    if (!resizes && c == out->c) return ATH_OK;
    const int h = resizes ? size : out->h, w = resizes ? size : out->w;
    const size_t from_len = (size_t)out->h * (size_t)out->w * (size_t)out->c, len = (size_t)h * (size_t)w;
    ath_dataset fitted = {0};
    ath_resizer resizer = {0};
    uint8_t *square = malloc(len * 3);
    ath_status status = ath_dataset_allocate(&fitted, path, out->n, h, w, c, err);
    if (status == ATH_OK && (!square || (resizes && !ath_resizer_prepare(&resizer, side, size))))
        status = ath_fail(err, ATH_E_MEM, "%s: out of memory for images of %d x %d pixels", path, w, h);
    for (int i = 0; status == ATH_OK && i < out->n; i++) {
        const uint8_t *image = out->pixel + (size_t)i * from_len;
        if (resizes) {
            ath_resize(&resizer, image, out->h, out->w, out->c, square);
            image = square;
        }
        ath_set_channels(image, len, out->c, fitted.pixel + (size_t)i * len * (size_t)c, c);
    }
    free(square);
    ath_resizer_free(&resizer);
    if (status != ATH_OK) {
        free(fitted.pixel);
        return status;
    }
    free(out->pixel);
    out->pixel = fitted.pixel;
    out->h = h;
    out->w = w;
    out->c = c;
    return ATH_OK;
}

/* The first IDX file of images in a folder whose name starts with `prefix`; NULL without one. */
static ath_status find_images(const char *path, const char *prefix, char **found, ath_err *err) {
    *found = NULL;
    ath_names names;
    ATH_TRY(ath_list_folder(path, &names, err));
    ath_status status = ATH_OK;
    for (int i = 0; status == ATH_OK && !*found && i < names.n; i++) {
        if (strncmp(names.name[i], prefix, strlen(prefix)) != 0 || ath_ends_with(names.name[i], ".png")) continue;
        *found = ath_path_join(path, names.name[i]);
        if (!*found) {
            status = ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
        } else if (ath_path_is_dir(*found)) {
            free(*found);
            *found = NULL;
        }
    }
    ath_names_free(&names);
    return status;
}

static const char *const split_prefix[2] = {"train-images", "t10k-images"};

static ath_status fail_test_split(const char *path, ath_err *err) {
    return ath_fail(err, ATH_E_ARG,
                    "%s: a test split was asked for, expected a folder with MNIST's t10k-images* or CIFAR's "
                    "test_batch.bin or test.bin, or an .npz with x_test",
                    path);
}

static ath_status open_folder(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    char *images, *others;
    ATH_TRY(find_images(path, split_prefix[options->test_split], &images, err));
    if (images) {
        out->format = strdup("IDX");
        const ath_status status = ath_dataset_read_idx(out, images, options, err);
        free(images);
        return status;
    }
    ATH_TRY(find_images(path, split_prefix[!options->test_split], &others, err));
    if (others) {
        free(others);
        return ath_fail(err, ATH_E_FORMAT, "%s: holds %s* but no %s*, expected for the %s split", path,
                        split_prefix[!options->test_split], split_prefix[options->test_split],
                        options->test_split ? "test" : "training");
    }
    bool is_cifar;
    ATH_TRY(ath_dataset_read_cifar_folder(out, path, options, &is_cifar, err));
    if (is_cifar) return ATH_OK;
    if (options->test_split) return fail_test_split(path, err);
    out->format = strdup("folder of pictures");
    return ath_dataset_read_folder(out, path, options, err);
}

static ath_status open_file(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    static const uint8_t png[4] = {0x89, 'P', 'N', 'G'}, jpeg[3] = {0xff, 0xd8, 0xff}, npy[4] = {0x93, 'N', 'U', 'M'};
    const char *expected =
        "expected an IDX, CIFAR .bin, .npy or .npz file, or a folder of PNG, JPEG, IDX or CIFAR files";
    uint8_t head[4] = {0};
    size_t got;
    ATH_TRY(ath_file_peek(path, head, sizeof head, &got, err));
    if (got == 0) return ath_fail(err, ATH_E_FORMAT, "%s: the file is empty: %s", path, expected);
    const bool is_jpeg = memcmp(head, jpeg, 3) == 0;
    if (is_jpeg || memcmp(head, png, 4) == 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: is a single %s picture: %s", path, is_jpeg ? "JPEG" : "PNG", expected);
    if (head[0] == 'P' && head[1] == 'K') {
        out->format = strdup("NumPy .npz");
        return ath_dataset_read_npz(out, path, options, err);
    }
    if (options->test_split) return fail_test_split(path, err);
    if (memcmp(head, npy, 4) == 0) {
        out->format = strdup("NumPy .npy");
        return ath_dataset_read_npy(out, path, options, err);
    }
    const bool is_idx = head[0] == 0 && head[1] == 0 && head[2] == 8 && (head[3] == 3 || head[3] == 4);
    if (!is_idx && (ath_ends_with(path, ".bin") || ath_ends_with(path, ".bin.gz")))
        return ath_dataset_read_cifar(out, path, options, err);
    if (head[0] != 0 || head[1] != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: starts with %02x %02x and is no data set: %s", path, head[0], head[1],
                        expected);
    out->format = strdup("IDX");
    return ath_dataset_read_idx(out, path, options, err);
}

static ath_status open_any(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    if (options->image_size < 0 || options->image_size > ATH_MAX_SIDE)
        return ath_fail(err, ATH_E_ARG, "image_size: %d, expected 1 to %d, or 0 for the images' own",
                        options->image_size, ATH_MAX_SIDE);
    if (options->channels != 0 && options->channels != 1 && options->channels != 3)
        return ath_fail(err, ATH_E_ARG, "channels: %d, expected 1 (grey), 3 (RGB) or 0 for the images' own",
                        options->channels);
    if (options->max_pixels < 0 || options->max_pixels > ATH_MOST_PIXELS)
        return ath_fail(err, ATH_E_ARG, "max_pixels: %lld, expected at most 2^30, or 0 for the usual 2^27",
                        (long long)options->max_pixels);
    if (!ath_path_exists(path))
        return ath_fail(err, ATH_E_IO, "%s: cannot open the data set: %s", path, strerror(errno));
    if (ath_path_is_dir(path))
        ATH_TRY(open_folder(out, path, options, err));
    else
        ATH_TRY(open_file(out, path, options, err));
    if (!out->format) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (options->coarse_labels && strcmp(out->format, "CIFAR-100") != 0)
        return ath_fail(err, ATH_E_ARG, "coarse_labels: %s is %s, expected CIFAR-100, which alone has them", path,
                        out->format);
    return ATH_OK;
}

ath_status ath_dataset_open(ath_dataset *out, const char *path, const ath_dataset_options *options, ath_err *err) {
    const ath_dataset_options as_it_is = {0};
    *out = (ath_dataset){0};
    const ath_status status = open_any(out, path, options ? options : &as_it_is, err);
    if (status != ATH_OK) ath_dataset_close(out);
    return status;
}

void ath_dataset_close(ath_dataset *d) {
    for (int k = 0; d->class_name && k < d->n_class; k++) free(d->class_name[k]);
    free(d->class_name);
    free(d->pixel);
    free(d->label);
    free(d->format);
    *d = (ath_dataset){0};
}

void ath_dataset_image(const ath_dataset *d, int i, bool mirror, float *x) {
    ATH_ASSERT(i >= 0 && i < d->n);
    const size_t h = (size_t)d->h, w = (size_t)d->w, c = (size_t)d->c;
    const uint8_t *image = d->pixel + (size_t)i * h * w * c;
    for (size_t v = 0; v < h; v++)
        for (size_t u = 0; u < w; u++) {
            const uint8_t *p = image + (v * w + (mirror ? w - 1 - u : u)) * c;
            for (size_t k = 0; k < c; k++) *x++ = (float)p[k] / 127.5f - 1;
        }
}
