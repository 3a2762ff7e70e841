/* What a network is told beside the image: the time as sinusoids, the label as a row
 * of a learned table. */
#include <math.h>
#include <string.h>
#include "graph/op.h"

/* Frequency i, rounded as diffusers' get_timestep_embedding rounds it in float32: at
 * t = 1000 an ulp of the frequency moves the sine by 6e-5. */
static float frequency(const ath_node *node, int i) {
    const int half = node->y.c / 2;
    const float exponent = (float)(-9.210340371976184) * (float)i; /* -ln(10000) i */
    return (float)exp((double)(exponent / (float)(half - node->at.timestep.shift)));
}

static void timestep_forward(const ath_call *c) {
    const int half = c->ys.c / 2;
    for (int n = 0; n < c->n; n++) {
        float *y = c->y + (size_t)n * (size_t)c->ys.c;
        if (c->ys.c % 2) y[c->ys.c - 1] = 0;
        float *sines = y + (c->node->at.timestep.flip ? half : 0),
              *cosines = y + (c->node->at.timestep.flip ? 0 : half);
        for (int i = 0; i < half; i++) {
            const float angle = c->x[0][n] * frequency(c->node, i);
            sines[i] = sinf(angle);
            cosines[i] = cosf(angle);
        }
    }
}

static void timestep_vjp(const ath_call *c) {
    const int half = c->ys.c / 2;
    for (int n = 0; n < c->n; n++) {
        const float *dy = c->dy + (size_t)n * (size_t)c->ys.c;
        const float *dsin = dy + (c->node->at.timestep.flip ? half : 0),
                    *dcos = dy + (c->node->at.timestep.flip ? 0 : half);
        double sum = 0;
        for (int i = 0; i < half; i++) {
            const double f = (double)frequency(c->node, i), angle = (double)c->x[0][n] * f;
            sum += f * (cos(angle) * (double)dsin[i] - sin(angle) * (double)dcos[i]);
        }
        c->dx[0][n] = (c->acc[0] ? c->dx[0][n] : 0) + (float)sum;
    }
}

/* -1 where the label has no row */
static int row_of(const ath_call *c, int n) {
    const float label = c->x[0][n];
    return label >= 0 && label < (float)c->node->at.label.rows ? (int)label : -1;
}

static void label_forward(const ath_call *c) {
    const size_t width = (size_t)c->ys.c;
    for (int n = 0; n < c->n; n++) {
        const int row = row_of(c, n);
        float *y = c->y + (size_t)n * width;
        if (row < 0)
            memset(y, 0, width * sizeof *y);
        else
            memcpy(y, c->p[0] + (size_t)row * width, width * sizeof *y);
    }
}

static void label_vjp(const ath_call *c) {
    if (!c->dp[0]) return;
    const size_t width = (size_t)c->ys.c;
    memset(c->dp[0], 0, (size_t)c->node->at.label.rows * width * sizeof(float));
    for (int n = 0; n < c->n; n++) {
        const int row = row_of(c, n);
        if (row < 0) continue;
        for (size_t i = 0; i < width; i++) c->dp[0][(size_t)row * width + i] += c->dy[(size_t)n * width + i];
    }
}

static const ath_op timestep_embedding = {
    .name = "timestep_embedding", .forward = timestep_forward, .vjp = timestep_vjp, .vjp_reads = ATH_READS_X0};
static const ath_op label_embedding = {
    .name = "label_embedding", .forward = label_forward, .vjp = label_vjp, .vjp_reads = ATH_READS_X0};

static const ath_tensor none = {0};

ath_tensor ath_timestep_embedding(ath_graph *g, ath_tensor t, int c, bool flip_sin_to_cos, double freq_shift) {
    if (!t.id) return none;
    if (c < 2 || freq_shift >= c / 2 || ath_shape_len(ath_shape_of(g, t)) != 1) {
        ath_graph_fail(g, "timestep_embedding: %d channels with freq_shift %g", c, freq_shift);
        return none;
    }
    ath_node *node = ath_node_add(g, &timestep_embedding, "timestep_embedding", (ath_shape){1, 1, c}, t, none, none);
    if (node) {
        node->at.timestep.flip = flip_sin_to_cos;
        node->at.timestep.shift = freq_shift;
    }
    return ath_node_tensor(g, node);
}

ath_tensor ath_label_embedding(ath_graph *g, ath_tensor label, const char *name, int rows, int c) {
    if (!label.id) return none;
    ath_node *node = ath_node_add(g, &label_embedding, name, (ath_shape){1, 1, c}, label, none, none);
    if (!node) return none;
    node->at.label.rows = rows;
    node->param[0] = ath_param_add(g, name, "weight", ATH_P_TABLE, 2, (int64_t[]){rows, c}, 1);
    return ath_node_tensor(g, node);
}
