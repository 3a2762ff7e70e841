/* Times the convolutions of the three U-Nets, every pass, one thread, for each table this
 * CPU can run: best of several repetitions, in GFLOP/s of the direct algorithm (so that a
 * Winograd pass may exceed the peak), beside what the inner product alone reaches on data in L2 at
 * that moment, which tells how much of the core this process had.
 *
 *     bench_conv [--quick] [--isa=avx512] [--n=8] [--only=SUBSTRING] [--wall]
 *     bench_conv --choose --isa=avx512
 *
 * --choose measures the algorithms in turn on a shape of each class of src/kernels/vector/choice.h, and prints the table that is
 * the file choice_ISA.h, with the measured ratios beside it on standard error. It goes around 64 MiB of
 * copies of weights and images: a network comes back to a layer when its weights have left L2.
 *
 * The time is the thread's CPU time, since the machine may be shared; --wall takes the wall clock. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include <math.h>
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
    const ath_conv_shape s = {1, 84, 1, 64, 256, 1, 1, 0, 0, false, 0};
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

/* With work memory of its own, or that of another job. */
static job job_of(const ath_kernels *k, const ath_conv_shape *s, const job *other) {
    job j = {.k = k, .s = *s};
    const size_t taps = (size_t)(s->kernel * s->kernel), n = (size_t)s->n, ci = (size_t)s->c_in, co = (size_t)s->c_out;
    const size_t out = (size_t)ath_conv_out(s->h, s) * (size_t)ath_conv_out(s->w, s);
    j.x = random_floats(n * (size_t)(s->h * s->w) * ci), j.y = random_floats(n * out * co);
    j.w = random_floats(taps * ci * co), j.dw = random_floats(taps * ci * co);
    for (int p = 0; p < 3; p++) {
        j.scratch[p] = other ? other->scratch[p] : random_floats(k->conv_scratch_floats(s, (ath_conv_pass)p));
        if (p == 2) break;
        const size_t pack = k->conv_pack_floats(s, (ath_conv_pass)p);
        j.packed[p] = pack ? random_floats(pack) : j.w;
        if (pack) k->conv_pack(s, (ath_conv_pass)p, j.w, j.packed[p]);
    }
    return j;
}

static void free_job(job *j, bool has_scratch) {
    for (int p = 0; p < 2; p++)
        if (j->packed[p] != j->w) free(j->packed[p]);
    for (int p = 0; p < 3 && has_scratch; p++) free(j->scratch[p]);
    free(j->x), free(j->y), free(j->w), free(j->dw);
}

static void run(const job *j, int pass) {
    if (pass == 0) j->k->conv_forward(&j->s, j->x, j->packed[0], (ath_conv_add){0}, ath_whole, j->y, j->scratch[0]);
    if (pass == 1) j->k->conv_input_grad(&j->s, j->y, j->packed[1], j->x, false, j->scratch[1]);
    if (pass == 2) j->k->conv_weight_grad(&j->s, j->x, j->y, j->dw, NULL, false, j->scratch[2]);
}

/* ---- which algorithm ---- */

enum { ROWS = 6, COLUMNS = 5, ALGORITHMS = 3, TURNS = 15 };
static const ath_conv_algorithm algorithms[ALGORITHMS] = {ATH_CONV_DIRECT, ATH_CONV_WINOGRAD, ATH_CONV_WINOGRAD_REMADE};
static const char letters[] = "DWR";

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* As many copies of a job as take more memory than a core has in caches of its own, or MOST_COPIES. Work memory is one, as in a plan. */
enum { MOST_COPIES = 64, BEYOND_CACHES = 64 << 20 };
static int copies_of(const ath_conv_shape *s) {
    const size_t weights = 9 * (size_t)s->c_in * (size_t)s->c_out;
    const size_t pixels = (size_t)(s->n * s->h * s->w) * (size_t)(s->c_in + s->c_out);
    const size_t copies = BEYOND_CACHES / ((weights + pixels) * sizeof(float)) + 1;
    return copies < MOST_COPIES ? (int)copies : MOST_COPIES;
}

/* How long the passes from..to take by each algorithm, in turn: medians, in seconds. */
static void time_algorithms(const ath_kernels *k, ath_conv_shape s, int from, int to, double seconds[ALGORITHMS]) {
    static job j[ALGORITHMS][MOST_COPIES];
    double took[ALGORITHMS][TURNS];
    const int copies = copies_of(&s);
    for (int a = 0; a < ALGORITHMS; a++)
        for (int c = 0; c < copies; c++) {
            s.algorithm = algorithms[a];
            j[a][c] = job_of(k, &s, c > 0 ? &j[a][0] : NULL);
        }
    const double work = 18.0 * s.n * s.h * s.w * s.c_in * s.c_out;
    const int repeats = 1 + (int)(2e8 / work);       /* some milliseconds */
    for (int turn = -1, c = 0; turn < TURNS; turn++) /* the first for warmth */
        for (int a = 0; a < ALGORITHMS; a++) {
            const double start = now();
            for (int r = 0; r < repeats; r++, c = (c + 1) % copies)
                for (int p = from; p <= to; p++) run(&j[a][c], p);
            if (turn >= 0) took[a][turn] = (now() - start) / repeats;
        }
    for (int a = 0; a < ALGORITHMS; a++) {
        qsort(took[a], TURNS, sizeof *took[a], by_size);
        seconds[a] = took[a][TURNS / 2];
        for (int c = 0; c < copies; c++) free_job(&j[a][c], c == 0);
    }
}

/* Kept weights are four times as large: they are kept for a twentieth at least. */
static char best_of(const double seconds[ALGORITHMS], int n) {
    const double worth[ALGORITHMS] = {1, n == 2 ? 1 : 1.05, 1};
    int best = 0;
    for (int a = 1; a < n; a++)
        if (seconds[a] * worth[a] < seconds[best] * worth[best]) best = a;
    return letters[best];
}

/* A shape of each class: see src/kernels/vector/choice.h. */
static void choose(const ath_kernels *k) {
    static const int c_in[ROWS] = {32, 64, 128, 256, 256, 512}, c_out[ROWS] = {32, 64, 128, 128, 256, 256};
    static const int side[COLUMNS] = {4, 8, 16, 28, 32};
    static const struct { int n, side; } summed[COLUMNS] = {{2, 4}, {4, 4}, {4, 8}, {4, 16}, {8, 28}};
    char rows[2][ROWS][COLUMNS + 1] = {0};
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++) {
            ath_conv_shape s = {1, side[column], side[column], c_in[row], c_out[row], 3, 1, 1, 1, false, 0};
            double alone[ALGORITHMS], many[ALGORITHMS], both[ALGORITHMS], dw[ALGORITHMS];
            time_algorithms(k, s, 0, 1, alone);
            s.n = 8;
            time_algorithms(k, s, 0, 1, many);
            /* training and grids take many, who draws one image waits for it: an image of eight counts four times */
            for (int a = 0; a < ALGORITHMS; a++) both[a] = pow(alone[a], 0.2) * pow(many[a], 0.8);
            rows[0][row][column] = best_of(both, ALGORITHMS);
            s.n = summed[column].n, s.h = s.w = summed[column].side;
            time_algorithms(k, s, 2, 2, dw);
            rows[1][row][column] = best_of(dw, 2);
            fprintf(stderr,
                    "%s %3d -> %3d at %2d: %c; direct / kept %.2f alone, %.2f of 8; remade / kept %.2f, %.2f; "
                    "weight gradient of %d at %2d: %c; direct / Winograd %.2f\n",
                    k->isa, c_in[row], c_out[row], side[column], rows[0][row][column], alone[0] / alone[1],
                    many[0] / many[1], alone[2] / alone[1], many[2] / many[1], s.n, s.h, rows[1][row][column],
                    dw[0] / dw[1]);
        }
    printf("/* Made by bench_conv --choose --isa=%s: see choice.h. */\n", k->isa);
    for (int i = 0; i < 2; i++) {
        printf("static const char %s[CHANNEL_CLASSES][TILE_CLASSES + 1] = {", i == 0 ? "chosen" : "chosen_dw");
        for (int row = 0; row < ROWS; row++) printf("%s\"%s\"", row ? ", " : "", rows[i][row]);
        printf("};\n");
    }
}

int main(int argc, char **argv) {
    int n = 8;
    double repeat = 0.15;
    bool choosing = false;
    const char *isa = NULL, *only = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--quick") == 0)
            repeat = 0.03;
        else if (strcmp(argv[i], "--choose") == 0)
            choosing = true;
        else if (strcmp(argv[i], "--wall") == 0)
            the_clock = CLOCK_MONOTONIC;
        else if (strncmp(argv[i], "--isa=", 6) == 0)
            isa = argv[i] + 6;
        else if (strncmp(argv[i], "--n=", 4) == 0)
            n = atoi(argv[i] + 4);
        else if (strncmp(argv[i], "--only=", 7) == 0)
            only = argv[i] + 7;
        else
            return fprintf(
                       stderr,
                       "usage: bench_conv [--quick] [--isa=ISA] [--n=IMAGES] [--only=SUBSTRING] [--wall] [--choose]\n"),
                   2;
    }
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int t = 1; choosing && t < n_tables; t++)
        if (isa == NULL || strcmp(isa, table[t]->isa) == 0) choose(table[t]);
    if (choosing) return 0;
    printf("%-7s %-22s %9s %9s %9s   %8s %8s %8s %6s  (n = %d)\n", "isa", "c_in,c_out,hw/stride", "fwd ms", "dx ms",
           "dw ms", "fwd GF/s", "dx GF/s", "dw GF/s", "1x1", n);
    for (int t = 1; t < n_tables; t++) {
        if (isa != NULL && strcmp(isa, table[t]->isa) != 0) continue;
        double total_flops[3] = {0}, total_time[3] = {0};
        for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) {
            const layer *y = &layers[l];
            const int before = y->stride == 2 && y->hw % 2 == 0 && y->c_in > 64 ? 0 : 1;
            ath_conv_shape shape = {n, y->hw, y->hw, y->c_in, y->c_out, 3, y->stride, before, 1, false, 0};
            if (y->stride == 0) shape.kernel = shape.stride = 1, shape.pad_before = shape.pad_after = 0;
            char name[40];
            snprintf(name, sizeof name, "%d,%d,%d/%d%s", y->c_in, y->c_out, y->hw, shape.stride,
                     y->stride == 0 ? " 1x1" : "");
            if (only != NULL && strstr(name, only) == NULL) continue;
            const int out = ath_conv_out(y->hw, &shape);
            const double flops = 2.0 * shape.kernel * shape.kernel * y->c_in * y->c_out * n * out * out;
            job j = job_of(table[t], &shape, NULL);
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
            free_job(&j, true);
        }
        printf("%-7s %-22s %9.3f %9.3f %9.3f   %8.0f %8.0f %8.0f\n", table[t]->isa, "all of these", total_time[0] * 1e3,
               total_time[1] * 1e3, total_time[2] * 1e3, total_flops[0] / total_time[0] * 1e-9,
               total_flops[1] / total_time[1] * 1e-9, total_flops[2] / total_time[2] * 1e-9);
    }
    return 0;
}
