/* The program: finds the command and runs it. Exit status 0 success, 1 the work
 * failed, 2 the command line is wrong, 130 or 143 stopped by a signal. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include "cli/cli.h"

static const cli_command *const commands[] = {&cli_train,   &cli_sample, &cli_compare, &cli_eval, &cli_invert,
                                              &cli_forward, &cli_info,   &cli_list,    &cli_bench};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *to) {
    fprintf(to, "athanor trains diffusion models on small images and draws from them.\n\n"
                "usage: athanor COMMAND [options] [arguments]\n\n");
    for (int i = 0; i < N_COMMANDS; i++) fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to, "\n`athanor COMMAND --help` tells more. A first run:\n"
                "  athanor train --minutes 5 --out runs/first\n"
                "  athanor sample runs/first -o grid.png\n");
}

static int run(int argc, char **argv) {
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return CLI_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("athanor " ATH_VERSION);
        return CLI_OK;
    }
    const char *names[N_COMMANDS];
    for (int i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i]->name;
        if (strcmp(argv[1], commands[i]->name) == 0) return commands[i]->run(argc - 1, argv + 1);
    }
    const char *near = ath_nearest_name(argv[1], names, N_COMMANDS);
    char text[128];
    snprintf(text, sizeof text, "no such command%s%s%s; see athanor --help", near ? "; did you mean " : "",
             near ? near : "", near ? "?" : "");
    cli_error(argv[1], text);
    return CLI_USAGE;
}

int main(int argc, char **argv) {
    signal(SIGXFSZ, SIG_IGN); /* a file over the limit is an error of that write, with a message */
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    const int code = run(argc, argv);
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    cli_error(argv[1], "standard output: cannot write");
    return code ? code : CLI_FAILED;
}
