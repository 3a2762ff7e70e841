/* scheduler_config.json: what diffusers' classes write is read as what it means, what is written is read back, and what
 * cannot be meant is refused by name. */
#define _XOPEN_SOURCE 700
#include "temp_folder.h"
#include <jansson.h>
#include "base/file.h"
#include "golden/golden.h"
#include "model/json.h"
#include "model/scheduler.h"

static ath_err err;

static json_t *parse(const char *text) {
    json_error_t why;
    json_t *o = json_loads(text, 0, &why);
    CHECK(o != NULL, "%s: %s", text, why.text);
    return o;
}

static ath_scheduler read_text(const char *text) {
    json_t *o = parse(text);
    ath_scheduler s;
    CHECK_OK(ath_scheduler_read(&s, o, "file", &err));
    json_decref(o);
    return s;
}

static void check_refused(const char *text, const char *word) {
    json_t *o = parse(text);
    ath_scheduler s;
    CHECK_FAILS(ath_scheduler_read(&s, o, "dir/file.json", &err), ATH_E_FORMAT, word);
    CHECK(strstr(err.text, "dir/file.json") == err.text, "the message does not begin with the path: %s", err.text);
    CHECK(s.schedule.alpha_bar == NULL && s.schedule.timesteps == 0, "a refused scheduler is not zeroed");
    json_decref(o);
}

/* ---- what diffusers writes ---- */

static void check_class(const char *file, const char *class, ath_prediction prediction) {
    json_t *root = golden_shared(file);
    json_t *o = json_deep_copy(golden_at(golden_at(root, "class_defaults"), class));
    json_object_set_new(o, "_class_name", json_string(class));
    ath_scheduler s;
    CHECK_OK(ath_scheduler_read(&s, o, class, &err));
    CHECK(s.prediction == prediction && s.process.kind == ath_prediction_process(prediction), "%s: %s on %s", class,
          ath_prediction_name(s.prediction), ath_process_name(s.process.kind));
    const ath_process p = ath_scheduler_process(&s);
    if (p.kind == ATH_PROCESS_VP) {
        CHECK(p.schedule == &s.schedule && s.schedule.timesteps == 1000, "%s: %d timesteps", class,
              s.schedule.timesteps);
        CHECK(fabs(s.schedule.alpha_bar[0] - 0.9999) < 1e-15, "%s: alpha_bar[0] %.17g", class, s.schedule.alpha_bar[0]);
    } else
        CHECK(p.schedule == NULL && s.schedule.alpha_bar == NULL, "%s has a schedule", class);
    if (p.kind == ATH_PROCESS_VE)
        CHECK(p.sigma_min == 0.002 && p.sigma_max == 80 && p.rho == 7 && s.sigma_data == 0.5,
              "%s: sigma %g to %g, rho %g, sigma_data %g", class, p.sigma_min, p.sigma_max, p.rho, s.sigma_data);
    if (p.kind == ATH_PROCESS_FLOW) CHECK(p.shift == 1, "%s: shift %g", class, p.shift);
    ath_scheduler_free(&s);
    json_decref(o);
    json_decref(root);
}

static void the_classes_of_diffusers_are_read(void **state) {
    (void)state;
    check_class("trajectories/diffusers_ddpm.json", "DDPMScheduler", ATH_EPSILON);
    check_class("trajectories/diffusers_ddim.json", "DDIMScheduler", ATH_EPSILON);
    check_class("trajectories/diffusers_pndm.json", "PNDMScheduler", ATH_EPSILON);
    check_class("trajectories/diffusers_euler.json", "EulerDiscreteScheduler", ATH_EPSILON);
    check_class("trajectories/diffusers_unipc.json", "UniPCMultistepScheduler", ATH_EPSILON);
    check_class("trajectories/diffusers_dpmsolver_multistep.json", "DPMSolverMultistepScheduler", ATH_EPSILON);
    check_class("trajectories/diffusers_edm_diffusers.json", "EDMEulerScheduler", ATH_EDM_F);
    check_class("trajectories/diffusers_edm_diffusers.json", "EDMDPMSolverMultistepScheduler", ATH_EDM_F);
    check_class("trajectories/diffusers_flow_match.json", "FlowMatchEulerDiscreteScheduler", ATH_FLOW);
    check_class("trajectories/diffusers_flow_match.json", "FlowMatchHeunDiscreteScheduler", ATH_FLOW);
}

/* alpha_bar against diffusers' float32 products; a rescaled one is zero at its end, where some of its classes put 2^-24. */
static void check_alphas(const ath_scheduler *s, const json_t *c, const char *text) {
    double t[8], expected[8];
    const size_t n = golden_list(golden_at(c, "timesteps"), t, 8);
    assert_int_equal(golden_list(golden_at(c, "alphas_cumprod"), expected, 8), n);
    CHECK(s->schedule.timesteps == (int)t[n - 1] + 1, "%s: %d timesteps", text, s->schedule.timesteps);
    for (size_t i = 0; i < n; i++)
        CHECK(fabs(s->schedule.alpha_bar[(int)t[i]] - expected[i]) < 1e-6, "%s: alpha_bar[%g] %.9g, expected %.9g",
              text, t[i], s->schedule.alpha_bar[(int)t[i]], expected[i]);
}

/* The number under `key` of the file, `dflt` where it has none. */
static double number_of(const json_t *file, const char *key, double dflt) {
    const json_t *item = json_object_get(file, key);
    return json_is_number(item) ? json_number_value(item) : dflt;
}

static void check_meaning(const ath_scheduler *s, const json_t *c, const json_t *file, const char *text) {
    const char *reads = golden_text(c, "reads");
    if (strcmp(reads, "edm") == 0)
        CHECK(s->prediction == ATH_EDM_F && s->process.sigma_min == number_of(file, "sigma_min", -1) &&
                  s->process.sigma_max == number_of(file, "sigma_max", -1),
              "%s: %s from %g to %g", text, ath_prediction_name(s->prediction), s->process.sigma_min,
              s->process.sigma_max);
    else if (strcmp(reads, "flow") == 0)
        CHECK(s->prediction == ATH_FLOW &&
                  s->process.shift == number_of(file, "shift", number_of(file, "flow_shift", -1)),
              "%s: %s, shift %g", text, ath_prediction_name(s->prediction), s->process.shift);
    else
        check_alphas(s, c, text);
}

static void every_class_is_read_with_its_levels_or_refused(void **state) {
    (void)state;
    json_t *cases = golden_tree("scheduler_configs.json");
    const char *path = in_folder("scheduler_config.json");
    CHECK(json_array_size(cases) > 50, "only %zu files", json_array_size(cases));
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i);
        const char *text = golden_text(c, "file"), *refused = json_string_value(json_object_get(c, "refused"));
        json_t *file;
        ath_scheduler s;
        CHECK_OK(ath_file_write(path, text, strlen(text), &err));
        CHECK_OK(ath_json_read(&file, path, &err));
        if (refused)
            CHECK_FAILS(ath_scheduler_read(&s, file, text, &err), ATH_E_FORMAT, refused);
        else {
            CHECK_OK(ath_scheduler_read(&s, file, text, &err));
            check_meaning(&s, c, file, text);
            ath_scheduler_free(&s);
        }
        json_decref(file);
    }
    json_decref(cases);
}

static void a_class_without_betas_means_its_own_defaults(void **state) {
    (void)state;
    ath_scheduler s = read_text("{\"_class_name\": \"HeunDiscreteScheduler\"}");
    CHECK(s.schedule.beta_start == 0.00085 && s.schedule.beta_end == 0.012, "Heun's betas: %g to %g",
          s.schedule.beta_start, s.schedule.beta_end);
    ath_scheduler_free(&s);
    s = read_text("{\"_class_name\": \"LCMScheduler\", \"beta_end\": 0.02}");
    CHECK(strcmp(s.schedule.kind->name, "scaled_linear") == 0 && s.schedule.beta_end == 0.02, "LCM's: %s to %g",
          s.schedule.kind->name, s.schedule.beta_end);
    ath_scheduler_free(&s);
}

/* Infinity, -Infinity and NaN outside of texts, as Python writes them. */
static void numbers_that_are_no_json_are_texts(void **state) {
    (void)state;
    const char *path = in_folder("python.json"),
               *text = "{\"a\": -Infinity, \"b\": [Infinity, 1,NaN], \"Infinity\": \"-Infinity \\\" NaN\", \"c\":NaN}";
    json_t *o;
    const char *a, *b0, *b2, *quoted, *c;
    double one;
    CHECK_OK(ath_file_write(path, text, strlen(text), &err));
    CHECK_OK(ath_json_read(&o, path, &err));
    assert_int_equal(
        json_unpack(o, "{s:s, s:[s,F,s], s:s, s:s}", "a", &a, "b", &b0, &one, &b2, "Infinity", &quoted, "c", &c), 0);
    CHECK(strcmp(a, "-inf") == 0 && strcmp(b0, "inf") == 0 && one == 1 && strcmp(b2, "?") == 0 && strcmp(c, "?") == 0,
          "%s %s %g %s %s", a, b0, one, b2, c);
    CHECK(strcmp(quoted, "-Infinity \" NaN") == 0, "a text became %s", quoted);
    json_decref(o);
    static const char *const bad[] = {"{\"a\": Infinit", "{\"a\": Na",   "{\"a\": -",
                                      "{\"a\": \"NaN",   "{\"a\": \"\\", "Infinity"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_OK(ath_file_write(path, bad[i], strlen(bad[i]), &err));
        CHECK_FAILS(ath_json_read(&o, path, &err), ATH_E_FORMAT, "python.json");
    }
}

static void what_classes_have_in_common_is_read_of_any(void **state) {
    (void)state;
    ath_scheduler s = read_text("{}");
    CHECK(s.prediction == ATH_EPSILON && s.schedule.timesteps == 1000 && s.schedule.beta_end == 0.02, "no keys at all");
    ath_scheduler_free(&s);
    s = read_text(
        "{\"_class_name\": \"SomebodysScheduler\", \"beta_schedule\": \"scaled_linear\", \"beta_start\": 0.00085, "
        "\"beta_end\": 0.012, \"prediction_type\": \"v_prediction\", \"num_train_timesteps\": 500}");
    CHECK(s.prediction == ATH_V && s.schedule.timesteps == 500 && strcmp(s.schedule.kind->name, "scaled_linear") == 0 &&
              s.schedule.beta_start == 0.00085,
          "another's class with betas: %s, %d timesteps", ath_prediction_name(s.prediction), s.schedule.timesteps);
    ath_scheduler_free(&s);
    s = read_text("{\"_class_name\": \"SomebodysScheduler\", \"trained_betas\": [0.1, 0.5]}");
    CHECK(s.schedule.timesteps == 2 && fabs(s.schedule.alpha_bar[1] - 0.45) < 1e-15, "given betas: alpha_bar[1] %g",
          s.schedule.alpha_bar[1]);
    ath_scheduler_free(&s);
    s = read_text("{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": 3.0}");
    CHECK(s.process.shift == 3, "shift %g", s.process.shift);
    s = read_text("{\"_class_name\": \"UniPCMultistepScheduler\", \"beta_start\": 0.0001, \"prediction_type\": "
                  "\"flow_prediction\", \"use_flow_sigmas\": true, \"flow_shift\": 2.5}");
    CHECK(s.prediction == ATH_FLOW && s.process.kind == ATH_PROCESS_FLOW && s.process.shift == 2.5,
          "flow_prediction: %s, %g", ath_prediction_name(s.prediction), s.process.shift);
    s = read_text("{\"_class_name\": \"EDMEulerScheduler\", \"sigma_min\": 0.01, \"sigma_max\": 50, \"rho\": 5, "
                  "\"sigma_data\": 1, \"sigma_schedule\": \"exponential\"}");
    CHECK(s.process.sigma_min == 0.01 && s.process.sigma_max == 50 && s.process.rho == 5 && s.sigma_data == 1,
          "EDM's numbers: %g %g %g %g", s.process.sigma_min, s.process.sigma_max, s.process.rho, s.sigma_data);
}

/* ---- what is written ---- */

static ath_scheduler write_and_read(const ath_scheduler *s, const char *class) {
    json_t *o = ath_scheduler_write(s, "0.33.0");
    CHECK(o && strcmp(json_string_value(json_object_get(o, "_class_name")), class) == 0 &&
              strcmp(ath_scheduler_class(s), class) == 0,
          "written as %s, expected %s", ath_scheduler_class(s), class);
    char *text = json_dumps(o, JSON_REAL_PRECISION(15)); /* as files are */
    json_decref(o);
    const ath_scheduler back = read_text(text);
    free(text);
    CHECK(back.prediction == s->prediction && back.process.kind == s->process.kind, "%s came back as %s on %s",
          ath_prediction_name(s->prediction), ath_prediction_name(back.prediction),
          ath_process_name(back.process.kind));
    return back;
}

static void what_is_written_is_read_back(void **state) {
    (void)state;
    int n_kinds;
    const ath_schedule_kind *kinds = ath_schedule_kinds(&n_kinds);
    for (int p = 0; p <= ATH_SCORE; p++)
        for (int k = 0; k < n_kinds; k++) {
            ath_scheduler s = {.prediction = (ath_prediction)p};
            CHECK_OK(ath_schedule_make(&s.schedule, &kinds[k], 100, 1e-3, 0.1, &err));
            ath_scheduler back = write_and_read(&s, "DDPMScheduler");
            CHECK(back.schedule.kind == &kinds[k] && back.schedule.timesteps == 100, "%s came back as another schedule",
                  kinds[k].name);
            for (int t = 0; t < 100; t++)
                CHECK(back.schedule.alpha_bar[t] == s.schedule.alpha_bar[t], "%s: alpha_bar[%d] %.17g, written %.17g",
                      kinds[k].name, t, back.schedule.alpha_bar[t], s.schedule.alpha_bar[t]);
            ath_scheduler_free(&s);
            ath_scheduler_free(&back);
        }
    ath_scheduler s = {.prediction = ATH_EPSILON};
    const double betas[3] = {0.1, 0.2, 0.4};
    CHECK_OK(ath_schedule_from_betas(&s.schedule, betas, 3, &err));
    ath_scheduler back = write_and_read(&s, "DDPMScheduler");
    for (int t = 0; t < 3; t++)
        CHECK(fabs(back.schedule.alpha_bar[t] - s.schedule.alpha_bar[t]) < 1e-14, "given betas: alpha_bar[%d] %.17g", t,
              back.schedule.alpha_bar[t]);
    ath_scheduler_free(&s);
    ath_scheduler_free(&back);
    s = (ath_scheduler){.prediction = ATH_EDM_F,
                        .process = {.kind = ATH_PROCESS_VE, .sigma_min = 0.003, .sigma_max = 90, .rho = 6},
                        .sigma_data = 0.612345};
    back = write_and_read(&s, "EDMEulerScheduler");
    CHECK(back.process.sigma_min == 0.003 && back.process.sigma_max == 90 && back.process.rho == 6 &&
              back.sigma_data == 0.612345,
          "EDM's numbers came back as %g %g %g %.17g", back.process.sigma_min, back.process.sigma_max, back.process.rho,
          back.sigma_data);
    s = (ath_scheduler){.prediction = ATH_FLOW, .process = {.kind = ATH_PROCESS_FLOW, .shift = 2}};
    back = write_and_read(&s, "FlowMatchEulerDiscreteScheduler");
    CHECK(back.process.shift == 2, "shift came back as %g", back.process.shift);
}

/* What other classes of diffusers make of a file: all know betas, one alone "sigmoid"; a flow's prediction is no epsilon. */
static void files_mean_the_same_to_every_class(void **state) {
    (void)state;
    ath_scheduler s = {.prediction = ATH_EPSILON};
    CHECK_OK(ath_schedule_make(&s.schedule, ath_schedule_kind_find("sigmoid_beta"), 100, 1e-3, 0.1, &err));
    json_t *o = ath_scheduler_write(&s, "0.33.0");
    const json_t *betas = json_object_get(o, "trained_betas");
    CHECK(json_array_size(betas) == 100 && json_number_value(json_array_get(betas, 99)) == s.schedule.beta[99],
          "%zu betas", json_array_size(betas));
    CHECK(strcmp(json_string_value(json_object_get(o, "beta_schedule")), "linear") == 0, "beta_schedule");
    json_decref(o);
    ath_scheduler_free(&s);
    s = (ath_scheduler){.prediction = ATH_FLOW, .process = {.kind = ATH_PROCESS_FLOW, .shift = 3}};
    o = ath_scheduler_write(&s, "0.33.0");
    CHECK(strcmp(json_string_value(json_object_get(o, "prediction_type")), "flow_prediction") == 0 &&
              json_is_true(json_object_get(o, "use_flow_sigmas")) && number_of(o, "flow_shift", 0) == 3,
          "a flow to classes that are none by name");
    json_decref(o);
}

/* diffusers rescales the betas that it reads, so the file has them as they were. Epsilon is read too: its model can be sampled
 * from any timestep but the last. */
static void zero_terminal_snr_is_written_and_read_back(void **state) {
    (void)state;
    int n_kinds;
    const ath_schedule_kind *kinds = ath_schedule_kinds(&n_kinds);
    static const double betas[4] = {0.1, 0.2, 0.4, 0.5};
    for (int p = 0; p <= ATH_V; p++)
        for (int k = 0; k <= n_kinds; k++) {
            ath_scheduler s = {.prediction = (ath_prediction)p};
            if (k < n_kinds)
                CHECK_OK(ath_schedule_make(&s.schedule, &kinds[k], 100, 1e-3, 0.1, &err));
            else
                CHECK_OK(ath_schedule_from_betas(&s.schedule, betas, 4, &err));
            CHECK_OK(ath_schedule_rescale_zero_snr(&s.schedule, &err));
            json_t *o = ath_scheduler_write(&s, "0.33.0");
            CHECK(json_is_true(json_object_get(o, "rescale_betas_zero_snr")), "the file does not say so");
            const json_t *list = json_object_get(o, "trained_betas");
            for (size_t t = 0; t < json_array_size(list); t++)
                CHECK(json_number_value(json_array_get(list, t)) == s.schedule.beta[t], "beta %zu is rescaled", t);
            json_decref(o);
            ath_scheduler back = write_and_read(&s, "DDPMScheduler");
            CHECK(back.schedule.zero_snr && back.schedule.timesteps == s.schedule.timesteps,
                  "came back as it was made");
            for (int t = 0; t < s.schedule.timesteps; t++)
                CHECK(back.schedule.alpha_bar[t] == s.schedule.alpha_bar[t], "alpha_bar[%d] %.17g, written %.17g", t,
                      back.schedule.alpha_bar[t], s.schedule.alpha_bar[t]);
            ath_scheduler_free(&s);
            ath_scheduler_free(&back);
        }
}

/* ---- what is refused ---- */

static void what_cannot_be_meant_is_refused(void **state) {
    (void)state;
    check_refused("{\"_class_name\": \"ScoreSdeVeScheduler\", \"snr\": 0.15}", "ScoreSdeVeScheduler is not known");
    check_refused("{\"beta_schedule\": \"linar\"}", "beta_schedule \"linar\"");
    check_refused("{\"prediction_type\": \"epsilom\"}", "prediction_type");
    check_refused("{\"prediction_type\": \"edm\"}", "does not go with");
    check_refused("{\"num_train_timesteps\": 0}", "num_train_timesteps");
    check_refused("{\"num_train_timesteps\": 1e9}", "num_train_timesteps");
    check_refused("{\"num_train_timesteps\": 10.5}", "whole number");
    check_refused("{\"num_train_timesteps\": \"10\"}", "num_train_timesteps");
    check_refused("{\"beta_start\": \"small\"}", "beta_start");
    check_refused("{\"beta_end\": 2}", "beta_end");
    check_refused("{\"beta_start\": 0, \"beta_end\": 0}", "beta 0 of 1000 is 0");
    check_refused("{\"trained_betas\": []}", "0 timesteps");
    check_refused("{\"trained_betas\": [0.1, -1]}", "beta 1 of 2 is -1");
    check_refused("{\"trained_betas\": [0.1, \"x\"]}", "beta 1 of 2 is 0");
    check_refused("{\"rescale_betas_zero_snr\": true, \"num_train_timesteps\": 1}", "zero terminal SNR");
    check_refused(
        "{\"_class_name\": \"EulerDiscreteScheduler\", \"beta_start\": 1e-4, \"timestep_type\": \"continuous\"}",
        "timestep_type");
    check_refused("{\"_class_name\": \"EDMEulerScheduler\", \"prediction_type\": \"v_prediction\"}", "v_prediction");
    check_refused("{\"_class_name\": \"EDMEulerScheduler\", \"sigma_min\": 0}", "sigma_min");
    check_refused("{\"_class_name\": \"EDMEulerScheduler\", \"sigma_max\": 0.001}", "less than sigma_max");
    check_refused("{\"_class_name\": \"EDMEulerScheduler\", \"sigma_data\": 0}", "sigma_data");
    check_refused("{\"_class_name\": \"EDMEulerScheduler\", \"rho\": []}", "rho");
    check_refused("{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"shift\": -1}", "shift");
    check_refused("{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"num_train_timesteps\": 500}",
                  "expected 1000");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_classes_of_diffusers_are_read),
        cmocka_unit_test(every_class_is_read_with_its_levels_or_refused),
        cmocka_unit_test(a_class_without_betas_means_its_own_defaults),
        cmocka_unit_test(numbers_that_are_no_json_are_texts),
        cmocka_unit_test(what_classes_have_in_common_is_read_of_any),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(files_mean_the_same_to_every_class),
        cmocka_unit_test(zero_terminal_snr_is_written_and_read_back),
        cmocka_unit_test(what_cannot_be_meant_is_refused),
    };
    return cmocka_run_group_tests_name("scheduler configurations", tests, make_folder, remove_folder);
}
