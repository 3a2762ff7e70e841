/* y = x (1 + scale) + shift with a scale and a shift for each image and channel: the
 * modulation of AdaGN (arXiv:2105.05233) and AdaLN (arXiv:2212.09748). */
#include "graph/op.h"

static void forward(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const size_t at = i * positions * channels, of_image = i * channels;
        c->k->affine_rows(positions, channels, c->x[0] + at, c->x[1] + of_image, c->x[2] + of_image, c->y + at, false);
    }
}

static void vjp(const ath_call *c) {
    const size_t positions = (size_t)c->ys.h * (size_t)c->ys.w, channels = (size_t)c->ys.c;
    for (size_t i = 0; i < (size_t)c->n; i++) {
        const size_t at = i * positions * channels, of_image = i * channels;
        const float *scale = c->x[1] + of_image, *dy = c->dy + at, *x = c->x[0] + at;
        if (c->dx[0]) c->k->affine_rows(positions, channels, dy, scale, NULL, c->dx[0] + at, c->acc[0]);
        if (c->dx[1]) c->k->sum_rows(positions, channels, dy, x, c->dx[1] + of_image, c->acc[1]);
        if (c->dx[2]) c->k->sum_rows(positions, channels, dy, NULL, c->dx[2] + of_image, c->acc[2]);
    }
}

static const ath_op scale_shift = {
    .name = "scale_shift", .forward = forward, .vjp = vjp, .vjp_reads = ATH_READS_X0 | ATH_READS_X1, .in_place = true};

ath_tensor ath_scale_shift(ath_graph *g, ath_tensor x, ath_tensor scale, ath_tensor shift) {
    if (!x.id || !scale.id || !shift.id) return (ath_tensor){0};
    const ath_shape s = ath_shape_of(g, x), a = ath_shape_of(g, scale), b = ath_shape_of(g, shift);
    if (a.h != 1 || a.w != 1 || a.c != s.c || b.h != 1 || b.w != 1 || b.c != s.c) {
        ath_graph_fail(g, "scale_shift: scale (%d,%d,%d) and shift (%d,%d,%d) of an input with %d channels", a.h, a.w,
                       a.c, b.h, b.w, b.c, s.c);
        return (ath_tensor){0};
    }
    return ath_node_tensor(g, ath_node_add(g, &scale_shift, "scale_shift", s, x, scale, shift));
}
