/*
 * record.h - the bytes of a record and of a value. Layer 10.
 *
 * Content is read by 64-bit atomic loads: the few writes that may race with a reader (forget's
 * zeroing) are such stores too, and the reader looks at the life word again after copying.
 */
#ifndef IDEM_RECORD_H
#define IDEM_RECORD_H

#include "list.h"

#define RECORD_HOLD 1u        /* on_crash = hold */
#define RECORD_FINGERPRINT 2u /* 16 bytes follow the key */

#define VALUE_LENGTH_BITS 24u
#define VALUE_LENGTH_MAX ((1u << VALUE_LENGTH_BITS) - 1)

static_assert(IDEM__BYTE_ORDER == 0x01020304u && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
              "partial words are put together for little-endian machines");

/* The 1 to 7 bytes at `from`, as a word padded with zeros. */
static inline uint64_t idem__partial_word(const uint8_t *from, size_t bytes)
{
    uint64_t word = 0;
    for (size_t i = 0; i < bytes; i++) {
        word |= (uint64_t)from[i] << (8 * i);
    }
    return word;
}
static inline uint64_t idem__whole_word(const uint8_t *from)
{
    uint64_t word;
    memcpy(&word, from, sizeof word);
    return word;
}
/* The last bytes % 8 of `bytes` >= 8 bytes: from one overlapping load. */
static inline uint64_t idem__tail_word(const uint8_t *from, size_t bytes)
{
    return bytes >= 8 ? idem__whole_word(from + bytes - 8) >> (8 * (8 - bytes % 8))
                      : idem__partial_word(from, bytes);
}

/*
 * Writes bytes padded with zeros to whole words; returns the word after them. Plain: the block is the
 * writer's, and published later. By 16: a memcpy of a bounded length becomes a slow string instruction.
 */
IDEM_HOT idem__a64 *idem__put_bytes(idem__a64 *to, const void *from, size_t bytes)
{
    const uint8_t *source = from;
    const uint8_t *end = source + (bytes & ~(size_t)15);
    uint64_t pair[2];
    for (; source != end; source += sizeof pair, to += 2) {
        memcpy(pair, source, sizeof pair);
        memcpy((void *)to, pair, sizeof pair);
    }
    if (bytes & 8) {
        idem__poke64(to++, idem__whole_word(source));
    }
    if (bytes & 7) {
        idem__poke64(to++, idem__tail_word((const uint8_t *)from, bytes));
    }
    return to;
}

IDEM_HOT bool idem__same_bytes(const idem__a64 *stored, const void *bytes, size_t count)
{
    const uint8_t *source = bytes;
    const uint8_t *end = source + (count & ~(size_t)15);
    for (; source != end; source += 16, stored += 2) {
        if ((idem__peek64(stored) ^ idem__whole_word(source)) |
            (idem__peek64(stored + 1) ^ idem__whole_word(source + 8))) {
            return false;
        }
    }
    if (count & 8 && idem__peek64(stored++) != idem__whole_word(source)) {
        return false;
    }
    return !(count & 7) || idem__peek64(stored) == idem__tail_word((const uint8_t *)bytes, count);
}

/* The last 1 to 7 bytes. */
static inline void idem__get_tail(uint8_t *to, const idem__a64 *from, size_t bytes)
{
    uint64_t word = idem__load64(from);
    for (size_t i = 0; i < bytes; i++) {
        to[i] = (uint8_t)(word >> (8 * i));
    }
}

static inline void idem__get_word(uint8_t *to, const idem__a64 *from)
{
    uint64_t word = idem__load64(from);
    memcpy(to, &word, sizeof word);
}

/* [M5] Acquire: the life word is read again after the copy, and must not be read before it; pairs with
   the release stores of idem__zero_bytes, which follow the CAS to DEAD. */
IDEM_HOT void idem__get_bytes(void *to, const idem__a64 *from, size_t bytes)
{
    uint8_t *target = to;
    const uint8_t *end = target + (bytes & ~(size_t)31);
    for (; target != end; target += 32, from += 4) {
        idem__get_word(target, from);
        idem__get_word(target + 8, from + 1);
        idem__get_word(target + 16, from + 2);
        idem__get_word(target + 24, from + 3);
    }
    end = target + (bytes & 24);
    for (; target != end; target += 8) {
        idem__get_word(target, from++);
    }
    if (bytes & 7) {
        idem__get_tail(target, from, bytes & 7);
    }
}

static inline void idem__zero_bytes(idem__a64 *at, size_t bytes)
{
    for (size_t i = 0; i < idem__div_up(bytes, 8); i++) {
        idem__store64(&at[i], 0); /* [M5] */
    }
}

/* Where the parts of a record stand. */
static inline idem__a64 *idem__record_key(const struct record_shm *record)
{
    return (idem__a64 *)(void *)((char *)(uintptr_t)record + sizeof(struct record_shm));
}
static inline idem__a64 *idem__record_fingerprint(const struct record_shm *record)
{
    return idem__record_key(record) + idem__div_up(record->key_len, 8);
}
static inline idem__a64 *idem__record_intent(const struct record_shm *record)
{
    uint32_t words = record->flags & RECORD_FINGERPRINT ? IDEM_FINGERPRINT_SIZE / 8 : 0;
    return idem__record_fingerprint(record) + words;
}
static inline uint64_t idem__record_bytes(uint64_t key_len, bool fingerprint, uint64_t intent_len)
{
    return sizeof(struct record_shm) + idem__align_up(key_len, 8) +
           (fingerprint ? IDEM_FINGERPRINT_SIZE : 0) + idem__align_up(intent_len, 8);
}

/* Do the lengths that a record states stay inside its slab? */
static inline bool idem__record_fits(const struct idem__region *region,
                                     const struct record_shm *record)
{
    uint64_t slab_bytes = (uint64_t)1 << region->slab_shift;
    uint64_t inside = (uint64_t)((const char *)record - region->slab_area) & (slab_bytes - 1);
    return record->key_len <= IDEM_KEY_MAX && record->key_len > 0 &&
           inside + idem__record_bytes(record->key_len, record->flags & RECORD_FINGERPRINT,
                                       record->intent_len) <=
               slab_bytes;
}

/* Is it the record of this key? */
IDEM_HOT bool idem__record_has_key(const struct idem__region *region,
                                   const struct record_shm *record, const void *key, size_t key_len)
{
    uint64_t slab_bytes = (uint64_t)1 << region->slab_shift;
    uint64_t inside = (uint64_t)((const char *)record - region->slab_area) & (slab_bytes - 1);
    return record->key_len == key_len &&
           inside + sizeof *record + idem__align_up(key_len, 8) <= slab_bytes &&
           idem__same_bytes(idem__record_key(record), key, key_len);
}

/* Of what is immutable: any one word that differs changes it. */
static inline uint32_t idem__record_checksum(const struct record_shm *record)
{
    const uint64_t odd = 0x9e3779b97f4a7c15u, other = 0xc2b2ae3d27d4eb4fu; /* any two */
    uint64_t times = (uint64_t)record->grace_ms << 32 | record->ttl_s;
    uint64_t lengths =
        (uint64_t)record->intent_len << 32 | (uint64_t)record->flags << 16 | record->key_len;
    uint64_t sum = (record->order ^ times) * odd ^ (record->created_ns + lengths) * other;
    return (uint32_t)(sum >> 32);
}

static inline uint64_t idem__record_created_ms(const struct record_shm *record)
{
    return record->created_ns / 1000000;
}
/* Is it a value of this record, whose block has this generation? */
static inline bool idem__value_belongs(const struct idem__region *region,
                                       const struct value_shm *value,
                                       const struct record_shm *record, uint32_t generation)
{
    return value->record_place == idem__record_place(region, record) &&
           value->record_generation == generation;
}
static inline uint64_t idem__value_length(const struct value_shm *value)
{
    return value->length_completed & VALUE_LENGTH_MAX;
}
static inline uint64_t idem__value_completed_ms(const struct value_shm *value)
{
    return value->length_completed >> VALUE_LENGTH_BITS;
}
static inline idem__a64 *idem__value_bytes(const struct value_shm *value)
{
    return (idem__a64 *)(void *)((char *)(uintptr_t)value + sizeof(struct value_shm));
}

#endif
