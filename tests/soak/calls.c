/* calls.c - see calls.h. */
#include "calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cost.h"
#include "idemkey.h"

enum {
    KEY_BYTES = 36,  /* a UUID as text: the commonest idempotency key */
    US_PER_CALL = 1, /* of the store's clock: as in a busy process */
    SWEEP_BLOCKS = 1000
};

static char path[64];
static idem_store *store;
static uint8_t value[CALLS_VALUE_MAX_BYTES];

_Noreturn static void die(const char *what, int status)
{
    fprintf(stderr, "%s: %s: %s\n", what, idem_strerror(status), idem_last_error());
    unlink(path);
    exit(2);
}

static void must(int status, const char *what)
{
    if (status != IDEM_OK) {
        die(what, status);
    }
}

static void note(enum kind kind, uint64_t cost)
{
    figures_note(kind, cost, kind == CLAIM_MANY ? CALLS_MANY : 1);
    cost_clock_advance_us(US_PER_CALL);
}

/* Key number `id`, in no order. */
static const char *key_of(uint64_t id)
{
    static char key[KEY_BYTES + 1];
    uint64_t z = id * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    snprintf(key, sizeof(key), "%016llx-%019llx", (unsigned long long)(z ^ (z >> 31)),
             (unsigned long long)id);
    return key;
}

static struct idem_request request_of(uint64_t id)
{
    struct idem_request request;
    idem_request_init(&request, sizeof(request));
    request.key = key_of(id);
    request.key_len = KEY_BYTES;
    request.ttl_ms = CALLS_TTL_S * 1000;
    return request;
}

/* Claims a key; if it was granted, `claim` has it. False: refused. */
static bool claim(enum kind kind, uint64_t id, struct idem_claim *claim)
{
    const struct idem_request request = request_of(id);
    idem_claim_init(claim, sizeof(*claim));
    cost_begin();
    const int status = idem_claim(store, &request, claim);
    const uint64_t cost = cost_end();
    note(status == IDEM_EFULL ? CLAIM_REFUSED : kind, cost);
    if (status != IDEM_OK && status != IDEM_EFULL) {
        die("claim", status);
    }
    return status == IDEM_OK;
}

static void complete(struct idem_claim *claim, size_t bytes)
{
    cost_begin();
    const int status = idem_complete(claim, value, bytes, IDEM_TTL_SAME, 0);
    note(COMPLETE, cost_end());
    must(status, "complete");
}

bool calls_put(enum kind kind, uint64_t id, size_t bytes)
{
    struct idem_claim granted;
    if (!claim(kind, id, &granted)) {
        return false;
    }
    complete(&granted, bytes);
    return true;
}

void calls_lookup(enum kind kind, uint64_t id)
{
    static uint8_t buffer[sizeof(value)];
    struct idem_record record;
    const char *key = key_of(id);
    idem_record_init(&record, sizeof(record));
    record.buffer = buffer;
    record.buffer_size = sizeof(buffer);
    cost_begin();
    const int status = idem_lookup(store, key, KEY_BYTES, &record);
    note(kind, cost_end());
    if ((status == IDEM_OK) != (kind == LOOKUP_FOUND)) {
        die("lookup", status);
    }
}

void calls_replay(uint64_t id)
{
    static uint8_t buffer[sizeof(value)];
    struct idem_claim claimed;
    const struct idem_request request = request_of(id);
    idem_claim_init(&claimed, sizeof(claimed));
    claimed.record.buffer = buffer;
    claimed.record.buffer_size = sizeof(buffer);
    cost_begin();
    const int status = idem_claim(store, &request, &claimed);
    note(CLAIM_DONE, cost_end());
    must(status, "replay");
}

void calls_release(uint64_t id)
{
    struct idem_claim granted;
    if (claim(CLAIM_NEW, id, &granted)) {
        cost_begin();
        int status = idem_renew(&granted, CALLS_TTL_S * 1000);
        note(RENEW, cost_end());
        must(status, "renew");
        cost_begin();
        status = idem_release(&granted);
        note(RELEASE, cost_end());
        must(status, "release");
    }
}

void calls_forget(uint64_t id)
{
    const char *key = key_of(id);
    cost_begin();
    int status = idem_touch(store, key, KEY_BYTES, CALLS_TTL_S * 1000);
    note(TOUCH, cost_end());
    must(status, "touch");
    cost_begin();
    status = idem_forget(store, key, KEY_BYTES, 0);
    note(FORGET, cost_end());
    must(status, "forget");
}

void calls_claim_many(uint64_t first)
{
    static char keys[CALLS_MANY][KEY_BYTES + 1];
    struct idem_request requests[CALLS_MANY];
    struct idem_claim claims[CALLS_MANY];
    for (unsigned i = 0; i < CALLS_MANY; i++) {
        requests[i] = request_of(first + i);
        memcpy(keys[i], requests[i].key, KEY_BYTES);
        requests[i].key = keys[i];
        idem_claim_init(&claims[i], sizeof(claims[i]));
    }
    cost_begin();
    const int status = idem_claim_many(store, requests, claims, CALLS_MANY);
    note(CLAIM_MANY, cost_end());
    must(status, "claim_many");
    for (unsigned i = 0; i < CALLS_MANY; i++) {
        complete(&claims[i], 64);
    }
}

void calls_begin(uint64_t max_bytes)
{
    struct idem_options options;
    struct idem_claim first;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = max_bytes;
    snprintf(path, sizeof(path), "/dev/shm/idemkey-calls-%d.idem", (int)getpid());
    unlink(path);
    must(idem_open(path, &options, &store), "open");
    /* The first call of a thread has its place in the region made. */
    idem_claim_init(&first, sizeof(first));
    const struct idem_request request = request_of(UINT64_MAX);
    must(idem_claim(store, &request, &first), "first claim");
    must(idem_release(&first), "first release");
}

void calls_end(void)
{
    struct idem_report checked = {.size = sizeof(checked)};
    must(idem_check(store, &checked), "check");
    must(idem_close(store), "close");
    unlink(path);
}

void calls_scan(void)
{
    struct idem_record record;
    uint64_t cursor = 0;
    int status = IDEM_OK;
    idem_record_init(&record, sizeof(record));
    while (status == IDEM_OK) {
        cost_begin();
        status = idem_scan(store, &cursor, &record);
        note(SCAN, cost_end());
        idem_record_free(&record);
    }
    if (status != IDEM_ENOTFOUND) {
        die("scan", status);
    }
}

void calls_sweep(unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        cost_begin();
        const int64_t freed = idem_sweep(store, SWEEP_BLOCKS);
        note(SWEEP, cost_end());
        must(freed < 0 ? (int)freed : IDEM_OK, "sweep");
    }
}

void calls_orphan(uint64_t first, uint64_t keys)
{
    const pid_t child = fork();
    if (child == 0) {
        for (uint64_t i = 0; i < keys; i++) {
            struct idem_claim claim;
            const struct idem_request request = request_of(first + i);
            idem_claim_init(&claim, sizeof(claim));
            must(idem_claim(store, &request, &claim), "claim");
        }
        _exit(0);
    }
    int status = -1;
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        die("a child that claims", IDEM_ESYS);
    }
}

void calls_first(void)
{
    const char key[] = "first";
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    cost_begin();
    const int status = idem_lookup(store, key, sizeof(key), &record);
    note(FIRST_CALL, cost_end());
    must(status == IDEM_ENOTFOUND ? IDEM_OK : status, "a thread's first call");
}
