/*
 * record.c - records a history for check/: who called what on which key, when, and what came of it.
 *
 *     record FILE OPERATIONS          (IDEMKEY_SEED=n repeats the choices, not the interleaving)
 *
 * Worker processes draw numbered tickets, and each ticket is one call. The calls stand in anonymous memory
 * that no kill touches: the time before it is stored, then the call is made, then its result and the time
 * after. A worker that is killed in between leaves a call without a result, which may or may not have
 * happened, but not after the process was seen dead.
 *
 * Tickets are dealt so that a key is fought for and is seen again when leases and retentions have ended: a
 * pass goes over all keys of a generation, a few at a time; then all pause; after some passes the next
 * generation has new keys. So no key's history is long.
 */
#include "worker.h"

#define WORKERS 6
#define OPERATIONS_MAX ((uint64_t)20 << 20)
#define LIVES_MAX (1u << 20)
/* Between two looks at who has ended; and at some of them a worker is stopped for a while. */
#define LOOK_AFTER_MAX_US 500u
#define ONE_IN_STOPPED 40u
#define STOP_MAX_US 10000u
#define REGION_BYTES ((uint64_t)64 << 20) /* nothing is refused */

static pid_t start(struct worker *worker, uint32_t life)
{
    CHECK(life < LIVES_MAX);
    worker->life = life;
    worker->random = test_random();
    return test_child(work, worker);
}

/* A worker that has ended; by its own kill, or when there were no more tickets. */
static void bury(struct history *history, const struct worker *worker, int status)
{
    history->lives[worker->life].gone_ns = now_ns();
    if (WIFEXITED(status)) {
        CHECK_INT(WEXITSTATUS(status), 0);
    } else {
        CHECK_INT(WTERMSIG(status), SIGKILL);
    }
}

/* Starts a worker in the place of each that has ended; the number of lives so far. */
static uint32_t replace_the_dead(struct history *history, struct worker *workers, pid_t *children,
                                 uint32_t lives)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        int status;
        if (waitpid(children[i], &status, WNOHANG) == children[i]) {
            bury(history, &workers[i], status);
            children[i] = start(&workers[i], lives++);
        }
    }
    return lives;
}

static const char *file_name;
static struct history history;

static void write_history(uint32_t lives)
{
    FILE *file = fopen(file_name, "w");
    CHECK(file != NULL);
    uint64_t made = 0, unknown = 0;
    fprintf(file, "# seed %" PRIu64 "\n", test_seed);
    for (uint32_t i = 0; i < lives; i++) {
        fprintf(file, "ended %u %" PRIu64 " %" PRIu64 "\n", i,
                (uint64_t)atomic_load(&history.lives[i].end_ns), history.lives[i].gone_ns);
    }
    for (uint64_t ticket = 0; ticket < history.operations; ticket++) {
        struct entry *entry = &history.entries[ticket];
        const uint64_t called_ns = atomic_load(&entry->called_ns);
        const uint64_t returned_ns = atomic_load(&entry->returned_ns);
        if (called_ns == 0) {
            continue; /* its worker was killed before */
        }
        made++;
        unknown += returned_ns == 0;
        fprintf(file,
                "%s %u %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 " %" PRIu64
                " %s %d %" PRIu64 "\n",
                call_names[entry->call], entry->key, entry->life, ticket + 1, called_ns,
                returned_ns, entry->ttl_ms, entry->lease_ms, entry->token,
                returned_ns ? entry->result : "unknown", returned_ns ? entry->attempt : 0,
                entry->value);
    }
    CHECK_INT(fclose(file), 0);
    printf("recorded %" PRIu64 " operations, %u kills, %" PRIu64 " operations cut off by them\n",
           made, lives - WORKERS, unknown);
}

static void record(void)
{
    history.lives = shared_memory(LIVES_MAX * sizeof(history.lives[0]));
    history.entries = shared_memory(history.operations * sizeof(history.entries[0]));
    history.pass_start_ns =
        shared_memory((history.operations / CALLS_A_PASS + 1) * sizeof(history.pass_start_ns[0]));
    struct history *shared = shared_memory(sizeof(history));
    *shared = history;
    idem_store *store = store_open_with(REGION_BYTES, 0);
    struct worker workers[WORKERS];
    pid_t children[WORKERS];
    uint32_t lives = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.store = store, .history = shared};
        children[i] = start(&workers[i], lives++);
    }
    while (atomic_load(&shared->next) < shared->operations) {
        alarm(TEST_WATCHDOG_S); /* as long as there are tickets drawn it does not hang */
        const uint64_t pass = atomic_load(&shared->next) / CALLS_A_PASS;
        sleep_until(atomic_load(&shared->pass_start_ns[pass]));
        lives = replace_the_dead(shared, workers, children, lives);
        usleep((useconds_t)(test_random() % LOOK_AFTER_MAX_US));
        if (test_random() % ONE_IN_STOPPED == 0) {
            const pid_t child = children[test_random() % WORKERS];
            kill(child, SIGSTOP);
            usleep((useconds_t)(test_random() % STOP_MAX_US));
            kill(child, SIGCONT);
        }
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        int status;
        CHECK_INT(waitpid(children[i], &status, 0), children[i]);
        bury(shared, &workers[i], status);
    }
    write_history(lives); /* before the check: a broken store's history is wanted too */
    store_end(store);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: record FILE OPERATIONS\n");
        return 2;
    }
    file_name = argv[1];
    history.operations = strtoull(argv[2], NULL, 10);
    if (history.operations == 0 || history.operations > OPERATIONS_MAX) {
        fprintf(stderr, "record: OPERATIONS must be 1 to %" PRIu64 "\n", OPERATIONS_MAX);
        return 2;
    }
    return test_run((struct test[]){TEST(record), {0}});
}
