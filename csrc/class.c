/* class.c - see class.h. */
#include "class.h"

#include <assert.h>

#define SLAB_PARTS 8u        /* from an eighth of a slab on, classes are fractions of it */
#define GROWTH_DIVISOR 8u    /* at most 1/8 above the class before: 12.5% */
#define COUNT_MAX UINT16_MAX /* a block's index has 16 bits */

/* The words end where the first block begins: on a cache line, so that words share none with it. */
static uint32_t words_bytes(uint32_t count)
{
    return (uint32_t)idem__align_up((uint64_t)count * IDEM__BLOCK_WORD_BYTES,
                                    IDEM_CACHE_LINE_BYTES);
}

/* The largest block of which `parts` fit. */
static uint32_t fraction_bytes(uint32_t slab_bytes, uint32_t parts)
{
    return (slab_bytes - words_bytes(parts)) / parts / IDEM__BLOCK_STEP_BYTES *
           IDEM__BLOCK_STEP_BYTES;
}

static struct idem__class class_make(uint32_t slab_bytes, uint32_t block_bytes)
{
    uint32_t count = slab_bytes / (block_bytes + IDEM__BLOCK_WORD_BYTES);
    if (count > COUNT_MAX) {
        count = COUNT_MAX;
    }
    while (words_bytes(count) + (uint64_t)count * block_bytes > slab_bytes) {
        count--;
    }
    return (struct idem__class){.block_bytes = block_bytes,
                                .count = count,
                                .first_off = words_bytes(count),
                                .reciprocal =
                                    (uint32_t)idem__div_up((uint64_t)1 << 32, block_bytes)};
}

uint32_t idem__classes_make(struct idem__class classes[static IDEM__CLASSES_MAX],
                            uint32_t slab_shift)
{
    const uint32_t slab_bytes = (uint32_t)1 << slab_shift;
    const uint32_t stepped_end = fraction_bytes(slab_bytes, SLAB_PARTS);
    uint32_t count = 0;
    uint32_t bytes = IDEM__BLOCK_MIN_BYTES;
    while (bytes < stepped_end) {
        assert(count < IDEM__CLASSES_MAX);
        classes[count++] = class_make(slab_bytes, bytes);
        const uint32_t eighth =
            bytes / GROWTH_DIVISOR / IDEM__BLOCK_STEP_BYTES * IDEM__BLOCK_STEP_BYTES;
        bytes += bytes < IDEM__BLOCK_STEPPED_BYTES ? IDEM__BLOCK_STEP_BYTES : eighth;
    }
    for (uint32_t parts = SLAB_PARTS; parts >= 1; parts--) {
        assert(count < IDEM__CLASSES_MAX);
        classes[count++] = class_make(slab_bytes, fraction_bytes(slab_bytes, parts));
    }
    return count;
}

uint32_t idem__class_search(const struct idem__class *classes, uint32_t count, uint64_t bytes)
{
    uint32_t low = 0;
    uint32_t length = count;
    while (length > 0) {
        const uint32_t half = length / 2;
        if (classes[low + half].block_bytes < bytes) {
            low += half + 1;
            length -= half + 1;
        } else {
            length = half;
        }
    }
    return low;
}
