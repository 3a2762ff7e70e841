/* Tensors of a forward evaluation, from and to files. */
#ifndef ATH_CLI_TENSORS_H
#define ATH_CLI_TENSORS_H
#include "graph/graph.h"
#include "io/safetensors.h"

/* The N of the file's tensor "x" [N,C,H,W], 1 to 2^20. `path` is what messages say. */
ath_status cli_tensor_count(const ath_safetensors *file, const char *path, int *n, ath_err *err);
/* Tensor `name` of the file as doubles, malloc'ed: [n,C,H,W] turned to (n, h, w, c) of this image, or [n] where
 * `image` is NULL. Fails with ATH_E_FORMAT when it is missing or of another shape; *out may be set then too. */
ath_status cli_tensor_read(const ath_safetensors *file, const char *path, const char *name, int n,
                           const ath_shape *image, double **out, ath_err *err);

#endif
