/* Training runs: the same bytes for any number of workers and after a resume, every
 * network with every objective, a network that learns eight images by heart, the
 * guard against numbers that are not finite. */
#define _XOPEN_SOURCE 700
#include "check.h"
#include "temp_folder.h"
#include "base/file.h"
#include "base/rng.h"
#include "diffusion/net.h"
#include "diffusion/sampler.h"
#include "model/generate.h"
#include "train/batch.h"
#include "train/optimizer.h"
#include "train/state.h"
#include "train/trainer.h"

enum { SIZE = 8, N_IMAGES = 40 };

/* Blobs of brightness at places that depend on the class. */
static ath_dataset images(int n, int c) {
    ath_dataset d = {.n = n, .h = SIZE, .w = SIZE, .c = c, .n_class = 4, .format = NULL};
    d.pixel = malloc((size_t)(n * SIZE * SIZE * c));
    d.label = malloc((size_t)n * sizeof *d.label);
    for (int i = 0; i < n; i++) {
        d.label[i] = i % 4;
        const double cx = 2 + 4 * (i % 2), cy = 2 + 4 * (i / 2 % 2), wide = 2 + i % 5;
        for (int p = 0; p < SIZE * SIZE * c; p++) {
            const double dx = p / c % SIZE - cx, dy = p / c / SIZE - cy;
            d.pixel[i * SIZE * SIZE * c + p] = (uint8_t)(255 * exp(-(dx * dx + dy * dy) / wide));
        }
    }
    return d;
}

static void free_images(ath_dataset *d) {
    free(d->pixel);
    free(d->label);
}

static ath_train_options options(const char *name, const char *extra) {
    int n;
    ath_err err = {0};
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    ath_options_default(table, n, &o);
    CHECK_OK(ath_preset_apply("tiny", &o, &err));
    CHECK_OK(ath_options_parse(
        table, n, &o,
        "base-channels=8,norm-groups=4,time-embedding=16,batch=10,micro-batch=2,sample-count=0,timesteps=50,warmup=2",
        &err));
    CHECK_OK(ath_options_parse(table, n, &o, extra, &err));
    snprintf(o.out, sizeof o.out, "%s/%s", folder, name);
    return o;
}

static void train(const char *name, const char *extra) {
    ath_err err = {0};
    ath_dataset d = images(N_IMAGES, 1);
    d.format = (char *)"test";
    const ath_train_options o = options(name, extra);
    CHECK_OK(ath_train(&o, &d, NULL, NULL, &err));
    free_images(&d);
}

static void check_same_file(const char *a, const char *b, const char *name) {
    ath_err err = {0};
    char path_a[200], path_b[200];
    uint8_t *bytes_a, *bytes_b;
    size_t size_a, size_b;
    snprintf(path_a, sizeof path_a, "%s/%s/%s", folder, a, name);
    snprintf(path_b, sizeof path_b, "%s/%s/%s", folder, b, name);
    CHECK_OK(ath_file_read(path_a, 1 << 28, &bytes_a, &size_a, &err));
    CHECK_OK(ath_file_read(path_b, 1 << 28, &bytes_b, &size_b, &err));
    CHECK(size_a == size_b && memcmp(bytes_a, bytes_b, size_a) == 0, "%s differs from %s", path_a, path_b);
    free(bytes_a);
    free(bytes_b);
}

static const char *const weights = "unet/diffusion_pytorch_model.safetensors";
static const char *const everything_on = "steps=7,dropout=0.1,flip=true,class-conditional=true,label-dropout=0.2,lr-"
                                         "schedule=cosine,weight-decay=0.01,attention=4";

/* Adds to a list of options. */
static const char *with(const char *base, const char *more) {
    static char text[512];
    snprintf(text, sizeof text, "%s,%s", base, more);
    return text;
}

static void any_number_of_workers_gives_the_same_bytes(void **state) {
    (void)state;
    train("one", with(everything_on, "threads=1"));
    train("two", with(everything_on, "threads=2"));
    train("five", with(everything_on, "threads=5"));
    check_same_file("one", "two", weights);
    check_same_file("one", "five", weights);
}

static int64_t stop_at;
static int64_t seen;
static void count_step(void *user, const ath_progress *p) {
    (void)user;
    seen = p->step;
}
static bool stop_here(void *user) {
    (void)user;
    return seen == stop_at;
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

/* Draws images from a run by DDIM; gives what its network predicts. */
static ath_prediction draw(const char *run, int steps, int count, float *out) {
    ath_err err = {0};
    ath_model *m;
    ath_workers *workers;
    CHECK_OK(ath_model_open(&m, run, &err));
    CHECK_OK(ath_workers_create(&workers, m, 2, 2, ATH_FORWARD, &err));
    ath_workers_use(workers, m->params);
    ath_level level[64];
    CHECK_OK(ath_levels(&(ath_process){.schedule = &m->schedule}, ATH_TRAILING, NULL, steps, level, &err));
    const double eta = 0;
    ath_generate_job job = {.sampler = ath_sampler_find("ddim"),
                            .sampler_config = &eta, /* its only option */
                            .level = level,
                            .n_steps = steps,
                            .count = count,
                            .label = -1,
                            .guidance = 1,
                            .clip = true};
    const ath_source source = ath_source_of(m, workers);
    CHECK_OK(ath_generate(&source, &job, out, &err));
    CHECK(job.nfe == steps, "%d evaluations in %d steps", job.nfe, steps);
    const ath_prediction prediction = m->prediction;
    ath_workers_destroy(workers);
    ath_model_destroy(m);
    return prediction;
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
            snprintf(extra, sizeof extra, "steps=30,lr=2e-3,net=%s,objective=%s,base-channels=%d", nets[i]->name,
                     ath_prediction_name((ath_prediction)k), strcmp(nets[i]->name, "mlp") == 0 ? 64 : 8);
            const ath_train_options o = options(name, extra);
            ath_train_result result;
            CHECK_OK(ath_train(&o, &d, NULL, &result, &err));
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

/* After training on eight images, one DDIM run lands on them: each sample's nearest
 * training image is close. */
static void a_tiny_network_learns_eight_images_by_heart(void **state) {
    (void)state;
    ath_err err = {0};
    ath_dataset d = images(8, 1);
    d.format = (char *)"test";
    const ath_train_options o =
        options("heart",
                "base-channels=16,norm-groups=8,steps=1200,lr=3e-3,batch=16,micro-batch=4,lr-schedule=cosine,ema=0.98");
    ath_train_result result;
    CHECK_OK(ath_train(&o, &d, NULL, &result, &err));
    enum { COUNT = 16, DIM = SIZE * SIZE };
    float out[COUNT * DIM];
    draw(o.out, 25, COUNT, out);
    double mean = 0;
    for (int i = 0; i < COUNT; i++) {
        double nearest = INFINITY;
        for (int k = 0; k < 8; k++) {
            float x0[DIM];
            double sum = 0;
            ath_dataset_image(&d, k, false, x0);
            for (int j = 0; j < DIM; j++)
                sum += ((double)x0[j] - (double)out[i * DIM + j]) * ((double)x0[j] - (double)out[i * DIM + j]);
            nearest = fmin(nearest, sqrt(sum / DIM));
        }
        mean += nearest / COUNT;
    }
    /* two training images differ by 0.1 to 0.6 in this measure, noise from them by about 1 */
    CHECK(mean < 0.12, "samples are %g from the nearest of the eight images (root mean square)", mean);
    free_images(&d);
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
        cmocka_unit_test(every_network_trains_with_every_objective),
        cmocka_unit_test(a_tiny_network_learns_eight_images_by_heart),
        cmocka_unit_test(the_mlp_learns_points_of_the_plane),
        cmocka_unit_test(numbers_that_are_not_finite_stop_the_run_and_keep_the_checkpoint),
        cmocka_unit_test(a_run_that_exists_is_not_overwritten),
        cmocka_unit_test(timesteps_are_stratified_and_every_epoch_sees_each_image_once),
    };
    return cmocka_run_group_tests_name("training", tests, make_folder, remove_folder);
}
