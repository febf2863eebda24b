/*
 * life.pml - the life word: claims, tokens, death, leases, holding; and the same block used again.
 *
 * One key, one block. The life word is (state, attempt, owner, time); time is a lease's end (0 = none)
 * while PENDING, `since` while ORPHANED, the end of retention while DONE. A token is (generation,
 * owner, attempt). Callers 0 and 1 are threads of process 1, caller 2 is process 2; each claims, and
 * ends what it was given: completes, releases, abandons, renews, stays silent, or dies.
 *
 * Argument. All that may change about a key is one word, so each transition is decided by one CAS on
 * the word that was judged. A token names one grant: attempts grow with each takeover of a record,
 * generations with each record in a block, owner ids are never used again. Completing, releasing and
 * renewing load the life word, then the block word, then CAS; between load and CAS the block cannot
 * change hands, since it was this generation's after the load and is pinned by the section. Comparing
 * without the lease, in a loop, lets an owner's own renewal pass. A dead owner's PENDING always becomes
 * ORPHANED first, for its crash grace counts from there.
 *
 * Properties
 *   G1      nobody is told "yours to run" while an earlier grant stands: neither ended by its holder,
 *           nor by its process's death, nor past its lease
 *   G2      a token call succeeds only for the holder of the last grant
 *   G3      nobody is told "yours to run" before the retention of an acknowledged completion ends
 *   known   "CLAIMED" (attempt 1) is said only if no earlier attempt's fate is unknown, or it is long ago
 *   grace   a dead owner's claim is taken over only after its crash grace; a held one only by a person
 *
 * Mutations
 *   MUTATE_NO_ATTEMPT       token calls compare without the attempt
 *   MUTATE_NO_GENERATION    token calls do not look at the block word
 *   MUTATE_ANY_PENDING      takeover of a PENDING key without asking whether its owner is dead
 *   MUTATE_STORE            takeover after a lease by a plain store
 *   MUTATE_RELEASE_FREES    release frees the key on later attempts, too
 *   MUTATE_SKIP_ORPHANED    a dead owner's claim is taken over in one step
 *   MUTATE_EARLY_CLOCK      `since` is the time of entering, read before the death was known
 *
 * Caller 0 always runs; SCENE_THREAD adds caller 1, SCENE_PROCESS caller 2. SCENE_LEASE gives every claim
 * a lease, SCENE_CRASH lets process 1 die, SCENE_HEIR_DIES process 2, SCENE_HOLD is on_crash=hold.
 */
#define NODES 1
#define BLOCK 0
#include "grace.inc"

#define CALLERS 3
#define owner_of(caller) ((caller) == 2 -> 2 : 1)

#define DEAD 0
#define PENDING 1
#define ORPHANED 2
#define DONE 3

#define CLAIMS 3 /* by each caller but the first, who claims once */
#define ATTEMPT_MAX 3
#define NOW_MAX 3
#define LEASE 1
#define TTL 1
#define CRASH_GRACE 1
#define ORPHAN_KEEP 2 /* the longer of ttl and grace */

/* state:2 attempt:2 owner:2 time:3 */
#define word(state, attempt, owner, time) ((state) | ((attempt) << 2) | ((owner) << 4) | ((time) << 6))
#define state_of(w) ((w) & 3)
#define attempt_of(w) (((w) >> 2) & 3)
#define owner_in(w) (((w) >> 4) & 3)
#define time_of(w) ((w) >> 6)

#ifdef SCENE_HOLD
#define held(w) true
#else
#define held(w) (attempt_of(w) == ATTEMPT_MAX)
#endif

#ifdef SCENE_LEASE
#define lease_from(t) ((t) + LEASE)
#else
#define lease_from(t) 0
#endif

#ifdef MUTATE_RELEASE_FREES
#define releases(w) true
#else
#define releases(w) (attempt_of(w) == 1)
#endif

short life;
bool published; /* in the list */
bool block_used;
byte generation;
byte now = 1;
bool dead[3]; /* by owner */

/* Observers. */
bool running[CALLERS];
byte lease_end[CALLERS];
byte holder;
byte retained_until;
bool fate_unknown;
bool dead_owners_claim; /* the PENDING or ORPHANED word is that of a process that died */
byte died_at;

#define stands(caller) (running[caller] && !dead[owner_of(caller)] && \
    !(lease_end[caller] != 0 && now >= lease_end[caller]))

/* Caller `me` is told "yours to run", in the same step as the CAS that made it so. */
inline grant(until)
{
    assert(me == 0 || !stands(0));
    assert(me == 1 || !stands(1));
    assert(me == 2 || !stands(2));
    assert(now >= retained_until);
    running[me] = true;
    lease_end[me] = until;
    holder = me;
    my_generation = generation;
}

inline cas_life(expected, desired)
{
    if
    :: life == (expected) -> life = (desired); ok = true
    :: else -> ok = false
    fi
}

/* DEAD: out of the list, then retired. list.pml and retire.pml show how. */
inline finish_dead()
{
    d_step {
        if
        :: published && life == DEAD && generation == seen_generation ->
            published = false;
            retired[BLOCK] = true;
            waits_for[BLOCK] = inside
        :: else
        fi
    }
}

/* The record is new: allocated, filled and inserted. list.pml shows that one claimer alone does. */
inline claim_absent()
{
    d_step {
        ok = false;
        if
        :: !published && (!block_used || freed(BLOCK)) ->
            ok = true;
            block_used = true;
            retired[BLOCK] = false;
            generation++;
            published = true;
            my_attempt = 1;
            lease = lease_from(t);
            life = word(PENDING, 1, owner_of(me), lease);
            assert(!fate_unknown);
            grant(lease);
            fate_unknown = true
        :: else
        fi
    }
}

inline take_over(w)
{
    d_step {
        lease = lease_from(t);
        my_attempt = attempt_of(w) + 1;
#ifdef MUTATE_STORE
        life = word(PENDING, my_attempt, owner_of(me), lease);
        ok = true;
#else
        cas_life(w, word(PENDING, my_attempt, owner_of(me), lease));
#endif
        if
        :: ok ->
            assert(!dead_owners_claim || now >= died_at + CRASH_GRACE);
            dead_owners_claim = false;
            grant(lease)
        :: else
        fi
    }
}

inline orphan(w)
{
    d_step {
        cas_life(w, word(ORPHANED, attempt_of(w), 0, t));
        if
        :: ok -> dead_owners_claim = dead[owner_in(w)]
        :: else
        fi
    }
}

/* The clock is read inside; how much later makes no difference, since any other step may be late. */
inline begin()
{
    d_step { inside = inside | (1 << me); t = now; ok = false }
}

inline end()
{
    d_step {
        inside = inside & ~(1 << me);
        waits_for[BLOCK] = waits_for[BLOCK] & ~(1 << me);
        w = 0;
        t = 0;
        lease = 0;
        seen_generation = 0;
        ok = false
    }
}

/* One claim, from section to section. Leaves granted = whether it is ours to run. */
inline claim()
{
    begin();
    do
    :: d_step { w = life; seen_generation = generation; ok = published }
        if
        :: !ok ->
            claim_absent();
            granted = ok;
            break /* not ok: no room, or another was faster */
        :: else
        fi;
        if
        :: state_of(w) == DEAD -> finish_dead(); break
        :: state_of(w) == DONE && t < time_of(w) -> break
        :: state_of(w) == DONE && t >= time_of(w) ->
            d_step { cas_life(w, DEAD) }
        :: state_of(w) == PENDING ->
            if
#ifdef MUTATE_ANY_PENDING
            :: true -> orphan(w)
#else
#ifdef MUTATE_SKIP_ORPHANED
            :: dead[owner_in(w)] && attempt_of(w) < ATTEMPT_MAX ->
                dead_owners_claim = true;
                take_over(w);
                granted = ok;
                if
                :: ok -> break
                :: else
                fi
#else
            :: dead[owner_in(w)] ->
#ifndef MUTATE_EARLY_CLOCK
                t = now; /* after the death is known: its grace starts no earlier */
#endif
                orphan(w)
#endif
#endif
            :: !dead[owner_in(w)] && time_of(w) != 0 && t >= time_of(w) ->
                if
                :: held(w) -> orphan(w)
                :: else ->
                    take_over(w);
                    granted = ok;
                    if
                    :: ok -> break
                    :: else
                    fi
                fi
            :: else -> break
            fi
        :: state_of(w) == ORPHANED ->
            if
            :: held(w) -> break
            :: !held(w) && t >= time_of(w) + ORPHAN_KEEP ->
                d_step {
                    cas_life(w, DEAD); /* nobody asked for so long as it was to be kept */
                    fate_unknown = fate_unknown && !ok
                }
            :: !held(w) && t < time_of(w) + CRASH_GRACE -> break
            :: !held(w) && t >= time_of(w) + CRASH_GRACE && t < time_of(w) + ORPHAN_KEEP ->
                take_over(w);
                granted = ok;
                if
                :: ok -> break
                :: else
                fi
            fi
        fi
    od;
    end()
}

#ifdef MUTATE_NO_ATTEMPT
#define same_attempt true
#else
#define same_attempt (attempt_of(w) == my_attempt)
#endif
#ifdef MUTATE_NO_GENERATION
#define same_generation true
#else
#define same_generation (generation == my_generation && block_used && !retired[BLOCK])
#endif

#define COMPLETE 1
#define RELEASE 2
#define ABANDON 3
#define RENEW 4

/* A token call: life word, block word, CAS; again if only the lease differed. */
inline by_token(call)
{
    begin();
    do
    :: w = life;
        if
        :: state_of(w) == PENDING && owner_in(w) == owner_of(me) && same_attempt && same_generation ->
            skip
        :: else -> running[me] = false; break /* ELOST */
        fi;
        d_step {
            if
            :: call == COMPLETE -> cas_life(w, word(DONE, 0, 0, t + TTL))
            :: call == RELEASE && releases(w) -> cas_life(w, DEAD)
            :: call == RENEW -> cas_life(w, word(PENDING, attempt_of(w), owner_in(w), t + LEASE))
            :: else -> cas_life(w, word(ORPHANED, attempt_of(w), 0, t))
            fi;
            if
            :: ok ->
                assert(holder == me && generation == my_generation);
                lease_end[me] = (call == RENEW -> t + LEASE : 0);
                running[me] = (call == RENEW);
                if
                :: call == COMPLETE -> retained_until = t + TTL; fate_unknown = false
                :: call == RELEASE && my_attempt == 1 -> fate_unknown = false
                :: else -> dead_owners_claim = false
                fi
            :: else
            fi
        }
        if
        :: ok -> break
        :: else
        fi
    od;
    end()
}

/* Where nobody dies Spin sees more steps that concern nobody else, and searches less. */
#if defined(SCENE_CRASH) || defined(SCENE_HEIR_DIES)
#define caller_dies unless { dead[owner_of(me)] -> end() }
#else
#define caller_dies
#endif

proctype Caller(byte me, claims)
{
    short w;
    byte t, lease, my_attempt, my_generation, seen_generation, call;
    bool ok, granted;

    {
        do
        :: claims == 0 -> break
        :: else ->
            claims--;
            claim();
            if
            :: granted ->
                if
#ifdef SCENE_LEASE
                :: call = RENEW; by_token(RENEW)
#endif
                :: true
                fi;
                if
                :: call = COMPLETE
                :: call = RELEASE
                :: call = ABANDON
                :: break /* stays silent, alive */
                fi;
                by_token(call);
                d_step { call = 0; my_attempt = 0; my_generation = 0; granted = false }
            :: else
            fi
        od
    } caller_dies
}

/* on_crash=hold: nobody but this one ends an orphaned key. */
proctype Person()
{
    short w;
    bool ok;

    w = life;
    if
    :: published && state_of(w) == ORPHANED ->
        if
        :: d_step {
                cas_life(w, word(DONE, 0, 0, now + TTL));
                if
                :: ok -> retained_until = now + TTL; fate_unknown = false
                :: else
                fi
            }
        :: d_step {
                cas_life(w, DEAD);
                if
                :: ok -> fate_unknown = false
                :: else
                fi
            }
        fi
    :: else
    fi
}

proctype Clock()
{
    do
    :: now < NOW_MAX -> now++
    :: now == NOW_MAX -> break
    od
}

proctype Killer(byte victim)
{
    if
    :: d_step { dead[victim] = true; died_at = now }
    :: true
    fi
}

init
{
    atomic {
        run Caller(0, 1);
#ifdef SCENE_THREAD
        run Caller(1, CLAIMS);
#endif
#ifdef SCENE_PROCESS
        run Caller(2, CLAIMS);
#endif
        run Clock();
#ifdef SCENE_CRASH
        run Killer(1);
#endif
#ifdef SCENE_HEIR_DIES
        run Killer(2);
#endif
#ifdef SCENE_HOLD
        run Person();
#endif
    }
}
