/* The other files of a run directory, and --levels. The first byte says which follows:
 *   t train.json                  s training_state.safetensors, as header and data
 *   l log.csv, one in 64 plotted, which takes long
 *   k skip_tuning.json            0, 1, 2 --levels FILE.json for a vp, ve or flow process */
#define _GNU_SOURCE
#include "cli/recipe.h"
#include "cli/skip_tuning.h"
#include "model/json.h"
#include "source.h"
#include "tensors.h"
#include "train/log.h"
#include "train/state.h"

static void read_options(fuzz_part file) {
    fuzz_put("train.json", file.data, file.size);
    int n;
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    ath_err err = {0};
    json_t *object;
    ath_options_default(table, n, &o);
    ath_status status = ath_json_read(&object, fuzz_path("train.json"), &err);
    fuzz_check(status, &err);
    if (status != ATH_OK) return;
    status = ath_options_from_json(table, n, &o, object, true, "train.json", &err);
    fuzz_check(status, &err);
    json_decref(object);
    object = json_object();
    if (status == ATH_OK && (!ath_options_to_json(table, n, &o, object) ||
                             ath_json_write(json_incref(object), fuzz_path("written.json"), &err) != ATH_OK))
        fuzz_fail("options that were read cannot be written");
    json_decref(object);
}

static void read_state(fuzz_part rest) {
    static ath_model *model;
    static ath_train_state state;
    ath_err err = {0};
    if (!model) {
        model = fuzz_model();
        if (ath_train_state_create(&state, model, &err) != ATH_OK) fuzz_fail(err.text);
    }
    if (!fuzz_put_tensors("training_state.safetensors", &rest)) return;
    fuzz_check(ath_train_state_load(&state, model, fuzz_path("training_state.safetensors"), &err), &err);
}

static void read_log(fuzz_part file) {
    fuzz_put("log.csv", file.data, file.size);
    ath_err err = {0};
    ath_log *log;
    const ath_status status = ath_log_open(&log, fuzz_path("log.csv"), 1000, &err);
    fuzz_check(status, &err);
    if (status == ATH_OK && file.size % 64 == 0) fuzz_check(ath_log_plot(log, fuzz_path("loss.png"), &err), &err);
    ath_log_close(log);
}

static void read_tuning(fuzz_part file) {
    fuzz_put("skip_tuning.json", file.data, file.size);
    const cli_tuned found = {.sampler = "heun", .steps = 7, .a = 0.9, .score = 1, .plain = 2};
    ath_err err = {0};
    double a;
    char folder[160];
    strcpy(folder, fuzz_path("."));
    fuzz_check(cli_tuned_find(folder, "heun", 10, &a, &err), &err);
    const ath_status status = cli_tuned_store(folder, &found, 1, "fd", &err);
    fuzz_check(status, &err);
    if (status == ATH_OK && (cli_tuned_find(folder, "heun", 7, &a, &err) != ATH_OK || a != 0.9))
        fuzz_fail("what was stored is not found");
}

static void read_levels(fuzz_part file, ath_process_kind kind) {
    static const char *const samplers[] = {"heun", "ddpm", "dpmpp_2m", "deis"};
    fuzz_put("levels.json", file.data, file.size);
    char path[160];
    strcpy(path, fuzz_path("levels.json"));
    const ath_source *s = fuzz_source(kind);
    for (int i = 0; i < 4; i++) {
        const cli_recipe_request request = {
            .sampler = samplers[i], .spacing = "auto", .levels = path, .eta = (double)NAN};
        cli_recipe recipe;
        ath_err err = {0};
        const ath_status status = cli_recipe_make(&recipe, s, &request, &err);
        fuzz_check(status, &err);
        if (status != ATH_OK) return;
        if (recipe.n_steps <= 16) fuzz_sample(s, recipe.sampler, recipe.config, recipe.level, recipe.n_steps);
        cli_recipe_free(&recipe);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_part rest = {data, size};
    const uint8_t which = fuzz_first(&rest);
    switch (which) {
    case 't':
        read_options(rest);
        break;
    case 's':
        read_state(rest);
        break;
    case 'l':
        read_log(rest);
        break;
    case 'k':
        read_tuning(rest);
        break;
    case '0':
    case '1':
    case '2':
        read_levels(rest, (ath_process_kind)(which - '0'));
        break;
    }
    return 0;
}
