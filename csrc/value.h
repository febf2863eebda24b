/* value.h - writing the bytes that a completed key keeps. Layer 13. */
#ifndef IDEM_VALUE_H
#define IDEM_VALUE_H

#include "alloc.h"
#include "reclaim.h"

/* A value that is being put into the store. */
struct idem__value {
    const void *bytes;
    size_t length;
    struct idem__block block; /* mine, TAKEN, while `held` */
    bool held;
    bool kept; /* false: no room, complete without */
};

int idem__value_fail(const struct idem__region *region, struct idem__value *value, uint32_t flags);
/*
 * Checks the length: IDEM_OK, or IDEM_ETOOBIG, or with IDEM_ALLOW_NOT_KEPT IDEM_OK and kept = false.
 */
static inline int idem__value_check(const struct idem__region *region, struct idem__value *value,
                                    uint32_t flags)
{
    value->held = false;
    value->kept = true;
    bool good = value->length <= region->max_value_bytes && (value->bytes || value->length == 0);
    return IDEM_LIKELY(good) ? IDEM_OK : idem__value_fail(region, value, flags);
}

/* Inside a section: takes and writes a block for `record`, whose block has this generation; `bound_s`:
   when it may expire, for the hints. IDEM_EFULL. */
IDEM_HOT int idem__value_write(struct idem__op *op, struct idem__value *value,
                               const struct record_shm *record, uint32_t generation,
                               uint32_t bound_s)
{
    int status = idem__block_alloc(op, FAMILY_VALUE, sizeof(struct value_shm) + value->length,
                                   bound_s, &value->block);
    if (IDEM_UNLIKELY(status)) {
        return status;
    }
    value->held = true;
    struct value_shm *to = (struct value_shm *)(void *)value->block.content;
    to->record_place = idem__record_place(op->region, record);
    to->record_generation = generation;
    to->length_completed = op->now_ms << VALUE_LENGTH_BITS | value->length;
    (void)idem__put_bytes(idem__value_bytes(to), value->bytes, value->length);
    return IDEM_OK;
}

/* The number for the life word. */
static inline uint32_t idem__value_number(const struct idem__value *value)
{
    return value->held ? value->block.number : value->kept ? LIFE_VALUE_EMPTY : LIFE_VALUE_NOT_KEPT;
}

/* After the life word names it; or when it will not. */
static inline void idem__value_publish(struct idem__value *value, uint32_t bound_s)
{
    if (value->held) {
        idem__block_publish(&value->block, bound_s);
        value->held = false;
    }
}
static inline void idem__value_drop(struct idem__value *value)
{
    if (value->held) {
        idem__block_give_back(&value->block);
        value->held = false;
    }
}

#endif
