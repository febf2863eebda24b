/*
 * alloc.h - the hand: finding a block. Layer 11.
 *
 * Per thread and class a cursor goes round a slab, takes what is reusable, passes what lives, and
 * finishes what has ended (reclaim.h). Meanwhile it cleans a second slab, a few words an allocation,
 * whose blocks have expired in part: by the time one is looked for, the grace periods are over. Slabs carry
 * hints of what they offer; only before a claim is refused are the hints ignored.
 */
#ifndef IDEM_ALLOC_H
#define IDEM_ALLOC_H

#include "block.h"

/* Rounds of making room: op->round. */
enum idem__round { ROUND_FIRST = 0, ROUND_GRACE = 1, ROUND_THOROUGH = 2, ROUND_LARGER = 3 };

/* idem__block_alloc when the block at the cursor is not simply free; and, now and then, keeping the
   slab's hints up to date and cleaning another slab for later. Both return what it returns. */
int idem__alloc_slow(struct idem__op *op, enum idem__family family, uint32_t klass,
                     uint32_t bound_s, struct idem__block *block);
int idem__alloc_upkeep(struct idem__op *op, enum idem__family family, uint32_t klass,
                       uint32_t bound_s);

/* Takes the block at the lap's index, whose word has just been loaded, if it can be reused. */
IDEM_HOT bool idem__lap_take(struct idem__op *op, struct idem__lap *lap,
                             const struct idem__class *of, uint64_t word, struct idem__block *block)
{
    uint32_t index = lap->index;
    if (!idem__block_reusable(op->region, word)) {
        return false;
    }
    block->slab = lap->entry;
    block->word = lap->words + index;
    if (IDEM_UNLIKELY(!idem__block_take(op, block->slab, block->word, word, &block->generation))) {
        return false;
    }
    block->klass = of;
    block->number = idem__block_number(lap->slab - 1, index);
    block->content = (char *)lap->words + of->first_off + (uint64_t)index * of->block_bytes;
    lap->index = IDEM_UNLIKELY(index + 1 == of->count) ? 0 : index + 1;
    lap->left--;
    return true;
}

/*
 * Takes a block for `bytes`: TAKEN by me. `bound_s`: the second at which it may expire, for the hints.
 * Inside a section. IDEM_EFULL: none now; leave the section, call idem__make_room and try again. The
 * caller has checked that a class holds `bytes`.
 */
IDEM_HOT int idem__block_alloc(struct idem__op *op, enum idem__family family, uint64_t bytes,
                               uint32_t bound_s, struct idem__block *block)
{
    uint32_t klass = idem__class_for(op->region, bytes);
    struct idem__lap *lap = &op->thread->cursors[family * IDEM__CLASSES_MAX + klass].now;
    if (IDEM_UNLIKELY(lap->left == 0 || idem__load64(&lap->entry->state) != lap->state || /* [S3] */
                      !idem__lap_take(op, lap, &op->region->classes[klass],
                                      idem__load64(&lap->words[lap->index]), block))) {
        struct idem__block found; /* or *block would have to be in memory in the common case too */
        int status = idem__alloc_slow(op, family, klass, bound_s, &found);
        *block = found;
        return status;
    }
    return IDEM_LIKELY(--lap->untold > 0) ? IDEM_OK
                                          : idem__alloc_upkeep(op, family, klass, bound_s);
}

/*
 * Outside a section, after IDEM_EFULL: the next of a bounded number of efforts: lets grace periods end;
 * then looks at more words; then finishes blocks of every class whatever the hints say, and takes larger
 * blocks too. False
 * when there is no further effort, or it was made in vain a moment ago. Updates op->round.
 */
bool idem__make_room(struct idem__op *op);

/* The message of a refusal: limit or file system. Returns IDEM_EFULL. */
int idem__fail_full(const struct idem__op *op);

/* Visits at most `budget` blocks of all classes, 0 = all; empties slabs, gives pages back. Outside a
   section. Returns the blocks that became reusable. */
uint64_t idem__sweep(struct idem__op *op, uint64_t budget);

#endif
