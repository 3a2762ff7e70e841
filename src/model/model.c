/* Models in memory, and as diffusers pipeline directories: see model.h. */
#include "model/model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/pages.h"
#include "graph/op.h"
#include "model/json.h"
#include "model/weights.h"

static const char *const diffusers_version = "0.33.0"; /* the first that has all keys written here */

void ath_model_destroy(ath_model *m) {
    if (!m) return;
    ath_graph_destroy(m->graph);
    ath_schedule_free(&m->schedule);
    free(m->config);
    free(m->params);
    free(m);
}

static ath_status build(ath_model *m, ath_err *err) {
    m->graph = ath_graph_create();
    if (!m->graph) return ath_fail(err, ATH_E_MEM, "out of memory for the network");
    m->net->describe(m->config, &m->image, &m->classes);
    m->x = ath_input(m->graph, "x", m->image, true);
    m->t = ath_input(m->graph, "t", (ath_shape){1, 1, 1}, true);
    if (m->classes) m->label = ath_input(m->graph, "label", (ath_shape){1, 1, 1}, false);
    m->output = m->net->build(m->graph, (ath_net_io){m->x, m->t, m->label}, m->config);
    ath_output(m->graph, m->output);
    m->skip_scales = ath_input_find(m->graph, "skip_scales");
    m->skips = ath_shape_of(m->graph, m->skip_scales).c;
    m->n_params = ath_param_total(m->graph);
    const ath_shape y = ath_shape_of(m->graph, m->output);
    if (m->output.id && (y.h != m->image.h || y.w != m->image.w || y.c != m->image.c))
        ath_graph_fail(m->graph, "the network's result has shape (%d,%d,%d), the image (%d,%d,%d)", y.h, y.w, y.c,
                       m->image.h, m->image.w, m->image.c);
    return ath_graph_status(m->graph, err);
}

ath_status ath_model_create(ath_model **out, const ath_net *net, const void *config, ath_scheduler scheduler,
                            int null_class, ath_err *err) {
    *out = NULL;
    ath_model *m = calloc(1, sizeof *m);
    if (!m) {
        ath_scheduler_free(&scheduler);
        return ath_fail(err, ATH_E_MEM, "out of memory for the model");
    }
    m->net = net;
    m->schedule = scheduler.schedule;
    m->process = scheduler.process;
    m->process.schedule = m->process.kind == ATH_PROCESS_VP ? &m->schedule : NULL;
    m->prediction = scheduler.prediction;
    m->sigma_data = scheduler.sigma_data;
    m->null_class = null_class;
    m->config = malloc(net->config_size);
    ath_status status = m->config ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory for the model");
    if (status == ATH_OK) {
        memcpy(m->config, config, net->config_size);
        status = build(m, err);
    }
    if (status != ATH_OK) {
        ath_model_destroy(m);
        return status;
    }
    *out = m;
    return ATH_OK;
}

ath_status ath_model_allocate(ath_model *m, ath_err *err) {
    m->params = ath_pages_zero((m->n_params + 1) * sizeof *m->params);
    return m->params ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory for %zu parameters", m->n_params);
}

ath_process ath_model_process(const ath_model *m) { return m->process; }

/* As a file describes it; borrows the schedule. */
static ath_scheduler scheduler_of(const ath_model *m) {
    return (ath_scheduler){
        .prediction = m->prediction, .process = m->process, .schedule = m->schedule, .sigma_data = m->sigma_data};
}

/* ---- configuration files ---- */

static json_t *net_config(const ath_model *m) {
    json_t *o = json_object();
    json_object_set_new(o, "_class_name", json_string(m->net->class_name));
    json_object_set_new(o, "_diffusers_version", json_string(diffusers_version));
    if (m->null_class >= 0) json_object_set_new(o, "_athanor_null_class", json_integer(m->null_class));
    ath_options_to_json(m->net->options, m->net->n_options, m->config, o);
    return o;
}

/* DDPMPipeline's loop does not scale the network's input, as EDM's needs: it would draw wrong pictures. Without a scheduler in
 * the index it does not open, and the parts still do. */
static json_t *model_index(const ath_model *m) {
    const ath_scheduler scheduler = scheduler_of(m);
    json_t *o = json_pack("{s:s, s:s, s:[s,s]}", "_class_name", "DDPMPipeline", "_diffusers_version", diffusers_version,
                          "unet", "diffusers", m->net->class_name);
    if (o && m->process.kind != ATH_PROCESS_VE)
        json_object_set_new(o, "scheduler", json_pack("[s,s]", "diffusers", ath_scheduler_class(&scheduler)));
    return o;
}

/* Joins a folder and a file, and hands the path to the writer. */
static ath_status write_json_in(const char *folder, const char *name, json_t *object, ath_err *err) {
    char *path = ath_path_join(folder, name);
    if (!path) {
        json_decref(object);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory", folder);
    }
    const ath_status status = ath_json_write(object, path, err);
    free(path);
    return status;
}

ath_status ath_model_save(const ath_model *m, const float *params, const char *path, ath_err *err) {
    char *unet = ath_path_join(path, "unet"), *scheduler = ath_path_join(path, "scheduler");
    const ath_scheduler written = scheduler_of(m);
    ath_status status = unet && scheduler ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (status == ATH_OK) status = ath_make_dir(unet, err);
    if (status == ATH_OK) status = ath_make_dir(scheduler, err);
    if (status == ATH_OK) status = ath_weights_save(m, params, unet, err);
    if (status == ATH_OK) status = write_json_in(unet, "config.json", net_config(m), err);
    if (status == ATH_OK)
        status =
            write_json_in(scheduler, "scheduler_config.json", ath_scheduler_write(&written, diffusers_version), err);
    if (status == ATH_OK) status = write_json_in(path, "model_index.json", model_index(m), err);
    free(unet);
    free(scheduler);
    return status;
}

/* ---- opening ---- */

static ath_status find_net(const ath_net **net, const json_t *o, const char *path, ath_err *err) {
    const char *name = json_string_value(json_object_get(o, "_class_name"));
    int n;
    const ath_net *const *all = ath_net_all(&n);
    *net = NULL;
    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->class_name, name ? name : "UNet2DModel") == 0) *net = all[i];
    if (!*net) return ath_fail(err, ATH_E_FORMAT, "%s: _class_name \"%s\" is not a network known here", path, name);
    return ATH_OK;
}

/* The row of the class table that means "no class": ours to tell, diffusers has no name for it. */
static ath_status read_null_class(ath_model *m, const json_t *o, const char *path, ath_err *err) {
    const json_t *row = json_object_get(o, "_athanor_null_class");
    if (!row || json_is_null(row)) return ATH_OK;
    const json_int_t k = json_is_integer(row) ? json_integer_value(row) : -1;
    if (k < 1 || k >= m->classes)
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: _athanor_null_class: expected a row from 1 to %d of the %d class embeddings", path,
                        m->classes - 1, m->classes);
    m->null_class = (int)k;
    return ATH_OK;
}

/* What the file says; what diffusers' classes say by default, of one that is not there. */
static ath_status read_scheduler(ath_scheduler *s, const char *path, ath_err *err) {
    if (!ath_path_exists(path)) return ath_scheduler_read_process(s, ATH_PROCESS_VP, NULL, path, err);
    json_t *o;
    ATH_TRY(ath_json_read(&o, path, err));
    const ath_status status = ath_scheduler_read(s, o, path, err);
    json_decref(o);
    return status;
}

/* From the files' paths; scheduler_path may name a file that is not there. */
static ath_status open_files(ath_model **out, const char *config_path, const char *weights_folder,
                             const char *scheduler_path, ath_err *err) {
    json_t *o = NULL;
    void *config = NULL;
    const ath_net *net = NULL;
    ath_scheduler scheduler = {0};
    ath_status status = ath_json_read(&o, config_path, err);
    if (status == ATH_OK) status = find_net(&net, o, config_path, err);
    if (status == ATH_OK && !(config = calloc(1, net->config_size)))
        status = ath_fail(err, ATH_E_MEM, "%s: out of memory", config_path);
    if (status == ATH_OK) {
        ath_options_default(net->options, net->n_options, config);
        if (net->absent_keys) net->absent_keys(config);
        status = ath_options_from_json(net->options, net->n_options, config, o, false, config_path, err);
    }
    if (status == ATH_OK) status = read_scheduler(&scheduler, scheduler_path, err);
    if (status == ATH_OK) {
        status = ath_model_create(out, net, config, scheduler, -1, err);
        if (status != ATH_OK) ath_fail_within(err, status, "%s", config_path);
    }
    if (status == ATH_OK) status = read_null_class(*out, o, config_path, err);
    if (status == ATH_OK) status = ath_weights_check(*out, weights_folder, err);
    if (status == ATH_OK) status = ath_model_allocate(*out, err);
    if (status == ATH_OK) status = ath_weights_load(*out, (*out)->params, weights_folder, err);
    if (status != ATH_OK && *out) {
        ath_model_destroy(*out);
        *out = NULL;
    }
    json_decref(o);
    free(config);
    return status;
}

ath_status ath_model_open(ath_model **out, const char *path, ath_err *err) {
    *out = NULL;
    if (!ath_path_exists(path)) return ath_fail(err, ATH_E_IO, "%s: no such run directory", path);
    char *index = ath_path_join(path, "unet/config.json"), *bare = ath_path_join(path, "config.json");
    char *unet = ath_path_join(path, "unet"), *scheduler = ath_path_join(path, "scheduler/scheduler_config.json");
    ath_status status =
        index && bare && unet && scheduler ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    if (status == ATH_OK) {
        const bool pipeline = ath_path_exists(index);
        if (!pipeline && !ath_path_exists(bare))
            status =
                ath_fail(err, ATH_E_FORMAT, "%s: is not a model: expected unet/config.json or config.json in it", path);
        else
            status = open_files(out, pipeline ? index : bare, pipeline ? unet : path, scheduler, err);
    }
    free(index);
    free(bare);
    free(unet);
    free(scheduler);
    return status;
}
