/*
 * word.h - the two words that carry every decision: codecs. Layer 2.
 *
 * The life word of a record (all that may change about a key, so that each transition is one CAS):
 *
 *    63            42 41                10 9       3 2   0
 *   +----------------+--------------------+---------+-----+
 *   |    lease:22    |      owner:32      |attempt:7|  1  |  PENDING
 *   +----------------+--+-----------------+---------+-----+
 *   |         0         |   since:40 ms   |attempt:7|  2  |  ORPHANED
 *   +-------------------+-----+-----------+---------+-----+
 *   |        value:31         |      expires:30 s     |  3  |  DONE
 *   +-------------------------+--------------+--------+-----+
 *   |        value:31         |       0      |    w:1 |  4  |  DEAD   (value: to be retired with it;
 *   |                         |              |        |     |          w: bytes to be zeroed first)
 *   +-------------------------+--------------+--------+-----+
 *
 * The word of a block (whose memory it is):
 *
 *    63                     32 31                3 2   0
 *   +-------------------------+-------------------+-----+
 *   |            0            |   generation:29   |  0  |  FREE     (all zero: the slab's base)
 *   |         owner:32        |   generation:29   |  1  |  TAKEN
 *   |   expiry bound:32 s     |   generation:29   |  2  |  LIVE
 *   |      epoch:32 (low)     |   generation:29   |  3  |  RETIRED
 *   +-------------------------+-------------------+-----+
 */
#ifndef IDEM_WORD_H
#define IDEM_WORD_H

#include <assert.h>

#include "base.h"

enum idem__life_state {
    LIFE_EMPTY = 0,
    LIFE_PENDING = 1,
    LIFE_ORPHANED = 2,
    LIFE_DONE = 3,
    LIFE_DEAD = 4
};

#define LIFE_ATTEMPT_MAX 127u
#define LIFE_SINCE_MAX (((uint64_t)1 << 40) - 1)
#define LIFE_EXPIRES_NEVER ((1u << 30) - 1)
#define LIFE_LEASE_BITS ((((uint64_t)1 << 22) - 1) << 42)
#define LIFE_VALUE_NOT_KEPT 0u
#define LIFE_VALUE_EMPTY 1u /* block 1 of slab 0, which is index chunk 0 for ever, is no value */

static inline uint32_t idem__life_state(uint64_t life) { return (uint32_t)(life & 7); }
static inline uint32_t idem__life_attempt(uint64_t life) { return (uint32_t)(life >> 3) & 127; }
static inline uint32_t idem__life_owner(uint64_t life) { return (uint32_t)(life >> 10); }
static inline uint32_t idem__life_lease(uint64_t life) { return (uint32_t)(life >> 42); }
static inline uint64_t idem__life_since_ms(uint64_t life) { return (life >> 10) & LIFE_SINCE_MAX; }
static inline uint32_t idem__life_expires_s(uint64_t life)
{
    return (uint32_t)(life >> 3) & LIFE_EXPIRES_NEVER;
}
static inline uint32_t idem__life_value(uint64_t life) { return (uint32_t)(life >> 33); }

static inline uint64_t idem__life_pending(uint32_t owner, uint32_t attempt, uint32_t lease)
{
    return (uint64_t)lease << 42 | (uint64_t)owner << 10 | (uint64_t)attempt << 3 | LIFE_PENDING;
}
static inline uint64_t idem__life_orphaned(uint32_t attempt, uint64_t since_ms)
{
    return idem__min_u64(since_ms, LIFE_SINCE_MAX) << 10 | (uint64_t)attempt << 3 | LIFE_ORPHANED;
}
static inline uint64_t idem__life_done(uint32_t expires_s, uint32_t value)
{
    return (uint64_t)value << 33 | (uint64_t)expires_s << 3 | LIFE_DONE;
}
#define LIFE_WIPE ((uint64_t)1 << 3)

/* The final word after `life`; keeps a done record's value, so that whoever finishes retires both. */
static inline uint64_t idem__life_dead(uint64_t life)
{
    uint32_t value = idem__life_state(life) == LIFE_DONE ? idem__life_value(life) : 0;
    return (uint64_t)value << 33 | LIFE_DEAD;
}

/*
 * A lease's end as a small float after the record's creation: exponent:4, mantissa:18, in ms,
 * rounded up (never early). Past 2^33 ms (99 days) after creation a lease means none.
 */
#define LEASE_MANTISSA_BITS 18u
#define LEASE_EXPONENT_MAX 15u
static inline uint32_t idem__lease_encode(uint64_t after_ms)
{
    uint32_t exponent = 0;
    uint64_t mantissa = after_ms ? after_ms : 1;
    while (mantissa >= (1u << LEASE_MANTISSA_BITS)) {
        mantissa = (mantissa + 1) >> 1;
        exponent++;
    }
    return exponent > LEASE_EXPONENT_MAX ? 0 : exponent << LEASE_MANTISSA_BITS | (uint32_t)mantissa;
}
static inline uint64_t idem__lease_decode(uint32_t lease)
{
    return (uint64_t)(lease & ((1u << LEASE_MANTISSA_BITS) - 1)) << (lease >> LEASE_MANTISSA_BITS);
}

/* ttl in whole seconds, rounded up; UINT32_MAX = for ever. */
#define TTL_S_FOREVER UINT32_MAX
/* The second at which something kept for ttl_s from now_ms expires; LIFE_EXPIRES_NEVER = never. */
static inline uint32_t idem__expires_s(uint64_t now_ms, uint64_t ttl_s)
{
    uint64_t at = idem__div_up(now_ms, 1000) + ttl_s;
    return ttl_s == TTL_S_FOREVER || at >= LIFE_EXPIRES_NEVER ? LIFE_EXPIRES_NEVER : (uint32_t)at;
}

/* As the lower bound in a block word. */
static inline uint32_t idem__bound_of(uint32_t expires_s)
{
    return expires_s == LIFE_EXPIRES_NEVER ? UINT32_MAX : expires_s;
}

enum idem__block_state { BLOCK_FREE = 0, BLOCK_TAKEN = 1, BLOCK_LIVE = 2, BLOCK_RETIRED = 3 };

#define BLOCK_GENERATION_MAX ((1u << 29) - 1)
#define BLOCK_BOUND_NEVER UINT32_MAX

static inline uint32_t idem__block_state(uint64_t word) { return (uint32_t)(word & 7); }
static inline uint32_t idem__block_generation(uint64_t word)
{
    return (uint32_t)(word >> 3) & BLOCK_GENERATION_MAX;
}
static inline uint32_t idem__block_arg(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint64_t idem__block_word(uint32_t state, uint32_t generation, uint32_t arg)
{
    return (uint64_t)arg << 32 | (uint64_t)(generation & BLOCK_GENERATION_MAX) << 3 | state;
}
/* [M4] Is it the same block of the same generation, with content that belongs to someone? */
static inline bool idem__block_is(uint64_t word, uint32_t generation)
{
    uint32_t state = idem__block_state(word);
    return idem__block_generation(word) == generation &&
           (state == BLOCK_LIVE || state == BLOCK_TAKEN);
}

/* A block's number: slab:15, index:16. */
#define BLOCK_INDEX_BITS 16u
static inline uint32_t idem__block_number(uint32_t slab, uint32_t index)
{
    return slab << BLOCK_INDEX_BITS | index;
}
static inline uint32_t idem__block_slab(uint32_t number) { return number >> BLOCK_INDEX_BITS; }
static inline uint32_t idem__block_index(uint32_t number)
{
    return number & ((1u << BLOCK_INDEX_BITS) - 1);
}

#endif
