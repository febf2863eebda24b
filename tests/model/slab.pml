/*
 * slab.pml - slabs change hands: emptied, prepared again, given back, or made a chunk of the index.
 *
 *     UNUSED -> INIT(me) -> ACTIVE(class) -> DRAINING(e) -> INIT(me) | PUNCH(me)
 *                        -> INDEX (for ever)                           PUNCH(me) -> UNUSED
 *
 *     hand      in a section: load the state; only if ACTIVE with its class, load a block word. FREE, or
 *               RETIRED(e) with G - e >= 3: CAS -> TAKEN(generation + 1, me), write, publish LIVE or give
 *               back. TAKEN by the dead, or LIVE and over: load G, CAS -> RETIRED(G). A word of 0 is FREE
 *               with the slab's generation base
 *     drain     in a section: load the state; take every block, or undo; load e = G; raise the base above
 *               every generation; CAS ACTIVE -> DRAINING(e)
 *     acquire   CAS UNUSED, or DRAINING(e) with G - e >= 3, -> INIT(me); zero the words; store ACTIVE
 *     chunk     as acquire, then CAS chunk table 0 -> slab; store INDEX, or DRAINING(G - 3) if that failed
 *     trim      CAS DRAINING(e) with G - e >= 3 -> PUNCH(me); the pages go; store UNUSED
 *     recover   INIT or PUNCH of the dead: look into the chunk table; CAS -> INDEX if named, else UNUSED
 *
 * Argument. When DRAINING(e) is stored every block is TAKEN by the living drainer, so nobody else can move
 * a word before the slab changes hands. Who saw ACTIVE saw it before that; its section may have been
 * opened one epoch after e was loaded (the drainer's own section lets G run to e + 1), and lets G run one
 * further: e + 2. At e + 3 it has left. INIT and PUNCH are exclusive, for they pass on only when their
 * owner is dead; then it names no chunk any more, and what the chunk table says is final.
 *
 * Time: a section announces the G of its opening, and G moves on exactly as epoch.pml allows it.
 *
 * Properties
 *   no section touches a word or a content of a slab that has changed hands since its state was looked at
 *   INIT and PUNCH are worked on by their owner alone; a named chunk is never taken nor zeroed
 *   nothing LIVE, and nothing TAKEN but by the drainer, is in a slab that turns DRAINING; what is
 *   published is in an ACTIVE slab
 *   a position's generations only grow, over all re-initialisations
 *   at the end, after one look of a recoverer: no INIT, no PUNCH; the named slab, and only that, is INDEX;
 *   in ACTIVE slabs nothing is TAKEN but by the dead
 *
 * Mutations
 *   MUTATE_GRACE   a slab is taken again at G - e >= 2
 *   MUTATE_LATE    a drainer's section ends before its slab turns DRAINING
 *   MUTATE_SLOW    INIT and PUNCH are taken over from the living, too
 *   MUTATE_CHUNK   who recovers a slab does not look into the chunk table
 *   MUTATE_BASE    the generation base is not raised before DRAINING
 *   MUTATE_PART    a drainer does not mind blocks that it cannot take
 *
 * SCENE_DRAIN: a drainer, a hand, an acquirer and one slab of two blocks. SCENE_CHUNK: two that want
 * the same chunk, one that wants blocks, two slabs. SCENE_CRASH lets one process die, SCENE_CRASHES two;
 * SCENE_LONG goes on for one epoch more.
 */
#define DRAINER 1
#define HAND 2
#define ACQUIRER 3
#define RIVAL 4
#define OWNERS 5

#ifdef SCENE_CHUNK
#define SLABS 2
#define BLOCKS 1
#define G_MAX 4
#else
#define SLABS 1
#define BLOCKS 2
#ifdef SCENE_LONG
#define G_MAX 7
#else
#define G_MAX 6
#endif
#endif

#define GRACE 3
#ifdef MUTATE_GRACE
#define SLAB_GRACE 2
#else
#define SLAB_GRACE GRACE
#endif

/* Slab states: state in bits 0-2, class in bit 3, owner or epoch above. */
#define UNUSED 0
#define INIT 1
#define ACTIVE 2
#define DRAINING 3
#define INDEX 4
#define PUNCH 5
#define slab_word(state, class, arg) ((state) | ((class) << 3) | ((arg) << 4))
#define slab_state(w) ((w) & 7)
#define slab_class(w) (((w) >> 3) & 1)
#define slab_arg(w) ((w) >> 4)
#define SMALL 0
#define LARGE 1

/* Block words: state in bits 0-1, generation in bits 2-5, owner or epoch above. */
#define FREE 0
#define TAKEN 1
#define LIVE 2
#define RETIRED 3
#define block_word(state, generation, arg) ((state) | ((generation) << 2) | ((arg) << 6))
#define block_state(w) ((w) & 3)
#define block_generation(w) (((w) >> 2) & 15)
#define block_arg(w) ((w) >> 6)
#define generation_of(w, slab) ((w) == 0 -> base[slab] : block_generation(w))
#define reusable(w) (block_state(w) == FREE || (block_state(w) == RETIRED && G - block_arg(w) >= GRACE))

#include "atomics.inc"

byte state[SLABS];
byte base[SLABS];
short words[SLABS * BLOCKS];
byte chunk; /* slab + 1 */
byte G = GRACE;
byte slot[OWNERS]; /* the announced epoch; 0 = not in a section */
bool dead[OWNERS];

/* Observers. */
byte hands[SLABS]; /* how often the slab has changed hands */
byte last_generation[SLABS * BLOCKS];

#define pinned(owner) (slot[owner] != 0 && slot[owner] < G && !dead[owner])

/* A step on a word or a content by somebody who saw the slab ACTIVE in this section. */
#define touches() \
    assert((slab_state(state[slab]) == ACTIVE || slab_state(state[slab]) == DRAINING) && hands[slab] == saw)

#define enter() slot[me] = G
#define leave() slot[me] = 0

inline cas_state(expected, desired)
{
    if
    :: state[slab] == (expected) -> state[slab] = (desired); ok = true
    :: else -> ok = false
    fi
}

/* Into `seen`, and whose hands it is in. */
inline look_at_slab()
{
    d_step { seen = state[slab]; saw = hands[slab] }
}

inline load_block()
{
    d_step { touches(); w = words[at]; generation = generation_of(w, slab) + 1 }
}

inline cas_block(desired)
{
    d_step {
        touches();
        if
        :: words[at] == w ->
            words[at] = (desired);
            ok = true;
            if
            :: block_state(desired) == TAKEN ->
                assert(generation > last_generation[at]);
                last_generation[at] = generation
            :: else
            fi
        :: else -> ok = false
        fi
    }
}

/* One block, inside a section that saw the slab ACTIVE. */
inline visit()
{
    load_block();
    if
    :: reusable(w) ->
        cas_block(block_word(TAKEN, generation, me));
        if
        :: ok ->
            touches(); /* writes the content */
            if
            :: d_step {
                    touches();
                    assert(slab_state(state[slab]) == ACTIVE);
                    words[at] = block_word(LIVE, generation, 0)
                }
            :: d_step { touches(); words[at] = block_word(FREE, generation, 0) }
            fi
        :: else
        fi
    :: block_state(w) == LIVE || (block_state(w) == TAKEN && dead[block_arg(w)]) ->
        epoch = G;
        cas_block(block_word(RETIRED, block_generation(w), epoch))
    :: else
    fi
}

inline forget()
{
    d_step { leave(); seen = 0; saw = 0; at = 0; w = 0; generation = 0; epoch = 0; ok = false }
}

/* Its cursor stands on slab 0, whatever has become of that. */
proctype Hand(byte me, sections)
{
    byte slab, seen, saw, at, generation, epoch;
    short w;
    bool ok;

    {
        do
        :: sections == 0 -> break
        :: else ->
            d_step { sections--; enter() }
            look_at_slab();
            if
            :: seen == slab_word(ACTIVE, SMALL, 0) ->
                if
                :: at = 0
                :: at = BLOCKS - 1
                fi;
                visit()
            :: else
            fi;
            forget()
        od
    } unless { dead[me] -> forget() }
}

proctype Drainer(byte me)
{
    byte slab, seen, saw, at, generation, highest, epoch;
    short w;
    bool ok;

    {
        enter();
        look_at_slab();
        if
        :: slab_state(seen) == ACTIVE ->
            do
            :: at == BLOCKS -> break
            :: else ->
                load_block();
                ok = false;
                if
                :: reusable(w) -> cas_block(block_word(TAKEN, generation, me))
                :: else
                fi;
#ifdef MUTATE_PART
                ok = true;
#endif
                if
                :: ok -> d_step { highest = (generation > highest -> generation : highest); at++ }
                :: else -> break
                fi
            od;
            if
            :: at == BLOCKS ->
                epoch = G;
#ifdef MUTATE_LATE
                leave();
#endif
#ifndef MUTATE_BASE
                base[slab] = (base[slab] > highest + 1 -> base[slab] : highest + 1);
#endif
                d_step {
                    cas_state(seen, slab_word(DRAINING, slab_class(seen), epoch));
                    at = (ok -> 0 : at);
                    w = 0;
                    do
                    :: !ok || w == BLOCKS -> break
                    :: else ->
                        assert(block_state(words[w]) == TAKEN && block_arg(words[w]) == me);
                        w++
                    od;
                    w = 0
                }
            :: else
            fi;
            do
            :: at == 0 -> break
            :: else ->
                d_step {
                    at--;
                    touches();
                    assert(block_state(words[at]) == TAKEN && block_arg(words[at]) == me);
                    words[at] = block_word(FREE, block_generation(words[at]), 0)
                }
            od
        :: else
        fi;
        highest = 0;
        forget()
    } unless { dead[me] -> forget() }
}

#ifdef MUTATE_SLOW
#define gone(owner) true
#else
#define gone(owner) dead[owner]
#endif

/* INIT or PUNCH of the dead, as just seen. */
inline recover()
{
    if
#ifndef MUTATE_CHUNK
    :: slab_state(seen) == INIT && chunk == slab + 1 -> d_step { cas_state(seen, INDEX); ok = false }
#endif
    :: else -> d_step { cas_state(seen, UNUSED); ok = false }
    fi
}

inline cas_into_hands(desired)
{
    d_step {
        cas_state(seen, slab_word(desired, 0, me));
        if
        :: ok -> assert(chunk != slab + 1); hands[slab]++
        :: else
        fi
    }
}

/* Work on a slab in INIT or PUNCH of mine. */
#define works(as) assert(state[slab] == slab_word(as, 0, me) && chunk != slab + 1)

/* Takes a slab, in whatever way, `takes` times; looks around as long as it likes. */
proctype Acquirer(byte me, takes; bool wants_chunk)
{
    byte slab, seen, at;
    bool ok;

    {
        do
        :: takes == 0 || (wants_chunk && chunk != 0) -> break
        :: true -> break /* gives up looking */
        :: takes != 0 ->
            if
            :: slab = 0
            :: slab = SLABS - 1
            fi;
            seen = state[slab];
            if
            :: slab_state(seen) == INIT || slab_state(seen) == PUNCH ->
                if
                :: slab_arg(seen) != me && gone(slab_arg(seen)) -> recover()
                :: else
                fi
            :: seen == UNUSED -> cas_into_hands(INIT)
            :: slab_state(seen) == DRAINING && G - slab_arg(seen) >= SLAB_GRACE ->
                if
                :: cas_into_hands(INIT)
                :: cas_into_hands(PUNCH);
                    if
                    :: ok ->
                        ok = false;
                        takes--;
                        do
                        :: at == BLOCKS -> break
                        :: else -> d_step { works(PUNCH); words[slab * BLOCKS + at] = 0; at++ }
                        od;
                        at = 0;
                        d_step { works(PUNCH); state[slab] = UNUSED }
                    :: else
                    fi
                fi
            :: else
            fi;
            seen = 0;
            if
            :: ok ->
                ok = false;
                takes--;
                do
                :: at == BLOCKS -> break
                :: else -> d_step { works(INIT); words[slab * BLOCKS + at] = 0; at++ }
                od;
                at = 0;
                if
                :: wants_chunk ->
                    cas(chunk, 0, slab + 1, ok);
                    d_step {
                        assert(state[slab] == slab_word(INIT, 0, me));
                        state[slab] = (ok -> INDEX : slab_word(DRAINING, 0, G - GRACE));
                        ok = false
                    }
                :: !wants_chunk -> d_step { works(INIT); state[slab] = slab_word(ACTIVE, SMALL, 0) }
                :: !wants_chunk -> d_step { works(INIT); state[slab] = slab_word(ACTIVE, LARGE, 0) }
                fi
            :: else
            fi;
            slab = 0
        od
    } unless { dead[me] -> d_step { slab = 0; seen = 0; at = 0; ok = false } }
}

proctype Clock()
{
    do
    :: d_step { G < G_MAX && !pinned(DRAINER) && !pinned(HAND) -> G++ }
    :: G == G_MAX -> break
    od
}

/* SIGKILL at some moment; after its end it changes nothing. */
proctype Killer()
{
    if
    :: dead[HAND] = true
    :: dead[ACQUIRER] = true
#ifdef SCENE_CHUNK
    :: dead[RIVAL] = true
#else
    :: dead[DRAINER] = true
#endif
    fi
}

inline check_end()
{
    atomic {
        slab = 0;
        do
        :: slab == SLABS -> break
        :: else ->
            assert(slab_state(state[slab]) != INIT && slab_state(state[slab]) != PUNCH);
            assert((slab_state(state[slab]) == INDEX) == (chunk == slab + 1));
            at = 0;
            do
            :: at == BLOCKS || slab_state(state[slab]) != ACTIVE -> break
            :: else ->
                assert(block_state(words[slab * BLOCKS + at]) != TAKEN ||
                       dead[block_arg(words[slab * BLOCKS + at])]);
                at++
            od;
            slab++
        od
    }
}

init
{
    byte slab, seen, at;
    bool ok;

    atomic {
#ifdef SCENE_CHUNK
        run Acquirer(ACQUIRER, 1, true);
        run Acquirer(RIVAL, 1, true);
        run Acquirer(HAND, 1, false);
#else
        state[0] = slab_word(ACTIVE, SMALL, 0);
        words[1] = block_word(RETIRED, 1, 0);
        last_generation[1] = 1;
        run Drainer(DRAINER);
        run Hand(HAND, 2);
        run Acquirer(ACQUIRER, 2, false);
#endif
        run Clock();
#ifdef SCENE_CRASH
        run Killer();
#endif
#ifdef SCENE_CRASHES
        run Killer();
        run Killer();
#endif
    }
    _nr_pr == 1;
    do
    :: slab == SLABS -> break
    :: else ->
        seen = state[slab];
        if
        :: slab_state(seen) == INIT || slab_state(seen) == PUNCH ->
            assert(dead[slab_arg(seen)]);
            recover()
        :: else
        fi;
        slab++
    od;
    check_end()
}
