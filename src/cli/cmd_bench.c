/* athanor bench: training and sampling speed and memory, on made-up images. A training
 * image is one forward, one backward and its share of the optimizer's step; a sampling
 * image is one network evaluation. */
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "base/clock.h"
#include "base/pages.h"
#include "cli/cli.h"
#include "model/denoiser.h"
#include "model/json.h"
#include "train/batch.h"
#include "train/optimizer.h"
#include "train/options.h"
#include "train/state.h"

typedef struct options {
    char preset[ATH_TEXT_LEN], net[ATH_TEXT_LEN], mode[ATH_TEXT_LEN];
    int batch, threads, micro_batch, image_size, channels, base_channels, res_blocks, norm_groups;
    ath_ints channel_mults, attention;
    double seconds;
    bool json, profile;
} options;

#define FIELD(key, label) .name = label, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(preset, "preset"), .type = ATH_OPT_TEXT, .dflt = "mnist-s", .value = "NAME",
     .help = "tiny, mnist-s, cifar-m or cifar-ddpm"},
    {FIELD(mode, "mode"), .type = ATH_OPT_TEXT, .dflt = "both", .choices = "train|sample|both", .value = "NAME",
     .help = "what to measure"},
    {FIELD(batch, "batch"), .type = ATH_OPT_INT, .dflt = "64", .min = 1, .max = 1048576, .value = "N",
     .help = "images a step"},
    {FIELD(seconds, "seconds"), .type = ATH_OPT_FLOAT, .dflt = "5", .min = 0, .max = 3600, .value = "S",
     .help = "how long each mode runs, after one step to warm up"},
    {FIELD(threads, "threads"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores"},
    {FIELD(micro_batch, "micro-batch"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 256, .value = "N",
     .help = "images a worker has in flight; 0: chosen from the network and, in training, the batch"},
    {FIELD(net, "net"), .type = ATH_OPT_TEXT, .dflt = "unet", .value = "NAME",
     .help = "network, see `athanor list nets`"},
    {FIELD(image_size, "image-size"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "pixels; 0: the preset's"},
    {FIELD(channels, "channels"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 3, .value = "1|3",
     .help = "0: the preset's"},
    {FIELD(base_channels, "base-channels"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 4096, .value = "N",
     .help = "0: the preset's"},
    {FIELD(channel_mults, "channel-mults"), .type = ATH_OPT_INTS, .min = 1, .max = 64, .value = "1,2,2",
     .help = "in place of the preset's"},
    {FIELD(res_blocks, "res-blocks"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 64, .value = "N",
     .help = "0: the preset's"},
    {FIELD(attention, "attention"), .type = ATH_OPT_INTS, .min = 1, .max = 1024, .value = "7",
     .help = "in place of the preset's"},
    {FIELD(norm_groups, "norm-groups"), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "0: the preset's"},
    {FIELD(profile, "profile"), .type = ATH_OPT_BOOL, .dflt = "false",
     .help = "print where the time goes, operation by operation"},
    {FIELD(json, "json"), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print one JSON object"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf("usage: athanor bench [--preset NAME] [--batch N] [--mode train|sample|both] [--seconds S] [--profile] "
           "[--json]\n\n"
           "Measures this machine: images a second in training (forward, backward, optimizer) and in\n"
           "sampling (one evaluation each), and the peak memory of the process.\n\n");
    cli_print_options(table, N_TABLE);
}

static ath_status make_model(const options *o, ath_model **out, ath_err *err) {
    ath_train_options t;
    int n;
    const ath_option *train_table = ath_train_table(&n);
    ath_options_default(train_table, n, &t);
    ATH_TRY(ath_preset_apply(o->preset, &t, err));
    const ath_preset *preset = ath_preset_find(o->preset);
    ATH_TRY(cli_net_known("--net", o->net, err));
    const ath_net *net = ath_net_find(o->net);
    const ath_net_request request = {.image_size = o->image_size ? o->image_size : preset->image_size,
                                     .channels = o->channels ? o->channels : preset->channels,
                                     .base_channels = o->base_channels ? o->base_channels : t.base_channels,
                                     .res_blocks = o->res_blocks ? o->res_blocks : t.res_blocks,
                                     .norm_groups = o->norm_groups ? o->norm_groups : t.norm_groups,
                                     .time_embedding = o->base_channels ? 0 : t.time_embedding,
                                     .channel_mults = o->channel_mults.n >= 0 ? o->channel_mults : t.channel_mults,
                                     .attention = o->attention.n >= 0 ? o->attention : t.attention};
    if (o->attention.n >= 0) ATH_TRY(cli_attention_known(o->net, &request, err));
    void *config = calloc(1, net->config_size);
    if (!config) return ath_fail(err, ATH_E_MEM, "out of memory");
    ath_options_default(net->options, net->n_options, config);
    ath_scheduler scheduler = {.prediction = ATH_EPSILON};
    ath_status status = net->configure(&request, config, err);
    if (status == ATH_OK)
        status = ath_schedule_make(&scheduler.schedule, ath_schedule_kind_find("cosine"), 1000, 1e-4, 0.02, err);
    if (status == ATH_OK) status = ath_model_create(out, net, config, scheduler, -1, err);
    free(config);
    if (status == ATH_OK) status = ath_model_allocate(*out, err);
    if (status == ATH_OK) ath_param_init((*out)->graph, (ath_rng){0}, (*out)->params);
    return status;
}

/* Noise as bytes: what is in the images does not matter for the speed. */
static ath_status make_data(const ath_model *m, ath_dataset *d, ath_err *err) {
    *d = (ath_dataset){.n = 64, .h = m->image.h, .w = m->image.w, .c = m->image.c};
    const size_t len = 64 * (size_t)d->h * (size_t)d->w * (size_t)d->c;
    d->pixel = malloc(len);
    if (!d->pixel) return ath_fail(err, ATH_E_MEM, "out of memory");
    for (size_t i = 0; i < len; i++) d->pixel[i] = (uint8_t)(i * 2654435761u >> 7);
    return ATH_OK;
}

static ath_status start_profile(const ath_workers *w, ath_err *err) {
    for (int i = 0; i < ath_workers_threads(w); i++) ATH_TRY(ath_plan_time(ath_workers_plan(w, i), err));
    return ATH_OK;
}

/* Calls step until the time is up, at least once, after one call to warm up: images a second. */
static ath_status measure(const options *o, const ath_workers *w, const char *mode, void (*step)(void *), void *self,
                          double *out, ath_err *err) {
    step(self);
    if (o->profile) ATH_TRY(start_profile(w, err));
    const double begin = ath_clock();
    int done = 0;
    double now;
    do {
        step(self);
        done++;
        now = ath_clock();
    } while (now - begin < o->seconds);
    const double images = done * (double)o->batch;
    if (o->profile) cli_print_profile(w, mode, now - begin, images);
    *out = images / (now - begin);
    return ATH_OK;
}

typedef struct training {
    ath_model *m;
    ath_workers *workers;
    ath_batch *batch;
    ath_train_state state;
    float *grad;
    uint64_t step;
} training;

static void training_step(void *self) {
    training *t = self;
    const ath_adamw adamw = {.lr = 1e-6, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_norm = 1, .ema_decay = 0.999};
    ath_pool *pool = ath_workers_pool(t->workers);
    ath_workers_use(t->workers, t->state.w);
    ath_batch_gradient(t->batch, t->step++, t->grad);
    const double norm = ath_grad_norm(pool, t->m->n_params, t->grad);
    ath_adamw_step(pool, t->m->graph, &adamw, t->step, norm,
                   (ath_weights){t->state.w, t->state.ema, t->state.m, t->state.v, t->grad});
}

static ath_status bench_training(const options *o, ath_model *m, int micro, double *out, ath_err *err) {
    training t = {.m = m};
    ath_dataset data;
    ath_status status = make_data(m, &data, err);
    if (status == ATH_OK) status = ath_workers_create(&t.workers, m, o->threads, micro, ATH_GRAD_PARAMS, err);
    if (status == ATH_OK) status = ath_train_state_create(&t.state, m, err);
    if (status == ATH_OK && !(t.grad = ath_pages_zero((m->n_params + 1) * sizeof *t.grad)))
        status = ath_fail(err, ATH_E_MEM, "out of memory");
    if (status == ATH_OK) {
        memcpy(t.state.w, m->params, m->n_params * sizeof(float));
        const ath_batch_rules rules = {.model = m, .data = &data, .batch = o->batch};
        status = ath_batch_create(&t.batch, &rules, t.workers, err);
    }
    if (status == ATH_OK) status = measure(o, t.workers, "training", training_step, &t, out, err);
    ath_batch_destroy(t.batch);
    ath_train_state_free(&t.state);
    ath_workers_destroy(t.workers);
    free(t.grad);
    ath_dataset_close(&data);
    return status;
}

typedef struct sampling {
    const ath_model *m;
    ath_workers *workers;
    int n;
    float *x, *t, *f;
} sampling;

static void sampling_step(void *self) {
    sampling *s = self;
    ath_evaluate(s->workers, s->m, s->n, s->x, s->t, NULL, NULL, s->f);
}

/* *micro: what was taken */
static ath_status bench_sampling(const options *o, ath_model *m, int *micro, double *out, ath_err *err) {
    const size_t len = (size_t)o->batch * (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c;
    sampling s = {.m = m, .n = o->batch};
    ath_status status = ath_workers_create(&s.workers, m, o->threads, o->micro_batch, ATH_FORWARD, err);
    s.x = malloc((len + 1) * sizeof *s.x);
    s.f = malloc((len + 1) * sizeof *s.f);
    s.t = malloc((size_t)o->batch * sizeof *s.t);
    if (status == ATH_OK && !(s.x && s.f && s.t)) status = ath_fail(err, ATH_E_MEM, "out of memory");
    if (status == ATH_OK) {
        ath_rng_normal((ath_rng){0}, ATH_S_START, 0, s.x, len);
        for (int i = 0; i < o->batch; i++) s.t[i] = 500;
        *micro = ath_workers_micro_batch(s.workers);
        ath_workers_use(s.workers, m->params);
        status = measure(o, s.workers, "sampling", sampling_step, &s, out, err);
    }
    ath_workers_destroy(s.workers);
    free(s.x);
    free(s.f);
    free(s.t);
    return status;
}

static void report(const options *o, const ath_model *m, int micro, double train, double sample) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const double gflop = ath_graph_flops(m->graph) / 1e9, peak = (double)usage.ru_maxrss / 1024;
    const double per_second = train > 0 ? 3 * gflop * train : gflop * sample; /* backward is twice the forward */
    if (o->json) {
        json_t *object = json_object();
        json_object_set_new(object, "preset", json_string(o->preset));
        json_object_set_new(object, "batch", json_integer(o->batch));
        json_object_set_new(object, "micro_batch", json_integer(micro));
        json_object_set_new(object, "kernels", json_string(ath_workers_isa()));
        if (train > 0) json_object_set_new(object, "train_images_per_second", json_real(train));
        if (sample > 0) json_object_set_new(object, "sample_images_per_second", json_real(sample));
        json_object_set_new(object, "peak_rss_mib", json_real(peak));
        json_object_set_new(object, "parameters", json_integer((json_int_t)m->n_params));
        json_object_set_new(object, "forward_gflop_per_image", json_real(gflop));
        json_object_set_new(object, "gflop_per_second", json_real(per_second));
        cli_print_json(object);
        return;
    }
    printf("%s, batch %d in micro-batches of %d, %s kernels\n", o->preset, o->batch, micro, ath_workers_isa());
    if (train > 0) printf("train_images_per_second  %.2f\n", train);
    if (sample > 0) printf("sample_images_per_second %.2f\n", sample);
    printf("peak_rss_mib             %.1f\nparameters               %zu\nforward_gflop_per_image  "
           "%.4f\ngflop_per_second         %.1f\n",
           peak, m->n_params, gflop, per_second);
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    options o;
    ath_status status = cli_parse(argc, argv, table, N_TABLE, &o, 0, &line, &err);
    if (status == ATH_OK && line.help) {
        print_help();
        return CLI_OK;
    }
    ath_model *m = NULL;
    double train = 0, sample = 0;
    int micro = 0, sampling_micro = 0;
    if (status == ATH_OK) status = make_model(&o, &m, &err);
    if (status == ATH_OK) micro = o.micro_batch ? o.micro_batch : ath_micro_batch(m->graph, o.batch);
    if (status == ATH_OK && strcmp(o.mode, "sample") != 0) status = bench_training(&o, m, micro, &train, &err);
    if (status == ATH_OK && strcmp(o.mode, "train") != 0)
        status = bench_sampling(&o, m, &sampling_micro, &sample, &err);
    if (train == 0) micro = sampling_micro;
    if (status == ATH_OK) report(&o, m, micro, train, sample);
    ath_model_destroy(m);
    return status == ATH_OK ? CLI_OK : cli_fail("bench", status, &err);
}

const cli_command cli_bench = {"bench", "measure training and sampling speed and memory on this machine", run};
