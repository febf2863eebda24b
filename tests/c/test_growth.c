/* From 64 buckets to a million keys, under load from several threads: no key is lost or doubled meanwhile. */
#include <pthread.h>
#include <stdatomic.h>

#include "store.h"

#define THREADS 4
#define KEYS TEST_ROUNDS(1000000)
#define STORE_BYTES ((uint64_t)512 << 20)

struct load {
    idem_store *store;
    atomic_uint next;  /* the next key to be claimed by the two threads that share it */
    atomic_uint known; /* keys below are done */
    atomic_uint claimed;
    atomic_bool over;
};

static void key_of(char key[20], uint32_t number) { snprintf(key, 20, "key %u", number); }

/* Two threads claim the same keys in step: each is won by one of them. */
static void *claim_keys(void *argument)
{
    struct load *load = argument;
    for (uint32_t turn; (turn = atomic_fetch_add(&load->next, 1)) < 2 * KEYS;) {
        char key[20];
        struct idem_claim claim;
        key_of(key, turn / 2);
        const int outcome = claim_key(load->store, key, &claim);
        CHECK(outcome == IDEM_CLAIMED || outcome == IDEM_BUSY || outcome == IDEM_DONE);
        if (outcome == IDEM_CLAIMED) {
            atomic_fetch_add(&load->claimed, 1);
            complete_with(&claim, key);
            if (turn / 2 == atomic_load(&load->known)) {
                atomic_fetch_add(&load->known, 1);
            }
        }
        idem_record_free(&claim.record);
    }
    return NULL;
}

/* Meanwhile every key that is known to be done is found, wherever the buckets stand. */
static void *look_keys_up(void *argument)
{
    struct load *load = argument;
    uint64_t random = test_seed | 1;
    while (!atomic_load(&load->over)) {
        const uint32_t known = atomic_load(&load->known);
        random = random * 6364136223846793005u + 1442695040888963407u;
        if (known > 0) {
            char key[20];
            key_of(key, (uint32_t)((random >> 33) % known));
            CHECK(has_value(load->store, key, key));
        }
    }
    return NULL;
}

static void a_million_keys_come_under_load(void)
{
    idem_store *store = store_open_with(STORE_BYTES, 0);
    struct load load = {.store = store};
    pthread_t threads[THREADS];
    CHECK_INT(store_stats(store).buckets, 64);
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, i < 2 ? claim_keys : look_keys_up, &load), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
        if (i == 1) {
            atomic_store(&load.over, true);
        }
    }
    CHECK_INT(load.claimed, KEYS);
    const struct idem_stats stats = store_stats(store);
    CHECK_INT(stats.done_keys, KEYS);
    CHECK(stats.buckets > KEYS);
    for (uint32_t i = 0; i < KEYS; i++) {
        char key[20];
        key_of(key, i);
        CHECK(has_value(store, key, key));
    }
    printf("  %.1f bytes a key\n", (double)stats.used_bytes / KEYS);
    store_end(store);
}

/* They go again, and their memory with them, in any order. */
static void memory_follows_the_keys(void)
{
    enum { MANY = TEST_ROUNDS(200000) };
    idem_store *store = store_open_with(STORE_BYTES, 0);
    const struct idem_stats before = store_stats(store);
    for (int round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            char key[20];
            key_of(key, i);
            put(store, key, key);
        }
        for (uint32_t i = 0; i < MANY; i++) {
            char key[20];
            key_of(key, (uint32_t)((uint64_t)i * 7919 % MANY));
            CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
        }
        (void)used_after_sweep(store);
        const struct idem_stats after = store_stats(store);
        CHECK_INT(after.record_blocks + after.value_blocks, 0);
        /* But for the index, which does not shrink. */
        CHECK(after.allocated_bytes <=
              before.allocated_bytes + after.buckets * sizeof(uint64_t) + 2 * after.slab_bytes);
    }
    store_end(store);
}

int main(void)
{
    return test_run(
        (struct test[]){TEST(a_million_keys_come_under_load), TEST(memory_follows_the_keys), {0}});
}
