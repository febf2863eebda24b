/*
 * atomic.h - names for the C11 atomics that the region uses. Layer 0.
 *
 * Everything that two processes may touch at once is one of these types. The suffix is the order;
 * a call site with an order weaker than seq_cst says why it suffices, or names the pair of
 * docs/memory-model.md that it belongs to ("[M3]").
 */
#ifndef IDEM_ATOMIC_H
#define IDEM_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef _Atomic uint32_t idem__a32;
typedef _Atomic uint64_t idem__a64;

static inline uint32_t idem__load32(const idem__a32 *p)
{
    return atomic_load_explicit(p, memory_order_acquire);
}
static inline uint64_t idem__load64(const idem__a64 *p)
{
    return atomic_load_explicit(p, memory_order_acquire);
}
static inline uint32_t idem__peek32(const idem__a32 *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}
static inline uint64_t idem__peek64(const idem__a64 *p)
{
    return atomic_load_explicit(p, memory_order_relaxed);
}
static inline void idem__store32(idem__a32 *p, uint32_t v)
{
    atomic_store_explicit(p, v, memory_order_release);
}
static inline void idem__store64(idem__a64 *p, uint64_t v)
{
    atomic_store_explicit(p, v, memory_order_release);
}
static inline void idem__poke32(idem__a32 *p, uint32_t v)
{
    atomic_store_explicit(p, v, memory_order_relaxed);
}
static inline void idem__poke64(idem__a64 *p, uint64_t v)
{
    atomic_store_explicit(p, v, memory_order_relaxed);
}

/* Compare-and-swap, seq_cst on success, acquire on failure; `*expected` gets the value seen. */
static inline bool idem__cas32(idem__a32 *p, uint32_t *expected, uint32_t desired)
{
    return atomic_compare_exchange_strong_explicit(p, expected, desired, memory_order_seq_cst,
                                                   memory_order_acquire);
}
static inline bool idem__cas64(idem__a64 *p, uint64_t *expected, uint64_t desired)
{
    return atomic_compare_exchange_strong_explicit(p, expected, desired, memory_order_seq_cst,
                                                   memory_order_acquire);
}

/* Raises *p to at least v. */
static inline void idem__max64(idem__a64 *p, uint64_t v)
{
    uint64_t seen = idem__load64(p);
    while (seen < v && !idem__cas64(p, &seen, v)) {
    }
}
static inline void idem__max32(idem__a32 *p, uint32_t v)
{
    uint32_t seen = idem__load32(p);
    while (seen < v && !idem__cas32(p, &seen, v)) {
    }
}

#endif
