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

ath_status ath_fail_within(ath_err *err, ath_status code, const char *fmt, ...) {
    if (err) {
        char inner[sizeof err->text];
        memcpy(inner, err->text, sizeof inner);
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        const size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
        err->code = code;
    }
    return code;
}
