/*
 * hosttime.h - the host's clocks and its boot, whatever time namespace this process is in. Layer 2.
 */
#ifndef IDEM_HOSTTIME_H
#define IDEM_HOSTTIME_H

#include <stdint.h>
#include <time.h>

#define IDEM__MS_PER_S 1000
#define IDEM__NS_PER_MS 1000000

static inline uint64_t idem__clock_read_ms(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now); /* cannot fail: a valid clock and address */
    return (uint64_t)now.tv_sec * IDEM__MS_PER_S + (uint64_t)now.tv_nsec / IDEM__NS_PER_MS;
}

/* Milliseconds that move on by a tick (1 to 10 ms); 5 ns a call. For intervals in this process. */
static inline uint64_t idem__coarse_ms(void) { return idem__clock_read_ms(CLOCK_MONOTONIC_COARSE); }
/* Unix time. */
static inline uint64_t idem__wall_ms(void) { return idem__clock_read_ms(CLOCK_REALTIME); }

/*
 * What this process's time namespace adds to CLOCK_BOOTTIME. IDEM_ESYS with a message if it cannot
 * be known: the store's clock would then differ between processes.
 */
int idem__timens_offset_ms(int64_t *offset_ms);
/* The host's CLOCK_BOOTTIME. */
static inline uint64_t idem__host_boot_ms(int64_t timens_offset_ms)
{
    return idem__clock_read_ms(CLOCK_BOOTTIME) - (uint64_t)timens_offset_ms;
}

/* The host's boot, as two non-zero words. IDEM_ESYS with a message. */
int idem__boot_id(uint64_t words[2]);

#endif
