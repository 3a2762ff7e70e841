/* Plain matrix products, by OpenBLAS: the one file that knows of it. Our threads are
 * workers that each run whole networks, and inside one a product must stay on its
 * core: with two threads OpenBLAS measured 2 to 45 GFLOP/s instead of 95 as soon as
 * another process ran. How it is kept to one thread depends on how it was built:
 * - with OpenMP it goes by omp_get_max_threads of the calling thread at every call, and
 *   openblas_set_num_threads would change that for the caller's own parallel regions; so
 *   that number, which is the calling thread's own, is 1 during the call;
 * - with its own threads it is told once. */
#include <cblas.h>
#include <stdatomic.h>
#include "base/status.h"
#include "kernels/kernels.h"
#ifdef _OPENMP
#include <omp.h>
#endif

enum { OPENBLAS_WITH_OPENMP = 2 }; /* of openblas_get_parallel */

/* 0 at the start, 1 while one thread is at it, 2 when done. */
static atomic_int single_threaded;

static void make_single_threaded(void) {
    int state = 0;
    if (atomic_compare_exchange_strong(&single_threaded, &state, 1)) {
        if (openblas_get_parallel() != OPENBLAS_WITH_OPENMP) openblas_set_num_threads(1);
        atomic_store(&single_threaded, 2);
    }
    while (atomic_load(&single_threaded) != 2) {}
}

void ath_gemm(bool transpose_a, bool transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
              const float *b, int ldb, float beta, float *c, int ldc) {
    ATH_ASSERT(m >= 0 && n >= 0 && k >= 0);
    if (m == 0 || n == 0) return;
    if (atomic_load(&single_threaded) != 2) make_single_threaded();
#ifdef _OPENMP
    const int threads = omp_get_max_threads();
    if (threads > 1) omp_set_num_threads(1);
#endif
    cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans, transpose_b ? CblasTrans : CblasNoTrans, m, n,
                k, alpha, a, lda, b, ldb, beta, c, ldc);
#ifdef _OPENMP
    if (threads > 1) omp_set_num_threads(threads);
#endif
}
