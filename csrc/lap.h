/*
 * lap.h - a look at each word of one slab: what is free there, what lives and until when. Layer 12.
 *
 * What a lap has seen becomes the hints in the slab's entry, by which the hand (alloc.h) chooses. Laps
 * belong to one thread (thread.h); nothing is owned in the slab, which may change hands meanwhile.
 */
#ifndef IDEM_LAP_H
#define IDEM_LAP_H

#include "block.h"
#include "life.h"

/* Every so many blocks taken in a lap the slab's hints are brought up to date, by a sample. Odd, or ttls
   that alternate could fall in step with the samples. */
#define LAP_UPKEEP_EVERY 7u
/* Of a large slab every so many words are sampled for its hints. */
#define LAP_SAMPLE_EVERY 8u
/* How long a slab that one thread cleans is left alone by others. */
#define LAP_LEASE_S 10u

/* Begins a lap over a slab of that family and class at `index`, taken modulo its blocks. */
void idem__lap_begin(const struct idem__op *op, struct idem__lap *lap, uint32_t slab,
                     enum idem__family family, uint32_t klass, uint32_t index);

/* Looks at the lap's word without taking it, and finishes the block if its time has come: true if it was
   tried. Inside a section. */
bool idem__lap_look(struct idem__op *op, struct idem__lap *lap, enum idem__family family,
                    uint64_t word);

/* Brings the slab's hints up to date with what was taken since the last time. */
void idem__lap_tell(struct idem__lap *lap);

/* The second at which enough of what the lap saw alive will have expired to make a visit worth it;
   UINT32_MAX = never, as far as seen. */
uint32_t idem__lap_useful_s(const struct idem__op *op, const struct idem__lap *lap);

static inline void idem__lap_leave(struct idem__lap *lap) { lap->slab = lap->left = 0; }

/* Is the slab still what it was when the lap began? */
static inline bool idem__lap_current(const struct idem__lap *lap)
{
    return idem__load64(&lap->entry->state) == lap->state;
}

static inline void idem__lap_advance(struct idem__lap *lap, uint32_t count)
{
    lap->index = lap->index + 1 == count ? 0 : lap->index + 1;
    lap->left--;
}

/* Of `count` live blocks one expires at bound_s, and the others are taken to do about then. */
static inline void idem__lap_note(const struct idem__op *op, struct idem__lap *lap,
                                  uint32_t bound_s, uint32_t count)
{
    lap->live += count;
    if (bound_s != BLOCK_BOUND_NEVER) {
        uint64_t now_s = op->now_ms / 1000;
        uint32_t left_s = bound_s > now_s ? bound_s - (uint32_t)now_s : 0;
        uint32_t span = (31 - (uint32_t)__builtin_clz(left_s | 1)) / 3; /* powers of 8 */
        struct idem__due *due = &lap->due[span < IDEM__DUE_SPANS ? span : IDEM__DUE_SPANS - 1];
        due->count += count;
        due->latest_s = bound_s > due->latest_s ? bound_s : due->latest_s;
    }
}

/* Notes a LIVE word; of a large slab some stand for all. */
static inline void idem__lap_sample(const struct idem__op *op, struct idem__lap *lap, uint64_t word)
{
    if (lap->index % LAP_SAMPLE_EVERY == 0 || lap->sample_every == 1) {
        idem__lap_note(op, lap, idem__block_arg(word), lap->sample_every);
    }
}

#endif
