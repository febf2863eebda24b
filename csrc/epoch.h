/*
 * epoch.h - sections, and grace periods across processes. Layer 6.
 *
 * RCU whose readers may be in other processes (Fraser's epochs, with owner death):
 *
 *   enter: load G; slot = G << 1 | 1; full fence      leave: slot = 0
 *   G -> G + 1 by CAS, when every active slot of a living owner shows G
 *   what was retired with epoch e is reused when G - e >= IDEM__GRACE
 *
 * Why 3 and not 2. A retirer loads G = e inside its section; the block is reused by someone who saw
 * G >= e + 3. The retirer's own slot holds G at e + 1 or less until it leaves, so its CAS to
 * RETIRED(e) comes before G reaches e + 2. Whoever reads the block word after that sees RETIRED;
 * whoever read LIVE before it did so in a section that was entered when G <= e + 1, and that section
 * holds G at e + 2 or less. With 2, such a reader - it came by address (token, hand, scan), not
 * through the list - could meet the next user of the block (tests/model/retire.pml).
 *
 * Takeover of a slot: by CAS of its owner word from the dead id to one's own; only then does the new
 * owner clear the epoch. Whoever advances loads the epoch word first and the owner after: seeing a
 * stale epoch with the new, living owner only delays, and seeing the dead owner proves that the epoch
 * word read was the dead thread's.
 */
#ifndef IDEM_EPOCH_H
#define IDEM_EPOCH_H

#include "thread.h"

#define IDEM__GRACE 3u
/* Retired blocks (large ones count more) between two attempts to advance, beside two a slot: keeps
   the cost of reading all slots below that of the retirements. */
#define IDEM__RETIRES_PER_ADVANCE 32u

/*
 * [E1] Enter. The exchange is a full fence on x86-64: no load of the section is performed before the
 * announcement is visible to whoever advances. Elsewhere a seq_cst fence follows it.
 */
IDEM_HOT void idem__enter(struct idem__thread *thread)
{
    uint64_t epoch = idem__load64(&thread->region->header->epoch);
    (void)atomic_exchange_explicit(&thread->slot->epoch, epoch << 1 | 1, memory_order_seq_cst);
#if !defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* [E2] Leave. Release: every access of the section happens before the slot reads as inactive. */
IDEM_HOT void idem__leave(struct idem__thread *thread) { idem__store64(&thread->slot->epoch, 0); }

/* [E3] True if what was retired with the low 32 bits of an epoch may be reused now. The caller loaded the
   block word before: G is read here, after it, so that it is not behind the retirer's. */
static inline bool idem__grace_over(const struct idem__region *region, uint32_t epoch)
{
    return (uint32_t)idem__load64(&region->header->epoch) - epoch >= IDEM__GRACE;
}

/* Advances G once if nobody holds it back. Any time, inside a section or not. */
bool idem__epoch_advance(struct idem__region *region);

/* Counts the slots of living owners in use, and those that hold the epoch back. */
void idem__epoch_slots(struct idem__region *region, uint64_t *used, uint64_t *laggards);

/* After leaving: advances now and then, in step with what the thread retired. */
static inline void idem__epoch_tick(struct idem__thread *thread)
{
    if (IDEM_UNLIKELY(thread->retires >= IDEM__RETIRES_PER_ADVANCE)) {
        uint32_t slots = idem__load32(&thread->region->header->slot_high);
        if (thread->retires >= IDEM__RETIRES_PER_ADVANCE + 2 * slots) {
            thread->retires = 0;
            (void)idem__epoch_advance(thread->region);
        }
    }
}

#endif
