/* The U-Net of DDPM (Ho et al. 2020, arXiv:2006.11239) as diffusers' UNet2DModel builds
 * it, with its configuration keys and its tensor names, so that a checkpoint of either
 * is a checkpoint of both.
 *
 * Left out, and refused by name: Fourier time embeddings, ResNet-style resampling,
 * block types other than (Attn)DownBlock2D and (Attn)UpBlock2D, other activations. */
#include <stdio.h>
#include <string.h>
#include "diffusion/net.h"

typedef struct unet_config {
    ath_ints sample_size;
    int in_channels, out_channels;
    bool center_input_sample;
    char time_embedding_type[ATH_TEXT_LEN];
    int time_embedding_dim, freq_shift;
    bool flip_sin_to_cos;
    char down_block_types[ATH_TEXT_LEN], mid_block_type[ATH_TEXT_LEN], up_block_types[ATH_TEXT_LEN];
    ath_ints block_out_channels;
    int layers_per_block;
    double mid_block_scale_factor;
    int downsample_padding;
    char downsample_type[ATH_TEXT_LEN], upsample_type[ATH_TEXT_LEN];
    double dropout;
    char act_fn[ATH_TEXT_LEN];
    int attention_head_dim, norm_num_groups, attn_norm_num_groups;
    double norm_eps;
    char resnet_time_scale_shift[ATH_TEXT_LEN];
    bool add_attention;
    char class_embed_type[ATH_TEXT_LEN];
    int num_class_embeds, num_train_timesteps;
} unet_config;

#define FIELD(key) .name = #key, .offset = offsetof(unet_config, key)
static const ath_option options[] = {
    {FIELD(sample_size), .type = ATH_OPT_INTS, .dflt = "32", .min = 1, .max = 4096, .or_number = true,
     .help = "height and width in pixels; one number: both"},
    {FIELD(in_channels), .type = ATH_OPT_INT, .dflt = "3", .min = 1, .max = 1024, .help = "channels of the image"},
    {FIELD(out_channels), .type = ATH_OPT_INT, .dflt = "3", .min = 1, .max = 1024, .help = "channels of the result"},
    {FIELD(center_input_sample), .type = ATH_OPT_BOOL, .dflt = "false", .help = "only false"},
    {FIELD(time_embedding_type), .type = ATH_OPT_TEXT, .dflt = "positional", .choices = "positional",
     .help = "sinusoids of t"},
    {FIELD(time_embedding_dim), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 65536, .nullable = true,
     .help = "width of the time embedding; null: 4 times the first block's channels"},
    {FIELD(freq_shift), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 16,
     .help = "shift of the sinusoids' frequencies"},
    {FIELD(flip_sin_to_cos), .type = ATH_OPT_BOOL, .dflt = "true", .help = "cosines before sines"},
    {FIELD(down_block_types), .type = ATH_OPT_WORDS, .dflt = "DownBlock2D,DownBlock2D,DownBlock2D",
     .help = "DownBlock2D or AttnDownBlock2D, one a level"},
    {FIELD(mid_block_type), .type = ATH_OPT_TEXT, .dflt = "UNetMidBlock2D", .choices = "UNetMidBlock2D",
     .help = "the block in the middle"},
    {FIELD(up_block_types), .type = ATH_OPT_WORDS, .dflt = "UpBlock2D,UpBlock2D,UpBlock2D",
     .help = "UpBlock2D or AttnUpBlock2D, one a level"},
    {FIELD(block_out_channels), .type = ATH_OPT_INTS, .dflt = "32,64,64", .min = 1, .max = 16384,
     .help = "channels of each level"},
    {FIELD(layers_per_block), .type = ATH_OPT_INT, .dflt = "2", .min = 1, .max = 64, .help = "residual blocks a level"},
    {FIELD(mid_block_scale_factor), .type = ATH_OPT_FLOAT, .dflt = "1", .min = 1, .max = 1, .help = "only 1"},
    {FIELD(downsample_padding), .type = ATH_OPT_INT, .dflt = "1", .min = 0, .max = 1,
     .help = "1: zeros all around; 0: right and below only"},
    {FIELD(downsample_type), .type = ATH_OPT_TEXT, .dflt = "conv", .choices = "conv", .help = "strided convolution"},
    {FIELD(upsample_type), .type = ATH_OPT_TEXT, .dflt = "conv", .choices = "conv",
     .help = "nearest and a convolution"},
    {FIELD(dropout), .type = ATH_OPT_FLOAT, .dflt = "0", .min = 0, .max = 0.99,
     .help = "rate before the last convolution of each residual block"},
    {FIELD(act_fn), .type = ATH_OPT_TEXT, .dflt = "silu", .choices = "silu|swish", .help = "activation"},
    {FIELD(attention_head_dim), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 16384, .nullable = true,
     .help = "channels a head; null: one head"},
    {FIELD(norm_num_groups), .type = ATH_OPT_INT, .dflt = "32", .min = 1, .max = 1024, .help = "groups of group norm"},
    {FIELD(attn_norm_num_groups), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1024, .nullable = true,
     .help = "groups in the middle attention; null: as norm_num_groups"},
    {FIELD(norm_eps), .type = ATH_OPT_FLOAT, .dflt = "1e-5", .min = 1e-12, .max = 1, .help = "group norm's epsilon"},
    {FIELD(resnet_time_scale_shift), .type = ATH_OPT_TEXT, .dflt = "default", .choices = "default|scale_shift",
     .help = "default: the time is added; scale_shift: it scales and shifts (AdaGN)"},
    {FIELD(add_attention), .type = ATH_OPT_BOOL, .dflt = "true", .help = "attention in the middle block"},
    {FIELD(class_embed_type), .type = ATH_OPT_TEXT, .dflt = "", .nullable = true, .help = "only null: a table"},
    {FIELD(num_class_embeds), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1048576, .nullable = true,
     .help = "rows of the class table; null: no classes"},
    {FIELD(num_train_timesteps), .type = ATH_OPT_INT, .dflt = "0", .min = 0, .max = 1000000, .nullable = true,
     .help = "not used here"},
};
#undef FIELD

static const ath_tensor none = {0};

/* Word i of "a,b,c" compared with `word`. */
static bool word_is(const char *list, int i, const char *word) {
    while (i-- > 0 && list) {
        list = strchr(list, ',');
        if (list) list++;
    }
    const size_t len = strlen(word);
    return list && strncmp(list, word, len) == 0 && (list[len] == ',' || list[len] == 0);
}

static int count_words(const char *list) {
    int n = *list ? 1 : 0;
    for (; *list; list++) n += *list == ',';
    return n;
}

static int embedding_width(const unet_config *cfg) {
    return cfg->time_embedding_dim ? cfg->time_embedding_dim : 4 * cfg->block_out_channels.v[0];
}

/* h = conv1(silu(norm1(x))), the time, h = conv2(dropout(silu(norm2(h)))), h + x. */
static ath_tensor residual_block(ath_graph *g, ath_tensor x, ath_tensor emb, int channels, const unet_config *cfg) {
    const bool modulate = strcmp(cfg->resnet_time_scale_shift, "scale_shift") == 0;
    const ath_tensor time = ath_linear(g, ath_silu(g, emb), "time_emb_proj", modulate ? 2 * channels : channels, false);
    ath_tensor h = ath_silu(g, ath_group_norm(g, x, "norm1", cfg->norm_num_groups, cfg->norm_eps));
    h = ath_conv2d(g, h, "conv1", channels, (ath_conv){0});
    if (!modulate) h = ath_add(g, h, time);
    h = ath_group_norm(g, h, "norm2", cfg->norm_num_groups, cfg->norm_eps);
    if (modulate) h = ath_scale_shift(g, h, ath_slice(g, time, 0, channels), ath_slice(g, time, channels, channels));
    h = ath_dropout(g, ath_silu(g, h), cfg->dropout);
    h = ath_conv2d(g, h, "conv2", channels, (ath_conv){.zero_init = true});
    if (ath_shape_of(g, x).c != channels) x = ath_conv2d(g, x, "conv_shortcut", channels, (ath_conv){.kernel = 1});
    return ath_add(g, x, h);
}

/* x + to_out(attention(q, k, v of norm(x))); groups 0 leaves the norm out. */
static ath_tensor attention_block(ath_graph *g, ath_tensor x, int groups, const unet_config *cfg) {
    const int c = ath_shape_of(g, x).c, head = cfg->attention_head_dim ? cfg->attention_head_dim : c;
    const ath_tensor h = groups ? ath_group_norm(g, x, "group_norm", groups, cfg->norm_eps) : x;
    const ath_tensor q = ath_linear(g, h, "to_q", c, false), k = ath_linear(g, h, "to_k", c, false);
    const ath_tensor v = ath_linear(g, h, "to_v", c, false);
    if (c && c % head) ath_graph_fail(g, "attention_head_dim %d does not divide %d channels", head, c);
    const ath_tensor y = ath_linear(g, ath_attention(g, q, k, v, head ? c / head : 1), "to_out.0", c, true);
    return ath_add(g, x, y);
}

static ath_tensor scoped_residual(ath_graph *g, ath_tensor x, ath_tensor emb, int channels, const unet_config *cfg,
                                  int index) {
    ath_scope_push(g, "resnets.%d", index);
    const ath_tensor y = residual_block(g, x, emb, channels, cfg);
    ath_scope_pop(g);
    return y;
}

static ath_tensor scoped_attention(ath_graph *g, ath_tensor x, int groups, const unet_config *cfg, int index) {
    ath_scope_push(g, "attentions.%d", index);
    const ath_tensor y = attention_block(g, x, groups, cfg);
    ath_scope_pop(g);
    return y;
}

static ath_tensor time_and_class(ath_graph *g, ath_net_io in, const unet_config *cfg) {
    const int width = embedding_width(cfg);
    ath_tensor emb =
        ath_timestep_embedding(g, in.t, cfg->block_out_channels.v[0], cfg->flip_sin_to_cos, cfg->freq_shift);
    ath_scope_push(g, "time_embedding");
    emb = ath_linear(g, emb, "linear_1", width, false);
    emb = ath_linear(g, ath_silu(g, emb), "linear_2", width, false);
    ath_scope_pop(g);
    if (cfg->num_class_embeds)
        emb = ath_add(g, emb, ath_label_embedding(g, in.label, "class_embedding", cfg->num_class_embeds, width));
    return emb;
}

/* Every skip connection: conv_in, each residual block of the way down, each downsampling. */
static int count_skips(const unet_config *cfg) {
    return 1 + cfg->block_out_channels.n * cfg->layers_per_block + cfg->block_out_channels.n - 1;
}

static bool levels_fit(ath_graph *g, const unet_config *cfg) {
    const int levels = cfg->block_out_channels.n;
    if (cfg->sample_size.n < 1 || cfg->sample_size.n > 2)
        ath_graph_fail(g, "config: sample_size has %d numbers, expected one, or height and width", cfg->sample_size.n);
    else if (levels < 1 || count_words(cfg->down_block_types) != levels || count_words(cfg->up_block_types) != levels)
        ath_graph_fail(g,
                       "config: block_out_channels, down_block_types and up_block_types have %d, %d and %d items, "
                       "expected as many of each",
                       levels, count_words(cfg->down_block_types), count_words(cfg->up_block_types));
    else if (cfg->class_embed_type[0] || cfg->center_input_sample)
        ath_graph_fail(g,
                       "config: class_embed_type and center_input_sample are not supported, expected null and false");
    else if (count_skips(cfg) > 512)
        ath_graph_fail(g, "config: %d skip connections, expected at most 512", count_skips(cfg));
    else
        return true;
    return false;
}

static ath_tensor build(ath_graph *g, ath_net_io in, const void *config) {
    const unet_config *cfg = config;
    const int levels = cfg->block_out_channels.n, *channels = cfg->block_out_channels.v;
    ath_tensor skip[512];
    int n_skip = 0;
    if (!levels_fit(g, cfg)) return none;
    const ath_tensor scales = ath_input(g, "skip_scales", (ath_shape){1, 1, count_skips(cfg)}, true);
    const ath_tensor emb = time_and_class(g, in, cfg);
    ath_tensor h = ath_conv2d(g, in.x, "conv_in", channels[0], (ath_conv){0});
    skip[n_skip++] = h;
    for (int i = 0; i < levels; i++) {
        const bool attend = word_is(cfg->down_block_types, i, "AttnDownBlock2D");
        if (!attend && !word_is(cfg->down_block_types, i, "DownBlock2D"))
            ath_graph_fail(g, "config: down_block_types %s: expected DownBlock2D or AttnDownBlock2D",
                           cfg->down_block_types);
        ath_scope_push(g, "down_blocks.%d", i);
        for (int j = 0; j < cfg->layers_per_block; j++) {
            h = scoped_residual(g, h, emb, channels[i], cfg, j);
            if (attend) h = scoped_attention(g, h, cfg->norm_num_groups, cfg, j);
            skip[n_skip++] = h;
        }
        if (i + 1 < levels) {
            const ath_conv halve = {.stride = 2, .pad_before = cfg->downsample_padding, .pad_after = 1};
            h = ath_conv2d(g, h, "downsamplers.0.conv", channels[i], halve);
            skip[n_skip++] = h;
        }
        ath_scope_pop(g);
    }
    ath_scope_push(g, "mid_block");
    h = scoped_residual(g, h, emb, channels[levels - 1], cfg, 0);
    if (cfg->add_attention) {
        /* diffusers leaves the middle attention's norm out with scale_shift, unless told the groups */
        const bool bare = strcmp(cfg->resnet_time_scale_shift, "scale_shift") == 0;
        const int groups = cfg->attn_norm_num_groups ? cfg->attn_norm_num_groups : bare ? 0 : cfg->norm_num_groups;
        h = scoped_attention(g, h, groups, cfg, 0);
    }
    h = scoped_residual(g, h, emb, channels[levels - 1], cfg, 1);
    ath_scope_pop(g);
    for (int i = 0; i < levels; i++) {
        const bool attend = word_is(cfg->up_block_types, i, "AttnUpBlock2D");
        if (!attend && !word_is(cfg->up_block_types, i, "UpBlock2D"))
            ath_graph_fail(g, "config: up_block_types %s: expected UpBlock2D or AttnUpBlock2D", cfg->up_block_types);
        ath_scope_push(g, "up_blocks.%d", i);
        for (int j = 0; j <= cfg->layers_per_block; j++) {
            n_skip--;
            h = ath_concat(g, h, skip[n_skip], scales, n_skip);
            h = scoped_residual(g, h, emb, channels[levels - 1 - i], cfg, j);
            if (attend) h = scoped_attention(g, h, cfg->norm_num_groups, cfg, j);
        }
        if (i + 1 < levels)
            h = ath_conv2d(g, ath_upsample2(g, h), "upsamplers.0.conv", channels[levels - 1 - i], (ath_conv){0});
        ath_scope_pop(g);
    }
    h = ath_silu(g, ath_group_norm(g, h, "conv_norm_out", cfg->norm_num_groups, cfg->norm_eps));
    return ath_conv2d(g, h, "conv_out", cfg->out_channels, (ath_conv){.zero_init = true});
}

/* Appends ",word" to a list. */
static void append_word(char *list, const char *word) {
    const size_t used = strlen(list);
    snprintf(list + used, ATH_TEXT_LEN - used, "%s%s", used ? "," : "", word);
}

static ath_ints mults_of(const ath_net_request *r) {
    return r->channel_mults.n > 0 ? r->channel_mults : (ath_ints){3, {1, 2, 2}};
}

static int resolutions(const ath_net_request *r, int *side) {
    const int levels = mults_of(r).n;
    for (int i = 0; i < levels; i++) side[i] = r->image_size >> i;
    return levels;
}

static ath_status configure(const ath_net_request *r, void *config, ath_err *err) {
    unet_config *cfg = config;
    const int base = r->base_channels ? r->base_channels : 32;
    const ath_ints mults = mults_of(r);
    cfg->sample_size = (ath_ints){1, {r->image_size}};
    cfg->in_channels = cfg->out_channels = r->channels;
    cfg->block_out_channels.n = mults.n;
    cfg->down_block_types[0] = cfg->up_block_types[0] = 0;
    if (mults.n > 8) return ath_fail(err, ATH_E_ARG, "channel-mults: %d levels, expected at most 8", mults.n);
    if (r->image_size % (1 << (mults.n - 1)))
        return ath_fail(
            err, ATH_E_ARG,
            "channel-mults: an image of %d pixels cannot be halved %d times; use --image-size or fewer levels",
            r->image_size, mults.n - 1);
    bool attend[8];
    int side[ATH_MAX_INTS];
    resolutions(r, side);
    for (int i = 0; i < mults.n; i++) {
        cfg->block_out_channels.v[i] = base * mults.v[i];
        attend[i] = false;
        for (int j = 0; j < r->attention.n; j++) attend[i] |= r->attention.v[j] == side[i];
        append_word(cfg->down_block_types, attend[i] ? "AttnDownBlock2D" : "DownBlock2D");
    }
    for (int i = mults.n - 1; i >= 0; i--) append_word(cfg->up_block_types, attend[i] ? "AttnUpBlock2D" : "UpBlock2D");
    cfg->add_attention = r->attention.n != 0; /* no attention asked for at all: none in the middle either */
    if (r->res_blocks) cfg->layers_per_block = r->res_blocks;
    cfg->norm_num_groups = r->norm_groups ? r->norm_groups : base < 64 ? 8 : 32;
    cfg->time_embedding_dim = r->time_embedding;
    cfg->dropout = r->dropout;
    cfg->num_class_embeds = r->classes;
    for (int i = 0; i < mults.n; i++)
        if (cfg->block_out_channels.v[i] % cfg->norm_num_groups)
            return ath_fail(err, ATH_E_ARG, "norm-groups: %d groups do not divide the %d channels of level %d",
                            cfg->norm_num_groups, cfg->block_out_channels.v[i], i);
    return ATH_OK;
}

/* Of UNet2DModel. diffusers writes every key; a file that was written by hand may not. */
static void absent_keys(void *config) {
    static const int channels[4] = {224, 448, 672, 896};
    unet_config *cfg = config;
    cfg->sample_size.n = 0; /* not known, which levels_fit refuses */
    cfg->attention_head_dim = 8;
    cfg->block_out_channels.n = 4;
    memcpy(cfg->block_out_channels.v, channels, sizeof channels);
    strcpy(cfg->down_block_types, "DownBlock2D,AttnDownBlock2D,AttnDownBlock2D,AttnDownBlock2D");
    strcpy(cfg->up_block_types, "AttnUpBlock2D,AttnUpBlock2D,AttnUpBlock2D,UpBlock2D");
}

static void describe(const void *config, ath_shape *image, int *classes) {
    const unet_config *cfg = config;
    const ath_ints *size = &cfg->sample_size;
    *image = (ath_shape){size->v[0], size->v[size->n > 1], cfg->in_channels};
    *classes = cfg->num_class_embeds;
}

const ath_net ath_net_unet = {
    .name = "unet",
    .summary = "DDPM's U-Net with concatenating skips and attention (diffusers' UNet2DModel)",
    .paper = "arXiv:2006.11239",
    .class_name = "UNet2DModel",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .config_size = sizeof(unet_config),
    .configure = configure,
    .absent_keys = absent_keys,
    .resolutions = resolutions,
    .describe = describe,
    .build = build,
};
