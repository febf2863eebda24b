/* worker.c - see soak.h: one process of a soak. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cost.h"
#include "idemkey.h"
#include "soak.h"

enum {
    KEY_BYTES = 40,
    VALUE_MAX_BYTES = 300,
    VALUE_STEP_BYTES = 100, /* few sizes: each thread keeps slabs of each class */
    SHARED_KEYS = 256,      /* all workers want these, again and again */
    BEFORE = 1000,          /* keys ago: looked up again, released keys among them */
    NANOSECONDS_EVERY = 16,
    FORGET_EVERY = 16, /* rounds */
    MS_PER_S = 1000
};

static struct soak *soak;
static idem_store *store;
static uint64_t random_state, before; /* instructions, or nanoseconds, at a call's beginning */
static unsigned calls;
static bool counting;
static uint8_t value[VALUE_MAX_BYTES];
static uint8_t buffer[VALUE_MAX_BYTES];

static uint64_t random_number(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void begin(void)
{
    if (calls % SOAK_BATCH == 0) {
        const uint64_t left = atomic_fetch_sub(&soak->calls_left, SOAK_BATCH);
        if (left < SOAK_BATCH || left > INT64_MAX) {
            atomic_store(&soak->calls_left, 0);
            (void)idem_close(store);
            exit(0);
        }
        cost_clock_advance_us(soak->us_per_batch);
    }
    calls++;
    if (counting) {
        before = cost_now();
    } else if (calls % NANOSECONDS_EVERY == 0) {
        before = cost_real_ns();
    }
}

static void end(int status, const char *what)
{
    if (counting) {
        histogram_add(&soak->instructions, cost_now() - before);
    } else if (calls % NANOSECONDS_EVERY == 0) {
        histogram_add(&soak->nanoseconds, cost_real_ns() - before);
    }
    /* A key may have expired, or be another's. There is always room. */
    if (status != IDEM_OK && status != IDEM_ENOTFOUND && status != IDEM_ELOST &&
        status != IDEM_EBUSY) {
        fprintf(stderr, "soak: %s: %s: %s\n", what, idem_strerror(status), idem_last_error());
        exit(2);
    }
}

static const char *key_of(uint64_t id)
{
    static char key[KEY_BYTES + 1];
    snprintf(key, sizeof(key), "%016llx-%023llu", (unsigned long long)(id * 0x9e3779b97f4a7c15u),
             (unsigned long long)id);
    return key;
}

static bool claim(const char *key, struct idem_claim *claim)
{
    struct idem_request request;
    idem_request_init(&request, sizeof(request));
    idem_claim_init(claim, sizeof(*claim));
    request.key = key;
    request.key_len = KEY_BYTES;
    request.ttl_ms = (random_number() & 1 ? 1 : SOAK_TTLS) * SOAK_TTL_S * MS_PER_S;
    claim->record.buffer = buffer;
    claim->record.buffer_size = sizeof(buffer);
    begin();
    end(idem_claim(store, &request, claim), "claim");
    return claim->outcome == IDEM_CLAIMED || claim->outcome == IDEM_RECLAIMED;
}

static void put(const char *key)
{
    struct idem_claim granted;
    if (claim(key, &granted)) {
        const size_t bytes =
            random_number() % (VALUE_MAX_BYTES / VALUE_STEP_BYTES + 1) * VALUE_STEP_BYTES;
        begin();
        end(idem_complete(&granted, value, bytes, IDEM_TTL_SAME, 0), "complete");
    }
}

static void release(const char *key)
{
    struct idem_claim granted;
    if (claim(key, &granted)) {
        begin();
        end(idem_release(&granted), "release");
    }
}

static void lookup(const char *key)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    record.buffer = buffer;
    record.buffer_size = sizeof(buffer);
    begin();
    end(idem_lookup(store, key, KEY_BYTES, &record), "lookup");
}

/* A new key, and what else is done to keys of late. */
static void work_on(uint64_t id, uint64_t first)
{
    struct idem_claim again;
    put(key_of(id));
    lookup(key_of(id));
    (void)claim(key_of(id), &again);
    release(key_of(id + 1));
    put(key_of(random_number() % SHARED_KEYS));
    if (id - first >= BEFORE) {
        lookup(key_of(id - BEFORE));
    }
    if (random_number() % FORGET_EVERY == 0) {
        const char *key = key_of(id);
        begin();
        end(idem_touch(store, key, KEY_BYTES, SOAK_TTL_S * MS_PER_S), "touch");
        begin();
        end(idem_forget(store, key, KEY_BYTES, 0), "forget");
    }
}

void soak_work(struct soak *shared, const char *path)
{
    enum { ID_BITS = 40 }; /* no worker lives to make so many keys */
    soak = shared;
    cost_clock_set(&soak->clock_ns);
    counting = cost_is_counting();
    const uint64_t first = (atomic_fetch_add(&soak->lives, 1) + 1) << ID_BITS;
    random_state = soak->seed ^ first;
    const int status = idem_open(path, NULL, &store);
    if (status != IDEM_OK) {
        fprintf(stderr, "soak: open: %s: %s\n", idem_strerror(status), idem_last_error());
        exit(2);
    }
    work_on(first, first);
    atomic_fetch_add(&soak->begun, 1);
    for (uint64_t id = first + 2;; id += 2) {
        work_on(id, first);
    }
}
