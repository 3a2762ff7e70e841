/* Initial values and disk layout of parameters: see params.h. */
#include "graph/params.h"
#include <math.h>
#include <string.h>

/* A uniform draw on [-a, a) has variance a^2/3. */
static void init_weight(const ath_param *p, ath_rng rng, uint64_t index, float *w) {
    double receptive = 1;
    for (int i = 2; i < p->n_dim; i++) receptive *= (double)p->dim[i];
    const double fan_out = (double)p->dim[0] * receptive, fan_in = (double)p->dim[1] * receptive;
    const double a = sqrt(3 * p->init_scale / (0.5 * (fan_in + fan_out)));
    ath_rng_uniform(rng, ATH_S_INIT, index, w, p->len);
    for (size_t i = 0; i < p->len; i++) w[i] = (float)(a * (2 * (double)w[i] - 1));
}

void ath_param_init(const ath_graph *g, ath_rng rng, float *params) {
    for (int i = 0; i < ath_param_count(g); i++) {
        const ath_param *p = ath_param_at(g, i);
        float *w = params + p->offset;
        const float fill = p->kind == ATH_P_GAIN ? 1.0f : 0.0f;
        if (p->kind == ATH_P_TABLE)
            ath_rng_normal(rng, ATH_S_INIT, (uint64_t)i, w, p->len);
        else if ((p->kind == ATH_P_CONV || p->kind == ATH_P_LINEAR) && p->init_scale > 0)
            init_weight(p, rng, (uint64_t)i, w);
        else
            for (size_t j = 0; j < p->len; j++) w[j] = fill;
    }
}

/* (rows, cols) -> (cols, rows) */
static void transpose(size_t rows, size_t cols, const float *a, float *b) {
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++) b[c * rows + r] = a[r * cols + c];
}

/* OIHW seen as a matrix (o, i*h*w) and HWIO as (h*w*i, o) differ by a transposition
 * with (i) and (h*w) swapped as well. */
static void conv_from_disk(const ath_param *p, const float *disk, float *memory, bool back) {
    const size_t out = (size_t)p->dim[0], in = (size_t)p->dim[1], area = (size_t)(p->dim[2] * p->dim[3]);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            for (size_t k = 0; k < area; k++) {
                const size_t there = (o * in + i) * area + k, here = (k * in + i) * out + o;
                if (back)
                    memory[there] = disk[here];
                else
                    memory[here] = disk[there];
            }
}

void ath_param_from_disk(const ath_param *p, const float *disk, float *memory) {
    if (p->kind == ATH_P_CONV)
        conv_from_disk(p, disk, memory, false);
    else if (p->kind == ATH_P_LINEAR)
        transpose((size_t)p->dim[0], (size_t)p->dim[1], disk, memory);
    else
        memcpy(memory, disk, p->len * sizeof *memory);
}

void ath_param_to_disk(const ath_param *p, const float *memory, float *disk) {
    if (p->kind == ATH_P_CONV)
        conv_from_disk(p, memory, disk, true);
    else if (p->kind == ATH_P_LINEAR)
        transpose((size_t)p->dim[1], (size_t)p->dim[0], memory, disk);
    else
        memcpy(disk, memory, p->len * sizeof *disk);
}
