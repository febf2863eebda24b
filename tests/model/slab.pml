/*
 * slab.pml - a slab is emptied in steps, and changes its class or gives its pages back.
 *
 *     ACTIVE(class) <-> closed(class, e) -> DRAINING(e') -> INIT(me) -> ACTIVE(other class)
 *                                                        -> PUNCH(me) -> UNUSED -> INIT(me) -> ...
 *                                          INIT(dead), PUNCH(dead) -> INIT(me) or PUNCH(me)
 *
 * Protocol (csrc/slab.c)
 *     close    idem__slab_close: in a section load the word and G, CAS open -> closed(G)
 *     reopen   idem__slab_reopen: CAS closed -> open; by a drainer that gives up, or by who wants a block
 *     drain    idem__slab_drain, a few words in each section: the state word is the very one of the first step,
 *              closed, and its grace period is over; each block that can be reused gets the word 0
 *              (clear_words), after the generation base has been raised above it. When all are 0, CAS to
 *              DRAINING(G)
 *     take     idem__slab_acquire, idem__slab_trim: after another grace period CAS to INIT(me) or PUNCH(me), which
 *              are exclusive. After DRAINING the words are known to be 0, else they are cleared. If the owner
 *              dies another takes its place (left_behind)
 *     block    idem__lap_take: takes a block if, in its section, it saw the slab open. Tokens, readers and the
 *              hand (idem__block_at) want it ACTIVE only, of the class they think
 *
 * Argument. Who saw the slab open entered before the CAS to closed(e), at G <= e + 1 as in retire.pml, and G is at
 * most e + 2 while it is inside. So when G reaches e + 3 and the slab is closed still, no block of it is being
 * taken. Another closing has a later epoch, so an unchanged state word means that the slab has been closed
 * all the while, and cleared words are 0 still. Nothing of that is owned: who begins anew finds zeros. Clearing
 * is right in an open slab, too: what can be reused becomes FREE, with the base as its generation.
 * DRAINING(e') keeps out whoever saw the slab ACTIVE, in the same way. INIT and PUNCH have one living writer, so
 * nothing of theirs lands after the slab is ACTIVE again.
 *
 * A block that is taken and given back unpublished has a generation that nobody holds. It may be given again:
 * a word that is 0, taken, given back and cleared while another stands between its load and its CAS.
 *
 * Properties
 *   a block is touched only in the slab's incarnation that was checked
 *   when the slab becomes DRAINING, and when it is taken, all words are 0
 *   words are written, and pages given back, only by the slab's INIT or PUNCH owner
 *   published generations of a place in memory only grow
 *   no leak: whoever died, after a last hand the slab can be emptied, or has been
 *
 * Mutations
 *   MUTATE_GRACE_2          every grace period is over at e + 2
 *   MUTATE_CLOSE_UNGRACED   the drainer does not wait for those who saw the slab open
 *   MUTATE_E_OUTSIDE        the closer loads e before it enters
 *   MUTATE_CHECK_OUTSIDE    a cursor checks the slab before it enters
 *   MUTATE_TAKE_CLOSED      blocks of a closed slab are taken, too
 *   MUTATE_ANY_CLOSING      the drainer goes on in whatever closing it finds
 *   MUTATE_BASE_LATE        the base is raised after the word is 0
 *   MUTATE_ANY_INIT         INIT and PUNCH are taken away from a living owner
 *
 * A drainer always runs. SCENE_ switches add: CURSOR and CURSOR_2, of the old class; LATE, somebody who ends a
 * record that was published before; RIVAL_DRAINER, and CLOSER, who only closes; PREPARER and RIVAL, who take the emptied slab; PUNCH, giving
 * pages back; NEXT_CLASS, a cursor of the new class; DRAINED, a slab that is DRAINING at the start; and deaths.
 */
#define CURSOR 0
#define CURSOR_2 1
#define LATE 2
#define DRAINER 3
#define RIVAL_DRAINER 4
#define PREPARER 5
#define RIVAL 6
#define NEXT_CURSOR 7
#define LAST 8
#define ACTORS 9
#ifndef G_MAX
#define G_MAX 6
#endif
#include "epochs.inc"

#define BLOCKS 2
#define FREE 0
#define TAKEN 1
#define LIVE 2
#define RETIRED 3

/* The slab word: state and class, with an epoch or an owner. */
#define ACTIVE 0
#define DRAINING 1
#define INIT 2
#define PUNCH 3
#define UNUSED 4
#define OLD_CLASS 1
#define NEW_CLASS 2
#define OPEN 0 /* the argument of ACTIVE; else announce(e) of the closing */

byte slab_state = ACTIVE;
byte slab_class = OLD_CLASS;
byte slab_arg = OPEN; /* DRAINING: announce(e); INIT, PUNCH: the owner */
byte base = 1;        /* generation base */

/* A block's word. All zero: FREE, with the base as its generation. */
byte state[BLOCKS];
byte generation[BLOCKS] = 2; /* above the base: they have gone round in this slab */
byte owner[BLOCKS];
byte retired_at[BLOCKS];

/* Observers. */
byte incarnation;
byte published[BLOCKS] = 2; /* the highest generation */
hidden byte place;

#define zero(i) (state[i] == FREE && generation[i] == 0)
#define reusable (s == FREE || (s == RETIRED && grace_over(G, e)))

inline load_slab()
{
    d_step { st = slab_state; cl = slab_class; ar = slab_arg; checked = incarnation }
}

/* From the very word that was loaded. */
inline cas_slab(new_state, new_class, new_arg)
{
    d_step {
        ok = slab_state == st && slab_class == cl && slab_arg == ar;
        if
        :: ok ->
            assert(new_state != DRAINING || (zero(0) && zero(1)));
            slab_state = new_state;
            slab_class = new_class;
            slab_arg = new_arg
        :: else
        fi
    }
}

inline cas_block(new_state, new_generation, new_owner, epoch)
{
    d_step {
        assert(incarnation == checked);
        ok = state[b] == s && generation[b] == w && owner[b] == o;
        if
        :: ok ->
            assert(slab_state == ACTIVE);
            if
            :: new_state == LIVE ->
                assert((new_generation) > published[b]);
                published[b] = new_generation
            :: else
            fi;
            state[b] = new_state;
            generation[b] = new_generation;
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
        o = owner[b];
        e = retired_at[b]
    }
}

inline forget_slab()
{
    d_step { st = 0; cl = 0; ar = 0; ok = false; checked = 0; opened_at[me] = 0 }
}
inline forget_block()
{
    d_step { s = 0; w = 0; o = 0; e = 0; g = 0 }
}

inline reopen()
{
    load_slab();
    if
    :: st == ACTIVE && ar != OPEN -> cas_slab(ACTIVE, cl, OPEN)
    :: else
    fi
}

/* A published block is retired, or a dead owner's recovered: whoever comes by address. */
inline finish_block()
{
    if
    :: st == ACTIVE && cl == class ->
        load_block();
        if
        :: s == LIVE || (s == TAKEN && dead[o]) -> e = G; cas_block(RETIRED, w, 0, e)
        :: else
        fi
    :: else
    fi
}

/* Where nobody dies Spin sees more steps that concern nobody else, and searches less. */
#if defined(SCENE_CURSOR_DIES)
#define cursor_dies unless { dead[me] }
#else
#define cursor_dies
#endif
#if defined(SCENE_DRAINER_DIES)
#define drainer_dies unless { dead[me] }
#else
#define drainer_dies
#endif
#if defined(SCENE_PREPARER_DIES)
#define preparer_dies unless { dead[me] }
#else
#define preparer_dies
#endif

/* Takes a block and publishes it, or gives it back; in another section it is ended. */
proctype Cursor(byte me, class)
{
    byte b, s, w, o, e, g, st, cl, ar, checked;
    bool ok;

    {
        if
        :: b = 0
        :: b = 1
        fi;
#ifdef MUTATE_CHECK_OUTSIDE
        load_slab();
        enter();
#else
        enter();
        load_slab();
#endif
        if
        :: st == ACTIVE && cl == class && ar != OPEN -> /* short of blocks: choose_now */
#ifndef MUTATE_TAKE_CLOSED
            reopen();
            load_slab()
#else
            ar = OPEN
#endif
        :: else
        fi;
        if
        :: st == ACTIVE && cl == class && ar == OPEN ->
            load_block();
            if
            :: reusable ->
                g = (w == 0 -> base : w);
                cas_block(TAKEN, g + 1, me, 0);
                if
                :: ok ->
                    d_step { s = TAKEN; w = g + 1; o = me; e = 0 }
                    if
                    :: cas_block(LIVE, w, 0, 0)
                    :: cas_block(FREE, w, 0, 0)
                    fi
                :: else
                fi
            :: else
            fi
        :: else
        fi;
        forget_block();
        forget_slab();
        enter();
        load_slab();
        finish_block();
        forget_block();
        forget_slab();
        b = 0
    } cursor_dies
}

/* Comes by address, in one section, as late as it likes. */
proctype Finisher(byte me)
{
    byte b, s, w, o, e, g, st, cl, ar, checked;
    byte class = OLD_CLASS;
    bool ok;

    enter();
    load_slab();
    finish_block();
    forget_block();
    forget_slab()
}

inline close_slab()
{
#ifdef MUTATE_E_OUTSIDE
    e = G;
    enter();
    load_slab();
#else
    enter();
    load_slab();
    e = G;
#endif
    if
    :: st == ACTIVE && cl == OLD_CLASS && ar == OPEN -> cas_slab(ACTIVE, cl, announce(e))
    :: else
    fi;
    e = 0;
    forget_slab()
}

#ifdef MUTATE_CLOSE_UNGRACED
#define closing_over true
#else
#define closing_over grace_over(announce(G), ar)
#endif
#ifdef MUTATE_ANY_CLOSING
#define same_closing (st == ACTIVE && ar != OPEN)
#else
#define same_closing (st == ACTIVE && ar == closing && cl == OLD_CLASS)
#endif

inline raise_base()
{
    d_step { base = (w >= base -> w + 1 : base) }
}

/* Goes on by one word, in a section of its own; `gone` = nothing to go on with. */
inline drain_step()
{
    enter();
    load_slab();
    if
    :: b == 0 && st == ACTIVE && cl == OLD_CLASS -> closing = ar
    :: else
    fi;
    if
    :: closing == OPEN || !same_closing -> gone = true
    :: else ->
        if
        :: closing_over ->
            load_block();
            if
            :: s == FREE && w == 0 -> ok = true
            :: reusable && !(s == FREE && w == 0) ->
#ifdef MUTATE_BASE_LATE
                cas_block(FREE, 0, 0, 0);
                raise_base()
#else
                raise_base();
                cas_block(FREE, 0, 0, 0)
#endif
            :: else -> ok = false
            fi;
            forget_block();
            if
            :: ok -> b++
            :: else -> gone = true; reopen()
            fi;
            if
            :: b == BLOCKS ->
                gone = true;
                e = G;
                cas_slab(DRAINING, cl, announce(e));
                e = 0
            :: else
            fi
        :: else
        fi
    fi;
    forget_slab()
}

proctype Drainer(byte me, steps)
{
    byte b, s, w, o, e, g, st, cl, ar, checked, closing;
    bool ok, gone;

    {
        close_slab();
        do
        :: steps == 0 || gone -> break
        :: else -> steps--; drain_step()
        od;
        atomic { b = 0; closing = 0; gone = false; steps = 0 }
    } drainer_dies
}

#define mine (slab_state == kind && slab_arg == me)

#ifdef MUTATE_ANY_INIT
#define left_behind (st == INIT || st == PUNCH)
#else
#define left_behind ((st == INIT || st == PUNCH) && dead[ar])
#endif

/* Outside a section: a call begins by looking for a slab, or for pages to give back. */
proctype Preparer(byte me, tries)
{
    byte b, kind, st, cl, ar, checked;
    bool ok, zeros;

    {
        do
        :: tries == 0 -> break
        :: else ->
            tries--;
            load_slab();
            ok = false;
            if
            :: st == UNUSED || left_behind || (st == DRAINING && grace_over(announce(G), ar)) ->
                if
                :: kind = INIT
#ifdef SCENE_PUNCH
                :: st != UNUSED -> kind = PUNCH
#endif
                fi;
                d_step {
                    zeros = st == DRAINING;
                    cas_slab(kind, 0, me);
                    if
                    :: ok -> incarnation++; assert(!zeros || (zero(0) && zero(1)))
                    :: else
                    fi
                }
            :: else
            fi;
            if
            :: ok ->
                do
                :: b == BLOCKS || (zeros && kind == INIT) -> break
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
                    slab_state = (kind == INIT -> ACTIVE : UNUSED);
                    slab_class = (kind == INIT -> NEW_CLASS : 0);
                    slab_arg = 0
                }
            :: else
            fi;
            d_step { b = 0; kind = 0; st = 0; cl = 0; ar = 0; checked = 0; ok = false; zeros = false }
        od
    } preparer_dies
}

/* The last one visits each block, and empties a slab that is still of the old class. */
init
{
    byte me = LAST;
    byte class = OLD_CLASS;
    byte b, s, w, o, e, g, st, cl, ar, checked, closing;
    bool ok, gone;

    atomic {
        run Advancer(); /* first: Spin removes processes in the reverse order */
#ifdef SCENE_DRAINED
        slab_state = DRAINING;
        slab_arg = announce(0);
        generation[0] = 0;
        generation[1] = 0;
        base = 3;
#else
        run Drainer(DRAINER, 2);
#endif
#ifdef SCENE_CURSOR
        run Cursor(CURSOR, OLD_CLASS);
#endif
#ifdef SCENE_CURSOR_2
        run Cursor(CURSOR_2, OLD_CLASS);
#endif
#ifdef SCENE_LATE
        state[0] = LIVE;
        run Finisher(LATE);
#endif
#ifdef SCENE_CLOSER
        run Drainer(RIVAL_DRAINER, 0);
#endif
#ifdef SCENE_RIVAL_DRAINER
        run Drainer(RIVAL_DRAINER, 2);
#endif
#ifdef SCENE_PREPARER
        run Preparer(PREPARER, 1);
#endif
#ifdef SCENE_RIVAL
        run Preparer(RIVAL, 2);
#endif
#ifdef SCENE_NEXT_CLASS
        run Cursor(NEXT_CURSOR, NEW_CLASS);
#endif
#ifdef SCENE_CURSOR_DIES
        run Killer(CURSOR);
#endif
#ifdef SCENE_DRAINER_DIES
        run Killer(DRAINER);
#endif
#ifdef SCENE_PREPARER_DIES
        run Killer(PREPARER)
#endif
    }
    _nr_pr == 2; /* all but the advancer have ended, or died */
    assert(slab_state == ACTIVE || slab_state == DRAINING || slab_state == UNUSED || dead[slab_arg]);
    class = slab_class;
    do
    :: b == BLOCKS -> break
    :: else -> load_slab(); finish_block(); forget_block(); b++
    od;
    atomic { b = 0; G = G + 2 * GRACE; forget_slab() }
    if
    :: slab_state == ACTIVE && slab_class == OLD_CLASS ->
        close_slab();
        G = G + GRACE;
        do
        :: gone -> break
        :: else -> drain_step()
        od;
        assert(slab_state == DRAINING)
    :: else
    fi
}
