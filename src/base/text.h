/* Text that grows as it is written, and what HTML and SVG ask of it. */
#ifndef ATH_BASE_TEXT_H
#define ATH_BASE_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/status.h"

/* Zeroed, it is empty. When memory runs out `failed` is set and what follows is dropped, so that a writer
 * looks once, at the end. `data` ends in a zero byte that `len` does not count; NULL while nothing was added. */
typedef struct ath_text {
    char *data;
    size_t len, room;
    bool failed;
} ath_text;

void ath_text_add(ath_text *t, const char *s);
void ath_text_add_bytes(ath_text *t, const void *bytes, size_t n);
void ath_text_addf(ath_text *t, const char *fmt, ...) ATH_PRINTF(2, 3);
/* Adds s so that it reads the same as the content or a quoted attribute of HTML and XML: & < > " ' become entities; bytes
 * that are not UTF-8 and control characters, which neither allows, become U+FFFD. */
void ath_text_escape(ath_text *t, const char *s);
void ath_text_base64(ath_text *t, const void *bytes, size_t n); /* RFC 4648, padded, in one line */
void ath_text_free(ath_text *t);

/* Hands the text over (free()) and leaves `t` empty. Fails with ATH_E_MEM, naming `what`, when memory had run out. */
ath_status ath_text_take(ath_text *t, const char *what, char **out, ath_err *err);
/* Writes it to a file, beside and renamed (base/file.h), and frees it in either case. */
ath_status ath_text_save(ath_text *t, const char *path, ath_err *err);

/* Whether JSON text is of few enough values, by its punctuation, that a parser's tree of it takes less than some 150 MB: a file of
 * "[[],[],..." takes fifty times its size. To be asked before it is parsed. */
bool ath_json_is_modest(const char *text, size_t size);

/* Bytes of the well-formed UTF-8 character at s (RFC 3629): 1 to 4; 0 at the end of the text or where there is none. */
int ath_utf8_length(const char *s);

#endif
