/* The size classes: every invariant that the layout relies on, for every slab size. */
#include "class.h"

#include "layout.h"
#include "test.h"

static struct idem__class classes[IDEM__CLASSES_MAX];

static void tables_are_sound(void)
{
    for (uint32_t shift = IDEM__SLAB_SHIFT_MIN; shift <= IDEM__SLAB_SHIFT_MAX; shift++) {
        const uint32_t slab_bytes = 1u << shift;
        const uint32_t count = idem__classes_make(classes, shift);
        CHECK(count <= IDEM__CLASSES_MAX);
        CHECK_INT(classes[0].block_bytes, IDEM__BLOCK_MIN_BYTES);
        CHECK_INT(classes[count - 1].count, 1);
        for (uint32_t i = 0; i < count; i++) {
            const struct idem__class *class = &classes[i];
            CHECK_INT(class->block_bytes % IDEM__BLOCK_STEP_BYTES, 0);
            CHECK_INT(class->first_off % IDEM_CACHE_LINE_BYTES, 0);
            CHECK(class->count >= 1 && class->count <= UINT16_MAX);
            CHECK(class->first_off >= class->count * IDEM__BLOCK_WORD_BYTES);
            CHECK(class->first_off + (uint64_t) class->count * class->block_bytes <= slab_bytes);
            if (i == 0) {
                continue;
            }
            const uint32_t below = classes[i - 1].block_bytes;
            CHECK(class->block_bytes > below);
            if (class->block_bytes <= IDEM__BLOCK_STEPPED_BYTES) {
                CHECK_INT(class->block_bytes - below, IDEM__BLOCK_STEP_BYTES);
            } else if (class->block_bytes <= slab_bytes / 8 - IDEM_CACHE_LINE_BYTES) {
                CHECK((class->block_bytes - below) * 8 <= below);
            }
        }
    }
}

static void every_size_finds_its_class(void)
{
    for (uint32_t shift = IDEM__SLAB_SHIFT_MIN; shift <= IDEM__SLAB_SHIFT_MAX; shift++) {
        const uint32_t count = idem__classes_make(classes, shift);
        uint32_t expected = 0;
        for (uint64_t bytes = 0; bytes <= (1u << shift) + 1; bytes++) {
            while (expected < count && classes[expected].block_bytes < bytes) {
                expected++;
            }
            if (idem__class_of(classes, count, bytes) != expected) {
                TEST_FAIL("%" PRIu64 " bytes are of class %u, expected %u", bytes,
                          idem__class_of(classes, count, bytes), expected);
            }
        }
        CHECK_INT(idem__class_of(classes, count, UINT64_MAX), count);
    }
}

/* Against plain division, for every offset of a slab and every class. */
static void only_block_boundaries_are_blocks(void)
{
    const uint32_t shifts[] = {IDEM__SLAB_SHIFT_MIN, 17, IDEM__SLAB_SHIFT_MAX};
    for (size_t s = 0; s < sizeof(shifts) / sizeof(shifts[0]); s++) {
        const uint32_t count = idem__classes_make(classes, shifts[s]);
        for (uint32_t i = 0; i < count; i++) {
            const struct idem__class *class = &classes[i];
            /* Every offset of a small slab; of a large one every 8th, from anywhere. */
            const uint32_t step = shifts[s] == IDEM__SLAB_SHIFT_MIN ? 1 : 8;
            for (uint32_t offset = (uint32_t)(test_random() % step); offset < 1u << shifts[s];
                 offset += step) {
                const bool expected =
                    offset >= class->first_off &&
                    (offset - class->first_off) % class->block_bytes == 0 &&
                    (offset - class->first_off) / class->block_bytes < class->count;
                uint32_t index;
                if (idem__class_index(class, offset, &index) != expected ||
                    (expected && index != (offset - class->first_off) / class->block_bytes)) {
                    TEST_FAIL("class %u of %u bytes, offset %u: index %u", i, class->block_bytes,
                              offset, index);
                }
            }
            uint32_t index;
            CHECK(!idem__class_index(class, UINT32_MAX, &index));
        }
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(tables_are_sound),
                                    TEST(every_size_finds_its_class),
                                    TEST(only_block_boundaries_are_blocks),
                                    {0}});
}
