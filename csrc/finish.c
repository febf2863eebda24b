#include "call.h"
#include "value.h"
#include "wait.h"

/* A claim's record, found by its token. */
struct held {
    struct idem__block block;
    struct record_shm *record;
    uint64_t life; /* PENDING, and the claim's own */
    uint64_t word;
};

static IDEM_COLD int fail_lost(void)
{
    return idem__fail(IDEM_ELOST,
                      "claim: is no longer this caller's (completed, released, taken over or "
                      "forgotten); nothing was changed");
}

/*
 * Is the claim still the caller's? The life word is loaded first and the block word after it: a block
 * word of the token's generation then proves that the life word was this record's; and the CAS that
 * follows fails if it has changed meanwhile. The order matters: see docs/memory-model.md [M4].
 */
IDEM_HOT int own(const struct idem__op *op, const struct idem_claim *claim, struct held *held)
{
    if (idem__block_at(op->region, claim->block, FAMILY_RECORD, &held->block)) {
        held->record = (struct record_shm *)(void *)held->block.content;
        held->life = idem__load64(&held->record->life);
        held->word = idem__load64(held->block.word);
        held->block.generation = claim->generation;
        if (IDEM_LIKELY(idem__block_is(held->word, claim->generation) &&
                        idem__life_state(held->life) == LIFE_PENDING &&
                        idem__life_owner(held->life) == claim->owner &&
                        (int32_t)idem__life_attempt(held->life) == claim->record.attempt)) {
            return IDEM_OK;
        }
    }
    return fail_lost();
}

/* Begins a call on a claim. */
IDEM_HOT int begin(const struct idem_claim *claim, struct idem__op *op)
{
    int status = idem__check_struct("claim", claim, sizeof *claim);
    if (status) {
        return status;
    }
    if (claim->owner == 0) {
        return idem__fail(IDEM_EINVAL,
                          "claim: has no token (its outcome was %s); only CLAIMED and RECLAIMED "
                          "claims can be ended",
                          idem_outcome_name(claim->outcome));
    }
    status = idem__call_begin(claim->store, true, op);
    if (!status && claim->owner != op->thread->owner) {
        status = idem__fail(IDEM_ELOST,
                            "claim: was made by another process (before fork?); only that one may "
                            "end it");
        idem__call_end(op);
    }
    return status;
}

/* Changes the life word by `next`, `held` being the claim as own() has just found it; goes on as long as
   the claim is the caller's. Inside a section. */
static inline __attribute__((always_inline)) int
change(struct idem__op *op, const struct idem_claim *claim, struct held *held,
       uint64_t (*next)(const struct idem__op *, const struct held *, const void *),
       const void *with, uint64_t *became)
{
    for (;;) {
        *became = next(op, held, with);
        if (IDEM_LIKELY(idem__cas64(&held->record->life, &held->life, *became))) {
            return IDEM_OK;
        }
        int status = own(op, claim, held); /* renewed meanwhile, or lost */
        if (status) {
            return status;
        }
    }
}

/* When a key that is completed now expires. */
static inline uint32_t done_expires_s(const struct idem__op *op, const struct record_shm *record,
                                      int64_t ttl_ms)
{
    if (ttl_ms != IDEM_TTL_SAME) {
        return idem__expires_s(op->now_ms, idem__ttl_s(ttl_ms));
    }
    uint32_t expires_s = idem__expires_s(idem__record_created_ms(record), record->ttl_s);
    /* A completion after the claim's ttl counts it from now. */
    return IDEM_UNLIKELY(idem__past(op->now_ms, expires_s))
               ? idem__expires_s(op->now_ms, record->ttl_s)
               : expires_s;
}

/* One try, inside a section. IDEM_EFULL: no room for the value now. */
IDEM_HOT int complete(struct idem__op *op, struct idem_claim *claim, struct idem__value *value,
                      int64_t ttl_ms)
{
    struct held held;
    int status = own(op, claim, &held);
    if (IDEM_UNLIKELY(status)) {
        return status;
    }
    uint32_t expires_s = done_expires_s(op, held.record, ttl_ms);
    uint32_t bound_s = idem__bound_of(expires_s);
    if (value->kept && value->length) {
        status = idem__value_write(op, value, held.record, claim->generation, bound_s);
        if (IDEM_UNLIKELY(status)) {
            return status;
        }
    }
    uint64_t life = idem__life_done(expires_s, idem__value_number(value));
    /* [M3] Publishes the value that the word names. */
    while (IDEM_UNLIKELY(!idem__cas64(&held.record->life, &held.life, life))) {
        status = own(op, claim, &held); /* renewed meanwhile, or lost */
        if (status) {
            idem__value_drop(value);
            return status;
        }
    }
    idem__value_publish(value, bound_s);
    if (IDEM_UNLIKELY(idem__block_state(held.word) == BLOCK_LIVE &&
                      bound_s < idem__block_arg(held.word))) {
        idem__block_lower_bound(&held.block, held.word, bound_s);
    }
    idem__wait_wake(op->region, held.record->order);
    claim->record.kept = value->kept;
    claim->record.state = IDEM_STATE_DONE;
    return IDEM_OK;
}

static IDEM_COLD int fail_complete(int64_t ttl_ms, uint32_t flags)
{
    int status = idem__check_ttl("ttl_ms", ttl_ms, true);
    return status ? status
                  : idem__fail(IDEM_EINVAL,
                               "flags: has unknown bits %#x; known are IDEM_ALLOW_NOT_KEPT", flags);
}

int idem_complete(struct idem_claim *claim, const void *value, size_t value_len, int64_t ttl_ms,
                  uint32_t flags)
{
    struct idem__op op;
    int status = begin(claim, &op);
    if (IDEM_UNLIKELY(status)) {
        return status;
    }
    struct idem__value stored;
    stored.bytes = value;
    stored.length = value_len;
    if (IDEM_UNLIKELY(!(ttl_ms == IDEM_TTL_SAME || idem__ttl_good(ttl_ms)) ||
                      flags & ~(uint32_t)IDEM_ALLOW_NOT_KEPT)) {
        status = fail_complete(ttl_ms, flags);
    } else {
        status = idem__value_check(op.region, &stored, flags);
    }
    if (IDEM_LIKELY(!status)) {
        do {
            idem__op_enter(&op);
            status = complete(&op, claim, &stored, ttl_ms);
            idem__op_leave(&op);
            /* A granted claim is always completed: at worst without its value. */
        } while (IDEM_UNLIKELY(status == IDEM_EFULL) &&
                 ((stored.kept = idem__make_room(&op)), true));
    }
    idem__call_end(&op);
    return status;
}

static uint64_t next_released(const struct idem__op *op, const struct held *held, const void *with)
{
    (void)with;
    uint32_t attempt = idem__life_attempt(held->life);
    /* What an earlier attempt did stays unknown: then it is as if the owner had died. */
    return attempt == 1 ? idem__life_dead(held->life) : idem__life_orphaned(attempt, op->now_ms);
}

static uint64_t next_abandoned(const struct idem__op *op, const struct held *held, const void *with)
{
    (void)with;
    return idem__life_orphaned(idem__life_attempt(held->life), op->now_ms);
}

static uint64_t next_renewed(const struct idem__op *op, const struct held *held, const void *with)
{
    int64_t lease_ms = *(const int64_t *)with;
    uint64_t after_ms =
        op->now_ms - idem__min_u64(op->now_ms, idem__record_created_ms(held->record));
    uint32_t lease = lease_ms ? idem__lease_encode(after_ms + (uint64_t)lease_ms) : 0;
    return (held->life & ~LIFE_LEASE_BITS) | (uint64_t)lease << 42;
}

/* Release, abandon and renew. */
static int change_once(struct idem_claim *claim,
                       uint64_t (*next)(const struct idem__op *, const struct held *, const void *),
                       const void *with)
{
    struct idem__op op;
    int status = begin(claim, &op);
    if (status) {
        return status;
    }
    struct held held;
    uint64_t life = 0;
    idem__op_enter(&op);
    status = own(&op, claim, &held);
    if (!status) {
        status = change(&op, claim, &held, next, with, &life);
    }
    if (!status && idem__life_state(life) != LIFE_PENDING) {
        idem__wait_wake(op.region, held.record->order);
        if (idem__life_state(life) == LIFE_DEAD) {
            status = idem__record_bury(&op, held.record, life);
        }
    }
    idem__op_leave(&op);
    idem__call_end(&op);
    return status;
}

int idem_release(struct idem_claim *claim) { return change_once(claim, next_released, NULL); }

int idem_abandon(struct idem_claim *claim) { return change_once(claim, next_abandoned, NULL); }

int idem_renew(struct idem_claim *claim, int64_t lease_ms)
{
    int status = idem__check_time("lease_ms", lease_ms, IDEM__LEASE_MAX_MS);
    return status ? status : change_once(claim, next_renewed, &lease_ms);
}
