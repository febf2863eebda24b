/*
 * bench.c - the store against liburcu's cds_lfht and against LMDB, interleaved in one run.
 * docs/benchmarks.md says how it is done and what it showed.
 */
#include "bench.h"
#include "pair.h"
#include "stats.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIZES_MOST = 8,
    CHANGED_PART = 20,   /* a round adds at most a twentieth of the population: it stays steady */
    LEAST_BATCH = 640,   /* shorter than some 50 us, a round would time the clock */
    MOST_BATCH = 51200,  /* keys of a round that are read in order stay in the second-level cache */
    LMDB_BATCH = 5120,   /* its operations are slow enough to time fewer */
    WARM_UP_PART = 4,    /* a quarter as many operations again go before, untimed */
    WARM_UP_ROUNDS = 10, /* until what rounds add and remove has its memory: not counted */
    PREFILL_CHUNK = 102400,
    DEFAULT_SEED = 1,
    ROUNDS_LEAST = 31
};

/* Rounds by default: more where they are short, within some three minutes for all sizes. */
static const struct {
    uint64_t up_to_keys;
    int rounds;
} default_rounds[] = {{100000, 301}, {3000000, 61}, {UINT64_MAX, ROUNDS_LEAST}};

/* One row: what is compared, and the ratio to reach at 1e4, 1e6 and 1e7 keys; 0 = none set. */
struct measure {
    const char *name, *peer_name;
    bench_op *ours, *peer;
    bench_op *ours_undo, *peer_undo; /* NULL: it adds no key */
    size_t most_keys;
    double target[3];
};

static const struct measure measures[] = {
    {"claim",
     "lfht add_unique",
     ours_claim,
     lfht_add,
     ours_remove,
     lfht_remove,
     MOST_BATCH,
     {0.9, 1.3, 1.4}},
    {"claim+complete 64B",
     "lfht add_unique 64B",
     ours_claim_complete,
     lfht_add_with_value,
     ours_remove,
     lfht_remove,
     MOST_BATCH,
     {0.6, 1.1, 1.2}},
    {"lookup 64B",
     "lfht lookup 64B",
     ours_lookup,
     lfht_lookup,
     NULL,
     NULL,
     MOST_BATCH,
     {0.85, 0.85, 0.95}},
    {"claim_many(32)",
     "lfht add_unique",
     ours_claim_many,
     lfht_add,
     ours_remove,
     lfht_remove,
     MOST_BATCH,
     {1.1, 4, 4}},
    {"lookup_many(32) 64B",
     "lfht lookup 64B",
     ours_lookup_many,
     lfht_lookup,
     NULL,
     NULL,
     MOST_BATCH,
     {1.1, 4, 4}},
    {"claim+complete 64B",
     "LMDB put 64B",
     ours_claim_complete,
     lmdb_put,
     ours_remove,
     lmdb_remove,
     LMDB_BATCH,
     {8, 8, 8}},
};

/* The same with two processes of ours as "ours" and one of ours as "peer". */
static const struct measure pair_measures[] = {
    {"2 proc claim+complete",
     "1 process",
     ours_claim_complete,
     NULL,
     ours_remove,
     NULL,
     MOST_BATCH,
     {0, 0, 1.8}},
    {"2 proc lookup 64B", "1 process", ours_lookup, NULL, NULL, NULL, MOST_BATCH, {0, 0, 1.8}},
};

enum { MEASURES = sizeof measures / sizeof *measures };
enum { PAIR_MEASURES = sizeof pair_measures / sizeof *pair_measures };

static struct {
    uint64_t sizes[SIZES_MOST];
    int size_count, rounds;
    size_t batch;
    uint64_t seed;
    FILE *json;
    int json_rows, missed;
} run = {.sizes = {10000, 1000000, 10000000}, .size_count = 3, .seed = DEFAULT_SEED};

static bench_key *keys;
static uint64_t next_id; /* of the next fresh key */

static double target_of(const struct measure *measure, uint64_t population)
{
    return population == 10000      ? measure->target[0]
           : population == 1000000  ? measure->target[1]
           : population == 10000000 ? measure->target[2]
                                    : 0;
}

/* Keys of one round; a multiple of what claim_many takes, warm-up and timed part alike. */
static size_t batch_of(const struct measure *measure, uint64_t population)
{
    const size_t step = (1 + WARM_UP_PART) * MANY;
    size_t batch = run.batch;
    if (!batch) {
        batch = measure->ours_undo ? (size_t)(population / CHANGED_PART) : (size_t)population;
        if (batch < LEAST_BATCH)
            batch = LEAST_BATCH;
        if (batch > measure->most_keys)
            batch = measure->most_keys;
    }
    return batch < step ? step : batch / step * step;
}

static double time_side(bench_op *op, bench_op *undo, size_t n, uint64_t *faults)
{
    size_t warm_up = n / (1 + WARM_UP_PART);
    op(keys, warm_up);
    uint64_t faults_before = bench_minor_faults();
    uint64_t start_ns = bench_cpu_ns(); /* no operation here sleeps */
    op(keys + warm_up, n - warm_up);
    uint64_t end_ns = bench_cpu_ns();
    *faults += bench_minor_faults() - faults_before;
    if (undo)
        undo(keys, n);
    return (double)(end_ns - start_ns) / (double)(n - warm_up);
}

static void one_round(const struct measure *measure, struct pairs *pairs, uint64_t population)
{
    size_t n = batch_of(measure, population);
    for (size_t i = 0; i < n; i++)
        bench_make_key(measure->ours_undo ? next_id++ : bench_random(population), &keys[i]);
    int ours_first = pairs->n % 2;
    for (int turn = 0; turn < 2; turn++) {
        if ((turn == 0) == ours_first)
            pairs->ours_ns[pairs->n] =
                time_side(measure->ours, measure->ours_undo, n, &pairs->faults);
        else
            pairs->peer_ns[pairs->n] =
                time_side(measure->peer, measure->peer_undo, n, &pairs->faults);
    }
    pairs->operations += n - n / (1 + WARM_UP_PART);
    pairs->n++;
}

static void report(const struct measure *measure, const struct pairs *pairs, uint64_t population)
{
    struct summary s = pairs_summarise(pairs);
    double target = target_of(measure, population);
    int met = s.ratio.median >= target;
    char target_text[16] = "-";
    if (target > 0)
        snprintf(target_text, sizeof target_text, "%.2f%s", target, met ? "" : " !");
    run.missed += !met;
    printf("%9llu  %-21s %-20s %7.0f [%5.0f-%5.0f] %7.0f [%5.0f-%5.0f]  %5.2f [%5.2f-%5.2f] "
           "%7s %7.1f\n",
           (unsigned long long)population, measure->name, measure->peer_name, s.ours_ns.median,
           s.ours_ns.low, s.ours_ns.high, s.peer_ns.median, s.peer_ns.low, s.peer_ns.high,
           s.ratio.median, s.ratio.low, s.ratio.high, target_text, s.faults_per_1000);
    fflush(stdout);
    if (!run.json)
        return;
    fprintf(run.json,
            "%s\n  {\"keys\": %llu, \"measure\": \"%s\", \"peer\": \"%s\", \"rounds\": %d, "
            "\"ours_ns\": [%.1f, %.1f, %.1f], \"peer_ns\": [%.1f, %.1f, %.1f], "
            "\"ratio\": [%.3f, %.3f, %.3f], \"target\": %.2f, \"faults_per_1000\": %.2f}",
            run.json_rows++ ? "," : "[", (unsigned long long)population, measure->name,
            measure->peer_name, pairs->n, s.ours_ns.low, s.ours_ns.median, s.ours_ns.high,
            s.peer_ns.low, s.peer_ns.median, s.peer_ns.high, s.ratio.low, s.ratio.median,
            s.ratio.high, target, s.faults_per_1000);
}

static void prefill(bench_op *add, uint64_t population)
{
    for (uint64_t id = 0; id < population;) {
        size_t n = 0;
        while (n < PREFILL_CHUNK && id < population)
            bench_make_key(id++, &keys[n++]);
        add(keys, n);
    }
}

static int rounds_of(uint64_t population)
{
    int i = 0;
    while (population > default_rounds[i].up_to_keys)
        i++;
    return run.rounds ? run.rounds : default_rounds[i].rounds;
}

static void compare_with_peers(uint64_t population)
{
    struct pairs pairs[MEASURES];
    int rounds = rounds_of(population);
    lfht_open(population);
    lmdb_open(population);
    prefill(lfht_add_with_value, population);
    prefill(lmdb_put_in_one_transaction, population);
    for (int m = 0; m < MEASURES; m++)
        pairs_init(&pairs[m], WARM_UP_ROUNDS + rounds);
    for (int round = -WARM_UP_ROUNDS; round < rounds; round++)
        for (int m = 0; m < MEASURES; m++) {
            if (round == 0)
                pairs_forget(&pairs[m]);
            one_round(&measures[m], &pairs[m], population);
        }
    for (int m = 0; m < MEASURES; m++) {
        report(&measures[m], &pairs[m], population);
        pairs_free(&pairs[m]);
    }
    lmdb_close();
    lfht_close();
}

/* After the peers are gone: forking would make every page of their memory copy-on-write. */
static void compare_two_processes(uint64_t population)
{
    int rounds = rounds_of(population);
    pair_start(population, PREFILL_CHUNK);
    for (int m = 0; m < PAIR_MEASURES; m++) {
        const struct measure *measure = &pair_measures[m];
        size_t n = batch_of(measure, population);
        struct pairs pairs;
        pair_measure(&pairs, measure->ours, measure->ours_undo, next_id, n, rounds);
        next_id += 2 * n * (uint64_t)rounds;
        report(measure, &pairs, population);
        pairs_free(&pairs);
    }
    pair_stop();
}

static void parse_sizes(const char *text)
{
    run.size_count = 0;
    while (*text) {
        char *end;
        errno = 0;
        double size = strtod(text, &end); /* 1e6 is how people write it */
        if (errno || end == text || (*end && *end != ',') || size < 1000 || size > 1e9)
            bench_die("--keys: '%s' is not a list of sizes from 1000 to 1e9 such as 1e4,1e6", text);
        if (run.size_count == SIZES_MOST)
            bench_die("--keys: more than %d sizes", SIZES_MOST);
        run.sizes[run.size_count++] = (uint64_t)size;
        text = *end ? end + 1 : end;
    }
}

static uint64_t parse_number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno || end == text || *end || number < least || number > most)
        bench_die("--%s: '%s' is not a number from %llu to %llu", name, text,
                  (unsigned long long)least, (unsigned long long)most);
    return number;
}

static void parse_arguments(int argc, char **argv)
{
    static const struct option options[] = {
        {"keys", required_argument, NULL, 'k'},  {"rounds", required_argument, NULL, 'r'},
        {"batch", required_argument, NULL, 'b'}, {"seed", required_argument, NULL, 's'},
        {"json", required_argument, NULL, 'j'},  {"quick", no_argument, NULL, 'q'},
        {"help", no_argument, NULL, 'h'},        {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 'k':
            parse_sizes(optarg);
            break;
        case 'q':
            parse_sizes("1e4,1e6");
            break;
        case 'r':
            run.rounds = (int)parse_number("rounds", optarg, 1, 100000);
            break;
        case 'b':
            run.batch = (size_t)parse_number("batch", optarg, 1, PREFILL_CHUNK);
            break;
        case 's':
            run.seed = parse_number("seed", optarg, 0, UINT64_MAX);
            break;
        case 'j':
            run.json = fopen(optarg, "w");
            if (!run.json)
                bench_die("--json: cannot write '%s': %s", optarg, strerror(errno));
            break;
        default:
            fputs("usage: bench [--keys N,N...] [--quick] [--rounds N] [--batch N] [--seed N] "
                  "[--json FILE]\n",
                  stderr);
            exit(option == 'h' ? EXIT_SUCCESS : EXIT_FAILURE);
        }
    }
}

int main(int argc, char **argv)
{
    parse_arguments(argc, argv);
    bench_seed(run.seed);
    keys = bench_alloc(PREFILL_CHUNK * sizeof *keys);
    printf("ns per operation: median [quartiles] of paired rounds; ratio = peer / ours, above 1 we "
           "are faster;\n'!' = below its target; faults: minor page faults per 1000 operations "
           "while timing; seed %llu\n\n",
           (unsigned long long)run.seed);
    printf("%9s  %-21s %-20s %7s %13s %7s %13s  %5s %13s %7s %7s\n", "keys", "ours", "peer",
           "ours ns", "", "peer ns", "", "ratio", "", "target", "faults");
    for (int i = 0; i < run.size_count; i++) {
        uint64_t population = run.sizes[i];
        next_id = population;
        ours_open(population);
        prefill(ours_claim_complete, population);
        ours_use_buckets();
        compare_with_peers(population);
        compare_two_processes(population);
        ours_close();
    }
    if (run.json) {
        fputs("\n]\n", run.json);
        if (fclose(run.json) != 0)
            bench_die("--json: writing failed: %s", strerror(errno));
    }
    printf("\n%d of the ratios are below their target\n", run.missed);
    return EXIT_SUCCESS;
}
