/*
 * glue.h - the few lines of C between cffi and the core; glue_decl.h says why. Included once, by
 * the generated source of idemkey._core.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <idemkey.h>

#include "glue_decl.h"

_Static_assert(IDEM__PY_SPACE_BYTES == sizeof(((struct idem__py_reply *)0)->space),
               "cffi reads no constant in an array's length");
_Static_assert((int)IDEM__PY_OWNED > (int)IDEM_HELD, "a flag beside the outcomes");

static void reply_init(struct idem__py_reply *reply)
{
    idem_claim_init(&reply->claim, sizeof reply->claim);
    reply->claim.record.buffer = reply->space;
    reply->claim.record.buffer_size = sizeof reply->space;
}

/* What the calls that fill a reply return: `result`, if the call succeeded. */
static int reply_done(struct idem__py_reply *reply, int status, int result, int is_done)
{
    const struct idem_record *record = &reply->claim.record;

    reply->value = record->value;
    reply->value_len = is_done && record->kept ? (int64_t)record->value_len : -1;
    if (status != IDEM_OK) {
        idem_record_free(&reply->claim.record);
        return status;
    }
    return record->owned != NULL ? result | IDEM__PY_OWNED : result;
}

static int claim_done(struct idem__py_reply *reply, int status)
{
    int outcome = reply->claim.outcome;

    return reply_done(reply, status, outcome, outcome == IDEM_DONE);
}

static int record_done(struct idem__py_reply *reply, int status)
{
    return reply_done(reply, status, 0, reply->claim.record.state == IDEM_STATE_DONE);
}

/* What a batch of n needs in one piece for the core; NULL with errno if there is no memory. */
static void *batch_alloc(size_t n, size_t item_bytes)
{
    return calloc(n > 0 ? n : 1, item_bytes);
}

static int idem__py_claim(idem_store *store, struct idem__py_reply *reply, const char *key,
                          size_t key_len, const char *fingerprint, const char *intent,
                          size_t intent_len, int64_t ttl_ms, int64_t lease_ms,
                          int64_t crash_grace_ms, uint32_t flags, int64_t wait_ms)
{
    struct idem_request request;

    idem_request_init(&request, sizeof request);
    request.flags = flags;
    request.key = key;
    request.key_len = key_len;
    request.fingerprint = fingerprint;
    request.intent = intent;
    request.intent_len = intent_len;
    request.ttl_ms = ttl_ms;
    request.lease_ms = lease_ms;
    request.crash_grace_ms = crash_grace_ms;
    request.wait_ms = wait_ms;
    reply_init(reply);
    return claim_done(reply, idem_claim(store, &request, &reply->claim));
}

static int idem__py_claim_many(idem_store *store, size_t n, const char *keys,
                               const size_t *key_lens, const char *fingerprints,
                               const size_t *fingerprint_lens, const char *intents,
                               const size_t *intent_lens, int64_t ttl_ms, int64_t lease_ms,
                               int64_t crash_grace_ms, uint32_t flags,
                               struct idem__py_reply **replies, int *results)
{
    struct idem_request *requests = batch_alloc(n, sizeof *requests);
    struct idem_claim *claims = batch_alloc(n, sizeof *claims);
    int status = IDEM_ESYS;

    if (requests == NULL || claims == NULL)
        goto out;
    for (size_t i = 0; i < n; i++) {
        struct idem_request *request = &requests[i];

        idem_request_init(request, sizeof *request);
        request->flags = flags;
        request->key = keys;
        request->key_len = key_lens[i];
        request->fingerprint = fingerprint_lens[i] > 0 ? fingerprints : NULL;
        request->intent = intents;
        request->intent_len = intent_lens[i];
        request->ttl_ms = ttl_ms;
        request->lease_ms = lease_ms;
        request->crash_grace_ms = crash_grace_ms;
        keys += key_lens[i];
        fingerprints += fingerprint_lens[i];
        intents += intent_lens[i];
        reply_init(replies[i]);
        claims[i] = replies[i]->claim;
    }
    status = idem_claim_many(store, requests, claims, n);
    for (size_t i = 0; i < n; i++) {
        replies[i]->claim = claims[i];
        results[i] = claim_done(replies[i], claims[i].status);
    }
out:
    free(requests);
    free(claims);
    return status;
}

static int idem__py_complete(struct idem__py_reply *reply, const char *value, size_t value_len,
                             int64_t ttl_ms, uint32_t flags)
{
    return idem_complete(&reply->claim, value, value_len, ttl_ms, flags);
}

static int idem__py_release(struct idem__py_reply *reply)
{
    return idem_release(&reply->claim);
}

static int idem__py_abandon(struct idem__py_reply *reply)
{
    return idem_abandon(&reply->claim);
}

static int idem__py_renew(struct idem__py_reply *reply, int64_t lease_ms)
{
    return idem_renew(&reply->claim, lease_ms);
}

static int idem__py_lookup(idem_store *store, const char *key, size_t key_len,
                           struct idem__py_reply *reply)
{
    reply_init(reply);
    return record_done(reply, idem_lookup(store, key, key_len, &reply->claim.record));
}

static int idem__py_lookup_many(idem_store *store, size_t n, const char *keys,
                                const size_t *key_lens, struct idem__py_reply **replies,
                                int *results)
{
    const void **starts = batch_alloc(n, sizeof *starts);
    struct idem_record *records = batch_alloc(n, sizeof *records);
    int status = IDEM_ESYS;

    if (starts == NULL || records == NULL)
        goto out;
    for (size_t i = 0; i < n; i++) {
        starts[i] = keys;
        keys += key_lens[i];
        reply_init(replies[i]);
        records[i] = replies[i]->claim.record;
    }
    status = idem_lookup_many(store, starts, key_lens, records, results, n);
    for (size_t i = 0; i < n; i++) {
        replies[i]->claim.record = records[i];
        results[i] = record_done(replies[i], results[i]);
    }
out:
    free(starts);
    free(records);
    return status;
}

static int idem__py_wait(idem_store *store, const char *key, size_t key_len, int64_t timeout_ms,
                         struct idem__py_reply *reply)
{
    reply_init(reply);
    return record_done(reply, idem_wait(store, key, key_len, timeout_ms, &reply->claim.record));
}

static int idem__py_scan(idem_store *store, uint64_t *cursor, struct idem__py_reply *reply)
{
    reply_init(reply);
    return record_done(reply, idem_scan(store, cursor, &reply->claim.record));
}

static void idem__py_free(struct idem__py_reply *reply)
{
    idem_record_free(&reply->claim.record);
}

static int idem__py_fingerprint(const char *secret, size_t secret_len, size_t n,
                                const char *parts, const size_t *part_lens, uint8_t *out)
{
    const void **starts = batch_alloc(n, sizeof *starts);
    int status;

    if (starts == NULL)
        return IDEM_ESYS;
    for (size_t i = 0; i < n; i++) {
        starts[i] = parts;
        parts += part_lens[i];
    }
    status = idem_fingerprint(secret, secret_len, starts, part_lens, n, out);
    free(starts);
    return status;
}
