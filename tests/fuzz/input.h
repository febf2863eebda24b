/* input.h - what an input of fuzz_parsers or fuzz_http means: numbers, byte strings and structs, right and wrong. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "template.h"

#define HONEST_BYTES ((uint64_t)1 << 16) /* above every limit of the store: slabs have 16 KiB */

/* The input, as numbers and bytes; zeros when it is over. */
struct input {
    const uint8_t *data;
    size_t left;
    void *owned[64]; /* freed after each call */
    uint32_t owned_count;
};

/* A number of so many bytes. */
uint64_t take(struct input *input, uint32_t bytes);
/* Often near the limits that the library has, or those of the types. */
uint64_t take_number(struct input *input);
/* A wait; one that is allowed is short, since it is made of naps of the host's clock. */
int64_t take_wait_ms(struct input *input);
/* Bytes, or NULL, with *length: of the bytes, or a lie. */
const void *take_bytes(struct input *input, size_t *length);
/* At most `max` bytes as they come, at a place of their own. */
const char *take_text(struct input *input, size_t max, size_t *length);
/* A key: mostly one of a few, so that calls meet. */
const void *take_key(struct input *input, size_t *length);
/* A struct: filled in by `init` in full size; or with a size that is wrong, and just as many bytes. */
void *take_struct(struct input *input, size_t size, void (*init)(void *, size_t), bool *whole);

/* Zeroed memory until drop_owned. */
void *owned(struct input *input, uint64_t bytes);
void drop_owned(struct input *input);

#endif
