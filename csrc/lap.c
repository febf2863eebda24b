#include "lap.h"

#include "reclaim.h"

/* Slabs with fewer blocks are looked at word for word. */
#define SAMPLED_SLAB_WORDS 1024u
/* A slab is worth cleaning when this part of its live blocks has expired. */
#define USEFUL_PART 8u

void idem__lap_begin(const struct idem__op *op, struct idem__lap *lap, uint32_t slab,
                     enum idem__family family, uint32_t klass, uint32_t index)
{
    uint32_t count = op->region->classes[klass].count;
    *lap = (struct idem__lap){.slab = slab + 1,
                              .state = idem__slab_word(SLAB_ACTIVE, family, klass, 0),
                              .index = index % count, /* it may come from a hint */
                              .left = count,
                              .untold = LAP_UPKEEP_EVERY,
                              .sample_every = count < SAMPLED_SLAB_WORDS ? 1 : LAP_SAMPLE_EVERY,
                              .entry = &op->region->slab_table[slab],
                              .words = idem__slab_words(op->region, slab)};
}

static bool due(const struct idem__op *op, uint64_t word)
{
    return idem__block_state(word) == BLOCK_TAKEN ||
           (idem__block_state(word) == BLOCK_LIVE &&
            (idem__block_arg(word) == 0 || idem__past(op->now_ms, idem__block_arg(word))));
}

bool idem__lap_look(struct idem__op *op, struct idem__lap *lap, enum idem__family family,
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
        idem__lap_sample(op, lap, word);
    }
    lap->free += idem__block_state(word) == BLOCK_FREE || idem__block_state(word) == BLOCK_RETIRED;
    return visited;
}

void idem__lap_tell(struct idem__lap *lap)
{
    uint32_t taken = LAP_UPKEEP_EVERY - lap->untold;
    atomic_fetch_sub_explicit(&lap->entry->free, taken, memory_order_relaxed); /* a hint */
    idem__poke32(&lap->entry->position, lap->index);
    lap->taken += taken;
    lap->untold = LAP_UPKEEP_EVERY;
}

uint32_t idem__lap_useful_s(const struct idem__op *op, const struct idem__lap *lap)
{
    /* Short and long ttls share slabs: the long ones must not hide the short ones. */
    uint32_t count = 0;
    for (uint32_t span = 0; span < IDEM__DUE_SPANS; span++) {
        count += lap->due[span].count;
        if (count > 0 && count >= lap->live / USEFUL_PART) {
            return lap->due[span].latest_s;
        }
    }
    /* An empty slab is to be closed, and a lap sees only samples of what it took. */
    return lap->live == 0 ? (uint32_t)(op->now_ms / 1000) + LAP_LEASE_S : UINT32_MAX;
}
