/*
 * wait.c - see wait.h.
 *
 * A word holds a count << 1 | waiters bit. Why nobody sleeps through a change [W1]:
 *
 *   waiter: word |= 1 (seq_cst); look the key up; sleep while word == seen
 *   waker:  change the key by a seq_cst CAS; load word (seq_cst); if bit: word += 2, bit off; wake
 *
 * In the single order of seq_cst operations either the waiter's OR comes first: the waker sees the
 * bit, and bumps the word before it wakes; or the waker's CAS does: the waiter's look finds the key
 * changed. A waker killed in between is why sleeps are bounded (the caller's max_ms).
 */
#include "wait.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define COUNT_STEP 2u
#define MS_PER_S 1000
#define NS_PER_MS 1000000

uint32_t idem__wait_prepare(struct idem__region *region, uint64_t hash)
{
    idem__a32 *word = idem__wait_word(region, hash);
    if (region->readonly) {
        return idem__load32(word); /* cannot ask to be woken: sleeps its time out */
    }
    return atomic_fetch_or_explicit(word, IDEM__WAITERS_BIT, memory_order_seq_cst) |
           IDEM__WAITERS_BIT;
}

void idem__wait_sleep(struct idem__region *region, uint64_t hash, uint32_t seen, uint64_t max_ms)
{
    const struct timespec limit = {.tv_sec = (time_t)(max_ms / MS_PER_S),
                                   .tv_nsec = (long)(max_ms % MS_PER_S) * NS_PER_MS};
    /* Not FUTEX_PRIVATE: the sleepers are in other processes. Every return means "look again". */
    (void)syscall(SYS_futex, idem__wait_word(region, hash), FUTEX_WAIT, seen, &limit, NULL, 0);
}

/* [W1] */
IDEM_COLD void idem__wait_wake_all(idem__a32 *word)
{
    uint32_t seen = idem__load32(word);
    while ((seen & IDEM__WAITERS_BIT) != 0) {
        if (idem__cas32(word, &seen, (seen & ~IDEM__WAITERS_BIT) + COUNT_STEP)) {
            (void)syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
            return;
        }
    }
}
