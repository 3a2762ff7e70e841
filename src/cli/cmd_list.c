/* athanor list: what is plugged in. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "diffusion/prediction.h"
#include "train/options.h"

static const char *const kinds[] = {"samplers", "nets", "schedules", "spacings", "objectives", "optimizers", "presets"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

typedef struct list_options {
    bool json;
} list_options;

static const ath_option table[] = {
    {.name = "json",
     .type = ATH_OPT_BOOL,
     .offset = offsetof(list_options, json),
     .dflt = "false",
     .help = "print one JSON object"},
};

static void print_help(void) {
    printf("usage: athanor list samplers|nets|schedules|spacings|objectives|optimizers|presets [NAME]\n\n"
           "What is plugged in, one line each; with NAME its options too.\n\n");
    cli_print_options(table, 1);
}

/* What a line shows, or an object of --json. Order is that of a sampler, -1 for none. */
typedef struct entry {
    const char *name, *paper, *summary, *settings;
    int order, nfe_per_step;
    bool adaptive;
    const ath_option *option;
    int n_options;
} entry;

static int samplers(int i, entry *e) {
    int n;
    const ath_sampler *const *all = ath_sampler_all(&n);
    if (i >= n) return 0;
    *e = (entry){.name = all[i]->name,
                 .paper = all[i]->paper,
                 .summary = all[i]->summary,
                 .order = all[i]->order,
                 .nfe_per_step = all[i]->nfe_per_step,
                 .adaptive = all[i]->adaptive,
                 .option = all[i]->options,
                 .n_options = all[i]->n_options};
    return 1;
}

static int nets(int i, entry *e) {
    int n;
    const ath_net *const *all = ath_net_all(&n);
    if (i >= n) return 0;
    *e = (entry){.name = all[i]->name,
                 .paper = all[i]->paper,
                 .summary = all[i]->summary,
                 .option = all[i]->options,
                 .n_options = all[i]->n_options};
    return 1;
}

static int schedules(int i, entry *e) {
    int n;
    const ath_schedule_kind *all = ath_schedule_kinds(&n);
    if (i >= n) return 0;
    *e = (entry){.name = all[i].name, .paper = all[i].paper, .summary = all[i].summary};
    return 1;
}

static int spacings(int i, entry *e) {
    if (i >= ATH_SPACINGS) return 0;
    *e = (entry){.name = ath_spacing_name((ath_spacing)i), .summary = ath_spacing_summary((ath_spacing)i)};
    e->option = ath_grid_table(&e->n_options);
    return 1;
}

static int objectives(int i, entry *e) {
    if (i >= ath_prediction_count()) return 0;
    *e = (entry){.name = ath_prediction_name((ath_prediction)i), .summary = ath_prediction_summary((ath_prediction)i)};
    return 1;
}

static int optimizers(int i, entry *e) {
    if (i > 0) return 0;
    *e = (entry){.name = "adamw", .paper = "arXiv:1711.05101", .summary = "Adam with decoupled weight decay"};
    return 1;
}

static int presets(int i, entry *e) {
    int n;
    const ath_preset *all = ath_presets(&n);
    if (i >= n) return 0;
    *e = (entry){.name = all[i].name, .summary = all[i].summary, .settings = all[i].settings};
    return 1;
}

/* Entry i of each kind; 0 beyond the last. */
static int (*const get[N_KINDS])(int i, entry *e) = {samplers,   nets,       schedules, spacings,
                                                     objectives, optimizers, presets};

static void print_line(const entry *e, bool with_options) {
    printf("%-20s ", e->name);
    if (e->order) printf("order %d     ", e->order);
    if (e->nfe_per_step && !e->order) printf("stochastic  ");
    if (e->nfe_per_step) printf("%d NFE a %s  ", e->nfe_per_step, e->adaptive ? "try " : "step");
    if (e->paper) printf("%-24s ", e->paper);
    printf("%s\n", e->summary);
    if (!with_options) return;
    if (e->settings) printf("    %s\n", e->settings);
    for (int i = 0; i < e->n_options; i++) {
        const ath_option *o = &e->option[i];
        printf("    %-24s %s%s%s (default %s)\n", o->name, o->help, o->choices ? "; " : "",
               o->choices ? o->choices : "", o->dflt && *o->dflt ? o->dflt : "none");
    }
}

static json_t *to_json(const entry *e) {
    json_t *object = json_pack("{s:s, s:s}", "name", e->name, "summary", e->summary);
    if (e->paper) json_object_set_new(object, "paper", json_string(e->paper));
    if (e->settings) json_object_set_new(object, "settings", json_string(e->settings));
    if (e->nfe_per_step) {
        json_object_set_new(object, "order", json_integer(e->order));
        json_object_set_new(object, "nfe_per_step", json_integer(e->nfe_per_step));
        json_object_set_new(object, "adaptive", json_boolean(e->adaptive));
    }
    json_t *options = json_object();
    for (int i = 0; i < e->n_options; i++)
        json_object_set_new(options, e->option[i].name, json_string(e->option[i].dflt ? e->option[i].dflt : ""));
    if (e->n_options) json_object_set(object, "options", options);
    json_decref(options);
    return object;
}

/* Everything of a kind, or the one of that name; how many were shown. */
static int show(int kind, const char *name, bool as_json) {
    int shown = 0;
    entry e;
    json_t *list = json_array();
    for (int i = 0; get[kind](i, &e); i++) {
        if (name && strcmp(name, e.name) != 0) continue;
        if (as_json)
            json_array_append_new(list, to_json(&e));
        else
            print_line(&e, name != NULL);
        shown++;
    }
    if (as_json && shown) cli_print_json(json_pack("{s:O}", kinds[kind], list));
    json_decref(list);
    return shown;
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    list_options o;
    const ath_status status = cli_parse(argc, argv, table, 1, &o, 2, &line, &err);
    if (status != ATH_OK) return cli_fail("list", status, &err);
    if (line.help) {
        print_help();
        return CLI_OK;
    }
    if (line.n_arguments == 0) {
        ath_fail(&err, ATH_E_ARG, "expected samplers, nets, schedules, spacings, objectives, optimizers or presets");
        return cli_fail("list", ATH_E_ARG, &err);
    }
    for (int kind = 0; kind < N_KINDS; kind++) {
        if (strcmp(line.argument[0], kinds[kind]) != 0) continue;
        const char *name = line.n_arguments > 1 ? line.argument[1] : NULL;
        if (show(kind, name, o.json) || !name) return CLI_OK;
        const char *names[CLI_MAX_PAIRS];
        int n = 0;
        for (entry e; n < CLI_MAX_PAIRS && get[kind](n, &e); n++) names[n] = e.name;
        return cli_fail("list", cli_unknown(kinds[kind], name, names, n, &err), &err);
    }
    return cli_fail("list", cli_unknown("what", line.argument[0], kinds, N_KINDS, &err), &err);
}

const cli_command cli_list = {"list", "what is plugged in: samplers, nets, schedules, objectives, optimizers", run};
