/* Memory that the work after a product will read or write is asked for in the course of the product, a line of the cache at a
 * step: what comes from L3 or from memory the processor does not fetch ahead by itself where it is read in many streams, and
 * work that does little with much of it, such as a transform or a product with few channels, would wait for each line.
 * Part of template.h. */

/* `lines` of the cache, from `at` on, `step` floats apart; or none. */
typedef struct asking {
    const float *at;
    ptrdiff_t step;
    int lines;
} asking;

enum { MOST_STREAMS = 5 };
_Static_assert(MOST_STREAMS >= 2 * (PANEL / LINE) + 1, "outputs, residuals and inputs of a panel");

typedef struct streams {
    asking stream[MOST_STREAMS];
    int count, now, share; /* streams; the one that is being asked for; lines for each product */
} streams;

/* `pieces` pieces of `len` floats, `step` apart. */
static void add_streams(streams *s, const float *at, size_t step, size_t pieces, int len) {
    for (int l = 0; l < len && pieces > 0; l += LINE)
        s->stream[s->count++] = (asking){at + l, (ptrdiff_t)step, (int)pieces};
}

/* So many floats in a row. */
static void add_stream(streams *s, const float *at, size_t floats) { add_streams(s, at, LINE, floats / LINE, LINE); }

/* Part `part` of `parts` of so many floats in a row. */
static void add_part(streams *s, const float *at, size_t floats, int part, int parts) {
    const size_t lines = floats / LINE, from = lines * sz(part) / sz(parts), to = lines * sz(part + 1) / sz(parts);
    add_streams(s, at + from * LINE, LINE, to - from, LINE);
}

/* To `products`, of so many steps each; a share is a multiple of `unit`. The last of a stream may be short. */
static void share_out(streams *s, int products, int steps, int unit) {
    long lines = 0;
    for (int i = 0; i < s->count; i++) lines += s->stream[i].lines;
    const int whole = at_least(products - at_least(s->count - 1, 0), 1);
    s->share = at_most(round_up((int)(lines / whole) + 1, unit), steps);
}

static asking next_share(streams *s) {
    if (s->now == s->count) return (asking){0};
    asking *left = &s->stream[s->now];
    const asking share = {left->at, left->step, at_most(left->lines, s->share)};
    left->at += share.lines * left->step;
    left->lines -= share.lines;
    s->now += left->lines == 0;
    return share;
}
