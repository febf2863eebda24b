/* claim.h - one attempt at a claim. Layer 13. */
#ifndef IDEM_CLAIM_H
#define IDEM_CLAIM_H

#include "call.h"
#include "report.h"

/*
 * Claims request->key, whose order key is `order`, inside a section: IDEM_OK and claim->outcome;
 * IDEM_EFULL, REPORT_BUFFER: leave the section, make room or grow, try again; IDEM_ECORRUPT.
 */
int idem__claim_attempt(struct idem__op *op, const struct idem_request *request, uint64_t order,
                        struct idem_claim *claim, struct idem__report *report);

/* What is wrong with a request, or IDEM_OK: has an intent. */
int idem__claim_fail(const struct idem__region *region, const struct idem_request *request);

/* Checks a request's arguments. */
static inline int idem__claim_check(const struct idem__region *region,
                                    const struct idem_request *request)
{
    bool good = request && request->size == sizeof *request &&
                idem__key_good(request->key, request->key_len) && idem__ttl_good(request->ttl_ms) &&
                (uint64_t)request->lease_ms <= (uint64_t)IDEM__LEASE_MAX_MS &&
                (uint64_t)request->crash_grace_ms <= (uint64_t)IDEM__GRACE_MAX_MS &&
                (uint64_t)request->wait_ms <= (uint64_t)IDEM__WAIT_MAX_MS &&
                !(request->flags & ~(uint32_t)IDEM_HOLD) && request->intent_len == 0;
    return IDEM_LIKELY(good) ? IDEM_OK : idem__claim_fail(region, request);
}

/* idem_claim after the checks, without waiting: attempts until one decides, or there is no room. */
int idem__claim_now(struct idem__op *op, const struct idem_request *request, uint64_t order,
                    struct idem_claim *claim);

#endif
