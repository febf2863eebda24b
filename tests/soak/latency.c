/*
 * latency.c - is any single call far longer than the median of its kind? Counts the instructions of every
 * call of a run, in each situation that makes work for the store: growing from empty, a full population
 * that expires at once, keys of other sizes after that, a store at its limit.
 *
 *     latency [KEYS]      (default 1,000,000)
 *
 * Prints for each situation and kind of call the median, the 99.99th percentile and the maximum, and
 * where the longest call spent its instructions. Promised is what expiry may cause: what a full store does
 * before it refuses, what a sweep does and what thousands of threads cost is told beside it. Ends with 1 if
 * a longest call is above FIGURES_RATIO_MAX medians where that is promised.
 */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "calls.h"
#include "cost.h"
#include "figures.h"

enum {
    VALUE_BYTES = 64,
    EXPIRED_S = CALLS_TTL_S + 2, /* to the second, rounded up, and a margin */
    LATER_S = 1,                 /* until a death that was not known is asked for */
    SWEEPS = 1000,
    THREADS = 4096 /* as many as are promised */
};

static uint64_t next_id; /* of a key that was never used */

/* `rounds` of each kind of call. Keys from `old` on have expired or have been there all the time. */
static void mix(uint64_t rounds, uint64_t old, bool expired)
{
    for (uint64_t i = 0; i < rounds; i++) {
        const uint64_t fresh = next_id++;
        (void)calls_put(CLAIM_NEW, fresh, VALUE_BYTES);
        calls_lookup(LOOKUP_FOUND, fresh);
        calls_lookup(LOOKUP_ABSENT, UINT64_MAX / 2 + i);
        calls_lookup(expired ? LOOKUP_EXPIRED : LOOKUP_FOUND, old + 2 * i);
        if (expired) {
            (void)calls_put(CLAIM_EXPIRED, old + 2 * i + 1, VALUE_BYTES);
        }
        calls_replay(fresh);
        calls_release(next_id++);
        if (i % 8 == 7) {
            calls_forget(fresh);
        }
        if (i % CALLS_MANY == CALLS_MANY - 1) {
            calls_claim_many(next_id);
            next_id += CALLS_MANY;
        }
    }
}

/* A thread that used the store once, and keeps its place in it. */
static sem_t used, leave;

static void *idle(void *unused)
{
    (void)unused;
    calls_first();
    sem_post(&used);
    sem_wait(&leave);
    return NULL;
}

static void a_store_of(uint64_t keys)
{
    enum { BYTES_PER_KEY = 512, BYTES_MIN = 256 << 20 };
    calls_begin(keys * BYTES_PER_KEY > BYTES_MIN ? keys * BYTES_PER_KEY : BYTES_MIN);
    next_id = 0;
    while (next_id < keys) {
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
    }
    figures_report("growing from empty", FIGURES_PROMISED);
    mix(keys / 8, 0, false);
    figures_report("a steady population", FIGURES_PROMISED | FIGURES_USUAL);
    cost_clock_advance_us(EXPIRED_S * COST_US_PER_S);
    mix(keys / 4, 0, true);
    calls_scan();
    figures_report("all those keys have expired at once", FIGURES_PROMISED);
    cost_clock_advance_us(EXPIRED_S * COST_US_PER_S);
    for (uint64_t i = 0; i < keys / 4; i++) {
        (void)calls_put(CLAIM_NEW, next_id++,
                        VALUE_BYTES + i * 37 % (CALLS_VALUE_MAX_BYTES - VALUE_BYTES));
    }
    figures_report("so have the next; then values of 64 to 2048 bytes", FIGURES_PROMISED);
    const uint64_t orphans = next_id;
    calls_orphan(orphans, keys / 16);
    next_id += keys / 16;
    cost_clock_advance_us(LATER_S * COST_US_PER_S);
    for (uint64_t i = 0; i < keys / 16; i++) {
        (void)calls_put(CLAIM_ORPHAN, orphans + i, VALUE_BYTES);
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
    }
    figures_report("a process that held many claims was killed", FIGURES_PROMISED);
    calls_sweep(SWEEPS);
    figures_report("sweeping", FIGURES_TOLD);
    calls_end();
}

static void a_full_store(uint64_t keys)
{
    enum { BYTES_PER_KEY = 64, BYTES_MIN = 16 << 20, SOME = 2000, US_PER_MS = 1000 };
    const uint64_t bytes = keys * BYTES_PER_KEY, first = next_id = 1;
    calls_begin(bytes > BYTES_MIN ? bytes : BYTES_MIN);
    while (calls_put(CLAIM_NEW, next_id, VALUE_BYTES)) {
        next_id++;
    }
    const uint64_t fit = next_id - first;
    figures_report("filling a store", FIGURES_TOLD);
    for (uint64_t i = 0; i < SOME; i++) {
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
        calls_lookup(LOOKUP_FOUND, first + i % fit);
        cost_clock_advance_us(i % 20 * US_PER_MS);
    }
    figures_report("a full store", FIGURES_TOLD);
    for (uint64_t i = 0; i < SOME; i++) {
        calls_forget(first + i * (fit / SOME));
        calls_release(next_id++);
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
    }
    figures_report("a full store in which some keys are forgotten", FIGURES_TOLD);
    cost_clock_advance_us(EXPIRED_S * COST_US_PER_S);
    uint64_t again = 0;
    for (; again < fit / 2; again++) {
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
    }
    figures_report("a full store whose keys have expired at once", FIGURES_PROMISED);
    /* What the expired ones left is spread over the slabs, and the last of it is searched for. */
    for (; again < fit; again++) {
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
    }
    figures_report("the same store until it is full again", FIGURES_TOLD);
    calls_end();
}

static void a_store_of_many_threads(uint64_t keys)
{
    enum { STACK_BYTES = 64 << 10, BYTES = 256 << 20 };
    static pthread_t threads[THREADS];
    pthread_attr_t attributes;
    calls_begin(BYTES);
    next_id = 0;
    sem_init(&used, 0, 0);
    sem_init(&leave, 0, 0);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (int i = 0; i < THREADS; i++) {
        if (pthread_create(&threads[i], &attributes, idle, NULL) != 0) {
            fprintf(stderr, "latency: no more than %d threads\n", i);
            exit(2);
        }
        sem_wait(&used); /* one at a time is measured */
    }
    while (next_id < keys / 4) {
        (void)calls_put(CLAIM_NEW, next_id++, VALUE_BYTES);
    }
    mix(keys / 8, 0, false);
    figures_report("beside 4,096 threads that are idle", FIGURES_TOLD);
    for (int i = 0; i < THREADS; i++) {
        sem_post(&leave);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    calls_end();
}

int main(int argc, char **argv)
{
    const uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
    cost_clock_set(NULL);
    a_store_of(keys);
    a_full_store(keys);
    a_store_of_many_threads(keys);
    printf("\n%llu calls, %u kinds of them with a longest above %d times the median\n",
           (unsigned long long)figures_calls(), figures_above(), FIGURES_RATIO_MAX);
    return figures_above() > 0;
}
