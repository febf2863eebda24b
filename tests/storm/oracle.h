/*
 * oracle.h - what must be true of the store, kept outside of it: in memory of its own, which all processes
 * of a storm share and no kill takes away.
 *
 * Whoever makes a call notes before it what it is about to do, and after it what came of it. A process may
 * be killed in between, so nothing is ever concluded from a missing note:
 *  - a call that may take a key away is counted at its gate before and after. A completion is `safe` as long
 *    as none was under way when it began, and none has begun since, and its retention lasts;
 *  - a grant is overtaken rightfully if its process was about to end, its lease was over, or the key had been
 *    forgotten by force.
 */
#ifndef IDEM_STORM_ORACLE_H
#define IDEM_STORM_ORACLE_H

#include <stdarg.h>
#include <stdatomic.h>

#include "../c/store.h"

#define KEYS_MAX 1000u
#define THREADS_MAX 3u
/* Of a round: spawned processes, and lives. */
#define SPAWNS_MAX (1u << 14)
#define LIVES_MAX (1u << 16)
#define GRANTS_MAX (1u << 20) /* of a round, which ends when there are no more */
#define MESSAGES_MAX 20u      /* violations that are told of in words */
#define NS_PER_MS 1000000u
#define NS_PER_S 1000000000u
#define NEVER_NS UINT64_MAX
#define AMID UINT32_MAX /* in place of a gate's count: a call was under way */

/* Calls that take something from a key. A process that dies here leaves the gate open for good (AMID), which
   only means that less is known. */
struct gate {
    atomic_uint begun;
    atomic_uint ended; /* read first: equal to `begun` means that none was under way */
};

struct key {
    struct gate removals; /* forget, a resolve that forgets, a touch that shortens */
    struct gate forced;   /* forget by force */
    atomic_uint holder;   /* the grant that runs the operation */
    atomic_uint granted;  /* the last grant if it has no lease */
    atomic_uint acked;    /* the last completion that was acknowledged: its grant */
};

enum grant_flag {
    GRANT_ENDING = 1,     /* is being released or completed */
    GRANT_COMPLETING = 2, /* its value may be seen */
    GRANT_REFUSED = 4,    /* its completion was refused: its value may not be seen */
    GRANT_OVERTAKEN = 8,  /* another was granted the key after it */
    GRANT_LEASED = 16     /* has or had a lease: it may have been overtaken without a note */
};

/* A claim that was granted, or a resolution; and its completion: a value names it. */
struct grant {
    uint32_t key;
    uint32_t life;
    uint64_t record; /* public id */
    bool any_record;
    bool lasting; /* retained for longer than a storm lasts */
    uint32_t removals_at_claim, forced_at_claim, removals_at_end;
    size_t value_bytes;
    atomic_bool kept;
    atomic_uint flags;
    atomic_ulong lease_end_ns; /* at the earliest; NEVER_NS without a lease */
    uint64_t expires_ns;       /* of the completion, at the earliest */
};

/* A process, from its start or exec to its exec or end. */
struct life {
    pid_t pid;
    uint32_t spawn;
    uint32_t parent;   /* a life, whose end is the end of this one; 0: none */
    atomic_bool ended; /* is about to end by itself */
    bool closed;       /* its gates were closed for it */
    atomic_uint removing[THREADS_MAX], forcing[THREADS_MAX]; /* the key + 1, at its gate */
};

enum call {
    CALL_CLAIM,
    CALL_COMPLETE,
    CALL_RELEASE,
    CALL_ABANDON,
    CALL_RENEW,
    CALL_LATE,
    CALL_CHILDS,
    CALL_LOOKUP,
    CALL_WAIT,
    CALL_TOUCH,
    CALL_FORGET,
    CALL_RESOLVE,
    CALL_SWEEP,
    CALL_STATS,
    CALL_RESIZE,
    CALL_CHECK,
    CALL_FORK,
    CALL_EXEC,
    CALLS
};
/* What comes of calls: outcomes, from 1; a completion without its value, also counted as ok; ok and the
   statuses. */
#define RESULT_NOT_KEPT 7
#define RESULT_OF_STATUS(status) (8 - (status))
#define RESULTS 24

struct oracle {
    atomic_ulong violations;
    atomic_ulong replays; /* of results that had to be there, and were */
    atomic_bool stop;
    uint32_t keys;
    uint64_t max_bytes; /* at the region's creation */
    atomic_uint next_life, next_grant;
    atomic_ulong counts[CALLS][RESULTS];
    atomic_bool killed[SPAWNS_MAX]; /* set before the kill */
    struct life lives[LIVES_MAX];
    struct key key[KEYS_MAX];
    struct grant grants[GRANTS_MAX];
};

static struct oracle *oracle;

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Counts a broken promise, and tells of the first. The storm goes on. */
__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...)
{
    if (atomic_fetch_add(&oracle->violations, 1) < MESSAGES_MAX) {
        char text[512];
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        dprintf(STDERR_FILENO, "violation: %s (IDEMKEY_SEED=%" PRIu64 ")\n", text, test_seed);
    }
}

static void count(enum call call, int result)
{
    atomic_fetch_add_explicit(&oracle->counts[call][result], 1, memory_order_relaxed);
}
static void count_status(enum call call, int status) { count(call, RESULT_OF_STATUS(status)); }

static uint32_t gate_count(struct gate *gate)
{
    const uint32_t ended = atomic_load(&gate->ended);
    const uint32_t begun = atomic_load(&gate->begun);
    return begun == ended ? begun : AMID;
}
static bool gate_still(struct gate *gate, uint32_t count)
{
    return count != AMID && atomic_load(&gate->begun) == count;
}

static bool life_gone(uint32_t number)
{
    for (uint32_t at = number; at != 0; at = oracle->lives[at].parent) {
        if (atomic_load(&oracle->lives[at].ended) ||
            atomic_load(&oracle->killed[oracle->lives[at].spawn])) {
            return true;
        }
    }
    return false;
}

/* May the key have been given to another, though this grant's process lives? */
static bool grant_in_doubt(const struct grant *grant)
{
    return now_ns() >= atomic_load(&grant->lease_end_ns) ||
           !gate_still(&oracle->key[grant->key].forced, grant->forced_at_claim);
}

/* Must the key be done, with this grant's value? Asked before a call and after it. */
static bool grant_safe(uint32_t number)
{
    const struct grant *grant = &oracle->grants[number];
    return number != 0 && now_ns() < grant->expires_ns &&
           gate_still(&oracle->key[grant->key].removals, grant->removals_at_end);
}

/* Must a new claim of the key be told of this attempt? Asked before a call and after it. */
static bool grant_unfinished(uint32_t number)
{
    const struct grant *grant = &oracle->grants[number];
    return number != 0 && grant->lasting &&
           !(atomic_load(&grant->flags) & (GRANT_ENDING | GRANT_LEASED)) &&
           gate_still(&oracle->key[grant->key].removals, grant->removals_at_claim);
}

/* A new grant's number, 0 if the round has had enough of them. */
static uint32_t grant_new(uint32_t key, uint32_t life)
{
    const uint32_t number = atomic_fetch_add(&oracle->next_grant, 1);
    if (number >= GRANTS_MAX) {
        atomic_store(&oracle->stop, true);
        return 0;
    }
    struct grant *grant = &oracle->grants[number];
    grant->key = key;
    grant->life = life;
    return number;
}

/* A granted claim is told of: nobody else may hold the key. */
static void grant_holds(uint32_t number)
{
    struct grant *grant = &oracle->grants[number];
    struct key *key = &oracle->key[grant->key];
    const uint32_t before = atomic_exchange(&key->holder, number);
    struct grant *other = &oracle->grants[before];
    if (before == 0 || grant_in_doubt(grant)) {
        return;
    }
    if (!(atomic_load(&other->flags) & GRANT_ENDING) && !life_gone(other->life) &&
        !grant_in_doubt(other)) {
        violation("two owners of key %u: grants %u and %u", grant->key, before, number);
    }
    atomic_fetch_or(&other->flags, GRANT_OVERTAKEN);
}

/* The value of a done key: whose it is. */
static void grant_seen(uint32_t key, uint32_t number, uint64_t record)
{
    const uint32_t limit = atomic_load(&oracle->next_grant);
    const struct grant *grant = &oracle->grants[number];
    if (number == 0 || number >= limit || number >= GRANTS_MAX || grant->key != key) {
        violation("key %u has the value of grant %u", key, number);
    } else if ((atomic_load(&grant->flags) & (GRANT_COMPLETING | GRANT_REFUSED)) !=
               GRANT_COMPLETING) {
        violation("key %u has a value that grant %u did not give it", key, number);
    } else if (!grant->any_record && grant->record != record) {
        violation("key %u: the value of grant %u stands in another record", key, number);
    }
}

/* A completion was acknowledged. */
static void grant_acked(uint32_t number)
{
    const struct grant *grant = &oracle->grants[number];
    const uint32_t before = atomic_exchange(&oracle->key[grant->key].acked, number);
    if (before != 0 && oracle->grants[before].record == grant->record) {
        violation("key %u was completed twice: grants %u and %u", grant->key, before, number);
    }
}

/* After its end is certain: what a process left open at gates is closed. */
static void life_close(pid_t pid, uint32_t *first_open)
{
    const uint32_t limit = atomic_load(&oracle->next_life);
    for (uint32_t number = *first_open; number < limit; number++) {
        struct life *life = &oracle->lives[number];
        if (life->pid == pid && !life->closed) {
            for (uint32_t thread = 0; thread < THREADS_MAX; thread++) {
                const uint32_t removing = atomic_exchange(&life->removing[thread], 0);
                const uint32_t forcing = atomic_exchange(&life->forcing[thread], 0);
                if (removing != 0) {
                    atomic_fetch_add(&oracle->key[removing - 1].removals.ended, 1);
                }
                if (forcing != 0) {
                    atomic_fetch_add(&oracle->key[forcing - 1].forced.ended, 1);
                }
            }
            life->closed = true;
        }
        if (number == *first_open && life->closed) {
            ++*first_open;
        }
    }
}

#endif
