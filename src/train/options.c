/* The options of training and the presets: see options.h. */
#include "train/options.h"
#include <stdio.h>
#include <string.h>

#define FIELD(key, label) .name = label, .offset = offsetof(ath_train_options, key)
#define TEXT              .type = ATH_OPT_TEXT
#define INT               .type = ATH_OPT_INT
#define INT64             .type = ATH_OPT_INT64
#define FLOAT             .type = ATH_OPT_FLOAT
#define BOOL              .type = ATH_OPT_BOOL
#define INTS              .type = ATH_OPT_INTS
#define EVER              9e15

static const ath_option table[] = {
    /* data: 10 */
    {FIELD(data, "data"), TEXT, .dflt = "", .value = "PATH",
     .help = "IDX or CIFAR files or a folder of them, .npy or .npz, or a folder of PNG and JPEG files (class "
             "sub-folders become labels); "
             "default: the digits that ship with athanor"},
    {FIELD(image_size, "image-size"), INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "crop to a square and resize to N pixels; 0: as they are"},
    {FIELD(channels, "channels"), INT, .dflt = "0", .min = 0, .max = 3, .value = "1|3",
     .help = "make images grey (1) or RGB (3); 0: as they are"},
    {FIELD(background, "background"), TEXT, .dflt = "black", .value = "COLOUR",
     .help = "what transparent pixels are laid over: black, white or r,g,b"},
    {FIELD(max_pixels, "max-pixels"), INT64, .dflt = "134217728", .min = 1, .max = 1 << 30, .value = "N",
     .help = "refuse PNG and JPEG files of more pixels"},
    {FIELD(coarse_labels, "coarse-labels"), BOOL, .dflt = "false",
     .help = "of CIFAR-100: the 20 coarse classes in place of the 100"},
    {FIELD(skip_broken, "skip-broken"), BOOL, .dflt = "false",
     .help = "leave damaged files of a folder out; train.json says how many"},
    {FIELD(flip, "flip"), BOOL, .dflt = "false", .help = "mirror half of the images left-right (not for digits)"},
    {FIELD(class_conditional, "class-conditional"), BOOL, .dflt = "false",
     .help = "tell the network each image's class; sample with --class"},
    {FIELD(label_dropout, "label-dropout"), FLOAT, .dflt = "0", .min = 0, .max = 1, .value = "P",
     .help = "hide the class with this probability, for --guidance (0.1 is usual)"},
    /* network: 9 */
    {FIELD(net, "net"), TEXT, .dflt = "unet", .value = "NAME", .help = "network, see `athanor list nets`"},
    {FIELD(net_options, "net-options"), TEXT, .dflt = "", .value = "K=V,...",
     .help = "further settings of the network by their names in config.json, see `athanor list nets NAME`"},
    {FIELD(base_channels, "base-channels"), INT, .dflt = "0", .min = 0, .max = 4096, .value = "N",
     .help = "channels of the first level; 0: the network's own"},
    {FIELD(channel_mults, "channel-mults"), INTS, .min = 1, .max = 64, .value = "1,2,2", .nullable = true,
     .help = "channels of each level as multiples of the first"},
    {FIELD(res_blocks, "res-blocks"), INT, .dflt = "0", .min = 0, .max = 64, .value = "N",
     .help = "residual blocks a level; 0: the network's own"},
    {FIELD(attention, "attention"), INTS, .min = 1, .max = 1024, .value = "7", .nullable = true,
     .help = "resolutions with self-attention, or none"},
    {FIELD(norm_groups, "norm-groups"), INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "groups of group norm; 0: 8 below 64 channels, else 32"},
    {FIELD(dropout, "dropout"), FLOAT, .dflt = "0", .min = 0, .max = 0.99, .value = "P",
     .help = "dropout in the residual blocks"},
    {FIELD(time_embedding, "time-embedding"), INT, .dflt = "0", .min = 0, .max = 65536, .value = "N",
     .help = "width of the time embedding; 0: 4 times the base channels"},
    /* diffusion: 7 */
    {FIELD(objective, "objective"), TEXT, .dflt = "epsilon", .choices = "epsilon|sample|v_prediction|score|flow|edm",
     .value = "NAME", .help = "what the network predicts, and on which process, see `athanor list objectives`"},
    {FIELD(schedule, "schedule"), TEXT, .dflt = "cosine",
     .choices = "linear|scaled_linear|cosine|sigmoid|sigmoid_beta|su", .value = "NAME",
     .help = "noise schedule, see `athanor list schedules`; flow and edm have none"},
    {FIELD(timesteps, "timesteps"), INT, .dflt = "1000", .min = 1, .max = 100000, .value = "T",
     .help = "timesteps of the schedule"},
    {FIELD(beta_start, "beta-start"), FLOAT, .dflt = "1e-4", .min = 1e-9, .max = 1, .value = "B",
     .help = "first beta of the schedules that have one"},
    {FIELD(beta_end, "beta-end"), FLOAT, .dflt = "0.02", .min = 1e-9, .max = 1, .value = "B",
     .help = "last beta of the schedules that have one"},
    {FIELD(zero_snr, "zero-snr"), BOOL, .dflt = "false",
     .help = "rescale the schedule to end in pure noise, which sampling starts from; with objective v_prediction or "
             "sample"},
    {FIELD(loss_weight, "loss-weight"), TEXT, .dflt = "uniform", .choices = "uniform|min-snr|p2", .value = "NAME",
     .help = "how much each noise level counts"},
    /* training: 16 */
    {FIELD(batch, "batch"), INT, .dflt = "128", .min = 1, .max = 1048576, .value = "N",
     .help = "images a step; memory does not grow with it"},
    {FIELD(micro_batch, "micro-batch"), INT, .dflt = "0", .min = 0, .max = 256, .value = "N",
     .help = "images a worker has in flight; 0: chosen from the network and the batch (part of the result's bits)"},
    {FIELD(steps, "steps"), INT64, .dflt = "0", .min = 0, .max = EVER, .value = "N",
     .help = "train for this many steps"},
    {FIELD(epochs, "epochs"), FLOAT, .dflt = "0", .min = 0, .max = 1e9, .value = "N",
     .help = "or for this many passes over the data"},
    {FIELD(minutes, "minutes"), FLOAT, .dflt = "0", .min = 0, .max = 1e7, .value = "M",
     .help = "or for this many minutes; with none of the three: 30 minutes"},
    {FIELD(lr, "lr"), FLOAT, .dflt = "2e-4", .min = 0, .max = 10, .value = "R",
     .help = "learning rate (presets of small networks: 1e-3)"},
    {FIELD(warmup, "warmup"), INT64, .dflt = "100", .min = 0, .max = EVER, .value = "N",
     .help = "steps over which the rate rises from 0"},
    {FIELD(lr_schedule, "lr-schedule"), TEXT, .dflt = "constant", .choices = "constant|cosine", .value = "NAME",
     .help = "constant, or cosine: down to 0 at the end (of --minutes by the clock, which repeats only in time, not in "
             "bytes)"},
    {FIELD(optimizer, "optimizer"), TEXT, .dflt = "adamw", .choices = "adamw", .value = "NAME",
     .help = "see `athanor list optimizers`"},
    {FIELD(beta1, "beta1"), FLOAT, .dflt = "0.9", .min = 0, .max = 0.99999, .value = "B",
     .help = "decay of the mean gradient"},
    {FIELD(beta2, "beta2"), FLOAT, .dflt = "0.999", .min = 0, .max = 0.9999999, .value = "B",
     .help = "decay of the mean squared gradient"},
    {FIELD(adam_eps, "adam-eps"), FLOAT, .dflt = "1e-8", .min = 0, .max = 1, .value = "E",
     .help = "added to the root of the mean squared gradient"},
    {FIELD(weight_decay, "weight-decay"), FLOAT, .dflt = "0", .min = 0, .max = 10, .value = "W",
     .help = "decoupled weight decay, on weights only"},
    {FIELD(grad_clip, "grad-clip"), FLOAT, .dflt = "1", .min = 0, .max = 1e9, .value = "C",
     .help = "largest norm of the gradient; 0: not clipped"},
    {FIELD(ema, "ema"), FLOAT, .dflt = "0.9999", .min = 0, .max = 0.9999999, .value = "D",
     .help = "decay of the averaged weights that are sampled from, after a warm-up: min(D, (1+s)/(10+s)) at step s"},
    {FIELD(preset, "preset"), TEXT, .dflt = "", .value = "NAME",
     .help = "a network and its training settings: tiny, mnist-s, cifar-m or cifar-ddpm; default: by image size"},
    /* run: 9 */
    {FIELD(out, "out"), TEXT, .dflt = "", .value = "RUN",
     .help = "the run directory; default: runs/ and the data's name"},
    {FIELD(seed, "seed"), INT64, .dflt = "0", .min = -EVER, .max = EVER, .value = "N",
     .help = "fixes everything random"},
    {FIELD(threads, "threads"), INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores. Changes no byte of the result"},
    {FIELD(save_every, "save-every"), INT64, .dflt = "0", .min = 0, .max = EVER, .value = "N",
     .help = "steps between checkpoints; 0: every two minutes"},
    {FIELD(sample_every, "sample-every"), INT64, .dflt = "0", .min = 0, .max = EVER, .value = "N",
     .help = "steps between preview grids; 0: as often as costs 5 % of the time"},
    {FIELD(sample_count, "sample-count"), INT, .dflt = "36", .min = 0, .max = 4096, .value = "N",
     .help = "images of a preview; 0: no previews"},
    {FIELD(sample_sampler, "sample-sampler"), TEXT, .dflt = "ddim", .value = "NAME",
     .help = "sampler of the previews, see `athanor list samplers`"},
    {FIELD(sample_steps, "sample-steps"), INT, .dflt = "20", .min = 1, .max = 100000, .value = "N",
     .help = "steps of the previews"},
    {FIELD(resume, "resume"), BOOL, .dflt = "false",
     .help = "go on from the run's last checkpoint, to the same bytes as an unbroken run; options not given are taken "
             "from the run"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static const ath_option_group groups[] = {
    {"data", 0, 10}, {"network", 10, 9}, {"diffusion", 19, 7}, {"training", 26, 16}, {"run", 42, 9}};
_Static_assert(N_TABLE == 51, "the groups cover the table");

const ath_option *ath_train_table(int *n) {
    *n = N_TABLE;
    return table;
}

const ath_option_group *ath_train_groups(int *n) {
    *n = sizeof groups / sizeof *groups;
    return groups;
}

static const ath_preset presets[] = {
    {"tiny", "for 8 to 32 pixels: a first look, and tests", 16, 1,
     "base-channels=16,channel-mults=1/2,res-blocks=1,attention=none,norm-groups=8,time-embedding=64,batch=64,lr=1e-3"},
    {"mnist-s", "for 28x28 grey: 1.6 million parameters", 28, 1,
     "base-channels=32,channel-mults=1/2/2,res-blocks=2,attention=7,norm-groups=8,time-embedding=128,batch=64,lr=1e-3"},
    {"cifar-m", "for 32x32 RGB: 9 million parameters", 32, 3,
     "base-channels=64,channel-mults=1/2/2/2,res-blocks=2,attention=16,norm-groups=32,time-embedding=256,lr=4e-4"},
    {"cifar-ddpm", "for 32x32 RGB: DDPM's own network, 36 million parameters", 32, 3,
     "base-channels=128,channel-mults=1/2/2/2,res-blocks=2,attention=16,norm-groups=32,time-embedding=512,lr=2e-4"},
};
enum { N_PRESETS = sizeof presets / sizeof *presets };

const ath_preset *ath_presets(int *n) {
    *n = N_PRESETS;
    return presets;
}

const ath_preset *ath_preset_find(const char *name) {
    for (int i = 0; i < N_PRESETS; i++)
        if (strcmp(presets[i].name, name) == 0) return &presets[i];
    return NULL;
}

const ath_preset *ath_preset_for(int image_size, int channels) {
    if (image_size < 16 || image_size % 4) return &presets[0];
    return image_size % 8 == 0 && channels == 3 ? &presets[2] : &presets[1];
}

ath_status ath_preset_apply(const char *name, ath_train_options *o, ath_err *err) {
    const ath_preset *p = ath_preset_find(name);
    if (p) {
        snprintf(o->preset, sizeof o->preset, "%s", name);
        return ath_options_parse(table, N_TABLE, o, p->settings, err);
    }
    const char *names[N_PRESETS];
    for (int i = 0; i < N_PRESETS; i++) names[i] = presets[i].name;
    const char *near = ath_nearest_name(name, names, N_PRESETS);
    return ath_fail(err, ATH_E_ARG, "preset: \"%s\" is not known, expected tiny, mnist-s, cifar-m or cifar-ddpm%s%s%s",
                    name, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}
