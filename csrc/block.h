/*
 * block.h - memory that changes hands by one CAS. Layer 9.
 *
 *   FREE(g) -> TAKEN(g+1, owner) -> LIVE(g, expiry bound) -> RETIRED(g, epoch) -> TAKEN(g+1, owner) ...
 *
 * All inside a section. Only the living owner, or anyone once it is dead, moves a TAKEN block.
 */
#ifndef IDEM_BLOCK_H
#define IDEM_BLOCK_H

#include "class.h"
#include "slab.h"

/* Which blocks count more towards the next epoch: one unit per so many bytes. */
#define RETIRE_WEIGHT_BYTES 4096u

/* The block that holds this content; false if no block of the family begins there. */
static inline bool idem__block_of(const struct idem__region *region, const void *content,
                                  enum idem__family family, struct idem__block *block)
{
    uint64_t offset = (uint64_t)((const char *)content - region->slab_area);
    uint32_t slab = (uint32_t)(offset >> region->slab_shift), index = 0;
    if (IDEM_UNLIKELY(!idem__slab_known(region, slab))) {
        return false;
    }
    uint64_t state = idem__load64(&region->slab_table[slab].state);
    uint32_t klass = idem__slab_class(state);
    uint32_t inside = (uint32_t)(offset & (((uint64_t)1 << region->slab_shift) - 1));
    if (IDEM_UNLIKELY((state & SLAB_STATE_FAMILY_BITS) !=
                          idem__slab_word(SLAB_ACTIVE, family, 0, 0) ||
                      !idem__class_fits(region, family, klass) ||
                      !idem__class_index(&region->classes[klass], inside, &index))) {
        return false;
    }
    block->klass = &region->classes[klass];
    block->number = idem__block_number(slab, index);
    block->slab = &region->slab_table[slab];
    block->word = idem__slab_words(region, slab) + index;
    block->content = (char *)(uintptr_t)content;
    return true;
}

/* FREE, or RETIRED for a grace period -> TAKEN by me. The word has just been loaded. */
static inline bool idem__block_take(struct idem__op *op, struct slab_shm *slab, idem__a64 *at,
                                    uint64_t word, uint32_t *generation)
{
    *generation = (idem__generation_of(word, slab) + 1) & BLOCK_GENERATION_MAX;
    /* [B1] Acquire side: what the block's former user did happens before. */
    return idem__cas64(at, &word, idem__block_word(BLOCK_TAKEN, *generation, op->thread->owner));
}

/* [B2] TAKEN by me -> LIVE, after publication. Release: whoever sees LIVE sees the content. Nobody else
   moves the word while I live, so a store does. */
static inline void idem__block_publish(const struct idem__block *block, uint32_t bound_s)
{
    idem__store64(block->word, idem__block_word(BLOCK_LIVE, block->generation, bound_s));
}

/* TAKEN by me -> FREE: never published. */
static inline void idem__block_give_back(const struct idem__block *block)
{
    idem__store64(block->word, idem__block_word(BLOCK_FREE, block->generation, 0));
    atomic_fetch_add_explicit(&block->slab->free, 1, memory_order_relaxed);
}

/*
 * -> RETIRED with an epoch loaded now, from the word `expected` (LIVE, or TAKEN by a dead owner). The
 * block is unreachable for sections entered later. False: another has moved it.
 */
bool idem__block_retire(struct idem__op *op, const struct idem__block *block, uint64_t expected);

/* LIVE -> LIVE with another lower bound of the expiry; a failure leaves it to a later visit. */
static inline void idem__block_set_bound(const struct idem__block *block, uint64_t expected,
                                         uint32_t bound_s)
{
    (void)idem__cas64(block->word, &expected,
                      idem__block_word(BLOCK_LIVE, idem__block_generation(expected), bound_s));
}

/* LIVE -> LIVE with an earlier bound: the slab is worth a look by then. */
static inline void idem__block_lower_bound(const struct idem__block *block, uint64_t expected,
                                           uint32_t bound_s)
{
    idem__block_set_bound(block, expected, bound_s);
    if (bound_s < idem__peek32(&block->slab->useful_s)) {
        idem__poke32(&block->slab->useful_s, bound_s);
    }
}

#endif
