/*
 * trial.h - one kill, or two: who is there, who dies where, and who must find all well.
 */
#ifndef IDEM_CRASH_TRIAL_H
#define IDEM_CRASH_TRIAL_H

#include "stepper.h"
#include "table.h"

/* Only a hang reaches it. */
#define WATCHDOG_S 300u

static bool sample; /* not all points: then nobody needs to know which ones changed the region */
static const char *argv0;
static const struct scenario *scenario;
static int call_status;

/* --- the cast --- */

static void survivor_body(void *recovered)
{
    /* Or it would set the clock, which the victim is to be the first to do. */
    if (scenario->again != again_open) {
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

/* Kills that had to be tried again by single steps. */
static uint32_t strays;

static void kill_once(const struct stepper_path *path, struct stepper_point at)
{
    first_at = at;
    for (bool stepwise = false;; stepwise = true) {
        begin_trial();
        const pid_t survivor = start_survivor(false);
        const pid_t victim = stepper_start(victim_ready, victim_call, victim_end);
        const bool there = stepper_go(victim, path, at, stepwise);
        stepper_kill(victim);
        if (there || stepwise) {
            join_survivor(survivor);
            return;
        }
        test_kill(survivor);
        strays++;
    }
}

/* Kills the call at first_at and its recovery at `at`; without one records the recovery's path, to its end. */
static void kill_twice(const struct stepper_path *path, struct stepper_path *recovery,
                       const struct stepper_point *at)
{
    second_at = at != NULL ? *at : (struct stepper_point){0, STOP_BEFORE};
    for (bool stepwise = false;; stepwise = true) {
        begin_trial();
        const pid_t survivor = start_survivor(true);
        const pid_t heir = stepper_start(heir_ready, heir_call, heir_end);
        const pid_t victim = stepper_start(victim_ready, victim_call, victim_end);
        bool there = stepper_go(victim, path, first_at, stepwise);
        stepper_kill(victim);
        if (at != NULL) {
            there = (there || stepwise) && stepper_go(heir, recovery, *at, stepwise);
        } else if (there || stepwise) {
            stepper_record(heir, recovery, !sample);
            second_at.k = recovery->length;
        }
        stepper_kill(heir);
        if (there || stepwise) {
            join_survivor(survivor);
            return;
        }
        test_kill(survivor);
        strays++;
    }
}

#endif
