/* report.h - telling the caller what a record says. Layer 12. */
#ifndef IDEM_REPORT_H
#define IDEM_REPORT_H

#include <stdlib.h>

#include "block.h"
#include "hosttime.h"
#include "life.h"

/* Results of the internal calls beside statuses: above 0. */
#define REPORT_AGAIN 1  /* the life word changed meanwhile: judge again */
#define REPORT_BUFFER 2 /* report_begin must be given `op_needed` bytes first */

/* The caller's record while it is filled. */
struct idem__report {
    struct idem_record *out;
    size_t room;   /* bytes of out->owned */
    size_t used;   /* bytes of the buffer filled so far */
    size_t needed; /* bytes wanted when REPORT_BUFFER was returned */
};

/* A record's public id: unique in the store, opaque. */
static inline uint64_t idem__public_id(const struct idem__region *region,
                                       const struct record_shm *record, uint32_t generation)
{
    const uint64_t odd = 0xff51afd7ed558ccdu; /* a bijection: ids stay unique, and say nothing */
    uint64_t number = (uint64_t)idem__record_place(region, record) << 29 | generation;
    return (number ^ region->header->store_id) * odd;
}

/* Empties what a record tells beside its state and times; keeps the memory. One by one: a struct
   assignment of this size becomes a slow string instruction. */
static inline void idem__report_clear_strings(struct idem_record *out)
{
    memset(out->fingerprint, 0, sizeof out->fingerprint);
    out->has_fingerprint = 0;
    out->key = NULL;
    out->key_len = 0;
    out->value = NULL;
    out->value_len = 0;
    out->intent = NULL;
    out->intent_len = 0;
}

/* Clears all that an earlier look left in it; keeps the memory. */
static inline void idem__report_clear(struct idem_record *out)
{
    idem__report_clear_strings(out);
    out->state = 0;
    out->id = 0;
    out->attempt = 0;
    out->held = 0;
    out->kept = 0;
    out->age_ms = 0;
    out->lease_left_ms = -1;
    out->done_age_ms = -1;
    out->expires_in_ms = 0;
}

/* Before a call: frees what an earlier one allocated. Whatever fills the record clears it. */
static inline void idem__report_reset(struct idem_record *out)
{
    if (IDEM_UNLIKELY(out->owned != NULL)) {
        free(out->owned);
        out->owned = NULL;
    }
    out->state = 0;
}
/* Outside a section: room for report->needed bytes. IDEM_ESYS. */
int idem__report_grow(struct idem__report *report);

/* A look at a record: its life word, and the value that this names. */
struct idem__look {
    uint64_t life;
    const struct value_shm *value; /* NULL: none, or no place for one */
    uint64_t value_room;           /* bytes that its block has for it */
};

/* Looks, and prefetches what is needed next: the record's second line, and its value. */
IDEM_HOT struct idem__look idem__look_at(const struct idem__region *region,
                                         const struct record_shm *record)
{
    struct idem__look look = {.life = idem__load64(&record->life)};
    struct idem__block block;
    __builtin_prefetch((const char *)record + IDEM_CACHE_LINE_BYTES);
    if (IDEM_LIKELY(idem__life_state(look.life) == LIFE_DONE &&
                    idem__life_value(look.life) > LIFE_VALUE_EMPTY) &&
        idem__block_at(region, idem__life_value(look.life), FAMILY_VALUE, &block)) {
        __builtin_prefetch(block.content);
        __builtin_prefetch(block.content + IDEM_CACHE_LINE_BYTES);
        look.value = (const struct value_shm *)(const void *)block.content;
        look.value_room = block.klass->block_bytes - sizeof *look.value;
    }
    return look;
}

/* A target of `bytes` for a string, or NULL: grow first. */
static inline uint8_t *idem__report_target(struct idem__report *report, size_t bytes)
{
    struct idem_record *out = report->out;
    size_t room = IDEM_UNLIKELY(out->owned != NULL) ? report->room : out->buffer_size;
    uint8_t *base = IDEM_UNLIKELY(out->owned != NULL) ? out->owned : out->buffer;
    if (IDEM_UNLIKELY(!base || report->used + bytes > room)) {
        report->needed = report->used + bytes;
        return NULL;
    }
    report->used += bytes;
    return base + report->used - bytes;
}

static inline int64_t idem__until_ms(uint64_t now_ms, uint32_t at_s)
{
    if (at_s == LIFE_EXPIRES_NEVER) {
        return IDEM_FOREVER;
    }
    int64_t left = (int64_t)((uint64_t)at_s * IDEM__MS_PER_S) - (int64_t)now_ms;
    return left > 0 ? left : 0;
}

static inline int64_t idem__age_ms(uint64_t now_ms, uint64_t since_ms)
{
    return now_ms > since_ms ? (int64_t)(now_ms - since_ms) : 0;
}

/* A value that is kept, with bytes in a block. */
IDEM_HOT int idem__report_value(const struct idem__op *op, const struct record_shm *record,
                                const struct idem__look *look, bool contents,
                                struct idem__report *report)
{
    /* [M3] Read after the life word, by acquire, that names it. */
    const struct value_shm *value = look->value;
    struct idem_record *out = report->out;
    if (IDEM_UNLIKELY(!value ||
                      !idem__value_belongs(op->region, value, record, record->generation) ||
                      idem__value_length(value) > look->value_room)) {
        return REPORT_AGAIN; /* damage, unless the life word has changed: the caller looks */
    }
    size_t length = idem__value_length(value);
    out->done_age_ms = idem__age_ms(op->now_ms, idem__value_completed_ms(value));
    if (!contents) {
        return IDEM_OK;
    }
    uint8_t *target = idem__report_target(report, length);
    if (IDEM_UNLIKELY(!target)) {
        return REPORT_BUFFER;
    }
    idem__get_bytes(target, idem__value_bytes(value), length);
    out->value = target;
    out->value_len = length;
    return IDEM_OK;
}

IDEM_HOT int idem__report_done(const struct idem__op *op, const struct record_shm *record,
                               const struct idem__look *look, bool contents,
                               struct idem__report *report)
{
    struct idem_record *out = report->out;
    uint32_t number = idem__life_value(look->life);
    out->state = IDEM_STATE_DONE;
    out->attempt = 0;
    out->held = 0;
    out->kept = number != LIFE_VALUE_NOT_KEPT;
    out->lease_left_ms = -1;
    out->expires_in_ms = idem__until_ms(op->now_ms, idem__life_expires_s(look->life));
    if (IDEM_LIKELY(number > LIFE_VALUE_EMPTY)) {
        return idem__report_value(op, record, look, contents, report);
    }
    out->done_age_ms = -1;
    out->value = out->kept ? "" : NULL;
    return IDEM_OK;
}

/* Fills in what a record tells that is PENDING or ORPHANED; and the error of a damaged one. */
int idem__report_open(const struct idem__region *region, uint64_t now_ms,
                      const struct record_shm *record, uint64_t life, bool contents,
                      struct idem__report *report);
int idem__report_fail(const struct record_shm *record);

IDEM_HOT int idem__report_fill_hot(const struct idem__op *op, const struct record_shm *record,
                                   const struct idem__look *look, bool contents,
                                   struct idem__report *report)
{
    struct idem_record *out = report->out;
    report->used = 0;
    idem__report_clear_strings(out); /* of what an earlier look found */
    out->id = idem__public_id(op->region, record, record->generation);
    out->age_ms = idem__age_ms(op->now_ms, idem__record_created_ms(record));
    if (IDEM_UNLIKELY(record->flags & RECORD_FINGERPRINT) &&
        idem__record_fits(op->region, record)) {
        out->has_fingerprint = 1;
        idem__get_bytes(out->fingerprint, idem__record_fingerprint(record), IDEM_FINGERPRINT_SIZE);
    }
    int status =
        IDEM_LIKELY(idem__life_state(look->life) == LIFE_DONE)
            ? idem__report_done(op, record, look, contents, report)
            : idem__report_open(op->region, op->now_ms, record, look->life, contents, report);
    /* [M5] Read again after the copy: the bytes are those of this state, or they do not count. */
    if (IDEM_UNLIKELY(idem__load64(&record->life) != look->life)) {
        return REPORT_AGAIN;
    }
    if (IDEM_UNLIKELY(status == REPORT_AGAIN || status == IDEM_ECORRUPT)) {
        return idem__report_fail(record);
    }
    return status;
}

/*
 * Fills report->out from a record as it was looked at: with `contents` also its value (done) or intent.
 * Inside a section. IDEM_OK; REPORT_AGAIN: look again; REPORT_BUFFER; IDEM_ECORRUPT.
 */
int idem__report_fill(const struct idem__op *op, const struct record_shm *record,
                      const struct idem__look *look, bool contents, struct idem__report *report);

/* One key of a batch: how far what it needs has been asked for, a miss at a time. */
struct idem__ahead {
    uint64_t order;
    link_shm *head;
    const struct record_shm *record; /* asked for, and not looked at yet */
};

static inline void idem__ahead_record(const struct idem__region *region, struct idem__ahead *ahead,
                                      uint64_t link)
{
    uint64_t target = idem__link_target(link);
    ahead->record = target && !(target & LINK_HEAD) ? idem__record_at(region, target) : NULL;
    if (ahead->record) {
        __builtin_prefetch(ahead->record);
        __builtin_prefetch((const char *)ahead->record + IDEM_CACHE_LINE_BYTES);
    }
}

/* The steps: the bucket's head; in a section, its first record; then, each time, the value of the key's
   record, or the record behind one of another key. */
static inline void idem__ahead_begin(const struct idem__region *region, struct idem__ahead *ahead,
                                     uint64_t order)
{
    *ahead = (struct idem__ahead){.order = order, .head = idem__list_head(region, order)};
    __builtin_prefetch(ahead->head); /* of NULL: nothing */
}
static inline void idem__ahead_first(const struct idem__region *region, struct idem__ahead *ahead)
{
    if (ahead->head) {
        idem__ahead_record(region, ahead, idem__load64(ahead->head));
    }
}
static inline void idem__ahead_step(const struct idem__region *region, struct idem__ahead *ahead)
{
    const struct record_shm *record = ahead->record;
    if (!record) {
        return;
    }
    if (record->order < ahead->order) {
        idem__ahead_record(region, ahead, idem__load64(&record->link));
        return;
    }
    if (record->order == ahead->order) {
        (void)idem__look_at(region, record);
    }
    ahead->record = NULL;
}

/* Copies the record's key: out->key. IDEM_OK, REPORT_BUFFER, IDEM_ECORRUPT. Call it after the fill. */
int idem__report_key(const struct idem__op *op, const struct record_shm *record,
                     struct idem__report *report);

#endif
