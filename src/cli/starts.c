/* Given starting states: see starts.h. */
#include "cli/starts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "cli/tensors.h"

void cli_starts_free(cli_starts *s) {
    free(s->start);
    free(s->noise);
    free(s->labels);
    *s = (cli_starts){0};
}

/* A tensor [lead,]N,C,H,W of the file as doubles in NHWC; *lead is 1 where there is none. */
static ath_status read_images(const cli_starts *s, const ath_source *source, const char *path, const ath_array *a,
                              bool has_lead, double **out, int *lead, ath_err *err) {
    const ath_shape shape = source->image;
    const int d = has_lead ? 1 : 0;
    const bool fits = a->n_dim == 4 + d && a->dim[d] == s->count && a->dim[d + 1] == shape.c &&
                      a->dim[d + 2] == shape.h && a->dim[d + 3] == shape.w &&
                      (a->dtype == ATH_F32 || a->dtype == ATH_F64);
    if (!fits)
        return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is not F32 or F64 of shape [%s%d,%d,%d,%d]", path,
                        a->name, has_lead ? "draws," : "", s->count, shape.c, shape.h, shape.w);
    const size_t len = (size_t)ath_array_len(a);
    double *raw = malloc((len + 1) * sizeof *raw);
    *out = malloc((len + 1) * sizeof **out);
    if (!raw || !*out) {
        free(raw);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    }
    ath_array_to_f64(a, raw);
    cli_nchw_to_nhwc(len / source->dim, shape, raw, *out);
    free(raw);
    *lead = has_lead ? (int)a->dim[0] : 1;
    return ATH_OK;
}

/* The classes that `athanor invert` found the images in. */
static ath_status read_labels(cli_starts *s, const ath_source *source, const ath_safetensors *file, const char *path,
                              ath_err *err) {
    double *label = NULL;
    ath_status status = cli_tensor_read(file, path, "class_labels", s->count, NULL, &label, err);
    s->labels = malloc((size_t)s->count * sizeof *s->labels + 1);
    if (status == ATH_OK && !s->labels) status = ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (int i = 0; i < s->count && status == ATH_OK; i++) {
        if (!(label[i] >= 0 && label[i] < source->classes))
            status =
                ath_fail(err, ATH_E_FORMAT, "%s: class_labels %d is not from 0 to %d", path, i, source->classes - 1);
        else
            s->labels[i] = (int32_t)label[i];
    }
    free(label);
    return status;
}

ath_status cli_starts_read(cli_starts *s, const ath_source *source, const char *path, int count, ath_err *err) {
    *s = (cli_starts){.count = count};
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, path, err));
    const ath_array *unit = ath_safetensors_find(file, "x_init"), *state = ath_safetensors_find(file, "x_start");
    const ath_array *noise = ath_safetensors_find(file, "noise"), *start = state ? state : unit;
    ath_status status = ATH_OK;
    int one;
    if (!start) status = ath_fail(err, ATH_E_FORMAT, "%s: expected a tensor x_init or x_start", path);
    if (start && count == 0 && start->n_dim == 4 && start->dim[0] > 0 && start->dim[0] < 1000000)
        s->count = (int)start->dim[0];
    if (status == ATH_OK) status = read_images(s, source, path, start, false, &s->start, &one, err);
    if (status == ATH_OK && noise) status = read_images(s, source, path, noise, true, &s->noise, &s->n_noise, err);
    if (status == ATH_OK && source->classes && ath_safetensors_find(file, "class_labels"))
        status = read_labels(s, source, file, path, err);
    s->is_state = state != NULL;
    ath_safetensors_close(file);
    return status;
}

/* sin((1-u) w)/sin(w) a + sin(u w)/sin(w) b, w the angle between a and b */
static void slerp(const double *a, const double *b, double u, size_t dim, double *out) {
    double aa = 0, bb = 0, ab = 0;
    for (size_t i = 0; i < dim; i++) aa += a[i] * a[i], bb += b[i] * b[i], ab += a[i] * b[i];
    const double cosine = fmax(-1, fmin(1, ab / sqrt(aa * bb))), angle = acos(cosine);
    const bool straight = !(sin(angle) > 1e-6); /* the same seed twice */
    const double ka = straight ? 1 - u : sin((1 - u) * angle) / sin(angle);
    const double kb = straight ? u : sin(u * angle) / sin(angle);
    for (size_t i = 0; i < dim; i++) out[i] = ka * a[i] + kb * b[i];
}

ath_status cli_starts_between(cli_starts *s, const ath_source *source, const char *seeds, int cols, int rows,
                              ath_err *err) {
    *s = (cli_starts){.count = cols * rows};
    char first[32];
    int64_t from, to;
    const char *colon = strchr(seeds, ':');
    const size_t len = strcspn(seeds, ":");
    if (len < sizeof first) {
        memcpy(first, seeds, len);
        first[len] = 0;
    }
    if (!colon || len >= sizeof first || !ath_parse_int64(first, &from) || !ath_parse_int64(colon + 1, &to))
        return ath_fail(err, ATH_E_ARG, "--interpolate: \"%s\" is not SEED_A:SEED_B, such as 1:2", seeds);
    const size_t dim = source->dim;
    double *ends = malloc(2 * dim * sizeof *ends);
    s->start = malloc(((size_t)s->count * dim + 1) * sizeof *s->start);
    if (!ends || !s->start) {
        free(ends);
        return ath_fail(err, ATH_E_MEM, "out of memory");
    }
    for (int r = 0; r < rows; r++) {
        ath_rng_normal_f64((ath_rng){(uint64_t)from}, ATH_S_START, (uint64_t)r, ends, dim);
        ath_rng_normal_f64((ath_rng){(uint64_t)to}, ATH_S_START, (uint64_t)r, ends + dim, dim);
        for (int k = 0; k < cols; k++)
            slerp(ends, ends + dim, cols > 1 ? (double)k / (cols - 1) : 0, dim,
                  s->start + (size_t)(r * cols + k) * dim);
    }
    free(ends);
    return ATH_OK;
}
