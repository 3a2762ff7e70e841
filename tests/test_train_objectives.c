/* Training with every objective: each network's loss falls and its checkpoint can be sampled from; levels are drawn as
 * the objective's process has it; runs resume to the same bytes, with the deviation that was measured. */
#define _XOPEN_SOURCE 700
#include "training.h"

/* The loss of every step, with noise and levels that change: means of ten tell a trend. */
enum { LOSSES = 64 };
static double losses[LOSSES];
static void keep_loss(void *user, const ath_progress *p) {
    (void)user;
    if (p->step <= LOSSES) losses[p->step - 1] = p->loss;
}
static double mean_loss(int from) {
    double sum = 0;
    for (int i = from; i < from + 10; i++) sum += losses[i] / 10;
    return sum;
}

static void every_network_trains_with_every_objective(void **state) {
    (void)state;
    int n_nets;
    const ath_net *const *nets = ath_net_all(&n_nets);
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 3);
    d.format = (char *)"test";
    for (int i = 0; i < n_nets; i++)
        for (int k = 0; k < ath_prediction_count(); k++) {
            char name[64], extra[256];
            snprintf(name, sizeof name, "%s-%s", nets[i]->name, ath_prediction_name((ath_prediction)k));
            snprintf(extra, sizeof extra, "steps=60,lr=2e-3,net=%s,objective=%s,base-channels=%d", nets[i]->name,
                     ath_prediction_name((ath_prediction)k), strcmp(nets[i]->name, "mlp") == 0 ? 64 : 8);
            const ath_train_options o = options(name, extra);
            ath_train_result result;
            CHECK_OK(ath_train(&o, &d, &(ath_train_hooks){.on_step = keep_loss}, &result, &err));
            print_message("%s: loss %.3f, then %.3f\n", name, mean_loss(0), mean_loss(50));
            CHECK(mean_loss(50) < 0.97 * mean_loss(0), "%s: the loss was %g and is %g", name, mean_loss(0),
                  mean_loss(50));
            CHECK(isfinite(result.last.loss) && isfinite(result.last.grad_norm) && result.last.grad_norm > 0,
                  "%s: loss %g, gradient %g", name, result.last.loss, result.last.grad_norm);
            /* and the checkpoint can be sampled from */
            float out[3 * SIZE * SIZE * 3];
            CHECK(draw(o.out, 5, 3, out) == (ath_prediction)k, "%s came back with another prediction", name);
            for (size_t j = 0; j < sizeof out / sizeof *out; j++)
                CHECK(out[j] >= -1 && out[j] <= 1, "%s: pixel %g", name, (double)out[j]);
        }
    free_images(&d);
}

static void flow_and_edm_resume_to_the_same_bytes_too(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    static const char *const objectives[] = {"flow", "edm"};
    const ath_train_hooks hooks = {.on_step = count_step, .should_stop = stop_here};
    for (int k = 0; k < 2; k++) {
        char whole[32], pieces[32], extra[256];
        snprintf(whole, sizeof whole, "whole-%s", objectives[k]);
        snprintf(pieces, sizeof pieces, "pieces-%s", objectives[k]);
        snprintf(extra, sizeof extra, "steps=5,loss-weight=%s,objective=%s", k ? "min-snr" : "p2", objectives[k]);
        train(whole, with(extra, "threads=2"));
        for (stop_at = 2; stop_at <= 4; stop_at += 2) {
            const ath_train_options o = options(pieces, with(extra, "resume=true,threads=1"));
            CHECK_OK(ath_train(&o, &d, &hooks, NULL, &err));
        }
        train(pieces, with(extra, "resume=true"));
        check_same_file(whole, pieces, weights);
        check_same_file(whole, pieces, "scheduler/scheduler_config.json");
    }
    free_images(&d);
}

/* EDM's sigma_data is that of the data a run was begun with. */
static void the_datas_deviation_is_measured_once_and_kept(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1), dim = images(N_IMAGES, 1);
    d.format = dim.format = (char *)"test";
    const int len = N_IMAGES * SIZE * SIZE;
    double sum = 0, squares = 0, given[2];
    for (int i = 0; i < len; i++) {
        const double x = d.pixel[i] / 127.5 - 1;
        sum += x / len;
        squares += x * x / len;
        dim.pixel[i] /= 4;
    }
    for (int k = 0; k < 2; k++) {
        const ath_train_options o =
            options("deviation", k ? "objective=edm,steps=4,resume=true" : "objective=edm,steps=2");
        ath_model *m;
        CHECK_OK(ath_train(&o, k ? &dim : &d, NULL, NULL, &err));
        CHECK_OK(ath_model_open(&m, o.out, &err));
        given[k] = m->sigma_data;
        CHECK(m->prediction == ATH_EDM_F && m->process.kind == ATH_PROCESS_VE && !m->process.schedule &&
                  m->process.sigma_min == 0.002 && m->process.sigma_max == 80 && m->process.rho == 7,
              "edm came back as %s on %s", ath_prediction_name(m->prediction), ath_process_name(m->process.kind));
        ath_model_destroy(m);
    }
    const double expected = sqrt(squares - sum * sum);
    CHECK(fabs(given[0] - expected) < 1e-6, "sigma_data %.9g, the pixels' deviation is %.9g", given[0], expected);
    CHECK(given[1] == given[0], "sigma_data became %.9g on resuming with other data, it was %.9g", given[1], given[0]);
    free_images(&d);
    free_images(&dim);
}

/* The share of levels below each draw's is in its place's stratum: t itself of a flow, the normal
 * distribution's of EDM's log sigma. */
static void levels_of_flow_and_edm_are_stratified(void **state) {
    (void)state;
    enum { BATCH = 20 };
    ath_dataset d = images(N_IMAGES, 1);
    float x0[SIZE * SIZE], eps[SIZE * SIZE];
    for (int kind = ATH_PROCESS_VE; kind <= ATH_PROCESS_FLOW; kind++) {
        ath_model m = {.process = {.kind = (ath_process_kind)kind}};
        const ath_batch_rules rules = {.model = &m, .data = &d, .rng = {3}, .batch = BATCH};
        double mean = 0;
        for (uint64_t step = 0; step < 50; step++)
            for (int i = 0; i < BATCH; i++) {
                const ath_level at = ath_batch_draw(&rules, step, i, x0, eps).level;
                double below = at.sigma, time = 1000 * at.sigma;
                if (kind == ATH_PROCESS_VE) {
                    below = 0.5 * erfc(-(log(at.sigma) + 1.2) / 1.2 / sqrt(2));
                    time = log(at.sigma) / 4;
                }
                CHECK(below > (i - 1e-9) / BATCH && below < (i + 1 + 1e-9) / BATCH, "%s: sigma %g in place %d of %d",
                      ath_process_name(m.process.kind), at.sigma, i, BATCH);
                CHECK(fabs(at.t - time) < 1e-9, "%s: sigma %g has time %g", ath_process_name(m.process.kind), at.sigma,
                      at.t);
                mean += below / (50 * BATCH);
            }
        CHECK(fabs(mean - 0.5) < 0.002, "%s: the mean share is %g", ath_process_name(m.process.kind), mean);
    }
    free_images(&d);
}

static void flow_and_edm_learn_eight_images_by_heart_too(void **state) {
    (void)state;
    static const char *const objectives[] = {"flow", "edm"};
    for (int k = 0; k < 2; k++) {
        const double mean = learn_by_heart(objectives[k], 300);
        print_message("%s: samples are %.3f from the nearest image\n", objectives[k], mean);
        CHECK(mean < 0.12, "%s: samples are %g from the nearest of the eight images (root mean square)", objectives[k],
              mean);
    }
}

/* With the schedule rescaled to pure noise: v and x0 train, resume and are drawn from; nothing else is begun. */
static void v_and_x0_train_to_zero_terminal_snr(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    const ath_train_hooks hooks = {.on_step = count_step, .should_stop = stop_here};
    for (int p = 0; p < ath_prediction_count(); p++) {
        char whole[64], pieces[64], extra[256];
        const char *objective = ath_prediction_name((ath_prediction)p);
        snprintf(whole, sizeof whole, "zero-%s", objective);
        snprintf(pieces, sizeof pieces, "zero-pieces-%s", objective);
        snprintf(extra, sizeof extra, "steps=5,zero-snr=true,objective=%s", objective);
        const ath_train_options o = options(pieces, extra);
        stop_at = 3;
        const ath_status status = ath_train(&o, &d, &hooks, NULL, &err);
        if (p != ATH_V && p != ATH_SAMPLE) {
            CHECK(status == ATH_E_ARG && strstr(err.text, "--zero-snr") && strstr(err.text, "--objective"),
                  "%s: status %d, %s", objective, (int)status, err.text);
            continue;
        }
        CHECK_OK(status);
        train(pieces, with(extra, "resume=true"));
        train(whole, extra);
        check_same_file(whole, pieces, weights);
        check_same_file(whole, pieces, "scheduler/scheduler_config.json");
        ath_model *m;
        CHECK_OK(ath_model_open(&m, options(whole, extra).out, &err));
        CHECK(m->schedule.zero_snr && m->schedule.alpha_bar[m->schedule.timesteps - 1] == 0,
              "%s: the run's schedule ends in alpha_bar %g", objective,
              m->schedule.alpha_bar[m->schedule.timesteps - 1]);
        ath_model_destroy(m);
    }
    free_images(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_network_trains_with_every_objective),
        cmocka_unit_test(flow_and_edm_resume_to_the_same_bytes_too),
        cmocka_unit_test(the_datas_deviation_is_measured_once_and_kept),
        cmocka_unit_test(levels_of_flow_and_edm_are_stratified),
        cmocka_unit_test(v_and_x0_train_to_zero_terminal_snr),
        cmocka_unit_test(flow_and_edm_learn_eight_images_by_heart_too),
    };
    return cmocka_run_group_tests_name("objectives", tests, make_folder, remove_folder);
}
