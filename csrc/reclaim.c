#include "reclaim.h"

#include "clock.h"

static struct record_shm *record_in(const struct idem__block *block)
{
    return (struct record_shm *)(void *)block->content;
}
static struct value_shm *value_in(const struct idem__block *block)
{
    return (struct value_shm *)(void *)block->content;
}

/* [M5] Zeroes a value's bytes. Its block is LIVE, seen so in this section: nobody reuses it meanwhile. */
static void wipe_value(const struct idem__block *block)
{
    idem__zero_bytes(idem__value_bytes(value_in(block)),
                     block->klass->block_bytes - sizeof(struct value_shm));
}

void idem__value_retire(struct idem__op *op, uint32_t number, const struct idem__block *of,
                        bool wipe)
{
    struct idem__block block;
    if (number <= LIFE_VALUE_EMPTY || !idem__block_at(op->region, number, FAMILY_VALUE, &block)) {
        return;
    }
    uint64_t word = idem__load64(block.word);
    const struct value_shm *value = value_in(&block);
    /* Still TAKEN: its owner, or the hand after that one's death, finishes it. */
    if (idem__block_state(word) == BLOCK_LIVE &&
        idem__value_belongs(op->region, value, record_in(of), of->generation)) {
        if (wipe) {
            wipe_value(&block);
        }
        (void)idem__block_retire(op, &block, word);
    }
}

int idem__record_bury(struct idem__op *op, struct record_shm *record, uint64_t dead)
{
    bool wipe = dead & LIFE_WIPE;
    if (wipe && idem__record_fits(op->region, record)) {
        /* Not the links, lengths and words, by which others still find their way. */
        idem__zero_bytes(idem__record_key(record),
                         idem__record_bytes(record->key_len, record->flags & RECORD_FINGERPRINT,
                                            record->intent_len) -
                             sizeof *record);
    }
    int status = idem__list_remove(op, record);
    struct idem__block block;
    if (status || !idem__block_of(op->region, record, FAMILY_RECORD, &block)) {
        return status;
    }
    uint64_t word = idem__load64(block.word);
    block.generation = idem__block_generation(word);
    /* The value first: a record that is retired is not visited again, and names its value no more. */
    idem__value_retire(op, idem__life_value(dead), &block, wipe);
    if (idem__block_state(word) == BLOCK_LIVE) {
        (void)idem__block_retire(op, &block, word);
    }
    return IDEM_OK;
}

void idem__record_orphan(const struct idem__op *op, struct record_shm *record, uint64_t *life)
{
    /* Read now, after the owner was found dead: the orphan is kept from then on. */
    uint64_t since_ms = idem__clock_now_ms(op->region);
    uint64_t orphan = idem__life_orphaned(idem__life_attempt(*life), since_ms);
    if (idem__cas64(&record->life, life, orphan)) {
        *life = orphan;
    }
}

static bool owner_dead(const struct idem__op *op, uint32_t owner)
{
    return idem__owner_issued(op->region, owner) && idem__owner_dead(op->region, owner);
}

/* A published record: true if it was buried now. */
static bool visit_record(struct idem__op *op, const struct idem__block *block, uint64_t word)
{
    struct record_shm *record = record_in(block);
    uint64_t life = idem__load64(&record->life);
    if (idem__life_state(life) == LIFE_PENDING && owner_dead(op, idem__life_owner(life))) {
        idem__record_orphan(op, record, &life);
    }
    if (idem__life_expired(record, life, op->now_ms)) {
        uint64_t dead = idem__life_dead(life);
        if (idem__cas64(&record->life, &life, dead)) {
            life = dead;
        }
    }
    if (idem__life_state(life) == LIFE_DEAD) {
        return idem__record_bury(op, record, life) == IDEM_OK;
    }
    uint32_t bound_s = idem__life_bound_s(record, life, op->now_ms);
    if (bound_s != idem__block_arg(word)) {
        idem__block_set_bound(block, word, bound_s);
    }
    return false;
}

/* Does a record name this value block? If so *bound_s is when to look again. */
static bool value_named(const struct idem__op *op, const struct idem__block *block,
                        struct idem__block *owner, uint32_t *bound_s)
{
    const struct value_shm *value = value_in(block);
    const struct record_shm *record = idem__record_in_place(op->region, value->record_place);
    if (!record || !idem__block_of(op->region, record, FAMILY_RECORD, owner) ||
        !idem__block_is(idem__load64(owner->word), value->record_generation)) {
        return false;
    }
    uint64_t life = idem__load64(&record->life);
    if (idem__life_state(life) != LIFE_DONE || idem__life_value(life) != block->number) {
        return false;
    }
    *bound_s = idem__life_bound_s(record, life, op->now_ms);
    return true;
}

bool idem__hand_visit(struct idem__op *op, struct idem__block *block, enum idem__family family,
                      uint64_t word)
{
    uint32_t bound_s = 0;
    struct idem__block owner; /* a value's record */
    block->generation = idem__block_generation(word);
    if (idem__block_state(word) == BLOCK_LIVE && family == FAMILY_RECORD) {
        return visit_record(op, block, word);
    }
    if (idem__block_state(word) == BLOCK_TAKEN) {
        if (!owner_dead(op, idem__block_arg(word))) {
            return false;
        }
        /* Again, now that its owner is known to be dead: while it lived it may have given the block back,
           and without a grace period another may have put its value there. */
        if (idem__load64(block->word) != word) {
            return false;
        }
        /* [H1] Its owner died between taking and publishing the word. Dead, it can neither link nor
           name the block any more: what is seen now stays. LIVE if in use, else RETIRED, never
           FREE: a section entered before its removal may still look at it. */
        bool used = false;
        if (family == FAMILY_RECORD) {
            if (idem__list_contains(op, record_in(block), &used)) {
                return false;
            }
        } else {
            used = value_named(op, block, &owner, &bound_s);
        }
        if (used) {
            (void)idem__cas64(block->word, &word,
                              idem__block_word(BLOCK_LIVE, block->generation, 0));
            return false;
        }
        if (family == FAMILY_VALUE) {
            wipe_value(block); /* its record may have been forgotten */
        }
        return idem__block_retire(op, block, word);
    }
    /* [B2] A published value. It was named before it became LIVE: not named now is never again. */
    if (!value_named(op, block, &owner, &bound_s)) {
        wipe_value(block); /* its record may have been forgotten by a process that died */
        return idem__block_retire(op, block, word);
    }
    uint64_t owner_word = idem__load64(owner.word);
    if (idem__past(op->now_ms, bound_s) && idem__block_state(owner_word) == BLOCK_LIVE) {
        /* Its record has expired, and goes with it. */
        (void)visit_record(op, &owner, owner_word);
        return idem__block_state(idem__load64(block->word)) == BLOCK_RETIRED;
    }
    if (bound_s != idem__block_arg(word)) {
        idem__block_set_bound(block, word, bound_s);
    }
    return false;
}
