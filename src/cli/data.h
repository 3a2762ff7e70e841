/* Data sets as the commands open them: with the user's cache of decoded folders, and the split that was asked for. */
#ifndef ATH_CLI_DATA_H
#define ATH_CLI_DATA_H
#include <stdbool.h>
#include "base/option.h"
#include "io/dataset.h"

typedef struct cli_data_options {
    char split[ATH_TEXT_LEN]; /* "train" or "test" */
    bool cache;
} cli_data_options;

/* Their rows in a command's table: `field` of the struct `config` is a cli_data_options. */
#define CLI_SPLIT_OPTION(config, field)                                                                                \
    {                                                                                                                  \
        .name = "split", .type = ATH_OPT_TEXT, .offset = offsetof(config, field.split), .dflt = "train",               \
        .choices = "train|test", .value = "NAME",                                                                      \
        .help = "of MNIST's or CIFAR's folder, or an .npz: its training or its test images"                            \
    }
#define CLI_CACHE_OPTION(config, field)                                                                                \
    {                                                                                                                  \
        .name = "cache", .type = ATH_OPT_BOOL, .offset = offsetof(config, field), .dflt = "true",                      \
        .help = "keep decoded folders of pictures for the next time, in ATH_CACHE or ~/.cache/athanor"                 \
    }

/* `path` opened as `how` says, and `data`. */
ath_status cli_dataset_open(ath_dataset *out, const char *path, ath_dataset_options how, const cli_data_options *data,
                            ath_err *err);

#endif
