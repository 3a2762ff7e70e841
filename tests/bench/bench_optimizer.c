/* Times the update of the parameters and the norm of the gradient, every table this CPU can run against the plain
 * loop as the compiler vectorises it for any x86-64 (what athanor did before), interleaved round by round, beside what
 * memory gives at that moment: reading one array, and adding to four arrays in place, 4 bytes read and 4 written each.
 *
 *     bench_optimizer [--millions=36] [--threads=2] [--rounds=15]
 *
 * Milliseconds and GB/s of the bytes that have to move: the best round, and the median ratio to the plain loop. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/clock.h"
#include "base/pool.h"
#include "kernels/kernels.h"

enum { PARTS = 256, MOST_ROUNDS = 200, MOST = 16 };

typedef struct job {
    const ath_kernels *k; /* NULL: the plain loops */
    size_t n;
    float *array[5];
    ath_adamw_factors f;
    double sum[PARTS];
} job;

static size_t begin_of(const job *j, int part) { return j->n / PARTS * (size_t)part; }

static void plain_update(size_t n, ath_adamw_factors f, float *w, float *ema, float *m, float *v, const float *grad) {
    for (size_t i = 0; i < n; i++) {
        const float g = f.scale * grad[i];
        m[i] = f.beta1 * m[i] + f.rest1 * g;
        v[i] = f.beta2 * v[i] + f.rest2 * g * g;
        w[i] = f.shrink * w[i] - f.step * m[i] / (sqrtf(v[i]) * f.root2 + f.eps);
        ema[i] += f.average * (w[i] - ema[i]);
    }
}

static void update_part(void *self, int part) {
    job *j = self;
    const size_t at = begin_of(j, part), len = begin_of(j, part + 1) - at;
    float *const *a = j->array;
    if (j->k)
        j->k->adamw(len, &j->f, a[0] + at, a[1] + at, a[2] + at, a[3] + at, a[4] + at);
    else
        plain_update(len, j->f, a[0] + at, a[1] + at, a[2] + at, a[3] + at, a[4] + at);
}

static void norm_part(void *self, int part) {
    job *j = self;
    const size_t at = begin_of(j, part), end = begin_of(j, part + 1);
    const float *x = j->array[4];
    if (j->k) {
        j->sum[part] = j->k->sum_squares(end - at, x + at);
        return;
    }
    double sum = 0;
    for (size_t i = at; i < end; i++) sum += (double)x[i] * (double)x[i];
    j->sum[part] = sum;
}

/* The largest, as a reason to read: integers, which the compiler vectorises. */
static void read_part(void *self, int part) {
    job *j = self;
    const size_t end = begin_of(j, part + 1);
    int most = 0;
    for (size_t i = begin_of(j, part); i < end; i++) {
        int bits;
        memcpy(&bits, &j->array[4][i], sizeof bits);
        most |= bits;
    }
    j->sum[part] = most;
}

static void add_part(void *self, int part) {
    job *j = self;
    const size_t at = begin_of(j, part), end = begin_of(j, part + 1);
    for (int a = 0; a < 4; a++)
        for (size_t i = at; i < end; i++) j->array[a][i] += 1e-9F;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double option(int argc, char **argv, const char *name, double otherwise) {
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], name, strlen(name)) == 0) return atof(argv[i] + strlen(name));
    return otherwise;
}

int main(int argc, char **argv) {
    job j = {.n = (size_t)(option(argc, argv, "--millions=", 36) * 1e6) / PARTS * PARTS,
             .f = {0.9F, 0.1F, 0.999F, 0.001F, 1e-4F, 1, 1e-8F, 0.9999F, 0.5F, 1e-4F}};
    int rounds = (int)option(argc, argv, "--rounds=", 15);
    rounds = rounds < 1 ? 1 : rounds > MOST_ROUNDS ? MOST_ROUNDS : rounds;
    ath_err err;
    ath_pool *pool;
    if (ath_pool_create(&pool, (int)option(argc, argv, "--threads=", 2), &err) != ATH_OK) return 1;
    for (int a = 0; a < 5; a++) {
        j.array[a] = malloc(j.n * sizeof(float) + 1);
        if (!j.array[a]) return 1;
        for (size_t i = 0; i < j.n; i++) j.array[a][i] = (float)((i * 2654435761U + (size_t)a) % 1000 + 1) * 1e-3F;
    }
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static double took[MOST][MOST_ROUNDS];
    static const char *name[MOST];
    static double bytes[MOST];
    int count = 0;
    for (int r = 0; r < rounds; r++) {
        count = 0;
        for (int norm = 0; norm < 2; norm++)
            for (int t = 0; t <= n_tables; t++) { /* the plain loop, the tables but ref, memory alone */
                j.k = t == 0 || t == n_tables ? NULL : table[t];
                void (*work)(void *, int) = norm ? norm_part : update_part;
                if (t == n_tables) work = norm ? read_part : add_part;
                const double start = ath_clock();
                ath_pool_each(pool, PARTS, work, &j);
                took[count][r] = ath_clock() - start;
                name[count] = t == n_tables ? "memory" : j.k ? j.k->isa : "plain";
                bytes[count] = (double)(j.n * sizeof(float)) * (norm ? 1 : t == n_tables ? 8 : 9);
                count++;
            }
    }
    printf("%.1f million parameters, %d threads, %d rounds\n", (double)j.n / 1e6, ath_pool_threads(pool), rounds);
    printf("%-8s %-8s %10s %8s %22s\n", "what", "by", "best ms", "GB/s", "median of plain/this");
    for (int c = 0; c < count; c++) {
        const int plain = c < count / 2 ? 0 : count / 2;
        double best = INFINITY, ratio[MOST_ROUNDS];
        for (int r = 0; r < rounds; r++) {
            best = took[c][r] < best ? took[c][r] : best;
            ratio[r] = took[plain][r] / took[c][r];
        }
        qsort(ratio, (size_t)rounds, sizeof *ratio, by_size);
        printf("%-8s %-8s %10.2f %8.1f %22.2f\n", plain ? "norm" : "update", name[c], best * 1e3,
               bytes[c] / best * 1e-9, ratio[rounds / 2]);
    }
    for (int a = 0; a < 5; a++) free(j.array[a]);
    ath_pool_destroy(pool);
    return 0;
}
