/* Follows recorded trajectories of other implementations (tests/golden, ../shared/golden/README.md) with a sampler of ours, state by
 * state, on the same exact model from the same start, with the same noise. */
#ifndef ATH_TESTS_FOLLOW_H
#define ATH_TESTS_FOLLOW_H
#include "exact.h"
#include "golden/golden.h"

/* A setting of a case: its own `config`, else its class's default. */
static inline bool is_on(const json_t *config, const json_t *defaults, const char *key) {
    const json_t *own = json_object_get(config, key);
    return json_is_true(own ? own : json_object_get(defaults, key));
}

static inline double config_number(const json_t *config, const json_t *defaults, const char *key) {
    const json_t *own = json_object_get(config, key);
    return golden_value(own ? own : golden_at(defaults, key));
}

static inline const char *config_text(const json_t *config, const json_t *defaults, const char *key) {
    const json_t *own = json_object_get(config, key);
    return own ? json_string_value(own) : golden_text(defaults, key);
}

static inline mixture read_mixture(const json_t *root, const char *name) {
    const json_t *one = golden_at(root, name);
    mixture m = {.dim = (int)golden_number(one, "d")};
    m.parts = (int)golden_list(golden_at(one, "weights"), m.weight, MAX_PARTS);
    golden_list(golden_at(one, "stds"), m.deviation, MAX_PARTS);
    for (int k = 0; k < m.parts; k++)
        golden_list(json_array_get(golden_at(one, "means"), (size_t)k), m.mean[k], MAX_DIM);
    return m;
}

/* The files that cases need: mixtures, noise, and the cases themselves. */
typedef struct golden_set {
    json_t *mixtures, *noise, *root;
} golden_set;

/* From ATH_TEST_GOLDEN, or ATH_SHARED_GOLDEN; false where a file is missing. */
static inline bool open_golden_set(golden_set *g, const char *folder, const char *file) {
    *g = (golden_set){golden_open(folder, "mixtures.json"), golden_open(folder, "noise.json"),
                      golden_open(folder, file)};
    return g->mixtures && g->noise && g->root;
}

static inline void close_golden_set(golden_set *g) {
    json_decref(g->mixtures);
    json_decref(g->noise);
    json_decref(g->root);
}

/* noise[k] of noise.json, `len` numbers each; `order`, where given, says which tensor draw k is. */
typedef struct noise_list {
    const json_t *noise;
    size_t len;
    const int *order;
} noise_list;

static inline ath_status recorded_noise(void *self, int k, double *out, ath_err *e) {
    const noise_list *list = self;
    const json_t *tensor = json_array_get(list->noise, (size_t)(list->order ? list->order[k] : k));
    if (!tensor) return ath_fail(e, ATH_E_ARG, "no noise %d", k);
    CHECK(golden_list(tensor, out, list->len) == list->len, "noise %d is too short", k);
    return ATH_OK;
}

/* One case, as its file tells it. The recorded state in VE scale (x/alpha) is followed with a ve process, in VP's with vp, and so
 * on: `process` says which, and the levels below are of that process. */
typedef struct follow_case {
    const char *id, *sampler, *options;
    ath_process process;
    ath_level level[MAX_STEPS + 1];
    int n_steps;
    ath_prediction says;             /* what the exact network predicts: SAMPLE serves any process */
    double clip;                     /* 0: none */
    double threshold, threshold_max; /* of dynamic thresholding; 0: none */
    const json_t *states;
    /* states[state_of[i]] is what we have after i steps; -1: nothing to compare. NULL: states[i]. */
    const int *state_of;
    const int *noise_order; /* NULL: 0, 1, 2, ... */
    int nfe;                /* expected; 0: not checked */
    ath_denoiser net;       /* a peer's, where it is not exact_x0; self NULL: on the case's exact_net */
} follow_case;

/* The largest error over the states compared, each relative to that state's largest number (at least 1). */
static inline double follow_one(const golden_set *g, const follow_case *c, const char *mixture_name) {
    exact_net net = {.data = read_mixture(g->mixtures, mixture_name),
                     .n = IMAGES,
                     .says = c->says,
                     .clip = c->clip,
                     .threshold = c->threshold,
                     .threshold_max = c->threshold_max};
    const size_t len = IMAGES * (size_t)net.data.dim;
    recorder *r = get_memory(sizeof *r);
    r->len = len;
    noise_list draws = {golden_at(golden_at(g->noise, mixture_name), "noise"), len, c->noise_order};
    double x[STATE], expected[STATE], worst = 0;
    golden_list(json_array_get(c->states, (size_t)(c->state_of ? c->state_of[0] : 0)), x, STATE);
    ath_sample_job job = {.net = {c->net.self ? c->net.self : &net, c->net.x0 ? c->net.x0 : exact_x0},
                          .process = c->process,
                          .level = c->level,
                          .n_steps = c->n_steps,
                          .x = x,
                          .n = IMAGES,
                          .dim = (size_t)net.data.dim,
                          .noise = {&draws, recorded_noise},
                          .on_step = keep_state,
                          .user = r};
    run_info info;
    CHECK_OK(run_job(find(c->sampler), c->options, &job, &info));
    CHECK(r->steps == c->n_steps, "%s: %d steps, expected %d", c->id, r->steps, c->n_steps);
    CHECK(c->nfe == 0 || info.nfe == c->nfe, "%s: %d evaluations, expected %d", c->id, info.nfe, c->nfe);
    for (int i = 1; i <= c->n_steps; i++) {
        const int at = c->state_of ? c->state_of[i] : i;
        for (size_t k = 0; k < len; k++) CHECK(isfinite(r->x[i][k]), "%s, after %d steps: %g", c->id, i, r->x[i][k]);
        if (at < 0) continue;
        CHECK(golden_list(json_array_get(c->states, (size_t)at), expected, STATE) == len, "%s: state %d", c->id, at);
        for (size_t k = 0; k < len; k++) CHECK(isfinite(expected[k]), "%s: state %d is not finite", c->id, at);
        double scale = 1;
        for (size_t k = 0; k < len; k++) scale = fmax(scale, fabs(expected[k]));
        for (size_t k = 0; k < len; k++) worst = fmax(worst, fabs(r->x[i][k] - expected[k]) / scale);
    }
    free(r);
    return worst;
}

/* A denoiser for peers that ask the network at another level than the one their sample is at: the slope of the flow comes from
 * at[call], wherever the sampler is. In a flow that is eps - x0; else eps, of the same input x / sqrt(1 + sigma^2). */
typedef struct elsewhere {
    exact_net net;
    const ath_level *at; /* one a call; NULL: where the sampler is, so that the slope is exact down to sigma = 0 */
    int calls;
    bool flow;
} elsewhere;

static inline ath_status slope_elsewhere(void *self, const double *x, const ath_level *level, size_t each, double *x0,
                                         ath_err *e) {
    (void)e;
    elsewhere *w = self;
    const size_t dim = (size_t)w->net.data.dim;
    for (size_t i = 0; i < w->net.n; i++) {
        const ath_level here = level[i * each], there = w->at ? w->at[w->calls] : here;
        const double scale = w->flow ? 1 : sqrt((1 + pow(there.sigma, 2)) / (1 + pow(here.sigma, 2)));
        double input[MAX_DIM], clean[MAX_DIM], eps[MAX_DIM];
        for (size_t d = 0; d < dim; d++) input[d] = scale * x[i * dim + d];
        mixture_at(&w->net.data, input, there, clean, eps);
        for (size_t d = 0; d < dim; d++)
            x0[i * dim + d] = x[i * dim + d] - here.sigma * (eps[d] - (w->flow ? clean[d] : 0));
    }
    w->calls++;
    return ATH_OK;
}

/* Levels of a process from a list of sigma/alpha, ends included. */
static inline int ratio_levels(const ath_process *p, const json_t *list, ath_level *level) {
    double ratio[MAX_STEPS + 1];
    const int n = (int)golden_list(list, ratio, MAX_STEPS + 1);
    CHECK_OK(ath_levels_from_ratios(p, ratio, n, level, &err));
    return n - 1;
}

#endif
