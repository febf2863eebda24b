/*
 * chunk.pml - a slab becomes a chunk of the index.
 *
 * Growing the index (idem__slab_acquire_chunk): get an unused slab (INIT(me), see slab.pml), zero it, publish it
 * by one CAS chunk_table: 0 -> slab, then INIT(me) -> INDEX; who loses that CAS gives the slab back. From the CAS
 * on, everybody uses the chunk, also while the slab's word still says INIT.
 *
 * If the publisher dies, whoever passes asks the chunk table (left_behind): if that names the slab, one CAS
 * INIT(dead) -> INDEX; if not, it never will, since the only one who could publish it is dead: the slab can be
 * taken, INIT(dead) -> INIT(me), or its pages given back. The question comes after the death is known.
 *
 * UNUSED stands for all that can be taken; also for DRAINING with an epoch long over, as who loses leaves it.
 *
 * Properties
 *   what a chunk's users wrote is never zeroed
 *   a slab that the chunk table names is INIT or INDEX
 *   no leak: once a last visitor has passed, each slab is named and INDEX, or not named and UNUSED
 *
 * Mutations
 *   MUTATE_NO_LOOK      the recoverer does not ask the chunk table
 *   MUTATE_LOOK_EARLY   it asks before it knows that the owner is dead
 *   MUTATE_ANY_INIT     INIT is taken away from a living owner
 */
#define PUBLISHER_1 1 /* may die */
#define PUBLISHER_2 2 /* may die */
#define RECOVERER 3
#define LAST 4
#define ACTORS 5

#define SLABS 2
#define UNUSED 0
#define INIT 1
#define INDEX 2

#include "atomics.inc"

byte state[SLABS];
byte owner[SLABS];
byte chunk_table; /* slab + 1; 0 = none */
byte users[SLABS]; /* what the chunk's users wrote */
bool dead[ACTORS];

#define named(slab) (chunk_table == (slab) + 1)

inline cas_slab(slab, old_state, old_owner, new_state, new_owner)
{
    d_step {
        ok = state[slab] == old_state && owner[slab] == old_owner;
        if
        :: ok ->
            state[slab] = new_state;
            owner[slab] = new_owner;
            assert(state[slab] != UNUSED || !named(slab))
        :: else
        fi
    }
}

inline zero(slab)
{
    d_step { assert(users[slab] == 0 && !named(slab)); users[slab] = 0 }
}

#ifdef MUTATE_ANY_INIT
#define may_recover(slab) (state[slab] == INIT)
#else
#define may_recover(slab) (state[slab] == INIT && dead[owner[slab]])
#endif

/* INIT of a dead owner: INDEX if it is named, else what the caller wants; ok = it is the caller's now. */
inline recover(slab, becomes, whose)
{
#ifdef MUTATE_LOOK_EARLY
    is_named = named(slab);
#endif
    d_step { ok = may_recover(slab); previous = owner[slab] }
    if
    :: ok ->
#ifndef MUTATE_LOOK_EARLY
#ifndef MUTATE_NO_LOOK
        is_named = named(slab);
#endif
#endif
        if
        :: is_named -> cas_slab(slab, INIT, previous, INDEX, 0); ok = false
        :: else -> cas_slab(slab, INIT, previous, becomes, whose)
        fi
    :: else
    fi;
    d_step { is_named = false; previous = 0 }
}

/* In INIT(me) the slab is zeroed, and published or given back. */
inline publish(slab)
{
    ok = false;
    if
    :: state[slab] == UNUSED -> cas_slab(slab, UNUSED, 0, INIT, me)
    :: state[slab] == INIT -> recover(slab, INIT, me)
    :: else
    fi;
    if
    :: ok ->
        zero(slab);
        cas(chunk_table, 0, slab + 1, ok);
        if
        :: ok -> cas_slab(slab, INIT, me, INDEX, 0)
        :: else -> cas_slab(slab, INIT, me, UNUSED, 0)
        fi
    :: else
    fi
}

/* Grows the index with a slab that is unused, or that a dead one left. */
proctype Publisher(byte me)
{
    byte previous;
    bool ok, is_named;

    {
        if
        :: publish(0)
        :: publish(1)
        fi
    } unless { dead[me] }
}

proctype Recoverer(byte me)
{
    byte previous;
    bool ok, is_named;

    recover(0, UNUSED, 0);
    recover(1, UNUSED, 0)
}

/* Uses the chunk as soon as the table names it. */
proctype User()
{
    if
    :: d_step { chunk_table != 0 -> users[chunk_table - 1] = 1 }
        assert(users[chunk_table - 1] == 1 && state[chunk_table - 1] != UNUSED)
    :: else
    fi
}

proctype Killer(byte victim)
{
    if
    :: dead[victim] = true
    :: true
    fi
}

init
{
    byte me = LAST;
    byte previous;
    bool ok, is_named;

    atomic {
        run Publisher(PUBLISHER_1);
        run Publisher(PUBLISHER_2);
        run Recoverer(RECOVERER);
        run User();
        run Killer(PUBLISHER_1);
        run Killer(PUBLISHER_2)
    }
    _nr_pr == 1;
    recover(0, UNUSED, 0);
    recover(1, UNUSED, 0);
    assert(state[0] == (named(0) -> INDEX : UNUSED));
    assert(state[1] == (named(1) -> INDEX : UNUSED))
}
