/* error.c - see error.h. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base.h"

/* A path of usual length, and a sentence or two. */
#define MESSAGE_BYTES 1024

static __thread char message[MESSAGE_BYTES];

const char *idem_last_error(void) { return message; }

IDEM_COLD int idem__fail(int status, const char *format, ...)
{
    const int kept_errno = errno;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    errno = kept_errno;
    return status;
}

int idem__fail_text(int status, const char *text)
{
    const size_t length = strnlen(text, sizeof(message) - 1);
    memcpy(message, text, length);
    message[length] = '\0';
    return status;
}

IDEM_COLD int idem__fail_errno(const char *format, ...)
{
    const int kept_errno = errno;
    va_list args;
    va_start(args, format);
    int length = vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    if (length < 0) {
        length = 0;
    }
    if ((size_t)length < sizeof(message)) {
        char reason[128];
        snprintf(message + length, sizeof(message) - (size_t)length, ": %s",
                 strerror_r(kept_errno, reason, sizeof(reason)));
    }
    errno = kept_errno;
    return IDEM_ESYS;
}
