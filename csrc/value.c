#include "value.h"

#include "alloc.h"
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

int idem__value_write(struct idem__op *op, struct idem__value *value, const struct idem__block *of,
                      uint32_t bound_s)
{
    int status = idem__block_alloc(op, FAMILY_VALUE, sizeof(struct value_shm) + value->length,
                                   bound_s, &value->block);
    if (status) {
        return status;
    }
    value->held = true;
    struct value_shm *to = (struct value_shm *)(void *)value->block.content;
    to->record_block = of->number;
    to->record_generation = of->generation;
    to->length_completed = op->now_ms << VALUE_LENGTH_BITS | value->length;
    (void)idem__put_bytes(idem__value_bytes(to), value->bytes, value->length);
    return IDEM_OK;
}
