#include "report.h"

#include <stdlib.h>

#include "error.h"
#include "hosttime.h"

int idem__report_grow(struct idem__report *report)
{
    free(report->out->owned);
    report->out->owned = malloc(report->needed);
    report->room = report->needed;
    if (!report->out->owned) {
        report->room = 0;
        return idem__fail_errno("%zu bytes for a record", report->needed);
    }
    return IDEM_OK;
}

static int fill_intent(const struct idem__region *region, const struct record_shm *record,
                       struct idem__report *report)
{
    if (record->intent_len == 0) {
        report->out->intent = "";
        return IDEM_OK;
    }
    if (!idem__record_fits(region, record)) {
        return IDEM_ECORRUPT;
    }
    uint8_t *target = idem__report_target(report, record->intent_len);
    if (!target) {
        return REPORT_BUFFER;
    }
    idem__get_bytes(target, idem__record_intent(record), record->intent_len);
    report->out->intent = target;
    report->out->intent_len = record->intent_len;
    return IDEM_OK;
}

int idem__report_key(const struct idem__op *op, const struct record_shm *record,
                     struct idem__report *report)
{
    if (!idem__record_fits(op->region, record)) {
        return idem__fail(IDEM_ECORRUPT,
                          "the region is damaged: a record has a key of %u bytes; restore the file "
                          "or create a new one",
                          record->key_len);
    }
    uint8_t *target = idem__report_target(report, record->key_len);
    if (!target) {
        return REPORT_BUFFER;
    }
    idem__get_bytes(target, idem__record_key(record), record->key_len);
    report->out->key = target;
    report->out->key_len = record->key_len;
    return IDEM_OK;
}

/* PENDING, or ORPHANED. */
IDEM_COLD int idem__report_open(const struct idem__region *region, uint64_t now_ms,
                                const struct record_shm *record, uint64_t life, bool contents,
                                struct idem__report *report)
{
    struct idem_record *out = report->out;
    out->attempt = (int32_t)idem__life_attempt(life);
    out->kept = 0;
    out->done_age_ms = -1;
    if (idem__life_state(life) == LIFE_PENDING) {
        uint64_t end_ms = idem__lease_end_ms(record, life);
        out->state = IDEM_STATE_PENDING;
        out->held = 0;
        out->lease_left_ms = end_ms == UINT64_MAX ? -1
                             : end_ms > now_ms    ? (int64_t)(end_ms - now_ms)
                                                  : 0;
        out->expires_in_ms =
            idem__until_ms(now_ms, idem__expires_s(idem__record_created_ms(record), record->ttl_s));
    } else {
        out->state = IDEM_STATE_ORPHANED;
        out->held = record->flags & RECORD_HOLD || out->attempt >= (int32_t)LIFE_ATTEMPT_MAX;
        out->lease_left_ms = -1;
        out->expires_in_ms = idem__until_ms(now_ms, idem__orphan_until_s(record, life));
    }
    return contents ? fill_intent(region, record, report) : IDEM_OK;
}

IDEM_COLD int idem__report_fail(const struct record_shm *record)
{
    return idem__fail(IDEM_ECORRUPT,
                      "the region is damaged: the record of order %#llx names no value or intent "
                      "of its own; restore the file or create a new one",
                      (unsigned long long)record->order);
}

int idem__report_fill(const struct idem__op *op, const struct record_shm *record,
                      const struct idem__look *look, bool contents, struct idem__report *report)
{
    return idem__report_fill_hot(op, record, look, contents, report);
}
