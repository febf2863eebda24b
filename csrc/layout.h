/*
 * layout.h - the region's bytes. Layer 1.
 *
 *   offset 0        header page     identity (immutable), then one cache line per hot word
 *   WAIT_OFF        wait words      futexes, picked by hash
 *   CHUNK_OFF       chunk table     index chunk -> slab number + 1, 0 = absent
 *   SLOT_OFF        thread slots    one cache line each; backed below header.slot_high only
 *   SLAB_TABLE_OFF  slab table      32 bytes a slab; backed below header.slab_high only
 *   SLAB_AREA_OFF   slabs           each: an index chunk, or a dense array of block words and,
 *                                   after it, blocks of one size class and family
 *
 * Types that end in _shm live in the region: they hold offsets and numbers, never pointers.
 */
#ifndef IDEM_LAYOUT_H
#define IDEM_LAYOUT_H

#include <assert.h>

#include "atomic.h"
#include "base.h"
#include "idemkey.h"

#define IDEM__MAGIC "idemkey\n"
#define IDEM__FORMAT_VERSION 1u
#define IDEM__BYTE_ORDER 0x01020304u

#define IDEM__PAGE_BYTES 4096u
#define IDEM__SECRET_BYTES ((unsigned)IDEM_SECRET_SIZE) /* XXH3 wants at least 136 */
#define IDEM__WAIT_WORDS 1024u   /* one page; a collision costs a spurious wake-up */
#define IDEM__CHUNKS_MAX 4096u   /* index chunks: 1/8 of the slabs, 2^30 buckets of 2 MiB slabs */
#define IDEM__SLOTS_MAX 8192u    /* threads of living processes at once; promised are 4096 */
#define IDEM__SLABS_MAX 32768u   /* 15 bits of a block number */
#define IDEM__SLAB_SHIFT_MIN 14u /* 16 KiB: 64 slabs in the smallest region */
#define IDEM__SLAB_SHIFT_MAX 21u /* 2 MiB: one huge page; 32768 of them are 64 GiB */
#define IDEM__REGION_MIN_BYTES (1u << 20)
#define IDEM__REGION_MAX_BYTES ((uint64_t)IDEM__SLABS_MAX << IDEM__SLAB_SHIFT_MAX)
#define IDEM__REGION_DEFAULT_BYTES ((uint64_t)256 << 20)
#define IDEM__VALUE_DEFAULT_BYTES (1u << 20)
#define IDEM__SLABS_PER_REGION 64u    /* a slab is at most this part of the region at creation */
#define IDEM__FIXED_BYTES (64u << 10) /* of the limit, kept for what stands before the slabs */

/* What a new region's counters begin with. */
#define IDEM__EPOCH_START 4u /* above the grace period, so that "three ago" is not negative */
#define IDEM__OWNER_START 1u /* 0 is nobody */
#define IDEM__BUCKETS_LOG2_START 6u
#define IDEM__BUCKETS_LOG2_MAX 30u /* IDEM__CHUNKS_MAX chunks of 2^18 heads */

#define IDEM__WAIT_OFF ((uint64_t)IDEM__PAGE_BYTES)
#define IDEM__CHUNK_OFF (IDEM__WAIT_OFF + IDEM__WAIT_WORDS * sizeof(uint32_t))
#define IDEM__SLOT_OFF (IDEM__CHUNK_OFF + IDEM__CHUNKS_MAX * sizeof(uint32_t))
#define IDEM__SLAB_TABLE_OFF (IDEM__SLOT_OFF + IDEM__SLOTS_MAX * sizeof(struct slot_shm))
/* On a huge-page boundary, so that a 2 MiB slab can be one huge page. */
#define IDEM__SLAB_AREA_OFF ((uint64_t)2 << 20)

/* How many slabs fit a limit of max_bytes. */
static inline uint32_t idem__region_slabs_for(uint32_t slab_shift, uint64_t max_bytes)
{
    const uint64_t slab_bytes = (uint64_t)1 << slab_shift;
    const uint64_t fixed_bytes = idem__max_u64(IDEM__FIXED_BYTES, slab_bytes);
    const uint64_t slabs = max_bytes <= fixed_bytes ? 0 : (max_bytes - fixed_bytes) >> slab_shift;
    return (uint32_t)idem__min_u64(slabs, IDEM__SLABS_MAX);
}
/* The highest limit that a region can ever have: address space is reserved up to it. */
static inline uint64_t idem__region_ceiling_bytes(uint32_t slab_shift)
{
    return (uint64_t)IDEM__SLABS_MAX << slab_shift;
}

struct header_shm {
    /* Written before the file gets its name; immutable ever after. */
    char magic[8];
    uint32_t version;
    uint32_t byte_order;
    uint64_t layout;   /* fingerprint of the struct sizes and constants of the build */
    uint64_t store_id; /* random */
    uint32_t slab_shift;
    uint32_t max_value_bytes;
    uint64_t created_wall_ms; /* Unix time */
    uint64_t spare0[2];
    uint8_t secret[IDEM__SECRET_BYTES]; /* of XXH3: hostile keys cannot be chosen to collide */

    /* The epoch G; raised by whoever finds all active slots at it. */
    _Alignas(IDEM_CACHE_LINE_BYTES) idem__a64 epoch;

    /* The next owner id to issue; 0 is nobody. */
    _Alignas(IDEM_CACHE_LINE_BYTES) idem__a32 next_owner;
    idem__a32 slot_high; /* slots [0, slot_high) are backed and may be in use */

    /* Slabs [0, slab_high) have a backed table entry; at most slab_limit may be. */
    _Alignas(IDEM_CACHE_LINE_BYTES) idem__a32 slab_high;
    idem__a32 slab_limit;
    idem__a64 max_bytes;
    idem__a64 no_pages_until_ms; /* the file system was full: do not ask again before */

    /* log2 of the number of buckets in use, and the records the active slabs can hold. */
    _Alignas(IDEM_CACHE_LINE_BYTES) idem__a32 buckets_log2;
    idem__a64 record_capacity;

    /* Time: store clock = host's boot clock + anchor; never behind high_ms. */
    _Alignas(IDEM_CACHE_LINE_BYTES) idem__a64 high_ms;
    idem__a64 high_wall_ms; /* Unix time when high_ms was last raised */
    idem__a64 boot_id[2];   /* of the boot that anchor_ms belongs to; 0 = being set */
    idem__a64 anchor_ms;    /* two's complement */
};
static_assert(sizeof(struct header_shm) <= IDEM__PAGE_BYTES, "the header is one page");

/* A thread's announcement. Written by the thread that holds it, but for a dead owner's takeover. */
struct slot_shm {
    _Alignas(IDEM_CACHE_LINE_BYTES) idem__a64 epoch; /* G << 1 | 1 inside a section, else 0 */
    idem__a32 owner;                                 /* 0 = free */
    idem__a32 spare;
};
static_assert(sizeof(struct slot_shm) == IDEM_CACHE_LINE_BYTES, "one line a slot");

struct slab_shm {
    idem__a64 state; /* slab.h: state, class, owner or epoch */
    idem__a32 free;  /* hint: blocks that are or soon will be reusable; may be wrong without harm */
    idem__a32 useful_s; /* hint: when an eighth of the live blocks will have expired; likewise */
    idem__a32 generation_base; /* a zero block word reads as FREE with this generation */
    idem__a32 position;        /* hint: where the last allocation was */
    idem__a32 filler;          /* hint: slot + 1 of a thread that allocates here; 0 = none */
    uint32_t spare;
};
static_assert(sizeof(struct slab_shm) == 32, "128 slabs a page");

static_assert(IDEM__CHUNK_OFF % IDEM__PAGE_BYTES == 0 && IDEM__SLOT_OFF % IDEM__PAGE_BYTES == 0 &&
                  IDEM__SLAB_TABLE_OFF % IDEM__PAGE_BYTES == 0,
              "parts begin on pages, so that each is backed on its own");
static_assert(IDEM__SLAB_TABLE_OFF + IDEM__SLABS_MAX * sizeof(struct slab_shm) <=
                  IDEM__SLAB_AREA_OFF,
              "the tables end before the slabs");

/*
 * A new region has one slab: number 0, index chunk 0, with one bucket head that ends the list. No value
 * ever stands in it, so block numbers 0 and 1 are free for other meanings (word.h).
 */
#define IDEM__FIRST_SLABS 1u
#define IDEM__FIRST_SLAB_STATE ((uint64_t)4) /* slab.h: SLAB_INDEX */
#define IDEM__FIRST_CHUNK 1u                 /* slab 0, plus 1 */
#define IDEM__FIRST_HEAD ((uint64_t)8)       /* list.h: LINK_READY, at the end of the list */

/* What the index addresses: see list.h for a link's bits. */
typedef idem__a64 link_shm;

/* One key. Followed by the key, the fingerprint if there is one, and the intent, each padded with
   zeros to 8 bytes, so that they are read and compared by words. */
struct record_shm {
    link_shm link;       /* to the next node of the list; carries this record's MARK */
    uint64_t order;      /* hash | 1; immutable from publication */
    idem__a64 life;      /* word.h: all that may change */
    uint64_t created_ns; /* store clock; above every earlier record of the key: its sequence */
    uint32_t ttl_s;      /* as claimed, rounded up; UINT32_MAX = for ever */
    uint32_t grace_ms;   /* crash grace */
    uint32_t checksum;   /* of what is immutable */
    uint16_t key_len;
    uint16_t flags; /* record.h */
    uint32_t intent_len;
    uint32_t generation; /* of its block: to know it without the block word, another cache line */
};
static_assert(sizeof(struct record_shm) == 56, "a key of 36 bytes fits a block of 96");

/* The bytes kept with a done key. Followed by them. */
struct value_shm {
    uint32_t record_place; /* whose value this is: where it stands, as links tell it ... */
    uint32_t record_generation;
    uint64_t length_completed; /* length:24 bytes, completion time:40 ms of the store clock */
};
static_assert(sizeof(struct value_shm) == 16, "64 bytes of value fit a block of 80");

#endif
