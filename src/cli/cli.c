/* The command line, messages, signals and progress: see cli.h. */
#define _POSIX_C_SOURCE 200809L
#include "cli/cli.h"
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/file.h"

/* ---- the command line ---- */

static ath_status add_pair(cli_line *line, const char *key, const char *value, ath_err *err) {
    if (line->n_pairs == CLI_MAX_PAIRS) return ath_fail(err, ATH_E_ARG, "more than %d options", CLI_MAX_PAIRS);
    line->key[line->n_pairs] = key;
    line->value[line->n_pairs++] = value;
    return ATH_OK;
}

static ath_status unknown_option(const char *name, const ath_option *table, int n, ath_err *err) {
    const char *names[CLI_MAX_PAIRS];
    int count = 0;
    for (int i = 0; i < n && i < CLI_MAX_PAIRS; i++) names[count++] = table[i].name;
    const char *near = ath_nearest_name(name, names, count);
    if (near) return ath_fail(err, ATH_E_ARG, "--%s: no such option; did you mean --%s?", name, near);
    return ath_fail(err, ATH_E_ARG, "--%s: no such option; see --help", name);
}

/* One "--..." argument; *i moves past its value. */
static ath_status split_option(int argc, char **argv, int *i, const ath_option *table, int n, cli_line *line,
                               ath_err *err) {
    const char *text = argv[*i] + 2, *equals = strchr(text, '=');
    char name[64];
    const size_t len = equals ? (size_t)(equals - text) : strlen(text);
    if (len >= sizeof name) return ath_fail(err, ATH_E_ARG, "--%.40s...: no such option", text);
    memcpy(name, text, len);
    name[len] = 0;
    const ath_option *o = ath_options_find(table, n, name);
    if (!o && strncmp(name, "no-", 3) == 0 && !equals) {
        o = ath_options_find(table, n, name + 3);
        if (o && o->type == ATH_OPT_BOOL) return add_pair(line, o->name, "false", err);
        o = NULL;
    }
    if (!o) return unknown_option(name, table, n, err);
    if (equals) return add_pair(line, o->name, equals + 1, err);
    if (o->type == ATH_OPT_BOOL) return add_pair(line, o->name, "true", err);
    if (*i + 1 == argc) return ath_fail(err, ATH_E_ARG, "--%s: expects a value", o->name);
    return add_pair(line, o->name, argv[++*i], err);
}

ath_status cli_split(int argc, char **argv, const ath_option *table, int n, int max_arguments, cli_line *line,
                     ath_err *err) {
    *line = (cli_line){0};
    bool options_over = false;
    for (int i = 1; i < argc; i++) {
        if (!options_over && (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
            line->help = true;
            return ATH_OK;
        }
        if (!options_over && strcmp(argv[i], "--") == 0)
            options_over = true;
        else if (!options_over && strcmp(argv[i], "-o") == 0 && ath_options_find(table, n, "out")) {
            if (i + 1 == argc) return ath_fail(err, ATH_E_ARG, "-o: expects a value");
            ATH_TRY(add_pair(line, "out", argv[++i], err));
        } else if (!options_over && strncmp(argv[i], "--", 2) == 0)
            ATH_TRY(split_option(argc, argv, &i, table, n, line, err));
        else if (!options_over && argv[i][0] == '-' && argv[i][1])
            return ath_fail(err, ATH_E_ARG, "%s: no such option; options begin with two dashes", argv[i]);
        else if (line->n_arguments == max_arguments)
            return ath_fail(err, ATH_E_ARG, "\"%s\": one argument too many; see --help", argv[i]);
        else
            line->argument[line->n_arguments++] = argv[i];
    }
    return ATH_OK;
}

ath_status cli_apply(const cli_line *line, const ath_option *table, int n, void *config, ath_err *err) {
    for (int i = 0; i < line->n_pairs; i++) {
        const ath_status status = ath_options_set(table, n, config, line->key[i], line->value[i], err);
        if (status == ATH_OK) continue;
        char text[sizeof err->text]; /* the message begins with the key */
        memcpy(text, err->text, sizeof text);
        return ath_fail(err, status, "--%s", text);
    }
    return ATH_OK;
}

const char *cli_given(const cli_line *line, const char *key) {
    for (int i = line->n_pairs - 1; i >= 0; i--)
        if (strcmp(line->key[i], key) == 0) return line->value[i];
    return NULL;
}

ath_status cli_parse(int argc, char **argv, const ath_option *table, int n, void *config, int max_arguments,
                     cli_line *line, ath_err *err) {
    ath_options_default(table, n, config);
    ATH_TRY(cli_split(argc, argv, table, n, max_arguments, line, err));
    return cli_apply(line, table, n, config, err);
}

char *cli_command_line(int argc, char **argv) {
    size_t room = sizeof "athanor";
    for (int i = 0; i < argc; i++) room += strlen(argv[i]) + 1;
    char *text = malloc(room);
    if (!text) return NULL;
    size_t used = (size_t)snprintf(text, room, "athanor");
    for (int i = 0; i < argc; i++) used += (size_t)snprintf(text + used, room - used, " %s", argv[i]);
    return text;
}

/* ---- messages ---- */

/* One line whatever is in it: names come from files and command lines, and a terminal obeys control bytes. */
void cli_error(const char *command, const char *text) {
    char line[sizeof(((ath_err *)0)->text) + 64];
    snprintf(line, sizeof line, "athanor: %.40s: %s", command, text);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) *p = '?';
    fprintf(stderr, "%s\n", line);
}

int cli_fail(const char *command, ath_status status, const ath_err *err) {
    cli_error(command, err->text);
    return status == ATH_E_ARG ? CLI_USAGE : CLI_FAILED;
}

void cli_print_options(const ath_option *table, int n) {
    for (int i = 0; i < n; i++) {
        const ath_option *o = &table[i];
        char left[80];
        snprintf(left, sizeof left, "--%s%s%s", o->name, o->type == ATH_OPT_BOOL ? "" : " ",
                 o->type == ATH_OPT_BOOL ? ""
                 : o->value              ? o->value
                 : o->choices            ? o->choices
                                         : "VALUE");
        const bool tell = o->dflt && *o->dflt && o->type != ATH_OPT_BOOL && strcmp(o->dflt, "0") != 0;
        printf("  %-26s %s%s%s%s%s%s%s\n", left, o->help, o->choices ? "; " : "", o->choices ? o->choices : "",
               tell ? " (default " : "", tell ? o->dflt : "", tell ? ")" : "",
               o->type == ATH_OPT_BOOL && o->dflt && strcmp(o->dflt, "true") == 0 ? " (on; --no- turns it off)" : "");
    }
}

ath_status cli_unknown(const char *what, const char *name, const char *const *names, int n, ath_err *err) {
    char known[768] = "";
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = ath_nearest_name(name, names, n);
    return ath_fail(err, ATH_E_ARG, "%s: \"%s\" is not known%s%s%s; expected one of %s", what, name,
                    near ? "; did you mean " : "", near ? near : "", near ? "?" : "", known);
}

ath_status cli_sampler_known(const char *option, const char *name, ath_err *err) {
    if (ath_sampler_find(name)) return ATH_OK;
    int n;
    const ath_sampler *const *all = ath_sampler_all(&n);
    const char *names[CLI_MAX_PAIRS];
    for (int i = 0; i < n && i < CLI_MAX_PAIRS; i++) names[i] = all[i]->name;
    return cli_unknown(option, name, names, n < CLI_MAX_PAIRS ? n : CLI_MAX_PAIRS, err);
}

ath_status cli_net_known(const char *option, const char *name, ath_err *err) {
    if (ath_net_find(name)) return ATH_OK;
    int n;
    const ath_net *const *all = ath_net_all(&n);
    const char *names[CLI_MAX_PAIRS];
    for (int i = 0; i < n && i < CLI_MAX_PAIRS; i++) names[i] = all[i]->name;
    return cli_unknown(option, name, names, n < CLI_MAX_PAIRS ? n : CLI_MAX_PAIRS, err);
}

ath_status cli_attention_known(const char *name, const ath_net_request *request, ath_err *err) {
    const ath_net *net = ath_net_find(name);
    const ath_ints *asked = &request->attention;
    int side[ATH_MAX_INTS];
    if (asked->n > 0 && !net->resolutions)
        return ath_fail(err, ATH_E_ARG, "--attention: the network %s has none", name);
    const int n = asked->n > 0 ? net->resolutions(request, side) : 0;
    for (int j = 0; j < asked->n; j++) {
        bool known = false;
        char all[16 * ATH_MAX_INTS] = "";
        for (int i = 0; i < n; i++) {
            known = known || side[i] == asked->v[j];
            const size_t used = strlen(all);
            snprintf(all + used, sizeof all - used, "%s%d", i ? ", " : "", side[i]);
        }
        if (!known)
            return ath_fail(err, ATH_E_ARG,
                            "--attention: %d is no resolution of this network, expected some of %s, or none",
                            asked->v[j], all);
    }
    return ATH_OK;
}

ath_status cli_sampler(const char *text, const ath_sampler **sampler, void **config, ath_err *err) {
    char name[ATH_TEXT_LEN];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
    ATH_TRY(cli_sampler_known("--sampler", name, err));
    const ath_sampler *s = *sampler = ath_sampler_find(name);
    *config = calloc(1, s->config_size + 1);
    if (!*config) return ath_fail(err, ATH_E_MEM, "out of memory");
    ath_options_default(s->options, s->n_options, *config);
    const char *colon = strchr(text, ':');
    const ath_status status = ath_options_parse(s->options, s->n_options, *config, colon ? colon + 1 : "", err);
    if (status == ATH_OK) return ATH_OK;
    free(*config);
    *config = NULL;
    return ath_fail_within(err, status, "--sampler %s", name);
}

void cli_print_json(json_t *object) {
    char *text = json_dumps(object, JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(15));
    if (text) puts(text);
    free(text);
    json_decref(object);
}

/* ---- signals ---- */

static volatile sig_atomic_t caught;

static void on_signal(int number) {
    if (caught) _exit(128 + number);
    caught = number;
}

void cli_catch_signals(void) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_signal(void) { return caught; }

/* ---- progress ---- */

void cli_format_time(double seconds, char *text, size_t room) {
    if (!isfinite(seconds) || seconds > 1e7) {
        snprintf(text, room, "?");
        return;
    }
    const long s = (long)(seconds + 0.5);
    if (s >= 3600)
        snprintf(text, room, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(text, room, "%ld:%02ld", s / 60, s % 60);
}

cli_progress cli_progress_begin(bool quiet) {
    return (cli_progress){.quiet = quiet, .terminal = isatty(2), .begin = ath_clock(), .last = -1e9};
}

void cli_progress_show(cli_progress *p, double fraction, const char *text) {
    const double now = ath_clock();
    if (p->quiet || (now - p->last < (p->terminal ? 0.1 : 15) && fraction < 1)) return;
    if (!p->terminal && fraction >= 1 && !p->shown && now - p->begin < 2) return; /* too short to talk about */
    p->last = now;
    p->shown = true;
    if (!p->terminal) {
        fprintf(stderr, "%3.0f%% %s\n", 100 * fraction, text);
        return;
    }
    enum { WIDTH = 24 };
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = i < fraction * WIDTH ? '#' : '-';
    bar[WIDTH] = 0;
    fprintf(stderr, "\r[%s] %3.0f%% %s\033[K", bar, 100 * fraction, text);
    fflush(stderr);
}

void cli_progress_note(cli_progress *p, const char *text) {
    if (p->quiet) return;
    fprintf(stderr, "%s%s\n", p->terminal ? "\r\033[K" : "", text);
    p->last = -1e9;
}

void cli_progress_end(cli_progress *p) {
    if (p->terminal && p->shown && !p->quiet) fputc('\n', stderr);
}

/* ---- folders ---- */

ath_status cli_output_folder(const char *folder, const char *name, ath_err *err) {
    ATH_TRY(ath_make_dirs(folder, err));
    char *path = ath_path_join(folder, name);
    if (!path) return ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
    const ath_status status = ath_writer_check(path, err);
    free(path);
    ath_remove_unfinished(folder);
    return status;
}

/* ---- layouts ---- */

void cli_nchw_to_nhwc(size_t n, ath_shape s, const double *a, double *b) {
    const size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c; j++)
            for (size_t p = 0; p < area; p++) b[(i * area + p) * c + j] = a[(i * c + j) * area + p];
}

void cli_nhwc_to_nchw(size_t n, ath_shape s, const double *a, double *b) {
    const size_t area = (size_t)s.h * (size_t)s.w, c = (size_t)s.c;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < c; j++)
            for (size_t p = 0; p < area; p++) b[(i * c + j) * area + p] = a[(i * area + p) * c + j];
}
