/* Sections hold the epoch at most one behind; the dead do not. */
#include "epoch.h"

#include <stdatomic.h>

#include "inside.h"

static uint64_t epoch_of(idem_store *store) { return store_stats(store).epoch; }

static bool advance(idem_store *store)
{
    struct idem__op op;
    CHECK_INT(idem__call_begin(store, true, &op), IDEM_OK);
    const bool advanced = idem__epoch_advance(op.region);
    idem__call_end(&op);
    return advanced;
}

static void it_advances_when_nobody_is_inside(void)
{
    idem_store *store = store_open();
    const uint64_t before = epoch_of(store);
    for (int i = 0; i < 10; i++) {
        CHECK(advance(store));
    }
    CHECK_INT(epoch_of(store), before + 10);
    store_end(store);
}

static void a_section_lets_one_advance_pass(void)
{
    idem_store *store = store_open();
    struct idem__op op = inside_begin(store);
    const uint64_t before = idem__load64(&op.region->header->epoch);
    CHECK(idem__epoch_advance(op.region));
    for (int i = 0; i < 10; i++) {
        CHECK(!idem__epoch_advance(op.region));
    }
    CHECK_INT(idem__load64(&op.region->header->epoch), before + 1);
    uint64_t used, laggards;
    idem__epoch_slots(op.region, &used, &laggards);
    CHECK_INT(used, 1);
    CHECK_INT(laggards, 1);
    /* So what this section retires now is not reused before it ends. */
    CHECK(!idem__grace_over(op.region, (uint32_t)before));
    inside_end(&op);
    CHECK(advance(store) && advance(store));
    op = inside_begin(store);
    CHECK(idem__grace_over(op.region, (uint32_t)before));
    CHECK(!idem__grace_over(op.region, (uint32_t)before + 1));
    inside_end(&op);
    store_end(store);
}

/* The low 32 bits of the epoch are compared: across their end too. */
static void grace_is_counted_across_the_wrap(void)
{
    idem_store *store = store_open();
    struct idem__op op;
    CHECK_INT(idem__call_begin(store, true, &op), IDEM_OK);
    idem__store64(&op.region->header->epoch, ((uint64_t)1 << 32) + 1);
    CHECK(!idem__grace_over(op.region, UINT32_MAX));
    CHECK(idem__grace_over(op.region, UINT32_MAX - 1));
    idem__call_end(&op);
    for (int i = 0; i < 1000; i++) {
        put(store, "key", "value");
        CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    }
    store_end(store);
}

struct sleeper {
    idem_store *store;
    atomic_int inside;
};

static void sleep_inside(void *argument)
{
    struct sleeper *sleeper = argument;
    (void)inside_begin(sleeper->store);
    atomic_store(&sleeper->inside, 1);
    for (;;) {
        pause();
    }
}

/* A stopped or sleeping process holds the epoch back as long as it lives, and not longer. */
static void a_dead_reader_is_passed(void)
{
    idem_store *store = store_open();
    struct sleeper *sleeper = shared_memory(sizeof(*sleeper));
    sleeper->store = store;
    const pid_t child = test_child(sleep_inside, sleeper);
    CHECK_SOON(atomic_load(&sleeper->inside));
    CHECK_INT(kill(child, SIGSTOP), 0);
    while (advance(store)) {
    }
    CHECK_INT(store_stats(store).epoch_laggards, 1);
    for (int i = 0; i < 1000; i++) { /* nobody waits for it */
        put(store, "key", "value");
        CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    }
    CHECK_INT(store_stats(store).epoch_laggards, 1);
    CHECK(store_stats(store).retired_blocks >= 2000);
    test_kill(child);
    CHECK_SOON(advance(store));
    CHECK(advance(store) && advance(store));
    CHECK_INT(store_stats(store).epoch_laggards, 0);
    munmap(sleeper, sizeof(*sleeper));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(it_advances_when_nobody_is_inside),
                                    TEST(a_section_lets_one_advance_pass),
                                    TEST(grace_is_counted_across_the_wrap),
                                    TEST(a_dead_reader_is_passed),
                                    {0}});
}
