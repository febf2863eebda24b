/*
 * handle.c - see handle.h.
 *
 * A table entry is used again and again; its generation tells the uses apart:
 *
 *   new:   region NULL -> r (CAS)            the handle carries the generation found after it
 *   get:   read lock; load region; then load generation: equal to the handle's, or closed    [T1]
 *   take:  generation g -> g + 1 (CAS: one closer wins); region -> NULL; wait for all readers
 *
 * Region first, generation after: whoever sees the region of a later use also sees that the generation
 * moved on before it.
 */
#include "handle.h"

#include <errno.h>
#include <pthread.h>

/* The inline read lock: liburcu allows it to code whose licence is compatible with the LGPL. Not under
   sanitizers: liburcu 0.13 places its reader structs less aligned than it declares them. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-bp.h>

#include "error.h"

/* ThreadSanitizer does not see what liburcu orders: every put before the end of a later wait. */
#if defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
static char grace;
#define TELL_PUT() __tsan_release(&grace)
#define TELL_WAITED() __tsan_acquire(&grace)
#else
#define TELL_PUT() ((void)0)
#define TELL_WAITED() ((void)0)
#endif

#define INDEX_BITS 10u
static_assert(IDEM__HANDLES_MAX == 1u << INDEX_BITS, "an index fits its bits");

static struct entry {
    struct idem__region *_Atomic region;
    idem__a64 generation; /* 0 before the first use: handles carry at least 1, and are never NULL */
} entries[IDEM__HANDLES_MAX];

static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    /* Without it a child could wait for readers that fork did not copy. */
    (void)pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
}

static idem_store *handle_of(uint64_t generation, uint32_t index)
{
    return (idem_store *)(uintptr_t)((generation + 1) << INDEX_BITS | index);
}

static struct entry *entry_of(const idem_store *store, uint64_t *generation)
{
    const uintptr_t value = (uintptr_t)store;
    *generation = (value >> INDEX_BITS) - 1; /* NULL: a generation that no entry reaches */
    return &entries[value & (IDEM__HANDLES_MAX - 1)];
}

static IDEM_COLD int fail_closed(const idem_store *store)
{
    if (store == NULL) {
        return idem__fail(IDEM_EINVAL, "store is NULL: pass what idem_open returned");
    }
    return idem__fail(IDEM_EINVAL, "store %p is not open: it was closed, or never opened",
                      (const void *)store);
}

int idem__handle_new(struct idem__region *region, idem_store **store)
{
    pthread_once(&prepared, prepare);
    for (uint32_t i = 0; i < IDEM__HANDLES_MAX; i++) {
        struct idem__region *seen = NULL;
        if (atomic_compare_exchange_strong(&entries[i].region, &seen, region)) {
            /* Only the holder of this generation's handle can move it on, and we are about to make it. */
            *store = handle_of(idem__load64(&entries[i].generation), i);
            return IDEM_OK;
        }
    }
    errno = EMFILE;
    return idem__fail(IDEM_ESYS, "%u stores are open in this process: close some",
                      IDEM__HANDLES_MAX);
}

struct idem__region *idem__handle_get(idem_store *store)
{
    uint64_t generation;
    struct entry *entry = entry_of(store, &generation);
    urcu_bp_read_lock();
    /* [T1] acquire, acquire. */
    struct idem__region *region = atomic_load_explicit(&entry->region, memory_order_acquire);
    if (IDEM_LIKELY(region != NULL && idem__load64(&entry->generation) == generation)) {
        return region;
    }
    urcu_bp_read_unlock();
    (void)fail_closed(store);
    return NULL;
}

void idem__handle_put(void)
{
    TELL_PUT();
    urcu_bp_read_unlock();
}

struct idem__region *idem__handle_take(idem_store *store)
{
    uint64_t generation;
    struct entry *entry = entry_of(store, &generation);
    struct idem__region *region = NULL;
    /* An entry that was never used, or is being closed, has no region; another's generation differs. */
    if (atomic_load(&entry->region) != NULL &&
        idem__cas64(&entry->generation, &(uint64_t){generation}, generation + 1)) {
        region = atomic_exchange(&entry->region, NULL);
    }
    if (region == NULL) {
        (void)fail_closed(store);
        return NULL;
    }
    urcu_bp_synchronize_rcu();
    TELL_WAITED();
    return region;
}
