/*
 * A full store: new claims are refused and say why, no live key is lost, a granted claim is completed all the
 * same, and room comes back after forgetting and expiry.
 */
#include "store.h"

#define KEYS_MAX 200000

static int claim_number(idem_store *store, uint32_t number, struct idem_claim *claim)
{
    char key[32];
    snprintf(key, sizeof(key), "key %06u", number);
    const struct idem_request request = request_of(key);
    *claim = no_claim();
    return idem_claim(store, &request, claim);
}

/* Completes new keys, numbered from `first`, until a claim is refused; the number of the refused one. */
static uint32_t fill(idem_store *store, uint32_t first, size_t value_len, bool kept_only)
{
    char *value = malloc(value_len ? value_len : 1);
    for (uint32_t number = first; number < KEYS_MAX; number++) {
        struct idem_claim claim;
        const int status = claim_number(store, number, &claim);
        if (status != IDEM_OK) {
            CHECK_INT(status, IDEM_EFULL);
            CHECK(strstr(idem_last_error(), "limit") && strstr(idem_last_error(), "idem_resize"));
            CHECK_INT(claim.outcome, 0);
            CHECK_INT(claim.owner, 0);
            free(value);
            return number;
        }
        CHECK_INT(claim.outcome, IDEM_CLAIMED);
        memset(value, (int)number, value_len);
        CHECK_INT(idem_complete(&claim, value, value_len, IDEM_TTL_SAME, 0), IDEM_OK);
        if (kept_only && !claim.record.kept) {
            free(value);
            return number + 1;
        }
    }
    TEST_FAIL("%d keys fit: the store does not fill", KEYS_MAX);
}

/* Each of the keys is done, and its value is whole or said not to be kept. The number of those kept. */
static uint32_t all_there(idem_store *store, uint32_t from, uint32_t to, size_t value_len)
{
    uint32_t kept = 0;
    for (uint32_t number = from; number < to; number++) {
        struct idem_claim claim;
        CHECK_INT(claim_number(store, number, &claim), IDEM_OK);
        CHECK_INT(claim.outcome, IDEM_DONE);
        if (claim.record.kept) {
            const unsigned char *value = claim.record.value;
            CHECK_INT(claim.record.value_len, value_len);
            for (size_t i = 0; i < value_len; i++) {
                CHECK_INT(value[i], number & 255);
            }
            kept++;
        }
        idem_record_free(&claim.record);
    }
    return kept;
}

static void forget_number(idem_store *store, uint32_t number)
{
    char key[32];
    snprintf(key, sizeof(key), "key %06u", number);
    CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
}

static void a_full_store_refuses_and_keeps(void)
{
    static const size_t sizes[] = {0, 64, 1000, 9000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        unlink(test_path);
        idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
        const uint32_t keys = fill(store, 0, sizes[i], false);
        CHECK(all_there(store, 0, keys, sizes[i]) * (sizes[i] + 100) > STORE_SMALLEST_BYTES / 2);
        const struct idem_stats stats = store_stats(store);
        CHECK_INT(stats.done_keys, keys);
        CHECK(stats.used_bytes <= stats.allocated_bytes);
        CHECK(stats.allocated_bytes <= stats.max_bytes);
        store_end(store);
    }
}

/* Claims granted before are completed, with their values while there is room, then without. */
static void granted_claims_are_completed(void)
{
    enum { GRANTED = 200, VALUE_BYTES = 2000 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    static struct idem_claim granted[GRANTED];
    for (uint32_t i = 0; i < GRANTED; i++) {
        CHECK_INT(claim_number(store, KEYS_MAX + i, &granted[i]), IDEM_OK);
    }
    const uint32_t keys = fill(store, 0, 0, false);
    char value[VALUE_BYTES];
    uint32_t kept = 0;
    for (uint32_t i = 0; i < GRANTED; i++) {
        memset(value, (int)(KEYS_MAX + i), sizeof(value));
        CHECK_INT(idem_complete(&granted[i], value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
        CHECK_INT(granted[i].record.state, IDEM_STATE_DONE);
        kept += (uint32_t)granted[i].record.kept;
    }
    CHECK(kept < GRANTED);
    CHECK_INT(all_there(store, KEYS_MAX, KEYS_MAX + GRANTED, sizeof(value)), kept);
    CHECK_INT(all_there(store, 0, keys, 0), keys);
    store_end(store);
}

/* The other ways to end a claim need no room either, and what they free is used again. */
static void a_full_store_can_release_and_reclaim(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct idem_claim released, abandoned, claim;
    CHECK_INT(claim_number(store, KEYS_MAX, &released), IDEM_OK);
    CHECK_INT(claim_number(store, KEYS_MAX + 1, &abandoned), IDEM_OK);
    const uint32_t keys = fill(store, 0, 0, false);
    CHECK_INT(idem_abandon(&abandoned), IDEM_OK);
    CHECK_INT(claim_number(store, KEYS_MAX + 1, &claim), IDEM_OK);
    CHECK_INT(claim.outcome, IDEM_RECLAIMED);
    CHECK_INT(idem_renew(&claim, 1000), IDEM_OK);
    CHECK_INT(claim_number(store, KEYS_MAX + 2, &claim), IDEM_EFULL);
    CHECK_INT(idem_release(&released), IDEM_OK);
    CHECK_INT(claim_number(store, KEYS_MAX + 2, &claim), IDEM_OK);
    CHECK_INT(claim.outcome, IDEM_CLAIMED);
    CHECK_INT(claim_number(store, KEYS_MAX + 3, &claim), IDEM_EFULL);
    CHECK_INT(all_there(store, 0, keys, 0), keys);
    store_end(store);
}

static void room_returns_after_forgetting(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    uint32_t first = 0, end = fill(store, 0, 64, false);
    const uint32_t capacity = end;
    for (int round = 0; round < 10; round++) {
        const uint32_t part = capacity / 4;
        for (uint32_t i = 0; i < part; i++) {
            forget_number(store, first++);
        }
        struct idem_claim claim;
        for (uint32_t i = 0; i < part - part / 8; i++) { /* some bytes are lost to classes */
            CHECK_INT(claim_number(store, end, &claim), IDEM_OK);
            char value[64];
            memset(value, (int)end, sizeof(value));
            CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
            end++;
        }
        (void)all_there(store, first, end, 64);
    }
    /* And from one class to another: small keys make room for large values. */
    while (first < end) {
        forget_number(store, first++);
    }
    for (uint32_t i = 0; i < 50; i++) {
        struct idem_claim claim;
        char value[9000] = "";
        CHECK_SOON(claim_number(store, KEYS_MAX + i, &claim) == IDEM_OK);
        CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
        CHECK_INT(claim.record.kept, 1);
    }
    store_end(store);
}

static void room_returns_after_expiry(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct idem_claim claim;
    char key[32];
    uint32_t keys = 0;
    int status;
    do { /* keys that live for a second */
        snprintf(key, sizeof(key), "short %u", keys++);
        struct idem_request request = request_of(key);
        request.ttl_ms = 1;
        claim = no_claim();
        status = idem_claim(store, &request, &claim);
        if (status == IDEM_OK) {
            CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
        }
    } while (status == IDEM_OK && keys < KEYS_MAX);
    /* On a slow machine they expire as fast as they come. */
    CHECK(status == IDEM_EFULL || keys == KEYS_MAX);
    for (uint32_t i = 0; i < 3000; i++) {
        CHECK_SOON(claim_number(store, i, &claim) == IDEM_OK);
        CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
    }
    CHECK_INT(all_there(store, 0, 3000, 0), 3000);
    store_end(store);
}

/* In a store of thousands of slabs too, room in any of them is found. */
static void room_is_found_wherever_it_is(void)
{
    enum { ROUNDS = 40, BIG = 8000 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    CHECK_INT(idem_resize(store, (uint64_t)32 << 20), IDEM_OK); /* 2,000 slabs of 16 KiB */
    const uint32_t keys = fill(store, 0, BIG, true);
    CHECK(store_stats(store).slabs > 1500);
    for (int round = 0; round < ROUNDS; round++) {
        /* Two slabs full of values, somewhere. */
        const uint32_t at =
            (uint32_t)(test_random() % (keys / ROUNDS - 8)) + keys / ROUNDS * (uint32_t)round;
        struct idem_claim claim;
        char value[BIG] = "";
        for (uint32_t i = 0; i < 4; i++) {
            forget_number(store, at + i);
        }
        CHECK_INT(claim_number(store, KEYS_MAX + (uint32_t)round, &claim), IDEM_OK);
        CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
        CHECK_INT(claim.record.kept, 1);
    }
    store_end(store);
}

/* Free blocks lie together, far from the next ones: a search that is given up before it meets them has not seen
   that its slab has none. */
static void room_in_stretches_is_found(void)
{
    enum { RUN = 9000, FREED = 2600 };
    idem_store *store = store_open_with((uint64_t)16 << 20, 0);
    const uint32_t keys = fill(store, 0, 0, true);
    uint32_t freed = 0;
    for (uint32_t run = keys / RUN; run-- > 0;) {
        for (uint32_t i = FREED; i-- > 0;) {
            forget_number(store, run * RUN + i);
            freed++;
        }
    }
    for (uint32_t i = 0; i < freed; i++) {
        struct idem_claim claim;
        CHECK_INT(claim_number(store, KEYS_MAX + i, &claim), IDEM_OK);
        CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_FOREVER, 0), IDEM_OK);
    }
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_full_store_refuses_and_keeps),
                                    TEST(granted_claims_are_completed),
                                    TEST(a_full_store_can_release_and_reclaim),
                                    TEST(room_returns_after_forgetting),
                                    TEST(room_returns_after_expiry),
                                    TEST(room_is_found_wherever_it_is),
                                    TEST(room_in_stretches_is_found),
                                    {0}});
}
