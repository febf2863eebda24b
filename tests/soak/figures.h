/*
 * figures.h - what the instruction counts of many calls come to, by kind of call: median, percentiles, the
 * longest call and where its instructions went.
 */
#ifndef FIGURES_H
#define FIGURES_H

#include <stdbool.h>
#include <stdint.h>

enum kind {
    CLAIM_NEW,
    CLAIM_EXPIRED,
    CLAIM_ORPHAN, /* its owner has died */
    CLAIM_DONE,
    CLAIM_REFUSED, /* IDEM_EFULL */
    CLAIM_MANY,    /* a key of it */
    COMPLETE,
    RELEASE,
    RENEW,
    LOOKUP_FOUND,
    LOOKUP_ABSENT,
    LOOKUP_EXPIRED,
    TOUCH,
    FORGET,
    SCAN,
    SWEEP,
    FIRST_CALL, /* of a thread: it gets its place */
    KINDS
};

/* Notes the call that has just been measured (cost.h): it cost so much for so many keys. */
void figures_note(enum kind kind, uint64_t cost, unsigned keys);

/* Whether a situation's longest calls are promised, and whether its medians are what those of later situations
   are held against, where they are smaller. */
enum figures_flag { FIGURES_TOLD = 0, FIGURES_PROMISED = 1, FIGURES_USUAL = 2 };
/* Prints what was noted since the last time, and begins anew. */
void figures_report(const char *situation, unsigned flags);

/* Rows of promised kinds and situations whose longest call was above FIGURES_RATIO_MAX medians. */
#define FIGURES_RATIO_MAX 50
unsigned figures_above(void);
uint64_t figures_calls(void);

#endif
