/* What fuse.h puts together, on graphs of a few operations: the same numbers as the operations one by one, in an arena
 * full of NaN; and what must be left alone is. Whole networks: test_plan.c. */
#include "check.h"
#include "graphs.h"

/* Of each image two scales; patterns take the second. */
static const float three_scales[IMAGES * 2] = {9, 1, 9, 0.7F, 9, 0}, ones[IMAGES * 2] = {9, 1, 9, 1, 9, 1};

/* A gelu is part of no pattern. */
static ath_tensor given(subject *s, const char *name, int h, int w, int c) {
    const ath_tensor x = input(s, name, h, w, c);
    char layer[32];
    snprintf(layer, sizeof layer, "stem_%s", name);
    return s->stems ? ath_gelu(s->g, ath_linear(s->g, x, layer, c, false)) : x;
}

static ath_tensor image(subject *s, const char *name) { return given(s, name, s->h, s->w, s->c); }
static ath_tensor vector(subject *s, const char *name) { return given(s, name, 1, 1, s->c); }
static ath_tensor normed(subject *s, ath_tensor x, const char *name) {
    return ath_silu(s->g, ath_group_norm(s->g, x, name, 4, 1e-5));
}
static ath_tensor conv(subject *s, ath_tensor x, const char *name) {
    return ath_conv2d(s->g, x, name, s->c, (ath_conv){0});
}

/* ---- what is put together ---- */

static ath_tensor norm_silu_conv(subject *s) { return conv(s, normed(s, image(s, "x"), "norm"), "conv"); }

static ath_tensor norm_scale_shift_silu_conv(subject *s) {
    const ath_tensor x = image(s, "x"), scale = vector(s, "scale"), shift = vector(s, "shift");
    const ath_tensor norm = ath_group_norm(s->g, x, "norm", 2, 1e-5);
    return conv(s, ath_silu(s->g, ath_scale_shift(s->g, norm, scale, shift)), "conv");
}

static ath_tensor conv_and_vector(subject *s) {
    const ath_tensor x = image(s, "x"), v = vector(s, "v");
    return ath_add(s->g, conv(s, x, "conv"), v);
}

static ath_tensor conv_and_residual(subject *s) {
    const ath_tensor x = image(s, "x"), r = image(s, "r");
    return ath_add(s->g, conv(s, x, "conv"), r);
}

static ath_tensor residual_and_conv(subject *s) {
    const ath_tensor x = image(s, "x"), r = image(s, "r");
    return ath_add(s->g, r, conv(s, x, "conv"));
}

static ath_tensor two_convs_added(subject *s) {
    const ath_tensor x = image(s, "x"), z = image(s, "z");
    return ath_add(s->g, conv(s, x, "conv1"), conv(s, z, "conv2"));
}

static ath_tensor all_at_once(subject *s) {
    const ath_tensor x = image(s, "x"), scale = vector(s, "scale"), shift = vector(s, "shift"), v = vector(s, "v");
    const ath_tensor norm = ath_scale_shift(s->g, ath_group_norm(s->g, x, "norm", 2, 1e-5), scale, shift);
    return ath_add(s->g, x, ath_add(s->g, conv(s, ath_silu(s->g, norm), "conv"), v));
}

static ath_tensor strided_and_1x1(subject *s) {
    const ath_tensor down = ath_conv2d(s->g, normed(s, image(s, "x"), "norm1"), "down", s->c,
                                       (ath_conv){.kernel = 3, .stride = 2, .pad_after = 1});
    return ath_conv2d(s->g, normed(s, down, "norm2"), "out", 3, (ath_conv){.kernel = 1});
}

static ath_tensor upsampled(subject *s) { return ath_upsample2(s->g, image(s, "x")); }
static ath_tensor upsample_conv(subject *s) { return conv(s, upsampled(s), "conv"); }
static ath_tensor upsample_linear(subject *s) { return ath_linear(s->g, upsampled(s), "linear", 20, false); }
static ath_tensor upsample_conv_vector_residual(subject *s) {
    const ath_tensor x = upsampled(s), v = vector(s, "v"), r = given(s, "r", 2 * s->h, 2 * s->w, s->c);
    return ath_add(s->g, r, ath_add(s->g, conv(s, x, "conv"), v));
}
/* As in the U-Net: what is upsampled has other readers, what comes of it too. */
static ath_tensor upsampled_block(subject *s) {
    const ath_tensor x = image(s, "x"), before = conv(s, normed(s, x, "norm1"), "conv1");
    const ath_tensor y = conv(s, ath_upsample2(s->g, before), "up");
    const ath_tensor pooled = ath_avg_pool2(s->g, ath_add(s->g, y, conv(s, normed(s, y, "norm2"), "conv2")));
    return ath_add(s->g, pooled, before);
}

static ath_tensor joined(subject *s, bool scaled) {
    const ath_tensor a = image(s, "a"), b = given(s, "b", s->h, s->w, s->c / 2);
    return ath_concat(s->g, a, b, scaled ? input(s, "scales", 1, 1, 2) : none, 1);
}

/* A group has channels of both parts. */
static ath_tensor norm_of_parts(subject *s, ath_tensor x) {
    return ath_silu(s->g, ath_group_norm(s->g, x, "norm", 2, 1e-5));
}

static ath_tensor concat_norm_silu_conv(subject *s) { return conv(s, norm_of_parts(s, joined(s, false)), "conv"); }
static ath_tensor concat_linear(subject *s) { return ath_linear(s->g, joined(s, false), "linear", s->c, false); }
static ath_tensor scaled_concat_linear(subject *s) { return ath_linear(s->g, joined(s, true), "linear", s->c, false); }
static ath_tensor concat_of_a_tensor_with_itself(subject *s) {
    const ath_tensor x = image(s, "x");
    return conv(s, norm_of_parts(s, ath_concat(s->g, x, x, none, 0)), "conv");
}
static ath_tensor concat_of_a_concat(subject *s) {
    const ath_tensor z = given(s, "z", s->h, s->w, 4);
    return conv(s, norm_of_parts(s, ath_concat(s->g, joined(s, false), z, none, 0)), "conv");
}

static ath_tensor block(subject *s, bool scaled) {
    const ath_tensor v = vector(s, "v"), x = joined(s, scaled);
    const ath_tensor y = ath_add(s->g, conv(s, norm_of_parts(s, x), "conv1"), v);
    const ath_tensor shortcut = ath_conv2d(s->g, x, "shortcut", s->c, (ath_conv){.kernel = 1});
    return ath_add(s->g, shortcut, conv(s, normed(s, y, "norm2"), "conv2"));
}

static ath_tensor residual_block_of_a_concat(subject *s) { return block(s, false); }
static ath_tensor residual_block_of_a_scaled_concat(subject *s) { return block(s, true); }

static ath_tensor linear_and_residual(subject *s) {
    const ath_tensor x = image(s, "x"), r = image(s, "r");
    return ath_add(s->g, ath_linear(s->g, x, "linear", s->c, false), r);
}

static ath_tensor tensor_and_linear_of_it(subject *s) {
    const ath_tensor x = image(s, "x");
    return ath_add(s->g, x, ath_linear(s->g, x, "linear", s->c, false));
}

static ath_tensor attention(subject *s) {
    const ath_tensor x = image(s, "x"), h = ath_group_norm(s->g, x, "norm", 4, 1e-5);
    const ath_tensor q = ath_linear(s->g, h, "q", s->c, false), k = ath_linear(s->g, h, "k", s->c, false);
    const ath_tensor a = ath_attention(s->g, q, k, ath_linear(s->g, h, "v", s->c, false), 2);
    return ath_add(s->g, ath_linear(s->g, a, "proj", s->c, false), x);
}

/* A vector that several places read: all their gradients are its. */
static ath_tensor a_vector_everywhere(subject *s) {
    const ath_tensor x = image(s, "x"), v = vector(s, "v");
    const ath_tensor norm = ath_scale_shift(s->g, ath_group_norm(s->g, x, "norm", 2, 1e-5), v, v);
    return ath_add(s->g, conv(s, ath_silu(s->g, norm), "conv"), v);
}

/* As those of one pixel can be, the tensor that is normed among them. */
static ath_tensor a_pixel_everywhere(subject *s) {
    const ath_tensor x = given(s, "x", 1, 1, s->c);
    const ath_tensor norm = ath_scale_shift(s->g, ath_group_norm(s->g, x, "norm", 2, 1e-5), x, x);
    return ath_add(s->g, ath_linear(s->g, ath_silu(s->g, norm), "linear", s->c, false), x);
}

/* A scale of a part that a layer makes has a gradient in every training plan. */
static ath_tensor scales_of_a_layer(subject *s) {
    const ath_tensor a = image(s, "a"), b = image(s, "b");
    const ath_tensor scales = ath_linear(s->g, input(s, "t", 1, 1, 4), "scales", 2, false);
    return conv(s, norm_of_parts(s, ath_concat(s->g, a, b, scales, 1)), "conv");
}

/* ---- what a norm reads ---- */

static ath_tensor conv_then_norm(subject *s) {
    return conv(s, normed(s, conv(s, image(s, "x"), "conv1"), "norm"), "conv2");
}
static ath_tensor conv_vector_residual_then_norm(subject *s) {
    const ath_tensor x = image(s, "x"), v = vector(s, "v"), r = image(s, "r");
    const ath_tensor y = ath_add(s->g, r, ath_add(s->g, conv(s, x, "conv1"), v));
    return ath_add(s->g, y, conv(s, normed(s, y, "norm"), "conv2"));
}
static ath_tensor normed_conv_then_norm(subject *s) {
    return conv(s, normed(s, conv(s, normed(s, image(s, "x"), "norm1"), "conv1"), "norm2"), "conv2");
}
static ath_tensor conv_then_norm_alone(subject *s) {
    return ath_gelu(s->g, ath_group_norm(s->g, conv(s, image(s, "x"), "conv"), "norm", 4, 1e-5));
}
static ath_tensor conv_then_layer_norm(subject *s) {
    return ath_layer_norm(s->g, conv(s, image(s, "x"), "conv"), "norm", 1e-5);
}
static ath_tensor conv_then_both_norms(subject *s) {
    const ath_tensor y = conv(s, image(s, "x"), "conv");
    const ath_tensor group = ath_group_norm(s->g, y, "group", 4, 1e-5);
    return ath_add(s->g, ath_gelu(s->g, group), ath_layer_norm(s->g, y, "layer", 1e-5));
}
static ath_tensor upsampled_conv_then_norm(subject *s) {
    return conv(s, normed(s, conv(s, upsampled(s), "conv1"), "norm"), "conv2");
}
/* As a skip connection: by itself first, as a part of a concatenation later. */
static ath_tensor conv_read_by_two_norms(subject *s) {
    const ath_tensor skip = conv(s, image(s, "x"), "conv1"), y = conv(s, normed(s, skip, "norm1"), "conv2");
    const ath_tensor both = ath_concat(s->g, y, skip, input(s, "scales", 1, 1, 2), 1);
    return conv(s, norm_of_parts(s, both), "conv3");
}
static ath_tensor strided_then_norm(subject *s) {
    const ath_tensor down =
        ath_conv2d(s->g, image(s, "x"), "down", s->c, (ath_conv){.kernel = 3, .stride = 2, .pad_after = 1});
    return conv(s, normed(s, down, "norm"), "conv");
}
static ath_tensor activation_then_norm(subject *s) {
    return conv(s, normed(s, ath_gelu(s->g, conv(s, image(s, "x"), "conv1")), "norm"), "conv2");
}

/* ---- what is not ---- */

static ath_tensor norm_read_twice(subject *s) {
    const ath_tensor n = ath_group_norm(s->g, image(s, "x"), "norm", 4, 1e-5);
    return ath_add(s->g, n, conv(s, ath_silu(s->g, n), "conv"));
}

static ath_tensor silu_read_twice(subject *s) {
    const ath_tensor a = normed(s, image(s, "x"), "norm");
    return ath_add(s->g, conv(s, a, "conv"), a);
}

static ath_tensor shifted_read_twice(subject *s) {
    const ath_tensor x = image(s, "x"), v = vector(s, "scale"), u = vector(s, "shift");
    const ath_tensor m = ath_scale_shift(s->g, ath_group_norm(s->g, x, "norm", 4, 1e-5), v, u);
    return ath_add(s->g, conv(s, ath_silu(s->g, m), "conv"), m);
}

static ath_tensor conv_read_twice(subject *s) {
    const ath_tensor y = conv(s, image(s, "x"), "conv");
    return ath_add(s->g, ath_gelu(s->g, y), y);
}

static ath_tensor conv_added_to_itself(subject *s) {
    const ath_tensor y = conv(s, image(s, "x"), "conv");
    return ath_add(s->g, y, y);
}

static ath_tensor sum_with_vector_read_twice(subject *s) {
    const ath_tensor x = image(s, "x"), v = vector(s, "v"), y = ath_add(s->g, conv(s, x, "conv"), v);
    return ath_add(s->g, ath_gelu(s->g, y), y);
}

static ath_tensor upsampling_read_twice(subject *s) {
    const ath_tensor x = upsampled(s);
    return ath_add(s->g, conv(s, x, "conv"), x);
}
static ath_tensor output_is_the_norm(subject *s) {
    const ath_tensor y = ath_group_norm(s->g, image(s, "x"), "norm", 4, 1e-5);
    conv(s, ath_silu(s->g, y), "conv");
    return y;
}

static ath_tensor output_is_the_silu(subject *s) {
    const ath_tensor y = normed(s, image(s, "x"), "norm");
    conv(s, y, "conv");
    return y;
}

static ath_tensor output_is_the_conv(subject *s) {
    const ath_tensor x = image(s, "x"), y = conv(s, x, "conv");
    ath_add(s->g, y, x);
    return y;
}

static ath_tensor dropout_between(subject *s) {
    return conv(s, ath_dropout(s->g, normed(s, image(s, "x"), "norm"), 0.3), "conv");
}

static ath_tensor no_silu(subject *s) { return conv(s, ath_group_norm(s->g, image(s, "x"), "norm", 4, 1e-5), "conv"); }

static ath_tensor no_norm(subject *s) { return conv(s, ath_silu(s->g, image(s, "x")), "conv"); }

static ath_tensor concat_3x3(subject *s) { return conv(s, joined(s, true), "conv"); }

static ath_tensor concat_read_by_3x3_too(subject *s) {
    const ath_tensor x = joined(s, true);
    return ath_add(s->g, conv(s, norm_of_parts(s, x), "conv1"), conv(s, x, "conv2"));
}

static ath_tensor concat_read_by_an_add_too(subject *s) {
    const ath_tensor x = joined(s, true);
    return ath_add(s->g, ath_conv2d(s->g, norm_of_parts(s, x), "conv", s->c + s->c / 2, (ath_conv){0}), x);
}

static ath_tensor concat_as_output(subject *s) {
    const ath_tensor x = joined(s, true);
    ath_linear(s->g, x, "linear", s->c, false);
    return x;
}

static ath_tensor padded_1x1_of_a_concat(subject *s) {
    return ath_conv2d(s->g, joined(s, true), "conv", s->c, (ath_conv){.kernel = 1, .pad_before = 1, .pad_after = 1});
}

/* The vector may be what a convolution made: it is added to something else. */
static ath_tensor conv_as_the_vector(subject *s) {
    const ath_tensor x = image(s, "x"), v = vector(s, "v");
    return ath_add(s->g, ath_gelu(s->g, x), ath_linear(s->g, v, "linear", s->c, false));
}

/* A graph, and the operations that are left of it: without and with the inputs' gradients. */
typedef struct pattern {
    const char *name;
    ath_tensor (*build)(subject *);
    int left, left_with_inputs;
} pattern;
#define PATTERN(build, left, left_with_inputs)                                                                         \
    { #build, build, left, left_with_inputs }

static int stem_operations(const subject *s) {
    const int without = (ath_input_find(s->g, "scales").id != 0) + (ath_input_find(s->g, "t").id != 0);
    return s->stems ? 2 * (s->n_in - without) : 0;
}

static void check_subject(const subject *s, const pattern *p, unsigned want) {
    result plain = run(s, want | ATH_UNFUSED), fused = run(s, want), unshared = run(s, want | ATH_UNSHARED);
    const int expected = (want & ATH_GRAD_INPUTS ? p->left_with_inputs : p->left) + stem_operations(s);
    CHECK(fused.operations == expected, "%s: %d operations are left, %d expected", p->name, fused.operations, expected);
    compare(s, p->name, &fused, &plain);
    same_bits(s, p->name, &fused, &unshared);
    release(&plain), release(&fused), release(&unshared);
}

static void check_pattern(const pattern *p, const float *scales) {
    static const unsigned wants[] = {ATH_FORWARD, ATH_GRAD_PARAMS, ATH_GRAD_INPUTS, ATH_GRAD_PARAMS | ATH_GRAD_INPUTS};
    for (int stems = 0; stems < 2; stems++)
        for (int c = 12; c <= 32; c += 20)
            for (int w = 0; w < 4; w++) {
                subject s = {.stems = stems, .h = 5, .w = 6, .c = c, .more = w % 2};
                build_with_values(&s, p->build, scales);
                check_subject(&s, p, wants[w]);
                destroy(&s);
            }
}

static void check_patterns(const pattern *list, size_t n, const float *scales) {
    for (size_t i = 0; i < n; i++) check_pattern(&list[i], scales);
    print_message("    differ by at most %.1e of the norm so far\n", worst);
}
#define CHECK_PATTERNS(list, scales) check_patterns(list, sizeof list / sizeof *list, scales)

static void what_is_before_and_after_a_convolution_goes_into_it(void **state) {
    (void)state;
    const pattern list[] = {PATTERN(norm_silu_conv, 1, 1),
                            PATTERN(norm_scale_shift_silu_conv, 1, 1),
                            PATTERN(conv_and_vector, 1, 1),
                            PATTERN(conv_and_residual, 1, 1),
                            PATTERN(residual_and_conv, 1, 1),
                            PATTERN(two_convs_added, 2, 2),
                            PATTERN(all_at_once, 1, 1),
                            PATTERN(strided_and_1x1, 2, 2),
                            PATTERN(linear_and_residual, 1, 1),
                            PATTERN(tensor_and_linear_of_it, 1, 1),
                            PATTERN(attention, 6, 6)};
    CHECK_PATTERNS(list, ones);
}

static void upsampling_goes_into_the_convolution_that_reads_it(void **state) {
    (void)state;
    const pattern list[] = {PATTERN(upsample_conv, 1, 1), PATTERN(upsample_linear, 1, 1),
                            PATTERN(upsample_conv_vector_residual, 1, 1), PATTERN(upsampled_block, 5, 5)};
    CHECK_PATTERNS(list, ones);
}

static const pattern concats[] = {PATTERN(concat_norm_silu_conv, 1, 2),
                                  PATTERN(concat_linear, 1, 2),
                                  PATTERN(concat_of_a_tensor_with_itself, 1, 2),
                                  PATTERN(concat_of_a_concat, 2, 3),
                                  PATTERN(residual_block_of_a_concat, 3, 4),
                                  PATTERN(scaled_concat_linear, 1, 2),
                                  PATTERN(residual_block_of_a_scaled_concat, 3, 4)};

static void concats_are_not_made_unless_inputs_gradients_are_wanted(void **state) {
    (void)state;
    CHECK_PATTERNS(concats, ones);
}

static void parts_of_concats_may_have_a_scale_for_each_image(void **state) {
    (void)state;
    CHECK_PATTERNS(concats, three_scales);
}

static void what_is_read_by_others_stays(void **state) {
    (void)state;
    const pattern list[] = {PATTERN(norm_read_twice, 3, 3),      PATTERN(silu_read_twice, 3, 3),
                            PATTERN(shifted_read_twice, 4, 4),   PATTERN(conv_read_twice, 3, 3),
                            PATTERN(conv_added_to_itself, 2, 2), PATTERN(sum_with_vector_read_twice, 3, 3),
                            PATTERN(output_is_the_norm, 3, 3),   PATTERN(output_is_the_silu, 3, 3),
                            PATTERN(output_is_the_conv, 2, 2),   PATTERN(upsampling_read_twice, 2, 2)};
    CHECK_PATTERNS(list, ones);
}

static void what_only_looks_like_a_pattern_stays(void **state) {
    (void)state;
    const pattern list[] = {PATTERN(dropout_between, 4, 4), PATTERN(no_silu, 2, 2), PATTERN(no_norm, 2, 2),
                            PATTERN(conv_as_the_vector, 3, 3)};
    CHECK_PATTERNS(list, ones);
}

static void concats_stay_for_readers_that_cannot_take_parts(void **state) {
    (void)state;
    const pattern list[] = {PATTERN(concat_3x3, 2, 2), PATTERN(concat_read_by_3x3_too, 3, 3),
                            PATTERN(concat_read_by_an_add_too, 2, 2), PATTERN(concat_as_output, 2, 2),
                            PATTERN(padded_1x1_of_a_concat, 2, 2)};
    CHECK_PATTERNS(list, three_scales);
}

static void a_vector_that_several_places_read_has_the_sum_of_their_gradients(void **state) {
    (void)state;
    const pattern list[] = {PATTERN(a_vector_everywhere, 1, 1), PATTERN(a_pixel_everywhere, 4, 4)};
    CHECK_PATTERNS(list, ones);
}

static void scales_that_a_layer_makes_have_their_gradient(void **state) {
    (void)state;
    const pattern p = PATTERN(scales_of_a_layer, 3, 3);
    check_pattern(&p, ones);
}

/* By Winograd's algorithm, and by the reference, which knows one algorithm. */
static void sums_that_a_norm_needs_are_taken_as_a_convolution_writes(void **state) {
    (void)state;
    const struct {
        pattern p;
        int told, told_by_ref;
    } list[] = {{PATTERN(conv_then_norm, 2, 2), 1, 1},           {PATTERN(conv_vector_residual_then_norm, 2, 2), 1, 1},
                {PATTERN(normed_conv_then_norm, 2, 2), 1, 1},    {PATTERN(conv_then_norm_alone, 3, 3), 1, 1},
                {PATTERN(conv_then_layer_norm, 2, 2), 0, 0},     {PATTERN(conv_then_both_norms, 5, 5), 1, 1},
                {PATTERN(upsampled_conv_then_norm, 2, 2), 1, 1}, {PATTERN(conv_read_by_two_norms, 3, 4), 2, 2},
                {PATTERN(strided_then_norm, 2, 2), 0, 1},        {PATTERN(activation_then_norm, 3, 3), 0, 0}};
    const bool ref = strcmp(ath_plan_isa(), "ref") == 0;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        check_pattern(&list[i].p, three_scales);
        for (int c = 12; c <= 32; c += 20) {
            subject s = {.h = 5, .w = 6, .c = c};
            build_with_values(&s, list[i].p.build, three_scales);
            result fused = run(&s, ATH_GRAD_PARAMS), plain = run(&s, ATH_GRAD_PARAMS | ATH_UNFUSED);
            const int expected = ref ? list[i].told_by_ref : c % 16 == 0 ? list[i].told : 0;
            CHECK(fused.told == expected && plain.told == 0,
                  "%s, %d channels: %d tell moments, %d expected, %d unfused", list[i].p.name, c, fused.told, expected,
                  plain.told);
            release(&fused), release(&plain);
            destroy(&s);
        }
    }
}

/* Of these, two images and a half fit into what is normed at once. */
static void images_that_are_normed_some_at_a_time_are_no_others(void **state) {
    (void)state;
    subject s = {.h = 48, .w = 48, .c = 32};
    const pattern list[] = {PATTERN(all_at_once, 1, 1), PATTERN(normed_conv_then_norm, 2, 2)};
    for (int i = 0; i < 2; i++) {
        s.n_in = 0;
        build_with_values(&s, list[i].build, ones);
        check_subject(&s, &list[i], ATH_GRAD_PARAMS);
        destroy(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_before_and_after_a_convolution_goes_into_it),
        cmocka_unit_test(upsampling_goes_into_the_convolution_that_reads_it),
        cmocka_unit_test(concats_are_not_made_unless_inputs_gradients_are_wanted),
        cmocka_unit_test(parts_of_concats_may_have_a_scale_for_each_image),
        cmocka_unit_test(what_is_read_by_others_stays),
        cmocka_unit_test(what_only_looks_like_a_pattern_stays),
        cmocka_unit_test(concats_stay_for_readers_that_cannot_take_parts),
        cmocka_unit_test(a_vector_that_several_places_read_has_the_sum_of_their_gradients),
        cmocka_unit_test(scales_that_a_layer_makes_have_their_gradient),
        cmocka_unit_test(sums_that_a_norm_needs_are_taken_as_a_convolution_writes),
        cmocka_unit_test(images_that_are_normed_some_at_a_time_are_no_others),
    };
    return cmocka_run_group_tests_name("fusion", tests, NULL, NULL);
}
