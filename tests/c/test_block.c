/* Blocks and slabs: each change of hands is one step, tokens of the past never fit, the dead leave nothing. */
#include "block.h"

#include "inside.h"

static void advance_past_grace(idem_store *store)
{
    struct idem__op op;
    CHECK_INT(idem__call_begin(store, true, &op), IDEM_OK);
    for (uint32_t i = 0; i < IDEM__GRACE; i++) {
        CHECK(idem__epoch_advance(op.region));
    }
    idem__call_end(&op);
}

/* The word of a record's block through claim, completion, forgetting and reuse. */
static void a_block_goes_round(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    struct idem__op op = inside_begin(store);
    const struct idem__block block = inside_block(&op, inside_record(&op, "key"));
    CHECK_INT(block.number, claim.block);
    CHECK_INT(block.generation, claim.generation);
    CHECK_INT(idem__block_state(idem__load64(block.word)), BLOCK_LIVE);
    inside_end(&op);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    CHECK_INT(idem__block_state(idem__load64(block.word)), BLOCK_RETIRED);
    CHECK_INT(idem__block_generation(idem__load64(block.word)), block.generation);
    advance_past_grace(store);
    op = inside_begin(store);
    uint32_t generation = 0;
    const uint64_t retired = idem__load64(block.word);
    CHECK(idem__block_take(&op, block.slab, block.word, retired, &generation));
    CHECK_INT(generation, block.generation + 1);
    CHECK(!idem__block_take(&op, block.slab, block.word, retired, &generation)); /* one wins */
    struct idem__block mine = block;
    mine.generation = block.generation + 1;
    idem__block_give_back(&mine);
    CHECK_INT(idem__block_state(idem__load64(block.word)), BLOCK_FREE);
    inside_end(&op);
    store_end(store);
}

/* Every place of a slab: what begins there, and that nothing else does. */
static void only_block_beginnings_are_blocks(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    put(store, "key", "value");
    struct idem__op op = inside_begin(store);
    const uint64_t slab_bytes = (uint64_t)1 << op.region->slab_shift;
    for (uint32_t slab = 0; slab < idem__slab_high(op.region); slab++) {
        const uint64_t state = idem__load64(&op.region->slab_table[slab].state);
        const bool active = idem__slab_state(state) == SLAB_ACTIVE;
        uint32_t found = 0;
        for (uint64_t offset = 0; offset < slab_bytes; offset++) {
            struct idem__block block, other;
            const char *content = idem__slab_base(op.region, slab) + offset;
            if (idem__block_of(op.region, content, idem__slab_family(state), &block)) {
                CHECK(active && block.content == content);
                CHECK(idem__block_at(op.region, block.number, idem__slab_family(state), &other));
                CHECK(other.content == content && other.word == block.word);
                CHECK(!idem__block_of(op.region, content, !idem__slab_family(state), &other));
                found++;
            }
        }
        CHECK_INT(found, active ? op.region->classes[idem__slab_class(state)].count : 0);
    }
    struct idem__block block;
    CHECK(!idem__block_at(op.region, UINT32_MAX, FAMILY_RECORD, &block));
    CHECK(!idem__block_at(op.region, 0, FAMILY_VALUE, &block)); /* the index chunk */
    inside_end(&op);
    store_end(store);
}

/* Killed between taking a block and publishing it, with or without having linked it. */
static void taken_blocks_of_the_dead_are_finished(void)
{
    idem_store *store = store_open();
    put(store, "linked", "value");
    put(store, "dropped", "value");
    const uint32_t dead = inside_dead_owner(store);
    struct idem__op op = inside_begin(store);
    struct record_shm *linked = inside_record(&op, "linked"),
                      *dropped = inside_record(&op, "dropped");
    const struct idem__block blocks[4] = {inside_block(&op, linked), inside_value(&op, linked),
                                          inside_block(&op, dropped), inside_value(&op, dropped)};
    idem__store64(&dropped->life, idem__life_dead(0));
    CHECK_INT(idem__list_remove(&op, dropped), IDEM_OK);
    for (int i = 0; i < 4; i++) {
        idem__store64(blocks[i].word, idem__block_word(BLOCK_TAKEN, blocks[i].generation, dead));
    }
    inside_end(&op);
    CHECK_SOON(idem_sweep(store, 0) >= 0 &&
               idem__block_state(idem__load64(blocks[3].word)) != BLOCK_TAKEN);
    CHECK_INT(idem__block_state(idem__load64(blocks[0].word)), BLOCK_LIVE);
    CHECK_INT(idem__block_state(idem__load64(blocks[1].word)), BLOCK_LIVE);
    CHECK(idem__block_state(idem__load64(blocks[2].word)) != BLOCK_LIVE);
    CHECK(idem__block_state(idem__load64(blocks[3].word)) != BLOCK_LIVE);
    CHECK(has_value(store, "linked", "value"));
    store_end(store);
}

/* A word that says TAKEN was loaded; its owner gave the block back, and died; another's value is there now. */
static void a_late_look_at_the_dead_leaves_a_reused_value_alone(void)
{
    idem_store *store = store_open();
    put(store, "key", "value");
    const uint32_t dead = inside_dead_owner(store);
    struct idem__op op = inside_begin(store);
    struct idem__block block;
    CHECK_INT(idem__block_alloc(&op, FAMILY_VALUE, 64, BLOCK_BOUND_NEVER, &block), IDEM_OK);
    char *bytes = block.content + sizeof(struct value_shm);
    memcpy(bytes, "new", 4);
    struct idem__block seen = block;
    const uint64_t late = idem__block_word(BLOCK_TAKEN, block.generation - 1, dead);
    CHECK(!idem__hand_visit(&op, &seen, FAMILY_VALUE, late));
    CHECK(strcmp(bytes, "new") == 0);
    CHECK_INT(idem__block_state(idem__load64(block.word)), BLOCK_TAKEN);
    idem__block_give_back(&block);
    inside_end(&op);
    store_end(store);
}

/* But of the living nobody touches what is TAKEN. */
static void taken_blocks_of_the_living_stay(void)
{
    idem_store *store = store_open();
    put(store, "key", "value");
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "key");
    const struct idem__block value = inside_value(&op, record);
    idem__store64(&record->life, idem__life_dead(0)); /* names it no more */
    const uint64_t taken = idem__block_word(BLOCK_TAKEN, value.generation, op.thread->owner);
    idem__store64(value.word, taken);
    inside_end(&op);
    for (int i = 0; i < 3; i++) {
        CHECK(idem_sweep(store, 0) >= 0);
        CHECK_INT(idem__load64(value.word), taken);
    }
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_block_goes_round),
                                    TEST(only_block_beginnings_are_blocks),
                                    TEST(taken_blocks_of_the_dead_are_finished),
                                    TEST(a_late_look_at_the_dead_leaves_a_reused_value_alone),
                                    TEST(taken_blocks_of_the_living_stay),
                                    {0}});
}
