/* Raising the limit while others work: what was refused is granted, and nothing else changes. */
#include <stdatomic.h>

#include "store.h"

#define LARGER_BYTES ((uint64_t)8 << 20)

struct filler {
    idem_store *store;
    uint32_t number;
    atomic_uint done[4];    /* keys completed by each */
    atomic_uint refused[4]; /* and claims refused */
    atomic_int stop;
};

struct hand {
    struct filler *filler;
    uint32_t number;
};

static void key_of(char key[32], uint32_t hand, uint32_t number)
{
    snprintf(key, 32, "hand %u key %08u", hand, number);
}

static void fill(void *argument)
{
    const struct hand *hand = argument;
    struct filler *filler = hand->filler;
    atomic_uint *done = &filler->done[hand->number];
    while (!atomic_load(&filler->stop)) {
        char key[32];
        key_of(key, hand->number, atomic_load(done));
        const struct idem_request request = request_of(key);
        struct idem_claim claim = no_claim();
        const int status = idem_claim(filler->store, &request, &claim);
        if (status == IDEM_EFULL) {
            atomic_fetch_add(&filler->refused[hand->number], 1);
            usleep(1000);
            continue;
        }
        CHECK_INT(status, IDEM_OK);
        CHECK_INT(claim.outcome, IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
        atomic_fetch_add(done, 1);
    }
}

static uint32_t sum(atomic_uint counts[4])
{
    return atomic_load(&counts[0]) + atomic_load(&counts[1]) + atomic_load(&counts[2]) +
           atomic_load(&counts[3]);
}

static void a_full_store_is_enlarged_under_load(void)
{
    enum { HANDS = 3 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct filler *filler = shared_memory(sizeof(*filler));
    struct hand hands[HANDS];
    pid_t children[HANDS];
    filler->store = store;
    for (uint32_t i = 0; i < HANDS; i++) {
        hands[i] = (struct hand){filler, i};
        children[i] = test_child(fill, &hands[i]);
    }
    for (uint64_t bytes = STORE_SMALLEST_BYTES; bytes < LARGER_BYTES;) {
        const uint32_t refused = sum(filler->refused);
        CHECK_SOON(sum(filler->refused) > refused); /* full */
        const uint32_t done = sum(filler->done);
        CHECK(store_stats(store).allocated_bytes <= bytes);
        bytes *= 2;
        CHECK_INT(idem_resize(store, bytes), IDEM_OK);
        CHECK_INT(store_stats(store).max_bytes, bytes);
        CHECK_SOON(sum(filler->done) > done + done / 2);
    }
    atomic_store(&filler->stop, 1);
    for (uint32_t i = 0; i < HANDS; i++) {
        CHECK_INT(test_join(children[i]), 0);
        for (uint32_t number = 0; number < filler->done[i]; number++) {
            char key[32];
            key_of(key, i, number);
            CHECK_INT(state_of(store, key), IDEM_STATE_DONE);
        }
    }
    CHECK_INT(store_stats(store).done_keys, sum(filler->done));
    munmap(filler, sizeof(*filler));
    store_end(store);
}

/* Of two who raise it at once the higher one counts, and the limit never goes down. */
static void raise_the_limit(void *argument)
{
    const struct hand *hand = argument;
    for (uint64_t step = 0; step < 500; step++) {
        const uint64_t bytes = STORE_SMALLEST_BYTES + (step * 2 + hand->number) * 65536;
        const int status = idem_resize(hand->filler->store, bytes);
        CHECK(status == IDEM_OK || status == IDEM_EINVAL); /* the other one is ahead */
        CHECK(store_stats(hand->filler->store).max_bytes >= bytes);
    }
}

static void two_who_raise_the_limit_agree(void)
{
    struct filler filler = {.store = store_open_with(STORE_SMALLEST_BYTES, 0)};
    struct hand hands[2] = {{&filler, 0}, {&filler, 1}};
    const pid_t children[2] = {test_child(raise_the_limit, &hands[0]),
                               test_child(raise_the_limit, &hands[1])};
    CHECK_INT(test_join(children[0]), 0);
    CHECK_INT(test_join(children[1]), 0);
    CHECK_INT(store_stats(filler.store).max_bytes, STORE_SMALLEST_BYTES + (499 * 2 + 1) * 65536);
    store_end(filler.store);
    /* Whoever opens it later agrees. */
    store_end(store_open());
}

int main(void)
{
    return test_run((struct test[]){
        TEST(a_full_store_is_enlarged_under_load), TEST(two_who_raise_the_limit_agree), {0}});
}
