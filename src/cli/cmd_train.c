/* athanor train: options from defaults, preset, --config or the resumed run, and the
 * command line, in this order; then the trainer, with a progress bar. */
#define _POSIX_C_SOURCE 200809L
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/data.h"
#include "io/picture.h"
#include "model/json.h"
#include "train/trainer.h"

typedef struct command_options {
    char config[ATH_TEXT_LEN];
    bool quiet, cache, json;
} command_options;

static const ath_option own_options[] = {
    {.name = "config",
     .type = ATH_OPT_TEXT,
     .offset = offsetof(command_options, config),
     .dflt = "",
     .value = "FILE.json",
     .help = "take options from a train.json; those on the command line win"},
    CLI_CACHE_OPTION(command_options, cache),
    {.name = "json",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(command_options, json),
     .dflt = "false",
     .help = "print what was done as one JSON object"},
    {.name = "quiet",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(command_options, quiet),
     .dflt = "false",
     .help = "no progress"},
};
enum { N_OWN = 4, MOST = 64 };

static void print_help(void) {
    printf("usage: athanor train [--data PATH] [--out RUN] [--preset NAME] [options]\n\n"
           "Trains a diffusion model on small images into a run directory, which is a diffusers\n"
           "pipeline directory: RUN/unet holds the weights to sample from, RUN/samples preview grids,\n"
           "RUN/log.csv and loss.png the loss, RUN/train.json every option in force.\n\n"
           "  athanor train --minutes 5 --out runs/first       the digits that ship with athanor\n"
           "  athanor train --data data/mnist                  30 minutes of MNIST, into runs/mnist\n"
           "  athanor train --data photos --preset cifar-m --flip --image-size 32\n"
           "  athanor train --out runs/mnist --resume --minutes 60\n\n");
    int n, n_groups;
    const ath_option *table = ath_train_table(&n);
    const ath_option_group *groups = ath_train_groups(&n_groups);
    for (int i = 0; i < n_groups; i++) {
        printf("%s\n", groups[i].title);
        cli_print_options(table + groups[i].first, groups[i].count);
    }
    cli_print_options(own_options, N_OWN);
    printf("\npresets\n");
    int n_presets;
    const ath_preset *presets = ath_presets(&n_presets);
    for (int i = 0; i < n_presets; i++)
        printf("  %-12s %s\n  %-12s %s\n", presets[i].name, presets[i].summary, "", presets[i].settings);
}

/* The trainer's pairs of the command line, without this command's own. */
static cli_line only(const cli_line *line, const ath_option *table, int n) {
    cli_line some = *line;
    some.n_pairs = 0;
    for (int i = 0; i < line->n_pairs; i++)
        if (ath_options_find(table, n, line->key[i])) {
            some.key[some.n_pairs] = line->key[i];
            some.value[some.n_pairs++] = line->value[i];
        }
    return some;
}

static ath_status apply_json(const char *path, ath_train_options *o, ath_err *err) {
    int n;
    const ath_option *table = ath_train_table(&n);
    json_t *object;
    ATH_TRY(ath_json_read(&object, path, err));
    const ath_status status = ath_options_from_json(table, n, o, object, true, path, err);
    json_decref(object);
    return status;
}

static ath_status apply_preset(const char *name, const char *who, ath_train_options *o, ath_err *err) {
    const ath_status status = *name ? ath_preset_apply(name, o, err) : ATH_OK;
    return status == ATH_OK ? ATH_OK : ath_fail_within(err, status, "%s", who);
}

/* Defaults; the file's preset, or `preset` (may be NULL) when it names none; the file; the preset that the
 * command line names; the rest of the command line. */
static ath_status layer(const cli_line *line, const char *preset, const char *file, ath_train_options *o,
                        ath_err *err) {
    int n;
    const ath_option *table = ath_train_table(&n);
    const cli_line mine = only(line, table, n);
    char under[ATH_TEXT_LEN];
    snprintf(under, sizeof under, "%s", preset ? preset : "");
    ath_options_default(table, n, o);
    if (file) {
        ATH_TRY(apply_json(file, o, err));
        if (*o->preset) memcpy(under, o->preset, sizeof under);
        ath_options_default(table, n, o);
    }
    ATH_TRY(apply_preset(under, file ? file : "--preset", o, err));
    if (file) ATH_TRY(apply_json(file, o, err));
    if (cli_given(&mine, "preset")) ATH_TRY(apply_preset(cli_given(&mine, "preset"), "--preset", o, err));
    /* an end given on the command line replaces the file's, whichever kind that was */
    if (cli_given(&mine, "steps") || cli_given(&mine, "epochs") || cli_given(&mine, "minutes"))
        o->steps = 0, o->epochs = 0, o->minutes = 0;
    return cli_apply(&mine, table, n, o, err);
}

/* The data set that ships with athanor: where it was installed, or in the source tree. */
static const char *shipped_data(void) {
    static const char *const places[] = {ATH_INSTALL_DATA_DIR "/glyphs", ATH_SOURCE_DATA_DIR "/glyphs", "data/glyphs"};
    for (int i = 0; i < 3; i++)
        if (ath_path_exists(places[i])) return places[i];
    return places[0];
}

/* runs/<name of the data>, or with -2, -3, ... behind it when that holds something already. */
static ath_status choose_out(ath_train_options *o, ath_err *err) {
    const char *end = o->data + strlen(o->data);
    while (end > o->data + 1 && end[-1] == '/') end--;
    const char *name = end;
    while (name > o->data && name[-1] != '/') name--;
    int len = (int)(end - name);
    if (len == 0 || (len == 1 && *name == '.')) name = "data", len = 4;
    for (int i = 1; i < 10000; i++) {
        const int used = snprintf(o->out, sizeof o->out, "runs/%.*s", len, name);
        if (used > 0 && (size_t)used < sizeof o->out && i > 1)
            snprintf(o->out + used, sizeof o->out - (size_t)used, "-%d", i);
        if (used < 0 || (size_t)used + 8 > sizeof o->out) break;
        if (!ath_path_exists(o->out)) return ATH_OK;
    }
    return ath_fail(err, ATH_E_ARG, "--out: no name could be made of the data's; give one");
}

/* Everything in force, and the data opened. */
static ath_status resolve(const cli_line *line, const command_options *own, ath_train_options *o, ath_dataset *data,
                          ath_err *err) {
    const char *file = *own->config ? own->config : NULL;
    ATH_TRY(layer(line, NULL, file, o, err));
    char *before = NULL;
    if (o->resume && !*o->out) return ath_fail(err, ATH_E_ARG, "--resume: say which run with --out");
    if (o->resume && !file) {
        before = ath_path_join(o->out, "train.json");
        if (!before) return ath_fail(err, ATH_E_MEM, "out of memory");
        if (ath_path_exists(before)) file = before;
    }
    ath_status status = file ? layer(line, NULL, file, o, err) : ATH_OK;
    if (status == ATH_OK) status = cli_net_known("--net", o->net, err);
    if (status == ATH_OK) status = cli_sampler_known("--sample-sampler", o->sample_sampler, err);
    if (status == ATH_OK && !*o->data) snprintf(o->data, sizeof o->data, "%s", shipped_data());
    ath_dataset_options how = {.image_size = o->image_size,
                               .channels = o->channels,
                               .coarse_labels = o->coarse_labels,
                               .skip_broken = o->skip_broken,
                               .max_pixels = o->max_pixels,
                               .threads = o->threads};
    if (status == ATH_OK) status = ath_background_parse(o->background, how.background, err);
    if (status == ATH_OK) status = cli_dataset_open(data, o->data, how, &(cli_data_options){.cache = own->cache}, err);
    if (status == ATH_OK && data->n_skipped && !own->quiet)
        fprintf(stderr, "athanor: train: %s: %d damaged files left out\n", o->data, data->n_skipped);
    if (status == ATH_OK && !*o->preset && strcmp(o->net, "mlp") != 0) {
        char path[ATH_TEXT_LEN];
        memcpy(path, o->data, sizeof path);
        status = layer(line, ath_preset_for(data->h, data->c)->name, file, o, err);
        snprintf(o->preset, sizeof o->preset, "%s", ath_preset_for(data->h, data->c)->name);
        memcpy(o->data, path, sizeof path);
    }
    if (status == ATH_OK && cli_given(line, "attention") && data->h == data->w) {
        const ath_net_request request = {
            .image_size = data->h, .channel_mults = o->channel_mults, .attention = o->attention};
        status = cli_attention_known(o->net, &request, err);
    }
    if (status == ATH_OK && !*o->out) status = choose_out(o, err);
    free(before);
    return status;
}

/* ---- what the trainer tells ---- */

static void on_start(void *user, const char *text) { cli_progress_note(user, text); }
static void on_note(void *user, const char *text) { cli_progress_note(user, text); }

static void on_step(void *user, const ath_progress *p) {
    char left[32], text[160], of[32] = "";
    cli_format_time(p->seconds_left, left, sizeof left);
    if (p->steps) snprintf(of, sizeof of, "/%" PRId64, p->steps);
    snprintf(text, sizeof text, "step %" PRId64 "%s  loss %.4f  %.1f images/s  %s left", p->step, of, p->loss_ema,
             p->images_per_second, left);
    const double total = p->seconds + p->seconds_left;
    cli_progress_show(user, p->seconds_left <= 0 ? 1 : p->seconds / total, text);
}

static bool should_stop(void *user) {
    (void)user;
    return cli_signal() != 0;
}

static void print_json(const ath_train_options *o, const ath_train_result *result) {
    const ath_progress *p = &result->last;
    cli_print_json(json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:b}", "run", o->out, "step", (json_int_t)p->step,
                             "images", (json_int_t)p->images, "loss", isfinite(p->loss_ema) ? p->loss_ema : 0.0,
                             "images_per_second", p->images_per_second, "seconds", p->seconds, "stopped",
                             result->stopped));
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    int n;
    const ath_option *trainer = ath_train_table(&n);
    ath_option table[MOST];
    for (int i = 0; i < n; i++) table[i] = trainer[i];
    for (int i = 0; i < N_OWN; i++) table[n + i] = own_options[i];
    cli_line line;
    command_options own;
    ath_status status = cli_split(argc, argv, table, n + N_OWN, 0, &line, &err);
    if (status != ATH_OK) return cli_fail("train", status, &err);
    if (line.help) {
        print_help();
        return CLI_OK;
    }
    ath_options_default(own_options, N_OWN, &own);
    const cli_line mine = only(&line, own_options, N_OWN);
    status = cli_apply(&mine, own_options, N_OWN, &own, &err);
    ath_train_options o;
    ath_dataset data = {0};
    if (status == ATH_OK) status = resolve(&line, &own, &o, &data, &err);
    ath_train_result result = {0};
    cli_progress progress = cli_progress_begin(own.quiet);
    if (status == ATH_OK) {
        cli_catch_signals();
        const ath_train_hooks hooks = {&progress, on_start, on_step, on_note, should_stop};
        status = ath_train(&o, &data, &hooks, &result, &err);
        cli_progress_end(&progress);
    }
    ath_dataset_close(&data);
    if (status != ATH_OK) return cli_fail("train", status, &err);
    if (!own.quiet)
        fprintf(stderr, "%s at step %" PRId64 ", %" PRId64 " images seen: %s\n", result.stopped ? "stopped" : "done",
                result.last.step, result.last.images, o.out);
    if (own.json)
        print_json(&o, &result);
    else if (!result.stopped)
        printf("%s\n", o.out);
    return result.stopped ? 128 + cli_signal() : CLI_OK;
}

const cli_command cli_train = {"train", "train a model on a dataset into a run directory", run};
