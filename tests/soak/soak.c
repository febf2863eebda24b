/*
 * soak.c - very many calls at a steady population: is a store after them what it was before?
 *
 *     soak COUNTING [CALLS [KEYS]]      (default 1,000,000,000 calls, 100,000 live keys)
 *
 * Processes claim, complete, look up, release, touch and forget keys that expire after a while, so that as
 * many are new as go. One of them, the program COUNTING, is made with the core that counts its
 * instructions (cost.h); another is killed and replaced now and then. The store's clock goes by calls, so
 * that the population does not depend on the machine. IDEMKEY_SEED=n repeats the choices.
 *
 * Prints what is in use row by row. Ends with 1 if bytes in use, slots or the instructions of a call are
 * more at the end than at the beginning, or if anything is left when all keys have expired.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cost.h"
#include "idemkey.h"
#include "soak.h"

enum {
    ROWS = 24,
    SKIPPED_ROWS = 8,  /* until the population is steady, and its garbage too */
    COMPARED_ROWS = 6, /* at the beginning and at the end */
    /* Bytes of the region per live key: far more than are used, so that nothing is ever refused. */
    BYTES_PER_KEY = 2048,
    BYTES_MIN = 64 << 20,
    CALLS_PER_KEY = 9, /* of a round of worker.c, about */
    POLL_NS = 1000000
};
/* What the end's mean may be above the highest of the beginning: what is used goes up and down as slabs are
   cleaned. Beside it the slabs that one worker may hold of each class: in a small store they are much. */
#define MORE 1.05
#define SLACK_SLABS 6

struct row {
    uint64_t used_bytes, allocated_bytes, keys, slots;
    uint64_t ns[3], instructions[3]; /* p50, p99, p99.9 */
};

static char path[64];
static struct soak *soak;
static idem_store *store;
static pid_t workers[SOAK_WORKERS_MAX];
static int worker_count;
static const char *own_program, *counting_program;
static int shared_fd;
static uint64_t slab_bytes;

_Noreturn static void give_up(const char *what)
{
    fprintf(stderr, "soak: %s: %s\n", what, idem_last_error());
    for (int i = 0; i < worker_count; i++) {
        if (workers[i] > 0) {
            kill(workers[i], SIGKILL);
        }
    }
    unlink(path);
    exit(2);
}

/* Returns when the worker has made its first call, and has its slot. */
static void start(int index)
{
    char fd[16];
    const uint64_t begun = atomic_load(&soak->begun);
    snprintf(fd, sizeof(fd), "%d", shared_fd);
    const pid_t child = fork();
    if (child == 0) {
        const char *program = index == 0 ? counting_program : own_program;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, "--worker", fd, path, (char *)NULL);
        _exit(2);
    }
    if (child < 0) {
        give_up("fork");
    }
    workers[index] = child;
    while (atomic_load(&soak->begun) == begun && waitpid(child, NULL, WNOHANG) == 0) {
        nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
    }
}

static void replace(int index)
{
    int status;
    kill(workers[index], SIGKILL);
    waitpid(workers[index], &status, 0);
    if (!WIFSIGNALED(status)) {
        give_up("a worker had ended");
    }
    start(index);
}

/* The value that a share of the counted ones does not exceed. */
static uint64_t percentile(const uint64_t counts[HISTOGRAM_SIZE], uint64_t sum, double share)
{
    uint64_t seen = 0;
    uint32_t index = 0;
    while (index < HISTOGRAM_SIZE - 1 && (double)(seen + counts[index]) < share * (double)sum) {
        seen += counts[index++];
    }
    const uint32_t shift = index >> HISTOGRAM_BITS > 1 ? (index >> HISTOGRAM_BITS) - 1 : 0;
    return ((uint64_t)index - ((uint64_t)shift << HISTOGRAM_BITS)) << shift;
}

/* Percentiles of what was counted since the last time. */
static void take(struct histogram *histogram, uint64_t values[3])
{
    static const double shares[3] = {0.5, 0.99, 0.999};
    uint64_t counts[HISTOGRAM_SIZE], sum = 0;
    for (int i = 0; i < HISTOGRAM_SIZE; i++) {
        counts[i] = atomic_exchange(&histogram->counts[i], 0);
        sum += counts[i];
    }
    for (int i = 0; i < 3; i++) {
        values[i] = percentile(counts, sum, shares[i]);
    }
}

static struct row look(void)
{
    struct idem_stats stats = {.size = sizeof(stats)};
    struct row row;
    if (idem_stats(store, &stats) != IDEM_OK) {
        give_up("stats");
    }
    row.used_bytes = stats.used_bytes;
    row.allocated_bytes = stats.allocated_bytes;
    row.keys = stats.done_keys + stats.pending_keys + stats.orphaned_keys;
    row.slots = stats.slots_used;
    slab_bytes = stats.slab_bytes;
    take(&soak->nanoseconds, row.ns);
    take(&soak->instructions, row.instructions);
    return row;
}

static void print(uint64_t calls, const struct row *row)
{
    printf("%12" PRIu64 "%10" PRIu64 "%12" PRIu64 "%12" PRIu64 "%7" PRIu64, calls, row->keys,
           row->used_bytes >> 10, row->allocated_bytes >> 10, row->slots);
    for (int i = 0; i < 3; i++) {
        printf("%8" PRIu64, row->ns[i]);
    }
    for (int i = 0; i < 3; i++) {
        printf("%8" PRIu64, row->instructions[i]);
    }
    printf("\n");
    fflush(stdout);
}

static void run(uint64_t calls, struct row rows[ROWS])
{
    printf("%12s%10s%12s%12s%7s%24s%24s\n", "calls", "keys", "used KiB", "backed KiB", "slots",
           "ns p50, p99, p99.9", "instructions");
    for (int i = 0; i < worker_count; i++) {
        start(i);
    }
    for (int row = 0; row < ROWS; row++) {
        const uint64_t left =
            calls - calls * (uint64_t)(row + 1) / (ROWS + 1); /* not after the last one */
        while (atomic_load(&soak->calls_left) > left) {
            int status;
            const pid_t ended = waitpid(-1, &status, WNOHANG);
            if (ended > 0 && status != 0) {
                give_up("a worker failed");
            }
            nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
        }
        rows[row] = look();
        print(calls - left, &rows[row]);
        if (row + 1 < ROWS) {
            replace(1 + row % (worker_count - 1));
        }
    }
}

static uint64_t value_at(const struct row *row, size_t offset)
{
    uint64_t value;
    memcpy(&value, (const char *)row + offset, sizeof(value));
    return value;
}

/* Compares the end with the beginning; how many columns have more. */
static int judge(const struct row rows[ROWS])
{
    static const struct {
        const char *name;
        size_t offset;
        double more; /* 0: told only, as it says more of the machine */
        uint32_t slabs;
    } columns[] = {
        {"bytes used", offsetof(struct row, used_bytes), MORE, SLACK_SLABS},
        {"bytes backed by memory", offsetof(struct row, allocated_bytes), MORE, SLACK_SLABS},
        {"slots", offsetof(struct row, slots), 1, 0},
        {"instructions, p50", offsetof(struct row, instructions[0]), MORE, 0},
        {"instructions, p99", offsetof(struct row, instructions[1]), MORE, 0},
        {"instructions, p99.9", offsetof(struct row, instructions[2]), MORE, 0},
        {"nanoseconds, p50", offsetof(struct row, ns[0]), 0, 0},
        {"nanoseconds, p99", offsetof(struct row, ns[1]), 0, 0},
        {"nanoseconds, p99.9", offsetof(struct row, ns[2]), 0, 0},
    };
    int bad = 0;
    printf("%-24s %14s %14s %14s\n", "", "beginning", "its highest", "end");
    for (size_t i = 0; i < sizeof(columns) / sizeof(*columns); i++) {
        double begin = 0, end = 0, highest = 0;
        for (int row = 0; row < COMPARED_ROWS; row++) {
            const double early = (double)value_at(&rows[SKIPPED_ROWS + row], columns[i].offset);
            begin += early / COMPARED_ROWS;
            highest = early > highest ? early : highest;
            end += (double)value_at(&rows[ROWS - 1 - row], columns[i].offset) / COMPARED_ROWS;
        }
        const bool more = columns[i].more > 0 &&
                          end > highest * columns[i].more + (double)(columns[i].slabs * slab_bytes);
        printf("%-24s %14.0f %14.0f %14.0f%s\n", columns[i].name, begin, highest, end,
               more ? "  MORE" : "");
        bad += more;
    }
    return bad;
}

/* All keys expire: what is left? */
static int left_over(void)
{
    enum { SWEEPS = 10, EXPIRED_S = SOAK_TTL_S * SOAK_TTLS + 2 };
    struct idem_report report = {.size = sizeof(report)};
    struct idem_stats stats = {.size = sizeof(stats)};
    for (int i = 0; i < worker_count; i++) {
        int status;
        if (waitpid(workers[i], &status, 0) == workers[i] && status != 0) {
            give_up("a worker failed");
        }
    }
    /* Twice: claims of the killed are kept for their time from when the death is noticed. */
    for (int i = 0; i < 2 * SWEEPS; i++) {
        if (i % SWEEPS == 0) {
            cost_clock_advance_us(EXPIRED_S * COST_US_PER_S);
        }
        if (idem_sweep(store, 0) < 0) {
            give_up("sweep");
        }
    }
    if (idem_check(store, &report) != IDEM_OK || idem_stats(store, &stats) != IDEM_OK) {
        give_up("check");
    }
    printf("%-24s %14" PRIu64 " records and %" PRIu64 " values are left\n", "when all have expired",
           stats.record_blocks, stats.value_blocks);
    return stats.record_blocks + stats.value_blocks > 0;
}

static void prepare(uint64_t calls, uint64_t keys)
{
    const char *seed = getenv("IDEMKEY_SEED");
    const uint64_t ttl_s = (SOAK_TTL_S + SOAK_TTL_S * SOAK_TTLS) / 2;
    const uint64_t calls_per_s = keys * CALLS_PER_KEY / ttl_s, bytes = keys * BYTES_PER_KEY;
    struct idem_options options;
    shared_fd = memfd_create("soak", 0);
    if (shared_fd < 0 || ftruncate(shared_fd, sizeof(*soak)) != 0) {
        give_up("memfd_create");
    }
    soak = mmap(NULL, sizeof(*soak), PROT_READ | PROT_WRITE, MAP_SHARED, shared_fd, 0);
    soak->calls_left = calls;
    soak->us_per_batch = SOAK_BATCH * COST_US_PER_S / calls_per_s;
    soak->seed = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    if (calls * SKIPPED_ROWS / ROWS < 2 * SOAK_TTL_S * SOAK_TTLS * calls_per_s) {
        fprintf(stderr, "soak: too few calls for a steady population of so many keys\n");
        exit(2);
    }
    printf("seed %" PRIu64 ": %" PRIu64 " calls of %d processes, about %" PRIu64
           " live keys, limit %" PRIu64 " KiB\n",
           soak->seed, calls, worker_count, keys, (bytes > BYTES_MIN ? bytes : BYTES_MIN) >> 10);
    cost_clock_set(&soak->clock_ns);
    snprintf(path, sizeof(path), "/dev/shm/idemkey-soak-%d.idem", (int)getpid());
    idem_options_init(&options, sizeof(options));
    options.max_bytes = bytes > BYTES_MIN ? bytes : BYTES_MIN;
    if (idem_open(path, &options, &store) != IDEM_OK) {
        give_up("open");
    }
}

int main(int argc, char **argv)
{
    static struct row rows[ROWS];
    if (argc == 4 && strcmp(argv[1], "--worker") == 0) {
        void *shared = mmap(NULL, sizeof(*soak), PROT_READ | PROT_WRITE, MAP_SHARED,
                            (int)strtol(argv[2], NULL, 10), 0);
        soak_work(shared, argv[3]);
    }
    if (argc < 2) {
        fprintf(stderr, "usage: soak COUNTING [CALLS [KEYS]]\n");
        return 2;
    }
    own_program = argv[0];
    counting_program = argv[1];
    const uint64_t calls = argc > 2 ? strtoull(argv[2], NULL, 0) : 1000000000;
    const uint64_t keys = argc > 3 ? strtoull(argv[3], NULL, 0) : 100000;
    const long processors = sysconf(_SC_NPROCESSORS_ONLN);
    worker_count = processors < SOAK_WORKERS_MAX ? (int)processors + 1 : SOAK_WORKERS_MAX;
    prepare(calls, keys);
    run(calls, rows);
    const int bad = judge(rows) + left_over();
    (void)idem_close(store);
    unlink(path);
    printf("%s\n", bad ? "the end is NOT as the beginning" : "the end is as the beginning");
    return bad > 0;
}
