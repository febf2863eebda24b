/* mutator.c - libFuzzer's mutations, step by step: an inserted byte must not turn all steps into others. */
#include <string.h>

#include "step.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
    if (size < PLAN_BYTES + STEP_BYTES || max_size < PROGRAM_MAX_BYTES) {
        if (max_size >= PLAN_BYTES + STEP_BYTES && size < PLAN_BYTES + STEP_BYTES) {
            memset(data + size, 0,
                   PLAN_BYTES + STEP_BYTES - size); /* an image without damage is none */
            size = PLAN_BYTES + STEP_BYTES;
        }
        (void)LLVMFuzzerMutate(data, size, size);
        return size;
    }
    const size_t count = (size - PLAN_BYTES) / STEP_BYTES;
    uint8_t *steps = data + PLAN_BYTES;
    const size_t at = seed / 64 % count;
    size = PLAN_BYTES + count * STEP_BYTES;
    switch (seed / 8 % 8) {
    case 0:
        (void)LLVMFuzzerMutate(data, PLAN_BYTES, PLAN_BYTES);
        return size;
    case 1: /* one step less */
        if (count > 1) {
            memmove(steps + at * STEP_BYTES, steps + (at + 1) * STEP_BYTES,
                    (count - at - 1) * STEP_BYTES);
            return size - STEP_BYTES;
        }
        return size;
    case 2:
    case 3: /* one more, like another or new */
        if (count < STEPS_MAX) {
            memset(steps + count * STEP_BYTES, (int)(seed >> 24), STEP_BYTES);
            if (seed / 8 % 8 == 2) {
                memcpy(steps + count * STEP_BYTES, steps + at * STEP_BYTES, STEP_BYTES);
            }
            (void)LLVMFuzzerMutate(steps + count * STEP_BYTES, STEP_BYTES, STEP_BYTES);
            return size + STEP_BYTES;
        }
        return size;
    default:
        (void)LLVMFuzzerMutate(steps + at * STEP_BYTES, STEP_BYTES, STEP_BYTES);
        return size;
    }
}
