#include "claim.h"

#include "call.h"
#include "reclaim.h"

/* Results of judge() beside statuses and REPORT_BUFFER. */
#define CLAIM_LOOK_AT_FILE 4 /* first ask whether the file is still there, outside the section */
#define JUDGE_GONE 3         /* the record is DEAD: the key is absent as far as it goes */

IDEM_COLD int idem__claim_fail(const struct idem__region *region,
                               const struct idem_request *request)
{
    int status = idem__check_struct("request", request, sizeof *request);
    if (!status) {
        status = idem__check_key(request->key, request->key_len);
    }
    if (!status) {
        status = idem__check_ttl("ttl_ms", request->ttl_ms, false);
    }
    if (!status) {
        status = idem__check_time("lease_ms", request->lease_ms, IDEM__LEASE_MAX_MS);
    }
    if (!status) {
        status = idem__check_time("crash_grace_ms", request->crash_grace_ms, IDEM__GRACE_MAX_MS);
    }
    if (!status) {
        status = idem__check_time("wait_ms", request->wait_ms, IDEM__WAIT_MAX_MS);
    }
    if (!status && request->flags & ~(uint32_t)IDEM_HOLD) {
        status = idem__fail(IDEM_EINVAL, "flags: has unknown bits %#x; known are IDEM_HOLD",
                            request->flags);
    }
    if (status || request->intent_len == 0) {
        return status;
    }
    if (!request->intent) {
        return idem__fail(IDEM_EINVAL, "intent: is NULL, but intent_len is %zu",
                          request->intent_len);
    }
    uint64_t largest = region->classes[region->class_count - 1].block_bytes;
    uint64_t rest = idem__record_bytes(request->key_len, request->fingerprint, 0);
    if (request->intent_len > largest - rest) {
        return idem__fail(IDEM_ETOOBIG, "intent: has %zu bytes; this store keeps at most %llu",
                          request->intent_len, (unsigned long long)(largest - rest));
    }
    return IDEM_OK;
}

static uint32_t lease_from(uint64_t now_ms, uint64_t created_ms, int64_t lease_ms)
{
    if (lease_ms == 0) {
        return 0;
    }
    return idem__lease_encode((now_ms > created_ms ? now_ms - created_ms : 0) + (uint64_t)lease_ms);
}

static void grant(struct idem_claim *claim, enum idem_outcome outcome, const struct idem__op *op,
                  const struct idem__block *block)
{
    claim->outcome = outcome;
    claim->owner = op->thread->owner;
    claim->block = block->number;
    claim->generation = block->generation;
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
    grant(claim, IDEM_RECLAIMED, op, &block);
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
        if (op->now_ms < idem__life_since_ms(life) + record->grace_ms) {
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

/* What stands behind a claim that goes on: a record of the key that has ended. */
struct ended {
    struct record_shm *record; /* NULL: none */
    uint64_t newest_ns;
};

/* Judges the records of the key in a run of its order. JUDGE_GONE: the key is absent. */
static int judge_run(struct idem__op *op, struct record_shm *cursor,
                     const struct idem_request *request, struct ended *ended,
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

/* Writes a record into a block of mine; the link comes later. */
static inline struct record_shm *write_record(const struct idem__op *op,
                                              const struct idem__block *block,
                                              const struct idem_request *request, uint64_t order,
                                              uint32_t ttl_s, uint64_t newest_ns)
{
    struct record_shm *record = (struct record_shm *)(void *)block->content;
    uint32_t lease =
        IDEM_UNLIKELY(request->lease_ms) ? idem__lease_encode((uint64_t)request->lease_ms) : 0;
    record->order = order;
    /* [M4] Release, after the CAS to TAKEN: who loads this word by address and the block word after it
       sees the generation that it belongs to. */
    idem__store64(&record->life, idem__life_pending(op->thread->owner, 1, lease));
    /* Above every earlier record of the key: their sequence. */
    record->created_ns = idem__max_u64(op->now_ms * IDEM__NS_PER_MS, newest_ns + 1);
    record->ttl_s = ttl_s;
    record->grace_ms = (uint32_t)request->crash_grace_ms;
    record->key_len = (uint16_t)request->key_len;
    record->flags = (uint16_t)((request->flags & IDEM_HOLD ? RECORD_HOLD : 0) |
                               (request->fingerprint ? RECORD_FINGERPRINT : 0));
    record->intent_len = (uint32_t)request->intent_len;
    record->generation = block->generation;
    record->checksum = idem__record_checksum(record);
    idem__a64 *at = idem__put_bytes(idem__record_key(record), request->key, request->key_len);
    if (request->fingerprint) {
        at = idem__put_bytes(at, request->fingerprint, IDEM_FINGERPRINT_SIZE);
    }
    if (IDEM_UNLIKELY(request->intent_len)) {
        (void)idem__put_bytes(at, request->intent, request->intent_len);
    }
    return record;
}

/* Claims a key that is absent, at its place in the list. REPORT_AGAIN: that has changed; IDEM_EFULL. */
static inline int claim_absent(struct idem__op *op, const struct idem__position *at,
                               const struct idem_request *request, uint64_t order,
                               uint64_t newest_ns, struct idem_claim *claim)
{
    struct idem__block block;
    uint32_t ttl_s = idem__ttl_s(request->ttl_ms);
    /* When it expires if it is completed with the same ttl. */
    uint32_t bound_s = idem__bound_of(idem__expires_s(op->now_ms, ttl_s));
    uint64_t bytes =
        idem__record_bytes(request->key_len, request->fingerprint, request->intent_len);
    if (IDEM_UNLIKELY(idem__block_alloc(op, FAMILY_RECORD, bytes, bound_s, &block))) {
        return IDEM_EFULL;
    }
    struct record_shm *record = write_record(op, &block, request, order, ttl_s, newest_ns);
    if (IDEM_UNLIKELY(!idem__list_insert(op, at, record))) {
        idem__block_give_back(&block);
        return REPORT_AGAIN;
    }
    idem__block_publish(&block, bound_s);
    grant(claim, IDEM_CLAIMED, op, &block);
    struct idem_record *out = &claim->record;
    idem__report_clear(out); /* of what an earlier look found */
    out->state = IDEM_STATE_PENDING;
    out->id = idem__public_id(op->region, record, block.generation);
    out->attempt = 1;
    out->lease_left_ms = request->lease_ms ? request->lease_ms : -1;
    out->expires_in_ms = request->ttl_ms;
    return IDEM_OK;
}

int idem__claim_attempt(struct idem__op *op, const struct idem_request *request, uint64_t order,
                        struct idem_claim *claim, struct idem__report *report)
{
    struct ended ended = {0};
    link_shm *start = idem__list_start(op, order);
    int result = start ? REPORT_AGAIN : IDEM_ECORRUPT;
    while (result == REPORT_AGAIN) {
        struct idem__position at;
        result = idem__list_walk(op->region, start, order, &at, true);
        if (IDEM_UNLIKELY(result)) {
            break;
        }
        result = at.record && at.record->order == order
                     ? judge_run(op, at.record, request, &ended, claim, report)
                     : JUDGE_GONE;
        if (result == JUDGE_GONE) {
            result = claim_absent(op, &at, request, order, ended.newest_ns, claim);
        }
    }
    if (IDEM_UNLIKELY(ended.record != NULL)) {
        /* Expired a moment ago, or left by a process that died: nothing of it stays behind. What was
           decided stands, even if the list is found damaged now: idem_check tells. */
        (void)idem__record_bury(op, ended.record, idem__load64(&ended.record->life));
    }
    return result;
}

int idem__claim_now(struct idem__op *op, const struct idem_request *request, uint64_t order,
                    struct idem_claim *claim)
{
    struct idem__report report = {.out = &claim->record};
    for (;;) {
        idem__op_enter(op);
        int result = idem__region_replaced_due(op->region, op->now_ms)
                         ? CLAIM_LOOK_AT_FILE
                         : idem__claim_attempt(op, request, order, claim, &report);
        idem__op_leave(op);
        if (IDEM_LIKELY(result == IDEM_OK)) {
            return IDEM_OK;
        }
        if (result == CLAIM_LOOK_AT_FILE) {
            result = idem__region_ask_replaced(op->region, op->now_ms);
            if (!result) {
                continue;
            }
        }
        if (result == IDEM_EFULL && idem__make_room(op)) {
            continue;
        }
        if (result == REPORT_BUFFER) {
            result = idem__report_grow(&report);
            if (!result) {
                continue;
            }
        }
        return result == IDEM_EFULL ? idem__fail_full(op) : result;
    }
}
