/*
 * check.c - the invariants, by name. Each can be checked while others work: what is in motion is looked at
 * again before it counts as broken.
 *
 *   I-ORDER    orders do not decrease along the list; every link leads to a record or a head
 *   I-HEAD     a READY head is met on the walk from its ancestor
 *   I-UNIQUE   a key has at most one record that is not DEAD
 *   I-LINKED   a LIVE record block that is not DEAD is in the list
 *   I-OWNED    a record in the list has a block that is LIVE or TAKEN, of an issued owner
 *   I-STATE    words have states that exist; owners in them were issued
 *   I-SUM      what is immutable in a record has its checksum
 *   I-VALUE    a DONE record names no value, or one that names it back
 */
#include <stdarg.h>
#include <stdio.h>

#include "bucket.h"
#include "call.h"
#include "hash.h"
#include "reclaim.h"

#define SECTION_BLOCKS 256u

__attribute__((format(printf, 2, 3))) static void broken(struct idem_report *report,
                                                         const char *format, ...)
{
    if (report->violations++ == 0) {
        va_list args;
        va_start(args, format);
        vsnprintf(report->first, sizeof report->first, format, args);
        va_end(args);
    }
}

/* Does a later record of the run hold the same key, not DEAD either? */
static bool duplicated(const struct idem__op *op, const struct record_shm *record)
{
    struct record_shm *other = NULL;
    uint32_t steps = 0;
    while (!idem__list_next_in_run(op, other ? other : record, &steps, &other) && other) {
        if (other->key_len == record->key_len && idem__record_fits(op->region, other) &&
            idem__life_state(idem__load64(&other->life)) != LIFE_DEAD) {
            bool same = true;
            for (uint32_t i = 0; i < idem__div_up(record->key_len, 8) && same; i++) {
                same = idem__peek64(&idem__record_key(record)[i]) ==
                       idem__peek64(&idem__record_key(other)[i]);
            }
            /* Looked at in list order: the later one died before the earlier one was put in, or both live. */
            if (same && idem__life_state(idem__load64(&other->life)) != LIFE_DEAD &&
                idem__life_state(idem__load64(&record->life)) != LIFE_DEAD) {
                return true;
            }
        }
    }
    return false;
}

static void check_value(struct idem__op *op, struct record_shm *record,
                        const struct idem__block *of, uint64_t life, struct idem_report *report)
{
    uint32_t number = idem__life_value(life);
    if (number <= LIFE_VALUE_EMPTY) {
        return;
    }
    struct idem__block block;
    bool good = idem__block_at(op->region, number, FAMILY_VALUE, &block);
    if (good) {
        const struct value_shm *value = (const struct value_shm *)(const void *)block.content;
        uint32_t state = idem__block_state(idem__load64(block.word));
        good = (state == BLOCK_LIVE || state == BLOCK_TAKEN) &&
               idem__value_belongs(op->region, value, record, of->generation) &&
               idem__value_length(value) <= block.klass->block_bytes - sizeof *value;
    }
    if (!good && idem__load64(&record->life) == life) {
        broken(report, "I-VALUE: record %u names value %u, which is not its own", of->number,
               number);
    }
    report->values++;
}

/* A LIVE record block. */
static void check_record(struct idem__op *op, struct idem__block *block, uint64_t word,
                         struct idem_report *report)
{
    struct record_shm *record = (struct record_shm *)(void *)block->content;
    uint64_t life = idem__load64(&record->life);
    uint32_t state = idem__life_state(life);
    block->generation = idem__block_generation(word);
    if (state == LIFE_DEAD) {
        return;
    }
    if (state == LIFE_EMPTY || state > LIFE_DEAD ||
        (state == LIFE_PENDING && !idem__owner_issued(op->region, idem__life_owner(life)))) {
        broken(report, "I-STATE: record %u has the life word %#llx", block->number,
               (unsigned long long)life);
        return;
    }
    report->records++;
    bool linked = false;
    if (!idem__record_fits(op->region, record) ||
        record->checksum != idem__record_checksum(record)) {
        broken(report, "I-SUM: record %u is not as it was written", block->number);
    } else if (idem__list_contains(op, record, &linked)) {
        broken(report, "I-ORDER: the list is damaged near record %u", block->number);
    } else if (!linked && idem__life_state(idem__load64(&record->life)) != LIFE_DEAD) {
        broken(report, "I-LINKED: record %u lives but is not in the list", block->number);
    } else if (linked && duplicated(op, record)) {
        broken(report, "I-UNIQUE: the key of record %u has a second record", block->number);
    }
    if (state == LIFE_DONE) {
        check_value(op, record, block, life, report);
    }
}

static void check_block(struct idem__op *op, struct idem__block *block, enum idem__family family,
                        struct idem_report *report)
{
    uint64_t word = idem__load64(block->word);
    switch (idem__block_state(word)) {
    case BLOCK_FREE:
    case BLOCK_RETIRED:
        return;
    case BLOCK_TAKEN:
        if (!idem__owner_issued(op->region, idem__block_arg(word))) {
            broken(report, "I-STATE: block %u is taken by owner %u, never issued", block->number,
                   idem__block_arg(word));
        }
        return; /* its content is garbage to everyone else */
    case BLOCK_LIVE:
        if (family == FAMILY_RECORD) {
            check_record(op, block, word, report);
        }
        return;
    default:
        broken(report, "I-STATE: block %u has the word %#llx", block->number,
               (unsigned long long)word);
    }
}

static void check_slab(struct idem__op *op, uint32_t slab, struct idem_report *report)
{
    bool more = true;
    uint32_t index = 0;
    while (more) {
        idem__op_enter(op);
        uint64_t state = idem__load64(&op->region->slab_table[slab].state);
        enum idem__family family = idem__slab_family(state);
        if (idem__slab_state(state) > SLAB_PUNCH) {
            broken(report, "I-STATE: slab %u has the word %#llx", slab, (unsigned long long)state);
        }
        for (uint32_t i = 0; i < SECTION_BLOCKS && more; i++, index++) {
            struct idem__block block;
            more = idem__block_at(op->region, idem__block_number(slab, index), family, &block);
            if (more) {
                check_block(op, &block, family, report);
            }
        }
        idem__op_leave(op);
    }
}

/* From a READY head to the next head: order, places, owners. */
static void check_bucket(struct idem__op *op, uint32_t index, link_shm *head,
                         struct idem_report *report)
{
    uint64_t last = idem__head_order(index), target = idem__link_target(idem__load64(head));
    uint32_t run = 0;
    report->heads++;
    while (target && !(target & LINK_HEAD)) {
        struct record_shm *record = idem__record_at(op->region, target);
        struct idem__block block;
        if (!record || !idem__block_of(op->region, record, FAMILY_RECORD, &block)) {
            broken(report, "I-ORDER: a link behind head %u leads nowhere", index);
            return;
        }
        run = record->order == last ? run + 1 : 0;
        if (record->order < last || run > RUN_MAX || !(record->order & 1)) {
            broken(report, "I-ORDER: record %u stands behind a higher one", block.number);
            return;
        }
        last = record->order;
        uint64_t link = idem__load64(&record->link), word = idem__load64(block.word);
        uint32_t state = idem__block_state(word);
        /* Looked at again: it may have been removed and retired between the two loads. */
        if (!(link & LINK_MARK) && state != BLOCK_LIVE && state != BLOCK_TAKEN &&
            !(idem__load64(&record->link) & LINK_MARK)) {
            broken(report, "I-OWNED: record %u is in the list, but its block is free",
                   block.number);
        }
        target = idem__link_target(link);
    }
    if (target && (idem__head_order(idem__head_index(target)) <= last ||
                   !idem__head_at(op->region, idem__head_index(target)))) {
        broken(report, "I-ORDER: head %u stands behind a higher node", idem__head_index(target));
    }
}

static void check_heads(struct idem__op *op, struct idem_report *report)
{
    uint32_t log2 = idem__load32(&op->region->header->buckets_log2);
    if (log2 < BUCKETS_LOG2_MIN || log2 > BUCKETS_LOG2_MAX) {
        broken(report, "I-STATE: 2^%u buckets", log2);
        return;
    }
    for (uint64_t index = 0; index < (uint64_t)1 << log2; index++) {
        link_shm *head = idem__head_at(op->region, (uint32_t)index);
        if (!head) {
            index |= ((uint64_t)1 << op->region->chunk_shift) - 1; /* the chunk is absent */
            continue;
        }
        idem__op_enter(op);
        uint64_t seen = idem__load64(head);
        if (seen & LINK_READY) {
            check_bucket(op, (uint32_t)index, head, report);
            uint64_t order = idem__head_order((uint32_t)index);
            uint64_t child = 0;
            link_shm *ancestor =
                idem__ready_ancestor(op->region, order >> (64 - log2), log2, &child);
            struct idem__position at;
            if (index && (!ancestor || idem__list_find(op, ancestor, order, &at) ||
                          idem__link_target(at.seen) != (index << LINK_TARGET_SHIFT | LINK_HEAD))) {
                broken(report, "I-HEAD: head %u is READY, but not in the list", (uint32_t)index);
            }
        } else if (index == 0) {
            broken(report, "I-HEAD: head 0 is not READY");
        }
        idem__op_leave(op);
    }
}

int idem_check(idem_store *store, struct idem_report *report)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (status) {
        return status;
    }
    if (!report || report->size != sizeof *report) {
        status = idem__fail(IDEM_EINVAL,
                            "report: %s; set its size field to sizeof(struct idem_report) = %zu",
                            report ? "has another size" : "is NULL", sizeof *report);
    } else {
        *report = (struct idem_report){.size = sizeof *report};
        uint32_t high = idem__slab_high(op.region);
        for (uint32_t slab = 0; slab < high; slab++) {
            check_slab(&op, slab, report);
        }
        check_heads(&op, report);
        if (report->violations) {
            status = idem__fail(IDEM_ECORRUPT, "the region is damaged: %llu violations, first %s",
                                (unsigned long long)report->violations, report->first);
        }
    }
    idem__call_end(&op);
    return status;
}
