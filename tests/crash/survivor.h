/*
 * survivor.h - what those who outlive a call must find: they had the region open all the time.
 */
#ifndef IDEM_CRASH_SURVIVOR_H
#define IDEM_CRASH_SURVIVOR_H

#include "scene.h"

/* Shared by all processes of a scenario. */
struct findings {
    int seen[SCENE_KEYS_MAX]; /* by the survivor: index of the state that the key was in */
    int told
        [SCENE_KEYS_MAX];    /* by one who was killed in recovering: the same plus 1, 0 = not yet */
    struct idem_stats usual; /* after sweeping, when nobody was killed */
    uint64_t usual_pages;    /* of the file */
    bool usual_known;
};
static struct findings *findings;

static inline bool state_matches(const struct key_state *expected, int status,
                                 const struct idem_record *record)
{
    if (expected->state == 0 || status != IDEM_OK) {
        return expected->state == 0 && status == IDEM_ENOTFOUND;
    }
    return record->state == expected->state && record->attempt == expected->attempt &&
           record->held == expected->held &&
           (record->state != IDEM_STATE_DONE || record->kept == expected->kept) &&
           record->value_len == expected->value_len &&
           (expected->value_len == 0 ||
            memcmp(record->value, expected->value, expected->value_len) == 0);
}

/* What becomes of a key when its claimer dies, too. */
static inline struct key_state claimed(struct key_state state)
{
    if (state.state == 0) {
        return (struct key_state)LEFT(1);
    }
    if (state.running_next == IDEM_HELD) {
        return (struct key_state)HELD(state.attempt);
    }
    if (state.running_next == IDEM_RECLAIMED ||
        (state.state == IDEM_STATE_ORPHANED && !state.held)) {
        return (struct key_state)LEFT(state.attempt + 1);
    }
    return state;
}

/* Looks the key up; which of `n` states it is in. */
static inline int find_state(const char *key, const struct key_state *allowed, int n)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    const int status = idem_lookup(scene.store, key, strlen(key), &record);
    for (int i = 0; i < n; i++) {
        if (state_matches(&allowed[i], status, &record)) {
            idem_record_free(&record);
            return i;
        }
    }
    TEST_FAIL("%s is neither as before nor as after: status %d, state %d, attempt %d, held %d, "
              "kept %d, value \"%.*s\" (%zu bytes)",
              key, status, record.state, record.attempt, record.held, record.kept,
              (int)(record.value_len < 32 ? record.value_len : 32), (const char *)record.value,
              record.value_len);
}

/* The key can be claimed, or its result replayed, by the first call; then it is completed and forgotten. */
static inline void use_key(const struct scenario *scenario, const char *key,
                           const struct key_state *is)
{
    const struct idem_request request = ask(key);
    struct idem_claim claim = no_claim();
    const int status = idem_claim(scene.store, &request, &claim);
    const int expected = is->state == 0                    ? IDEM_CLAIMED
                         : is->state == IDEM_STATE_PENDING ? is->running_next
                         : is->state == IDEM_STATE_DONE    ? IDEM_DONE
                         : is->held                        ? IDEM_HELD
                                                           : IDEM_RECLAIMED;
    if (status == IDEM_EFULL && scenario->full && is->state == 0) {
        return;
    }
    CHECK_INT(status, IDEM_OK);
    CHECK_INT(claim.outcome, expected);
    if (is->state == IDEM_STATE_DONE) {
        CHECK(state_matches(is, IDEM_OK, &claim.record));
    }
    if (claim.owner != 0) {
        const struct key_state done[] = {DONE(value_survivor), NOT_KEPT};
        CHECK_INT(claim.record.attempt, is->attempt + 1);
        give(&claim, value_survivor, sizeof(value_survivor));
        (void)find_state(key, done, scenario->full ? 2 : 1);
    }
    idem_record_free(&claim.record);
    CHECK_INT(idem_forget(scene.store, key, strlen(key), IDEM_FORCE), IDEM_OK);
    CHECK_INT(state_of(scene.store, key), IDEM_ENOTFOUND);
}

static inline void check_key(const struct scenario *scenario, int i, bool recovered)
{
    struct key_state allowed[4] = {scenario->before, scenario->after};
    int n = 2;
    if (recovered) {
        if (findings->told[i] > 0) { /* what has been told may not be taken back */
            allowed[0] = allowed[findings->told[i] - 1];
            n = 1;
        }
        for (int j = 0; j < n; j++) {
            allowed[n + j] = claimed(allowed[j]);
        }
        n *= 2;
    }
    findings->seen[i] = find_state(scene.keys[i], allowed, n);
    use_key(scenario, scene.keys[i], &allowed[findings->seen[i]]);
}

/* The bytes in use are those of the keys that are there, and as many as if nobody had been killed. */
static inline void check_usage(void)
{
    (void)used_after_sweep(scene.store);
    const struct idem_stats now = store_stats(scene.store);
    struct idem_record record;
    uint64_t cursor = 0, records = 0, values = 0;
    idem_record_init(&record, sizeof(record));
    while (idem_scan(scene.store, &cursor, &record) == IDEM_OK) {
        records++;
        values += record.value_len > 0;
    }
    idem_record_free(&record);
    CHECK_INT(now.record_blocks, records);
    CHECK_INT(now.value_blocks, values);
    if (!findings->usual_known) {
        findings->usual = now;
        findings->usual_pages = world_file_pages();
        findings->usual_known = true;
    }
    const struct idem_stats *usual = &findings->usual;
    CHECK_INT(now.used_bytes, usual->used_bytes);
    CHECK_INT(now.record_blocks, usual->record_blocks);
    CHECK_INT(now.value_blocks, usual->value_blocks);
    CHECK_INT(now.allocated_bytes, usual->allocated_bytes);
    CHECK_INT(world_file_pages(), findings->usual_pages);
}

/* `recovered`: another one had begun with this, and was killed. */
static inline void check_all(const struct scenario *scenario, bool recovered)
{
    store_check(scene.store);
    const int keys = scenario->keys ? scenario->keys : 1;
    for (int i = 0; i < keys; i++) {
        check_key(scenario, i, recovered);
    }
    if (scenario->again != NULL) {
        scenario->again();
    }
    for (int i = 0; scene.others && i < SCENE_OTHERS; i++) {
        char key[24];
        snprintf(key, sizeof(key), "another key %d", i);
        (void)find_state(key, &(const struct key_state)DONE(value_other), 1);
    }
    if (scenario->settle != NULL) {
        scenario->settle();
    }
    check_usage();
    store_check(scene.store);
}

/* What a survivor does who is killed in it: look, claim, sweep. Stepped: no checks but of what it tells. */
static inline void recover(const struct scenario *scenario)
{
    const struct key_state allowed[] = {scenario->before, scenario->after};
    const int keys = scenario->keys ? scenario->keys : 1;
    for (int i = 0; i < keys; i++) {
        const struct idem_request request = ask(scene.keys[i]);
        struct idem_claim claim = no_claim();
        findings->told[i] = find_state(scene.keys[i], allowed, 2) + 1;
        (void)idem_claim(scene.store, &request, &claim);
        idem_record_free(&claim.record);
    }
    if (scenario->again != NULL) {
        scenario->again();
    }
    (void)idem_sweep(scene.store, 0);
}

#endif
