/*
 * SIGKILL at random moments to processes that work on few keys. The survivors go on; nobody ever holds a key
 * beside a living holder; what was acknowledged stays; afterwards no key is stuck, check finds nothing, and
 * every byte comes back.
 */
#include <stdatomic.h>

#include "store.h"

#define WORKERS 3
#define KILLS TEST_ROUNDS(250)
#define KEYS 6
#define ACKNOWLEDGED_MAX 4096
#define KILL_AFTER_MAX_US 4000

struct arena {
    atomic_uint killed[KILLS + WORKERS + 1];       /* per life of a worker: set before its kill */
    atomic_uint holder[KEYS];                      /* the life that runs the key's operation */
    atomic_uint acknowledged[KILLS + WORKERS + 1]; /* keys of its own that a life has completed */
};

struct worker {
    idem_store *store;
    struct arena *arena;
    uint32_t life; /* from 1 */
    uint64_t seed;
};

static uint64_t pick(uint64_t *state, uint64_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (*state >> 33) % below;
}

/* Room may be short while a killed process's blocks wait for their grace period: try again then. */
static int claim_or_full(idem_store *store, const struct idem_request *request,
                         struct idem_claim *claim)
{
    *claim = no_claim();
    const int status = idem_claim(store, request, claim);
    if (status != IDEM_EFULL) {
        CHECK_INT(status, IDEM_OK);
    }
    return claim->outcome;
}

static void end_claim(struct worker *worker, struct idem_claim *claim, uint32_t which)
{
    static char value[20000];
    const uint32_t none = 0;
    const size_t sizes[] = {0, 10, 100, 3000, sizeof(value)};
    atomic_store(&worker->arena->holder[which], none);
    switch (pick(&worker->seed, 4)) {
    case 0:
        CHECK_INT(idem_release(claim), IDEM_OK);
        break;
    case 1:
        CHECK_INT(idem_abandon(claim), IDEM_OK);
        break;
    default:
        CHECK_INT(idem_complete(claim, value, sizes[pick(&worker->seed, 5)],
                                pick(&worker->seed, 2) ? 1 : IDEM_FOREVER, IDEM_ALLOW_NOT_KEPT),
                  IDEM_OK);
    }
}

static void work_on_a_shared_key(struct worker *worker)
{
    const uint32_t which = (uint32_t)pick(&worker->seed, KEYS);
    char key[16];
    snprintf(key, sizeof(key), "key %u", which);
    struct idem_request request = request_of(key);
    struct idem_claim claim;
    if (pick(&worker->seed, 4) == 0) {
        request.intent = "an intent that makes the record somewhat larger";
        request.intent_len = strlen(request.intent);
    }
    switch (claim_or_full(worker->store, &request, &claim)) {
    case IDEM_CLAIMED:
    case IDEM_RECLAIMED: {
        const uint32_t before = atomic_exchange(&worker->arena->holder[which], worker->life);
        CHECK(before == 0 || atomic_load(&worker->arena->killed[before]));
        CHECK(claim.outcome == IDEM_RECLAIMED || claim.record.attempt == 1);
        end_claim(worker, &claim, which);
        break;
    }
    case IDEM_HELD: {
        const int status = idem_resolve(worker->store, key, strlen(key), NULL, 0, 0);
        CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND || status == IDEM_EBUSY);
        break;
    }
    case IDEM_DONE: {
        const int status = idem_forget(worker->store, key, strlen(key), 0);
        CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND || status == IDEM_EBUSY);
        break;
    }
    default:
        break;
    }
    idem_record_free(&claim.record);
}

static void own_key(char *key, size_t size, uint32_t life, uint32_t number)
{
    snprintf(key, size, "life %u key %u", life, number);
}

/* A key that no other life knows: what it was told was done must be there after its death. */
static void complete_a_key_of_its_own(struct worker *worker)
{
    char key[48];
    atomic_uint *acknowledged = &worker->arena->acknowledged[worker->life];
    own_key(key, sizeof(key), worker->life, atomic_load(acknowledged));
    const struct idem_request request = request_of(key);
    struct idem_claim claim;
    if (atomic_load(acknowledged) >= ACKNOWLEDGED_MAX ||
        claim_or_full(worker->store, &request, &claim) != IDEM_CLAIMED) {
        return;
    }
    CHECK_INT(idem_complete(&claim, key, strlen(key), IDEM_TTL_SAME, 0), IDEM_OK);
    if (claim.record.kept) {
        atomic_fetch_add(acknowledged, 1);
    }
}

static void work(void *argument)
{
    struct worker *worker = argument;
    for (;;) {
        const uint64_t what = pick(&worker->seed, 100);
        if (what < 80) {
            work_on_a_shared_key(worker);
        } else if (what < 96) {
            complete_a_key_of_its_own(worker);
        } else if (what < 98) {
            CHECK(idem_sweep(worker->store, 0) >= 0);
        } else {
            store_check(worker->store);
        }
    }
}

/* The keys that a dead life was told were done; they are forgotten, to make room. */
static void account(idem_store *store, struct arena *arena, uint32_t life)
{
    const uint32_t acknowledged = atomic_load(&arena->acknowledged[life]);
    for (uint32_t i = 0; i <= acknowledged; i++) {
        char key[48];
        own_key(key, sizeof(key), life, i);
        if (i < acknowledged) {
            CHECK(has_value(store, key, key));
        }
        if (state_of(store, key) != IDEM_ENOTFOUND) {
            CHECK_SOON(idem_forget(store, key, strlen(key), 0) == IDEM_OK);
        }
    }
}

static void no_key_is_stuck(idem_store *store)
{
    for (uint32_t which = 0; which < KEYS; which++) {
        char key[16];
        snprintf(key, sizeof(key), "key %u", which);
        struct idem_claim claim;
        CHECK_SOON(claim_key(store, key, &claim) != IDEM_BUSY);
        if (claim.outcome == IDEM_CLAIMED || claim.outcome == IDEM_RECLAIMED) {
            CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
        } else if (claim.outcome == IDEM_HELD) {
            CHECK_INT(idem_resolve(store, key, strlen(key), "", 0, 0), IDEM_OK);
        }
        idem_record_free(&claim.record);
        CHECK_INT(state_of(store, key), IDEM_STATE_DONE);
        CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
    }
}

static void kill_at_random(uint64_t max_bytes)
{
    idem_store *store = store_open_with(max_bytes, 0);
    struct arena *arena = shared_memory(sizeof(*arena));
    struct worker workers[WORKERS];
    pid_t children[WORKERS];
    uint32_t lives = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){store, arena, ++lives, test_random()};
        children[i] = test_child(work, &workers[i]);
    }
    for (uint32_t kills = 0; kills < KILLS; kills++) {
        usleep((useconds_t)(test_random() % KILL_AFTER_MAX_US));
        const uint32_t i = (uint32_t)(test_random() % WORKERS);
        atomic_store(&arena->killed[workers[i].life], 1);
        test_kill(children[i]);
        account(store, arena, workers[i].life);
        workers[i] = (struct worker){store, arena, ++lives, test_random()};
        children[i] = test_child(work, &workers[i]);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        atomic_store(&arena->killed[workers[i].life], 1);
        test_kill(children[i]);
        account(store, arena, workers[i].life);
    }
    store_check(store);
    no_key_is_stuck(store);
    (void)used_after_sweep(store);
    const struct idem_stats stats = store_stats(store);
    CHECK_INT(stats.record_blocks, 0);
    CHECK_INT(stats.value_blocks, 0);
    CHECK_INT(stats.pending_keys + stats.orphaned_keys + stats.done_keys, 0);
    CHECK_SOON(store_stats(store).epoch_laggards == 0); /* the dead are known dead */
    munmap(arena, sizeof(*arena));
    store_end(store);
}

static void workers_die_in_a_roomy_store(void) { kill_at_random(STORE_SMALL_BYTES); }
/* Where slabs change their class all the time, and claims are refused. */
static void workers_die_in_a_tiny_store(void) { kill_at_random(STORE_SMALLEST_BYTES); }

int main(void)
{
    return test_run((struct test[]){
        TEST(workers_die_in_a_roomy_store), TEST(workers_die_in_a_tiny_store), {0}});
}
