/*
 * scenarios.h - every call, in every starting state that makes it go another way.
 */
#ifndef IDEM_CRASH_SCENARIOS_H
#define IDEM_CRASH_SCENARIOS_H

#include "survivor.h"
#include "wait.h"

/* --- claim --- */

static bool head_missing(uint32_t index)
{
    const uint32_t lowest =
        1u << (IDEM__BUCKETS_LOG2_START - 1); /* its ancestors may be missing, too */
    const link_shm *heads = (link_shm *)(void *)(world_region + IDEM__SLAB_AREA_OFF);
    return index >= lowest && idem__load64(&heads[index]) == 0;
}
static void without_head(void)
{
    others();
    choose_key(head_missing);
}
static bool in_second_chunk(uint32_t index) { return index >> (IDEM__SLAB_SHIFT_MIN - 3) == 1; }
/* The next slab of records makes the index grow. */
static void index_about_to_grow(void)
{
    (void)state_of(scene.store, SCENE_KEY);
    idem__store64(&header()->record_capacity, 40);
}
/* More buckets than one index chunk has heads: as after a growth. */
static void without_chunk(void)
{
    others();
    idem__store32(&header()->buckets_log2, 12);
    choose_key(in_second_chunk);
}
/* Keys before and behind the key in its bucket, one of them a copy's length away from it. */
static void crowded(void)
{
    enum { SIDES = 2, EACH = 2 };
    others();
    const uint32_t log2 = idem__load32(&header()->buckets_log2), bits = 64 - log2;
    const uint64_t order = order_of(SCENE_KEY);
    int put_in[SIDES] = {0};
    for (int i = 0; put_in[0] < EACH || put_in[1] < EACH; i++) {
        char key[24];
        snprintf(key, sizeof(key), "crowd %d", i);
        const uint64_t other = order_of(key);
        const int side = other > order;
        if (other >> bits == order >> bits && put_in[side] < EACH) {
            const struct idem_request request = ask(key);
            put_done(&request);
            put_in[side]++;
        }
    }
    with_head();
}
static void clock_due(void)
{
    plain();
    world_pass_ms(1000);
}
static void ready_full_request(void)
{
    struct idem_request *request = &scene.requests[0];
    request->fingerprint = scene_fingerprint;
    request->lease_ms = 60000;
    request->ttl_ms = IDEM_FOREVER;
}
static void ready_hold(void) { scene.requests[0].flags = IDEM_HOLD; }
static void done_with_fingerprint(void)
{
    struct idem_request request = ask(SCENE_KEY);
    request.fingerprint = scene_fingerprint;
    others();
    put_done(&request);
}
static void ready_other_fingerprint(void)
{
    scene.requests[0].fingerprint = scene_other_fingerprint;
}
static void left_expired(void)
{
    struct idem_request request = ask(SCENE_KEY);
    request.ttl_ms = SHORT_TTL_MS;
    leave(&request);
    short_over();
}
/* Three records fill a slab of this class: so many are put in. */
static void put_big(int count)
{
    for (int i = 0; i < count; i++) {
        char key[24];
        snprintf(key, sizeof(key), "big %d", i);
        struct idem_request request = request_of(key);
        request.intent = scene_big;
        request.intent_len = sizeof(scene_big);
        put_done(&request);
    }
    with_head();
}
static void slab_nearly_full(void)
{
    others();
    put_big(2);
}
static void slab_full(void)
{
    others();
    put_big(3);
}
static void region_full(void) { fill(IDEM_FOREVER); }
static void region_full_of_expired(void)
{
    fill(SHORT_TTL_MS);
    short_over();
}
/* No room but a slab that is empty, of another class. */
static void region_full_but_one_slab(void)
{
    fill(IDEM_FOREVER);
    CHECK_INT(idem_forget(scene.store, "filler 0", 8, 0), IDEM_OK);
}
static int do_claim_twice(void)
{
    const int status = do_claim();
    return status ? status : do_claim();
}
static int do_claim_many(void)
{
    return idem_claim_many(scene.store, scene.requests, scene.claims, SCENE_KEYS_MAX);
}
static void expired_many(void)
{
    others();
    for (int i = 0; i < SCENE_KEYS_MAX; i++) {
        put_short(scene.keys[i]);
    }
    short_over();
}
static void dead_owner_many(void)
{
    others();
    CHECK_INT(test_join(test_child(claim_all, NULL)), 0);
}

/* --- ending a claim --- */

static int do_complete(void)
{
    return idem_complete(&scene.claims[0], value_result, sizeof(value_result), IDEM_TTL_SAME, 0);
}
static int do_complete_empty(void)
{
    return idem_complete(&scene.claims[0], NULL, 0, IDEM_TTL_SAME, 0);
}
static int do_complete_big(void)
{
    return idem_complete(&scene.claims[0], scene_big, sizeof(scene_big), IDEM_TTL_SAME, 0);
}
static int do_complete_shorter(void)
{
    return idem_complete(&scene.claims[0], value_result, sizeof(value_result), 60000, 0);
}
static int do_complete_too_big(void)
{
    static const char large[16385];
    return idem_complete(&scene.claims[0], large, sizeof(large), IDEM_TTL_SAME,
                         IDEM_ALLOW_NOT_KEPT);
}
/* Somebody sleeps until the key is done: the waker calls the kernel. */
static void waited_for(void)
{
    plain();
    struct idem__op op = inside_begin(scene.store);
    (void)idem__wait_prepare(op.region, inside_order(&op, SCENE_KEY));
    inside_end(&op);
}
static void complete_first(void *unused)
{
    const struct idem_request request = ask(SCENE_KEY);
    struct idem_claim claim;
    (void)unused;
    CHECK_INT(claim_with(scene.store, &request, &claim), IDEM_RECLAIMED);
    give(&claim, value_heir, sizeof(value_heir));
}
static void ready_lost(void)
{
    scene.requests[0].lease_ms = LEASE_MS;
    claim_it();
    lease_passes();
    CHECK_INT(test_join(test_child(complete_first, NULL)), 0);
}
static void ready_late(void)
{
    scene.requests[0].lease_ms = LEASE_MS;
    claim_it();
    lease_passes();
}
/* Room for the claim, none for its value. */
static void region_full_but_one_block(void)
{
    region_full_but_one_slab();
    CHECK(idem_sweep(scene.store, 0) >= 0);
}
static void claim_it_whole(void)
{
    with_whole_intent();
    claim_it();
}
static int do_release(void) { return idem_release(&scene.claims[0]); }
static int do_abandon(void) { return idem_abandon(&scene.claims[0]); }
static int do_renew(void) { return idem_renew(&scene.claims[0], 60000); }

/* --- by hand --- */

static int do_touch_longer(void)
{
    return idem_touch(scene.store, SCENE_KEY, strlen(SCENE_KEY), IDEM_FOREVER);
}
static int do_touch_shorter(void)
{
    return idem_touch(scene.store, SCENE_KEY, strlen(SCENE_KEY), 60000);
}
static int do_forget(void) { return idem_forget(scene.store, SCENE_KEY, strlen(SCENE_KEY), 0); }
static int do_forget_forced(void)
{
    return idem_forget(scene.store, SCENE_KEY, strlen(SCENE_KEY), IDEM_FORCE);
}
static int do_resolve(void)
{
    return idem_resolve(scene.store, SCENE_KEY, strlen(SCENE_KEY), value_result,
                        sizeof(value_result), 0);
}
static int do_resolve_forget(void)
{
    return idem_resolve(scene.store, SCENE_KEY, strlen(SCENE_KEY), NULL, 0, 0);
}

/* --- looking --- */

static int do_wait(void)
{
    return idem_wait(scene.store, SCENE_KEY, strlen(SCENE_KEY), 1, &scene.record);
}
/* The only one whose time passes: or its wait would not end. */
static void ready_wait(void) { world_step_ns = 1000000; }
static int do_scan(void)
{
    uint64_t cursor = 0;
    int status;
    while ((status = idem_scan(scene.store, &cursor, &scene.record)) == IDEM_OK) {
    }
    return status;
}
static int do_lookup_many(void)
{
    const void *keys[] = {SCENE_KEY, scene.keys[1]};
    const size_t lens[] = {strlen(keys[0]), strlen(keys[1])};
    struct idem_record records[2];
    int statuses[2];
    idem_record_init(&records[0], sizeof(records[0]));
    idem_record_init(&records[1], sizeof(records[1]));
    return idem_lookup_many(scene.store, keys, lens, records, statuses, 2);
}

/* --- memory --- */

static void take_and_die(void *family)
{
    struct idem__op op = inside_begin(scene.store);
    struct idem__block block;
    CHECK_INT(idem__block_alloc(&op, *(enum idem__family *)family, sizeof(scene_intent), 0, &block),
              IDEM_OK);
    _exit(0); /* inside the section */
}
static void taken_by_the_dead(void)
{
    enum idem__family family = FAMILY_RECORD;
    done_before();
    CHECK_INT(test_join(test_child(take_and_die, &family)), 0);
    family = FAMILY_VALUE;
    CHECK_INT(test_join(test_child(take_and_die, &family)), 0);
}
static void slab_emptied(void)
{
    others();
    put_big(4);
    for (int i = 0; i < 3; i++) {
        char key[24];
        snprintf(key, sizeof(key), "big %d", i);
        CHECK_INT(idem_forget(scene.store, key, strlen(key), 0), IDEM_OK);
    }
}
static int do_sweeps(void)
{
    int status = IDEM_OK;
    for (int i = 0; i < 3 && status == IDEM_OK; i++) {
        status = do_sweep();
    }
    return status;
}
static int do_sweep_step(void)
{
    const int64_t freed = idem_sweep(scene.store, 1);
    return freed < 0 ? (int)freed : IDEM_OK;
}
enum { LARGER_BYTES = 2 << 20 };
static int do_resize(void) { return idem_resize(scene.store, LARGER_BYTES); }
static void again_resize(void)
{
    CHECK_INT(do_resize(), IDEM_OK);
    CHECK_INT(store_stats(scene.store).max_bytes, LARGER_BYTES);
}

/* --- processes and files --- */

static void register_two(void *unused)
{
    (void)unused;
    (void)store_stats(scene.store);
    CHECK_INT(test_join(test_child(inside_register, scene.store)), 0);
}
/* Two slots of dead owners: the survivor takes one before the victim comes. */
static void dead_slots(void)
{
    plain();
    CHECK_INT(test_join(test_child(register_two, NULL)), 0);
}
/* All slots of the first page are taken once the survivor has come: the victim needs another page. */
static void slots_nearly_full(void)
{
    const uint32_t in_page = IDEM__PAGE_BYTES / sizeof(struct slot_shm);
    plain();
    struct idem__op op = inside_begin(scene.store);
    for (uint32_t i = op.thread->slot_index + 1; i + 1 < in_page; i++) {
        idem__store32(&op.region->slots[i].owner, op.thread->owner);
    }
    idem__store32(&op.region->header->slot_high, in_page - 1);
    inside_end(&op);
}

/* The next process comes to the page that the victim was about to get. */
static void settle_slots(void)
{
    CHECK_INT(test_join(test_child(inside_register, scene.store)), 0);
}

static void new_path(char path[160]) { snprintf(path, 160, "%s2", test_path); }
static int do_create(void)
{
    char path[160];
    struct idem_options options;
    idem_store *store;
    new_path(path);
    idem_options_init(&options, sizeof(options));
    options.max_bytes = STORE_SMALLEST_BYTES;
    return idem_open(path, &options, &store);
}
/* Whatever the victim left: the file can be opened, or created, and used. */
static void again_create(void)
{
    char path[160];
    struct idem_options options;
    idem_store *store;
    new_path(path);
    idem_options_init(&options, sizeof(options));
    options.max_bytes = STORE_SMALLEST_BYTES;
    CHECK_INT(idem_open(path, &options, &store), IDEM_OK);
    struct idem_claim claim;
    if (claim_key(store, "key", &claim) != IDEM_DONE) {
        complete_with(&claim, "value");
    }
    idem_record_free(&claim.record);
    CHECK(has_value(store, "key", "value"));
    store_end(store);
}
static void ready_closed(void) { CHECK_INT(idem_close(scene.store), IDEM_OK); }
static int do_open(void) { return idem_open(test_path, NULL, &scene.store); }
static void ready_rebooted(void)
{
    idem__store64(&header()->boot_id[0], 1); /* of another boot */
    ready_closed();
}
static void again_open(void)
{
    idem_store *store;
    CHECK_INT(idem_open(test_path, NULL, &store), IDEM_OK);
    CHECK(idem__load64(&header()->boot_id[0]) != 1);
    CHECK_INT(idem_close(store), IDEM_OK);
}
static int do_close(void) { return idem_close(scene.store); }

#endif
