/* athanor forward: one network evaluation, and its gradients, from and to files. The
 * network is checked against others by this. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "cli/cli.h"
#include "cli/forward_exact.h"
#include "cli/tensors.h"
#include "model/workers.h"

typedef struct options {
    char input[ATH_TEXT_LEN], output[ATH_TEXT_LEN], gradients[ATH_TEXT_LEN];
    int threads;
    bool json;
} options;

#define FIELD(key) .name = #key, .offset = offsetof(options, key)
static const ath_option table[] = {
    {FIELD(input), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "safetensors with x [N,C,H,W], timesteps [N], and where needed class_labels [N], cotangent [N,C,H,W]"},
    {FIELD(output), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "gets y [N,C,H,W], F32 (of an exact model F64)"},
    {FIELD(gradients), .type = ATH_OPT_TEXT, .dflt = "", .value = "FILE",
     .help = "gets the gradients of sum(y cotangent): of every parameter under its name, and of x"},
    {FIELD(json), .type = ATH_OPT_BOOL, .dflt = "false", .help = "print what was done as one JSON object"},
    {FIELD(threads), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .value = "N",
     .help = "workers; 0: all cores"},
};
enum { N_TABLE = sizeof table / sizeof *table };

static void print_help(void) {
    printf(
        "usage: athanor forward RUN --input IN.safetensors --output OUT.safetensors [--gradients GRAD.safetensors]\n\n"
        "Evaluates the network of a run (or of any directory with a diffusers UNet2DModel) once.\n\n"
        "RUN may be a mixture.json, an exact model: y, F64, is then what a network could say at best, epsilon, or for "
        "a\n"
        "flow eps - x0. Timesteps are those of the schedule, 1000 t for a flow, log(sigma)/4 for ve.\n\n");
    cli_print_options(table, N_TABLE);
}

typedef struct work {
    options o;
    ath_model *model;
    ath_workers *workers;
    ath_grad_sum *sum;
    ath_prediction says;
    int n;
    size_t dim;
    float *x, *t, *label, *cotangent, *y, *dx; /* (n, image) in NHWC, (n) */
    float *grad;                               /* (n_params) */
} work;

static void work_free(work *w) {
    ath_grad_sum_destroy(w->sum);
    ath_workers_destroy(w->workers);
    ath_model_destroy(w->model);
    float *all[] = {w->x, w->t, w->label, w->cotangent, w->y, w->dx, w->grad};
    for (int i = 0; i < 7; i++) free(all[i]);
}

/* As floats: images in NHWC, or a number each. */
static ath_status read_tensor(const work *w, const ath_safetensors *file, const char *name, bool images, float **out,
                              ath_err *err) {
    const size_t len = (size_t)w->n * (images ? w->dim : 1);
    double *wide = NULL;
    ath_status status = cli_tensor_read(file, w->o.input, name, w->n, images ? &w->model->image : NULL, &wide, err);
    if (status == ATH_OK && !(*out = malloc((len + 1) * sizeof **out)))
        status = ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.input);
    for (size_t i = 0; status == ATH_OK && i < len; i++) (*out)[i] = (float)wide[i];
    free(wide);
    return status;
}

static ath_status read_input(work *w, ath_err *err) {
    ath_safetensors *file;
    ATH_TRY(ath_safetensors_open(&file, w->o.input, err));
    ath_status status = cli_tensor_count(file, w->o.input, &w->n, err);
    if (status == ATH_OK) status = read_tensor(w, file, "x", true, &w->x, err);
    if (status == ATH_OK) status = read_tensor(w, file, "timesteps", false, &w->t, err);
    if (status == ATH_OK && w->model->classes) status = read_tensor(w, file, "class_labels", false, &w->label, err);
    if (status == ATH_OK && *w->o.gradients) status = read_tensor(w, file, "cotangent", true, &w->cotangent, err);
    ath_safetensors_close(file);
    for (int i = 0; status == ATH_OK && w->label && i < w->n; i++)
        if (!(w->label[i] >= 0 && w->label[i] < (float)w->model->classes))
            status = ath_fail(err, ATH_E_FORMAT, "%s: class_labels %d is not from 0 to %d", w->o.input, i,
                              w->model->classes - 1);
    return status;
}

static void micro_batch(void *self, int worker, ath_plan *plan, ath_run *run, int first, int index) {
    (void)worker;
    work *w = self;
    const ath_model *m = w->model;
    const size_t at = (size_t)first * w->dim, n = (size_t)run->n;
    memcpy(ath_plan_value(plan, m->x), w->x + at, n * w->dim * sizeof(float));
    memcpy(ath_plan_value(plan, m->t), w->t + first, n * sizeof(float));
    if (w->label) memcpy(ath_plan_value(plan, m->label), w->label + first, n * sizeof(float));
    float *scales = ath_plan_value(plan, m->skip_scales);
    for (size_t i = 0; i < n * (size_t)m->skips; i++) scales[i] = 1;
    ath_plan_forward(plan, run);
    memcpy(w->y + at, ath_plan_value(plan, m->output), n * w->dim * sizeof(float));
    if (!w->cotangent) return;
    memcpy(ath_plan_grad(plan, m->output), w->cotangent + at, n * w->dim * sizeof(float));
    ath_plan_vjp(plan, run, w->sum, index);
    const float *dx = ath_plan_grad(plan, m->x);
    if (dx) memcpy(w->dx + at, dx, n * w->dim * sizeof(float));
}

static ath_status evaluate(work *w, ath_err *err) {
    const bool gradients = w->cotangent != NULL;
    const size_t len = (size_t)w->n * w->dim;
    w->y = malloc((len + 1) * sizeof *w->y);
    w->dx = calloc(len + 1, sizeof *w->dx);
    w->grad = calloc(w->model->n_params + 1, sizeof *w->grad);
    if (!w->y || !w->dx || !w->grad) return ath_fail(err, ATH_E_MEM, "out of memory");
    ATH_TRY(ath_workers_create(&w->workers, w->model, w->o.threads, 0,
                               gradients ? ATH_GRAD_PARAMS | ATH_GRAD_INPUTS : ATH_FORWARD, err));
    if (gradients) {
        ATH_TRY(ath_grad_sum_create(&w->sum, w->model->graph, err));
        ath_grad_sum_begin(w->sum, w->grad);
    }
    ath_workers_use(w->workers, w->model->params);
    ath_workers_run(w->workers, w->n, micro_batch, w);
    return ATH_OK;
}

/* (n, image) in NHWC as a tensor of the file; *buffer is the caller's to free. */
static ath_status images_tensor(const work *w, const char *name, const float *x, ath_array *out, float **buffer,
                                ath_err *err) {
    const size_t len = (size_t)w->n * w->dim;
    const ath_shape s = w->model->image;
    double *a = calloc(len + 1, sizeof *a), *b = malloc((len + 1) * sizeof *b);
    *buffer = malloc((len + 1) * sizeof **buffer);
    if (a && b && *buffer) {
        for (size_t i = 0; i < len; i++) a[i] = (double)x[i];
        cli_nhwc_to_nchw((size_t)w->n, s, a, b);
        for (size_t i = 0; i < len; i++) (*buffer)[i] = (float)b[i];
    }
    const bool ok = a && b && *buffer;
    free(a);
    free(b);
    *out = (ath_array){.name = name, .dtype = ATH_F32, .n_dim = 4, .dim = {w->n, s.c, s.h, s.w}, .data = *buffer};
    return ok ? ATH_OK : ath_fail(err, ATH_E_MEM, "out of memory");
}

static ath_status write_gradients(const work *w, ath_err *err) {
    const int n = ath_param_count(w->model->graph);
    ath_array *array = calloc((size_t)n + 1, sizeof *array);
    float *disk = malloc((w->model->n_params + 1) * sizeof *disk), *dx = NULL;
    ath_status status = array && disk ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", w->o.gradients);
    for (int i = 0; i < n && status == ATH_OK; i++) {
        const ath_param *p = ath_param_at(w->model->graph, i);
        ath_param_to_disk(p, w->grad + p->offset, disk + p->offset);
        array[i] = (ath_array){.name = p->name, .dtype = ATH_F32, .n_dim = p->n_dim, .data = disk + p->offset};
        memcpy(array[i].dim, p->dim, sizeof p->dim);
    }
    if (status == ATH_OK) status = images_tensor(w, "x", w->dx, &array[n], &dx, err);
    if (status == ATH_OK) status = ath_safetensors_save(w->o.gradients, array, n + 1, NULL, 0, err);
    free(array);
    free(disk);
    free(dx);
    return status;
}

/* A file is an exact model, as for `sample`. */
static ath_status work_on_exact(work *w, const char *path, ath_err *err) {
    if (*w->o.gradients)
        return ath_fail(err, ATH_E_ARG, "--gradients: %s is an exact model, which has no parameters", path);
    return cli_forward_exact(path, w->o.input, w->o.output, w->o.threads, &w->n, &w->says, err);
}

static ath_status work_on(work *w, const char *path, ath_err *err) {
    if (!*w->o.input) return ath_fail(err, ATH_E_ARG, "--input: say which file holds x and timesteps");
    if (!*w->o.output && !*w->o.gradients) return ath_fail(err, ATH_E_ARG, "--output: say where y goes");
    if (ath_path_exists(path) && !ath_path_is_dir(path)) return work_on_exact(w, path, err);
    ATH_TRY(ath_model_open(&w->model, path, err));
    w->says = w->model->prediction;
    w->dim = (size_t)w->model->image.h * (size_t)w->model->image.w * (size_t)w->model->image.c;
    ATH_TRY(read_input(w, err));
    ATH_TRY(evaluate(w, err));
    if (*w->o.output) {
        ath_array y;
        float *buffer = NULL;
        ath_status status = images_tensor(w, "y", w->y, &y, &buffer, err);
        if (status == ATH_OK) status = ath_safetensors_save(w->o.output, &y, 1, NULL, 0, err);
        free(buffer);
        ATH_TRY(status);
    }
    return *w->o.gradients ? write_gradients(w, err) : ATH_OK;
}

static int run(int argc, char **argv) {
    ath_err err = {0};
    cli_line line;
    work w = {0};
    ath_status status = cli_parse(argc, argv, table, N_TABLE, &w.o, 1, &line, &err);
    if (status == ATH_OK && line.help) {
        print_help();
        return CLI_OK;
    }
    if (status == ATH_OK && line.n_arguments == 0)
        status = ath_fail(&err, ATH_E_ARG, "RUN: say which directory; see --help");
    if (status == ATH_OK) status = work_on(&w, line.argument[0], &err);
    if (status == ATH_OK && w.o.json) {
        json_t *object = json_pack("{s:s, s:i, s:s}", "run", line.argument[0], "images", w.n, "prediction_type",
                                   ath_prediction_name(w.says));
        if (*w.o.output) json_object_set_new(object, "output", json_string(w.o.output));
        if (*w.o.gradients) json_object_set_new(object, "gradients", json_string(w.o.gradients));
        cli_print_json(object);
    }
    work_free(&w);
    return status == ATH_OK ? CLI_OK : cli_fail("forward", status, &err);
}

const cli_command cli_forward = {"forward", "one network evaluation from and to .safetensors, with gradients", run};
