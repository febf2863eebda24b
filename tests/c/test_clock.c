/* The store's clock: over processes, reboots, time namespaces and damage. */
#include "clock.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#include "owner.h"
#include "test.h"

/* Two clocks read one after the other on a busy machine; far less than what a mistake would make. */
#define CLOSE_MS 60000u
#define TICK_MS 20u /* the coarse clock is at most so late */
#define HOUR_MS 3600000u
#define OPENERS 16

static struct idem__region *region;

static void reopen(void)
{
    if (region != NULL) {
        idem__region_close(region);
    }
    CHECK_INT(idem__region_open(test_path, NULL, &region), IDEM_OK);
}

static void begin(void)
{
    region = NULL;
    reopen();
    CHECK_INT(idem__clock_open(region), IDEM_OK);
}

static void end(void) { idem__region_close(region); }

static bool is_close(uint64_t a, uint64_t b) { return a < b + CLOSE_MS && b < a + CLOSE_MS; }

static void a_new_store_starts_at_the_start(void)
{
    begin();
    const uint64_t now_ms = idem__clock_now_ms(region);
    CHECK(now_ms >= IDEM__CLOCK_START_MS && is_close(now_ms, IDEM__CLOCK_START_MS));
    end();
}

static void it_goes_as_fast_as_the_host(void)
{
    begin();
    const uint64_t boot_ms = idem__clock_read_ms(CLOCK_BOOTTIME),
                   store_ms = idem__clock_now_ms(region);
    uint64_t last_ms = 0;
    while (idem__clock_read_ms(CLOCK_BOOTTIME) - boot_ms < 400) {
        const uint64_t now_ms = idem__clock_now_ms(region);
        CHECK(now_ms + TICK_MS >= last_ms);
        CHECK(now_ms >= idem__load64(&region->header->high_ms));
        CHECK(now_ms - store_ms <= idem__clock_read_ms(CLOCK_BOOTTIME) - boot_ms + TICK_MS);
        last_ms = now_ms;
    }
    CHECK_SOON(idem__clock_now_ms(region) - store_ms >= 400);
    end();
}

static void the_high_water_mark_is_written_rarely(void)
{
    begin();
    uint64_t high_ms = idem__load64(&region->header->high_ms), now_ms, writes = 0;
    const uint64_t first_ms = high_ms;
    do {
        now_ms = idem__clock_now_ms(region);
        const uint64_t seen_ms = idem__load64(&region->header->high_ms);
        CHECK(seen_ms >= high_ms && seen_ms <= now_ms && now_ms - seen_ms <= IDEM__CLOCK_STEP_MS);
        writes += seen_ms != high_ms;
        high_ms = seen_ms;
    } while (now_ms - first_ms < 450);
    CHECK(writes >= 1 && writes <= (now_ms - first_ms) / IDEM__CLOCK_STEP_MS);
    end();
}

static void it_never_runs_behind_the_mark(void)
{
    begin();
    const uint64_t ahead_ms = idem__clock_now_ms(region) + HOUR_MS;
    idem__store64(&region->header->high_ms, ahead_ms);
    CHECK_INT(idem__clock_now_ms(region), ahead_ms);
    end();
}

/* As if the machine had been started anew `down_ms` after the mark was last raised. */
static void reboot(int64_t down_ms)
{
    idem__store64(&region->header->high_ms, 10 * HOUR_MS);
    idem__store64(&region->header->high_wall_ms, idem__wall_ms() - (uint64_t)down_ms);
    idem__store64(&region->header->anchor_ms, 12345);
    idem__store64(&region->header->boot_id[0], 1);
    idem__store64(&region->header->boot_id[1], 2);
}

static void a_reboot_counts_the_time_that_it_took(void)
{
    begin();
    reboot(HOUR_MS);
    reopen();
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    const uint64_t now_ms = idem__clock_now_ms(region);
    CHECK(now_ms >= 11 * HOUR_MS && is_close(now_ms, 11 * HOUR_MS));
    uint64_t boot_id[2];
    CHECK_INT(idem__boot_id(boot_id), IDEM_OK);
    CHECK(boot_id[0] == idem__load64(&region->header->boot_id[0]));
    CHECK(boot_id[1] == idem__load64(&region->header->boot_id[1]));
    end();
}

static void a_wall_clock_set_back_does_not_turn_it_back(void)
{
    begin();
    reboot(-(int64_t)HOUR_MS);
    reopen();
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    const uint64_t now_ms = idem__clock_now_ms(region);
    CHECK(now_ms >= 10 * HOUR_MS && is_close(now_ms, 10 * HOUR_MS));
    end();
}

static void a_death_while_anchoring_is_made_good(void)
{
    begin();
    reboot(HOUR_MS);
    idem__store64(&region->header->boot_id[0], 0);
    idem__store64(&region->header->boot_id[1], 0);
    reopen();
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    CHECK(is_close(idem__clock_now_ms(region), 11 * HOUR_MS));
    end();
}

static void open_after_reboot(void *anchors)
{
    reopen();
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    const uint64_t anchor_ms = idem__load64(&region->header->anchor_ms);
    idem__a64 *first = anchors;
    uint64_t seen = 0;
    if (!idem__cas64(first, &seen, anchor_ms)) {
        CHECK_INT(anchor_ms, seen);
    }
    CHECK(is_close(idem__clock_now_ms(region), 11 * HOUR_MS));
}

static void of_many_openers_one_anchors(void)
{
    idem__a64 *first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    begin();
    for (int round = 0; round < 5; round++) {
        reboot(HOUR_MS);
        idem__store64(first, 0);
        pid_t children[OPENERS];
        for (int i = 0; i < OPENERS; i++) {
            children[i] = test_child(open_after_reboot, first);
        }
        for (int i = 0; i < OPENERS; i++) {
            CHECK_INT(test_join(children[i]), 0);
        }
    }
    end();
    munmap(first, 4096);
}

static int locked[2];

static void hold_the_lock(void *unused)
{
    (void)unused;
    const int fd = open(test_path, O_RDWR);
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = IDEM__CLOCK_LOCK_BYTE, .l_len = 1};
    CHECK_INT(fcntl(fd, F_OFD_SETLK, &lock), 0);
    CHECK_INT(write(locked[1], "", 1), 1);
    pause();
}

static void a_stopped_anchorer_is_told_and_a_dead_one_gone(void)
{
    begin();
    reboot(HOUR_MS);
    CHECK_INT(pipe(locked), 0);
    const pid_t child = test_child(hold_the_lock, NULL);
    char byte;
    CHECK_INT(read(locked[0], &byte, 1), 1);
    kill(child, SIGSTOP);
    reopen();
    CHECK_FAILS(idem__clock_open(region), IDEM_ETIMEDOUT, "is it stopped?");
    test_kill(child);
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    CHECK(is_close(idem__clock_now_ms(region), 11 * HOUR_MS));
    close(locked[0]);
    close(locked[1]);
    end();
}

static bool sleeps(pid_t process)
{
    char path[64], state = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
    return state == 'S';
}

static void open_while_locked(void *unused)
{
    (void)unused;
    CHECK_INT(write(locked[1], "", 1), 1);
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    CHECK(is_close(idem__clock_now_ms(region), 20 * HOUR_MS));
}

/* Who waited for another to set the anchor does not set it again. */
static void an_anchor_set_meanwhile_is_kept(void)
{
    uint64_t boot_id[2];
    CHECK_INT(idem__boot_id(boot_id), IDEM_OK);
    begin();
    reboot(HOUR_MS);
    CHECK_INT(pipe(locked), 0);
    const pid_t holder = test_child(hold_the_lock, NULL);
    char byte;
    CHECK_INT(read(locked[0], &byte, 1), 1);
    const pid_t waiter = test_child(open_while_locked, NULL);
    CHECK_INT(read(locked[0], &byte, 1), 1);
    CHECK_SOON(sleeps(waiter));
    const uint64_t anchor_ms =
        20 * HOUR_MS - idem__host_boot_ms((int64_t)idem__load64(&region->timens_offset_ms));
    idem__store64(&region->header->anchor_ms, anchor_ms);
    idem__store64(&region->header->boot_id[1], boot_id[1]);
    idem__store64(&region->header->boot_id[0], boot_id[0]);
    test_kill(holder);
    CHECK_INT(test_join(waiter), 0);
    CHECK_INT(idem__load64(&region->header->anchor_ms), anchor_ms);
    close(locked[0]);
    close(locked[1]);
    end();
}

static void a_reader_after_a_reboot_writes_nothing(void)
{
    begin();
    reboot(HOUR_MS);
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_READONLY};
    struct idem__region *inspected;
    CHECK_INT(idem__region_open(test_path, &options, &inspected), IDEM_OK);
    CHECK_INT(idem__clock_open(inspected), IDEM_OK);
    CHECK(is_close(idem__clock_now_ms(inspected), 11 * HOUR_MS));
    CHECK_INT(idem__load64(&region->header->boot_id[0]), 1);
    /* And follows the anchor that a writer sets. */
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    idem__store64(&inspected->clock_checked_ms, 0);
    CHECK(is_close(idem__clock_now_ms(inspected), idem__clock_now_ms(region)));
    idem__region_close(inspected);
    end();
}

static void a_damaged_anchor_is_told(void)
{
    const uint64_t anchors[] = {(uint64_t)1 << 50, (uint64_t)0 - ((uint64_t)1 << 50)};
    for (int i = 0; i < 2; i++) {
        begin();
        idem__store64(&region->header->anchor_ms, anchors[i]);
        CHECK_FAILS(idem__clock_open(region), IDEM_ECORRUPT, "its clock stands at");
        end();
        unlink(test_path);
    }
}

static void set_offset_s(long offset_s)
{
    char text[64];
    snprintf(text, sizeof(text), "boottime %ld 0\nmonotonic %ld 0\n", offset_s, offset_s);
    const int fd = open("/proc/self/timens_offsets", O_WRONLY);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* In a namespace of its own, with the parent's region inherited, and opened afresh. */
static void tell_time(void *expected_ms)
{
    const uint64_t expected = *(const uint64_t *)expected_ms;
    uint32_t owner;
    CHECK_INT(idem__owner_self(region, &owner), IDEM_OK);
    CHECK(is_close(idem__clock_now_ms(region), expected));
    reopen();
    CHECK_INT(idem__clock_open(region), IDEM_OK);
    CHECK(is_close(idem__clock_now_ms(region), expected));
    CHECK(is_close(idem__load64(&region->header->high_ms), expected));
}

static void live_in_another_time(void *expected_ms)
{
    if (unshare(CLONE_NEWTIME) != 0) {
        printf("  cannot run: no permission to make a time namespace (%s)\n", strerror(errno));
        fflush(stdout);
        return;
    }
    set_offset_s(7 * 24 * 3600);
    CHECK_INT(test_join(test_child(tell_time, expected_ms)), 0);
    /* This process itself is still outside: its own offset cannot be told. */
    reopen();
    CHECK_FAILS(idem__clock_open(region), IDEM_ESYS, "unshare(CLONE_NEWTIME)");
}

static void time_namespaces_agree(void)
{
    begin();
    uint64_t now_ms = idem__clock_now_ms(region);
    CHECK_INT(test_join(test_child(live_in_another_time, &now_ms)), 0);
    end();
}

int main(void)
{
    return test_run((struct test[]){TEST(a_new_store_starts_at_the_start),
                                    TEST(it_goes_as_fast_as_the_host),
                                    TEST(the_high_water_mark_is_written_rarely),
                                    TEST(it_never_runs_behind_the_mark),
                                    TEST(a_reboot_counts_the_time_that_it_took),
                                    TEST(a_wall_clock_set_back_does_not_turn_it_back),
                                    TEST(a_death_while_anchoring_is_made_good),
                                    TEST(of_many_openers_one_anchors),
                                    TEST(a_stopped_anchorer_is_told_and_a_dead_one_gone),
                                    TEST(an_anchor_set_meanwhile_is_kept),
                                    TEST(a_reader_after_a_reboot_writes_nothing),
                                    TEST(a_damaged_anchor_is_told),
                                    TEST(time_namespaces_agree),
                                    {0}});
}
