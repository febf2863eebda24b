/* Retention: never early by the claimer's own clock, then gone, the memory with it, and the key new again. */
#include "store.h"

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The coarse clock's ticks at both ends of an interval. */
#define TICKS_MS 20

static void a_key_is_retained_for_its_ttl_and_then_new(void)
{
    static const int64_t ttls_ms[] = {1, 1000, 1500, 2000};
    enum { TTLS = 4 };
    idem_store *store = store_open();
    uint64_t done_ms[TTLS], gone = 0;
    char keys[TTLS][16];
    /* Late in a second of the store's clock, where rounding down would show. */
    CHECK_SOON(store_stats(store).now_ms % 1000 >= 700);
    for (int i = 0; i < TTLS; i++) {
        snprintf(keys[i], sizeof(keys[i]), "key %d", i);
        struct idem_request request = request_of(keys[i]);
        struct idem_claim claim;
        request.ttl_ms = ttls_ms[i];
        CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
        done_ms[i] = now_ms();
        complete_with(&claim, keys[i]);
    }
    const uint64_t end_ms = now_ms() + TEST_DEADLINE_S * 1000;
    while (gone != (1u << TTLS) - 1) {
        for (int i = 0; i < TTLS; i++) {
            const int state = state_of(store, keys[i]);
            if (state == IDEM_ENOTFOUND) {
                CHECK(now_ms() + TICKS_MS >= done_ms[i] + (uint64_t)ttls_ms[i]);
                gone |= 1u << i;
            } else {
                CHECK_INT(state, IDEM_STATE_DONE);
                CHECK((gone & 1u << i) == 0); /* not there again */
            }
        }
        CHECK(now_ms() < end_ms);
    }
    for (int i = 0; i < TTLS; i++) {
        struct idem_claim claim;
        CHECK_INT(claim_key(store, keys[i], &claim), IDEM_CLAIMED);
        CHECK_INT(claim.record.attempt, 1);
        CHECK_INT(idem_release(&claim), IDEM_OK);
    }
    (void)used_after_sweep(store);
    CHECK_INT(store_stats(store).record_blocks + store_stats(store).value_blocks, 0);
    store_end(store);
}

/* The ttl given at completion counts from then; the claim's from the claim. */
static void a_ttl_at_completion_counts_from_then(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    struct idem_request request = request_of("key");
    request.ttl_ms = 1;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_complete(&claim, "v", 1, IDEM_FOREVER, 0), IDEM_OK);
    put(store, "other", "v");
    CHECK_INT(idem_touch(store, "other", 5, 1000), IDEM_OK);
    const uint64_t touched_ms = now_ms();
    CHECK_SOON(state_of(store, "other") == IDEM_ENOTFOUND);
    CHECK(now_ms() + TICKS_MS >= touched_ms + 1000);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_DONE);
    store_end(store);
}

/* An orphan that nobody takes over is kept for its ttl from the moment it was left, then it is gone. */
static void orphans_expire_unless_held(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    struct idem_request request = request_of("key"), held = request_of("held");
    request.ttl_ms = 1000;
    held.ttl_ms = 1000;
    held.flags = IDEM_HOLD;
    CHECK_INT(claim_with(store, &held, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    const uint64_t left_ms = now_ms();
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    while (state_of(store, "key") != IDEM_ENOTFOUND) {
        CHECK(now_ms() < left_ms + TEST_DEADLINE_S * 1000);
    }
    CHECK(now_ms() + TICKS_MS >= left_ms + 1000);
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(claim.record.attempt, 1);
    CHECK_INT(outcome_of(store, "held"), IDEM_HELD);
    store_end(store);
}

/* Of many claimers of a key that expires, one gets it, each time it does. */
struct crowd {
    idem_store *store;
    _Atomic uint32_t claims;
    _Atomic uint64_t last_ms;
    uint64_t end_ms;
};

static void claim_until_the_end(void *argument)
{
    struct crowd *crowd = argument;
    while (now_ms() < crowd->end_ms) {
        struct idem_request request = request_of("key");
        struct idem_claim claim;
        request.ttl_ms = 1000;
        if (claim_with(crowd->store, &request, &claim) == IDEM_CLAIMED) {
            const uint64_t before_ms = crowd->last_ms, claimed_ms = now_ms();
            crowd->last_ms = claimed_ms;
            CHECK(before_ms == 0 || claimed_ms + TICKS_MS >= before_ms + 1000);
            crowd->claims++;
            complete_with(&claim, "v");
        }
        idem_record_free(&claim.record);
    }
}

static void an_expired_key_is_claimed_by_one(void)
{
    enum { CLAIMERS = 4, FOR_MS = 3500 };
    idem_store *store = store_open();
    struct crowd *crowd = shared_memory(sizeof(*crowd));
    pid_t children[CLAIMERS];
    crowd->store = store;
    crowd->end_ms = now_ms() + FOR_MS;
    for (int i = 0; i < CLAIMERS; i++) {
        children[i] = test_child(claim_until_the_end, crowd);
    }
    for (int i = 0; i < CLAIMERS; i++) {
        CHECK_INT(test_join(children[i]), 0);
    }
    CHECK(crowd->claims >= 2 && crowd->claims <= 1 + FOR_MS / 1000);
    munmap(crowd, sizeof(*crowd));
    store_end(store);
}

/* In a store that only ever takes new keys, what has expired makes the room for them. */
static void expired_keys_make_room_without_a_sweep(void)
{
    enum { SECONDS = 3 };
    idem_store *store = store_open_with(STORE_SMALL_BYTES, 0);
    const uint64_t end_ms = now_ms() + SECONDS * 1000;
    uint64_t keys = 0, refused = 0;
    while (now_ms() < end_ms) {
        char key[32];
        struct idem_request request = request_of(key);
        struct idem_claim claim = no_claim();
        snprintf(key, sizeof(key), "key %020llu", (unsigned long long)keys);
        request.key_len = strlen(key);
        request.ttl_ms = 1;
        const int status = idem_claim(store, &request, &claim);
        if (status == IDEM_EFULL) {
            refused++;
            usleep(1000);
            continue;
        }
        CHECK_INT(status, IDEM_OK);
        CHECK_INT(claim.outcome, IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, key, strlen(key), IDEM_TTL_SAME, 0), IDEM_OK);
        keys++;
    }
    /* More than fit at once: the records and values of the first seconds have been reused. */
    printf("  %llu keys, %llu refused\n", (unsigned long long)keys, (unsigned long long)refused);
    CHECK_SOON(idem_sweep(store, 0) >= 0 && store_stats(store).record_blocks == 0);
    CHECK_INT(used_after_sweep(store) > 0, 1);
    CHECK_INT(store_stats(store).value_blocks, 0);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_key_is_retained_for_its_ttl_and_then_new),
                                    TEST(a_ttl_at_completion_counts_from_then),
                                    TEST(orphans_expire_unless_held),
                                    TEST(an_expired_key_is_claimed_by_one),
                                    TEST(expired_keys_make_room_without_a_sweep),
                                    {0}});
}
