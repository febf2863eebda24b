/*
 * soak.h - what the processes of a soak share: its clock, the calls that are left, and counts of what calls
 * took. soak.c starts and kills them and judges; worker.c makes the calls.
 */
#ifndef SOAK_H
#define SOAK_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    SOAK_WORKERS_MAX = 64,
    SOAK_BATCH = 64, /* calls that are taken at once, and then move the clock */
    SOAK_TTL_S = 4,  /* of half the keys; of the others it is SOAK_TTLS times that */
    SOAK_TTLS = 3,
    HISTOGRAM_BITS = 5, /* steps of 1/32: 3% */
    HISTOGRAM_SIZE = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS
};

/* Counts of values by their size, in steps of 3%. */
struct histogram {
    _Atomic uint64_t counts[HISTOGRAM_SIZE];
};

static inline uint32_t histogram_index(uint64_t value)
{
    const uint64_t above = value >> HISTOGRAM_BITS;
    const uint32_t shift = above ? 63 - (uint32_t)__builtin_clzll(value) - HISTOGRAM_BITS : 0;
    return (shift << HISTOGRAM_BITS) + (uint32_t)(value >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    atomic_fetch_add_explicit(&histogram->counts[histogram_index(value)], 1, memory_order_relaxed);
}

struct soak {
    _Atomic uint64_t clock_ns; /* of the store: see cost.h */
    _Atomic uint64_t calls_left;
    _Atomic uint64_t lives; /* of workers: each makes keys of its own */
    _Atomic uint64_t begun; /* workers that have made a call */
    uint64_t us_per_batch;  /* the clock's step */
    uint64_t seed;
    struct histogram nanoseconds;  /* sampled, of workers with the core as it is */
    struct histogram instructions; /* of workers with the core that counts */
};

/* Makes calls until none is left. Does not return. */
_Noreturn void soak_work(struct soak *soak, const char *path);

#endif
