/* What the commands share: the command line, messages, exit codes, progress. */
#ifndef ATH_CLI_CLI_H
#define ATH_CLI_CLI_H
#include <stdbool.h>
#include <jansson.h>
#include "base/option.h"
#include "diffusion/sampler.h"
#include "model/model.h"
#include "model/workers.h"

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_MAX_PAIRS = 128, CLI_MAX_ARGUMENTS = 4 };

/* One command: a file cmd_*.c each. */
typedef struct cli_command {
    const char *name, *summary;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name */
} cli_command;
extern const cli_command cli_train, cli_sample, cli_compare, cli_eval, cli_invert, cli_forward, cli_info, cli_list,
    cli_bench;

/* A parsed command line. Values point into argv. */
typedef struct cli_line {
    const char *key[CLI_MAX_PAIRS], *value[CLI_MAX_PAIRS];
    int n_pairs;
    const char *argument[CLI_MAX_ARGUMENTS];
    int n_arguments;
    bool help;
} cli_line;

/* Splits argv by the table: "--name VALUE", "--name=VALUE", "--flag", "--no-flag", "-o" for --out. */
ath_status cli_split(int argc, char **argv, const ath_option *table, int n, int max_arguments, cli_line *line,
                     ath_err *err);
/* Applies the pairs to a config. */
ath_status cli_apply(const cli_line *line, const ath_option *table, int n, void *config, ath_err *err);
const char *cli_given(const cli_line *line, const char *key); /* the last value given, NULL for none */
/* cli_split + defaults + cli_apply */
ath_status cli_parse(int argc, char **argv, const ath_option *table, int n, void *config, int max_arguments,
                     cli_line *line, ath_err *err);

/* "athanor: COMMAND: message" as one line on standard error. */
void cli_error(const char *command, const char *text);
/* cli_error with the message of err; returns the exit code for the status. */
int cli_fail(const char *command, ath_status status, const ath_err *err);
/* The options of a table, aligned. */
void cli_print_options(const ath_option *table, int n);

/* "NAME[:key=value,...]" to a sampler and its options (malloc'ed, the caller frees). */
ath_status cli_sampler(const char *text, const ath_sampler **sampler, void **config, ath_err *err);
/* Whether there is such a plug-in; `option` is what asked for it. */
ath_status cli_sampler_known(const char *option, const char *name, ath_err *err);
ath_status cli_net_known(const char *option, const char *name, ath_err *err);
/* Whether the net, which is known, has the resolutions that --attention named; of `request` only sizes count. */
ath_status cli_attention_known(const char *net, const ath_net_request *request, ath_err *err);
/* Fails with the known names and the nearest. */
ath_status cli_unknown(const char *what, const char *name, const char *const *names, int n, ath_err *err);

/* SIGINT and SIGTERM: the first asks to stop, the second ends the process at once. */
void cli_catch_signals(void);
int cli_signal(void); /* 0, or the signal that asked */

/* A bar on a terminal, else a line now and then. */
typedef struct cli_progress {
    bool quiet, terminal, shown;
    double begin, last;
} cli_progress;
cli_progress cli_progress_begin(bool quiet);
/* `fraction` of 1; `text` is what stands beside the bar. */
void cli_progress_show(cli_progress *p, double fraction, const char *text);
/* A line above the bar. */
void cli_progress_note(cli_progress *p, const char *text);
void cli_progress_end(cli_progress *p);
/* "1:02:03" or "2:03" */
void cli_format_time(double seconds, char *text, size_t room);

/* Made ready for many files, of which `name` is one: made when missing, shown to be writable before long work, and
 * without what a killed process left unfinished in it. */
ath_status cli_output_folder(const char *folder, const char *name, ath_err *err);

/* One object on one line of standard output. Takes it over. */
void cli_print_json(json_t *object);

/* The command line as it was typed, for metadata. malloc'ed; NULL when out of memory. */
char *cli_command_line(int argc, char **argv);

/* Between the (n,c,h,w) of files and the (n,h,w,c) of the graph; b may not be a. */
void cli_nchw_to_nhwc(size_t n, ath_shape s, const double *a, double *b);
void cli_nhwc_to_nchw(size_t n, ath_shape s, const double *a, double *b);

/* Prints what plans measured since ath_plan_time: `wall` seconds in which all workers ran `images` images. */
void cli_print_profile(const ath_workers *w, const char *mode, double wall, double images);

#endif
