/*
 * ours.c - the store as any program uses it, through the public header: structs are initialised
 * once and used again, as a worker would.
 */
#include "bench.h"

#include <idemkey.h>

enum {
    REGION_BYTES_PER_KEY = 512, /* a limit, not a cost: only what is used is allocated */
    REGION_BYTES_LEAST = 256 << 20,
    USES_PER_BUCKET = 3 /* at random: one in e^3 remains unused */
};

static idem_store *store;

static void must(int status, const char *call)
{
    if (status != IDEM_OK)
        bench_die("%s: %s: %s", call, idem_strerror(status), idem_last_error());
}

void ours_open(uint64_t keys)
{
    struct idem_options options;
    idem_options_init(&options, sizeof options);
    options.flags = IDEM_OPEN_EXCLUSIVE;
    options.max_bytes = keys * REGION_BYTES_PER_KEY + REGION_BYTES_LEAST;
    must(idem_open(bench_temp_path("idem"), &options, &store), "idem_open");
}

void ours_close(void)
{
    struct idem_report report = {.size = sizeof report};
    must(idem_check(store, &report), "idem_check");
    must(idem_close(store), "idem_close");
}

static inline void claim_one(const struct idem_request *request, struct idem_claim *claim)
{
    must(idem_claim(store, request, claim), "idem_claim");
    if (claim->outcome != IDEM_CLAIMED)
        bench_die("a fresh key was %s", idem_outcome_name(claim->outcome));
}

static inline void claim_each(const bench_key *keys, size_t n, int complete)
{
    struct idem_request request;
    struct idem_claim claim;
    idem_request_init(&request, sizeof request);
    idem_claim_init(&claim, sizeof claim);
    request.key_len = KEY_BYTES;
    for (size_t i = 0; i < n; i++) {
        request.key = keys[i];
        claim_one(&request, &claim);
        if (complete)
            must(idem_complete(&claim, bench_value, VALUE_BYTES, IDEM_TTL_SAME, 0),
                 "idem_complete");
    }
}

void ours_claim(const bench_key *keys, size_t n) { claim_each(keys, n, 0); }

void ours_claim_complete(const bench_key *keys, size_t n) { claim_each(keys, n, 1); }

void ours_claim_many(const bench_key *keys, size_t n)
{
    struct idem_request requests[MANY];
    struct idem_claim claims[MANY];
    for (int j = 0; j < MANY; j++) {
        idem_request_init(&requests[j], sizeof requests[j]);
        idem_claim_init(&claims[j], sizeof claims[j]);
        requests[j].key_len = KEY_BYTES;
    }
    for (size_t i = 0; i + MANY <= n; i += MANY) {
        for (int j = 0; j < MANY; j++)
            requests[j].key = keys[i + (size_t)j];
        must(idem_claim_many(store, requests, claims, MANY), "idem_claim_many");
        for (int j = 0; j < MANY; j++)
            if (claims[j].outcome != IDEM_CLAIMED)
                bench_die("a fresh key of a batch was %s", idem_outcome_name(claims[j].outcome));
    }
}

void ours_lookup(const bench_key *keys, size_t n)
{
    unsigned char buffer[VALUE_BYTES];
    struct idem_record record;
    idem_record_init(&record, sizeof record);
    record.buffer = buffer;
    record.buffer_size = sizeof buffer;
    for (size_t i = 0; i < n; i++) {
        must(idem_lookup(store, keys[i], KEY_BYTES, &record), "idem_lookup");
        if (record.value_len != VALUE_BYTES)
            bench_die("a value of %zu bytes came back", record.value_len);
    }
}

void ours_lookup_many(const bench_key *keys, size_t n)
{
    unsigned char buffers[MANY][VALUE_BYTES];
    struct idem_record records[MANY];
    const void *pointers[MANY];
    size_t lengths[MANY];
    int statuses[MANY];
    for (int j = 0; j < MANY; j++) {
        idem_record_init(&records[j], sizeof records[j]);
        records[j].buffer = buffers[j];
        records[j].buffer_size = sizeof buffers[j];
        lengths[j] = KEY_BYTES;
    }
    for (size_t i = 0; i + MANY <= n; i += MANY) {
        for (int j = 0; j < MANY; j++)
            pointers[j] = keys[i + (size_t)j];
        must(idem_lookup_many(store, pointers, lengths, records, statuses, MANY),
             "idem_lookup_many");
        for (int j = 0; j < MANY; j++)
            if (statuses[j] != IDEM_OK || records[j].value_len != VALUE_BYTES)
                bench_die("a key of a batch came back with status %d", statuses[j]);
    }
}

void ours_use_buckets(void)
{
    struct idem_stats stats = {.size = sizeof stats};
    struct idem_record records[MANY];
    bench_key keys[MANY];
    const void *pointers[MANY];
    size_t lengths[MANY];
    int statuses[MANY];
    must(idem_stats(store, &stats), "idem_stats");
    for (int j = 0; j < MANY; j++) {
        idem_record_init(&records[j], sizeof records[j]);
        pointers[j] = keys[j];
        lengths[j] = KEY_BYTES;
    }
    uint64_t last_id = UINT64_MAX, first_id = last_id - stats.buckets * USES_PER_BUCKET;
    for (uint64_t id = first_id; id < last_id; id += MANY) {
        for (int j = 0; j < MANY; j++)
            bench_make_key(id + (uint64_t)j, &keys[j]);
        must(idem_lookup_many(store, pointers, lengths, records, statuses, MANY),
             "idem_lookup_many");
    }
}

void ours_remove(const bench_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        must(idem_forget(store, keys[i], KEY_BYTES, IDEM_FORCE), "idem_forget");
}
