/* Where sampling starts when it is not from the seed: tensors of a file, or noises between two seeds. */
#ifndef ATH_CLI_STARTS_H
#define ATH_CLI_STARTS_H
#include "model/source.h"

typedef struct cli_starts {
    int count;
    double *start; /* (count, h, w, c), owned; NULL: from the seed */
    bool is_state; /* the state at the first level as it is, else noise of unit variance */
    double *noise; /* (n_noise, count, h, w, c) for a sampler that draws, owned; NULL: its own */
    int n_noise;
    int32_t *labels; /* (count), owned; NULL: the file says nothing of classes */
} cli_starts;

/* `x_init` or `x_start`, and perhaps `noise` and `class_labels` [N], of a safetensors file; `count` 0: as many as there are. */
ath_status cli_starts_read(cli_starts *s, const ath_source *source, const char *path, int count, ath_err *err);
/* "A:B", two seeds: `rows` rows of `cols` noises; row r goes from image r of seed A to image r of seed B along the
 * great circle through both (slerp), which keeps the norm that noise has. */
ath_status cli_starts_between(cli_starts *s, const ath_source *source, const char *seeds, int cols, int rows,
                              ath_err *err);
void cli_starts_free(cli_starts *s);

#endif
