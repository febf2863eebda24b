/*
 * list.h - the index: one lock-free ordered list, with bucket heads in it. Layer 9.
 *
 * Harris' and Michael's list (marks in the link of the node that goes), threaded by Shalev and
 * Shavit's split ordering. The order key of a record is its hash with the lowest bit set; bucket p of
 * 2^k has a head of order p << (64 - k), lowest bit clear. Growth doubles k; a head, once in, stays.
 *
 * A link word:
 *
 *    63          40 39                          8 7    4  3  2  1  0
 *   +--------------+-----------------------------+------+--+--+--+--+
 *   | initialiser  |  target: offset / 16 in the |  0   |R |I |H |M |
 *   | (owner, low) |  slab area, or head's index |      |  |  |  |  |
 *   +--------------+-----------------------------+------+--+--+--+--+
 *   M MARK: the node that holds this link is going     H HEAD: the target is a bucket head
 *   I INIT: this head is being put in, by a process whose owner id ends in `initialiser`
 *   R READY: this head is in; target 0 without H: end of the list
 *
 * Guarantees that the other files name:
 *  [L1] One insertion point: a new record of order o goes to the link before the first node with an
 *       order >= o, unmarked at that moment. Two claims of one key meet there; one CAS wins.
 *  [L2] A head word is 0, or INIT with one initialiser, or READY. Reached directly, an INIT head is
 *       not followed; reached through the list, it is a node like others.
 *  [L3] After a record is DEAD and marked, a find from its bucket to the end of its run that ends
 *       without a restart leaves it unreachable for whoever enters a section later.
 *  [L4] Orders never decrease along the list, and runs of equal order are capped: walks end.
 */
#ifndef IDEM_LIST_H
#define IDEM_LIST_H

#include "bucket.h"

#define LINK_MARK 1u
#define LINK_HEAD 2u
#define LINK_INIT 4u
#define LINK_TARGET_SHIFT 8u
#define LINK_TARGET_BITS ((uint64_t)UINT32_MAX << LINK_TARGET_SHIFT | LINK_HEAD)
#define LINK_OWNER_SHIFT 40u
#define LINK_OWNER_MASK 0xffffffu

static_assert(LINK_READY == IDEM__FIRST_HEAD, "as a new region has it");
/* Records of one order key in a row, dead ones that nobody has unlinked yet included. */
#define RUN_MAX 65536u

/* Where a find ended: the link before the first node with order >= bound, and that node. */
struct idem__position {
    link_shm *link;
    uint64_t seen;             /* value of *link: not marked */
    struct record_shm *record; /* NULL: a head, or the end */
};

static inline uint64_t idem__link_target(uint64_t link) { return link & LINK_TARGET_BITS; }

/* The record that a link names; NULL if that is no place for one. */
IDEM_HOT struct record_shm *idem__record_at(const struct idem__region *region, uint64_t link)
{
    uint64_t offset = (uint64_t)(uint32_t)(link >> LINK_TARGET_SHIFT) << 4;
    uint32_t slab = (uint32_t)(offset >> region->slab_shift);
    uint64_t inside = offset & (((uint64_t)1 << region->slab_shift) - 1);
    if (IDEM_UNLIKELY(!idem__slab_known(region, slab) ||
                      (idem__load64(&region->slab_table[slab].state) & SLAB_STATE_FAMILY_BITS) !=
                          idem__slab_word(SLAB_ACTIVE, FAMILY_RECORD, 0, 0) ||
                      inside + sizeof(struct record_shm) > (uint64_t)1 << region->slab_shift)) {
        return NULL;
    }
    return (struct record_shm *)(void *)(region->slab_area + offset);
}
/* Where a record stands: the target of links to it, without the shift. */
static inline uint32_t idem__record_place(const struct idem__region *region,
                                          const struct record_shm *record)
{
    return (uint32_t)((uint64_t)((const char *)record - region->slab_area) >> 4);
}
static inline uint64_t idem__link_to(const struct idem__region *region,
                                     const struct record_shm *record)
{
    return (uint64_t)idem__record_place(region, record) << LINK_TARGET_SHIFT;
}
static inline struct record_shm *idem__record_in_place(const struct idem__region *region,
                                                       uint32_t place)
{
    return idem__record_at(region, (uint64_t)place << LINK_TARGET_SHIFT);
}

/* The bucket's own head word, READY or not; NULL if there is none yet. It stays where it is. */
IDEM_HOT link_shm *idem__list_head(const struct idem__region *region, uint64_t order)
{
    uint32_t log2 = idem__load32(&region->header->buckets_log2);
    if (IDEM_UNLIKELY(log2 - BUCKETS_LOG2_MIN > BUCKETS_LOG2_MAX - BUCKETS_LOG2_MIN)) {
        return NULL;
    }
    return idem__head_at(region, idem__head_of(order >> (64 - log2), log2));
}

/*
 * The head to start from for `order`: its bucket's, or, while that is not READY, the nearest ancestor's
 * that is. Puts missing heads in where it can. NULL: damaged. `head`: what idem__list_head has returned.
 */
IDEM_HOT link_shm *idem__list_start_at(struct idem__op *op, link_shm *head, uint64_t order)
{
    if (IDEM_LIKELY(head && idem__load64(head) & LINK_READY)) { /* [M2] */
        return head;
    }
    return idem__bucket_open(op, order, idem__load32(&op->region->header->buckets_log2));
}
IDEM_HOT link_shm *idem__list_start(struct idem__op *op, uint64_t order)
{
    return idem__list_start_at(op, idem__list_head(op->region, order), order);
}

/* The errors of a link that leads nowhere, and of a node out of order: IDEM_ECORRUPT. */
int idem__list_bad_link(uint64_t link);
int idem__list_bad_order(uint64_t order);

/* Walks from `start` to the first node with order >= bound; unlinks marked nodes, or steps over them. */
IDEM_HOT int idem__list_walk(const struct idem__region *region, link_shm *start, uint64_t bound,
                             struct idem__position *at, bool unlink)
{
restart:;
    link_shm *link = start;
    /* [M1] Acquire, pairs with the CAS of insert: a node's content is visible to who sees its link. */
    uint64_t seen = idem__load64(link);
    uint64_t last = 0;
    uint32_t run = 0, unlinked = 0;
    for (;;) {
        uint64_t target = idem__link_target(seen);
        at->link = link;
        at->seen = seen;
        at->record = NULL;
        if (target & LINK_HEAD) {
            uint64_t order = idem__head_order(idem__head_index(target));
            if (order >= bound) {
                return IDEM_OK;
            }
            link = idem__head_at(region, idem__head_index(target));
            if (IDEM_UNLIKELY(!link)) {
                return idem__list_bad_link(seen);
            }
            if (IDEM_UNLIKELY(order <= last)) {
                return idem__list_bad_order(order);
            }
            last = order;
            seen = idem__load64(link);
            continue;
        }
        if (target == 0) {
            return IDEM_OK;
        }
        struct record_shm *record = idem__record_at(region, target);
        if (IDEM_UNLIKELY(!record)) {
            return idem__list_bad_link(seen);
        }
        uint64_t after = idem__load64(&record->link);
        if (unlink && IDEM_UNLIKELY(after & LINK_MARK)) {
            uint64_t without = (seen & ~LINK_TARGET_BITS) | idem__link_target(after);
            if (unlinked++ == RUN_MAX) {
                return idem__list_bad_link(seen); /* a ring of marked nodes */
            }
            if (idem__cas64(link, &seen, without)) {
                seen = without;
            } else if (seen & LINK_MARK) {
                goto restart; /* the node that holds `link` is going itself */
            }
            continue;
        }
        uint64_t order = record->order;
        if (order >= bound && !(after & LINK_MARK)) {
            at->record = record;
            return IDEM_OK;
        }
        run = order == last ? run + 1 : 0;
        if (IDEM_UNLIKELY(order < last || run > RUN_MAX)) {
            return idem__list_bad_order(order);
        }
        last = order;
        link = &record->link;
        seen = after;
    }
}

/* From `start`: the first node with order >= bound; unlinks the marked ones on its way. IDEM_ECORRUPT. */
int idem__list_find(struct idem__op *op, link_shm *start, uint64_t bound,
                    struct idem__position *at);

/* The first record of order `order` that is not going, NULL if none. Writes nothing. */
int idem__list_seek(const struct idem__op *op, link_shm *start, uint64_t order,
                    struct record_shm **record);

/* The node after `record` if it has the same order and is not going, in *next; else NULL there. `*steps`,
   0 at first, counts over the whole run: damage cannot lead round for ever. */
int idem__list_next_in_run(const struct idem__op *op, const struct record_shm *record,
                           uint32_t *steps, struct record_shm **next);

/* Puts a record in at a position found for its order. False: the link has changed, find again. */
static inline bool idem__list_insert(struct idem__op *op, const struct idem__position *at,
                                     struct record_shm *record)
{
    uint64_t seen = at->seen;
    /* Relaxed: published by the CAS. */
    idem__poke64(&record->link, idem__link_target(seen));
    /* [M1] Publishes the record's content. */
    return idem__cas64(at->link, &seen,
                       (seen & ~LINK_TARGET_BITS) | idem__link_to(op->region, record));
}

/* [L3] Marks a DEAD record and makes it unreachable. IDEM_ECORRUPT. */
int idem__list_remove(struct idem__op *op, struct record_shm *record);

/* Is this very record in the list? */
int idem__list_contains(struct idem__op *op, const struct record_shm *record, bool *found);

#endif
