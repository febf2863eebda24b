/* base.h - what every file uses: attributes, and small arithmetic. Layer 0. */
#ifndef IDEM_BASE_H
#define IDEM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define IDEM_LIKELY(x) __builtin_expect(!!(x), 1)
#define IDEM_UNLIKELY(x) __builtin_expect(!!(x), 0)
#define IDEM_COLD __attribute__((cold, noinline))
/* On the path of every call: a call of its own would cost more than it does. */
#define IDEM_HOT static inline __attribute__((always_inline))
#define IDEM_CACHE_LINE_BYTES 64

static inline uint64_t idem__align_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) & ~(to - 1);
}
static inline uint64_t idem__div_up(uint64_t value, uint64_t by) { return (value + by - 1) / by; }
static inline uint64_t idem__min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t idem__max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }

#endif
