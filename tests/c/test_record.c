/* The bytes of records and values: copying by words, padding, where the parts stand, the checksum. */
#include "record.h"

#include "test.h"

#define ROUNDS 20000

/* At every length and any alignment of the caller's side. */
static void bytes_come_back_as_they_went_in(void)
{
    enum { LARGEST = 300 };
    for (int round = 0; round < ROUNDS; round++) {
        idem__a64 stored[LARGEST / 8 + 3];
        uint8_t from[LARGEST + 8], to[LARGEST + 16];
        const size_t length = test_random() % (LARGEST + 1), shift = test_random() % 8;
        for (size_t i = 0; i < length; i++) {
            from[shift + i] = (uint8_t)test_random();
        }
        memset((void *)stored, 0xaa, sizeof(stored));
        memset(to, 0xbb, sizeof(to));
        const size_t words = (length + 7) / 8;
        CHECK(idem__put_bytes(stored + 1, from + shift, length) == stored + 1 + words);
        CHECK_INT(idem__peek64(&stored[0]), 0xaaaaaaaaaaaaaaaa);
        CHECK_INT(idem__peek64(&stored[1 + words]), 0xaaaaaaaaaaaaaaaa);
        if (length % 8) { /* padded with zeros */
            CHECK_INT(idem__peek64(&stored[words]) >> (8 * (length % 8)), 0);
        }
        idem__get_bytes(to + shift, stored + 1, length);
        CHECK(memcmp(to + shift, from + shift, length) == 0);
        CHECK_INT(to[shift + length], 0xbb);
        CHECK(idem__same_bytes(stored + 1, from + shift, length));
        if (length > 0) {
            from[shift + test_random() % length] ^= (uint8_t)(1u << test_random() % 8);
            CHECK(!idem__same_bytes(stored + 1, from + shift, length));
        }
        idem__zero_bytes(stored + 1, length);
        for (size_t i = 0; i < words; i++) {
            CHECK_INT(idem__peek64(&stored[1 + i]), 0);
        }
        CHECK_INT(idem__peek64(&stored[1 + words]), 0xaaaaaaaaaaaaaaaa);
    }
}

static void parts_follow_each_other(void)
{
    union {
        struct record_shm record;
        uint64_t room[512];
    } block = {.record = {0}};
    struct record_shm *record = &block.record;
    for (uint16_t key_len = 1; key_len <= IDEM_KEY_MAX; key_len++) {
        for (uint16_t flags = 0; flags <= RECORD_FINGERPRINT; flags += RECORD_FINGERPRINT) {
            record->key_len = key_len;
            record->flags = flags;
            const char *base = (const char *)record, *key = (const char *)idem__record_key(record),
                       *fingerprint = (const char *)idem__record_fingerprint(record),
                       *intent = (const char *)idem__record_intent(record);
            CHECK_INT(key - base, sizeof(*record));
            CHECK(fingerprint >= key + key_len && fingerprint < key + key_len + 8);
            CHECK_INT(intent - fingerprint, flags ? IDEM_FINGERPRINT_SIZE : 0);
            CHECK_INT(idem__record_bytes(key_len, flags != 0, 0), intent - base);
            CHECK_INT(idem__record_bytes(key_len, flags != 0, 9), intent - base + 16);
        }
    }
}

static void the_checksum_covers_what_is_immutable(void)
{
    const struct record_shm record = {.order = 77,
                                      .created_ns = 5,
                                      .ttl_s = 6,
                                      .grace_ms = 7,
                                      .key_len = 8,
                                      .flags = 1,
                                      .intent_len = 9};
    const uint32_t sum = idem__record_checksum(&record);
    struct record_shm changed[7] = {record, record, record, record, record, record, record};
    changed[0].order++;
    changed[1].created_ns++;
    changed[2].ttl_s++;
    changed[3].grace_ms++;
    changed[4].key_len++;
    changed[5].flags ^= RECORD_FINGERPRINT;
    changed[6].intent_len++;
    for (int i = 0; i < 7; i++) {
        CHECK(idem__record_checksum(&changed[i]) != sum);
    }
    struct record_shm lived = record;
    idem__poke64(&lived.life, 12345);
    idem__poke64(&lived.link, 12345);
    CHECK_INT(idem__record_checksum(&lived), sum);
}

static void values_keep_length_and_time(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        const uint64_t length = test_random() & VALUE_LENGTH_MAX,
                       at_ms = test_random() >> VALUE_LENGTH_BITS;
        const struct value_shm value = {.length_completed = at_ms << VALUE_LENGTH_BITS | length};
        CHECK_INT(idem__value_length(&value), length);
        CHECK_INT(idem__value_completed_ms(&value), at_ms);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(bytes_come_back_as_they_went_in),
                                    TEST(parts_follow_each_other),
                                    TEST(the_checksum_covers_what_is_immutable),
                                    TEST(values_keep_length_and_time),
                                    {0}});
}
