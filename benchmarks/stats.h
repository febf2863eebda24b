/*
 * stats.h - paired statistics. A and B are timed in turn within each round, so that whatever
 * else the machine does hits both; the ratio is formed within a round, and medians and quartiles
 * are taken over rounds.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stdint.h>

struct pairs {
    int n;
    double *ours_ns, *peer_ns; /* per operation, one of each a round */
    uint64_t operations;       /* of one side, all rounds */
    uint64_t faults;           /* minor faults while timing, both sides */
};

struct spread {
    double low, median, high; /* quartiles */
};

struct summary {
    struct spread ours_ns, peer_ns, ratio; /* ratio: peer / ours, above 1 we are faster */
    double faults_per_1000;                /* operations of either side */
};

void pairs_init(struct pairs *pairs, int rounds);
/* Drops the rounds so far. */
void pairs_forget(struct pairs *pairs);
void pairs_free(struct pairs *pairs);
struct summary pairs_summarise(const struct pairs *pairs);

#endif
