/* Predictions: every kind of network output leads to the same x0 and weighs the same loss,
 * and learning the conditional score is learning the score. */
#include "golden/golden.h"
#include <float.h>
#include "base/rng.h"
#include "diffusion/prediction.h"

static ath_err err;
static const double times[] = {0, 1, 10, 99.5, 250, 500, 750, 900, 990, 998, 999};
enum { TIMES = sizeof times / sizeof *times, PREDICTIONS = 6 };
static const double sigma_data = 0.6;

static const ath_schedule_kind *kind_at(int k) {
    int n = 0;
    const ath_schedule_kind *kinds = ath_schedule_kinds(&n);
    return k < n ? &kinds[k] : NULL;
}

static ath_schedule make(const ath_schedule_kind *kind) {
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, kind, 1000, 1e-4, 0.02, &err));
    return s;
}

/* The target is rounded to float, |target| FLT_EPSILON/2 at most, and k_f of that reaches x0; the
 * rest is double arithmetic on terms of the size of k_x x. */
static void check_way_back(const char *where, ath_level at) {
    enum { N = 64 };
    float x0[N], eps[N], target[N];
    ath_rng_normal((ath_rng){1}, ATH_S_TEST, 0, x0, N);
    ath_rng_normal((ath_rng){1}, ATH_S_TEST, 1, eps, N);
    for (int p = 0; p < PREDICTIONS; p++) {
        if (p == ATH_V && fabs(at.alpha * at.alpha + at.sigma * at.sigma - 1) > 1e-12) continue; /* v is vp's */
        if (at.alpha == 0 && (p == ATH_EPSILON || p == ATH_SCORE)) continue;
        const ath_to_x0 to = ath_prediction_to_x0((ath_prediction)p, at, sigma_data);
        ath_prediction_target((ath_prediction)p, at, sigma_data, N, x0, eps, target);
        for (int j = 0; j < N; j++) {
            const double x = at.alpha * (double)x0[j] + at.sigma * (double)eps[j];
            const double got = to.k_x * x + to.k_f * (double)target[j];
            const double room =
                fabs(to.k_f * (double)target[j]) * FLT_EPSILON / 2 + 8 * DBL_EPSILON * (1 + fabs(to.k_x * x));
            CHECK(fabs(got - (double)x0[j]) <= room,
                  "%s, alpha %g, sigma %g, %s: x0 %.9g, expected %.9g +- %.1e (seed 1)", where, at.alpha, at.sigma,
                  ath_prediction_name((ath_prediction)p), got, (double)x0[j], room);
        }
    }
}

static void every_target_leads_back_to_x0(void **state) {
    (void)state;
    for (int k = 0; kind_at(k); k++) {
        ath_schedule s = make(kind_at(k));
        for (int i = 0; i < TIMES; i++) check_way_back(s.kind->name, ath_schedule_level(&s, times[i]));
        ath_schedule_free(&s);
    }
    for (int kind = ATH_PROCESS_VP; kind <= ATH_PROCESS_FLOW; kind++) {
        const ath_process p = {.kind = (ath_process_kind)kind};
        for (double ratio = 1e-4; ratio < 1e4; ratio *= 3)
            check_way_back(ath_process_name(p.kind), ath_process_level(&p, ratio));
        if (kind != ATH_PROCESS_VE) check_way_back("pure noise", ath_process_level(&p, INFINITY));
    }
}

/* F, and what the network sees, are of unit variance at every level when the data's is sigma_data^2: what EDM's
 * preconditioning is for (arXiv:2206.00364, app. B.6). */
static void edm_keeps_input_and_target_of_unit_variance(void **state) {
    (void)state;
    for (int kind = ATH_PROCESS_VP; kind <= ATH_PROCESS_FLOW; kind++)
        for (double ratio = 1e-3; ratio < 1e3; ratio *= 2) {
            const ath_level at = ath_process_level(&(ath_process){.kind = (ath_process_kind)kind}, ratio);
            const float unit[2] = {1, 0};
            float of_x0, of_eps; /* what F is of x0 and of eps */
            ath_prediction_target(ATH_EDM_F, at, sigma_data, 1, &unit[0], &unit[1], &of_x0);
            ath_prediction_target(ATH_EDM_F, at, sigma_data, 1, &unit[1], &unit[0], &of_eps);
            const double target = pow((double)of_x0 * sigma_data, 2) + pow((double)of_eps, 2);
            const double scale = ath_prediction_input_scale(ATH_EDM_F, at, sigma_data);
            const double input = scale * scale * (pow(at.alpha * sigma_data, 2) + pow(at.sigma, 2));
            CHECK(fabs(target - 1) < 1e-6 && fabs(input - 1) < 1e-12,
                  "alpha %g, sigma %g: variance of F %.9g, of x %.15g", at.alpha, at.sigma, target, input);
        }
    const ath_level at = {0, 1, 3};
    for (int p = 0; p < ATH_EDM_F; p++)
        CHECK(ath_prediction_input_scale((ath_prediction)p, at, sigma_data) == 1, "%s scales its input",
              ath_prediction_name((ath_prediction)p));
}

/* c_skip, c_out, c_in and c_noise as EDM's table 1 has them. */
static void edm_preconditions_as_its_table_says(void **state) {
    (void)state;
    json_t *root = golden_shared("training/loss_weights.json");
    const json_t *list = golden_at(root, "edm_preconditioning");
    const ath_process ve = {.kind = ATH_PROCESS_VE};
    CHECK(json_array_size(list) > 3, "only %zu cases", json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        const double data = golden_number(one, "sigma_data");
        const ath_level at = ath_process_level(&ve, golden_number(one, "sigma"));
        const ath_to_x0 to = ath_prediction_to_x0(ATH_EDM_F, at, data);
        const double got[4] = {to.k_x, to.k_f, ath_prediction_input_scale(ATH_EDM_F, at, data), at.t};
        static const char *const key[4] = {"c_skip", "c_out", "c_in", "c_noise"};
        for (int k = 0; k < 4; k++) {
            const double expected = golden_number(one, key[k]);
            CHECK(fabs(got[k] - expected) <= 1e-14 * fabs(expected), "sigma %g: %s %.17g, expected %.17g", at.sigma,
                  key[k], got[k], expected);
        }
        /* the weight of a squared error of D that makes it F's own */
        const double on_d = golden_number(one, "edm_weight"), on_f = on_d * to.k_f * to.k_f;
        CHECK(fabs(on_f - ath_loss_weight_at(ATH_WEIGHT_UNIFORM, ATH_EDM_F, at, data)) < 1e-12, "weight on F %.15g",
              on_f);
    }
    json_decref(root);
}

static void the_flow_is_the_slope_of_its_straight_path(void **state) {
    (void)state;
    const ath_process flow = {.kind = ATH_PROCESS_FLOW};
    const float x0 = 0.3f, eps = -1.7f;
    float velocity;
    for (double t = 0.01; t < 0.99; t += 0.1) {
        const ath_level a = ath_process_level(&flow, t / (1 - t)),
                        b = ath_process_level(&flow, (t + 0.001) / (0.999 - t));
        ath_prediction_target(ATH_FLOW, a, 0, 1, &x0, &eps, &velocity);
        const double from = a.alpha * (double)x0 + a.sigma * (double)eps,
                     to = b.alpha * (double)x0 + b.sigma * (double)eps;
        CHECK(fabs((to - from) / (b.sigma - a.sigma) - (double)velocity) < 1e-6 && fabs(a.t - 1000 * t) < 1e-9,
              "t %g (network's %g): slope %g, F %g", t, a.t, (to - from) / (b.sigma - a.sigma), (double)velocity);
    }
}

/* x0 = alpha x - sigma v and eps = sigma x + alpha v (Salimans & Ho 2022, appendix D). */
static void v_is_the_turned_pair_of_image_and_noise(void **state) {
    (void)state;
    for (int k = 0; kind_at(k); k++) {
        ath_schedule s = make(kind_at(k));
        for (int i = 0; i < TIMES; i++) {
            const ath_level at = ath_schedule_level(&s, times[i]);
            const float x0 = 0.8f, eps = -1.3f;
            float v;
            ath_prediction_target(ATH_V, at, 0, 1, &x0, &eps, &v);
            const double x = at.alpha * (double)x0 + at.sigma * (double)eps;
            const double image = at.alpha * x - at.sigma * (double)v, noise = at.sigma * x + at.alpha * (double)v;
            CHECK(fabs(image - (double)x0) < 2e-7, "%s, t %g: alpha x - sigma v = %.9g, x0 is %.9g", s.kind->name,
                  times[i], image, (double)x0);
            CHECK(fabs(noise - (double)eps) < 2e-7, "%s, t %g: sigma x + alpha v = %.9g, eps is %.9g", s.kind->name,
                  times[i], noise, (double)eps);
        }
        ath_schedule_free(&s);
    }
}

/* log p(x | x0) = -(x - alpha x0)^2 / (2 sigma^2) + const is a parabola: a central difference is exact. */
static void the_score_target_is_the_gradient_of_the_log_density(void **state) {
    (void)state;
    for (int k = 0; kind_at(k); k++) {
        ath_schedule s = make(kind_at(k));
        for (int i = 0; i < TIMES; i++) {
            const ath_level at = ath_schedule_level(&s, times[i]);
            const float x0 = -0.4f, eps = 0.9f;
            float score;
            ath_prediction_target(ATH_SCORE, at, 0, 1, &x0, &eps, &score);
            const double x = at.alpha * (double)x0 + at.sigma * (double)eps, h = 0.5 * at.sigma;
            const double up = (x + h - at.alpha * (double)x0) / at.sigma,
                         down = (x - h - at.alpha * (double)x0) / at.sigma;
            const double slope = (-up * up / 2 + down * down / 2) / (2 * h);
            CHECK(fabs((double)score - slope) < 2e-7 * fabs(slope), "%s, t %g: score %.9g, slope of log p %.9g",
                  s.kind->name, times[i], (double)score, slope);
        }
        ath_schedule_free(&s);
    }
}

/* ---- loss weights ---- */

/* At a given x, being wrong by d in x0 is being wrong by -alpha/sigma d in eps, by alpha (-alpha/sigma d) - sigma
 * d in v and by alpha/sigma^2 d in the score. ||F - target||^2 times the weight is the same loss whichever of them
 * is predicted. */
static void a_loss_is_the_same_whatever_is_predicted(void **state) {
    (void)state;
    static const ath_loss_weight weights[] = {ATH_WEIGHT_MIN_SNR, ATH_WEIGHT_P2};
    for (int k = 0; kind_at(k); k++) {
        ath_schedule s = make(kind_at(k));
        for (int i = 0; i < TIMES; i++)
            for (int w = 0; w < 2; w++) {
                const ath_level at = ath_schedule_level(&s, times[i]);
                const double d = 0.15, d_eps = -at.alpha / at.sigma * d, S = hypot(at.alpha * sigma_data, at.sigma);
                const double wrong[PREDICTIONS] = {d_eps,
                                                   d,
                                                   at.alpha * d_eps - at.sigma * d,
                                                   -d_eps / at.sigma,
                                                   d_eps - d,
                                                   S / (at.sigma * sigma_data) * d};
                const double expected = ath_loss_weight_at(weights[w], ATH_SAMPLE, at, 0) * d * d;
                for (int p = 0; p < PREDICTIONS; p++) {
                    const double loss =
                        ath_loss_weight_at(weights[w], (ath_prediction)p, at, sigma_data) * wrong[p] * wrong[p];
                    CHECK(fabs(loss - expected) < 1e-13 * expected,
                          "%s, t %g, %s, %s: loss %.17g, as sample it is %.17g", s.kind->name, times[i],
                          ath_loss_weight_name(weights[w]), ath_prediction_name((ath_prediction)p), loss, expected);
                }
            }
        ath_schedule_free(&s);
    }
}

/* As weights on x0: min(SNR, 5) and SNR / (1 + SNR), at every timestep. */
static void weights_on_x0_are_functions_of_the_snr(void **state) {
    (void)state;
    for (int k = 0; kind_at(k); k++) {
        ath_schedule s = make(kind_at(k));
        for (int t = 0; t < 1000; t++) {
            const ath_level at = ath_schedule_level(&s, t);
            const double snr = pow(at.alpha / at.sigma, 2), expected[2] = {fmin(snr, 5), snr / (1 + snr)};
            const double got[2] = {ath_loss_weight_at(ATH_WEIGHT_MIN_SNR, ATH_SAMPLE, at, 0),
                                   ath_loss_weight_at(ATH_WEIGHT_P2, ATH_SAMPLE, at, 0)};
            for (int w = 0; w < 2; w++)
                CHECK(fabs(got[w] - expected[w]) <= 1e-14 * expected[w], "%s, t %d, SNR %g: %s %.17g, expected %.17g",
                      s.kind->name, t, snr, w ? "p2" : "min-snr", got[w], expected[w]);
        }
        ath_schedule_free(&s);
    }
}

static void uniform_score_matching_is_the_epsilon_loss(void **state) {
    (void)state;
    for (int k = 0; kind_at(k); k++) {
        ath_schedule s = make(kind_at(k));
        for (int i = 0; i < TIMES; i++) {
            const ath_level at = ath_schedule_level(&s, times[i]);
            const double error = 0.2, on_score = error / at.sigma; /* an error in eps is one in the score */
            const double loss = ath_loss_weight_at(ATH_WEIGHT_UNIFORM, ATH_SCORE, at, 0) * on_score * on_score;
            CHECK(fabs(loss - error * error) < 1e-15, "%s, t %g: %.17g, expected %.17g", s.kind->name, times[i], loss,
                  error * error);
            for (int p = 0; p < PREDICTIONS; p++) {
                if (p == ATH_SCORE) continue;
                const double weight = ath_loss_weight_at(ATH_WEIGHT_UNIFORM, (ath_prediction)p, at, sigma_data);
                CHECK(weight == 1, "%s: uniform is %g", ath_prediction_name((ath_prediction)p), weight);
            }
        }
        ath_schedule_free(&s);
    }
}

/* Of the golden file: the gamma = 5 of min-SNR, and k = gamma = 1 of P2, which are ours. Its SNR is alpha_bar / (1 -
 * alpha_bar), where the subtraction loses 1e-16 / 1e-4 relative at t = 0. */
static void check_weights(const json_t *root) {
    ath_schedule s = make(ath_schedule_kind_find("linear"));
    const json_t *list = golden_at(root, "min_snr");
    double worst = 0;
    int compared = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        assert_string_equal(golden_text(one, "schedule"), "linear_1e-4_0.02_T1000");
        if (golden_number(one, "gamma") != 5) continue;
        const ath_level at = ath_schedule_level(&s, golden_number(one, "t"));
        static const char *const key[3] = {"min_snr_eps", "min_snr_x0", "min_snr_v"};
        for (int p = 0; p < 3; p++) { /* in the order of ath_prediction */
            const double got = ath_loss_weight_at(ATH_WEIGHT_MIN_SNR, (ath_prediction)p, at, 0),
                         expected = golden_number(one, key[p]);
            worst = fmax(worst, fabs(got / expected - 1));
            CHECK(fabs(got - expected) <= 1e-11 * expected, "%s, t %g: %.17g, expected %.17g", key[p], at.t, got,
                  expected);
            compared++;
        }
    }
    list = golden_at(root, "p2");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (golden_number(one, "gamma") != 1 || golden_number(one, "k") != 1) continue;
        const ath_level at = ath_schedule_level(&s, golden_number(one, "t"));
        const double got = ath_loss_weight_at(ATH_WEIGHT_P2, ATH_EPSILON, at, 0),
                     expected = golden_number(one, "p2_eps_weight");
        worst = fmax(worst, fabs(got / expected - 1));
        CHECK(fabs(got - expected) <= 1e-11 * expected, "p2, t %g: %.17g, expected %.17g", at.t, got, expected);
        compared++;
    }
    ath_schedule_free(&s);
    CHECK(compared >= 80, "only %d weights were compared", compared);
    print_message("%d weights: largest relative error %.1e\n", compared, worst);
}

static void weights_are_those_of_the_papers_formulas(void **state) {
    (void)state;
    json_t *root = golden_tree("loss_weights.json");
    check_weights(root);
    json_decref(root);
}

static void weights_are_the_same_in_the_full_set(void **state) {
    (void)state;
    json_t *root = golden_shared("training/loss_weights.json");
    check_weights(root);
    json_decref(root);
}

static void names_are_read_back(void **state) {
    (void)state;
    CHECK(ath_prediction_count() == PREDICTIONS, "%d predictions", ath_prediction_count());
    for (int p = 0; p < PREDICTIONS; p++) {
        ath_prediction got = (ath_prediction)-1;
        CHECK_OK(ath_prediction_parse(ath_prediction_name((ath_prediction)p), &got, &err));
        CHECK((int)got == p && *ath_prediction_summary(got), "%s is read as %d", ath_prediction_name((ath_prediction)p),
              (int)got);
        CHECK(ath_prediction_process(got) == (p < ATH_FLOW    ? ATH_PROCESS_VP
                                              : p == ATH_FLOW ? ATH_PROCESS_FLOW
                                                              : ATH_PROCESS_VE),
              "%s is of another process", ath_prediction_name(got));
    }
    for (int w = 0; w < 3; w++) {
        ath_loss_weight got = (ath_loss_weight)-1;
        CHECK_OK(ath_loss_weight_parse(ath_loss_weight_name((ath_loss_weight)w), &got, &err));
        CHECK((int)got == w, "%s is read as %d", ath_loss_weight_name((ath_loss_weight)w), (int)got);
    }
    ath_prediction p;
    ath_loss_weight w;
    CHECK_FAILS(ath_prediction_parse("velocity", &p, &err), ATH_E_ARG, "velocity");
    CHECK_FAILS(ath_loss_weight_parse("snr", &w, &err), ATH_E_ARG, "snr");
}

/* ---- score matching ----
 * For data that is five points, p_t is a mixture of Gaussians at alpha y_i and its score m(x) = E[c | x] is a softmax
 * mean of the conditional scores c = -eps/sigma, which is what networks learn. Then for any s
 *     E||c - s||^2 - E||m - s||^2 = E||c||^2 - E||m||^2,    the same number for every s (Vincent 2011),
 * and the gradients of the two losses along a parameter of s are equal. */
enum { POINTS = 5, DIM = 2, SCORES = 3 };
static const double data[POINTS][DIM] = {{-0.9, 0.4}, {0.8, 0.7}, {0.1, -1}, {0.9, -0.3}, {-0.2, 0.1}};

static void exact_score(const double *x, ath_level at, double *score) {
    double log_w[POINTS], most = -INFINITY, sum = 0;
    for (int i = 0; i < POINTS; i++) {
        log_w[i] = 0;
        for (int d = 0; d < DIM; d++) log_w[i] -= pow((x[d] - at.alpha * data[i][d]) / at.sigma, 2) / 2;
        most = fmax(most, log_w[i]);
    }
    for (int d = 0; d < DIM; d++) score[d] = 0;
    for (int i = 0; i < POINTS; i++) {
        const double w = exp(log_w[i] - most);
        sum += w;
        for (int d = 0; d < DIM; d++) score[d] += w * (at.alpha * data[i][d] - x[d]) / (at.sigma * at.sigma);
    }
    for (int d = 0; d < DIM; d++) score[d] /= sum;
}

/* Three guesses at the score with a parameter theta, and their derivatives along it: nothing at all, one Gaussian, and
 * something that is no gradient of anything. */
static void guess(int which, const double *x, double theta, double *s, double *ds) {
    if (which == 0) {
        s[0] = theta - 1, s[1] = 0;
        ds[0] = 1, ds[1] = 0;
    } else if (which == 1) {
        for (int d = 0; d < DIM; d++) s[d] = -theta * x[d], ds[d] = -x[d];
    } else {
        s[0] = tanh(theta * x[1]) - x[0], s[1] = theta * sin(2 * x[0]);
        ds[0] = x[1] * (1 - pow(tanh(theta * x[1]), 2)), ds[1] = sin(2 * x[0]);
    }
}

typedef struct tally {
    double sum, squares;
} tally;
static void add(tally *t, double value) { t->sum += value, t->squares += value * value; }
static double mean_of(tally t, int n) { return t.sum / n; }
static double error_of(tally t, int n) { return sqrt((t.squares / n - pow(t.sum / n, 2)) / n); }

static void learning_the_conditional_score_is_learning_the_score(void **state) {
    (void)state;
    enum { N = 200000 };
    static const double at_times[] = {100, 300, 600};
    ath_schedule schedule = make(ath_schedule_kind_find("linear"));
    for (int i = 0; i < 3; i++) {
        const ath_level at = ath_schedule_level(&schedule, at_times[i]);
        const ath_rng rng = {(uint64_t)(40 + i)};
        tally csm[SCORES] = {{0}}, sm[SCORES] = {{0}}, apart[SCORES] = {{0}}, gradients_apart[SCORES] = {{0}};
        tally constant = {0}, gradient[SCORES] = {{0}};
        for (uint64_t n = 0; n < N; n++) {
            const double *y = data[(int)(ath_rng_uniform1(rng, ATH_S_TEST, n) * POINTS)];
            float eps[DIM], x0[DIM], target[DIM];
            double x[DIM], m[DIM], s[DIM], ds[DIM], first = 0;
            ath_rng_normal(rng, ATH_S_NOISE, n, eps, DIM);
            for (int d = 0; d < DIM; d++) {
                x0[d] = (float)y[d];
                x[d] = at.alpha * y[d] + at.sigma * (double)eps[d];
            }
            ath_prediction_target(ATH_SCORE, at, 0, DIM, x0, eps, target);
            exact_score(x, at, m);
            double moment = 0;
            for (int d = 0; d < DIM; d++) moment += pow((double)target[d], 2) - m[d] * m[d];
            add(&constant, moment);
            for (int k = 0; k < SCORES; k++) {
                double to_target = 0, to_score = 0, slope_target = 0, slope_score = 0;
                guess(k, x, 1, s, ds);
                for (int d = 0; d < DIM; d++) {
                    to_target += pow((double)target[d] - s[d], 2);
                    to_score += pow(m[d] - s[d], 2);
                    slope_target -= 2 * ((double)target[d] - s[d]) * ds[d];
                    slope_score -= 2 * (m[d] - s[d]) * ds[d];
                }
                add(&csm[k], to_target);
                add(&sm[k], to_score);
                if (k == 0) first = to_target - to_score;
                add(&apart[k], to_target - to_score - first);
                add(&gradient[k], slope_score);
                add(&gradients_apart[k], slope_target - slope_score);
            }
        }
        for (int k = 0; k < SCORES; k++) {
            const double difference = mean_of(apart[k], N), error = error_of(apart[k], N);
            CHECK(fabs(difference) <= 4.5 * error,
                  "t %g, guess %d: CSM %.4f - SM %.4f is %.4f above guess 0's, standard error %.4f (seed %d)", at.t, k,
                  mean_of(csm[k], N), mean_of(sm[k], N), difference, error, 40 + i);
            const double slopes = mean_of(gradients_apart[k], N), slope_error = error_of(gradients_apart[k], N);
            CHECK(fabs(slopes) <= 4.5 * slope_error,
                  "t %g, guess %d: gradients of CSM and SM (%.4f) are %.4f apart, standard error %.4f (seed %d)", at.t,
                  k, mean_of(gradient[k], N), slopes, slope_error, 40 + i);
            /* and the test could have failed: the losses and gradients themselves are far from equal */
            CHECK(k == 0 || fabs(mean_of(sm[k], N) - mean_of(sm[0], N)) > 20 * error,
                  "t %g: the guesses are too alike to tell", at.t);
            CHECK(fabs(mean_of(gradient[k], N)) > 10 * slope_error || k == 0,
                  "t %g: the gradient of guess %d is too small to tell", at.t, k);
        }
        /* the constant is the conditional score's variance given x: never negative */
        CHECK(mean_of(constant, N) > -4.5 * error_of(constant, N), "t %g: CSM - SM is %.4f", at.t,
              mean_of(constant, N));
    }
    ath_schedule_free(&schedule);
}

/* x0 = k_x x + k_f F: an error of F is k_f times as large in x0. With the spacing that suits a
 * prediction no level of a few-step run makes more of it than twenty times, on the cosine schedule, whose
 * last alpha is 5e-5. */
static void the_suitable_spacing_blows_no_error_up(void **state) {
    (void)state;
    ath_schedule s;
    CHECK_OK(ath_schedule_make(&s, ath_schedule_kind_find("cosine"), 1000, 1e-4, 0.02, &err));
    for (int p = 0; p < ath_prediction_count(); p++)
        for (int steps = 5; steps <= 20; steps += 5) {
            ath_level level[21];
            const ath_process process = {.kind = ath_prediction_process((ath_prediction)p), .schedule = &s};
            CHECK_OK(ath_levels(&process, ath_prediction_spacing((ath_prediction)p), NULL, steps, level, &err));
            for (int i = 0; i < steps; i++) {
                const double k_f = fabs(ath_prediction_to_x0((ath_prediction)p, level[i], sigma_data).k_f);
                CHECK(k_f < 20, "%s, %d steps: at t = %g an error grows %g times",
                      ath_prediction_name((ath_prediction)p), steps, level[i].t, k_f);
            }
        }
    ath_schedule_free(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_suitable_spacing_blows_no_error_up),
        cmocka_unit_test(every_target_leads_back_to_x0),
        cmocka_unit_test(edm_keeps_input_and_target_of_unit_variance),
        cmocka_unit_test(edm_preconditions_as_its_table_says),
        cmocka_unit_test(the_flow_is_the_slope_of_its_straight_path),
        cmocka_unit_test(v_is_the_turned_pair_of_image_and_noise),
        cmocka_unit_test(the_score_target_is_the_gradient_of_the_log_density),
        cmocka_unit_test(a_loss_is_the_same_whatever_is_predicted),
        cmocka_unit_test(weights_on_x0_are_functions_of_the_snr),
        cmocka_unit_test(uniform_score_matching_is_the_epsilon_loss),
        cmocka_unit_test(weights_are_those_of_the_papers_formulas),
        cmocka_unit_test(weights_are_the_same_in_the_full_set),
        cmocka_unit_test(names_are_read_back),
        cmocka_unit_test(learning_the_conditional_score_is_learning_the_score),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
