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

enum { MOST_STREAMS = 2 * ((PANEL + LINE - 1) / LINE) + 1 };

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

/* A share is a multiple of `steps`. */
static void share_out(streams *s, int products, int steps) {
    long lines = 0;
    for (int i = 0; i < s->count; i++) lines += s->stream[i].lines;
    s->share = round_up((int)(lines / products) + 1, steps);
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
