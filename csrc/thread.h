/* thread.h - a thread's place in a region. Layer 5. */
#ifndef IDEM_THREAD_H
#define IDEM_THREAD_H

#include "owner.h"
#include "region.h"

#define IDEM__DUE_SPANS 8u

/* A lap over a slab's words: where it is, and what it saw, for the slab's hints. */
struct idem__lap {
    uint64_t state;        /* the slab's state word as long as the lap goes: open */
    uint32_t slab;         /* + 1; 0 = none, and `left` is 0 */
    uint32_t index;        /* the next word */
    uint32_t left;         /* words still to be looked at */
    uint32_t untold;       /* blocks still to be taken before the slab's hints are updated */
    uint32_t taken;        /* blocks taken before that */
    uint32_t sample_every; /* words */
    struct slab_shm *entry;
    idem__a64 *words;
    uint32_t free; /* other reusable blocks seen, or retired ones that soon will be */
    uint32_t live; /* live ones seen */
    /* Of them, those that expire in less than 8 s, 64 s, 512 s ...: how many, and when the last does. */
    struct idem__due {
        uint32_t count;
        uint32_t latest_s;
    } due[IDEM__DUE_SPANS];
};

/*
 * Where a thread allocates blocks of one class, and the slab that it cleans meanwhile for later:
 * hints of its own, never shared.
 */
struct idem__cursor {
    struct idem__lap now;
    struct idem__lap next;
    uint64_t searched_ms; /* when no slab was found that is worth cleaning */
    bool others_offer;    /* the last search met more slabs than one that offer enough */
};

/* A closed slab whose blocks the thread goes through: slab.h. All zero but the slab at the beginning. */
struct idem__drain {
    uint32_t slab; /* + 1; 0 = none */
    uint32_t index;
    uint64_t state;
};

struct idem__thread {
    struct idem__region *region;
    uint64_t stamp; /* identity it belongs to: another one after fork */
    struct slot_shm *slot;
    uint32_t owner;
    uint32_t slot_index;
    uint32_t retires;        /* blocks retired since this thread last tried to advance the epoch */
    bool emptied;            /* a slab was, since this thread last looked for pages to give back */
    uint32_t table_position; /* where the last search of the slab table ended */
    uint32_t deep_slab;      /* where the last search for hidden garbage ended: slab ... */
    uint32_t deep_index;     /* ... and block ... */
    uint32_t deep_free;      /* ... and the reusable ones seen in that slab */
    struct idem__drain drain;
    uint64_t impatient_until_ms;   /* waited for a grace period in vain: not again before */
    uint64_t full_until_ms;        /* a search found nothing: not again before */
    struct idem__thread *next;     /* of this OS thread, for other regions */
    struct idem__thread *siblings; /* of this region, for close; guarded by the registry mutex */
    struct idem__cursor cursors[2 * IDEM__CLASSES_MAX]; /* [family * IDEM__CLASSES_MAX + class] */
};

/* The place that the calling thread used last. Its memory is the thread's own until it exits, so that
   the look below is safe even if the region was closed meanwhile; the stamp tells. */
extern __thread struct idem__thread *idem__thread_recent
    __attribute__((tls_model("initial-exec"), visibility("hidden")));

/* idem__thread_get, when the recent place is of another region, a parent, or from before a close. */
int idem__thread_find(struct idem__region *region, struct idem__thread **thread);

/*
 * The calling thread's place, taking a slot at first use or after fork. Status on failure. The slots
 * are given back when the thread exits, and at the region's last close.
 */
IDEM_HOT int idem__thread_get(struct idem__region *region, struct idem__thread **thread)
{
    struct idem__thread *recent = idem__thread_recent;
    if (IDEM_LIKELY(recent != NULL && recent->region == region &&
                    recent->stamp == idem__owner_stamp(region))) {
        *thread = recent;
        return IDEM_OK;
    }
    return idem__thread_find(region, thread);
}

#endif
