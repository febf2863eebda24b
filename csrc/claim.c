#include "hash.h"
#include "judge.h"
#include "nap.h"
#include "reclaim.h"

#define CLAIM_LOOK_AT_FILE \
    4 /* a result: first ask whether the file is still there, outside the section */

/* What is wrong with a request, or IDEM_OK: has an intent. */
static IDEM_COLD int fail_request(const struct idem__region *region,
                                  const struct idem_request *request)
{
    int status = idem__check_struct("request", request, sizeof *request);
    if (!status) {
        status = idem__check_key(request->key, request->key_len);
    }
    if (!status) {
        status = idem__check_ttl("ttl_ms", request->ttl_ms, false);
    }
    if (!status) {
        status = idem__check_time("lease_ms", request->lease_ms, IDEM__LEASE_MAX_MS);
    }
    if (!status) {
        status = idem__check_time("crash_grace_ms", request->crash_grace_ms, IDEM__GRACE_MAX_MS);
    }
    if (!status) {
        status = idem__check_time("wait_ms", request->wait_ms, IDEM__WAIT_MAX_MS);
    }
    if (!status && request->flags & ~(uint32_t)IDEM_HOLD) {
        status = idem__fail(IDEM_EINVAL, "flags: has unknown bits %#x; known are IDEM_HOLD",
                            request->flags);
    }
    if (status || request->intent_len == 0) {
        return status;
    }
    if (!request->intent) {
        return idem__fail(IDEM_EINVAL, "intent: is NULL, but intent_len is %zu",
                          request->intent_len);
    }
    uint64_t largest = region->classes[region->class_count - 1].block_bytes;
    uint64_t rest = idem__record_bytes(request->key_len, request->fingerprint, 0);
    if (request->intent_len > largest - rest) {
        return idem__fail(IDEM_ETOOBIG, "intent: has %zu bytes; this store keeps at most %llu",
                          request->intent_len, (unsigned long long)(largest - rest));
    }
    return IDEM_OK;
}

/* Checks a request's arguments. */
IDEM_HOT int check_request(const struct idem__region *region, const struct idem_request *request)
{
    bool good = request && request->size == sizeof *request &&
                idem__key_good(request->key, request->key_len) && idem__ttl_good(request->ttl_ms) &&
                (uint64_t)request->lease_ms <= (uint64_t)IDEM__LEASE_MAX_MS &&
                (uint64_t)request->crash_grace_ms <= (uint64_t)IDEM__GRACE_MAX_MS &&
                (uint64_t)request->wait_ms <= (uint64_t)IDEM__WAIT_MAX_MS &&
                !(request->flags & ~(uint32_t)IDEM_HOLD) && request->intent_len == 0;
    return IDEM_LIKELY(good) ? IDEM_OK : fail_request(region, request);
}

/* Writes a record into a block of mine; the link comes later. */
IDEM_HOT struct record_shm *write_record(const struct idem__op *op, const struct idem__block *block,
                                         const struct idem_request *request, uint64_t order,
                                         uint32_t ttl_s, uint64_t newest_ns)
{
    struct record_shm *record = (struct record_shm *)(void *)block->content;
    uint32_t lease =
        IDEM_UNLIKELY(request->lease_ms) ? idem__lease_encode((uint64_t)request->lease_ms) : 0;
    record->order = order;
    /* [M4] Release, after the CAS to TAKEN: who loads this word by address and the block word after it
       sees the generation that it belongs to. */
    idem__store64(&record->life, idem__life_pending(op->thread->owner, 1, lease));
    /* Above every earlier record of the key: their sequence. */
    record->created_ns = idem__max_u64(op->now_ms * IDEM__NS_PER_MS, newest_ns + 1);
    record->ttl_s = ttl_s;
    record->grace_ms = (uint32_t)request->crash_grace_ms;
    record->key_len = (uint16_t)request->key_len;
    record->flags = (uint16_t)((request->flags & IDEM_HOLD ? RECORD_HOLD : 0) |
                               (request->fingerprint ? RECORD_FINGERPRINT : 0));
    record->intent_len = (uint32_t)request->intent_len;
    record->generation = block->generation;
    record->checksum = idem__record_checksum(record);
    idem__a64 *at = idem__put_bytes(idem__record_key(record), request->key, request->key_len);
    if (request->fingerprint) {
        at = idem__put_bytes(at, request->fingerprint, IDEM_FINGERPRINT_SIZE);
    }
    if (IDEM_UNLIKELY(request->intent_len)) {
        (void)idem__put_bytes(at, request->intent, request->intent_len);
    }
    return record;
}

/* Claims a key that is absent, at its place in the list. REPORT_AGAIN: that has changed; IDEM_EFULL. */
IDEM_HOT int claim_absent(struct idem__op *op, const struct idem__position *at,
                          const struct idem_request *request, uint64_t order, uint64_t newest_ns,
                          struct idem_claim *claim)
{
    struct idem__block block;
    uint32_t ttl_s = idem__ttl_s(request->ttl_ms);
    /* When it expires if it is completed with the same ttl. */
    uint32_t bound_s = idem__bound_of(idem__expires_s(op->now_ms, ttl_s));
    uint64_t bytes =
        idem__record_bytes(request->key_len, request->fingerprint, request->intent_len);
    if (IDEM_UNLIKELY(idem__block_alloc(op, FAMILY_RECORD, bytes, bound_s, &block))) {
        return IDEM_EFULL;
    }
    struct record_shm *record = write_record(op, &block, request, order, ttl_s, newest_ns);
    if (IDEM_UNLIKELY(!idem__list_insert(op, at, record))) {
        idem__block_give_back(&block);
        return REPORT_AGAIN;
    }
    idem__block_publish(&block, bound_s);
    idem__grant(claim, IDEM_CLAIMED, op, &block);
    struct idem_record *out = &claim->record;
    idem__report_clear(out); /* of what an earlier look found */
    out->state = IDEM_STATE_PENDING;
    out->id = idem__public_id(op->region, record, block.generation);
    out->attempt = 1;
    out->lease_left_ms = request->lease_ms ? request->lease_ms : -1;
    out->expires_in_ms = request->ttl_ms;
    return IDEM_OK;
}

/*
 * One attempt, inside a section: IDEM_OK and claim->outcome; IDEM_EFULL, REPORT_BUFFER: leave the section,
 * make room or grow, try again; IDEM_ECORRUPT.
 */
IDEM_HOT int attempt(struct idem__op *op, const struct idem_request *request, uint64_t order,
                     link_shm *head, struct idem_claim *claim, struct idem__report *report)
{
    struct idem__ended ended = {0};
    link_shm *start = idem__list_start_at(op, head, order);
    int result = start ? REPORT_AGAIN : IDEM_ECORRUPT;
    while (result == REPORT_AGAIN) {
        struct idem__position at;
        result = idem__list_walk(op->region, start, order, &at, true);
        if (IDEM_UNLIKELY(result)) {
            break;
        }
        result = at.record && at.record->order == order
                     ? idem__judge_run(op, at.record, request, &ended, claim, report)
                     : JUDGE_GONE;
        if (result == JUDGE_GONE) {
            result = claim_absent(op, &at, request, order, ended.newest_ns, claim);
        }
    }
    if (IDEM_UNLIKELY(ended.record != NULL)) {
        /* Expired a moment ago, or left by a process that died: nothing of it stays behind. What was
           decided stands, even if the list is found damaged now: idem_check tells. */
        (void)idem__record_bury(op, ended.record, idem__load64(&ended.record->life));
    }
    return result;
}

/* The call after its checks, without waiting: attempts until one decides, or there is no room. */
IDEM_HOT int claim_now(struct idem__op *op, const struct idem_request *request, uint64_t order,
                       struct idem_claim *claim)
{
    struct idem__report report = {.out = &claim->record};
    for (;;) {
        link_shm *head = idem__list_head(op->region, order);
        /* While the section is entered and the clock read; and early enough for a core to fetch it
           while it still waits for what the call before was about. */
        __builtin_prefetch(head);
        idem__op_enter(op);
        int result = idem__region_replaced_due(op->region, op->now_ms)
                         ? CLAIM_LOOK_AT_FILE
                         : attempt(op, request, order, head, claim, &report);
        idem__op_leave(op);
        if (IDEM_LIKELY(result == IDEM_OK)) {
            return IDEM_OK;
        }
        if (result == CLAIM_LOOK_AT_FILE) {
            result = idem__region_ask_replaced(op->region, op->now_ms);
            if (!result) {
                continue;
            }
        }
        if (result == IDEM_EFULL && idem__make_room(op)) {
            continue;
        }
        if (result == REPORT_BUFFER) {
            result = idem__report_grow(&report);
            if (!result) {
                continue;
            }
        }
        return result == IDEM_EFULL ? idem__fail_full(op) : result;
    }
}

IDEM_HOT void claim_reset(struct idem_claim *claim, idem_store *store)
{
    idem__report_reset(&claim->record);
    claim->outcome = 0;
    claim->status = IDEM_OK;
    claim->owner = 0;
    claim->store = store;
}

/* A call, but for waiting; `nap` is prepared for that if it is not NULL. */
IDEM_HOT int claim_once(idem_store *store, const struct idem_request *request,
                        struct idem_claim *claim, struct idem__nap *nap)
{
    struct idem__op op;
    int status = idem__call_begin(store, true, &op);
    if (IDEM_UNLIKELY(status)) {
        return status;
    }
    status = check_request(op.region, request);
    if (IDEM_LIKELY(!status)) {
        status = idem__check_struct("claim", claim, sizeof *claim);
    }
    if (IDEM_LIKELY(!status)) {
        claim_reset(claim, store);
        uint64_t order = idem__hash(op.region->header, request->key, request->key_len) | 1;
        if (nap) {
            idem__nap_prepare(nap, op.region, order, request->wait_ms);
        }
        status = claim->status = claim_now(&op, request, order, claim);
    }
    idem__call_end(&op);
    return status;
}

static IDEM_COLD int claim_waiting(idem_store *store, const struct idem_request *request,
                                   struct idem_claim *claim)
{
    struct idem__nap nap = {0};
    for (;;) {
        int status = claim_once(store, request, claim, &nap);
        if (status || claim->outcome != IDEM_BUSY ||
            !idem__nap_sleep(&nap, claim->record.lease_left_ms)) {
            return status;
        }
    }
}

int idem_claim(idem_store *store, const struct idem_request *request, struct idem_claim *claim)
{
    if (IDEM_UNLIKELY(request && request->size == sizeof *request && request->wait_ms > 0)) {
        return claim_waiting(store, request, claim);
    }
    return claim_once(store, request, claim, NULL);
}

static IDEM_COLD int claim_again(struct idem__op *op, const struct idem_request *request,
                                 uint64_t order, struct idem_claim *claim)
{
    return claim_now(op, request, order, claim);
}

/* The batch as a whole failed: none of its claims may look like one of an earlier call. */
static IDEM_COLD int fail_batch(idem_store *store, struct idem_claim *claims, size_t n, int status)
{
    for (size_t i = 0; i < n; i++) {
        if (claims[i].size == sizeof *claims) {
            claim_reset(&claims[i], store);
            claims[i].status = status;
        }
    }
    return status;
}

int idem_claim_many(idem_store *store, const struct idem_request *requests,
                    struct idem_claim *claims, size_t n)
{
    enum { GROUP = 32 }; /* as many misses as a core overlaps, and a short section */
    struct idem__ahead ahead[GROUP];
    int checks[GROUP];
    struct idem__op op;
    if (n && (!requests || !claims)) {
        return idem__fail(IDEM_EINVAL, "%s: is NULL, but n is %zu",
                          requests ? "claims" : "requests", n);
    }
    int first_failure = IDEM_OK, status = idem__call_begin(store, true, &op);
    if (status) {
        return fail_batch(store, claims, n, status);
    }
    status = idem__region_check_replaced(op.region, idem__clock_now_ms(op.region));
    if (status) {
        idem__call_end(&op);
        return fail_batch(store, claims, n, status);
    }
    for (size_t begin = 0; begin < n; begin += GROUP) {
        size_t count = n - begin < GROUP ? n - begin : GROUP;
        const struct idem_request *request = requests + begin;
        struct idem_claim *claim = claims + begin;
        for (size_t i = 0; i < count; i++) {
            checks[i] = check_request(op.region, &request[i]);
            if (!checks[i]) {
                checks[i] = idem__check_struct("claims", &claim[i], sizeof *claims);
            }
            if (!checks[i]) {
                claim_reset(&claim[i], store);
                idem__ahead_begin(
                    op.region, &ahead[i],
                    idem__hash(op.region->header, request[i].key, request[i].key_len) | 1);
            }
        }
        idem__op_enter(&op);
        for (size_t i = 0; i < count; i++) {
            if (!checks[i]) {
                idem__ahead_first(op.region, &ahead[i]);
            }
        }
        for (size_t i = 0; i < count; i++) {
            if (!checks[i]) {
                idem__ahead_step(op.region, &ahead[i]);
            }
        }
        for (size_t i = 0; i < count; i++) {
            struct idem__report report = {.out = &claim[i].record};
            if (!checks[i]) {
                checks[i] =
                    attempt(&op, &request[i], ahead[i].order, ahead[i].head, &claim[i], &report);
            }
        }
        idem__op_leave(&op);
        for (size_t i = 0; i < count; i++) {
            if (checks[i] == IDEM_EFULL || checks[i] == REPORT_BUFFER) {
                op.round = ROUND_FIRST;
                checks[i] = claim_again(&op, &request[i], ahead[i].order, &claim[i]);
            }
            claim[i].status = checks[i];
            first_failure = first_failure ? first_failure : checks[i];
        }
    }
    idem__call_end(&op);
    return first_failure;
}
