/* athanor's 3x3 convolutions against oneDNN's (2.x), all three passes, on the shapes of the U-Nets' inner layers.
 *
 *     bench_dnnl [--threads=1|2|...] [--micro=8] [--rounds=5] [--seconds=0.1] [--only=SUBSTRING] [--kept]
 *
 * oneDNN takes the whole batch in the memory formats it likes best, by the direct algorithm, by Winograd's and by its
 * own choice (`auto`), with as many OpenMP threads; athanor splits the images among its threads, each taking its own
 * in micro-batches, as in training, which add to its sum of weight gradients. Weights are packed and activations
 * reordered beforehand; with --kept into transformed weights for every shape, as oneDNN does, also where the library
 * would make them again. A round runs each in turn for --seconds; the ratio is athanor over oneDNN's best of that
 * round, and the median is printed. GFLOP/s are those of the direct algorithm, so Winograd may exceed the peak. Without
 * --threads: one, then two. The results are compared too. What other programs took of the machine meanwhile is printed:
 * with two threads they hurt oneDNN more, whose threads wait for each other at the end of every call. */
#define _DEFAULT_SOURCE /* sysconf, getrusage */
#include <math.h>
#include <omp.h>
#include <oneapi/dnnl/dnnl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/clock.h"
#include "base/pages.h"
#include "base/pool.h"
#include "kernels/kernels.h"
#if DNNL_VERSION_MAJOR != 2
#error "bench_dnnl is written for oneDNN 2.x, which Debian's libdnnl-dev is"
#endif

enum { MOST_ROUNDS = 100, ALGORITHMS = 3, MOST_THREADS = 64 };
enum { FORWARD, INPUT_GRAD, WEIGHT_GRAD, PASSES };

static const struct {
    int n, c_in, hw, c_out;
} shapes[] = {{128, 32, 28, 32},  {128, 64, 14, 64},  {128, 64, 7, 64},  {64, 64, 32, 64},
              {64, 128, 16, 128}, {64, 256, 16, 128}, {64, 128, 8, 128}, {16, 128, 32, 128},
              {16, 256, 16, 256}, {16, 512, 16, 256}, {16, 256, 8, 256}};
static const char *const pass_names[PASSES] = {"forward", "input grad", "weight grad"};

static void *need(void *p) {
    if (!p) {
        fprintf(stderr, "bench_dnnl: out of memory\n");
        exit(1);
    }
    return p;
}

/* In huge pages, as the program's. */
static float *floats(size_t len) { return need(ath_pages(len * sizeof(float))); }

static float *random_floats(size_t len) {
    float *p = floats(len);
    uint32_t s = (uint32_t)len;
    for (size_t i = 0; i < len; i++) {
        s = s * 1664525U + 1013904223U;
        p[i] = (float)(s >> 8) * 0x1p-23F - 1;
    }
    return p;
}

/* ---- athanor ---- */

typedef struct worker {
    float *scratch, *dw;
} worker;

typedef struct layer {
    const ath_kernels *k;
    ath_conv_shape shape; /* of all n images */
    int pass, micro, threads;
    float *x, *y, *w, *packed, *dw; /* NHWC; y is the output or its gradient; what is written depends on the pass */
    worker worker[MOST_THREADS];
    ath_pool *pool;
} layer;

/* One micro-batch: the only call of the kernels. */
static void run_kernel(const layer *l, const ath_conv_shape *s, float *x, float *y, float *dw, bool acc,
                       float *scratch) {
    if (l->pass == FORWARD) l->k->conv_forward(s, x, l->packed, (ath_conv_add){0}, ath_whole, y, scratch);
    if (l->pass == INPUT_GRAD) l->k->conv_input_grad(s, y, l->packed, x, false, scratch);
    if (l->pass == WEIGHT_GRAD) l->k->conv_weight_grad(s, x, y, dw, NULL, acc, scratch);
}

static size_t weights_of(const layer *l) { return 9 * (size_t)l->shape.c_in * (size_t)l->shape.c_out; }

static void run_worker(void *self, int index) {
    layer *l = self;
    const worker *me = &l->worker[index];
    const int first = l->shape.n * index / l->threads, end = l->shape.n * (index + 1) / l->threads;
    const size_t hw = (size_t)(l->shape.h * l->shape.w);
    for (int i = first; i < end; i += l->micro) {
        ath_conv_shape s = l->shape;
        s.n = end - i < l->micro ? end - i : l->micro;
        run_kernel(l, &s, l->x + (size_t)i * hw * (size_t)s.c_in, l->y + (size_t)i * hw * (size_t)s.c_out, me->dw,
                   i > first, me->scratch);
    }
}

static void run_athanor(layer *l) {
    ath_pool_run(l->pool, run_worker, l);
    const size_t len = weights_of(l);
    if (l->pass != WEIGHT_GRAD) return;
    memcpy(l->dw, l->worker[0].dw, len * sizeof(float));
    for (int t = 1; t < l->threads; t++)
        for (size_t j = 0; j < len; j++) l->dw[j] += l->worker[t].dw[j];
}

static void set_up_athanor(layer *l) {
    ath_conv_shape s = l->shape;
    s.n = l->micro;
    const ath_conv_pass pass = (ath_conv_pass)l->pass;
    const size_t packed = l->k->conv_pack_floats(&s, pass);
    l->packed = packed ? floats(packed) : l->w;
    if (packed) l->k->conv_pack(&s, pass, l->w, l->packed);
    for (int t = 0; t < l->threads; t++)
        l->worker[t] = (worker){floats(l->k->conv_scratch_floats(&s, pass)), floats(weights_of(l))};
}

static void tear_down_athanor(layer *l) {
    if (l->packed != l->w) free(l->packed);
    for (int t = 0; t < l->threads; t++) free(l->worker[t].scratch), free(l->worker[t].dw);
}

/* ---- oneDNN ---- */

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return;
    fprintf(stderr, "bench_dnnl: oneDNN's %s failed with status %d\n", what, (int)status);
    exit(1);
}

typedef struct peer {
    dnnl_primitive_t primitive; /* NULL: there is no such algorithm for this shape */
    dnnl_exec_arg_t arg[3];     /* x, w and y or their gradients */
    dnnl_memory_desc_t desc[3];
    float *data[3];
} peer;

static const dnnl_query_t queries[PASSES][3] = {
    {dnnl_query_src_md, dnnl_query_weights_md, dnnl_query_dst_md},
    {dnnl_query_diff_src_md, dnnl_query_weights_md, dnnl_query_diff_dst_md},
    {dnnl_query_src_md, dnnl_query_diff_weights_md, dnnl_query_diff_dst_md}};
static const int args[PASSES][3] = {{DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
                                    {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
                                    {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST}};

/* The layouts of x, w and y: athanor's, or whatever oneDNN chooses. */
static void describe(const ath_conv_shape *s, bool ours, dnnl_memory_desc_t desc[3]) {
    const dnnl_dims_t dims[3] = {{s->n, s->c_in, s->h, s->w}, {s->c_out, s->c_in, 3, 3}, {s->n, s->c_out, s->h, s->w}};
    for (int i = 0; i < 3; i++) {
        const dnnl_format_tag_t tag = !ours ? dnnl_format_tag_any : i == 1 ? dnnl_hwio : dnnl_nhwc;
        must(dnnl_memory_desc_init_by_tag(&desc[i], 4, dims[i], dnnl_f32, tag), "memory description");
    }
}

static dnnl_memory_t memory(const dnnl_memory_desc_t *desc, void *data) {
    dnnl_memory_t m;
    must(dnnl_memory_create(&m, desc, engine, data), "memory");
    return m;
}

static void reorder(const dnnl_memory_desc_t *from_desc, dnnl_memory_t from, const dnnl_memory_desc_t *to_desc,
                    dnnl_memory_t to) {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    must(dnnl_reorder_primitive_desc_create(&desc, from_desc, engine, to_desc, engine, NULL), "reorder");
    must(dnnl_primitive_create(&primitive, desc), "reorder");
    const dnnl_exec_arg_t a[2] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    must(dnnl_primitive_execute(primitive, stream, 2, a), "reorder");
    must(dnnl_stream_wait(stream), "reorder");
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
}

/* False when oneDNN has no such algorithm for this shape. */
static bool choose(const ath_conv_shape *s, int pass, dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *out) {
    dnnl_memory_desc_t any[3];
    const dnnl_dims_t stride = {1, 1}, pad = {1, 1};
    dnnl_convolution_desc_t forward, backward;
    dnnl_primitive_desc_t hint = NULL;
    describe(s, false, any);
    /* inference may keep its weights transformed, as athanor's packed ones are; gradients ask for a forward of training */
    const dnnl_prop_kind_t kind = pass == FORWARD ? dnnl_forward_inference : dnnl_forward_training;
    const dnnl_alg_kind_t first = pass == FORWARD ? algorithm : dnnl_convolution_direct;
    if (dnnl_convolution_forward_desc_init(&forward, kind, first, &any[0], &any[1], NULL, &any[2], stride, pad, pad) !=
        dnnl_success)
        return false;
    if (pass == FORWARD) return dnnl_primitive_desc_create(out, &forward, NULL, engine, NULL) == dnnl_success;
    must(dnnl_primitive_desc_create(&hint, &forward, NULL, engine, NULL), "forward");
    const dnnl_status_t status =
        pass == INPUT_GRAD ? dnnl_convolution_backward_data_desc_init(&backward, algorithm, &any[0], &any[1], &any[2],
                                                                      stride, pad, pad)
                           : dnnl_convolution_backward_weights_desc_init(&backward, algorithm, &any[0], &any[1], NULL,
                                                                         &any[2], stride, pad, pad);
    const bool made =
        status == dnnl_success && dnnl_primitive_desc_create(out, &backward, NULL, engine, hint) == dnnl_success;
    dnnl_primitive_desc_destroy(hint);
    return made;
}

static peer make_peer(const layer *l, dnnl_alg_kind_t algorithm) {
    peer p = {0};
    dnnl_primitive_desc_t desc;
    dnnl_memory_desc_t ours[3];
    if (!choose(&l->shape, l->pass, algorithm, &desc)) return p;
    must(dnnl_primitive_create(&p.primitive, desc), "convolution");
    describe(&l->shape, true, ours);
    float *const data[3] = {l->x, l->w, l->y};
    for (int i = 0; i < 3; i++) {
        p.desc[i] = *dnnl_primitive_desc_query_md(desc, queries[l->pass][i], 0);
        p.data[i] = floats(dnnl_memory_desc_get_size(&p.desc[i]) / sizeof(float) + 1);
        p.arg[i] = (dnnl_exec_arg_t){args[l->pass][i], memory(&p.desc[i], p.data[i])};
        const dnnl_memory_t from = memory(&ours[i], data[i]);
        /* a layout of Winograd's weights comes from the plain one */
        reorder(&ours[i], from, &p.desc[i], p.arg[i].memory);
        dnnl_memory_destroy(from);
    }
    dnnl_primitive_desc_destroy(desc);
    return p;
}

static void run_peer(const peer *p) {
    must(dnnl_primitive_execute(p->primitive, stream, 3, p->arg), "convolution");
    must(dnnl_stream_wait(stream), "convolution");
}

static void free_peer(peer *p) {
    for (int i = 0; i < 3; i++) {
        dnnl_memory_destroy(p->arg[i].memory);
        free(p->data[i]);
    }
    dnnl_primitive_destroy(p->primitive);
}

/* The largest difference of what both wrote, over the largest number. */
static double difference(const layer *l, const peer *p) {
    static const int written[PASSES] = {2, 0, 1};
    const int i = written[l->pass];
    dnnl_memory_desc_t ours[3];
    describe(&l->shape, true, ours);
    const float *mine = i == 0 ? l->x : i == 1 ? l->dw : l->y;
    const size_t len = dnnl_memory_desc_get_size(&ours[i]) / sizeof(float);
    float *theirs = floats(len);
    const dnnl_memory_t to = memory(&ours[i], theirs);
    reorder(&p->desc[i], p->arg[i].memory, &ours[i], to);
    dnnl_memory_destroy(to);
    double most = 0, off = 0;
    for (size_t j = 0; j < len; j++) {
        most = fmax(most, fabs((double)theirs[j]));
        off = fmax(off, fabs((double)theirs[j] - (double)mine[j]));
    }
    free(theirs);
    return off / most;
}

/* ---- both, in turn ---- */

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n) {
    qsort(v, (size_t)n, sizeof *v, by_size);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* GFLOP/s over at least `seconds`; of athanor when p is NULL. The first run wakes the threads and is not counted. */
static double rate(layer *l, const peer *p, double flops, double seconds) {
    double start = 0, took = 0;
    int count = -1;
    while (count < 1 || took < seconds) {
        if (count == 0) start = ath_clock();
        if (p)
            run_peer(p);
        else
            run_athanor(l);
        if (++count > 0) took = ath_clock() - start;
    }
    return flops * count / took * 1e-9;
}

typedef struct settings {
    int threads, micro, rounds;
    double seconds;
    bool kept;
} settings;

/* The median ratio of one pass of one shape. */
static double compare(layer *l, const settings *o, const char *name) {
    static const dnnl_alg_kind_t kinds[ALGORITHMS] = {dnnl_convolution_direct, dnnl_convolution_winograd,
                                                      dnnl_convolution_auto};
    static const char *const names[ALGORITHMS] = {"direct", "winograd", "auto"};
    double ours[MOST_ROUNDS], theirs[MOST_ROUNDS], ratio[MOST_ROUNDS], off = 0;
    int won[ALGORITHMS] = {0}, best = 0;
    const double flops = 18.0 * l->shape.n * l->shape.h * l->shape.w * l->shape.c_in * l->shape.c_out;
    peer p[ALGORITHMS];
    set_up_athanor(l);
    for (int a = 0; a < ALGORITHMS; a++) p[a] = make_peer(l, kinds[a]);
    run_athanor(l);
    for (int a = 0; a < ALGORITHMS; a++) {
        if (!p[a].primitive) continue;
        run_peer(&p[a]);
        off = fmax(off, difference(l, &p[a]));
    }
    for (int r = 0; r < o->rounds; r++) {
        int fastest = 0;
        theirs[r] = 0;
        for (int a = 0; a < ALGORITHMS; a++) {
            const double got = p[a].primitive ? rate(l, &p[a], flops, o->seconds) : 0;
            if (got <= theirs[r]) continue;
            theirs[r] = got;
            fastest = a;
        }
        won[fastest]++;
        ours[r] = rate(l, NULL, flops, o->seconds);
        ratio[r] = ours[r] / theirs[r];
    }
    for (int a = 1; a < ALGORITHMS; a++)
        if (won[a] > won[best]) best = a;
    const double result = median(ratio, o->rounds);
    printf("%7d  %-18s %-12s %8.0f %8.0f  %-9s %6.2f   %.0e%s\n", o->threads, name, pass_names[l->pass],
           median(ours, o->rounds), median(theirs, o->rounds), names[best], result, off,
           off > 1e-3 ? "  THE RESULTS DIFFER" : "");
    fflush(stdout);
    for (int a = 0; a < ALGORITHMS; a++)
        if (p[a].primitive) free_peer(&p[a]);
    tear_down_athanor(l);
    return result;
}

/* Seconds of processor time that programs other than this one have had, all cores together. */
static double seconds_of_others(void) {
    double v[8] = {0}, all = 0; /* user, nice, system, idle, iowait, irq, softirq, stolen */
    FILE *f = fopen("/proc/stat", "r");
    if (!f) return 0;
    const int got =
        fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]);
    fclose(f);
    struct rusage me;
    getrusage(RUSAGE_SELF, &me);
    for (int i = 0; got == 8 && i < 8; i++) all += i == 3 || i == 4 ? 0 : v[i] / (double)sysconf(_SC_CLK_TCK);
    return all - (double)(me.ru_utime.tv_sec + me.ru_stime.tv_sec) -
           1e-6 * (double)(me.ru_utime.tv_usec + me.ru_stime.tv_usec);
}

static void compare_all(const settings *o, const char *only) {
    double log_sum[PASSES] = {0};
    int count = 0;
    ath_err err;
    ath_pool *pool;
    if (ath_pool_create(&pool, o->threads, &err) != ATH_OK) exit(1);
    const double start = ath_clock(), others = seconds_of_others();
    omp_set_num_threads(o->threads); /* oneDNN plans for as many as there are when it chooses */
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        char name[48];
        snprintf(name, sizeof name, "%d,%d,%d,%d", shapes[i].n, shapes[i].c_in, shapes[i].hw, shapes[i].c_out);
        if (only && !strstr(name, only)) continue;
        const int hw = shapes[i].hw;
        layer l = {.k = ath_kernels_best(), .micro = o->micro, .threads = o->threads, .pool = pool};
        l.shape = (ath_conv_shape){shapes[i].n, hw, hw, shapes[i].c_in, shapes[i].c_out, 3, 1, 1, 1, false, 0};
        const size_t positions = (size_t)l.shape.n * (size_t)(hw * hw);
        l.x = random_floats(positions * (size_t)l.shape.c_in);
        l.y = random_floats(positions * (size_t)l.shape.c_out);
        l.w = random_floats(weights_of(&l));
        l.dw = floats(weights_of(&l));
        if (o->kept) l.shape.algorithm = ATH_CONV_WINOGRAD;
        for (l.pass = 0; l.pass < PASSES; l.pass++) log_sum[l.pass] += log(compare(&l, o, name));
        count++;
        free(l.x), free(l.y), free(l.w), free(l.dw);
    }
    for (int pass = 0; pass < PASSES && count; pass++)
        printf("%7d  %-18s %-12s %37.2f\n", o->threads, "geometric mean", pass_names[pass], exp(log_sum[pass] / count));
    printf("%7d  other programs had %.2f cores meanwhile\n", o->threads,
           (seconds_of_others() - others) / (ath_clock() - start));
    ath_pool_destroy(pool);
}

static const char *option(int argc, char **argv, const char *name) {
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, strlen(name)) == 0) return argv[i] + strlen(name);
    return NULL;
}

static double number(int argc, char **argv, const char *name, double otherwise, double most) {
    const char *text = option(argc, argv, name);
    const double value = text ? atof(text) : otherwise;
    return value < 0 ? 0 : value > most ? most : value;
}

int main(int argc, char **argv) {
    settings o = {.threads = (int)number(argc, argv, "--threads=", 0, MOST_THREADS),
                  .micro = (int)number(argc, argv, "--micro=", 8, 1024),
                  .rounds = (int)number(argc, argv, "--rounds=", 5, MOST_ROUNDS),
                  .seconds = number(argc, argv, "--seconds=", 0.1, 60),
                  .kept = option(argc, argv, "--kept") != NULL};
    if (o.micro < 1) o.micro = 1;
    if (o.rounds < 1) o.rounds = 1;
    must(dnnl_engine_create(&engine, dnnl_cpu, 0), "engine");
    must(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags), "stream");
    const dnnl_version_t *v = dnnl_version();
    printf("oneDNN %d.%d.%d, athanor's %s kernels in micro-batches of %d, %d rounds\n", v->major, v->minor, v->patch,
           ath_kernels_best()->isa, o.micro, o.rounds);
    printf("%7s  %-18s %-12s %8s %8s  %-9s %6s   %s\n", "threads", "N,Cin,HW,Cout", "pass", "athanor", "oneDNN",
           "its best", "ratio", "off by");
    const char *only = option(argc, argv, "--only=");
    const int from = o.threads ? o.threads : 1, to = o.threads ? o.threads : 2;
    for (o.threads = from; o.threads <= to; o.threads++) compare_all(&o, only);
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}
