/*
 * slab.h - slabs: the unit in which memory is had from the system and changes its class. Layer 7.
 *
 * The state word of a slab table entry:
 *
 *    63                 32 31        17  16  15         3 2   0
 *   +---------------------+-------------+---+------------+-----+
 *   |          0          |      0      | 0 |      0     |  0  |  UNUSED    no pages wanted
 *   |       owner:32      |      0      | 0 |      0     |  1  |  INIT      being prepared
 *   |       epoch:32      |      0      | f |  class:13  |  2  |  ACTIVE    blocks of family f; closed
 *   |                     |             |   |            |     |            if the epoch is not 0
 *   |    epoch:32 (low)   |      0      | f |  class:13  |  3  |  DRAINING  reusable after a grace
 *   |          0          |      0      | 0 |      0     |  4  |  INDEX     a chunk of bucket heads
 *   |       owner:32      |      0      | 0 |      0     |  5  |  PUNCH     pages being given back
 *   +---------------------+-------------+---+------------+-----+
 *
 *   UNUSED -> INIT(me) -> ACTIVE -> DRAINING(e) -> INIT(me) | PUNCH(me) -> ...
 *                      -> INDEX (for ever)           PUNCH(me) -> UNUSED
 *
 * INIT and PUNCH are exclusive, and taken over only from a dead owner: a slow one may be in a memset.
 *
 * ACTIVE(0) -> ACTIVE(e) closes a slab: blocks of it are read, published and retired as before, but none
 * is taken. Who takes one checks inside its section that the slab is open; so when G - e >= IDEM__GRACE
 * none is taken any more, and a block whose word was cleared stays free as long as the state is the same
 * (another closing has a later epoch). When all were, ACTIVE(e) -> DRAINING(e'). A DRAINING slab is touched
 * by nobody until G - e' >= IDEM__GRACE: everyone checks ACTIVE and the class inside a section first.
 */
#ifndef IDEM_SLAB_H
#define IDEM_SLAB_H

#include "epoch.h"
#include "word.h"

enum idem__slab_state {
    SLAB_UNUSED = 0,
    SLAB_INIT = 1,
    SLAB_ACTIVE = 2,
    SLAB_DRAINING = 3,
    SLAB_INDEX = 4,
    SLAB_PUNCH = 5
};
static_assert(SLAB_INDEX == IDEM__FIRST_SLAB_STATE, "as a new region has it");
enum idem__family { FAMILY_RECORD = 0, FAMILY_VALUE = 1 };

#define SLAB_STATE_FAMILY_BITS (((uint64_t)1 << 16) | 7)
/* Emptied slabs kept for reuse before their pages go back to the system. */
#define SLAB_RESERVE 4u
/* Entries of the slab table that one call looks at: keeps a call short in a region of 64 GiB. */
#define SLAB_SEARCH_MAX 512u

static inline uint32_t idem__slab_state(uint64_t word) { return (uint32_t)(word & 7); }
static inline uint32_t idem__slab_class(uint64_t word) { return (uint32_t)(word >> 3) & 0x1fff; }
static inline uint32_t idem__slab_family(uint64_t word) { return (uint32_t)(word >> 16) & 1; }
static inline uint32_t idem__slab_arg(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint64_t idem__slab_word(uint32_t state, uint32_t family, uint32_t klass,
                                       uint32_t arg)
{
    return (uint64_t)arg << 32 | (uint64_t)family << 16 | (uint64_t)klass << 3 | state;
}

/* ACTIVE, of any class and family: open, or closed to be emptied. */
static inline bool idem__slab_open(uint64_t word)
{
    return idem__slab_state(word) == SLAB_ACTIVE && idem__slab_arg(word) == 0;
}
static inline bool idem__slab_closed(uint64_t word)
{
    return idem__slab_state(word) == SLAB_ACTIVE && idem__slab_arg(word) != 0;
}

/* One call's view: who, where and when. */
struct idem__op {
    struct idem__region *region;
    struct idem__thread *thread;
    uint64_t now_ms; /* read inside the section */
    uint64_t epoch;  /* of a read-only look, which has no slot: G when it began */
    uint32_t round;  /* alloc.h: how far making room has gone */
};

/* A block, found by number inside a section. */
struct idem__block {
    uint32_t number;
    uint32_t generation; /* of the allocation or of the look */
    idem__a64 *word;
    char *content;
    const struct idem__class *klass;
    struct slab_shm *slab;
};

static inline uint32_t idem__slab_high(const struct idem__region *region)
{
    /* The header is not believed beyond the file: reading there would be a SIGBUS. */
    uint32_t high = idem__load32(&region->header->slab_high);
    return IDEM_LIKELY(high <= idem__peek32(&region->slabs_in_file))
               ? high
               : idem__region_slabs_in_file(region, high);
}
/* Does the slab table have this entry, and the file this slab? Both words may be damaged: a table that says so
   is not believed either. */
static inline bool idem__slab_known(const struct idem__region *region, uint32_t slab)
{
    uint32_t high = idem__load32(&region->header->slab_high);
    return slab < high && slab < IDEM__SLABS_MAX &&
           (IDEM_LIKELY(slab < idem__peek32(&region->slabs_in_file)) ||
            slab < idem__region_slabs_in_file(region, high));
}
static inline char *idem__slab_base(const struct idem__region *region, uint32_t slab)
{
    return region->slab_area + ((uint64_t)slab << region->slab_shift);
}
static inline idem__a64 *idem__slab_words(const struct idem__region *region, uint32_t slab)
{
    return (idem__a64 *)(void *)idem__slab_base(region, slab);
}

/* Smaller classes hold no record: read as one, the last block of a slab would end behind it. */
#define SLAB_RECORD_CLASS_MIN                                                                     \
    ((uint32_t)(sizeof(struct record_shm) - IDEM__BLOCK_MIN_BYTES + IDEM__BLOCK_STEP_BYTES - 1) / \
     IDEM__BLOCK_STEP_BYTES)
/* Is this a class of the region, for blocks of the family? (`family` is known where it matters.) */
static inline bool idem__class_fits(const struct idem__region *region, enum idem__family family,
                                    uint32_t klass)
{
    uint32_t lowest = family == FAMILY_RECORD ? SLAB_RECORD_CLASS_MIN : 0;
    return klass - lowest < region->class_count - lowest;
}

/*
 * Finds the block with this number and family; false if the number is not one of a block there now
 * (it never was, or its slab has changed hands). Inside a section the answer stays true.
 */
IDEM_HOT bool idem__block_at(const struct idem__region *region, uint32_t number,
                             enum idem__family family, struct idem__block *block)
{
    uint32_t slab = idem__block_slab(number), index = idem__block_index(number);
    if (IDEM_UNLIKELY(!idem__slab_known(region, slab))) {
        return false;
    }
    uint64_t state = idem__load64(&region->slab_table[slab].state); /* [S1], [S3] */
    uint32_t klass = idem__slab_class(state);
    if (IDEM_UNLIKELY(
            (state & SLAB_STATE_FAMILY_BITS) != idem__slab_word(SLAB_ACTIVE, family, 0, 0) ||
            !idem__class_fits(region, family, klass) || index >= region->classes[klass].count)) {
        return false;
    }
    block->klass = &region->classes[klass];
    block->number = number;
    block->slab = &region->slab_table[slab];
    block->word = idem__slab_words(region, slab) + index;
    block->content = idem__slab_base(region, slab) + block->klass->first_off +
                     (uint64_t)index * block->klass->block_bytes;
    return true;
}

/* FREE, or RETIRED for a grace period. The word has just been loaded. */
static inline bool idem__block_reusable(const struct idem__region *region, uint64_t word)
{
    uint32_t state = idem__block_state(word);
    return state == BLOCK_FREE ||
           (state == BLOCK_RETIRED && idem__grace_over(region, idem__block_arg(word)));
}

/* The generation that a block word stands for. */
static inline uint32_t idem__generation_of(uint64_t word, struct slab_shm *slab)
{
    return word ? idem__block_generation(word) : idem__load32(&slab->generation_base);
}

/*
 * Makes a slab ACTIVE with all blocks FREE. IDEM_EFULL: the limit is reached, or the file system
 * is full (asked again only after a while). Outside or inside a section.
 */
int idem__slab_acquire(struct idem__op *op, enum idem__family family, uint32_t klass,
                       uint32_t *slab);
/* Makes a slab the index chunk `chunk`, unless another process has. IDEM_EFULL as above. */
int idem__slab_acquire_chunk(struct idem__op *op, uint32_t chunk);
/*
 * Emptying a slab, in steps: close it; when the grace period is over, and so nobody takes a block of it
 * any more, clear the word of each block; DRAINING if all could be, else open again. Nothing of it is owned:
 * any thread may go on where another stopped or died, by beginning the look anew. Inside a section.
 *
 * empty: is the slab open, and could each block be reused now? close: false if the slab is not open.
 * reopen: true if it was closed; its blocks can be taken again. drain: `words` more blocks; true if the
 * slab became DRAINING. drain->slab is 0 when there is nothing to go on with.
 */
bool idem__slab_empty(const struct idem__region *region, uint32_t slab);
bool idem__slab_close(struct idem__op *op, uint32_t slab);
bool idem__slab_reopen(const struct idem__region *region, uint32_t slab);
bool idem__slab_drain(struct idem__op *op, struct idem__drain *drain, uint32_t words);
/* Looks at `looks` entries of the table for emptied slabs beyond the reserve, and gives the pages of `most`
   back. Outside a section. Returns slabs. */
uint32_t idem__slab_trim(struct idem__op *op, uint32_t reserve, uint32_t looks, uint32_t most);

#endif
