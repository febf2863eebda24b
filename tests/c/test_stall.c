/* Memory that was needed once comes back while the store is used: what was taken beside a thread that stood
   still inside a section, and what a larger population had. */
#include <pthread.h>
#include <stdatomic.h>

#include "inside.h"

#define STORE_BYTES ((uint64_t)64 << 20)
#define KEYS 3000
#define STALLS 6
#define ROUNDS_MAX 100      /* each replaces all keys once; some 15 are needed */
#define STALLED_CALLS 60000 /* of each stall: several slabs of garbage */
#define STORE_TINY_BYTES ((uint64_t)1 << 20)
#define MANY_KEYS 30000
#define GATHER_ROUNDS 60
#define GATHERED_MAX 3 /* times the slabs that a population of the size would have, grown afresh */

struct stall {
    idem_store *store;
    atomic_bool inside, over;
};

static void *stand_still(void *argument)
{
    struct stall *stall = argument;
    struct idem__op op = inside_begin(stall->store);
    atomic_store(&stall->inside, true);
    while (!atomic_load(&stall->over)) {
        sched_yield();
    }
    inside_end(&op);
    return NULL;
}

static void key_of(char key[20], uint32_t number) { snprintf(key, 20, "key %010u", number); }

/* One key goes, another comes: which one is random, so that each slab always holds some. */
static void replace(idem_store *store, uint32_t *numbers, uint32_t *next, uint32_t keys)
{
    const uint32_t place = (uint32_t)(test_random() % keys);
    char key[20];
    if (numbers[place] != 0) {
        key_of(key, numbers[place]);
        CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
    }
    numbers[place] = ++*next;
    key_of(key, numbers[place]);
    put(store, key, key);
}

static void churn(idem_store *store, uint32_t numbers[KEYS], uint32_t *next, uint32_t calls)
{
    for (uint32_t i = 0; i < calls; i++) {
        replace(store, numbers, next, KEYS);
    }
}

static void what_a_stall_took_comes_back(void)
{
    static uint32_t numbers[KEYS];
    uint32_t next = 0;
    uint64_t highest = 0;
    idem_store *store = store_open_with(STORE_BYTES, 0);
    churn(store, numbers, &next, 20 * KEYS);
    const struct idem_stats before = store_stats(store);
    for (int i = 0; i < STALLS; i++) {
        struct stall stall = {.store = store};
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, stand_still, &stall), 0);
        CHECK_SOON(atomic_load(&stall.inside));
        churn(store, numbers, &next, STALLED_CALLS);
        highest = idem__max_u64(highest, store_stats(store).allocated_bytes);
        atomic_store(&stall.over, true);
        CHECK_INT(pthread_join(thread, NULL), 0);
    }
    /* In use as before. What is kept: a reserve (slab.h), and of each family one spare slab and one on its way. */
    struct idem_stats after = store_stats(store);
    /* The index does not shrink. */
    const uint64_t most_bytes = before.allocated_bytes + (SLAB_RESERVE + 4) * before.slab_bytes +
                                after.buckets * sizeof(uint64_t);
    CHECK(highest > most_bytes);
    int rounds = 0;
    for (; after.allocated_bytes > most_bytes; rounds++) {
        CHECK(rounds < ROUNDS_MAX);
        churn(store, numbers, &next, KEYS);
        after = store_stats(store);
    }
    printf("  backed KiB: %" PRIu64 ", stalled %" PRIu64 ", then %" PRIu64 " after %d rounds\n",
           before.allocated_bytes >> 10, highest >> 10, after.allocated_bytes >> 10, rounds);
    CHECK_INT(after.done_keys, KEYS);
    store_end(store);
}

/* Survivors that are scattered over many slabs gather in few, since the fullest are filled first. */
static void what_a_larger_population_took_comes_back(void)
{
    static uint32_t numbers[MANY_KEYS];
    uint32_t next = 0;
    char key[20];
    idem_store *store = store_open_with(STORE_TINY_BYTES, 0); /* of small slabs */
    CHECK_INT(idem_resize(store, STORE_BYTES), IDEM_OK);
    churn(store, numbers, &next, KEYS);
    for (uint32_t place = 0; place < MANY_KEYS; place++) {
        if (numbers[place] == 0) {
            numbers[place] = ++next;
            key_of(key, numbers[place]);
            put(store, key, key);
        }
    }
    const struct idem_stats many = store_stats(store);
    /* Which ones survive is random. */
    for (uint32_t left = MANY_KEYS; left > KEYS; left--) {
        const uint32_t place = (uint32_t)(test_random() % left);
        if (numbers[place] != 0) {
            key_of(key, numbers[place]);
            CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
        }
        numbers[place] = numbers[left - 1];
    }
    const uint64_t needed = (many.slabs - many.slabs_free) * KEYS / MANY_KEYS;
    const uint64_t most = GATHERED_MAX * needed + 2 * SLAB_RESERVE;
    struct idem_stats after = store_stats(store);
    int rounds = 0;
    for (; rounds < GATHER_ROUNDS && after.slabs - after.slabs_free > most; rounds++) {
        churn(store, numbers, &next, KEYS);
        after = store_stats(store);
    }
    printf("  slabs of %" PRIu64 " keys: %" PRIu64 "; of %d: %" PRIu64 " after %d rounds\n",
           many.done_keys, many.slabs - many.slabs_free, KEYS, after.slabs - after.slabs_free,
           rounds);
    CHECK(after.slabs - after.slabs_free <= most);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){
        TEST(what_a_stall_took_comes_back), TEST(what_a_larger_population_took_comes_back), {0}});
}
