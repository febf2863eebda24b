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

/*
 * Is the claim still the caller's? The life word is loaded first and the block word after it: a block
 * word of the token's generation then proves that the life word was this record's; and the CAS that
 * follows fails if it has changed meanwhile. The order matters: see docs/memory-model.md [M4].
 */
static int own(const struct idem__op *op, const struct idem_claim *claim, struct held *held)
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
    return idem__fail(IDEM_ELOST,
                      "claim: is no longer this caller's (completed, released, taken over or "
                      "forgotten); nothing was changed");
}

/* Begins a call on a claim. */
static int begin(const struct idem_claim *claim, struct idem__op *op)
{
    int status = idem__check_struct("claim", claim, claim ? claim->size : 0, sizeof *claim);
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

/* Changes the life word by `next` as long as the claim is the caller's. Inside a section. */
static int change(struct idem__op *op, const struct idem_claim *claim, struct held *held,
                  uint64_t (*next)(const struct idem__op *, const struct held *, const void *),
                  const void *with, uint64_t *became)
{
    int status = own(op, claim, held);
    while (!status) {
        *became = next(op, held, with);
        /* [M3] Publishes the value that the word names. */
        if (idem__cas64(&held->record->life, &held->life, *became)) {
            return IDEM_OK;
        }
        status = own(op, claim, held); /* renewed meanwhile, or lost */
    }
    return status;
}

struct completion {
    const struct idem__value *value;
    int64_t ttl_ms;
};

static uint64_t next_done(const struct idem__op *op, const struct held *held, const void *with)
{
    const struct completion *completion = with;
    uint32_t expires_s;
    if (completion->ttl_ms != IDEM_TTL_SAME) {
        expires_s = idem__expires_s(op->now_ms, idem__ttl_s(completion->ttl_ms));
    } else {
        expires_s = idem__expires_s(idem__record_created_ms(held->record), held->record->ttl_s);
        if (idem__past(op->now_ms, expires_s)) {
            expires_s = idem__expires_s(op->now_ms, held->record->ttl_s); /* late: from now */
        }
    }
    return idem__life_done(expires_s, idem__value_number(completion->value));
}

int idem_complete(struct idem_claim *claim, const void *value, size_t value_len, int64_t ttl_ms,
                  uint32_t flags)
{
    struct idem__op op;
    int status = begin(claim, &op);
    if (status) {
        return status;
    }
    struct idem__value stored = {.bytes = value, .length = value_len};
    struct completion completion = {&stored, ttl_ms};
    status = idem__check_ttl("ttl_ms", ttl_ms, true);
    if (!status && flags & ~(uint32_t)IDEM_ALLOW_NOT_KEPT) {
        status = idem__fail(IDEM_EINVAL,
                            "flags: has unknown bits %#x; known are IDEM_ALLOW_NOT_KEPT", flags);
    }
    if (!status) {
        status = idem__value_check(op.region, &stored, flags);
    }
    bool done = status != IDEM_OK;
    while (!done) {
        struct held held;
        uint64_t life = 0;
        done = true;
        idem__op_enter(&op);
        status = own(&op, claim, &held);
        if (!status) {
            status = idem__value_write(&op, &stored, &held.block);
        }
        if (!status) {
            status = change(&op, claim, &held, next_done, &completion, &life);
            if (!status) {
                uint32_t bound_s = idem__life_bound_s(held.record, life, op.now_ms);
                idem__value_publish(&stored, bound_s);
                if (idem__block_state(held.word) == BLOCK_LIVE &&
                    bound_s < idem__block_arg(held.word)) {
                    idem__block_set_bound(&held.block, held.word, bound_s);
                }
                idem__wait_wake(op.region, held.record->order);
                claim->record.kept = idem__life_value(life) != LIFE_VALUE_NOT_KEPT;
                claim->record.state = IDEM_STATE_DONE;
            }
        }
        idem__value_drop(&stored);
        idem__op_leave(&op);
        if (status == IDEM_EFULL) {
            /* A granted claim is always completed: at worst without its value. */
            stored.kept = idem__make_room(&op);
            done = false;
        }
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
    status = change(&op, claim, &held, next, with, &life);
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
