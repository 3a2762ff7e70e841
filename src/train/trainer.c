/* A training run from its options to its last checkpoint: see trainer.h. What happens
 * to one batch is in batch.c, to the weights in optimizer.c, on disk in state.c. */
#include "train/trainer.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/pages.h"
#include "io/grid.h"
#include "model/generate.h"
#include "model/json.h"
#include "train/batch.h"
#include "train/log.h"
#include "train/optimizer.h"
#include "train/state.h"

enum { MAX_BAD_STEPS = 10 };
static const double seconds_between_saves = 120, preview_share = 0.05;

typedef struct trainer {
    ath_train_options o;
    const ath_train_hooks *hooks;
    const ath_dataset *data;
    ath_model *model;
    ath_workers *workers;
    ath_batch *batch;
    ath_train_state state;
    float *grad;
    ath_log *log;
    ath_lock lock; /* on the run directory */
    ath_progress now;
    int64_t total_steps;                          /* 0: minutes decide */
    int bad_steps;                                /* in a row */
    double pace;                                  /* seconds a step, a moving average */
    double last_save, last_preview, preview_cost; /* by the clock */
    int64_t saved_step;
} trainer;

static void note(const trainer *t, const char *text) {
    if (t->hooks && t->hooks->on_note) t->hooks->on_note(t->hooks->user, text);
}

/* ---- setting up ---- */

/* The standard deviation of the pixels in [-1,1], EDM's sigma_data; in six digits, which the files keep exactly. */
static double data_std(const ath_dataset *d) {
    const size_t len = (size_t)d->n * (size_t)d->h * (size_t)d->w * (size_t)d->c;
    uint64_t sum = 0, squares = 0; /* of up to 2^33 bytes: exact */
    for (size_t i = 0; i < len; i++) {
        sum += d->pixel[i];
        squares += (uint64_t)d->pixel[i] * d->pixel[i];
    }
    const double mean = (double)sum / (double)len;
    char text[32];
    snprintf(text, sizeof text, "%.6g", sqrt(fmax(0, (double)squares / (double)len - mean * mean)) / 127.5);
    const double std = strtod(text, NULL);
    return std > 0 ? std : 0.5; /* of images without any contrast: EDM's own */
}

/* The process and the prediction that were asked for. */
static ath_status make_scheduler(const trainer *t, ath_scheduler *s, ath_err *err) {
    const ath_train_options *o = &t->o;
    const ath_schedule_kind *kind = ath_schedule_kind_find(o->schedule);
    ath_prediction prediction;
    if (!kind)
        return ath_fail(err, ATH_E_ARG, "schedule: \"%s\" is not known, see `athanor list schedules`", o->schedule);
    ATH_TRY(ath_prediction_parse(o->objective, &prediction, err));
    if (o->zero_snr && prediction != ATH_V && prediction != ATH_SAMPLE)
        return ath_fail(
            err, ATH_E_ARG,
            "--zero-snr with --objective %s: expected --objective v_prediction or sample, which an image can be "
            "had from at pure noise",
            o->objective);
    const ath_process_kind process = ath_prediction_process(prediction);
    if (process == ATH_PROCESS_VP) {
        *s = (ath_scheduler){.prediction = prediction};
        ATH_TRY(ath_schedule_make(&s->schedule, kind, o->timesteps, o->beta_start, o->beta_end, err));
        const ath_status status = o->zero_snr ? ath_schedule_rescale_zero_snr(&s->schedule, err) : ATH_OK;
        if (status != ATH_OK) ath_scheduler_free(s);
        return status;
    }
    ATH_TRY(ath_scheduler_read_process(s, process, NULL, o->out, err));
    if (prediction == ATH_EDM_F) s->sigma_data = data_std(t->data);
    return ATH_OK;
}

static ath_status make_model(trainer *t, ath_err *err) {
    const ath_train_options *o = &t->o;
    const ath_dataset *d = t->data;
    const ath_net *net = ath_net_find(o->net);
    if (!net) return ath_fail(err, ATH_E_ARG, "net: \"%s\" is not known, see `athanor list nets`", o->net);
    if (!ath_sampler_find(o->sample_sampler)) /* not hours later, at the first preview */
        return ath_fail(err, ATH_E_ARG, "sample-sampler: \"%s\" is not known, see `athanor list samplers`",
                        o->sample_sampler);
    if (d->h != d->w)
        return ath_fail(err, ATH_E_ARG, "data: images of %dx%d are not square; use --image-size", d->w, d->h);
    if (o->class_conditional && !d->label) return ath_fail(err, ATH_E_ARG, "class-conditional: the data has no labels");
    if (!o->class_conditional && o->label_dropout > 0)
        return ath_fail(err, ATH_E_ARG, "label-dropout: needs --class-conditional");
    const bool null_class = o->class_conditional && o->label_dropout > 0;
    const ath_net_request request = {.image_size = d->h,
                                     .channels = d->c,
                                     .classes = o->class_conditional ? d->n_class + null_class : 0,
                                     .base_channels = o->base_channels,
                                     .res_blocks = o->res_blocks,
                                     .norm_groups = o->norm_groups,
                                     .time_embedding = o->time_embedding,
                                     .channel_mults = o->channel_mults,
                                     .attention = o->attention,
                                     .dropout = o->dropout};
    void *config = calloc(1, net->config_size);
    if (!config) return ath_fail(err, ATH_E_MEM, "out of memory");
    ath_options_default(net->options, net->n_options, config);
    ath_status status = net->configure(&request, config, err);
    if (status == ATH_OK) {
        status = ath_options_parse(net->options, net->n_options, config, o->net_options, err);
        if (status != ATH_OK) ath_fail_within(err, status, "net-options");
    }
    ath_scheduler scheduler = {0};
    if (status == ATH_OK) status = make_scheduler(t, &scheduler, err);
    if (status == ATH_OK)
        status = ath_model_create(&t->model, net, config, scheduler, null_class ? d->n_class : -1, err);
    free(config);
    return status;
}

static char *in_run(const trainer *t, const char *name) { return ath_path_join(t->o.out, name); }

static ath_status out_of_memory(const trainer *t, ath_err *err) {
    return ath_fail(err, ATH_E_MEM, "%s: out of memory", t->o.out);
}

/* Fresh weights, or those of the checkpoint. */
static ath_status load_or_init(trainer *t, ath_err *err) {
    char *path = in_run(t, "training_state.safetensors"), *index = in_run(t, "model_index.json");
    ath_status status = path && index ? ATH_OK : out_of_memory(t, err);
    if (status == ATH_OK && ath_path_exists(path) && !t->o.resume)
        status =
            ath_fail(err, ATH_E_ARG, "%s: holds a run already; go on with --resume, or choose another --out", t->o.out);
    else if (status == ATH_OK && ath_path_exists(path))
        status = ath_train_state_load(&t->state, t->model, path, err);
    else if (status == ATH_OK && ath_path_exists(index))
        status = ath_fail(err, ATH_E_ARG, "%s: holds a model without a training state; choose another --out", t->o.out);
    else if (status == ATH_OK) {
        ath_param_init(t->model->graph, (ath_rng){(uint64_t)t->o.seed}, t->state.w);
        memcpy(t->state.ema, t->state.w, t->model->n_params * sizeof(float));
    }
    /* of a run that goes on, what it was begun with, whatever data it goes on with */
    if (t->state.sigma_data > 0) t->model->sigma_data = t->state.sigma_data;
    t->state.sigma_data = t->model->sigma_data;
    free(path);
    free(index);
    return status;
}

static ath_status write_train_json(const trainer *t, ath_err *err) {
    int n;
    const ath_option *table = ath_train_table(&n);
    ath_train_options o = t->o;
    o.resume = false; /* a fact of the command, not of the run */
    json_t *object = json_object();
    char *path = in_run(t, "train.json");
    /* a fact of the data, told for the reader: what begins with an underscore is no option */
    const bool counted =
        !o.skip_broken || json_object_set_new(object, "_skipped_files", json_integer(t->data->n_skipped)) == 0;
    if (!path || !counted || !ath_options_to_json(table, n, &o, object)) {
        json_decref(object);
        free(path);
        return out_of_memory(t, err);
    }
    const ath_status status = ath_json_write(object, path, err);
    free(path);
    return status;
}

/* Everything that needs no run directory: what can be wrong with the options is found before one is made. */
static ath_status set_up(trainer *t, ath_err *err) {
    ath_train_options *o = &t->o;
    ATH_TRY(make_model(t, err));
    if (o->micro_batch == 0) o->micro_batch = ath_micro_batch(t->model->graph, o->batch);
    ATH_TRY(ath_workers_create(&t->workers, t->model, o->threads, o->micro_batch, ATH_GRAD_PARAMS, err));
    ath_batch_rules rules = {.model = t->model,
                             .data = t->data,
                             .rng = {(uint64_t)o->seed},
                             .batch = o->batch,
                             .flip = o->flip,
                             .label_dropout = o->label_dropout};
    ATH_TRY(ath_loss_weight_parse(o->loss_weight, &rules.weight, err));
    ATH_TRY(ath_batch_create(&t->batch, &rules, t->workers, err));
    ATH_TRY(ath_train_state_create(&t->state, t->model, err));
    t->grad = ath_pages_zero((t->model->n_params + 1) * sizeof *t->grad);
    if (!t->grad) return out_of_memory(t, err);
    if (o->steps == 0 && o->epochs == 0 && o->minutes == 0) o->minutes = 30;
    if (o->steps > 0)
        t->total_steps = o->steps;
    else if (o->epochs > 0)
        t->total_steps = (int64_t)ceil(o->epochs * t->data->n / o->batch);
    return ATH_OK;
}

/* What a killed trainer was writing. Previews may have had names that this one does not write again. */
static void clean(const trainer *t) {
    static const char *const folders[] = {".", "samples", "unet", "scheduler"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char *path = in_run(t, folders[i]);
        if (path) ath_remove_unfinished(path);
        free(path);
    }
}

/* The run directory, held by this process from before its state is read until it ends. */
static ath_status enter_run(trainer *t, ath_err *err) {
    const ath_train_options *o = &t->o;
    char *lock = in_run(t, "train.lock"), *samples = in_run(t, "samples"), *log = in_run(t, "log.csv");
    ath_status status = lock && samples && log ? ath_make_dirs(o->out, err) : out_of_memory(t, err);
    if (status == ATH_OK) status = ath_lock_take(&t->lock, lock, "this run is being trained", err);
    if (status == ATH_OK) status = load_or_init(t, err);
    if (status == ATH_OK) status = ath_make_dir(samples, err);
    if (status == ATH_OK) clean(t);
    if (status == ATH_OK) status = write_train_json(t, err);
    if (status == ATH_OK) status = ath_log_open(&t->log, log, t->state.step, err);
    free(lock);
    free(samples);
    free(log);
    t->now = (ath_progress){.step = t->state.step,
                            .steps = t->total_steps,
                            .images = t->state.step * o->batch,
                            .loss_ema = t->state.loss_ema,
                            .seconds = t->state.seconds};
    t->saved_step = t->state.step;
    t->last_save = t->last_preview = ath_clock();
    return status;
}

static void tear_down(trainer *t) {
    ath_log_close(t->log);
    ath_batch_destroy(t->batch);
    ath_workers_destroy(t->workers);
    ath_train_state_free(&t->state);
    ath_model_destroy(t->model);
    free(t->grad);
    ath_lock_release(&t->lock);
}

static void describe(const trainer *t) {
    if (!t->hooks || !t->hooks->on_start) return;
    const ath_train_options *o = &t->o;
    const ath_dataset *d = t->data;
    char text[4 * ATH_TEXT_LEN + 800];
    snprintf(text, sizeof text,
             "%d images %dx%dx%d (%.64s), %s %s with %zu parameters, %s%s%s, batch %d in micro-batches of %d "
             "on %d threads, %.0f MiB of work memory",
             d->n, d->w, d->h, d->c, d->format, o->preset, o->net, t->model->n_params,
             t->model->process.schedule ? o->schedule : "",
             o->zero_snr                  ? " schedule to zero SNR, "
             : t->model->process.schedule ? " schedule, "
                                          : "",
             o->objective, o->batch, o->micro_batch, ath_workers_threads(t->workers),
             (double)ath_workers_bytes(t->workers) / 1048576);
    t->hooks->on_start(t->hooks->user, text);
    if (t->state.step) {
        snprintf(text, sizeof text, "resuming at step %" PRId64, t->state.step);
        note(t, text);
    } else if (o->resume)
        note(t, "nothing to resume yet: starting at step 0");
}

/* ---- saving ---- */

/* The files that are made from the state and follow it. */
static ath_status save_followers(const trainer *t, ath_err *err) {
    ATH_TRY(ath_lock_check(&t->lock, err));
    char *plot = in_run(t, "loss.png");
    ath_status status = plot ? ath_model_save(t->model, t->state.ema, t->o.out, err) : out_of_memory(t, err);
    if (status == ATH_OK) status = ath_log_plot(t->log, plot, err);
    free(plot);
    return status;
}

/* A run directory that was taken away is not made anew, which would be a run without its past. */
static ath_status save(trainer *t, ath_err *err) {
    ATH_TRY(ath_lock_check(&t->lock, err));
    char *state = in_run(t, "training_state.safetensors");
    ath_status status = state ? ATH_OK : out_of_memory(t, err);
    t->state.loss_ema = t->now.loss_ema;
    t->state.seconds = t->now.seconds;
    if (status == ATH_OK) status = ath_log_sync(t->log, err);
    if (status == ATH_OK) status = ath_train_state_save(&t->state, t->model, state, err);
    if (status == ATH_OK) t->saved_step = t->state.step;
    if (status == ATH_OK) status = save_followers(t, err);
    free(state);
    t->last_save = ath_clock();
    return status;
}

static char *preview_path(const trainer *t) {
    char name[64];
    snprintf(name, sizeof name, "samples/step-%08" PRId64 ".png", t->state.step);
    return in_run(t, name);
}

/* The same noise each time, so that previews can be compared. */
static ath_status preview(trainer *t, ath_err *err) {
    const ath_train_options *o = &t->o;
    const ath_model *m = t->model;
    const double begin = ath_clock();
    const ath_sampler *sampler = ath_sampler_find(o->sample_sampler);
    const size_t dim = (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c;
    const int timesteps = m->schedule.timesteps;
    const int steps = timesteps > 0 && o->sample_steps > timesteps ? timesteps : o->sample_steps;
    float *images = malloc((size_t)o->sample_count * dim * sizeof *images);
    ath_level *level = malloc(((size_t)steps + 1) * sizeof *level);
    void *config = calloc(1, sampler->config_size + 1);
    char *path = preview_path(t);
    ath_workers *workers = NULL;
    ath_status status = images && level && config && path ? ATH_OK : out_of_memory(t, err);
    if (status == ATH_OK) status = ath_workers_create(&workers, m, o->threads, 0, ATH_FORWARD, err);
    const ath_source source = ath_source_of(t->model, workers);
    if (status == ATH_OK)
        status = ath_levels(&source.process, ath_source_spacing(&source, sampler), NULL, steps, level, err);
    if (status == ATH_OK) {
        ath_options_default(sampler->options, sampler->n_options, config);
        ath_workers_use(workers, t->state.ema);
        ath_generate_job job = {.sampler = sampler,
                                .sampler_config = config,
                                .level = level,
                                .n_steps = steps,
                                .count = o->sample_count,
                                .rng = {(uint64_t)o->seed},
                                .label = -1,
                                .guidance = 1,
                                .clip = true};
        status = ath_generate(&source, &job, images, err);
    }
    if (status == ATH_OK) {
        const int cols = (int)ceil(sqrt(o->sample_count)), rows = (o->sample_count + cols - 1) / cols;
        status =
            ath_grid_save(path, images, o->sample_count, m->image.h, m->image.w, m->image.c, cols, rows, NULL, 0, err);
        if (status == ATH_OK) note(t, path);
    }
    ath_workers_destroy(workers);
    free(images);
    free(level);
    free(config);
    free(path);
    t->last_preview = ath_clock();
    t->preview_cost = t->last_preview - begin;
    return status;
}

static ath_status save_and_preview_if_due(trainer *t, bool finished, ath_err *err) {
    const ath_train_options *o = &t->o;
    const double clock = ath_clock();
    bool due = o->save_every ? t->state.step % o->save_every == 0 : clock - t->last_save > seconds_between_saves;
    if ((due || finished) && t->saved_step != t->state.step) ATH_TRY(save(t, err));
    if (o->sample_count == 0 || (t->model->image.c != 1 && t->model->image.c != 3)) return ATH_OK; /* nothing to show */
    if (o->sample_every)
        due = t->state.step % o->sample_every == 0;
    else /* the first after half a minute, when there is something to see */
        due = clock - t->last_preview > (t->preview_cost > 0 ? t->preview_cost / preview_share : 30);
    return due || finished ? preview(t, err) : ATH_OK;
}

/* ---- the loop ---- */

static double learning_rate(const trainer *t) {
    const ath_train_options *o = &t->o;
    double rate = o->lr;
    if (t->state.step < o->warmup) rate *= (double)(t->state.step + 1) / (double)o->warmup;
    if (strcmp(o->lr_schedule, "cosine") == 0) {
        double gone =
            t->total_steps ? (double)t->state.step / (double)t->total_steps : t->now.seconds / (60 * o->minutes);
        if (gone > 1) gone = 1;
        rate *= 0.5 * (1 + cos(3.14159265358979323846 * gone));
    }
    return rate;
}

static bool finished(const trainer *t) {
    if (t->total_steps && t->state.step >= t->total_steps) return true;
    return t->o.minutes > 0 && t->now.seconds >= 60 * t->o.minutes;
}

/* One update, or none when the numbers are not finite. */
static ath_status step(trainer *t, ath_err *err) {
    const ath_train_options *o = &t->o;
    const double begin = ath_clock();
    ath_workers_use(t->workers, t->state.w);
    const double loss = ath_batch_gradient(t->batch, (uint64_t)t->state.step, t->grad);
    ath_pool *pool = ath_workers_pool(t->workers);
    const double norm = ath_grad_norm(pool, t->model->n_params, t->grad), rate = learning_rate(t);
    const bool good = isfinite(loss) && isfinite(norm);
    if (good) {
        const ath_adamw adamw = {.lr = rate,
                                 .beta1 = o->beta1,
                                 .beta2 = o->beta2,
                                 .eps = o->adam_eps,
                                 .weight_decay = o->weight_decay,
                                 .clip_norm = o->grad_clip,
                                 .ema_decay = ath_ema_decay(o->ema, (uint64_t)t->state.updates)};
        t->state.updates++;
        ath_adamw_step(pool, t->model->graph, &adamw, (uint64_t)t->state.updates, norm,
                       (ath_weights){t->state.w, t->state.ema, t->state.m, t->state.v, t->grad});
    } else {
        t->state.skipped++;
        char text[128];
        snprintf(text, sizeof text, "step %" PRId64 " skipped: loss %g, gradient norm %g", t->state.step + 1, loss,
                 norm);
        note(t, text);
    }
    t->bad_steps = good ? 0 : t->bad_steps + 1;
    t->state.step++;
    const double took = ath_clock() - begin;
    t->pace = t->pace > 0 ? t->pace + 0.1 * (took - t->pace) : took;
    ath_progress *p = &t->now;
    p->step = t->state.step;
    p->images += o->batch;
    p->loss = loss;
    p->grad_norm = norm;
    p->lr = rate;
    if (good) p->loss_ema += fmax(0.02, 1 / (double)t->state.updates) * (loss - p->loss_ema);
    p->seconds += took;
    p->images_per_second = o->batch / t->pace;
    const double by_steps = t->total_steps ? (double)(t->total_steps - p->step) * t->pace : INFINITY;
    const double by_clock = o->minutes > 0 ? 60 * o->minutes - p->seconds : INFINITY;
    p->seconds_left = fmax(0, fmin(by_steps, by_clock));
    ATH_TRY(ath_log_add(t->log, p, err));
    if (t->hooks && t->hooks->on_step) t->hooks->on_step(t->hooks->user, p);
    if (t->bad_steps == MAX_BAD_STEPS)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: loss or gradient was not finite %d steps in a row; the checkpoint of step %" PRId64
                        " stands: try a lower --lr",
                        o->out, MAX_BAD_STEPS, t->saved_step);
    return ATH_OK;
}

/* A run that was killed between the files of a checkpoint has the state of that step, but the weights
 * to sample from, the plot and the preview of the one before: they are made again. */
static ath_status catch_up(trainer *t, ath_err *err) {
    const ath_train_options *o = &t->o;
    ATH_TRY(save_followers(t, err));
    if (o->sample_count == 0 || !(finished(t) || (o->sample_every && t->state.step % o->sample_every == 0)))
        return ATH_OK;
    char *path = preview_path(t);
    if (!path) return out_of_memory(t, err);
    const bool there = ath_path_exists(path);
    free(path);
    return there ? ATH_OK : preview(t, err);
}

static ath_status loop(trainer *t, bool *stopped, ath_err *err) {
    while (!finished(t)) {
        ATH_TRY(step(t, err));
        *stopped = t->hooks && t->hooks->should_stop && t->hooks->should_stop(t->hooks->user);
        if (*stopped) return t->saved_step == t->state.step ? ATH_OK : save(t, err);
        ATH_TRY(save_and_preview_if_due(t, finished(t), err));
    }
    return ATH_OK;
}

ath_status ath_train(const ath_train_options *o, const ath_dataset *data, const ath_train_hooks *hooks,
                     ath_train_result *result, ath_err *err) {
    trainer t = {.o = *o, .hooks = hooks, .data = data};
    bool stopped = false;
    ath_status status = set_up(&t, err);
    if (status == ATH_OK) status = enter_run(&t, err);
    if (status == ATH_OK) {
        describe(&t);
        if (t.state.step > 0) status = catch_up(&t, err);
    }
    if (status == ATH_OK) status = loop(&t, &stopped, err);
    if (result) *result = (ath_train_result){t.now, stopped};
    tear_down(&t);
    return status;
}
