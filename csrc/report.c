#include "report.h"

#include <stdlib.h>

#include "error.h"
#include "owner.h"

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

/* A target of `bytes` for a string, or NULL: grow first. */
static uint8_t *target_of(struct idem__report *report, size_t bytes)
{
    struct idem_record *out = report->out;
    size_t room = out->owned ? report->room : out->buffer_size;
    uint8_t *base = out->owned ? out->owned : out->buffer;
    if (report->used + bytes > room) {
        report->needed = report->used + bytes;
        return NULL;
    }
    report->used += bytes;
    return base + report->used - bytes;
}

static int fill_value(const struct idem__op *op, uint64_t life, uint32_t number_of,
                      uint32_t generation, bool contents, struct idem__report *report)
{
    struct idem_record *out = report->out;
    uint32_t number = idem__life_value(life);
    out->kept = number != LIFE_VALUE_NOT_KEPT;
    if (number <= LIFE_VALUE_EMPTY) {
        out->value = out->kept ? "" : NULL;
        return IDEM_OK;
    }
    struct idem__block at;
    const struct value_shm *value = NULL;
    /* [M3] Read after the life word, by acquire, that names it. */
    if (idem__block_at(op->region, number, FAMILY_VALUE, &at)) {
        value = (const struct value_shm *)(const void *)at.content;
    }
    if (IDEM_UNLIKELY(!value || value->record_block != number_of ||
                      value->record_generation != generation ||
                      idem__value_length(value) > at.klass->block_bytes - sizeof *value)) {
        return REPORT_AGAIN; /* damage, unless the life word has changed: the caller looks */
    }
    uint64_t completed_ms = idem__value_completed_ms(value);
    out->done_age_ms = op->now_ms > completed_ms ? (int64_t)(op->now_ms - completed_ms) : 0;
    if (!contents) {
        return IDEM_OK;
    }
    size_t length = idem__value_length(value);
    uint8_t *target = target_of(report, length);
    if (!target) {
        return REPORT_BUFFER;
    }
    idem__get_bytes(target, idem__value_bytes(value), length);
    out->value = target;
    out->value_len = length;
    return IDEM_OK;
}

static int fill_intent(const struct idem__op *op, const struct record_shm *record,
                       struct idem__report *report)
{
    if (record->intent_len == 0) {
        report->out->intent = "";
        return IDEM_OK;
    }
    if (!idem__record_fits(op->region, record)) {
        return IDEM_ECORRUPT;
    }
    uint8_t *target = target_of(report, record->intent_len);
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
    uint8_t *target = target_of(report, record->key_len);
    if (!target) {
        return REPORT_BUFFER;
    }
    idem__get_bytes(target, idem__record_key(record), record->key_len);
    report->out->key = target;
    report->out->key_len = record->key_len;
    return IDEM_OK;
}

static int64_t until_ms(uint64_t now_ms, uint32_t at_s)
{
    if (at_s == LIFE_EXPIRES_NEVER) {
        return IDEM_FOREVER;
    }
    int64_t left = (int64_t)((uint64_t)at_s * 1000) - (int64_t)now_ms;
    return left > 0 ? left : 0;
}

int idem__report_fill(const struct idem__op *op, struct record_shm *record, uint64_t life,
                      const struct idem__block *block, bool contents, struct idem__report *report)
{
    struct idem_record *out = report->out;
    uint64_t created_ms = idem__record_created_ms(record);
    int status = IDEM_OK;
    report->used = 0;
    idem__report_clear(out); /* of what an earlier look found */
    out->id = idem__public_id(op->region, block->number, record->generation);
    out->age_ms = op->now_ms > created_ms ? (int64_t)(op->now_ms - created_ms) : 0;
    if (record->flags & RECORD_FINGERPRINT && idem__record_fits(op->region, record)) {
        out->has_fingerprint = 1;
        idem__get_bytes(out->fingerprint, idem__record_fingerprint(record), IDEM_FINGERPRINT_SIZE);
    }
    switch (idem__life_state(life)) {
    case LIFE_DONE:
        out->state = IDEM_STATE_DONE;
        out->attempt = 0;
        out->expires_in_ms = until_ms(op->now_ms, idem__life_expires_s(life));
        status = fill_value(op, life, block->number, record->generation, contents, report);
        break;
    case LIFE_PENDING: {
        uint64_t end_ms = idem__lease_end_ms(record, life);
        out->state = IDEM_STATE_PENDING;
        out->attempt = (int32_t)idem__life_attempt(life);
        out->lease_left_ms = end_ms == UINT64_MAX  ? -1
                             : end_ms > op->now_ms ? (int64_t)(end_ms - op->now_ms)
                                                   : 0;
        out->expires_in_ms = until_ms(op->now_ms, idem__expires_s(created_ms, record->ttl_s));
        status = contents ? fill_intent(op, record, report) : IDEM_OK;
        break;
    }
    default:
        out->state = IDEM_STATE_ORPHANED;
        out->attempt = (int32_t)idem__life_attempt(life);
        out->held = record->flags & RECORD_HOLD || out->attempt >= (int32_t)LIFE_ATTEMPT_MAX;
        out->expires_in_ms = until_ms(op->now_ms, idem__orphan_until_s(record, life));
        status = contents ? fill_intent(op, record, report) : IDEM_OK;
    }
    /* [M5] Read again after the copy: the bytes are those of this state, or they do not count. */
    if (IDEM_UNLIKELY(idem__load64(&record->life) != life)) {
        return REPORT_AGAIN;
    }
    if (status == REPORT_AGAIN || status == IDEM_ECORRUPT) {
        return idem__fail(IDEM_ECORRUPT,
                          "the region is damaged: record %u names no value or intent of its own; "
                          "restore the file or create a new one",
                          block->number);
    }
    return status;
}

void idem__prefetch_record(const struct idem__region *region, uint64_t order)
{
    const char *record = (const char *)idem__list_peek_first(region, order);
    if (record) {
        __builtin_prefetch(record);
        __builtin_prefetch(record + IDEM_CACHE_LINE_BYTES);
    }
}

void idem__prefetch_value(const struct idem__region *region, uint64_t order)
{
    const struct record_shm *record = idem__list_peek_first(region, order);
    if (record) {
        idem__prefetch_rest(region, record);
    }
}
