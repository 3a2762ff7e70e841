/* DPM-Solver, DPM-Solver++ and UniPC beside those of diffusers, k-diffusion and diff-sampler: the same states on the same exact
 * model, step by step. */
#include "follow.h"

/* ---- which sampler of ours a case is of, with which options ---- */

typedef struct setup {
    const char *sampler;
    char options[160];
} setup;

static const char *truth(bool b) { return b ? "true" : "false"; }

/* DPMSolverMultistepScheduler, EDMDPMSolverMultistepScheduler */
static setup multistep_setup(const json_t *config, const json_t *defaults) {
    const char *algorithm = config_text(config, defaults, "algorithm_type");
    const char *type = config_text(config, defaults, "solver_type");
    const int order = (int)config_number(config, defaults, "solver_order");
    const bool sde = strncmp(algorithm, "sde-", 4) == 0;
    setup s = {.sampler = "dpmsolver"};
    char final[80];
    snprintf(final, sizeof final, "lower_order_final=%s,euler_at_final=%s",
             truth(is_on(config, defaults, "lower_order_final")), truth(is_on(config, defaults, "euler_at_final")));
    if (!strstr(algorithm, "++"))
        snprintf(s.options, sizeof s.options, "order=%d,type=%s,eta=%d,%s", order, type, sde, final);
    else if (order == 1) { /* of one step all are alike */
        s.sampler = "dpmpp";
        snprintf(s.options, sizeof s.options, "order=1,eta=%d", sde);
    } else if (order == 2) {
        s.sampler = sde ? "dpmpp_2m_sde" : "dpmpp_2m";
        snprintf(s.options, sizeof s.options, "type=%s%s%s", type, sde ? "" : ",", sde ? "" : final);
    } else {
        s.sampler = sde ? "dpmpp_3m_sde" : "dpmpp_3m";
        snprintf(s.options, sizeof s.options, "%s", sde ? "variant=diffusers" : final);
    }
    return s;
}

static setup singlestep_setup(const json_t *config, const json_t *defaults) {
    const char *algorithm = config_text(config, defaults, "algorithm_type");
    const bool plus = strstr(algorithm, "++") != NULL;
    setup s = {.sampler = plus ? "dpmpp" : "dpmsolver"};
    snprintf(s.options, sizeof s.options, "%sorder=%d,type=%s,eta=%d,lower_order_final=%s",
             plus ? "" : "method=singlestep,", (int)config_number(config, defaults, "solver_order"),
             config_text(config, defaults, "solver_type"), strncmp(algorithm, "sde-", 4) == 0,
             truth(is_on(config, defaults, "lower_order_final")));
    return s;
}

static setup unipc_setup(const json_t *config, const json_t *defaults, int n_steps) {
    const json_t *without = json_object_get(config, "disable_corrector");
    setup s = {.sampler = "unipc"};
    int used = snprintf(
        s.options, sizeof s.options, "order=%d,variant=%s,predict=%s,lower_order_final=%s",
        (int)config_number(config, defaults, "solver_order"), config_text(config, defaults, "solver_type"),
        is_on(config, defaults, "predict_x0") ? "x0" : "eps", truth(is_on(config, defaults, "lower_order_final")));
    if (json_array_size(without) >= (size_t)n_steps)
        snprintf(s.options + used, sizeof s.options - (size_t)used, ",corrector=false");
    else
        for (size_t i = 0; i < json_array_size(without); i++)
            used += snprintf(s.options + used, sizeof s.options - (size_t)used, "%s%d",
                             i ? "/" : ",disable_corrector=", (int)golden_value(json_array_get(without, i)));
    return s;
}

/* sample_NAME(..., solver_type, eta, s_noise, r) */
static setup kdiffusion_setup(const json_t *one, const char *name) {
    const json_t *args = golden_at(one, "args"), *value;
    const char *key, *mode = json_string_value(json_object_get(one, "noise_mode"));
    setup s = {.sampler = name};
    int used = 0;
    json_object_foreach((json_t *)args, key, value) {
        const char *ours = strcmp(key, "solver_type") == 0 ? "type" : key;
        const size_t room = sizeof s.options - (size_t)used;
        if (json_is_string(value))
            used += snprintf(s.options + used, room, "%s%s=%s", used ? "," : "", ours, json_string_value(value));
        else
            used += snprintf(s.options + used, room, "%s%s=%g", used ? "," : "", ours, json_number_value(value));
    }
    if (strcmp(name, "dpmpp_sde") == 0 && mode)
        snprintf(s.options + used, sizeof s.options - (size_t)used, "%snoise=%s", used ? "," : "", mode);
    return s;
}

/* dpm_pp_sampler, unipc_sampler of zju-pi/diff-sampler */
static setup zju_setup(const json_t *one, const char *name) {
    const json_t *args = golden_at(one, "args");
    const int order = (int)golden_number(args, "max_order");
    const bool x0 = json_is_true(golden_at(args, "predict_x0"));
    setup s = {.sampler = "unipc"};
    if (strcmp(name, "solvers.unipc_sampler") == 0)
        snprintf(s.options, sizeof s.options, "order=%d,predict=%s,variant=%s", order, x0 ? "x0" : "eps",
                 golden_text(args, "variant"));
    else if (x0 && order == 3)
        s.sampler = "dpmpp_3m";
    else {
        s.sampler = "dpmsolver";
        snprintf(s.options, sizeof s.options, "order=%d", order);
    }
    return s;
}

/* ---- levels and states of a case ---- */

/* `list`: sigma/alpha, or a flow's t. */
static int levels_of(const json_t *list, bool flow, const ath_process *p, ath_level *level) {
    double sigma[MAX_STEPS + 1];
    const int n = (int)golden_list(list, sigma, MAX_STEPS + 1);
    for (int i = 0; flow && i < n; i++) sigma[i] /= 1 - sigma[i];
    CHECK_OK(ath_levels_from_ratios(p, sigma, n, level, &err));
    return n - 1;
}

static bool is_finite(const json_t *state) {
    double x[STATE];
    for (size_t k = golden_list(state, x, STATE); k > 0; k--)
        if (!isfinite(x[k - 1])) return false;
    return true;
}

static bool starts_with(const char *text, const char *with) { return strncmp(text, with, strlen(with)) == 0; }

/* Fills in what every project says alike; `list` are the levels. */
static void read_case(const json_t *one, follow_case *c, const char *list, bool flow, int *state_of) {
    c->id = golden_text(one, "id");
    c->n_steps = levels_of(golden_at(one, list), flow, &c->process, c->level);
    c->states = golden_at(one, "x");
    CHECK((int)json_array_size(c->states) == c->n_steps + 1, "%s: %zu states", c->id, json_array_size(c->states));
    /* UniPC bh1 of diffusers multiplies B = -inf by no correction in its step onto the clean level: NaN. We leave
     * the product out: x0. */
    for (int i = 0; i <= c->n_steps; i++) state_of[i] = is_finite(json_array_get(c->states, (size_t)i)) ? i : -1;
    CHECK(state_of[c->n_steps] >= 0 || strstr(c->id, "zero_NAN"), "%s ends in NaN", c->id);
    c->state_of = state_of;
}

static void read_diffusers(const json_t *one, const json_t *root, follow_case *c, setup *s, int *state_of) {
    const char *class = golden_text(golden_at(one, "source"), "cls");
    const json_t *config = golden_at(one, "config"), *defaults = golden_at(golden_at(root, "class_defaults"), class);
    const char *says = golden_text(one, "prediction_type");
    const bool flow = is_on(config, defaults, "use_flow_sigmas"), edm = starts_with(class, "EDM");
    c->process.kind = flow ? ATH_PROCESS_FLOW : edm ? ATH_PROCESS_VE : ATH_PROCESS_VP;
    read_case(one, c, "sigmas", flow, state_of);
    /* edm_F and flow_prediction are linear in x0 and x; any such network serves */
    if (!flow && !edm) CHECK_OK(ath_prediction_parse(says, &c->says, &err));
    if (is_on(config, defaults, "thresholding")) {
        c->threshold = config_number(config, defaults, "dynamic_thresholding_ratio");
        c->threshold_max = config_number(config, defaults, "sample_max_value");
    }
    c->nfe = c->n_steps;
    *s = starts_with(class, "UniPC")                 ? unipc_setup(config, defaults, c->n_steps)
         : starts_with(class, "DPMSolverSinglestep") ? singlestep_setup(config, defaults)
                                                     : multistep_setup(config, defaults);
}

/* Of a file with other samplers too, those that are tested here. */
static bool is_ours(const char *name) {
    static const char *const ours[] = {"DPMSolverMultistepScheduler",
                                       "EDMDPMSolverMultistepScheduler",
                                       "DPMSolverSinglestepScheduler",
                                       "UniPCMultistepScheduler",
                                       "sample_dpmpp_2m",
                                       "sample_dpmpp_sde",
                                       "sample_dpmpp_2m_sde",
                                       "sample_dpmpp_3m_sde",
                                       "solvers.dpm_pp_sampler",
                                       "solvers.unipc_sampler"};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strcmp(name, ours[i]) == 0) return true;
    return false;
}

static const char *name_of(const json_t *one) {
    const json_t *source = golden_at(one, "source");
    const char *class = json_string_value(json_object_get(source, "cls"));
    const char *function = json_string_value(json_object_get(source, "function"));
    return class ? class : function ? function : "";
}

/* diff-sampler's states of UniPC are corrected ones, ours are reported before. A step of no length after step `last` shows them:
 * it evaluates, corrects and stays. The last steps, of lower orders in the whole run, are in the final state. */
static double follow_corrected(const golden_set *g, const follow_case *whole, int order, const char *mixture_name) {
    char options[200];
    snprintf(options, sizeof options, "%s,lower_order_final=false", whole->options);
    double worst = 0;
    for (int last = 1; last <= whole->n_steps + 1 - order; last++) {
        int state_of[MAX_STEPS + 1];
        follow_case c = *whole;
        c.options = options;
        c.n_steps = last + 1;
        c.level[last + 1] = c.level[last];
        for (int i = 0; i <= last; i++) state_of[i] = i ? -1 : 0;
        state_of[last + 1] = last;
        c.state_of = state_of;
        c.nfe = c.n_steps;
        worst = fmax(worst, follow_one(g, &c, mixture_name));
    }
    return worst;
}

static double follow_case_of(const golden_set *g, const json_t *one, const char *name, const char **sampler) {
    follow_case c = {.says = ATH_SAMPLE};
    setup s;
    int state_of[MAX_STEPS + 1];
    if (json_object_get(golden_at(one, "source"), "cls"))
        read_diffusers(one, g->root, &c, &s, state_of);
    else {
        const bool k = starts_with(name, "sample_");
        c.process.kind = ATH_PROCESS_VE;
        read_case(one, &c, k ? "sigmas" : "t_steps", false, state_of);
        c.nfe = (int)json_array_size(golden_at(one, "model_eval_sigmas"));
        s = k ? kdiffusion_setup(one, name + strlen("sample_")) : zju_setup(one, name);
        if (json_object_get(one, "thresholding")) c.threshold = 0.995;
    }
    c.sampler = *sampler = find(s.sampler)->name;
    c.options = s.options;
    const char *mixture_name = golden_text(one, "mixture");
    double worst = 0;
    if (strcmp(name, "solvers.unipc_sampler") == 0) {
        worst = follow_corrected(g, &c, (int)golden_number(golden_at(one, "args"), "max_order"), mixture_name);
        for (int i = 1; i < c.n_steps; i++) state_of[i] = -1;
    }
    worst = fmax(worst, follow_one(g, &c, mixture_name));
    return worst;
}

/* ---- the table ---- */

typedef struct row {
    const char *sampler;
    int cases;
    double worst;
} row;

static void add_to_table(row *table, const char *sampler, double worst) {
    while (table->sampler && strcmp(table->sampler, sampler) != 0) table++;
    *table = (row){sampler, table->cases + 1, fmax(table->worst, worst)};
}

enum { ROWS = 16 };

static int follow_file(const char *folder, const char *file, row *table) {
    golden_set g;
    if (!open_golden_set(&g, folder, file)) {
        close_golden_set(&g);
        return 0;
    }
    const json_t *cases = golden_at(g.root, "cases");
    int compared = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        const char *name = name_of(one), *sampler;
        if (!is_ours(name)) continue;
        const double worst = follow_case_of(&g, one, name, &sampler);
        CHECK(worst < 1e-9, "%s: %.1e apart", golden_text(one, "id"), worst);
        add_to_table(table, sampler, worst);
        compared++;
    }
    close_golden_set(&g);
    return compared;
}

static void print_table(const row *table) {
    for (; table->sampler; table++)
        print_message("%-14s %3d trajectories, largest relative error %.1e\n", table->sampler, table->cases,
                      table->worst);
}

static void trajectories_are_followed(void **state) {
    (void)state;
    row table[ROWS] = {{0}};
    const int n = follow_file(ATH_TEST_GOLDEN, "exponential.json", table);
    CHECK(n >= 14, "only %d trajectories", n);
    print_table(table);
}

static void trajectories_of_the_full_set_are_followed(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int cases;
    } files[] = {{"diffusers_dpmsolver_multistep", 48},
                 {"diffusers_dpmsolver_sde", 18},
                 {"diffusers_dpmsolver_singlestep", 30},
                 {"diffusers_unipc", 30},
                 {"diffusers_edm_diffusers", 6},
                 {"kdiffusion", 27},
                 {"zju_diff_sampler", 6}};
    row table[ROWS] = {{0}};
    int compared = 0;
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[128];
        snprintf(path, sizeof path, "trajectories/%s.json", files[f].name);
        const int n = follow_file(ATH_SHARED_GOLDEN, path, table);
        CHECK(n == 0 || n >= files[f].cases, "%s: only %d trajectories, expected %d", path, n, files[f].cases);
        compared += n;
    }
    print_table(table);
    if (compared == 0) skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trajectories_are_followed),
        cmocka_unit_test(trajectories_of_the_full_set_are_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
