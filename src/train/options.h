/* Every option of a training run, in one table: the command line, --help, train.json
 * and --config all come from it. Presets are settings of the same options. */
#ifndef ATH_TRAIN_OPTIONS_H
#define ATH_TRAIN_OPTIONS_H
#include "base/option.h"

typedef struct ath_train_options {
    /* data */
    char data[ATH_TEXT_LEN];
    int image_size, channels;
    char background[ATH_TEXT_LEN];
    int64_t max_pixels;
    bool coarse_labels, skip_broken, flip, class_conditional;
    double label_dropout;
    /* network */
    char net[ATH_TEXT_LEN], net_options[ATH_TEXT_LEN];
    int base_channels, res_blocks, norm_groups, time_embedding;
    ath_ints channel_mults, attention;
    double dropout;
    /* diffusion */
    char objective[ATH_TEXT_LEN], schedule[ATH_TEXT_LEN], loss_weight[ATH_TEXT_LEN];
    int timesteps;
    double beta_start, beta_end;
    bool zero_snr;
    /* training */
    int batch, micro_batch;
    int64_t steps;
    double epochs, minutes, lr;
    int64_t warmup;
    char lr_schedule[ATH_TEXT_LEN], optimizer[ATH_TEXT_LEN];
    double beta1, beta2, adam_eps, weight_decay, grad_clip, ema;
    /* run */
    char out[ATH_TEXT_LEN], preset[ATH_TEXT_LEN];
    int64_t seed, save_every, sample_every;
    int threads, sample_count, sample_steps;
    char sample_sampler[ATH_TEXT_LEN];
    bool resume;
} ath_train_options;

typedef struct ath_option_group {
    const char *title;
    int first, count; /* in the table */
} ath_option_group;

const ath_option *ath_train_table(int *n);
const ath_option_group *ath_train_groups(int *n);

typedef struct ath_preset {
    const char *name, *summary;
    int image_size, channels; /* what bench uses, and what the preset is meant for */
    const char *settings;     /* "key=value,key=value", lists with '/' */
} ath_preset;
const ath_preset *ath_presets(int *n);
const ath_preset *ath_preset_find(const char *name); /* NULL if there is none */
/* The preset for images of this size when none was named. */
const ath_preset *ath_preset_for(int image_size, int channels);
/* Sets what the preset says. Fails with ATH_E_ARG when the name is not known. */
ath_status ath_preset_apply(const char *name, ath_train_options *o, ath_err *err);

#endif
