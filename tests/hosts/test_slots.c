/*
 * More processes and threads than the region has slots: the ones too many are told, and work when others end
 * or die. All slots but a few are a living process's, as if it had so many threads; for the rest processes
 * with several threads each compete.
 */
#include <pthread.h>

#include "../c/inside.h"
#include "hosts.h"

enum { PROCESSES = 8, THREADS = 6, FREE_SLOTS = 20, SEEKERS = PROCESSES * THREADS };
enum { DEAD_SLOTS = SEEKERS - FREE_SLOTS }; /* as many as are missing */

struct contest {
    idem_store *store;
    atomic_uint
        owners[2];      /* of the process that has most slots, and of one that has a few and dies */
    atomic_int seated;  /* seekers that have worked */
    atomic_int refused; /* seekers that were told */
    atomic_int over;
};

static void own_slots(void *argument)
{
    struct contest *contest = argument;
    struct idem__op op = inside_begin(contest->store);
    const uint32_t owner = op.thread->owner;
    inside_end(&op);
    atomic_store(&contest->owners[atomic_load(&contest->owners[0]) != 0], owner);
    pause();
}

/* Gives an owner so many of the free slots, from the first one on. */
static void fill_slots(struct contest *contest, uint32_t owner, uint32_t count)
{
    struct idem__op op = inside_begin(contest->store);
    struct idem__region *region = op.region;
    inside_end(&op);
    CHECK_INT(idem__region_back(region, IDEM__SLOT_OFF, IDEM__SLOTS_MAX * sizeof(struct slot_shm)),
              IDEM_OK);
    uint32_t filled = 0;
    for (uint32_t i = 0; i < IDEM__SLOTS_MAX && filled < count; i++) {
        uint32_t nobody = 0;
        filled += idem__cas32(&region->slots[i].owner, &nobody, owner);
    }
    idem__store32(&region->header->slot_high, IDEM__SLOTS_MAX);
    CHECK_INT(filled, count);
}

static void *seek_a_slot(void *argument)
{
    struct contest *contest = argument;
    struct idem_claim claim = no_claim();
    char key[48];
    snprintf(key, sizeof(key), "%d %lx", (int)getpid(), (unsigned long)pthread_self());
    const struct idem_request request = request_of(key);
    const int status = idem_claim(contest->store, &request, &claim);
    if (status != IDEM_OK) {
        CHECK_INT(status, IDEM_ESLOTS);
        CHECK(strstr(idem_last_error(), "all 8192 thread slots") != NULL);
        CHECK(strstr(idem_last_error(), "fewer threads") != NULL);
        CHECK_INT(claim.outcome, 0);
        /* Every call says so, and harms nothing. */
        struct idem_record record;
        idem_record_init(&record, sizeof(record));
        CHECK_INT(idem_lookup(contest->store, key, strlen(key), &record), IDEM_ESLOTS);
        CHECK_INT(idem_forget(contest->store, key, strlen(key), 0), IDEM_ESLOTS);
        atomic_fetch_add(&contest->refused, 1);
        CHECK_SOON(idem_claim(contest->store, &request, &claim) == IDEM_OK);
    }
    CHECK_INT(claim.outcome, IDEM_CLAIMED);
    complete_with(&claim, "value");
    CHECK(has_value(contest->store, key, "value"));
    atomic_fetch_add(&contest->seated, 1);
    CHECK_SOON(atomic_load(&contest->over));
    return NULL;
}

static void seek_in_threads(void *argument)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, seek_a_slot, argument), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
}

static void more_processes_and_threads_than_slots(void)
{
    struct contest *contest = shared_memory(sizeof(*contest));
    idem_store *store = contest->store = store_open();
    put(store, "before", "value"); /* this thread has its slot */
    pid_t holders[2];
    for (int i = 0; i < 2; i++) {
        holders[i] = test_child(own_slots, contest);
        CHECK_SOON(atomic_load(&contest->owners[i]) != 0);
    }
    /* One of each process's slots, this one's too, is its thread's own. */
    fill_slots(contest, atomic_load(&contest->owners[1]), DEAD_SLOTS - 1);
    fill_slots(contest, atomic_load(&contest->owners[0]),
               IDEM__SLOTS_MAX - FREE_SLOTS - DEAD_SLOTS - 2);
    CHECK_INT(store_stats(store).slots_used, IDEM__SLOTS_MAX - FREE_SLOTS);
    pid_t seekers[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        seekers[i] = test_child(seek_in_threads, contest);
    }
    /* As many as there are slots work; all others are told, whoever they are. */
    CHECK_SOON(atomic_load(&contest->seated) + atomic_load(&contest->refused) == SEEKERS);
    CHECK_INT(atomic_load(&contest->seated), FREE_SLOTS);
    CHECK_INT(store_stats(store).slots_used, IDEM__SLOTS_MAX);
    put(store, "meanwhile", "value"); /* who has a slot goes on */
    /* Who dies leaves its slots to the others, few among thousands of the living as they are. */
    test_kill(holders[1]);
    CHECK_SOON(atomic_load(&contest->seated) == SEEKERS);
    CHECK_INT(store_stats(store).slots_used, IDEM__SLOTS_MAX);
    atomic_store(&contest->over, 1);
    for (int i = 0; i < PROCESSES; i++) {
        CHECK_INT(test_join(seekers[i]), 0);
    }
    test_kill(holders[0]);
    CHECK_SOON(store_stats(store).slots_used == 1);
    CHECK_INT(store_stats(store).done_keys, 2 + SEEKERS);
    munmap(contest, sizeof(*contest));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(more_processes_and_threads_than_slots), {0}});
}
