/* Growing text: see text.h. */
#include "base/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"

/* Room for n more bytes and the final zero. */
static bool make_room(ath_text *t, size_t n) {
    if (t->failed) return false;
    if (n < t->room - t->len) return true;
    size_t room = t->room ? t->room : 256;
    while (n <= SIZE_MAX / 4 && room - t->len <= n) room *= 2;
    char *data = n <= SIZE_MAX / 4 ? realloc(t->data, room) : NULL;
    if (!data) {
        t->failed = true;
        return false;
    }
    t->data = data;
    t->room = room;
    return true;
}

void ath_text_add_bytes(ath_text *t, const void *bytes, size_t n) {
    if (!make_room(t, n)) return;
    if (n) memcpy(t->data + t->len, bytes, n);
    t->len += n;
    t->data[t->len] = 0;
}

void ath_text_add(ath_text *t, const char *s) { ath_text_add_bytes(t, s, strlen(s)); }

void ath_text_addf(ath_text *t, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) t->failed = true;
    if (n < 0 || !make_room(t, (size_t)n)) return;
    va_start(args, fmt);
    vsnprintf(t->data + t->len, (size_t)n + 1, fmt, args);
    va_end(args);
    t->len += (size_t)n;
}

int ath_utf8_length(const char *s) {
    const unsigned char *p = (const unsigned char *)s;
    if (*p < 0x80) return *p != 0;
    if (*p < 0xc2 || *p > 0xf4) return 0;
    const int more = *p >= 0xf0 ? 3 : *p >= 0xe0 ? 2 : 1;
    unsigned long code = *p & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        code = code << 6 | (p[i] & 0x3f);
    }
    const bool overlong = (more == 2 && code < 0x800) || (more == 3 && code < 0x10000),
               surrogate = code >= 0xd800 && code <= 0xdfff;
    return overlong || surrogate || code > 0x10ffff ? 0 : more + 1;
}

/* What stands for the character of n bytes at s; NULL where it stands for itself. */
static const char *entity_of(const char *s, int n) {
    switch (*s) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    case '\t':
    case '\n':
    case '\r':
        return NULL;
    default:
        return n == 0 || (unsigned char)*s < 32 || *s == 127 ? "\xef\xbf\xbd" : NULL;
    }
}

void ath_text_escape(ath_text *t, const char *s) {
    while (*s) {
        const int n = ath_utf8_length(s);
        const char *entity = entity_of(s, n);
        if (entity)
            ath_text_add(t, entity);
        else
            ath_text_add_bytes(t, s, (size_t)n);
        s += n ? n : 1;
    }
}

void ath_text_base64(ath_text *t, const void *bytes, size_t n) {
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *p = bytes;
    if (!make_room(t, n / 3 * 4 + 4)) return;
    for (size_t i = 0; i < n; i += 3) {
        const size_t left = n - i;
        const unsigned three =
            (unsigned)p[i] << 16 | (left > 1 ? (unsigned)p[i + 1] << 8 : 0) | (left > 2 ? p[i + 2] : 0);
        for (int k = 0; k < 4; k++) t->data[t->len++] = (size_t)k > left ? '=' : digit[three >> (18 - 6 * k) & 63];
    }
    t->data[t->len] = 0;
}

void ath_text_free(ath_text *t) {
    free(t->data);
    *t = (ath_text){0};
}

ath_status ath_text_take(ath_text *t, const char *what, char **out, ath_err *err) {
    *out = NULL;
    ath_text_add(t, ""); /* so that there is a text, be it empty */
    if (t->failed) {
        ath_text_free(t);
        return ath_fail(err, ATH_E_MEM, "%s: out of memory for its text", what);
    }
    *out = t->data;
    *t = (ath_text){0};
    return ATH_OK;
}

ath_status ath_text_save(ath_text *t, const char *path, ath_err *err) {
    const ath_status status = t->failed ? ath_fail(err, ATH_E_MEM, "%s: out of memory for its text", path)
                                        : ath_file_write(path, t->data, t->len, err);
    ath_text_free(t);
    return status;
}

/* In units of some 70 bytes: a number or text is one, a pair of an object three, a list or object nine. */
bool ath_json_is_modest(const char *text, size_t size) {
    enum { MOST = 1 << 21 };
    size_t units = 0;
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        units += c == ',' ? 1 : c == ':' ? 2 : c == '[' || c == '{' ? 8 : 0;
    }
    return units <= MOST;
}
