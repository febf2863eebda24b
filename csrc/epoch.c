#include "epoch.h"

/* Does the slot hold an epoch other than `epoch` for a living owner? */
static bool slot_lags(struct idem__region *region, struct slot_shm *slot, uint64_t epoch)
{
    /* [E3] seq_cst, pairs with [E1]: a section that this load misses has not loaded anything yet.
       [P1] The epoch word first, then the owner: see epoch.h. */
    uint64_t word = atomic_load_explicit(&slot->epoch, memory_order_seq_cst);
    if (!(word & 1) || word >> 1 == epoch) {
        return false;
    }
    uint32_t owner = idem__load32(&slot->owner);
    return !idem__owner_issued(region, owner) || !idem__owner_dead(region, owner);
}

bool idem__epoch_advance(struct idem__region *region)
{
    struct header_shm *header = region->header;
    uint64_t epoch = atomic_load_explicit(&header->epoch, memory_order_seq_cst);
    uint32_t high = atomic_load_explicit(&header->slot_high, memory_order_seq_cst); /* [E3] */
    if (high > IDEM__SLOTS_MAX) {
        return false; /* damaged: nothing is reused */
    }
    for (uint32_t i = 0; i < high; i++) {
        if (slot_lags(region, &region->slots[i], epoch)) {
            return false;
        }
    }
    /* seq_cst: orders the slots' loads before it, so that whoever sees the new G sees them passed. */
    return idem__cas64(&header->epoch, &epoch, epoch + 1);
}

void idem__epoch_slots(struct idem__region *region, uint64_t *used, uint64_t *laggards)
{
    uint64_t epoch = idem__load64(&region->header->epoch);
    uint32_t high =
        (uint32_t)idem__min_u64(idem__load32(&region->header->slot_high), IDEM__SLOTS_MAX);
    *used = *laggards = 0;
    for (uint32_t i = 0; i < high; i++) {
        uint32_t owner = idem__load32(&region->slots[i].owner);
        if (idem__owner_issued(region, owner) && !idem__owner_dead(region, owner)) {
            *used += 1;
            *laggards += slot_lags(region, &region->slots[i], epoch);
        }
    }
}
