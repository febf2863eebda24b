/* host.c - see host.h. fuzz.mk compiles the core with the names of these functions in place of libc's. */
#include "host.h"

#include <linux/futex.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>

#define START_MS 10000000000u
#define MS_PER_S 1000
#define NS_PER_MS 1000000

uint64_t *host_now_ms;
static uint64_t random_state;
static void *keeper; /* the mapping that owner.c keeps */

void host_begin(void)
{
    host_now_ms =
        mmap(NULL, sizeof *host_now_ms, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (host_now_ms == MAP_FAILED) {
        abort();
    }
    *host_now_ms = START_MS;
}

/* /proc is read for these at every opening; what is in it does not come from the region. */
int __wrap_idem__timens_offset_ms(int64_t *offset_ms);
int __wrap_idem__timens_offset_ms(int64_t *offset_ms)
{
    *offset_ms = 0;
    return IDEM_OK;
}
int __wrap_idem__boot_id(uint64_t words[2]);
int __wrap_idem__boot_id(uint64_t words[2])
{
    words[0] = words[1] = 1;
    return IDEM_OK;
}

int fuzz_clock_gettime(clockid_t clock, struct timespec *now);
int fuzz_clock_gettime(clockid_t clock, struct timespec *now)
{
    (void)clock;
    const uint64_t now_ms = ++*host_now_ms;
    *now = (struct timespec){.tv_sec = (time_t)(now_ms / MS_PER_S),
                             .tv_nsec = (long)(now_ms % MS_PER_S) * NS_PER_MS};
    return 0;
}

ssize_t fuzz_getrandom(void *bytes, size_t length, unsigned flags);
ssize_t fuzz_getrandom(void *bytes, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < length; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)bytes)[i] = (uint8_t)(random_state >> 56);
    }
    return (ssize_t)length;
}

void *fuzz_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset);
void *fuzz_mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *mapped = mmap(at, bytes, protection, flags, fd, offset);
    if (protection == PROT_NONE && flags == MAP_SHARED) {
        keeper = mapped;
    }
    return mapped;
}

/* Sleeping takes time of the clock's, not ours. */
int fuzz_nanosleep(const struct timespec *asked, struct timespec *left);
int fuzz_nanosleep(const struct timespec *asked, struct timespec *left)
{
    (void)left;
    *host_now_ms += (uint64_t)asked->tv_sec * MS_PER_S + (uint64_t)asked->tv_nsec / NS_PER_MS;
    return 0;
}

/* The core's one system call of this kind is the futex: nobody is there to wake or be woken by. */
long fuzz_syscall(long number, uint32_t *word, int operation, uint32_t seen,
                  const struct timespec *limit, ...);
long fuzz_syscall(long number, uint32_t *word, int operation, uint32_t seen,
                  const struct timespec *limit, ...)
{
    (void)word;
    (void)seen;
    if (number != SYS_futex) {
        abort();
    }
    return operation == FUTEX_WAIT ? fuzz_nanosleep(limit, NULL) : 0;
}

void host_forget(struct idem__region *region)
{
    if (idem__peek32(&region->identity->owner) != 0) {
        idem__poke32(&region->identity->owner, 0);
        munmap(keeper, IDEM__PAGE_BYTES);
    }
}
