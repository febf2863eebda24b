/* pair.c - see pair.h. The second process sleeps on a semaphore, and spins only to start level. */
#include "pair.h"

#include <errno.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    WARM_UP_PART = 4,       /* a quarter as many operations again go before, untimed */
    HELPER_DEADLINE_S = 120 /* far above any round: the helper must have died */
};

struct span {
    uint64_t cpu_ns, faults;
};

struct order {            /* what the parent asks of the second process; written while it sleeps */
    bench_op *run, *undo; /* same addresses after fork */
    uint64_t first_id;
    size_t n;
    int quit;
};

struct shared {
    sem_t go, done;
    atomic_int at_start; /* processes that are ready to start the clock */
    struct order order;
    struct span span;
};

static struct shared *shared;
static bench_key *keys;
static uint64_t population;
static pid_t helper;

static void fill_keys(const struct order *order)
{
    for (size_t i = 0; i < order->n; i++)
        bench_make_key(order->undo ? order->first_id + i : bench_random(population), &keys[i]);
}

static struct span work(const struct order *order, int processes)
{
    size_t warm_up = order->n / (1 + WARM_UP_PART) / MANY * MANY;
    struct span span;
    fill_keys(order);
    order->run(keys, warm_up);
    atomic_fetch_add(&shared->at_start, 1);
    while (atomic_load(&shared->at_start) < processes)
        ;
    span.faults = bench_minor_faults();
    span.cpu_ns = bench_cpu_ns();
    order->run(keys + warm_up, order->n - warm_up);
    span.cpu_ns = bench_cpu_ns() - span.cpu_ns;
    span.faults = bench_minor_faults() - span.faults;
    if (order->undo)
        order->undo(keys, order->n);
    return span;
}

static _Noreturn void serve(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);
    bench_reseed_random((uint64_t)getpid());
    for (;;) {
        while (sem_wait(&shared->go) != 0)
            ;
        if (shared->order.quit)
            _exit(EXIT_SUCCESS);
        shared->span = work(&shared->order, 2);
        sem_post(&shared->done);
    }
}

static void await_helper(void)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += HELPER_DEADLINE_S;
    while (sem_timedwait(&shared->done, &deadline) != 0)
        if (errno != EINTR)
            bench_die("the second process did not finish its round");
}

/* Page tables are made by first use in each process: so that no round does it, look every key up. */
static void touch_population(size_t most_keys)
{
    struct order all = {.run = ours_lookup};
    for (uint64_t id = 0; id < population; id += all.n) {
        all.n = population - id < most_keys ? (size_t)(population - id) : most_keys;
        for (size_t i = 0; i < all.n; i++)
            bench_make_key(id + i, &keys[i]);
        ours_lookup(keys, all.n);
    }
}

void pair_start(uint64_t keys_there, size_t most_keys)
{
    pid_t parent = getpid();
    population = keys_there;
    keys = bench_alloc(most_keys * sizeof *keys);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || sem_init(&shared->go, 1, 0) || sem_init(&shared->done, 1, 0))
        bench_die("no shared memory for the second process");
    helper = fork();
    if (helper < 0)
        bench_die("cannot fork the second process");
    if (helper == 0) {
        touch_population(most_keys);
        sem_post(&shared->done);
        serve(parent);
    }
    await_helper();
}

static double one_process(const struct order *order, uint64_t *faults)
{
    atomic_store(&shared->at_start, 0);
    struct span mine = work(order, 1);
    *faults += mine.faults;
    return (double)mine.cpu_ns;
}

static double two_processes(const struct order *order, uint64_t *faults)
{
    atomic_store(&shared->at_start, 0);
    shared->order = *order;
    shared->order.first_id += order->n;
    sem_post(&shared->go);
    struct span mine = work(order, 2);
    await_helper();
    struct span theirs = shared->span;
    *faults += mine.faults + theirs.faults;
    return (double)(mine.cpu_ns > theirs.cpu_ns ? mine.cpu_ns : theirs.cpu_ns);
}

void pair_measure(struct pairs *pairs, bench_op *run, bench_op *undo, uint64_t first_id, size_t n,
                  int rounds)
{
    size_t timed = n - n / (1 + WARM_UP_PART) / MANY * MANY;
    pairs_init(pairs, rounds);
    for (; pairs->n < rounds; pairs->n++) {
        struct order order = {.run = run, .undo = undo, .first_id = first_id, .n = n};
        double one_ns, two_ns;
        if (pairs->n % 2) {
            one_ns = one_process(&order, &pairs->faults);
            two_ns = two_processes(&order, &pairs->faults);
        } else {
            two_ns = two_processes(&order, &pairs->faults);
            one_ns = one_process(&order, &pairs->faults);
        }
        first_id += 2 * n;
        pairs->peer_ns[pairs->n] = one_ns / (double)timed;
        pairs->ours_ns[pairs->n] = two_ns / (2.0 * (double)timed);
        pairs->operations += timed * 3 / 2; /* three batches between what counts as two sides */
    }
}

void pair_stop(void)
{
    shared->order.quit = 1;
    sem_post(&shared->go);
    waitpid(helper, NULL, 0);
    munmap(shared, sizeof *shared);
    free(keys);
}
