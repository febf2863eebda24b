/*
 * alloc.h - the hand: finding a block. Layer 11.
 *
 * Per thread and class a cursor goes round a slab, takes what is reusable, passes what lives, and
 * finishes what has ended (reclaim.h). Meanwhile it cleans a second slab, a few words an allocation,
 * whose blocks have expired in part: by the time it gets there, the grace periods are over. Slabs carry
 * hints of what they offer; only before a claim is refused are the hints ignored.
 */
#ifndef IDEM_ALLOC_H
#define IDEM_ALLOC_H

#include "block.h"

/* Rounds of making room: op->round. */
enum idem__round { ROUND_FIRST = 0, ROUND_GRACE = 1, ROUND_LARGER = 2 };

/*
 * Takes a block for `bytes`: TAKEN by me. `bound_s`: the second at which it may expire, for the hints. Inside a section. IDEM_EFULL: none now; leave the section,
 * call idem__make_room and try again. The caller has checked that a class holds `bytes`.
 */
int idem__block_alloc(struct idem__op *op, enum idem__family family, uint64_t bytes,
                      uint32_t bound_s, struct idem__block *block);

/*
 * Outside a section, after IDEM_EFULL: the next of a bounded number of efforts: lets grace periods end;
 * looks at blocks of every class whatever the hints say, and from then on takes larger blocks too. False
 * when there is no further effort, or it was made in vain a moment ago. Updates op->round.
 */
bool idem__make_room(struct idem__op *op);

/* The message of a refusal: limit or file system. Returns IDEM_EFULL. */
int idem__fail_full(const struct idem__op *op);

/* Visits at most `budget` blocks of all classes, 0 = all; empties slabs, gives pages back. Outside a
   section. Returns the blocks that became reusable. */
uint64_t idem__sweep(struct idem__op *op, uint64_t budget);

#endif
