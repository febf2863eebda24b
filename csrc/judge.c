#include "judge.h"

#include "reclaim.h"

static uint32_t lease_from(uint64_t now_ms, uint64_t created_ms, int64_t lease_ms)
{
    if (lease_ms == 0) {
        return 0;
    }
    return idem__lease_encode((now_ms > created_ms ? now_ms - created_ms : 0) + (uint64_t)lease_ms);
}

/* Tells the outcome: 0, or what idem__report_fill says. */
static int tell(const struct idem__op *op, const struct record_shm *record,
                const struct idem__look *look, enum idem_outcome outcome, struct idem_claim *claim,
                struct idem__report *report)
{
    bool contents = outcome == IDEM_DONE || outcome == IDEM_HELD || outcome == IDEM_RECLAIMED;
    int status = idem__report_fill(op, record, look, contents, report);
    if (!status) {
        claim->outcome = outcome;
    }
    return status;
}

static bool mismatches(const struct idem__op *op, const struct record_shm *record,
                       const struct idem_request *request)
{
    return request->fingerprint && record->flags & RECORD_FINGERPRINT &&
           idem__record_fits(op->region, record) &&
           !idem__same_bytes(idem__record_fingerprint(record), request->fingerprint,
                             IDEM_FINGERPRINT_SIZE);
}

/* Takes the claim over: the life word is ORPHANED, or PENDING with its lease run out. */
static int take_over(struct idem__op *op, struct record_shm *record, const struct idem__look *look,
                     const struct idem_request *request, struct idem_claim *claim,
                     struct idem__report *report)
{
    struct idem__block block;
    if (!idem__block_of(op->region, record, FAMILY_RECORD, &block)) {
        return idem__fail(IDEM_ECORRUPT,
                          "the region is damaged: the index leads into the middle of a block; "
                          "restore the file or create a new one");
    }
    block.generation = record->generation;
    /* The earlier intent is copied before: afterwards there must be nothing left that can fail. */
    int status = tell(op, record, look, IDEM_RECLAIMED, claim, report);
    if (status) {
        return status;
    }
    uint64_t life = look->life;
    uint32_t attempt = idem__life_attempt(life) + 1;
    uint32_t lease = lease_from(op->now_ms, idem__record_created_ms(record), request->lease_ms);
    if (!idem__cas64(&record->life, &life, idem__life_pending(op->thread->owner, attempt, lease))) {
        claim->outcome = 0;
        return REPORT_AGAIN;
    }
    idem__grant(claim, IDEM_RECLAIMED, op, &block);
    claim->record.attempt = (int32_t)attempt;
    claim->record.state = IDEM_STATE_PENDING;
    claim->record.lease_left_ms = request->lease_ms ? request->lease_ms : -1;
    return IDEM_OK;
}

/* What a record of this key that is not done means for the claim. */
static int judge_open(struct idem__op *op, struct record_shm *record, const struct idem__look *look,
                      bool mismatch, const struct idem_request *request, struct idem_claim *claim,
                      struct idem__report *report)
{
    uint64_t life = look->life;
    uint32_t attempt = idem__life_attempt(life);
    bool hold = record->flags & RECORD_HOLD || attempt >= LIFE_ATTEMPT_MAX;
    switch (idem__life_state(life)) {
    case LIFE_DEAD:
        return JUDGE_GONE;
    case LIFE_PENDING:
        if (IDEM_UNLIKELY(!idem__owner_issued(op->region, idem__life_owner(life)))) {
            break;
        }
        if (idem__owner_dead(op->region, idem__life_owner(life))) {
            idem__record_orphan(op, record, &life);
            return REPORT_AGAIN;
        }
        if (mismatch) {
            return tell(op, record, look, IDEM_MISMATCH, claim, report);
        }
        if (op->now_ms < idem__lease_end_ms(record, life)) {
            return tell(op, record, look, IDEM_BUSY, claim, report);
        }
        if (hold) {
            idem__record_orphan(op, record, &life);
            return REPORT_AGAIN;
        }
        return take_over(op, record, look, request, claim, report);
    case LIFE_ORPHANED:
        if (mismatch) {
            return tell(op, record, look, IDEM_MISMATCH, claim, report);
        }
        if (hold) {
            return tell(op, record, look, IDEM_HELD, claim, report);
        }
        if (idem__in_grace(record, life, op->now_ms)) {
            return tell(op, record, look, IDEM_BUSY, claim, report);
        }
        return take_over(op, record, look, request, claim, report);
    default:
        break;
    }
    return idem__fail(IDEM_ECORRUPT,
                      "the region is damaged: a record of order %#llx has the impossible state "
                      "%#llx; restore the file or create a new one",
                      (unsigned long long)record->order, (unsigned long long)life);
}

/* What a record of this very key, as it was looked at, means for the claim. */
static int judge(struct idem__op *op, struct record_shm *record, struct idem__look look,
                 const struct idem_request *request, struct idem_claim *claim,
                 struct idem__report *report)
{
    for (;; look = idem__look_at(op->region, record)) {
        int result;
        if (IDEM_UNLIKELY(idem__life_expired(record, look.life, op->now_ms))) {
            uint64_t dead = idem__life_dead(look.life);
            result = idem__cas64(&record->life, &look.life, dead) ? JUDGE_GONE : REPORT_AGAIN;
        } else {
            bool mismatch = mismatches(op, record, request);
            result =
                idem__life_state(look.life) == LIFE_DONE
                    ? tell(op, record, &look, mismatch ? IDEM_MISMATCH : IDEM_DONE, claim, report)
                    : judge_open(op, record, &look, mismatch, request, claim, report);
        }
        if (result != REPORT_AGAIN) {
            return result;
        }
    }
}

int idem__judge_run(struct idem__op *op, struct record_shm *cursor,
                    const struct idem_request *request, struct idem__ended *ended,
                    struct idem_claim *claim, struct idem__report *report)
{
    uint32_t steps = 0;
    int result = JUDGE_GONE;
    while (cursor && result == JUDGE_GONE) {
        struct idem__look look = idem__look_at(op->region, cursor);
        if (IDEM_LIKELY(idem__record_has_key(op->region, cursor, request->key, request->key_len))) {
            result = judge(op, cursor, look, request, claim, report);
            if (IDEM_LIKELY(result != JUDGE_GONE)) {
                break;
            }
            ended->record = cursor;
            ended->newest_ns = idem__max_u64(ended->newest_ns, cursor->created_ns);
        }
        int status = idem__list_next_in_run(op, cursor, &steps, &cursor);
        result = status ? status : JUDGE_GONE;
    }
    return result;
}
