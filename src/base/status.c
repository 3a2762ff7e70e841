/* Error values: see status.h. */
#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

ath_status ath_fail(ath_err *err, ath_status code, const char *fmt, ...) {
    if (err) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        err->code = code;
    }
    return code;
}

/* As much of `text` as there is room for. */
static void append(ath_err *err, const char *text) {
    const size_t used = strlen(err->text), room = sizeof err->text - 1 - used, len = strlen(text);
    const size_t taken = len < room ? len : room;
    memcpy(err->text + used, text, taken);
    err->text[used + taken] = 0;
}

ath_status ath_fail_within(ath_err *err, ath_status code, const char *fmt, ...) {
    if (err) {
        char inner[sizeof err->text];
        memcpy(inner, err->text, sizeof inner);
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        append(err, ": ");
        append(err, inner);
        err->code = code;
    }
    return code;
}
