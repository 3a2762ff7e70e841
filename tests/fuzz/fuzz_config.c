/* A network's configuration and perhaps its scheduler's. Where they describe a small network, fresh weights are put
 * beside them, so that the model opens, and it is run. */
#define _GNU_SOURCE
#include "graph/op.h"
#include "model/denoiser.h"
#include "model/json.h"
#include "model/weights.h"
#include "fuzz.h"

enum { MOST_PARAMETERS = 20000, MOST_NUMBERS = 1 << 12 };
static const double most_flops = 2e7;

/* The network of a configuration, without weights; NULL where there is none. */
static ath_model *describe(const char *path) {
    ath_err err = {0};
    json_t *o;
    ath_model *m = NULL;
    ath_scheduler scheduler;
    if (ath_json_read(&o, path, &err) != ATH_OK) return NULL;
    const char *name = json_string_value(json_object_get(o, "_class_name"));
    int n;
    const ath_net *const *all = ath_net_all(&n), *net = NULL;
    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->class_name, name ? name : "UNet2DModel") == 0) net = all[i];
    void *config = net ? calloc(1, net->config_size) : NULL;
    if (config) {
        ath_options_default(net->options, net->n_options, config);
        if (ath_options_from_json(net->options, net->n_options, config, o, false, path, &err) == ATH_OK &&
            ath_scheduler_read_process(&scheduler, ATH_PROCESS_VP, NULL, path, &err) == ATH_OK)
            fuzz_check(ath_model_create(&m, net, config, scheduler, -1, &err), &err);
    }
    free(config);
    json_decref(o);
    return m;
}

static bool is_small(const ath_model *m) {
    return m->n_params <= MOST_PARAMETERS && (int64_t)m->image.h * m->image.w * m->image.c <= MOST_NUMBERS &&
           ath_graph_flops(m->graph) <= most_flops;
}

static void run(ath_model *m) {
    ath_err err = {0};
    ath_workers *workers;
    const ath_status status = ath_workers_create(&workers, m, 1, 1, ATH_FORWARD, &err);
    fuzz_check(status, &err);
    if (status != ATH_OK) return;
    ath_workers_use(workers, m->params);
    const size_t dim = (size_t)m->image.h * (size_t)m->image.w * (size_t)m->image.c;
    double *x = calloc(2 * dim, sizeof *x);
    const float label = 0;
    ath_model_denoiser d = {.model = m, .workers = workers, .n = 1, .label = m->classes ? &label : NULL, .guidance = 1};
    const ath_denoiser net = ath_model_denoiser_as(&d);
    const ath_process process = ath_model_process(m);
    const ath_level level = ath_process_level(&process, 0.5);
    if (!x) fuzz_fail("out of memory");
    if (ath_model_denoiser_init(&d, &err) != ATH_OK) fuzz_fail(err.text);
    fuzz_check(net.x0(net.self, x, &level, 0, x + dim, &err), &err);
    ath_model_denoiser_free(&d);
    free(x);
    ath_workers_destroy(workers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"model", "model/unet", "model/scheduler"};
    static const char weights[] = "model/unet/diffusion_pytorch_model.safetensors";
    static bool ready;
    for (int i = 0; i < 3 && !ready; i++) fuzz_folder(names[i]);
    ready = true;
    fuzz_part rest = {data, size};
    fuzz_put_part("model/unet/config.json", fuzz_next(&rest));
    fuzz_put_part("model/scheduler/scheduler_config.json", fuzz_next(&rest));
    ath_err err = {0};
    ath_model *m = describe(fuzz_path("model/unet/config.json"));
    if (m && is_small(m) && ath_model_allocate(m, &err) == ATH_OK) {
        ath_param_init(m->graph, (ath_rng){1}, m->params);
        if (ath_weights_save(m, m->params, fuzz_path("model/unet"), &err) != ATH_OK) fuzz_fail(err.text);
    } else
        fuzz_remove(weights);
    ath_model_destroy(m);
    fuzz_check(ath_model_open(&m, fuzz_path("model"), &err), &err);
    if (m) run(m);
    ath_model_destroy(m);
    return 0;
}
