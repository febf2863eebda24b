/*
 * reclaim.h - finishing what has ended: expired and dead records, values without a record, blocks of
 * dead owners. Layer 12. All inside a section; any process may die between any two steps, and whoever
 * visits the block next goes on.
 */
#ifndef IDEM_RECLAIM_H
#define IDEM_RECLAIM_H

#include "block.h"
#include "life.h"

/*
 * A record whose life is DEAD (`dead`): mark, find past its run, retire its block, then its value.
 * Once it returns IDEM_OK the record is unreachable. IDEM_ECORRUPT.
 */
int idem__record_bury(struct idem__op *op, struct record_shm *record, uint64_t dead);

/* A PENDING word of an owner that is known dead -> ORPHANED(now). Updates *life to what is there now. */
void idem__record_orphan(const struct idem__op *op, struct record_shm *record, uint64_t *life);

/*
 * The hand's look at block `index` of an ACTIVE slab, whose word is LIVE or TAKEN: moves it on if its
 * time has come. True if the block became RETIRED. Damage is left where it is (check reports it).
 */
bool idem__hand_visit(struct idem__op *op, struct idem__block *block, enum idem__family family,
                      uint64_t word);

/* Value block `number` of the record `of` (number, generation), which is DEAD -> RETIRED, zeroed before
   if asked; not if it is another's by now. */
void idem__value_retire(struct idem__op *op, uint32_t number, const struct idem__block *of,
                        bool wipe);

#endif
