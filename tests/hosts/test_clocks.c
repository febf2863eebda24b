/* The host's clocks jump: wall-clock steps of a day either way, and suspend. */
#include <sys/syscall.h>

#include "hosts.h"

#define DAY_MS ((int64_t)24 * 3600 * 1000)
#define HOUR_MS 3600000
#define SHORT_MS 1000
#define CLOSE_MS 60000   /* two looks on a busy machine; far less than the jumps */
#define REFRESHES_MS 300 /* so long after a jump every process has read the host's clock anew */

/* What this host's clocks say more than the machine's: shared with the children. */
struct jumps {
    atomic_llong wall_ms; /* CLOCK_REALTIME: settimeofday, NTP */
    atomic_llong boot_ms; /* CLOCK_BOOTTIME alone: time asleep */
};
static struct jumps *jumps;

/* In place of libc's, for the core too, which is linked into this program. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
    const int rc = (int)syscall(SYS_clock_gettime, clock, now);
    int64_t more_ms = 0;
    if (jumps != NULL && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        more_ms = atomic_load(&jumps->wall_ms);
    } else if (jumps != NULL && clock == CLOCK_BOOTTIME) {
        more_ms = atomic_load(&jumps->boot_ms);
    }
    const int64_t ns = now->tv_nsec + more_ms % 1000 * 1000000 + 1000000000;
    now->tv_sec += more_ms / 1000 + ns / 1000000000 - 1;
    now->tv_nsec = ns % 1000000000;
    return rc;
}

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wall_is_used(void)
{
    const time_t machine = time(NULL); /* not by way of our clock_gettime */
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    const int64_t more_s = (int64_t)now.tv_sec - (int64_t)machine;
    CHECK(llabs(more_s * 1000 - atomic_load(&jumps->wall_ms)) < CLOSE_MS);
}

static void put_for(idem_store *store, const char *key, int64_t ttl_ms)
{
    struct idem_request request = request_of(key);
    struct idem_claim claim;
    request.ttl_ms = ttl_ms;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    complete_with(&claim, "value");
}

static struct idem_claim claim_leased(idem_store *store, const char *key, int64_t lease_ms)
{
    struct idem_request request = request_of(key);
    struct idem_claim claim;
    request.lease_ms = lease_ms;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    return claim;
}

static void check_left(idem_store *store, const char *key, int64_t about_ms)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_lookup(store, key, strlen(key), &record), IDEM_OK);
    CHECK(llabs(record.expires_in_ms - about_ms) < CLOSE_MS);
    idem_record_free(&record);
}

/* ---- steps of the wall clock ---------------------------------------------------------------- */

static void nothing_has_changed(void *argument)
{
    idem_store *store = argument;
    check_left(store, "done", HOUR_MS);
    CHECK_INT(outcome_of(store, "leased"), IDEM_BUSY);
    CHECK_INT(outcome_of(store, "unleased"), IDEM_BUSY);
}

static void nothing_has_changed_for_a_newcomer(void *unused)
{
    (void)unused;
    idem_store *store = store_open();
    nothing_has_changed(store);
    put_for(store, "new", HOUR_MS);
    check_left(store, "new", HOUR_MS);
    CHECK_INT(idem_forget(store, "new", 3, 0), IDEM_OK);
    store_end(store);
}

static void step_the_wall_clock(idem_store *store, int64_t step_ms)
{
    const int64_t from_ms = monotonic_ms();
    put_for(store, "short", SHORT_MS);
    atomic_fetch_add(&jumps->wall_ms, step_ms);
    wall_is_used();
    while (monotonic_ms() < from_ms + REFRESHES_MS) {
        nothing_has_changed(store);
        CHECK(has_value(store, "short", "value"));
    }
    CHECK_INT(test_join(test_child(nothing_has_changed, store)), 0);
    CHECK_INT(test_join(test_child(nothing_has_changed_for_a_newcomer, NULL)), 0);
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    const int64_t wait_ms = 50, wait_from_ms = monotonic_ms();
    CHECK_INT(idem_wait(store, "leased", 6, wait_ms, &record), IDEM_ETIMEDOUT);
    CHECK(monotonic_ms() - wait_from_ms >= wait_ms);
    idem_record_free(&record);
    /* The store's time goes on, as fast as ever. */
    CHECK_SOON(state_of(store, "short") == IDEM_ENOTFOUND);
    CHECK(monotonic_ms() - from_ms >= SHORT_MS);
}

static void wall_clock_steps_change_nothing(void)
{
    /* A day ahead, back, a day behind, and back. */
    const int64_t steps_ms[] = {DAY_MS, -DAY_MS, -DAY_MS, DAY_MS};
    idem_store *store = store_open();
    put_for(store, "done", HOUR_MS);
    struct idem_claim leased = claim_leased(store, "leased", HOUR_MS);
    struct idem_claim unleased = claim_leased(store, "unleased", 0);
    for (size_t i = 0; i < sizeof(steps_ms) / sizeof(steps_ms[0]); i++) {
        step_the_wall_clock(store, steps_ms[i]);
    }
    complete_with(&leased, "value");
    complete_with(&unleased, "value");
    store_end(store);
    CHECK_INT(atomic_load(&jumps->wall_ms), 0);
}

/* ---- suspend -------------------------------------------------------------------------------- */

static void an_hour_has_passed(idem_store *store)
{
    CHECK_SOON(state_of(store, "done") == IDEM_ENOTFOUND);
    check_left(store, "long", DAY_MS + HOUR_MS);
    CHECK_INT(state_of(store, "unleased"), IDEM_STATE_PENDING);
}

struct sleeper {
    idem_store *store;
    atomic_int step; /* 1: in use here; 2: the host has slept */
};

/* A process that had the store open, and read its clock, before the host slept. */
static void sleep_too(void *argument)
{
    struct sleeper *sleeper = argument;
    CHECK_INT(outcome_of(sleeper->store, "done"), IDEM_DONE);
    atomic_store(&sleeper->step, 1);
    host_await(&sleeper->step, 2);
    an_hour_has_passed(sleeper->store);
    CHECK_INT(outcome_of(sleeper->store, "done"), IDEM_CLAIMED);
}

static void time_goes_on_in_suspend(void)
{
    idem_store *store = store_open();
    put_for(store, "done", HOUR_MS);
    put_for(store, "long", 2 * DAY_MS + HOUR_MS);
    struct idem_claim leased = claim_leased(store, "leased", HOUR_MS);
    struct idem_claim unleased = claim_leased(store, "unleased", 0), taken;
    struct sleeper *sleeper = shared_memory(sizeof(*sleeper));
    sleeper->store = store;
    const pid_t child = test_child(sleep_too, sleeper);
    host_await(&sleeper->step, 1);
    CHECK_INT(outcome_of(store, "leased"), IDEM_BUSY);
    const uint64_t before_ms = (uint64_t)store_stats(store).now_ms;

    atomic_fetch_add(&jumps->boot_ms, DAY_MS);
    CHECK_SOON((uint64_t)store_stats(store).now_ms >= before_ms + (uint64_t)DAY_MS);
    an_hour_has_passed(store);
    CHECK_SOON(claim_key(store, "leased", &taken) == IDEM_RECLAIMED);
    CHECK_INT(idem_complete(&leased, "late", 4, IDEM_TTL_SAME, 0), IDEM_ELOST);
    complete_with(&taken, "value");
    CHECK_INT(outcome_of(store, "unleased"), IDEM_BUSY); /* no lease: as long as its owner lives */
    atomic_store(&sleeper->step, 2);
    CHECK_INT(test_join(child), 0);
    CHECK_INT(idem_complete(&unleased, "value", 5, HOUR_MS, 0), IDEM_OK);
    check_left(store, "unleased", HOUR_MS);
    munmap(sleeper, sizeof(*sleeper));
    store_end(store);
}

int main(void)
{
    jumps = mmap(NULL, sizeof(*jumps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return jumps == MAP_FAILED
               ? 1
               : test_run((struct test[]){
                     TEST(wall_clock_steps_change_nothing), TEST(time_goes_on_in_suspend), {0}});
}
