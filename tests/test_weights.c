/* Weights on disk: what is loaded and saved again has the same bytes; half precision is exact; shards are the whole; what
 * is missing, foreign, pickled or elsewhere is refused by file and tensor. */
#define _XOPEN_SOURCE 700
#include "temp_folder.h"
#include <sys/stat.h>
#include "base/file.h"
#include "golden/golden.h"
#include "io/safetensors.h"
#include "model/weights.h"

static ath_err err;
static const char *const whole_name = "diffusion_pytorch_model.safetensors";
static const char *const index_name = "diffusion_pytorch_model.safetensors.index.json";
static const char *const golden = ATH_TEST_GOLDEN "/u3_8x8_cifar_style";

/* "<folder>/<name>" that the caller frees */
static char *in(const char *of, const char *name) {
    char *path = ath_path_join(of, name);
    assert_non_null(path);
    return path;
}

static void copy(const char *from, const char *name, const char *to) {
    char *a = in(from, name), *b = in(to, name);
    uint8_t *data;
    size_t size;
    CHECK_OK(ath_file_read(a, 1 << 28, &data, &size, &err));
    CHECK_OK(ath_file_write(b, data, size, &err));
    free(data);
    free(a);
    free(b);
}

/* A folder of its own in the test's, with the golden network's configuration but no weights. */
static const char *fresh(const char *name) {
    static char path[192];
    snprintf(path, sizeof path, "%s", in_folder(name));
    assert_int_equal(mkdir(path, 0777), 0);
    copy(golden, "config.json", path);
    return path;
}

static void put_text(const char *of, const char *name, const char *text) {
    char *path = in(of, name);
    CHECK_OK(ath_file_write(path, text, strlen(text), &err));
    free(path);
}

static ath_safetensors *open_weights(const char *of) {
    ath_safetensors *file;
    char *path = in(of, whole_name);
    CHECK_OK(ath_safetensors_open(&file, path, &err));
    free(path);
    return file;
}

static ath_model *open_model(const char *path) {
    ath_model *m = NULL;
    CHECK_OK(ath_model_open(&m, path, &err));
    return m;
}

/* ---- the same bytes ---- */

static void check_same_tensors(const char *source, const char *to) {
    ath_safetensors *before = open_weights(source), *after = open_weights(to);
    CHECK(ath_safetensors_count(before) == ath_safetensors_count(after), "%s: %d tensors became %d", source,
          ath_safetensors_count(before), ath_safetensors_count(after));
    for (int i = 0; i < ath_safetensors_count(before); i++) {
        const ath_array *a = ath_safetensors_at(before, i), *b = ath_safetensors_find(after, a->name);
        CHECK(b && a->dtype == ATH_F32 && b->dtype == ATH_F32 && a->n_dim == b->n_dim, "%s: %s", source, a->name);
        CHECK(memcmp(a->dim, b->dim, (size_t)a->n_dim * sizeof *a->dim) == 0, "%s: the shape of %s", source, a->name);
        CHECK(memcmp(a->data, b->data, (size_t)ath_array_len(a) * 4) == 0, "%s: the bytes of %s", source, a->name);
    }
    ath_safetensors_close(before);
    ath_safetensors_close(after);
}

/* Every setting of the source's config.json is in the one that was made of it, with the same value. */
static void check_same_settings(const char *source, const char *to) {
    json_t *before = golden_open(source, "config.json"), *after = golden_open(to, "config.json");
    const char *key;
    json_t *value;
    json_object_foreach(before, key, value) {
        if (key[0] == '_') continue;
        CHECK(json_equal(value, json_object_get(after, key)), "%s: %s is another", to, key);
    }
    json_decref(before);
    json_decref(after);
}

static void check_same_file(const char *a, const char *b, const char *name) {
    char *path[2] = {in(a, name), in(b, name)};
    uint8_t *data[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) CHECK_OK(ath_file_read(path[i], 1 << 28, &data[i], &size[i], &err));
    CHECK(size[0] == size[1] && memcmp(data[0], data[1], size[0]) == 0, "%s is not %s", path[1], path[0]);
    for (int i = 0; i < 2; i++) free(data[i]), free(path[i]);
}

/* `source` loaded and saved, and that loaded and saved again. */
static void check_round_trip(const char *source) {
    static const char *const files[] = {"model_index.json", "unet/config.json", "scheduler/scheduler_config.json",
                                        "unet/diffusion_pytorch_model.safetensors"};
    char to[2][192];
    for (int i = 0; i < 2; i++) {
        snprintf(to[i], sizeof to[i], "%s", in_folder(i ? "again" : "once"));
        if (!ath_path_exists(to[i])) assert_int_equal(mkdir(to[i], 0777), 0);
        ath_model *m = open_model(i ? to[0] : source);
        CHECK_OK(ath_model_save(m, m->params, to[i], &err));
        ath_model_destroy(m);
    }
    char *unet = in(to[0], "unet");
    check_same_tensors(source, unet);
    check_same_settings(source, unet);
    for (int i = 0; i < 4; i++) check_same_file(to[0], to[1], files[i]);
    free(unet);
}

static void loading_and_saving_keeps_every_tensors_bytes(void **state) {
    (void)state;
    static const char *const shared[] = {"u1_8x8_lpb1", "u2_16x16_lpb2_class", "u3_8x8_cifar_style"};
    check_round_trip(golden);
    for (int i = 0; i < 3; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/unet/%s", ATH_SHARED_GOLDEN, shared[i]);
        if (ath_path_exists(path)) check_round_trip(path);
    }
}

/* ---- configurations ---- */

/* An option of the network as text. */
static const char *option_of(const ath_model *m, const char *name) {
    static char text[ATH_TEXT_LEN];
    ath_options_format(ath_options_find(m->net->options, m->net->n_options, name), m->config, text, sizeof text);
    return text;
}

/* config.json of the golden network with `key` replaced (JSON; NULL: taken out). */
static void put_config(const char *path, const char *key, const char *value) {
    json_t *o = golden_open(golden, "config.json");
    if (value)
        json_object_set_new(o, key, json_loads(value, JSON_DECODE_ANY, NULL));
    else
        json_object_del(o, key);
    char *text = json_dumps(o, 0);
    put_text(path, "config.json", text);
    free(text);
    json_decref(o);
}

static void a_key_that_is_not_there_means_what_diffusers_means(void **state) {
    (void)state;
    static const char *const shapes[] = {"block_out_channels", "down_block_types"};
    const char *path = fresh("keys");
    copy(golden, whole_name, path);
    ath_model *m = open_model(path);
    CHECK(strcmp(option_of(m, "attention_head_dim"), "0") == 0, "the golden network has heads of %s channels",
          option_of(m, "attention_head_dim"));
    ath_model_destroy(m);
    put_config(path, "attention_head_dim", NULL);
    m = open_model(path);
    CHECK(strcmp(option_of(m, "attention_head_dim"), "8") == 0, "heads of %s channels",
          option_of(m, "attention_head_dim"));
    ath_model_destroy(m);
    put_config(path, "sample_size", NULL);
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_SHAPE, "sample_size has 0 numbers");
    for (int i = 0; i < 2; i++) {
        put_config(path, shapes[i], NULL);
        CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_SHAPE, "block_out_channels, down_block_types");
    }
}

static void images_may_be_wider_than_high(void **state) {
    (void)state;
    const char *path = fresh("wide");
    copy(golden, whole_name, path);
    put_config(path, "sample_size", "[8, 16]");
    ath_model *m = open_model(path);
    CHECK(m->image.h == 8 && m->image.w == 16, "an image of %dx%d", m->image.w, m->image.h);
    CHECK_OK(ath_make_dirs(in_folder("wide-saved"), &err));
    CHECK_OK(ath_model_save(m, m->params, in_folder("wide-saved"), &err));
    ath_model_destroy(m);
    m = open_model(in_folder("wide-saved"));
    CHECK(m->image.h == 8 && m->image.w == 16, "came back as %dx%d", m->image.w, m->image.h);
    ath_model_destroy(m);
    put_config(path, "sample_size", "[8, 8, 8]");
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_SHAPE, "sample_size has 3 numbers");
}

/* DDPMPipeline would draw wrong pictures from it, so it must miss a part there; what it draws right from stays whole. */
static void the_index_names_a_scheduler_unless_it_is_edm_s(void **state) {
    (void)state;
    const char *path = in_folder("index-of");
    CHECK_OK(ath_make_dirs(path, &err));
    for (int edm = 0; edm < 2; edm++) {
        ath_model *m = open_model(golden);
        if (edm) {
            ath_schedule_free(&m->schedule);
            m->prediction = ATH_EDM_F;
            m->process = (ath_process){.kind = ATH_PROCESS_VE, .sigma_min = 0.002, .sigma_max = 80, .rho = 7};
            m->sigma_data = 0.5;
        }
        CHECK_OK(ath_model_save(m, m->params, path, &err));
        ath_model_destroy(m);
        json_t *index = golden_open(path, "model_index.json");
        CHECK((json_object_get(index, "scheduler") == NULL) == edm && json_object_get(index, "unet"), "of %s",
              edm ? "edm" : "epsilon");
        json_decref(index);
    }
    ath_model *m = open_model(path);
    CHECK(m->prediction == ATH_EDM_F && m->process.sigma_max == 80, "it came back as %s",
          ath_prediction_name(m->prediction));
    ath_model_destroy(m);
}

/* ---- half precision ---- */

/* By definition: sign, exponent, fraction. */
static double half_value(unsigned bits) {
    const int e = (int)(bits >> 10 & 31), f = (int)(bits & 1023);
    const double x = e ? ldexp(1024 + f, e - 25) : ldexp(f, -24);
    return bits >> 15 ? -x : x;
}
static double bfloat_value(unsigned bits) {
    const int e = (int)(bits >> 7 & 255), f = (int)(bits & 127);
    const double x = e ? ldexp(128 + f, e - 134) : ldexp(f, -133);
    return bits >> 15 ? -x : x;
}

/* Every finite pattern of bits in turn, in the order of the file. */
static void check_half(ath_dtype dtype, const char *name, double value(unsigned)) {
    const char *path = fresh(name);
    ath_safetensors *file = open_weights(golden);
    const int n = ath_safetensors_count(file);
    ath_array *array = calloc((size_t)n, sizeof *array);
    unsigned bits = 0;
    for (int i = 0; i < n; i++) {
        array[i] = *ath_safetensors_at(file, i);
        array[i].dtype = dtype;
        const size_t len = (size_t)ath_array_len(&array[i]);
        uint16_t *data = malloc(len * sizeof *data);
        for (size_t k = 0; k < len; k++, bits = (bits + 1) & 0xffff) {
            const unsigned exponent = dtype == ATH_F16 ? 0x7c00 : 0x7f80;
            data[k] = (uint16_t)((bits & exponent) == exponent ? 0 : bits);
        }
        array[i].data = data;
    }
    char *to = in(path, whole_name);
    CHECK_OK(ath_safetensors_save(to, array, n, NULL, 0, &err));
    ath_model *m = open_model(path);
    float *disk = malloc(m->n_params * sizeof *disk);
    for (int i = 0; i < n; i++) {
        const ath_param *p = ath_param_find(m->graph, array[i].name);
        ath_param_to_disk(p, m->params + p->offset, disk);
        for (size_t k = 0; k < p->len; k++) {
            const unsigned was = ((const uint16_t *)array[i].data)[k];
            CHECK((double)disk[k] == value(was), "%s: %s[%zu]: bits %04x became %.9g, expected %.9g", name, p->name, k,
                  was, (double)disk[k], value(was));
        }
        free((void *)array[i].data);
    }
    free(disk);
    free(to);
    free(array);
    ath_safetensors_close(file);
    ath_model_destroy(m);
}

static void half_precision_is_read_exactly(void **state) {
    (void)state;
    check_half(ATH_F16, "half", half_value);
    check_half(ATH_BF16, "bfloat", bfloat_value);
}

/* The golden weights times `scale`, to a file. */
static void put_scaled(const char *path, const char *name, float scale) {
    ath_safetensors *file = open_weights(golden);
    const int n = ath_safetensors_count(file);
    ath_array *array = calloc((size_t)n, sizeof *array);
    for (int i = 0; i < n; i++) {
        array[i] = *ath_safetensors_at(file, i);
        float *x = malloc((size_t)ath_array_len(&array[i]) * sizeof *x);
        ath_array_to_f32(&array[i], x);
        for (int64_t k = 0; k < ath_array_len(&array[i]); k++) x[k] *= scale;
        array[i].data = x;
    }
    char *to = in(path, name);
    CHECK_OK(ath_safetensors_save(to, array, n, NULL, 0, &err));
    free(to);
    for (int i = 0; i < n; i++) free((void *)array[i].data);
    free(array);
    ath_safetensors_close(file);
}

/* Each place's weights are scaled by another number, so that they say where they are from. */
static void variants_are_read_where_there_is_no_plain_file(void **state) {
    (void)state;
    static const char *const places[] = {"diffusion_pytorch_model.bf16.safetensors",
                                         "diffusion_pytorch_model.fp16.safetensors",
                                         "diffusion_pytorch_model.safetensors"};
    const char *path = fresh("variants");
    ath_model *whole = open_model(golden);
    put_text(path, "diffusion_pytorch_model.bin", "\x80\x02");
    for (int i = 0; i < 3; i++) {
        put_scaled(path, places[i], (float)(2 << i));
        ath_model *m = open_model(path);
        for (size_t k = 0; k < m->n_params; k++)
            CHECK(m->params[k] == (float)(2 << i) * whole->params[k], "the weights are not those of %s", places[i]);
        ath_model_destroy(m);
    }
    ath_model_destroy(whole);
    path = fresh("variant-index");
    put_scaled(path, "a", 1);
    put_text(path, "diffusion_pytorch_model.safetensors.index.fp16.json", "{\"weight_map\": {\"foreign\": \"a\"}}");
    CHECK_FAILS(ath_model_open(&whole, path, &err), ATH_E_FORMAT, "index.fp16.json: tensor \"foreign\"");
}

static void integers_are_no_weights(void **state) {
    (void)state;
    const char *path = fresh("integers");
    ath_safetensors *file = open_weights(golden);
    const int n = ath_safetensors_count(file);
    ath_array *array = calloc((size_t)n, sizeof *array);
    for (int i = 0; i < n; i++) array[i] = *ath_safetensors_at(file, i);
    array[n / 2].dtype = ATH_I32; /* as many bytes */
    char *to = in(path, whole_name);
    CHECK_OK(ath_safetensors_save(to, array, n, NULL, 0, &err));
    ath_model *m;
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, "is I32, expected F32, F16, BF16 or F64");
    CHECK(strstr(err.text, array[n / 2].name), "%s", err.text);
    free(to);
    free(array);
    ath_safetensors_close(file);
}

/* ---- shards ---- */

enum { SHARDS = 3 };

/* The golden weights in three files, tensor i in file i % 3, with their index but for `but` (may be NULL), of which `said`
 * (JSON; may be NULL) is said instead. */
static void put_shards(const char *path, const char *but, const char *said) {
    ath_safetensors *file = open_weights(golden);
    const int n = ath_safetensors_count(file);
    ath_array *part = calloc((size_t)n, sizeof *part);
    char *text = malloc((size_t)n * 256 + 256);
    size_t used = (size_t)sprintf(text, "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {");
    for (int s = 0; s < SHARDS; s++) {
        char name[64];
        int k = 0;
        snprintf(name, sizeof name, "diffusion_pytorch_model-%05d-of-%05d.safetensors", s + 1, SHARDS);
        for (int i = s; i < n; i += SHARDS) part[k++] = *ath_safetensors_at(file, i);
        char *to = in(path, name);
        CHECK_OK(ath_safetensors_save(to, part, k, NULL, 0, &err));
        free(to);
        for (int i = 0; i < k; i++) {
            const bool other = but && strcmp(part[i].name, but) == 0;
            if (other && !said) continue;
            used += (size_t)sprintf(text + used, "%s\"%s\": ", text[used - 1] == '{' ? "" : ",", part[i].name);
            used += other ? (size_t)sprintf(text + used, "%s", said) : (size_t)sprintf(text + used, "\"%s\"", name);
        }
    }
    sprintf(text + used, "}}");
    put_text(path, index_name, text);
    free(text);
    free(part);
    ath_safetensors_close(file);
}

static void shards_are_the_whole(void **state) {
    (void)state;
    const char *path = fresh("shards");
    put_shards(path, NULL, NULL);
    ath_model *whole = open_model(golden), *shards = open_model(path);
    CHECK(whole->n_params == shards->n_params &&
              memcmp(whole->params, shards->params, whole->n_params * sizeof(float)) == 0,
          "the weights differ");
    ath_model_destroy(whole);
    ath_model_destroy(shards);
}

/* 270 GB of weights in a few bytes of configuration: refused before memory is taken for them. */
static void a_configuration_of_more_than_there_is_refused(void **state) {
    (void)state;
    ath_model *m = NULL;
    const char *path = fresh("large");
    put_shards(path, NULL, NULL);
    put_text(path, "config.json",
             "{\"sample_size\": 32, \"block_out_channels\": [16384, 16384], \"down_block_types\": [\"DownBlock2D\", "
             "\"DownBlock2D\"], "
             "\"up_block_types\": [\"UpBlock2D\", \"UpBlock2D\"], \"layers_per_block\": 4}");
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, "too few for the");
    assert_null(m);
}

static void an_index_that_is_wrong_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *said, *word;
    } bad[] = {
        {"dropped", NULL, "conv_in.weight\" is not where the index says"},
        {"elsewhere", "\"diffusion_pytorch_model-00003-of-00003.safetensors\"", "conv_in.weight\" is not where"},
        {"above", "\"../x.safetensors\"", "conv_in.weight: expected the name of a file"},
        {"rooted", "\"/etc/passwd\"", "conv_in.weight: expected the name of a file"},
        {"hidden", "\".x\"", "conv_in.weight: expected the name of a file"},
        {"empty", "\"\"", "conv_in.weight: expected the name of a file"},
        {"number", "3", "conv_in.weight: expected the name of a file"},
        {"nested", "{\"a\": [\"b\"]}", "conv_in.weight: expected the name of a file"},
    };
    ath_model *m = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = fresh(bad[i].name);
        put_shards(path, "conv_in.weight", bad[i].said);
        CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, bad[i].word);
        assert_null(m);
    }
    const char *path = fresh("gone");
    put_shards(path, "conv_in.weight", "\"x.safetensors\"");
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_IO, "x.safetensors: cannot open");
    static const struct {
        const char *text, *word;
    } indices[] = {
        {"{}", "weight_map: expected an object"},
        {"{\"weight_map\": []}", "weight_map: expected an object"},
        {"{\"weight_map\": {}}", "is missing"},
        {"{\"weight_map\": {\"foreign\": \"a\"}}", "\"foreign\" does not belong to this unet"},
        {"{\"weight_map\": {\"conv_in.weight\": \"a\", \"conv_in.weight\": \"b\"}}", "duplicate"},
        {"[[[[", "line 1"},
    };
    path = fresh("index");
    put_shards(path, NULL, NULL);
    for (size_t i = 0; i < sizeof indices / sizeof *indices; i++) {
        put_text(path, index_name, indices[i].text);
        CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, indices[i].word);
        CHECK(strstr(err.text, index_name), "%s", err.text);
    }
}

/* ---- names ---- */

/* The golden weights with attention's old names; `both`: one of them also under its new name. */
static void put_old_names(const char *path, bool both) {
    static const char *const names[][2] = {
        {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
    ath_safetensors *file = open_weights(golden);
    const int n = ath_safetensors_count(file);
    ath_array *array = calloc((size_t)n + 1, sizeof *array);
    char(*text)[128] = calloc((size_t)n, sizeof *text);
    int changed = 0, last = 0;
    for (int i = 0; i < n; i++) {
        array[i] = *ath_safetensors_at(file, i);
        for (int k = 0; k < 4; k++) {
            const char *at = strstr(array[i].name, names[k][0]);
            if (!at) continue;
            snprintf(text[i], sizeof text[i], "%.*s%s%s", (int)(at - array[i].name), array[i].name, names[k][1],
                     at + strlen(names[k][0]));
            array[i].name = text[i];
            changed++;
            last = i;
            break;
        }
    }
    CHECK(changed >= 8, "only %d tensors of attention", changed);
    array[n] = *ath_safetensors_at(file, last);
    char *to = in(path, whole_name);
    CHECK_OK(ath_safetensors_save(to, array, n + both, NULL, 0, &err));
    free(to);
    free(text);
    free(array);
    ath_safetensors_close(file);
}

static void attention_has_its_old_names_too(void **state) {
    (void)state;
    const char *path = fresh("old");
    put_old_names(path, false);
    ath_model *now = open_model(golden), *old = open_model(path);
    CHECK(memcmp(now->params, old->params, now->n_params * sizeof(float)) == 0, "the weights differ");
    ath_model_destroy(now);
    ath_model_destroy(old);
    path = fresh("both");
    put_old_names(path, true);
    CHECK_FAILS(ath_model_open(&now, path, &err), ATH_E_FORMAT, "is given twice");
}

static void weights_that_are_not_there_or_pickled_are_refused(void **state) {
    (void)state;
    ath_model *m = NULL;
    const char *path = fresh("none");
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, "none: has no weights: expected diffusion_pytorch_model");
    put_text(path, "diffusion_pytorch_model.bin.index.json", "{}");
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, "diffusion_pytorch_model.bin.index.json only, a pickle");
    put_text(path, "diffusion_pytorch_model.bin", "\x80\x02");
    CHECK_FAILS(ath_model_open(&m, path, &err), ATH_E_FORMAT, "diffusion_pytorch_model.bin only, a pickle");
    put_shards(path, NULL, NULL); /* beside safetensors it is passed over */
    m = open_model(path);
    ath_model_destroy(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loading_and_saving_keeps_every_tensors_bytes),
        cmocka_unit_test(a_key_that_is_not_there_means_what_diffusers_means),
        cmocka_unit_test(images_may_be_wider_than_high),
        cmocka_unit_test(the_index_names_a_scheduler_unless_it_is_edm_s),
        cmocka_unit_test(half_precision_is_read_exactly),
        cmocka_unit_test(variants_are_read_where_there_is_no_plain_file),
        cmocka_unit_test(integers_are_no_weights),
        cmocka_unit_test(shards_are_the_whole),
        cmocka_unit_test(a_configuration_of_more_than_there_is_refused),
        cmocka_unit_test(an_index_that_is_wrong_is_refused),
        cmocka_unit_test(attention_has_its_old_names_too),
        cmocka_unit_test(weights_that_are_not_there_or_pickled_are_refused),
    };
    return cmocka_run_group_tests_name("weights", tests, make_folder, remove_folder);
}
