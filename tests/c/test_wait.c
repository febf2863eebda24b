/* Waiting: a change wakes sleepers of other processes, and none is slept through. */
#include "wait.h"

#include <sys/mman.h>

#include "test.h"

#define HASH 0x123456789abcdef1u
#define LONG_MS \
    (TEST_DEADLINE_S * 1000u) /* a wake-up that is lost shows as a sleep of this length */
#define TURNS 3000

static struct idem__region *region;
static idem__a64 *shared; /* what "the key" is: words that all processes see */

static void begin(void)
{
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_ANONYMOUS};
    CHECK_INT(idem__region_open(NULL, &options, &region), IDEM_OK);
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
}

static void end(void)
{
    munmap(shared, 4096);
    idem__region_close(region);
}

static idem__a32 *word(void)
{
    for (uint32_t i = 0; i < IDEM__WAIT_WORDS; i++) {
        if (idem__load32(&region->wait_words[i]) != 0) {
            return &region->wait_words[i];
        }
    }
    return NULL;
}

static void waking_nobody_writes_nothing(void)
{
    begin();
    for (uint64_t hash = 0; hash < 5000; hash++) {
        idem__wait_wake(region, hash);
    }
    CHECK(word() == NULL);
    end();
}

static void a_change_before_the_sleep_is_not_slept_through(void)
{
    begin();
    const uint32_t seen = idem__wait_prepare(region, HASH);
    CHECK(word() != NULL);
    CHECK_INT(idem__load32(word()), seen);
    idem__wait_wake(region, HASH);
    idem__wait_sleep(region, HASH, seen, LONG_MS); /* else the watchdog */
    CHECK_INT(idem__load32(word()) & IDEM__WAITERS_BIT, 0);
    CHECK(idem__wait_prepare(region, HASH) != seen);
    end();
}

static void a_sleep_ends_with_its_time(void)
{
    begin();
    const uint32_t seen = idem__wait_prepare(region, HASH);
    idem__wait_sleep(region, HASH, seen, 0);
    idem__wait_sleep(region, HASH, seen, 20);
    CHECK_INT(idem__load32(word()), seen);
    end();
}

/* Waits until word `index` of `shared` is at least `value`, as a waiter of a key does. */
static void wait_for(int index, uint64_t value)
{
    while (atomic_load(&shared[index]) < value) {
        const uint32_t seen = idem__wait_prepare(region, HASH);
        if (atomic_load(&shared[index]) < value) {
            const time_t begun = time(NULL);
            idem__wait_sleep(region, HASH, seen, LONG_MS);
            CHECK(time(NULL) - begun < TEST_DEADLINE_S - 1); /* not by its time: by a wake-up */
        }
    }
}

static void change(int index, uint64_t value)
{
    atomic_store(&shared[index], value);
    idem__wait_wake(region, HASH);
}

static void ping(void *unused)
{
    (void)unused;
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        wait_for(0, turn);
        change(1, turn);
    }
}

static void two_processes_wake_each_other(void)
{
    begin();
    const pid_t child = test_child(ping, NULL);
    for (uint64_t turn = 1; turn <= TURNS; turn++) {
        change(0, turn);
        wait_for(1, turn);
    }
    CHECK_INT(test_join(child), 0);
    end();
}

static void wait_for_one(void *unused)
{
    (void)unused;
    wait_for(0, 1);
}

static void all_sleepers_are_woken(void)
{
    begin();
    pid_t children[16];
    for (int i = 0; i < 16; i++) {
        children[i] = test_child(wait_for_one, NULL);
    }
    CHECK_SOON(word() != NULL);
    change(0, 1);
    for (int i = 0; i < 16; i++) {
        CHECK_INT(test_join(children[i]), 0);
    }
    end();
}

static void a_killed_sleeper_disturbs_nobody(void)
{
    begin();
    const pid_t child = test_child(wait_for_one, NULL);
    CHECK_SOON(word() != NULL);
    test_kill(child);
    const pid_t next = test_child(wait_for_one, NULL);
    change(0, 1);
    CHECK_INT(test_join(next), 0);
    end();
}

static void a_reader_sleeps_without_writing(void)
{
    CHECK_INT(idem__region_open(test_path, NULL, &region), IDEM_OK);
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_READONLY};
    struct idem__region *inspected;
    CHECK_INT(idem__region_open(test_path, &options, &inspected), IDEM_OK);
    const uint32_t seen = idem__wait_prepare(inspected, HASH);
    idem__wait_sleep(inspected, HASH, seen, 1);
    CHECK(word() == NULL);
    idem__region_close(inspected);
    idem__region_close(region);
}

int main(void)
{
    return test_run((struct test[]){TEST(waking_nobody_writes_nothing),
                                    TEST(a_change_before_the_sleep_is_not_slept_through),
                                    TEST(a_sleep_ends_with_its_time),
                                    TEST(two_processes_wake_each_other),
                                    TEST(all_sleepers_are_woken),
                                    TEST(a_killed_sleeper_disturbs_nobody),
                                    TEST(a_reader_sleeps_without_writing),
                                    {0}});
}
