/* The kernels of one x86 instruction set, written once for any vector width. A file that
 * includes this defines
 *     ATH_W      floats of a vector
 *     ATH_MR     rows of the register tile of the products (by two vectors)
 *     ATH_ISA    the name of the set, and
 *     ATH_TABLE  the name of the table.
 * The parts below are split by concern and are not headers of their own. */
#include <math.h>
#include <string.h>
#include "base/status.h"
#include "kernels/tables.h"
#include "kernels/x86/vec.h"
#include "kernels/x86/product.h"
#include "kernels/x86/direct.h"
#include "kernels/x86/winograd.h"
#include "kernels/x86/norm.h"
#include "kernels/x86/rows.h"

enum { LINE = 64 / sizeof(float) }; /* floats of a cache line */

/* Work memory from its first whole cache line: a vector that straddles two costs twice. */
static float *aligned(float *scratch) {
    const size_t past = (uintptr_t)scratch / sizeof(float) % LINE;
    return past == 0 ? scratch : scratch + (LINE - past);
}

#include "kernels/x86/attention.h"

/* ---- convolution: which algorithm, by the shape of one image alone ---- */

static size_t conv_pack_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    if (pass == ATH_CONV_WEIGHT_GRAD) return 0;
    if (winograd_takes(s)) return winograd_pack_floats(s, pass);
    const direct d = direct_plan(s, pass);
    return direct_pack_floats(&d);
}

static void conv_pack(const ath_conv_shape *s, ath_conv_pass pass, const float *w, float *packed) {
    ATH_ASSERT(pass != ATH_CONV_WEIGHT_GRAD);
    if (winograd_takes(s)) {
        winograd_pack(s, pass, w, packed);
        return;
    }
    const direct d = direct_plan(s, pass);
    direct_pack(s, pass, &d, w, packed);
}

static size_t conv_scratch_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    if (pass == ATH_CONV_WEIGHT_GRAD)
        return LINE + (winograd_takes_dw(s) ? winograd_dw_scratch_floats(s) : direct_dw_scratch_floats(s));
    if (winograd_takes(s)) return LINE + winograd_scratch_floats(s, pass);
    const direct d = direct_plan(s, pass);
    return LINE + direct_scratch_floats(&d);
}

static void conv_run(const ath_conv_shape *s, ath_conv_pass pass, const float *in, const float *packed,
                     const float *bias, bool acc, float *out, float *scratch) {
    if (winograd_takes(s)) {
        winograd_run(s, pass, in, packed, bias, acc, out, aligned(scratch));
        return;
    }
    const direct d = direct_plan(s, pass);
    direct_run(&d, in, packed, bias, acc, out, aligned(scratch));
}

static void conv_forward(const ath_conv_shape *s, const float *x, const float *packed, const float *bias, float *y,
                         float *scratch) {
    conv_run(s, ATH_CONV_FORWARD, x, packed, bias, false, y, scratch);
}

static void conv_input_grad(const ath_conv_shape *s, const float *dy, const float *packed, float *dx, bool acc,
                            float *scratch) {
    conv_run(s, ATH_CONV_INPUT_GRAD, dy, packed, NULL, acc, dx, scratch);
}

static void conv_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *db,
                             float *scratch) {
    if (winograd_takes_dw(s))
        winograd_weight_grad(s, x, dy, dw, aligned(scratch));
    else
        direct_weight_grad(s, x, dy, dw, aligned(scratch));
    if (db != NULL) column_sums(sz(s->n) * sz(ath_conv_out(s->h, s)) * sz(ath_conv_out(s->w, s)), s->c_out, dy, db);
}

const ath_kernels ATH_TABLE = {
    .isa = ATH_ISA,
    .conv_pack_floats = conv_pack_floats,
    .conv_pack = conv_pack,
    .conv_scratch_floats = conv_scratch_floats,
    .conv_forward = conv_forward,
    .conv_input_grad = conv_input_grad,
    .conv_weight_grad = conv_weight_grad,
    .group_norm_forward = group_norm_forward,
    .group_norm_vjp = group_norm_vjp,
    .silu_forward = silu_forward,
    .silu_vjp = silu_vjp,
    .add = add,
    .copy_rows = copy_rows,
    .affine_rows = affine_rows,
    .sum_rows = sum_rows,
    .softmax_forward = softmax_forward,
    .softmax_vjp = softmax_vjp,
    .attention_scratch_floats = attention_scratch_floats,
    .attention_forward = attention_forward,
    .attention_vjp = attention_vjp,
};
