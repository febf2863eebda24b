/*
 * retire.pml - a record's block: retired, and used again for another record.
 *
 *     FREE(gen) -> TAKEN(gen + 1, owner) -> LIVE(gen) -> RETIRED(gen, e) -> TAKEN(gen + 1, owner) ...
 *
 * One block; at the start a LIVE, linked record whose life is DONE and expired, or DEAD already.
 * Everybody but the reader arrives by address. The hand is whoever passes: it expires, finishes what is
 * DEAD (mark, full find, RETIRED) and recovers what a dead owner left TAKEN (LIVE if linked, else
 * RETIRED). The completer has a token of the first record; the block's next record has the very same
 * life word, for an allocator of the same process makes its first attempt, too.
 *
 * Argument. The retirer loads e in its section, opened at r: r <= e, and as long as it is open,
 * G <= r + 1 <= e + 1; so at its CAS to RETIRED(e) G is at most e + 1. Whoever could have found the block
 * LIVE, by list or by address, entered before that CAS: at G <= e + 1. So while one of them is inside, G is
 * at most e + 2, and the block is not used again before G reaches e + 3. That bound needs e to be
 * loaded inside; where inside does not matter. A block found FREE was in nobody's hands: it
 * was never published. One found TAKEN by a dead owner may have been published and unlinked again,
 * so it gets its grace period, too.
 *
 * Properties
 *   each step on a record (life, mark, unlink) hits the generation that was found
 *   a reader that found the record in the list has it until it leaves
 *   a token of the first record never completes the second
 *   a block is taken only when it is not in the list
 *   no leak: after the last hand the block is LIVE and linked, or FREE, or RETIRED
 *
 * Mutations
 *   MUTATE_GRACE_2     reuse at e + 2
 *   MUTATE_E_OUTSIDE   e is loaded before the section is entered
 *   MUTATE_CACHED_G    the allocator loads G before the block word
 *   MUTATE_HAND_FREES  what a dead owner left TAKEN becomes FREE
 *
 * A hand and an allocator always run; SCENE_ switches add another hand (RIVAL), a COMPLETER, a READER, a
 * FORGETTER who ends the second record; or let the first hand, the forgetter or the first allocator die.
 */
#define HAND_1 0
#define HAND_2 1
#define COMPLETER 2
#define READER 3
#define ALLOCATOR_1 4
#define ALLOCATOR_2 5
#define FORGETTER 6
#define LAST_HAND 7
#define ACTORS 8
#define G_MAX 5
#include "epochs.inc"

#define FREE 0
#define TAKEN 1
#define LIVE 2
#define RETIRED 3

/* The life word. */
#define DEAD 0
#define PENDING 1 /* attempt 1 of the completer's process */
#define EXPIRED 2 /* done, retention over */

/* The block word: four parts, always loaded and exchanged together. */
byte state = LIVE;
byte generation = 1;
byte owner;
byte retired_at;

byte life = EXPIRED;
bool linked = true; /* an unmarked or marked node of the list */
bool marked;

inline load_word()
{
    d_step { s = state; g = generation; o = owner; e = retired_at }
}

inline cas_word(new_state, new_generation, new_owner, epoch)
{
    d_step {
        ok = state == s && generation == g && owner == o;
        if
        :: ok ->
            state = new_state;
            generation = new_generation;
            owner = new_owner;
            retired_at = epoch
        :: else
        fi
    }
}

/* The record is DEAD: mark, full find, RETIRED. list.pml shows what the find does. */
inline finish()
{
    d_step { assert(generation == g); marked = true }
    d_step { assert(generation == g || !linked); linked = linked && generation != g }
#ifndef MUTATE_E_OUTSIDE
    e = G;
#endif
    cas_word(RETIRED, g, 0, e)
}

inline visit()
{
#ifdef MUTATE_E_OUTSIDE
    e = G;
#endif
    enter();
#ifdef MUTATE_E_OUTSIDE
    d_step { s = state; g = generation; o = owner }
#else
    load_word();
#endif
    if
    :: s == TAKEN && dead[o] ->
        d_step { linked = linked && !marked } /* idem__list_contains: a find past its run, */
        found = linked;                       /* then a look, which may see it marked since */
        if
        :: found -> cas_word(LIVE, g, 0, 0)
        :: else ->
#ifdef MUTATE_HAND_FREES
            cas_word(FREE, g, 0, 0)
#else
#ifndef MUTATE_E_OUTSIDE
            e = G;
#endif
            cas_word(RETIRED, g, 0, e)
#endif
        fi
    :: s == LIVE ->
        l = life;
        if
        :: l == EXPIRED ->
            d_step {
                if
                :: life == EXPIRED -> assert(generation == g); life = DEAD; l = DEAD
                :: else -> l = life
                fi
            }
        :: else
        fi;
        if
        :: l == DEAD -> finish()
        :: else
        fi
    :: else
    fi;
    d_step { s = 0; g = 0; o = 0; e = 0; l = 0; ok = false; found = false; opened_at[me] = 0 }
}

/* Where nobody dies Spin sees more steps that concern nobody else, and searches less. */
#if defined(SCENE_HAND_DIES)
#define hand_dies unless { dead[me] }
#else
#define hand_dies
#endif
#if defined(SCENE_FORGETTER_DIES)
#define forgetter_dies unless { dead[me] }
#else
#define forgetter_dies
#endif
#if defined(SCENE_ALLOCATOR_DIES)
#define allocator_dies unless { dead[me] }
#else
#define allocator_dies
#endif

proctype Hand(byte me, visits)
{
    byte s, g, o, e, l;
    bool ok, found;

    {
        do
        :: visits == 0 -> break
        :: else -> visits--; visit()
        od
    } hand_dies
}

/* A late owner of generation 1: life word, block word, CAS. */
proctype Completer(byte me)
{
    byte l;

    enter();
    l = life;
    if
    :: l == PENDING && generation == 1 && (state == TAKEN || state == LIVE) ->
        d_step {
            if
            :: life == l -> assert(generation == 1); life = EXPIRED
            :: else
            fi
        }
    :: else
    fi;
    leave()
}

/* Finds the second record in the list and ends it, even before its owner has made the block LIVE. */
proctype Forgetter(byte me)
{
    byte s, g, o, e;
    bool ok;

    {
    enter();
    if
    :: d_step { linked && generation == 2 -> s = LIVE; g = 2 }
        d_step {
            ok = life == PENDING;
            assert(generation == g);
            life = (ok -> DEAD : life)
        }
        if
        :: ok -> finish()
        :: else
        fi
    :: else
    fi;
    leave()
    } forgetter_dies
}

proctype Reader(byte me)
{
    byte g;

    enter();
    if
    :: d_step { linked -> g = generation }
        assert(generation == g)
    :: else
    fi;
    leave()
}

/* Claims a new key in this block, if it can have it: once, since it may come as late as it likes. */
proctype Allocator(byte me)
{
    byte s, g, o, e, seen;
    bool ok;

    {
        enter();
#ifdef MUTATE_CACHED_G
        seen = G;
        load_word();
#else
        load_word();
        seen = G;
#endif
        if
        :: s == FREE || (s == RETIRED && grace_over(seen, e)) ->
            cas_word(TAKEN, g + 1, me, 0);
            if
            :: ok ->
                assert(!linked);
                life = PENDING;
                d_step { assert(state == TAKEN && owner == me); linked = true; marked = false }
                d_step { s = TAKEN; g = g + 1; o = me }
                cas_word(LIVE, g, 0, 0)
            :: else
            fi
        :: else
        fi;
        d_step { s = 0; g = 0; o = 0; e = 0; seen = 0; ok = false; opened_at[me] = 0 }
    } allocator_dies
}

init
{
    byte me = LAST_HAND;
    byte s, g, o, e, l;
    bool ok, found;

    if
    :: true
    :: life = DEAD
    fi;
    atomic {
        run Advancer();
        run Hand(HAND_1, 2);
        run Allocator(ALLOCATOR_1);
#ifdef SCENE_RIVAL
        run Hand(HAND_2, 1);
#endif
#ifdef SCENE_COMPLETER
        run Completer(COMPLETER);
#endif
#ifdef SCENE_FORGETTER
        run Forgetter(FORGETTER);
#endif
#ifdef SCENE_READER
        run Reader(READER);
#endif
#ifdef SCENE_HAND_DIES
        run Killer(HAND_1);
#endif
#ifdef SCENE_FORGETTER_DIES
        run Killer(FORGETTER);
#endif
#ifdef SCENE_ALLOCATOR_DIES
        run Allocator(ALLOCATOR_2);
        run Killer(ALLOCATOR_1);
#endif
    }
    _nr_pr == 2; /* all but the advancer have ended, or died */
    visit();
    visit();
    assert(state == RETIRED || state == FREE || (state == LIVE && linked && life == PENDING));
    assert(state == LIVE || !linked)
}
