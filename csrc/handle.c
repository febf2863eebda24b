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

#include "error.h"

struct idem__handle idem__handles[IDEM__HANDLES_MAX];

static pthread_once_t prepared = PTHREAD_ONCE_INIT;

static void prepare(void)
{
    /* Without it a child could wait for readers that fork did not copy. */
    (void)pthread_atfork(urcu_bp_before_fork, urcu_bp_after_fork_parent, urcu_bp_after_fork_child);
}

static idem_store *handle_of(uint64_t generation, uint32_t index)
{
    return (idem_store *)(uintptr_t)((generation + 1) << IDEM__HANDLE_INDEX_BITS | index);
}

IDEM_COLD int idem__handle_fail(const idem_store *store)
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
        if (atomic_compare_exchange_strong(&idem__handles[i].region, &seen, region)) {
            /* Only the holder of this generation's handle can move it on, and we are about to make it. */
            *store = handle_of(idem__load64(&idem__handles[i].generation), i);
            return IDEM_OK;
        }
    }
    errno = EMFILE;
    return idem__fail(IDEM_ESYS, "%u stores are open in this process: close some",
                      IDEM__HANDLES_MAX);
}

struct idem__region *idem__handle_take(idem_store *store)
{
    uint64_t generation;
    struct idem__handle *entry = idem__handle_entry(store, &generation);
    struct idem__region *region = NULL;
    /* An entry that was never used, or is being closed, has no region; another's generation differs. */
    if (atomic_load(&entry->region) != NULL &&
        idem__cas64(&entry->generation, &(uint64_t){generation}, generation + 1)) {
        region = atomic_exchange(&entry->region, NULL);
    }
    if (region == NULL) {
        (void)idem__handle_fail(store);
        return NULL;
    }
    urcu_bp_synchronize_rcu();
    IDEM__TELL_WAITED();
    return region;
}
