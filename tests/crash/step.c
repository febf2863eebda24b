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

static void prepare(void)
{
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
    prepare();
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

/* The scenarios that are being played, one a job. */
static struct job {
    pid_t pid; /* 0: idle */
    int number;
    char path[128];
} jobs[JOBS_MAX];
static int playing;
static volatile sig_atomic_t told_to_end;

static void tell_to_end(int signal_number)
{
    (void)signal_number;
    told_to_end = 1;
}

/* On one core a stop is a switch, not a message to another core: three times as fast. */
static void stay_on_core(int job)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) == 0 && CPU_COUNT(&allowed) > 0) {
        int skip = job % CPU_COUNT(&allowed);
        size_t core = 0;
        while (!CPU_ISSET(core, &allowed) || skip-- > 0) {
            core++;
        }
        CPU_ZERO(&one);
        CPU_SET(core, &one);
        (void)sched_setaffinity(0, sizeof(one), &one);
    }
}

static void start(int number, struct figures *figures)
{
    int job = 0;
    while (jobs[job].pid != 0) {
        job++;
    }
    jobs[job].number = number;
    /* All of one length: a path's length is a number of instructions. */
    snprintf(jobs[job].path, sizeof(jobs[job].path), "/dev/shm/idemkey-step-%07d-%02d.idem",
             (int)getpid(), number);
    fflush(NULL);
    const pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) {
            _exit(1);
        }
        stay_on_core(job);
        memcpy(test_path, jobs[job].path, sizeof(test_path));
        signal(SIGALRM, test_watchdog);
        play(number, figures);
        _exit(0);
    }
    CHECK(pid > 0);
    jobs[job].pid = pid;
    playing++;
}

static void remove_files(const struct job *job)
{
    char path[160];
    memcpy(test_path, job->path, sizeof(test_path));
    new_path(path);
    (void)unlink(path);
    (void)unlink(test_path);
}

/* Waits for the end of one scenario; its job. */
static struct job *end_one(int *status)
{
    const pid_t ended = waitpid(-1, status, 0);
    struct job *job = jobs;
    if (told_to_end) {
        for (; job < jobs + JOBS_MAX; job++) {
            if (job->pid != 0) {
                (void)kill(job->pid, SIGKILL); /* and with it its children */
                remove_files(job);
            }
        }
        _exit(1);
    }
    CHECK(ended > 0);
    while (job->pid != ended) {
        job++;
    }
    job->pid = 0;
    playing--;
    remove_files(job);
    return job;
}

static void add(struct figures *total, const struct figures *one)
{
    total->steps += one->steps;
    total->points += one->points;
    total->states += one->states;
    total->kills += one->kills;
    total->firsts += one->firsts;
    total->second_steps =
        one->second_steps > total->second_steps ? one->second_steps : total->second_steps;
    total->second_points += one->second_points;
    total->second_kills += one->second_kills;
    total->strays += one->strays;
    total->failures += one->failures;
}

static bool is_wanted(int number)
{
    return options.only == NULL || strcmp(options.only, scenarios[number].name) == 0;
}

/* Plays all scenarios, some at once; is all well? */
static bool play_all(void)
{
    struct figures *all = shared_memory(SCENARIOS * sizeof(*all)), total = {0};
    bool done[SCENARIOS] = {false};
    int next = 0, played = 0;
    read_log(all, done);
    printf("%-48s %7s %7s %6s %7s %5s %6s %8s %8s %s\n", "scenario", "steps", "points", "states",
           "kills", "then", "steps", "points", "kills", "failures");
    while (next < SCENARIOS || playing > 0) {
        if (next < SCENARIOS && (done[next] || !is_wanted(next))) {
            next++;
        } else if (next < SCENARIOS && playing < options.jobs) {
            start(next, &all[next]);
            next++;
        } else {
            int status;
            const int number = end_one(&status)->number;
            all[number].failures = status != 0;
            if (status == 0 && !options.once) {
                write_log(number, &all[number]);
            }
            done[number] = true;
            print(scenarios[number].name, &all[number]);
        }
    }
    for (int i = 0; i < SCENARIOS; i++) {
        played += done[i];
        add(&total, &all[i]);
    }
    char name[64];
    snprintf(name, sizeof(name), "total: %d of %d scenarios", played, SCENARIOS);
    print(name, &total);
    printf("%" PRIu64 " processes killed; %u kills were tried again by single steps\n",
           total.kills + 2 * total.second_kills, total.strays);
    if (total.failures == 0 && options.log != NULL) {
        (void)unlink(options.log);
    }
    return played > 0 && total.failures == 0;
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
    const struct sigaction end = {.sa_handler = tell_to_end};
    CHECK(sigaction(SIGTERM, &end, NULL) == 0 && sigaction(SIGINT, &end, NULL) == 0);
    return play_all() ? 0 : 1;
}
