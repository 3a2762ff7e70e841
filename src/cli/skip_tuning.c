/* What --tune-skip found, in a run's folder: see skip_tuning.h. */
#include "cli/skip_tuning.h"
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "model/json.h"

static char *path_of(const char *run) { return ath_path_join(run, "skip_tuning.json"); }

static bool is_for(const json_t *entry, const char *sampler, int steps) {
    const char *name = json_string_value(json_object_get(entry, "sampler"));
    return name && strcmp(name, sampler) == 0 && json_integer_value(json_object_get(entry, "steps")) == steps;
}

static void replace(json_t *list, const cli_tuned *t, const char *score) {
    for (size_t i = json_array_size(list); i-- > 0;)
        if (is_for(json_array_get(list, i), t->sampler, t->steps)) json_array_remove(list, i);
    json_array_append_new(list,
                          json_pack("{s:s, s:i, s:f, s:s, s:f, s:f}", "sampler", t->sampler, "steps", t->steps,
                                    "skip_tuning", t->a, "score", score, "value", t->score, "value_without", t->plain));
}

ath_status cli_tuned_store(const char *run, const cli_tuned *tuned, int n, const char *score, ath_err *err) {
    char *path = path_of(run);
    if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", run);
    json_t *root = NULL;
    ath_status status = ATH_OK;
    if (ath_path_exists(path))
        status = ath_json_read(&root, path, err);
    else
        root = json_object();
    if (status == ATH_OK) {
        json_t *list = json_object_get(root, "entries");
        if (!json_is_array(list)) json_object_set_new(root, "entries", list = json_array());
        for (int i = 0; i < n; i++) replace(list, &tuned[i], score);
        status = ath_json_write(root, path, err); /* takes root over */
    } else
        json_decref(root);
    free(path);
    return status;
}

ath_status cli_tuned_find(const char *run, const char *sampler, int steps, double *a, ath_err *err) {
    char *path = path_of(run);
    if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", run);
    json_t *root = NULL;
    ath_status status = ath_path_exists(path)
                            ? ath_json_read(&root, path, err)
                            : ath_fail(err, ATH_E_IO, "%s: not there; `athanor compare --tune-skip` makes it", path);
    const json_t *list = json_object_get(root, "entries"), *best = NULL;
    json_int_t distance = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const json_int_t there = json_integer_value(json_object_get(entry, "steps"));
        if (!is_for(entry, sampler, (int)there)) continue;
        const json_int_t off = there > steps ? there - steps : steps - there;
        if (!best || off < distance) best = entry, distance = off;
    }
    const json_t *value = json_object_get(best, "skip_tuning");
    if (status == ATH_OK && !best)
        status = ath_fail(err, ATH_E_ARG, "%s: nothing was found for the sampler %s; see `athanor compare --tune-skip`",
                          path, sampler);
    else if (status == ATH_OK && !json_is_number(value))
        status = ath_fail(err, ATH_E_FORMAT, "%s: skip_tuning is not a number", path);
    if (status == ATH_OK) *a = json_number_value(value);
    json_decref(root);
    free(path);
    return status;
}
