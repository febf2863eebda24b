/*
 * life.h - what a life word means for its record at a moment. Layer 11.
 *
 * Expired means expired by a margin: clocks of two processes differ by a tick or two, and a reader
 * that stalls in its section must not judge unexpired what another has judged expired long ago. Leases
 * and crash graces have the margin too: they begin by one process's clock and end by another's, and must
 * not end early.
 */
#ifndef IDEM_LIFE_H
#define IDEM_LIFE_H

#include "record.h"

/* Above the distance of two processes' views of the clock: two coarse ticks of 10 ms and the 50 ms
   that a process may go on with its delta. */
#define EXPIRY_MARGIN_MS 100u

static inline bool idem__past(uint64_t now_ms, uint64_t at_s)
{
    return now_ms >= at_s * 1000 + EXPIRY_MARGIN_MS;
}

/* The second until which an orphan is kept; LIFE_EXPIRES_NEVER for a held one. */
static inline uint32_t idem__orphan_until_s(const struct record_shm *record, uint64_t life)
{
    if (record->flags & RECORD_HOLD || idem__life_attempt(life) >= LIFE_ATTEMPT_MAX) {
        return LIFE_EXPIRES_NEVER;
    }
    uint64_t keep_s = idem__max_u64(record->ttl_s, idem__div_up(record->grace_ms, 1000));
    return idem__expires_s(idem__life_since_ms(life), keep_s);
}

/* May a DONE or ORPHANED record go? */
static inline bool idem__life_expired(const struct record_shm *record, uint64_t life,
                                      uint64_t now_ms)
{
    uint32_t at_s = idem__life_state(life) == LIFE_DONE       ? idem__life_expires_s(life)
                    : idem__life_state(life) == LIFE_ORPHANED ? idem__orphan_until_s(record, life)
                                                              : LIFE_EXPIRES_NEVER;
    return at_s != LIFE_EXPIRES_NEVER && idem__past(now_ms, at_s);
}

/* When others may take over a claim with a lease, in store time; UINT64_MAX without one. */
static inline uint64_t idem__lease_end_ms(const struct record_shm *record, uint64_t life)
{
    uint32_t lease = idem__life_lease(life);
    return lease ? idem__record_created_ms(record) + idem__lease_decode(lease) + EXPIRY_MARGIN_MS
                 : UINT64_MAX;
}

/* Is it too early to take over an orphan? Never if no grace was asked for, though the clock of who made it
   an orphan may be ahead. */
static inline bool idem__in_grace(const struct record_shm *record, uint64_t life, uint64_t now_ms)
{
    return record->grace_ms &&
           now_ms < idem__life_since_ms(life) + record->grace_ms + EXPIRY_MARGIN_MS;
}

/* A lower bound of the second at which the hand should look at a record in this state again. */
static inline uint32_t idem__life_bound_s(const struct record_shm *record, uint64_t life,
                                          uint64_t now_ms)
{
    const uint32_t recheck_s = 10; /* a pending key past its ttl: has its owner died? */
    uint32_t at_s;
    switch (idem__life_state(life)) {
    case LIFE_PENDING: {
        uint64_t claimed = idem__record_created_ms(record) / 1000 + record->ttl_s;
        return (uint32_t)idem__min_u64(idem__max_u64(claimed, now_ms / 1000 + recheck_s),
                                       BLOCK_BOUND_NEVER - 1);
    }
    case LIFE_ORPHANED:
        at_s = idem__orphan_until_s(record, life);
        break;
    case LIFE_DONE:
        at_s = idem__life_expires_s(life);
        break;
    default:
        return 0;
    }
    return idem__bound_of(at_s);
}

#endif
