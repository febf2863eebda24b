#include "call.h"
#include "hash.h"
#include "nap.h"
#include "report.h"

/* Looks of a read-only store, whose records may be reused under it, before it believes in damage. */
#define READONLY_TRIES 8u

/* Nobody has turned the word of a dead owner yet, and a lookup writes nothing: tells it as if turned. */
static IDEM_COLD void tell_orphaned(struct idem__region *region, const struct record_shm *record,
                                    uint64_t life, struct idem_record *out)
{
    if (idem__owner_issued(region, idem__life_owner(life)) &&
        idem__owner_dead(region, idem__life_owner(life))) {
        out->state = IDEM_STATE_ORPHANED;
        out->held = record->flags & RECORD_HOLD || out->attempt >= (int32_t)LIFE_ATTEMPT_MAX;
        out->lease_left_ms = -1;
    }
}

/* Reports a record of this key as it was looked at; IDEM_ENOTFOUND if it counts as absent. */
IDEM_HOT int report_record(const struct idem__op *op, const struct record_shm *record,
                           struct idem__look *look, struct idem__report *report)
{
    for (;; *look = idem__look_at(op->region, record)) {
        uint32_t state = idem__life_state(look->life);
        if (IDEM_UNLIKELY(state == LIFE_DEAD || state == LIFE_EMPTY ||
                          idem__life_expired(record, look->life, op->now_ms))) {
            return IDEM_ENOTFOUND;
        }
        int status = idem__report_fill_hot(op, record, look, true, report);
        if (IDEM_UNLIKELY(state == LIFE_PENDING) && status == IDEM_OK) {
            tell_orphaned(op->region, record, look->life, report->out);
        }
        if (IDEM_LIKELY(status != REPORT_AGAIN)) {
            return status;
        }
    }
}

/* Goes on behind a record of the same order: another key's, or ended, behind which a later one of the key
   may stand. Returns as look_up. */
static IDEM_COLD int look_behind(const struct idem__op *op, struct record_shm *cursor,
                                 const void *key, size_t key_len, struct idem__report *report)
{
    uint32_t steps = 0;
    for (;;) {
        int status = idem__list_next_in_run(op, cursor, &steps, &cursor);
        if (status || !cursor) {
            return status ? status : IDEM_ENOTFOUND;
        }
        struct idem__look look = idem__look_at(op->region, cursor);
        if (idem__record_has_key(op->region, cursor, key, key_len)) {
            status = report_record(op, cursor, &look, report);
            if (status != IDEM_ENOTFOUND) {
                return status;
            }
        }
    }
}

/* One look, inside a section, from the bucket's head: IDEM_OK, IDEM_ENOTFOUND, REPORT_BUFFER, IDEM_ECORRUPT. */
IDEM_HOT int look_up(struct idem__op *op, const void *key, size_t key_len, uint64_t order,
                     link_shm *head, struct idem__report *report)
{
    const struct idem__op here = *op; /* a copy that stays in registers */
    struct idem__position at;
    link_shm *start = idem__list_start_at(op, head, order);
    int status = start ? idem__list_walk(here.region, start, order, &at, false) : IDEM_ECORRUPT;
    if (IDEM_UNLIKELY(status)) {
        return status;
    }
    if (!at.record || at.record->order != order) {
        return IDEM_ENOTFOUND;
    }
    struct idem__look look = idem__look_at(here.region, at.record);
    status = idem__record_has_key(here.region, at.record, key, key_len)
                 ? report_record(&here, at.record, &look, report)
                 : IDEM_ENOTFOUND;
    return IDEM_LIKELY(status != IDEM_ENOTFOUND) ? status
                                                 : look_behind(op, at.record, key, key_len, report);
}

IDEM_HOT int look_up_now(struct idem__op *op, const void *key, size_t key_len, uint64_t order,
                         struct idem_record *record)
{
    struct idem__report report = {.out = record};
    uint32_t damaged = 0;
    for (;;) {
        link_shm *head = idem__list_head(op->region, order);
        __builtin_prefetch(head); /* as early as a core can overlap it with the call before */
        idem__op_enter(op);
        int status = look_up(op, key, key_len, order, head, &report);
        idem__op_leave(op);
        if (idem__op_overtaken(op) && status != REPORT_BUFFER) {
            status = IDEM_ECORRUPT; /* what was looked at may have been reused under it */
        }
        if (IDEM_LIKELY(status == IDEM_OK)) {
            return IDEM_OK;
        }
        if (status == IDEM_ENOTFOUND) {
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
    enum {
        GROUP = 32, /* as many misses as a core overlaps, and a short section */
        STEPS = 2   /* one key in four stands second in its bucket, few stand further */
    };
    struct idem__ahead ahead[GROUP];
    struct idem__op op;
    if (n && (!keys || !key_lens || !records || !statuses)) {
        return idem__fail(IDEM_EINVAL,
                          "keys, key_lens, records, statuses: one is NULL, but n is %zu", n);
    }
    int status = idem__call_begin(store, false, &op);
    if (status) {
        /* The caller looks there: an item's failure has the same result. */
        for (size_t i = 0; i < n; i++) {
            statuses[i] = status;
        }
        return status;
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
                idem__ahead_begin(op.region, &ahead[i],
                                  idem__hash(op.region->header, key, key_len) | 1);
            }
        }
        idem__op_enter(&op);
        for (size_t i = 0; i < count; i++) {
            if (!results[i]) {
                idem__ahead_first(op.region, &ahead[i]);
            }
        }
        for (int step = 0; step < STEPS; step++) {
            for (size_t i = 0; i < count; i++) {
                if (!results[i]) {
                    idem__ahead_step(op.region, &ahead[i]);
                }
            }
        }
        for (size_t i = 0; i < count; i++) {
            struct idem__report report = {.out = &records[begin + i]};
            if (!results[i]) {
                results[i] = look_up(&op, keys[begin + i], key_lens[begin + i], ahead[i].order,
                                     ahead[i].head, &report);
            }
        }
        idem__op_leave(&op);
        for (size_t i = 0; i < count; i++) {
            if (results[i] == REPORT_BUFFER ||
                (results[i] == IDEM_ECORRUPT && op.region->readonly)) {
                results[i] = look_up_now(&op, keys[begin + i], key_lens[begin + i], ahead[i].order,
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
