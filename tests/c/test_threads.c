/* Threads of one process over one mapping, with every call at once; for ThreadSanitizer too. */
#include <pthread.h>
#include <stdatomic.h>

#include "store.h"

#define THREADS 4
#define ROUNDS TEST_ROUNDS(100000)
#define KEYS 16
#define BATCH 8

struct crew {
    idem_store *store;
    bool grows;
    atomic_uint holder[KEYS];
};

struct member {
    struct crew *crew;
    uint32_t number;
    uint64_t seed;
};

static uint64_t pick(struct member *member, uint64_t below)
{
    member->seed = member->seed * 6364136223846793005u + 1442695040888963407u;
    return (member->seed >> 33) % below;
}

static void key_of(char key[16], uint64_t which) { snprintf(key, 16, "key %" PRIu64, which); }

/* The whole value is of one write: its bytes are all the same. */
static void check_value(const struct idem_record *record)
{
    const unsigned char *value = record->value;
    for (size_t i = 1; i < record->value_len; i++) {
        CHECK_INT(value[i], value[0]);
    }
}

static void end_claim(struct member *member, struct idem_claim *claim)
{
    char value[600];
    memset(value, (int)pick(member, 256), sizeof(value));
    switch (pick(member, 6)) {
    case 0:
        CHECK_INT(idem_release(claim), IDEM_OK);
        break;
    case 1:
        CHECK_INT(idem_abandon(claim), IDEM_OK);
        break;
    case 2:
        CHECK_INT(idem_renew(claim, 1000000), IDEM_OK);
        CHECK_INT(idem_renew(claim, 0), IDEM_OK);
        /* fall through */
    default:
        CHECK_INT(idem_complete(claim, value, pick(member, sizeof(value)),
                                pick(member, 2) ? 1 : IDEM_FOREVER, 0),
                  IDEM_OK);
    }
}

/* Between hearing that the claim is its own and giving it back, nobody else hears so. */
static void take_and_end(struct member *member, struct idem_claim *claim, uint64_t which)
{
    atomic_uint *holder = &member->crew->holder[which];
    CHECK_INT(atomic_exchange(holder, member->number + 1), 0);
    CHECK_INT(atomic_exchange(holder, 0), member->number + 1);
    end_claim(member, claim);
}

/* While a thread is off its core inside a call, nothing is reused: a tiny store may fill up. */
static void check_granted(int status)
{
    if (status != IDEM_EFULL) {
        CHECK_INT(status, IDEM_OK);
    }
}

static void claim_one(struct member *member)
{
    const uint64_t which = pick(member, KEYS);
    char key[16];
    key_of(key, which);
    struct idem_request request = request_of(key);
    struct idem_claim claim;
    request.intent = "an intent";
    request.intent_len = pick(member, 10);
    request.wait_ms = (int64_t)pick(member, 50) / 48;
    claim = no_claim();
    check_granted(idem_claim(member->crew->store, &request, &claim));
    const int outcome = claim.outcome;
    if (outcome == IDEM_CLAIMED || outcome == IDEM_RECLAIMED) {
        take_and_end(member, &claim, which);
    } else if (outcome == IDEM_DONE) {
        check_value(&claim.record);
    } else if (outcome == IDEM_HELD) {
        const int status = idem_resolve(member->crew->store, key, strlen(key), NULL, 0, 0);
        CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND || status == IDEM_EBUSY);
    } else {
        CHECK(outcome == IDEM_BUSY || outcome == 0);
    }
    idem_record_free(&claim.record);
}

static void claim_several(struct member *member)
{
    char keys[BATCH][16];
    struct idem_request requests[BATCH];
    struct idem_claim claims[BATCH];
    uint64_t which[BATCH];
    for (int i = 0; i < BATCH; i++) {
        which[i] = pick(member, KEYS);
        key_of(keys[i], which[i]);
        requests[i] = request_of(keys[i]);
        claims[i] = no_claim();
    }
    check_granted(idem_claim_many(member->crew->store, requests, claims, BATCH));
    for (int i = 0; i < BATCH; i++) {
        if (claims[i].outcome == IDEM_CLAIMED || claims[i].outcome == IDEM_RECLAIMED) {
            take_and_end(member, &claims[i], which[i]);
        }
        idem_record_free(&claims[i].record);
    }
}

static void look_at_several(struct member *member)
{
    char keys[BATCH][16];
    const void *pointers[BATCH];
    size_t lengths[BATCH];
    struct idem_record records[BATCH];
    int statuses[BATCH];
    for (int i = 0; i < BATCH; i++) {
        key_of(keys[i], pick(member, KEYS));
        pointers[i] = keys[i];
        lengths[i] = strlen(keys[i]);
        idem_record_init(&records[i], sizeof(records[i]));
    }
    CHECK_INT(idem_lookup_many(member->crew->store, pointers, lengths, records, statuses, BATCH),
              IDEM_OK);
    for (int i = 0; i < BATCH; i++) {
        CHECK(statuses[i] == IDEM_OK || statuses[i] == IDEM_ENOTFOUND);
        if (statuses[i] == IDEM_OK && records[i].state == IDEM_STATE_DONE) {
            check_value(&records[i]);
            CHECK_INT(records[i].lease_left_ms, -1);
            CHECK_INT(records[i].intent_len, 0);
        }
        idem_record_free(&records[i]);
    }
}

static void change_one(struct member *member)
{
    idem_store *store = member->crew->store;
    char key[16];
    key_of(key, pick(member, KEYS));
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    int status;
    switch (pick(member, 4)) {
    case 0:
        status = idem_forget(store, key, strlen(key), 0);
        break;
    case 1:
        status = idem_touch(store, key, strlen(key), pick(member, 2) ? 1000 : IDEM_FOREVER);
        break;
    case 2:
        status = idem_resolve(store, key, strlen(key), "", 0, 1000);
        break;
    default:
        status = idem_wait(store, key, strlen(key), 1, &record);
        CHECK(status != IDEM_EBUSY);
    }
    CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND || status == IDEM_EBUSY ||
          status == IDEM_ETIMEDOUT);
    idem_record_free(&record);
}

static void scan_all(struct member *member)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    uint64_t cursor = 0;
    int status;
    while ((status = idem_scan(member->crew->store, &cursor, &record)) == IDEM_OK) {
        CHECK(record.key_len >= 5 && memcmp(record.key, "key ", 4) == 0);
    }
    CHECK_INT(status, IDEM_ENOTFOUND);
    idem_record_free(&record);
}

/* Whoever comes second with the same limit, or has one that the first has passed, is refused. */
static void raise_limit(idem_store *store)
{
    const uint64_t limit = store_stats(store).max_bytes + STORE_SMALLEST_BYTES;
    const int status = idem_resize(store, limit);
    CHECK(status == IDEM_OK || status == IDEM_EINVAL);
}

static void open_once_more(void)
{
    idem_store *store = store_open();
    (void)state_of(store, "key 0");
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void survey(struct member *member)
{
    idem_store *store = member->crew->store;
    switch (pick(member, 6)) {
    case 0:
        CHECK(idem_sweep(store, pick(member, 2) * 100) >= 0);
        break;
    case 1:
        CHECK(store_stats(store).used_bytes > 0);
        break;
    case 2:
        scan_all(member);
        break;
    case 3:
        if (member->crew->grows) {
            raise_limit(store);
        }
        break;
    case 4:
        open_once_more();
        break;
    default:
        store_check(store);
    }
}

static void *work(void *argument)
{
    struct member *member = argument;
    for (int round = 0; round < ROUNDS; round++) {
        const uint64_t what = pick(member, 1000);
        if (what < 600) {
            claim_one(member);
        } else if (what < 750) {
            claim_several(member);
        } else if (what < 850) {
            look_at_several(member);
        } else if (what < 995) {
            change_one(member);
        } else {
            survey(member);
        }
    }
    return NULL;
}

static void all_calls_at_once_in(uint64_t max_bytes, bool grows)
{
    idem_store *store = store_open_with(max_bytes, 0);
    struct crew crew = {.store = store, .grows = grows};
    struct member members[THREADS];
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        members[i] = (struct member){&crew, i, test_random()};
        CHECK_INT(pthread_create(&threads[i], NULL, work, &members[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    store_check(store);
    for (uint64_t which = 0; which < KEYS; which++) {
        char key[16];
        key_of(key, which);
        const int status = idem_forget(store, key, strlen(key), IDEM_FORCE);
        CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND);
    }
    (void)used_after_sweep(store);
    CHECK_INT(store_stats(store).record_blocks, 0);
    CHECK_INT(store_stats(store).value_blocks, 0);
    store_end(store);
}

static void all_calls_at_once(void) { all_calls_at_once_in(STORE_SMALL_BYTES, true); }
static void all_calls_at_once_in_a_tiny_store(void)
{
    all_calls_at_once_in(STORE_SMALLEST_BYTES, false);
}

/* A claim of one thread is completed by another, and of two threads that end one claim one is right. */
struct pair {
    struct idem_claim claim;
    pthread_barrier_t barrier;
    atomic_int successes;
};

static void *end_it(void *argument)
{
    struct pair *pair = argument;
    struct idem_claim mine = pair->claim;
    (void)pthread_barrier_wait(&pair->barrier);
    const int status = idem_complete(&mine, "value", 5, IDEM_TTL_SAME, 0);
    CHECK(status == IDEM_OK || status == IDEM_ELOST);
    atomic_fetch_add(&pair->successes, status == IDEM_OK);
    return NULL;
}

static void one_of_two_ends_a_claim(void)
{
    idem_store *store = store_open();
    for (int round = 0; round < 200; round++) {
        struct pair pair = {.successes = 0};
        pthread_t threads[2];
        char key[16];
        key_of(key, (uint64_t)round);
        CHECK_INT(claim_key(store, key, &pair.claim), IDEM_CLAIMED);
        CHECK_INT(pthread_barrier_init(&pair.barrier, NULL, 2), 0);
        for (int i = 0; i < 2; i++) {
            CHECK_INT(pthread_create(&threads[i], NULL, end_it, &pair), 0);
        }
        for (int i = 0; i < 2; i++) {
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        }
        CHECK_INT(pair.successes, 1);
        CHECK(has_value(store, key, "value"));
        CHECK_INT(pthread_barrier_destroy(&pair.barrier), 0);
    }
    CHECK_INT(store_stats(store).value_blocks, 200);
    store_end(store);
}

/* Closing waits for the calls in flight; later ones are told. */
static void *claim_until_closed(void *argument)
{
    struct crew *crew = argument;
    char key[16];
    key_of(key, (uint64_t)(uintptr_t)pthread_self() % KEYS);
    const struct idem_request request = request_of(key);
    int status;
    do {
        struct idem_claim claim = no_claim();
        status = idem_claim(crew->store, &request, &claim);
        if (claim.outcome == IDEM_CLAIMED) {
            const int released = idem_release(&claim);
            CHECK(released == IDEM_OK || released == IDEM_EINVAL);
        }
    } while (status == IDEM_OK);
    CHECK_INT(status, IDEM_EINVAL);
    return NULL;
}

static void closing_waits_for_calls_in_flight(void)
{
    for (int round = 0; round < 20; round++) {
        struct crew crew = {.store = store_open()};
        pthread_t threads[THREADS];
        for (int i = 0; i < THREADS; i++) {
            CHECK_INT(pthread_create(&threads[i], NULL, claim_until_closed, &crew), 0);
        }
        usleep((useconds_t)(test_random() % 3000));
        CHECK_INT(idem_close(crew.store), IDEM_OK);
        for (int i = 0; i < THREADS; i++) {
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        }
        store_end(store_open());
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(all_calls_at_once),
                                    TEST(all_calls_at_once_in_a_tiny_store),
                                    TEST(one_of_two_ends_a_claim),
                                    TEST(closing_waits_for_calls_in_flight),
                                    {0}});
}
