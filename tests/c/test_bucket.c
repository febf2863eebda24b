/* Bucket heads: their numbers and orders, and that one whose initialiser died anywhere is put in by another. */
#include "bucket.h"

#include "inside.h"

static void numbers_and_orders_agree(void)
{
    CHECK_INT(idem__head_of(0, 6), 0);
    CHECK_INT(idem__head_order(0), 0);
    for (uint32_t log2 = 1; log2 <= 18; log2++) {
        uint64_t last = 0;
        for (uint64_t p = 0; p < (uint64_t)1 << log2; p++) {
            const uint32_t index = idem__head_of(p, log2);
            CHECK(index < 1u << log2);
            CHECK_INT(idem__head_order(index), p << (64 - log2));
            CHECK(p == 0 || idem__head_order(index) > last);
            CHECK_INT(idem__head_order(index) & 1, 0);
            last = idem__head_order(index);
            if (log2 < 18) { /* growth moves no head */
                CHECK_INT(idem__head_of(2 * p, log2 + 1), index);
            }
        }
    }
}

/* Death at each step of putting a head in; the next one who needs the bucket finishes it. */
static void a_dead_initialiser_is_replaced(void)
{
    enum { AFTER_INIT, AFTER_STORE, AFTER_LINK, STEPS };
    for (int step = 0; step < STEPS; step++) {
        unlink(test_path);
        idem_store *store = store_open_with(STORE_SMALL_BYTES, 0);
        char key[16];
        const uint32_t index = inside_put_behind_head(store, key), dead = inside_dead_owner(store);
        struct idem__op op = inside_begin(store);
        link_shm *head = idem__head_at(op.region, index);
        const uint64_t itself = (uint64_t)index << LINK_TARGET_SHIFT | LINK_HEAD;
        const uint64_t behind = idem__link_target(idem__load64(head));
        struct idem__position at;
        CHECK_INT(idem__list_find(&op, idem__head_at(op.region, 0), idem__head_order(index), &at),
                  IDEM_OK);
        CHECK_INT(idem__link_target(at.seen), itself);
        const uint64_t init = (uint64_t)(dead & LINK_OWNER_MASK) << LINK_OWNER_SHIFT | LINK_INIT;
        if (step != AFTER_LINK) { /* not in the list yet */
            idem__store64(at.link, (at.seen & ~LINK_TARGET_BITS) | behind);
        }
        /* What the dead one wrote before it came to link it may be out of date. */
        idem__store64(head, init | (step == AFTER_INIT ? 0 : behind));
        inside_end(&op);
        CHECK(has_value(store, key, "value"));
        CHECK_SOON(has_value(store, key, "value") && idem__load64(head) & LINK_READY);
        CHECK_INT(idem__link_target(idem__load64(head)), behind);
        CHECK(has_value(store, key, "value"));
        CHECK_INT(outcome_of(store, key), IDEM_DONE);
        store_end(store);
    }
}

/* While its initialiser lives nobody follows the head, and nobody waits for it. */
static void a_stopped_initialiser_is_not_waited_for(void)
{
    idem_store *store = store_open();
    char key[16];
    const uint32_t index = inside_put_behind_head(store, key);
    struct idem__op op = inside_begin(store);
    link_shm *head = idem__head_at(op.region, index);
    const uint64_t seen = idem__load64(head);
    /* This very process: another of its threads, stopped. */
    const uint64_t init =
        (uint64_t)(op.thread->owner & LINK_OWNER_MASK) << LINK_OWNER_SHIFT | LINK_INIT;
    idem__store64(head, init | idem__link_target(seen));
    inside_end(&op);
    CHECK(has_value(store, key, "value"));
    CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
    put(store, key, "another");
    CHECK(has_value(store, key, "another"));
    CHECK_INT(idem__load64(head) & LINK_READY, 0);
    idem__store64(head, LINK_READY | idem__link_target(idem__load64(head)));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(numbers_and_orders_agree),
                                    TEST(a_dead_initialiser_is_replaced),
                                    TEST(a_stopped_initialiser_is_not_waited_for),
                                    {0}});
}
