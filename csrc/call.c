#include "call.h"

IDEM_COLD void idem__call_trim(struct idem__op *op)
{
    /* One a call, as long as there are more: also those that others emptied and, dead, did not trim. */
    op->thread->emptied = idem__slab_trim(op, SLAB_RESERVE, SLAB_SEARCH_MAX, 1) > 0;
}

IDEM_COLD int idem__call_readonly(void)
{
    idem__handle_put();
    return idem__fail(IDEM_EINVAL,
                      "store: opened read-only; open it without IDEM_OPEN_READONLY to write");
}

IDEM_COLD int idem__fail_key(const void *key, size_t key_len)
{
    if (!key) {
        return idem__fail(IDEM_EINVAL, "key: is NULL; give 1 to %d bytes", IDEM_KEY_MAX);
    }
    return idem__fail(IDEM_EINVAL, "key: has %zu bytes; must have 1 to %d (hash longer ones)",
                      key_len, IDEM_KEY_MAX);
}

IDEM_COLD int idem__fail_ttl(const char *name, int64_t ttl_ms)
{
    return idem__fail(IDEM_EINVAL,
                      "%s: is %lld ms; must be 1 to %lld ms (10 years), or IDEM_FOREVER", name,
                      (long long)ttl_ms, (long long)IDEM__TTL_MAX_MS);
}

IDEM_COLD int idem__fail_time(const char *name, int64_t time_ms, int64_t max_ms)
{
    return idem__fail(IDEM_EINVAL, "%s: is %lld ms; must be 0 to %lld ms", name, (long long)time_ms,
                      (long long)max_ms);
}

IDEM_COLD int idem__fail_struct(const char *name, const void *given, uint32_t size, size_t known)
{
    if (!given) {
        return idem__fail(IDEM_EINVAL, "%s: is NULL", name);
    }
    return idem__fail(
        IDEM_EINVAL,
        "%s: its size field is %u, this library's is %zu; call the struct's init function first, "
        "and use the header of the library",
        name, size, known);
}
