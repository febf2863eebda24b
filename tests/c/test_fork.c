/* fork: parent and child use one handle, each as itself; the child's copies of claims are refused. */
#include <pthread.h>
#include <stdatomic.h>

#include "store.h"

struct inherited {
    idem_store *store;
    struct idem_claim claim;
};

static void use_the_copy(void *argument)
{
    struct inherited *inherited = argument;
    struct idem_claim claim;
    CHECK_FAILS(idem_complete(&inherited->claim, "child", 5, 0, 0), IDEM_ELOST, "another process");
    CHECK_INT(idem_release(&inherited->claim), IDEM_ELOST);
    CHECK_INT(idem_abandon(&inherited->claim), IDEM_ELOST);
    CHECK_INT(idem_renew(&inherited->claim, 1000), IDEM_ELOST);
    CHECK_INT(claim_key(inherited->store, "key", &claim), IDEM_BUSY);
    CHECK_INT(claim_key(inherited->store, "child's", &claim), IDEM_CLAIMED);
    CHECK(claim.owner != inherited->claim.owner);
    complete_with(&claim, "of the child");
    CHECK_INT(claim_key(inherited->store, "left", &claim), IDEM_CLAIMED);
}

static void a_childs_copy_of_a_claim_is_refused(void)
{
    struct inherited inherited = {.store = store_open()};
    CHECK_INT(claim_key(inherited.store, "key", &inherited.claim), IDEM_CLAIMED);
    CHECK_INT(test_join(test_child(use_the_copy, &inherited)), 0);
    CHECK(has_value(inherited.store, "child's", "of the child"));
    struct idem_claim claim;
    CHECK_SOON(claim_key(inherited.store, "left", &claim) == IDEM_RECLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    complete_with(&inherited.claim, "of the parent");
    CHECK(has_value(inherited.store, "key", "of the parent"));
    store_end(inherited.store);
}

/* Preload: the parent opens and never calls; each child is an owner of its own. */
static void claim_its_own(void *argument)
{
    idem_store *store = argument;
    char key[32];
    snprintf(key, sizeof(key), "of %d", (int)getpid());
    put(store, key, key);
    CHECK_INT(outcome_of(store, key), IDEM_DONE);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void children_of_a_preloaded_parent_are_owners(void)
{
    enum { CHILDREN = 8 };
    idem_store *store = store_open();
    pid_t children[CHILDREN];
    for (int i = 0; i < CHILDREN; i++) {
        children[i] = test_child(claim_its_own, store);
    }
    for (int i = 0; i < CHILDREN; i++) {
        char key[32];
        snprintf(key, sizeof(key), "of %d", (int)children[i]);
        CHECK_INT(test_join(children[i]), 0);
        CHECK(has_value(store, key, key));
    }
    /* Of two that register at once one may step over an id, which is then never given. */
    CHECK(store_stats(store).owners_issued >= CHILDREN + 1);
    store_end(store);
}

/* The owner's identity goes with the process that has it: its child lives, and its claims are orphans. */
static void fork_and_die(void *argument)
{
    struct inherited *inherited = argument;
    CHECK_INT(claim_key(inherited->store, "key", &inherited->claim), IDEM_CLAIMED);
    if (fork() == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm(TEST_WATCHDOG_S);
        pause(); /* until the grandparent has seen enough, or failed */
    }
    raise(SIGKILL);
}

static void a_surviving_child_does_not_keep_the_claims(void)
{
    struct inherited inherited = {.store = store_open()};
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    CHECK_INT(test_join(test_child(fork_and_die, &inherited)), -SIGKILL);
    struct idem_claim claim;
    CHECK_SOON(claim_key(inherited.store, "key", &claim) == IDEM_RECLAIMED);
    complete_with(&claim, "v");
    /* The orphaned grandchild is ours now. */
    siginfo_t info;
    char path[64], text[16] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "r");
    CHECK(children != NULL && fgets(text, sizeof(text), children) != NULL);
    fclose(children);
    const pid_t grandchild = (pid_t)strtol(text, NULL, 10);
    CHECK_INT(kill(grandchild, SIGKILL), 0);
    CHECK_INT(waitid(P_PID, (id_t)grandchild, &info, WEXITED), 0);
    CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
    store_end(inherited.store);
}

/* fork while other threads are in the middle of calls: the child is not in their way, nor they in its. */
struct workshop {
    idem_store *store;
    atomic_int begun; /* threads that have made a call, and with it all allocations of theirs */
    atomic_bool over;
};

static void *work(void *argument)
{
    struct workshop *workshop = argument;
    char key[32];
    snprintf(key, sizeof(key), "thread %llx", (unsigned long long)pthread_self());
    bool first = true;
    while (!atomic_load(&workshop->over)) {
        struct idem_claim claim;
        const int outcome = claim_key(workshop->store, key, &claim);
        CHECK_INT(outcome, IDEM_CLAIMED);
        CHECK_INT(idem_release(&claim), IDEM_OK);
        if (first) {
            atomic_fetch_add(&workshop->begun, 1);
            first = false;
        }
    }
    return NULL;
}

static void claim_in_a_child(void *argument)
{
    const struct workshop *workshop = argument;
    char key[32];
    snprintf(key, sizeof(key), "child %d", (int)getpid());
    put(workshop->store, key, "v");
    store_check(workshop->store);
    CHECK_INT(idem_forget(workshop->store, key, strlen(key), 0), IDEM_OK);
    CHECK_INT(idem_close(workshop->store), IDEM_OK);
}

static void forking_beside_threads(void)
{
    enum { THREADS = 2 };
    struct workshop workshop = {.store = store_open()};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, work, &workshop), 0);
    }
#if defined(__SANITIZE_ADDRESS__)
    /* Its allocator, unlike libc's, leaves a child the locks that other threads held at the fork. */
    CHECK_SOON(atomic_load(&workshop.begun) == THREADS);
#endif
    for (int i = 0; i < TEST_ROUNDS(200); i++) {
        CHECK_INT(test_join(test_child(claim_in_a_child, &workshop)), 0);
    }
    atomic_store(&workshop.over, true);
    for (int i = 0; i < THREADS; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
    (void)used_after_sweep(workshop.store);
    CHECK_INT(store_stats(workshop.store).record_blocks, 0);
    CHECK_SOON(store_stats(workshop.store).slots_used == 1);
    store_end(workshop.store);
}

/* A nameless store is shared through fork alone. */
static void an_anonymous_store_is_shared_by_fork(void)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.flags = IDEM_OPEN_ANONYMOUS;
    options.max_bytes = STORE_SMALL_BYTES;
    struct inherited inherited;
    CHECK_INT(idem_open(NULL, &options, &inherited.store), IDEM_OK);
    CHECK_INT(claim_key(inherited.store, "key", &inherited.claim), IDEM_CLAIMED);
    CHECK_INT(test_join(test_child(use_the_copy, &inherited)), 0);
    struct idem_claim claim;
    CHECK(has_value(inherited.store, "child's", "of the child"));
    CHECK_SOON(claim_key(inherited.store, "left", &claim) == IDEM_RECLAIMED);
    CHECK_INT(access(test_path, F_OK), -1);
    store_end(inherited.store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_childs_copy_of_a_claim_is_refused),
                                    TEST(children_of_a_preloaded_parent_are_owners),
                                    TEST(a_surviving_child_does_not_keep_the_claims),
                                    TEST(forking_beside_threads),
                                    TEST(an_anonymous_store_is_shared_by_fork),
                                    {0}});
}
