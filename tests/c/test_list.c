/* The ordered list: where records go in, how they leave, and that a marked one counts until it is out. */
#include "list.h"

#include "bucket.h"
#include "inside.h"

static void keys_are_found_in_any_order_of_insertion(void)
{
    enum { KEYS = 2000 };
    idem_store *store = store_open();
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i * 7 % KEYS);
        put(store, key, key);
    }
    struct idem__op op = inside_begin(store);
    /* All in one list, from the first head to the end: orders ascend. */
    uint64_t last = 0, records = 0;
    for (uint64_t link = idem__load64(idem__list_start(&op, 1)); idem__link_target(link) != 0;) {
        if (link & LINK_HEAD) {
            const uint32_t index = idem__head_index(idem__link_target(link));
            CHECK(idem__head_order(index) > last);
            last = idem__head_order(index);
            link = idem__load64(idem__head_at(op.region, index));
            continue;
        }
        const struct record_shm *record = idem__record_at(op.region, idem__link_target(link));
        CHECK(record != NULL && record->order > last);
        last = record->order;
        records++;
        link = idem__load64(&record->link);
    }
    CHECK_INT(records, KEYS);
    inside_end(&op);
    store_end(store);
}

/* A new record of a key goes before the run's first node: that is where all claimants meet. */
static void a_new_record_goes_before_the_dead_one(void)
{
    idem_store *store = store_open();
    put(store, "key", "old");
    struct idem__op op = inside_begin(store);
    struct record_shm *old = inside_record(&op, "key");
    const uint64_t life = idem__load64(&old->life);
    idem__store64(&old->life, idem__life_dead(life)); /* killed before it buried the record */
    inside_end(&op);
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    op = inside_begin(store);
    struct record_shm *new = inside_record(&op, "key");
    CHECK(new != old);
    CHECK(new->created_ns > old->created_ns);
    bool found = true;
    CHECK_INT(idem__list_contains(&op, old, &found), IDEM_OK);
    CHECK(!found); /* the claim buried it */
    inside_end(&op);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    CHECK_INT(store_stats(store).value_blocks, 0);
    store_end(store);
}

static void inserting_at_a_changed_link_fails(void)
{
    idem_store *store = store_open();
    CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
    struct idem__op op = inside_begin(store);
    const uint64_t order = inside_order(&op, "key");
    struct record_shm *record = inside_record(&op, "key"), copy = *record;
    struct idem__position at;
    CHECK_INT(idem__list_find(&op, idem__list_start(&op, order), order, &at), IDEM_OK);
    CHECK(at.record == record);
    CHECK_INT(idem__list_remove(&op, record), IDEM_OK);
    CHECK(!idem__list_insert(&op, &at, &copy));
    /* Nor does one whose predecessor is marked. */
    CHECK_INT(idem__list_find(&op, idem__list_start(&op, order), order, &at), IDEM_OK);
    CHECK(at.record != record);
    idem__poke64(&record->link, idem__load64(&record->link) & ~(uint64_t)LINK_MARK);
    CHECK(idem__list_insert(&op, &at, record));
    CHECK(inside_record(&op, "key") == record);
    inside_end(&op);
    store_end(store);
}

/* Two records of one key, the older one marked by a process that was killed before it unlinked it. */
static void a_marked_record_counts_until_it_is_unlinked(void)
{
    idem_store *store = store_open();
    CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
    struct idem__op op = inside_begin(store);
    struct record_shm *old = inside_record(&op, "key");
    struct idem__block block = inside_block(&op, old);
    idem__store64(&old->life, idem__life_dead(0));
    inside_end(&op);
    const uint32_t dead = inside_dead_owner(store);
    /* What claim does, up to the insertion: then marking, and the end. */
    op = inside_begin(store);
    struct idem__block fresh;
    for (uint32_t index = 0;; index++) {
        CHECK(idem__block_at(op.region, idem__block_number(idem__block_slab(block.number), index),
                             FAMILY_RECORD, &fresh));
        if (idem__block_take(&op, fresh.slab, fresh.word, idem__load64(fresh.word),
                             &fresh.generation) &&
            fresh.number != block.number) {
            break;
        }
    }
    struct record_shm *new = (struct record_shm *)(void *)fresh.content;
    memcpy(new, old, block.klass->block_bytes);
    idem__store64(&new->life, idem__life_pending(op.thread->owner, 1, 0));
    struct idem__position at;
    CHECK_INT(idem__list_find(&op, idem__list_start(&op, old->order), old->order, &at), IDEM_OK);
    CHECK(idem__list_insert(&op, &at, new));
    idem__block_publish(&fresh, BLOCK_BOUND_NEVER - 1);
    idem__store64(&old->link, idem__load64(&old->link) | LINK_MARK);
    /* Its claimer, too, died before it said LIVE. */
    idem__store64(block.word, idem__block_word(BLOCK_TAKEN, block.generation, dead));
    CHECK_INT(idem__link_target(idem__load64(&new->link)), idem__link_to(op.region, old));
    for (int visits = 0; visits < 3; visits++) {
        const uint64_t word = idem__load64(block.word);
        if (idem__block_state(word) == BLOCK_LIVE || idem__block_state(word) == BLOCK_TAKEN) {
            (void)idem__hand_visit(&op, &block, FAMILY_RECORD, word);
        }
    }
    CHECK_INT(idem__block_state(idem__load64(block.word)), BLOCK_RETIRED);
    /* Retired is unlinked. */
    CHECK(idem__link_target(idem__load64(&new->link)) != idem__link_to(op.region, old));
    inside_end(&op);
    CHECK_INT(outcome_of(store, "key"), IDEM_BUSY);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(keys_are_found_in_any_order_of_insertion),
                                    TEST(a_new_record_goes_before_the_dead_one),
                                    TEST(inserting_at_a_changed_link_fails),
                                    TEST(a_marked_record_counts_until_it_is_unlinked),
                                    {0}});
}
