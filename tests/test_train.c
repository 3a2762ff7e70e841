/* Training runs: the same bytes for any number of workers and after a resume, a network that
 * learns eight images by heart, the guard against numbers that are not finite. Every objective:
 * test_train_objectives.c. */
#define _XOPEN_SOURCE 700
#include "training.h"

static const char *const everything_on = "steps=7,dropout=0.1,flip=true,class-conditional=true,label-dropout=0.2,lr-"
                                         "schedule=cosine,weight-decay=0.01,attention=4";

static void any_number_of_workers_gives_the_same_bytes(void **state) {
    (void)state;
    train("one", with(everything_on, "threads=1"));
    train("two", with(everything_on, "threads=2"));
    train("five", with(everything_on, "threads=5"));
    check_same_file("one", "two", weights);
    check_same_file("one", "five", weights);
}

static void stopping_at_every_step_and_resuming_gives_the_same_bytes(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    train("whole", with(everything_on, "steps=6"));
    const ath_train_hooks hooks = {.on_step = count_step, .should_stop = stop_here};
    for (stop_at = 1; stop_at <= 6; stop_at++) {
        const ath_train_options o = options("pieces", with(everything_on, "steps=6,resume=true"));
        ath_train_result result;
        CHECK_OK(ath_train(&o, &d, &hooks, &result, &err));
        CHECK(result.stopped && result.last.step == stop_at, "stopped at step %d", (int)result.last.step);
    }
    check_same_file("whole", "pieces", weights);
    free_images(&d);
}

static void a_tiny_network_learns_eight_images_by_heart(void **state) {
    (void)state;
    const double mean = learn_by_heart("epsilon", 1200);
    print_message("epsilon: samples are %.3f from the nearest image\n", mean);
    CHECK(mean < 0.12, "samples are %g from the nearest of the eight images (root mean square)", mean);
}

/* Four points of the plane: an "image" of one pixel and two channels. */
static void the_mlp_learns_points_of_the_plane(void **state) {
    (void)state;
    ath_err err = {0};
    static const uint8_t point[4][2] = {{40, 40}, {40, 215}, {215, 40}, {215, 215}};
    ath_dataset d = {.n = 64, .h = 1, .w = 1, .c = 2, .format = (char *)"test"};
    uint8_t pixel[64 * 2];
    for (int i = 0; i < 128; i++) pixel[i] = point[i / 2 % 4][i % 2];
    d.pixel = pixel;
    const ath_train_options o =
        options("plane", "net=mlp,base-channels=128,res-blocks=3,timesteps=100,steps=1500,lr=2e-3,batch=64,micro-batch="
                         "16,lr-schedule=cosine,ema=0.99,sample-count=4");
    CHECK_OK(ath_train(&o, &d, NULL, NULL, &err));
    enum { COUNT = 64 };
    float out[COUNT * 2];
    draw(o.out, 25, COUNT, out);
    int count[4] = {0}, near = 0;
    for (int i = 0; i < COUNT; i++) {
        const double x = fabs((double)out[2 * i]) - (215 / 127.5 - 1),
                     y = fabs((double)out[2 * i + 1]) - (215 / 127.5 - 1);
        near += sqrt(x * x + y * y) < 0.2;
        count[(out[2 * i] > 0) + 2 * (out[2 * i + 1] > 0)]++;
    }
    CHECK(near >= COUNT * 9 / 10, "%d of %d samples are near a point", near, COUNT);
    for (int i = 0; i < 4; i++) CHECK(count[i] >= 4, "%d of %d samples in quadrant %d", count[i], COUNT, i);
}

static void numbers_that_are_not_finite_stop_the_run_and_keep_the_checkpoint(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    train("guard", "steps=2");
    train("kept", "steps=2");
    /* a rate this large throws the weights out of float's range within a step or two */
    const ath_train_options o =
        options("guard", "steps=40,lr=10,adam-eps=0,weight-decay=10,grad-clip=0,warmup=0,resume=true,save-every=1000");
    ath_train_options wild = o;
    wild.lr = 1e38;
    memset(&err, 0, sizeof err);
    CHECK_FAILS(ath_train(&wild, &d, NULL, NULL, &err), ATH_E_FORMAT, "10 steps in a row");
    check_same_file("guard", "kept", weights);
    free_images(&d);
}

static void a_run_that_exists_is_not_overwritten(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    train("taken", "steps=1");
    const ath_train_options o = options("taken", "steps=1");
    CHECK_FAILS(ath_train(&o, &d, NULL, NULL, &err), ATH_E_ARG, "--resume");
    const ath_train_options other = options("taken", "steps=3,resume=true,base-channels=16");
    CHECK_FAILS(ath_train(&other, &d, NULL, NULL, &err), ATH_E_FORMAT, "training_state.safetensors");
    free_images(&d);
}

static void timesteps_are_stratified_and_every_epoch_sees_each_image_once(void **state) {
    (void)state;
    ath_dataset d = images(N_IMAGES, 1);
    ath_model m = {.schedule = {.timesteps = 100}};
    double alpha_bar[100];
    for (int i = 0; i < 100; i++) alpha_bar[i] = 1 - (i + 1) / 101.0;
    m.schedule.alpha_bar = alpha_bar;
    m.process.schedule = &m.schedule;
    const ath_batch_rules rules = {.model = &m, .data = &d, .rng = {3}, .batch = 20};
    int64_t sums[2] = {0};
    float x0[SIZE * SIZE], eps[SIZE * SIZE];
    for (uint64_t step = 0; step < 4; step++) /* two epochs of 40 images */
        for (int i = 0; i < 20; i++) {
            const ath_draw draw = ath_batch_draw(&rules, step, i, x0, eps);
            CHECK(draw.level.t >= i * 5 && draw.level.t < (i + 1) * 5, "timestep %g of place %d", draw.level.t, i);
            for (int j = 0; j < SIZE * SIZE; j++) sums[step / 2] += (int64_t)lrintf((x0[j] + 1) * 127.5f);
        }
    CHECK(sums[0] == sums[1], "the epochs' pixels sum to %ld and %ld", (long)sums[0], (long)sums[1]);
    free_images(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_workers_gives_the_same_bytes),
        cmocka_unit_test(stopping_at_every_step_and_resuming_gives_the_same_bytes),
        cmocka_unit_test(a_tiny_network_learns_eight_images_by_heart),
        cmocka_unit_test(the_mlp_learns_points_of_the_plane),
        cmocka_unit_test(numbers_that_are_not_finite_stop_the_run_and_keep_the_checkpoint),
        cmocka_unit_test(a_run_that_exists_is_not_overwritten),
        cmocka_unit_test(timesteps_are_stratified_and_every_epoch_sees_each_image_once),
    };
    return cmocka_run_group_tests_name("training", tests, make_folder, remove_folder);
}
