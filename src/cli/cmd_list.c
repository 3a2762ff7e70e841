/* athanor list: what is plugged in. */
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"
#include "diffusion/prediction.h"
#include "train/options.h"

static const char *const kinds[] = {"samplers", "nets", "schedules", "objectives", "optimizers", "presets"};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static void print_help(void) {
    printf("usage: athanor list samplers|nets|schedules|objectives|optimizers|presets [NAME]\n\n"
           "What is plugged in, one line each; with NAME its options too.\n");
}

/* Options of a plug-in as its key=value pairs. */
static void print_keys(const ath_option *table, int n) {
    for (int i = 0; i < n; i++)
        printf("    %-24s %s%s%s (default %s)\n", table[i].name, table[i].help, table[i].choices ? "; " : "",
               table[i].choices ? table[i].choices : "", table[i].dflt && *table[i].dflt ? table[i].dflt : "none");
}

static int list_samplers(const char *name) {
    int n, shown = 0;
    const ath_sampler *const *all = ath_sampler_all(&n);
    for (int i = 0; i < n; i++) {
        const ath_sampler *s = all[i];
        if (name && strcmp(name, s->name) != 0) continue;
        char order[32] = "stochastic";
        if (!s->stochastic) snprintf(order, sizeof order, "order %d", s->order);
        printf("%-16s %-12s %d NFE a step  %-18s %s\n", s->name, order, s->nfe_per_step, s->paper, s->summary);
        if (name) print_keys(s->options, s->n_options);
        shown++;
    }
    return shown;
}

static int list_nets(const char *name) {
    int n, shown = 0;
    const ath_net *const *all = ath_net_all(&n);
    for (int i = 0; i < n; i++) {
        if (name && strcmp(name, all[i]->name) != 0) continue;
        printf("%-16s %-24s %s\n", all[i]->name, all[i]->paper, all[i]->summary);
        if (name) print_keys(all[i]->options, all[i]->n_options);
        shown++;
    }
    return shown;
}

static int list_schedules(const char *name) {
    int n, shown = 0;
    const ath_schedule_kind *all = ath_schedule_kinds(&n);
    for (int i = 0; i < n; i++) {
        if (name && strcmp(name, all[i].name) != 0) continue;
        printf("%-16s %-24s %s\n", all[i].name, all[i].paper, all[i].summary);
        shown++;
    }
    return shown;
}

static int list_objectives(const char *name) {
    int shown = 0;
    for (int i = 0; i < ath_prediction_count(); i++) {
        if (name && strcmp(name, ath_prediction_name((ath_prediction)i)) != 0) continue;
        printf("%-16s %s\n", ath_prediction_name((ath_prediction)i), ath_prediction_summary((ath_prediction)i));
        shown++;
    }
    return shown;
}

static int list_optimizers(const char *name) {
    if (name && strcmp(name, "adamw") != 0) return 0;
    printf("%-16s %-24s %s\n", "adamw", "arXiv:1711.05101", "Adam with decoupled weight decay");
    return 1;
}

static int list_presets(const char *name) {
    int n, shown = 0;
    const ath_preset *all = ath_presets(&n);
    for (int i = 0; i < n; i++) {
        if (name && strcmp(name, all[i].name) != 0) continue;
        printf("%-16s %s\n", all[i].name, all[i].summary);
        if (name) printf("    %s\n", all[i].settings);
        shown++;
    }
    return shown;
}

/* The names of a kind, for the message about one that is not among them; the order of `kinds`. */
static int names_of(int kind, const char *names[CLI_MAX_PAIRS]) {
    int n = 1;
    const ath_sampler *const *samplers = kind == 0 ? ath_sampler_all(&n) : NULL;
    const ath_net *const *nets = kind == 1 ? ath_net_all(&n) : NULL;
    const ath_schedule_kind *schedules = kind == 2 ? ath_schedule_kinds(&n) : NULL;
    const ath_preset *presets = kind == 5 ? ath_presets(&n) : NULL;
    if (kind == 3) n = ath_prediction_count();
    if (n > CLI_MAX_PAIRS) n = CLI_MAX_PAIRS;
    for (int i = 0; i < n; i++) switch (kind) {
        case 0: names[i] = samplers[i]->name; break;
        case 1: names[i] = nets[i]->name; break;
        case 2: names[i] = schedules[i].name; break;
        case 3: names[i] = ath_prediction_name((ath_prediction)i); break;
        case 4: names[i] = "adamw"; break;
        default: names[i] = presets[i].name;
        }
    return n;
}

static int run(int argc, char **argv) {
    static int (*const list[N_KINDS])(const char *) = {list_samplers,   list_nets,       list_schedules,
                                                       list_objectives, list_optimizers, list_presets};
    ath_err err = {0};
    cli_line line;
    const ath_status status = cli_split(argc, argv, NULL, 0, 2, &line, &err);
    if (status != ATH_OK) return cli_fail("list", status, &err);
    if (line.help) {
        print_help();
        return CLI_OK;
    }
    if (line.n_arguments == 0) {
        ath_fail(&err, ATH_E_ARG, "expected samplers, nets, schedules, objectives, optimizers or presets");
        return cli_fail("list", ATH_E_ARG, &err);
    }
    for (int i = 0; i < N_KINDS; i++) {
        if (strcmp(line.argument[0], kinds[i]) != 0) continue;
        const char *name = line.n_arguments > 1 ? line.argument[1] : NULL;
        if (list[i](name)) return CLI_OK;
        const char *names[CLI_MAX_PAIRS];
        const int n = names_of(i, names);
        return cli_fail("list", cli_unknown(kinds[i], name, names, n, &err), &err);
    }
    return cli_fail("list", cli_unknown("what", line.argument[0], kinds, N_KINDS, &err), &err);
}

const cli_command cli_list = {"list", "what is plugged in: samplers, nets, schedules, objectives, optimizers", run};
