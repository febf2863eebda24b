/* claim.h - one attempt at a claim. Layer 13. */
#ifndef IDEM_CLAIM_H
#define IDEM_CLAIM_H

#include "report.h"

/*
 * Claims request->key, whose order key is `order`, inside a section: IDEM_OK and claim->outcome;
 * IDEM_EFULL, REPORT_BUFFER: leave the section, make room or grow, try again; IDEM_ECORRUPT.
 */
int idem__claim_attempt(struct idem__op *op, const struct idem_request *request, uint64_t order,
                        struct idem_claim *claim, struct idem__report *report);

/* Checks a request's arguments. */
int idem__claim_check(const struct idem__region *region, const struct idem_request *request);

/* idem_claim after the checks, without waiting: attempts until one decides, or there is no room. */
int idem__claim_now(struct idem__op *op, const struct idem_request *request, uint64_t order,
                    struct idem_claim *claim);

#endif
