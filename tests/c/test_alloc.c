/* The hand: what has ended is found and used again without a sweep, whatever the hints were; room is not wasted. */
#include "store.h"

/* Claims and completes `keys` keys of a round; claimed for `claim_ms`, kept for `done_ms`. */
static void fill(idem_store *store, int round, int keys, int64_t claim_ms, int64_t done_ms)
{
    for (int i = 0; i < keys; i++) {
        char key[32];
        struct idem_claim claim;
        snprintf(key, sizeof(key), "round %03d key %06d", round, i);
        struct idem_request request = request_of(key);
        request.ttl_ms = claim_ms;
        CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, key, strlen(key), done_ms, 0), IDEM_OK);
        CHECK_INT(claim.record.kept, 1);
    }
}

/* Rounds of keys that expire before the next: the memory of one and a half rounds is enough for all. */
static void rounds_of_expiring_keys(int64_t claim_ms, int64_t done_ms)
{
    enum { ROUNDS = 2, KEYS = TEST_ROUNDS(20000) };
    idem_store *store = store_open_with(STORE_SMALL_BYTES, 0);
    uint64_t first_bytes = 0;
    for (int round = 0; round < ROUNDS; round++) {
        char last[32];
        fill(store, round, KEYS, claim_ms, done_ms);
        const struct idem_stats stats = store_stats(store);
        first_bytes = round == 0 ? stats.allocated_bytes : first_bytes;
        CHECK(stats.allocated_bytes <= first_bytes + first_bytes / 2);
        snprintf(last, sizeof(last), "round %03d key %06d", round, KEYS - 1);
        if (round + 1 < ROUNDS) {
            CHECK_SOON(state_of(store, last) == IDEM_ENOTFOUND);
        }
    }
    store_end(store);
}

static void expired_blocks_are_used_again(void) { rounds_of_expiring_keys(1, IDEM_TTL_SAME); }
static void so_are_those_that_expire_earlier_than_claimed(void)
{
    rounds_of_expiring_keys(IDEM_FOREVER, 1);
}

/* Keys that live for ever among those that do not: passed, and never lost. */
static void the_living_are_passed(void)
{
    enum { KEYS = 2000 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    fill(store, 0, KEYS, IDEM_FOREVER, IDEM_TTL_SAME);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 200; i++) {
            char key[48];
            struct idem_claim claim;
            snprintf(key, sizeof(key), "passing %03d %06d..", round, i);
            CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
            CHECK_INT(idem_complete(&claim, key, strlen(key), IDEM_TTL_SAME, 0), IDEM_OK);
            CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
        }
    }
    for (int i = 0; i < KEYS; i++) {
        char key[32];
        snprintf(key, sizeof(key), "round 000 key %06d", i);
        CHECK(has_value(store, key, key));
    }
    CHECK_INT(store_stats(store).done_keys, KEYS);
    store_end(store);
}

/* Large and small values in turn: what the one leaves the other finds. */
static void memory_changes_its_class(void)
{
    static const size_t sizes[] = {10, 15000, 100, 4000, 50, 1000};
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    static char value[15000];
    for (size_t turn = 0; turn < 12; turn++) {
        const size_t size = sizes[turn % (sizeof(sizes) / sizeof(sizes[0]))];
        const int keys = (int)(400000 / (size + 200));
        for (int pass = 0; pass < 2; pass++) {
            for (int i = 0; i < keys; i++) {
                char key[32];
                snprintf(key, sizeof(key), "key %06d", i);
                if (pass == 1) {
                    CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
                    continue;
                }
                struct idem_claim claim;
                CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
                CHECK_INT(idem_complete(&claim, value, size, IDEM_TTL_SAME, 0), IDEM_OK);
                CHECK_INT(claim.record.kept, 1);
            }
        }
    }
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(expired_blocks_are_used_again),
                                    TEST(so_are_those_that_expire_earlier_than_claimed),
                                    TEST(the_living_are_passed),
                                    TEST(memory_changes_its_class),
                                    {0}});
}
