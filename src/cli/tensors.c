/* Tensors of a forward evaluation: see tensors.h. */
#include "cli/tensors.h"
#include <stdlib.h>
#include "cli/cli.h"

ath_status cli_tensor_count(const ath_safetensors *file, const char *path, int *n, ath_err *err) {
    const ath_array *x = ath_safetensors_find(file, "x");
    if (!x || x->n_dim != 4 || x->dim[0] < 1 || x->dim[0] > 1 << 20)
        return ath_fail(err, ATH_E_FORMAT, "%s: expected a tensor \"x\" of shape [N,C,H,W]", path);
    *n = (int)x->dim[0];
    return ATH_OK;
}

static ath_status check_shape(const ath_array *a, const char *path, int n, const ath_shape *s, ath_err *err) {
    if (!s) {
        if (a->n_dim == 1 && a->dim[0] == n) return ATH_OK;
        return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is not of shape [%d]", path, a->name, n);
    }
    if (a->n_dim == 4 && a->dim[0] == n && a->dim[1] == s->c && a->dim[2] == s->h && a->dim[3] == s->w) return ATH_OK;
    return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is not of shape [%d,%d,%d,%d]", path, a->name, n, s->c, s->h,
                    s->w);
}

ath_status cli_tensor_read(const ath_safetensors *file, const char *path, const char *name, int n,
                           const ath_shape *image, double **out, ath_err *err) {
    const ath_array *a = ath_safetensors_find(file, name);
    if (!a) return ath_fail(err, ATH_E_FORMAT, "%s: tensor \"%s\" is missing", path, name);
    ATH_TRY(check_shape(a, path, n, image, err));
    const size_t len = (size_t)ath_array_len(a);
    *out = malloc((len + 1) * sizeof **out);
    double *raw = image ? malloc((len + 1) * sizeof *raw) : *out;
    const bool ok = *out && raw;
    if (ok) ath_array_to_f64(a, raw);
    if (ok && image) cli_nchw_to_nhwc((size_t)n, *image, raw, *out);
    if (image) free(raw);
    return ok ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
}
