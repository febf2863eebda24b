/*
 * callgrind_calls.c - the calls whose instructions callgrind.py counts. Each section collects
 * CALLS calls on a store of POPULATION done keys and dumps them under the section's name; in a
 * plain run (without valgrind) it prints nothing and only proves that the calls work.
 */
#include "bench.h"

#include <idemkey.h>

#include <stdio.h>
#include <stdlib.h>
#include <valgrind/callgrind.h>

enum {
    POPULATION = 20000,
    WARM_UP = 2000,
    CALLS = 4000
};

static idem_store *store;
static struct idem_request request;
static struct idem_claim claim;
static struct idem_claim claims[WARM_UP + CALLS];
static bench_key keys[POPULATION + WARM_UP + CALLS];

static void must(int status, const char *call)
{
    if (status != IDEM_OK)
        bench_die("%s: %s: %s", call, idem_strerror(status), idem_last_error());
}

static void claim_fresh(int i)
{
    request.key = keys[POPULATION + i];
    must(idem_claim(store, &request, &claims[i]), "idem_claim");
}

static void complete_fresh(int i)
{
    must(idem_complete(&claims[i], bench_value, VALUE_BYTES, IDEM_TTL_SAME, 0), "idem_complete");
}

static void lookup_done(int i)
{
    static unsigned char buffer[VALUE_BYTES];
    struct idem_record record = {
        .size = sizeof record, .buffer = buffer, .buffer_size = sizeof buffer};
    must(idem_lookup(store, keys[i * (POPULATION / (WARM_UP + CALLS))], KEY_BYTES, &record),
         "idem_lookup");
}

static void replay_done(int i)
{
    static unsigned char buffer[VALUE_BYTES];
    claim.record.buffer = buffer;
    claim.record.buffer_size = sizeof buffer;
    request.key = keys[i * (POPULATION / (WARM_UP + CALLS))];
    must(idem_claim(store, &request, &claim), "idem_claim");
    if (claim.outcome != IDEM_DONE)
        bench_die("a done key was %s", idem_outcome_name(claim.outcome));
}

/* A quarter of the calls go before, uncollected: first allocations and dynamic linking. */
#define SECTION(name, call)                             \
    do {                                                \
        for (int i = 0; i < WARM_UP; i++)               \
            call(i);                                    \
        CALLGRIND_TOGGLE_COLLECT;                       \
        for (int i = WARM_UP; i < WARM_UP + CALLS; i++) \
            call(i);                                    \
        CALLGRIND_TOGGLE_COLLECT;                       \
        CALLGRIND_DUMP_STATS_AT(name);                  \
    } while (0)

int main(void)
{
    idem_request_init(&request, sizeof request);
    idem_claim_init(&claim, sizeof claim);
    request.key_len = KEY_BYTES;
    for (int i = 0; i < POPULATION + WARM_UP + CALLS; i++)
        bench_make_key((uint64_t)i, &keys[i]);
    for (int i = 0; i < WARM_UP + CALLS; i++)
        idem_claim_init(&claims[i], sizeof claims[i]);
    must(idem_open(bench_temp_path("idem"), NULL, &store), "idem_open");
    for (int i = 0; i < POPULATION; i++) {
        request.key = keys[i];
        must(idem_claim(store, &request, &claim), "idem_claim");
        must(idem_complete(&claim, bench_value, VALUE_BYTES, IDEM_TTL_SAME, 0), "idem_complete");
    }
    SECTION("claim", claim_fresh);
    SECTION("complete", complete_fresh);
    SECTION("lookup", lookup_done);
    SECTION("replay", replay_done);
    fprintf(stderr, "calls per section: %d\n", CALLS);
    must(idem_close(store), "idem_close");
    return EXIT_SUCCESS;
}
