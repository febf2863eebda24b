/*
 * bench.h - what the parts of the benchmark share: keys, time, files that must go, and one
 * interface for the store and its peers, so that the same loop drives all of them.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

enum {
    KEY_BYTES = 36,   /* a UUID as text: the commonest idempotency key */
    VALUE_BYTES = 64, /* a small response, or the id of what was made */
    MANY = 32         /* keys in one call of claim_many and lookup_many */
};

typedef char bench_key[KEY_BYTES]; /* not terminated */

extern const unsigned char bench_value[VALUE_BYTES];

/* Applies one operation to each of `n` keys; ends the program if a single one goes wrong. */
typedef void bench_op(const bench_key *keys, size_t n);

/* util.c */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Processor time of this thread: what others do on the machine meanwhile is not in it. */
uint64_t bench_cpu_ns(void);
/* Minor page faults of this process so far: no round that is warm adds to it. */
uint64_t bench_minor_faults(void);
/* Key number `id` of the run: the same for the same seed, in no order. */
void bench_make_key(uint64_t id, bench_key *key);
void bench_seed(uint64_t seed);
/* Another order of random numbers, for the same keys. */
void bench_reseed_random(uint64_t salt);
/* Uniform in [0, limit). */
uint64_t bench_random(uint64_t limit);
/* A path in /dev/shm that no one else uses, unlinked at exit and on SIGINT, SIGTERM and SIGHUP. */
const char *bench_temp_path(const char *what);
void *bench_alloc(size_t bytes);

/* ours.c: the store, with everything on */
void ours_open(uint64_t keys);
void ours_close(void);
/*
 * Buckets get their heads at first use: uses nearly all, as a store in service for long has. (Those
 * of cds_lfht are made with the table.)
 */
void ours_use_buckets(void);
bench_op ours_claim, ours_claim_complete, ours_lookup, ours_claim_many, ours_lookup_many;
/* Removes the keys. No sweep: that would give the pages back, and the next round fault them in. */
bench_op ours_remove;

/* peer_lfht.c: liburcu's lock-free hash table, in this process's private memory */
void lfht_open(uint64_t keys);
void lfht_close(void);
bench_op lfht_add, lfht_add_with_value, lfht_lookup, lfht_remove;

/* peer_lmdb.c */
void lmdb_open(uint64_t keys);
void lmdb_close(void);
bench_op lmdb_put, lmdb_put_in_one_transaction, lmdb_remove;

#endif
