/* Weights on disk: see weights.h. */
#define _POSIX_C_SOURCE 200809L
#include "model/weights.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "base/file.h"
#include "io/safetensors.h"
#include "model/json.h"

/* Where weights may be; the first that is there is read. Those of a variant are diffusers' half precision. */
static const struct {
    const char *name;
    bool index;
} places[] = {
    {"diffusion_pytorch_model.safetensors", false},      {"diffusion_pytorch_model.safetensors.index.json", true},
    {"diffusion_pytorch_model.fp16.safetensors", false}, {"diffusion_pytorch_model.safetensors.index.fp16.json", true},
    {"diffusion_pytorch_model.bf16.safetensors", false}, {"diffusion_pytorch_model.safetensors.index.bf16.json", true},
};
enum { N_PLACES = sizeof places / sizeof *places };

ath_status ath_weights_save(const ath_model *m, const float *params, const char *folder, ath_err *err) {
    const int n = ath_param_count(m->graph);
    char *path = ath_path_join(folder, places[0].name);
    float *disk = malloc((m->n_params + 1) * sizeof *disk);
    ath_array *array = calloc((size_t)n + 1, sizeof *array);
    ath_status status = path && disk && array ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
    for (int i = 0; i < n && status == ATH_OK; i++) {
        const ath_param *p = ath_param_at(m->graph, i);
        ath_param_to_disk(p, params + p->offset, disk + p->offset);
        array[i] = (ath_array){.name = p->name, .dtype = ATH_F32, .n_dim = p->n_dim, .data = disk + p->offset};
        memcpy(array[i].dim, p->dim, sizeof p->dim);
    }
    const ath_meta meta = {"format", "pt"};
    if (status == ATH_OK) status = ath_safetensors_save(path, array, n, &meta, 1, err);
    free(path);
    free(disk);
    free(array);
    return status;
}

/* ---- names ---- */

/* diffusers once renamed the layers of its attention block, and does so with those of older files as it reads them. */
static const struct {
    const char *old, *now;
} renamed[] = {{".query.", ".to_q."}, {".key.", ".to_k."}, {".value.", ".to_v."}, {".proj_attn.", ".to_out.0."}};

/* The parameter that a file calls `name`; NULL when there is none. */
static const ath_param *param_of(const ath_model *m, const char *name) {
    const ath_param *p = ath_param_find(m->graph, name);
    for (size_t i = 0; !p && i < sizeof renamed / sizeof *renamed; i++) {
        const char *at = strstr(name, renamed[i].old);
        char text[320];
        if (!at) continue;
        const int len = snprintf(text, sizeof text, "%.*s%s%s", (int)(at - name), name, renamed[i].now,
                                 at + strlen(renamed[i].old));
        if (len > 0 && (size_t)len < sizeof text) p = ath_param_find(m->graph, text);
    }
    return p;
}

static ath_status foreign(const ath_model *m, const char *name, const char *path, ath_err *err) {
    return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%.100s\" does not belong to this %s", path, name, m->net->name);
}

/* ---- tensors ---- */

static void shape_text(int n_dim, const int64_t *dim, char *text, size_t room) {
    size_t used = (size_t)snprintf(text, room, "[");
    for (int i = 0; i < n_dim && used < room; i++)
        used += (size_t)snprintf(text + used, room - used, "%s%lld", i ? "," : "", (long long)dim[i]);
    if (used < room) snprintf(text + used, room - used, "]");
}

static ath_status load_param(const ath_param *p, const ath_array *a, float *params, const char *path, ath_err *err) {
    bool same = a->n_dim == p->n_dim;
    for (int i = 0; same && i < p->n_dim; i++) same = a->dim[i] == p->dim[i];
    if (!same) {
        char has[96], wants[96];
        shape_text(a->n_dim, a->dim, has, sizeof has);
        shape_text(p->n_dim, p->dim, wants, sizeof wants);
        return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" has shape %s, expected %s", path, a->name, has, wants);
    }
    if (a->dtype != ATH_F32 && a->dtype != ATH_F16 && a->dtype != ATH_BF16 && a->dtype != ATH_F64)
        return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is %s, expected F32, F16, BF16 or F64", path, a->name,
                        ath_dtype_name(a->dtype));
    float *disk = malloc(p->len * sizeof *disk);
    if (!disk) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    ath_array_to_f32(a, disk);
    ath_param_from_disk(p, disk, params + p->offset);
    free(disk);
    return ATH_OK;
}

/* What is being loaded: the model's parameters, and which have been, (n_params) by offset. */
typedef struct loading {
    const ath_model *m;
    float *params;
    bool *had;
} loading;

/* Every tensor of one file. Of a shard, the index must say that each is there, so that no two files hold one. */
static ath_status load_file(const loading *l, const char *path, const char *shard, const json_t *map, ath_err *err) {
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, path, err));
    ath_status status = ATH_OK;
    for (int i = 0; i < ath_safetensors_count(file) && status == ATH_OK; i++) {
        const ath_array *a = ath_safetensors_at(file, i);
        const ath_param *p = param_of(l->m, a->name);
        const char *mapped = json_string_value(json_object_get(map, a->name));
        if (!p)
            status = foreign(l->m, a->name, path, err);
        else if (shard && (!mapped || strcmp(mapped, shard) != 0))
            status = ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is not where the index says it is", path, a->name);
        else if (l->had[p->offset])
            status = ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is given twice, under its old name and its new",
                              path, a->name);
        else
            status = load_param(p, a, l->params, path, err);
        if (status == ATH_OK) l->had[p->offset] = true;
    }
    ath_safetensors_close(file);
    return status;
}

/* ---- shards ---- */

static bool is_plain_name(const char *name) { return *name && *name != '.' && !strchr(name, '/'); }

/* Files are opened in the order of their first tensors, each once. */
static ath_status load_shards(const loading *l, const char *folder, const json_t *map, const char *path, ath_err *err) {
    json_t *seen = json_object();
    ath_status status = seen ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)map, name, value) {
        const char *shard = json_string_value(value);
        if (status == ATH_OK && !param_of(l->m, name)) status = foreign(l->m, name, path, err);
        if (status == ATH_OK && (!shard || !is_plain_name(shard)))
            status = ath_fail(err, ATH_E_FORMAT, "%s: weight_map: %.100s: expected the name of a file beside the index",
                              path, name);
        if (status != ATH_OK) break;
        if (json_object_get(seen, shard)) continue;
        char *file = ath_path_join(folder, shard);
        if (!file || json_object_set_new(seen, shard, json_true()) != 0)
            status = ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
        if (status == ATH_OK) status = load_file(l, file, shard, map, err);
        free(file);
    }
    json_decref(seen);
    return status;
}

static ath_status load_index(const loading *l, const char *folder, const char *path, ath_err *err) {
    json_t *index;
    ATH_TRY(ath_json_read(&index, path, err));
    const json_t *map = json_object_get(index, "weight_map");
    const ath_status status =
        json_is_object(map)
            ? load_shards(l, folder, map, path, err)
            : ath_fail(err, ATH_E_FORMAT, "%s: weight_map: expected an object of tensors and files", path);
    json_decref(index);
    return status;
}

/* ---- the whole ---- */

/* Why a folder with no such file has no weights. */
static ath_status no_weights(const char *folder, ath_err *err) {
    static const char *const pickles[] = {"diffusion_pytorch_model.bin", "diffusion_pytorch_model.bin.index.json",
                                          "diffusion_pytorch_model.fp16.bin"};
    for (int i = 0; i < 3; i++) {
        char *path = ath_path_join(folder, pickles[i]);
        const bool there = path && ath_path_exists(path);
        free(path);
        if (there)
            return ath_fail(
                err, ATH_E_FORMAT,
                "%s: has its weights in %s only, a pickle, which is a program and not read here; diffusers' "
                "save_pretrained(..., safe_serialization=True) writes them as safetensors",
                folder, pickles[i]);
    }
    return ath_fail(err, ATH_E_FORMAT, "%s: has no weights: expected %s or %s", folder, places[0].name, places[1].name);
}

/* The first place that is there, an index or the weights themselves; *path is the caller's to free, NULL on failure. */
static ath_status find_weights(const char *folder, char **path, bool *index, ath_err *err) {
    for (int i = 0; i < N_PLACES; i++) {
        *path = ath_path_join(folder, places[i].name);
        if (!*path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
        *index = places[i].index;
        if (ath_path_exists(*path)) return ATH_OK;
        free(*path);
    }
    *path = NULL;
    return no_weights(folder, err);
}

/* The bytes of all files of a folder: the weights or their shards, and a little more. */
static uint64_t bytes_in(const char *folder) {
    uint64_t total = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry; dir && (entry = readdir(dir)) != NULL;) {
        char *path = ath_path_join(folder, entry->d_name);
        struct stat is;
        if (path && stat(path, &is) == 0 && S_ISREG(is.st_mode)) total += (uint64_t)is.st_size;
        free(path);
    }
    if (dir) closedir(dir);
    return total;
}

/* No dtype takes less than two bytes; the other factor of two leaves it to loading to say which tensor is missing. Of a
 * file that is too small because it was cut off, what it lacks itself says more. */
ath_status ath_weights_check(const ath_model *m, const char *folder, ath_err *err) {
    char *path;
    bool is_index;
    ATH_TRY(find_weights(folder, &path, &is_index, err));
    const uint64_t bytes = bytes_in(folder);
    ath_safetensors *file = NULL;
    ath_status status = ATH_OK;
    if (bytes < m->n_params && !is_index) status = ath_safetensors_open(&file, path, err);
    if (bytes < m->n_params && status == ATH_OK)
        status = ath_fail(
            err, ATH_E_FORMAT,
            "%s: %llu bytes in its folder, too few for the %zu parameters of the %s that config.json describes", path,
            (unsigned long long)bytes, m->n_params, m->net->name);
    ath_safetensors_close(file);
    free(path);
    return status;
}

ath_status ath_weights_load(const ath_model *m, float *params, const char *folder, ath_err *err) {
    const loading l = {m, params, calloc(m->n_params + 1, sizeof(bool))};
    char *path = NULL;
    bool index = false;
    ath_status status = l.had ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
    if (status == ATH_OK) status = find_weights(folder, &path, &index, err);
    if (status == ATH_OK) status = index ? load_index(&l, folder, path, err) : load_file(&l, path, NULL, NULL, err);
    for (int i = 0; i < ath_param_count(m->graph) && status == ATH_OK; i++) {
        const ath_param *p = ath_param_at(m->graph, i);
        if (!l.had[p->offset]) status = ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is missing", path, p->name);
    }
    free(l.had);
    free(path);
    return status;
}
