/* cost.c - see cost.h. */
#include "cost.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What count.py writes for each basic block, and the linker puts together. */
struct cost_place {
    const char *file, *function;
    uint32_t line, instructions;
};
extern struct cost_place places_begin[] __asm__("__start_cost_places");
extern struct cost_place places_end[] __asm__("__stop_cost_places");
extern uint32_t counts_begin[] __asm__("__start_cost_counts");
extern uint32_t counts_end[] __asm__("__stop_cost_counts");
/* A block that is never run: a core that does not count has none, and the linker then no such names. */
static struct cost_place nowhere __attribute__((section("cost_places"), used));
static uint32_t never __attribute__((section("cost_counts"), used));

uint64_t cost_total;

/* --- the C library, which is not counted by itself --- */

enum { MEMORY, SYSTEMS_MAX = 16 };
static uint64_t memory_cost; /* of memset and the like */
static struct cost_system systems[SYSTEMS_MAX + 1];
static bool within; /* a measured call */

static void note_system(const char *name)
{
    struct cost_system *system = systems;
    while (system->name != NULL && system->name != name && system < systems + SYSTEMS_MAX) {
        system++;
    }
    if (within && system < systems + SYSTEMS_MAX) {
        system->name = name;
        system->calls++;
    }
}

static void note_memory(size_t bytes) { memory_cost += 1 + bytes / COST_BYTES; }

/* The linker makes the core's calls of `name` ours, and __real_name the C library's. */
#define WRAP(type, name, parameters, arguments, note) \
    type __real_##name parameters;                    \
    type __wrap_##name parameters;                    \
    type __wrap_##name parameters                     \
    {                                                 \
        note;                                         \
        return __real_##name arguments;               \
    }
#define WRAP_SYSTEM(type, name, parameters, arguments) \
    WRAP(type, name, parameters, arguments, note_system(#name))

WRAP(void *, memset, (void *to, int byte, size_t n), (to, byte, n), note_memory(n))
WRAP(void *, memcpy, (void *to, const void *from, size_t n), (to, from, n), note_memory(n))
WRAP(void *, memmove, (void *to, const void *from, size_t n), (to, from, n), note_memory(n))
WRAP(int, memcmp, (const void *a, const void *b, size_t n), (a, b, n), note_memory(n))

WRAP_SYSTEM(int, fallocate, (int fd, int mode, off_t offset, off_t n), (fd, mode, offset, n))
WRAP_SYSTEM(int, madvise, (void *at, size_t n, int advice), (at, n, advice))
WRAP_SYSTEM(int, fstat, (int fd, struct stat *stat), (fd, stat))
WRAP_SYSTEM(int, stat, (const char *path, struct stat *stat), (path, stat))
WRAP_SYSTEM(ssize_t, pread, (int fd, void *to, size_t n, off_t offset), (fd, to, n, offset))
WRAP_SYSTEM(int, close, (int fd), (fd))

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    const mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    note_system("open");
    return __real_open(path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    note_system("fcntl");
    return __real_fcntl(fd, command, argument);
}

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(rest, long);
    }
    va_end(rest);
    note_system("syscall");
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* The region's secret and id are made of it: the same in each run with the same seed. */
static uint64_t random_state = 1;
void cost_seed(uint64_t seed) { random_state = seed; }
ssize_t __wrap_getrandom(void *to, size_t n, unsigned flags);
ssize_t __wrap_getrandom(void *to, size_t n, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < n; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)to)[i] = (unsigned char)(random_state >> 56);
    }
    return (ssize_t)n;
}

/* --- the clock --- */

#define NS_PER_S 1000000000
static _Atomic uint64_t own_ns = (uint64_t)1000000 * NS_PER_S;
static _Atomic uint64_t *clock_ns; /* NULL: the real one */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    if (clock_ns == NULL) {
        return __real_clock_gettime(clock, now);
    }
    const uint64_t ns = atomic_load_explicit(clock_ns, memory_order_relaxed);
    *now = (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
    return 0;
}

void cost_clock_set(_Atomic uint64_t *shared)
{
    uint64_t none = 0;
    clock_ns = shared != NULL ? shared : &own_ns;
    (void)atomic_compare_exchange_strong(clock_ns, &none, own_ns);
}

void cost_clock_advance_us(uint64_t us)
{
    (void)atomic_fetch_add_explicit(clock_ns, us * 1000, memory_order_relaxed);
}

uint64_t cost_real_ns(void)
{
    struct timespec now;
    (void)__real_clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* --- measuring --- */

static uint64_t total_before, memory_before;

uint64_t cost_now(void) { return cost_total + memory_cost; }
bool cost_is_counting(void) { return places_end - places_begin > 1; }

void cost_begin(void)
{
    memset(counts_begin, 0, (size_t)((char *)counts_end - (char *)counts_begin));
    memset(systems, 0, sizeof(systems));
    memory_before = memory_cost;
    total_before = cost_now();
    within = true;
}

uint64_t cost_end(void)
{
    within = false;
    return cost_now() - total_before;
}

const struct cost_system *cost_systems(void) { return systems; }

uint64_t cost_system_calls(void)
{
    uint64_t calls = 0;
    for (const struct cost_system *system = systems; system->name != NULL; system++) {
        calls += system->calls;
    }
    return calls;
}

struct line {
    const struct cost_place *place;
    uint64_t cost;
};

static int by_place(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    const int file = strcmp(x->place->file, y->place->file);
    return file != 0 ? file : (int)x->place->line - (int)y->place->line;
}

static int by_cost(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->cost > y->cost ? -1 : x->cost < y->cost;
}

void cost_explain(int most, char *text, size_t size)
{
    const size_t blocks = (size_t)(places_end - places_begin);
    struct line *lines = calloc(blocks + 1, sizeof(*lines));
    size_t n = 0, used = 0;
    for (size_t i = 0; lines != NULL && i < blocks; i++) {
        if (counts_begin[i] > 0) {
            lines[n++] = (struct line){&places_begin[i],
                                       (uint64_t)counts_begin[i] * places_begin[i].instructions};
        }
    }
    qsort(lines, n, sizeof(*lines), by_place);
    size_t merged = 0;
    for (size_t i = 0; i < n; i++) {
        if (merged > 0 && by_place(&lines[merged - 1], &lines[i]) == 0) {
            lines[merged - 1].cost += lines[i].cost;
        } else {
            lines[merged++] = lines[i];
        }
    }
    qsort(lines, merged, sizeof(*lines), by_cost);
    text[0] = '\0';
    if (memory_cost > memory_before) {
        used += (size_t)snprintf(text, size, " memset/memcpy %llu",
                                 (unsigned long long)(memory_cost - memory_before));
    }
    for (size_t i = 0; i < merged && i < (size_t)most && used < size; i++) {
        used += (size_t)snprintf(text + used, size - used, " %s(%s:%u) %llu",
                                 lines[i].place->function, lines[i].place->file,
                                 lines[i].place->line, (unsigned long long)lines[i].cost);
    }
    for (const struct cost_system *system = systems; system->name != NULL && used < size;
         system++) {
        used += (size_t)snprintf(text + used, size - used, " [%llu %s]",
                                 (unsigned long long)system->calls, system->name);
    }
    free(lines);
}
