#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "call.h"
#include "cancel.h"
#include "report.h"

/*
 * Zeroes the caller's struct and writes its size into it. False: the defaults of today's fields must not be
 * written, for the struct is of a header that has fewer (the calls refuse it by its size), or NULL.
 */
static bool init(void *given, size_t size, size_t known)
{
    const uint32_t own_size = (uint32_t)size;
    if (!given || size < sizeof own_size) {
        return false;
    }
    memset(given, 0, size);
    memcpy(given, &own_size, sizeof own_size);
    return size >= known;
}

void idem_options_init(struct idem_options *options, size_t size)
{
    if (init(options, size, sizeof *options)) {
        options->mode = 0600;
        options->group = -1;
    }
}

void idem_request_init(struct idem_request *request, size_t size)
{
    const int64_t day_ms = 86400000; /* what most documented APIs promise */
    if (init(request, size, sizeof *request)) {
        request->ttl_ms = day_ms;
    }
}

void idem_record_init(struct idem_record *record, size_t size)
{
    (void)init(record, size, sizeof *record);
}

void idem_claim_init(struct idem_claim *claim, size_t size)
{
    if (init(claim, size, sizeof *claim)) {
        claim->record.size = sizeof claim->record;
    }
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

static int open_store(const char *path, const struct idem_options *options, idem_store **store)
{
    struct idem__region *region = NULL;
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

int idem_open(const char *path, const struct idem_options *options, idem_store **store)
{
    if (!store) {
        return idem__fail(IDEM_EINVAL, "store: is NULL; give the address of an idem_store pointer");
    }
    *store = NULL;
    const int cancel = idem__cancel_put_off();
    const int status = open_store(path, options, store);
    idem__cancel_restore(cancel);
    return status;
}

int idem_close(idem_store *store)
{
    const int cancel = idem__cancel_put_off();
    struct idem__region *region = idem__handle_take(store);
    if (region) {
        idem__region_close(region);
    }
    idem__cancel_restore(cancel);
    return region ? IDEM_OK : IDEM_EINVAL;
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

int idem_secret(idem_store *store, uint8_t *out)
{
    struct idem__op op;
    if (!out) {
        return idem__fail(IDEM_EINVAL, "out: is NULL; give IDEM_SECRET_SIZE bytes");
    }
    int status = idem__call_begin(store, false, &op);
    if (!status) {
        memcpy(out, op.region->header->secret, IDEM_SECRET_SIZE);
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
