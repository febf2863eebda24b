/* The codecs of the life word and the block word: what goes in comes out, at the edges and at random. */
#include "word.h"

#include "life.h"
#include "test.h"

#define ROUNDS 100000

static void pending_words_keep_owner_attempt_and_lease(void)
{
    const uint32_t owners[] = {1, 2, UINT32_MAX - 1, UINT32_MAX};
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t owner = i < 4 ? owners[i] : (uint32_t)test_random();
        const uint32_t attempt = (uint32_t)(test_random() % (LIFE_ATTEMPT_MAX + 1));
        const uint32_t lease = (uint32_t)(test_random() & ((1u << 22) - 1));
        const uint64_t life = idem__life_pending(owner, attempt, lease);
        CHECK_INT(idem__life_state(life), LIFE_PENDING);
        CHECK_INT(idem__life_owner(life), owner);
        CHECK_INT(idem__life_attempt(life), attempt);
        CHECK_INT(idem__life_lease(life), lease);
        /* Renewing changes the lease alone. */
        const uint64_t other = (life & ~LIFE_LEASE_BITS) | (uint64_t)1 << 42;
        CHECK_INT(idem__life_owner(other), owner);
        CHECK_INT(idem__life_attempt(other), attempt);
        CHECK_INT(idem__life_lease(other), 1);
    }
}

static void orphaned_words_keep_attempt_and_since(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t since = i ? test_random() & LIFE_SINCE_MAX : LIFE_SINCE_MAX;
        const uint32_t attempt = (uint32_t)(test_random() % (LIFE_ATTEMPT_MAX + 1));
        const uint64_t life = idem__life_orphaned(attempt, since);
        CHECK_INT(idem__life_state(life), LIFE_ORPHANED);
        CHECK_INT(idem__life_attempt(life), attempt);
        CHECK_INT(idem__life_since_ms(life), since);
    }
    /* Too late to be written down is as late as can be, not early. */
    CHECK_INT(idem__life_since_ms(idem__life_orphaned(1, LIFE_SINCE_MAX + 1)), LIFE_SINCE_MAX);
}

static void done_words_keep_expiry_and_value(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t value = (uint32_t)test_random() >> 1;
        const uint32_t expires = (uint32_t)test_random() & LIFE_EXPIRES_NEVER;
        const uint64_t life = idem__life_done(expires, value), dead = idem__life_dead(life);
        CHECK_INT(idem__life_state(life), LIFE_DONE);
        CHECK_INT(idem__life_expires_s(life), expires);
        CHECK_INT(idem__life_value(life), value);
        CHECK_INT(idem__life_state(dead), LIFE_DEAD);
        CHECK_INT(idem__life_value(dead), value);
        CHECK((dead & LIFE_WIPE) == 0);
        CHECK_INT(idem__life_value(dead | LIFE_WIPE), value);
        CHECK_INT(idem__life_state(dead | LIFE_WIPE), LIFE_DEAD);
    }
    CHECK_INT(idem__life_value(idem__life_dead(idem__life_pending(UINT32_MAX, 127, 0))), 0);
}

static void leases_round_up_by_little(void)
{
    const uint64_t max_ms = (uint64_t)((1 << 18) - 1) << 15; /* 99 days */
    CHECK(idem__lease_encode(0) != 0);                       /* 0 is "no lease" */
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t ms = (test_random() % max_ms >> (i % 33)) + 1;
        const uint32_t lease = idem__lease_encode(ms);
        CHECK(lease != 0 && lease < 1u << 22);
        CHECK(idem__lease_decode(lease) >= ms);
        CHECK(idem__lease_decode(lease) - ms <= ms >> 17); /* of 18 bits the highest is set */
    }
    CHECK_INT(idem__lease_encode(2 * max_ms), 0);
}

static void expiry_is_never_early(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t now_ms = test_random() % ((uint64_t)1 << 38);
        const uint32_t ttl_s = (uint32_t)(test_random() % 1000000);
        const uint32_t at_s = idem__expires_s(now_ms, ttl_s);
        CHECK((uint64_t)at_s * 1000 >= now_ms + (uint64_t)ttl_s * 1000);
        CHECK((uint64_t)at_s * 1000 < now_ms + (uint64_t)ttl_s * 1000 + 1000);
        CHECK(!idem__past(now_ms + (uint64_t)ttl_s * 1000, at_s));
        CHECK(idem__past((uint64_t)at_s * 1000 + EXPIRY_MARGIN_MS, at_s));
        CHECK(!idem__past((uint64_t)at_s * 1000 + EXPIRY_MARGIN_MS - 1, at_s));
    }
    CHECK_INT(idem__expires_s(0, TTL_S_FOREVER), LIFE_EXPIRES_NEVER);
    CHECK_INT(idem__expires_s((uint64_t)LIFE_EXPIRES_NEVER * 1000, 5), LIFE_EXPIRES_NEVER);
}

static void block_words_keep_generation_and_argument(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t state = (uint32_t)i % 4, argument = (uint32_t)test_random();
        const uint32_t generation = (uint32_t)test_random() & BLOCK_GENERATION_MAX;
        const uint64_t word = idem__block_word(state, generation, argument);
        CHECK_INT(idem__block_state(word), state);
        CHECK_INT(idem__block_generation(word), generation);
        CHECK_INT(idem__block_arg(word), argument);
        CHECK_INT(idem__block_is(word, generation), state == BLOCK_TAKEN || state == BLOCK_LIVE);
        CHECK(!idem__block_is(word, generation ^ 1));
    }
    /* One more than the last is the first. */
    CHECK_INT(idem__block_generation(idem__block_word(BLOCK_FREE, BLOCK_GENERATION_MAX + 1, 0)), 0);
}

static void block_numbers_keep_slab_and_index(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const uint32_t slab = (uint32_t)test_random() % IDEM__SLABS_MAX;
        const uint32_t index = (uint32_t)test_random() & 0xffff;
        const uint32_t number = idem__block_number(slab, index);
        CHECK_INT(idem__block_slab(number), slab);
        CHECK_INT(idem__block_index(number), index);
        CHECK_INT(idem__life_value(idem__life_done(1, number)), number); /* 31 bits are enough */
    }
}

/* Only what has ended by itself expires: a claim never does. */
static void only_ended_records_expire(void)
{
    const uint64_t late_ms = LIFE_SINCE_MAX;
    struct record_shm record = {.ttl_s = 1, .grace_ms = 2500};
    CHECK(!idem__life_expired(&record, idem__life_pending(1, 1, 1), late_ms));
    CHECK(!idem__life_expired(&record, idem__life_dead(0), late_ms));
    CHECK(idem__life_expired(&record, idem__life_done(5, 1), late_ms));
    CHECK(!idem__life_expired(&record, idem__life_done(LIFE_EXPIRES_NEVER, 1), late_ms));
    /* An orphan is kept for the longer of its ttl and its grace, rounded up; a held one for ever. */
    const uint64_t orphan = idem__life_orphaned(1, 10000);
    CHECK(!idem__life_expired(&record, orphan, 13000 + EXPIRY_MARGIN_MS - 1));
    CHECK(idem__life_expired(&record, orphan, 13000 + EXPIRY_MARGIN_MS));
    CHECK(!idem__life_expired(&record, idem__life_orphaned(LIFE_ATTEMPT_MAX, 10000), late_ms));
    record.flags = RECORD_HOLD;
    CHECK(!idem__life_expired(&record, orphan, late_ms));
}

int main(void)
{
    return test_run((struct test[]){TEST(pending_words_keep_owner_attempt_and_lease),
                                    TEST(orphaned_words_keep_attempt_and_since),
                                    TEST(done_words_keep_expiry_and_value),
                                    TEST(leases_round_up_by_little),
                                    TEST(expiry_is_never_early),
                                    TEST(block_words_keep_generation_and_argument),
                                    TEST(block_numbers_keep_slab_and_index),
                                    TEST(only_ended_records_expire),
                                    {0}});
}
