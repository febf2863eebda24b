/* status.c - names of statuses and outcomes; the version. */
#include "status.h"

#include "idemkey.h"
#include "version.h"

const char *idem_version(void) { return IDEM__VERSION; }

const char *idem_strerror(int status)
{
    switch (status) {
#define STATUS_CASE(code, text) \
    case code:                  \
        return #code ": " text;
        IDEM__STATUSES(STATUS_CASE)
#undef STATUS_CASE
    default:
        return "unknown status";
    }
}

const char *idem_outcome_name(int outcome)
{
    switch (outcome) {
#define OUTCOME_CASE(code, text) \
    case code:                   \
        return text;
        IDEM__OUTCOMES(OUTCOME_CASE)
#undef OUTCOME_CASE
    default:
        return "unknown outcome";
    }
}
