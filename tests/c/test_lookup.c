/* Lookups: what they tell of each state, that they write nothing, and waiting without a claim. */
#include "inside.h"
#include "report.h"

static void each_state_is_told(void)
{
    static const uint8_t fingerprint[IDEM_FINGERPRINT_SIZE] = "a fingerprint..";
    idem_store *store = store_open();
    struct idem_record record;
    struct idem_claim claim;
    idem_record_init(&record, sizeof(record));
    CHECK_FAILS(idem_lookup(store, "key", 3, &record), IDEM_ENOTFOUND, "not in the store");
    struct idem_request request = request_of("key");
    request.fingerprint = fingerprint;
    request.intent = "intent";
    request.intent_len = 6;
    request.lease_ms = 1000000;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_lookup(store, "key", 3, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_PENDING);
    CHECK_INT(record.id, claim.record.id);
    CHECK_INT(record.attempt, 1);
    CHECK_INT(record.has_fingerprint, 1);
    CHECK(memcmp(record.fingerprint, fingerprint, sizeof(fingerprint)) == 0);
    CHECK(record.lease_left_ms > 0 && record.lease_left_ms <= 1010000);
    CHECK_INT(record.done_age_ms, -1);
    CHECK(has_bytes(record.intent, record.intent_len, "intent"));
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(idem_lookup(store, "key", 3, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_ORPHANED);
    CHECK_INT(record.held, 0);
    CHECK_INT(record.lease_left_ms, -1);
    CHECK(has_bytes(record.intent, record.intent_len, "intent"));
    CHECK_INT(claim_with(store, &request, &claim), IDEM_RECLAIMED);
    complete_with(&claim, "value");
    CHECK_INT(idem_lookup(store, "key", 3, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_DONE);
    CHECK_INT(record.kept, 1);
    CHECK_INT(record.has_fingerprint, 1);
    CHECK_INT(record.intent_len, 0);
    CHECK(record.age_ms >= record.done_age_ms && record.done_age_ms >= 0);
    CHECK(has_bytes(record.value, record.value_len, "value"));
    idem_record_free(&record);
    store_end(store);
}

/* What an earlier look found does not shine through the next one, in one call or in two. */
static void records_are_told_afresh(void)
{
    idem_store *store = store_open();
    struct idem_request request = request_of("held");
    struct idem_claim claim;
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    request.flags = IDEM_HOLD;
    request.intent = "intent";
    request.intent_len = 6;
    request.lease_ms = 1000000;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    struct idem__op op = inside_begin(store);
    struct record_shm *held = inside_record(&op, "held");
    struct idem__report report = {.out = &record};
    const uint64_t pending = idem__load64(&held->life),
                   orphaned = idem__life_orphaned(1, op.now_ms);
    const uint64_t done = idem__life_done(LIFE_EXPIRES_NEVER, LIFE_VALUE_EMPTY);
    char buffer[100];
    record.buffer = buffer;
    record.buffer_size = sizeof(buffer);
    /* The life word is no longer what the fill was begun with. */
    CHECK_INT(idem__report_fill(&op, held, &(struct idem__look){.life = orphaned}, true, &report),
              REPORT_AGAIN);
    CHECK_INT(idem__report_fill(&op, held, &(struct idem__look){.life = pending}, true, &report),
              IDEM_OK);
    CHECK_INT(record.held, 0);
    CHECK(record.lease_left_ms > 0);
    idem__store64(&held->life, done);
    CHECK_INT(idem__report_fill(&op, held, &(struct idem__look){.life = done}, true, &report),
              IDEM_OK);
    CHECK_INT(record.lease_left_ms, -1);
    CHECK_INT(record.intent_len, 0);
    inside_end(&op);
    CHECK_INT(idem_lookup(store, "nothing", 7, &record), IDEM_ENOTFOUND);
    CHECK_INT(record.state, 0);
    CHECK_INT(record.id, 0);
    store_end(store);
}

/* But for the bucket heads, which whoever comes first puts in. */
static void a_lookup_writes_nothing(void)
{
    idem_store *store = store_open();
    put(store, "key", "value");
    CHECK_INT(outcome_of(store, "busy"), IDEM_CLAIMED);
    CHECK_INT(state_of(store, "key"), IDEM_STATE_DONE);
    CHECK_INT(state_of(store, "busy"), IDEM_STATE_PENDING);
    struct idem__op op = inside_begin(store);
    const size_t bytes = (size_t)1 << op.region->slab_shift;
    const uint32_t high = idem__slab_high(op.region);
    inside_end(&op);
    char *before = malloc(bytes);
    for (uint32_t slab = 0; slab < high; slab++) {
        const char *base = idem__slab_base(op.region, slab);
        memcpy(before, base, bytes);
        CHECK_INT(state_of(store, "key"), IDEM_STATE_DONE);
        CHECK_INT(state_of(store, "busy"), IDEM_STATE_PENDING);
        CHECK(memcmp(before, base, bytes) == 0);
    }
    free(before);
    store_end(store);
}

static void wait_returns_what_is_not_being_run(void)
{
    idem_store *store = store_open();
    struct idem_record record;
    struct idem_claim claim;
    idem_record_init(&record, sizeof(record));
    CHECK_INT(idem_wait(store, "key", 3, 10000, &record), IDEM_ENOTFOUND);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_FAILS(idem_wait(store, "key", 3, 20, &record), IDEM_ETIMEDOUT, "20");
    CHECK_INT(idem_wait(store, "key", 3, 0, &record), IDEM_ETIMEDOUT);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(idem_wait(store, "key", 3, 10000, &record), IDEM_OK);
    CHECK_INT(record.state, IDEM_STATE_ORPHANED);
    CHECK_INT(claim_key(store, "key", &claim), IDEM_RECLAIMED);
    complete_with(&claim, "v");
    CHECK_INT(idem_wait(store, "key", 3, 10000, &record), IDEM_OK);
    CHECK(has_bytes(record.value, record.value_len, "v"));
    idem_record_free(&record);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(each_state_is_told),
                                    TEST(records_are_told_afresh),
                                    TEST(a_lookup_writes_nothing),
                                    TEST(wait_returns_what_is_not_being_run),
                                    {0}});
}
