/* inside.h - looking into an open store: for tests that put it in states that only a death or damage brings. */
#ifndef IDEM_TEST_INSIDE_H
#define IDEM_TEST_INSIDE_H

#include "bucket.h"
#include "call.h"
#include "hash.h"
#include "reclaim.h"
#include "store.h"

/* Begins a call and enters a section: no public call before inside_end. */
static inline struct idem__op inside_begin(idem_store *store)
{
    struct idem__op op;
    CHECK_INT(idem__call_begin(store, true, &op), IDEM_OK);
    idem__op_enter(&op);
    return op;
}
static inline void inside_end(struct idem__op *op)
{
    idem__op_leave(op);
    idem__call_end(op);
}

static inline uint64_t inside_order(const struct idem__op *op, const char *key)
{
    char longest[IDEM_KEY_MAX] = ""; /* or the compiler warns of what XXH3 does with longer keys */
    memcpy(longest, key, strlen(key));
    return idem__hash(op->region->header, longest, strlen(key)) | 1;
}

/* The first record of the key that is not going; it must be there. */
static inline struct record_shm *inside_record(struct idem__op *op, const char *key)
{
    const uint64_t order = inside_order(op, key);
    struct record_shm *record = NULL;
    link_shm *start = idem__list_start(op, order);
    CHECK(start != NULL);
    CHECK_INT(idem__list_seek(op, start, order, &record), IDEM_OK);
    CHECK(record != NULL && idem__record_has_key(op->region, record, key, strlen(key)));
    return record;
}

static inline struct idem__block inside_block(const struct idem__op *op,
                                              const struct record_shm *record)
{
    struct idem__block block;
    CHECK(idem__block_of(op->region, record, FAMILY_RECORD, &block));
    block.generation = idem__block_generation(idem__load64(block.word));
    return block;
}

/* The value that a done record names. */
static inline struct idem__block inside_value(const struct idem__op *op,
                                              const struct record_shm *record)
{
    struct idem__block block;
    const uint64_t life = idem__load64(&record->life);
    CHECK_INT(idem__life_state(life), LIFE_DONE);
    CHECK(idem__block_at(op->region, idem__life_value(life), FAMILY_VALUE, &block));
    block.generation = idem__block_generation(idem__load64(block.word));
    return block;
}

/* Puts a key, with the value "value", whose bucket has a head of its own, other than the first; its number. */
static inline uint32_t inside_put_behind_head(idem_store *store, char key[16])
{
    enum { DEPTH_MAX = 64 }; /* each look puts one missing ancestor in */
    for (int number = 0;; number++) {
        snprintf(key, 16, "key %d", number);
        put(store, key, "value");
        struct idem__op op = inside_begin(store);
        const uint64_t order = inside_order(&op, key);
        const uint32_t log2 = idem__load32(&op.region->header->buckets_log2);
        const uint32_t index = idem__head_of(order >> (64 - log2), log2);
        for (int looks = 0; looks < DEPTH_MAX; looks++) {
            CHECK(idem__list_start(&op, order) != NULL);
        }
        const link_shm *head = idem__head_at(op.region, index);
        CHECK(head != NULL && idem__load64(head) & LINK_READY);
        inside_end(&op);
        if (index != 0) {
            return index;
        }
    }
}

/* The id of a process that has registered and died. */
static inline void inside_register(void *store) { (void)store_stats(store); }
static inline uint32_t inside_dead_owner(idem_store *store)
{
    const uint64_t before = store_stats(store).owners_issued;
    CHECK_INT(test_join(test_child(inside_register, store)), 0);
    CHECK_INT(store_stats(store).owners_issued, before + 1);
    return (uint32_t)before + 1;
}

#endif
