/* A network's weights: one safetensors file, or an index (JSON) and up to two shards, each as header and data. */
#define _GNU_SOURCE
#include "model/weights.h"
#include "tensors.h"

static const char whole[] = "diffusion_pytorch_model.safetensors";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static ath_model *model;
    if (!model) model = fuzz_model();
    fuzz_part rest = {data, size};
    const fuzz_part index = fuzz_next(&rest);
    if (index.size) {
        fuzz_remove(whole);
        fuzz_put("diffusion_pytorch_model.safetensors.index.json", index.data, index.size);
        fuzz_put_tensors("1.safetensors", &rest);
        fuzz_put_tensors("2.safetensors", &rest);
    } else if (!fuzz_put_tensors(whole, &rest))
        return 0;
    ath_err err = {0};
    char folder[160];
    strcpy(folder, fuzz_path("."));
    fuzz_check(ath_weights_load(model, model->params, folder, &err), &err);
    return 0;
}
