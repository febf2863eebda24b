/* util.c - time, keys, and files that must not outlive the run. */
#include "bench.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { TEMP_PATHS = 8, TEMP_PATH_BYTES = 96 };

static char temp_paths[TEMP_PATHS][TEMP_PATH_BYTES];
static volatile sig_atomic_t temp_count;
static pid_t temp_owner; /* a forked child must not unlink its parent's files */
static uint64_t key_seed, random_state;

const unsigned char bench_value[VALUE_BYTES] =
    "{\"payout\":\"po_2f6b1c9e\",\"amount\":1250,\"currency\":\"EUR\",\"ok\":1}";

void bench_die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("bench: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

uint64_t bench_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t bench_minor_faults(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_minflt;
}

/* The finaliser of splitmix64: a bijection, so that different ids give different keys. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void bench_seed(uint64_t seed)
{
    key_seed = mix(seed);
    random_state = mix(key_seed);
}

void bench_reseed_random(uint64_t salt) { random_state = mix(random_state ^ salt); }

uint64_t bench_random(uint64_t limit)
{
    random_state = mix(random_state);
    return (uint64_t)(((unsigned __int128)random_state * limit) >> 64);
}

void bench_make_key(uint64_t id, bench_key *key)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t half[2] = {mix(id ^ key_seed), mix(~id ^ key_seed)};
    for (int place = 0, nibble = 0; place < KEY_BYTES; place++) {
        if (place == 8 || place == 13 || place == 18 || place == 23) {
            (*key)[place] = '-';
            continue;
        }
        (*key)[place] = digits[(half[nibble / 16] >> (4 * (nibble % 16))) & 15];
        nibble++;
    }
}

static void unlink_all(void)
{
    if (getpid() != temp_owner)
        return;
    for (int i = 0; i < temp_count; i++)
        unlink(temp_paths[i]);
}

static void on_signal(int number)
{
    unlink_all();
    _exit(128 + number);
}

const char *bench_temp_path(const char *what)
{
    if (temp_count == 0) {
        temp_owner = getpid();
        atexit(unlink_all);
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        signal(SIGHUP, on_signal);
    }
    if (temp_count == TEMP_PATHS)
        bench_die("more than %d temporary files", TEMP_PATHS);
    char *path = temp_paths[temp_count];
    snprintf(path, TEMP_PATH_BYTES, "/dev/shm/idemkey-bench-%d-%d.%s", (int)getpid(),
             (int)temp_count, what);
    temp_count++;
    return path;
}

void *bench_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory)
        bench_die("no memory for %zu bytes", bytes);
    return memory;
}
