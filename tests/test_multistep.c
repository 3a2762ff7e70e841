/* Multistep methods: their weights are the integrals that they should be, slopes are kept as they come, levels may be
 * equal, a flow is sampled as well; AMED asks its predictor. Beside other implementations: test_follow_multistep.c. */
#include "solver/multistep.h"
#include "exact.h"

/* ---- weights ---- */

/* integral of (log s)^k ds = s (log s)^k - k integral of (log s)^(k-1) ds */
static double log_power(double s, int k) { return k ? s * pow(log(s), k) - k * log_power(s, k - 1) : s; }

/* The weights of n nodes give the integral of every power below n of the clock. */
static void weights_integrate_polynomials_of_their_clock_exactly(void **state) {
    (void)state;
    static const double nodes[][ATH_SLOPES] = {
        {80, 95, 110, 160}, {1.5, 2.5, 6, 12}, {0.05, 0.06, 0.2, 0.21}, {4096, 4097, 5000, 6000}};
    static const double ends[] = {30, 0.01, 0.0499, 157};
    for (int c = 0; c < 4; c++)
        for (int n = 1; n <= ATH_SLOPES; n++)
            for (int power = 0; power < n; power++) {
                const double a = nodes[c][0], b = ends[c];
                double w[2][ATH_SLOPES], sum[2] = {0}, size[2] = {0};
                ath_adams_weights(ATH_CLOCK_SIGMA, nodes[c], n, a, b, w[0]);
                ath_adams_weights(ATH_CLOCK_LOG_SIGMA, nodes[c], n, a, b, w[1]);
                for (int j = 0; j < n; j++)
                    for (int k = 0; k < 2; k++) {
                        const double term = w[k][j] * pow(k ? log(nodes[c][j]) : nodes[c][j], power);
                        sum[k] += term, size[k] += fabs(term);
                    }
                const double expected[2] = {(pow(b, power + 1) - pow(a, power + 1)) / (power + 1),
                                            log_power(b, power) - log_power(a, power)};
                for (int k = 0; k < 2; k++)
                    CHECK(fabs(sum[k] - expected[k]) < 1e-13 * size[k] + 1e-13 * fabs(expected[k]),
                          "%s, %d nodes from %g, to %g: power %d gives %.15g, expected %.15g",
                          k ? "log sigma" : "sigma", n, a, b, power, sum[k], expected[k]);
            }
}

/* Of steps of one length the weights are the textbook's, whatever lies below them. */
static void even_steps_have_the_constants_of_adams_and_bashforth(void **state) {
    (void)state;
    static const double nodes[ATH_SLOPES] = {3, 3.5, 4, 4.5};
    for (int n = 1; n <= ATH_SLOPES; n++) {
        double even[ATH_SLOPES], exact[ATH_SLOPES];
        ath_adams_weights(ATH_CLOCK_EVEN, NULL, n, 3, 2.5, even);
        ath_adams_weights(ATH_CLOCK_SIGMA, nodes, n, 3, 2.5, exact);
        for (int j = 0; j < n; j++)
            CHECK(fabs(even[j] - exact[j]) < 1e-14, "order %d, weight %d: %.17g, the integral is %.17g", n, j, even[j],
                  exact[j]);
    }
    double w[ATH_SLOPES];
    ath_adams_weights(ATH_CLOCK_SIGMA, nodes, 4, 3, 3, w);
    CHECK(w[0] == 0 && w[3] == 0, "a step of no length has the weights %g .. %g", w[0], w[3]);
}

static void slopes_come_and_go_in_their_order(void **state) {
    (void)state;
    double memory[ATH_SLOPES];
    ath_slopes s = ath_slopes_over(memory, 1);
    for (int i = 0; i < 6; i++) *ath_slopes_push(&s, 10 - i) = i;
    CHECK(s.kept == ATH_SLOPES, "%d slopes", s.kept);
    for (int j = 0; j < ATH_SLOPES; j++)
        CHECK(*s.d[j] == 5 - j && s.at[j] == 5 + j, "slope %d is %g at %g", j, *s.d[j], s.at[j]);
    *ath_slopes_push(&s, 5) = 7;
    CHECK(s.kept == ATH_SLOPES && *s.d[0] == 7 && *s.d[1] == 4, "a slope at the same sigma takes the other's place");
    ath_slopes_drop(&s, 1);
    CHECK(s.kept == 3 && *s.d[0] == 7 && *s.d[1] == 3 && s.at[2] == 8, "the second of them is dropped");
    *ath_slopes_push(&s, 1) = 9;
    CHECK(s.kept == 4 && *s.d[0] == 9 && *s.d[1] == 7 && *s.d[2] == 3 && *s.d[3] == 2, "its memory serves again");
    double x = 100;
    ath_slopes_add(&s, ATH_CLOCK_EVEN, 2, 1, 0, &x);
    CHECK(x == 100 - (1.5 * 9 - 0.5 * 7), "x is %g", x);
}

/* ---- runs ---- */

static const char *const samplers[][2] = {{"abv", ""},          {"amed", ""},  {"amed", "base=ipndm"}, {"deis", ""},
                                          {"deis", "mode=tab"}, {"ipndm", ""}, {"ipndm_v", ""},        {"lms", ""},
                                          {"plms", ""},         {"pndm", ""}};
enum { SAMPLERS = sizeof samplers / sizeof *samplers, N = 3, DIM = 2 };

static void sample(int k, const char *options, const ath_process *p, const ath_level *level, int steps, exact_net *net,
                   double *x, ath_step_predictor predictor, run_info *info) {
    ath_sample_job job = {.net = {net, exact_x0},
                          .process = *p,
                          .level = level,
                          .n_steps = steps,
                          .x = x,
                          .n = net->n,
                          .dim = DIM,
                          .predictor = predictor};
    CHECK_OK(run_job(find(samplers[k][0]), options, &job, info));
}

/* A level that is given twice is a step of no length: no division by its length, and nothing that it changes. In plms and
 * pndm that holds after their first steps, which are of another kind. */
static void a_level_given_twice_changes_nothing(void **state) {
    (void)state;
    static const double ratio[][10] = {{20, 9, 4, 1.5, 0.7, 0.5, 0.1, 0},
                                       {20, 9, 4, 1.5, 1.5, 0.7, 0.5, 0.1, 0.1, 0},
                                       {20, 20, 9, 4, 4, 1.5, 0.7, 0.5, 0.1, 0}};
    static const int steps[] = {7, 9, 9};
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    for (int k = 0; k < SAMPLERS; k++) {
        const bool other_start = strcmp(samplers[k][0], "plms") == 0 || strcmp(samplers[k][0], "pndm") == 0;
        double x[3][N * DIM];
        for (int way = 0; way < 3 - other_start; way++) {
            ath_level level[10];
            CHECK_OK(ath_levels_from_ratios(&ve, ratio[way], steps[way] + 1, level, &err));
            exact_net net = gaussian(0.2, 0.5, DIM, N);
            start_at(&net, level[0], (ath_rng){4}, 0, x[way]);
            sample(k, strcmp(samplers[k][0], "deis") == 0 ? "lower_order_final=0" : samplers[k][1], &ve, level,
                   steps[way], &net, x[way], (ath_step_predictor){0}, NULL);
            for (int i = 0; i < N * DIM; i++)
                CHECK(fabs(x[0][i] - x[way][i]) < 1e-12, "%s %s: %.15g with levels given twice (%d), %.15g without",
                      samplers[k][0], samplers[k][1], x[way][i], way, x[0][i]);
        }
    }
}

/* A flow from pure noise, where alpha is 0, to t = 0.1: x_t = alpha_t mu + sqrt(V_t) (x_1 - 0). */
static double flow_error(int k, int steps) {
    const ath_process flow = {.kind = ATH_PROCESS_FLOW};
    exact_net net = gaussian(0.2, 0.5, DIM, N);
    ath_level *level = get_memory((size_t)(steps + 1) * sizeof *level);
    double x[N * DIM], start[N * DIM], worst = 0;
    for (int i = 0; i <= steps; i++) {
        const double t = 1 - 0.9 * i / steps;
        level[i] = ath_process_level(&flow, t < 1 ? t / (1 - t) : (double)INFINITY);
    }
    start_at(&net, level[0], (ath_rng){4}, 0, x);
    memcpy(start, x, sizeof x);
    sample(k, samplers[k][1], &flow, level, steps, &net, x, (ath_step_predictor){0}, NULL);
    const ath_level last = level[steps];
    for (int i = 0; i < N * DIM; i++) {
        const double stretch = sqrt(pow(last.alpha * 0.5, 2) + last.sigma * last.sigma);
        worst = fmax(worst, fabs(x[i] - last.alpha * net.data.mean[0][i % DIM] - stretch * start[i]));
    }
    free(level);
    return worst;
}

/* Those in the view ODE see t itself. deis is in sigma/alpha, where pure noise counts as 4096: that error stays. */
static void a_flow_is_sampled_from_pure_noise(void **state) {
    (void)state;
    for (int k = 0; k < SAMPLERS; k++) {
        const double coarse = flow_error(k, 160), fine = flow_error(k, 320), order = log2(coarse / fine);
        print_message("%s %s: %.1e in 160 steps, %.1e in 320: order %.2f\n", samplers[k][0], samplers[k][1], coarse,
                      fine, order);
        if (find(samplers[k][0])->view == ATH_VIEW_ODE)
            CHECK(fine < 2e-5 && (order > 1.8 || fine < 1e-8), "%s %s: error %.1e, order %.2f", samplers[k][0],
                  samplers[k][1], fine, order);
        else
            CHECK(fine < 1.0 / 4096 * 2, "%s %s: error %.1e", samplers[k][0], samplers[k][1], fine);
    }
}

/* ---- AMED's predictor ---- */

typedef struct teacher {
    const exact_net *net;
    const ath_step_choice *choice; /* (n): of every step */
    int asked, calls[16], last_step;
    bool fails;
} teacher;

static ath_status choose(void *self, const ath_sample_job *job, int step, ath_step_choice *each) {
    teacher *t = self;
    CHECK(each[0].r == 0.3 && each[0].scale_dir == 1 && each[0].scale_time == 1, "the options are there: r %g",
          each[0].r);
    CHECK(job->level[step + 1].sigma > 0, "step %d is onto the clean level", step);
    t->calls[t->asked++] = t->net->calls;
    t->last_step = step;
    if (t->fails) return ath_fail(job->err, ATH_E_IO, "nothing was learned");
    memcpy(each, t->choice, job->n * sizeof *each);
    return ATH_OK;
}

enum { STEPS = 5 };

static void sample_amed(const char *options, teacher *t, const ath_step_choice *choice, size_t first, size_t n,
                        double *x, run_info *info) {
    static const double ratio[STEPS + 1] = {80, 20, 5, 1, 0.2, 0};
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    ath_level level[STEPS + 1];
    CHECK_OK(ath_levels_from_ratios(&ve, ratio, STEPS + 1, level, &err));
    exact_net net = gaussian(0.2, 0.5, DIM, n);
    start_at(&net, level[0], (ath_rng){4}, first, x);
    if (t) *t = (teacher){.net = &net, .choice = choice};
    sample(1, options, &ve, level, STEPS, &net, x, (ath_step_predictor){t, t ? choose : NULL}, info);
    if (t) t->net = NULL;
}

static void a_predictor_is_asked_once_a_step_and_for_each_image(void **state) {
    (void)state;
    static const ath_step_choice choice[N] = {{0.4, 1.01, 0.98}, {0.5, 1, 1}, {0.65, 0.97, 1.05}};
    static const char *const same[N] = {"r=0.4,scale_dir=1.01,scale_time=0.98", "r=0.5",
                                        "r=0.65,scale_dir=0.97,scale_time=1.05"};
    static const char *const bases[] = {"base=amed", "base=euler", "base=ipndm"};
    for (int b = 0; b < 3; b++) {
        char options[128];
        teacher t;
        double x[N * DIM], alone[DIM];
        run_info info;
        snprintf(options, sizeof options, "%s,r=0.3", bases[b]);
        sample_amed(options, &t, choice, 0, N, x, &info);
        CHECK(t.asked == STEPS - 1 && t.last_step == STEPS - 2 && info.nfe == 2 * STEPS - 1,
              "asked %d times, last at %d; %d evaluations", t.asked, t.last_step, info.nfe);
        for (int i = 0; i < t.asked; i++)
            CHECK(t.calls[i] == 2 * i + 1, "asked after %d evaluations in step %d", t.calls[i], i);
        for (size_t i = 0; i < N; i++) {
            snprintf(options, sizeof options, "%s,%s", bases[b], same[i]);
            sample_amed(options, NULL, NULL, i, 1, alone, NULL);
            CHECK(memcmp(alone, x + i * DIM, sizeof alone) == 0,
                  "%s: image %zu is %.17g, with its numbers as options %.17g", bases[b], i, x[i * DIM], alone[0]);
        }
    }
}

static void numbers_of_each_step_are_cycled(void **state) {
    (void)state;
    double x[3][N * DIM];
    sample_amed("base=euler,r=0.4/0.6", NULL, NULL, 0, N, x[0], NULL);
    sample_amed("base=euler,r=0.4/0.6/0.4/0.6", NULL, NULL, 0, N, x[1], NULL);
    sample_amed("base=euler,r=0.4", NULL, NULL, 0, N, x[2], NULL);
    CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0, "0.4/0.6 is 0.4/0.6/0.4/0.6");
    CHECK(memcmp(x[0], x[2], sizeof x[0]) != 0, "0.4/0.6 is not 0.4");
    sample_amed("r=none,scale_dir=none,scale_time=none", NULL, NULL, 0, N, x[0], NULL);
    sample_amed("", NULL, NULL, 0, N, x[1], NULL);
    CHECK(memcmp(x[0], x[1], sizeof x[0]) == 0, "an empty list is the default");
}

static void a_predictor_that_fails_ends_the_run(void **state) {
    (void)state;
    static const ath_step_choice wrong[] = {{0, 1, 1}, {1, 1, 1}, {NAN, 1, 1}, {0.5, INFINITY, 1}, {0.5, 1, 0}};
    static const double ratio[] = {80, 5, 1, 0};
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    for (int k = 0; k < 6; k++) {
        ath_level level[4];
        double x[DIM] = {1, 2};
        CHECK_OK(ath_levels_from_ratios(&ve, ratio, 4, level, &err));
        exact_net net = gaussian(0.2, 0.5, DIM, 1);
        teacher t = {.net = &net, .choice = &wrong[k % 5], .fails = k == 5};
        ath_sample_job job = {.net = {&net, exact_x0},
                              .process = ve,
                              .level = level,
                              .n_steps = 3,
                              .x = x,
                              .n = 1,
                              .dim = DIM,
                              .predictor = {&t, choose}};
        CHECK_FAILS(run_job(find("amed"), "r=0.3", &job, NULL), k == 5 ? ATH_E_IO : ATH_E_ARG,
                    k == 5 ? "nothing was learned" : "predictor");
        CHECK(net.calls == 1, "%d evaluations before it", net.calls);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_integrate_polynomials_of_their_clock_exactly),
        cmocka_unit_test(even_steps_have_the_constants_of_adams_and_bashforth),
        cmocka_unit_test(slopes_come_and_go_in_their_order),
        cmocka_unit_test(a_level_given_twice_changes_nothing),
        cmocka_unit_test(a_flow_is_sampled_from_pure_noise),
        cmocka_unit_test(a_predictor_is_asked_once_a_step_and_for_each_image),
        cmocka_unit_test(numbers_of_each_step_are_cycled),
        cmocka_unit_test(a_predictor_that_fails_ends_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
