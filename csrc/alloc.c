#include "alloc.h"

#include "error.h"
#include "lap.h"

/* Bounds of one allocation: words passed and blocks finished before a new slab is asked for, and slabs
   that turn out to offer nothing. No call shall take 50 times as long as most do. */
#define SCAN_WORDS_MAX 256u
#define SCAN_VISITS_MAX 4u
#define SCAN_SLABS_MAX 4u
/* After so many words in vain it goes on elsewhere in the slab: blocks that were taken together often live
   together. */
#define SCAN_STRETCH 64u
#define SKIP_PARTS 8u
/* The last efforts before a refusal look at every word of some slabs. */
#define SCAN_WORDS_LAST (1u << 16)
/* Every LAP_UPKEEP_EVERY allocations: words of the next slab cleaned (it is done before half of this one is
   used), and blocks finished at most. */
#define CLEAN_WORDS 32u
#define CLEAN_VISITS 8u
/* Likewise: words of a closed slab looked at. */
#define DRAIN_WORDS 128u
/* Entries looked at for a slab to clean. */
#define CLEAN_SEARCH_MAX 64u
/* A slab is joined when this part of its blocks is free; or this part of those cleaned so far. */
#define JOIN_PART 4u
#define KEEP_PART 8u
/* A slab may be empty when all blocks but this part are free: the counts are not exact. */
#define EMPTY_PART 64u

/* Before a refusal larger blocks are taken too: of so many classes, up to about twice the size. */
#define LARGER_CLASSES 8u
/* Threads that share a slab begin in different parts of it. */
#define SHARE_PARTS 8u
/* Words of a slab looked at, before it is joined, for one that can be taken: while a process stands still
   inside a section, what was retired cannot. And slabs probed so in one search. */
#define PROBES 4u
#define PROBED_SLABS_MAX 128u

/* A block is taken; the lap is over; the slab is another's; the effort is spent. */
enum scan_result { SCAN_TAKEN, SCAN_END, SCAN_GONE, SCAN_SPENT };

struct effort {
    uint32_t words;
    uint32_t visits;
};

static struct effort effort_of(const struct idem__op *op)
{
    return (struct effort){op->round >= ROUND_THOROUGH ? SCAN_WORDS_LAST : SCAN_WORDS_MAX,
                           SCAN_VISITS_MAX};
}

/* Open, and of this class. */
static bool is_slab_of(const struct idem__op *op, uint32_t slab, enum idem__family family,
                       uint32_t klass)
{
    return idem__load64(&op->region->slab_table[slab].state) ==
           idem__slab_word(SLAB_ACTIVE, family, klass, 0);
}

static uint32_t filler_of(const struct idem__op *op) { return op->thread->slot_index + 1; }

/* The lap that blocks are taken from. */
static void begin_filling(const struct idem__op *op, struct idem__cursor *cursor, uint32_t slab,
                          enum idem__family family, uint32_t klass, uint32_t index)
{
    idem__lap_begin(op, &cursor->now, slab, family, klass, index);
    idem__poke32(&cursor->now.entry->filler, filler_of(op));
}

/* Alive for some time yet: most of what a lap passes. */
static bool stays(uint64_t word, uint32_t now_s)
{
    return idem__block_state(word) == BLOCK_LIVE && idem__block_arg(word) > now_s;
}

/* Goes on with the lap until a block is taken. */
static enum scan_result scan(struct idem__op *op, struct idem__lap *lap, enum idem__family family,
                             uint32_t klass, struct effort *effort, struct idem__block *block)
{
    if (!idem__lap_current(lap)) {
        return SCAN_GONE;
    }
    const struct idem__class *of = &op->region->classes[klass];
    uint32_t now_s = (uint32_t)(op->now_ms / 1000), begin = lap->index;
    bool visited = false;
    while (lap->left > 0 && effort->words > 0) {
        uint64_t word = idem__load64(&lap->words[lap->index]);
        if (IDEM_LIKELY(stays(word, now_s))) {
            idem__lap_sample(op, lap, word);
        } else if (idem__lap_take(op, lap, of, word, block)) {
            return SCAN_TAKEN;
        } else if (effort->visits > 0 && idem__lap_look(op, lap, family, word)) {
            /* What else has ended is left to cleaning: the call has a share of it to do, not more. */
            effort->visits--;
            begin = visited ? begin : lap->index;
            visited = true;
        }
        idem__lap_advance(lap, of->count);
        effort->words--;
        if (effort->words % SCAN_STRETCH == 0 && op->round < ROUND_THOROUGH) {
            lap->index = (lap->index + of->count / SKIP_PARTS) % of->count;
        }
    }
    /* Here the next search begins (end_lap): after a grace period, what is retired is what there is. */
    lap->index = begin;
    return lap->left > 0 ? SCAN_SPENT : SCAN_END;
}

/* Leaves the current slab: writes down what the lap saw. */
static void end_lap(const struct idem__op *op, struct idem__cursor *cursor, uint32_t klass)
{
    struct idem__lap *lap = &cursor->now;
    struct slab_shm *entry = lap->entry;
    idem__lap_tell(lap);
    /* The counts drift when processes are killed. A lap that found nothing, or whose search was given up,
       knows better; what is retired behind a lap that took blocks counts again by itself. */
    if (lap->free == 0 && (lap->taken == 0 || lap->left > 0)) {
        idem__poke32(&entry->free, 0);
    }
    uint32_t count = op->region->classes[klass].count;
    if ((int32_t)idem__peek32(&entry->free) > (int32_t)count) {
        idem__poke32(&entry->free, count);
    }
    /* Not later than what others have lowered it to (a completion with a short ttl). */
    uint32_t at_s = idem__lap_useful_s(op, lap);
    if (at_s < idem__peek32(&entry->useful_s)) {
        idem__poke32(&entry->useful_s, at_s);
    }
    if (idem__peek32(&entry->filler) == filler_of(op)) {
        idem__poke32(&entry->filler, 0);
    }
    idem__lap_leave(lap);
}

/* Finds a slab whose blocks have expired in part, to be cleaned ahead. */
static void choose_next(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                        uint32_t klass)
{
    if (cursor->searched_ms == op->now_ms) {
        return; /* the clock goes by ticks: nothing more has expired */
    }
    cursor->searched_ms = op->now_ms;
    uint32_t high = idem__slab_high(op->region);
    for (uint32_t i = 0; i < CLEAN_SEARCH_MAX && i < high; i++) {
        uint32_t slab = op->thread->table_position = (op->thread->table_position + 1) % high;
        struct slab_shm *entry = &op->region->slab_table[slab];
        if (!idem__past(op->now_ms, idem__peek32(&entry->useful_s))) {
            continue;
        }
        if (op->thread->drain.slab == 0 && idem__slab_closed(idem__load64(&entry->state))) {
            /* Who closed it has gone, or is idle. */
            idem__poke32(&entry->useful_s, (uint32_t)(op->now_ms / 1000) + LAP_LEASE_S);
            op->thread->drain = (struct idem__drain){.slab = slab + 1};
        }
        if (is_slab_of(op, slab, family, klass) && slab + 1 != cursor->now.slab) {
            /* Others look elsewhere for a while: not for ever, this thread may die or turn idle. */
            idem__poke32(&entry->useful_s, (uint32_t)(op->now_ms / 1000) + LAP_LEASE_S);
            idem__lap_begin(op, &cursor->next, slab, family, klass, 0);
            cursor->searched_ms = 0;
            return;
        }
    }
}

/* Cleans a few words of the next slab. */
static void clean_ahead(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                        uint32_t klass)
{
    struct idem__lap *lap = &cursor->next;
    if (!idem__lap_current(lap)) {
        idem__lap_leave(lap);
        return;
    }
    uint32_t count = op->region->classes[klass].count;
    uint32_t visits = 0;
    for (uint32_t i = 0; i < CLEAN_WORDS && visits < CLEAN_VISITS && lap->left > 0; i++) {
        visits += idem__lap_look(op, lap, family, idem__load64(&lap->words[lap->index]));
        idem__lap_advance(lap, count);
    }
    if (lap->left > 0) {
        return;
    }
    idem__poke32(&lap->entry->free, lap->free);
    idem__poke32(&lap->entry->useful_s, idem__lap_useful_s(op, lap));
    const struct slab_shm *now = cursor->now.entry;
    bool plenty =
        cursor->spare || (now && (int32_t)idem__peek32(&now->free) > (int32_t)(count / 2));
    if (lap->free == count && plenty && op->thread->drain.slab == 0 &&
        idem__slab_close(op, lap->slab - 1)) {
        op->thread->drain = (struct idem__drain){.slab = lap->slab};
    }
    idem__lap_leave(lap); /* go on with another */
}

static bool choose_new(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                       uint32_t klass)
{
    uint32_t slab = 0;
    if (idem__slab_acquire(op, family, klass, &slab)) {
        return false;
    }
    begin_filling(op, cursor, slab, family, klass, 0);
    return true;
}

/* Finds a block that can be taken, near which a lap over the slab may begin. */
static bool probe(const struct idem__op *op, uint32_t slab, uint32_t count, uint32_t *index)
{
    uint32_t part = op->thread->slot_index % SHARE_PARTS * (count / SHARE_PARTS);
    *index = (idem__peek32(&op->region->slab_table[slab].position) + part) % count;
    for (uint32_t i = 0; i < PROBES; i++, *index = (*index + count / PROBES) % count) {
        if (idem__block_reusable(op->region,
                                 idem__load64(&idem__slab_words(op->region, slab)[*index]))) {
            return true;
        }
    }
    return false;
}

/* A thread that does so has the cache lines; one that has died there only keeps others away. */
static bool filled_by_another(const struct idem__op *op, struct slab_shm *entry)
{
    const uint32_t filler = idem__peek32(&entry->filler);
    return filler != 0 && filler != filler_of(op);
}

/*
 * The slab to go on with. Of those that offer enough and nobody fills, the fullest: the emptiest are thus
 * left to become empty, and go back, or what was once needed would be held for ever (Hoard's policy:
 * Berger et al., ASPLOS 2000). Then one that another thread fills; one that is cleaned in part; one that
 * was closed; a new one; any that offers something, but not after a search in vain.
 */
static bool choose_now(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                       uint32_t klass, bool spent)
{
    const uint32_t count = op->region->classes[klass].count, none = UINT32_MAX;
    const int32_t enough = (int32_t)idem__max_u64(count / JOIN_PART, 1);
    uint32_t high = idem__slab_high(op->region), probed = 0, index = 0, begin = 0;
    uint32_t fullest = none, closed = none, some = none;
    int32_t lowest = INT32_MAX, most = 0;
    cursor->spare = false;
    for (uint32_t i = 0; i < SLAB_SEARCH_MAX && i < high; i++) {
        uint32_t slab = op->thread->table_position = (op->thread->table_position + 1) % high;
        struct slab_shm *entry = &op->region->slab_table[slab];
        uint64_t state = idem__load64(&entry->state);
        if ((uint32_t)state != (uint32_t)idem__slab_word(SLAB_ACTIVE, family, klass, 0)) {
            continue;
        }
        if (idem__slab_closed(state)) {
            closed = slab;
            continue;
        }
        int32_t free = (int32_t)idem__peek32(&entry->free);
        if (free >= enough) {
            const int32_t rank = (free < (int32_t)count ? free : (int32_t)count) +
                                 (filled_by_another(op, entry) ? (int32_t)count : 0);
            cursor->spare |= fullest != none;
            if (free >= (int32_t)(count - count / EMPTY_PART)) {
                idem__poke32(&entry->useful_s, 0); /* to be looked at, and closed */
            }
            if (rank < lowest && probed++ < PROBED_SLABS_MAX && probe(op, slab, count, &index)) {
                fullest = slab;
                lowest = rank;
                begin = index;
            }
        }
        /* A block that is free goes before one that may have expired: it is all there may be. */
        if (free > most || (most == 0 && idem__past(op->now_ms, idem__peek32(&entry->useful_s)))) {
            some = slab;
            most = free > 0 ? free : 0;
        }
    }
    const struct idem__lap *next = &cursor->next;
    if (fullest == none) {
        begin = 0;
        if (next->slab && next->free >= count / KEEP_PART && idem__lap_current(next)) {
            fullest = next->slab - 1;
            idem__lap_leave(&cursor->next);
        } else if (closed != none && idem__slab_reopen(op->region, closed)) {
            fullest = closed;
        } else if (choose_new(op, cursor, family, klass)) {
            return true;
        } else if (some != none && !spent) {
            fullest = some;
            begin = idem__peek32(&op->region->slab_table[some].position);
        } else {
            return false;
        }
    }
    begin_filling(op, cursor, fullest, family, klass, begin);
    return true;
}

static struct idem__cursor *cursor_of(const struct idem__op *op, enum idem__family family,
                                      uint32_t klass)
{
    return &op->thread->cursors[family * IDEM__CLASSES_MAX + klass];
}

__attribute__((noinline)) int idem__alloc_upkeep(struct idem__op *op, enum idem__family family,
                                                 uint32_t klass, uint32_t bound_s)
{
    struct idem__cursor *cursor = cursor_of(op, family, klass);
    idem__lap_note(op, &cursor->now, bound_s, LAP_UPKEEP_EVERY);
    idem__lap_tell(&cursor->now);
    if (cursor->next.slab == 0) {
        choose_next(op, cursor, family, klass);
    }
    if (cursor->next.left > 0) {
        clean_ahead(op, cursor, family, klass);
    }
    if (op->thread->drain.slab) {
        op->thread->emptied |= idem__slab_drain(op, &op->thread->drain, DRAIN_WORDS);
    }
    return IDEM_OK;
}

/* Looks for a block of one class, a bounded while. */
static bool alloc_in_class(struct idem__op *op, enum idem__family family, uint32_t klass,
                           struct idem__block *block)
{
    struct idem__cursor *cursor = cursor_of(op, family, klass);
    struct effort effort = effort_of(op);
    bool spent = false;
    for (uint32_t slabs = 0; slabs < SCAN_SLABS_MAX; slabs++) {
        if (cursor->now.slab == 0 && !choose_now(op, cursor, family, klass, spent)) {
            return false;
        }
        switch (scan(op, &cursor->now, family, klass, &effort, block)) {
        case SCAN_TAKEN:
            return true;
        case SCAN_END:
            end_lap(op, cursor, klass);
            break;
        case SCAN_GONE:
            idem__lap_leave(&cursor->now);
            break;
        case SCAN_SPENT:
            end_lap(op, cursor, klass);
            /* Elsewhere there may be blocks whose grace period is over; but not a third time. */
            if (spent && !choose_new(op, cursor, family, klass)) {
                return false;
            }
            spent = true;
            effort = effort_of(op);
            break;
        }
    }
    return false;
}

int idem__alloc_slow(struct idem__op *op, enum idem__family family, uint32_t klass,
                     uint32_t bound_s, struct idem__block *block)
{
    uint32_t classes = op->round >= ROUND_LARGER ? LARGER_CLASSES : 1;
    for (uint32_t larger = klass; larger < klass + classes && larger < op->region->class_count;
         larger++) {
        if (alloc_in_class(op, family, larger, block)) {
            struct idem__lap *lap = &cursor_of(op, family, larger)->now;
            return --lap->untold > 0 ? IDEM_OK : idem__alloc_upkeep(op, family, larger, bound_s);
        }
    }
    return IDEM_EFULL;
}
