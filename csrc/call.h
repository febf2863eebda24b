/* call.h - what every public call begins and ends with. Layer 12. */
#ifndef IDEM_CALL_H
#define IDEM_CALL_H

#include "alloc.h"
#include "clock.h"
#include "error.h"
#include "handle.h"

/* Gives the pages of an emptied slab back, unless it belongs to the reserve. */
void idem__call_trim(struct idem__op *op);
/* Ends a call that would write to a read-only store: IDEM_EINVAL. */
int idem__call_readonly(void);

/*
 * Begins a call on a store: op->region and, unless it is read-only, op->thread. On success idem__call_end
 * must follow. Statuses: IDEM_EINVAL (closed), IDEM_ESLOTS, IDEM_ESYS; for `writes` also of a read-only
 * store.
 */
IDEM_HOT int idem__call_begin(idem_store *store, bool writes, struct idem__op *op)
{
    op->region = idem__handle_get(store);
    op->thread = NULL;
    op->round = ROUND_FIRST;
    if (IDEM_UNLIKELY(!op->region)) {
        return IDEM_EINVAL;
    }
    if (IDEM_LIKELY(!op->region->readonly)) {
        int status = idem__thread_get(op->region, &op->thread);
        if (IDEM_LIKELY(!status)) {
            return IDEM_OK;
        }
        idem__handle_put();
        return status;
    }
    return writes ? idem__call_readonly() : IDEM_OK;
}

IDEM_HOT void idem__call_end(struct idem__op *op)
{
    if (IDEM_LIKELY(op->thread != NULL)) {
        idem__epoch_tick(op->thread);
        if (IDEM_UNLIKELY(op->thread->emptied)) {
            idem__call_trim(op);
        }
    }
    idem__handle_put();
}

/* Enters a section and reads the clock in it. */
IDEM_HOT void idem__op_enter(struct idem__op *op)
{
    if (IDEM_LIKELY(op->thread != NULL)) {
        idem__enter(op->thread);
    } else {
        op->epoch = idem__load64(&op->region->header->epoch);
    }
    op->now_ms = idem__clock_now_ms(op->region);
}
/*
 * May what a read-only look found have been reused under it? What it reached was retired with an epoch of
 * at least op->epoch - 1 and is reused IDEM__GRACE later. Acquire: the copies come before this load.
 */
static inline bool idem__op_overtaken(const struct idem__op *op)
{
    return IDEM_UNLIKELY(!op->thread &&
                         idem__load64(&op->region->header->epoch) - op->epoch >= IDEM__GRACE - 1);
}
static inline void idem__op_leave(struct idem__op *op)
{
    if (IDEM_LIKELY(op->thread != NULL)) {
        idem__leave(op->thread);
    }
}

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

/* Argument checks, with the message for idem_last_error: IDEM_OK or IDEM_EINVAL. */
int idem__fail_key(const void *key, size_t key_len);
int idem__fail_ttl(const char *name, int64_t ttl_ms);
int idem__fail_time(const char *name, int64_t time_ms, int64_t max_ms);
int idem__fail_struct(const char *name, const void *given, uint32_t size, size_t known);

static inline bool idem__key_good(const void *key, size_t key_len)
{
    return key && key_len - 1 < IDEM_KEY_MAX;
}
static inline bool idem__ttl_good(int64_t ttl_ms)
{
    return (uint64_t)ttl_ms - 1 < (uint64_t)IDEM__TTL_MAX_MS || ttl_ms == IDEM_FOREVER;
}
static inline int idem__check_key(const void *key, size_t key_len)
{
    return IDEM_LIKELY(idem__key_good(key, key_len)) ? IDEM_OK : idem__fail_key(key, key_len);
}
static inline int idem__check_ttl(const char *name, int64_t ttl_ms, bool zero_allowed)
{
    return IDEM_LIKELY((zero_allowed && ttl_ms == 0) || idem__ttl_good(ttl_ms))
               ? IDEM_OK
               : idem__fail_ttl(name, ttl_ms);
}
static inline int idem__check_time(const char *name, int64_t time_ms, int64_t max_ms)
{
    return IDEM_LIKELY((uint64_t)time_ms <= (uint64_t)max_ms)
               ? IDEM_OK
               : idem__fail_time(name, time_ms, max_ms);
}
/* `given` is a struct that begins with its size. */
static inline int idem__check_struct(const char *name, const void *given, size_t known)
{
    return IDEM_LIKELY(given && *(const uint32_t *)given == known)
               ? IDEM_OK
               : idem__fail_struct(name, given, given ? *(const uint32_t *)given : 0, known);
}

#endif
