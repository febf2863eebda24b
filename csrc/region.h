/*
 * region.h - the file and its mapping, as this process sees them. Layer 3.
 *
 * One struct idem__region per region and process, shared by all stores that the process opens on
 * the same file, kept in a process-wide list by (device, inode). It is never freed while a thread
 * may use it; after the last close it is unmapped, but its identity (owner.h) stays until exit.
 */
#ifndef IDEM_REGION_H
#define IDEM_REGION_H

#include <sys/types.h>

#include "class.h"
#include "idemkey.h"
#include "layout.h"

static_assert(sizeof(void *) == 8, "a region reserves up to 64 GiB of address space");

struct idem__thread; /* thread.h */

/*
 * Who this process is in the region: owner.h. In a page of its own with MADV_WIPEONFORK: reads 0 in a
 * child however it was forked.
 */
struct idem__identity {
    idem__a64 stamp; /* process-wide unique and non-zero while slots may be held under it */
    idem__a32 owner; /* owner id; 0 = none */
};

struct idem__region {
    /* Fixed while mapped; read by every call. */
    struct header_shm *header;
    char *slab_area; /* base + IDEM__SLAB_AREA_OFF */
    struct slab_shm *slab_table;
    idem__a32 *chunks;
    struct slot_shm *slots;
    idem__a32 *wait_words;
    uint32_t slab_shift;
    uint32_t chunk_shift; /* log2 of the buckets in an index chunk: slab_shift - 3 */
    uint32_t class_count;
    uint32_t max_value_bytes;
    idem__a32 slabs_in_file; /* as far as the file was seen to reach; grows when it is resized */
    uint64_t map_bytes;
    bool readonly;
    bool anonymous;

    bool tmpfs; /* pages are had by touching the mapping too */

    /* clock.h: this process's view of the store's clock. */
    idem__a64 clock_delta_ms;   /* store clock - CLOCK_MONOTONIC_COARSE; two's complement */
    idem__a64 clock_checked_ms; /* CLOCK_MONOTONIC_COARSE when clock_delta_ms was last taken */
    idem__a64 timens_offset_ms; /* two's complement */
    idem__a64 boot_id[2];       /* of this boot */

    /* Has the file been unlinked or replaced? Sticky. */
    idem__a64 replaced_checked_ms;
    idem__a32 replaced;

    /* owner.h. One per process and region, until exit. */
    struct idem__identity *identity;
    idem__a64 *owner_cache; /* what is known of others: IDEM__OWNER_CACHE_ENTRIES */

    struct idem__class classes[IDEM__CLASSES_MAX];

    /* For fallocate, locks' queries, resize: had by idem__region_fd, which verifies it. */
    _Atomic int fd;
    dev_t dev;
    ino_t ino;
    char *path; /* absolute; NULL when anonymous */

    /* Guarded by idem__process_lock. */
    uint32_t references;
    struct idem__thread *threads; /* thread.h: this process's places in the region */
    void (*before_unmap)(struct idem__region *region); /* set by thread.c: gives their slots back */
    struct idem__region *next;
};

/* Owners are found in the cache by their id's low bits; a collision costs a question to the kernel. */
#define IDEM__OWNER_CACHE_ENTRIES 1024u

/* Opens or creates; adds a reference. On failure sets the thread's error and returns the status. */
int idem__region_open(const char *path, const struct idem_options *options,
                      struct idem__region **region);
/* Gives the reference back. The caller has waited for all calls in flight (handle.c). */
void idem__region_close(struct idem__region *region);

/*
 * Backs [offset, offset + length) of the file with zeroed pages, keeping what is backed already.
 * IDEM_EFULL: the file system has no room (error names it and its size); IDEM_ESYS. Idempotent and
 * safe to be killed in. Never raises SIGBUS.
 */
int idem__region_back(struct idem__region *region, uint64_t offset, uint64_t length);
/* IDEM_EFULL, for a call that did not ask again because the file system was full a moment ago. */
int idem__region_fail_full(struct idem__region *region);
/* Gives the pages of [offset, offset + length) back to the system; they read as zero afterwards. */
int idem__region_punch(struct idem__region *region, uint64_t offset, uint64_t length);
/* Raises the limit. */
int idem__region_resize(struct idem__region *region, uint64_t max_bytes);
/* How often a running store asks whether its file is still there. */
#define IDEM__REPLACED_CHECK_MS 100u
int idem__region_ask_replaced(struct idem__region *region, uint64_t now_ms);
/* Is it time to ask? `now_ms` is any clock of the caller. */
static inline bool idem__region_replaced_due(struct idem__region *region, uint64_t now_ms)
{
    return IDEM_UNLIKELY(now_ms - idem__peek64(&region->replaced_checked_ms) >=
                             IDEM__REPLACED_CHECK_MS ||
                         idem__peek32(&region->replaced));
}
/* 0, or IDEM_EREPLACED: the file was unlinked, or another stands at its path. Asks the file system
   at most every IDEM__REPLACED_CHECK_MS. */
static inline int idem__region_check_replaced(struct idem__region *region, uint64_t now_ms)
{
    return idem__region_replaced_due(region, now_ms) ? idem__region_ask_replaced(region, now_ms)
                                                     : IDEM_OK;
}

/* How many of `high` slabs the file has room for: asks the file system. */
uint32_t idem__region_slabs_in_file(const struct idem__region *region, uint32_t high);

/* The region's file descriptor, verified to be still the region's (a daemon may have closed it), or
   reopened by path; -1 and errno if it cannot be had. Do not close. */
int idem__region_fd(struct idem__region *region);
/* Closes it, unless it is no longer the region's. At the last close. */
void idem__region_drop_fd(struct idem__region *region);
/* A new open file description of the region's file, which the caller closes; -1 and errno. */
int idem__region_reopen(struct idem__region *region);

/* The smallest class that holds `bytes`; region->class_count if none does. */
static inline uint32_t idem__class_for(const struct idem__region *region, uint64_t bytes)
{
    return idem__class_of(region->classes, region->class_count, bytes);
}

/*
 * The one mutex of this process's bookkeeping: the list of regions, identities, places of threads.
 * fork waits for it, so that a child never finds it held. Nobody sleeps or calls back under it.
 */
void idem__process_lock(void);
void idem__process_unlock(void);

#endif
