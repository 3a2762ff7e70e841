/* Multistep samplers beside diffusers, k-diffusion and zju-pi/diff-sampler, state by state, and the orders that were
 * measured with those (the golden files' README, section 8). Left out, with the reason:
 *   plms_linspace_n10    steps to t - T/n, not to the next timestep of its list: the network is evaluated somewhere else
 *                        than the sample is
 *   plms_v_n10           combines raw v and makes eps of it with the newest sample; a sampler of ours sees x0 alone
 *   zju_ipndmv3_*, zju_ipndmv4_*
 *                        quirk Z1: their weights are not integrals of Lagrange polynomials. own_abv3_* and own_abv4_*,
 *                        which are, stand for them: ipndm_v gives those
 * The euler, heun, dpm2, dpmpp and unipc cases of zju_diff_sampler are of other samplers. */
#include "diffusion/multistep.h"
#include "follow.h"

/* ---- cases ---- */

static bool starts_with(const char *text, const char *start) { return strncmp(text, start, strlen(start)) == 0; }

static double number_or(const json_t *object, const char *key, double otherwise) {
    const json_t *item = json_object_get(object, key);
    return item ? golden_value(item) : otherwise;
}

static bool flag_of(const json_t *object, const char *key) { return json_is_true(json_object_get(object, key)); }

/* What a case needs to live as long as it. */
typedef struct case_memory {
    ath_schedule schedule;
    char options[512];
    int state_of[MAX_STEPS + 1];
} case_memory;

/* plms: the second state is the first step's first attempt; pndm: the first three steps have four states each. */
static bool pndm_case(const json_t *one, follow_case *c, case_memory *m) {
    const json_t *config = golden_at(one, "config");
    const char *spacing = json_string_value(json_object_get(config, "timestep_spacing"));
    if (spacing && strcmp(spacing, "linspace") == 0) return false;
    if (strcmp(golden_text(one, "prediction_type"), "v_prediction") == 0) return false;
    const bool plms = flag_of(config, "skip_prk_steps");
    const char *schedule = json_string_value(json_object_get(config, "beta_schedule"));
    CHECK_OK(ath_schedule_make(&m->schedule, ath_schedule_kind_find(schedule ? schedule : "linear"), 1000,
                               number_or(config, "beta_start", 1e-4), number_or(config, "beta_end", 0.02), &err));
    double t[MAX_STEPS];
    const int calls = (int)golden_list(golden_at(one, "timesteps"), t, MAX_STEPS);
    c->n_steps = (int)golden_number(one, "num_inference_steps");
    for (int i = 0; i < c->n_steps; i++) {
        const int call = plms ? i + (i > 0) : i < 3 ? 4 * i : 9 + i;
        c->level[i] = ath_schedule_level(&m->schedule, t[call]);
        m->state_of[i] = plms ? i + (i > 0) : call;
    }
    m->state_of[c->n_steps] = calls;
    c->level[c->n_steps] = ath_schedule_level(&m->schedule, flag_of(config, "set_alpha_to_one") ? -1 : 0);
    c->process = (ath_process){.kind = ATH_PROCESS_VP, .schedule = &m->schedule};
    c->sampler = plms ? "plms" : "pndm";
    c->state_of = m->state_of;
    c->nfe = calls;
    return true;
}

static bool lms_case(const json_t *one, follow_case *c, case_memory *m) {
    if (!starts_with(c->id, "lms") && !starts_with(c->id, "k_lms")) return false;
    const json_t *args = json_object_get(one, "args");
    c->sampler = "lms";
    c->process.kind = ATH_PROCESS_VE;
    c->n_steps = ratio_levels(&c->process, golden_at(one, "sigmas"), c->level);
    snprintf(m->options, sizeof m->options, "order=%g",
             number_or(args ? args : golden_at(one, "step_kwargs"), "order", 4));
    return true;
}

static bool deis_case(const json_t *one, follow_case *c, case_memory *m) {
    const json_t *config = golden_at(one, "config");
    c->sampler = "deis";
    c->n_steps = ratio_levels(&c->process, golden_at(one, "sigmas"), c->level);
    snprintf(m->options, sizeof m->options, "order=%g,lower_order_final=%d", number_or(config, "solver_order", 2),
             !json_is_false(json_object_get(config, "lower_order_final")));
    return true;
}

/* diffusers' IPNDM takes what the network says for v. These cases fed it eps, so the network to follow it with says eps
 * and means v: x0 = alpha x - sigma eps. At pure noise diffusers divides x - eps = 0 by alpha = 1e-8: x0 is 0. */
static ath_status eps_taken_for_v(void *self, const double *x, const ath_level *level, size_t each, double *x0,
                                  ath_err *e) {
    const exact_net *net = self;
    const size_t dim = (size_t)net->data.dim;
    (void)e;
    for (size_t i = 0; i < net->n; i++) {
        const ath_level at = level[i * each];
        double image[MAX_DIM], eps[MAX_DIM];
        mixture_at(&net->data, x + i * dim, at, image, eps);
        for (size_t d = 0; d < dim; d++)
            x0[i * dim + d] = at.alpha > 1e-3 ? at.alpha * x[i * dim + d] - at.sigma * eps[d] : 0;
    }
    return ATH_OK;
}

static bool ipndm_diffusers_case(const json_t *one, follow_case *c, case_memory *m) {
    double alpha[MAX_STEPS], sigma[MAX_STEPS];
    c->n_steps = (int)golden_list(golden_at(one, "alphas"), alpha, MAX_STEPS) - 1;
    golden_list(golden_at(one, "betas"), sigma, MAX_STEPS);
    for (int i = 0; i <= c->n_steps; i++) c->level[i] = (ath_level){0, alpha[i], sigma[i]};
    c->sampler = "ipndm";
    c->net.x0 = eps_taken_for_v;
    snprintf(m->options, sizeof m->options, "denoise_to_zero=0");
    return true;
}

/* "0.45/0.55/0.6", the given column of the predictor's constants */
static void column_of(const json_t *rows, size_t column, const char *key, char *text, size_t room) {
    size_t used = strlen(text);
    used += (size_t)snprintf(text + used, room - used, ",%s=", key);
    for (size_t i = 0; i < json_array_size(rows); i++)
        used += (size_t)snprintf(text + used, room - used, "%s%.17g", i ? "/" : "",
                                 golden_value(json_array_get(json_array_get(rows, i), column)));
}

static bool zju_case(const json_t *one, follow_case *c, case_memory *m) {
    const json_t *args = json_object_get(one, "args");
    const char *what = c->id + strlen(starts_with(c->id, "zju_") ? "zju_" : "own_"), *mode = NULL;
    int order = (int)number_or(args, "max_order", 4);
    if (starts_with(what, "abv"))
        order = what[3] - '0';
    else if (args && json_object_get(args, "deis_mode"))
        mode = golden_text(args, "deis_mode");
    const bool v = starts_with(what, "ipndmv"), amed = starts_with(what, "amed");
    if (v && order > 2) return false;
    if (!(v || amed || mode || starts_with(what, "ipndm") || starts_with(what, "abv"))) return false;
    c->sampler = amed ? "amed" : mode ? "deis" : v || starts_with(what, "abv") ? "ipndm_v" : "ipndm";
    c->process.kind = ATH_PROCESS_VE;
    c->n_steps = ratio_levels(&c->process, golden_at(one, "t_steps"), c->level);
    if (args && flag_of(args, "denoise_to_zero")) c->level[++c->n_steps] = ath_process_level(&c->process, 0);
    const size_t room = sizeof m->options;
    snprintf(m->options, room, "order=%d", amed ? 3 : order);
    if (mode)
        snprintf(m->options + strlen(m->options), room - strlen(m->options), ",mode=%s,lower_order_final=0", mode);
    if (args && flag_of(args, "afs")) strcat(m->options, ",afs=1");
    if (amed) {
        const json_t *rows = golden_at(golden_at(one, "predictor"), "r_scaledir_scaletime_cycled_per_step");
        strcat(m->options, starts_with(what, "amed_euler")   ? ",base=euler"
                           : starts_with(what, "amed_ipndm") ? ",base=ipndm"
                                                             : "");
        column_of(rows, 0, "r", m->options, room);
        column_of(rows, 1, "scale_dir", m->options, room);
        column_of(rows, 2, "scale_time", m->options, room);
    }
    c->nfe = (int)json_array_size(json_object_get(one, "model_eval_sigmas"));
    return true;
}

/* ---- families ---- */

/* `tab` sums f at 10000 points, both ends among them, times (b - a)/10000 (quirk Z2), where we integrate: it is off by a
 * 10000th of (b - a) times what the mean of f at the ends exceeds its mean. The steeper f is over a step, the more: in 5
 * steps the last goes from sigma = 0.65 to 0.002. weights_of_tab_are_the_integrals_that_zju_sums compares without it.
 * diffusers_ipndm: its first level is pure noise, which a sampler of ours takes for sigma/alpha = 4096, off by
 * 1/4096^2/2 = 3e-8 of x. */
static double bound_of(const char *id) {
    if (starts_with(id, "zju_deis_tab")) return strstr(id, "_n5") ? 2e-4 : 5e-5;
    return starts_with(id, "ipndm_n") ? 1e-7 : 1e-12;
}

typedef struct family {
    const char *name;
    bool (*read)(const json_t *one, follow_case *c, case_memory *m); /* false: left out */
    int in_tree, in_all; /* cases that are followed, of this tree and of the full set */
} family;

static const family families[] = {
    {"diffusers_pndm", pndm_case, 2, 10},   {"diffusers_lms", lms_case, 1, 10},
    {"diffusers_deis", deis_case, 2, 21},   {"diffusers_ipndm_diffusers", ipndm_diffusers_case, 1, 3},
    {"zju_diff_sampler", zju_case, 10, 50}, {"kdiffusion", lms_case, 1, 6},
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Worst errors by sampler. */
typedef struct tally {
    const char *sampler[16];
    int cases[16], n;
    double worst[16];
} tally;

static void count(tally *t, const char *sampler, double error) {
    int k = 0;
    while (k < t->n && strcmp(t->sampler[k], sampler) != 0) k++;
    if (k == t->n) t->sampler[t->n++] = sampler;
    t->cases[k]++;
    t->worst[k] = fmax(t->worst[k], error);
}

static int follow_family(const golden_set *g, const json_t *root, const family *f) {
    const json_t *cases = golden_at(root, "cases");
    tally t = {.n = 0};
    int followed = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *one = json_array_get(cases, i);
        case_memory m = {.options = ""};
        follow_case *c = get_memory(sizeof *c);
        *c = (follow_case){
            .id = golden_text(one, "id"), .options = m.options, .says = ATH_SAMPLE, .states = golden_at(one, "x")};
        if (f->read(one, c, &m)) {
            const double error = follow_one(g, c, golden_text(one, "mixture"));
            CHECK(error <= bound_of(c->id), "%s (%s:%s): off by %.1e, expected at most %.1e", c->id, c->sampler,
                  m.options, error, bound_of(c->id));
            count(&t, c->sampler, error);
            followed++;
        }
        ath_schedule_free(&m.schedule);
        free(c);
    }
    for (int k = 0; k < t.n; k++)
        print_message("%-26s %-8s %3d cases, worst %.1e\n", f->name, t.sampler[k], t.cases[k], t.worst[k]);
    return followed;
}

/* tests/golden/multistep.json holds excerpts of the families, each under its name. */
static void excerpts_of_other_implementations_are_followed(void **state) {
    (void)state;
    golden_set g;
    CHECK(open_golden_set(&g, ATH_TEST_GOLDEN, "multistep.json"), "%s/multistep.json is missing", ATH_TEST_GOLDEN);
    for (int f = 0; f < FAMILIES; f++) {
        const int n = follow_family(&g, golden_at(g.root, families[f].name), &families[f]);
        CHECK(n == families[f].in_tree, "%s: %d cases, expected %d", families[f].name, n, families[f].in_tree);
    }
    close_golden_set(&g);
}

static void other_implementations_are_followed_through_the_full_set(void **state) {
    (void)state;
    for (int f = 0; f < FAMILIES; f++) {
        char file[128];
        golden_set g;
        snprintf(file, sizeof file, "trajectories/%s.json", families[f].name);
        const bool there = open_golden_set(&g, ATH_SHARED_GOLDEN, file);
        const int n = there ? follow_family(&g, g.root, &families[f]) : 0;
        close_golden_set(&g);
        if (!there) skip();
        CHECK(n == families[f].in_all, "%s: %d cases, expected %d", families[f].name, n, families[f].in_all);
    }
}

/* ---- the weights of tab ---- */

/* zju's clock: sigma(t)^2 = exp(d t^2/2 + m t) - 1, 0.002 at t = 0.001 and 80 at 1. */
typedef struct vp_clock {
    double d, m;
} vp_clock;

static vp_clock zju_clock(void) {
    const double low = log(1 + 0.002 * 0.002) / 1e-3, high = log(1 + 80.0 * 80.0), d = 2 * (low - high) / (1e-3 - 1);
    return (vp_clock){d, high - d / 2};
}

static double time_at(vp_clock c, double sigma) {
    return (sqrt(c.m * c.m + 2 * c.d * log(1 + sigma * sigma)) - c.m) / c.d;
}

static double sigma_at(vp_clock c, double t) { return sqrt(expm1(c.d * t * t / 2 + c.m * t)); }

/* l_j(t) dsigma/dt at sigma */
static double integrand(vp_clock c, const double *node, int n, int j, double sigma) {
    const double t = time_at(c, sigma);
    double f = (c.d * t + c.m) * (1 + sigma * sigma) / (2 * sigma);
    for (int k = 0; k < n; k++)
        if (k != j) f *= (t - time_at(c, node[k])) / (time_at(c, node[j]) - time_at(c, node[k]));
    return f;
}

/* With the known fault of the sum taken out of zju's numbers, what is left of it is the trapezoid rule's own error. */
static void weights_of_tab_are_the_integrals_that_zju_sums(void **state) {
    (void)state;
    json_t *root = golden_shared("trajectories/zju_diff_sampler.json");
    const json_t *cases = golden_at(root, "cases");
    const vp_clock clock = zju_clock();
    double worst = 0;
    int compared = 0;
    for (size_t c = 0; c < json_array_size(cases); c++) {
        const json_t *one = json_array_get(cases, c), *list = json_object_get(one, "deis_coeff_list");
        if (!list || !strstr(golden_text(one, "id"), "_tab")) continue;
        double sigma[MAX_STEPS + 1];
        golden_list(golden_at(one, "t_steps"), sigma, MAX_STEPS + 1);
        for (int i = 1; i < (int)json_array_size(list); i++) {
            double summed[ATH_SLOPES], node[ATH_SLOPES], w[ATH_SLOPES];
            const int n = (int)golden_list(json_array_get(list, (size_t)i), summed, ATH_SLOPES);
            for (int j = 0; j < n; j++) node[j] = sigma[i - j];
            ath_adams_weights(ATH_CLOCK_VP_TIME, node, n, sigma[i], sigma[i + 1], w);
            const double length = time_at(clock, sigma[i + 1]) - time_at(clock, sigma[i]);
            for (int j = 0; j < n; j++) {
                const double ends =
                    (integrand(clock, node, n, j, sigma[i]) + integrand(clock, node, n, j, sigma[i + 1])) / 2;
                const double integral = (summed[j] - length * ends / 10000) * 10000 / 9999;
                worst = fmax(worst, fabs(w[j] - integral) / fabs(w[0]));
                compared++;
            }
        }
    }
    print_message("%d weights: worst %.1e of the step's first\n", compared, worst);
    CHECK(compared == 302 && worst < 1e-6, "%d weights of tab, the worst %.1e of the step's first off", compared,
          worst);
    json_decref(root);
}

/* ---- orders on the mixture ---- */

typedef enum grid_kind { KARRAS, VP_TIME, LEADING } grid_kind;

/* sigma[0..n-1], the noisiest first */
static void grid(grid_kind kind, double low, double high, int n, double *sigma) {
    ath_schedule s = linear_schedule();
    const vp_clock clock = zju_clock();
    const double a = pow(high, 1 / 7.0), b = pow(low, 1 / 7.0);
    for (int i = 0; i < n; i++) {
        const double u = (double)i / (n - 1);
        if (kind == KARRAS) sigma[i] = pow(a + u * (b - a), 7);
        if (kind == VP_TIME) sigma[i] = sigma_at(clock, 1 + u * (1e-3 - 1));
        if (kind == LEADING) {
            const ath_level at = ath_schedule_level(&s, (n - 1 - i) * (1000 / n));
            sigma[i] = at.sigma / at.alpha;
        }
    }
    ath_schedule_free(&s);
}

static void slopes_of(const mixture *m, const double *x, double sigma, double *d) {
    for (int i = 0; i < IMAGES; i++) {
        double x0[MAX_DIM];
        mixture_at(m, x + i * m->dim, (ath_level){0, 1, sigma}, x0, d + i * m->dim);
    }
}

/* dx/dsigma = eps, by the classical Runge-Kutta rule on a Karras grid: the error of 4000 steps is below 1e-10. */
static void exact_flow(const mixture *m, double from, double to, int steps, double *x) {
    const int len = IMAGES * m->dim;
    double *sigma = get_memory((size_t)(steps + 1) * sizeof *sigma), k[4][STATE], y[STATE];
    grid(KARRAS, to, from, steps + 1, sigma);
    for (int i = 0; i < steps; i++) {
        const double h = sigma[i + 1] - sigma[i];
        for (int stage = 0; stage < 4; stage++) {
            const double part = stage == 0 ? 0 : stage == 3 ? 1 : 0.5;
            for (int j = 0; j < len; j++) y[j] = x[j] + (stage ? part * h * k[stage - 1][j] : 0);
            slopes_of(m, y, sigma[i] + part * h, k[stage]);
        }
        for (int j = 0; j < len; j++) x[j] += h / 6 * (k[0][j] + 2 * k[1][j] + 2 * k[2][j] + k[3][j]);
    }
    free(sigma);
}

typedef struct order_row {
    const char *sampler, *options;
    grid_kind kind;
    double low, high;
    int n[2], points;    /* levels are n + points */
    double error, order; /* as measured with the other implementation, at n[1]; 0: not measured there */
    double at_least;     /* what is wanted of ours */
} order_row;

static double error_of(const golden_set *g, const order_row *row, int n) {
    exact_net net = {.data = read_mixture(g->mixtures, "A2"), .n = IMAGES};
    const size_t len = IMAGES * (size_t)net.data.dim;
    const int levels = n + row->points;
    double *sigma = get_memory((size_t)levels * sizeof *sigma), x[STATE], exact[STATE], worst = 0;
    ath_level *level = get_memory((size_t)levels * sizeof *level);
    grid(row->kind, row->low, row->high, levels, sigma);
    net.says = ATH_SAMPLE;
    golden_list(golden_at(golden_at(g->noise, "A2"), "z0"), x, STATE);
    /* a VP sampler starts at z0, which is z0/alpha here; the others at z0 sigma */
    for (size_t k = 0; k < len; k++) x[k] *= row->kind == LEADING ? sqrt(1 + sigma[0] * sigma[0]) : sigma[0];
    memcpy(exact, x, sizeof exact);
    exact_flow(&net.data, sigma[0], sigma[levels - 1], 4000, exact);
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    CHECK_OK(ath_levels_from_ratios(&ve, sigma, levels, level, &err));
    ath_sample_job job = {.net = {&net, exact_x0},
                          .process = ve,
                          .level = level,
                          .n_steps = levels - 1,
                          .x = x,
                          .n = IMAGES,
                          .dim = (size_t)net.data.dim};
    CHECK_OK(run_job(find(row->sampler), row->options, &job, NULL));
    for (size_t k = 0; k < len; k++) worst = fmax(worst, fabs(x[k] - exact[k]));
    free(sigma);
    free(level);
    return worst;
}

/* The last pair of each row of the README's table, by the same grid, start and measure. */
static void orders_on_the_mixture_are_those_of_other_implementations(void **state) {
    (void)state;
    static const order_row rows[] = {
        {"plms", "", LEADING, 0, 0, {250, 500}, 0, 5.2e-5, 1.73, 1.73},
        {"pndm", "", LEADING, 0, 0, {250, 500}, 0, 5.2e-5, 1.73, 1.73},
        {"deis", "order=1", KARRAS, 0.010000500037502575, 157.40728081040757, {160, 320}, 0, 9.8e-3, 1.01, 1},
        {"deis", "order=2", KARRAS, 0.010000500037502575, 157.40728081040757, {160, 320}, 0, 3.1e-4, 1.94, 2},
        {"deis", "order=3", KARRAS, 0.010000500037502575, 157.40728081040757, {160, 320}, 0, 1.8e-5, 3.06, 3},
        {"lms", "", KARRAS, 0.010000500037502575, 157.40728081040757, {160, 320}, 0, 6.3e-6, 3.96, 4},
        {"lms", "", KARRAS, 0.03, 15, {160, 320}, 0, 5.9e-7, 3.89, 4},
        {"ipndm", "order=2", KARRAS, 0.002, 80, {160, 320}, 1, 2.7e-4, 1.94, 2},
        {"ipndm", "order=3", KARRAS, 0.002, 80, {160, 320}, 1, 4.5e-5, 2, 2},
        {"ipndm", "order=4", KARRAS, 0.002, 80, {160, 320}, 1, 4.5e-5, 2.01, 2},
        {"ipndm_v", "order=2", KARRAS, 0.002, 80, {160, 320}, 1, 4.8e-4, 1.93, 2},
        {"ipndm_v", "order=3", KARRAS, 0.002, 80, {160, 320}, 1, 0, 0, 3},
        {"ipndm_v", "order=4", KARRAS, 0.002, 80, {160, 320}, 1, 0, 0, 4},
        {"deis", "order=2,mode=tab", VP_TIME, 0.002, 80, {160, 320}, 1, 2.7e-4, 1.99, 2},
        {"deis", "order=3,mode=tab", VP_TIME, 0.002, 80, {160, 320}, 1, 4.9e-6, 3.16, 3},
        {"deis", "order=4,mode=tab", VP_TIME, 0.002, 80, {160, 320}, 1, 1.3e-6, 4.89, 4},
        {"abv", "order=2", KARRAS, 0.03, 15, {160, 320}, 0, 0, 0, 2},
        {"abv", "order=3", KARRAS, 0.03, 15, {160, 320}, 0, 0, 0, 3},
        {"abv", "order=4", KARRAS, 0.03, 15, {160, 320}, 0, 0, 0, 4},
        {"amed", "", KARRAS, 0.002, 80, {160, 320}, 1, 8.9e-5, 2.01, 2},
    };
    golden_set g;
    CHECK(open_golden_set(&g, ATH_TEST_GOLDEN, "multistep.json"), "%s/multistep.json is missing", ATH_TEST_GOLDEN);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const order_row *r = &rows[i];
        const double coarse = error_of(&g, r, r->n[0]), fine = error_of(&g, r, r->n[1]), order = log2(coarse / fine);
        print_message("%-8s %-18s %.1e -> %.1e: order %.2f (recorded: %.1e, %.2f)\n", r->sampler, r->options, coarse,
                      fine, order, r->error, r->order);
        CHECK(order > r->at_least - 0.2, "%s %s: order %.2f, expected %.2f", r->sampler, r->options, order,
              r->at_least);
        CHECK(r->error == 0 || fabs(fine / r->error - 1) < 0.05, "%s %s: error %.2e, recorded was %.1e", r->sampler,
              r->options, fine, r->error);
    }
    close_golden_set(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(excerpts_of_other_implementations_are_followed),
        cmocka_unit_test(other_implementations_are_followed_through_the_full_set),
        cmocka_unit_test(weights_of_tab_are_the_integrals_that_zju_sums),
        cmocka_unit_test(orders_on_the_mixture_are_those_of_other_implementations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
