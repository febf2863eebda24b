#include "alloc.h"

#include "error.h"
#include "reclaim.h"

/* Bounds of one allocation: words passed and blocks finished before a new slab is asked for, and slabs
   that turn out to offer nothing. */
#define SCAN_WORDS_MAX 16384u
#define SCAN_VISITS_MAX 32u
#define SCAN_SLABS_MAX 4u
/* Words of the next slab cleaned with each allocation: it is done before half of this one is used. */
#define CLEAN_WORDS 4u
/* Allocations between two updates of a slab's hint, and two searches for a slab to clean. */
#define HINT_EVERY 32u
/* Entries looked at for a slab to clean. */
#define CLEAN_SEARCH_MAX 64u
/* A slab is joined, or kept after cleaning, when this part of its blocks is free. */
#define JOIN_PART 4u
#define KEEP_PART 8u

/* Threads that share a slab begin in different parts of it. */
#define SHARE_PARTS 8u

/* A block is taken; the lap is over; the slab is another's; the effort is spent. */
enum scan_result { SCAN_TAKEN, SCAN_END, SCAN_GONE, SCAN_SPENT };

struct effort {
    uint32_t words;
    uint32_t visits;
};

static struct slab_shm *entry_of(const struct idem__op *op, const struct idem__lap *lap)
{
    return &op->region->slab_table[lap->slab - 1];
}

static bool is_slab_of(const struct idem__op *op, uint32_t slab, enum idem__family family,
                       uint32_t klass)
{
    uint64_t state = idem__load64(&op->region->slab_table[slab].state);
    return (state & ~((uint64_t)UINT32_MAX << 32)) ==
           idem__slab_word(SLAB_ACTIVE, family, klass, 0);
}

static void begin_lap(const struct idem__op *op, struct idem__lap *lap, uint32_t slab,
                      uint32_t klass, uint32_t index)
{
    index %= op->region->classes[klass].count; /* it may come from a hint */
    *lap = (struct idem__lap){.slab = slab + 1,
                              .index = index,
                              .left = op->region->classes[klass].count,
                              .min_s = UINT32_MAX};
}

static void note_live(struct idem__lap *lap, uint32_t bound_s)
{
    if (bound_s != BLOCK_BOUND_NEVER) {
        lap->min_s = bound_s < lap->min_s ? bound_s : lap->min_s;
        lap->max_s = bound_s > lap->max_s ? bound_s : lap->max_s;
    }
}

/* When about half of what the lap saw alive will have expired. */
static uint32_t useful_s(const struct idem__lap *lap)
{
    return lap->min_s > lap->max_s ? UINT32_MAX : lap->min_s + (lap->max_s - lap->min_s) / 2;
}

static bool reusable(const struct idem__op *op, uint64_t word)
{
    return idem__block_state(word) == BLOCK_FREE ||
           (idem__block_state(word) == BLOCK_RETIRED &&
            idem__grace_over(op->region, idem__block_arg(word)));
}

static bool due(const struct idem__op *op, uint64_t word)
{
    return idem__block_state(word) == BLOCK_TAKEN ||
           (idem__block_state(word) == BLOCK_LIVE &&
            (idem__block_arg(word) == 0 || idem__past(op->now_ms, idem__block_arg(word))));
}

/* Looks at one word of a lap without taking it; true if it visited the block. */
static bool look(struct idem__op *op, struct idem__lap *lap, enum idem__family family,
                 uint64_t word, bool deep)
{
    bool visited = false;
    if (due(op, word) || (deep && idem__block_state(word) == BLOCK_LIVE)) {
        struct idem__block block;
        visited = true;
        if (idem__block_at(op->region, idem__block_number(lap->slab - 1, lap->index), family,
                           &block)) {
            (void)idem__hand_visit(op, &block, family, word);
            word = idem__load64(block.word);
        }
    }
    if (idem__block_state(word) == BLOCK_LIVE) {
        note_live(lap, idem__block_arg(word));
    }
    lap->free += idem__block_state(word) == BLOCK_FREE || idem__block_state(word) == BLOCK_RETIRED;
    return visited;
}

static void advance_lap(struct idem__lap *lap, uint32_t count)
{
    lap->index = lap->index + 1 == count ? 0 : lap->index + 1;
    lap->left--;
}

/* Goes on with the lap until a block is taken. */
static enum scan_result scan(struct idem__op *op, struct idem__lap *lap, enum idem__family family,
                             uint32_t klass, struct effort *effort, struct idem__block *block)
{
    if (!is_slab_of(op, lap->slab - 1, family, klass)) {
        return SCAN_GONE;
    }
    const struct idem__class *of = &op->region->classes[klass];
    idem__a64 *words = idem__slab_words(op->region, lap->slab - 1);
    while (lap->left > 0) {
        uint32_t index = lap->index;
        uint64_t word = idem__load64(&words[index]);
        if (reusable(op, word)) {
            block->slab = entry_of(op, lap);
            if (idem__block_take(op, block->slab, &words[index], word, &block->generation)) {
                advance_lap(lap, of->count);
                block->number = idem__block_number(lap->slab - 1, index);
                block->word = &words[index];
                block->klass = of;
                block->content = idem__slab_base(op->region, lap->slab - 1) + of->first_off +
                                 (uint64_t)index * of->block_bytes;
                return SCAN_TAKEN;
            }
        } else if (look(op, lap, family, word, false) && effort->visits-- == 1) {
            return SCAN_SPENT;
        }
        advance_lap(lap, of->count);
        if (effort->words-- == 1) {
            return SCAN_SPENT;
        }
    }
    return SCAN_END;
}

static void flush_taken(const struct idem__op *op, struct idem__cursor *cursor)
{
    struct slab_shm *entry = entry_of(op, &cursor->now);
    atomic_fetch_sub_explicit(&entry->free, cursor->taken, memory_order_relaxed);
    idem__poke32(&entry->position, cursor->now.index);
    cursor->taken = 0;
}

/* Leaves the current slab: writes down what the lap saw. */
static void end_lap(const struct idem__op *op, struct idem__cursor *cursor, uint32_t klass)
{
    struct idem__lap *lap = &cursor->now;
    struct slab_shm *entry = entry_of(op, lap);
    flush_taken(op, cursor);
    uint32_t count = op->region->classes[klass].count;
    if (lap->left == 0 && (idem__peek32(&entry->free) > count || lap->free == 0)) {
        idem__poke32(&entry->free, lap->free); /* the counts have drifted */
    }
    /* What was taken in this lap has not been seen: have somebody look, who will know. */
    idem__poke32(&entry->useful_s, (uint32_t)(op->now_ms / 1000));
    lap->slab = 0;
}

/* Finds a slab whose blocks have expired in part, to be cleaned ahead. */
static void choose_next(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                        uint32_t klass)
{
    uint32_t high = idem__slab_high(op->region);
    for (uint32_t i = 0; i < CLEAN_SEARCH_MAX && i < high; i++) {
        uint32_t slab = op->thread->table_position = (op->thread->table_position + 1) % high;
        struct slab_shm *entry = &op->region->slab_table[slab];
        if (is_slab_of(op, slab, family, klass) && slab + 1 != cursor->now.slab &&
            idem__past(op->now_ms, idem__peek32(&entry->useful_s))) {
            /* Others look elsewhere meanwhile. */
            idem__poke32(&entry->useful_s, UINT32_MAX);
            begin_lap(op, &cursor->next, slab, klass, 0);
            return;
        }
    }
}

/* Cleans a few words of the next slab. */
static void clean_ahead(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                        uint32_t klass)
{
    struct idem__lap *lap = &cursor->next;
    if (!is_slab_of(op, lap->slab - 1, family, klass)) {
        lap->slab = 0;
        return;
    }
    uint32_t count = op->region->classes[klass].count;
    const idem__a64 *words = idem__slab_words(op->region, lap->slab - 1);
    for (uint32_t i = 0; i < CLEAN_WORDS && lap->left > 0; i++) {
        bool visited = look(op, lap, family, idem__load64(&words[lap->index]), false);
        advance_lap(lap, count);
        if (visited) {
            i++; /* a finished block costs as much as many words */
        }
    }
    if (lap->left > 0) {
        return;
    }
    struct slab_shm *entry = entry_of(op, lap);
    idem__poke32(&entry->free, lap->free);
    idem__poke32(&entry->useful_s, useful_s(lap));
    bool plenty = (int32_t)idem__peek32(&entry_of(op, &cursor->now)->free) > (int32_t)(count / 2);
    if (lap->free == count && plenty) {
        (void)idem__slab_drain(op, lap->slab - 1);
        lap->slab = 0;
    } else if (lap->free < count / KEEP_PART) {
        lap->slab = 0;
    }
}

static bool choose_new(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                       uint32_t klass)
{
    uint32_t slab = 0;
    if (idem__slab_acquire(op, family, klass, &slab)) {
        return false;
    }
    begin_lap(op, &cursor->now, slab, klass, 0);
    return true;
}

/* The slab to go on with: a cleaned one, one with free blocks, a new one; else any that offers some. */
static bool choose_now(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                       uint32_t klass)
{
    uint32_t count = op->region->classes[klass].count;
    if (cursor->next.slab && cursor->next.left == 0 &&
        is_slab_of(op, cursor->next.slab - 1, family, klass)) {
        begin_lap(op, &cursor->now, cursor->next.slab - 1, klass, 0);
        cursor->next.slab = 0;
        return true;
    }
    uint32_t part = op->thread->slot_index % SHARE_PARTS * (count / SHARE_PARTS);
    uint32_t high = idem__slab_high(op->region), some = UINT32_MAX;
    for (uint32_t i = 0; i < SLAB_SEARCH_MAX && i < high; i++) {
        uint32_t slab = op->thread->table_position = (op->thread->table_position + 1) % high;
        if (!is_slab_of(op, slab, family, klass)) {
            continue;
        }
        struct slab_shm *entry = &op->region->slab_table[slab];
        int32_t free = (int32_t)idem__peek32(&entry->free);
        if (free > 0 && (uint32_t)free >= idem__max_u64(count / JOIN_PART, 1)) {
            begin_lap(op, &cursor->now, slab, klass, idem__peek32(&entry->position) + part);
            return true;
        }
        if (free > 0 || idem__past(op->now_ms, idem__peek32(&entry->useful_s))) {
            some = slab;
        }
    }
    if (choose_new(op, cursor, family, klass)) {
        return true;
    }
    if (some != UINT32_MAX) {
        uint32_t position = idem__peek32(&op->region->slab_table[some].position);
        begin_lap(op, &cursor->now, some, klass, position + part);
        cursor->next.slab = 0;
        return true;
    }
    return false;
}

static void count_taken(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                        uint32_t klass)
{
    if (++cursor->taken == HINT_EVERY) {
        flush_taken(op, cursor);
        if (cursor->next.slab == 0) {
            choose_next(op, cursor, family, klass);
        }
    }
    if (cursor->next.slab && cursor->next.left > 0) {
        clean_ahead(op, cursor, family, klass);
    }
}

static bool alloc_in_class(struct idem__op *op, enum idem__family family, uint32_t klass,
                           struct idem__block *block)
{
    struct idem__cursor *cursor = &op->thread->cursors[family * IDEM__CLASSES_MAX + klass];
    struct effort effort = {SCAN_WORDS_MAX, SCAN_VISITS_MAX};
    for (uint32_t slabs = 0; slabs < SCAN_SLABS_MAX; slabs++) {
        if (cursor->now.slab == 0 && !choose_now(op, cursor, family, klass)) {
            return false;
        }
        switch (scan(op, &cursor->now, family, klass, &effort, block)) {
        case SCAN_TAKEN:
            count_taken(op, cursor, family, klass);
            return true;
        case SCAN_END:
            end_lap(op, cursor, klass);
            break;
        case SCAN_GONE:
            cursor->now.slab = 0;
            cursor->taken = 0;
            break;
        case SCAN_SPENT:
            end_lap(op, cursor, klass);
            if (!choose_new(op, cursor, family, klass)) {
                return false;
            }
            effort = (struct effort){SCAN_WORDS_MAX, SCAN_VISITS_MAX};
            break;
        }
    }
    return false;
}

int idem__block_alloc(struct idem__op *op, enum idem__family family, uint64_t bytes,
                      struct idem__block *block)
{
    const uint32_t larger_classes = op->round >= ROUND_LARGER ? 8 : 1; /* up to twice the size */
    uint32_t first = idem__class_for(op->region, bytes);
    for (uint32_t klass = first; klass < op->region->class_count && klass < first + larger_classes;
         klass++) {
        if (alloc_in_class(op, family, klass, block)) {
            return IDEM_OK;
        }
    }
    return IDEM_EFULL;
}
