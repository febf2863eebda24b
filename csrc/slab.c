#include "slab.h"

#include "error.h"

#define SLAB_ENTRIES_PER_PAGE (IDEM__PAGE_BYTES / (uint32_t)sizeof(struct slab_shm))
/* A full file system is not asked again for so long: a refused claim must stay cheap. */
#define NO_PAGES_PAUSE_MS 1000u
/* Somebody looks at a new slab again after so long, if whoever fills it does not come to its end. */
#define FILL_LEASE_S 60u
/* A slab whose generations came so far is not drained any more: its base could not rise above. */
#define GENERATION_DRAIN_MAX (BLOCK_GENERATION_MAX / 2)
/* How long a closed slab is left to the thread that closed it. */
#define DRAIN_LEASE_S 10u

static uint64_t slab_offset(const struct idem__region *region, uint32_t slab)
{
    return IDEM__SLAB_AREA_OFF + ((uint64_t)slab << region->slab_shift);
}

static bool names_chunk(const struct idem__region *region, uint32_t slab)
{
    for (uint32_t i = 0; i < IDEM__CHUNKS_MAX; i++) {
        if (idem__load32(&region->chunks[i]) == slab + 1) {
            return true;
        }
    }
    return false;
}

/* INIT or PUNCH of a dead owner, to be taken over by a CAS from `state`. An index chunk that it had named is
   in use, and becomes INDEX: the dead name nothing any more [H1], so the chunk table's answer is stable. */
static bool left_behind(struct idem__region *region, uint32_t slab, uint64_t state)
{
    uint32_t kind = idem__slab_state(state), owner = idem__slab_arg(state);
    if ((kind != SLAB_INIT && kind != SLAB_PUNCH) || !idem__owner_issued(region, owner) ||
        !idem__owner_dead(region, owner)) {
        return false;
    }
    if (kind == SLAB_INIT && names_chunk(region, slab)) {
        (void)idem__cas64(&region->slab_table[slab].state, &state,
                          idem__slab_word(SLAB_INDEX, 0, 0, 0));
        return false;
    }
    return true;
}

static bool drained(const struct idem__region *region, uint64_t state)
{
    return idem__slab_state(state) == SLAB_DRAINING &&
           idem__grace_over(region, idem__slab_arg(state));
}

/* Adds an entry to the table. IDEM_EFULL at the limit. */
static int extend_table(struct idem__op *op)
{
    struct header_shm *header = op->region->header;
    uint32_t high = idem__load32(&header->slab_high);
    uint32_t limit = idem__load32(&header->slab_limit);
    if (high >= limit || high >= IDEM__SLABS_MAX) {
        return IDEM_EFULL;
    }
    if (high % SLAB_ENTRIES_PER_PAGE == 0) {
        /* Before slab_high covers the page: an entry below it is never a hole. */
        int status = idem__region_back(
            op->region, IDEM__SLAB_TABLE_OFF + high * sizeof(struct slab_shm), IDEM__PAGE_BYTES);
        if (status) {
            idem__store64(&header->no_pages_until_ms, op->now_ms + NO_PAGES_PAUSE_MS);
            return status;
        }
    }
    (void)idem__cas32(&header->slab_high, &high, high + 1);
    return IDEM_OK;
}

/* A slab in INIT(me): emptied ones first, then unused ones, then a new one. *was: its state before. */
static int take_slab(struct idem__op *op, uint32_t *taken, uint64_t *was)
{
    struct idem__region *region = op->region;
    uint64_t mine = idem__slab_word(SLAB_INIT, 0, 0, op->thread->owner);
    uint32_t looked = 0;
    for (;;) {
        uint32_t high = idem__slab_high(region), unused = high;
        uint32_t looks = high < SLAB_SEARCH_MAX ? high : SLAB_SEARCH_MAX;
        for (uint32_t i = 0; i < looks; i++) {
            uint32_t slab = (op->thread->table_position + i) % high;
            idem__a64 *word = &region->slab_table[slab].state;
            uint64_t state = idem__load64(word);
            if (idem__slab_state(state) == SLAB_ACTIVE) {
                continue; /* nearly all are: the search shall be short */
            }
            if ((drained(region, state) || left_behind(region, slab, state)) &&
                idem__cas64(word, &state, mine)) {
                *taken = slab;
                *was = state;
                return IDEM_OK;
            }
            /* The very word: a damaged one is left alone, or the CAS below would fail for ever. */
            if (state == idem__slab_word(SLAB_UNUSED, 0, 0, 0) && unused == high) {
                unused = slab;
            }
        }
        if (unused < high) {
            uint64_t state = idem__slab_word(SLAB_UNUSED, 0, 0, 0);
            if (idem__cas64(&region->slab_table[unused].state, &state, mine)) {
                *taken = unused;
                *was = state;
                return IDEM_OK;
            }
            continue;
        }
        op->thread->table_position = high ? (op->thread->table_position + looks) % high : 0;
        int status = extend_table(op);
        if (status == IDEM_EFULL && (looked += looks) < high) {
            continue; /* at the limit: one further on may be free */
        }
        if (status) {
            return status;
        }
        /* The new entry is the last one: look there. */
        op->thread->table_position = high;
    }
}

/* take_slab, with pages. *zeros: so many bytes at its beginning are zero. */
static int take_backed_slab(struct idem__op *op, uint32_t *taken, uint64_t *zeros)
{
    struct idem__region *region = op->region;
    const uint64_t bytes = (uint64_t)1 << region->slab_shift;
    if (idem__load64(&region->header->no_pages_until_ms) > op->now_ms) {
        return idem__fail(IDEM_EFULL, "the region's file system was full a moment ago");
    }
    uint64_t was = 0;
    int status = take_slab(op, taken, &was);
    if (status) {
        return status;
    }
    const uint64_t offset = slab_offset(region, *taken);
    const uint32_t klass = idem__slab_class(was);
    *zeros = 0;
    if (idem__slab_state(was) != SLAB_DRAINING) {
        /* Whoever died with it may have left pages: without them it is all zeros. */
        *zeros = idem__region_punch(region, offset, bytes) == IDEM_OK ? bytes : 0;
    } else if (klass < region->class_count) {
        *zeros = region->classes[klass].count * sizeof(uint64_t); /* slab_drain */
    }
    status = idem__region_back(region, offset, bytes);
    if (status) {
        /* What pages it got go back: a full file system must not get fuller. */
        (void)idem__region_punch(region, offset, bytes);
        idem__store64(&region->slab_table[*taken].state, idem__slab_word(SLAB_UNUSED, 0, 0, 0));
        idem__store64(&region->header->no_pages_until_ms, op->now_ms + NO_PAGES_PAUSE_MS);
    }
    return status;
}

/* Clears the beginning of a slab of mine up to `bytes`, of which `zeros` are zero already. */
static void clear(const struct idem__region *region, uint32_t slab, uint64_t zeros, uint64_t bytes)
{
    if (zeros < bytes) {
        memset(idem__slab_base(region, slab) + zeros, 0, bytes - zeros);
    }
}

/* More records need more buckets: at least 4/3 of them, so that the load stays below 0.75. */
static void grow_index(struct idem__region *region, uint32_t records)
{
    struct header_shm *header = region->header;
    uint64_t capacity =
        atomic_fetch_add_explicit(&header->record_capacity, records, memory_order_relaxed) +
        records;
    uint32_t log2_max = 12 + region->chunk_shift; /* IDEM__CHUNKS_MAX chunks */
    uint32_t log2 = idem__load32(&header->buckets_log2);
    while (log2 < log2_max && ((uint64_t)3 << log2) < 4 * capacity) {
        log2++;
    }
    idem__max32(&header->buckets_log2, log2);
}
static_assert(IDEM__CHUNKS_MAX == 1u << 12, "grow_index counts on it");

int idem__slab_acquire(struct idem__op *op, enum idem__family family, uint32_t klass,
                       uint32_t *slab)
{
    struct idem__region *region = op->region;
    uint64_t zeros = 0;
    int status = take_backed_slab(op, slab, &zeros);
    if (status) {
        return status;
    }
    struct slab_shm *entry = &region->slab_table[*slab];
    uint32_t count = region->classes[klass].count;
    /* Zero words are FREE with the entry's generation base, which is above all earlier ones. */
    clear(region, *slab, zeros, count * sizeof(uint64_t));
    idem__poke32(&entry->free, count);
    idem__poke32(&entry->useful_s, (uint32_t)(op->now_ms / 1000) + FILL_LEASE_S);
    if (family == FAMILY_RECORD) {
        grow_index(region, count);
    }
    /* [S1] Release: whoever sees ACTIVE sees the words. */
    idem__store64(&entry->state, idem__slab_word(SLAB_ACTIVE, family, klass, 0));
    return IDEM_OK;
}

int idem__slab_acquire_chunk(struct idem__op *op, uint32_t chunk)
{
    struct idem__region *region = op->region;
    uint32_t slab = 0;
    uint64_t zeros = 0;
    int status = take_backed_slab(op, &slab, &zeros);
    if (status) {
        return status;
    }
    clear(region, slab, zeros, (uint64_t)1 << region->slab_shift);
    uint32_t absent = 0;
    /* [S2] The chunk is in use from this CAS on; if this process dies before the next line, whoever
       recovers the slab finds it named. */
    bool won = idem__cas32(&region->chunks[chunk], &absent, slab + 1);
    uint32_t past = (uint32_t)idem__load64(&region->header->epoch) - IDEM__GRACE;
    idem__store64(&region->slab_table[slab].state,
                  won ? idem__slab_word(SLAB_INDEX, 0, 0, 0)
                      : idem__slab_word(SLAB_DRAINING, 0, 0, past));
    return IDEM_OK;
}

bool idem__slab_close(struct idem__op *op, uint32_t slab)
{
    struct idem__region *region = op->region;
    idem__a64 *word = &region->slab_table[slab].state;
    uint64_t state = idem__load64(word);
    /* [S3] Inside the section, which holds G at this or the next: when G is IDEM__GRACE further, whoever
       saw the slab open has left. */
    uint32_t epoch = (uint32_t)idem__load64(&region->header->epoch);
    if (!idem__slab_open(state) || epoch == 0) {
        return false;
    }
    idem__poke32(&region->slab_table[slab].useful_s, (uint32_t)(op->now_ms / 1000) + DRAIN_LEASE_S);
    return idem__cas64(word, &state, state | (uint64_t)epoch << 32);
}

bool idem__slab_reopen(const struct idem__region *region, uint32_t slab)
{
    idem__a64 *word = &region->slab_table[slab].state;
    uint64_t state = idem__load64(word);
    return idem__slab_closed(state) && idem__cas64(word, &state, (uint32_t)state);
}

bool idem__slab_empty(const struct idem__region *region, uint32_t slab)
{
    uint64_t state = idem__load64(&region->slab_table[slab].state);
    uint32_t klass = idem__slab_class(state), i = 0;
    if (!idem__slab_open(state) || klass >= region->class_count) {
        return false;
    }
    const idem__a64 *words = idem__slab_words(region, slab);
    while (i < region->classes[klass].count &&
           idem__block_reusable(region, idem__load64(&words[i]))) {
        i++;
    }
    return i == region->classes[klass].count;
}

/* Block words from *index to `end` - 1 that can be reused -> 0. False at one that cannot. */
static bool clear_words(const struct idem__region *region, uint32_t slab, uint32_t *index,
                        uint32_t end)
{
    struct slab_shm *entry = &region->slab_table[slab];
    idem__a64 *words = idem__slab_words(region, slab);
    uint32_t base = idem__load32(&entry->generation_base);
    for (; *index < end; ++*index) {
        uint64_t word = idem__load64(&words[*index]);
        uint32_t generation = idem__block_generation(word);
        if (word == 0) {
            continue;
        }
        if (!idem__block_reusable(region, word) || generation > GENERATION_DRAIN_MAX) {
            return false;
        }
        if (generation >= base) {
            /* [S3] Before the word is zero, which stands for the base: generations never repeat. */
            base = generation + 1;
            idem__max32(&entry->generation_base, base);
        }
        /* A reusable block becomes a free one: right whatever the slab's state, so that it does no harm if
           the slab was opened again meanwhile. */
        if (!idem__cas64(&words[*index], &word, 0)) {
            return false;
        }
    }
    return true;
}

bool idem__slab_drain(struct idem__op *op, struct idem__drain *drain, uint32_t words)
{
    struct idem__region *region = op->region;
    uint32_t slab = drain->slab - 1;
    struct slab_shm *entry = &region->slab_table[slab];
    uint64_t state = idem__load64(&entry->state);
    uint32_t klass = idem__slab_class(state);
    if (state != drain->state) {
        /* Others may have used the slab meanwhile: from the beginning. */
        drain->index = 0;
        drain->state = state;
    }
    if (!idem__slab_closed(state) || klass >= region->class_count) {
        drain->slab = 0;
        return false;
    }
    if (!idem__grace_over(region, idem__slab_arg(state))) {
        return false;
    }
    uint32_t count = region->classes[klass].count;
    uint32_t end = count - drain->index > words ? drain->index + words : count;
    if (!clear_words(region, slab, &drain->index, end)) {
        drain->slab = 0;
        (void)idem__slab_reopen(region, slab);
        return false;
    }
    if (drain->index < count) {
        return false;
    }
    drain->slab = 0;
    uint32_t epoch = (uint32_t)idem__load64(&region->header->epoch);
    if (!idem__cas64(&entry->state, &state,
                     idem__slab_word(SLAB_DRAINING, idem__slab_family(state), klass, epoch))) {
        return false;
    }
    if (idem__slab_family(state) == FAMILY_RECORD) {
        atomic_fetch_sub_explicit(&region->header->record_capacity, count, memory_order_relaxed);
    }
    return true;
}

uint32_t idem__slab_trim(struct idem__op *op, uint32_t reserve, uint32_t looks, uint32_t most)
{
    struct idem__region *region = op->region;
    uint32_t high = idem__slab_high(region), kept = 0, punched = 0;
    for (uint32_t i = 0; i < high && i < looks && punched < most; i++) {
        uint32_t slab = (op->thread->table_position + i) % high;
        idem__a64 *word = &region->slab_table[slab].state;
        uint64_t state = idem__load64(word);
        if (idem__slab_state(state) == SLAB_ACTIVE) {
            continue;
        }
        if (drained(region, state) ? kept++ < reserve : !left_behind(region, slab, state)) {
            continue;
        }
        if (idem__cas64(word, &state, idem__slab_word(SLAB_PUNCH, 0, 0, op->thread->owner))) {
            /* If it fails the pages stay: harmless. */
            (void)idem__region_punch(region, slab_offset(region, slab),
                                     (uint64_t)1 << region->slab_shift);
            idem__store64(word, idem__slab_word(SLAB_UNUSED, 0, 0, 0));
            punched++;
        }
    }
    return punched;
}
