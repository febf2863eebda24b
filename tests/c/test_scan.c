/* Scans: each live key once, with what a lookup would tell; and no other. */
#include <stdatomic.h>

#include "store.h"

#define KEYS 3000

/* How often each of the keys "key <number>" is met; a value must be the key itself. */
static uint32_t scan(idem_store *store, uint8_t seen[KEYS])
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    uint64_t cursor = 0;
    uint32_t count = 0;
    int status;
    memset(seen, 0, KEYS);
    while ((status = idem_scan(store, &cursor, &record)) == IDEM_OK) {
        char key[32];
        CHECK(record.key_len < sizeof(key));
        memcpy(key, record.key, record.key_len);
        key[record.key_len] = '\0';
        CHECK(strncmp(key, "key ", 4) == 0);
        const unsigned long number = strtoul(key + 4, NULL, 10);
        CHECK(number < KEYS);
        CHECK(record.state != IDEM_STATE_DONE || has_bytes(record.value, record.value_len, key));
        CHECK(record.state != IDEM_STATE_ORPHANED ||
              has_bytes(record.intent, record.intent_len, key));
        seen[number]++;
        count++;
    }
    CHECK_INT(status, IDEM_ENOTFOUND);
    idem_record_free(&record);
    return count;
}

static void make(idem_store *store, int number)
{
    char key[16];
    snprintf(key, sizeof(key), "key %d", number);
    struct idem_request request = request_of(key);
    struct idem_claim claim;
    request.intent = key;
    request.intent_len = strlen(key);
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    if (number % 3 == 0) {
        complete_with(&claim, key);
    } else if (number % 3 == 1) {
        CHECK_INT(idem_abandon(&claim), IDEM_OK);
    }
}

static void every_key_is_met_once(void)
{
    static uint8_t seen[KEYS];
    idem_store *store = store_open();
    CHECK_INT(scan(store, seen), 0);
    for (int i = 0; i < KEYS; i++) {
        make(store, i);
    }
    CHECK_INT(scan(store, seen), KEYS);
    for (int i = 0; i < KEYS; i++) {
        CHECK_INT(seen[i], 1);
    }
    for (int i = 0; i < KEYS; i += 2) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        CHECK_INT(idem_forget(store, key, strlen(key), IDEM_FORCE), IDEM_OK);
    }
    CHECK_INT(scan(store, seen), KEYS / 2);
    for (int i = 0; i < KEYS; i++) {
        CHECK_INT(seen[i], i % 2);
    }
    store_end(store);
}

struct churn {
    idem_store *store;
    atomic_int stop;
};

static void churn(void *argument)
{
    struct churn *churn = argument;
    for (int i = KEYS / 2; !atomic_load(&churn->stop); i = i + 1 < KEYS ? i + 1 : KEYS / 2) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        make(churn->store, i);
        CHECK_INT(idem_forget(churn->store, key, strlen(key), IDEM_FORCE), IDEM_OK);
    }
}

/* What lives throughout is met exactly once, whatever comes and goes. */
static void a_scan_beside_changes_misses_nothing(void)
{
    static uint8_t seen[KEYS];
    idem_store *store = store_open();
    struct churn *shared = shared_memory(sizeof(*shared));
    shared->store = store;
    for (int i = 0; i < KEYS / 2; i++) {
        make(store, i);
    }
    const pid_t child = test_child(churn, shared);
    for (int round = 0; round < TEST_ROUNDS(200); round++) {
        (void)scan(store, seen);
        for (int i = 0; i < KEYS / 2; i++) {
            CHECK_INT(seen[i], 1);
        }
    }
    atomic_store(&shared->stop, 1);
    CHECK_INT(test_join(child), 0);
    munmap(shared, sizeof(*shared));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){
        TEST(every_key_is_met_once), TEST(a_scan_beside_changes_misses_nothing), {0}});
}
