/* Containers: equal pids in two PID namespaces, and clocks that time namespaces move. */
#include "hosts.h"

#define DAY_S (24 * 3600)
#define HOUR_MS 3600000
#define SHORT_MS 1000
#define CLOSE_MS 60000 /* two looks on a busy machine; far less than the namespaces' offsets */

/* ---- PID namespaces ------------------------------------------------------------------------- */

enum { BOTH_CLAIMED = 2, BOTH_LOOKED = 4, LOOKS = 100 };

struct container {
    char key[8];
    atomic_int *both; /* counts: each has claimed its key, each has looked at the other's */
    atomic_int *step; /* of this one: 1 took the dead one's key over, 2 may end */
};

/* The first process of a namespace: its pid is 1 in it, as is the other's. It opens the store for itself. */
static void live_as_number_one(void *argument)
{
    struct container *me = argument;
    CHECK_INT(getpid(), 1);
    idem_store *store = store_open();
    struct idem_claim mine, dead;
    CHECK_INT(claim_key(store, me->key, &mine), IDEM_CLAIMED);
    atomic_fetch_add(me->both, 1);
    host_await(me->both, BOTH_CLAIMED);
    const char *other = strcmp(me->key, "one") == 0 ? "two" : "one";
    for (int look = 0; look < LOOKS; look++) {
        /* Its holder has my pid, and is neither me nor dead. */
        CHECK_INT(outcome_of(store, other), IDEM_BUSY);
    }
    atomic_fetch_add(me->both, 1);
    CHECK_SOON(claim_key(store, other, &dead) == IDEM_RECLAIMED);
    CHECK_INT(dead.record.attempt, 2);
    complete_with(&dead, "by the survivor");
    atomic_store(me->step, 1);
    host_await(me->step, 2);
    complete_with(&mine, "by its owner");
    store_end(store);
}

static void contain(void *argument)
{
    host_unshare(CLONE_NEWPID);
    const pid_t first = fork();
    if (first == 0) { /* not test_child: it looks for its parent, which is outside */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        live_as_number_one(argument);
        _exit(0);
    }
    CHECK(first > 0);
    CHECK_INT(test_join(first), 0);
}

static void equal_pids_are_two_owners(void)
{
    enum { ROUNDS = 4 };
    for (int round = 0; round < ROUNDS; round++) {
        idem_store *store = store_open();
        atomic_int *shared = shared_memory(3 * sizeof(*shared));
        struct container containers[2] = {{"one", shared, shared + 1}, {"two", shared, shared + 2}};
        pid_t children[2];
        for (int i = 0; i < 2; i++) {
            children[i] = test_child(contain, &containers[i]);
        }
        host_await(shared, BOTH_LOOKED);
        const int killed = round % 2, survivor = 1 - killed;
        test_kill(children[killed]); /* and with it, by PDEATHSIG, the namespace's first process */
        /* The survivor's claim stays its own, whoever asks; the dead one's is recovered. */
        while (atomic_load(containers[survivor].step) < 1) {
            CHECK_INT(outcome_of(store, containers[survivor].key), IDEM_BUSY);
            CHECK_INT(state_of(store, containers[survivor].key), IDEM_STATE_PENDING);
        }
        CHECK(has_value(store, containers[killed].key, "by the survivor"));
        CHECK_INT(outcome_of(store, containers[survivor].key), IDEM_BUSY);
        atomic_store(containers[survivor].step, 2);
        CHECK_INT(test_join(children[survivor]), 0);
        CHECK(has_value(store, containers[survivor].key, "by its owner"));
        munmap(shared, 3 * sizeof(*shared));
        store_end(store);
        unlink(test_path);
    }
}

/* ---- time namespaces ------------------------------------------------------------------------ */

struct traveller {
    idem_store *inherited;
    long offset_s;
};

static int64_t clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t expires_in_ms(idem_store *store, const char *key)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_lookup(store, key, strlen(key), &record), IDEM_OK);
    idem_record_free(&record);
    return record.expires_in_ms;
}

static void put_for(idem_store *store, const char *key, int64_t ttl_ms)
{
    struct idem_request request = request_of(key);
    struct idem_claim claim;
    request.ttl_ms = ttl_ms;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    complete_with(&claim, "value");
}

static void check_an_hour(idem_store *store, const char *key)
{
    const int64_t left_ms = expires_in_ms(store, key);
    CHECK(left_ms > HOUR_MS - CLOSE_MS && left_ms < HOUR_MS + CLOSE_MS);
}

/* In the namespace, with the store that the parent opened, and with one opened here. */
static void agree(idem_store *store)
{
    check_an_hour(store, "of the parent");
    CHECK_INT(outcome_of(store, "leased"), IDEM_BUSY); /* its lease of an hour has not run out */
    CHECK_INT(outcome_of(store, "grace"), IDEM_BUSY);  /* nor the grace after its owner's death */
    put_for(store, "of the child", HOUR_MS);
    check_an_hour(store, "of the child");
    CHECK_INT(idem_forget(store, "of the child", 12, 0), IDEM_OK);
}

static void expire(idem_store *store)
{
    const int64_t begun_ms = clock_ms(CLOCK_MONOTONIC);
    put_for(store, "short", SHORT_MS);
    CHECK_SOON(state_of(store, "short") == IDEM_ENOTFOUND);
    CHECK(clock_ms(CLOCK_MONOTONIC) - begun_ms >= SHORT_MS);
}

static void travel(void *argument)
{
    struct traveller *me = argument;
    agree(me->inherited);
    idem_store *store = store_open();
    agree(store);
    expire(store);
    put_for(store, "of the child", HOUR_MS);
    store_end(store);
}

static void unshare_time(void *argument)
{
    struct traveller *me = argument;
    char offsets[96];
    host_unshare(CLONE_NEWTIME);
    snprintf(offsets, sizeof(offsets), "boottime %ld 0\nmonotonic %ld 0\n", me->offset_s,
             me->offset_s);
    host_write("/proc/self/timens_offsets", offsets);
    CHECK_INT(test_join(test_child(travel, me)), 0);
}

static void die_with_a_grace(void *argument)
{
    struct idem_request request = request_of("grace");
    struct idem_claim claim;
    request.crash_grace_ms = HOUR_MS;
    CHECK_INT(claim_with(argument, &request, &claim), IDEM_CLAIMED);
}

static void a_time_namespace_agrees_on_expiry(void)
{
    /* Ahead by a week, and back to just after the boot. */
    const long offsets_s[] = {7 * DAY_S, -(long)(clock_ms(CLOCK_MONOTONIC) / 1000 - 1)};
    for (int i = 0; i < 2; i++) {
        idem_store *store = store_open();
        struct idem_request request = request_of("leased");
        struct idem_claim leased;
        request.lease_ms = HOUR_MS;
        CHECK_INT(claim_with(store, &request, &leased), IDEM_CLAIMED);
        CHECK_INT(test_join(test_child(die_with_a_grace, store)), 0);
        CHECK_SOON(state_of(store, "grace") == IDEM_STATE_ORPHANED);
        put_for(store, "of the parent", HOUR_MS);
        struct traveller traveller = {.inherited = store, .offset_s = offsets_s[i]};
        CHECK_INT(test_join(test_child(unshare_time, &traveller)), 0);
        /* And what was written there is dated as if it had been written here. */
        check_an_hour(store, "of the child");
        check_an_hour(store, "of the parent");
        CHECK_INT(outcome_of(store, "leased"), IDEM_BUSY);
        complete_with(&leased, "value");
        store_end(store);
        unlink(test_path);
    }
}

int main(void)
{
    return test_run((struct test[]){
        TEST(equal_pids_are_two_owners), TEST(a_time_namespace_agrees_on_expiry), {0}});
}
