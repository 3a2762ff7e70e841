/* norm.h with everything it can do, against its definition in double: x in two parts whose boundary groups straddle, a
 * scale of the second, scale and shift, the activation, gradients of all of them, written or added. Of one part
 * without an activation: test_kernels_norm.c. */
#include "check.h"
#include "arrays.h"
#include "kernels/norm.h"

/* ---- the definition ---- */

enum { X0, X1, GAMMA, BETA, SCALE, SHIFT, N_ARRAYS };
static const char *const names[N_ARRAYS] = {"x0", "x1", "gamma", "beta", "scale", "shift"};

typedef struct sample {
    int n, hw, c[2], groups;
    bool silu, modulated, scaled; /* has an activation, scale and shift, scales of the second part */
    size_t len[N_ARRAYS];
    double *value[N_ARRAYS], *grad[N_ARRAYS]; /* in float's precision at first */
    float *as_float[N_ARRAYS];
    double *dy, *y;
    float *part_scale; /* 0, 1, 0.7, 0, ..: each STEP-th from the second on */
} sample;
enum { STEP = 3 };
static const double eps = 1e-5F;

static int channels_of(const sample *s) { return s->c[0] + s->c[1]; }
static size_t out_len(const sample *s) { return (size_t)s->n * (size_t)s->hw * (size_t)channels_of(s); }
static double part_scale(const sample *s, int i) { return s->scaled ? (double)s->part_scale[i * STEP + 1] : 1; }

/* Where channel c of pixel p of image i lies in its part. */
static size_t place(const sample *s, int i, int p, int c) {
    const int j = c >= s->c[0];
    return ((size_t)i * (size_t)s->hw + (size_t)p) * (size_t)s->c[j] + (size_t)(j ? c - s->c[0] : c);
}

static double x_at(const sample *s, int i, int p, int c) {
    return c < s->c[0] ? s->value[X0][place(s, i, p, c)] : part_scale(s, i) * s->value[X1][place(s, i, p, c)];
}

typedef struct moment {
    double mean, rstd;
} moment;

static moment moment_of(const sample *s, int i, int group) {
    const int per = channels_of(s) / s->groups;
    double sum = 0, squares = 0;
    for (int c = group * per; c < (group + 1) * per; c++)
        for (int p = 0; p < s->hw; p++) sum += x_at(s, i, p, c);
    const double mean = sum / (per * s->hw);
    for (int c = group * per; c < (group + 1) * per; c++)
        for (int p = 0; p < s->hw; p++) squares += pow(x_at(s, i, p, c) - mean, 2);
    return (moment){mean, 1 / sqrt(squares / (per * s->hw) + eps)};
}

/* y of a channel, and from dy, if `back`, what goes to its parameters; leaves dL/dxhat in dy's place in y. */
static void define_channel(sample *s, int i, int c, moment m, bool back) {
    const size_t of_image = (size_t)(i * channels_of(s) + c);
    const double more = s->modulated ? 1 + s->value[SCALE][of_image] : 1;
    for (int p = 0; p < s->hw; p++) {
        const size_t at = ((size_t)i * (size_t)s->hw + (size_t)p) * (size_t)channels_of(s) + (size_t)c;
        const double hat = (x_at(s, i, p, c) - m.mean) * m.rstd, z = hat * s->value[GAMMA][c] + s->value[BETA][c];
        const double u = z * more + (s->modulated ? s->value[SHIFT][of_image] : 0), sigmoid = 1 / (1 + exp(-u));
        if (!back) {
            s->y[at] = s->silu ? u * sigmoid : u;
            continue;
        }
        const double du = s->dy[at] * (s->silu ? sigmoid * (1 + u * (1 - sigmoid)) : 1);
        if (s->modulated) s->grad[SCALE][of_image] += du * z, s->grad[SHIFT][of_image] += du;
        s->grad[GAMMA][c] += du * more * hat;
        s->grad[BETA][c] += du * more;
        s->y[at] = du * more * s->value[GAMMA][c];
    }
}

/* dx of a group, from dL/dxhat. */
static void define_dx(sample *s, int i, int group, moment m) {
    const int per = channels_of(s) / s->groups;
    double sum = 0, product = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int c = group * per; c < (group + 1) * per; c++)
            for (int p = 0; p < s->hw; p++) {
                const double d = s->y[((size_t)i * (size_t)s->hw + (size_t)p) * (size_t)channels_of(s) + (size_t)c];
                const double hat = (x_at(s, i, p, c) - m.mean) * m.rstd, size = per * s->hw;
                if (pass == 0) {
                    sum += d, product += d * hat;
                    continue;
                }
                const double dx = m.rstd * (d - sum / size - hat * product / size);
                s->grad[c >= s->c[0]][place(s, i, p, c)] = c < s->c[0] ? dx : part_scale(s, i) * dx;
            }
}

/* y, or all gradients. */
static void define(sample *s, bool back) {
    const int per = channels_of(s) / s->groups;
    for (int a = 0; back && a < N_ARRAYS; a++) memset(s->grad[a], 0, s->len[a] * sizeof(double));
    for (int i = 0; i < s->n; i++)
        for (int g = 0; g < s->groups; g++) {
            const moment m = moment_of(s, i, g);
            for (int c = g * per; c < (g + 1) * per; c++) define_channel(s, i, c, m, back);
            if (back) define_dx(s, i, g, m);
        }
}

/* ---- samples ---- */

static double *doubles(const float *from, size_t len) {
    double *d = malloc(len * sizeof *d + 1);
    for (size_t i = 0; i < len; i++) d[i] = (double)from[i];
    return d;
}

static sample make(const int shape[5], bool silu, bool modulated, bool scaled) {
    sample s = {.n = shape[0],
                .hw = shape[1],
                .c = {shape[2], shape[3]},
                .groups = shape[4],
                .silu = silu,
                .modulated = modulated,
                .scaled = scaled};
    const size_t c = (size_t)channels_of(&s), n = (size_t)s.n, pixels = n * (size_t)s.hw;
    const size_t lens[N_ARRAYS] = {pixels * (size_t)s.c[0], pixels * (size_t)s.c[1], c, c, n * c, n * c};
    for (int a = 0; a < N_ARRAYS; a++) {
        s.len[a] = lens[a];
        s.as_float[a] = random_floats(lens[a]);
        s.value[a] = doubles(s.as_float[a], lens[a]);
        s.grad[a] = doubles(s.as_float[a], lens[a]);
    }
    s.part_scale = malloc(n * STEP * sizeof(float));
    for (size_t i = 0; i < n * STEP; i++)
        s.part_scale[i] = i % STEP != 1 ? 99 : i / STEP % 3 == 2 ? 0.7F : (float)(i / STEP % 3);
    float *dy = random_floats(out_len(&s));
    s.dy = doubles(dy, out_len(&s));
    s.y = doubles(dy, out_len(&s));
    free(dy);
    return s;
}

static void destroy(sample *s) {
    for (int a = 0; a < N_ARRAYS; a++) free(s->value[a]), free(s->grad[a]), free(s->as_float[a]);
    free(s->dy), free(s->y), free(s->part_scale);
}

static ath_norm norm_of(const sample *s) {
    return (ath_norm){.n = s->n,
                      .hw = s->hw,
                      .groups = s->groups,
                      .c = {s->c[0], s->c[1]},
                      .x = {s->as_float[X0], s->as_float[X1]},
                      .part_scale = s->scaled ? s->part_scale + 1 : NULL,
                      .part_step = STEP,
                      .eps = (float)eps,
                      .silu = s->silu,
                      .gamma = s->as_float[GAMMA],
                      .beta = s->as_float[BETA],
                      .scale = s->modulated ? s->as_float[SCALE] : NULL,
                      .shift = s->modulated ? s->as_float[SHIFT] : NULL};
}

static float *work_of(const sample *s) { return poisoned_for_doubles(ath_norm_work_floats(channels_of(s))); }

static void free_work(const sample *s, float *work) {
    check_guards(work, ath_norm_work_floats(channels_of(s)), "norm's work memory");
    release(work);
}

static float *stats_of(const ath_kernels *k, const sample *s) {
    const ath_norm v = norm_of(s);
    const size_t len = 2 * (size_t)s->n * (size_t)s->groups;
    float *stats = guarded(len), *work = work_of(s);
    ath_norm_stats(k, &v, 0, v.n, stats, work);
    check_guards(stats, len, "stats");
    free_work(s, work);
    return stats;
}

/* Gradients into to[], of which those that are NULL are not asked for. */
static void run_vjp(const ath_kernels *k, const sample *s, const float *stats, float *const to[N_ARRAYS], bool acc) {
    const ath_norm v = norm_of(s);
    float *d = guarded(out_len(s)), *work = work_of(s);
    for (size_t i = 0; i < out_len(s); i++) d[i] = (float)s->dy[i];
    const ath_norm_grads grads = {.dx = {to[X0], to[X1]},
                                  .acc = {acc, acc},
                                  .dgamma = to[GAMMA],
                                  .dbeta = to[BETA],
                                  .acc_params = acc,
                                  .dscale = to[SCALE],
                                  .dshift = to[SHIFT],
                                  .acc_scale = acc,
                                  .acc_shift = acc};
    ath_norm_vjp(k, &v, stats, 0, v.n, d, grads, work);
    check_guards(d, out_len(s), "dy");
    for (size_t i = 0; !s->silu && i < out_len(s); i++) assert_true(d[i] == (float)s->dy[i]);
    free_work(s, work);
    release(d);
}

/* Whether there is something to have a gradient. */
static bool has(const sample *s, int array) {
    if (array == X1) return s->c[1] > 0;
    return s->modulated || (array != SCALE && array != SHIFT);
}

static const char *sample_name(const sample *s) {
    static char text[120];
    snprintf(text, sizeof text, "n %d, hw %d, %d + %d channels, %d groups%s%s%s", s->n, s->hw, s->c[0], s->c[1],
             s->groups, s->silu ? ", silu" : "", s->modulated ? ", scale and shift" : "",
             s->scaled ? ", scaled part" : "");
    return text;
}

/* n, hw, c0, c1, groups */
static const int shapes[][5] = {{3, 49, 16, 16, 4}, {4, 5, 20, 13, 3},  {3, 7, 33, 11, 4}, {3, 64, 128, 64, 32},
                                {2, 9, 24, 0, 8},   {3, 12, 40, 20, 5}, {3, 30, 1, 2, 1},  {3, 3, 17, 100, 9}};

static void every_sample(void (*check)(sample *)) {
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int with = 0; with < 8; with++) {
            if ((with & 4) && shapes[i][3] == 0) continue;
            seed = i * 8 + (size_t)with + 1;
            sample s = make(shapes[i], with & 1, with & 2, with & 4);
            check(&s);
            destroy(&s);
        }
}

/* ---- tests ---- */

static double worst[2];

static void check_forward(sample *s) {
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    const ath_norm v = norm_of(s);
    define(s, false);
    for (int t = 0; t < n_tables; t++) {
        float *stats = stats_of(table[t], s), *y = poisoned(out_len(s)), *work = work_of(s);
        ath_norm_apply(table[t], &v, stats, 0, s->n, y, work);
        check_guards(y, out_len(s), "y");
        const double error = norm_error(y, s->y, out_len(s));
        CHECK(error <= 1e-6, "%s: relative error %.2e; %s", table[t]->isa, error, sample_name(s));
        worst[0] = fmax(worst[0], error);
        /* the last images alone */
        const size_t image = out_len(s) / (size_t)s->n, some = out_len(s) - image;
        float *last = poisoned(some);
        ath_norm_apply(table[t], &v, stats, 1, s->n - 1, last, work);
        check_guards(last, some, "y of some images");
        assert_memory_equal(last, y + image, some * sizeof *y);
        free_work(s, work);
        release(stats), release(y), release(last);
    }
}

static void check_gradients(sample *s) {
    int n_tables;
    const ath_kernels *const *table = ath_kernels_all(&n_tables);
    for (int acc = 0; acc < 2; acc++)
        for (int t = 0; t < n_tables; t++) {
            float *to[N_ARRAYS], *stats = stats_of(table[t], s);
            define(s, true);
            for (int a = 0; a < N_ARRAYS; a++) {
                to[a] = has(s, a) ? poisoned(s->len[a]) : NULL;
                for (size_t i = 0; acc && to[a] && i < s->len[a]; i++) {
                    to[a][i] = (float)(2 * uniform() - 1);
                    s->grad[a][i] += (double)to[a][i];
                }
            }
            run_vjp(table[t], s, stats, to, acc);
            for (int a = 0; a < N_ARRAYS; a++) {
                if (!to[a]) continue;
                check_guards(to[a], s->len[a], names[a]);
                const double error = norm_error(to[a], s->grad[a], s->len[a]);
                CHECK(error <= 3e-6, "%s d%s: relative error %.2e; %s%s", table[t]->isa, names[a], error,
                      sample_name(s), acc ? ", added" : "");
                worst[1] = fmax(worst[1], error);
                release(to[a]);
            }
            release(stats);
        }
}

/* Without each of the gradients the others have the same bits. */
static void check_wanted(sample *s) {
    const ath_kernels *k = ath_kernels_best();
    float *all[N_ARRAYS], *some[N_ARRAYS], *stats = stats_of(k, s);
    for (int a = 0; a < N_ARRAYS; a++) all[a] = has(s, a) ? poisoned(s->len[a]) : NULL;
    run_vjp(k, s, stats, all, false);
    for (int left_out = 0; left_out < N_ARRAYS; left_out++) {
        for (int a = 0; a < N_ARRAYS; a++) some[a] = all[a] && a != left_out ? poisoned(s->len[a]) : NULL;
        run_vjp(k, s, stats, some, false);
        for (int a = 0; a < N_ARRAYS; a++) {
            if (!some[a]) continue;
            CHECK(memcmp(some[a], all[a], s->len[a] * sizeof(float)) == 0, "d%s without d%s; %s", names[a],
                  names[left_out], sample_name(s));
            release(some[a]);
        }
    }
    for (int a = 0; a < N_ARRAYS; a++)
        if (all[a]) release(all[a]);
    release(stats);
}

static void norms_of_parts_are_what_their_definition_says(void **state) {
    (void)state;
    every_sample(check_forward);
    print_message("    largest relative error %.1e\n", worst[0]);
}

static void their_gradients_are_what_the_definition_says(void **state) {
    (void)state;
    every_sample(check_gradients);
    print_message("    largest relative error %.1e\n", worst[1]);
}

static void a_gradient_does_not_depend_on_which_others_are_wanted(void **state) {
    (void)state;
    every_sample(check_wanted);
}

/* <y, dy>, which differs by what the gradient says when a value does. */
static double objective(sample *s) {
    define(s, false);
    double sum = 0;
    for (size_t i = 0; i < out_len(s); i++) sum += s->y[i] * s->dy[i];
    return sum;
}

static void the_definition_has_the_gradients_it_says(void **state) {
    (void)state;
    sample s = make((const int[]){3, 4, 7, 5, 3}, true, true, true);
    const double h = 1e-5;
    define(&s, true);
    for (int a = 0; a < N_ARRAYS; a++)
        for (size_t i = 0; i < s.len[a]; i++) {
            const double at = s.value[a][i], gradient = s.grad[a][i];
            double side[2];
            for (int k = 0; k < 2; k++) {
                s.value[a][i] = at + (k ? h : -h);
                side[k] = objective(&s);
            }
            s.value[a][i] = at;
            const double slope = (side[1] - side[0]) / (2 * h);
            CHECK(fabs(slope - gradient) <= 1e-7 * (1 + fabs(slope)), "d%s %zu: %.10g, differences say %.10g", names[a],
                  i, gradient, slope);
        }
    destroy(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_definition_has_the_gradients_it_says),
        cmocka_unit_test(norms_of_parts_are_what_their_definition_says),
        cmocka_unit_test(their_gradients_are_what_the_definition_says),
        cmocka_unit_test(a_gradient_does_not_depend_on_which_others_are_wanted),
    };
    return cmocka_run_group_tests_name("norms of parts", tests, NULL, NULL);
}
