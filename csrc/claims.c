#include "call.h"
#include "claim.h"
#include "hash.h"
#include "nap.h"

static inline void claim_reset(struct idem_claim *claim, idem_store *store)
{
    idem__report_reset(&claim->record);
    claim->outcome = 0;
    claim->status = IDEM_OK;
    claim->owner = 0;
    claim->store = store;
}

int idem_claim(idem_store *store, const struct idem_request *request, struct idem_claim *claim)
{
    struct idem__nap nap = {0};
    for (;;) {
        struct idem__op op;
        int status = idem__call_begin(store, true, &op);
        if (status) {
            return status;
        }
        status = idem__claim_check(op.region, request);
        if (!status) {
            status = idem__check_struct("claim", claim, sizeof *claim);
        }
        if (!status) {
            claim_reset(claim, store);
        }
        if (status) {
            idem__call_end(&op);
            return status;
        }
        uint64_t order = idem__hash(op.region->header, request->key, request->key_len) | 1;
        if (IDEM_UNLIKELY(request->wait_ms > 0)) {
            idem__nap_prepare(&nap, op.region, order, request->wait_ms);
        }
        claim->status = idem__claim_now(&op, request, order, claim);
        idem__call_end(&op);
        if (IDEM_LIKELY(claim->status || claim->outcome != IDEM_BUSY || request->wait_ms == 0) ||
            !idem__nap_sleep(&nap, claim->record.lease_left_ms)) {
            return claim->status;
        }
    }
}

int idem_claim_many(idem_store *store, const struct idem_request *requests,
                    struct idem_claim *claims, size_t n)
{
    enum {
        GROUP = IDEM__PREFETCH_MAX
    }; /* as many misses as a core overlaps, and a short section */
    uint64_t orders[GROUP];
    const struct record_shm *ahead[GROUP];
    int checks[GROUP];
    struct idem__op op;
    int first_failure = IDEM_OK, status = idem__call_begin(store, true, &op);
    if (status) {
        return status;
    }
    if (n && (!requests || !claims)) {
        status = idem__fail(IDEM_EINVAL, "%s: is NULL, but n is %zu",
                            requests ? "claims" : "requests", n);
    } else {
        status = idem__region_check_replaced(op.region, idem__clock_now_ms(op.region));
    }
    for (size_t begin = 0; begin < n && !status; begin += GROUP) {
        size_t count = n - begin < GROUP ? n - begin : GROUP;
        const struct idem_request *request = requests + begin;
        struct idem_claim *claim = claims + begin;
        for (size_t i = 0; i < count; i++) {
            checks[i] = idem__claim_check(op.region, &request[i]);
            if (!checks[i]) {
                checks[i] = idem__check_struct("claims", &claim[i], sizeof *claims);
            }
            orders[i] = 0;
            if (!checks[i]) {
                claim_reset(&claim[i], store);
                orders[i] = idem__hash(op.region->header, request[i].key, request[i].key_len) | 1;
            }
        }
        idem__op_enter(&op);
        idem__list_prefetch(op.region, orders, count, ahead);
        for (size_t i = 0; i < count; i++) {
            struct idem__report report = {.out = &claim[i].record};
            if (!checks[i]) {
                checks[i] = idem__claim_attempt(&op, &request[i], orders[i], &claim[i], &report);
            }
        }
        idem__op_leave(&op);
        for (size_t i = 0; i < count; i++) {
            if (checks[i] == IDEM_EFULL || checks[i] == REPORT_BUFFER) {
                op.round = ROUND_FIRST;
                checks[i] = idem__claim_now(&op, &request[i], orders[i], &claim[i]);
            }
            claim[i].status = checks[i];
            first_failure = first_failure ? first_failure : checks[i];
        }
    }
    idem__call_end(&op);
    return status ? status : first_failure;
}
