#include "bucket.h"

#include "error.h"
#include "list.h"

/* Are all processes whose owner id ends in `tail` dead? */
static bool initialiser_dead(struct idem__region *region, uint32_t tail)
{
    for (uint64_t owner = tail; owner <= UINT32_MAX; owner += (uint64_t)LINK_OWNER_MASK + 1) {
        if (owner == 0) {
            continue;
        }
        if (!idem__owner_issued(region, (uint32_t)owner)) {
            break;
        }
        if (!idem__owner_dead(region, (uint32_t)owner)) {
            return false;
        }
    }
    return true;
}

/* Becomes the one initialiser of a head that is 0 or whose initialiser died. */
static bool become_initialiser(struct idem__op *op, link_shm *head)
{
    uint64_t me = (uint64_t)(op->thread->owner & LINK_OWNER_MASK) << LINK_OWNER_SHIFT | LINK_INIT;
    uint64_t seen = idem__load64(head);
    if (seen == 0) {
        return idem__cas64(head, &seen, me);
    }
    return seen & LINK_INIT && initialiser_dead(op->region, (uint32_t)(seen >> LINK_OWNER_SHIFT)) &&
           idem__cas64(head, &seen, me | idem__link_target(seen));
}

/* Puts the head in, walking from `ancestor`. */
static int put_in(struct idem__op *op, link_shm *ancestor, link_shm *head, uint32_t index)
{
    uint64_t me = (uint64_t)(op->thread->owner & LINK_OWNER_MASK) << LINK_OWNER_SHIFT | LINK_INIT;
    uint64_t itself = (uint64_t)index << LINK_TARGET_SHIFT | LINK_HEAD;
    for (;;) {
        struct idem__position at;
        int status = idem__list_find(op, ancestor, idem__head_order(index), &at);
        if (status) {
            return status;
        }
        if (idem__link_target(at.seen) != itself) {
            /* Not in: nobody but me writes the word. Release: ordered before the CAS anyway. */
            idem__store64(head, me | idem__link_target(at.seen));
            if (!idem__cas64(at.link, &at.seen, (at.seen & ~LINK_TARGET_BITS) | itself)) {
                continue;
            }
        }
        /* [M2] READY: who reaches it directly now may follow it. */
        uint64_t seen = idem__load64(head);
        while (!idem__cas64(head, &seen, LINK_READY | idem__link_target(seen))) {
        }
        return IDEM_OK;
    }
}

link_shm *idem__ready_ancestor(const struct idem__region *region, uint64_t p, uint32_t log2,
                               uint64_t *child)
{
    while (p) {
        *child = p;
        p &= p - 1;
        link_shm *head = idem__head_at(region, idem__head_of(p, log2));
        if (head && idem__load64(head) & LINK_READY) {
            return head;
        }
    }
    return NULL;
}

/* The word of a head whose chunk may be absent yet; NULL if there is no room for it. */
static link_shm *head_with_chunk(struct idem__op *op, uint32_t index)
{
    link_shm *head = idem__head_at(op->region, index);
    uint32_t chunk = index >> op->region->chunk_shift;
    if (!head && chunk < IDEM__CHUNKS_MAX && idem__load32(&op->region->chunks[chunk]) == 0 &&
        idem__slab_acquire_chunk(op, chunk) == IDEM_OK) {
        head = idem__head_at(op->region, index);
    }
    return head;
}

/*
 * Puts in all missing heads on the way, from the top: while a table fills, walks from an ancestor far up
 * would cross many buckets. Where that cannot be (another is at it, no room, read-only) the nearest
 * ancestor serves: a longer walk, nothing worse.
 */
IDEM_COLD link_shm *idem__bucket_open(struct idem__op *op, uint64_t order, uint32_t log2)
{
    if (log2 < BUCKETS_LOG2_MIN || log2 > BUCKETS_LOG2_MAX) {
        (void)idem__fail(IDEM_ECORRUPT, "the region is damaged: it claims 2^%u buckets", log2);
        return NULL;
    }
    uint64_t p = order >> (64 - log2), child = 0;
    for (;;) {
        link_shm *ancestor = idem__ready_ancestor(op->region, p, log2, &child);
        if (!ancestor) {
            (void)idem__fail(IDEM_ECORRUPT,
                             "the region is damaged: bucket 0 of the index is missing; "
                             "restore the file or create a new one");
            return NULL;
        }
        if (op->region->readonly) {
            return ancestor;
        }
        uint32_t index = idem__head_of(child, log2);
        link_shm *head = head_with_chunk(op, index);
        if (!head || !become_initialiser(op, head)) {
            return ancestor;
        }
        if (put_in(op, ancestor, head, index)) {
            return NULL;
        }
        if (child == p) {
            return head;
        }
    }
}
