/* Samplers with steps of their own beside recorded ones (../shared/golden/README.md): dpm_fast and dpm_adaptive beside
 * k-diffusion, rk45 beside scipy's as Rectified Flow uses it. The levels of our grids are put where the peer's steps ended, so
 * that equal states there mean equal steps. */
#include "check.h"
#include "follow.h"

static const ath_process ve = {.kind = ATH_PROCESS_VE};

/* ---- dpm_fast, dpm_adaptive ---- */

/* As many steps as evaluations: levels at the starts of the peer's steps, the last at sigma_min, and others between. */
static void read_dpm_fast(const json_t *one, follow_case *c, int *state_of, char *options, size_t room) {
    double t[MAX_STEPS];
    const json_t *eta = json_object_get(golden_at(one, "args"), "eta");
    const int steps = (int)golden_list(golden_at(one, "step_t"), t, MAX_STEPS), n = (int)golden_number(one, "n");
    t[steps] = -log(golden_number(one, "sigma_min"));
    int at = 0;
    for (int s = 0; s < steps; s++) {
        const int parts = s < steps - 1 ? 1 : n - at; /* the levels that are left lie in the last step */
        for (int p = 0; p < parts; p++, at++) {
            state_of[at] = p == 0 ? s : -1;
            c->level[at] = ath_process_level(&ve, exp(-t[s] - p * (t[s + 1] - t[s]) / parts));
        }
    }
    c->level[n] = ath_process_level(&ve, golden_number(one, "sigma_min"));
    state_of[n] = steps;
    c->sampler = "dpm_fast";
    c->n_steps = c->nfe = n;
    c->states = golden_at(one, "x");
    snprintf(options, room, "eta=%g", eta ? golden_value(eta) : 0);
}

/* Levels where a step was kept. The states are those of the iterations that were. */
static void read_dpm_adaptive(const json_t *one, follow_case *c, json_t *states, char *options, size_t room) {
    const json_t *rows = golden_at(one, "iterations"), *args = golden_at(one, "args");
    const char *name;
    json_t *value;
    snprintf(options, room, "control=batch");
    json_object_foreach((json_t *)args, name, value) {
        const size_t used = strlen(options);
        snprintf(options + used, room - used, ",%s=%.17g", name, golden_value(value));
    }
    json_array_append(states, json_object_get(one, "x0"));
    c->level[0] = ath_process_level(&ve, golden_number(one, "sigma_max"));
    for (size_t k = 0; k < json_array_size(rows); k++) {
        const json_t *row = json_array_get(rows, k);
        if ((int)golden_number(row, "n_accept") != c->n_steps + 1) continue;
        c->level[++c->n_steps] = ath_process_level(&ve, exp(-golden_number(row, "t")));
        json_array_append(states, json_object_get(row, "x"));
    }
    c->level[c->n_steps] = ath_process_level(&ve, golden_number(one, "sigma_min"));
    c->sampler = "dpm_adaptive";
    c->states = states;
    c->nfe = (int)golden_number(golden_at(one, "info"), "nfe");
}

static double follow_dpm(const golden_set *g, const json_t *one) {
    follow_case *c = get_memory(sizeof *c);
    int state_of[MAX_STEPS + 1];
    char options[256];
    json_t *states = json_array();
    c->id = golden_text(one, "id");
    c->options = options;
    c->process = ve;
    c->says = ATH_SAMPLE;
    if (json_object_get(one, "iterations"))
        read_dpm_adaptive(one, c, states, options, sizeof options);
    else {
        read_dpm_fast(one, c, state_of, options, sizeof options);
        c->state_of = state_of;
    }
    const double error = follow_one(g, c, golden_text(one, "mixture"));
    print_message("%s: %s %s, %d evaluations, error %.1e\n", c->id, c->sampler, options, c->nfe, error);
    CHECK(error < 1e-9, "%s: %s %s is %.1e off", c->id, c->sampler, options, error);
    json_decref(states);
    free(c);
    return error;
}

/* ---- rk45 ---- */

/* The peer goes to sigma = 0 with the velocity's limit; we to 1e-7 and from there in a straight line to x0: the last step is by a
 * ten-millionth shorter, which is left of the difference. In the case that ends with _f32 the peer rounds states and velocities to float32. */
static const double almost = 1e-7;

static ath_status velocity_in_float(void *self, const double *x, const ath_level *level, size_t each, double *x0,
                                    ath_err *e) {
    elsewhere *w = self;
    double rounded[STATE];
    const size_t dim = (size_t)w->net.data.dim;
    for (size_t k = 0; k < w->net.n * dim; k++) rounded[k] = (float)x[k];
    ATH_TRY(slope_elsewhere(w, rounded, level, each, x0, e));
    for (size_t k = 0; k < w->net.n * dim; k++) {
        const double sigma = level[k / dim * each].sigma, velocity = (float)((rounded[k] - x0[k]) / sigma);
        x0[k] = x[k] - sigma * velocity;
    }
    return ATH_OK;
}

static void follow_rk45(const golden_set *g, const json_t *one) {
    const bool in_float = strstr(golden_text(one, "id"), "_f32") != NULL;
    follow_case *c = get_memory(sizeof *c);
    elsewhere peer = {.net = {.data = read_mixture(g->mixtures, golden_text(one, "mixture")), .n = IMAGES},
                      .flow = true};
    double t[MAX_STEPS];
    int state_of[MAX_STEPS + 1];
    char options[96];
    const int n = (int)golden_list(golden_at(one, "accepted_t"), t, MAX_STEPS); /* t[n - 1] = 1 */
    for (int i = 0; i < n; i++) {
        const double sigma = i < n - 1 ? 1 - t[i] : almost;
        c->level[i] = (ath_level){1000 * sigma, 1 - sigma, sigma};
        state_of[i] = i < n - 1 ? i : -1;
    }
    c->level[n] = (ath_level){-1, 1, 0};
    state_of[n] = n - 1;
    c->id = golden_text(one, "id");
    c->sampler = "rk45";
    c->process.kind = ATH_PROCESS_FLOW;
    c->n_steps = n;
    c->states = golden_at(one, "x_at_accepted");
    c->state_of = state_of;
    c->nfe = (int)golden_number(one, "nfe");
    c->options = options;
    c->net = (ath_denoiser){&peer, in_float ? velocity_in_float : slope_elsewhere};
    snprintf(options, sizeof options, "control=batch,rtol=%g,atol=%g", golden_number(one, "rtol"),
             golden_number(one, "atol"));
    const double error = follow_one(g, c, golden_text(one, "mixture"));
    print_message("%s: rk45 %s, %d evaluations, error %.1e\n", c->id, options, c->nfe, error);
    CHECK(error < (in_float ? 1e-6 : 1e-8), "%s: rk45 %s is %.1e off", c->id, options, error);
    free(c);
}

static int follow_cases(const golden_set *g, const json_t *root) {
    int compared = 0;
    for (size_t k = 0; k < json_array_size(golden_at(root, "cases")); k++) {
        const json_t *one = json_array_get(golden_at(root, "cases"), k);
        const bool rk45 = json_object_get(one, "accepted_t") != NULL, dpm = json_object_get(one, "sigma_max") != NULL;
        if (rk45) follow_rk45(g, one);
        if (dpm) follow_dpm(g, one);
        compared += rk45 || dpm;
    }
    return compared;
}

static void follow_full_set(const char *file, int expected) {
    golden_set g;
    const bool there = open_golden_set(&g, ATH_SHARED_GOLDEN, file);
    const int compared = there ? follow_cases(&g, g.root) : 0;
    close_golden_set(&g);
    if (!there) skip();
    CHECK(compared == expected, "%s: %d trajectories, expected %d", file, compared, expected);
}

static void dpm_fast_and_adaptive_follow_k_diffusion_through_the_full_set(void **state) {
    (void)state;
    follow_full_set("trajectories/kdiffusion_dpm_fast_adaptive.json", 11);
}

static void rk45_follows_scipy_through_the_full_set(void **state) {
    (void)state;
    follow_full_set("trajectories/rectified_flow.json", 3);
}

static void samplers_with_steps_of_their_own_follow_their_peers(void **state) {
    (void)state;
    golden_set g;
    assert_true(open_golden_set(&g, ATH_TEST_GOLDEN, "onestep.json"));
    const int compared = follow_cases(&g, golden_at(g.root, "kdiffusion_dpm_fast_adaptive.json")) +
                         follow_cases(&g, golden_at(g.root, "rectified_flow.json"));
    CHECK(compared == 3, "%d trajectories, expected 3", compared);
    close_golden_set(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samplers_with_steps_of_their_own_follow_their_peers),
        cmocka_unit_test(dpm_fast_and_adaptive_follow_k_diffusion_through_the_full_set),
        cmocka_unit_test(rk45_follows_scipy_through_the_full_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
