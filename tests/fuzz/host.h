/*
 * host.h - the host as a fuzzed core sees it: its clock and its random numbers follow from the input, so
 * that a crash repeats; and one process of ours can stand for a new process with every image.
 */
#ifndef FUZZ_HOST_H
#define FUZZ_HOST_H

#include <stdint.h>

#include "region.h"

/* The one clock behind all clocks of the core: every reading moves it on by a millisecond. Shared with
   the processes that are forked to make templates. */
extern uint64_t *host_now_ms;

void host_begin(void);

/* After the last close of a region: what a process keeps of it until its exit - its id, and the mapping that
   holds the id's lock - goes. */
void host_forget(struct idem__region *region);

#endif
