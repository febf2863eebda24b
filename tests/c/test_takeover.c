/* What becomes of the claims of a process that dies: taken over, held, resolved, kept through a grace. */
#include <sched.h>
#include <stdatomic.h>

#include "owner.h"
#include "store.h"

/* A child that claims and then waits to be killed. */
struct victim {
    idem_store *store;
    struct idem_request request;
    struct idem_claim claim; /* as the child got it */
    atomic_int ready;
};

static struct victim *victim_of(idem_store *store, const char *key)
{
    struct victim *victim = shared_memory(sizeof(*victim));
    victim->store = store;
    victim->request = request_of(key);
    return victim;
}

static void claim_and_wait(void *argument)
{
    struct victim *victim = argument;
    claim_with(victim->store, &victim->request, &victim->claim);
    atomic_store(&victim->ready, 1);
    for (;;) {
        pause();
    }
}

static pid_t start(struct victim *victim, int outcome)
{
    atomic_store(&victim->ready, 0);
    const pid_t child = test_child(claim_and_wait, victim);
    CHECK_SOON(atomic_load(&victim->ready));
    CHECK_INT(victim->claim.outcome, outcome);
    return child;
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Killed and reaped, its claim is BUSY at most as long as "alive" is believed without asking. */
static void a_killed_owners_claim_is_taken_over(void)
{
    enum { ROUNDS = 20 };
    idem_store *store = store_open();
    for (int round = 0; round < ROUNDS; round++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", round);
        struct victim *victim = victim_of(store, key);
        victim->request.intent = "pay 5";
        victim->request.intent_len = 5;
        const pid_t child = start(victim, IDEM_CLAIMED);
        CHECK_INT(outcome_of(store, key), IDEM_BUSY);
        test_kill(child);
        const uint64_t dead_ms = now_ms();
        struct idem_claim claim;
        uint64_t asked_ms = now_ms();
        while (claim_key(store, key, &claim) == IDEM_BUSY) {
            /* The coarse clock's ticks at both ends, beside the interval itself. */
            const uint64_t ticks_ms = 20;
            CHECK(asked_ms <= dead_ms + IDEM__ALIVE_CACHE_MS + ticks_ms);
            asked_ms = now_ms();
        }
        CHECK_INT(claim.outcome, IDEM_RECLAIMED);
        CHECK_INT(claim.record.attempt, 2);
        CHECK(has_bytes(claim.record.intent, claim.record.intent_len, "pay 5"));
        CHECK_INT(claim.record.id, victim->claim.record.id);
        CHECK_INT(outcome_of(store, key), IDEM_BUSY);
        complete_with(&claim, "paid");
        CHECK(has_value(store, key, "paid"));
        munmap(victim, sizeof(*victim));
    }
    store_end(store);
}

/* All of them, and the bytes they took come back. */
static void thousands_of_claims_of_one_dead_owner(void *argument)
{
    struct victim *victim = argument;
    for (int i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        CHECK_INT(claim_key(victim->store, key, &victim->claim), IDEM_CLAIMED);
    }
    atomic_store(&victim->ready, 1);
    pause();
}

static void every_claim_of_a_dead_owner_is_taken_over(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "");
    const pid_t child = test_child(thousands_of_claims_of_one_dead_owner, victim);
    CHECK_SOON(atomic_load(&victim->ready));
    test_kill(child);
    for (int i = 0; i < 5000; i++) {
        struct idem_claim claim;
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        CHECK_SOON(claim_key(store, key, &claim) == IDEM_RECLAIMED);
        CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
    }
    CHECK_INT(store_stats(store).done_keys, 5000);
    store_end(store);
}

/* Only one of the many who see the death takes over. */
struct heirs {
    idem_store *store;
    atomic_int heirs;
    atomic_int go;
    atomic_int done;
};

static void inherit(void *argument)
{
    struct heirs *heirs = argument;
    while (!atomic_load(&heirs->go)) {
        sched_yield();
    }
    while (!atomic_load(&heirs->done)) {
        struct idem_claim claim;
        if (claim_key(heirs->store, "key", &claim) == IDEM_RECLAIMED) {
            CHECK_INT(atomic_fetch_add(&heirs->heirs, 1), 0);
            CHECK_INT(claim.record.attempt, 2);
            complete_with(&claim, "v");
            atomic_store(&heirs->done, 1);
        }
        idem_record_free(&claim.record);
    }
}

static void one_heir_takes_over(void)
{
    enum { HEIRS = 4, ROUNDS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        idem_store *store = store_open();
        struct victim *victim = victim_of(store, "key");
        struct heirs *heirs = shared_memory(sizeof(*heirs));
        heirs->store = store;
        const pid_t child = start(victim, IDEM_CLAIMED);
        pid_t children[HEIRS];
        for (int i = 0; i < HEIRS; i++) {
            children[i] = test_child(inherit, heirs);
        }
        atomic_store(&heirs->go, 1);
        test_kill(child);
        for (int i = 0; i < HEIRS; i++) {
            CHECK_INT(test_join(children[i]), 0);
        }
        CHECK_INT(heirs->heirs, 1);
        munmap(victim, sizeof(*victim));
        munmap(heirs, sizeof(*heirs));
        store_end(store);
        unlink(test_path);
    }
}

/* A stopped owner lives: nobody else is told to run its operation, and it may go on. */
static void complete_when_told(void *argument)
{
    struct victim *victim = argument;
    struct idem_claim claim;
    claim_with(victim->store, &victim->request, &claim);
    atomic_store(&victim->ready, 1);
    while (atomic_load(&victim->ready) != 2) {
        usleep(100);
    }
    complete_with(&claim, "by the owner");
}

static void a_stopped_owner_keeps_its_claim(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    victim->request.ttl_ms = 1;
    const pid_t child = test_child(complete_when_told, victim);
    CHECK_SOON(atomic_load(&victim->ready) == 1);
    CHECK_INT(kill(child, SIGSTOP), 0);
    const uint64_t begin_ms = now_ms();
    /* Through its ttl of a millisecond, rounded up to a second or two. */
    while (now_ms() < begin_ms + 2500) {
        CHECK_INT(outcome_of(store, "key"), IDEM_BUSY);
        CHECK(idem_sweep(store, 0) >= 0);
    }
    atomic_store(&victim->ready, 2);
    CHECK_INT(outcome_of(store, "key"), IDEM_BUSY);
    CHECK_INT(kill(child, SIGCONT), 0);
    CHECK_INT(test_join(child), 0);
    /* Completed after created + ttl: kept for its ttl from then. */
    CHECK_INT(outcome_of(store, "key"), IDEM_DONE);
    munmap(victim, sizeof(*victim));
    store_end(store);
}

static void a_held_key_of_a_dead_owner_waits_for_a_person(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    victim->request.flags = IDEM_HOLD;
    victim->request.intent = "pay 5";
    victim->request.intent_len = 5;
    test_kill(start(victim, IDEM_CLAIMED));
    struct idem_claim claim;
    CHECK_SOON(claim_key(store, "key", &claim) == IDEM_HELD);
    CHECK(has_bytes(claim.record.intent, claim.record.intent_len, "pay 5"));
    CHECK_INT(claim.record.attempt, 1);
    idem_record_free(&claim.record);
    CHECK_INT(idem_resolve(store, "key", 3, NULL, 0, 0), IDEM_OK);
    CHECK_INT(state_of(store, "key"), IDEM_ENOTFOUND);
    CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
    munmap(victim, sizeof(*victim));
    store_end(store);
}

/* A lookup tells of the death before anyone has written it down. */
static void a_lookup_sees_the_orphan(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    victim->request.flags = IDEM_HOLD;
    const pid_t child = start(victim, IDEM_CLAIMED);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_PENDING);
    test_kill(child);
    CHECK_SOON(state_of(store, "key") == IDEM_STATE_ORPHANED);
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_wait(store, "key", 3, 1000, &record), IDEM_OK);
    CHECK_INT(record.held, 1);
    idem_record_free(&record);
    CHECK_INT(idem_touch(store, "key", 3, 1000), IDEM_EBUSY);
    CHECK_INT(idem_resolve(store, "key", 3, "v", 1, 0), IDEM_OK);
    CHECK_INT(idem_resolve(store, "key", 3, "v", 1, 0), IDEM_ENOTFOUND);
    munmap(victim, sizeof(*victim));
    store_end(store);
}

/* The grace begins when the death is noticed, and nobody takes over in it. */
static void a_crash_grace_is_waited_for(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    victim->request.crash_grace_ms = 300;
    const pid_t child = start(victim, IDEM_CLAIMED);
    test_kill(child);
    const uint64_t dead_ms = now_ms();
    struct idem_claim claim;
    CHECK_SOON(claim_key(store, "key", &claim) == IDEM_RECLAIMED);
    const uint64_t ticks_ms = 20;
    CHECK(now_ms() >= dead_ms + 300 - ticks_ms);
    CHECK_INT(claim.record.attempt, 2);
    complete_with(&claim, "v");
    munmap(victim, sizeof(*victim));
    store_end(store);
}

/* A claimer that waits for a key hears of its owner's death. */
static void a_waiting_claim_takes_over(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    const pid_t child = start(victim, IDEM_CLAIMED);
    struct idem_request request = request_of("key");
    struct idem_claim claim;
    request.wait_ms = 30;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_BUSY);
    CHECK_INT(kill(child, SIGKILL), 0);
    request.wait_ms = TEST_DEADLINE_S * 1000;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_RECLAIMED);
    CHECK_INT(test_join(child), -SIGKILL);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    munmap(victim, sizeof(*victim));
    store_end(store);
}

/* Death after death: attempts are counted up to the last, which is held. */
static void attempts_are_counted_across_deaths(void)
{
    enum { LAST = 127 };
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    victim->request.wait_ms = TEST_DEADLINE_S * 1000;
    for (int attempt = 1; attempt <= LAST; attempt++) {
        const pid_t child = start(victim, attempt == 1 ? IDEM_CLAIMED : IDEM_RECLAIMED);
        CHECK_INT(victim->claim.record.attempt, attempt);
        test_kill(child);
    }
    struct idem_claim claim;
    CHECK_SOON(claim_key(store, "key", &claim) != IDEM_BUSY);
    CHECK_INT(claim.outcome, IDEM_HELD);
    CHECK_INT(claim.record.attempt, LAST);
    CHECK_INT(idem_resolve(store, "key", 3, "done by hand", 12, IDEM_FOREVER), IDEM_OK);
    CHECK(has_value(store, "key", "done by hand"));
    munmap(victim, sizeof(*victim));
    store_end(store);
}

/* forget refuses a living owner's key, and takes a dead one's. */
static void forgetting_asks_whether_the_owner_lives(void)
{
    idem_store *store = store_open();
    struct victim *victim = victim_of(store, "key");
    const pid_t child = start(victim, IDEM_CLAIMED);
    CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_EBUSY);
    test_kill(child);
    CHECK_SOON(idem_forget(store, "key", 3, 0) == IDEM_OK);
    CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
    munmap(victim, sizeof(*victim));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_killed_owners_claim_is_taken_over),
                                    TEST(every_claim_of_a_dead_owner_is_taken_over),
                                    TEST(one_heir_takes_over),
                                    TEST(a_stopped_owner_keeps_its_claim),
                                    TEST(a_held_key_of_a_dead_owner_waits_for_a_person),
                                    TEST(a_lookup_sees_the_orphan),
                                    TEST(a_crash_grace_is_waited_for),
                                    TEST(a_waiting_claim_takes_over),
                                    TEST(attempts_are_counted_across_deaths),
                                    TEST(forgetting_asks_whether_the_owner_lives),
                                    {0}});
}
