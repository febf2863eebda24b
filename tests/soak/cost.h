/*
 * cost.h - exact instruction counts of single calls, and a clock that stands still.
 *
 * For programs that are linked with the core as count.py rewrites it ($(BUILD)/counted/libcore.a):
 *
 *     cost_begin();
 *     idem_claim(store, &request, &claim);
 *     cost = cost_end();
 *
 * Counted are all instructions of the core; for the C library's memset and memcpy, which are not
 * rewritten, one per COST_BYTES. System calls are counted apart: what the kernel does is no instruction
 * of a call. Both are seen through the linker's --wrap, as are the clock and the source of random
 * secrets: with the same seed a run makes the same steps. One thread.
 */
#ifndef COST_H
#define COST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that one instruction of a vector loop of memset or memcpy writes, its loop included. */
#define COST_BYTES 16

/* A system call is known by its name; calls of one kind that a measured call made. */
struct cost_system {
    const char *name;
    uint64_t calls;
};

/* Both around a call. cost_end returns its instructions. */
void cost_begin(void);
uint64_t cost_end(void);
/* Of the last call: the system calls that it made, ended by one without a name. */
const struct cost_system *cost_systems(void);
uint64_t cost_system_calls(void);

/* Prints where the last call spent its instructions: at most `lines` source lines, most expensive first,
   and its system calls. To be asked right after cost_end. */
void cost_explain(int lines, char *text, size_t size);

/* Secrets are made of this. */
void cost_seed(uint64_t seed);

/* A quick look instead: instructions until now; and whether the core is one that counts. */
uint64_t cost_now(void);
bool cost_is_counting(void);

#define COST_US_PER_S ((uint64_t)1000000)
/* The clock of the whole process from now on: it moves by cost_clock_advance_us only. Before the store is
   opened. With `shared`, which is in memory of several processes, it is theirs together. */
void cost_clock_set(_Atomic uint64_t *shared);
void cost_clock_advance_us(uint64_t us);
/* The clock that it would be otherwise. */
uint64_t cost_real_ns(void);

#endif
