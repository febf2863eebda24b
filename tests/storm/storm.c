/*
 * storm.c - processes at work on few keys are killed, stopped, forked and turned into others, and nothing may
 * be lost, doubled, or left over.
 *
 *     storm SECONDS          (IDEMKEY_SEED=n repeats the choices, not the interleaving)
 *
 * A storm has rounds. In each, workers (work.h) make calls that the oracle (oracle.h) judges, while this
 * process, which has the region open all the time, sends signals. A round ends with a stop, or with the death
 * of all; then the state of every key is compared with the oracle's, all keys are forgotten, and as much
 * must be in use as at the beginning.
 */
#include "work.h"

#define PLACES 8u /* processes at work at once, their own children not counted */
#define ROUND_MS 2000u
#define SIGNAL_AFTER_MAX_US 5000u
#define STOP_MAX_MS 60u

struct mode {
    uint32_t keys;
    uint64_t max_bytes;
};
/* In the smallest region slabs change their class all the time, and claims are refused. */
static const struct mode modes[] = {{1, STORE_SMALLEST_BYTES},
                                    {16, STORE_SMALLEST_BYTES},
                                    {KEYS_MAX, STORE_SMALLEST_BYTES},
                                    {KEYS_MAX, STORE_SMALL_BYTES}};
#define MODES (sizeof(modes) / sizeof(modes[0]))

struct place {
    pid_t pid;
    uint32_t spawn;
    uint64_t stopped_until_ns; /* 0: runs */
};

struct start {
    idem_store *store;
    uint32_t slot, spawn;
    uint64_t seed;
};

static uint64_t storm_seconds;
static uint64_t kills, stops;
static struct place places[PLACES];
static uint32_t spawns, first_open_life;

static void work(void *argument)
{
    const struct start *start = argument;
    process_works(start->store, start->slot, start->spawn, start->seed);
}

static void fill_place(idem_store *store, uint32_t slot)
{
    CHECK(spawns < SPAWNS_MAX);
    struct start start = {store, slot, spawns++, test_random()};
    places[slot] = (struct place){.spawn = start.spawn};
    places[slot].pid = test_child(work, &start);
}

static void buried(pid_t pid, int status)
{
    life_close(pid, &first_open_life);
    if (status != 0 && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)) {
        violation("a process ends with %#x", (unsigned)status);
    }
}

static void kill_place(uint32_t slot)
{
    int status;
    atomic_store(&oracle->killed[places[slot].spawn], true);
    kill(places[slot].pid, SIGKILL);
    CHECK_INT(waitpid(places[slot].pid, &status, 0), places[slot].pid);
    buried(places[slot].pid, status);
    kills++;
}

/* Those that were left by a parent that was killed. A worker ends only when the round is over. */
static void bury_strays(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        buried(pid, status);
        for (uint32_t slot = 0; slot < PLACES; slot++) {
            if (places[slot].pid == pid) {
                CHECK(atomic_load(&oracle->stop) && status == 0);
                places[slot].pid = 0;
            }
        }
    }
}

static void send_signal(idem_store *store)
{
    const uint32_t slot = (uint32_t)(test_random() % PLACES);
    struct place *place = &places[slot];
    if (place->pid == 0) {
        return;
    }
    if (place->stopped_until_ns == 0 && test_random() % 3 == 0) {
        kill(place->pid, SIGSTOP);
        place->stopped_until_ns = now_ns() + test_random() % STOP_MAX_MS * NS_PER_MS + 1;
        stops++;
    } else if (place->stopped_until_ns != 0 && now_ns() < place->stopped_until_ns) {
        return;
    } else if (place->stopped_until_ns != 0 && test_random() % 2) {
        kill(place->pid, SIGCONT);
        place->stopped_until_ns = 0;
    } else {
        kill_place(slot);
        fill_place(store, slot);
    }
}

static void end_round(void)
{
    const bool all_die = test_random() % 2;
    atomic_store(&oracle->stop, true);
    for (uint32_t slot = 0; slot < PLACES; slot++) {
        if (places[slot].pid != 0 && all_die) {
            kill_place(slot);
        } else if (places[slot].pid != 0) {
            int status;
            kill(places[slot].pid, SIGCONT);
            CHECK_INT(waitpid(places[slot].pid, &status, 0), places[slot].pid);
            buried(places[slot].pid, status);
        }
    }
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, 0)) > 0) {
        buried(pid, status);
    }
    CHECK_INT(errno, ECHILD);
}

/* Nobody is at work: the key must be what the oracle says, and to be had at once, or as soon as a crash grace
   and a living-for-10-ms are over; then it is forgotten. */
static void settle_key(idem_store *store, struct thread *self, uint32_t key)
{
    char name[32];
    const size_t length = name_of(name, sizeof(name), key);
    do_look(self, key);
    struct idem_claim claim = no_claim();
    struct idem_request request;
    idem_request_init(&request, sizeof(request));
    request.key = name;
    request.key_len = length;
    do {
        idem_record_free(&claim.record);
        CHECK_INT(idem_claim(store, &request, &claim), IDEM_OK);
    } while (claim.outcome == IDEM_BUSY); /* a key that is stuck meets the watchdog */
    idem_record_free(&claim.record);
    CHECK_INT(idem_forget(store, name, length, IDEM_FORCE), IDEM_OK);
}

/* What the index takes at most: it grows with the region, and never shrinks. */
static uint64_t index_bytes(const struct idem_stats *stats)
{
    const uint64_t bytes = stats->buckets * sizeof(uint64_t);
    return (bytes + stats->slab_bytes - 1) / stats->slab_bytes * stats->slab_bytes;
}

static uint64_t settle(idem_store *store)
{
    struct thread self = {.store = store, .life = life_begin(0, 0), .random = test_random()};
    do_check(store);
    for (uint32_t key = 0; key < oracle->keys; key++) {
        settle_key(store, &self, key);
    }
    const uint64_t used = used_after_sweep(store);
    const struct idem_stats stats = store_stats(store);
    if (stats.record_blocks + stats.value_blocks != 0 || used > index_bytes(&stats)) {
        violation("%" PRIu64 " records and %" PRIu64 " values are left, %" PRIu64
                  " bytes, of which the index has at most %" PRIu64,
                  stats.record_blocks, stats.value_blocks, used, index_bytes(&stats));
    }
    CHECK_SOON(store_stats(store).epoch_laggards == 0); /* the dead are known dead */
    do_check(store);
    return used;
}

static void new_round(const struct mode *mode)
{
    memset(oracle->lives, 0, atomic_load(&oracle->next_life) * sizeof(oracle->lives[0]));
    const uint32_t grants = atomic_load(&oracle->next_grant);
    memset(oracle->grants, 0,
           (grants < GRANTS_MAX ? grants : GRANTS_MAX) * sizeof(oracle->grants[0]));
    memset(oracle->killed, 0, sizeof(oracle->killed));
    memset(oracle->key, 0, sizeof(oracle->key));
    atomic_store(&oracle->stop, false);
    atomic_store(&oracle->next_life, 1);
    atomic_store(&oracle->next_grant, 1);
    oracle->keys = mode->keys;
    oracle->max_bytes = mode->max_bytes;
    first_open_life = 1;
    spawns = 0;
}

static void storm_of(const struct mode *mode, uint64_t end_ns)
{
    unlink(test_path);
    idem_store *store = store_open_with(mode->max_bytes, 0);
    uint64_t used_first = 0, used = 0;
    uint32_t rounds = 0;
    do {
        alarm(TEST_WATCHDOG_S);
        new_round(mode);
        const uint64_t round_end_ns = now_ns() + (uint64_t)ROUND_MS * NS_PER_MS;
        for (uint32_t slot = 0; slot < PLACES; slot++) {
            fill_place(store, slot);
        }
        while (!atomic_load(&oracle->stop) && now_ns() < round_end_ns) {
            usleep((useconds_t)(test_random() % SIGNAL_AFTER_MAX_US));
            bury_strays();
            send_signal(store);
        }
        end_round();
        used = settle(store);
        used_first = rounds++ ? used_first : used;
    } while (now_ns() < end_ns);
    const struct idem_stats stats = store_stats(store);
    printf("  %4u keys: %u rounds; with all keys forgotten %" PRIu64
           " bytes in use after the first, %" PRIu64 " after the last (the index: up to %" PRIu64
           "), %" PRIu64 " backed\n",
           mode->keys, rounds, used_first, used, index_bytes(&stats), stats.allocated_bytes);
    store_end(store);
}

static void print_counts(void)
{
    static const char *const names[CALLS] = {
        "claim",        "complete", "release", "abandon", "renew",  "late token",
        "copied token", "lookup",   "wait",    "touch",   "forget", "resolve",
        "sweep",        "stats",    "resize",  "check",   "fork",   "exec"};
    uint64_t calls = 0;
    for (uint32_t call = 0; call < CALLS; call++) {
        printf("  %-12s", names[call]);
        for (int result = 0; result < RESULTS; result++) {
            const uint64_t n = atomic_load(&oracle->counts[call][result]);
            const int status = RESULT_OF_STATUS(0) - result;
            const char *text = result == RESULT_NOT_KEPT ? "(of these not kept)"
                               : status == 0             ? "ok"
                               : status < 0              ? idem_strerror(status)
                                                         : idem_outcome_name(result);
            if (n != 0) {
                printf(" %" PRIu64 " %.*s", n, (int)strcspn(text, ":"), text);
            }
            calls += result == RESULT_NOT_KEPT ? 0 : n;
        }
        printf("\n");
    }
    printf("  %" PRIu64 " answers had to be the result of a completion that was acknowledged\n",
           atomic_load(&oracle->replays));
    printf("storm: %" PRIu64 " calls, %" PRIu64 " kills, %" PRIu64 " stops, %" PRIu64
           " forks, %" PRIu64 " execs, %" PRIu64 " violations\n",
           calls, kills, stops, atomic_load(&oracle->counts[CALL_FORK][RESULT_OF_STATUS(0)]),
           atomic_load(&oracle->counts[CALL_EXEC][RESULT_OF_STATUS(0)]),
           atomic_load(&oracle->violations));
}

static void map_oracle(void)
{
    oracle = mmap(NULL, sizeof(*oracle), PROT_READ | PROT_WRITE, MAP_SHARED, oracle_fd, 0);
    CHECK(oracle != MAP_FAILED);
}

static void storm(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1); /* children of killed workers become this process's */
    oracle_fd = memfd_create("oracle", 0);
    CHECK(oracle_fd >= 0);
    CHECK_INT(ftruncate(oracle_fd, sizeof(*oracle)), 0);
    map_oracle();
    const uint64_t begun_ns = now_ns();
    for (uint32_t i = 0; i < MODES; i++) {
        storm_of(&modes[i], begun_ns + storm_seconds * NS_PER_S * (i + 1) / MODES);
    }
    print_counts();
    CHECK_INT(atomic_load(&oracle->violations), 0);
}

/* After exec: another process for the store, though the pid is the same. */
_Noreturn static void work_after_exec(char **argv)
{
    snprintf(test_path, sizeof(test_path), "%s", argv[2]);
    oracle_fd = atoi(argv[3]);
    test_seed = strtoull(argv[6], NULL, 10);
    map_oracle();
    process_works(store_open_with(0, IDEM_OPEN_EXISTING), (uint32_t)atoi(argv[4]),
                  (uint32_t)atoi(argv[5]), strtoull(argv[7], NULL, 10));
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "worker") == 0) {
        work_after_exec(argv);
    }
    storm_seconds = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    if (storm_seconds == 0) {
        fprintf(stderr, "usage: storm SECONDS\n");
        return 2;
    }
    return test_run((struct test[]){TEST(storm), {0}});
}
