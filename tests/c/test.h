/*
 * test.h - what every C unit test uses: checks, a watchdog, a seed, a region file of its own, children.
 *
 *     static void adds(void) { CHECK_INT(1 + 1, 2); }
 *     int main(void) { return test_run((struct test[]){TEST(adds), {0}}); }
 *
 * A failed check prints where, the values and the seed, and ends the process with 1: in a child too,
 * whose parent sees it by test_join. IDEMKEY_SEED=... repeats a run's random choices.
 */
#ifndef IDEM_TEST_H
#define IDEM_TEST_H

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "idemkey.h"

/* Only a hang reaches it, on a busy machine and under a sanitizer too. */
#define TEST_WATCHDOG_S 240
/* How long a condition that is sure to come is waited for. */
#define TEST_DEADLINE_S 60

struct test {
    const char *name;
    void (*body)(void);
};
#define TEST(function)      \
    {                       \
#function, function \
    }

static uint64_t test_seed;
static char
    test_path[128]; /* a path that no other test uses; removed before each test and at the end */

#define TEST_FAIL(...)                                                \
    do {                                                              \
        fprintf(stderr, "%s:%d: ", __FILE__, __LINE__);               \
        fprintf(stderr, __VA_ARGS__);                                 \
        fprintf(stderr, "\n  IDEMKEY_SEED=%" PRIu64 "\n", test_seed); \
        fflush(NULL);                                                 \
        unlink(test_path);                                            \
        _exit(1);                                                     \
    } while (0)
#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            TEST_FAIL("failed: %s (last error: %s)", #condition, idem_last_error()); \
        }                                                                            \
    } while (0)
#define CHECK_INT(got, expected)                                                               \
    do {                                                                                       \
        const long long got_ = (long long)(got), expected_ = (long long)(expected);            \
        if (got_ != expected_) {                                                               \
            TEST_FAIL("%s is %lld, expected %s, %lld (last error: %s)", #got, got_, #expected, \
                      expected_, idem_last_error());                                           \
        }                                                                                      \
    } while (0)
/* The status, and a part of the message that goes with it. */
#define CHECK_FAILS(call, status, part)                                                      \
    do {                                                                                     \
        CHECK_INT(call, status);                                                             \
        if (strstr(idem_last_error(), part) == NULL) {                                       \
            TEST_FAIL("the message of %s lacks \"%s\": %s", #call, part, idem_last_error()); \
        }                                                                                    \
    } while (0)

/* Polls until `condition` holds; fails at the deadline. */
#define CHECK_SOON(condition)                                       \
    do {                                                            \
        const time_t end_ = time(NULL) + TEST_DEADLINE_S;           \
        while (!(condition)) {                                      \
            if (time(NULL) > end_) {                                \
                TEST_FAIL("did not come true: %s", #condition);     \
            }                                                       \
            nanosleep(&(struct timespec){.tv_nsec = 500000}, NULL); \
        }                                                           \
    } while (0)

/* splitmix64 from the seed. */
__attribute__((unused)) static uint64_t test_random(void)
{
    static uint64_t state;
    if (state == 0) {
        state = test_seed;
    }
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Runs `body` in a child that dies with this process; it ends with 0 unless a check fails. */
__attribute__((unused)) static pid_t test_child(void (*body)(void *), void *argument)
{
    fflush(NULL);
    const pid_t parent = getpid();
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        body(argument);
        _exit(0);
    }
    CHECK(child > 0);
    return child;
}

/* Waits for a child; its exit status, or minus the signal that ended it. */
__attribute__((unused)) static int test_join(pid_t child)
{
    int status;
    while (waitpid(child, &status, 0) < 0) {
        CHECK_INT(errno, EINTR);
    }
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

__attribute__((unused)) static void test_kill(pid_t child)
{
    kill(child, SIGKILL);
    CHECK_INT(test_join(child), -SIGKILL);
}

static void test_watchdog(int signal_number)
{
    (void)signal_number;
    static const char text[] = "watchdog: the test hangs\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    unlink(test_path);
    _exit(1);
}

static int test_run(const struct test *tests)
{
    const char *seed = getenv("IDEMKEY_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    test_seed =
        seed ? strtoull(seed, NULL, 0) : (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
    snprintf(test_path, sizeof(test_path), "/dev/shm/idemkey-test-%d.idem", (int)getpid());
    signal(SIGALRM, test_watchdog);
    printf("seed %" PRIu64 "\n", test_seed);
    for (const struct test *test = tests; test->body != NULL; test++) {
        printf("%s\n", test->name);
        fflush(stdout);
        unlink(test_path);
        alarm(TEST_WATCHDOG_S);
        test->body();
    }
    unlink(test_path);
    return 0;
}

#endif
