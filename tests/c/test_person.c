/* forget, touch and resolve: what a person may do to a key, and what it leaves of the bytes. */
#include "inside.h"

static const char secret[] = "a secret that must not stay";

/* Does the text stand anywhere in the region's slabs? */
static bool stands_in_the_region(idem_store *store, const char *text)
{
    struct idem__op op = inside_begin(store);
    bool found = false;
    for (uint32_t slab = 1; slab < idem__slab_high(op.region) && !found; slab++) {
        if (idem__slab_state(idem__load64(&op.region->slab_table[slab].state)) == SLAB_ACTIVE) {
            found = memmem(idem__slab_base(op.region, slab), (size_t)1 << op.region->slab_shift,
                           text, strlen(text)) != NULL;
        }
    }
    inside_end(&op);
    return found;
}

static void forgetting_zeroes_key_intent_and_value(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("a key with a secret");
    struct idem_claim claim;
    request.intent = "an intent with a secret";
    request.intent_len = strlen(request.intent);
    request.fingerprint = "a fingerprint...";
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    complete_with(&claim, secret);
    CHECK(stands_in_the_region(store, secret));
    CHECK(stands_in_the_region(store, "a key with a secret"));
    CHECK_INT(idem_forget(store, request.key, request.key_len, 0), IDEM_OK);
    CHECK(!stands_in_the_region(store, "secret"));
    CHECK(!stands_in_the_region(store, "fingerprint"));
    CHECK_INT(idem_forget(store, request.key, request.key_len, 0), IDEM_ENOTFOUND);
    CHECK_INT(store_stats(store).record_blocks + store_stats(store).value_blocks, 0);
    store_end(store);
}

/* Killed after the word was DEAD and before anything was zeroed: the next one does it. */
static void a_killed_forget_is_finished_by_others(void)
{
    for (int by = 0; by < 3; by++) {
        unlink(test_path);
        idem_store *store = store_open();
        put(store, "key", secret);
        struct idem__op op = inside_begin(store);
        struct record_shm *record = inside_record(&op, "key");
        idem__store64(&record->life, idem__life_dead(idem__load64(&record->life)) | LIFE_WIPE);
        inside_end(&op);
        CHECK_INT(state_of(store, "key"), IDEM_ENOTFOUND);
        if (by == 0) {
            CHECK(idem_sweep(store, 0) >= 0);
        } else if (by == 1) {
            CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
        } else { /* the value's block is visited before the record's */
            op = inside_begin(store);
            struct idem__block value;
            CHECK(idem__block_at(op.region, idem__life_value(idem__load64(&record->life)),
                                 FAMILY_VALUE, &value));
            (void)idem__hand_visit(&op, &value, FAMILY_VALUE, idem__load64(value.word));
            inside_end(&op);
            CHECK(idem_sweep(store, 0) >= 0);
        }
        CHECK(!stands_in_the_region(store, secret));
        CHECK_INT(used_after_sweep(store) > 0, 1);
        CHECK_INT(store_stats(store).value_blocks, 0);
        store_end(store);
    }
}

/* The value's block went to another key before the forgotten record was visited. */
static void a_late_wipe_leaves_a_reused_value_alone(void)
{
    idem_store *store = store_open();
    put(store, "key", secret);
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "key");
    struct idem__block block = inside_block(&op, record), value = inside_value(&op, record), again;
    idem__store64(&record->life, idem__life_dead(idem__load64(&record->life)) | LIFE_WIPE);
    CHECK(idem__block_retire(&op, &value, idem__load64(value.word)));
    inside_end(&op);
    for (uint32_t i = 0; i < IDEM__GRACE; i++) {
        op = inside_begin(store);
        inside_end(&op);
        CHECK(idem__epoch_advance(op.region));
    }
    op = inside_begin(store);
    /* Its next user writes the bytes, while the header is still the old one. */
    CHECK(idem__block_at(op.region, value.number, FAMILY_VALUE, &again));
    CHECK(
        idem__block_take(&op, again.slab, again.word, idem__load64(again.word), &again.generation));
    char *bytes = again.content + sizeof(struct value_shm);
    memcpy(bytes, "new", 4);
    (void)idem__hand_visit(&op, &block, FAMILY_RECORD, idem__load64(block.word));
    CHECK(strcmp(bytes, "new") == 0);
    CHECK_INT(idem__block_state(idem__load64(again.word)), BLOCK_TAKEN);
    idem__block_give_back(&again);
    inside_end(&op);
    store_end(store);
}

static void forget_refuses_what_is_being_run(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_FAILS(idem_forget(store, "key", 3, 0), IDEM_EBUSY, "living");
    CHECK_INT(idem_forget(store, "key", 3, IDEM_FORCE), IDEM_OK);
    CHECK_INT(idem_complete(&claim, "late", 4, 0, 0), IDEM_ELOST);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
    store_end(store);
}

static int64_t left_of(idem_store *store, const char *key)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_lookup(store, key, strlen(key), &record), IDEM_OK);
    idem_record_free(&record);
    return record.expires_in_ms;
}

static void touch_sets_the_retention(void)
{
    idem_store *store = store_open();
    CHECK_INT(idem_touch(store, "key", 3, 1000), IDEM_ENOTFOUND);
    CHECK_INT(outcome_of(store, "busy"), IDEM_CLAIMED);
    CHECK_FAILS(idem_touch(store, "busy", 4, 1000), IDEM_EBUSY, "not completed");
    put(store, "key", "value");
    CHECK_INT(idem_touch(store, "key", 3, IDEM_FOREVER), IDEM_OK);
    CHECK_INT(left_of(store, "key"), IDEM_FOREVER);
    CHECK_INT(idem_touch(store, "key", 3, 3600000), IDEM_OK);
    CHECK(left_of(store, "key") > 3000000 && left_of(store, "key") <= 3602000);
    CHECK(has_value(store, "key", "value"));
    /* Shortened: gone, and its memory with it. */
    CHECK_INT(idem_touch(store, "key", 3, 1), IDEM_OK);
    CHECK_SOON(state_of(store, "key") == IDEM_ENOTFOUND);
    (void)used_after_sweep(store);
    CHECK_INT(store_stats(store).record_blocks, 1);
    CHECK_INT(store_stats(store).value_blocks, 0);
    store_end(store);
}

static void resolve_ends_orphans_only(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    CHECK_INT(idem_resolve(store, "key", 3, "v", 1, 0), IDEM_ENOTFOUND);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_FAILS(idem_resolve(store, "key", 3, "v", 1, 0), IDEM_EBUSY, "living");
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(idem_resolve(store, "key", 3, "by hand", 7, 0), IDEM_OK);
    CHECK(has_value(store, "key", "by hand"));
    CHECK(left_of(store, "key") > 86000000); /* the claim's own ttl, from now */
    CHECK_FAILS(idem_resolve(store, "key", 3, "v", 1, 0), IDEM_ENOTFOUND, "done");
    CHECK_INT(claim_key(store, "other", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(idem_resolve(store, "other", 5, NULL, 0, 0), IDEM_OK);
    CHECK_INT(outcome_of(store, "other"), IDEM_CLAIMED);
    /* Done without a value is not forgotten. */
    CHECK_INT(claim_key(store, "third", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(idem_resolve(store, "third", 5, NULL, 0, IDEM_FOREVER), IDEM_OK);
    CHECK(has_value(store, "third", ""));
    CHECK_INT(left_of(store, "third"), IDEM_FOREVER);
    CHECK_INT(store_stats(store).value_blocks, 1);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(forgetting_zeroes_key_intent_and_value),
                                    TEST(a_killed_forget_is_finished_by_others),
                                    TEST(a_late_wipe_leaves_a_reused_value_alone),
                                    TEST(forget_refuses_what_is_being_run),
                                    TEST(touch_sets_the_retention),
                                    TEST(resolve_ends_orphans_only),
                                    {0}});
}
