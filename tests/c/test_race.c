/* Processes race for keys: each round exactly one hears CLAIMED, and the others what is true. */
#include <sched.h>
#include <stdatomic.h>

#include "store.h"

#define RACERS 8
#define ONE_KEY_ROUNDS TEST_ROUNDS(8000)
#define MANY_KEYS TEST_ROUNDS(20000)

/* What the racers share: a barrier that counts up, and who has won. */
struct course {
    atomic_uint arrived;
    atomic_uint won;
    atomic_uint busy;
    atomic_uint winner;
    atomic_uint completions;
    atomic_uint wins[];
};

struct racer {
    idem_store *store;
    struct course *course;
    uint32_t number;
};

/* All racers begin a round together. */
static void line_up(struct course *course, uint32_t round)
{
    atomic_fetch_add(&course->arrived, 1);
    while (atomic_load(&course->arrived) < (round + 1) * RACERS) {
        sched_yield();
    }
}

/* Each round is a new key: all claim it at once. */
static void race_for_one(void *argument)
{
    const struct racer *racer = argument;
    for (uint32_t round = 0; round < ONE_KEY_ROUNDS; round++) {
        char key[32];
        snprintf(key, sizeof(key), "round %u", round);
        line_up(racer->course, round);
        struct idem_claim claim;
        const int outcome = claim_key(racer->store, key, &claim);
        if (outcome == IDEM_CLAIMED) {
            CHECK_INT(atomic_fetch_add(&racer->course->wins[round], 1), 0);
            char value[32];
            snprintf(value, sizeof(value), "value %u", round);
            complete_with(&claim, value);
        } else {
            CHECK(outcome == IDEM_BUSY || outcome == IDEM_DONE);
            if (outcome == IDEM_DONE) {
                char value[32];
                snprintf(value, sizeof(value), "value %u", round);
                CHECK(has_bytes(claim.record.value, claim.record.value_len, value));
            }
            idem_record_free(&claim.record);
        }
    }
}

static void race(uint32_t keys, void (*body)(void *))
{
    idem_store *store = store_open();
    struct course *course = shared_memory(sizeof(*course) + keys * sizeof(course->wins[0]));
    pid_t children[RACERS];
    struct racer racers[RACERS];
    for (uint32_t i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){store, course, i};
        children[i] = test_child(body, &racers[i]);
    }
    for (int i = 0; i < RACERS; i++) {
        CHECK_INT(test_join(children[i]), 0);
    }
    for (uint32_t i = 0; i < keys; i++) {
        CHECK_INT(course->wins[i], 1);
    }
    CHECK_INT(munmap(course, sizeof(*course) + keys * sizeof(course->wins[0])), 0);
    store_end(store);
}

static void one_wins_each_round(void) { race(ONE_KEY_ROUNDS, race_for_one); }

/* Every racer claims all keys, each in an order of its own. */
static void race_for_many(void *argument)
{
    const struct racer *racer = argument;
    const uint32_t step = 2 * racer->number + 1; /* odd: reaches all of a power of two */
    uint32_t size = 1;
    while (size < MANY_KEYS) {
        size *= 2;
    }
    line_up(racer->course, 0);
    for (uint32_t i = 0, at = (uint32_t)test_random() % size; i < size;
         i++, at = (at + step) % size) {
        if (at >= MANY_KEYS) {
            continue;
        }
        char key[32];
        snprintf(key, sizeof(key), "key %u", at);
        struct idem_claim claim;
        const int outcome = claim_key(racer->store, key, &claim);
        if (outcome == IDEM_CLAIMED) {
            CHECK_INT(atomic_fetch_add(&racer->course->wins[at], 1), 0);
            if (at % 2) {
                complete_with(&claim, key);
            }
        } else {
            /* An even key is BUSY while its winner lives, and orphaned once it has ended. */
            CHECK(outcome == (at % 2 ? IDEM_DONE : IDEM_BUSY) || outcome == IDEM_BUSY ||
                  (at % 2 == 0 && outcome == IDEM_RECLAIMED));
            if (outcome == IDEM_RECLAIMED) {
                CHECK_INT(atomic_load(&racer->course->wins[at]), 1);
                CHECK_INT(idem_abandon(&claim), IDEM_OK);
            }
            idem_record_free(&claim.record);
        }
    }
}

static void one_wins_each_of_many_keys(void) { race(MANY_KEYS, race_for_many); }

/* One key, claimed and released for ever: never two owners at once. */
static void hold_one_at_a_time(void *argument)
{
    const struct racer *racer = argument;
    struct course *course = racer->course;
    line_up(course, 0);
    for (uint32_t won = 0; won < ONE_KEY_ROUNDS;) {
        struct idem_claim claim;
        if (claim_key(racer->store, "the key", &claim) != IDEM_CLAIMED) {
            CHECK_INT(claim.outcome, IDEM_BUSY);
            continue;
        }
        CHECK_INT(claim.record.attempt, 1);
        CHECK_INT(atomic_exchange(&course->winner, racer->number + 1), 0);
        won++;
        CHECK_INT(atomic_exchange(&course->winner, 0), racer->number + 1);
        CHECK_INT(idem_release(&claim), IDEM_OK);
    }
}

static void a_released_key_has_one_owner_at_a_time(void) { race(0, hold_one_at_a_time); }

/* Lookups beside the race see nothing that is not: a value belongs to its key. */
static void complete_and_forget(void *argument)
{
    const struct racer *racer = argument;
    line_up(racer->course, 0);
    for (uint32_t round = 0; round < ONE_KEY_ROUNDS; round++) {
        char key[32], value[64];
        const uint32_t which = (uint32_t)(test_random() % 4);
        snprintf(key, sizeof(key), "key %u", which);
        struct idem_claim claim;
        if (claim_key(racer->store, key, &claim) == IDEM_CLAIMED) {
            snprintf(value, sizeof(value), "value of %u from %u, %u", which, racer->number, round);
            complete_with(&claim, value);
        } else if (claim.outcome == IDEM_DONE) {
            snprintf(value, sizeof(value), "value of %u from ", which);
            CHECK(claim.record.value_len > strlen(value) &&
                  memcmp(claim.record.value, value, strlen(value)) == 0);
            const int status = idem_forget(racer->store, key, strlen(key), 0);
            CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND || status == IDEM_EBUSY);
        } else {
            CHECK_INT(claim.outcome, IDEM_BUSY);
        }
        idem_record_free(&claim.record);
    }
}

static void values_belong_to_their_keys(void) { race(0, complete_and_forget); }

int main(void)
{
    return test_run((struct test[]){TEST(one_wins_each_round),
                                    TEST(one_wins_each_of_many_keys),
                                    TEST(a_released_key_has_one_owner_at_a_time),
                                    TEST(values_belong_to_their_keys),
                                    {0}});
}
