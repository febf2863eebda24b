/*
 * epoch.pml - the grace period's foundation: how far the epoch may run ahead of an open section.
 *
 * G is the epoch. A thread slot is two words: its owner's id (0 = free), and the epoch it announces
 * (0 = not in a section).
 *
 *     enter     idem__enter: load G; store the slot's epoch; full fence        leave   store 0
 *     advance   idem__epoch_advance: load G, then the number of slots; for each slot: load its epoch, then its
 *               owner; unless idle, at G, or owned by the dead: give up. CAS G -> G + 1
 *     slot      take_slot (csrc/thread.c): CAS free -> me, or dead -> me; then clear the epoch, which only its
 *               owner ever writes. If there is none: raise the number of slots, and look again
 *
 * Lemma. While a section is open, G <= G(at the store of its slot) + 1.
 * Argument. An advance whose load of G comes after the store finds the slot (it loads the number of
 * slots later still), and passes only if it announces that very G. So of all advances that began
 * before the store at most one succeeds, since their CASes expect the same G; and those after it
 * start from an epoch that the slot does not announce, or no longer.
 *
 * retire.pml and slab.pml build on this: there a section announces the G of its opening, and G moves on
 * exactly when the lemma allows it.
 *
 * Property: the lemma, at each advance; G never moves back.
 *
 * An id is never given twice (owner.pml); so it does for a slot what a generation would: a CAS from a dead
 * owner's id can not succeed in a slot that somebody has had since.
 *
 * Threads 1 and 2 always run, with one advancer. SCENE_TWICE gives thread 2 a second section. SCENE_RIVAL
 * adds an advancer, SCENE_CRASH lets process 1
 * die, so that its slot is taken over, SCENE_CRASH_2 process 2, perhaps in the takeover; SCENE_THIRD adds a
 * thread, which may find no slot.
 *
 * Mutations
 *   MUTATE_CLEAR_ANOTHERS   who finds a dead owner's slot clears its epoch
 *   MUTATE_NO_FENCE         the section's first load may come before the slot is stored
 *   MUTATE_COUNT_FIRST      the number of slots in use is loaded before G
 *   MUTATE_STORE_G          G is stored, not exchanged
 *   MUTATE_STORE_OWNER      a dead owner's slot is taken by a store
 */
#define SLOTS 2
#define THREADS 4 /* 1 to 3, each a process of its own; 1 may die */
#ifdef SCENE_TWICE
#define G_MAX 4
#else
#define G_MAX 3
#endif
#define announce(g) ((g) + 1)

#include "atomics.inc"

byte G;
byte slot_owner[SLOTS];
byte slot_epoch[SLOTS];
byte slots_used;
bool dead[THREADS];

/* Observers. */
bool inside[THREADS];
byte opened_at[THREADS];

#define lemma(thread) (!inside[thread] || dead[thread] || G <= opened_at[thread] + 1)

/* Where nobody dies Spin sees more steps that concern nobody else, and searches less. */
#if defined(SCENE_CRASH)
#define thread_dies unless { dead[me] }
#else
#define thread_dies
#endif

proctype Thread(byte me, sections)
{
    byte slot, seen, g;
    bool ok;

    {
        do
        :: slot < slots_used ->
            atomic { seen = slot_owner[slot]; ok = seen == 0 || dead[seen] }
            if
#ifdef MUTATE_STORE_OWNER
            :: ok -> slot_owner[slot] = me
#else
            :: ok -> cas(slot_owner[slot], seen, me, ok)
#endif
            :: else
            fi;
            if
            :: ok -> break
            :: else -> slot++
            fi
        :: else ->
            seen = slots_used;
            if
            :: seen == SLOTS -> goto no_slot
            :: else -> cas(slots_used, seen, seen + 1, ok); slot = 0
            fi
        od;
        atomic { seen = 0; ok = false }
        slot_epoch[slot] = 0;
        do
        :: sections == 0 -> break
        :: else ->
            sections--;
            g = G;
#ifdef MUTATE_NO_FENCE
            d_step { inside[me] = true; opened_at[me] = G }
            slot_epoch[slot] = announce(g);
#else
            d_step { slot_epoch[slot] = announce(g); inside[me] = true; opened_at[me] = G }
#endif
            d_step { inside[me] = false; opened_at[me] = 0; g = 0 }
            slot_epoch[slot] = 0
        od;
        slot_owner[slot] = 0; /* a thread that ends gives its slot back */
no_slot:
        skip
    } thread_dies
}

/* Each atomic is one load of a shared word, and what follows from it locally. */
proctype Advancer()
{
    byte g, slot, used;
    bool ok, lags;

    do
    :: break
    :: G < G_MAX ->
#ifdef MUTATE_COUNT_FIRST
        used = slots_used;
        g = G;
#else
        g = G;
        used = slots_used;
#endif
        ok = true;
        do
        :: atomic { ok && slot < used ->
                lags = slot_epoch[slot] != 0 && slot_epoch[slot] != announce(g);
                slot = (lags -> slot : slot + 1)
            }
            if
            :: atomic { lags ->
                    ok = dead[slot_owner[slot]];
                    lags = false
                }
#ifdef MUTATE_CLEAR_ANOTHERS
                if
                :: ok -> slot_epoch[slot] = 0
                :: else
                fi;
#endif
                slot++
            :: else
            fi
        :: atomic { !ok || slot == used -> slot = 0; used = 0; break }
        od;
        atomic {
            if
            :: ok ->
#ifdef MUTATE_STORE_G
                assert(G <= g + 1);
                G = g + 1;
#else
                cas(G, g, g + 1, ok);
#endif
                assert(lemma(1) && lemma(2) && lemma(3))
            :: else
            fi;
            ok = false;
            g = 0
        }
    od
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
    atomic {
        run Thread(1, 1);
#ifdef SCENE_TWICE
        run Thread(2, 2);
#else
        run Thread(2, 1);
#endif
        run Advancer();
#ifdef SCENE_RIVAL
        run Advancer();
#endif
#ifdef SCENE_CRASH
        run Killer(1);
#endif
#ifdef SCENE_CRASH_2
        run Killer(2);
#endif
#ifdef SCENE_THIRD
        run Thread(3, 1)
#endif
    }
}
