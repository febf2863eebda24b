#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "call.h"
#include "report.h"

/* Sets a member as far as the caller's struct, which may be of another header, has it: nothing behind it. */
#define SET(object, size, member, value)                                                          \
    do {                                                                                          \
        if ((size) >= (size_t)((const char *)(&(object)->member + 1) - (const char *)(object))) { \
            (object)->member = (value);                                                           \
        }                                                                                         \
    } while (0)

void idem_options_init(struct idem_options *options, size_t size)
{
    memset(options, 0, size);
    SET(options, size, size, (uint32_t)size);
    SET(options, size, mode, 0600);
    SET(options, size, group, -1);
}

void idem_request_init(struct idem_request *request, size_t size)
{
    const int64_t day_ms = 86400000; /* what most documented APIs promise */
    memset(request, 0, size);
    SET(request, size, size, (uint32_t)size);
    SET(request, size, ttl_ms, day_ms);
}

void idem_record_init(struct idem_record *record, size_t size)
{
    memset(record, 0, size);
    SET(record, size, size, (uint32_t)size);
}

void idem_claim_init(struct idem_claim *claim, size_t size)
{
    memset(claim, 0, size);
    SET(claim, size, size, (uint32_t)size);
    SET(claim, size, record.size, (uint32_t)sizeof claim->record);
}

void idem_record_free(struct idem_record *record)
{
    /* Only the bytes: `attempt` is part of the token of the claim that the record may be in. */
    if (record && record->owned) {
        free(record->owned);
        record->owned = NULL;
        record->key = record->value = record->intent = NULL;
        record->key_len = record->value_len = record->intent_len = 0;
    }
}

int idem_open(const char *path, const struct idem_options *options, idem_store **store)
{
    struct idem__region *region = NULL;
    if (!store) {
        return idem__fail(IDEM_EINVAL, "store: is NULL; give the address of an idem_store pointer");
    }
    *store = NULL;
    int status = idem__region_open(path, options, &region);
    if (!status) {
        status = idem__clock_open(region);
        if (!status) {
            status = idem__handle_new(region, store);
        }
        if (status) {
            idem__region_close(region);
        }
    }
    return status;
}

int idem_close(idem_store *store)
{
    struct idem__region *region = idem__handle_take(store);
    if (!region) {
        return IDEM_EINVAL;
    }
    idem__region_close(region);
    return IDEM_OK;
}

int64_t idem_sweep(idem_store *store, uint64_t budget)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (status) {
        return status;
    }
    int64_t freed = (int64_t)idem__sweep(&op, budget);
    idem__call_end(&op);
    return freed;
}

int idem_resize(idem_store *store, uint64_t max_bytes)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (!status) {
        status = idem__region_resize(op.region, max_bytes);
        idem__call_end(&op);
    }
    return status;
}

int idem_fingerprint(const void *secret, size_t secret_len, const void *const *parts,
                     const size_t *part_lens, size_t n, uint8_t *out)
{
    if (!out || (n && (!parts || !part_lens)) || (!secret && secret_len)) {
        return idem__fail(IDEM_EINVAL, "%s: is NULL",
                          !out                    ? "out"
                          : !secret && secret_len ? "secret"
                                                  : "parts");
    }
    XXH3_state_t state;
    (void)XXH3_128bits_reset(&state);
    /* The secret goes first, prefixed by its length as every part is: no two lists of parts read alike. */
    for (size_t i = 0; i <= n; i++) {
        const void *part = i ? parts[i - 1] : secret;
        uint64_t length = i ? part_lens[i - 1] : secret_len;
        if (!part && length) {
            return idem__fail(IDEM_EINVAL, "parts: part %zu is NULL but has %llu bytes", i - 1,
                              (unsigned long long)length);
        }
        (void)XXH3_128bits_update(&state, &length, sizeof length);
        if (length) {
            (void)XXH3_128bits_update(&state, part, length);
        }
    }
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
    memcpy(out, canonical.digest, IDEM_FINGERPRINT_SIZE);
    return IDEM_OK;
}
