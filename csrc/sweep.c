#include <time.h>

#include "alloc.h"
#include "cancel.h"
#include "clock.h"
#include "error.h"
#include "reclaim.h"

/* On a crowded machine a core is lost for tens of milliseconds. */
#define LAG_NAP_NS 1000000
#define LAG_NAPS_MAX 100u
/* After waiting in vain - a process is stopped, perhaps - a thread does not wait again for so long. */
#define IMPATIENT_MS 1000u
/* Blocks visited in one section: short, so that the epoch is not held back. */
#define SECTION_BLOCKS 256u
/* Slabs whose pages a sweep of some blocks gives back: each is a system call on up to 2 MiB. */
#define TRIMMED_MAX 4u
/* Blocks looked at before a claim is refused. */
#define ROOM_BLOCKS (1u << 15)
/* After a search in vain the next ones are refused at once for so long. */
#define FULL_PAUSE_MS 100u

static uint64_t epoch_now(const struct idem__region *region)
{
    return idem__load64(&region->header->epoch);
}

/* Ends the grace period that began at epoch `since`. False: somebody holds the epoch back. */
static bool end_grace(struct idem__region *region, uint64_t since)
{
    while (epoch_now(region) - since < IDEM__GRACE) {
        if (!idem__epoch_advance(region) && epoch_now(region) - since < IDEM__GRACE) {
            return false;
        }
    }
    return true;
}

static void let_grace_end(struct idem__region *region)
{
    (void)end_grace(region, epoch_now(region));
}

/* A process that lost its core inside a section holds back what the others retired. It is given some
   time to go on, but not for ever: it may be stopped. */
static void wait_for_grace(struct idem__op *op)
{
    const struct timespec nap = {.tv_nsec = LAG_NAP_NS};
    const uint64_t since = epoch_now(op->region);
    uint32_t naps = op->now_ms < op->thread->impatient_until_ms ? LAG_NAPS_MAX : 0;
    const int cancel = idem__cancel_put_off();
    for (; naps < LAG_NAPS_MAX && !end_grace(op->region, since); naps++) {
        (void)nanosleep(&nap, NULL);
        if (naps + 1 == LAG_NAPS_MAX) {
            op->thread->impatient_until_ms = op->now_ms + IMPATIENT_MS;
        }
    }
    idem__cancel_restore(cancel);
}

/* Visits up to `most` blocks of a slab from *index on, in one section; *reusable counts those that can be
   or soon will be taken. False: no slab of blocks there. */
static bool sweep_part(struct idem__op *op, uint32_t slab, uint32_t *index, uint64_t most,
                       uint32_t *reusable, uint64_t *freed, uint32_t *count)
{
    bool active = false;
    idem__enter(op->thread);
    op->now_ms = idem__clock_now_ms(op->region);
    uint64_t state = idem__load64(&op->region->slab_table[slab].state);
    enum idem__family family = idem__slab_family(state);
    struct idem__block block;
    while (most-- > 0 &&
           idem__block_at(op->region, idem__block_number(slab, *index), family, &block)) {
        active = true;
        *count = block.klass->count;
        uint64_t word = idem__load64(block.word);
        if (idem__block_state(word) == BLOCK_LIVE || idem__block_state(word) == BLOCK_TAKEN) {
            *freed += idem__hand_visit(op, &block, family, word);
            word = idem__load64(block.word);
        }
        *reusable +=
            idem__block_state(word) == BLOCK_FREE || idem__block_state(word) == BLOCK_RETIRED;
        ++*index;
    }
    idem__leave(op->thread);
    return active;
}

/* Goes round the slabs from where the thread's last sweep ended; from the beginning if there is no limit. */
static uint64_t visit_blocks(struct idem__op *op, uint64_t left)
{
    struct idem__thread *thread = op->thread;
    uint32_t high = idem__slab_high(op->region);
    uint64_t freed = 0;
    bool anew = left == UINT64_MAX;
    for (uint32_t slabs = 0; slabs <= high && left > 0; slabs++) {
        uint32_t count = 0;
        uint32_t slab = thread->deep_slab < high ? thread->deep_slab : 0;
        if (slab != thread->deep_slab || (anew && slabs == 0)) {
            thread->deep_index = thread->deep_free = 0;
        }
        thread->deep_slab = slab;
        while (left > 0) {
            uint32_t before = thread->deep_index;
            uint64_t part = left < SECTION_BLOCKS ? left : SECTION_BLOCKS;
            if (!sweep_part(op, slab, &thread->deep_index, part, &thread->deep_free, &freed,
                            &count)) {
                break;
            }
            left -= thread->deep_index - before;
        }
        if (left == 0) {
            break;
        }
        if (count > 0) {
            idem__poke32(&op->region->slab_table[slab].free, thread->deep_free);
            idem__poke32(&op->region->slab_table[slab].useful_s, (uint32_t)(op->now_ms / 1000));
        }
        thread->deep_slab = slab + 1 < high ? slab + 1 : 0;
        thread->deep_index = thread->deep_free = 0;
        (void)idem__epoch_advance(op->region);
    }
    return freed;
}

/* The words of an ACTIVE slab, as far as `left` goes; *left becomes less by them. */
static uint32_t words_of(const struct idem__region *region, uint64_t state, uint64_t *left)
{
    uint32_t klass = idem__slab_class(state);
    uint64_t words =
        idem__min_u64(klass < region->class_count ? region->classes[klass].count : 0, *left);
    *left -= words;
    return (uint32_t)words;
}

/* Closes slabs of which every block can be reused, of at most `left` words. */
static void close_empty(struct idem__op *op, uint64_t left)
{
    uint32_t high = idem__slab_high(op->region);
    for (uint32_t slab = 0; slab < high && left > 0; slab++) {
        idem__enter(op->thread);
        uint64_t state = idem__load64(&op->region->slab_table[slab].state);
        if (idem__slab_empty(op->region, slab) && idem__slab_close(op, slab)) {
            (void)words_of(op->region, state, &left);
        }
        idem__leave(op->thread);
    }
}

/* Clears at most `left` words of closed slabs, whoever closed them. */
static void drain_closed(struct idem__op *op, uint64_t left)
{
    struct idem__drain *drain = &op->thread->drain;
    uint32_t high = idem__slab_high(op->region);
    for (uint32_t slab = 0; slab < high && left > 0; slab++) {
        uint64_t state = idem__load64(&op->region->slab_table[slab].state);
        if (idem__slab_closed(state)) {
            if (drain->slab != slab + 1) {
                *drain = (struct idem__drain){.slab = slab + 1};
            }
            idem__enter(op->thread);
            (void)idem__slab_drain(op, drain, words_of(op->region, state, &left));
            idem__leave(op->thread);
        }
    }
}

uint64_t idem__sweep(struct idem__op *op, uint64_t budget)
{
    uint64_t most = budget ? budget : UINT64_MAX;
    uint64_t freed = visit_blocks(op, most);
    let_grace_end(op->region);
    close_empty(op, most);
    let_grace_end(op->region);
    drain_closed(op, most);
    let_grace_end(op->region);
    (void)idem__slab_trim(op, budget ? SLAB_RESERVE : 0, UINT32_MAX,
                          budget ? TRIMMED_MAX : UINT32_MAX);
    return freed;
}

bool idem__make_room(struct idem__op *op)
{
    switch (op->round) {
    case ROUND_FIRST:
        let_grace_end(op->region);
        op->round = ROUND_GRACE;
        return true;
    case ROUND_GRACE:
        if (op->now_ms < op->thread->full_until_ms) {
            return false;
        }
        wait_for_grace(op);
        op->round = ROUND_THOROUGH;
        return true;
    case ROUND_THOROUGH:
        (void)idem__sweep(op, ROOM_BLOCKS);
        op->round = ROUND_LARGER;
        return true;
    default:
        op->thread->full_until_ms = op->now_ms + FULL_PAUSE_MS;
        return false;
    }
}

int idem__fail_full(const struct idem__op *op)
{
    const struct header_shm *header = op->region->header;
    if (idem__load64(&header->no_pages_until_ms) > op->now_ms) {
        return idem__region_fail_full(op->region);
    }
    return idem__fail(IDEM_EFULL,
                      "no room: the store's limit of %llu bytes is reached and every key is live; "
                      "raise it with idem_resize, shorten ttls, or wait for keys to expire",
                      (unsigned long long)idem__load64(&header->max_bytes));
}
