/*
 * nap.h - sleeping between two looks at a key that is BUSY. Layer 5.
 *
 * Nobody wakes the waiters of a killed owner, so a nap is short however long the wait, and the caller
 * looks at the key, and asks whether its owner lives, after each. A first look goes without preparing
 * the futex word: it decides most calls.
 */
#ifndef IDEM_NAP_H
#define IDEM_NAP_H

#include "region.h"

struct idem__nap {
    struct idem__region *region;
    uint64_t hash;
    uint64_t deadline_ms; /* CLOCK_MONOTONIC */
    uint32_t looks;
    uint32_t seen; /* value of the futex word before the look */
};

/* Before each look. Inside a call. */
void idem__nap_prepare(struct idem__nap *nap, struct idem__region *region, uint64_t hash,
                       int64_t wait_ms);
/* After it, outside a call: sleeps a little, at most lease_left_ms if that is not negative. False: time is up. */
bool idem__nap_sleep(struct idem__nap *nap, int64_t lease_left_ms);

#endif
