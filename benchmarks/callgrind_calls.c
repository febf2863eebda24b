/*
 * callgrind_calls.c - the calls whose instructions callgrind.py counts: CALLS calls of the section
 * named by the argument, on a store of POPULATION done keys. Callgrind collects inside collected();
 * a plain run (without valgrind) only proves that the calls work.
 */
#include "bench.h"

#include <idemkey.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <valgrind/callgrind.h>

enum {
    OTHER_KEYS = 400000, /* some six a bucket: hardly one remains without a head */
    POPULATION = 20000,
    WARM_UP = 2000,
    CALLS = 4000,
    REGION_BYTES = 64 << 20 /* small slabs, so that the ceiling fits valgrind's address space */
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
    must(idem_lookup(store, keys[i * (POPULATION / (WARM_UP + CALLS))], KEY_BYTES, &claim.record),
         "idem_lookup");
}

static void replay_done(int i)
{
    request.key = keys[i * (POPULATION / (WARM_UP + CALLS))];
    must(idem_claim(store, &request, &claim), "idem_claim");
    if (claim.outcome != IDEM_DONE)
        bench_die("a done key was %s", idem_outcome_name(claim.outcome));
}

/* A complete needs a claim before it, and so on: sections run in this order, up to the one named. */
static const struct section {
    const char *name;
    void (*call)(int i);
} sections[] = {
    {"claim", claim_fresh},
    {"complete", complete_fresh},
    {"lookup", lookup_done},
    {"replay", replay_done},
};
enum { SECTIONS = sizeof sections / sizeof *sections };

/* Buckets get their heads at first use, by lookups too: a store that has grown has them. */
static void use_buckets(void)
{
    struct idem_record record;
    bench_key key;
    idem_record_init(&record, sizeof record);
    for (int i = 0; i < OTHER_KEYS; i++) {
        bench_make_key((uint64_t)(POPULATION + WARM_UP + CALLS + i), &key);
        if (idem_lookup(store, key, KEY_BYTES, &record) != IDEM_ENOTFOUND)
            bench_die("a key that nobody claimed was found");
    }
}

static void call_each(const struct section *section, int begin, int end)
{
    for (int i = begin; i < end; i++)
        section->call(i);
}

/* callgrind.py names this function: what it calls is counted. */
__attribute__((noinline)) void collected(const struct section *section);
void collected(const struct section *section) { call_each(section, WARM_UP, WARM_UP + CALLS); }

int main(int argc, char **argv)
{
    static unsigned char buffer[VALUE_BYTES];
    int last = 0;
    while (argc == 2 && last < SECTIONS && strcmp(argv[1], sections[last].name) != 0)
        last++;
    if (argc != 2 || last == SECTIONS)
        bench_die("usage: callgrind_calls claim|complete|lookup|replay");
    struct idem_options options;
    idem_request_init(&request, sizeof request);
    idem_claim_init(&claim, sizeof claim);
    request.key_len = KEY_BYTES;
    for (int i = 0; i < POPULATION + WARM_UP + CALLS; i++)
        bench_make_key((uint64_t)i, &keys[i]);
    for (int i = 0; i < WARM_UP + CALLS; i++)
        idem_claim_init(&claims[i], sizeof claims[i]);
    idem_options_init(&options, sizeof options);
    options.max_bytes = REGION_BYTES;
    claim.record.buffer = buffer; /* lookups and replays read into it */
    claim.record.buffer_size = sizeof buffer;
    must(idem_open(bench_temp_path("idem"), &options, &store), "idem_open");
    for (int i = 0; i < POPULATION; i++) {
        request.key = keys[i];
        must(idem_claim(store, &request, &claim), "idem_claim");
        must(idem_complete(&claim, bench_value, VALUE_BYTES, IDEM_TTL_SAME, 0), "idem_complete");
    }
    for (int i = 0; i <= last; i++) {
        /* First allocations, growth and dynamic linking are not what is counted. */
        call_each(&sections[i], 0, WARM_UP);
        if (i < last) {
            call_each(&sections[i], WARM_UP, WARM_UP + CALLS);
            continue;
        }
        use_buckets();
        CALLGRIND_START_INSTRUMENTATION;
        collected(&sections[i]);
        CALLGRIND_STOP_INSTRUMENTATION;
    }
    fprintf(stderr, "calls: %d\n", CALLS);
    must(idem_close(store), "idem_close");
    return EXIT_SUCCESS;
}
