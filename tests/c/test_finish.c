/* Ending claims: values of all sizes, retention, who may, and what a late caller changes: nothing. */
#include "store.h"

static void values_of_all_sizes_come_back_whole(void)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 63, 64, 65, 255, 256, 4000, 8192, 100000};
    idem_store *store = store_open();
    unsigned char *value = malloc(100000), *copy = malloc(100000);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char key[16];
        struct idem_claim claim;
        snprintf(key, sizeof(key), "key %zu", i);
        for (size_t at = 0; at < sizes[i]; at++) {
            value[at] = (unsigned char)test_random();
        }
        CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, value, sizes[i], IDEM_FOREVER, 0), IDEM_OK);
        CHECK_INT(claim.record.kept, 1);
        CHECK_INT(claim.record.state, IDEM_STATE_DONE);
        /* Into the caller's buffer when it is large enough, else into the library's. */
        for (int fits = 0; fits < 2; fits++) {
            struct idem_record record;
            idem_record_init(&record, sizeof(record));
            record.buffer = copy;
            record.buffer_size = fits ? sizes[i] : sizes[i] - (sizes[i] > 0);
            CHECK_INT(idem_lookup(store, key, strlen(key), &record), IDEM_OK);
            CHECK_INT(record.value_len, sizes[i]);
            CHECK(record.value != NULL && memcmp(record.value, value, sizes[i]) == 0);
            CHECK_INT(record.owned != NULL, !fits && sizes[i] > 0);
            CHECK_INT(record.expires_in_ms, IDEM_FOREVER);
            idem_record_free(&record);
        }
    }
    free(value);
    free(copy);
    store_end(store);
}

static void a_value_above_the_largest_changes_nothing(void)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = STORE_SMALL_BYTES;
    options.max_value_bytes = 100;
    idem_store *store;
    CHECK_INT(idem_open(test_path, &options, &store), IDEM_OK);
    CHECK_INT(store_stats(store).value_max, 100);
    char value[101] = "";
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_FAILS(idem_complete(&claim, value, sizeof(value), 0, 0), IDEM_ETOOBIG, "101");
    CHECK(strstr(idem_last_error(), "100") != NULL);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_PENDING);
    CHECK_INT(idem_complete(&claim, value, sizeof(value), 0, IDEM_ALLOW_NOT_KEPT), IDEM_OK);
    CHECK_INT(claim.record.kept, 0);
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_lookup(store, "key", 3, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_DONE);
    CHECK_INT(record.kept, 0);
    CHECK(record.value == NULL && record.value_len == 0);
    CHECK_INT(record.done_age_ms, -1);
    CHECK_INT(claim_key(store, "other", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_complete(&claim, value, 100, 0, 0), IDEM_OK);
    CHECK_INT(claim.record.kept, 1);
    store_end(store);
}

static void the_retention_is_as_asked(void)
{
    static const int64_t ttls_ms[] = {1, 1000, 60000, 86400000, IDEM_FOREVER};
    idem_store *store = store_open();
    for (size_t i = 0; i < 2 * sizeof(ttls_ms) / sizeof(ttls_ms[0]); i++) {
        const int64_t ttl_ms = ttls_ms[i / 2];
        char key[16];
        struct idem_claim claim;
        struct idem_record record;
        snprintf(key, sizeof(key), "key %zu", i);
        struct idem_request request = request_of(key);
        request.ttl_ms = i % 2 ? ttl_ms : 123456789;
        CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, NULL, 0, i % 2 ? IDEM_TTL_SAME : ttl_ms, 0), IDEM_OK);
        idem_record_init(&record, sizeof(record));
        CHECK_INT(idem_lookup(store, key, strlen(key), &record), IDEM_OK);
        if (ttl_ms == IDEM_FOREVER) {
            CHECK_INT(record.expires_in_ms, IDEM_FOREVER);
        } else {
            /* Kept to the second, rounded up; looked at less than a watchdog later. */
            CHECK(record.expires_in_ms <= ttl_ms + 2000);
            CHECK(record.expires_in_ms > ttl_ms - TEST_WATCHDOG_S * 1000);
        }
    }
    store_end(store);
}

static void a_claim_ends_once(void)
{
    idem_store *store = store_open();
    int (*const ends[])(struct idem_claim *) = {idem_release, idem_abandon};
    for (size_t i = 0; i < 3; i++) {
        struct idem_claim claim;
        CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
        if (i < 2) {
            CHECK_INT(ends[i](&claim), IDEM_OK);
        } else {
            CHECK_INT(idem_complete(&claim, "v", 1, 0, 0), IDEM_OK);
        }
        const int state = state_of(store, "key");
        CHECK_FAILS(idem_complete(&claim, "other", 5, 0, 0), IDEM_ELOST, "no longer");
        CHECK_INT(idem_release(&claim), IDEM_ELOST);
        CHECK_INT(idem_abandon(&claim), IDEM_ELOST);
        CHECK_INT(idem_renew(&claim, 1000), IDEM_ELOST);
        CHECK_INT(state_of(store, "key"), state);
        CHECK_INT(store_stats(store).value_blocks, i == 2);
        if (state != IDEM_ENOTFOUND) {
            CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
        }
    }
    store_end(store);
}

/* The token of a record whose block has gone through other keys, classes and slabs since. */
static void a_token_never_fits_a_later_record(void)
{
    enum { ROUNDS = 300, TOKENS = 8 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct idem_claim tokens[TOKENS];
    for (int i = 0; i < TOKENS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "token %d", i);
        CHECK_INT(claim_key(store, key, &tokens[i]), IDEM_CLAIMED);
    }
    for (int i = 0; i < TOKENS; i++) {
        struct idem_claim claim = tokens[i];
        CHECK_INT(idem_release(&claim), IDEM_OK);
    }
    for (int round = 0; round < ROUNDS; round++) {
        char key[IDEM_KEY_MAX];
        const size_t length = 8 + test_random() % (sizeof(key) - 8);
        memset(key, 'k', sizeof(key));
        struct idem_request request = request_of("");
        request.key = key;
        request.key_len = length;
        struct idem_claim claim;
        const int outcome = claim_with(store, &request, &claim);
        for (int i = 0; i < TOKENS; i++) {
            struct idem_claim late = tokens[i];
            CHECK_INT(idem_complete(&late, "late", 4, 0, 0), IDEM_ELOST);
            CHECK_INT(idem_renew(&late, 5), IDEM_ELOST);
        }
        if (outcome == IDEM_CLAIMED) {
            CHECK_INT(idem_release(&claim), IDEM_OK);
        }
        if (round % 10 == 0) {
            CHECK(idem_sweep(store, 0) >= 0);
        }
    }
    store_end(store);
}

/* Damage or misuse: tokens that nobody was given. */
static void invented_tokens_are_refused(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    for (int round = 0; round < 10000; round++) {
        struct idem_claim invented = claim;
        const int outcome = round % 3;
        if (outcome != 0) {
            invented.block =
                round % 2 ? (uint32_t)test_random() : invented.block + (uint32_t)round + 1;
        }
        if (outcome != 1) {
            invented.generation += 1 + (uint32_t)test_random() % 1000;
        }
        CHECK_INT(idem_complete(&invented, "v", 1, 0, 0), IDEM_ELOST);
        invented = claim;
        invented.record.attempt++;
        CHECK_INT(idem_release(&invented), IDEM_ELOST);
    }
    CHECK_INT(idem_release(&claim), IDEM_OK);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(values_of_all_sizes_come_back_whole),
                                    TEST(a_value_above_the_largest_changes_nothing),
                                    TEST(the_retention_is_as_asked),
                                    TEST(a_claim_ends_once),
                                    TEST(a_token_never_fits_a_later_record),
                                    TEST(invented_tokens_are_refused),
                                    {0}});
}
