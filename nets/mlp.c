/* A residual multi-layer perceptron for 2-D data and other short vectors: the image is
 * one vector, each block adds silu(h + time) through a linear layer. */
#include "diffusion/net.h"

typedef struct mlp_config {
    int sample_size, in_channels, width, depth, num_class_embeds;
} mlp_config;

#define FIELD(key) .name = #key, .offset = offsetof(mlp_config, key)
static const ath_option options[] = {
    {FIELD(sample_size), .type = ATH_OPT_INT, .dflt = "1", .min = 1, .max = 256,
     .help = "image size in pixels; 1 for a plain vector"},
    {FIELD(in_channels), .type = ATH_OPT_INT, .dflt = "2", .min = 1, .max = 65536,
     .help = "channels of the image; the length of a plain vector"},
    {FIELD(width), .type = ATH_OPT_INT, .dflt = "128", .min = 2, .max = 65536, .help = "width of every layer"},
    {FIELD(depth), .type = ATH_OPT_INT, .dflt = "3", .min = 1, .max = 256, .help = "residual blocks"},
    {FIELD(num_class_embeds), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1048576, .nullable = true,
     .help = "rows of the class table; null: no classes"},
};
#undef FIELD

static ath_tensor build(ath_graph *g, ath_net_io in, const void *config) {
    const mlp_config *cfg = config;
    const ath_shape image = ath_shape_of(g, in.x);
    const int len = image.h * image.w * image.c;
    ath_tensor emb =
        ath_silu(g, ath_linear(g, ath_timestep_embedding(g, in.t, cfg->width, true, 0), "time", cfg->width, false));
    if (cfg->num_class_embeds)
        emb = ath_add(g, emb, ath_label_embedding(g, in.label, "class_embedding", cfg->num_class_embeds, cfg->width));
    ath_tensor h = ath_linear(g, ath_reshape(g, in.x, (ath_shape){1, 1, len}), "in", cfg->width, false);
    for (int i = 0; i < cfg->depth; i++) {
        ath_scope_push(g, "blocks.%d", i);
        const ath_tensor mixed = ath_add(g, h, ath_linear(g, emb, "time", cfg->width, false));
        ath_tensor r = ath_silu(g, ath_linear(g, ath_silu(g, mixed), "linear_1", cfg->width, false));
        r = ath_linear(g, r, "linear_2", cfg->width, true);
        h = ath_add(g, h, r);
        ath_scope_pop(g);
    }
    return ath_reshape(g, ath_linear(g, ath_silu(g, h), "out", len, true), image);
}

static ath_status configure(const ath_net_request *r, void *config, ath_err *err) {
    (void)err;
    mlp_config *cfg = config;
    cfg->sample_size = r->image_size;
    cfg->in_channels = r->channels;
    if (r->base_channels) cfg->width = r->base_channels;
    if (r->res_blocks) cfg->depth = r->res_blocks;
    cfg->num_class_embeds = r->classes;
    return ATH_OK;
}

static void describe(const void *config, ath_shape *image, int *classes) {
    const mlp_config *cfg = config;
    *image = (ath_shape){cfg->sample_size, cfg->sample_size, cfg->in_channels};
    *classes = cfg->num_class_embeds;
}

const ath_net ath_net_mlp = {
    .name = "mlp",
    .summary = "residual multi-layer perceptron, for 2-D points and short vectors",
    .paper = "-",
    .class_name = "AthanorMLPModel",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(mlp_config),
    .configure = configure,
    .describe = describe,
    .build = build,
};
