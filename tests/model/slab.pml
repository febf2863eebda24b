/*
 * slab.pml - a slab changes its class, or gives its pages back.
 *
 *     ACTIVE(class) -> DRAINING(e) -> INIT(me) -> ACTIVE(other class)
 *                                  -> PUNCH(me) -> UNUSED -> INIT(me) -> ...
 *
 * Protocol. The drainer takes every block (FREE, or RETIRED long enough) or gives back what it took. When
 * it has them all, it raises the slab's generation base, which stands in the slab table and is never
 * overwritten, above all its blocks' generations; then one CAS ACTIVE -> DRAINING(e), with e loaded in
 * its section. At e + 3 anyone CASes to INIT(me) or PUNCH(me), which are exclusive: if their owner is dead
 * the slab becomes UNUSED, if it is slow nobody touches it. Everybody else - allocator, hand, token, drainer -
 * checks in its section that the slab is ACTIVE, of the class it thinks.
 *
 * Argument. Who saw the slab ACTIVE entered before the CAS to DRAINING(e), at G <= e + 1 as in retire.pml, and
 * G is at most e + 2 while it is inside. INIT and PUNCH have one living writer, so nothing of theirs
 * lands after the slab is ACTIVE again. An empty word stands for the base, so all generations of the
 * slab's past are below those to come, also when its words went with their pages.
 *
 * Properties
 *   a block is touched only in the slab's incarnation that was checked
 *   words are written, and pages given back, only by the slab's INIT or PUNCH owner
 *   generations of a place in memory only grow
 *
 * Mutations
 *   MUTATE_GRACE_2         INIT and PUNCH at e + 2
 *   MUTATE_E_OUTSIDE       the drainer loads e before it enters
 *   MUTATE_CHECK_OUTSIDE   a cursor checks the slab before it enters
 *   MUTATE_ANY_INIT        INIT and PUNCH are taken away from a living owner
 *   MUTATE_BASE_LATE       the drainer raises the base after the slab has changed hands
 *
 * A drainer and a preparer always run. SCENE_ switches add: CURSOR, of the old class; RIVAL, a second
 * preparer; PUNCH, giving pages back; NEXT_CLASS, a cursor of the new class; and deaths of the drainer or of
 * the first preparer.
 */
#define CURSOR 0
#define DRAINER 1
#define PREPARER_1 2
#define PREPARER_2 3
#define NEXT_CURSOR 4
#define ACTORS 5
#define G_MAX 5
#include "epochs.inc"

#define BLOCKS 2
#define FREE 0
#define TAKEN 1
#define LIVE 2
#define RETIRED 3

/* The slab word: state, and class, epoch or owner with it. */
#define ACTIVE 0
#define DRAINING 1
#define INIT 2
#define PUNCH 3
#define UNUSED 4
#define OLD_CLASS 1
#define NEW_CLASS 2

byte slab_state = ACTIVE;
byte slab_of = OLD_CLASS; /* the class; DRAINING: e; INIT, PUNCH: the owner */
byte base = 1;            /* generation base */

byte state[BLOCKS];
byte generation[BLOCKS] = 1; /* 0, an empty word, stands for the base */
byte owner[BLOCKS];
byte retired_at[BLOCKS];

/* Observers. */
byte incarnation;
byte highest[BLOCKS] = 1; /* generation ever seen of a block */

inline cas_block(new_state, new_generation, new_owner, epoch)
{
    d_step {
        assert(incarnation == checked);
        ok = state[b] == s && generation[b] == w && owner[b] == o;
        if
        :: ok ->
            assert(new_state != TAKEN || (new_generation) > highest[b]);
            state[b] = new_state;
            generation[b] = new_generation;
            highest[b] = (generation[b] > highest[b] -> generation[b] : highest[b]);
            owner[b] = new_owner;
            retired_at[b] = epoch
        :: else
        fi
    }
}

inline load_block()
{
    d_step {
        assert(incarnation == checked);
        s = state[b];
        w = generation[b];
        g = (w == 0 -> base : w);
        o = owner[b];
        e = retired_at[b]
    }
}

inline check_slab(class)
{
    d_step { ok = slab_state == ACTIVE && slab_of == class; checked = incarnation }
}

/* Allocator, hand and token in one: takes, uses and retires a block, or recovers a dead owner's. */
proctype Cursor(byte me, class)
{
    byte b, s, g, w, o, e, checked;
    bool ok;

#ifdef MUTATE_CHECK_OUTSIDE
    check_slab(class);
    enter();
#else
    enter();
    check_slab(class);
#endif
    if
    :: ok ->
        if
        :: b = 0
        :: b = 1
        fi;
        load_block();
        if
        :: s == FREE || (s == RETIRED && grace_over(G, e)) ->
            cas_block(TAKEN, g + 1, me, 0);
            if
            :: ok ->
                d_step { s = TAKEN; g++; w = g; o = me }
                cas_block(LIVE, g, 0, 0);
                d_step { s = LIVE; o = 0 }
                e = G;
                cas_block(RETIRED, g, 0, e)
            :: else
            fi
        :: s == TAKEN && dead[o] ->
            e = G;
            cas_block(RETIRED, g, 0, e)
        :: else
        fi
    :: else
    fi;
    d_step { b = 0; s = 0; g = 0; w = 0; o = 0; e = 0; checked = 0; ok = false; opened_at[me] = 0 }
}

/* All blocks are the drainer's own: one step, nobody else changes what it reads. */
inline raise_base()
{
    d_step {
        b = 0;
        do
        :: b == BLOCKS -> break
        :: else -> base = (generation[b] >= base -> generation[b] + 1 : base); b++
        od
    }
}

proctype Drainer(byte me)
{
    byte b, s, g, w, o, e, drain_epoch, checked;
    bool ok;

    {
#ifdef MUTATE_E_OUTSIDE
        drain_epoch = G;
#endif
        enter();
#ifndef MUTATE_E_OUTSIDE
        drain_epoch = G;
#endif
        check_slab(OLD_CLASS);
        if
        :: ok ->
            do
            :: b == BLOCKS -> break
            :: else ->
                load_block();
                ok = s == FREE || (s == RETIRED && grace_over(G, e));
                if
                :: ok -> cas_block(TAKEN, g + 1, me, 0)
                :: else
                fi;
                if
                :: ok -> b++
                :: else -> break
                fi
            od;
            if
            :: ok ->
#ifndef MUTATE_BASE_LATE
                raise_base();
#endif
                d_step {
                    assert(slab_state == ACTIVE && slab_of == OLD_CLASS);
                    slab_state = DRAINING;
                    slab_of = drain_epoch
                }
#ifdef MUTATE_BASE_LATE
                raise_base()
#endif
            :: else -> /* undo */
                do
                :: b == 0 -> break
                :: else ->
                    b--;
                    load_block();
                    assert(s == TAKEN && o == me);
                    cas_block(FREE, g, 0, 0)
                od
            fi
        :: else
        fi;
        atomic {
            b = 0;
            s = 0;
            g = 0;
            w = 0;
            o = 0;
            e = 0;
            checked = 0;
            drain_epoch = 0;
            ok = false;
            opened_at[me] = 0
        }
    } unless { dead[me] }
}

#define mine (slab_state == kind && slab_of == me)
#ifdef MUTATE_ANY_INIT
#define may_recover true
#else
#define may_recover dead[slab_of]
#endif

/* One CAS of the slab word to INIT(me) or PUNCH(me); `kind` tells which, 0 = not now. */
inline get_slab()
{
    d_step {
        kind = 0;
        if
        :: slab_state == DRAINING && grace_over(G, slab_of) -> kind = wish; incarnation++
        :: slab_state == UNUSED -> kind = INIT
        :: else
        fi;
        if
        :: kind != 0 -> slab_state = kind; slab_of = me
        :: else
        fi
    }
}

inline recover_slab()
{
    d_step {
        if
        :: (slab_state == INIT || slab_state == PUNCH) && may_recover -> slab_state = UNUSED; slab_of = 0
        :: else
        fi
    }
}

proctype Preparer(byte me, tries)
{
    byte b, wish, kind;

    {
        do
        :: tries == 0 -> break
        :: else ->
            tries--;
            if
            :: wish = INIT
#ifdef SCENE_PUNCH
            :: wish = PUNCH
#endif
            fi;
            recover_slab();
            get_slab();
            if
            :: kind != 0 ->
                do
                :: b == BLOCKS -> break
                :: else ->
                    d_step {
                        assert(mine);
                        state[b] = FREE;
                        generation[b] = 0;
                        owner[b] = 0;
                        retired_at[b] = 0
                    }
                    b++
                od;
                atomic {
                    assert(mine);
                    if
                    :: kind == INIT -> slab_state = ACTIVE; slab_of = NEW_CLASS
                    :: kind == PUNCH -> slab_state = UNUSED; slab_of = 0
                    fi
                }
            :: else
            fi;
            atomic { b = 0; wish = 0; kind = 0 }
        od
    } unless { dead[me] }
}

init
{
    atomic {
        run Advancer();
        run Drainer(DRAINER);
        run Preparer(PREPARER_1, 1);
#ifdef SCENE_CURSOR
        run Cursor(CURSOR, OLD_CLASS);
#endif
#ifdef SCENE_RIVAL
        run Preparer(PREPARER_2, 2);
#endif
#ifdef SCENE_NEXT_CLASS
        run Cursor(NEXT_CURSOR, NEW_CLASS);
#endif
#ifdef SCENE_DRAINER_DIES
        run Killer(DRAINER);
#endif
#ifdef SCENE_PREPARER_DIES
        run Killer(PREPARER_1);
#endif
    }
}
