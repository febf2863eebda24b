/* Thread slots: taken, given back, inherited by nobody, reused after deaths, and never too many. */
#include "thread.h"

#include <pthread.h>
#include <sys/syscall.h>

#include "test.h"

static struct idem__region *region;
static int said[2];

static struct idem__region *open_at(const char *path)
{
    struct idem__region *opened;
    CHECK_INT(idem__region_open(path, NULL, &opened), IDEM_OK);
    return opened;
}

static void begin(void)
{
    region = open_at(test_path);
    CHECK_INT(pipe(said), 0);
}

static void end(void)
{
    idem__region_close(region);
    close(said[0]);
    close(said[1]);
}

static struct idem__thread *place(void)
{
    struct idem__thread *thread;
    CHECK_INT(idem__thread_get(region, &thread), IDEM_OK);
    CHECK(thread->region == region);
    CHECK(thread->slot == &region->slots[thread->slot_index]);
    CHECK_INT(idem__load32(&thread->slot->owner), thread->owner);
    CHECK_INT(idem__load64(&thread->slot->epoch), 0);
    CHECK(thread->slot_index < idem__load32(&region->header->slot_high));
    return thread;
}

static uint32_t slots_in_use(void)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < idem__load32(&region->header->slot_high); i++) {
        used += idem__load32(&region->slots[i].owner) != 0;
    }
    return used;
}

static void *use_a_slot(void *other)
{
    const struct idem__thread *mine = place();
    CHECK(mine->slot != ((struct idem__thread *)other)->slot);
    CHECK_INT(mine->owner, ((struct idem__thread *)other)->owner);
    CHECK_INT(slots_in_use(), 2);
    return NULL;
}

static void a_thread_has_one_slot_until_it_exits(void)
{
    begin();
    struct idem__thread *mine = place();
    CHECK(place() == mine);
    for (int i = 0; i < 3; i++) {
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, use_a_slot, mine), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(slots_in_use(), 1);
    }
    CHECK_INT(idem__load32(&region->header->slot_high), 2);
    end();
}

static void a_thread_may_use_several_regions(void)
{
    begin();
    char path[sizeof(test_path) + 2];
    snprintf(path, sizeof(path), "%s-2", test_path);
    struct idem__region *second = open_at(path);
    struct idem__thread *here = place(), *there;
    for (int i = 0; i < 3; i++) {
        CHECK_INT(idem__thread_get(second, &there), IDEM_OK);
        CHECK(there != here && there->region == second);
        CHECK(place() == here);
    }
    idem__region_close(second);
    CHECK(place() == here);
    second = open_at(path);
    CHECK_INT(idem__thread_get(second, &there), IDEM_OK);
    CHECK(there->slot == &second->slots[0]);
    idem__region_close(second);
    unlink(path);
    end();
}

static void closing_gives_the_slots_back(void)
{
    begin();
    const uint32_t owner = place()->owner;
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_READONLY};
    struct idem__region *inspected;
    CHECK_INT(idem__region_open(test_path, &options, &inspected), IDEM_OK);
    (void)open_at(test_path); /* a second store on the same region */
    idem__region_close(region);
    CHECK_INT(idem__load32(&inspected->slots[0].owner), owner);
    idem__region_close(region);
    CHECK_INT(idem__load32(&inspected->slots[0].owner), 0);
    idem__region_close(inspected);
    region = open_at(test_path);
    CHECK_INT(place()->owner, owner);
    end();
}

static atomic_int phase;

static void *outlive_the_store(void *unused)
{
    (void)unused;
    (void)place();
    atomic_store(&phase, 1);
    while (atomic_load(&phase) != 2) {
    }
    (void)place(); /* of the store as opened again */
    atomic_store(&phase, 3);
    while (atomic_load(&phase) != 4) {
    }
    return NULL; /* after the last close */
}

static void threads_outlive_stores(void)
{
    begin();
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, outlive_the_store, NULL), 0);
    while (atomic_load(&phase) != 1) {
    }
    idem__region_close(region);
    region = open_at(test_path);
    CHECK_INT(slots_in_use(), 0);
    atomic_store(&phase, 2);
    while (atomic_load(&phase) != 3) {
    }
    CHECK_INT(slots_in_use(), 1);
    idem__region_close(region);
    atomic_store(&phase, 4);
    CHECK_INT(pthread_join(thread, NULL), 0);
    region = open_at(test_path);
    CHECK_INT(slots_in_use(), 0);
    end();
}

/* Runs the destructors of the thread that was forked; the process then ends with 0. */
_Noreturn static void end_thread(void)
{
#if defined(__SANITIZE_THREAD__)
    _exit(0); /* its own thread would keep the process */
#else
    pthread_exit(NULL);
#endif
}

/* A child's thread that ends, or that closes the store, leaves its parent's slot alone. */
static void child_that_uses_nothing(void *unused)
{
    (void)unused;
    idem__region_close(region);
    end_thread();
}

static void child_that_ends(void *unused)
{
    (void)unused;
    end_thread();
}

static void child_with_its_own(void *argument)
{
    const struct idem__thread parents = *(struct idem__thread *)argument;
    struct idem__thread *mine = place();
    CHECK(mine->owner != parents.owner && mine->slot != parents.slot);
    CHECK_INT(slots_in_use(), 2);
    idem__region_close(region);
    end_thread();
}

static void a_child_takes_its_own_slot(void)
{
    begin();
    struct idem__thread *mine = place();
    CHECK_INT(test_join(test_child(child_that_uses_nothing, NULL)), 0);
    CHECK(place() == mine);
    CHECK_INT(test_join(test_child(child_that_ends, NULL)), 0);
    CHECK(place() == mine);
    CHECK_INT(test_join(test_child(child_with_its_own, mine)), 0);
    CHECK(place() == mine);
    CHECK_INT(slots_in_use(), 1);
    end();
}

static void generations_body(void *depth)
{
    const uint32_t left = *(uint32_t *)depth;
    const struct idem__thread *mine = place();
    CHECK_INT(idem__load32(&mine->slot->owner), mine->owner);
    if (left > 0) {
        uint32_t less = left - 1;
        CHECK_INT(test_join(test_child(generations_body, &less)), 0);
    }
    CHECK(place() == mine);
}

static void grandchildren_do_too(void)
{
    begin();
    uint32_t depth = 5;
    (void)place();
    CHECK_INT(test_join(test_child(generations_body, &depth)), 0);
    CHECK_INT(idem__load32(&region->header->slot_high), 7);
    end();
}

static void take_and_stay(void *unused)
{
    (void)unused;
    struct idem__thread *mine = place();
    idem__store64(&mine->slot->epoch, 5 << 1 | 1); /* as if killed in a section */
    CHECK_INT(write(said[1], &mine->owner, sizeof(mine->owner)), sizeof(mine->owner));
    pause();
}

static uint32_t hear(void)
{
    uint32_t owner;
    CHECK_INT(read(said[0], &owner, sizeof(owner)), sizeof(owner));
    return owner;
}

static void dead_slots_are_reused(void)
{
    begin();
    (void)place();
    for (int i = 0; i < 100; i++) {
        const pid_t child = test_child(take_and_stay, NULL);
        const uint32_t owner = hear();
        test_kill(child);
        CHECK_SOON(idem__owner_dead_now(region, owner));
        CHECK_INT(idem__load32(&region->header->slot_high), 2);
    }
    end();
}

static void use_one(void *unused)
{
    (void)unused;
    (void)place();
}

/* Slots of a killed crowd serve the next one: they do not pile up. */
static void a_killed_crowd_leaves_no_pile(void)
{
    begin();
    uint32_t high = 0;
    for (int round = 0; round < 6; round++) {
        pid_t children[20];
        for (int i = 0; i < 20; i++) {
            children[i] = test_child(take_and_stay, NULL);
        }
        for (int i = 0; i < 20; i++) {
            const uint32_t owner = hear();
            CHECK(idem__owner_issued(region, owner));
        }
        for (int i = 0; i < 20; i++) {
            test_kill(children[i]);
        }
        const uint32_t seen = idem__load32(&region->header->slot_high);
        CHECK(seen >= 20);
        high = round == 0 ? seen : high;
        CHECK(seen <= 2 * high); /* a few more: liveness is believed for a while */
    }
    end();
}

static void too_many_threads_are_told(void)
{
    begin();
    const pid_t child = test_child(take_and_stay, NULL);
    const uint32_t owner = hear();
    /* All slots are the child's, as if it had that many threads. */
    CHECK_INT(idem__region_back(region, IDEM__SLOT_OFF, IDEM__SLOTS_MAX * sizeof(struct slot_shm)),
              IDEM_OK);
    for (uint32_t i = 0; i < IDEM__SLOTS_MAX; i++) {
        idem__store32(&region->slots[i].owner, owner);
    }
    idem__store32(&region->header->slot_high, IDEM__SLOTS_MAX);
    struct idem__thread *thread;
    CHECK_FAILS(idem__thread_get(region, &thread), IDEM_ESLOTS, "all 8192 thread slots");
    test_kill(child);
    CHECK_SOON(idem__thread_get(region, &thread) == IDEM_OK);
    (void)place();
    end();
}

static void *fail_to_get(void *unused)
{
    (void)unused;
    struct idem__thread *thread;
    CHECK_INT(idem__thread_get(region, &thread), IDEM_ESLOTS);
    return NULL; /* with a place that never had a slot */
}

static void a_thread_without_a_slot_may_exit(void)
{
    begin();
    idem__store32(&region->header->next_owner, UINT32_MAX);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, fail_to_get, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    end();
}

static void a_damaged_slot_count_is_told(void)
{
    begin();
    idem__store32(&region->header->slot_high, IDEM__SLOTS_MAX + 1);
    struct idem__thread *thread;
    CHECK_FAILS(idem__thread_get(region, &thread), IDEM_ECORRUPT, "slot_high is 8193");
    end();
}

static void *use_briefly(void *unused)
{
    (void)unused;
    for (int i = 0; i < 50; i++) {
        (void)place();
    }
    return NULL;
}

/* Many threads, come and go: each has a slot of its own, and all are given back. */
static void threads_come_and_go(void)
{
    begin();
    for (int round = 0; round < 20; round++) {
        pthread_t threads[16];
        for (int i = 0; i < 16; i++) {
            CHECK_INT(pthread_create(&threads[i], NULL, use_briefly, NULL), 0);
        }
        for (int i = 0; i < 16; i++) {
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        }
        CHECK_INT(slots_in_use(), 0);
    }
    CHECK(idem__load32(&region->header->slot_high) <= 16);
    CHECK_INT(test_join(test_child(use_one, NULL)), 0);
    end();
}

/* Killed anywhere while taking a slot: the next one finds or makes room. */
static void killed_newcomers_leave_nothing(void)
{
    begin();
    for (int i = 0; i < 200; i++) {
        const pid_t child = test_child(use_one, NULL);
        nanosleep(&(struct timespec){.tv_nsec = (long)(test_random() % 500000)}, NULL);
        kill(child, SIGKILL);
        (void)test_join(child);
    }
    (void)place();
    CHECK(idem__load32(&region->header->slot_high) <= 100);
    end();
}

static void a_raw_clone_takes_its_own_slot(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    printf("  cannot run under a sanitizer, which must see every fork\n");
#else
    begin();
    struct idem__thread *mine = place();
    const struct slot_shm *parents = mine->slot;
    const uint32_t owner = mine->owner;
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        const struct idem__thread *childs = place();
        const bool own = childs->slot != parents && childs->owner != owner;
        idem__region_close(region);
        _exit(own ? 0 : 1);
    }
    CHECK_INT(test_join(child), 0);
    CHECK(place() == mine);
    CHECK_INT(idem__load32(&parents->owner), owner);
    end();
#endif
}

int main(void)
{
    return test_run((struct test[]){TEST(a_thread_has_one_slot_until_it_exits),
                                    TEST(a_thread_may_use_several_regions),
                                    TEST(closing_gives_the_slots_back),
                                    TEST(threads_outlive_stores),
                                    TEST(a_child_takes_its_own_slot),
                                    TEST(grandchildren_do_too),
                                    TEST(dead_slots_are_reused),
                                    TEST(a_killed_crowd_leaves_no_pile),
                                    TEST(too_many_threads_are_told),
                                    TEST(a_thread_without_a_slot_may_exit),
                                    TEST(a_damaged_slot_count_is_told),
                                    TEST(threads_come_and_go),
                                    TEST(killed_newcomers_leave_nothing),
                                    TEST(a_raw_clone_takes_its_own_slot),
                                    {0}});
}
