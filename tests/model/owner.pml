/*
 * owner.pml - owner ids: issued once each, and never without their lock.
 *
 * A process is alive if the lock of its id is held; the kernel drops the locks of a process that dies.
 * Ids come from a counter: every id below it counts as issued.
 *
 * Protocol. Lock a candidate at or above the counter; then CAS the counter from a value at or below
 * the candidate to the one behind it. If the counter has passed the candidate meanwhile, unlock it and
 * try a higher one.
 *
 * Argument. The CAS that makes an id "issued" comes after its lock, so no observer can find an issued
 * id of a living owner unlocked. Ids that the counter skips are issued to nobody, for their CAS would
 * have to start at or below them. Whoever holds such a lock for a moment makes a dead id look alive, which
 * delays a takeover; it can not make a living one look dead.
 *
 * Properties
 *   an id is issued at most once
 *   an id that was found issued and unlocked has no living owner, nor ever will have
 *
 * Mutations
 *   MUTATE_COUNTER_FIRST   takes the id from the counter, then locks it
 *   MUTATE_NO_RECHECK      raises the counter without looking whether it has passed the candidate
 */
#define PROCESSES 4 /* 1 to 3; 1 may die */
#define IDS 8

#include "atomics.inc"

byte counter;
byte lock[IDS]; /* the process that holds it; 0 = free */
bool dead[PROCESSES];

/* Observers. */
byte owner[IDS]; /* whom it was issued to */
bool judged_dead[IDS];

inline issue(id)
{
    assert(owner[id] == 0);
    assert(!judged_dead[id]);
    owner[id] = me
}

proctype Process(byte me)
{
    byte candidate, seen;
    bool ok;

    {
#ifdef MUTATE_COUNTER_FIRST
        do
        :: candidate = counter;
            d_step {
                cas(counter, candidate, candidate + 1, ok);
                if
                :: ok -> issue(candidate)
                :: else
                fi
            }
            if
            :: ok -> break
            :: else
            fi
        od;
        lock[candidate] = me;
#else
        candidate = counter;
        do
        :: cas(lock[candidate], 0, me, ok);
            if
            :: !ok -> candidate++
            :: else ->
                do
                :: seen = counter;
#ifndef MUTATE_NO_RECHECK
                    if
                    :: seen > candidate -> ok = false; break
                    :: else
                    fi;
#endif
                    d_step {
                        cas(counter, seen, candidate + 1, ok);
                        if
                        :: ok -> issue(candidate)
                        :: else
                        fi
                    }
                    if
                    :: ok -> break
                    :: else
                    fi
                od;
                if
                :: ok -> break
                :: else -> lock[candidate] = 0; candidate = seen
                fi
            fi
        od;
#endif
        atomic { candidate = 0; seen = 0 } /* lives on, and holds its lock */
    } unless { dead[me] }
}

/* Asks about every issued id once, whenever it likes. */
proctype Observer()
{
    byte id;

    do
    :: id < counter ->
        d_step { /* one question to the kernel */
            if
            :: lock[id] == 0 ->
                assert(owner[id] == 0 || dead[owner[id]]);
                judged_dead[id] = true
            :: else
            fi
        }
        id++
    :: break
    od
}

/* SIGKILL: the kernel takes back what the process had locked. */
proctype Killer(byte victim)
{
    byte id;

    if
    :: d_step {
            dead[victim] = true;
            id = 0;
            do
            :: id == IDS -> break
            :: else ->
                if
                :: lock[id] == victim -> lock[id] = 0
                :: else
                fi;
                id++
            od
        }
    :: true
    fi
}

init
{
    atomic {
        run Process(1);
        run Process(2);
        run Process(3);
        run Observer();
        run Killer(1)
    }
}
