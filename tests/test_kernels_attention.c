/* The attention of every table this CPU can run, against ref's plain loops: sizes that do not divide by
 * anything, heads beside each other in one array, every choice of which gradients are wanted and
 * which are added to, guard zones and NaN in the work memory. Gradients as such: test_ops.c. */
#include "check.h"
#include "arrays.h"
#include "kernels/kernels.h"

static const ath_attention_shape shapes[] = {
    /* tokens, d, stride, scale */
    {1, 1, 1, 1},          {2, 3, 3, 0.7F},     {7, 5, 11, 0.5F},      {16, 16, 16, 0.25F},
    {33, 40, 80, 0.2F},    {49, 32, 64, 0.2F},  {49, 64, 64, 0.1F},    {64, 8, 32, 0.3F},
    {256, 128, 128, 0.1F}, {300, 33, 99, 0.2F}, {101, 100, 112, 0.1F},
};
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* The floats of a matrix of rows: the last row has no rest. */
static size_t len_of(const ath_attention_shape *s) {
    return (size_t)(s->tokens - 1) * (size_t)s->stride + (size_t)s->d;
}

static void compare(const ath_kernels *k, const ath_attention_shape *s, const char *what, const float *a,
                    const float *expected) {
    double diff = 0, norm = 0;
    for (int i = 0; i < s->tokens; i++)
        for (int j = 0; j < s->stride && i * s->stride + j < (int)len_of(s); j++) {
            const size_t at = (size_t)(i * s->stride + j);
            if (j >= s->d) {
                CHECK(a[at] == guard_value, "%s %s: written beside the head", k->isa, what);
                continue;
            }
            diff += pow((double)a[at] - (double)expected[at], 2);
            norm += pow((double)expected[at], 2);
        }
    /* sums of up to 300 products, of probabilities that are right to 3e-6 */
    CHECK(diff <= 1e-11 * norm + 1e-30, "%s %s: relative error %.2e; %d tokens, %d of %d channels", k->isa, what,
          sqrt(diff / norm), s->tokens, s->d, s->stride);
}

/* In so many parts, the last one first. */
static void run_forward(const ath_kernels *k, const ath_attention_shape *s, int parts, float *const x[4], float *y) {
    const size_t floats = k->attention_scratch_floats(s, false);
    for (int part = parts - 1; part >= 0; part--) {
        float *scratch = poisoned(floats);
        k->attention_forward(s, x[0], x[1], x[2], (ath_part){part, parts}, y, scratch);
        check_guards(scratch, floats, "scratch");
        release(scratch);
    }
    check_guards(y, len_of(s), "y");
}

static void parts_of_a_forward_are_the_whole(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int i = 0; i < N_SHAPES; i++)
        for (int t = 0; t < n_tables; t++) {
            const ath_attention_shape *s = &shapes[i];
            float *x[4], *whole = guarded(len_of(s)), *y = guarded(len_of(s));
            for (int j = 0; j < 4; j++) x[j] = random_floats(len_of(s));
            run_forward(table[t], s, 1, x, whole);
            for (int parts = 3; parts <= 5; parts += 2) {
                memcpy(y, x[3], len_of(s) * sizeof *y); /* nothing of the parts before */
                run_forward(table[t], s, parts, x, y);
                for (int r = 0; r < s->tokens; r++)
                    CHECK(memcmp(y + r * s->stride, whole + r * s->stride, (size_t)s->d * sizeof *y) == 0,
                          "%s: row %d of %d in %d parts is not the whole's", table[t]->isa, r, s->tokens, parts);
            }
            for (int j = 0; j < 4; j++) free(x[j]);
            release(whole), release(y);
        }
}

static void run_vjp(const ath_kernels *k, const ath_attention_shape *s, float *const x[4], float *const dx[3],
                    const bool acc[3]) {
    const size_t floats = k->attention_scratch_floats(s, true);
    float *scratch = poisoned(floats);
    k->attention_vjp(s, x[0], x[1], x[2], x[3], dx[0], dx[1], dx[2], acc, scratch);
    check_guards(scratch, floats, "scratch");
    for (int j = 0; j < 3; j++)
        if (dx[j] != NULL) check_guards(dx[j], len_of(s), "dx");
    release(scratch);
}

/* Values of a head in an array of guards, so that what is beside it shows whether it was written. */
static float *head_of(const ath_attention_shape *s, float value) {
    float *p = guarded(len_of(s));
    for (int i = 0; i < s->tokens; i++)
        for (int j = 0; j < s->d; j++) p[i * s->stride + j] = value;
    return p;
}

static void every_attention_agrees_with_its_definition(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    static const char *const names[3] = {"dq", "dk", "dv"};
    for (int i = 0; i < N_SHAPES; i++)
        for (int t = 1; t < n_tables; t++) {
            const ath_attention_shape *s = &shapes[i];
            float *x[4], *y = head_of(s, NAN), *e = head_of(s, NAN);
            for (int j = 0; j < 4; j++) x[j] = random_floats(len_of(s));
            run_forward(table[0], s, 1, x, e);
            run_forward(table[t], s, 1, x, y);
            compare(table[t], s, "forward", y, e);
            for (int mode = 0; mode < 27; mode++) { /* not wanted, written, added to */
                const int how[3] = {mode % 3, mode / 3 % 3, mode / 9};
                const bool acc[3] = {how[0] == 2, how[1] == 2, how[2] == 2};
                float *dx[3] = {0}, *edx[3] = {0};
                for (int j = 0; j < 3; j++)
                    if (how[j] > 0) dx[j] = head_of(s, acc[j] ? 0.01F : NAN), edx[j] = head_of(s, acc[j] ? 0.01F : NAN);
                run_vjp(table[0], s, x, edx, acc);
                run_vjp(table[t], s, x, dx, acc);
                for (int j = 0; j < 3; j++)
                    if (how[j] > 0) compare(table[t], s, names[j], dx[j], edx[j]), release(dx[j]), release(edx[j]);
            }
            for (int j = 0; j < 4; j++) free(x[j]);
            release(y), release(e);
        }
}

static void gradients_may_be_added_to_one_array(void **state) {
    (void)state;
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int i = 0; i < N_SHAPES; i++)
        for (int t = 0; t < n_tables; t++) {
            const ath_attention_shape *s = &shapes[i];
            float *x[4], *one = head_of(s, 0), *sum = head_of(s, 0), *apart[3];
            for (int j = 0; j < 4; j++) x[j] = random_floats(len_of(s));
            for (int j = 0; j < 3; j++) apart[j] = head_of(s, NAN);
            run_vjp(table[t], s, x, (float *const[3]){one, one, one}, (bool[3]){true, true, true});
            run_vjp(table[t], s, x, apart, (bool[3]){false, false, false});
            for (int r = 0; r < s->tokens; r++)
                for (int j = r * s->stride; j < r * s->stride + s->d; j++)
                    sum[j] = apart[0][j] + apart[1][j] + apart[2][j];
            compare(table[t], s, "dq + dk + dv", one, sum);
            for (int j = 0; j < 4; j++) free(x[j]);
            for (int j = 0; j < 3; j++) release(apart[j]);
            release(one), release(sum);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_attention_agrees_with_its_definition),
        cmocka_unit_test(gradients_may_be_added_to_one_array),
        cmocka_unit_test(parts_of_a_forward_are_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
