/* error.h - the thread's last error message. Layer 1. */
#ifndef IDEM_ERROR_H
#define IDEM_ERROR_H

#include "idemkey.h"

/*
 * Keeps a formatted message for idem_last_error() of this thread (cut at a fixed length, no
 * allocation) and returns `status`, so that a failing path is `return idem__fail(IDEM_EINVAL, ...)`.
 * Keeps errno.
 */
__attribute__((format(printf, 2, 3))) int idem__fail(int status, const char *format, ...);
/* Same for a constant text, for what is no accident: without the cost of formatting. */
int idem__fail_text(int status, const char *text);
/* Same for a failed system call: IDEM_ESYS, and the message ends with ": " and strerror(errno). */
__attribute__((format(printf, 1, 2))) int idem__fail_errno(const char *format, ...);

#endif
