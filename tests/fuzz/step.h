/*
 * step.h - a program that damages a region: what an input of fuzz_image means. Every string of bytes is one.
 *
 *   byte 0: template   1: order of the calls   2: which keys   3: options   then steps of 8 bytes:
 *
 *   verb:8  site:4 field:4  which:16  value:32
 */
#ifndef FUZZ_STEP_H
#define FUZZ_STEP_H

#include <stddef.h>

#include "template.h"

#define STEPS_MAX 16u
#define STEP_BYTES 8u
#define PLAN_BYTES 4u
#define PROGRAM_MAX_BYTES (PLAN_BYTES + STEPS_MAX * STEP_BYTES)

struct step {
    uint8_t verb;
    uint8_t place; /* site, field << 4 */
    uint16_t which;
    uint32_t value;
};
static_assert(sizeof(struct step) == STEP_BYTES, "as in the input");

struct program {
    const struct template *template;
    uint8_t order, keys, options;
    uint32_t count;
    uint32_t late; /* steps from here on are made while the stores are open; count: none */
    struct step steps[STEPS_MAX];
};

void program_read(struct program *program, const uint8_t *data, size_t size);
/* Makes steps [from, to). */
void program_apply(const struct program *program, uint32_t from, uint32_t to, struct image *image);

#endif
