/* Su Jianlin's light U-Net (kexue.fm/archives/9152, Keras-DDPM): skip connections are
 * added rather than concatenated, which halves the decoder's channels; no attention;
 * group norm at the end of a block; average pooling down, nearest up. */
#include "diffusion/net.h"

typedef struct additive_config {
    int sample_size, in_channels;
    ath_ints block_out_channels;
    int layers_per_block, norm_num_groups, time_embedding_dim;
    double dropout;
    int num_class_embeds;
} additive_config;

#define FIELD(key) .name = #key, .offset = offsetof(additive_config, key)
static const ath_option options[] = {
    {FIELD(sample_size), .type = ATH_OPT_INT, .dflt = "32", .min = 1, .max = 4096, .help = "image size in pixels"},
    {FIELD(in_channels), .type = ATH_OPT_INT, .dflt = "3", .min = 1, .max = 1024, .help = "channels of the image"},
    {FIELD(block_out_channels), .type = ATH_OPT_INTS, .dflt = "32,64,64", .min = 1, .max = 16384,
     .help = "channels of each level"},
    {FIELD(layers_per_block), .type = ATH_OPT_INT, .dflt = "2", .min = 1, .max = 64, .help = "residual blocks a level"},
    {FIELD(norm_num_groups), .type = ATH_OPT_INT, .dflt = "8", .min = 1, .max = 1024, .help = "groups of group norm"},
    {FIELD(time_embedding_dim), .type = ATH_OPT_INT, .dflt = "128", .min = 2, .max = 65536,
     .help = "width of the time embedding"},
    {FIELD(dropout), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 0.99,
     .help = "rate before the last convolution of each block"},
    {FIELD(num_class_embeds), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1048576, .nullable = true,
     .help = "rows of the class table; null: no classes"},
};
#undef FIELD

enum { MAX_SKIPS = 512 };

/* norm(x + conv(silu(conv(silu(x + time))))) */
static ath_tensor block(ath_graph *g, ath_tensor x, ath_tensor emb, int channels, const additive_config *cfg) {
    ath_tensor h = ath_add(g, x, ath_linear(g, emb, "time", ath_shape_of(g, x).c, false));
    h = ath_conv2d(g, ath_silu(g, h), "conv1", channels, (ath_conv){0});
    h = ath_dropout(g, ath_silu(g, h), cfg->dropout);
    h = ath_conv2d(g, h, "conv2", channels, (ath_conv){.zero_init = true});
    if (ath_shape_of(g, x).c != channels) x = ath_conv2d(g, x, "match", channels, (ath_conv){.kernel = 1});
    return ath_group_norm(g, ath_add(g, x, h), "norm", cfg->norm_num_groups, 1e-5);
}

static ath_tensor scoped_block(ath_graph *g, ath_tensor x, ath_tensor emb, int channels, const additive_config *cfg,
                               const char *where, int level, int index) {
    ath_scope_push(g, "%s.%d.%d", where, level, index);
    const ath_tensor y = block(g, x, emb, channels, cfg);
    ath_scope_pop(g);
    return y;
}

static int count_skips(const additive_config *cfg) { return cfg->block_out_channels.n * cfg->layers_per_block; }

static ath_tensor build(ath_graph *g, ath_net_io in, const void *config) {
    const additive_config *cfg = config;
    const int levels = cfg->block_out_channels.n, *channels = cfg->block_out_channels.v;
    ath_tensor skip[MAX_SKIPS];
    int n_skip = 0;
    if (levels < 1 || count_skips(cfg) > MAX_SKIPS) {
        ath_graph_fail(g, "config: %d levels of %d blocks", levels, cfg->layers_per_block);
        return (ath_tensor){0};
    }
    const ath_tensor scales = ath_input(g, "skip_scales", (ath_shape){1, 1, count_skips(cfg)}, true);
    ath_tensor emb = ath_timestep_embedding(g, in.t, channels[0], true, 0);
    emb = ath_linear(g, emb, "time_embedding.linear_1", cfg->time_embedding_dim, false);
    emb = ath_linear(g, ath_silu(g, emb), "time_embedding.linear_2", cfg->time_embedding_dim, false);
    if (cfg->num_class_embeds)
        emb = ath_add(
            g, emb,
            ath_label_embedding(g, in.label, "class_embedding", cfg->num_class_embeds, cfg->time_embedding_dim));
    ath_tensor h = ath_conv2d(g, in.x, "conv_in", channels[0], (ath_conv){0});
    for (int i = 0; i < levels; i++) {
        if (i) h = ath_avg_pool2(g, h);
        for (int j = 0; j < cfg->layers_per_block; j++)
            skip[n_skip++] = h = scoped_block(g, h, emb, channels[i], cfg, "down", i, j);
    }
    h = scoped_block(g, h, emb, channels[levels - 1], cfg, "mid", 0, 0);
    for (int i = levels - 1; i >= 0; i--) {
        for (int j = 0; j < cfg->layers_per_block; j++) {
            n_skip--;
            /* the first block of a level brings h to the level's channels */
            h = scoped_block(g, h, emb, channels[i], cfg, "up", i, j);
            h = ath_add_scaled(g, h, skip[n_skip], scales, n_skip);
        }
        if (i) h = ath_upsample2(g, h);
    }
    h = ath_silu(g, ath_group_norm(g, h, "norm_out", cfg->norm_num_groups, 1e-5));
    return ath_conv2d(g, h, "conv_out", cfg->in_channels, (ath_conv){.zero_init = true});
}

static ath_status configure(const ath_net_request *r, void *config, ath_err *err) {
    additive_config *cfg = config;
    const int base = r->base_channels ? r->base_channels : 32;
    const ath_ints mults = r->channel_mults.n > 0 ? r->channel_mults : (ath_ints){3, {1, 2, 2}};
    if (mults.n > 8 || r->image_size % (1 << (mults.n - 1)))
        return ath_fail(
            err, ATH_E_ARG,
            "channel-mults: an image of %d pixels cannot be halved %d times; use --image-size or fewer levels",
            r->image_size, mults.n - 1);
    cfg->sample_size = r->image_size;
    cfg->in_channels = r->channels;
    cfg->block_out_channels.n = mults.n;
    cfg->norm_num_groups = r->norm_groups ? r->norm_groups : base < 64 ? 8 : 32;
    for (int i = 0; i < mults.n; i++) {
        cfg->block_out_channels.v[i] = base * mults.v[i];
        if (cfg->block_out_channels.v[i] % cfg->norm_num_groups)
            return ath_fail(err, ATH_E_ARG, "norm-groups: %d groups do not divide the %d channels of level %d",
                            cfg->norm_num_groups, cfg->block_out_channels.v[i], i);
    }
    if (r->res_blocks) cfg->layers_per_block = r->res_blocks;
    cfg->time_embedding_dim = r->time_embedding ? r->time_embedding : 4 * base;
    cfg->dropout = r->dropout;
    cfg->num_class_embeds = r->classes;
    return ATH_OK;
}

static void describe(const void *config, ath_shape *image, int *classes) {
    const additive_config *cfg = config;
    *image = (ath_shape){cfg->sample_size, cfg->sample_size, cfg->in_channels};
    *classes = cfg->num_class_embeds;
}

const ath_net ath_net_unet_additive = {
    .name = "unet_additive",
    .summary = "Su's light U-Net: additive skips, no attention",
    .paper = "kexue.fm/archives/9152",
    .class_name = "AthanorAdditiveUNetModel",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(additive_config),
    .configure = configure,
    .describe = describe,
    .build = build,
};
