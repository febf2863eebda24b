#include "call.h"

int idem__call_begin(idem_store *store, bool writes, struct idem__op *op)
{
    op->region = idem__handle_get(store);
    op->thread = NULL;
    op->round = ROUND_FIRST;
    if (!op->region) {
        return IDEM_EINVAL;
    }
    int status = IDEM_OK;
    if (!op->region->readonly) {
        status = idem__thread_get(op->region, &op->thread);
    } else if (writes) {
        status = idem__fail(IDEM_EINVAL,
                            "store: opened read-only; open it without IDEM_OPEN_READONLY to write");
    }
    if (status) {
        idem__handle_put();
    }
    return status;
}

void idem__call_end(struct idem__op *op)
{
    if (op->thread) {
        idem__epoch_tick(op->thread);
    }
    idem__handle_put();
}

int idem__check_key(const void *key, size_t key_len)
{
    if (IDEM_UNLIKELY(!key)) {
        return idem__fail(IDEM_EINVAL, "key: is NULL; give 1 to %d bytes", IDEM_KEY_MAX);
    }
    if (IDEM_UNLIKELY(key_len < 1 || key_len > IDEM_KEY_MAX)) {
        return idem__fail(IDEM_EINVAL, "key: has %zu bytes; must have 1 to %d (hash longer ones)",
                          key_len, IDEM_KEY_MAX);
    }
    return IDEM_OK;
}

int idem__check_ttl(const char *name, int64_t ttl_ms, bool zero_allowed)
{
    if (IDEM_LIKELY((ttl_ms > 0 && ttl_ms <= IDEM__TTL_MAX_MS) || ttl_ms == IDEM_FOREVER ||
                    (zero_allowed && ttl_ms == 0))) {
        return IDEM_OK;
    }
    return idem__fail(IDEM_EINVAL,
                      "%s: is %lld ms; must be 1 to %lld ms (10 years), or IDEM_FOREVER", name,
                      (long long)ttl_ms, (long long)IDEM__TTL_MAX_MS);
}

int idem__check_time(const char *name, int64_t time_ms, int64_t max_ms)
{
    if (IDEM_LIKELY(time_ms >= 0 && time_ms <= max_ms)) {
        return IDEM_OK;
    }
    return idem__fail(IDEM_EINVAL, "%s: is %lld ms; must be 0 to %lld ms", name, (long long)time_ms,
                      (long long)max_ms);
}

int idem__check_struct(const char *name, const void *given, uint32_t size, size_t known)
{
    if (IDEM_UNLIKELY(!given)) {
        return idem__fail(IDEM_EINVAL, "%s: is NULL", name);
    }
    if (IDEM_UNLIKELY(size != known)) {
        return idem__fail(IDEM_EINVAL,
                          "%s: its size field is %u, this library's is %zu; call the struct's "
                          "init function first, and use the header of the library",
                          name, size, known);
    }
    return IDEM_OK;
}
