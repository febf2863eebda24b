/* stats.c - see stats.h. */
#include "stats.h"

#include "bench.h"

#include <stdlib.h>
#include <string.h>

void pairs_init(struct pairs *pairs, int rounds)
{
    memset(pairs, 0, sizeof *pairs);
    pairs->ours_ns = bench_alloc((size_t)rounds * sizeof(double));
    pairs->peer_ns = bench_alloc((size_t)rounds * sizeof(double));
}

void pairs_forget(struct pairs *pairs)
{
    pairs->n = 0;
    pairs->operations = pairs->faults = 0;
}

void pairs_free(struct pairs *pairs)
{
    free(pairs->ours_ns);
    free(pairs->peer_ns);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear interpolation between the two nearest of `n` sorted values. */
static double quantile(const double *sorted, int n, double q)
{
    double at = q * (n - 1);
    int below = (int)at;
    int above = below + 1 < n ? below + 1 : below;
    return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}

static struct spread spread_of(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return (struct spread){quantile(values, n, 0.25), quantile(values, n, 0.5),
                           quantile(values, n, 0.75)};
}

struct summary pairs_summarise(const struct pairs *pairs)
{
    size_t bytes = (size_t)pairs->n * sizeof(double);
    double *scratch = bench_alloc(bytes);
    struct summary summary;
    for (int i = 0; i < pairs->n; i++)
        scratch[i] = pairs->peer_ns[i] / pairs->ours_ns[i];
    summary.ratio = spread_of(scratch, pairs->n);
    memcpy(scratch, pairs->ours_ns, bytes);
    summary.ours_ns = spread_of(scratch, pairs->n);
    memcpy(scratch, pairs->peer_ns, bytes);
    summary.peer_ns = spread_of(scratch, pairs->n);
    summary.faults_per_1000 = 1000.0 * (double)pairs->faults / (2.0 * (double)pairs->operations);
    free(scratch);
    return summary;
}
