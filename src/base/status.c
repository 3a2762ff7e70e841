/* Error values: see status.h. */
#include "base/status.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 8192 }; /* of a message before it is cut: paths have up to 4096 bytes */

/* What is too long loses its middle, which is a path's: the file's name and the fault are at the end. */
static void keep(ath_err *err, const char *text) {
    enum { ROOM = sizeof err->text, BEGIN = ROOM / 3, END = ROOM - BEGIN - 4 };
    const size_t len = strlen(text);
    if (len < ROOM)
        memcpy(err->text, text, len + 1);
    else
        snprintf(err->text, ROOM, "%.*s...%s", BEGIN, text, text + len - END);
}

ath_status ath_fail(ath_err *err, ath_status code, const char *fmt, ...) {
    if (err) {
        char text[MOST];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        keep(err, text);
        err->code = code;
    }
    return code;
}

ath_status ath_fail_within(ath_err *err, ath_status code, const char *fmt, ...) {
    if (err) {
        char text[MOST];
        va_list args;
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, ": %s", err->text);
        keep(err, text);
        err->code = code;
    }
    return code;
}
