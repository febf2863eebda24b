/*
 * hostile.c - what an attacker gains who chooses a million keys that collide under XXH3 without a key: the
 * instructions of each call on such keys, beside those on random keys of the same lengths.
 *
 *     hostile [KEYS]      (default 1,000,000; IDEMKEY_SEED=n repeats a run)
 *
 * XXH3 multiplies parts of the input with each other after an exclusive or with its secret, and the secret
 * of the unkeyed hash is in every copy of it. A factor that is set to zero makes the other one free:
 *
 *     to 240 bytes      the first half of the last 16 bytes is what the secret has for it: then the last
 *                       bytes, which belong to no other product, do not matter
 *     above 240 bytes   the low halves of words 0 and 8 are the secret's: then both words are only added
 *                       up, and high halves of the same sum collide
 *
 * That all keys do collide is verified. Ends with 1 if a mean is above RATIO_MAX of that of random keys.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cost.h"
#include "idemkey.h"

#define RATIO_MAX 1.5

enum {
    /* Where the secret of a last product stands; from this length on at another place; and from that one
       on there are stripes, each with a secret that begins a step further. */
    LAST_SECRET = 16,
    MIDDLE_FROM = 129,
    MIDDLE_LAST_SECRET = 119,
    LONG_FROM = 241,
    STRIPE_BYTES = 64,
    SECRET_STEP_BYTES = 8,
    PRODUCT_BYTES = 16,
    WORD_BYTES = 8,
    HALF_BYTES = 4,
    /* The record's head, its share of the slab's words, and what classes leave over. */
    OVERHEAD_BYTES = 400,
    BYTES_MIN = 64 << 20
};

/* One length for each of the hash's ways; the first is that of a UUID as text. */
static const size_t lengths[] = {36, 200, 256};

enum call { CLAIM, LOOKUP, LOOKUP_ABSENT, CALLS };
static const char *const call_names[CALLS] = {"claim", "lookup, found", "lookup, absent"};

typedef void make_key(uint64_t number, uint8_t *key, size_t length);

static char path[64];
static uint64_t seed;

_Noreturn static void die(const char *what, int status)
{
    fprintf(stderr, "hostile: %s: %s: %s\n", what, idem_strerror(status), idem_last_error());
    unlink(path);
    exit(2);
}

/* splitmix64 */
static uint64_t mixed(uint64_t number)
{
    uint64_t z = number * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void random_key(uint64_t number, uint8_t *key, size_t length)
{
    for (size_t at = 0; at < length; at += WORD_BYTES) {
        const uint64_t word = mixed(mixed(seed + number) + at);
        memcpy(key + at, &word, length - at < WORD_BYTES ? length - at : WORD_BYTES);
    }
    memcpy(key, &number, sizeof(number)); /* no two are the same */
}

static void hostile_key(uint64_t number, uint8_t *key, size_t length)
{
    memset(key, 0, length);
    const uint32_t up = (uint32_t)number, down = (uint32_t)0 - up;
    if (length < LONG_FROM) {
        memcpy(key + length - PRODUCT_BYTES,
               XXH3_kSecret + (length < MIDDLE_FROM ? LAST_SECRET : MIDDLE_LAST_SECRET),
               WORD_BYTES);
        memcpy(key + length - HALF_BYTES, &up, sizeof(up));
        return;
    }
    memcpy(key, XXH3_kSecret, HALF_BYTES);
    memcpy(key + HALF_BYTES, &up, sizeof(up));
    memcpy(key + STRIPE_BYTES, XXH3_kSecret + SECRET_STEP_BYTES, HALF_BYTES);
    memcpy(key + STRIPE_BYTES + HALF_BYTES, &down, sizeof(down));
}

static void verify(uint64_t keys, size_t length)
{
    uint8_t key[IDEM_KEY_MAX];
    hostile_key(0, key, length);
    const uint64_t hash = XXH3_64bits(key, length);
    for (uint64_t i = 1; i < keys; i++) {
        hostile_key(i, key, length);
        if (XXH3_64bits(key, length) != hash) {
            fprintf(stderr, "hostile: key %" PRIu64 " of %zu bytes does not collide\n", i, length);
            exit(2);
        }
    }
    printf("\n%" PRIu64
           " keys of %zu bytes, half of them never claimed; the hostile ones all have the "
           "unkeyed hash %016" PRIx64 "\n",
           keys, length, hash);
}

static uint64_t claim(idem_store *store, const uint8_t *key, size_t length)
{
    struct idem_request request;
    struct idem_claim claimed;
    idem_request_init(&request, sizeof(request));
    idem_claim_init(&claimed, sizeof(claimed));
    request.key = key;
    request.key_len = length;
    cost_begin();
    int status = idem_claim(store, &request, &claimed);
    const uint64_t cost = cost_end();
    if (status == IDEM_OK) {
        status = idem_complete(&claimed, NULL, 0, IDEM_TTL_SAME, 0);
    }
    if (status != IDEM_OK) {
        die("claim", status);
    }
    return cost;
}

static uint64_t lookup(idem_store *store, const uint8_t *key, size_t length, int expected)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    cost_begin();
    const int status = idem_lookup(store, key, length, &record);
    const uint64_t cost = cost_end();
    if (status != expected) {
        die("lookup", status);
    }
    return cost;
}

/* Fills a store with such keys; the means of each call's instructions. */
static void measure(make_key *make, uint64_t keys, size_t length, double means[CALLS])
{
    uint64_t sums[CALLS] = {0}, bytes = keys * (length + OVERHEAD_BYTES);
    struct idem_report report = {.size = sizeof(report)};
    struct idem_options options;
    idem_store *store;
    uint8_t key[IDEM_KEY_MAX];
    idem_options_init(&options, sizeof(options));
    options.max_bytes = bytes > BYTES_MIN ? bytes : BYTES_MIN;
    int status = idem_open(path, &options, &store);
    if (status != IDEM_OK) {
        die("open", status);
    }
    for (uint64_t i = 0; i < keys; i++) {
        make(i, key, length);
        sums[CLAIM] += claim(store, key, length);
    }
    for (uint64_t i = 0; i < keys; i++) {
        make(i, key, length);
        sums[LOOKUP] += lookup(store, key, length, IDEM_OK);
        make(keys + i, key, length);
        sums[LOOKUP_ABSENT] += lookup(store, key, length, IDEM_ENOTFOUND);
    }
    for (int call = 0; call < CALLS; call++) {
        means[call] = (double)sums[call] / (double)keys;
    }
    status = idem_check(store, &report);
    if (status != IDEM_OK || idem_close(store) != IDEM_OK) {
        die("check and close", status);
    }
    unlink(path);
}

int main(int argc, char **argv)
{
    const uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
    const char *given = getenv("IDEMKEY_SEED");
    double highest = 0;
    seed = given ? strtoull(given, NULL, 0) : (uint64_t)time(NULL);
    snprintf(path, sizeof(path), "/dev/shm/idemkey-hostile-%d.idem", (int)getpid());
    printf("seed %" PRIu64 "\n", seed);
    cost_seed(seed);
    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        double random[CALLS], hostile[CALLS];
        verify(2 * keys, lengths[i]);
        measure(random_key, keys, lengths[i], random);
        measure(hostile_key, keys, lengths[i], hostile);
        printf("  %-16s %10s %10s %8s\n", "instructions", "random", "hostile", "ratio");
        for (int call = 0; call < CALLS; call++) {
            const double ratio = hostile[call] / random[call];
            printf("  %-16s %10.1f %10.1f %8.3f\n", call_names[call], random[call], hostile[call],
                   ratio);
            highest = ratio > highest ? ratio : highest;
        }
        fflush(stdout);
    }
    printf("\nhighest ratio %.3f, limit %.1f\n", highest, RATIO_MAX);
    return highest > RATIO_MAX;
}
