/* person.c - what a person, or a program that knows better, does to a key without a claim: forget, touch,
   resolve. */
#include "call.h"
#include "hash.h"
#include "value.h"
#include "wait.h"

struct target {
    struct idem__block block;
    struct record_shm *record;
    uint64_t life;
    uint64_t word;
};

/* The record of the key that counts, its life word not DEAD nor expired; a dead owner's PENDING is turned to
   ORPHANED. Inside a section. IDEM_ENOTFOUND, IDEM_ECORRUPT. */
static int find_target(struct idem__op *op, const void *key, size_t key_len, uint64_t order,
                       struct target *target)
{
    link_shm *start = idem__list_start(op, order);
    struct record_shm *cursor = NULL;
    uint32_t steps = 0;
    int status = start ? idem__list_seek(op, start, order, &cursor) : IDEM_ECORRUPT;
    while (cursor && !status) {
        if (idem__record_has_key(op->region, cursor, key, key_len) &&
            idem__block_of(op->region, cursor, FAMILY_RECORD, &target->block)) {
            uint64_t life = idem__load64(&cursor->life);
            if (idem__life_state(life) == LIFE_PENDING &&
                idem__owner_issued(op->region, idem__life_owner(life)) &&
                idem__owner_dead(op->region, idem__life_owner(life))) {
                idem__record_orphan(op, cursor, &life);
            }
            if (idem__life_state(life) != LIFE_DEAD &&
                !idem__life_expired(cursor, life, op->now_ms)) {
                target->record = cursor;
                target->life = life;
                target->word = idem__load64(target->block.word);
                target->block.generation = idem__block_generation(target->word);
                return IDEM_OK;
            }
        }
        status = idem__list_next_in_run(op, cursor, &steps, &cursor);
    }
    return status ? status : idem__fail(IDEM_ENOTFOUND, "key: is not in the store (any more)");
}

static int busy(void)
{
    return idem__fail(IDEM_EBUSY, "key: a living process is running its operation; wait for it");
}

/* An earlier expiry than the block word's bound must lower it. */
static void lower_bound(const struct idem__op *op, const struct target *target, uint64_t life)
{
    uint32_t bound_s = idem__life_bound_s(target->record, life, op->now_ms);
    if (idem__block_state(target->word) == BLOCK_LIVE && bound_s < idem__block_arg(target->word)) {
        idem__block_lower_bound(&target->block, target->word, bound_s);
    }
}

int idem_forget(idem_store *store, const void *key, size_t key_len, uint32_t flags)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (status) {
        return status;
    }
    status = idem__check_key(key, key_len);
    if (!status && flags & ~(uint32_t)IDEM_FORCE) {
        status =
            idem__fail(IDEM_EINVAL, "flags: has unknown bits %#x; known are IDEM_FORCE", flags);
    }
    if (!status) {
        uint64_t order = idem__hash(op.region->header, key, key_len) | 1, dead = 0;
        struct target target = {0};
        idem__op_enter(&op);
        do {
            status = find_target(&op, key, key_len, order, &target);
            if (!status && idem__life_state(target.life) == LIFE_PENDING && !(flags & IDEM_FORCE)) {
                status = busy();
            }
            dead = idem__life_dead(target.life) | LIFE_WIPE;
            if (!status && idem__block_state(target.word) == BLOCK_LIVE) {
                /* If this process dies before the bytes are zeroed, the hand comes by soon. */
                idem__block_lower_bound(&target.block, target.word, 0);
            }
        } while (!status && !idem__cas64(&target.record->life, &target.life, dead));
        if (!status) {
            idem__wait_wake(op.region, order);
            status = idem__record_bury(&op, target.record, dead);
        }
        idem__op_leave(&op);
    }
    idem__call_end(&op);
    return status;
}

int idem_touch(idem_store *store, const void *key, size_t key_len, int64_t ttl_ms)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (status) {
        return status;
    }
    status = idem__check_key(key, key_len);
    if (!status) {
        status = idem__check_ttl("ttl_ms", ttl_ms, false);
    }
    if (!status) {
        uint64_t order = idem__hash(op.region->header, key, key_len) | 1, done = 0;
        struct target target = {0};
        idem__op_enter(&op);
        do {
            status = find_target(&op, key, key_len, order, &target);
            if (!status && idem__life_state(target.life) != LIFE_DONE) {
                status = idem__fail(
                    IDEM_EBUSY, "key: is not completed; only a done key's retention can be set");
            }
            done = idem__life_done(idem__expires_s(op.now_ms, idem__ttl_s(ttl_ms)),
                                   idem__life_value(target.life));
        } while (!status && !idem__cas64(&target.record->life, &target.life, done));
        if (!status) {
            lower_bound(&op, &target, done);
        }
        idem__op_leave(&op);
    }
    idem__call_end(&op);
    return status;
}

/* One try at resolving, inside a section. */
static int resolve(struct idem__op *op, const void *key, size_t key_len, uint64_t order,
                   struct idem__value *value, int64_t ttl_ms)
{
    struct target target = {0};
    bool forget = !value->bytes && ttl_ms == 0;
    uint64_t life = 0;
    do {
        int status = find_target(op, key, key_len, order, &target);
        if (!status && idem__life_state(target.life) != LIFE_ORPHANED) {
            status = idem__life_state(target.life) == LIFE_PENDING
                         ? busy()
                         : idem__fail(IDEM_ENOTFOUND,
                                      "key: is done already; there is nothing to resolve");
        }
        if (!status && !forget && value->length) {
            uint32_t keep_s = ttl_ms ? idem__ttl_s(ttl_ms) : target.record->ttl_s;
            status = idem__value_write(op, value, target.record, target.block.generation,
                                       idem__bound_of(idem__expires_s(op->now_ms, keep_s)));
        }
        if (status) {
            return status;
        }
        uint32_t ttl_s = ttl_ms ? idem__ttl_s(ttl_ms) : target.record->ttl_s;
        life = forget
                   ? idem__life_dead(target.life) | LIFE_WIPE
                   : idem__life_done(idem__expires_s(op->now_ms, ttl_s), idem__value_number(value));
        /* A failure may mean another record of the key: the value, which names the record, is written anew. */
    } while (!idem__cas64(&target.record->life, &target.life, life) &&
             (idem__value_drop(value), true));
    idem__wait_wake(op->region, order);
    if (forget) {
        return idem__record_bury(op, target.record, life);
    }
    idem__value_publish(value, idem__life_bound_s(target.record, life, op->now_ms));
    lower_bound(op, &target, life);
    return IDEM_OK;
}

int idem_resolve(idem_store *store, const void *key, size_t key_len, const void *value,
                 size_t value_len, int64_t ttl_ms)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (status) {
        return status;
    }
    struct idem__value stored = {.bytes = value, .length = value_len};
    status = idem__check_key(key, key_len);
    if (!status) {
        status = idem__check_ttl("ttl_ms", ttl_ms, true);
    }
    if (!status) {
        status = idem__value_check(op.region, &stored, 0);
    }
    if (!status) {
        uint64_t order = idem__hash(op.region->header, key, key_len) | 1;
        do {
            idem__op_enter(&op);
            status = resolve(&op, key, key_len, order, &stored, ttl_ms);
            idem__value_drop(&stored);
            idem__op_leave(&op);
        } while (status == IDEM_EFULL && idem__make_room(&op));
        status = status == IDEM_EFULL ? idem__fail_full(&op) : status;
    }
    idem__call_end(&op);
    return status;
}
