/* A network's weights on disk, under diffusers' names and in torch's layouts: one safetensors file, or several with an
 * index that says which tensor is in which (diffusers writes these for large models). */
#ifndef ATH_MODEL_WEIGHTS_H
#define ATH_MODEL_WEIGHTS_H
#include "model/model.h"

/* params (n_params) to diffusion_pytorch_model.safetensors in a folder that is there, as F32. */
ath_status ath_weights_save(const ath_model *m, const float *params, const char *folder, ath_err *err);

/* Fails with ATH_E_FORMAT when a folder's files are too small to be the weights of this network, or there are none, which is
 * told without reading them: a configuration alone does not make memory be taken. */
ath_status ath_weights_check(const ath_model *m, const char *folder, ath_err *err);

/* params (n_params) from a folder: diffusion_pytorch_model.safetensors or, where that is not, the shards of
 * diffusion_pytorch_model.safetensors.index.json, and where neither is, the same of the variants fp16 and bf16
 * (diffusion_pytorch_model.fp16.safetensors, ...safetensors.index.fp16.json). F16 and BF16 become float32 exactly, F64 is rounded. Every tensor must
 * be there with the shape the network expects, once, and no other; names that attention's layers
 * have in older files (query, key, value, proj_attn) are known. Fails with ATH_E_FORMAT naming file and tensor; pickled weights (.bin) are not read. */
ath_status ath_weights_load(const ath_model *m, float *params, const char *folder, ath_err *err);

#endif
