#include "alloc.h"

#include "error.h"
#include "reclaim.h"

/* Bounds of one allocation: words passed and blocks finished before a new slab is asked for, and slabs
   that turn out to offer nothing. */
#define SCAN_WORDS_MAX 16384u
#define SCAN_VISITS_MAX 32u
#define SCAN_SLABS_MAX 4u
/* Every so many allocations: words of the next slab cleaned (it is done before half of this one is used),
   blocks finished at most, the slab's hint updated, a slab to clean searched. */
#define UPKEEP_EVERY 8u
#define CLEAN_WORDS 32u
#define CLEAN_VISITS 16u
/* How long a slab that one thread cleans is left alone by others. */
#define CLEAN_LEASE_S 10u
/* Entries looked at for a slab to clean. */
#define CLEAN_SEARCH_MAX 64u
/* A slab is joined, or kept after cleaning, when this part of its blocks is free. */
#define JOIN_PART 4u
#define KEEP_PART 8u
/* A slab is worth cleaning when this part of its live blocks has expired. */
#define USEFUL_PART 8u

/* Before a refusal larger blocks are taken too: of so many classes, up to about twice the size. */
#define LARGER_CLASSES 8u
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
    *lap = (struct idem__lap){
        .slab = slab + 1, .index = index, .left = op->region->classes[klass].count};
}

static void note_live(const struct idem__op *op, struct idem__lap *lap, uint32_t bound_s)
{
    lap->live++;
    if (bound_s != BLOCK_BOUND_NEVER) {
        uint64_t now_s = op->now_ms / 1000;
        uint32_t left_s = bound_s > now_s ? bound_s - (uint32_t)now_s : 0;
        uint32_t span = (31 - (uint32_t)__builtin_clz(left_s | 1)) / 3; /* powers of 8 */
        struct idem__due *due = &lap->due[span < IDEM__DUE_SPANS ? span : IDEM__DUE_SPANS - 1];
        due->count++;
        due->latest_s = bound_s > due->latest_s ? bound_s : due->latest_s;
    }
}

/* When enough of what the lap saw alive will have expired to make a visit worth it. Short and long ttls
   share slabs: the long ones must not hide the short ones. */
static uint32_t useful_s(const struct idem__op *op, const struct idem__lap *lap)
{
    uint32_t count = 0;
    for (uint32_t span = 0; span < IDEM__DUE_SPANS; span++) {
        count += lap->due[span].count;
        if (count > 0 && count >= lap->live / USEFUL_PART) {
            return lap->due[span].latest_s;
        }
    }
    /* Never, as far as seen; a lap sees only samples of what it took itself. */
    return lap->taken > 0 && lap->live == 0 ? (uint32_t)(op->now_ms / 1000) + CLEAN_LEASE_S
                                            : UINT32_MAX;
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
                 uint64_t word)
{
    bool visited = false;
    if (due(op, word)) {
        struct idem__block block;
        visited = true;
        if (idem__block_at(op->region, idem__block_number(lap->slab - 1, lap->index), family,
                           &block)) {
            (void)idem__hand_visit(op, &block, family, word);
            word = idem__load64(block.word);
        }
    }
    if (idem__block_state(word) == BLOCK_LIVE) {
        note_live(op, lap, idem__block_arg(word));
    }
    lap->free += idem__block_state(word) == BLOCK_FREE || idem__block_state(word) == BLOCK_RETIRED;
    return visited;
}

static void advance_lap(struct idem__lap *lap, uint32_t count)
{
    lap->index = lap->index + 1 == count ? 0 : lap->index + 1;
    lap->left--;
}

/* Takes the block at the lap's index if it is reusable. */
static inline __attribute__((always_inline)) bool
take_here(struct idem__op *op, struct idem__lap *lap, const struct idem__class *of, uint64_t word,
          struct idem__block *block)
{
    uint32_t slab = lap->slab - 1, index = lap->index;
    char *base = idem__slab_base(op->region, slab);
    if (!reusable(op, word)) {
        return false;
    }
    block->slab = &op->region->slab_table[slab];
    block->word = (idem__a64 *)(void *)base + index;
    if (!idem__block_take(op, block->slab, block->word, word, &block->generation)) {
        return false;
    }
    block->number = idem__block_number(slab, index);
    block->klass = of;
    block->content = base + of->first_off + (uint64_t)index * of->block_bytes;
    advance_lap(lap, of->count);
    return true;
}

/* Goes on with the lap until a block is taken. */
static enum scan_result scan(struct idem__op *op, struct idem__lap *lap, enum idem__family family,
                             uint32_t klass, struct effort *effort, struct idem__block *block)
{
    if (!is_slab_of(op, lap->slab - 1, family, klass)) {
        return SCAN_GONE;
    }
    const struct idem__class *of = &op->region->classes[klass];
    const idem__a64 *words = idem__slab_words(op->region, lap->slab - 1);
    while (lap->left > 0) {
        uint64_t word = idem__load64(&words[lap->index]);
        if (take_here(op, lap, of, word, block)) {
            return SCAN_TAKEN;
        }
        /* What has ended is left to cleaning once the call has finished its share. */
        if (effort->visits > 0) {
            effort->visits -= look(op, lap, family, word);
        }
        advance_lap(lap, of->count);
        if (effort->words-- == 1) {
            return SCAN_SPENT;
        }
    }
    return SCAN_END;
}

/* Brings the slab's hints up to date with `taken` blocks. */
static void tell_taken(const struct idem__op *op, const struct idem__lap *lap, uint32_t taken)
{
    struct slab_shm *entry = entry_of(op, lap);
    atomic_fetch_sub_explicit(&entry->free, taken, memory_order_relaxed);
    idem__poke32(&entry->position, lap->index);
}

/* Leaves the current slab: writes down what the lap saw. */
static void end_lap(const struct idem__op *op, struct idem__cursor *cursor, uint32_t klass)
{
    struct idem__lap *lap = &cursor->now;
    struct slab_shm *entry = entry_of(op, lap);
    tell_taken(op, lap, lap->taken % UPKEEP_EVERY);
    /* The counts drift when processes are killed. A whole lap that found nothing knows better; what is
       retired behind a lap that took blocks counts again by itself. */
    if (lap->left == 0 && lap->taken == 0 && lap->free == 0) {
        idem__poke32(&entry->free, 0);
    }
    uint32_t count = op->region->classes[klass].count;
    if ((int32_t)idem__peek32(&entry->free) > (int32_t)count) {
        idem__poke32(&entry->free, count);
    }
    /* Not later than what others have lowered it to (a completion with a short ttl). */
    uint32_t at_s = useful_s(op, lap);
    if (at_s < idem__peek32(&entry->useful_s)) {
        idem__poke32(&entry->useful_s, at_s);
    }
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
            /* Others look elsewhere for a while: not for ever, this thread may die or turn idle. */
            idem__poke32(&entry->useful_s, (uint32_t)(op->now_ms / 1000) + CLEAN_LEASE_S);
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
    uint32_t visits = 0;
    for (uint32_t i = 0; i < CLEAN_WORDS && visits < CLEAN_VISITS && lap->left > 0; i++) {
        visits += look(op, lap, family, idem__load64(&words[lap->index]));
        advance_lap(lap, count);
    }
    if (lap->left > 0) {
        return;
    }
    struct slab_shm *entry = entry_of(op, lap);
    idem__poke32(&entry->free, lap->free);
    idem__poke32(&entry->useful_s, useful_s(op, lap));
    bool plenty = (int32_t)idem__peek32(&entry_of(op, &cursor->now)->free) > (int32_t)(count / 2);
    if (lap->free == count && plenty) {
        (void)idem__slab_drain(op, lap->slab - 1);
    } else if (lap->free >= count / KEEP_PART && cursor->ready == 0) {
        cursor->ready = lap->slab;
    }
    lap->slab = 0; /* go on with another */
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
    uint32_t ready = cursor->ready;
    cursor->ready = 0;
    if (ready && is_slab_of(op, ready - 1, family, klass)) {
        begin_lap(op, &cursor->now, ready - 1, klass, 0);
        return true;
    }
    uint32_t part = op->thread->slot_index % SHARE_PARTS * (count / SHARE_PARTS);
    uint32_t high = idem__slab_high(op->region), some = UINT32_MAX;
    int32_t most = 0;
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
        /* A block that is free goes before one that may have expired: it is all there may be. */
        if (free > most || (most == 0 && idem__past(op->now_ms, idem__peek32(&entry->useful_s)))) {
            some = slab;
            most = free > 0 ? free : 0;
        }
    }
    /* Cleaned in part: what is done is better than more memory. */
    if (cursor->next.slab && cursor->next.free >= count / KEEP_PART &&
        is_slab_of(op, cursor->next.slab - 1, family, klass)) {
        begin_lap(op, &cursor->now, cursor->next.slab - 1, klass, 0);
        cursor->next.slab = 0;
        return true;
    }
    if (choose_new(op, cursor, family, klass)) {
        return true;
    }
    if (some != UINT32_MAX) {
        uint32_t position = idem__peek32(&op->region->slab_table[some].position);
        begin_lap(op, &cursor->now, some, klass, position + part);
        return true;
    }
    return false;
}

/* Now and then: the hint, and the slab for later. */
static __attribute__((noinline)) void upkeep(struct idem__op *op, struct idem__cursor *cursor,
                                             enum idem__family family, uint32_t klass)
{
    tell_taken(op, &cursor->now, UPKEEP_EVERY);
    if (cursor->next.slab == 0) {
        choose_next(op, cursor, family, klass);
    }
    if (cursor->next.slab && cursor->next.left > 0) {
        clean_ahead(op, cursor, family, klass);
    }
}

/* When the block at the cursor's index is not simply free. */
static __attribute__((noinline)) bool alloc_slow(struct idem__op *op, enum idem__family family,
                                                 uint32_t klass, struct idem__block *block)
{
    struct idem__cursor *cursor = &op->thread->cursors[family * IDEM__CLASSES_MAX + klass];
    struct effort effort = {SCAN_WORDS_MAX, SCAN_VISITS_MAX};
    for (uint32_t slabs = 0; slabs < SCAN_SLABS_MAX; slabs++) {
        if (cursor->now.slab == 0 && !choose_now(op, cursor, family, klass)) {
            return false;
        }
        switch (scan(op, &cursor->now, family, klass, &effort, block)) {
        case SCAN_TAKEN:
            return true;
        case SCAN_END:
            end_lap(op, cursor, klass);
            break;
        case SCAN_GONE:
            cursor->now.slab = 0;
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

static inline __attribute__((always_inline)) bool alloc_in_class(struct idem__op *op,
                                                                 enum idem__family family,
                                                                 uint32_t klass, uint32_t bound_s,
                                                                 struct idem__block *block)
{
    struct idem__cursor *cursor = &op->thread->cursors[family * IDEM__CLASSES_MAX + klass];
    struct idem__lap *lap = &cursor->now;
    const struct idem__class *of = &op->region->classes[klass];
    bool taken = false;
    if (IDEM_LIKELY(lap->slab && lap->left && is_slab_of(op, lap->slab - 1, family, klass))) {
        const idem__a64 *words = idem__slab_words(op->region, lap->slab - 1);
        taken = take_here(op, lap, of, idem__load64(&words[lap->index]), block);
    }
    if (IDEM_UNLIKELY(!taken) && !alloc_slow(op, family, klass, block)) {
        return false;
    }
    note_live(op, lap, bound_s);
    if (IDEM_UNLIKELY(++lap->taken % UPKEEP_EVERY == 0)) {
        upkeep(op, cursor, family, klass);
    }
    return true;
}

int idem__block_alloc(struct idem__op *op, enum idem__family family, uint64_t bytes,
                      uint32_t bound_s, struct idem__block *block)
{
    uint32_t klass = idem__class_for(op->region, bytes);
    if (IDEM_LIKELY(alloc_in_class(op, family, klass, bound_s, block))) {
        return IDEM_OK;
    }
    if (op->round >= ROUND_LARGER) {
        for (uint32_t i = 1; i < LARGER_CLASSES && klass + i < op->region->class_count; i++) {
            if (alloc_slow(op, family, klass + i, block)) {
                return IDEM_OK;
            }
        }
    }
    return IDEM_EFULL;
}
