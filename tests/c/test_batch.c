/* claim_many and lookup_many: each item as if it were alone, whatever the others are. */
#include "store.h"

#define MANY 100 /* more than one group of 32, and not a multiple */

static char names[MANY][16];

static void name_keys(void)
{
    for (int i = 0; i < MANY; i++) {
        snprintf(names[i], sizeof(names[i]), "key %d", i);
    }
}

static void each_item_has_its_outcome(void)
{
    static const uint8_t one[IDEM_FINGERPRINT_SIZE] = "one", two[IDEM_FINGERPRINT_SIZE] = "two";
    idem_store *store = store_open();
    struct idem_request requests[MANY];
    struct idem_claim claims[MANY];
    name_keys();
    for (int i = 0; i < MANY; i++) {
        struct idem_claim claim;
        requests[i] = request_of(names[i]);
        requests[i].fingerprint = one;
        claims[i] = no_claim();
        if (i % 5 == 0) {
            continue; /* new */
        }
        CHECK_INT(claim_with(store, &requests[i], &claim), IDEM_CLAIMED);
        if (i % 5 == 2) {
            complete_with(&claim, names[i]);
        } else if (i % 5 == 3) {
            CHECK_INT(idem_abandon(&claim), IDEM_OK);
        } else if (i % 5 == 4) {
            requests[i].fingerprint = two;
        }
    }
    static const int expected[] = {IDEM_CLAIMED, IDEM_BUSY, IDEM_DONE, IDEM_RECLAIMED,
                                   IDEM_MISMATCH};
    CHECK_INT(idem_claim_many(store, requests, claims, MANY), IDEM_OK);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(claims[i].status, IDEM_OK);
        CHECK_INT(claims[i].outcome, expected[i % 5]);
        if (i % 5 == 2) {
            CHECK(has_bytes(claims[i].record.value, claims[i].record.value_len, names[i]));
        }
        if (claims[i].owner) {
            CHECK_INT(idem_release(&claims[i]), IDEM_OK);
        }
        idem_record_free(&claims[i].record);
    }
    CHECK_INT(idem_claim_many(store, NULL, NULL, 0), IDEM_OK);
    store_end(store);
}

static void a_key_twice_in_a_batch_is_claimed_once(void)
{
    idem_store *store = store_open();
    struct idem_request requests[MANY];
    struct idem_claim claims[MANY];
    for (int i = 0; i < MANY; i++) {
        requests[i] = request_of(i % 2 ? "odd" : "even");
        claims[i] = no_claim();
    }
    CHECK_INT(idem_claim_many(store, requests, claims, MANY), IDEM_OK);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(claims[i].outcome, i < 2 ? IDEM_CLAIMED : IDEM_BUSY);
    }
    store_end(store);
}

/* A bad item fails alone, and its status is the call's. */
static void a_bad_item_does_not_stop_the_others(void)
{
    idem_store *store = store_open();
    struct idem_request requests[MANY];
    struct idem_claim claims[MANY];
    name_keys();
    for (int i = 0; i < MANY; i++) {
        requests[i] = request_of(names[i]);
        claims[i] = no_claim();
    }
    requests[40].key_len = 0;
    requests[41].ttl_ms = -5;
    CHECK_INT(idem_claim_many(store, requests, claims, MANY), IDEM_EINVAL);
    for (int i = 0; i < MANY; i++) {
        const bool bad = i == 40 || i == 41;
        CHECK_INT(claims[i].status, bad ? IDEM_EINVAL : IDEM_OK);
        CHECK_INT(claims[i].outcome, bad ? 0 : IDEM_CLAIMED);
        CHECK_INT(claims[i].owner != 0, !bad);
    }
    CHECK_INT(store_stats(store).pending_keys, MANY - 2);
    store_end(store);
}

static void lookups_tell_of_each_key(void)
{
    idem_store *store = store_open();
    const void *keys[MANY];
    size_t lengths[MANY];
    int statuses[MANY];
    struct idem_record records[MANY];
    name_keys();
    for (int i = 0; i < MANY; i++) {
        keys[i] = names[i];
        lengths[i] = i == 50 ? 0 : strlen(names[i]);
        idem_record_init(&records[i], sizeof(records[i]));
        if (i % 3 == 0) {
            put(store, names[i], names[i]);
        } else if (i % 3 == 1) {
            CHECK_INT(outcome_of(store, names[i]), IDEM_CLAIMED);
        }
    }
    CHECK_INT(idem_lookup_many(store, keys, lengths, records, statuses, MANY), IDEM_EINVAL);
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(statuses[i], i == 50 ? IDEM_EINVAL : i % 3 == 2 ? IDEM_ENOTFOUND : IDEM_OK);
        if (statuses[i] == IDEM_OK) {
            CHECK_INT(records[i].state, i % 3 ? IDEM_STATE_PENDING : IDEM_STATE_DONE);
        }
        if (statuses[i] == IDEM_OK && i % 3 == 0) {
            CHECK(has_bytes(records[i].value, records[i].value_len, names[i]));
        }
        idem_record_free(&records[i]);
    }
    CHECK_INT(idem_lookup_many(store, NULL, NULL, NULL, NULL, 0), IDEM_OK);
    CHECK_INT(idem_lookup_many(store, keys, lengths, records, NULL, MANY), IDEM_EINVAL);
    store_end(store);
}

/* In a full store the old keys are still told, and only the new ones refused. */
static void a_full_store_refuses_new_keys_only(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct idem_claim claim = no_claim();
    int status = IDEM_OK;
    for (int i = 0; status == IDEM_OK; i++) {
        char key[16];
        snprintf(key, sizeof(key), "full %08d", i);
        const struct idem_request request = request_of(key);
        claim = no_claim();
        status = idem_claim(store, &request, &claim);
    }
    CHECK_INT(status, IDEM_EFULL);
    struct idem_request requests[] = {request_of("full 00000001"), request_of("new 00000000a"),
                                      request_of("full 00000002")};
    struct idem_claim claims[] = {no_claim(), no_claim(), no_claim()};
    CHECK_FAILS(idem_claim_many(store, requests, claims, 3), IDEM_EFULL, "limit");
    CHECK_INT(claims[0].outcome, IDEM_BUSY);
    CHECK_INT(claims[1].status, IDEM_EFULL);
    CHECK_INT(claims[1].outcome, 0);
    CHECK_INT(claims[2].outcome, IDEM_BUSY);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(each_item_has_its_outcome),
                                    TEST(a_key_twice_in_a_batch_is_claimed_once),
                                    TEST(a_bad_item_does_not_stop_the_others),
                                    TEST(lookups_tell_of_each_key),
                                    TEST(a_full_store_refuses_new_keys_only),
                                    {0}});
}
