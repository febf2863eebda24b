/* wait.h - sleeping until a key changes. Layer 4. Futex words in the region, picked by hash. */
#ifndef IDEM_WAIT_H
#define IDEM_WAIT_H

#include "region.h"

#define IDEM__WAITERS_BIT 1u

/* Tells that someone will sleep on the word of `hash`; returns its value to give to wait_sleep. */
uint32_t idem__wait_prepare(struct idem__region *region, uint64_t hash);
/*
 * Sleeps until the word differs from `seen`, or max_ms passed (more often, spuriously). Never inside
 * a section, nor with a read lock held.
 */
void idem__wait_sleep(struct idem__region *region, uint64_t hash, uint32_t seen, uint64_t max_ms);
/* Wakes whoever sleeps on a word. */
void idem__wait_wake_all(idem__a32 *word);

static inline idem__a32 *idem__wait_word(const struct idem__region *region, uint64_t hash)
{
    static_assert((IDEM__WAIT_WORDS & (IDEM__WAIT_WORDS - 1)) == 0, "picked by masking");
    /* Not bit 0, which is set in every order key. */
    return &region->wait_words[(hash >> 1) & (IDEM__WAIT_WORDS - 1)];
}

/* After a change of the key with this hash: wakes all sleepers. Costs a load when there are none.
   The change must have been a seq_cst CAS: [W1]. */
static inline void idem__wait_wake(struct idem__region *region, uint64_t hash)
{
    idem__a32 *word = idem__wait_word(region, hash);
    if (IDEM_UNLIKELY(atomic_load_explicit(word, memory_order_seq_cst) & IDEM__WAITERS_BIT)) {
        idem__wait_wake_all(word);
    }
}

#endif
