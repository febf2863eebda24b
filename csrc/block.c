#include "block.h"

/* Of a slab with fewer reusable blocks, a search begins at the last one retired. */
#define NEARLY_FULL 16u

bool idem__block_retire(struct idem__op *op, const struct idem__block *block, uint64_t expected)
{
    /* [B1] Loaded inside the section, before the CAS: see epoch.h. */
    uint32_t epoch = (uint32_t)idem__load64(&op->region->header->epoch);
    if (!idem__cas64(block->word, &expected,
                     idem__block_word(BLOCK_RETIRED, idem__block_generation(expected), epoch))) {
        return false;
    }
    if (atomic_fetch_add_explicit(&block->slab->free, 1, memory_order_relaxed) < NEARLY_FULL) {
        idem__poke32(&block->slab->position, idem__block_index(block->number));
    }
    op->thread->full_until_ms = 0; /* what was retired may be room: worth another search */
    op->thread->retires += 1 + block->klass->block_bytes / RETIRE_WEIGHT_BYTES;
    return true;
}
