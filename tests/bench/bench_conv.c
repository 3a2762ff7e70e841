/* Times the convolutions of the three U-Nets, every pass, one thread, for each table this
 * CPU can run: best of several repetitions, in GFLOP/s of the direct algorithm (so that a
 * Winograd pass may exceed the peak), beside what the inner product alone reaches on data in L2 at
 * that moment, which tells how much of the core this process had.
 *
 *     bench_conv [--quick] [--isa=avx512] [--n=8] [--only=SUBSTRING] [--wall]
 *
 * The time is the thread's CPU time, since the machine may be shared; --wall takes the wall clock. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "kernels/kernels.h"

typedef struct layer {
    int c_in, c_out, hw, stride; /* 3x3; a stride of 0 says 1x1 */
} layer;

static const layer layers[] = {
    {32, 32, 28, 1},   {64, 32, 28, 1},   {96, 32, 28, 1},   {32, 64, 14, 1},   {64, 64, 14, 1},   {128, 64, 14, 1},
    {96, 64, 14, 1},   {64, 64, 7, 1},    {128, 64, 7, 1},   {1, 32, 28, 1},    {32, 1, 28, 1},    {64, 64, 32, 1},
    {128, 64, 32, 1},  {192, 64, 32, 1},  {128, 128, 16, 1}, {256, 128, 16, 1}, {192, 128, 16, 1}, {128, 128, 8, 1},
    {256, 128, 8, 1},  {128, 128, 4, 1},  {128, 128, 32, 1}, {256, 128, 32, 1}, {384, 128, 32, 1}, {256, 256, 16, 1},
    {512, 256, 16, 1}, {256, 256, 8, 1},  {512, 256, 8, 1},  {256, 256, 4, 1},  {512, 256, 4, 1},  {3, 64, 32, 1},
    {64, 3, 32, 1},    {32, 32, 28, 2},   {64, 64, 14, 2},   {64, 64, 32, 2},   {128, 128, 16, 2}, {256, 256, 8, 2},
    {64, 32, 28, 0},   {96, 32, 28, 0},   {128, 64, 14, 0},  {64, 64, 7, 0},    {128, 128, 16, 0}, {256, 256, 16, 0},
    {512, 256, 16, 0}, {384, 128, 32, 0}, {256, 256, 4, 0},  {512, 256, 1, 0},
};

static clockid_t the_clock = CLOCK_THREAD_CPUTIME_ID;

static double now(void) {
    struct timespec t;
    clock_gettime(the_clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *random_floats(size_t len) {
    float *p = aligned_alloc(64, (len * sizeof *p + 127) / 64 * 64);
    if (p == NULL) exit(1);
    unsigned s = 1;
    for (size_t i = 0; i < len; i++) {
        s = s * 1664525U + 1013904223U;
        p[i] = (float)(s >> 8) * 0x1p-23F - 1;
    }
    return p;
}

/* GFLOP/s of the table's own inner product on data in L2, at this moment: what a core that is shared leaves of its
 * peak. A 1x1 convolution of 84 pixels, 64 to 256 channels. */
static double now_possible(const ath_kernels *k) {
    static float *x, *w, *y, *packed, *scratch;
    static const ath_kernels *of;
    const ath_conv_shape s = {1, 84, 1, 64, 256, 1, 1, 0, 0, false};
    if (of != k) {
        of = k;
        x = random_floats(84 * 64), w = random_floats(64 * 256), y = random_floats(84 * 256);
        packed = random_floats(k->conv_pack_floats(&s, ATH_CONV_FORWARD));
        scratch = random_floats(k->conv_scratch_floats(&s, ATH_CONV_FORWARD));
        k->conv_pack(&s, ATH_CONV_FORWARD, w, packed);
    }
    const double start = now();
    for (int i = 0; i < 20; i++) k->conv_forward(&s, x, packed, (ath_conv_add){0}, ath_whole, y, scratch);
    return 20 * 2.0 * 84 * 64 * 256 / (now() - start) * 1e-9;
}

typedef struct job {
    const ath_kernels *k;
    ath_conv_shape s;
    float *x, *y, *w, *packed[2], *scratch[3], *dw;
} job;

static void run(const job *j, int pass) {
    if (pass == 0) j->k->conv_forward(&j->s, j->x, j->packed[0], (ath_conv_add){0}, ath_whole, j->y, j->scratch[0]);
    if (pass == 1) j->k->conv_input_grad(&j->s, j->y, j->packed[1], j->x, false, j->scratch[1]);
    if (pass == 2) j->k->conv_weight_grad(&j->s, j->x, j->y, j->dw, NULL, false, j->scratch[2]);
}

int main(int argc, char **argv) {
    int n = 8;
    double repeat = 0.15;
    const char *isa = NULL, *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            repeat = 0.03;
        else if (strcmp(argv[i], "--wall") == 0)
            the_clock = CLOCK_MONOTONIC;
        else if (strncmp(argv[i], "--isa=", 6) == 0)
            isa = argv[i] + 6;
        else if (strncmp(argv[i], "--n=", 4) == 0)
            n = atoi(argv[i] + 4);
        else if (strncmp(argv[i], "--only=", 7) == 0)
            only = argv[i] + 7;
        else
            return fprintf(stderr,
                           "usage: bench_conv [--quick] [--isa=ISA] [--n=IMAGES] [--only=SUBSTRING] [--wall]\n"),
                   2;
    }
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    printf("%-7s %-22s %9s %9s %9s   %8s %8s %8s %6s  (n = %d)\n", "isa", "c_in,c_out,hw/stride", "fwd ms", "dx ms",
           "dw ms", "fwd GF/s", "dx GF/s", "dw GF/s", "1x1", n);
    for (int t = 1; t < n_tables; t++) {
        if (isa != NULL && strcmp(isa, table[t]->isa) != 0) continue;
        double total_flops[3] = {0}, total_time[3] = {0};
        for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) {
            const layer *y = &layers[l];
            job j = {.k = table[t]};
            const int before = y->stride == 2 && y->hw % 2 == 0 && y->c_in > 64 ? 0 : 1;
            j.s = (ath_conv_shape){n, y->hw, y->hw, y->c_in, y->c_out, 3, y->stride, before, 1, false};
            if (y->stride == 0) j.s.kernel = j.s.stride = 1, j.s.pad_before = j.s.pad_after = 0;
            const size_t taps = (size_t)(j.s.kernel * j.s.kernel);
            char name[40];
            snprintf(name, sizeof name, "%d,%d,%d/%d%s", y->c_in, y->c_out, y->hw, j.s.stride,
                     y->stride == 0 ? " 1x1" : "");
            if (only != NULL && strstr(name, only) == NULL) continue;
            const size_t out = (size_t)ath_conv_out(y->hw, &j.s), ci = (size_t)y->c_in, co = (size_t)y->c_out;
            const size_t nx = (size_t)n * (size_t)(y->hw * y->hw) * ci, ny = (size_t)n * out * out * co;
            j.x = random_floats(nx), j.y = random_floats(ny), j.w = random_floats(taps * ci * co);
            j.dw = random_floats(taps * ci * co);
            for (int p = 0; p < 3; p++) {
                j.scratch[p] = random_floats(j.k->conv_scratch_floats(&j.s, (ath_conv_pass)p));
                if (p == 2) break;
                const size_t pack = j.k->conv_pack_floats(&j.s, (ath_conv_pass)p);
                j.packed[p] = pack ? random_floats(pack) : j.w;
                if (pack) j.k->conv_pack(&j.s, (ath_conv_pass)p, j.w, j.packed[p]);
            }
            const double flops = 2.0 * (double)(taps * ci * ny);
            double ms[3], gf[3], possible = 0;
            for (int p = 0; p < 3; p++) {
                double best = 1e9;
                const double start = now();
                for (int r = 0; r < 3 || now() - start < repeat; r++) {
                    const double t0 = now();
                    run(&j, p);
                    const double took = now() - t0;
                    if (took < best) best = took;
                    const double p1 = now_possible(j.k);
                    if (p1 > possible) possible = p1;
                }
                ms[p] = best * 1e3, gf[p] = flops / best * 1e-9;
                total_flops[p] += flops, total_time[p] += best;
            }
            printf("%-7s %-22s %9.3f %9.3f %9.3f   %8.0f %8.0f %8.0f %6.0f\n", j.k->isa, name, ms[0], ms[1], ms[2],
                   gf[0], gf[1], gf[2], possible);
            fflush(stdout);
            for (int p = 0; p < 2; p++)
                if (j.packed[p] != j.w) free(j.packed[p]);
            for (int p = 0; p < 3; p++) free(j.scratch[p]);
            free(j.x), free(j.y), free(j.w), free(j.dw);
        }
        printf("%-7s %-22s %9.3f %9.3f %9.3f   %8.0f %8.0f %8.0f\n", table[t]->isa, "all of these", total_time[0] * 1e3,
               total_time[1] * 1e3, total_time[2] * 1e3, total_flops[0] / total_time[0] * 1e-9,
               total_flops[1] / total_time[1] * 1e-9, total_flops[2] / total_time[2] * 1e-9);
    }
    return 0;
}
