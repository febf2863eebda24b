/*
 * worker.h - the workers of record.c: they draw tickets, make calls, and note what they did in memory that
 * no kill touches.
 */
#ifndef IDEM_HISTORY_WORKER_H
#define IDEM_HISTORY_WORKER_H

#include <stdatomic.h>

#include "../c/store.h"

#define KEYS 300         /* of a generation */
#define KEYS_AT_A_TIME 3 /* whose calls are mixed */
#define CALLS_A_VISIT 40 /* of a key in a pass, on average */
#define PASSES 6         /* of a generation */
#define CALLS_A_PASS (KEYS * CALLS_A_VISIT)
/* Between passes. Retention ends 1.1 to 2.1 s after its start at the earliest: whole seconds, and a margin. */
#define GAP_MIN_MS 100u
#define GAP_MAX_MS 900u
/* A worker sets a timer that kills it, and makes call after call without pausing: so most kills come amid a
   call. A timer has a few microseconds of its own. */
#define ONE_IN_KILLED 120u
#define KILL_AFTER_MAX_NS 30000u
#define ONE_IN_PAUSED 12u /* calls that are followed by a pause, so that others come in between */
#define PAUSE_MAX_US 60u
#define VALUE_WORDS_MAX 200u
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u

enum call { CLAIM, COMPLETE, RELEASE, ABANDON, RENEW, FORGET, LOOKUP };
static const char *const call_names[] = {"claim", "complete", "release", "abandon",
                                         "renew", "forget",   "lookup"};

struct entry {
    atomic_ulong called_ns;   /* 0: was not made */
    atomic_ulong returned_ns; /* 0: its process was killed */
    uint32_t key;
    uint32_t life;
    uint32_t call;
    int32_t attempt;
    int64_t ttl_ms;
    int64_t lease_ms;
    uint64_t token; /* the ticket of the claim that is ended */
    uint64_t value;
    const char *result;
};

struct life {
    atomic_ulong end_ns; /* it lived until then at least */
    uint64_t gone_ns;    /* it had been waited for */
};

struct history {
    atomic_ulong next;
    uint64_t operations;
    atomic_ulong *pass_start_ns; /* 0: nobody has come to it yet */
    struct entry *entries;
    struct life *lives;
};

/* The claims that a worker was granted, the latest of each key; ended ones are tried again, late. */
struct token {
    uint32_t key;
    bool live; /* not ended by us; perhaps by another */
    uint64_t ticket;
    struct idem_claim claim;
};

struct worker {
    idem_store *store;
    struct history *history;
    struct token *tokens;
    uint32_t life;
    timer_t killer;
    bool doomed; /* the timer is set */
    uint64_t random;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void sleep_until(uint64_t until_ns)
{
    const struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_S),
                                   .tv_nsec = (long)(until_ns % NS_PER_S)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR) {
    }
}

static uint64_t pick(struct worker *worker, uint64_t below)
{
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (worker->random >> 33) % below;
}
#define PICK(worker, choices) ((choices)[pick(worker, sizeof(choices) / sizeof((choices)[0]))])

static int64_t pick_ttl_ms(struct worker *worker)
{
    static const int64_t ttls_ms[] = {1, 1, 400, 1000, 60000, IDEM_FOREVER};
    return PICK(worker, ttls_ms);
}

static int64_t pick_lease_ms(struct worker *worker)
{
    static const int64_t leases_ms[] = {0, 0, 1, 2, 10, 300};
    return PICK(worker, leases_ms);
}

/* The key of a ticket, and the pause before its pass. */
static uint32_t deal(struct worker *worker, uint64_t ticket)
{
    const uint64_t pass = ticket / CALLS_A_PASS, place = ticket % CALLS_A_PASS;
    atomic_ulong *start_ns = &worker->history->pass_start_ns[pass];
    if (atomic_load(start_ns) == 0) {
        const uint64_t gap_ms = GAP_MIN_MS + pick(worker, GAP_MAX_MS - GAP_MIN_MS);
        unsigned long nobody = 0;
        atomic_compare_exchange_strong(start_ns, &nobody,
                                       now_ns() + (pass ? gap_ms * NS_PER_MS : 0));
    }
    if (now_ns() < atomic_load(start_ns)) {
        sleep_until(atomic_load(start_ns));
    }
    const uint64_t group = place / (CALLS_A_VISIT * KEYS_AT_A_TIME);
    return (uint32_t)(pass / PASSES * KEYS + group * KEYS_AT_A_TIME + pick(worker, KEYS_AT_A_TIME));
}

static struct entry *begin(struct worker *worker, uint64_t ticket, enum call call, uint32_t key)
{
    struct entry *entry = &worker->history->entries[ticket];
    entry->key = key;
    entry->life = worker->life;
    entry->call = call;
    return entry;
}

/* From now on this worker may be dead at any moment. */
static void ends(struct worker *worker)
{
    unsigned long never = 0;
    atomic_compare_exchange_strong(&worker->history->lives[worker->life].end_ns, &never, now_ns());
}

static void called(struct worker *worker, struct entry *entry)
{
    if (!worker->doomed && pick(worker, ONE_IN_KILLED) == 0) {
        worker->doomed = true;
        const struct itimerspec after = {
            .it_value = {.tv_nsec = 1 + (long)pick(worker, KILL_AFTER_MAX_NS)}};
        ends(worker);
        CHECK_INT(timer_settime(worker->killer, 0, &after, NULL), 0);
    }
    atomic_store(&entry->called_ns, now_ns());
}

static void returned(struct entry *entry, const char *result)
{
    const uint64_t at_ns = now_ns();
    entry->result = result;
    atomic_store(&entry->returned_ns, at_ns);
}

/* A value is the ticket of its completion, many times over: 0 if the words differ. */
static uint64_t value_of(const struct idem_record *record)
{
    uint64_t first = 0;
    if (record->kept && record->value_len >= sizeof(first)) {
        memcpy(&first, record->value, sizeof(first));
        for (size_t at = 0; at < record->value_len; at += sizeof(first)) {
            if (memcmp((const char *)record->value + at, &first, sizeof(first)) != 0) {
                return 0;
            }
        }
    }
    return first;
}

static void claim(struct worker *worker, uint64_t ticket, uint32_t key, const char *name)
{
    static const char *const names[] = {
        [IDEM_CLAIMED] = "claimed", [IDEM_RECLAIMED] = "reclaimed", [IDEM_BUSY] = "busy",
        [IDEM_DONE] = "done",       [IDEM_MISMATCH] = "mismatch",   [IDEM_HELD] = "held"};
    struct idem_request request = request_of(name);
    struct idem_claim got = no_claim();
    struct entry *entry = begin(worker, ticket, CLAIM, key);
    entry->ttl_ms = request.ttl_ms = pick_ttl_ms(worker);
    entry->lease_ms = request.lease_ms = pick_lease_ms(worker);
    called(worker, entry);
    const int status = idem_claim(worker->store, &request, &got);
    if (status == IDEM_OK) {
        entry->attempt = got.record.attempt;
        entry->value = got.outcome == IDEM_DONE ? value_of(&got.record) : 0;
    }
    returned(entry, status == IDEM_OK ? names[got.outcome] : "failed");
    CHECK_INT(status, IDEM_OK);
    idem_record_free(&got.record);
    if (got.outcome == IDEM_CLAIMED || got.outcome == IDEM_RECLAIMED) {
        worker->tokens[key % KEYS] = (struct token){key, true, ticket, got};
    }
}

static void look_up(struct worker *worker, uint64_t ticket, uint32_t key, const char *name)
{
    static const char *const names[] = {[IDEM_STATE_PENDING] = "pending",
                                        [IDEM_STATE_ORPHANED] = "orphaned",
                                        [IDEM_STATE_DONE] = "done"};
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    struct entry *entry = begin(worker, ticket, LOOKUP, key);
    called(worker, entry);
    const int status = idem_lookup(worker->store, name, strlen(name), &record);
    if (status == IDEM_OK) {
        entry->attempt = record.attempt;
        entry->value = record.state == IDEM_STATE_DONE ? value_of(&record) : 0;
    }
    returned(entry, status == IDEM_OK ? names[record.state] : "absent");
    CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND);
    idem_record_free(&record);
}

static void forget(struct worker *worker, uint64_t ticket, uint32_t key, const char *name)
{
    struct entry *entry = begin(worker, ticket, FORGET, key);
    called(worker, entry);
    const int status = idem_forget(worker->store, name, strlen(name), 0);
    returned(entry, status == IDEM_OK ? "ok" : status == IDEM_ENOTFOUND ? "absent" : "busy");
    CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND || status == IDEM_EBUSY);
}

/* Complete, release, abandon or renew by a token, which may be a late one. */
static void use_token(struct worker *worker, uint64_t ticket, struct token *token)
{
    static const enum call calls[] = {COMPLETE, COMPLETE, COMPLETE, COMPLETE, RELEASE,
                                      RELEASE,  ABANDON,  RENEW,    RENEW,    RENEW};
    const enum call call = PICK(worker, calls);
    uint64_t value[VALUE_WORDS_MAX];
    const size_t words = 1 + pick(worker, VALUE_WORDS_MAX);
    int64_t ttl_ms = 0, lease_ms = 0;
    if (call == COMPLETE) {
        ttl_ms = pick(worker, 2) ? IDEM_TTL_SAME : pick_ttl_ms(worker);
        for (size_t i = 0; i < words; i++) {
            value[i] = ticket + 1;
        }
    } else if (call == RENEW) {
        lease_ms = pick_lease_ms(worker);
    }
    struct entry *entry = begin(worker, ticket, call, token->key);
    entry->ttl_ms = ttl_ms;
    entry->lease_ms = lease_ms;
    entry->token = token->ticket + 1;
    entry->value = call == COMPLETE ? ticket + 1 : 0;
    called(worker, entry);
    const int status =
        call == COMPLETE  ? idem_complete(&token->claim, value, words * sizeof(value[0]), ttl_ms, 0)
        : call == RELEASE ? idem_release(&token->claim)
        : call == ABANDON ? idem_abandon(&token->claim)
                          : idem_renew(&token->claim, lease_ms);
    returned(entry, status == IDEM_OK ? "ok" : "lost");
    CHECK(status == IDEM_OK || status == IDEM_ELOST);
    CHECK(call != COMPLETE || status != IDEM_OK || token->claim.record.kept);
    token->live = status == IDEM_OK && call == RENEW;
}

static void pause_between_calls(struct worker *worker)
{
    if (!worker->doomed && pick(worker, ONE_IN_PAUSED) == 0) {
        const struct timespec pause = {.tv_nsec = (long)pick(worker, PAUSE_MAX_US) * 1000};
        nanosleep(&pause, NULL);
    }
}

static void work(void *argument)
{
    struct worker *worker = argument;
    struct history *history = worker->history;
    worker->tokens = calloc(KEYS, sizeof(worker->tokens[0]));
    CHECK(worker->tokens != NULL);
    struct sigevent kills = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    CHECK_INT(timer_create(CLOCK_MONOTONIC, &kills, &worker->killer), 0);
    for (;;) {
        const uint64_t ticket = atomic_fetch_add(&history->next, 1);
        if (ticket >= history->operations) {
            break;
        }
        const uint32_t key = deal(worker, ticket);
        char name[32];
        snprintf(name, sizeof(name), "key %u", key);
        struct token *token = &worker->tokens[key % KEYS];
        const bool has_token = token->claim.owner != 0 && token->key == key;
        const uint64_t what = pick(worker, 100);
        if (has_token && what < (token->live ? 60 : 12)) {
            use_token(worker, ticket, token);
        } else if (what < 76) {
            claim(worker, ticket, key, name);
        } else if (what < 92) {
            look_up(worker, ticket, key, name);
        } else {
            forget(worker, ticket, key, name);
        }
        pause_between_calls(worker);
    }
    ends(worker);
}

#endif
