/* Descriptors run out, at opening and at calls; and exec, which must not pass any on. */
#include <dirent.h>
#include <pthread.h>
#include <sys/resource.h>

#include "hosts.h"

#define DESCRIPTORS_MAX 256 /* this program's own limit, soon used up */
#define ENOUGH 8            /* more than any call opens at once */

static int spare[DESCRIPTORS_MAX]; /* a stack of descriptors that are held to leave few */
static int spares;

/* Takes all descriptors, then gives `free` back. */
static void leave_descriptors(int free)
{
    int fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        CHECK(spares < DESCRIPTORS_MAX);
        spare[spares++] = fd;
    }
    CHECK_INT(errno, EMFILE);
    CHECK(spares >= free);
    while (free-- > 0) {
        CHECK_INT(close(spare[--spares]), 0);
    }
}

static int descriptors_left(void)
{
    int left = 0, fds[DESCRIPTORS_MAX];
    while ((fds[left] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        left++;
    }
    for (int i = 0; i < left; i++) {
        close(fds[i]);
    }
    return left;
}

static void limit_descriptors(void)
{
    CHECK_INT(setrlimit(RLIMIT_NOFILE, &(struct rlimit){DESCRIPTORS_MAX, DESCRIPTORS_MAX}), 0);
}

/* IDEM_ESYS and EMFILE, with a message that names the region and the reason. */
static void check_exhausted(int status)
{
    CHECK_INT(status, IDEM_ESYS);
    CHECK_INT(errno, EMFILE);
    CHECK(strstr(idem_last_error(), "Too many open files") != NULL);
}

/* With ever more descriptors: refused as a whole, none lost, until it goes well. */
static idem_store *open_with_few(int *needed)
{
    idem_store *store = NULL;
    for (int free = 0; free < ENOUGH; free++) {
        const bool was_there = access(test_path, F_OK) == 0;
        leave_descriptors(free);
        const int status = idem_open(test_path, NULL, &store);
        if (status == IDEM_OK) {
            *needed = free;
            leave_descriptors(ENOUGH);
            return store;
        }
        check_exhausted(status);
        CHECK(store == NULL);
        CHECK_INT(descriptors_left(), free);
        CHECK_INT(access(test_path, F_OK) == 0, was_there);
    }
    TEST_FAIL("a store wants more than %d descriptors", ENOUGH);
}

static void open_exhausted(void *unused)
{
    (void)unused;
    int to_create, to_open;
    limit_descriptors();
    idem_store *store = open_with_few(&to_create);
    put(store, "key", "value");
    CHECK_INT(idem_close(store), IDEM_OK);
    store = open_with_few(&to_open);
    CHECK(to_create >= 1 && to_open >= 1);
    CHECK(has_value(store, "key", "value"));
    store_end(store);
}

static void exhaustion_at_open(void) { CHECK_INT(test_join(test_child(open_exhausted, NULL)), 0); }

static void *claim_in_a_thread(void *store)
{
    put(store, "of a thread", "value");
    return NULL;
}

/* The first call makes this process an owner, which takes descriptors; from then on none is needed. */
static void call_exhausted(void *unused)
{
    (void)unused;
    int status = IDEM_ESYS, free = 0;
    limit_descriptors();
    idem_store *store = store_open();
    struct idem_claim claim;
    const struct idem_request request = request_of("key");
    for (; status != IDEM_OK && free < ENOUGH; free++) {
        leave_descriptors(free);
        claim = no_claim();
        status = idem_claim(store, &request, &claim);
        if (status != IDEM_OK) {
            check_exhausted(status);
            CHECK_INT(claim.outcome, 0);
        }
        CHECK_INT(descriptors_left(), free);
    }
    CHECK_INT(claim.outcome, IDEM_CLAIMED);
    CHECK(free > 1);
    leave_descriptors(0);
    complete_with(&claim, "value");
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, claim_in_a_thread, store), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    for (int i = 0; i < 20000; i++) { /* slabs, index chunks, sweeps */
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        put(store, key, "value");
        if (i % 2) {
            CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
        }
    }
    CHECK(idem_sweep(store, 0) >= 0);
    CHECK_INT(idem_resize(store, 2 * STORE_SMALL_BYTES), IDEM_OK);
    /* Whether an owner died is known too. */
    CHECK_SOON(claim_key(store, "of the dead", &claim) == IDEM_RECLAIMED);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    store_end(store);
}

static void claim_and_die(void *store)
{
    CHECK_INT(outcome_of(store, "of the dead"), IDEM_CLAIMED);
}

static void exhaustion_at_calls(void)
{
    idem_store *store = store_open();
    CHECK_INT(test_join(test_child(claim_and_die, store)), 0);
    CHECK_INT(test_join(test_child(call_exhausted, NULL)), 0);
    CHECK(has_value(store, "of a thread", "value"));
    store_end(store);
}

/* ---- exec ----------------------------------------------------------------------------------- */

struct leaver {
    idem_store *store;
    atomic_int claimed;
};

static void claim_and_exec(void *argument)
{
    struct leaver *leaver = argument;
    CHECK_INT(outcome_of(leaver->store, "inherited store"), IDEM_CLAIMED);
    CHECK_INT(outcome_of(store_open(), "own store"), IDEM_CLAIMED);
    atomic_store(&leaver->claimed, 1);
    execlp("sleep", "sleep", "1000", (char *)NULL);
}

/* Does the process have the region's file open? */
static bool holds_the_file(pid_t process)
{
    char folder[64], link[320];
    struct stat region, held;
    CHECK_INT(stat(test_path, &region), 0);
    snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)process);
    DIR *descriptors = opendir(folder);
    CHECK(descriptors != NULL);
    bool found = false;
    for (const struct dirent *entry; (entry = readdir(descriptors)) != NULL;) {
        snprintf(link, sizeof(link), "%s/%s", folder, entry->d_name);
        found |=
            stat(link, &held) == 0 && held.st_dev == region.st_dev && held.st_ino == region.st_ino;
    }
    closedir(descriptors);
    return found;
}

static void exec_from(idem_store *store)
{
    struct leaver *leaver = shared_memory(sizeof(*leaver));
    leaver->store = store;
    const pid_t child = test_child(claim_and_exec, leaver);
    CHECK_SOON(atomic_load(&leaver->claimed));
    CHECK(holds_the_file(getpid()));
    const char *keys[] = {"inherited store", "own store"};
    for (int i = 0; i < 2; i++) {
        struct idem_claim claim;
        CHECK_SOON(claim_key(store, keys[i], &claim) == IDEM_RECLAIMED);
        CHECK_INT(claim.record.attempt, 2);
        complete_with(&claim, "value");
        CHECK_INT(idem_forget(store, keys[i], strlen(keys[i]), 0), IDEM_OK);
    }
    CHECK(!holds_the_file(child));
    CHECK_SOON(store_stats(store).slots_used == 1);
    CHECK_INT(waitpid(child, NULL, WNOHANG), 0); /* it lives, as another program */
    test_kill(child);
    munmap(leaver, sizeof(*leaver));
    store_end(store);
}

static void exec_leaves_nothing_behind(void)
{
    exec_from(store_open()); /* which makes the file */
    exec_from(store_open());
}

int main(void)
{
    return test_run((struct test[]){TEST(exhaustion_at_open),
                                    TEST(exhaustion_at_calls),
                                    TEST(exec_leaves_nothing_behind),
                                    {0}});
}
