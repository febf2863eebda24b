#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "reclaim.h"

/* Blocks visited in one section: short, so that the epoch is not held back. */
#define SECTION_BLOCKS 256u
/* Blocks looked at before a claim is refused. */
#define ROOM_BLOCKS (1u << 15)
/* After a search in vain the next ones are refused at once for so long. */
#define FULL_PAUSE_MS 100u

static void let_grace_end(struct idem__region *region)
{
    for (uint32_t i = 0; i < IDEM__GRACE && idem__epoch_advance(region); i++) {
    }
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

/* Goes round the slabs from where the thread's last sweep ended. */
static uint64_t visit_blocks(struct idem__op *op, uint64_t budget)
{
    struct idem__thread *thread = op->thread;
    uint32_t high = idem__slab_high(op->region);
    uint64_t freed = 0, left = budget ? budget : UINT64_MAX;
    for (uint32_t slabs = 0; slabs <= high && left > 0; slabs++) {
        uint32_t count = 0;
        uint32_t slab = thread->deep_slab < high ? thread->deep_slab : 0;
        if (slab != thread->deep_slab || (!budget && slabs == 0)) {
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

/* Empties the slabs of which every block is free. */
static void drain_empty(struct idem__op *op)
{
    uint32_t high = idem__slab_high(op->region);
    for (uint32_t slab = 0; slab < high; slab++) {
        uint64_t state = idem__load64(&op->region->slab_table[slab].state);
        uint32_t klass = idem__slab_class(state);
        if (idem__slab_state(state) == SLAB_ACTIVE && klass < op->region->class_count &&
            idem__peek32(&op->region->slab_table[slab].free) >= op->region->classes[klass].count) {
            idem__enter(op->thread);
            (void)idem__slab_drain(op, slab);
            idem__leave(op->thread);
        }
    }
}

uint64_t idem__sweep(struct idem__op *op, uint64_t budget)
{
    uint64_t freed = visit_blocks(op, budget);
    let_grace_end(op->region);
    drain_empty(op);
    let_grace_end(op->region);
    (void)idem__slab_trim(op, budget ? SLAB_RESERVE : 0);
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
        return idem__fail(
            IDEM_EFULL,
            "no room: the file system of %s is full below the store's limit of %llu "
            "bytes; enlarge it (Docker's default /dev/shm is 64 MiB), or wait for keys to expire",
            op->region->path ? op->region->path : "the anonymous region",
            (unsigned long long)idem__load64(&header->max_bytes));
    }
    return idem__fail(IDEM_EFULL,
                      "no room: the store's limit of %llu bytes is reached and every key is live; "
                      "raise it with idem_resize, shorten ttls, or wait for keys to expire",
                      (unsigned long long)idem__load64(&header->max_bytes));
}
