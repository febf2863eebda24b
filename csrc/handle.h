/*
 * handle.h - store handles. Layer 5.
 *
 * An idem_store * is a number in disguise: index of a table entry and its generation. A closed
 * handle is thus recognised instead of dereferenced. An entry's region is protected by liburcu:
 * every call runs between idem__handle_get and idem__handle_put, which are urcu-bp's read lock and
 * unlock; idem_close clears the entry and waits for a grace period before it unmaps.
 */
#ifndef IDEM_HANDLE_H
#define IDEM_HANDLE_H

/* The inline read lock: liburcu allows it to code whose licence is compatible with the LGPL. Not under
   sanitizers: liburcu 0.13 places its reader structs less aligned than it declares them. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

#include "region.h"

/* ThreadSanitizer does not see what liburcu orders: every put before the end of a later wait. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#define IDEM__TELL_PUT() __tsan_release(&idem__handles)
#define IDEM__TELL_WAITED() __tsan_acquire(&idem__handles)
#else
#define IDEM__TELL_PUT() ((void)0)
#define IDEM__TELL_WAITED() ((void)0)
#endif

#define IDEM__HANDLE_INDEX_BITS 10u
#define IDEM__HANDLES_MAX (1u << IDEM__HANDLE_INDEX_BITS)

extern struct idem__handle {
    struct idem__region *_Atomic region;
    idem__a64 generation; /* 0 before the first use: handles carry at least 1, and are never NULL */
} idem__handles[IDEM__HANDLES_MAX] __attribute__((visibility("hidden")));

/* The entry of a handle, and the generation that the handle carries. */
static inline struct idem__handle *idem__handle_entry(const idem_store *store, uint64_t *generation)
{
    const uintptr_t value = (uintptr_t)store;
    *generation = (value >> IDEM__HANDLE_INDEX_BITS) - 1; /* NULL: one that no entry reaches */
    return &idem__handles[value & (IDEM__HANDLES_MAX - 1)];
}

/* The error of a NULL or closed handle: IDEM_EINVAL. */
int idem__handle_fail(const idem_store *store);

/* Publishes a region under a new handle. IDEM_ESYS/EMFILE when IDEM__HANDLES_MAX are open. */
int idem__handle_new(struct idem__region *region, idem_store **store);
/* Begins a call: the region, or NULL with the thread's error set (NULL or closed handle). */
IDEM_HOT struct idem__region *idem__handle_get(idem_store *store)
{
    uint64_t generation;
    struct idem__handle *entry = idem__handle_entry(store, &generation);
    urcu_bp_read_lock();
    /* [T1] acquire, acquire: see handle.c. */
    struct idem__region *region = atomic_load_explicit(&entry->region, memory_order_acquire);
    if (IDEM_LIKELY(region != NULL && idem__load64(&entry->generation) == generation)) {
        return region;
    }
    urcu_bp_read_unlock();
    (void)idem__handle_fail(store);
    return NULL;
}
/* Ends it. */
static inline void idem__handle_put(void)
{
    IDEM__TELL_PUT();
    urcu_bp_read_unlock();
}
/* Withdraws the handle and waits for every call in flight; returns the region, NULL if closed. */
struct idem__region *idem__handle_take(idem_store *store);

#endif
