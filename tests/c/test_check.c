/* Each invariant is broken once: check names it. And damage ends walks with IDEM_ECORRUPT, never with a hang. */
#include "bucket.h"
#include "inside.h"

/* A store with a done key with a value, "key", and a claimed one, "claimed". */
static idem_store *begin(void)
{
    idem_store *store = store_open();
    put(store, "key", "a value");
    CHECK_INT(outcome_of(store, "claimed"), IDEM_CLAIMED);
    store_check(store);
    return store;
}

static void check_names(idem_store *store, const char *invariant)
{
    struct idem_report report = {.size = sizeof(report)};
    CHECK_INT(idem_check(store, &report), IDEM_ECORRUPT);
    CHECK(report.violations > 0);
    CHECK(strstr(idem_last_error(), report.first) != NULL);
    if (strncmp(report.first, invariant, strlen(invariant)) != 0) {
        TEST_FAIL("expected %s, but check says: %s", invariant, report.first);
    }
}

static void a_sound_store_is_counted(void)
{
    idem_store *store = begin();
    struct idem_report report = {.size = sizeof(report)};
    CHECK_INT(idem_check(store, &report), IDEM_OK);
    CHECK_INT(report.records, 2);
    CHECK_INT(report.values, 1);
    CHECK(report.heads >= 1);
    CHECK_INT(report.violations, 0);
    CHECK_INT(report.first[0], 0);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void an_impossible_life_word(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "claimed");
    const uint64_t life = idem__load64(&record->life);
    idem__store64(&record->life, 7);
    inside_end(&op);
    check_names(store, "I-STATE");
    idem__store64(&record->life, idem__life_pending(UINT32_MAX - 7, 1, 0)); /* never issued */
    check_names(store, "I-STATE");
    struct idem_claim claim = no_claim();
    const struct idem_request request = request_of("claimed");
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_ECORRUPT, "damaged");
    CHECK_INT(claim.outcome, 0);
    idem__store64(&record->life, life);
    store_end(store);
}

static void an_impossible_block_word(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    const struct idem__block block = inside_block(&op, inside_record(&op, "key"));
    const uint64_t word = idem__load64(block.word);
    inside_end(&op);
    idem__store64(block.word, word | 7);
    check_names(store, "I-STATE");
    idem__store64(block.word, idem__block_word(BLOCK_TAKEN, block.generation, UINT32_MAX - 7));
    check_names(store, "I-STATE");
    idem__store64(block.word, word);
    store_end(store);
}

static void an_impossible_slab_word(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    const uint32_t high = idem__slab_high(op.region);
    struct slab_shm *entry = &op.region->slab_table[high - 1];
    const uint64_t state = idem__load64(&entry->state);
    inside_end(&op);
    idem__store64(&entry->state, state | 7);
    check_names(store, "I-");
    idem__store64(&entry->state, state);
    store_end(store);
}

static void a_record_that_was_written_over(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "key");
    inside_end(&op);
    record->ttl_s ^= 1;
    check_names(store, "I-SUM");
    record->ttl_s ^= 1;
    store_check(store);
    record->intent_len = UINT32_MAX; /* beyond its slab */
    check_names(store, "I-SUM");
    record->intent_len = 0;
    store_end(store);
}

static void a_record_that_is_not_in_the_list(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "key");
    CHECK_INT(idem__list_remove(&op, record), IDEM_OK);
    inside_end(&op);
    check_names(store, "I-LINKED");
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void a_record_in_the_list_whose_block_is_free(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    const struct idem__block block = inside_block(&op, inside_record(&op, "key"));
    const uint64_t word = idem__load64(block.word);
    inside_end(&op);
    idem__store64(block.word, idem__block_word(BLOCK_FREE, block.generation, 0));
    check_names(store, "I-OWNED");
    idem__store64(block.word, idem__block_word(BLOCK_RETIRED, block.generation, 0));
    check_names(store, "I-OWNED");
    idem__store64(block.word, word);
    store_end(store);
}

/* The second record of a key, put in as by a claim that did not see the first. */
static void a_key_with_two_records(void)
{
    idem_store *store = begin();
    put(store, "yek", "another"); /* of the same class */
    struct idem__op op = inside_begin(store);
    struct record_shm *first = inside_record(&op, "key"), *second = inside_record(&op, "yek");
    struct idem__position at;
    CHECK_INT(idem__list_remove(&op, second), IDEM_OK);
    second->order = first->order;
    memcpy(idem__record_key(second), idem__record_key(first), 8);
    second->checksum = idem__record_checksum(second);
    CHECK_INT(idem__list_find(&op, idem__list_start(&op, first->order), first->order, &at),
              IDEM_OK);
    CHECK(at.record == first && idem__list_insert(&op, &at, second));
    inside_end(&op);
    check_names(store, "I-UNIQUE");
    CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    store_end(store);
}

static void a_value_of_another_record(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "key");
    struct value_shm *value = (struct value_shm *)(void *)inside_value(&op, record).content;
    const uint64_t life = idem__load64(&record->life);
    inside_end(&op);
    struct idem_record out;
    idem_record_init(&out, sizeof(out));
    value->record_generation ^= 1;
    check_names(store, "I-VALUE");
    CHECK_FAILS(idem_lookup(store, "key", 3, &out), IDEM_ECORRUPT, "damaged");
    value->record_generation ^= 1;
    value->length_completed |= VALUE_LENGTH_MAX; /* longer than its block */
    check_names(store, "I-VALUE");
    CHECK_FAILS(idem_lookup(store, "key", 3, &out), IDEM_ECORRUPT, "damaged");
    /* A number that is no block's. */
    idem__store64(&record->life, idem__life_done(idem__life_expires_s(life), UINT32_MAX >> 1));
    check_names(store, "I-VALUE");
    CHECK_FAILS(idem_lookup(store, "key", 3, &out), IDEM_ECORRUPT, "damaged");
    CHECK_INT(idem_close(store), IDEM_OK);
}

/* The link that leads to a record. */
static link_shm *link_before(struct idem__op *op, const struct record_shm *record)
{
    struct idem__position at;
    CHECK_INT(idem__list_find(op, idem__list_start(op, record->order), record->order, &at),
              IDEM_OK);
    CHECK(at.record == record);
    return at.link;
}

/* Every call on the key: an error or not, but an end. */
static void calls_end(idem_store *store, const char *key)
{
    struct idem_record record;
    struct idem_claim claim = no_claim();
    const struct idem_request request = request_of(key);
    idem_record_init(&record, sizeof(record));
    (void)idem_lookup(store, key, strlen(key), &record);
    (void)idem_claim(store, &request, &claim);
    (void)idem_forget(store, key, strlen(key), 0);
    (void)idem_touch(store, key, strlen(key), 1000);
    (void)idem_resolve(store, key, strlen(key), NULL, 0, 0);
    (void)idem_sweep(store, 0);
    uint64_t cursor = 0;
    while (idem_scan(store, &cursor, &record) == IDEM_OK) {
    }
    idem_record_free(&record);
    idem_record_free(&claim.record);
}

static void a_link_that_leads_nowhere(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    link_shm *link = link_before(&op, inside_record(&op, "key"));
    const uint64_t seen = idem__load64(link);
    inside_end(&op);
    const uint64_t targets[] = {(uint64_t)UINT32_MAX << LINK_TARGET_SHIFT,
                                ((uint64_t)UINT32_MAX << LINK_TARGET_SHIFT) | LINK_HEAD,
                                (uint64_t)1 << LINK_TARGET_SHIFT};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        idem__store64(link, (seen & ~LINK_TARGET_BITS) | targets[i]);
        check_names(store, "I-");
        struct idem_record record;
        idem_record_init(&record, sizeof(record));
        if ((targets[i] & LINK_HEAD) == 0) { /* a head that stands behind the key is not followed */
            CHECK_FAILS(idem_lookup(store, "key", 3, &record), IDEM_ECORRUPT, "damaged");
        }
        calls_end(store, "key");
    }
    CHECK_INT(idem_close(store), IDEM_OK);
}

/* Into the middle of a block. */
static void a_link_beside_a_block(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    link_shm *link = link_before(&op, inside_record(&op, "key"));
    inside_end(&op);
    idem__store64(link, idem__load64(link) + ((uint64_t)1 << LINK_TARGET_SHIFT));
    check_names(store, "I-");
    calls_end(store, "key");
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void orders_that_decrease(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    struct record_shm *record = inside_record(&op, "key");
    inside_end(&op);
    record->order = 1;
    check_names(store, "I-");
    calls_end(store, "key");
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void a_run_that_goes_round(void)
{
    for (int state = LIFE_DONE; state <= LIFE_DEAD; state++) {
        unlink(test_path);
        idem_store *store = begin();
        struct idem__op op = inside_begin(store);
        struct record_shm *record = inside_record(&op, "key");
        idem__store64(&record->link, idem__link_to(op.region, record));
        if (state == LIFE_DEAD) {
            idem__store64(&record->life, idem__life_dead(0));
        }
        inside_end(&op);
        check_names(store, "I-");
        calls_end(store, "key");
        CHECK_INT(idem_close(store), IDEM_OK);
    }
}

static void a_head_that_links_to_itself(void)
{
    idem_store *store = begin();
    char key[16];
    const uint32_t index = inside_put_behind_head(store, key);
    struct idem__op op = inside_begin(store);
    link_shm *head = idem__head_at(op.region, index);
    inside_end(&op);
    idem__store64(head, LINK_READY | LINK_HEAD | (uint64_t)index << LINK_TARGET_SHIFT);
    check_names(store, "I-");
    calls_end(store, key);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void the_first_head_lost(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    link_shm *head = idem__head_at(op.region, 0);
    inside_end(&op);
    idem__store64(head, 0);
    check_names(store, "I-");
    calls_end(store, "key");
    calls_end(store, "a key of another bucket");
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void a_head_that_is_not_in_the_list(void)
{
    idem_store *store = begin();
    char key[16];
    const uint32_t index = inside_put_behind_head(store, key);
    struct idem__op op = inside_begin(store);
    /* Stepped over, in the list, by the link that leads to it. */
    struct idem__position at;
    CHECK_INT(idem__list_find(&op, idem__head_at(op.region, 0), idem__head_order(index), &at),
              IDEM_OK);
    CHECK_INT(idem__link_target(at.seen), (uint64_t)index << LINK_TARGET_SHIFT | LINK_HEAD);
    const uint64_t past = idem__link_target(idem__load64(idem__head_at(op.region, index)));
    idem__store64(at.link, (at.seen & ~LINK_TARGET_BITS) | past);
    inside_end(&op);
    check_names(store, "I-HEAD");
    idem__store64(at.link, at.seen);
    store_end(store);
}

static void absurd_numbers_in_the_header(void)
{
    idem_store *store = begin();
    struct idem__op op = inside_begin(store);
    struct header_shm *header = op.region->header;
    idem__a32 *chunk = &op.region->chunks[0];
    inside_end(&op);
    idem__store32(&header->buckets_log2, 63);
    check_names(store, "I-");
    calls_end(store, "key");
    idem__store32(&header->buckets_log2, IDEM__BUCKETS_LOG2_START);
    idem__store32(chunk, UINT32_MAX);
    calls_end(store, "a key");
    idem__store32(chunk, IDEM__FIRST_CHUNK);
    store_end(store);
}

/* Bytes of the region are changed at random: calls end, and nothing is read outside (AddressSanitizer). */
static void damage_at_random(void)
{
    enum { ROUNDS = 300, KEYS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        unlink(test_path);
        idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
        for (int i = 0; i < KEYS; i++) {
            char key[16];
            snprintf(key, sizeof(key), "key %d", i);
            put(store, key, key);
        }
        struct idem__op op = inside_begin(store);
        char *words = idem__slab_base(op.region, 0);
        const uint64_t bytes = (uint64_t)idem__slab_high(op.region) << op.region->slab_shift;
        inside_end(&op);
        /* Words that are in use: damage to the others shows nowhere. */
        for (int changed = 0; changed < 3;) {
            idem__a64 *word = (idem__a64 *)(void *)(words + test_random() % (bytes / 8) * 8);
            if (idem__load64(word) != 0) {
                idem__store64(word, idem__load64(word) ^ (uint64_t)1 << test_random() % 64);
                changed++;
            }
        }
        struct idem_report report = {.size = sizeof(report)};
        (void)idem_check(store, &report);
        for (int i = 0; i < KEYS; i++) {
            char key[16];
            snprintf(key, sizeof(key), "key %d", i);
            calls_end(store, key);
        }
        CHECK_INT(idem_close(store), IDEM_OK);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(a_sound_store_is_counted),
                                    TEST(an_impossible_life_word),
                                    TEST(an_impossible_block_word),
                                    TEST(an_impossible_slab_word),
                                    TEST(a_record_that_was_written_over),
                                    TEST(a_record_that_is_not_in_the_list),
                                    TEST(a_record_in_the_list_whose_block_is_free),
                                    TEST(a_key_with_two_records),
                                    TEST(a_value_of_another_record),
                                    TEST(a_link_that_leads_nowhere),
                                    TEST(a_link_beside_a_block),
                                    TEST(orders_that_decrease),
                                    TEST(a_run_that_goes_round),
                                    TEST(a_head_that_links_to_itself),
                                    TEST(the_first_head_lost),
                                    TEST(a_head_that_is_not_in_the_list),
                                    TEST(absurd_numbers_in_the_header),
                                    TEST(damage_at_random),
                                    {0}});
}
