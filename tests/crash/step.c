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

#include "plan.h"

#define JOBS_MAX 64

static struct options {
    const char *only; /* name of a scenario */
    bool once;        /* one kill, at ... */
    struct stepper_point at;
    bool then; /* ... and of recovery, at ... */
    struct stepper_point then_at;
    int jobs;
    const char *log;
} options;

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
    record_call(&alone, false, !sample);
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
        record_call(&accompanied, true, !sample);
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
    figures->strays = strays;
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
           fscanf(log, "%" SCNu64 " %d %u %u %u %u %u %u %" SCNu64 " %" SCNu64 " %u", &seed,
                  &number, &one.steps, &one.points, &one.states, &one.kills, &one.firsts,
                  &one.second_steps, &one.second_points, &one.second_kills, &one.strays) == 11) {
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
        fprintf(log, "%" PRIu64 " %d %u %u %u %u %u %u %" PRIu64 " %" PRIu64 " %u\n", test_seed,
                number, one->steps, one->points, one->states, one->kills, one->firsts,
                one->second_steps, one->second_points, one->second_kills, one->strays);
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
        total.strays += all[i].strays;
        total.failures += all[i].failures;
    }
    char name[64];
    snprintf(name, sizeof(name), "total: %d of %d scenarios", played, SCENARIOS);
    print(name, &total);
    printf("%" PRIu64 " processes killed; %u kills were tried again by single steps\n",
           total.kills + 2 * total.second_kills, total.strays);
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
            sample = true;
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
