#include "value.h"

#include "error.h"

IDEM_COLD int idem__value_fail(const struct idem__region *region, struct idem__value *value,
                               uint32_t flags)
{
    if (!value->bytes) {
        return idem__fail(IDEM_EINVAL, "value: is NULL, but value_len is %zu", value->length);
    }
    if (flags & IDEM_ALLOW_NOT_KEPT) {
        value->kept = false;
        return IDEM_OK;
    }
    return idem__fail(IDEM_ETOOBIG,
                      "value: has %zu bytes; this store keeps at most %u (max_value_bytes at its "
                      "creation); pass IDEM_ALLOW_NOT_KEPT to complete without it",
                      value->length, region->max_value_bytes);
}
