/*
 * value.pml - a value's block: written, named by its record's life word, retired, used again.
 *
 * One record R (a block that may become a second record) and one value block V, whose content says for
 * which generation of R it was written.
 *
 *     complete   V: -> TAKEN(me); content; CAS life PENDING -> DONE(V); V: TAKEN -> LIVE (if the CAS was lost: FREE)
 *     hand       V LIVE, but its record has another generation or does not name it: RETIRED;
 *                V TAKEN by a dead owner: LIVE if named, else RETIRED; zeroed before
 *     forget     life DEAD, then zeroes V, in one section; V: LIVE -> RETIRED, if it can
 *     lookup     life DONE(V); copy; the life word once more
 *
 * Argument. A record names a value at most once, by its own completer, before the value is LIVE. So a LIVE
 * value that is not named now will never be named again, in whatever order the hand reads the two; and
 * a TAKEN one will not, once its owner is dead. The grace period is that of retire.pml.
 *
 * Properties
 *   a value that a life word names is neither retired nor taken by another
 *   a lookup whose two loads of the life word agree has copied the value of just that record
 *   what is written into a value stays until its record is DEAD
 *   no leak: after the last hand V is LIVE and named, or FREE, or RETIRED
 *
 * Mutations
 *   MUTATE_LIVE_FIRST   the completer makes V LIVE before the life word names it
 *   MUTATE_ANY_TAKEN    the hand recovers a TAKEN block without asking whether its owner is dead
 *   MUTATE_NO_RELOAD    the hand trusts a TAKEN word that it loaded before it knew the owner dead
 *   MUTATE_NO_REREAD    the lookup trusts its copy without the second load
 *   MUTATE_ZERO_LATER   forget zeroes in a section of its own
 */
#define COMPLETER 0 /* of R's first record; may die */
#define TAKER 1     /* takes that record over, or forgets it; may die */
#define HAND 2      /* may die */
#define READER 3
#define SUCCESSOR 4 /* makes R its own record, and completes it with a value */
#define OTHER 5     /* uses V for some other record */
#define HAND_2 6
#define LAST_HAND 7
#define ACTORS 8
#define G_MAX 5
#include "epochs.inc"

#define FREE 0
#define TAKEN 1
#define LIVE 2
#define RETIRED 3

/* R's life word. */
#define DEAD 0
#define PENDING 1
#define PENDING_2 2 /* the second attempt */
#define DONE_V 3    /* its value is V */
#define DONE_EMPTY 4

byte life = PENDING;
byte record = 1;   /* R's generation */
byte record_ended; /* announce(e) of its retirement; 0 = it is LIVE */

byte state = FREE; /* V's word */
byte generation;
byte owner;
byte retired_at;
byte content; /* for which generation of R; OTHER = for another record; 0 = zeroed */

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
            assert(life != DONE_V || (s != LIVE && new_state == LIVE));
            state = new_state;
            generation = new_generation;
            owner = new_owner;
            retired_at = epoch
        :: else
        fi
    }
}

inline end_section()
{
    d_step { s = 0; g = 0; o = 0; e = 0; seen = 0; ok = false; opened_at[me] = 0 }
}

/* In a section; `mine` = the generation of R that the caller holds a token of. */
inline complete()
{
    load_word();
    seen = G;
    if
    :: s == FREE || (s == RETIRED && grace_over(seen, e)) ->
        cas_word(TAKEN, g + 1, me, 0);
        if
        :: ok ->
            d_step { s = TAKEN; g++; o = me; e = 0; seen = 0 }
            content = mine;
#ifdef MUTATE_LIVE_FIRST
            cas_word(LIVE, g, 0, 0);
            d_step { s = LIVE; o = 0 }
#endif
            d_step {
                ok = life == PENDING && record == mine;
                if
                :: ok ->
                    assert((state == TAKEN && owner == me) || state == LIVE);
                    assert(generation == g && content == mine);
                    life = DONE_V
                :: else
                fi
            }
            if
            :: ok -> cas_word(LIVE, g, 0, 0)
            :: else -> cas_word(FREE, g, 0, 0)
            fi
        :: else
        fi
    :: else /* no room for the value: not modelled further */
    fi
}

proctype Completer(byte me)
{
    byte s, g, o, e, seen;
    byte mine = 1;
    bool ok;

    {
        enter();
        complete();
        end_section()
    } unless { dead[me] }
}

/* DEAD by forget; with V, if it was named. */
inline forget(from)
{
    d_step {
        ok = life == from && record == mine;
        life = (ok -> DEAD : life)
    }
    if
    :: ok && from == DONE_V ->
        load_word();
#ifdef MUTATE_ZERO_LATER
        leave();
        enter();
#endif
        content = 0;
        d_step { seen = G; record_ended = announce(seen) }
        e = G;
        if
        :: s == LIVE -> cas_word(RETIRED, g, 0, e)
        :: else /* left to its owner, and the hand */
        fi
    :: ok && from != DONE_V -> d_step { seen = G; record_ended = announce(seen) }
    :: else
    fi
}

/* Where nobody dies Spin sees more steps that concern nobody else, and searches less. */
#if defined(SCENE_TAKER_DIES)
#define taker_dies unless { dead[me] }
#else
#define taker_dies
#endif
#if defined(SCENE_HAND_DIES)
#define hand_dies unless { dead[me] }
#else
#define hand_dies
#endif

proctype Taker(byte me)
{
    byte s, g, o, e, seen;
    byte mine = 1;
    bool ok;

    {
    enter();
    if
    :: d_step {
            if
            :: life == PENDING && record == mine -> life = PENDING_2
            :: else
            fi
        }
        if
        :: d_step {
                if
                :: life == PENDING_2 -> life = DONE_EMPTY
                :: else
                fi
            }
            forget(DONE_EMPTY)
        :: forget(PENDING_2)
        fi
    :: forget(DONE_V)
    fi;
    end_section()
    } taker_dies
}

/* R's block, after its grace period, becomes another record, with the same life word as the first had. */
proctype Successor(byte me)
{
    byte s, g, o, e, seen;
    byte mine = 2;
    bool ok;

    enter();
    if
    :: d_step { record_ended != 0 && grace_over(announce(G), record_ended) ->
            record_ended = 0;
            record = mine;
            life = PENDING
        }
        complete()
    :: else
    fi;
    end_section()
}

/* What it writes must stay, as long as the block is its own. */
proctype Other(byte me)
{
    byte s, g, o, e, seen;
    bool ok;

    enter();
    load_word();
    seen = G;
    if
    :: s == FREE || (s == RETIRED && grace_over(seen, e)) ->
        cas_word(TAKEN, g + 1, me, 0);
        if
        :: ok ->
            d_step { s = TAKEN; g++; o = me; e = 0 }
            content = OTHER;
            assert(content == OTHER);
            cas_word(FREE, g, 0, 0)
        :: else
        fi
    :: else
    fi;
    end_section()
}

/*
 * Once its owner is known to be dead, the word of a TAKEN block is loaded again: loaded before, it may have
 * become FREE, and another's, whose content would be zeroed. TAKEN by the dead it can not become FREE.
 */
inline visit()
{
    enter();
    load_word();
    if
#ifdef MUTATE_ANY_TAKEN
    :: s == TAKEN -> skip
#else
    :: s == TAKEN && dead[o] ->
#ifndef MUTATE_NO_RELOAD
        d_step { s = (state == TAKEN && generation == g && owner == o -> TAKEN : FREE) }
#else
        skip
#endif
#endif
    :: s == TAKEN && !dead[o] -> s = FREE /* not the hand's business */
    :: else
    fi;
    if
    :: s == TAKEN || s == LIVE ->
        written_for = content;
        d_step { named = written_for == record && written_for != 0 } /* R's block word */
        d_step { named = named && life == DONE_V; written_for = 0 }
        if
        :: named && s == TAKEN -> cas_word(LIVE, g, 0, 0)
        :: named && s == LIVE
        :: !named ->
            content = 0; /* its record may have been forgotten */
            e = G;
            cas_word(RETIRED, g, 0, e)
        fi
    :: else
    fi;
    named = false;
    end_section()
}

proctype Hand(byte me)
{
    byte s, g, o, e, seen, written_for;
    bool ok, named;

    { visit() } hand_dies
}

proctype Reader(byte me)
{
    byte l, found, copy;

    enter();
    d_step { l = life; found = record }
    if
    :: l == DONE_V ->
        copy = content;
#ifdef MUTATE_NO_REREAD
        assert(copy == found)
#else
        assert(record == found && (life != l || copy == found))
#endif
    :: else
    fi;
    leave()
}

init
{
    byte me = LAST_HAND;
    byte s, g, o, e, seen, written_for;
    bool ok, named;

    atomic {
        run Advancer();
        run Completer(COMPLETER);
        run Killer(COMPLETER);
#ifdef SCENE_TAKER_DIES
        run Killer(TAKER);
#endif
#ifdef SCENE_HAND_DIES
        run Killer(HAND);
#endif
        run Taker(TAKER);
#ifdef SCENE_HAND
        run Hand(HAND);
#endif
#ifdef SCENE_HAND_2
        run Hand(HAND_2);
#endif
#ifdef SCENE_READER
        run Reader(READER);
#endif
#ifdef SCENE_SUCCESSOR
        run Successor(SUCCESSOR);
#endif
#ifdef SCENE_OTHER
        run Other(OTHER);
#endif
    }
    _nr_pr == 2;
    visit();
    assert(state == RETIRED || state == FREE || (state == LIVE && life == DONE_V));
    assert(life != DONE_V || state == LIVE)
}
