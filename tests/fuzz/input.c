/* input.c - see input.h. */
#include "input.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"

#define WAIT_MAX_MS 86400000u /* that the library allows */
#define LONGEST_WAIT_MS 1000u
#define STRUCT_MAX_BYTES 512u

uint64_t take(struct input *input, uint32_t bytes)
{
    uint64_t number = 0;
    for (uint32_t i = 0; i < bytes && input->left > 0; i++, input->left--) {
        number |= (uint64_t)*input->data++ << (8 * i);
    }
    return number;
}

uint64_t take_number(struct input *input)
{
    static const uint64_t limits[] = {
        0,
        1,
        16,
        IDEM_KEY_MAX,
        16384,
        HONEST_BYTES,
        86400000,
        INT32_MAX,
        2592000000,
        315360000000,
        UINT32_MAX,
        INT64_MAX,
        UINT64_MAX,
        (uint64_t)1 << 20,
        (uint64_t)64 << 30,
        16000,
    };
    const uint64_t kind = take(input, 1);
    return kind < 128   ? take(input, 1)
           : kind < 192 ? limits[kind % (sizeof limits / sizeof limits[0])] +
                              (uint64_t)(int64_t)(int8_t)take(input, 1)
                        : take(input, 8);
}

int64_t take_wait_ms(struct input *input)
{
    const uint64_t wait_ms = take_number(input);
    return (int64_t)(wait_ms <= WAIT_MAX_MS ? wait_ms % LONGEST_WAIT_MS : wait_ms);
}

void *owned(struct input *input, uint64_t bytes)
{
    EXPECT(input->owned_count < sizeof input->owned / sizeof input->owned[0]);
    void *memory = calloc(1, bytes);
    EXPECT(memory != NULL);
    return input->owned[input->owned_count++] = memory;
}

const void *take_bytes(struct input *input, size_t *length)
{
    const uint64_t kind = take(input, 1);
    *length = take_number(input);
    if (kind % 16 == 0) {
        return NULL;
    }
    const uint64_t bytes = idem__min_u64(*length, HONEST_BYTES);
    uint8_t *copy = owned(input, bytes);
    const size_t given = idem__min_u64(bytes, input->left);
    if (given > 0) {
        memcpy(copy, input->data, kind % 4 == 1 ? idem__min_u64(given, 8) : given);
    }
    return copy;
}

const char *take_text(struct input *input, size_t max, size_t *length)
{
    *length = take(input, 1) % (max + 1);
    *length = *length < input->left ? *length : input->left;
    char *text = owned(input, *length ? *length : 1);
    memcpy(text, input->data, *length);
    input->data += *length;
    input->left -= *length;
    return text;
}

const void *take_key(struct input *input, size_t *length)
{
    const uint64_t kind = take(input, 1);
    if (kind % 4 == 0) {
        return take_bytes(input, length);
    }
    char *key = owned(input, FUZZ_KEY_BYTES);
    *length = fuzz_key((uint32_t)kind % FUZZ_KEYS, key);
    return key;
}

void *take_struct(struct input *input, size_t size, void (*init)(void *, size_t), bool *whole)
{
    const uint64_t kind = take(input, 1);
    *whole = kind % 8 > 1;
    if (kind % 8 == 0) {
        return NULL;
    }
    uint64_t bytes = *whole ? size : take(input, 2) % STRUCT_MAX_BYTES;
    if (bytes == size) {
        *whole = true;
    }
    bytes = idem__max_u64(bytes, sizeof(uint32_t)); /* the size itself is always read */
    void *memory = owned(input, bytes);
    init(memory, bytes);
    return memory;
}

void drop_owned(struct input *input)
{
    while (input->owned_count > 0) {
        free(input->owned[--input->owned_count]);
    }
}
