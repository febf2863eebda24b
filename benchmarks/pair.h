/* pair.h - two processes on one region, against one. */
#ifndef BENCH_PAIR_H
#define BENCH_PAIR_H

#include "bench.h"
#include "stats.h"

#include <stdint.h>

/* Forks the second process, which shares the open store; it touches all of `population` once. */
void pair_start(uint64_t population, size_t most_keys);
/*
 * Times `run` on `n` keys by one process and on 2n by two: `pairs` gets, as "peer", ns per
 * operation of the one and, as "ours", half of those of the slower of the two, so that the ratio
 * is how much the throughput grows where each has a processor to itself. The keys start at
 * `first_id`, or, where `undo` is NULL, are drawn from the population.
 */
void pair_measure(struct pairs *pairs, bench_op *run, bench_op *undo, uint64_t first_id, size_t n,
                  int rounds);
void pair_stop(void);

#endif
