/*
 * A file system of 1 MiB that is full - when a region is created, a key is claimed, a claim is completed,
 * the index or the table of thread slots grows: IDEM_EFULL that names the file system and its size, never
 * SIGBUS (which would end the child that host_on_tmpfs waits for), nothing lost, and on it goes with room.
 */
#include <pthread.h>

#include "../c/inside.h"
#include "hosts.h"

#define TMPFS "size=1m"
static const char *its_size = "of its 1 MiB"; /* as messages tell it */
#define VALUE_BYTES 1000
#define STORE_BYTES \
    (((uint64_t)2 << 20) - 1) /* slabs of 16 KiB, and a limit above the file system */
#define KEYS_MAX 20000
#define SLAB_PAGES 4 /* of the smallest store */

/* What every refusal on this file system says. */
static void check_message(void)
{
    const char *message = idem_last_error();
    if (strstr(message, test_path) == NULL || strstr(message, its_size) == NULL) {
        TEST_FAIL("the message does not name the file system and its size: %s", message);
    }
}
#define CHECK_FULL(call)             \
    do {                             \
        CHECK_INT(call, IDEM_EFULL); \
        check_message();             \
    } while (0)

static int try_claim(idem_store *store, const char *key, struct idem_claim *claim)
{
    const struct idem_request request = request_of(key);
    *claim = no_claim();
    return idem_claim(store, &request, claim);
}

/* Claims and completes new numbers until a claim is refused; how many there were. */
static uint32_t put_until_full(idem_store *store, uint32_t first)
{
    char key[16];
    struct idem_claim claim;
    for (uint32_t number = first; number < KEYS_MAX; number++) {
        snprintf(key, sizeof(key), "%u", number);
        const int status = try_claim(store, key, &claim);
        if (status != IDEM_OK) {
            CHECK_FULL(status);
            CHECK_INT(claim.outcome, 0);
            return number;
        }
        CHECK_INT(claim.outcome, IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
    }
    TEST_FAIL("%d keys fit in 1 MiB", KEYS_MAX);
}

static void check_numbers(idem_store *store, uint32_t end)
{
    char key[16];
    for (uint32_t number = 0; number < end; number++) {
        snprintf(key, sizeof(key), "%u", number);
        CHECK_INT(state_of(store, key), IDEM_STATE_DONE);
    }
}

/* Claims, completes and forgets a new key; whether it was granted, and its value kept. */
static bool goes_well(idem_store *store)
{
    struct idem_claim claim;
    if (try_claim(store, "at last", &claim) != IDEM_OK) {
        return false;
    }
    complete_with(&claim, "value");
    const bool kept = claim.record.kept && has_value(store, "at last", "value");
    CHECK_INT(idem_forget(store, "at last", 7, 0), IDEM_OK);
    return kept;
}

/* A full file system is asked again after a pause. */
static void check_goes_on(idem_store *store)
{
    host_leave_pages(100);
    CHECK_SOON(goes_well(store));
}

/* ---- at create ------------------------------------------------------------------------------ */

/* With ever more room: each try is refused as a whole, or makes a whole store. */
static void create_with_little_room(uint64_t max_bytes, bool fits)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = max_bytes;
    int status = IDEM_EFULL;
    uint64_t pages = 0;
    const uint64_t all_pages = host_free_pages();
    const uint64_t step = fits ? 1 : all_pages / 8;
    for (; status != IDEM_OK && pages <= all_pages; pages += step) {
        idem_store *store;
        host_leave_pages(pages);
        status = idem_open(test_path, &options, &store);
        if (status == IDEM_OK) {
            host_leave_pages(1); /* of thread slots, which the check needs */
            store_end(store);
        } else {
            CHECK_FULL(status);
            CHECK(store == NULL);
            CHECK_INT(access(test_path, F_OK), -1);
            CHECK_INT(host_free_pages(), pages);
        }
        CHECK_INT(unlink(test_path), status == IDEM_OK ? 0 : -1);
    }
    CHECK_INT(status, fits ? IDEM_OK : IDEM_EFULL);
    CHECK(pages > 1);
    host_leave_all();
}

static void create(void)
{
    create_with_little_room(STORE_BYTES, true);
    create_with_little_room(0, false); /* the default of 256 MiB: its first slab has 2 MiB */
}

static void full_at_create(void) { host_on_tmpfs(TMPFS, create); }

/* A store whose first slab of keys cannot be had is refused when it is made, not at its first claim. */
static void create_for_no_key(void)
{
    struct idem_options options;
    idem_store *store;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = (uint64_t)64 << 20; /* slabs of 1 MiB: one for the index, one for keys */
    CHECK_FAILS(idem_open(test_path, &options, &store), IDEM_EFULL, "of its 2 MiB");
    CHECK_INT(access(test_path, F_OK), -1);
    options.max_bytes = (uint64_t)32 << 20;
    CHECK_INT(idem_open(test_path, &options, &store), IDEM_OK);
    put(store, "key", "value");
    store_end(store);
}

static void a_store_that_is_made_holds_a_key(void) { host_on_tmpfs("size=2m", create_for_no_key); }

/* ---- at claim ------------------------------------------------------------------------------- */

static uint64_t pages_left; /* by a test's body; each on a file system of its own */

/* The very first claim of a store: a page of thread slots, then a slab of records. */
static void claim_first(void)
{
    struct idem_claim claim;
    idem_store *store = store_open_with(STORE_BYTES, 0);
    host_leave_pages(pages_left);
    const int status = try_claim(store, "key", &claim);
    CHECK_INT(status, pages_left >= 1 + SLAB_PAGES ? IDEM_OK : IDEM_EFULL);
    if (status != IDEM_OK) {
        CHECK_FULL(status);
        CHECK_FULL(try_claim(store, "key", &claim)); /* and again, without asking the file system */
    } else {
        CHECK_INT(idem_complete(&claim, "value", 5, IDEM_TTL_SAME, 0), IDEM_OK);
        CHECK_INT(state_of(store, "key"), IDEM_STATE_DONE);
    }
    if (pages_left <= 1) {
        check_goes_on(store);
    }
    store_end(store);
}

/* Later ones: what is there stays. */
static void claim_on(void)
{
    idem_store *store = store_open_with(STORE_BYTES, 0);
    put(store, "valued", "value");
    host_leave_pages(10 * SLAB_PAGES);
    const uint32_t keys = put_until_full(store, 0);
    check_numbers(store, keys);
    CHECK(has_value(store, "valued", "value"));
    check_goes_on(store);
    check_numbers(store, keys);
    store_end(store);
}

static void full_at_claim(void)
{
    for (pages_left = 0; pages_left <= 1 + SLAB_PAGES + 1; pages_left++) {
        host_on_tmpfs(TMPFS, claim_first);
    }
    host_on_tmpfs(TMPFS, claim_on);
}

/* ---- at complete ---------------------------------------------------------------------------- */

/* A granted claim is completed all the same, at worst without its value. */
static void complete(void)
{
    const bool kept = pages_left >= SLAB_PAGES;
    char value[VALUE_BYTES];
    struct idem_claim claim;
    idem_store *store = store_open_with(STORE_BYTES, 0);
    memset(value, 'v', sizeof(value));
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    host_leave_pages(pages_left);
    CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
    CHECK_INT(claim.record.kept, kept);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_DONE);
    CHECK_INT(claim.record.kept, kept);
    CHECK_INT(claim.record.value_len, kept ? sizeof(value) : 0);
    CHECK(!kept || memcmp(claim.record.value, value, sizeof(value)) == 0);
    idem_record_free(&claim.record);
    if (pages_left == 0) {
        check_goes_on(store);
    }
    store_end(store);
}

static void full_at_complete(void)
{
    for (pages_left = 0; pages_left <= SLAB_PAGES + 1; pages_left++) {
        host_on_tmpfs(TMPFS, complete);
    }
}

/* ---- at growth ------------------------------------------------------------------------------ */

static uint32_t chunk_of_the_last_bucket(const struct idem__op *op)
{
    return ((1u << idem__load32(&op->region->header->buckets_log2)) - 1) >> op->region->chunk_shift;
}

/* The index has grown beyond its first chunk, and the second has no room. */
static void grow_index(void)
{
    idem_store *store = store_open_with(STORE_BYTES, 0);
    struct idem__op op = inside_begin(store);
    struct idem__region *region = op.region;
    inside_end(&op);
    uint32_t keys = 0;
    char key[16];
    for (; chunk_of_the_last_bucket(&op) == 0; keys++) {
        snprintf(key, sizeof(key), "%u", keys);
        put(store, key, "");
    }
    CHECK_INT(idem__load32(&region->chunks[1]), 0);
    host_leave_pages(0);
    check_numbers(store, keys);
    const uint32_t more = put_until_full(store, keys);
    CHECK(more > keys); /* the slab of records that made it grow had room */
    CHECK_INT(idem__load32(&region->chunks[1]), 0);
    check_numbers(store, more);
    store_check(store);
    check_goes_on(store);
    CHECK_SOON((check_numbers(store, more), idem__load32(&region->chunks[1]) != 0));
    store_end(store);
}

static void full_at_growth_of_the_index(void) { host_on_tmpfs(TMPFS, grow_index); }

/* The first page of the slab table is in use, and another has no room. */
static void grow_slab_table(void)
{
    enum { ENTRIES_PER_PAGE = HOST_PAGE_BYTES / sizeof(struct slab_shm), LARGE_BYTES = 7000 };
    its_size = "of its 4 MiB";
    idem_store *store = store_open_with(STORE_BYTES, 0);
    CHECK_INT(idem_resize(store, 8 * STORE_BYTES), IDEM_OK);
    struct idem__op op = inside_begin(store);
    idem__a32 *slab_high = &op.region->header->slab_high;
    inside_end(&op);
    char key[16], value[LARGE_BYTES] = "";
    uint32_t keys = 0;
    for (; idem__load32(slab_high) < ENTRIES_PER_PAGE; keys++) {
        struct idem_claim claim;
        snprintf(key, sizeof(key), "%u", keys);
        CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
    }
    host_leave_pages(0);
    keys = put_until_full(store, keys);
    check_numbers(store, keys);
    CHECK_INT(idem__load32(slab_high), ENTRIES_PER_PAGE);
    check_goes_on(store);
    store_end(store);
}

static void full_at_growth_of_the_slab_table(void) { host_on_tmpfs("size=4m", grow_slab_table); }

/* As many threads as a page has slots, and one more. */
enum { SLOTS_PER_PAGE = HOST_PAGE_BYTES / sizeof(struct slot_shm) };
struct crowd {
    idem_store *store;
    atomic_int seated;
    atomic_int over;
};

static void *take_a_slot(void *argument)
{
    struct crowd *crowd = argument;
    char key[32];
    const int number = atomic_fetch_add(&crowd->seated, 1);
    snprintf(key, sizeof(key), "thread %d", number);
    put(crowd->store, key, "");
    CHECK_SOON(atomic_load(&crowd->over));
    CHECK_INT(outcome_of(crowd->store, key), IDEM_DONE);
    return NULL;
}

static void *find_no_slot(void *argument)
{
    struct crowd *crowd = argument;
    struct idem_claim claim;
    CHECK_FULL(try_claim(crowd->store, "key", &claim));
    host_leave_pages(1);
    CHECK_INT(try_claim(crowd->store, "key", &claim), IDEM_OK);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    return NULL;
}

static void grow_slots(void)
{
    struct crowd crowd = {.store = store_open_with(STORE_BYTES, 0)};
    pthread_t threads[SLOTS_PER_PAGE + 1];
    put(crowd.store, "mine", "");
    for (int i = 1; i < SLOTS_PER_PAGE; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, take_a_slot, &crowd), 0);
    }
    CHECK_SOON(store_stats(crowd.store).done_keys == SLOTS_PER_PAGE);
    CHECK_INT(store_stats(crowd.store).slots_used, SLOTS_PER_PAGE);
    host_leave_pages(0);
    CHECK_INT(pthread_create(&threads[0], NULL, find_no_slot, &crowd), 0);
    CHECK_INT(pthread_join(threads[0], NULL), 0);
    atomic_store(&crowd.over, 1);
    for (int i = 1; i < SLOTS_PER_PAGE; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    store_end(crowd.store);
}

static void full_at_growth_of_the_slots(void) { host_on_tmpfs(TMPFS, grow_slots); }

/* ---- all calls ------------------------------------------------------------------------------ */

static void look_without_writing(void *unused)
{
    (void)unused;
    idem_store *store = store_open_with(0, IDEM_OPEN_READONLY);
    struct idem_record record;
    uint64_t cursor = 0;
    idem_record_init(&record, sizeof(record));
    while (idem_scan(store, &cursor, &record) == IDEM_OK) {
        CHECK(state_of(store, "no such key") == IDEM_ENOTFOUND);
    }
    idem_record_free(&record);
    (void)store_stats(store);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void make_any_call(idem_store *store, uint64_t random)
{
    char key[16], value[VALUE_BYTES] = "";
    struct idem_claim claim;
    snprintf(key, sizeof(key), "%u", (unsigned)(random >> 8) % 3000);
    switch (random % 8) {
    case 0:
        (void)idem_forget(store, key, strlen(key), 0);
        break;
    case 1:
        CHECK(state_of(store, key) != IDEM_ECORRUPT);
        break;
    case 2:
        CHECK(random >> 32 & 7 || idem_sweep(store, 0) >= 0);
        break;
    default: {
        const int status = try_claim(store, key, &claim);
        if (status == IDEM_OK && claim.outcome == IDEM_CLAIMED) {
            CHECK_INT(
                idem_complete(&claim, value, (random >> 24) % sizeof(value), IDEM_TTL_SAME, 0),
                IDEM_OK);
        } else if (status != IDEM_OK) {
            CHECK_FULL(status);
        }
        idem_record_free(&claim.record);
    }
    }
}

static void call_at_random(void)
{
    idem_store *store = store_open_with(STORE_BYTES, 0);
    put(store, "stays", "value");
    for (int i = 0; i < TEST_ROUNDS(50000); i++) {
        if (i % 5000 == 0) {
            const uint64_t free_pages = host_free_pages();
            host_leave_pages(test_random() % 3 ? 0 : test_random() % (free_pages + 1));
            CHECK_INT(test_join(test_child(look_without_writing, NULL)), 0);
        }
        make_any_call(store, test_random());
    }
    CHECK(has_value(store, "stays", "value"));
    const int status = idem_resize(store, 4 * STORE_BYTES);
    if (status != IDEM_OK) {
        CHECK_FULL(status);
    }
    store_end(store);
}

static void any_call_on_a_full_file_system(void) { host_on_tmpfs(TMPFS, call_at_random); }

int main(void)
{
    return test_run((struct test[]){TEST(full_at_create),
                                    TEST(a_store_that_is_made_holds_a_key),
                                    TEST(full_at_claim),
                                    TEST(full_at_complete),
                                    TEST(full_at_growth_of_the_index),
                                    TEST(full_at_growth_of_the_slab_table),
                                    TEST(full_at_growth_of_the_slots),
                                    TEST(any_call_on_a_full_file_system),
                                    {0}});
}
