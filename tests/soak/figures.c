/* figures.c - see figures.h. */
#include "figures.h"

#include <stdio.h>
#include <stdlib.h>

#include "cost.h"

enum { EXPLAINED_LINES = 8, TEXT_BYTES = 800, EXPLAINED_RATIO = 10 };

/* What a kind is called; the kind that a call of it looks like to whoever makes it, and by whose median it is
   judged too; whether its length is promised: a scan passes over what is not there, a sweep does as
   much as it is told, and a thread's first call makes room for the thread. */
static const struct {
    const char *name;
    enum kind like;
    bool promised;
} kinds[KINDS] = {
    [CLAIM_NEW] = {"claim, new key", CLAIM_NEW, true},
    [CLAIM_EXPIRED] = {"claim, expired key", CLAIM_NEW, true},
    [CLAIM_ORPHAN] = {"claim, dead owner's", CLAIM_NEW, true},
    [CLAIM_DONE] = {"claim, done key", CLAIM_DONE, true},
    [CLAIM_REFUSED] = {"claim, refused", CLAIM_NEW, true},
    [CLAIM_MANY] = {"claim_many, a key", CLAIM_NEW, true},
    [COMPLETE] = {"complete", COMPLETE, true},
    [RELEASE] = {"release", RELEASE, true},
    [RENEW] = {"renew", RENEW, true},
    [LOOKUP_FOUND] = {"lookup, found", LOOKUP_FOUND, true},
    [LOOKUP_ABSENT] = {"lookup, absent", LOOKUP_ABSENT, true},
    [LOOKUP_EXPIRED] = {"lookup, expired", LOOKUP_ABSENT, true},
    [TOUCH] = {"touch", TOUCH, true},
    [FORGET] = {"forget", FORGET, true},
    [SCAN] = {"scan", SCAN, false},
    [SWEEP] = {"sweep of 1,000 blocks", SWEEP, false},
    [FIRST_CALL] = {"a thread's first call", FIRST_CALL, false},
};

static struct measured {
    uint32_t *costs;
    size_t n, room;
    uint64_t worst, worst_call;
    uint64_t system_calls; /* most in one call */
    char explained[TEXT_BYTES];
} measured[KINDS];

static uint32_t usual[KINDS]; /* medians to be held against; 0 = none yet */
static uint64_t calls;
static unsigned above;

void figures_note(enum kind kind, uint64_t cost, unsigned keys)
{
    struct measured *of = &measured[kind];
    if (of->n == of->room) {
        of->room = of->room > 0 ? of->room * 2 : 1024;
        of->costs = realloc(of->costs, of->room * sizeof(*of->costs));
        if (of->costs == NULL) {
            abort();
        }
    }
    cost /= keys;
    of->costs[of->n++] = cost < UINT32_MAX ? (uint32_t)cost : UINT32_MAX;
    calls++;
    if (cost_system_calls() > of->system_calls) {
        of->system_calls = cost_system_calls();
    }
    if (cost > of->worst) {
        of->worst = cost;
        of->worst_call = of->n;
        cost_explain(EXPLAINED_LINES, of->explained, sizeof(of->explained));
    }
}

static int by_value(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report_kind(enum kind kind, unsigned flags)
{
    struct measured *of = &measured[kind];
    qsort(of->costs, of->n, sizeof(*of->costs), by_value);
    const uint32_t median = of->costs[of->n / 2], other = usual[kinds[kind].like];
    const double ratio = (double)of->worst / (other > 0 && other < median ? other : median);
    const bool high = ratio > FIGURES_RATIO_MAX;
    const bool bad = high && kinds[kind].promised && flags & FIGURES_PROMISED;
    above += bad;
    if (flags & FIGURES_USUAL) {
        usual[kind] = median;
    }
    printf("  %-22s %9zu %8u %8u %9llu %9.1f %6llu%s\n", kinds[kind].name, of->n, median,
           of->costs[of->n - 1 - of->n / 10000], (unsigned long long)of->worst, ratio,
           (unsigned long long)of->system_calls,
           bad    ? "  ABOVE"
           : high ? "  above, not promised"
                  : "");
    if (ratio > EXPLAINED_RATIO) {
        printf("    the longest, call %llu:%s\n", (unsigned long long)of->worst_call,
               of->explained);
    }
    free(of->costs);
    *of = (struct measured){0};
}

void figures_report(const char *situation, unsigned flags)
{
    printf("\n%s\n  %-22s %9s %8s %8s %9s %9s %6s\n", situation, "instructions", "calls", "median",
           "p99.99", "longest", "x median", "system");
    for (int kind = 0; kind < KINDS; kind++) {
        if (measured[kind].n > 0) {
            report_kind((enum kind)kind, flags);
        }
    }
    fflush(stdout);
}

unsigned figures_above(void) { return above; }
uint64_t figures_calls(void) { return calls; }
