/*
 * class.h - size classes: how a slab is cut into equal blocks. Layer 2.
 *
 *   slab:  | word 0 | word 1 | ... | word count-1 | pad to 64 | block 0 | block 1 | ... | rest |
 *          0                                      first_off                                  slab_bytes
 *
 * Sizes go by 16 bytes up to 256, then by at most 12.5%, then as eighths, sevenths ... halves and
 * the whole of a slab. The table follows from the slab's size alone, so every process has the same.
 */
#ifndef IDEM_CLASS_H
#define IDEM_CLASS_H

#include "base.h"

#define IDEM__CLASSES_MAX 160u
#define IDEM__BLOCK_STEP_BYTES 16u     /* 64-byte steps cost memory, and 10% of lookups */
#define IDEM__BLOCK_MIN_BYTES 32u      /* class 0 */
#define IDEM__BLOCK_STEPPED_BYTES 256u /* up to here in equal steps */
#define IDEM__BLOCK_WORD_BYTES 8u      /* of the dense array before the blocks */

struct idem__class {
    uint32_t block_bytes;
    uint32_t count;      /* blocks in a slab */
    uint32_t first_off;  /* of block 0 within the slab, after the words */
    uint32_t reciprocal; /* ceil(2^32 / block_bytes): see idem__class_index */
};

/* Fills the table for slabs of 1 << slab_shift bytes; returns the number of classes. */
uint32_t idem__classes_make(struct idem__class classes[static IDEM__CLASSES_MAX],
                            uint32_t slab_shift);

/* The smallest class above IDEM__BLOCK_STEPPED_BYTES that holds `bytes`; count if there is none. */
uint32_t idem__class_search(const struct idem__class *classes, uint32_t count, uint64_t bytes);

/* The smallest class that holds `bytes`; `count` if none does. */
static inline uint32_t idem__class_of(const struct idem__class *classes, uint32_t count,
                                      uint64_t bytes)
{
    if (IDEM_LIKELY(bytes <= IDEM__BLOCK_STEPPED_BYTES)) {
        return bytes <= IDEM__BLOCK_MIN_BYTES
                   ? 0
                   : ((uint32_t)bytes - IDEM__BLOCK_MIN_BYTES + IDEM__BLOCK_STEP_BYTES - 1) /
                         IDEM__BLOCK_STEP_BYTES;
    }
    return idem__class_search(classes, count, bytes);
}

/*
 * The block that begins at `offset` of a slab; false if none does. With n = q * d and
 * r = ceil(2^32 / d) = (2^32 + e) / d, e < d:  n * r / 2^32 = q + q * e / 2^32, and q * e < n < 2^32.
 * So the quotient is exact where the division is, and the multiplication finds out where it is not.
 */
static inline bool idem__class_index(const struct idem__class *class, uint32_t offset,
                                     uint32_t *index)
{
    const uint32_t n = offset - class->first_off;
    const uint32_t q = (uint32_t)(((uint64_t)n * class->reciprocal) >> 32);
    *index = q;
    return offset >= class->first_off && q < class->count && q * class->block_bytes == n;
}

#endif
