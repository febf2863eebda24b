/*
 * SIGSTOP of a reader in the middle of a call: what it looks at is not used again, the statistics name it,
 * the end of that is IDEM_EFULL and never a hang, and after SIGCONT all goes on.
 */
#include "../c/inside.h"
#include "hosts.h"

#define CALLS_MAX 200000 /* far more than what fits in the smallest store */
#define REFUSALS 10
#define KEY "the key!" /* all keys have 8 bytes: their blocks could take each other's places */

struct reader {
    idem_store *store;
    atomic_int looks; /* 1: it has found the record; 2: it may leave; 3: it has left */
    atomic_int over;
};

static void stop(pid_t process)
{
    int status;
    CHECK_INT(kill(process, SIGSTOP), 0);
    CHECK_INT(waitpid(process, &status, WUNTRACED), process);
    CHECK(WIFSTOPPED(status));
}

static void check_record(const struct record_shm *record, uint32_t generation)
{
    CHECK_INT(record->generation, generation);
    CHECK_INT(record->key_len, strlen(KEY));
    CHECK(memcmp(record + 1, KEY, strlen(KEY)) == 0);
}

/* A look at a record: found, long looked at, left. */
static void look_for_long(void *argument)
{
    struct reader *reader = argument;
    struct idem__op op = inside_begin(reader->store);
    const struct record_shm *record = inside_record(&op, KEY);
    const uint32_t generation = record->generation;
    check_record(record, generation);
    atomic_store(&reader->looks, 1);
    while (atomic_load(&reader->looks) != 2) { /* stopped here */
    }
    check_record(record, generation);
    inside_end(&op);
    atomic_store(&reader->looks, 3);
    host_await(&reader->over, 1);
}

/* Claims and releases, and completes and forgets, other keys until there is no room; false: there is. */
static bool use_up_the_room(idem_store *store)
{
    for (int i = 0; i < CALLS_MAX; i++) {
        struct idem_claim claim = no_claim();
        char key[32];
        snprintf(key, sizeof(key), "%08d", i);
        const struct idem_request request = request_of(key);
        const int status = idem_claim(store, &request, &claim);
        if (status != IDEM_OK) {
            CHECK_INT(status, IDEM_EFULL);
            CHECK(idem_last_error()[0] != '\0');
            return true;
        }
        if (i % 2) {
            CHECK_INT(idem_release(&claim), IDEM_OK);
        } else {
            CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
            CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
        }
    }
    return false;
}

static void a_stopped_reader_keeps_what_it_looks_at(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct reader *reader = shared_memory(sizeof(*reader));
    struct idem_claim looked_at, granted;
    reader->store = store;
    put(store, "is done!", "value");
    CHECK_INT(claim_key(store, "granted!", &granted), IDEM_CLAIMED);
    CHECK_INT(claim_key(store, KEY, &looked_at), IDEM_CLAIMED);
    const pid_t child = test_child(look_for_long, reader);
    host_await(&reader->looks, 1);
    stop(child);
    CHECK_INT(idem_release(&looked_at),
              IDEM_OK); /* its block may be used again, but for the reader */

    CHECK(use_up_the_room(store));
    CHECK_INT(store_stats(store).epoch_laggards, 1);
    CHECK(store_stats(store).retired_blocks > 1000);
    for (int i = 0; i < REFUSALS; i++) { /* at once, and after a search */
        CHECK(use_up_the_room(store));
    }
    /* Everything else goes on. */
    CHECK(has_value(store, "is done!", "value"));
    CHECK_INT(outcome_of(store, "is done!"), IDEM_DONE);
    CHECK_INT(outcome_of(store, "granted!"), IDEM_BUSY);
    CHECK_INT(idem_complete(&granted, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
    CHECK(idem_sweep(store, 0) >= 0);
    store_check(store);
    CHECK_INT(store_stats(store).epoch_laggards, 1);

    atomic_store(&reader->looks, 2);
    CHECK_INT(kill(child, SIGCONT), 0);
    host_await(&reader->looks, 3);
    CHECK_INT(store_stats(store).epoch_laggards, 0);
    CHECK_SOON(!use_up_the_room(store)); /* refusals are repeated for a tenth of a second */
    (void)used_after_sweep(store);
    CHECK_INT(store_stats(store).record_blocks, 2); /* "is done!" and "granted!" are left */
    CHECK_INT(store_stats(store).value_blocks, 1);
    atomic_store(&reader->over, 1);
    CHECK_INT(test_join(child), 0);
    munmap(reader, sizeof(*reader));
    store_end(store);
}

/* ---- stopped anywhere ----------------------------------------------------------------------- */

enum { KEYS = 8, VALUE_BYTES = 4000 };

static void put_letters(idem_store *store, int number)
{
    char key[] = "a", value[VALUE_BYTES];
    struct idem_claim claim;
    key[0] = (char)('a' + number % KEYS);
    memset(value, key[0], sizeof(value));
    (void)idem_forget(store, key, 1, 0);
    if (claim_key(store, key, &claim) == IDEM_CLAIMED) {
        CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
    }
    idem_record_free(&claim.record);
}

/* Reads values, which change their places all the time: each is whole and its key's. */
static void read_on(void *argument)
{
    struct reader *reader = argument;
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    for (int i = 0; !atomic_load(&reader->over); i++) {
        char key[] = "a";
        key[0] = (char)('a' + i % KEYS);
        const int status = idem_lookup(reader->store, key, 1, &record);
        CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND);
        for (size_t at = 0; status == IDEM_OK && at < record.value_len; at++) {
            CHECK_INT(((const char *)record.value)[at], key[0]);
        }
        atomic_fetch_add(&reader->looks, 1);
    }
    idem_record_free(&record);
}

static void readers_are_stopped_anywhere(void)
{
    enum { STOPS = TEST_ROUNDS(100), CHANGES = 300 };
    idem_store *store = store_open();
    struct reader *reader = shared_memory(sizeof(*reader));
    reader->store = store;
    const pid_t child = test_child(read_on, reader);
    uint64_t laggards = 0;
    for (int stops = 0; stops < STOPS; stops++) {
        const int looks = atomic_load(&reader->looks);
        CHECK_SOON(atomic_load(&reader->looks) != looks);
        stop(child);
        for (int i = 0; i < CHANGES; i++) {
            put_letters(store, i);
        }
        CHECK(idem_sweep(store, 0) >= 0);
        laggards += store_stats(store).epoch_laggards;
        CHECK_INT(kill(child, SIGCONT), 0);
    }
    printf("  stopped inside a call %d times of %d\n", (int)laggards, STOPS);
    atomic_store(&reader->over, 1);
    CHECK_INT(test_join(child), 0);
    CHECK_INT(store_stats(store).epoch_laggards, 0);
    munmap(reader, sizeof(*reader));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){
        TEST(a_stopped_reader_keeps_what_it_looks_at), TEST(readers_are_stopped_anywhere), {0}});
}
