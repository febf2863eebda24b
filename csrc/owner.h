/*
 * owner.h - identities of processes, and whether they live. Layer 4.
 *
 * An owner id is issued once, from header.next_owner, and never again; its process is alive as
 * long as byte IDEM__OWNER_LOCK_BASE + id of the file is locked (an open-file-description lock held
 * by a PROT_NONE mapping, gone with the process's memory).
 */
#ifndef IDEM_OWNER_H
#define IDEM_OWNER_H

#include "region.h"

#define IDEM__OWNER_LOCK_BASE ((off_t)1 << 40)
/* How long "alive" is believed without asking: only delays a takeover. Asking costs 0.5 us with one
   lock in the file, 65 us with 4,000. */
#define IDEM__ALIVE_CACHE_MS 10u

/* The calling process's owner id, registering at first use or after fork. IDEM_ESYS, IDEM_ESLOTS. */
int idem__owner_self(struct idem__region *region, uint32_t *owner);

/*
 * True if the owner is known to be dead. Cached: dead for ever, alive for IDEM__ALIVE_CACHE_MS.
 * One's own id, and an id that cannot be asked about, is alive. The caller has checked that
 * 0 < owner < header.next_owner (else the region is damaged).
 */
bool idem__owner_dead(struct idem__region *region, uint32_t owner);
/* Same, never from the cache of living ones. For tests, waiters and check. */
bool idem__owner_dead_now(struct idem__region *region, uint32_t owner);

/* [O1] What is issued has been locked before. */
static inline bool idem__owner_issued(const struct idem__region *region, uint32_t owner)
{
    return owner != 0 && owner < idem__load32(&region->header->next_owner);
}

/* The stamp of this process's identity on this region; 0 before registration and after fork. */
static inline uint64_t idem__owner_stamp(const struct idem__region *region)
{
    return idem__peek64(&region->identity->stamp);
}

#endif
