/* Claims: the outcomes of one process, fingerprints, leases, holding, attempts. */
#include "life.h"
#include "store.h"

static const uint8_t one[IDEM_FINGERPRINT_SIZE] = "one request....";
static const uint8_t two[IDEM_FINGERPRINT_SIZE] = "two request....";

static void a_new_key_is_claimed_once(void)
{
    idem_store *store = store_open();
    struct idem_claim claim, other;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    const uint64_t id = claim.record.id;
    CHECK_INT(claim.record.attempt, 1);
    CHECK_INT(claim.record.state, IDEM_STATE_PENDING);
    CHECK_INT(claim.record.lease_left_ms, -1);
    CHECK(claim.owner != 0 && claim.record.id != 0);
    CHECK_INT(claim_key(store, "key", &other), IDEM_BUSY);
    CHECK_INT(other.owner, 0);
    CHECK_INT(other.record.id, claim.record.id);
    CHECK_INT(other.record.attempt, 1);
    CHECK_INT(other.record.lease_left_ms, -1);
    CHECK(other.record.age_ms >= 0 && other.record.age_ms < TEST_WATCHDOG_S * 1000);
    complete_with(&claim, "value");
    CHECK_INT(claim_key(store, "key", &other), IDEM_DONE);
    CHECK(has_bytes(other.record.value, other.record.value_len, "value"));
    CHECK_INT(other.record.kept, 1);
    CHECK_INT(other.record.id, id);
    CHECK(other.record.done_age_ms >= 0);
    idem_record_free(&other.record);
    store_end(store);
}

/* Every length at which words, classes and padding change. */
static void keys_of_all_lengths_are_told_apart(void)
{
    idem_store *store = store_open();
    uint8_t key[IDEM_KEY_MAX];
    memset(key, 'k', sizeof(key));
    for (int round = 0; round < 2; round++) {
        for (size_t length = 1; length <= sizeof(key); length++) {
            struct idem_request request = request_of("");
            request.key = key;
            request.key_len = length;
            struct idem_claim claim;
            CHECK_INT(claim_with(store, &request, &claim), round ? IDEM_BUSY : IDEM_CLAIMED);
        }
    }
    /* A zero byte is a byte. */
    struct idem_request request = request_of("a");
    struct idem_claim claim;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    request.key = "a\0";
    request.key_len = 2;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    store_end(store);
}

static void another_fingerprint_is_a_mismatch(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim, other;
    request.fingerprint = one;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    request.fingerprint = two;
    CHECK_INT(claim_with(store, &request, &other), IDEM_MISMATCH);
    CHECK_INT(other.owner, 0);
    CHECK_INT(other.record.state, IDEM_STATE_PENDING);
    CHECK_INT(other.record.id, claim.record.id);
    CHECK(memcmp(other.record.fingerprint, one, sizeof(one)) == 0);
    complete_with(&claim, "secret");
    CHECK_INT(claim_with(store, &request, &other), IDEM_MISMATCH);
    CHECK_INT(other.record.state, IDEM_STATE_DONE);
    CHECK_INT(other.record.value_len, 0); /* another request's response is not shown */
    request.fingerprint = one;
    CHECK_INT(claim_with(store, &request, &other), IDEM_DONE);
    idem_record_free(&other.record);
    request.fingerprint = NULL;
    CHECK_INT(claim_with(store, &request, &other), IDEM_DONE);
    idem_record_free(&other.record);
    /* A key claimed without one is nobody's in particular. */
    put(store, "plain", "x");
    request = request_of("plain");
    request.fingerprint = two;
    CHECK_INT(claim_with(store, &request, &other), IDEM_DONE);
    idem_record_free(&other.record);
    store_end(store);
}

static void an_orphan_of_another_fingerprint_is_a_mismatch(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    request.fingerprint = one;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    request.fingerprint = two;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_MISMATCH);
    CHECK_INT(claim.record.state, IDEM_STATE_ORPHANED);
    request.fingerprint = one;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_RECLAIMED);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    idem_record_free(&claim.record);
    store_end(store);
}

/* Whoever takes over learns the first intent, however long, in its own buffer or in the library's. */
static void intents_survive_takeovers(void)
{
    static const size_t lengths[] = {1, 7, 8, 9, 100, 1000, 12000};
    idem_store *store = store_open();
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        char key[16], intent[12000];
        snprintf(key, sizeof(key), "key %zu", i);
        for (size_t at = 0; at < lengths[i]; at++) {
            intent[at] = (char)test_random();
        }
        struct idem_request request = request_of(key);
        struct idem_claim claim;
        request.fingerprint = i % 2 ? one : NULL;
        request.intent = intent;
        request.intent_len = lengths[i];
        CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
        CHECK_INT(idem_abandon(&claim), IDEM_OK);
        for (int attempt = 2; attempt < 5; attempt++) {
            char buffer[sizeof(intent)];
            claim = no_claim();
            if (attempt % 2) {
                claim.record.buffer = buffer;
                claim.record.buffer_size = sizeof(buffer);
            }
            request.intent = "another";
            request.intent_len = 7;
            CHECK_INT(idem_claim(store, &request, &claim), IDEM_OK);
            CHECK_INT(claim.outcome, IDEM_RECLAIMED);
            CHECK_INT(claim.record.attempt, attempt);
            CHECK_INT(claim.record.intent_len, lengths[i]);
            CHECK(memcmp(claim.record.intent, intent, lengths[i]) == 0);
            CHECK_INT(claim.record.owned == NULL, attempt % 2);
            CHECK_INT(attempt % 2 ? idem_release(&claim) : idem_abandon(&claim), IDEM_OK);
            idem_record_free(&claim.record);
        }
    }
    store_end(store);
}

/* The earlier intent has been read and is not needed any more: the claim goes on. */
static void freeing_the_record_keeps_the_token(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    request.intent = "pay 5";
    request.intent_len = 5;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(claim_with(store, &request, &claim), IDEM_RECLAIMED);
    idem_record_free(&claim.record);
    CHECK(claim.record.owned == NULL && claim.record.intent_len == 0);
    CHECK_INT(claim.record.attempt, 2);
    complete_with(&claim, "paid");
    CHECK(has_value(store, "key", "paid"));
    store_end(store);
}

static void a_released_key_is_new_again(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    uint64_t last_id = 0;
    for (int round = 0; round < 1000; round++) {
        CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
        CHECK_INT(claim.record.attempt, 1);
        CHECK(claim.record.id != last_id);
        last_id = claim.record.id;
        CHECK_INT(idem_release(&claim), IDEM_OK);
        CHECK_INT(idem_release(&claim), IDEM_ELOST);
        CHECK_INT(state_of(store, "key"), IDEM_ENOTFOUND);
    }
    store_end(store);
}

/* A later attempt's release says nothing of the first one's fate. */
static void releasing_a_later_attempt_orphans(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_ORPHANED);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_RECLAIMED);
    CHECK_INT(claim.record.attempt, 2);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_RECLAIMED);
    CHECK_INT(claim.record.attempt, 3);
    complete_with(&claim, "at last");
    CHECK(has_value(store, "key", "at last"));
    store_end(store);
}

static void a_held_key_waits_for_a_person(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    request.flags = IDEM_HOLD;
    request.intent = "pay 5";
    request.intent_len = 5;
    request.ttl_ms = 1;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    for (int round = 0; round < 3; round++) {
        CHECK_INT(claim_key(store, "key", &claim), IDEM_HELD);
        CHECK_INT(claim.owner, 0);
        CHECK_INT(claim.record.held, 1);
        CHECK_INT(claim.record.attempt, 1);
        CHECK(has_bytes(claim.record.intent, claim.record.intent_len, "pay 5"));
        CHECK_INT(claim.record.expires_in_ms, IDEM_FOREVER);
        idem_record_free(&claim.record);
        CHECK(idem_sweep(store, 0) >= 0);
    }
    CHECK_INT(idem_resolve(store, "key", 3, "paid", 4, 1000000), IDEM_OK);
    CHECK(has_value(store, "key", "paid"));
    store_end(store);
}

static void the_last_attempt_is_held(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    for (int attempt = 1; attempt <= (int)LIFE_ATTEMPT_MAX; attempt++) {
        CHECK_INT(claim_key(store, "key", &claim), attempt == 1 ? IDEM_CLAIMED : IDEM_RECLAIMED);
        CHECK_INT(claim.record.attempt, attempt);
        CHECK_INT(idem_abandon(&claim), IDEM_OK);
        idem_record_free(&claim.record);
    }
    CHECK_INT(claim_key(store, "key", &claim), IDEM_HELD);
    CHECK_INT(claim.record.held, 1);
    CHECK_INT(claim.record.attempt, LIFE_ATTEMPT_MAX);
    CHECK_INT(idem_resolve(store, "key", 3, NULL, 0, 0), IDEM_OK);
    CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
    store_end(store);
}

static void a_lease_bounds_a_living_owner(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim first, second;
    request.lease_ms = 50;
    CHECK_INT(claim_with(store, &request, &first), IDEM_CLAIMED);
    CHECK_INT(first.record.lease_left_ms, 50);
    CHECK_SOON(claim_with(store, &request, &second) != IDEM_BUSY);
    CHECK_INT(second.outcome, IDEM_RECLAIMED);
    CHECK_INT(second.record.attempt, 2);
    /* The late owner does no harm. */
    CHECK_INT(idem_complete(&first, "late", 4, IDEM_TTL_SAME, 0), IDEM_ELOST);
    CHECK_INT(idem_release(&first), IDEM_ELOST);
    CHECK_INT(idem_abandon(&first), IDEM_ELOST);
    CHECK_INT(idem_renew(&first, 1000), IDEM_ELOST);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_PENDING);
    complete_with(&second, "right");
    CHECK_INT(idem_complete(&first, "late", 4, IDEM_TTL_SAME, 0), IDEM_ELOST);
    CHECK(has_value(store, "key", "right"));
    store_end(store);
}

/* Never early: as long as the claimer's own clock says so, the lease holds. */
static void a_lease_is_never_early(void)
{
    idem_store *store = store_open();
    const int64_t leases_ms[] = {1, 20, 300};
    for (size_t i = 0; i < sizeof(leases_ms) / sizeof(leases_ms[0]); i++) {
        struct timespec begin, now;
        char key[16];
        snprintf(key, sizeof(key), "key %zu", i);
        struct idem_request request = request_of(key);
        struct idem_claim claim;
        request.lease_ms = leases_ms[i];
        CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
        clock_gettime(CLOCK_MONOTONIC, &begin);
        while (outcome_of(store, key) == IDEM_BUSY) {
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
        const int64_t held_ms =
            (now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000;
        CHECK(held_ms >= leases_ms[i]);
    }
    store_end(store);
}

static void a_lease_that_ran_out_is_held_if_asked(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim, other;
    request.lease_ms = 20;
    request.flags = IDEM_HOLD;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_SOON(claim_with(store, &request, &other) == IDEM_HELD);
    CHECK_INT(idem_complete(&claim, "late", 4, IDEM_TTL_SAME, 0), IDEM_ELOST);
    CHECK_INT(idem_resolve(store, "key", 3, "", 0, 1000), IDEM_OK);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_DONE);
    store_end(store);
}

/* Nobody came meanwhile: the owner may still complete. */
static void completing_after_the_lease_succeeds_if_nobody_came(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    request.lease_ms = 1;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_SOON(idem_lookup(store, "key", 3, &record) == IDEM_OK && record.lease_left_ms == 0);
    complete_with(&claim, "late but right");
    CHECK(has_value(store, "key", "late but right"));
    store_end(store);
}

static void renewing_moves_the_lease(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim, other;
    request.lease_ms = 1;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_renew(&claim, 1000000), IDEM_OK);
    CHECK_INT(claim_key(store, "key", &other), IDEM_BUSY);
    CHECK(other.record.lease_left_ms > 900000 && other.record.lease_left_ms < 1010000);
    CHECK_INT(idem_renew(&claim, 0), IDEM_OK);
    CHECK_INT(claim_key(store, "key", &other), IDEM_BUSY);
    CHECK_INT(other.record.lease_left_ms, -1);
    CHECK_INT(idem_renew(&claim, 10), IDEM_OK);
    CHECK_SOON(claim_key(store, "key", &other) == IDEM_RECLAIMED);
    CHECK_INT(idem_renew(&claim, 10), IDEM_ELOST);
    CHECK_INT(idem_release(&other), IDEM_OK);
    store_end(store);
}

static void a_claim_after_an_abandon_is_busy_for_the_crash_grace(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim, other;
    request.crash_grace_ms = 100;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(claim_key(store, "key", &other), IDEM_BUSY);
    CHECK_INT(other.record.state, IDEM_STATE_ORPHANED);
    request.wait_ms = TEST_DEADLINE_S * 1000;
    CHECK_INT(claim_with(store, &request, &other), IDEM_RECLAIMED);
    CHECK_INT(idem_release(&other), IDEM_OK);
    store_end(store);
}

static void waiting_ends_at_its_deadline(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim, other;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    request.wait_ms = 30;
    CHECK_INT(claim_with(store, &request, &other), IDEM_BUSY);
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_wait(store, "key", 3, 30, &record), IDEM_ETIMEDOUT);
    CHECK_INT(idem_wait(store, "other", 5, 30, &record), IDEM_ENOTFOUND);
    complete_with(&claim, "v");
    CHECK_INT(idem_wait(store, "key", 3, 0, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_DONE);
    idem_record_free(&record);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_new_key_is_claimed_once),
                                    TEST(keys_of_all_lengths_are_told_apart),
                                    TEST(another_fingerprint_is_a_mismatch),
                                    TEST(an_orphan_of_another_fingerprint_is_a_mismatch),
                                    TEST(intents_survive_takeovers),
                                    TEST(freeing_the_record_keeps_the_token),
                                    TEST(a_released_key_is_new_again),
                                    TEST(releasing_a_later_attempt_orphans),
                                    TEST(a_held_key_waits_for_a_person),
                                    TEST(the_last_attempt_is_held),
                                    TEST(a_lease_bounds_a_living_owner),
                                    TEST(a_lease_is_never_early),
                                    TEST(a_lease_that_ran_out_is_held_if_asked),
                                    TEST(completing_after_the_lease_succeeds_if_nobody_came),
                                    TEST(renewing_moves_the_lease),
                                    TEST(a_claim_after_an_abandon_is_busy_for_the_crash_grace),
                                    TEST(waiting_ends_at_its_deadline),
                                    {0}});
}
