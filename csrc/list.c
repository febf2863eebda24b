#include "list.h"

#include "bucket.h"
#include "error.h"

IDEM_COLD int idem__list_bad_link(uint64_t link)
{
    return idem__fail(IDEM_ECORRUPT,
                      "the region is damaged: link %#llx of the index leads nowhere; "
                      "restore the file or create a new one",
                      (unsigned long long)link);
}

IDEM_COLD int idem__list_bad_order(uint64_t order)
{
    return idem__fail(IDEM_ECORRUPT,
                      "the region is damaged: the index is out of order at %#llx; "
                      "restore the file or create a new one",
                      (unsigned long long)order);
}

int idem__list_find(struct idem__op *op, link_shm *start, uint64_t bound, struct idem__position *at)
{
    return idem__list_walk(op->region, start, bound, at, true);
}

int idem__list_seek(const struct idem__op *op, link_shm *start, uint64_t order,
                    struct record_shm **record)
{
    struct idem__position at;
    int status = idem__list_walk(op->region, start, order, &at, false);
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
            return idem__list_bad_link(target);
        }
        if (candidate->order != record->order) {
            return candidate->order > record->order ? IDEM_OK
                                                    : idem__list_bad_order(candidate->order);
        }
        if (!(idem__load64(&candidate->link) & LINK_MARK)) {
            *next = candidate;
            return IDEM_OK;
        }
        from = candidate; /* going: step over it */
    }
    return idem__list_bad_order(record->order);
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
            status = idem__list_bad_order(order);
        }
    }
    return status;
}
