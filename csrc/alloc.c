#include "alloc.h"

#include "error.h"
#include "lap.h"

/* Bounds of one allocation: words passed and blocks finished before a new slab is asked for, and slabs
   that turn out to offer nothing. No call shall take 50 times as long as most do. */
#define SCAN_WORDS_MAX 192u
#define SCAN_VISITS_MAX 4u
#define SCAN_SLABS_MAX 4u
/* After so many words in vain it goes on elsewhere in the slab: blocks that were taken together often live
   together. */
#define SCAN_STRETCH 64u
#define SKIP_PARTS 8u
/* The last efforts before a refusal look at every word of some slabs. */
#define SCAN_WORDS_LAST (1u << 16)
/* Every LAP_UPKEEP_EVERY allocations: words of the next slab cleaned (about as many as are taken of a slab
   that a quarter is free of), and blocks finished at most. */
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
#define PROBED_WHOLE 16u /* in a slab of so few blocks every word is looked at */
#define PROBED_SLABS_MAX 128u
/* Entries looked at for a slab to fill, but before a refusal. */
#define CHOOSE_SEARCH_MAX 128u
#define NO_SLAB UINT32_MAX
/* A slab of fewer is joined when less is free than is taken between two upkeeps. */
#define FEW_BLOCKS (JOIN_PART * LAP_UPKEEP_EVERY)
/* A search in vain is followed by one of so many words, elsewhere. */
#define SCAN_WORDS_AGAIN 64u

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

/* Lets others fill the slab. */
static void end_filling(const struct idem__op *op, struct idem__lap *lap)
{
    if (idem__peek32(&lap->entry->filler) == filler_of(op)) {
        idem__poke32(&lap->entry->filler, 0);
    }
    idem__lap_leave(lap);
}

/* Leaves the current slab: writes down what the lap saw. */
static void end_lap(const struct idem__op *op, struct idem__cursor *cursor, uint32_t klass)
{
    struct idem__lap *lap = &cursor->now;
    struct slab_shm *entry = lap->entry;
    idem__lap_tell(lap);
    /* The counts drift when processes are killed. A whole lap that found nothing knows better; one that was
       given up makes it likely: another few, and the slab is not preferred any more. */
    const int32_t count = (int32_t)op->region->classes[klass].count;
    int32_t free = (int32_t)idem__peek32(&entry->free);
    free = free > count ? count : free;
    if (lap->taken == 0 && lap->free == 0 && free > 0) {
        free = lap->left == 0 ? 0 : free;
    }
    if (free != (int32_t)idem__peek32(&entry->free)) {
        idem__poke32(&entry->free, (uint32_t)free);
    }
    /* Not later than what others have lowered it to (a completion with a short ttl). */
    uint32_t at_s = idem__lap_useful_s(op, lap);
    if (at_s < idem__peek32(&entry->useful_s)) {
        idem__poke32(&entry->useful_s, at_s);
    }
    end_filling(op, lap);
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
    idem__poke32(&lap->entry->useful_s, idem__lap_useful_s(op, lap));
    if (lap->slab == cursor->now.slab) {
        /* Filled meanwhile: what was seen free is not any more. */
        idem__lap_leave(lap);
        return;
    }
    idem__poke32(&lap->entry->free, lap->free);
    const struct slab_shm *now = cursor->now.entry;
    bool plenty =
        cursor->others_offer || (now && (int32_t)idem__peek32(&now->free) > (int32_t)(count / 2));
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
    uint32_t probes = count <= PROBED_WHOLE ? count : PROBES;
    *index = (idem__peek32(&op->region->slab_table[slab].position) + part) % count;
    for (uint32_t i = 0; i < probes; i++, *index = (*index + count / probes) % count) {
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

/* What a pass over the table offers. */
struct offer {
    uint32_t fullest; /* of those with enough free, and where something can be taken in it */
    uint32_t index;
    uint32_t closed; /* one that is closed */
    uint32_t some;   /* one where anything may be free */
};

/*
 * Of the slabs that have enough free and nobody fills, the fullest: the emptiest are thus left to become
 * empty, and go back, or what was once needed would be held for ever (Hoard's policy: Berger et al., ASPLOS
 * 2000). If others fill all of them, one of those.
 */
static struct offer look_for_slabs(struct idem__op *op, struct idem__cursor *cursor,
                                   enum idem__family family, uint32_t klass)
{
    const uint32_t count = op->region->classes[klass].count;
    const int32_t enough = (int32_t)idem__max_u64(count / JOIN_PART, 1);
    const uint32_t high = idem__slab_high(op->region);
    const uint32_t looks = op->round >= ROUND_THOROUGH ? SLAB_SEARCH_MAX : CHOOSE_SEARCH_MAX;
    struct offer offer = {NO_SLAB, 0, NO_SLAB, NO_SLAB};
    uint32_t probed = 0, index = 0;
    int32_t lowest = INT32_MAX, most = 0;
    cursor->others_offer = false;
    for (uint32_t i = 0; i < looks && i < high; i++) {
        uint32_t slab = op->thread->table_position = (op->thread->table_position + 1) % high;
        struct slab_shm *entry = &op->region->slab_table[slab];
        uint64_t state = idem__load64(&entry->state);
        if ((uint32_t)state != (uint32_t)idem__slab_word(SLAB_ACTIVE, family, klass, 0)) {
            continue;
        }
        if (idem__slab_closed(state)) {
            offer.closed = slab;
            continue;
        }
        int32_t free = (int32_t)idem__peek32(&entry->free);
        if (free >= enough) {
            const int32_t rank = (free < (int32_t)count ? free : (int32_t)count) +
                                 (filled_by_another(op, entry) ? (int32_t)count : 0);
            cursor->others_offer |= offer.fullest != NO_SLAB;
            if (free >= (int32_t)(count - count / EMPTY_PART)) {
                idem__poke32(&entry->useful_s, 0); /* to be looked at, and closed */
            }
            if (rank < lowest && probed++ < PROBED_SLABS_MAX && probe(op, slab, count, &index)) {
                lowest = rank;
                offer.fullest = slab;
                offer.index = index;
            }
        }
        /* A block that is free goes before one that may have expired: it is all there may be. */
        if (free > most || (most == 0 && idem__past(op->now_ms, idem__peek32(&entry->useful_s)))) {
            offer.some = slab;
            most = free > 0 ? free : 0;
        }
    }
    return offer;
}

/* The slab to go on with: the fullest; one that is cleaned in part; one that was closed; a new one; any that
   offers something, but not after a search in vain. */
static bool choose_now(struct idem__op *op, struct idem__cursor *cursor, enum idem__family family,
                       uint32_t klass, bool spent)
{
    const struct offer offer = look_for_slabs(op, cursor, family, klass);
    const uint32_t worth = op->region->classes[klass].count / KEEP_PART;
    const struct idem__lap *next = &cursor->next;
    uint32_t chosen = offer.fullest, index = offer.index;
    if (chosen == NO_SLAB && next->slab && next->free >= idem__max_u64(worth, 1) &&
        idem__lap_current(next)) {
        chosen = next->slab - 1;
    }
    if (chosen == NO_SLAB && offer.closed != NO_SLAB &&
        idem__slab_reopen(op->region, offer.closed)) {
        chosen = offer.closed;
    }
    if (chosen == NO_SLAB && choose_new(op, cursor, family, klass)) {
        return true;
    }
    if (chosen == NO_SLAB && offer.some != NO_SLAB && !spent) {
        chosen = offer.some;
        index = idem__peek32(&op->region->slab_table[chosen].position);
    }
    if (chosen == NO_SLAB) {
        return false;
    }
    begin_filling(op, cursor, chosen, family, klass, index);
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
    idem__lap_note(op, &cursor->now, bound_s, LAP_UPKEEP_EVERY - cursor->now.untold);
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

/* Looks for a block of one class, a bounded while. *moved: the lap is another one than before. */
static bool alloc_in_class(struct idem__op *op, enum idem__family family, uint32_t klass,
                           struct idem__block *block, bool *moved)
{
    struct idem__cursor *cursor = cursor_of(op, family, klass);
    struct effort effort = effort_of(op);
    bool spent = false;
    for (uint32_t slabs = 0; slabs < SCAN_SLABS_MAX; slabs++) {
        if (cursor->now.slab == 0) {
            *moved = true;
            if (!choose_now(op, cursor, family, klass, spent)) {
                return false;
            }
        }
        switch (scan(op, &cursor->now, family, klass, &effort, block)) {
        case SCAN_TAKEN:
            return true;
        case SCAN_END:
            end_lap(op, cursor, klass);
            break;
        case SCAN_GONE:
            end_filling(op, &cursor->now);
            break;
        case SCAN_SPENT:
            end_lap(op, cursor, klass);
            /* Elsewhere there may be blocks whose grace period is over; but not a third time. */
            if (spent && !choose_new(op, cursor, family, klass)) {
                return false;
            }
            spent = true;
            effort =
                op->round >= ROUND_THOROUGH ? effort_of(op) : (struct effort){SCAN_WORDS_AGAIN, 0};
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
        bool moved = false;
        if (alloc_in_class(op, family, larger, block, &moved)) {
            struct idem__lap *lap = &cursor_of(op, family, larger)->now;
            /* Laps of slabs of few blocks may end before it is due. */
            moved = moved && op->region->classes[larger].count < FEW_BLOCKS;
            return --lap->untold > 0 && !moved ? IDEM_OK
                                               : idem__alloc_upkeep(op, family, larger, bound_s);
        }
    }
    return IDEM_EFULL;
}
