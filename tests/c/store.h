/*
 * store.h - what the tests of an open store use beside test.h: opening, claiming by a string, looking,
 * memory shared with children, and the check that every test ends with.
 */
#ifndef IDEM_TEST_STORE_H
#define IDEM_TEST_STORE_H

#include <sys/mman.h>

#include "test.h"

/* A sanitizer makes a call 5 to 20 times slower: fewer rounds then, of the same interleavings. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TEST_ROUNDS(plain) ((plain) / 5)
#else
#define TEST_ROUNDS(plain) (plain)
#endif

#define STORE_SMALLEST_BYTES ((uint64_t)1 << 20)
#define STORE_SMALL_BYTES ((uint64_t)16 << 20)

static inline idem_store *store_open_with(uint64_t max_bytes, uint32_t flags)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = max_bytes;
    options.flags = flags;
    idem_store *store;
    CHECK_INT(idem_open(test_path, &options, &store), IDEM_OK);
    return store;
}

static inline idem_store *store_open(void) { return store_open_with(STORE_SMALL_BYTES, 0); }

static inline void store_check(idem_store *store)
{
    struct idem_report report = {.size = sizeof(report)};
    const int status = idem_check(store, &report);
    if (status != IDEM_OK || report.violations != 0) {
        TEST_FAIL("check says %d: %" PRIu64 " violations, first %s", status, report.violations,
                  report.first);
    }
}

static inline void store_end(idem_store *store)
{
    store_check(store);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static inline struct idem_stats store_stats(idem_store *store)
{
    struct idem_stats stats = {.size = sizeof(stats)};
    CHECK_INT(idem_stats(store, &stats), IDEM_OK);
    return stats;
}

/* The request for a key that is a string, with the default ttl of a day. The string must stay. */
static inline struct idem_request request_of(const char *key)
{
    struct idem_request request;
    idem_request_init(&request, sizeof(request));
    request.key = key;
    request.key_len = strlen(key);
    return request;
}

static inline struct idem_claim no_claim(void)
{
    struct idem_claim claim;
    idem_claim_init(&claim, sizeof(claim));
    return claim;
}

/* Claims; the outcome. */
static inline int claim_with(idem_store *store, const struct idem_request *request,
                             struct idem_claim *claim)
{
    *claim = no_claim();
    CHECK_INT(idem_claim(store, request, claim), IDEM_OK);
    return claim->outcome;
}
static inline int claim_key(idem_store *store, const char *key, struct idem_claim *claim)
{
    const struct idem_request request = request_of(key);
    return claim_with(store, &request, claim);
}
/* The same, when only the outcome matters. */
static inline int outcome_of(idem_store *store, const char *key)
{
    struct idem_claim claim;
    const int outcome = claim_key(store, key, &claim);
    idem_record_free(&claim.record);
    return outcome;
}

static inline void complete_with(struct idem_claim *claim, const char *value)
{
    CHECK_INT(idem_complete(claim, value, strlen(value), IDEM_TTL_SAME, 0), IDEM_OK);
    idem_record_free(&claim->record);
}

/* Claims and completes a key that is new. */
static inline void put(idem_store *store, const char *key, const char *value)
{
    struct idem_claim claim;
    CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
    complete_with(&claim, value);
}

/* What a lookup says: enum idem_state, or a status. */
static inline int state_of(idem_store *store, const char *key)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    const int status = idem_lookup(store, key, strlen(key), &record);
    const int state = status == IDEM_OK ? record.state : status;
    idem_record_free(&record);
    return state;
}

static inline bool has_bytes(const void *got, size_t got_len, const char *expected)
{
    return got_len == strlen(expected) && got != NULL && memcmp(got, expected, got_len) == 0;
}

/* Is the key done, with this very value? */
static inline bool has_value(idem_store *store, const char *key, const char *value)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_lookup(store, key, strlen(key), &record), IDEM_OK);
    const bool same = record.state == IDEM_STATE_DONE && record.kept &&
                      has_bytes(record.value, record.value_len, value);
    idem_record_free(&record);
    return same;
}

/* Zeroed memory that children share. */
static inline void *shared_memory(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    return memory;
}

/* Sweeps until nothing is left to give back; the bytes in use then. */
static inline uint64_t used_after_sweep(idem_store *store)
{
    enum { SWEEPS_MAX = 100 };
    uint64_t used = store_stats(store).used_bytes;
    for (int sweeps = 0; sweeps < SWEEPS_MAX; sweeps++) {
        const int64_t freed = idem_sweep(store, 0);
        CHECK(freed >= 0);
        const uint64_t now = store_stats(store).used_bytes;
        if (freed == 0 && now == used) {
            return now;
        }
        used = now;
    }
    TEST_FAIL("sweeping has no end: %" PRIu64 " bytes in use", used);
}

#endif
