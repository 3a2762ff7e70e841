/* One-step solvers beside the trajectories of k-diffusion, EDM, diffusers, diff-sampler, Rectified Flow and Keras-DDPM
 * (../shared/golden/README.md), state by state. Left out, and why: see `left_out` below. */
#include <ctype.h>
#include "check.h"
#include "follow.h"

/* A case as we run it, and the memory it points to. */
typedef struct ours {
    follow_case run;
    char options[256];
    int state_of[MAX_STEPS + 1], noise_order[MAX_STEPS + 1];
    ath_level asked_at[2 * MAX_STEPS];
    elsewhere peer;
    double tolerance; /* 0: 1e-9 */
} ours;

static const struct {
    const char *id, *why;
} left_out[] = {
    {"fm_heun_churn_n10",
     "adds churn in both halves of a step, without scaling the signal down, and divides the first slope by "
     "sigma_hat instead of sigma: not the process's levels"},
    {"edm_euler_churn_n10",
     "applies the raw network's output before the churn to the sample after it: needs F, not x0"},
    {"rf_euler_sigvar_n10", "an SDE, not a sampler of this test"},
};

static const char *why_left_out(const char *id) {
    for (size_t k = 0; k < sizeof left_out / sizeof *left_out; k++)
        if (strcmp(left_out[k].id, id) == 0) return left_out[k].why;
    return NULL;
}

/* {"s_churn": 4} as "s_churn=4", names in lower case */
static void options_of(const json_t *args, const char *const *names, ours *o) {
    size_t used = strlen(o->options);
    for (; *names; names++) {
        const json_t *value = json_object_get(args, *names);
        if (!value) continue;
        char name[32] = "";
        for (size_t k = 0; (*names)[k]; k++) name[k] = (char)tolower((*names)[k]);
        used += (size_t)snprintf(o->options + used, sizeof o->options - used, "%s%s=%.17g", used ? "," : "", name,
                                 golden_value(value));
    }
}

static bool names(const char *text, const char *const (*table)[2], const char **sampler) {
    for (; (*table)[0]; table++)
        if (strcmp((*table)[0], text) == 0) {
            *sampler = (*table)[1];
            return true;
        }
    return false;
}

static bool read_kdiffusion(const json_t *one, ours *o) {
    static const char *const table[][2] = {{"sample_euler", "euler"},
                                           {"sample_heun", "heun"},
                                           {"sample_dpm_2", "dpm2"},
                                           {"sample_euler_ancestral", "euler_ancestral"},
                                           {"sample_dpm_2_ancestral", "dpm2_ancestral"},
                                           {"sample_dpmpp_2s_ancestral", "dpmpp_2s_ancestral"},
                                           {NULL, NULL}};
    static const char *const args[] = {"s_churn", "s_tmin", "s_tmax", "s_noise", "eta", NULL};
    if (!names(golden_text(golden_at(one, "source"), "function"), table, &o->run.sampler)) return false;
    options_of(golden_at(one, "args"), args, o);
    o->run.process.kind = ATH_PROCESS_VE;
    o->run.n_steps = ratio_levels(&o->run.process, golden_at(one, "sigmas"), o->run.level);
    o->run.nfe = (int)json_array_size(golden_at(one, "model_eval_sigmas"));
    return true;
}

/* EDM's own sampler and the ablations: Heun where two evaluations are made, on a grid we have or, in VP's and VE's time and
 * iDDPM's discretization, the one recorded. */
static bool read_edm(const json_t *one, ours *o) {
    static const char *const churn[] = {"S_churn", "S_noise", "alpha", NULL};
    const json_t *args = golden_at(one, "args"), *evals = golden_at(one, "model_eval_sigmas");
    const json_t *where = json_object_get(args, "discretization"), *s_min = json_object_get(args, "S_min");
    const int n = (int)golden_number(one, "num_steps");
    const bool heun = (int)json_array_size(evals) == 2 * n - 1;
    o->run.sampler = heun ? "heun" : "euler";
    options_of(args, churn, o);
    if (s_min) {
        const size_t used = strlen(o->options);
        snprintf(o->options + used, sizeof o->options - used, ",s_tmin=%.17g,s_tmax=%.17g", golden_value(s_min),
                 golden_number(args, "S_max"));
    }
    o->run.n_steps = n;
    o->run.nfe = (int)json_array_size(evals);
    ath_process *process = &o->run.process;
    process->kind = ATH_PROCESS_VE;
    if (!where) {
        const json_t *least = json_object_get(args, "sigma_min"), *most = json_object_get(args, "sigma_max"),
                     *rho = json_object_get(args, "rho");
        if (least) process->sigma_min = golden_value(least), process->sigma_max = golden_value(most);
        const ath_grid_options grid = {.rho = rho ? golden_value(rho) : 0, .final = "zero"};
        CHECK_OK(ath_levels(process, ATH_KARRAS, &grid, n, o->run.level, &err));
        return true;
    }
    const char *name = json_string_value(where);
    const bool vp = strcmp(name, "vp") == 0, ve = strcmp(name, "ve") == 0;
    if (vp) process->kind = ATH_PROCESS_VP;
    const double churned = json_object_get(args, "S_churn") ? 1 + golden_number(args, "S_churn") / n : 1;
    for (int i = 0; i < n; i++) {
        const double sigma = golden_value(json_array_get(evals, (size_t)(heun ? 2 * i : i)));
        o->run.level[i] = ath_process_level(process, sigma / churned);
        o->state_of[i] = i;
    }
    o->run.level[n] = ath_process_level(process, 0);
    if (!vp && !ve) return true;
    /* The peer goes to VP's time and back, and where sigma comes out larger adds the root of the difference as noise: 1e-7. */
    if (vp) o->tolerance = 1e-6;
    /* in these times Euler's last step does not end on x0, where ours does */
    o->state_of[n] = -1;
    o->run.state_of = o->state_of;
    const size_t used = strlen(o->options);
    snprintf(o->options + used, sizeof o->options - used, "%stime=%s", used ? "," : "", name);
    return true;
}

/* The noise that a call of diffusers consumed, for our draws: one a step, or with `drawn_only` one a step that drew. */
static void noise_of(const json_t *one, int stride, ours *o) {
    const json_t *consumed = json_object_get(one, "noise_index");
    if (!consumed) return;
    o->run.noise_order = o->noise_order;
    for (size_t i = 0; i < json_array_size(consumed); i++) {
        const json_t *list = json_array_get(consumed, i);
        if (json_array_size(list)) o->noise_order[i / (size_t)stride] = (int)golden_value(json_array_get(list, 0));
    }
}

/* x after each of our steps: diffusers' state after each call, of which we take `stride` a step but the last. */
static void states_of_calls(const json_t *one, int stride, ours *o) {
    const int calls = (int)json_array_size(golden_at(one, "x")) - 1, n = (calls + stride - 1) / stride;
    o->run.n_steps = n;
    o->run.nfe = calls;
    o->run.state_of = o->state_of;
    for (int i = 0; i <= n; i++) o->state_of[i] = i < n ? stride * i : calls;
}

static bool read_diffusers(const json_t *one, ours *o) {
    static const char *const table[][2] = {{"EulerDiscreteScheduler", "euler"},
                                           {"EDMEulerScheduler", "euler"},
                                           {"EulerAncestralDiscreteScheduler", "euler_ancestral"},
                                           {"HeunDiscreteScheduler", "heun"},
                                           {"KDPM2DiscreteScheduler", "dpm2"},
                                           {"KDPM2AncestralDiscreteScheduler", "dpm2_ancestral"},
                                           {NULL, NULL}};
    static const char *const args[] = {"s_churn", "s_tmin", "s_tmax", "s_noise", NULL};
    if (!names(golden_text(golden_at(one, "source"), "cls"), table, &o->run.sampler)) return false;
    const json_t *config = golden_at(one, "config"), *sigmas = golden_at(one, "sigmas"),
                 *asked = golden_at(golden_at(one, "evals"), "sigma");
    const bool euler = strncmp(o->run.sampler, "euler", 5) == 0;
    const int stride = euler ? 1 : 2;
    options_of(golden_at(one, "step_kwargs"), args, o);
    if (strstr(o->options, "s_churn")) strcat(o->options, ",evaluate=before");
    if (json_is_true(json_object_get(config, "clip_sample"))) o->run.clip = golden_number(config, "clip_sample_range");
    states_of_calls(one, stride, o);
    noise_of(one, stride, o);
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    o->run.process = ve;
    for (int i = 0; i < o->run.n_steps; i++)
        o->run.level[i] = ath_process_level(&ve, golden_value(json_array_get(asked, (size_t)(stride * i))));
    const double end = euler ? golden_value(json_array_get(sigmas, (size_t)o->run.n_steps)) : 0;
    o->run.level[o->run.n_steps] = ath_process_level(&ve, end);
    /* What was recorded of KDPM2Ancestral has the network asked at the midpoint of the step after, for the input of this one's. */
    if (strcmp(o->run.sampler, "dpm2_ancestral") == 0) {
        for (int i = 0; i < o->run.nfe; i++)
            o->asked_at[i] = (ath_level){0, 1, golden_value(json_array_get(asked, (size_t)i))};
        o->peer.at = o->asked_at;
        o->run.net.x0 = slope_elsewhere;
    }
    return true;
}

static bool read_flow_match(const json_t *one, ours *o) {
    static const char *const table[][2] = {
        {"FlowMatchEulerDiscreteScheduler", "euler"}, {"FlowMatchHeunDiscreteScheduler", "heun"}, {NULL, NULL}};
    if (!names(golden_text(golden_at(one, "source"), "cls"), table, &o->run.sampler)) return false;
    const bool heun = strcmp(o->run.sampler, "heun") == 0;
    if (json_is_true(json_object_get(golden_at(one, "config"), "stochastic_sampling"))) {
        o->run.sampler = "euler_ancestral";
        snprintf(o->options, sizeof o->options, "eta=1e6");
    }
    states_of_calls(one, heun ? 2 : 1, o);
    const json_t *asked = golden_at(golden_at(one, "evals"), "sigma");
    o->run.process.kind = ATH_PROCESS_FLOW;
    for (int i = 0; i < o->run.n_steps; i++) {
        const double sigma = golden_value(json_array_get(asked, (size_t)(heun ? 2 * i : i)));
        o->run.level[i] = (ath_level){1000 * sigma, 1 - sigma, sigma};
    }
    o->run.level[o->run.n_steps] = (ath_level){-1, 1, 0};
    return true;
}

static bool read_zju(const json_t *one, ours *o) {
    static const char *const table[][2] = {{"solvers.euler_sampler", "euler"},
                                           {"solvers.heun_sampler", "heun"},
                                           {"solvers.dpm_2_sampler", "dpm2"},
                                           {NULL, NULL}};
    static const char *const args[] = {"r", NULL};
    const json_t *function = json_object_get(golden_at(one, "source"), "function");
    if (!function || !names(json_string_value(function), table, &o->run.sampler)) return false;
    options_of(golden_at(one, "args"), args, o);
    o->run.process.kind = ATH_PROCESS_VE;
    o->run.n_steps = ratio_levels(&o->run.process, golden_at(one, "t_steps"), o->run.level);
    o->run.nfe = (int)json_array_size(golden_at(one, "model_eval_sigmas"));
    return true;
}

/* The peer steps by 1/N from t = 1, and asks for the velocity at eval_t (0 noise, 1 data), which starts at 0.001. */
static bool read_rectified_flow(const json_t *one, ours *o) {
    const json_t *asked = json_object_get(one, "eval_t");
    if (!asked) return false;
    const int n = (int)json_array_size(asked);
    o->run.sampler = "euler";
    o->run.process.kind = ATH_PROCESS_FLOW;
    o->run.n_steps = o->run.nfe = n;
    for (int i = 0; i <= n; i++) {
        const double sigma = 1 - (double)i / n;
        o->run.level[i] = i < n ? (ath_level){1000 * sigma, 1 - sigma, sigma} : (ath_level){-1, 1, 0};
        if (i == n) break;
        const double t = golden_value(json_array_get(asked, (size_t)i));
        o->asked_at[i] = (ath_level){0, t, 1 - t};
    }
    o->peer.at = o->asked_at;
    o->peer.flow = true;
    o->run.net.x0 = slope_elsewhere;
    return true;
}

/* Su's DDPM and DDIM; the state after the last step was recorded clipped, and DDPM's with noise, and is not compared. */
static bool read_su(const json_t *one, ours *o) {
    const json_t *args = golden_at(one, "args"), *t = golden_at(one, "eval_t_index0");
    const bool ddim = json_object_get(args, "stride") != NULL;
    const bool small = strstr(golden_text(one, "sigma_choice"), "bar_beta") != NULL;
    static const char *const eta[] = {"eta", NULL};
    o->run.sampler = ddim ? "ddim" : "ddpm";
    options_of(args, eta, o);
    if (!ddim) snprintf(o->options, sizeof o->options, "variance=%s", small ? "fixed_small" : "fixed_large");
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, ath_schedule_kind_find("su"), (int)golden_number(one, "T"), 0, 0, &err));
    const int n = o->run.n_steps = o->run.nfe = (int)json_array_size(t);
    for (int i = 0; i <= n; i++) {
        o->run.level[i] = ath_schedule_level(&s, i < n ? golden_value(json_array_get(t, (size_t)i)) : -1);
        o->state_of[i] = i < n ? i : -1;
    }
    o->run.state_of = o->state_of;
    ath_schedule_free(&s);
    return true;
}

/* ---- running them ---- */

static struct {
    const char *sampler;
    int cases;
    double worst;
} tally[16];

static void count(const char *sampler, double error) {
    int k = 0;
    while (tally[k].sampler && strcmp(tally[k].sampler, sampler) != 0) k++;
    tally[k].sampler = sampler;
    tally[k].cases++;
    tally[k].worst = fmax(tally[k].worst, error);
}

static const struct {
    const char *file;
    bool (*read)(const json_t *one, ours *o);
    int cases; /* in the full set, of these samplers */
} families[] = {
    {"kdiffusion.json", read_kdiffusion, 32},
    {"edm_official.json", read_edm, 20},
    {"diffusers_euler.json", read_diffusers, 18},
    {"diffusers_euler_ancestral.json", read_diffusers, 5},
    {"diffusers_heun.json", read_diffusers, 9},
    {"diffusers_kdpm2.json", read_diffusers, 11},
    {"diffusers_edm_diffusers.json", read_diffusers, 4},
    {"diffusers_flow_match.json", read_flow_match, 19},
    {"zju_diff_sampler.json", read_zju, 10},
    {"rectified_flow.json", read_rectified_flow, 7},
    {"su_keras_ddpm.json", read_su, 6},
};
enum { FAMILIES = sizeof families / sizeof *families };

static int follow_family(const golden_set *g, const json_t *root, int family) {
    const json_t *cases = golden_at(root, "cases");
    int compared = 0;
    ours *o = get_memory(sizeof *o);
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c);
        const char *id = golden_text(one, "id");
        if (why_left_out(id)) continue;
        *o = (ours){.run = {.id = id, .says = ATH_SAMPLE, .options = o->options, .states = json_object_get(one, "x")}};
        if (!families[family].read(one, o)) continue;
        o->peer.net = (exact_net){.data = read_mixture(g->mixtures, golden_text(one, "mixture")), .n = IMAGES};
        if (o->run.net.x0) o->run.net.self = &o->peer;
        const double error = follow_one(g, &o->run, golden_text(one, "mixture"));
        CHECK(error < (o->tolerance > 0 ? o->tolerance : 1e-9), "%s: %s %s is %.1e off", id, o->run.sampler, o->options,
              error);
        count(o->run.sampler, error);
        compared++;
    }
    free(o);
    return compared;
}

static void print_tally(void) {
    for (int k = 0; tally[k].sampler; k++)
        print_message("%-20s %3d trajectories, largest error %.1e\n", tally[k].sampler, tally[k].cases, tally[k].worst);
    memset(tally, 0, sizeof tally);
}

/* onestep.json has a few cases of some families, by their file's name. */
static void one_step_solvers_follow_their_peers(void **state) {
    (void)state;
    golden_set g;
    assert_true(open_golden_set(&g, ATH_TEST_GOLDEN, "onestep.json"));
    int compared = 0;
    for (int f = 0; f < FAMILIES; f++) {
        const json_t *root = json_object_get(g.root, families[f].file);
        if (root) compared += follow_family(&g, root, f);
    }
    CHECK(compared == 11, "%d trajectories, expected 11", compared);
    close_golden_set(&g);
    print_tally();
}

static void one_step_solvers_follow_their_peers_through_the_full_set(void **state) {
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        golden_set g;
        char file[64];
        snprintf(file, sizeof file, "trajectories/%s", families[f].file);
        const bool there = open_golden_set(&g, ATH_SHARED_GOLDEN, file);
        const int compared = there ? follow_family(&g, g.root, f) : 0;
        close_golden_set(&g);
        if (!there) skip();
        CHECK(compared == families[f].cases, "%s: %d trajectories, expected %d", file, compared, families[f].cases);
    }
    print_tally();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_solvers_follow_their_peers),
        cmocka_unit_test(one_step_solvers_follow_their_peers_through_the_full_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
