#include "list.h"

#include "bucket.h"
#include "error.h"

static int corrupt_link(uint64_t link)
{
    return idem__fail(IDEM_ECORRUPT,
                      "the region is damaged: link %#llx of the index leads nowhere; "
                      "restore the file or create a new one",
                      (unsigned long long)link);
}

static int corrupt_order(uint64_t order)
{
    return idem__fail(IDEM_ECORRUPT,
                      "the region is damaged: the index is out of order at %#llx; "
                      "restore the file or create a new one",
                      (unsigned long long)order);
}

/* Walks to the first node with order >= bound; unlinks marked nodes, or steps over them. */
static inline __attribute__((always_inline)) int walk(const struct idem__region *region,
                                                      link_shm *start, uint64_t bound,
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
                return corrupt_link(seen);
            }
            if (IDEM_UNLIKELY(order <= last)) {
                return corrupt_order(order);
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
            return corrupt_link(seen);
        }
        uint64_t after = idem__load64(&record->link);
        if (unlink && IDEM_UNLIKELY(after & LINK_MARK)) {
            uint64_t without = (seen & ~LINK_TARGET_BITS) | idem__link_target(after);
            if (unlinked++ == RUN_MAX) {
                return corrupt_link(seen); /* a ring of marked nodes */
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
            return corrupt_order(order);
        }
        last = order;
        link = &record->link;
        seen = after;
    }
}

int idem__list_find(struct idem__op *op, link_shm *start, uint64_t bound, struct idem__position *at)
{
    return walk(op->region, start, bound, at, true);
}

int idem__list_seek(const struct idem__op *op, link_shm *start, uint64_t order,
                    struct record_shm **record)
{
    struct idem__position at;
    int status = walk(op->region, start, order, &at, false);
    *record = at.record && at.record->order == order ? at.record : NULL;
    return status;
}

int idem__list_next_in_run(const struct idem__op *op, const struct record_shm *record,
                           uint32_t *steps, struct record_shm **next)
{
    const struct record_shm *from = record;
    while ((*steps)++ < RUN_MAX) {
        uint64_t target = idem__link_target(idem__load64(&from->link));
        *next = NULL;
        if (target == 0 || target & LINK_HEAD) {
            return IDEM_OK;
        }
        struct record_shm *candidate = idem__record_at(op->region, target);
        if (IDEM_UNLIKELY(!candidate)) {
            return corrupt_link(target);
        }
        if (candidate->order != record->order) {
            return candidate->order > record->order ? IDEM_OK : corrupt_order(candidate->order);
        }
        if (!(idem__load64(&candidate->link) & LINK_MARK)) {
            *next = candidate;
            return IDEM_OK;
        }
        from = candidate; /* going: step over it */
    }
    return corrupt_order(record->order);
}

bool idem__list_insert(struct idem__op *op, const struct idem__position *at,
                       struct record_shm *record)
{
    uint64_t seen = at->seen;
    /* Relaxed: published by the CAS. */
    idem__poke64(&record->link, idem__link_target(seen));
    /* [M1] Publishes the record's content. */
    return idem__cas64(at->link, &seen,
                       (seen & ~LINK_TARGET_BITS) | idem__link_to(op->region, record));
}

int idem__list_remove(struct idem__op *op, struct record_shm *record)
{
    uint64_t link = idem__load64(&record->link);
    while (!(link & LINK_MARK) && !idem__cas64(&record->link, &link, link | LINK_MARK)) {
    }
    struct idem__position at;
    link_shm *start = idem__list_start(op, record->order);
    if (!start) {
        return IDEM_ECORRUPT;
    }
    /* Past the whole run: order + 1 is even, which no record's is. */
    return idem__list_find(op, start, record->order + 1, &at);
}

int idem__list_contains(struct idem__op *op, const struct record_shm *record, bool *found)
{
    struct idem__position at;
    uint64_t order = record->order | 1; /* may be garbage: then nothing is found */
    *found = false;
    link_shm *start = idem__list_start(op, order);
    if (!start) {
        return IDEM_ECORRUPT;
    }
    /* Past the run first: what is marked leaves the list here, as in [L3]. */
    int status = idem__list_find(op, start, order + 1, &at);
    if (status == IDEM_OK) {
        status = idem__list_find(op, start, order, &at);
    }
    const struct record_shm *cursor = at.record;
    for (uint32_t steps = 0; !status && cursor && cursor->order == order; steps++) {
        if (cursor == record) {
            *found = true; /* marked since, perhaps: it still is in */
            break;
        }
        uint64_t target = idem__link_target(idem__load64(&cursor->link));
        cursor = target && !(target & LINK_HEAD) ? idem__record_at(op->region, target) : NULL;
        if (steps == RUN_MAX) {
            status = corrupt_order(order);
        }
    }
    return status;
}
