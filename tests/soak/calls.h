/*
 * calls.h - calls of an open store whose instructions are noted (figures.h). Keys are numbers: the key of a
 * number is always the same, and numbers that follow each other are nowhere near in the store. What may
 * not happen ends the program with 2. The store's clock goes on as in a busy process.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "figures.h"

enum { CALLS_VALUE_MAX_BYTES = 2048, CALLS_TTL_S = 3600, CALLS_MANY = 32 };

/* A fresh store of one's own, of which this thread has a place; and its end, with idem_check. */
void calls_begin(uint64_t max_bytes);
void calls_end(void);

/* Claims a key, which is of that kind, and completes it. False: refused, and noted as such. */
bool calls_put(enum kind kind, uint64_t id, size_t value_bytes);
void calls_lookup(enum kind kind, uint64_t id);
/* Claims a done key. */
void calls_replay(uint64_t id);
/* Claims a new key, renews and releases it. */
void calls_release(uint64_t id);
/* Touches and forgets a done key. */
void calls_forget(uint64_t id);
/* Claims new keys, CALLS_MANY in one call, and completes them. */
void calls_claim_many(uint64_t first);
void calls_scan(void);
void calls_sweep(unsigned times);
/* The first call of a thread. */
void calls_first(void);
/* A process that dies leaves claims; nothing is noted. */
void calls_orphan(uint64_t first, uint64_t keys);

#endif
