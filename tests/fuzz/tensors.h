/* safetensors files as the targets that read them make them: from a header and the data, the length put before them
 * here, so that the fuzzer can change either without losing the file. */
#ifndef ATH_TESTS_FUZZ_TENSORS_H
#define ATH_TESTS_FUZZ_TENSORS_H
#include "fuzz.h"
#include "model/model.h"
#include "io/safetensors.h"

/* The next two parts of an input as a file; none where the first is missing. */
static inline bool fuzz_put_tensors(const char *name, fuzz_part *rest) {
    const fuzz_part header = fuzz_next(rest), data = fuzz_next(rest);
    if (!header.data) {
        fuzz_remove(name);
        return false;
    }
    const size_t size = 8 + header.size + data.size;
    uint8_t *file = malloc(size);
    if (!file) fuzz_fail("out of memory");
    for (int k = 0; k < 8; k++) file[k] = (uint8_t)((uint64_t)header.size >> 8 * k);
    memcpy(file + 8, header.data, header.size);
    if (data.size) memcpy(file + 8 + header.size, data.data, data.size);
    fuzz_put(name, file, size);
    free(file);
    return true;
}

/* The network whose weights and training states the seeds hold: make_seeds trains it with these options. */
static inline ath_model *fuzz_model(void) {
    const ath_net_request request = {.image_size = 4,
                                     .channels = 1,
                                     .base_channels = 2,
                                     .res_blocks = 1,
                                     .norm_groups = 1,
                                     .time_embedding = 2,
                                     .channel_mults = {2, {1, 1}},
                                     .attention = {1, {2}}};
    ath_err err = {0};
    ath_model *m = NULL;
    ath_scheduler scheduler;
    const ath_net *net = ath_net_find("unet");
    void *config = calloc(1, net->config_size);
    if (!config) fuzz_fail("out of memory");
    ath_options_default(net->options, net->n_options, config);
    ath_status status = net->configure(&request, config, &err);
    if (status == ATH_OK) status = ath_scheduler_read_process(&scheduler, ATH_PROCESS_VP, NULL, "none", &err);
    if (status == ATH_OK) status = ath_model_create(&m, net, config, scheduler, -1, &err);
    if (status == ATH_OK) status = ath_model_allocate(m, &err);
    if (status != ATH_OK) fuzz_fail(err.text);
    free(config);
    return m;
}

#endif
