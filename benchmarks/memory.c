/*
 * memory.c - bytes that a done key costs, all included: what the region's file occupies (header,
 * tables, index, slabs, what is prepared ahead) divided by its keys. Exits with 1 above a limit.
 */
#include "bench.h"

#include <idemkey.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    DEFAULT_KEYS = 1000000,
    STAT_BLOCK_BYTES = 512, /* the unit of st_blocks, whatever the file system's is */
    REGION_BYTES_PER_KEY = 1024,
    REGION_BYTES_LEAST = 256 << 20
};

static const struct kind {
    const char *name;
    size_t value_len;
    int with_fingerprint;
    double limit_bytes; /* at DEFAULT_KEYS; 0 = none set */
} kinds[] = {
    {"64-byte value", VALUE_BYTES, 0, 216},
    {"no value", 0, 0, 152},
    {"64-byte value, fingerprint", VALUE_BYTES, 1, 0},
    {"no value, fingerprint", 0, 1, 0},
};

static void must(int status, const char *call)
{
    if (status != IDEM_OK)
        bench_die("%s: %s: %s", call, idem_strerror(status), idem_last_error());
}

static uint64_t file_bytes(const char *path)
{
    struct stat file;
    if (stat(path, &file) != 0)
        bench_die("cannot stat '%s': %s", path, strerror(errno));
    return (uint64_t)file.st_blocks * STAT_BLOCK_BYTES;
}

static int measure(const struct kind *kind, uint64_t keys)
{
    static const uint8_t fingerprint[IDEM_FINGERPRINT_SIZE] = "a request's body";
    const char *path = bench_temp_path("idem");
    struct idem_options options;
    struct idem_request request;
    struct idem_claim claim;
    struct idem_stats stats = {.size = sizeof stats};
    idem_store *store;
    bench_key key;

    idem_options_init(&options, sizeof options);
    idem_request_init(&request, sizeof request);
    idem_claim_init(&claim, sizeof claim);
    options.flags = IDEM_OPEN_EXCLUSIVE;
    options.max_bytes = keys * REGION_BYTES_PER_KEY + REGION_BYTES_LEAST;
    must(idem_open(path, &options, &store), "idem_open");
    uint64_t empty_bytes = file_bytes(path);
    request.key = key;
    request.key_len = KEY_BYTES;
    request.fingerprint = kind->with_fingerprint ? fingerprint : NULL;
    for (uint64_t id = 0; id < keys; id++) {
        bench_make_key(id, &key);
        must(idem_claim(store, &request, &claim), "idem_claim");
        must(idem_complete(&claim, bench_value, kind->value_len, IDEM_TTL_SAME, 0),
             "idem_complete");
    }
    must(idem_stats(store, &stats), "idem_stats");
    uint64_t full_bytes = file_bytes(path);
    double per_key = (double)full_bytes / (double)keys;
    int above = keys == DEFAULT_KEYS && kind->limit_bytes > 0 && per_key > kind->limit_bytes;
    printf("%-28s %9llu %10.1f %10.1f %7.0f%s %12.1f %12llu\n", kind->name,
           (unsigned long long)keys, per_key, (double)stats.used_bytes / (double)keys,
           kind->limit_bytes, above ? " !" : "  ", (double)empty_bytes / 1024.0,
           (unsigned long long)stats.buckets);
    must(idem_close(store), "idem_close");
    return above;
}

int main(int argc, char **argv)
{
    uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) : DEFAULT_KEYS;
    int above = 0;
    if (argc > 2 || keys < 1000)
        bench_die("usage: memory [KEYS], at least 1000");
    printf("%-28s %9s %10s %10s %7s   %12s %12s\n", "bytes per done key of 36 bytes", "keys",
           "file", "used", "limit", "empty, KiB", "buckets");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        above += measure(&kinds[i], keys);
    return above ? EXIT_FAILURE : EXIT_SUCCESS;
}
