/*
 * bucket.h - bucket heads: where they stand, and how one is put in. Layer 8.
 *
 * Heads are numbered so that growth never moves one: head 0 is bucket 0; the heads that level k adds
 * (buckets p of 2^k with p odd) have the numbers 2^(k-1) + p / 2. Head `index` stands in index chunk
 * index >> chunk_shift. An ancestor of a bucket is had by clearing lowest set bits of p.
 *
 * Putting a head in ([L2]):
 *   0 -> INIT|me            one CAS: from here there is one initialiser
 *   INIT|me|s               s = the node after the place; only the initialiser writes it
 *   pred: s -> head         now it is in the list; others may insert behind it
 *   INIT|me|x -> READY|x    by CAS, keeping what others put there
 * A dead initialiser is replaced by CAS INIT|dead|x -> INIT|me|x; the walk from the ancestor then
 * meets the head (it is in: make it READY) or does not (go on as the initialiser). `me` is the low 24
 * bits of the owner id; the initialiser counts as dead when every issued id that ends so is dead, which
 * can only delay (a bucket without head is slower, never wrong).
 */
#ifndef IDEM_BUCKET_H
#define IDEM_BUCKET_H

#include "slab.h"

#define BUCKETS_LOG2_MIN 6u
#define BUCKETS_LOG2_MAX 30u
#define LINK_READY 8u

static inline uint32_t idem__head_index(uint64_t target) { return (uint32_t)(target >> 8); }

/* The head of bucket p (of 2^log2). */
IDEM_HOT uint32_t idem__head_of(uint64_t p, uint32_t log2)
{
    if (p == 0) {
        return 0;
    }
    uint32_t zeros = (uint32_t)__builtin_ctzll(p);
    return (1u << (log2 - zeros - 1)) + (uint32_t)(p >> zeros >> 1);
}

/* The order key of head `index`: even. */
static inline uint64_t idem__head_order(uint32_t index)
{
    if (index == 0) {
        return 0;
    }
    uint32_t level = 32 - (uint32_t)__builtin_clz(index);
    uint64_t p = (uint64_t)(index - (1u << (level - 1))) << 1 | 1;
    return p << (64 - level);
}

/* Its word; NULL while its chunk is absent, or if the number is damaged. */
IDEM_HOT link_shm *idem__head_at(const struct idem__region *region, uint32_t index)
{
    uint32_t chunk = index >> region->chunk_shift;
    if (IDEM_UNLIKELY(chunk >= IDEM__CHUNKS_MAX)) {
        return NULL;
    }
    uint32_t slab = idem__load32(&region->chunks[chunk]) - 1; /* [S2]; absent: UINT32_MAX */
    if (IDEM_UNLIKELY(!idem__slab_known(region, slab))) {
        return NULL;
    }
    /* INIT: published, its owner about to say INDEX ([S2]). Anything else is damage, maybe a hole. */
    uint32_t state = idem__slab_state(idem__load64(&region->slab_table[slab].state));
    if (IDEM_UNLIKELY(state != SLAB_INDEX && state != SLAB_INIT)) {
        return NULL;
    }
    return (link_shm *)(void *)idem__slab_base(region, slab) +
           (index & ((1u << region->chunk_shift) - 1));
}

/* The READY head of the nearest ancestor of bucket p (of 2^log2), p > 0; NULL: head 0 is damaged.
   *child: the highest bucket below it on the way to p. */
link_shm *idem__ready_ancestor(const struct idem__region *region, uint64_t p, uint32_t log2,
                               uint64_t *child);

/* idem__list_start, when the bucket's own head is not READY, or the number of buckets is damaged. */
link_shm *idem__bucket_open(struct idem__op *op, uint64_t order, uint32_t log2);

#endif
