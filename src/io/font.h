/* Private to src/io: a stroke font of the printable ASCII characters, drawn for this
 * project. Capitals are 9 units high, small letters 6, descenders reach 3 below the line. */
#ifndef ATH_IO_FONT_H
#define ATH_IO_FONT_H

typedef struct ath_glyph {
    int width;          /* units from the first to the last stroke's centre */
    const char *stroke; /* lines separated by ' '; each point is two characters: x '0'-'9',
                         * y '0'-'9' above the baseline or 'a'-'c' for 1 to 3 below it;
                         * a line of one point is a dot */
} ath_glyph;

enum { ATH_GLYPH_FIRST = 32, ATH_GLYPH_COUNT = 95, ATH_GLYPH_GAP = 3 /* units between two glyphs */ };
extern const ath_glyph ath_font[ATH_GLYPH_COUNT];

#endif
