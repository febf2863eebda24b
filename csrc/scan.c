#include "call.h"
#include "reclaim.h"
#include "report.h"

/* Blocks passed in one section: short, so that the epoch is not held back. */
#define SECTION_BLOCKS 256u

/* The record in a block, if it is live: IDEM_OK and *record filled; IDEM_ENOTFOUND: pass on. */
static int read_block(struct idem__op *op, struct idem__block *block, struct idem__report *report)
{
    uint64_t word = idem__load64(block->word);
    if (idem__block_state(word) == BLOCK_TAKEN && op->thread) {
        (void)idem__hand_visit(op, block, FAMILY_RECORD,
                               word); /* its owner may have died after the insertion */
        word = idem__load64(block->word);
    }
    if (idem__block_state(word) != BLOCK_LIVE) {
        return IDEM_ENOTFOUND;
    }
    block->generation = idem__block_generation(word);
    struct record_shm *record = (struct record_shm *)(void *)block->content;
    int status = REPORT_AGAIN;
    while (status == REPORT_AGAIN) {
        struct idem__look look = idem__look_at(op->region, record);
        uint64_t life = look.life;
        if (idem__life_state(life) == LIFE_DEAD || idem__life_expired(record, life, op->now_ms)) {
            return IDEM_ENOTFOUND;
        }
        if (idem__life_state(life) == LIFE_PENDING && op->thread &&
            idem__owner_issued(op->region, idem__life_owner(life)) &&
            idem__owner_dead(op->region, idem__life_owner(life))) {
            idem__record_orphan(op, record, &life);
            continue;
        }
        status = idem__report_fill(op, record, &look, true, report);
        if (status == IDEM_OK) {
            status = idem__report_key(op, record, report);
        }
        if (status == IDEM_OK && idem__load64(&record->life) != life) {
            status = REPORT_AGAIN; /* a key being zeroed, perhaps */
        }
    }
    return status;
}

/* Goes on from *cursor in one section. IDEM_ENOTFOUND: nothing yet. */
static int scan_part(struct idem__op *op, uint64_t *cursor, struct idem__report *report)
{
    int status = IDEM_ENOTFOUND;
    idem__op_enter(op);
    for (uint32_t i = 0; i < SECTION_BLOCKS && status == IDEM_ENOTFOUND; i++) {
        struct idem__block block;
        uint32_t number = (uint32_t)*cursor;
        if (idem__block_slab(number) >= idem__slab_high(op->region)) {
            break;
        }
        if (!idem__block_at(op->region, number, FAMILY_RECORD, &block)) {
            *cursor = idem__block_number(idem__block_slab(number) + 1, 0);
            continue;
        }
        status = read_block(op, &block, report);
        if (idem__op_overtaken(op)) {
            status = IDEM_ENOTFOUND; /* look again, in a new section */
            break;
        }
        if (status != REPORT_BUFFER) {
            ++*cursor;
        }
    }
    idem__op_leave(op);
    return status;
}

int idem_scan(idem_store *store, uint64_t *cursor, struct idem_record *record)
{
    struct idem__op op;
    int status = idem__call_begin(store, false, &op);
    if (status) {
        return status;
    }
    status = idem__check_struct("record", record, sizeof *record);
    if (!status && !cursor) {
        status = idem__fail(IDEM_EINVAL, "cursor: is NULL; give a uint64_t that is 0 at first");
    }
    if (!status && *cursor > UINT32_MAX) {
        status = idem__fail(IDEM_EINVAL, "cursor: is %llu, which no scan returned",
                            (unsigned long long)*cursor);
    }
    struct idem__report report = {.out = record};
    if (!status) {
        idem__report_reset(record);
        do {
            status = scan_part(&op, cursor, &report);
            if (status == REPORT_BUFFER) {
                status = idem__report_grow(&report);
                status = status ? status : IDEM_ENOTFOUND; /* go on */
            }
        } while (status == IDEM_ENOTFOUND &&
                 idem__block_slab((uint32_t)*cursor) < idem__slab_high(op.region));
        if (status == IDEM_ENOTFOUND) {
            status = idem__fail_text(status, "cursor: there is no further key");
        }
    }
    idem__call_end(&op);
    return status;
}
