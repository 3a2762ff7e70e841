/* Small graphs with values, for tests that run one in several ways: what it is given, a run in an arena full of NaN, and
 * comparisons of two runs. */
#ifndef ATH_TESTS_GRAPHS_H
#define ATH_TESTS_GRAPHS_H
#include "check.h"
#include "base/rng.h"
#include "graph/graph.h"
#include "graph/params.h"
#include "graph/plan.h"

enum { IMAGES = 3, MAX_INPUTS = 6 };

/* A graph, what it is given, and how it is built: with what it reads being inputs, or layers' results, which have
 * gradients in every training plan; with channels of a width that Winograd takes or not. */
typedef struct subject {
    ath_graph *g;
    bool stems;
    int h, w, c, more; /* more: images that the plan has room for and that do not run */
    ath_tensor in[MAX_INPUTS], out;
    int n_in;
    float *value[MAX_INPUTS], *params;
} subject;

static const ath_tensor none = {0};

static inline size_t len_of(const subject *s, ath_tensor t) {
    const ath_shape a = ath_shape_of(s->g, t);
    return (size_t)IMAGES * (size_t)a.h * (size_t)a.w * (size_t)a.c;
}

static inline ath_tensor input(subject *s, const char *name, int h, int w, int c) {
    return s->in[s->n_in++] = ath_input(s->g, name, (ath_shape){h, w, c}, true);
}

/* ---- running it ---- */

typedef struct result {
    float *y, *grad, *dx[MAX_INPUTS];
    int operations; /* that are not inputs */
    int told;       /* operations that tell moments of their result */
} result;

static inline void build_with_values(subject *s, ath_tensor (*build)(subject *), const float *scales) {
    s->g = ath_graph_create();
    s->out = build(s);
    ath_output(s->g, s->out);
    const size_t total = ath_param_total(s->g);
    s->params = malloc(total * sizeof *s->params);
    ath_rng_normal((ath_rng){1}, ATH_S_TEST, 1, s->params, total);
    for (size_t i = 0; i < total; i++) s->params[i] *= 0.3F;
    const ath_tensor t = ath_input_find(s->g, "scales");
    for (int i = 0; i < s->n_in; i++) {
        const size_t len = len_of(s, s->in[i]);
        s->value[i] = malloc(len * sizeof(float));
        ath_rng_normal((ath_rng){2}, ATH_S_TEST, (uint64_t)i, s->value[i], len);
        if (s->in[i].id == t.id) memcpy(s->value[i], scales, len * sizeof(float));
    }
}

static inline void destroy(subject *s) {
    ath_graph_destroy(s->g);
    for (int i = 0; i < s->n_in; i++) free(s->value[i]);
    free(s->params);
}

static inline float *copy_of(const float *p, size_t len) {
    float *copy = malloc(len * sizeof *copy);
    return p ? memcpy(copy, p, len * sizeof *copy) : (free(copy), NULL);
}

static inline int operations(const ath_plan *plan) {
    ath_op_time op;
    int count = 0;
    for (int i = 0; ath_plan_time_of(plan, i, &op); i++) count += strcmp(op.op, "input") != 0;
    return count;
}

static inline int moments_told(const ath_plan *plan) {
    FILE *file = tmpfile();
    assert_non_null(file);
    ath_plan_dump(plan, file);
    rewind(file);
    char line[1024];
    int count = 0;
    while (fgets(line, sizeof line, file)) count += strstr(line, " moments ") != NULL;
    fclose(file);
    return count;
}

/* The gradients, given one of the output; what nobody writes stays NaN. */
static inline void run_vjp(const subject *s, ath_plan *plan, const ath_run *how, unsigned want, result *r) {
    ath_err err = {0};
    ath_grad_sum *sum;
    CHECK_OK(ath_grad_sum_create(&sum, s->g, &err));
    const size_t total = ath_param_total(s->g);
    r->grad = malloc(total * sizeof *r->grad);
    for (size_t i = 0; i < total; i++) r->grad[i] = NAN;
    ath_grad_sum_begin(sum, r->grad);
    if (ath_plan_grad(plan, s->out))
        ath_rng_normal((ath_rng){3}, ATH_S_TEST, 0, ath_plan_grad(plan, s->out), len_of(s, s->out));
    ath_plan_vjp(plan, how, sum, 0);
    for (int i = 0; (want & ATH_GRAD_INPUTS) && i < s->n_in; i++)
        r->dx[i] = copy_of(ath_plan_grad(plan, s->in[i]), len_of(s, s->in[i]));
    ath_grad_sum_destroy(sum);
}

static inline result run(const subject *s, unsigned want) {
    ath_err err = {0};
    result r = {0};
    ath_plan *plan;
    CHECK_OK(ath_plan_compile(&plan, s->g, IMAGES + s->more, want, &err));
    ath_plan_poison(plan);
    float *packed = malloc(ath_plan_packed_floats(plan) * sizeof *packed);
    ath_plan_pack(plan, s->params, packed, 0, 1);
    for (int i = 0; i < s->n_in; i++)
        memcpy(ath_plan_value(plan, s->in[i]), s->value[i], len_of(s, s->in[i]) * sizeof(float));
    const ath_run how = {
        .n = IMAGES, .params = s->params, .packed = packed, .training = true, .rng = {7}, .first_image = 40};
    ath_plan_forward(plan, &how);
    r.y = copy_of(ath_plan_value(plan, s->out), len_of(s, s->out));
    r.operations = operations(plan);
    r.told = moments_told(plan);
    if (want & (ATH_GRAD_PARAMS | ATH_GRAD_INPUTS)) run_vjp(s, plan, &how, want, &r);
    free(packed);
    ath_plan_destroy(plan);
    return r;
}

static inline void release(result *r) {
    free(r->y), free(r->grad);
    for (int i = 0; i < MAX_INPUTS; i++) free(r->dx[i]);
}

/* ---- comparing it ---- */

static double worst; /* of all comparisons of this program: of a gain two convolutions and a norm away from the end */

/* `size`: what a, of which nothing but rounding may be left, is a part of. */
static inline void check_close(const char *name, const char *what, const float *a, const float *b, size_t len,
                               double size) {
    double diff = 0, norm = 0;
    CHECK((a == NULL) == (b == NULL), "%s: %s is there in one of the two only", name, what);
    for (size_t i = 0; a && i < len; i++) {
        if (isnan(a[i]) && isnan(b[i])) continue; /* a parameter that does not count */
        diff += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        norm += (double)b[i] * (double)b[i];
    }
    const double error = diff == 0 ? 0 : sqrt(diff) / fmax(sqrt(norm), 1e-3 * size);
    worst = fmax(worst, error);
    CHECK(error <= 5e-6, "%s: %s differs by %.2e of its norm", name, what, error);
}

static inline void check_bits(const char *name, const char *what, const float *a, const float *b, size_t len) {
    for (size_t i = 0; a && i < len; i++)
        CHECK(memcmp(&a[i], &b[i], sizeof *a) == 0 || (isnan(a[i]) && isnan(b[i])),
              "%s: %s %zu is %.9g, and %.9g unshared", name, what, i, (double)a[i], (double)b[i]);
}

static inline void compare(const subject *s, const char *name, const result *fused, const result *plain) {
    check_close(name, "output", fused->y, plain->y, len_of(s, s->out), 0);
    double size = 0;
    for (size_t i = 0; plain->grad && i < ath_param_total(s->g); i++)
        if (!isnan(plain->grad[i])) size += (double)plain->grad[i] * (double)plain->grad[i];
    for (int i = 0; plain->grad && i < ath_param_count(s->g); i++) {
        const ath_param *p = ath_param_at(s->g, i);
        check_close(name, p->name, fused->grad + p->offset, plain->grad + p->offset, p->len, sqrt(size));
    }
    for (int i = 0; i < s->n_in; i++) check_close(name, "dx", fused->dx[i], plain->dx[i], len_of(s, s->in[i]), 0);
}

static inline void same_bits(const subject *s, const char *name, const result *planned, const result *unshared) {
    check_bits(name, "output", planned->y, unshared->y, len_of(s, s->out));
    check_bits(name, "gradient", planned->grad, unshared->grad, ath_param_total(s->g));
    for (int i = 0; i < s->n_in; i++) check_bits(name, "dx", planned->dx[i], unshared->dx[i], len_of(s, s->in[i]));
}

#endif
