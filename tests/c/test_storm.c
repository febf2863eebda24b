/* Retry storms: a few keys claimed and given back millions of times leave nothing behind. */
#include "store.h"

#define ROUNDS TEST_ROUNDS(10000000)
#define PROCESSES 2
#define KEYS 3
/* Room for the retired blocks of many time slices. */
#define STORE_ROOMY_BYTES ((uint64_t)128 << 20)
/* A block that the hand looks at in the moment it is to be retired is left to the hand. */
#define LEFT_TO_THE_HAND_MAX 2
#define PHASES 5

struct storm {
    idem_store *store;
};

/* However the claim ends, its memory must come back: by release, or by forgetting. */
static void claim_and_give_back(void *argument)
{
    const struct storm *storm = argument;
    static const char *const keys[KEYS] = {"first", "second",
                                           "the third, which is somewhat longer"};
    for (uint32_t round = 0; round < ROUNDS / PROCESSES / PHASES; round++) {
        const struct idem_request request = request_of(keys[round % KEYS]);
        struct idem_claim claim = no_claim();
        CHECK_INT(idem_claim(storm->store, &request, &claim), IDEM_OK);
        if (claim.outcome == IDEM_CLAIMED) {
            CHECK_INT(idem_release(&claim), IDEM_OK);
        } else {
            CHECK_INT(claim.outcome, IDEM_BUSY);
        }
    }
}

/* The index grows with the blocks that wait for their grace period, and never shrinks. */
static uint64_t index_bytes(idem_store *store)
{
    const struct idem_stats stats = store_stats(store);
    const uint64_t bytes = stats.buckets * sizeof(uint64_t);
    return (bytes + stats.slab_bytes - 1) / stats.slab_bytes * stats.slab_bytes;
}

/* Flat: after each phase, without a sweep, what is in use is what was before. */
static void released_claims_leave_nothing(void)
{
    idem_store *store = store_open_with(STORE_ROOMY_BYTES, 0);
    struct storm storm = {store};
    CHECK_INT(outcome_of(store, "stays"), IDEM_CLAIMED);
    const struct idem_stats before = store_stats(store);
    for (int phase = 0; phase < PHASES; phase++) {
        pid_t children[PROCESSES];
        for (int i = 0; i < PROCESSES; i++) {
            children[i] = test_child(claim_and_give_back, &storm);
        }
        for (int i = 0; i < PROCESSES; i++) {
            CHECK_INT(test_join(children[i]), 0);
        }
        const struct idem_stats now = store_stats(store);
        CHECK(now.record_blocks >= 1 && now.record_blocks <= 1 + LEFT_TO_THE_HAND_MAX);
        CHECK_INT(now.pending_keys, 1);
    }
    CHECK(used_after_sweep(store) <= before.used_bytes + index_bytes(store));
    CHECK_INT(store_stats(store).record_blocks, 1);
    CHECK(store_stats(store).allocated_bytes <= before.allocated_bytes + index_bytes(store));
    CHECK_INT(outcome_of(store, "stays"), IDEM_BUSY);
    store_end(store);
}

/* Completed and forgotten, with values of all sizes: slabs change their class meanwhile. */
static void forgotten_keys_leave_nothing(void)
{
    enum { PARTS = 20 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    const struct idem_stats before = store_stats(store);
    static char value[15000];
    for (uint32_t round = 0; round < ROUNDS / PARTS; round++) {
        struct idem_claim claim;
        CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, value, test_random() % sizeof(value), IDEM_TTL_SAME, 0),
                  IDEM_OK);
        CHECK_INT(claim.record.kept, 1);
        CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    }
    CHECK(used_after_sweep(store) <= before.used_bytes + index_bytes(store));
    CHECK_INT(store_stats(store).record_blocks + store_stats(store).value_blocks, 0);
    store_end(store);
}

/* Orphans that are reclaimed and abandoned again stay one record. */
static void abandoned_claims_stay_one_record(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    for (int storms = 0; storms < 100; storms++) {
        struct idem_claim claim;
        CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
        for (int attempt = 1; attempt < 100; attempt++) {
            CHECK_INT(idem_abandon(&claim), IDEM_OK);
            idem_record_free(&claim.record);
            CHECK_INT(claim_key(store, "key", &claim), IDEM_RECLAIMED);
        }
        CHECK_INT(idem_abandon(&claim), IDEM_OK);
        idem_record_free(&claim.record);
        CHECK_INT(store_stats(store).record_blocks, 1);
        CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    }
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(released_claims_leave_nothing),
                                    TEST(forgotten_keys_leave_nothing),
                                    TEST(abandoned_claims_stay_one_record),
                                    {0}});
}
