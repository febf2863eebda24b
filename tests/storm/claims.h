/*
 * claims.h - a thread of a storm, and its claims: random ones, each noted and judged by the oracle. See work.h for
 * the other calls.
 */
#ifndef IDEM_STORM_CLAIMS_H
#define IDEM_STORM_CLAIMS_H

#include <pthread.h>

#include "oracle.h"

#define HELD_MAX 3u
#define LATE_MAX 8u
#define BATCH_MAX 6u
#define CHILD_CALLS 300u
#define CALLS_A_FORK 4000u
#define CALLS_AN_EXEC 15000u
#define CALLS_A_CHECK 20000u
#define HOUR_MS ((int64_t)3600 * 1000)
#define WAIT_MAX_MS 4u
#define VALUE_MAX 12000u
/* Of so little that the smallest region stays too small for all keys. */
#define RESIZE_STEPS 12u
#define RESIZE_STEP_BYTES ((uint64_t)1 << 16)

struct held {
    uint32_t grant;
    struct idem_claim claim;
};

struct thread {
    idem_store *store;
    uint32_t life, index, slot, spawn;
    uint64_t random;
    struct held held[HELD_MAX];
    uint32_t holds;
    struct idem_claim late[LATE_MAX]; /* of claims that were ended */
    bool is_child;
    pid_t child;
};

/* What was known before a call. */
struct before {
    uint32_t acked, granted, removals, forced;
    bool safe, unfinished;
};

static int oracle_fd;

static uint64_t pick(struct thread *thread, uint64_t below)
{
    thread->random = thread->random * 6364136223846793005u + 1442695040888963407u;
    return (thread->random >> 33) % below;
}
#define PICK(thread, choices) ((choices)[pick(thread, sizeof(choices) / sizeof((choices)[0]))])

static size_t name_of(char *name, size_t size, uint32_t key)
{
    return (size_t)snprintf(name, size, "key %u of a storm", key);
}

static struct before look_before(uint32_t key)
{
    struct key *at = &oracle->key[key];
    struct before before = {.acked = atomic_load(&at->acked), .granted = atomic_load(&at->granted)};
    before.removals = gate_count(&at->removals);
    before.forced = gate_count(&at->forced);
    before.safe = grant_safe(before.acked);
    before.unfinished = grant_unfinished(before.granted);
    return before;
}

/* The statuses that a call may have, beside success; anything else breaks a promise. */
static void expect(enum call call, int status, uint32_t allowed)
{
    count_status(call, status);
    if (status < 0 && !(allowed & 1u << -status)) {
        violation("call %d says %d: %s", call, status, idem_last_error());
    }
}
#define ALLOW(status) (1u << -(status))

static void gates_begin(struct thread *thread, uint32_t key, bool forced)
{
    struct life *life = &oracle->lives[thread->life];
    atomic_fetch_add(&oracle->key[key].removals.begun, 1);
    atomic_store(&life->removing[thread->index], key + 1);
    if (forced) {
        atomic_fetch_add(&oracle->key[key].forced.begun, 1);
        atomic_store(&life->forcing[thread->index], key + 1);
    }
}

static void gates_end(struct thread *thread, uint32_t key, bool forced)
{
    struct life *life = &oracle->lives[thread->life];
    if (forced) {
        atomic_store(&life->forcing[thread->index], 0);
        atomic_fetch_add(&oracle->key[key].forced.ended, 1);
    }
    atomic_store(&life->removing[thread->index], 0);
    atomic_fetch_add(&oracle->key[key].removals.ended, 1);
}

/* A value: its key, its grant, and bytes that follow from them. */
static void write_value(uint64_t *value, size_t bytes, uint32_t key, uint32_t grant)
{
    for (size_t i = 0; i < (bytes + 7) / 8; i++) {
        value[i] = i == 0 ? key : grant * (uint64_t)i;
    }
}

static void judge_value(uint32_t key, const struct idem_record *record, const struct before *before)
{
    static _Thread_local uint64_t expected[VALUE_MAX / 8 + 1];
    uint64_t start[2] = {0};
    uint32_t number = before->acked;
    if (record->kept && record->value_len > 0) {
        memcpy(start, record->value,
               record->value_len < sizeof(start) ? record->value_len : sizeof(start));
        number = (uint32_t)start[1];
        grant_seen(key, number, record->id);
        write_value(expected, VALUE_MAX, key, number);
        if (start[0] != key || record->value_len > VALUE_MAX ||
            memcmp(record->value, expected, record->value_len) != 0 ||
            (number < GRANTS_MAX && record->value_len != oracle->grants[number].value_bytes)) {
            violation("key %u has a value that is not whole", key);
        }
    }
    if (before->safe && grant_safe(before->acked)) {
        const struct grant *grant = &oracle->grants[before->acked];
        if (number != before->acked || record->kept != atomic_load(&grant->kept) ||
            (record->kept && record->value_len != grant->value_bytes)) {
            violation("key %u should have the value of grant %u, has %zu bytes of %u", key,
                      before->acked, record->value_len, number);
        }
        atomic_fetch_add_explicit(&oracle->replays, 1, memory_order_relaxed);
    }
}

/* A call found the key not to be done. */
static void judge_not_done(uint32_t key, const struct before *before, const char *what)
{
    if (before->safe && grant_safe(before->acked)) {
        violation("key %u is %s, but grant %u completed it", key, what, before->acked);
    }
}

static void judge_intent(uint32_t key, const struct idem_record *record)
{
    char name[32];
    if (record->intent_len != 0 && (record->intent_len != name_of(name, sizeof(name), key) ||
                                    memcmp(record->intent, name, record->intent_len) != 0)) {
        violation("key %u has the intent of another", key);
    }
}

static void note_grant(struct thread *thread, uint32_t key, const struct idem_request *request,
                       struct idem_claim *claim, const struct before *before, uint64_t called_ns)
{
    const uint32_t number = grant_new(key, thread->life);
    if (number == 0) {
        (void)idem_abandon(claim); /* it is not judged: the round is over */
        return;
    }
    struct grant *grant = &oracle->grants[number];
    const int64_t ttl_ms =
        claim->outcome == IDEM_CLAIMED ? request->ttl_ms : claim->record.expires_in_ms;
    grant->record = claim->record.id;
    grant->lasting = ttl_ms == IDEM_FOREVER || ttl_ms >= HOUR_MS / 2;
    grant->removals_at_claim = before->removals;
    grant->forced_at_claim = before->forced;
    atomic_store(&grant->lease_end_ns, request->lease_ms
                                           ? called_ns + (uint64_t)request->lease_ms * NS_PER_MS
                                           : NEVER_NS);
    if (claim->outcome == IDEM_CLAIMED && before->unfinished && grant_unfinished(before->granted)) {
        violation("key %u is new, but grant %u was not ended", key, before->granted);
    }
    grant_holds(number);
    atomic_store(&oracle->key[key].granted, request->lease_ms ? 0 : number);
    thread->held[thread->holds++] = (struct held){number, *claim};
}

static struct idem_request random_request(struct thread *thread, const char *name, size_t length)
{
    static const int64_t ttls_ms[] = {IDEM_FOREVER, HOUR_MS, HOUR_MS, 1, 300};
    static const int64_t leases_ms[] = {0, 0, 0, 0, 1, 5, 50};
    static const int64_t graces_ms[] = {0, 0, 0, 1, 20};
    struct idem_request request;
    idem_request_init(&request, sizeof(request));
    request.key = name;
    request.key_len = length;
    request.ttl_ms = PICK(thread, ttls_ms);
    request.lease_ms = PICK(thread, leases_ms);
    request.crash_grace_ms = PICK(thread, graces_ms);
    request.flags = pick(thread, 30) ? 0 : IDEM_HOLD;
    if (pick(thread, 3) == 0) {
        request.intent = name;
        request.intent_len = length;
    }
    return request;
}

static void judge_claim(struct thread *thread, uint32_t key, const struct idem_request *request,
                        struct idem_claim *claim, const struct before *before, uint64_t called_ns)
{
    if (claim->status != IDEM_OK) {
        expect(CALL_CLAIM, claim->status, ALLOW(IDEM_EFULL));
        if (claim->status == IDEM_EFULL) {
            judge_not_done(key, before, "refused for want of room");
        }
        return;
    }
    count(CALL_CLAIM, claim->outcome);
    if (claim->outcome == IDEM_DONE) {
        judge_value(key, &claim->record, before);
    } else {
        judge_not_done(key, before, idem_outcome_name(claim->outcome));
        judge_intent(key, &claim->record);
    }
    idem_record_free(&claim->record);
    if (claim->outcome == IDEM_CLAIMED || claim->outcome == IDEM_RECLAIMED) {
        note_grant(thread, key, request, claim, before, called_ns);
    }
}

static void do_claim(struct thread *thread, uint32_t key)
{
    char name[32];
    struct idem_request request = random_request(thread, name, name_of(name, sizeof(name), key));
    struct idem_claim claim = no_claim();
    request.wait_ms = pick(thread, 10) ? 0 : (int64_t)pick(thread, WAIT_MAX_MS);
    const struct before before = look_before(key);
    const uint64_t called_ns = now_ns();
    claim.status = idem_claim(thread->store, &request, &claim);
    judge_claim(thread, key, &request, &claim, &before, called_ns);
}

/* As many as can be held; a key may come twice. */
static void do_claim_many(struct thread *thread)
{
    char names[BATCH_MAX][32];
    uint32_t keys[BATCH_MAX];
    struct idem_request requests[BATCH_MAX];
    struct idem_claim claims[BATCH_MAX];
    struct before before[BATCH_MAX];
    const uint32_t n = HELD_MAX - thread->holds;
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = (uint32_t)pick(thread, oracle->keys);
        requests[i] =
            random_request(thread, names[i], name_of(names[i], sizeof(names[i]), keys[i]));
        claims[i] = no_claim();
        before[i] = look_before(keys[i]);
    }
    const uint64_t called_ns = now_ns();
    (void)idem_claim_many(thread->store, requests, claims, n);
    for (uint32_t i = 0; i < n; i++) {
        judge_claim(thread, keys[i], &requests[i], &claims[i], &before[i], called_ns);
    }
}

#endif
