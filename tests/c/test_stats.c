/* What stats reports agrees with what was done. */
#include "store.h"

static void a_new_store_is_empty(void)
{
    idem_store *store = store_open_with(STORE_SMALL_BYTES, 0);
    const struct idem_stats stats = store_stats(store);
    CHECK_INT(stats.max_bytes, STORE_SMALL_BYTES);
    CHECK(stats.ceiling_bytes >= stats.max_bytes);
    CHECK_INT(stats.buckets, 64);
    CHECK_INT(stats.pending_keys + stats.orphaned_keys + stats.done_keys, 0);
    CHECK_INT(stats.record_blocks + stats.value_blocks + stats.retired_blocks, 0);
    CHECK_INT(stats.key_max, IDEM_KEY_MAX);
    CHECK(stats.value_max > 100000 && stats.intent_max > 100000);
    CHECK_INT(stats.slots_used, 1);
    CHECK(stats.slots_max >= 4096);
    CHECK_INT(stats.owners_issued, 1);
    CHECK_INT(stats.epoch_laggards, 0);
    CHECK(stats.used_bytes <= stats.allocated_bytes && stats.allocated_bytes < stats.max_bytes);
    CHECK_INT(stats.used_bytes, stats.slab_bytes); /* the first index chunk */
    store_end(store);
}

static void keys_are_counted_by_state(void)
{
    enum { EACH = 100 };
    idem_store *store = store_open();
    const uint64_t empty_bytes = store_stats(store).used_bytes;
    for (int i = 0; i < 3 * EACH; i++) {
        char key[16];
        struct idem_claim claim;
        snprintf(key, sizeof(key), "key %06d", i);
        CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
        if (i % 3 == 0) {
            complete_with(&claim, i % 2 ? "" : "a value of some bytes");
        } else if (i % 3 == 1) {
            CHECK_INT(idem_abandon(&claim), IDEM_OK);
        }
    }
    const struct idem_stats stats = store_stats(store);
    CHECK_INT(stats.done_keys, EACH);
    CHECK_INT(stats.orphaned_keys, EACH);
    CHECK_INT(stats.pending_keys, EACH);
    CHECK_INT(stats.record_blocks, 3 * EACH);
    CHECK_INT(stats.value_blocks, EACH / 2);
    /* A record of a 10-byte key fits 80 bytes, a value of 21 bytes 48; more index chunks beside. */
    CHECK_INT((stats.used_bytes - empty_bytes) % stats.slab_bytes, 3 * EACH * 80 + EACH / 2 * 48);
    for (int i = 0; i < 3 * EACH; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %06d", i);
        CHECK_INT(idem_forget(store, key, strlen(key), IDEM_FORCE), IDEM_OK);
    }
    CHECK_INT(store_stats(store).retired_blocks, 3 * EACH + EACH / 2);
    store_end(store);
}

static void call_once(void *store) { (void)store_stats(store); }

static void processes_are_counted_while_they_live(void)
{
    enum { CHILDREN = 5 };
    idem_store *store = store_open();
    const int64_t before_ms = store_stats(store).now_ms;
    for (int i = 0; i < CHILDREN; i++) {
        CHECK_INT(test_join(test_child(call_once, store)), 0);
    }
    CHECK_INT(store_stats(store).owners_issued, 1 + CHILDREN);
    CHECK_SOON(store_stats(store).slots_used == 1);
    CHECK(store_stats(store).now_ms >= before_ms);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_new_store_is_empty),
                                    TEST(keys_are_counted_by_state),
                                    TEST(processes_are_counted_while_they_live),
                                    {0}});
}
