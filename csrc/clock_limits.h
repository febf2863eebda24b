/* clock_limits.h - the range of the store's clock. Layer 0. */
#ifndef IDEM_CLOCK_LIMITS_H
#define IDEM_CLOCK_LIMITS_H

#include <stdint.h>

#define IDEM__CLOCK_START_MS 3600000u /* a new store's clock: times before it stay positive */
#define IDEM__CLOCK_MAX_MS \
    (((uint64_t)1 << 40) - 1) /* 34 years: times have 40 bits in the region */

#endif
