/*
 * plan.h - at which of a path's points a process is killed, and all those kills.
 */
#ifndef IDEM_CRASH_PLAN_H
#define IDEM_CRASH_PLAN_H

#include "trial.h"

/* What a kill costs, in stops of a traced process: forks, the survivor's look. For planning only. */
#define KILL_COST 60u
/* Bounds per scenario, in the same unit (some 15 us). Full: where all instructions of a path cost more
   than that, those are killed at that change the region or call the kernel, and every n-th. */
#define FULL_FIRST_COST 1500000u
#define FULL_SECOND_COST 300000u /* spread over first kills */
#define SAMPLE_FIRST_COST 8000u
#define SAMPLE_SECOND_COST 5000u
/* First kills, of those that leave a region of its own, whose recovery is killed. */
#define FULL_FIRSTS 8u
#define SAMPLE_FIRSTS 1u

struct figures {
    uint32_t steps, points, kills;        /* of the call; places where it can be killed; kills */
    uint32_t states;                      /* of the region that differ from the one before */
    uint32_t second_steps;                /* of recovery: the longest */
    uint64_t second_points, second_kills; /* over all first kills from which it was tried */
    uint32_t firsts;                      /* first kills with second ones */
    uint32_t strays;                      /* kills that were tried again, by single steps */
    int failures;
};

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

/* Every `stride`-th point, and those where the region changed or the kernel is called. */
struct choice {
    uint32_t stride, offset;
};
static bool chosen(const struct stepper_path *path, uint32_t k, const struct choice *choice)
{
    const struct stepper_step *step = &path->steps[k];
    return (k + choice->offset) % choice->stride == 0 || k == 0 || k == path->length ||
           step->changed || step->system_call;
}

/* The finest choice of points that costs no more than `most`. */
static struct choice choose(const struct stepper_path *path, uint64_t most)
{
    uint64_t all = 0;
    for (uint32_t k = 0; k <= path->length; k++) {
        all += KILL_COST + path->steps[k].cost;
    }
    const uint64_t stride = all / (most + 1) + 1;
    return (struct choice){.stride = (uint32_t)stride,
                           .offset = (uint32_t)(test_random() % stride)};
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
    const struct choice choice = choose(path, sample ? SAMPLE_FIRST_COST : FULL_FIRST_COST);
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
    const struct choice choice = choose(&recovery, most);
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
    const uint32_t states = sample ? path->length + 1 : path->changes + 1;
    const uint32_t firsts = sample ? SAMPLE_FIRSTS : FULL_FIRSTS;
    const uint32_t every = states < firsts ? 1 : states / firsts;
    const uint32_t offset = (uint32_t)(test_random() % every);
    const uint64_t most = sample ? SAMPLE_SECOND_COST : FULL_SECOND_COST / firsts;
    uint32_t state = 0;
    in_second = true;
    for (uint32_t k = 0; k <= path->length; k++) {
        if (k == 0 || sample || path->steps[k].changed) {
            if (state++ % every == offset) {
                first_at = (struct stepper_point){k, STOP_BEFORE};
                kill_recovery(path, most, figures);
            }
        }
    }
    in_second = false;
}

#endif
