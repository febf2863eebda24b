/* Handles: closed ones are recognised, and closing waits for the calls in flight. */
#include "handle.h"

#include <pthread.h>

#include "test.h"

#define USERS 3
#define ROUNDS 300

static struct idem__region some, other; /* never looked into by this layer */

static void a_handle_leads_to_its_region(void)
{
    idem_store *one, *two;
    CHECK_INT(idem__handle_new(&some, &one), IDEM_OK);
    CHECK_INT(idem__handle_new(&some, &two), IDEM_OK);
    CHECK(one != NULL && two != NULL && one != two);
    CHECK(idem__handle_get(one) == &some);
    CHECK(idem__handle_get(two) == &some); /* calls nest */
    idem__handle_put();
    idem__handle_put();
    CHECK(idem__handle_take(one) == &some);
    CHECK(idem__handle_get(one) == NULL);
    CHECK(idem__handle_get(two) == &some);
    idem__handle_put();
    CHECK(idem__handle_take(two) == &some);
}

static void closed_and_invented_handles_are_refused(void)
{
    idem_store *store, *next;
    CHECK_INT(idem__handle_new(&some, &store), IDEM_OK);
    CHECK(idem__handle_take(store) == &some);
    CHECK(idem__handle_take(store) == NULL);
    CHECK(strstr(idem_last_error(), "not open") != NULL);
    CHECK_INT(idem__handle_new(&other, &next), IDEM_OK); /* in the same place of the table */
    CHECK(next != store);
    CHECK(idem__handle_get(store) == NULL);
    CHECK(idem__handle_take(store) == NULL);
    CHECK(idem__handle_get(next) == &other);
    idem__handle_put();
    CHECK(idem__handle_take(next) == &other);
    CHECK(idem__handle_get(NULL) == NULL);
    CHECK(strstr(idem_last_error(), "store is NULL") != NULL);
    CHECK(idem__handle_take(NULL) == NULL);
    for (int i = 0; i < 10000; i++) {
        CHECK(idem__handle_get((idem_store *)(uintptr_t)test_random()) == NULL);
    }
}

static void too_many_are_told(void)
{
    static idem_store *stores[IDEM__HANDLES_MAX];
    for (uint32_t i = 0; i < IDEM__HANDLES_MAX; i++) {
        CHECK_INT(idem__handle_new(&some, &stores[i]), IDEM_OK);
    }
    idem_store *more;
    CHECK_FAILS(idem__handle_new(&some, &more), IDEM_ESYS, "close some");
    CHECK_INT(errno, EMFILE);
    for (uint32_t i = 0; i < IDEM__HANDLES_MAX; i++) {
        CHECK(idem__handle_take(stores[i]) == &some);
    }
}

static _Atomic(idem_store *) current;
static atomic_bool inside, closed, finished;

static void *close_current(void *unused)
{
    (void)unused;
    CHECK(idem__handle_take(atomic_load(&current)) == &some);
    atomic_store(&closed, true);
    return NULL;
}

static void closing_waits_for_the_call_in_flight(void)
{
    idem_store *store;
    CHECK_INT(idem__handle_new(&some, &store), IDEM_OK);
    atomic_store(&current, store);
    CHECK(idem__handle_get(store) == &some);
    pthread_t closer;
    CHECK_INT(pthread_create(&closer, NULL, close_current, NULL), 0);
    /* Withdrawn for others, while our call goes on. */
    for (;;) {
        struct idem__region *seen = idem__handle_get(store);
        if (seen == NULL) {
            break;
        }
        idem__handle_put();
    }
    CHECK(!atomic_load(&closed));
    idem__handle_put();
    CHECK_INT(pthread_join(closer, NULL), 0);
    CHECK(atomic_load(&closed));
}

/* What a region is while it is open. */
#define OPEN_BYTES 7

static void *use_current(void *unused)
{
    (void)unused;
    while (!atomic_load(&finished)) {
        struct idem__region *region = idem__handle_get(atomic_load(&current));
        if (region != NULL) {
            CHECK_INT(region->map_bytes, OPEN_BYTES);
            idem__handle_put();
        }
    }
    return NULL;
}

static void nobody_uses_a_closed_region(void)
{
    pthread_t users[USERS];
    for (int i = 0; i < USERS; i++) {
        CHECK_INT(pthread_create(&users[i], NULL, use_current, NULL), 0);
    }
    for (int i = 0; i < ROUNDS; i++) {
        struct idem__region *region = calloc(1, sizeof(*region));
        idem_store *store;
        region->map_bytes = OPEN_BYTES;
        CHECK_INT(idem__handle_new(region, &store), IDEM_OK);
        atomic_store(&current, store);
        CHECK(idem__handle_take(store) == region);
        region->map_bytes = 0;
        free(region);
    }
    atomic_store(&finished, true);
    for (int i = 0; i < USERS; i++) {
        CHECK_INT(pthread_join(users[i], NULL), 0);
    }
}

static void *hold_until_told(void *unused)
{
    (void)unused;
    CHECK(idem__handle_get(atomic_load(&current)) == &some);
    atomic_store(&inside, true);
    while (!atomic_load(&closed)) {
    }
    idem__handle_put();
    return NULL;
}

static void close_in_child(void *store)
{
    CHECK(idem__handle_get(store) == &some);
    idem__handle_put();
    CHECK(idem__handle_take(store) == &some);
}

/* The parent's other threads, in calls at the moment of fork, are not in the child. */
static void a_child_does_not_wait_for_its_parents_threads(void)
{
    idem_store *store;
    CHECK_INT(idem__handle_new(&some, &store), IDEM_OK);
    atomic_store(&current, store);
    atomic_store(&closed, false);
    pthread_t holder;
    CHECK_INT(pthread_create(&holder, NULL, hold_until_told, NULL), 0);
    while (!atomic_load(&inside)) {
    }
    CHECK_INT(test_join(test_child(close_in_child, store)), 0);
    atomic_store(&closed, true);
    CHECK_INT(pthread_join(holder, NULL), 0);
    CHECK(idem__handle_take(store) == &some);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_handle_leads_to_its_region),
                                    TEST(closed_and_invented_handles_are_refused),
                                    TEST(too_many_are_told),
                                    TEST(closing_waits_for_the_call_in_flight),
                                    TEST(nobody_uses_a_closed_region),
                                    TEST(a_child_does_not_wait_for_its_parents_threads),
                                    {0}});
}
