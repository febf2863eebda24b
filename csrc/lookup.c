#include "call.h"
#include "hash.h"
#include "nap.h"
#include "report.h"

/* Looks of a read-only store, whose records may be reused under it, before it believes in damage. */
#define READONLY_TRIES 8u

/* Reports a record of this key in its state now; IDEM_ENOTFOUND if it counts as absent. */
static int report_record(struct idem__op *op, struct record_shm *record, bool contents,
                         struct idem__report *report)
{
    struct idem__block block;
    if (!idem__block_of(op->region, record, FAMILY_RECORD, &block)) {
        return idem__fail(IDEM_ECORRUPT,
                          "the region is damaged: the index leads into the middle of a block; "
                          "restore the file or create a new one");
    }
    block.generation = record->generation;
    int status = REPORT_AGAIN;
    while (status == REPORT_AGAIN) {
        uint64_t life = idem__load64(&record->life);
        if (idem__life_state(life) == LIFE_DEAD || idem__life_state(life) == LIFE_EMPTY ||
            idem__life_expired(record, life, op->now_ms)) {
            return IDEM_ENOTFOUND;
        }
        status = idem__report_fill(op, record, life, &block, contents, report);
        if (status == IDEM_OK && idem__life_state(life) == LIFE_PENDING &&
            idem__owner_issued(op->region, idem__life_owner(life)) &&
            idem__owner_dead(op->region, idem__life_owner(life))) {
            /* Nobody has turned the word yet; a lookup writes nothing. */
            report->out->state = IDEM_STATE_ORPHANED;
            report->out->held =
                record->flags & RECORD_HOLD || report->out->attempt >= (int32_t)LIFE_ATTEMPT_MAX;
            report->out->lease_left_ms = -1;
        }
    }
    return status;
}

/* One look, inside a section: IDEM_OK, IDEM_ENOTFOUND, REPORT_BUFFER, IDEM_ECORRUPT. */
static int look_up(struct idem__op *op, const void *key, size_t key_len, uint64_t order,
                   bool contents, struct idem__report *report)
{
    link_shm *start = idem__list_start(op, order);
    struct record_shm *cursor = NULL;
    uint32_t steps = 0;
    int status = start ? idem__list_seek(op, start, order, &cursor) : IDEM_ECORRUPT;
    while (cursor && !status) {
        idem__prefetch_rest(op->region, cursor);
        if (idem__record_has_key(op->region, cursor, key, key_len)) {
            status = report_record(op, cursor, contents, report);
            if (status != IDEM_ENOTFOUND) {
                return status;
            }
            /* An ended record: a later one of the key may stand behind it. */
        }
        status = idem__list_next_in_run(op, cursor, &steps, &cursor);
    }
    return status ? status : IDEM_ENOTFOUND;
}

static int look_up_now(struct idem__op *op, const void *key, size_t key_len, uint64_t order,
                       struct idem_record *record)
{
    struct idem__report report = {.out = record};
    uint32_t damaged = 0;
    for (;;) {
        idem__op_enter(op);
        int status = look_up(op, key, key_len, order, true, &report);
        idem__op_leave(op);
        if (idem__op_overtaken(op) && status != REPORT_BUFFER) {
            status = IDEM_ECORRUPT; /* what was looked at may have been reused under it */
        }
        if (IDEM_LIKELY(status == IDEM_OK)) {
            return IDEM_OK;
        }
        if (IDEM_LIKELY(status == IDEM_ENOTFOUND)) {
            idem__report_clear(record);
            return idem__fail_text(status, "key: is not in the store (any more)");
        }
        if (status == REPORT_BUFFER) {
            status = idem__report_grow(&report);
            if (status) {
                return status;
            }
        } else if (!op->region->readonly || ++damaged == READONLY_TRIES) {
            return status;
        }
    }
}

int idem_lookup(idem_store *store, const void *key, size_t key_len, struct idem_record *record)
{
    struct idem__op op;
    int status = idem__call_begin(store, false, &op);
    if (status) {
        return status;
    }
    status = idem__check_key(key, key_len);
    if (!status) {
        status = idem__check_struct("record", record, sizeof *record);
    }
    if (!status) {
        idem__report_reset(record);
        status =
            look_up_now(&op, key, key_len, idem__hash(op.region->header, key, key_len) | 1, record);
    }
    idem__call_end(&op);
    return status;
}

int idem_lookup_many(idem_store *store, const void *const *keys, const size_t *key_lens,
                     struct idem_record *records, int *statuses, size_t n)
{
    enum { GROUP = 32 }; /* as many misses as a core overlaps, and a short section */
    uint64_t orders[GROUP];
    struct idem__op op;
    int status = idem__call_begin(store, false, &op);
    if (status) {
        return status;
    }
    if (n && (!keys || !key_lens || !records || !statuses)) {
        status = idem__fail(IDEM_EINVAL,
                            "keys, key_lens, records, statuses: one is NULL, but n is %zu", n);
        n = 0;
    }
    for (size_t begin = 0; begin < n; begin += GROUP) {
        size_t count = n - begin < GROUP ? n - begin : GROUP;
        int *results = statuses + begin;
        for (size_t i = 0; i < count; i++) {
            const void *key = keys[begin + i];
            size_t key_len = key_lens[begin + i];
            results[i] = idem__check_key(key, key_len);
            if (!results[i]) {
                results[i] = idem__check_struct("records", &records[begin + i], sizeof *records);
            }
            if (!results[i]) {
                idem__report_reset(&records[begin + i]);
                orders[i] = idem__hash(op.region->header, key, key_len) | 1;
                idem__list_prefetch(op.region, orders[i]);
            }
        }
        idem__op_enter(&op);
        for (size_t i = 0; i < count; i++) {
            if (!results[i]) {
                idem__prefetch_record(op.region, orders[i]);
            }
        }
        for (size_t i = 0; i < count; i++) {
            if (!results[i]) {
                idem__prefetch_value(op.region, orders[i]);
            }
        }
        for (size_t i = 0; i < count; i++) {
            struct idem__report report = {.out = &records[begin + i]};
            if (!results[i]) {
                results[i] =
                    look_up(&op, keys[begin + i], key_lens[begin + i], orders[i], true, &report);
            }
        }
        idem__op_leave(&op);
        for (size_t i = 0; i < count; i++) {
            if (results[i] == REPORT_BUFFER ||
                (results[i] == IDEM_ECORRUPT && op.region->readonly)) {
                results[i] = look_up_now(&op, keys[begin + i], key_lens[begin + i], orders[i],
                                         &records[begin + i]);
            }
            if (results[i] == IDEM_ENOTFOUND) {
                idem__report_clear(&records[begin + i]);
            } else if (results[i] && !status) {
                status = results[i];
            }
        }
    }
    idem__call_end(&op);
    return status;
}

int idem_wait(idem_store *store, const void *key, size_t key_len, int64_t timeout_ms,
              struct idem_record *record)
{
    struct idem__nap nap = {0};
    for (;;) {
        struct idem__op op;
        int status = idem__call_begin(store, false, &op);
        if (status) {
            return status;
        }
        status = idem__check_key(key, key_len);
        if (!status) {
            status = idem__check_time("timeout_ms", timeout_ms, IDEM__WAIT_MAX_MS);
        }
        if (!status) {
            status = idem__check_struct("record", record, sizeof *record);
        }
        if (!status && op.region->readonly) {
            status =
                idem__fail(IDEM_EINVAL, "store: opened read-only, cannot wait; open it without "
                                        "IDEM_OPEN_READONLY");
        }
        if (!status) {
            uint64_t order = idem__hash(op.region->header, key, key_len) | 1;
            idem__report_reset(record);
            idem__nap_prepare(&nap, op.region, order, timeout_ms);
            status = look_up_now(&op, key, key_len, order, record);
        }
        idem__call_end(&op);
        if (status || record->state != IDEM_STATE_PENDING) {
            return status;
        }
        if (!idem__nap_sleep(&nap, record->lease_left_ms > 0 ? record->lease_left_ms : -1)) {
            return idem__fail(IDEM_ETIMEDOUT, "the key is still being run after %lld ms",
                              (long long)timeout_ms);
        }
    }
}
