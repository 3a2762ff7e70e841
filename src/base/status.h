/* Errors are values. A function that can fail for a reason its caller did not
 * write (a file, an option, memory) returns ath_status and explains itself in
 * `err`. A broken promise between our own functions is an ATH_ASSERT.
 * Nothing in the library prints or exits; the program does the talking. */
#ifndef ATH_BASE_STATUS_H
#define ATH_BASE_STATUS_H
#include <assert.h>
#include <stddef.h>

typedef enum ath_status {
    ATH_OK = 0,
    ATH_E_ARG = -1,    /* a value the user gave is wrong: an option, a name    */
    ATH_E_SHAPE = -2,  /* two things do not fit together                       */
    ATH_E_MEM = -3,    /* out of memory                                        */
    ATH_E_IO = -4,     /* the file system said no                              */
    ATH_E_FORMAT = -5, /* a file was read and is not what it should be         */
    ATH_E_STOP = -6    /* the caller asked to stop (ath_stop flag, on_step)    */
} ath_status;

typedef struct ath_err {
    ath_status code;
    char text[1024];
} ath_err;

#if defined(__GNUC__)
#define ATH_PRINTF(fmt_index, first) __attribute__((format(printf, fmt_index, first)))
#else
#define ATH_PRINTF(fmt_index, first)
#endif

/* Writes the message (if `err` is not NULL) and returns `code`, so that a
 * failure is one line: `return ath_fail(err, ATH_E_SHAPE, "...", ...);`
 * The message names the file, option or tensor and what was expected; one that is too long loses its middle. */
ath_status ath_fail(ath_err *err, ath_status code, const char *fmt, ...) ATH_PRINTF(3, 4);

/* Puts "<what>: " before the message that is already in `err`; returns its code. */
ath_status ath_fail_within(ath_err *err, ath_status code, const char *fmt, ...) ATH_PRINTF(3, 4);

#define ATH_TRY(call)                                                                                                  \
    do {                                                                                                               \
        ath_status ath_try_status_ = (call);                                                                           \
        if (ath_try_status_ != ATH_OK) return ath_try_status_;                                                         \
    } while (0)

#define ATH_ASSERT(condition) assert(condition)

#endif
