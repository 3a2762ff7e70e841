/* mixture.json: what it says is what is sampled from, a data set is a mixture of its images, and what is wrong is
 * refused by path and key. */
#define _XOPEN_SOURCE 700
#include "dataset_files.h"
#include "diffusion/mixture_flow.h"
#include "model/generate.h"
#include "model/mixture_file.h"

/* In the folder, as NAME. */
static const char *put_json(const char *name, const char *text) {
    put_file(name, text, strlen(text));
    return in_folder(name);
}

static ath_exact_model open_text(const char *text) {
    ath_exact_model m;
    CHECK_OK(ath_exact_model_open(&m, put_json("mixture.json", text), &err));
    return m;
}

/* ---- what it says ---- */

/* Two channels of two rows of three: number c*6 + y*3 + x in the file belongs at (y*3 + x)*2 + c. */
static void means_are_turned_from_planes_to_pixels(void **state) {
    (void)state;
    ath_exact_model m = open_text(
        "{\"_class_name\": \"GaussianMixture\", \"shape\": [2, 2, 3], \"weights\": [1, 3], \"stds\": [0, 0.5],"
        "\"means\": [[0,1,2,3,4,5,6,7,8,9,10,11], [0,-1,-2,-3,-4,-5,-6,-7,-8,-9,-10,-11.5]],"
        "\"process\": \"flow\", \"schedule\": {\"shift\": 2}, \"name\": \"passed over\"}");
    CHECK(m.image.c == 2 && m.image.h == 2 && m.image.w == 3 && m.mixture->dim == 12 && m.mixture->parts == 2,
          "shape [%d,%d,%d], %zu parts", m.image.c, m.image.h, m.image.w, m.mixture->parts);
    for (int c = 0; c < 2; c++)
        for (int p = 0; p < 6; p++)
            CHECK(m.mixture->mean[p * 2 + c] == c * 6 + p, "channel %d of pixel %d is %g", c, p,
                  m.mixture->mean[p * 2 + c]);
    CHECK(m.mixture->mean[23] == -11.5, "the last number is %g", m.mixture->mean[23]);
    CHECK(fabs(exp(m.mixture->log_weight[1]) - 0.75) < 1e-15 && m.mixture->std[1] == 0.5, "weight %g, std %g",
          exp(m.mixture->log_weight[1]), m.mixture->std[1]);
    const ath_process p = ath_scheduler_process(&m.scheduler);
    CHECK(p.kind == ATH_PROCESS_FLOW && p.shift == 2 && p.schedule == NULL, "process %s, shift %g",
          ath_process_name(p.kind), p.shift);
    ath_exact_model_close(&m);
    ath_exact_model_close(&m); /* zeroed: nothing to do */
}

#define ONE                                                                                                            \
    "{\"_class_name\": \"GaussianMixture\", \"shape\": [1,1,1], \"weights\": [1], \"means\": [[0]], \"stds\": [1]"

static void processes_have_the_numbers_they_are_given_or_the_usual_ones(void **state) {
    (void)state;
    ath_exact_model m = open_text(ONE "}");
    ath_process p = ath_scheduler_process(&m.scheduler);
    CHECK(p.kind == ATH_PROCESS_VP && p.schedule->timesteps == 1000 && p.schedule->beta_end == 0.02, "the usual vp: %s",
          ath_process_name(p.kind));
    ath_exact_model_close(&m);
    m = open_text(ONE ", \"process\": \"vp\", \"schedule\": {\"beta_schedule\": \"squaredcos_cap_v2\", "
                      "\"num_train_timesteps\": 50, \"_class_name\": \"DDIMScheduler\"}}");
    p = ath_scheduler_process(&m.scheduler);
    CHECK(p.schedule->timesteps == 50 && strcmp(p.schedule->kind->name, "cosine") == 0, "%d timesteps",
          p.schedule->timesteps);
    ath_exact_model_close(&m);
    m = open_text(ONE ", \"process\": \"ve\", \"schedule\": null}");
    p = ath_scheduler_process(&m.scheduler);
    CHECK(p.kind == ATH_PROCESS_VE && p.sigma_min == 0.002 && p.sigma_max == 80 && p.rho == 7, "the usual ve: %g to %g",
          p.sigma_min, p.sigma_max);
    ath_exact_model_close(&m);
    m = open_text(ONE ", \"process\": \"ve\", \"schedule\": {\"sigma_min\": 0.01, \"sigma_max\": 14, \"rho\": 5}}");
    p = ath_scheduler_process(&m.scheduler);
    CHECK(p.sigma_min == 0.01 && p.sigma_max == 14 && p.rho == 5, "ve: %g to %g, rho %g", p.sigma_min, p.sigma_max,
          p.rho);
    ath_level level[3];
    CHECK_OK(ath_levels(&p, ATH_KARRAS, NULL, 2, level, &err));
    CHECK(fabs(level[0].sigma - 14) < 1e-12 && fabs(level[1].sigma - 0.01) < 1e-15, "levels %g, %g", level[0].sigma,
          level[1].sigma);
    ath_exact_model_close(&m);
}

/* ---- data sets ---- */

static void a_data_set_lies_beside_the_file(void **state) {
    (void)state;
    const bytes b = idx_images(); /* 7 of 5 x 4 */
    sub_folder("sets");
    sub_folder("sets/data");
    put_file("sets/data/some-idx3-ubyte", b.data, b.size);
    ath_exact_model m;
    const char *path =
        put_json("sets/m.json", "{\"_class_name\": \"GaussianMixture\", \"dataset\": \"data/some-idx3-ubyte\","
                                "\"process\": \"flow\"}");
    CHECK_OK(ath_exact_model_open(&m, path, &err));
    CHECK(m.mixture->parts == 7 && m.image.h == 5 && m.image.w == 4 && m.image.c == 1 && m.mixture->std[6] == 0,
          "%zu parts of [%d,%d,%d]", m.mixture->parts, m.image.c, m.image.h, m.image.w);
    ath_dataset d = open_ok(in_folder("sets/data/some-idx3-ubyte"), NULL);
    float x[20];
    for (int k = 0; k < 7; k++) {
        ath_dataset_image(&d, k, false, x);
        CHECK(memcmp(x, m.mixture->image + k * 20, sizeof x) == 0, "part %d is not image %d", k, k);
    }
    ath_dataset_close(&d);
    ath_exact_model_close(&m);
    char text[400];
    snprintf(
        text, sizeof text,
        "{\"_class_name\": \"GaussianMixture\", \"dataset\": \"%s\", \"limit\": 3, \"std\": 0.25, \"image_size\": 2, "
        "\"shape\": [1,2,2]}",
        in_folder("sets/data/some-idx3-ubyte"));
    CHECK_OK(ath_exact_model_open(&m, put_json("elsewhere.json", text), &err));
    CHECK(m.mixture->parts == 3 && m.mixture->dim == 4 && m.mixture->std[2] == 0.25, "%zu parts of %zu, std %g",
          m.mixture->parts, m.mixture->dim, m.mixture->std[2]);
    ath_exact_model_close(&m);
}

/* ---- what is refused ---- */

static void refused(const char *text, const char *word) {
    ath_exact_model m, zero = {0};
    const char *path = put_json("bad.json", text);
    CHECK_FAILS(ath_exact_model_open(&m, path, &err), ATH_E_FORMAT, word);
    CHECK(strncmp(err.text, path, strlen(path)) == 0, "the message does not begin with the path: %s", err.text);
    CHECK(memcmp(&m, &zero, sizeof m) == 0, "a refused model is not zeroed after \"%s\"", err.text);
}

#define START "{\"_class_name\": \"GaussianMixture\", "

static void what_is_wrong_is_named(void **state) {
    (void)state;
    ath_exact_model m;
    CHECK_FAILS(ath_exact_model_open(&m, in_folder("none.json"), &err), ATH_E_IO, "none.json");
    refused("", "line 1");
    refused("[]", "JSON object");
    refused("{\"shape\": [1,1,1]}", "_class_name");
    refused("{\"_class_name\": \"DDPMScheduler\"}", "_class_name");
    refused(START "\"shape\": [1,1,1]}", "means");
    refused(START "\"shape\": [1,1,1], \"means\": []}", "means");
    refused(START "\"shape\": [1,1,1], \"means\": 3}", "means");
    refused(START "\"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "shape");
    refused(START "\"shape\": [1,1], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "shape");
    refused(START "\"shape\": [1,0,1], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "shape");
    refused(START "\"shape\": [1,1,1.5], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "shape");
    refused(START "\"shape\": [65536,65536,65536], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "shape");
    refused(START "\"shape\": [9223372036854775807,2,1], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "shape");
    refused(START "\"shape\": [1,32768,65536], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}",
            "means[0]: 1 numbers, expected 2147483648");
    refused(START "\"shape\": [1,65536,32768], \"means\": [[0],[0]], \"weights\": [1], \"stds\": [1]}",
            "more than 2^31");
    refused(START "\"shape\": [1,1,2], \"means\": [[0]], \"weights\": [1], \"stds\": [1]}", "means[0]");
    refused(START "\"shape\": [1,1,1], \"means\": [[0],[1,2]], \"weights\": [1,1], \"stds\": [1,1]}", "means[1]");
    refused(START "\"shape\": [1,1,1], \"means\": [[0],7], \"weights\": [1,1], \"stds\": [1,1]}", "means[1]");
    refused(START "\"shape\": [1,1,1], \"means\": [[\"0\"]], \"weights\": [1], \"stds\": [1]}", "means[0]");
    refused(START "\"shape\": [1,1,1], \"means\": [[NaN]], \"weights\": [1], \"stds\": [1]}", "item 0 is not a number");
    refused(START "\"shape\": [1,1,1], \"means\": [[1e999]], \"weights\": [1], \"stds\": [1]}", "line 1");
    refused(START "\"shape\": [1,1,1], \"means\": [[1e200]], \"weights\": [1], \"stds\": [1]}", "mean 0");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"stds\": [1]}", "weights");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [1,2], \"stds\": [1]}",
            "weights: 2 numbers, expected 1");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [0], \"stds\": [1]}", "weight 0");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [-1], \"stds\": [1]}", "weight 0");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [true], \"stds\": [1]}", "weights: item 0");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [1], \"stds\": [-1]}", "std 0");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [1], \"stds\": 1}", "stds");
    refused(START "\"shape\": [1,1,1], \"means\": [[0]], \"weights\": [1]}", "stds");
    refused(ONE ", \"process\": \"sde\"}", "process");
    refused(ONE ", \"process\": 3}", "process");
    refused(ONE ", \"schedule\": []}", "schedule: expected an object");
    refused(ONE ", \"schedule\": {\"beta_schedule\": \"linar\"}}", "linar");
    refused(ONE ", \"schedule\": {\"num_train_timesteps\": -3}}", "schedule: num_train_timesteps");
    refused(ONE ", \"process\": \"ve\", \"schedule\": {\"sigma_min\": 90}}", "schedule: sigma_min");
    refused(ONE ", \"process\": \"flow\", \"schedule\": {\"shift\": 0}}", "schedule: shift");
    refused(ONE ", \"weights\": [2]}", "line 1"); /* twice */
    refused(START "\"dataset\": 3}", "dataset");
    refused(START "\"dataset\": \"x\", \"means\": [[0]]}", "in place of");
    refused(START "\"dataset\": \"x\", \"std\": -1}", "std");
    refused(START "\"dataset\": \"x\", \"limit\": 1.5}", "limit");
    refused(START "\"dataset\": \"x\", \"image_size\": 5000}", "image_size");
    const bytes b = idx_images();
    put_file("seven-idx3-ubyte", b.data, b.size);
    refused(START "\"dataset\": \"seven-idx3-ubyte\", \"shape\": [1,4,5]}", "the images are [1,5,4]");
    refused(START "\"dataset\": \"bad.json\"}", "dataset");
    CHECK_FAILS(ath_exact_model_open(&m, put_json("gone.json", START "\"dataset\": \"gone\"}"), &err), ATH_E_IO,
                "gone.json: dataset: ");
}

/* Cut off anywhere, or with any one character changed: read or refused, but never more than that. */
static void damaged_files_do_no_harm(void **state) {
    (void)state;
    const char *text =
        "{\"_class_name\":\"GaussianMixture\",\"shape\":[2,1,1],\"weights\":[0.3,1],\"means\":[[-0.8,0.5],[1,2e1]],"
        "\"stds\":[0.25,0],\"process\":\"vp\",\"schedule\":{\"beta_start\":1e-4,\"trained_betas\":null}}";
    const size_t len = strlen(text);
    char copy[512];
    ath_exact_model m;
    for (size_t cut = 0; cut < len; cut++) {
        memcpy(copy, text, len);
        copy[cut] = 0;
        refused(copy, "line");
    }
    int opened = 0;
    for (size_t at = 0; at < len; at++)
        for (const char *other = "9-\"[{,}]: e."; *other; other++) {
            memcpy(copy, text, len + 1);
            copy[at] = *other;
            if (ath_exact_model_open(&m, put_json("changed.json", copy), &err) == ATH_OK) {
                opened++;
                CHECK(m.mixture->parts == 2 && m.mixture->dim == 2, "%s: %zu parts", copy, m.mixture->parts);
                ath_exact_model_close(&m);
            }
        }
    CHECK(opened > 20, "only %d of the changed files were still mixtures", opened);
}

/* ---- as a source ---- */

/* DDIM in many small steps ends near where the flow ends, from the same noise. */
static void a_sampler_draws_from_it_what_the_flow_leads_to(void **state) {
    (void)state;
    enum { COUNT = 5, STEPS = 400 };
    static const char *const process[] = {"vp", "ve", "flow"};
    for (int k = 0; k < 3; k++) {
        char text[400];
        snprintf(text, sizeof text,
                 START "\"shape\": [2,1,1], \"weights\": [0.3,0.5,0.2], \"means\": [[-0.8,0.5],[0.7,0.9],[0.2,-1.1]], "
                       "\"stds\": [0.25,0.15,0.35], \"process\": \"%s\"}",
                 process[k]);
        const char *path = put_json("source.json", text);
        ath_source *s;
        CHECK_OK(ath_source_open(&s, path, 2, &err));
        CHECK(s->exact && s->dim == 2 && s->image.c == 2 && s->classes == 0 && s->null_class == -1 && s->skips == 0 &&
                  strcmp(ath_process_name(s->process.kind), process[k]) == 0,
              "%s: a source of %zu numbers on %s", process[k], s->dim, ath_process_name(s->process.kind));
        ath_level level[STEPS + 1];
        double start[COUNT * 2];
        float drawn[COUNT * 2];
        CHECK_OK(ath_levels(&s->process, ath_source_spacing(s, ath_sampler_find("ddim")), NULL, STEPS, level, &err));
        ath_rng_normal_f64((ath_rng){9}, ATH_S_TEST, 0, start, COUNT * 2);
        const double eta = 0, scale = level[0].alpha < 1 ? 1 : level[0].sigma;
        ath_generate_job job = {.sampler = ath_sampler_find("ddim"),
                                .sampler_config = &eta,
                                .level = level,
                                .n_steps = STEPS,
                                .count = COUNT,
                                .label = -1,
                                .guidance = 1,
                                .start = start};
        CHECK_OK(ath_generate(s, &job, drawn, &err));
        for (int i = 0; i < COUNT * 2; i++) start[i] *= scale;
        CHECK_OK(ath_mixture_flow(s->mixture, s->pool, COUNT, start, level[0], level[STEPS], 0, NULL, &err));
        for (int i = 0; i < COUNT * 2; i++)
            CHECK(fabs((double)drawn[i] - start[i]) < 0.03, "%s: number %d is %g, the flow ends at %g", process[k], i,
                  (double)drawn[i], start[i]);
        ath_source_close(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(means_are_turned_from_planes_to_pixels),
        TEST(processes_have_the_numbers_they_are_given_or_the_usual_ones),
        TEST(a_data_set_lies_beside_the_file),
        TEST(what_is_wrong_is_named),
        TEST(damaged_files_do_no_harm),
        TEST(a_sampler_draws_from_it_what_the_flow_leads_to),
    };
    return cmocka_run_group_tests_name("mixture files", tests, NULL, NULL);
}
