/*
 * status.h - the one table of statuses and outcomes. Layer 1.
 *
 * The numbers stand in idemkey_decl.h, which has no preprocessor directives; everything else that
 * speaks of a status by name or text is made from here.
 */
#ifndef IDEM_STATUS_H
#define IDEM_STATUS_H

#define IDEM__STATUSES(X)                                                       \
    X(IDEM_OK, "success")                                                       \
    X(IDEM_EINVAL, "an argument is wrong")                                      \
    X(IDEM_EFULL, "no room for a new claim, or the file system is full")        \
    X(IDEM_ELOST, "the claim is no longer this caller's")                       \
    X(IDEM_ENOTFOUND, "no such key, or not in the state that the call needs")   \
    X(IDEM_ETOOBIG, "the value is larger than the store keeps")                 \
    X(IDEM_ETIMEDOUT, "the deadline passed")                                    \
    X(IDEM_EVERSION, "the file was made by an incompatible build")              \
    X(IDEM_ECORRUPT, "the file is damaged, or is no idemkey region")            \
    X(IDEM_EREPLACED, "the file was unlinked or replaced under the open store") \
    X(IDEM_ESLOTS, "too many processes or threads use the region at once")      \
    X(IDEM_ESYS, "a system call failed")                                        \
    X(IDEM_EBUSY, "a living process is running the key's operation")

#define IDEM__OUTCOMES(X)          \
    X(IDEM_CLAIMED, "CLAIMED")     \
    X(IDEM_RECLAIMED, "RECLAIMED") \
    X(IDEM_BUSY, "BUSY")           \
    X(IDEM_DONE, "DONE")           \
    X(IDEM_MISMATCH, "MISMATCH")   \
    X(IDEM_HELD, "HELD")

#endif
