#include "block.h"

#include "class.h"

bool idem__block_of(const struct idem__region *region, const void *content,
                    enum idem__family family, struct idem__block *block)
{
    uint64_t offset = (uint64_t)((const char *)content - region->slab_area);
    uint32_t slab = (uint32_t)(offset >> region->slab_shift), index = 0;
    if (slab >= idem__slab_high(region)) {
        return false;
    }
    uint64_t state = idem__load64(&region->slab_table[slab].state);
    uint32_t klass = idem__slab_class(state);
    if ((state & SLAB_STATE_FAMILY_BITS) != idem__slab_word(SLAB_ACTIVE, family, 0, 0) ||
        klass >= region->class_count ||
        !idem__class_index(&region->classes[klass],
                           (uint32_t)(offset & (((uint64_t)1 << region->slab_shift) - 1)),
                           &index)) {
        return false;
    }
    return idem__block_at(region, idem__block_number(slab, index), family, block);
}

bool idem__block_retire(struct idem__op *op, const struct idem__block *block, uint64_t expected)
{
    /* [B1] Loaded inside the section, before the CAS: see epoch.h. */
    uint32_t epoch = (uint32_t)idem__load64(&op->region->header->epoch);
    if (!idem__cas64(block->word, &expected,
                     idem__block_word(BLOCK_RETIRED, idem__block_generation(expected), epoch))) {
        return false;
    }
    atomic_fetch_add_explicit(&block->slab->free, 1, memory_order_relaxed);
    op->thread->full_until_ms = 0; /* what was retired may be room: worth another search */
    op->thread->retires += 1 + block->klass->block_bytes / RETIRE_WEIGHT_BYTES;
    return true;
}
