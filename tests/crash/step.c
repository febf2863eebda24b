/*
 * step.c - SIGKILL after every instruction.
 *
 * For each scenario (a call, and the state of the store when it is made) one process opens a region, brings
 * it into that state and remembers its bytes. For each instruction k of the call it puts the bytes back
 * and forks a survivor, who registers and then looks on, and a victim, who makes the call, is stopped when it
 * has completed k instructions, and killed. The survivor must find all well (survivor.h). System calls are
 * points of their own: on the way in, and on the way out.
 *
 * Then recovery dies, too: after each first kill that leaves a region of its own a second process does what
 * the survivor would do, and is killed at the instructions of that; a third one must find all well.
 */
#include <getopt.h>
#include <sched.h>
#include <sys/personality.h>

#include "stepper.h"
#include "table.h"

/* What a kill costs, in stops of a traced process: forks, the survivor's look. For planning only. */
#define KILL_COST 60u
/* Bounds per scenario, in the same unit (some 15 us). Full: where all instructions of a path cost more
   than that, those are killed at that change the region or call the kernel, and every n-th. */
#define FULL_FIRST_COST 1500000u
#define FULL_SECOND_COST 300000u /* spread over first kills */
#define SAMPLE_FIRST_COST 10000u
#define SAMPLE_SECOND_COST 6000u
/* First kills, of those that leave a region of its own, whose recovery is killed. */
#define FULL_FIRSTS 8u
#define SAMPLE_FIRSTS 1u
#define WATCHDOG_S 300u
#define JOBS_MAX 64

struct figures {
    uint32_t steps, points, kills;        /* of the call; places where it can be killed; kills */
    uint32_t states;                      /* of the region that differ from the one before */
    uint32_t second_steps;                /* of recovery: the longest */
    uint64_t second_points, second_kills; /* over all first kills from which it was tried */
    uint32_t firsts;                      /* first kills with second ones */
    int failures;
};

static struct options {
    bool sample;
    const char *only; /* name of a scenario */
    bool once;        /* one kill, at ... */
    struct stepper_point at;
    bool then; /* ... and of recovery, at ... */
    struct stepper_point then_at;
    int jobs;
    const char *log;
} options;

static const char *argv0;
static const struct scenario *scenario;
static int call_status;

/* --- the cast --- */

static void survivor_body(void *recovered)
{
    if (scenario->again !=
        again_open) { /* or it would set the clock: the victim is to be the first */
        (void)state_of(scene.store, "register me");
    }
    CHECK(raise(SIGSTOP) == 0);
    check_all(scenario, *(bool *)recovered);
}

static pid_t start_survivor(bool recovered)
{
    int status;
    const pid_t pid = test_child(survivor_body, &recovered);
    CHECK_INT(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    return pid;
}

static void victim_ready(void)
{
    for (int i = 0; i < SCENE_KEYS_MAX; i++) {
        scene.requests[i] = ask(scene.keys[i]);
        scene.claims[i] = no_claim();
    }
    idem_record_init(&scene.record, sizeof(scene.record));
    if (!scenario->fresh) {
        (void)state_of(scene.store, "register me");
    }
    if (scenario->ready != NULL) {
        scenario->ready();
    }
}
static void victim_call(void) { call_status = scenario->call(); }
static void victim_end(void)
{
    CHECK_INT(call_status, scenario->status);
    CHECK_INT(scene.claims[0].outcome, scenario->outcome);
}

static void heir_ready(void) { (void)state_of(scene.store, "register me"); }
static void heir_call(void) { recover(scenario); }
static void heir_end(void) {}

/* --- one trial --- */

static const char *stop_name(enum stepper_stop stop)
{
    return stop == STOP_ENTRY ? "entry" : stop == STOP_EXIT ? "exit" : "";
}

static void tell_failure(const struct stepper_point *at, const struct stepper_point *then)
{
    fprintf(stderr, "FAILED: %s, killed at %u%s", scenario->name, at->k, stop_name(at->stop));
    if (then != NULL) {
        fprintf(stderr, ", recovery at %u%s", then->k, stop_name(then->stop));
    }
    fprintf(stderr, "\n  repeat: %s --seed %" PRIu64 " --scenario '%s' --at %u%s", argv0, test_seed,
            scenario->name, at->k, stop_name(at->stop));
    if (then != NULL) {
        fprintf(stderr, " --then %u%s", then->k, stop_name(then->stop));
    }
    fprintf(stderr, "\n");
}

/* What a failed check in this process is about. */
static struct stepper_point first_at, second_at;
static bool in_second;

static void join_survivor(pid_t survivor)
{
    CHECK(kill(survivor, SIGCONT) == 0);
    if (test_join(survivor) != 0) {
        tell_failure(&first_at, in_second ? &second_at : NULL);
        _exit(1);
    }
}

static void begin_trial(void)
{
    char path[160];
    alarm(WATCHDOG_S);
    new_path(path);
    (void)unlink(path);
    world_restore();
    memset(findings->told, 0, sizeof(findings->told));
}

/* The call without a kill: its path, and what is usual afterwards. `heir`: with one more process about. */
static void record_call(struct stepper_path *path, bool heir, bool changes)
{
    begin_trial();
    const pid_t survivor = start_survivor(false);
    const pid_t second = heir ? stepper_start(heir_ready, heir_call, heir_end) : 0;
    const pid_t victim = stepper_start(victim_ready, victim_call, victim_end);
    stepper_record(victim, path, changes);
    stepper_finish(victim);
    if (heir) {
        stepper_kill(second);
    }
    first_at = (struct stepper_point){path->length, STOP_BEFORE};
    join_survivor(survivor);
}

static void kill_once(const struct stepper_path *path, struct stepper_point at)
{
    first_at = at;
    begin_trial();
    const pid_t survivor = start_survivor(false);
    const pid_t victim = stepper_start(victim_ready, victim_call, victim_end);
    stepper_go(victim, path, at);
    stepper_kill(victim);
    join_survivor(survivor);
}

/* Kills the call at first_at and its recovery at `at`; without one records the recovery's path, to its end. */
static void kill_twice(const struct stepper_path *path, struct stepper_path *recovery,
                       const struct stepper_point *at)
{
    begin_trial();
    const pid_t survivor = start_survivor(true);
    const pid_t heir = stepper_start(heir_ready, heir_call, heir_end);
    const pid_t victim = stepper_start(victim_ready, victim_call, victim_end);
    stepper_go(victim, path, first_at);
    stepper_kill(victim);
    if (at != NULL) {
        second_at = *at;
        stepper_go(heir, recovery, *at);
    } else {
        stepper_record(heir, recovery, !options.sample);
        second_at = (struct stepper_point){recovery->length, STOP_BEFORE};
    }
    stepper_kill(heir);
    join_survivor(survivor);
}

/* --- which points --- */

/* The state that the key was found in may only go from before to after, as k rises. */
static void check_order(int last[SCENE_KEYS_MAX])
{
    for (int i = 0; i < SCENE_KEYS_MAX; i++) {
        if (findings->seen[i] < last[i]) {
            fprintf(stderr, "%s is as before again\n", scene.keys[i]);
            tell_failure(&first_at, NULL);
            _exit(1);
        }
        last[i] = findings->seen[i];
    }
}

/* Every `stride`-th point, and those that matter; all of them if the stride is 1. */
struct choice {
    uint32_t stride, offset;
    bool notable; /* also where the region changed, and the kernel was called */
};
static bool chosen(const struct stepper_path *path, uint32_t k, const struct choice *choice)
{
    const struct stepper_step *step = &path->steps[k];
    return (k + choice->offset) % choice->stride == 0 || k == 0 || k == path->length ||
           (choice->notable && (step->changed || step->system_call));
}

/* The finest choice of points that costs no more than `most`. */
static struct choice choose(const struct stepper_path *path, uint64_t most, bool notable)
{
    uint64_t all = 0;
    for (uint32_t k = 0; k <= path->length; k++) {
        all += KILL_COST + path->steps[k].cost;
    }
    const uint64_t stride = all / (most + 1) + 1;
    return (struct choice){.stride = (uint32_t)stride,
                           .offset = (uint32_t)(test_random() % stride),
                           .notable = notable};
}

static uint64_t points_of(const struct stepper_path *path)
{
    return path->length + 1 + (uint64_t)2 * path->system_calls;
}

/* At instruction k, and if it is a system call, inside it. */
static uint32_t stops_at(const struct stepper_path *path, uint32_t k)
{
    return path->steps[k].system_call ? STOP_EXIT + 1 : 1;
}

static void first_kills(const struct stepper_path *path, struct figures *figures)
{
    const struct choice choice =
        choose(path, options.sample ? SAMPLE_FIRST_COST : FULL_FIRST_COST, !options.sample);
    int last[SCENE_KEYS_MAX] = {0};
    for (uint32_t k = 0; k <= path->length; k++) {
        for (uint32_t stop = 0; chosen(path, k, &choice) && stop < stops_at(path, k); stop++) {
            kill_once(path, (struct stepper_point){k, (enum stepper_stop)stop});
            check_order(last);
            figures->kills++;
        }
    }
}

/* Kills the recovery that follows first_at. */
static void kill_recovery(const struct stepper_path *path, uint64_t most, struct figures *figures)
{
    static struct stepper_path recovery;
    kill_twice(path, &recovery, NULL);
    const struct choice choice = choose(&recovery, most, !options.sample);
    for (uint32_t k = 0; k <= recovery.length; k++) {
        for (uint32_t stop = 0; chosen(&recovery, k, &choice) && stop < stops_at(&recovery, k);
             stop++) {
            kill_twice(path, &recovery, &(struct stepper_point){k, (enum stepper_stop)stop});
            figures->second_kills++;
        }
    }
    figures->second_points += points_of(&recovery);
    figures->firsts++;
    if (figures->second_steps < recovery.length) {
        figures->second_steps = recovery.length;
    }
}

/* After some of the first kills, evenly spread over those that leave a region of its own; in a sample, over
   all. */
static void second_kills(const struct stepper_path *path, struct figures *figures)
{
    const uint32_t states = options.sample ? path->length + 1 : path->changes + 1;
    const uint32_t firsts = options.sample ? SAMPLE_FIRSTS : FULL_FIRSTS;
    const uint32_t every = states < firsts ? 1 : states / firsts;
    const uint32_t offset = (uint32_t)(test_random() % every);
    const uint64_t most = options.sample ? SAMPLE_SECOND_COST : FULL_SECOND_COST / firsts;
    uint32_t state = 0;
    in_second = true;
    for (uint32_t k = 0; k <= path->length; k++) {
        if (k == 0 || options.sample || path->steps[k].changed) {
            if (state++ % every == offset) {
                first_at = (struct stepper_point){k, STOP_BEFORE};
                kill_recovery(path, most, figures);
            }
        }
    }
    in_second = false;
}

/* --- a scenario --- */

static void prepare(int number)
{
    snprintf(test_path, sizeof(test_path), "/dev/shm/idemkey-step-%07d-%02d.idem", (int)getppid(),
             number);
    (void)unlink(test_path);
    findings = shared_memory(sizeof(*findings));
    scene.store = store_open_with(STORE_SMALLEST_BYTES, 0);
    for (int i = 0; i < SCENE_KEYS_MAX; i++) {
        snprintf(scene.keys[i], sizeof(scene.keys[i]), "key number %d", i);
    }
    world_begin(scene.store);
    if (scenario->prepare != NULL) {
        scenario->prepare();
    } else {
        (void)state_of(scene.store, SCENE_KEY);
    }
    store_check(scene.store);
    world_save();
}

static void play(int number, struct figures *figures)
{
    static struct stepper_path alone, accompanied;
    scenario = &scenarios[number];
    prepare(number);
    record_call(&alone, false, !options.sample);
    figures->steps = alone.length;
    figures->points = (uint32_t)points_of(&alone);
    figures->states = alone.changes + 1;
    if (options.once && !options.then) {
        kill_once(&alone, options.at);
        figures->kills++;
    }
    if (!options.once) {
        first_kills(&alone, figures);
    }
    if (!options.once || options.then) {
        record_call(&accompanied, true, !options.sample);
    }
    if (options.then) {
        static struct stepper_path recovery;
        first_at = options.at;
        in_second = true;
        kill_twice(&accompanied, &recovery, NULL);
        kill_twice(&accompanied, &recovery, &options.then_at);
        figures->second_kills++;
    }
    if (!options.once) {
        second_kills(&accompanied, figures);
    }
    (void)unlink(test_path);
}

/* --- all of them --- */

static void print(const char *name, const struct figures *figures)
{
    printf("%-48s %7u %7u %6u %7u %5u %6u %8" PRIu64 " %8" PRIu64 " %3d\n", name, figures->steps,
           figures->points, figures->states, figures->kills, figures->firsts, figures->second_steps,
           figures->second_points, figures->second_kills, figures->failures);
    fflush(stdout);
}

/* Takes back the figures of an earlier run with this seed that was broken off; which scenarios it did. */
static void read_log(struct figures *all, bool *done)
{
    FILE *log = options.log != NULL ? fopen(options.log, "r") : NULL;
    uint64_t seed;
    int number;
    struct figures one = {0};
    while (log != NULL &&
           fscanf(log, "%" SCNu64 " %d %u %u %u %u %u %u %" SCNu64 " %" SCNu64, &seed, &number,
                  &one.steps, &one.points, &one.states, &one.kills, &one.firsts, &one.second_steps,
                  &one.second_points, &one.second_kills) == 10) {
        if (seed == test_seed && number >= 0 && number < SCENARIOS) {
            all[number] = one;
            done[number] = true;
        }
    }
    if (log != NULL) {
        fclose(log);
    }
}

static void write_log(int number, const struct figures *one)
{
    FILE *log = options.log != NULL ? fopen(options.log, "a") : NULL;
    if (log != NULL) {
        fprintf(log, "%" PRIu64 " %d %u %u %u %u %u %u %" PRIu64 " %" PRIu64 "\n", test_seed,
                number, one->steps, one->points, one->states, one->kills, one->firsts,
                one->second_steps, one->second_points, one->second_kills);
        fclose(log);
    }
}

static pid_t start(int number, struct figures *figures, int core)
{
    fflush(NULL);
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        /* On one core a stop is a switch, not a message to another core: three times as fast. */
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)core, &set);
        (void)sched_setaffinity(0, sizeof(set), &set);
        signal(SIGALRM, test_watchdog);
        play(number, figures);
        _exit(0);
    }
    CHECK(pid > 0);
    return pid;
}

/* Plays all scenarios, some at once; the number that failed. */
static int play_all(void)
{
    struct figures *all = shared_memory(SCENARIOS * sizeof(*all)), total = {0};
    bool done[SCENARIOS] = {false};
    pid_t pids[JOBS_MAX] = {0};
    int playing[JOBS_MAX], running = 0, next = 0, played = 0;
    read_log(all, done);
    printf("%-48s %7s %7s %6s %7s %5s %6s %8s %8s %s\n", "scenario", "steps", "points", "states",
           "kills", "then", "steps", "points", "kills", "failures");
    while (next < SCENARIOS || running > 0) {
        if (next < SCENARIOS && running < options.jobs) {
            if (done[next] ||
                (options.only != NULL && strcmp(options.only, scenarios[next].name) != 0)) {
                if (done[next]) {
                    print(scenarios[next].name, &all[next]);
                    played++;
                }
                next++;
                continue;
            }
            int job = 0;
            while (pids[job] != 0) {
                job++;
            }
            playing[job] = next;
            pids[job] = start(next, &all[next], job);
            running++;
            next++;
            continue;
        }
        int status, job = 0;
        const pid_t ended = waitpid(-1, &status, 0);
        CHECK(ended > 0);
        while (pids[job] != ended) {
            job++;
        }
        pids[job] = 0;
        running--;
        played++;
        struct figures *one = &all[playing[job]];
        one->failures = status != 0;
        print(scenarios[playing[job]].name, one);
        if (status == 0 && !options.once) {
            write_log(playing[job], one);
        }
    }
    for (int i = 0; i < SCENARIOS; i++) {
        total.steps += all[i].steps;
        total.points += all[i].points;
        total.states += all[i].states;
        total.kills += all[i].kills;
        total.firsts += all[i].firsts;
        total.second_steps =
            all[i].second_steps > total.second_steps ? all[i].second_steps : total.second_steps;
        total.second_points += all[i].second_points;
        total.second_kills += all[i].second_kills;
        total.failures += all[i].failures;
    }
    char name[64];
    snprintf(name, sizeof(name), "total: %d of %d scenarios", played, SCENARIOS);
    print(name, &total);
    if (total.failures == 0 && options.log != NULL) {
        (void)unlink(options.log);
    }
    return played == 0 ? 1 : total.failures;
}

/* Starts this program anew, so that one seed means the same instructions: at the same addresses; and without
   string instructions that count as one step a byte. What may not be had is done without. */
static void start_anew(char **argv)
{
    static const char name[] = "GLIBC_TUNABLES";
    if (getenv(name) == NULL) {
        (void)setenv(name,
                     "glibc.cpu.x86_rep_stosb_threshold=1000000000:"
                     "glibc.cpu.x86_rep_movsb_threshold=1000000000",
                     1);
        (void)personality(ADDR_NO_RANDOMIZE);
        (void)execv("/proc/self/exe", argv);
    }
}

static struct stepper_point point_of(const char *text)
{
    char *rest;
    struct stepper_point point = {.k = (uint32_t)strtoul(text, &rest, 10)};
    point.stop = strcmp(rest, "entry") == 0  ? STOP_ENTRY
                 : strcmp(rest, "exit") == 0 ? STOP_EXIT
                                             : STOP_BEFORE;
    return point;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {
        {"sample", no_argument, NULL, 's'},         {"seed", required_argument, NULL, 'r'},
        {"scenario", required_argument, NULL, 'c'}, {"at", required_argument, NULL, 'a'},
        {"then", required_argument, NULL, 't'},     {"jobs", required_argument, NULL, 'j'},
        {"log", required_argument, NULL, 'l'},      {NULL, 0, NULL, 0}};
    start_anew(argv);
    argv0 = argv[0];
    (void)test_run; /* scenarios are run otherwise */
    const char *seed = getenv("IDEMKEY_SEED");
    test_seed = seed != NULL ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
    options.jobs = 1;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 's':
            options.sample = true;
            break;
        case 'r':
            test_seed = strtoull(optarg, NULL, 0);
            break;
        case 'c':
            options.only = optarg;
            break;
        case 'a':
            options.once = true;
            options.at = point_of(optarg);
            break;
        case 't':
            options.then = true;
            options.then_at = point_of(optarg);
            break;
        case 'j':
            options.jobs = atoi(optarg);
            break;
        case 'l':
            options.log = optarg;
            break;
        default:
            fprintf(stderr,
                    "usage: %s [--sample] [--seed N] [--jobs N] [--log FILE] "
                    "[--scenario NAME [--at K[entry|exit] [--then K[entry|exit]]]]\n",
                    argv[0]);
            return 2;
        }
    }
    CHECK(options.jobs > 0 && options.jobs <= JOBS_MAX);
    printf("seed %" PRIu64 "\n", test_seed);
    return play_all() == 0 ? 0 : 1;
}
