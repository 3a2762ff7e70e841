/* The training state on disk: see state.h. Tensors are named "<part>/<parameter>" and
 * have torch's layouts, as the weights file has. */
#include "train/state.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/option.h"
#include "base/pages.h"
#include "io/safetensors.h"

enum { PARTS = 4 };
static const char *const part_name[PARTS] = {"weights", "ema", "adam_m", "adam_v"};

static float *part(const ath_train_state *s, int i) { return (float *[PARTS]){s->w, s->ema, s->m, s->v}[i]; }

ath_status ath_train_state_create(ath_train_state *s, const ath_model *m, ath_err *err) {
    *s = (ath_train_state){0};
    const size_t bytes = (m->n_params + 1) * sizeof(float);
    s->w = ath_pages_zero(bytes);
    s->ema = ath_pages_zero(bytes);
    s->m = ath_pages_zero(bytes);
    s->v = ath_pages_zero(bytes);
    if (s->w && s->ema && s->m && s->v) return ATH_OK;
    ath_train_state_free(s);
    return ath_fail(err, ATH_E_MEM, "out of memory for the state of %zu parameters", m->n_params);
}

void ath_train_state_free(ath_train_state *s) {
    for (int i = 0; i < PARTS; i++) free(part(s, i));
    *s = (ath_train_state){0};
}

/* "<part>/<parameter>" */
static void tensor_name(char *text, size_t room, int i, const ath_param *p) {
    snprintf(text, room, "%s/%s", part_name[i], p->name);
}

enum { NAME_ROOM = 320 };

ath_status ath_train_state_save(const ath_train_state *s, const ath_model *m, const char *path, ath_err *err) {
    const int n = ath_param_count(m->graph);
    float *disk = malloc(PARTS * (m->n_params + 1) * sizeof *disk);
    ath_array *array = calloc((size_t)(PARTS * n) + 1, sizeof *array);
    char(*names)[NAME_ROOM] = malloc((size_t)(PARTS * n + 1) * sizeof *names);
    ath_status status = disk && array && names ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (int i = 0; i < PARTS && status == ATH_OK; i++)
        for (int j = 0; j < n; j++) {
            const ath_param *p = ath_param_at(m->graph, j);
            float *to = disk + (size_t)i * m->n_params + p->offset;
            ath_param_to_disk(p, part(s, i) + p->offset, to);
            tensor_name(names[i * n + j], NAME_ROOM, i, p);
            array[i * n + j] = (ath_array){.name = names[i * n + j], .dtype = ATH_F32, .n_dim = p->n_dim, .data = to};
            memcpy(array[i * n + j].dim, p->dim, sizeof p->dim);
        }
    if (status == ATH_OK) {
        char step[32], updates[32], skipped[32], loss_ema[32], seconds[32], sigma_data[32];
        snprintf(step, sizeof step, "%" PRId64, s->step);
        snprintf(updates, sizeof updates, "%" PRId64, s->updates);
        snprintf(skipped, sizeof skipped, "%" PRId64, s->skipped);
        snprintf(loss_ema, sizeof loss_ema, "%.17g", s->loss_ema);
        snprintf(seconds, sizeof seconds, "%.17g", s->seconds);
        snprintf(sigma_data, sizeof sigma_data, "%.17g", s->sigma_data);
        const ath_meta meta[] = {{"format", "pt"},           {"step", step},
                                 {"updates", updates},       {"skipped", skipped},
                                 {"loss_ema", loss_ema},     {"seconds", seconds},
                                 {"sigma_data", sigma_data}, {"rng", "philox4x32-10, a function of seed and step"}};
        status = ath_safetensors_save(path, array, PARTS * n, meta, sizeof meta / sizeof *meta, err);
    }
    free(disk);
    free(array);
    free(names);
    return status;
}

static ath_status load_count(const ath_safetensors *file, const char *key, int64_t *out, const char *path,
                             ath_err *err) {
    const char *text = ath_safetensors_meta(file, key);
    if (!text || !ath_parse_int64(text, out) || *out < 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: metadata \"%s\" is missing or not a count", path, key);
    return ATH_OK;
}

static ath_status load_number(const ath_safetensors *file, const char *key, double *out, const char *path,
                              ath_err *err) {
    const char *text = ath_safetensors_meta(file, key);
    if (!text || !ath_parse_double(text, out))
        return ath_fail(err, ATH_E_FORMAT, "%s: metadata \"%s\" is missing or not a number", path, key);
    return ATH_OK;
}

static ath_status load_tensor(const ath_safetensors *file, const ath_param *p, int i, float *to, float *disk,
                              const char *path, ath_err *err) {
    char name[NAME_ROOM];
    tensor_name(name, sizeof name, i, p);
    const ath_array *a = ath_safetensors_find(file, name);
    bool same = a && a->dtype == ATH_F32 && a->n_dim == p->n_dim;
    for (int k = 0; same && k < p->n_dim; k++) same = a->dim[k] == p->dim[k];
    if (!same)
        return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is missing or of another shape than this network's", path,
                        name);
    ath_array_to_f32(a, disk);
    ath_param_from_disk(p, disk, to + p->offset);
    return ATH_OK;
}

ath_status ath_train_state_load(ath_train_state *s, const ath_model *m, const char *path, ath_err *err) {
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, path, err));
    float *disk = malloc((m->n_params + 1) * sizeof *disk);
    const int n = ath_param_count(m->graph);
    ath_status status = disk ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (status == ATH_OK && ath_safetensors_count(file) != PARTS * n)
        status = ath_fail(err, ATH_E_FORMAT, "%s: holds %d tensors, expected %d: a checkpoint of another network", path,
                          ath_safetensors_count(file), PARTS * n);
    for (int i = 0; i < PARTS && status == ATH_OK; i++)
        for (int j = 0; j < n && status == ATH_OK; j++)
            status = load_tensor(file, ath_param_at(m->graph, j), i, part(s, i), disk, path, err);
    if (status == ATH_OK) status = load_count(file, "step", &s->step, path, err);
    if (status == ATH_OK) status = load_count(file, "updates", &s->updates, path, err);
    if (status == ATH_OK) status = load_count(file, "skipped", &s->skipped, path, err);
    if (status == ATH_OK) status = load_number(file, "loss_ema", &s->loss_ema, path, err);
    if (status == ATH_OK) status = load_number(file, "seconds", &s->seconds, path, err);
    if (status == ATH_OK && ath_safetensors_meta(file, "sigma_data"))
        status = load_number(file, "sigma_data", &s->sigma_data, path, err);
    free(disk);
    ath_safetensors_close(file);
    return status;
}
