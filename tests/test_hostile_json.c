/* Every JSON file that is read, with each of its values in turn replaced by what no writer would put there: it is read or
 * refused by path, and nothing else happens (the sanitizers watch). Nesting has a limit, numbers and names have too. */
#define _XOPEN_SOURCE 700
#include "temp_folder.h"
#include <sys/stat.h>
#include "base/file.h"
#include "model/json.h"
#include "model/mixture_file.h"
#include "model/model.h"
#include "train/options.h"

/* As malloc does where there are no sanitizers: what is too large is refused, not the end of the process. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }

static ath_err err;
static const char *const golden = ATH_TEST_GOLDEN "/u3_8x8_cifar_style";

/* jansson's limit is 2048 */
enum { DEEP = 2000, TOO_DEEP = 200000 };

static const char *const hostile[] = {
    "null",
    "true",
    "0",
    "-1",
    "0.5",
    "1e308",
    "-1e308",
    "1e-320",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483647",
    "2147483648",
    "-2147483648",
    "4294967296",
    "65536",
    "\"\"",
    "\"x\"",
    "\"99999999999999999999\"",
    "\"1e999\"",
    "\"nan\"",
    "\"inf\"",
    "\"a,b=c:d/e\"",
    "\"%s%n\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "[0]",
    "[-1]",
    "[0.5]",
    "[null]",
    "[2147483647,2147483647]",
    "[9223372036854775807]",
    "[1e308,1e308]",
    "[1,[2]]",
    "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
    "{\"a\": {\"b\": [1]}}",
    "[\"\",\"\",\"\"]",
    "[\"x\", 1]",
};
enum { N_HOSTILE = sizeof hostile / sizeof *hostile };

/* `open` and `close` deeply nested around nothing; to be freed. */
static char *nested(int depth, const char *before, const char *open, const char *close, const char *after) {
    const size_t a = strlen(open), b = strlen(close), d = (size_t)depth;
    char *text = malloc(d * (a + b) + strlen(before) + strlen(after) + 8), *at = text;
    assert_non_null(text);
    at += sprintf(at, "%s", before);
    for (size_t i = 0; i < d; i++, at += a) memcpy(at, open, a);
    *at++ = '1';
    for (size_t i = 0; i < d; i++, at += b) memcpy(at, close, b);
    sprintf(at, "%s", after);
    return text;
}

/* ---- the files ---- */

typedef struct json_file {
    const char *path;                     /* what is replaced */
    ath_status (*read)(const char *path); /* opens what the file belongs to, and closes it */
} json_file;

static char model_folder[192];

static ath_status read_model(const char *path) {
    (void)path;
    ath_model *m = NULL;
    const ath_status status = ath_model_open(&m, model_folder, &err);
    CHECK((status == ATH_OK) == (m != NULL), "a model that was refused, or none that was opened: %s", err.text);
    ath_model_destroy(m);
    return status;
}
static ath_status read_mixture(const char *path) {
    ath_exact_model m;
    const ath_status status = ath_exact_model_open(&m, path, &err);
    ath_exact_model_close(&m);
    return status;
}
static ath_status read_train(const char *path) {
    int n;
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    json_t *object;
    ath_options_default(table, n, &o);
    ATH_TRY(ath_json_read(&object, path, &err));
    const ath_status status = ath_options_from_json(table, n, &o, object, true, path, &err);
    json_decref(object);
    return status;
}

/* Neither by ath_file_write nor over what is there: either may wait for the disk. */
static void put(const char *path, const char *text, size_t size) {
    remove(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* Reads the file as it now is, which must be possible or be refused by path. */
static bool reads(const json_file *f, const char *what) {
    memset(&err, 0, sizeof err);
    const ath_status status = f->read(f->path);
    const char *name = strrchr(f->path, '/') + 1;
    CHECK(status == ATH_OK || strstr(err.text, name) || strstr(err.text, model_folder),
          "%s: \"%s\" does not name the file", what, err.text);
    CHECK(status == ATH_OK || status == ATH_E_FORMAT || status == ATH_E_MEM || status == ATH_E_IO ||
              status == ATH_E_SHAPE,
          "%s: status %d, %s", what, (int)status, err.text);
    return status == ATH_OK;
}

static void put_object(const json_file *f, const json_t *object) {
    char *text = json_dumps(object, 0);
    assert_non_null(text);
    put(f->path, text, strlen(text));
    free(text);
}

/* Every value of `part`, which is `root` or within it, replaced by each of the hostile ones. */
static int replace_each(const json_file *f, const json_t *root, json_t *part) {
    int refused = 0;
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(part, next, key, value) {
        char name[64];
        snprintf(name, sizeof name, "%s", key);
        json_t *was = json_incref(value);
        for (int i = 0; i < N_HOSTILE; i++) {
            char what[160];
            json_t *other = json_loads(hostile[i], JSON_DECODE_ANY, NULL);
            CHECK(other, "hostile[%d] is not JSON", i);
            snprintf(what, sizeof what, "%s = %s", name, hostile[i]);
            json_object_set_new(part, name, other);
            put_object(f, root);
            refused += !reads(f, what);
        }
        json_object_set_new(part, name, was);
        if (json_is_object(was)) refused += replace_each(f, root, was);
    }
    return refused;
}

static void attack(const json_file *f) {
    static const char *const broken[] = {
        "",
        " ",
        "{",
        "}",
        "{}x",
        "{}{}",
        "[]",
        "1",
        "null",
        "\"x\"",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":99999999999999999999}",
        "{\"a\":1e999}",
        "{\"a\":-1e999}",
        "{\"a\":-NaN}",
        "{\"a\":Infinities}",
        "{\"a\":0x10}",
        "{\"a\":01}",
        "{\"a\\u0000b\":1}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\\ud800\"}",
        "{\"a\":\"\xff\"}",
        "{\"\xc0\x80\":1}",
        "\xef\xbb\xbf{}",
        "{\"a\":\"\n\"}",
        "{/**/}",
    };
    uint8_t *text;
    size_t size;
    json_error_t why;
    CHECK_OK(ath_file_read(f->path, 1 << 20, &text, &size, &err));
    CHECK(reads(f, "as it was"), "%s", err.text);
    json_t *root = json_loadb((const char *)text, size, 0, &why);
    assert_non_null(root);
    CHECK(replace_each(f, root, root) > 2 * (int)json_object_size(root), "hardly anything was refused");
    json_decref(root);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        put(f->path, broken[i], strlen(broken[i]));
        CHECK(!reads(f, broken[i]), "%s: %s was read", f->path, broken[i]);
    }
    put(f->path, "{\"a\":1,\0\"b\":1}", 14);
    CHECK(!reads(f, "a zero byte"), "a zero byte was read");
    for (size_t cut = 0; cut < size; cut += 1 + size / 64) { /* what follows the last brace may be missing */
        put(f->path, (const char *)text, cut);
        CHECK(!reads(f, "cut off") || cut + 2 > size, "cut off after %zu of %zu bytes it was read", cut, size);
    }
    char *deep[] = {nested(DEEP, "{\"_x\":", "[", "]", "}"), nested(DEEP, "{\"_x\":", "{\"a\":", "}", "}"),
                    nested(TOO_DEEP, "{\"_x\":", "[", "]", "}"), nested(TOO_DEEP, "{\"_x\":", "{\"a\":", "}", "}")};
    for (int i = 0; i < 4; i++) {
        put(f->path, deep[i], strlen(deep[i]));
        const bool good = reads(f, "deep nesting");
        CHECK(i < 2 || (!good && strstr(err.text, "depth")), "%d levels: %s", TOO_DEEP, good ? "read" : err.text);
        free(deep[i]);
    }
    put(f->path, (const char *)text, size);
    CHECK(reads(f, "as it was"), "%s", err.text);
    free(text);
}

/* ---- the tests ---- */

static void copy_golden(const char *name) {
    char from[512], to[256];
    uint8_t *data;
    size_t size;
    snprintf(from, sizeof from, "%s/%s", golden, name);
    snprintf(to, sizeof to, "%s/%s", model_folder, name);
    CHECK_OK(ath_file_read(from, 1 << 28, &data, &size, &err));
    CHECK_OK(ath_file_write(to, data, size, &err));
    free(data);
}

static int make_model(void **state) {
    if (make_folder(state) != 0) return -1;
    snprintf(model_folder, sizeof model_folder, "%s", in_folder("model"));
    CHECK_OK(ath_make_dirs(in_folder("model/scheduler"), &err));
    copy_golden("config.json");
    copy_golden("diffusion_pytorch_model.safetensors");
    return 0;
}

static void a_networks_configuration(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/config.json", model_folder);
    attack(&(json_file){path, read_model});
}

static void a_schedulers_configuration(void **state) {
    (void)state;
    static const char *const texts[] = {
        ("{\"_class_name\": \"DDPMScheduler\", \"beta_start\": 1e-4, \"beta_end\": 0.02, \"beta_schedule\": "
         "\"linear\", "
         "\"num_train_timesteps\": 1000, \"prediction_type\": \"epsilon\", \"trained_betas\": null}"),
        "{\"_class_name\": \"EDMEulerScheduler\", \"sigma_min\": 0.002, \"sigma_max\": 80, \"sigma_data\": 0.5}",
        "{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\", \"num_train_timesteps\": 1000, \"shift\": 1}",
    };
    char path[256];
    snprintf(path, sizeof path, "%s/scheduler/scheduler_config.json", model_folder);
    for (int i = 0; i < 3; i++) {
        put(path, texts[i], strlen(texts[i]));
        attack(&(json_file){path, read_model});
    }
    assert_int_equal(remove(path), 0);
}

static void a_mixture(void **state) {
    (void)state;
    const char *text =
        "{\"_class_name\": \"GaussianMixture\", \"shape\": [2,1,1], \"weights\": [0.3,1], \"means\": [[-0.8,0.5],"
        "[1,20]], \"stds\": [0.25,0], \"process\": \"vp\", \"schedule\": {\"beta_start\": 1e-4, "
        "\"num_train_timesteps\": 100, \"trained_betas\": null}}";
    char path[256];
    snprintf(path, sizeof path, "%s", in_folder("mixture.json"));
    put(path, text, strlen(text));
    attack(&(json_file){path, read_mixture});
}

static void the_options_of_a_run(void **state) {
    (void)state;
    int n;
    const ath_option *table = ath_train_table(&n);
    ath_train_options o;
    char path[256];
    ath_options_default(table, n, &o);
    json_t *object = json_object();
    assert_true(ath_options_to_json(table, n, &o, object));
    snprintf(path, sizeof path, "%s", in_folder("train.json"));
    CHECK_OK(ath_json_write(object, path, &err));
    attack(&(json_file){path, read_train});
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_networks_configuration),
        cmocka_unit_test(a_schedulers_configuration),
        cmocka_unit_test(a_mixture),
        cmocka_unit_test(the_options_of_a_run),
    };
    return cmocka_run_group_tests_name("hostile_json", tests, make_model, remove_folder);
}
