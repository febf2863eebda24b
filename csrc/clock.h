/*
 * clock.h - the store's clock, in milliseconds. Layer 4.
 *
 * CLOCK_BOOTTIME of the host (this process's time-namespace offset taken off) plus the anchor of
 * the header: it goes on through suspend, ignores wall-clock steps, and after a reboot continues
 * from the high-water mark plus the wall-clock time elapsed.
 */
#ifndef IDEM_CLOCK_H
#define IDEM_CLOCK_H

#include "clock_limits.h"
#include "hosttime.h"
#include "region.h"

/* For so long the coarse clock of this process stands in for CLOCK_BOOTTIME: a suspend shows then. */
#define IDEM__CLOCK_REFRESH_MS 50u
/* header.high_ms is raised in steps of this: ten writes a second to a line that all processes read. */
#define IDEM__CLOCK_STEP_MS 100u
/* The byte of the file that is locked while the clock is anchored after a reboot. */
#define IDEM__CLOCK_LOCK_BYTE ((off_t)1 << 41)

/*
 * At open, and when a child registers: finds the time-namespace offset, anchors the clock (after a
 * reboot: again). Idempotent; may sleep while another process anchors it. IDEM_ESYS; IDEM_ECORRUPT;
 * IDEM_ETIMEDOUT.
 */
int idem__clock_open(struct idem__region *region);

/* What idem__clock_now_ms does now and then. */
void idem__clock_refresh(struct idem__region *region, uint64_t coarse_ms);
void idem__clock_raise(struct idem__region *region, uint64_t now_ms);

/*
 * Milliseconds of the store's clock, never less than header.high_ms. ~5 ns: reads
 * CLOCK_MONOTONIC_COARSE and a delta that is taken afresh every IDEM__CLOCK_REFRESH_MS. Call it after
 * entering a section (epoch.h).
 */
IDEM_HOT uint64_t idem__clock_now_ms(struct idem__region *region)
{
    const uint64_t coarse_ms = idem__coarse_ms();
    /* Relaxed: any delta of late gives the time to within the refresh interval. */
    if (IDEM_UNLIKELY(coarse_ms - idem__peek64(&region->clock_checked_ms) >=
                      IDEM__CLOCK_REFRESH_MS)) {
        idem__clock_refresh(region, coarse_ms);
    }
    const uint64_t now_ms = coarse_ms + idem__peek64(&region->clock_delta_ms);
    const uint64_t high_ms = idem__peek64(&region->header->high_ms); /* [C2] */
    if (IDEM_UNLIKELY(now_ms - high_ms > IDEM__CLOCK_STEP_MS)) {
        if (now_ms < high_ms) {
            return idem__min_u64(high_ms, IDEM__CLOCK_MAX_MS); /* damage cannot lead beyond */
        }
        idem__clock_raise(region, now_ms);
    }
    return now_ms;
}

#endif
