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

#include "region.h"

#define IDEM__HANDLES_MAX 1024u

/* Publishes a region under a new handle. IDEM_ESYS/EMFILE when IDEM__HANDLES_MAX are open. */
int idem__handle_new(struct idem__region *region, idem_store **store);
/* Begins a call: the region, or NULL with the thread's error set (NULL or closed handle). */
struct idem__region *idem__handle_get(idem_store *store);
/* Ends it. */
void idem__handle_put(void);
/* Withdraws the handle and waits for every call in flight; returns the region, NULL if closed. */
struct idem__region *idem__handle_take(idem_store *store);

#endif
