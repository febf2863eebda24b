/*
 * epoch.pml - the grace period's foundation: how far the epoch may run ahead of an open section.
 *
 * G is the epoch. A thread slot is two words: its owner's id (0 = free), and the epoch it announces
 * (0 = not in a section).
 *
 *     enter     load G; store the slot's epoch; full fence        leave   store 0
 *     advance   load G, then the number of slots in use; for each slot: load its epoch, then its owner;
 *               unless idle, at G, free or owned by the dead: give up. CAS G -> G + 1
 *     slot      CAS free -> me, or dead -> me; raise the number of slots in use; then clear the epoch,
 *               which only its owner ever writes
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
 * Threads 1 and 2 always run, with one advancer. SCENE_RIVAL adds an advancer, SCENE_CRASH lets process 1
 * die, so that its slot is taken over; SCENE_THIRD adds a thread, which may find no slot.
 *
 * Mutations
 *   MUTATE_CLEAR_ANOTHERS   who finds a dead owner's slot clears its epoch
 *   MUTATE_NO_FENCE         the section's first load may come before the slot is stored
 *   MUTATE_COUNT_FIRST      the number of slots in use is loaded before G
 *   MUTATE_STORE_G          G is stored, not exchanged
 */
#define SLOTS 2
#define THREADS 4 /* 1 to 3, each a process of its own; 1 may die */
#define G_MAX 4
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

proctype Thread(byte me, sections)
{
    byte slot, seen, g;
    bool ok;

    {
        do
        :: atomic { seen = slot_owner[slot]; ok = seen == 0 || dead[seen] }
            if
            :: ok -> cas(slot_owner[slot], seen, me, ok)
            :: else
            fi;
            if
            :: ok -> break
            :: !ok && slot + 1 < SLOTS -> slot++
            :: !ok && slot + 1 == SLOTS -> goto no_slot
            fi
        od;
        atomic { slots_used = (slots_used > slot -> slots_used : slot + 1); seen = 0; ok = false }
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
    } unless { dead[me] }
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
                    ok = slot_owner[slot] == 0 || dead[slot_owner[slot]];
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
        run Thread(2, 2);
        run Advancer();
#ifdef SCENE_RIVAL
        run Advancer();
#endif
#ifdef SCENE_CRASH
        run Killer(1);
#endif
#ifdef SCENE_THIRD
        run Thread(3, 1)
#endif
    }
}
