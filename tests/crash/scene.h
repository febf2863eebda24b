/*
 * scene.h - what a scenario is made of: the states that a key can be in, the store before the call, and the
 * steps from which scenarios are put together.
 */
#ifndef IDEM_CRASH_SCENE_H
#define IDEM_CRASH_SCENE_H

#include "world.h"

enum { SCENE_KEYS_MAX = 8, SCENE_OTHERS = 3 };

/* A key, as those who outlive the call see it. All zero: the key is absent. */
struct key_state {
    int state; /* enum idem_state */
    int attempt;
    int running_next; /* running: enum idem_outcome of the next claim */
    int held;
    int kept;
    const char *value;
    size_t value_len;
};
#define RUNNING(n)                                                             \
    {                                                                          \
        .state = IDEM_STATE_PENDING, .attempt = (n), .running_next = IDEM_BUSY \
    }
#define LEASE_OVER(n, next)                                                 \
    {                                                                       \
        .state = IDEM_STATE_PENDING, .attempt = (n), .running_next = (next) \
    }
#define LEFT(n)                                      \
    {                                                \
        .state = IDEM_STATE_ORPHANED, .attempt = (n) \
    }
#define HELD(n)                                                 \
    {                                                           \
        .state = IDEM_STATE_ORPHANED, .attempt = (n), .held = 1 \
    }
#define DONE(v)                                                                   \
    {                                                                             \
        .state = IDEM_STATE_DONE, .kept = 1, .value = (v), .value_len = sizeof(v) \
    }
#define NOT_KEPT                 \
    {                            \
        .state = IDEM_STATE_DONE \
    }

struct scenario {
    const char *name;
    void (*prepare)(void);          /* in the process that all others are forked from */
    void (*ready)(void);            /* in the victim, before it is stepped */
    int (*call)(void);              /* in the victim, stepped */
    int status, outcome;            /* of the call, if nobody dies */
    struct key_state before, after; /* of each key, once the victim is dead */
    void (*again)(void);            /* what the survivor must be able to do besides */
    void (*settle)(void);           /* what the last survivor does before bytes are counted */
    int keys;                       /* 0: one */
    bool fresh;                     /* the call is the victim's first one */
    bool full;                      /* there may be no room for a survivor's claim */
};

static struct scene {
    idem_store *store;
    char keys[SCENE_KEYS_MAX][24];
    bool others; /* keys that have nothing to do with the call were put in */
    /* What the victim calls with. */
    struct idem_request requests[SCENE_KEYS_MAX];
    struct idem_claim claims[SCENE_KEYS_MAX];
    struct idem_record record;
} scene;

#define SCENE_KEY scene.keys[0]
/* Of 1 KiB, so that a slab has few blocks, and a sweep is some thousand instructions. */
#define TWICE(text) text text
#define REPEAT(text) TWICE(TWICE(TWICE(TWICE(TWICE(TWICE(TWICE(text)))))))
static const char scene_intent[] = REPEAT("intent, ");
static const char value_other[] = REPEAT("another ");
static const char value_before[] = REPEAT("before, ");
static const char value_result[] = REPEAT("result, ");
static const char value_heir[] = REPEAT("an heir ");
static const char value_survivor[] = REPEAT("survive ");
/* In a class of its own, of which three fill a slab. */
static const char scene_big[] = TWICE(TWICE(REPEAT("a third ")));
/* A record with it fills a slab. */
static const char scene_whole[] =
    TWICE(TWICE(TWICE(REPEAT("a slab, ")))) TWICE(TWICE(REPEAT("a slab, ")));
static const uint8_t scene_fingerprint[IDEM_FINGERPRINT_SIZE] = "fingerprint 0001";
static const uint8_t scene_other_fingerprint[IDEM_FINGERPRINT_SIZE] = "fingerprint 0002";

static inline struct idem_request ask(const char *key)
{
    struct idem_request request = request_of(key);
    request.intent = scene_intent;
    request.intent_len = sizeof(scene_intent);
    return request;
}
static inline void give(struct idem_claim *claim, const char *value, size_t value_len)
{
    CHECK_INT(idem_complete(claim, value, value_len, IDEM_TTL_SAME, 0), IDEM_OK);
    idem_record_free(&claim->record);
}
static inline struct idem_claim claim_new(const struct idem_request *request)
{
    struct idem_claim claim;
    CHECK_INT(claim_with(scene.store, request, &claim), IDEM_CLAIMED);
    return claim;
}
static inline void put_done(const struct idem_request *request)
{
    struct idem_claim claim = claim_new(request);
    give(&claim, value_before, sizeof(value_before));
}

/* --- prepare --- */

static inline void others(void)
{
    for (int i = 0; i < SCENE_OTHERS; i++) {
        char key[24];
        snprintf(key, sizeof(key), "another key %d", i);
        const struct idem_request request = ask(key);
        struct idem_claim claim = claim_new(&request);
        give(&claim, value_other, sizeof(value_other));
    }
    scene.others = true;
}

static inline uint64_t order_of(const char *key)
{
    struct idem__op op = inside_begin(scene.store);
    const uint64_t order = inside_order(&op, key);
    inside_end(&op);
    return order;
}
static inline struct header_shm *header(void) { return (struct header_shm *)world_region; }
static inline uint32_t head_index(const char *key)
{
    const uint32_t log2 = idem__load32(&header()->buckets_log2);
    return idem__head_of(order_of(key) >> (64 - log2), log2);
}

/* Puts the key's bucket head in, so that the call finds it. */
static inline void with_head(void)
{
    enum { ANCESTORS_MAX = 32 };
    for (int i = 0; i < ANCESTORS_MAX; i++) {
        CHECK_INT(state_of(scene.store, SCENE_KEY), IDEM_ENOTFOUND);
    }
}
static inline void plain(void)
{
    others();
    with_head();
}

/* Names the key anew until `wanted` likes the place of its bucket's head. */
static inline void choose_key(bool (*wanted)(uint32_t index))
{
    for (int i = 0; !wanted(head_index(SCENE_KEY)); i++) {
        snprintf(SCENE_KEY, sizeof(SCENE_KEY), "key number %07d", i);
    }
}

static inline void done_before(void)
{
    const struct idem_request request = ask(SCENE_KEY);
    others();
    put_done(&request);
}
static inline void running(void)
{
    const struct idem_request request = ask(SCENE_KEY);
    others();
    (void)claim_new(&request);
}

static inline void claim_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < SCENE_KEYS_MAX; i++) {
        const struct idem_request request = ask(scene.keys[i]);
        (void)claim_new(&request);
    }
}
static inline void claim_one(void *request) { (void)claim_new(request); }
static inline void dead_owner_of(const struct idem_request *request)
{
    struct idem_request of_child = *request;
    others();
    CHECK_INT(test_join(test_child(claim_one, &of_child)), 0);
}
static inline void dead_owner(void)
{
    const struct idem_request request = ask(SCENE_KEY);
    dead_owner_of(&request);
}
static inline void dead_owner_hold(void)
{
    struct idem_request request = ask(SCENE_KEY);
    request.flags = IDEM_HOLD;
    dead_owner_of(&request);
}
static inline void leave(const struct idem_request *request)
{
    others();
    struct idem_claim claim = claim_new(request);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
}
static inline void left(void)
{
    const struct idem_request request = ask(SCENE_KEY);
    leave(&request);
}
static inline void held(void)
{
    struct idem_request request = ask(SCENE_KEY);
    request.flags = IDEM_HOLD;
    leave(&request);
}
enum { SHORT_TTL_MS = 1000, LEASE_MS = 10 };
/* Leases end, and keys expire, with a margin for the difference of two clocks. */
static inline void lease_passes(void) { world_pass_ms(LEASE_MS + 1000); }
static inline void put_short(const char *key)
{
    struct idem_request request = ask(key);
    request.ttl_ms = SHORT_TTL_MS;
    put_done(&request);
}
static inline void short_over(void) { world_pass_ms(3 * SHORT_TTL_MS); }
static inline void expired(void)
{
    others();
    put_short(SCENE_KEY);
    short_over();
}
static inline void lease_over_of(struct idem_request request)
{
    request.lease_ms = LEASE_MS;
    others();
    (void)claim_new(&request);
    lease_passes();
}
static inline void lease_over(void) { lease_over_of(ask(SCENE_KEY)); }
static inline void lease_over_hold(void)
{
    struct idem_request request = ask(SCENE_KEY);
    request.flags = IDEM_HOLD;
    lease_over_of(request);
}
/* A dead record, of one who was killed before it buried it. */
static inline void unburied(void)
{
    done_before();
    struct idem__op op = inside_begin(scene.store);
    struct record_shm *record = inside_record(&op, SCENE_KEY);
    idem__store64(&record->life, idem__life_dead(idem__load64(&record->life)));
    inside_end(&op);
}

/* Fills the region, one key a slab. Its limit is lowered before, as if a resize had died half-way: the fewer
   slabs, the fewer instructions look at them all. */
enum { FILL_SLABS = 12 };
static inline void fill(int64_t ttl_ms)
{
    char key[24];
    idem__store32(&header()->slab_limit, FILL_SLABS);
    for (int i = 0;; i++) {
        struct idem_claim claim = no_claim();
        snprintf(key, sizeof(key), "filler %d", i);
        struct idem_request request = request_of(key);
        request.intent = scene_whole;
        request.intent_len = sizeof(scene_whole);
        request.ttl_ms = ttl_ms;
        const int status = idem_claim(scene.store, &request, &claim);
        if (status == IDEM_EFULL) {
            break;
        }
        CHECK_INT(status, IDEM_OK);
        CHECK_INT(idem_complete(&claim, NULL, 0, IDEM_TTL_SAME, 0), IDEM_OK);
    }
}

/* --- ready: in the victim --- */

static inline void claim_it(void)
{
    (void)claim_with(scene.store, &scene.requests[0], &scene.claims[0]);
    CHECK(scene.claims[0].owner != 0);
}
static inline void with_whole_intent(void)
{
    scene.requests[0].intent = scene_whole;
    scene.requests[0].intent_len = sizeof(scene_whole);
}
static inline void with_big_intent(void)
{
    scene.requests[0].intent = scene_big;
    scene.requests[0].intent_len = sizeof(scene_big);
}

/* --- call --- */

static inline int do_claim(void)
{
    return idem_claim(scene.store, &scene.requests[0], &scene.claims[0]);
}
static inline int do_lookup(void)
{
    return idem_lookup(scene.store, SCENE_KEY, strlen(SCENE_KEY), &scene.record);
}
static inline int do_sweep(void)
{
    const int64_t freed = idem_sweep(scene.store, 0);
    return freed < 0 ? (int)freed : IDEM_OK;
}

#endif
