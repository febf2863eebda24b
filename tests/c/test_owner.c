/* Owners: an id is given once, and its process is known to live or to be dead, whatever happens. */
#include "owner.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "test.h"

#define REGISTRANTS 48

static struct idem__region *region; /* of the test that runs */
static int said[2];                 /* a pipe: children say things */

static struct idem__region *open_at(const char *path)
{
    struct idem__region *opened;
    CHECK_INT(idem__region_open(path, NULL, &opened), IDEM_OK);
    return opened;
}

static uint32_t self(void)
{
    uint32_t owner = 0;
    CHECK_INT(idem__owner_self(region, &owner), IDEM_OK);
    return owner;
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

static void say(uint32_t owner) { CHECK_INT(write(said[1], &owner, sizeof(owner)), sizeof(owner)); }

static uint32_t hear(void)
{
    uint32_t owner;
    CHECK_INT(read(said[0], &owner, sizeof(owner)), sizeof(owner));
    return owner;
}

static void say_and_stay(void *unused)
{
    (void)unused;
    say(self());
    pause();
}

static void an_id_is_kept_until_exit(void)
{
    begin();
    CHECK_INT(idem__owner_stamp(region), 0);
    const uint32_t owner = self();
    const uint64_t stamp = idem__owner_stamp(region);
    CHECK(stamp != 0);
    CHECK_INT(self(), owner);
    CHECK(idem__owner_issued(region, owner));
    CHECK(!idem__owner_issued(region, owner + 1) && !idem__owner_issued(region, 0));
    CHECK(!idem__owner_dead_now(region, owner));
    idem__region_close(region);
    region = open_at(test_path);
    CHECK_INT(idem__owner_stamp(region), 0);
    CHECK_INT(self(), owner);
    CHECK(idem__owner_stamp(region) != stamp);
    end();
}

static void a_killed_owner_is_dead_for_ever(void)
{
    begin();
    const uint32_t mine = self();
    const pid_t child = test_child(say_and_stay, NULL);
    const uint32_t owner = hear();
    CHECK(owner != mine);
    CHECK(!idem__owner_dead_now(region, owner));
    CHECK(!idem__owner_dead(region, owner));
    kill(child, SIGSTOP);
    CHECK(!idem__owner_dead_now(region, owner));
    test_kill(child);
    CHECK_SOON(idem__owner_dead_now(region, owner));
    CHECK(idem__owner_dead(region, owner));
    CHECK(!idem__owner_dead_now(region, mine));
    end();
}

static void the_living_are_believed_for_a_while(void)
{
    begin();
    const pid_t child = test_child(say_and_stay, NULL);
    const uint32_t owner = hear();
    CHECK(!idem__owner_dead(region, owner));
    test_kill(child);
    CHECK_SOON(idem__owner_dead(region, owner)); /* within IDEM__ALIVE_CACHE_MS */
    end();
}

/* A zombie has no memory any more: dead before it is waited for. */
static void a_zombie_is_dead(void)
{
    begin();
    const pid_t child = test_child(say_and_stay, NULL);
    const uint32_t owner = hear();
    kill(child, SIGKILL);
    CHECK_SOON(idem__owner_dead_now(region, owner));
    CHECK_INT(test_join(child), -SIGKILL);
    end();
}

static void no_id_is_given_twice(void)
{
    begin();
    pid_t children[REGISTRANTS];
    uint32_t ids[REGISTRANTS];
    for (int i = 0; i < REGISTRANTS; i++) {
        children[i] = test_child(say_and_stay, NULL);
    }
    for (int i = 0; i < REGISTRANTS; i++) {
        ids[i] = hear();
        CHECK(idem__owner_issued(region, ids[i]));
        for (int j = 0; j < i; j++) {
            CHECK(ids[i] != ids[j]);
        }
        CHECK(!idem__owner_dead_now(region, ids[i]));
    }
    for (int i = 0; i < REGISTRANTS; i++) {
        test_kill(children[i]);
    }
    for (int i = 0; i < REGISTRANTS; i++) {
        CHECK_SOON(idem__owner_dead_now(region, ids[i]));
    }
    end();
}

/* Quick lives and deaths: an id whose process is gone is not given again either. */
#define LIVES 1500
#define FAMILIES 4

static void live_and_die(void *given)
{
    idem__a64 *bits = given;
    const uint32_t owner = self();
    const uint64_t bit = (uint64_t)1 << owner % 64;
    CHECK((atomic_fetch_or(&bits[owner / 64], bit) & bit) == 0);
}

static void family(void *given)
{
    for (int i = 0; i < LIVES / FAMILIES; i++) {
        CHECK_INT(test_join(test_child(live_and_die, given)), 0);
    }
}

static void ids_of_the_dead_are_not_given_again(void)
{
    begin();
    void *given = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(given != MAP_FAILED);
    pid_t families[FAMILIES];
    for (int i = 0; i < FAMILIES; i++) {
        families[i] = test_child(family, given);
    }
    for (int i = 0; i < FAMILIES; i++) {
        CHECK_INT(test_join(families[i]), 0);
    }
    CHECK(idem__load32(&region->header->next_owner) <= 4096 * 8);
    munmap(given, 4096);
    end();
}

static void register_and_exit(void *unused)
{
    (void)unused;
    (void)self();
}

/* Killed anywhere in registration: every id below the counter is dead, and the next one works. */
static void killed_registrants_leave_nothing(void)
{
    /* How long a child takes differs a hundredfold with the build: so that some die early and some late. */
    begin();
    struct timespec before, after;
    CHECK_INT(clock_gettime(CLOCK_MONOTONIC, &before), 0);
    CHECK_INT(test_join(test_child(register_and_exit, NULL)), 0);
    CHECK_INT(clock_gettime(CLOCK_MONOTONIC, &after), 0);
    const uint64_t life_ns =
        (uint64_t)((after.tv_sec - before.tv_sec) * 1000000000L + (after.tv_nsec - before.tv_nsec));
    const uint32_t first = idem__load32(&region->header->next_owner);
    for (int i = 0; i < 200; i++) {
        const pid_t child = test_child(register_and_exit, NULL);
        const uint64_t kill_ns = test_random() % (life_ns < 400000000 ? 2 * life_ns : 800000000);
        nanosleep(&(struct timespec){.tv_nsec = (long)kill_ns}, NULL);
        kill(child, SIGKILL);
        (void)test_join(child);
    }
    const uint32_t next = idem__load32(&region->header->next_owner);
    CHECK(next > first);
    for (uint32_t owner = 1; owner < next; owner++) {
        CHECK_SOON(idem__owner_dead_now(region, owner));
    }
    CHECK(self() >= next);
    end();
}

/* The parent's id is not the child's, and does not live on in it. */
static void inheriting_child(void *argument)
{
    const uint32_t parents = *(const uint32_t *)argument;
    CHECK_INT(idem__owner_stamp(region), 0);
    CHECK(!idem__owner_dead_now(region, parents));
    const uint32_t mine = self();
    CHECK(mine != parents);
    say(mine);
    pause();
}

static void parent_of_inheritor(void *unused)
{
    (void)unused;
    uint32_t mine = self();
    say(mine);
    (void)test_child(inheriting_child, &mine);
    pause();
}

static void ids_are_not_inherited(void)
{
    begin();
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    const pid_t parent = test_child(parent_of_inheritor, NULL);
    const uint32_t parents = hear(), childs = hear();
    CHECK(!idem__owner_dead_now(region, parents) && !idem__owner_dead_now(region, childs));
    test_kill(parent);
    CHECK_SOON(idem__owner_dead_now(region, parents));
    CHECK_SOON(idem__owner_dead_now(region, childs)); /* PDEATHSIG */
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    end();
}

/* The parent's death is seen although its children, made in the middle of registrations, live on. */
#define FORK_REGIONS 24
#define FORK_CHILDREN 12
#define FORK_ROUNDS 40

static struct idem__region *many[FORK_REGIONS];
static atomic_bool forking;

static void *register_everywhere(void *unused)
{
    (void)unused;
    while (!atomic_load(&forking)) {
    }
    for (size_t i = 0; i < FORK_REGIONS; i++) {
        uint32_t owner;
        CHECK_INT(idem__owner_self(many[i], &owner), IDEM_OK);
    }
    return NULL;
}

static void fork_while_registering(void *unused)
{
    (void)unused;
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, register_everywhere, NULL), 0);
    for (uint32_t i = 0; i < FORK_CHILDREN; i++) {
        atomic_store(&forking, true);
        const pid_t child = fork();
        if (child == 0) {
            pause();
            _exit(0);
        }
        say((uint32_t)child);
    }
    CHECK_INT(pthread_join(thread, NULL), 0);
}

static void fork_waits_for_registrations(void)
{
    begin();
    for (size_t i = 0; i < FORK_REGIONS; i++) {
        struct idem_options options = {
            .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_ANONYMOUS};
        CHECK_INT(idem__region_open(NULL, &options, &many[i]), IDEM_OK);
    }
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    uint32_t living = 0;
    for (uint32_t round = 1; round <= FORK_ROUNDS; round++) {
        CHECK_INT(test_join(test_child(fork_while_registering, NULL)), 0);
        pid_t children[FORK_CHILDREN];
        for (int i = 0; i < FORK_CHILDREN; i++) {
            children[i] = (pid_t)hear();
        }
        for (size_t i = 0; i < FORK_REGIONS; i++) {
            CHECK_INT(idem__load32(&many[i]->header->next_owner), round + 1);
            living += !idem__owner_dead_now(many[i], round);
        }
        for (int i = 0; i < FORK_CHILDREN; i++) {
            test_kill(children[i]);
        }
    }
    CHECK_INT(living, 0);
    for (size_t i = 0; i < FORK_REGIONS; i++) {
        idem__region_close(many[i]);
    }
    end();
}

/* A child that fork handlers know nothing of. */
static void a_raw_clone_is_another_owner(void)
{
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
    printf("  cannot run under a sanitizer, which must see every fork\n");
#else
    begin();
    const uint32_t mine = self();
    const pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0) {
        if (idem__owner_stamp(region) != 0 || self() == mine) {
            _exit(1);
        }
        _exit(0);
    }
    CHECK_INT(test_join(child), 0);
    CHECK(!idem__owner_dead_now(region, mine));
    end();
#endif
}

static void exec_body(void *unused)
{
    (void)unused;
    say(self());
    execlp("sleep", "sleep", "1000", (char *)NULL);
}

static void exec_ends_an_owner(void)
{
    begin();
    const pid_t child = test_child(exec_body, NULL);
    const uint32_t owner = hear();
    CHECK_SOON(idem__owner_dead_now(region, owner));
    CHECK_INT(waitpid(child, NULL, WNOHANG), 0); /* the process lives, as another program */
    test_kill(child);
    end();
}

static void close_all_body(void *unused)
{
    (void)unused;
    const uint32_t owner = self();
    const int out = dup2(said[1], 200);
    for (int fd = 3; fd < 1024; fd++) {
        if (fd != out) {
            close(fd);
        }
    }
    CHECK_INT(write(out, &owner, sizeof(owner)), sizeof(owner));
    CHECK(!idem__owner_dead_now(region, owner));
    pause();
}

static void closing_all_descriptors_does_not_kill(void)
{
    begin();
    const pid_t child = test_child(close_all_body, NULL);
    const uint32_t owner = hear();
    CHECK(!idem__owner_dead_now(region, owner));
    test_kill(child);
    CHECK_SOON(idem__owner_dead_now(region, owner));
    end();
}

static void closing_the_store_does_not_kill(void)
{
    begin();
    const uint32_t owner = self();
    idem__region_close(region);
    close(open(test_path, O_RDWR)); /* drops POSIX locks, not ours */
    const pid_t child = fork();
    if (child == 0) {
        region = open_at(test_path);
        _exit(idem__owner_dead_now(region, owner) ? 1 : 0);
    }
    CHECK_INT(test_join(child), 0);
    region = open_at(test_path);
    end();
}

/* First process of a PID namespace of its own: there, its pid is 1, as in the next one. */
static void in_a_namespace(void *unused)
{
    (void)unused;
    if (unshare(CLONE_NEWPID) != 0) {
        say(0);
        return;
    }
    const pid_t first = fork();
    if (first == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        CHECK_INT(getpid(), 1);
        say(self());
        const uint32_t next = idem__load32(&region->header->next_owner);
        for (uint32_t other = 1; other < next; other++) {
            CHECK(!idem__owner_dead_now(region, other));
        }
        say(self());
        pause();
        _exit(0);
    }
    CHECK_INT(test_join(first), 0);
}

static void pid_namespaces_do_not_matter(void)
{
    begin();
    (void)self();
    pid_t children[2];
    uint32_t owners[2];
    for (int i = 0; i < 2; i++) {
        children[i] = test_child(in_a_namespace, NULL);
        owners[i] = hear();
        if (owners[i] == 0) {
            printf("  cannot run: no permission to make a PID namespace\n");
            CHECK_INT(test_join(children[i]), 0);
            end();
            return;
        }
        CHECK_INT(hear(), owners[i]);
    }
    CHECK(!idem__owner_dead_now(region, owners[0]) && !idem__owner_dead_now(region, owners[1]));
    test_kill(children[0]);
    CHECK_SOON(idem__owner_dead_now(region, owners[0]));
    CHECK(!idem__owner_dead_now(region, owners[1]));
    test_kill(children[1]);
    CHECK_SOON(idem__owner_dead_now(region, owners[1]));
    end();
}

static void anonymous_child(void *unused)
{
    (void)unused;
    say_and_stay(NULL);
}

static void anonymous_regions_have_owners_too(void)
{
    CHECK_INT(pipe(said), 0);
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_ANONYMOUS};
    CHECK_INT(idem__region_open(NULL, &options, &region), IDEM_OK);
    const uint32_t mine = self();
    const pid_t child = test_child(anonymous_child, NULL);
    const uint32_t owner = hear();
    CHECK(owner != mine && !idem__owner_dead_now(region, owner));
    test_kill(child);
    CHECK_SOON(idem__owner_dead_now(region, owner));
    end();
}

/* One who cannot ask does not take over. */
static void not_knowing_is_alive(void)
{
    begin();
    const pid_t child = test_child(say_and_stay, NULL);
    const uint32_t owner = hear();
    test_kill(child);
    unlink(test_path);
    close(atomic_load(&region->fd));
    CHECK(!idem__owner_dead_now(region, owner));
    end();
}

static void exhausted_ids_are_told(void)
{
    begin();
    idem__store32(&region->header->next_owner, UINT32_MAX);
    uint32_t owner;
    CHECK_FAILS(idem__owner_self(region, &owner), IDEM_ESLOTS, "new region");
    end();
}

static void readers_have_no_identity(void)
{
    begin();
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .flags = IDEM_OPEN_READONLY};
    struct idem__region *inspected;
    CHECK_INT(idem__region_open(test_path, &options, &inspected), IDEM_OK);
    uint32_t owner;
    CHECK_FAILS(idem__owner_self(inspected, &owner), IDEM_EINVAL, "read-only");
    CHECK(!idem__owner_dead_now(inspected, self()));
    idem__region_close(inspected);
    end();
}

int main(void)
{
    return test_run((struct test[]){TEST(an_id_is_kept_until_exit),
                                    TEST(a_killed_owner_is_dead_for_ever),
                                    TEST(the_living_are_believed_for_a_while),
                                    TEST(a_zombie_is_dead),
                                    TEST(no_id_is_given_twice),
                                    TEST(ids_of_the_dead_are_not_given_again),
                                    TEST(killed_registrants_leave_nothing),
                                    TEST(ids_are_not_inherited),
                                    TEST(fork_waits_for_registrations),
                                    TEST(a_raw_clone_is_another_owner),
                                    TEST(exec_ends_an_owner),
                                    TEST(closing_all_descriptors_does_not_kill),
                                    TEST(closing_the_store_does_not_kill),
                                    TEST(pid_namespaces_do_not_matter),
                                    TEST(anonymous_regions_have_owners_too),
                                    TEST(not_knowing_is_alive),
                                    TEST(exhausted_ids_are_told),
                                    TEST(readers_have_no_identity),
                                    {0}});
}
