/* report.h - telling the caller what a record says. Layer 12. */
#ifndef IDEM_REPORT_H
#define IDEM_REPORT_H

#include <stdlib.h>

#include "block.h"
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

/* Clears what an earlier look left in it; keeps the memory. */
static inline void idem__report_clear(struct idem_record *out)
{
    *out = (struct idem_record){.size = sizeof *out,
                                .lease_left_ms = -1,
                                .done_age_ms = -1,
                                .buffer = out->buffer,
                                .buffer_size = out->buffer_size,
                                .owned = out->owned};
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

/*
 * Fills report->out from a record in state `life`: with `contents` also its value (done) or intent.
 * Inside a section. IDEM_OK; REPORT_AGAIN; REPORT_BUFFER; IDEM_ECORRUPT.
 */
int idem__report_fill(const struct idem__op *op, struct record_shm *record, uint64_t life,
                      const struct idem__block *block, bool contents, struct idem__report *report);

/* Prefetches what a look at a record needs next: its second line, and its value if it is done. */
static inline void idem__prefetch_rest(const struct idem__region *region,
                                       const struct record_shm *record)
{
    uint64_t life = idem__peek64(&record->life);
    struct idem__block block;
    __builtin_prefetch((const char *)record + IDEM_CACHE_LINE_BYTES);
    if (idem__life_state(life) == LIFE_DONE && idem__life_value(life) > LIFE_VALUE_EMPTY &&
        idem__block_at(region, idem__life_value(life), FAMILY_VALUE, &block)) {
        __builtin_prefetch(block.content);
        __builtin_prefetch(block.content + IDEM_CACHE_LINE_BYTES);
    }
}

/* Prefetches the first record in a bucket; and, when that has come, its value if it is done. */
void idem__prefetch_record(const struct idem__region *region, uint64_t order);
void idem__prefetch_value(const struct idem__region *region, uint64_t order);

/* Copies the record's key: out->key. IDEM_OK, REPORT_BUFFER, IDEM_ECORRUPT. Call it after the fill. */
int idem__report_key(const struct idem__op *op, const struct record_shm *record,
                     struct idem__report *report);

/* A record's public id: unique in the store, opaque. */
static inline uint64_t idem__public_id(const struct idem__region *region, uint32_t block,
                                       uint32_t generation)
{
    const uint64_t odd = 0xff51afd7ed558ccdu; /* a bijection: ids stay unique, and say nothing */
    return (((uint64_t)block << 29 | generation) ^ region->header->store_id) * odd;
}

#endif
