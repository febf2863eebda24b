/* Sleeping until a key changes: woken across processes by each way a claim can end. */
#include <stdatomic.h>

#include "store.h"

#define WAITERS 4
#define LONG_MS (TEST_DEADLINE_S * 1000)

struct crowd {
    idem_store *store;
    atomic_int asleep; /* about to be: they have begun to wait */
    atomic_int done;
    atomic_int claimed;
};

static void wait_for_the_value(void *argument)
{
    struct crowd *crowd = argument;
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    atomic_fetch_add(&crowd->asleep, 1);
    CHECK_INT(idem_wait(crowd->store, "key", 3, LONG_MS, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_DONE);
    CHECK(has_bytes(record.value, record.value_len, "value"));
    idem_record_free(&record);
}

static void claim_or_hear_the_value(void *argument)
{
    struct crowd *crowd = argument;
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    request.wait_ms = LONG_MS;
    atomic_fetch_add(&crowd->asleep, 1);
    if (claim_with(crowd->store, &request, &claim) == IDEM_DONE) {
        CHECK(has_bytes(claim.record.value, claim.record.value_len, "value"));
        atomic_fetch_add(&crowd->done, 1);
        idem_record_free(&claim.record);
        return;
    }
    CHECK(claim.outcome == IDEM_CLAIMED || claim.outcome == IDEM_RECLAIMED);
    atomic_fetch_add(&crowd->claimed, 1);
    complete_with(&claim, "value");
}

static struct crowd *gather(idem_store *store, void (*body)(void *), pid_t children[WAITERS])
{
    struct crowd *crowd = shared_memory(sizeof(*crowd));
    crowd->store = store;
    for (int i = 0; i < WAITERS; i++) {
        children[i] = test_child(body, crowd);
    }
    CHECK_SOON(atomic_load(&crowd->asleep) == WAITERS);
    return crowd;
}

static void disperse(struct crowd *crowd, const pid_t children[WAITERS])
{
    for (int i = 0; i < WAITERS; i++) {
        CHECK_INT(test_join(children[i]), 0);
    }
    CHECK_INT(munmap(crowd, sizeof(*crowd)), 0);
}

static void completing_wakes_everybody(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    pid_t children[WAITERS];
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    struct crowd *crowd = gather(store, wait_for_the_value, children);
    complete_with(&claim, "value");
    disperse(crowd, children);
    store_end(store);
}

/* However the claim ends without a result, one of the waiting claimers gets it, and the rest its value. */
static void end_and_count(int (*end)(struct idem_claim *))
{
    idem_store *store = store_open();
    struct idem_claim claim;
    pid_t children[WAITERS];
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    struct crowd *crowd = gather(store, claim_or_hear_the_value, children);
    CHECK_INT(end(&claim), IDEM_OK);
    CHECK_SOON(atomic_load(&crowd->claimed) + atomic_load(&crowd->done) == WAITERS);
    CHECK_INT(crowd->claimed, 1);
    CHECK_INT(crowd->done, WAITERS - 1);
    disperse(crowd, children);
    store_end(store);
}

static int forget_by_force(struct idem_claim *claim)
{
    return idem_forget(claim->store, "key", 3, IDEM_FORCE);
}

static void releasing_lets_one_of_them_claim(void) { end_and_count(idem_release); }
static void abandoning_lets_one_of_them_reclaim(void) { end_and_count(idem_abandon); }
static void forgetting_lets_one_of_them_claim(void) { end_and_count(forget_by_force); }

static void claim_and_sleep(void *argument)
{
    struct crowd *crowd = argument;
    CHECK_INT(outcome_of(crowd->store, "key"), IDEM_CLAIMED);
    atomic_fetch_add(&crowd->claimed, 1);
    pause();
}

/* Nobody wakes the waiters of a killed owner: they look by themselves. */
static void a_death_is_noticed_without_a_wake_up(void)
{
    idem_store *store = store_open();
    struct crowd *owner = shared_memory(sizeof(*owner));
    pid_t children[WAITERS];
    owner->store = store;
    const pid_t child = test_child(claim_and_sleep, owner);
    CHECK_SOON(atomic_load(&owner->claimed));
    struct crowd *crowd = gather(store, claim_or_hear_the_value, children);
    test_kill(child);
    CHECK_SOON(atomic_load(&crowd->claimed) + atomic_load(&crowd->done) == WAITERS);
    CHECK_INT(crowd->claimed, 1);
    disperse(crowd, children);
    munmap(owner, sizeof(*owner));
    store_end(store);
}

/* A lease that runs out lets one in, while its owner lives on. */
static void a_lease_lets_one_of_them_reclaim(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    pid_t children[WAITERS];
    request.lease_ms = 50;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    struct crowd *crowd = gather(store, claim_or_hear_the_value, children);
    CHECK_SOON(atomic_load(&crowd->claimed) + atomic_load(&crowd->done) == WAITERS);
    CHECK_INT(crowd->claimed, 1);
    CHECK_INT(idem_release(&claim), IDEM_ELOST);
    disperse(crowd, children);
    store_end(store);
}

/* Ping and pong through the store: a lost wake-up would cost a nap each time, and never an end. */
struct table {
    idem_store *store;
    int player;
};

static void play(void *argument)
{
    const struct table *table = argument;
    for (int round = 0; round < TEST_ROUNDS(500); round++) {
        char mine[32], other[32];
        struct idem_record record;
        snprintf(mine, sizeof(mine), "%d %d", table->player, round);
        snprintf(other, sizeof(other), "%d %d", 1 - table->player, round);
        put(table->store, mine, "v");
        idem_record_init(&record, sizeof(record));
        int status;
        while ((status = idem_wait(table->store, other, strlen(other), LONG_MS, &record)) !=
               IDEM_OK) {
            CHECK_INT(status, IDEM_ENOTFOUND); /* not claimed yet */
        }
        CHECK_INT(record.state, IDEM_STATE_DONE);
        idem_record_free(&record);
    }
}

static void two_processes_answer_each_other(void)
{
    idem_store *store = store_open();
    struct table tables[2] = {{store, 0}, {store, 1}};
    const pid_t children[2] = {test_child(play, &tables[0]), test_child(play, &tables[1])};
    CHECK_INT(test_join(children[0]), 0);
    CHECK_INT(test_join(children[1]), 0);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(completing_wakes_everybody),
                                    TEST(releasing_lets_one_of_them_claim),
                                    TEST(abandoning_lets_one_of_them_reclaim),
                                    TEST(forgetting_lets_one_of_them_claim),
                                    TEST(a_death_is_noticed_without_a_wake_up),
                                    TEST(a_lease_lets_one_of_them_reclaim),
                                    TEST(two_processes_answer_each_other),
                                    {0}});
}
