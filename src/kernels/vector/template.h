/* The kernels of one instruction set, written once for any vector width. A file that
 * includes this defines
 *     ATH_W      floats of a vector
 *     ATH_MR     rows of the register tile of the products (by two vectors)
 *     ATH_ISA    the name of the set
 *     ATH_TABLE  the name of the table, and
 *     ATH_CHOICES  the file of the algorithms that convolutions take (choice.h).
 * The parts below are split by concern and are not headers of their own. */
#include <math.h>
#include <string.h>
#include "base/status.h"
#include "kernels/resample.h"
#include "kernels/tables.h"
#include "kernels/vector/vec.h"
#include "kernels/vector/streams.h"
#include "kernels/vector/product.h"
#include "kernels/vector/strips.h"
#include "kernels/vector/direct.h"
#include "kernels/vector/norm.h"
#include "kernels/vector/winograd_transform.h"
#include "kernels/vector/winograd_tiles.h"
#include "kernels/vector/choice.h"
#include "kernels/vector/winograd.h"
#include "kernels/vector/update.h"
#include "kernels/vector/points.h"
#include "kernels/vector/rows.h"

#include "kernels/vector/attention.h"

/* ---- convolution ---- */

static size_t conv_pack_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    if (pass == ATH_CONV_WEIGHT_GRAD) return 0;
    if (is_winograd(s, pass)) return winograd_pack_floats(s, pass);
    const direct d = direct_plan(s, pass);
    return direct_pack_floats(&d);
}

static void conv_pack(const ath_conv_shape *s, ath_conv_pass pass, const float *w, float *packed) {
    ATH_ASSERT(pass != ATH_CONV_WEIGHT_GRAD);
    if (is_winograd(s, pass)) {
        winograd_pack(s, pass, w, packed);
        return;
    }
    const direct d = direct_plan(s, pass);
    direct_pack(s, pass, &d, w, packed);
}

/* The direct forms read an image that is upsampled where it has been upsampled, at the beginning of the work memory. */
static size_t upsampled_floats(const ath_conv_shape *s) {
    return s->upsampled ? sz(round_up(s->h * s->w * s->c_in, LINE)) * sz(s->n) : 0;
}

static const float *upsample(const ath_conv_shape *s, const float *x, float *big) {
    if (!s->upsampled) return x;
    ath_spread(copy_rows, sz(s->n), sz(s->h / 2), sz(s->w / 2), sz(s->c_in), 1, x, big, false);
    return big;
}

static size_t dw_floats(const ath_conv_shape *s) { return sz(s->kernel * s->kernel) * sz(s->c_in) * sz(s->c_out); }

static size_t conv_scratch_floats(const ath_conv_shape *s, ath_conv_pass pass) {
    if (pass == ATH_CONV_WEIGHT_GRAD) {
        if (is_winograd(s, ATH_CONV_WEIGHT_GRAD)) return LINE + winograd_dw_scratch_floats(s);
        return 2 * LINE + upsampled_floats(s) + dw_floats(s) + direct_dw_scratch_floats(s);
    }
    if (is_winograd(s, pass)) return LINE + winograd_scratch_floats(s, pass);
    const direct d = direct_plan(s, pass);
    return LINE + upsampled_floats(s) + direct_scratch_floats(&d);
}

/* Whether there is nothing that each part would have to make anew. */
static bool direct_divides(const ath_conv_shape *s, const direct *d) { return !d->collects && !s->upsampled; }

/* The direct forms add one bias to what is there or is not: residuals and biases of each image are put there first. */
static void direct_forward(const ath_conv_shape *s, const float *x, const float *packed, ath_conv_add add,
                           ath_part part, float *y, float *scratch) {
    direct d = direct_plan(s, ATH_CONV_FORWARD);
    if (direct_divides(s, &d)) {
        const int panels = (d.n + PANEL - 1) / PANEL;
        d.begin = panels * part.index / part.of * PANEL;
        d.end = at_most(panels * (part.index + 1) / part.of * PANEL, d.n);
    } else if (part.index > 0) {
        return;
    }
    const size_t positions = sz(ath_conv_out(s->h, s)) * sz(ath_conv_out(s->w, s)), c = sz(s->c_out);
    const size_t first = sz(d.begin), columns = d.collects ? c : sz(d.end) - first;
    const bool of_images = add.bias != NULL && add.bias_step > 0;
    if (add.residual != NULL && add.residual != y)
        copy_rows(sz(s->n) * positions, columns, 1, add.residual + first, c, y + first, c, false);
    for (size_t i = 0; of_images && i < sz(s->n); i++)
        copy_rows(positions, columns, 1, add.bias + i * add.bias_step + first, 0, y + i * positions * c + first, c,
                  add.residual != NULL);
    float *work = scratch + upsampled_floats(s);
    direct_run(&d, upsample(s, x, scratch), packed, of_images ? NULL : add.bias, of_images || add.residual != NULL, y,
               work);
}

static int conv_parts(const ath_conv_shape *s) {
    if (is_winograd(s, ATH_CONV_FORWARD)) return winograd_parts(s);
    const direct d = direct_plan(s, ATH_CONV_FORWARD);
    const double work = (double)s->n * d.h * d.w * d.n * d.kernel * d.kernel * d.from;
    return direct_divides(s, &d) ? worth_parts(work, (d.n + PANEL - 1) / PANEL) : 1;
}

static void conv_forward(const ath_conv_shape *s, const float *x, const float *packed, ath_conv_add add, ath_part part,
                         float *y, float *scratch) {
    float *work = aligned(scratch);
    if (is_winograd(s, ATH_CONV_FORWARD))
        winograd_run(s, ATH_CONV_FORWARD, x, packed, add, part, y, work);
    else {
        ATH_ASSERT(add.moments == NULL);
        direct_forward(s, x, packed, add, part, y, work);
    }
}

static bool conv_gives_moments(const ath_conv_shape *s) { return is_winograd(s, ATH_CONV_FORWARD); }

static void conv_input_grad(const ath_conv_shape *s, const float *dy, const float *packed, float *dx, bool acc,
                            float *scratch) {
    if (is_winograd(s, ATH_CONV_INPUT_GRAD)) {
        const ath_conv_add add = {.residual = acc ? dx : NULL};
        winograd_run(s, ATH_CONV_INPUT_GRAD, dy, packed, add, ath_whole, dx, aligned(scratch));
        return;
    }
    const direct d = direct_plan(s, ATH_CONV_INPUT_GRAD);
    float *work = aligned(scratch);
    direct_run(&d, dy, packed, NULL, acc && !s->upsampled, s->upsampled ? work : dx, work + upsampled_floats(s));
    if (s->upsampled) ath_gather(copy_rows, sz(s->n), sz(s->h / 2), sz(s->w / 2), sz(s->c_in), 1, work, dx, acc);
}

static void conv_weight_grad(const ath_conv_shape *s, const float *x, const float *dy, float *dw, float *db, bool acc,
                             float *scratch) {
    float *work = aligned(scratch);
    if (is_winograd(s, ATH_CONV_WEIGHT_GRAD)) {
        winograd_weight_grad(s, x, dy, dw, db, acc, work);
        return;
    }
    x = upsample(s, x, work);
    work += upsampled_floats(s);
    if (!acc)
        direct_weight_grad(s, x, dy, dw, work);
    else {
        float *own = work;
        direct_weight_grad(s, x, dy, own, aligned(own + dw_floats(s)));
        add(dw_floats(s), dw, own, dw);
    }
    if (db != NULL)
        sum_rows(sz(s->n) * sz(ath_conv_out(s->h, s)) * sz(ath_conv_out(s->w, s)), sz(s->c_out), dy, NULL, db, acc);
}

const ath_kernels ATH_TABLE = {
    .isa = ATH_ISA,
    .conv_pack_floats = conv_pack_floats,
    .conv_pack = conv_pack,
    .conv_scratch_floats = conv_scratch_floats,
    .conv_forward = conv_forward,
    .conv_gives_moments = conv_gives_moments,
    .conv_parts = conv_parts,
    .conv_input_grad = conv_input_grad,
    .conv_weight_grad = conv_weight_grad,
    .moments = moments,
    .affine = affine,
    .affine_sums = affine_sums,
    .affine_grad = affine_grad,
    .silu_forward = silu_forward,
    .silu_vjp = silu_vjp,
    .add = add,
    .copy_rows = copy_rows,
    .affine_rows = affine_rows,
    .sum_rows = sum_rows,
    .softmax_forward = softmax_forward,
    .softmax_vjp = softmax_vjp,
    .adamw = adamw,
    .sum_squares = sum_squares,
    .squared_distances = squared_distances,
    .add_differences = add_differences,
    .attention_scratch_floats = attention_scratch_floats,
    .attention_parts = attention_parts,
    .attention_forward = attention_forward,
    .attention_vjp = attention_vjp,
};
