#include "nap.h"

#include <time.h>

#include "wait.h"

#define NAP_MIN_MS 10u
#define NAP_MAX_MS 100u

static uint64_t monotonic_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void idem__nap_prepare(struct idem__nap *nap, struct idem__region *region, uint64_t hash,
                       int64_t wait_ms)
{
    if (nap->looks++ == 0) {
        nap->deadline_ms = monotonic_ms() + (uint64_t)wait_ms;
        return;
    }
    nap->region = region;
    nap->hash = hash;
    nap->seen = idem__wait_prepare(region, hash);
}

bool idem__nap_sleep(struct idem__nap *nap, int64_t lease_left_ms)
{
    uint64_t now_ms = monotonic_ms();
    if (now_ms >= nap->deadline_ms) {
        return false;
    }
    if (nap->looks == 1) {
        return true; /* look again with the futex word prepared */
    }
    uint64_t naps = nap->looks - 2;
    uint64_t nap_ms = naps < 4 ? (uint64_t)NAP_MIN_MS << naps : NAP_MAX_MS;
    nap_ms = idem__min_u64(idem__min_u64(nap_ms, NAP_MAX_MS), nap->deadline_ms - now_ms);
    if (lease_left_ms >= 0) {
        nap_ms = idem__min_u64(nap_ms, (uint64_t)lease_left_ms + 1);
    }
    idem__wait_sleep(nap->region, nap->hash, nap->seen, nap_ms);
    return true;
}
