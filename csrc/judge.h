/* judge.h - what the records of a key mean for who claims it. Layer 13. */
#ifndef IDEM_JUDGE_H
#define IDEM_JUDGE_H

#include "call.h"
#include "report.h"

#define JUDGE_GONE \
    3 /* a result beside statuses and REPORT_...: the key is absent as far as was seen */

/* What stands behind a claim that goes on: a record of the key that has ended. */
struct idem__ended {
    struct record_shm *record; /* NULL: none */
    uint64_t newest_ns;
};

/*
 * Judges the records of the key in a run of its order, from `cursor` on, inside a section: IDEM_OK and
 * claim->outcome, a takeover included; JUDGE_GONE, and then *ended tells of them; REPORT_BUFFER; IDEM_ECORRUPT.
 */
int idem__judge_run(struct idem__op *op, struct record_shm *cursor,
                    const struct idem_request *request, struct idem__ended *ended,
                    struct idem_claim *claim, struct idem__report *report);

/* Gives the claim its token. */
static inline void idem__grant(struct idem_claim *claim, enum idem_outcome outcome,
                               const struct idem__op *op, const struct idem__block *block)
{
    claim->outcome = outcome;
    claim->owner = op->thread->owner;
    claim->block = block->number;
    claim->generation = block->generation;
}

#endif
