/* call.h - what every public call begins and ends with. Layer 12. */
#ifndef IDEM_CALL_H
#define IDEM_CALL_H

#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "handle.h"

/*
 * Begins a call on a store: op->region and, unless it is read-only, op->thread. On success idem__call_end
 * must follow. Statuses: IDEM_EINVAL (closed), IDEM_ESLOTS, IDEM_ESYS; for `writes` also of a read-only store.
 */
int idem__call_begin(idem_store *store, bool writes, struct idem__op *op);
void idem__call_end(struct idem__op *op);

/* Enters a section and reads the clock in it. */
static inline void idem__op_enter(struct idem__op *op)
{
    if (IDEM_LIKELY(op->thread != NULL)) {
        idem__enter(op->thread);
    }
    op->now_ms = idem__clock_now_ms(op->region);
}
static inline void idem__op_leave(struct idem__op *op)
{
    if (IDEM_LIKELY(op->thread != NULL)) {
        idem__leave(op->thread);
    }
}

/* Argument checks, with the message for idem_last_error: IDEM_OK or IDEM_EINVAL. */
int idem__check_key(const void *key, size_t key_len);
int idem__check_ttl(const char *name, int64_t ttl_ms, bool zero_allowed);
int idem__check_time(const char *name, int64_t time_ms, int64_t max_ms);
int idem__check_struct(const char *name, const void *given, uint32_t size, size_t known);

/* Limits of times: a year is no longer an idempotency window but a mistake of units. */
#define IDEM__TTL_MAX_MS ((int64_t)10 * 365 * 86400 * 1000)
#define IDEM__LEASE_MAX_MS ((int64_t)30 * 86400 * 1000)
#define IDEM__GRACE_MAX_MS ((int64_t)30 * 86400 * 1000)
#define IDEM__WAIT_MAX_MS ((int64_t)86400 * 1000)

/* ttl_ms, checked before, in whole seconds rounded up. */
static inline uint32_t idem__ttl_s(int64_t ttl_ms)
{
    return ttl_ms == IDEM_FOREVER ? TTL_S_FOREVER : (uint32_t)idem__div_up((uint64_t)ttl_ms, 1000);
}

#endif
