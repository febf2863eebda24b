/*
 * list.pml - one live record of a key, in a lock-free ordered list with runs of equal order keys.
 *
 * A node's link word is the next node's number, plus MARK once the node is being removed. Keys K and
 * B have equal order keys, so their records share one run:
 *
 *     HEAD -> LOW -> [ K_OLD, B_OLD and what the claimers insert ] -> HIGH
 *
 * Argument. All claimants of K insert at one place: the unmarked link before the run's first node,
 * expecting that first node. What a claimant scanned is what stood behind that link. If the link
 * still (or again) names the same first node when the CAS comes, everything that was inserted in
 * front of it meanwhile has been unlinked, hence marked, hence was DEAD before: no live K was missed.
 * If the link's own node was removed, the link is marked and the CAS fails.
 *
 * Properties
 *   one live    when a record of a key is inserted, no other record of it is in the list but DEAD
 *   gone        after its remover's full find a node is never reachable again
 *   order       order keys never decrease along the list
 *   found       a lookup during which a live record of the key was always present finds one
 *   no leak     whoever died, after a last sweep no DEAD record is in the list
 *
 * Mutations
 *   MUTATE_INSERT_ANYWHERE   a claimer may also insert behind the run's last node
 *   MUTATE_NO_RESCAN         after a lost CAS the claimer looks for the place only, not for the key
 *   MUTATE_MARK_FIRST        a remover marks before it makes the record DEAD
 *   MUTATE_SHORT_FIND        a remover's find stops at the run's first node
 *   MUTATE_STOP_AT_DEAD      a lookup ends at the first DEAD record of the run
 *   MUTATE_NO_SWEEP          nobody visits what the dead have left
 *
 * Who takes part is chosen by SCENE_ switches, since all at once are too many to search: one claimer of
 * K (who may release again) always runs. A step at which its process stands still is a step that others overtake;
 * SCENE_CLAIMER_DIES and SCENE_REMOVER_DIES add that nobody ever needs the rest of its steps.
 */
#include "atomics.inc"

#define HEAD 1
#define LOW 2
#define K_OLD 3
#define B_OLD 4
#define NEW_1 5
#define NEW_2 6
#define NEW_B 7
#define HIGH 8
#define NODES 9
#define MARK 16

#define RUN_ORDER 2
#define HIGH_ORDER 3
#define order(n) ((n) <= LOW -> (n) - 1 : ((n) == HIGH -> HIGH_ORDER : RUN_ORDER))
#define is_k(n) ((n) == K_OLD || (n) == NEW_1 || (n) == NEW_2)

/* The life word, as far as the list cares. */
#define DEAD 0
#define LIVE 1    /* pending, or done and retained */
#define EXPIRED 2 /* done, its retention is over */

byte link[NODES];
byte life[NODES];
bool dead[NODES]; /* who inserts or removes this one was killed */

/* Observers, no part of the protocol. */
bool inserted[NODES];
bool gone[NODES];
bool k_was_absent; /* no live K at some moment since the lookup began */
hidden byte walker;
hidden byte walker_next;

#define live_k(n) (inserted[n] && life[n] == LIVE)
#define any_live_k (live_k(K_OLD) || live_k(NEW_1) || live_k(NEW_2))

inline observe_k()
{
    if
    :: !any_live_k -> k_was_absent = true
    :: else
    fi
}

inline check_list()
{
    walker = HEAD;
    do
    :: walker == HIGH -> break
    :: else ->
        assert(!gone[walker]);
        walker_next = link[walker] & (MARK - 1);
        assert(order(walker) <= order(walker_next));
        walker = walker_next
    od;
    walker = 0;
    walker_next = 0
}

/* Swings a link, and looks at the list it makes. */
inline cas_link(node, expected, desired)
{
    d_step {
        if
        :: link[node] == (expected) -> link[node] = (desired); ok = true; check_list()
        :: else -> ok = false; lost = link[node]
        fi
    }
}

/* idem__list_walk: prev, cur = the link and the first unmarked node of order >= bound; unlinks marked nodes. */
inline find(bound)
{
    prev = HEAD;
    cur = link[HEAD];
    do
    :: cur == HIGH -> break
    :: else ->
        succ = link[cur];
        if
        :: succ & MARK ->
            atomic {
                cas_link(prev, cur, succ - MARK);
                cur = (ok -> succ - MARK : lost);
                lost = 0;
                succ = 0
            }
            if
            :: cur & MARK -> prev = HEAD; cur = link[HEAD] /* the node that holds the link is going itself */
            :: else
            fi
        :: else ->
            if
            :: order(cur) >= bound -> break
            :: else -> prev = cur; cur = succ
            fi
        fi
    od;
    succ = 0
}

inline mark(node)
{
    succ = link[node];
    do
    :: succ & MARK -> break
    :: else ->
        atomic {
            cas_link(node, succ, succ | MARK);
            succ = (ok -> MARK : lost);
            lost = 0
        }
    od;
    atomic { succ = 0; ok = false }
}

inline make_dead(node, from)
{
    d_step {
        if
        :: life[node] == from -> life[node] = DEAD; ok = true; observe_k()
        :: else -> ok = false
        fi
    }
}

/* idem__list_remove. The record is DEAD already (by whomever): unlink it. Several may do so at once. */
inline unlink(node)
{
    mark(node);
    limit = order(node);
#ifndef MUTATE_SHORT_FIND
    limit++;
#endif
    find(limit);
    atomic { gone[node] = true; check_list() }
}

inline remove(node, from)
{
#ifdef MUTATE_MARK_FIRST
    mark(node);
#endif
    make_dead(node, from);
    unlink(node)
}

/* idem__judge_run, from `cur`, which was not going: found = a live record of K. Expired ones it makes DEAD;
   those that are going it steps over, as idem__list_next_in_run does. */
inline scan_run()
{
    found = false;
    do
    :: order(cur) != RUN_ORDER -> break
    :: else ->
        if
        :: is_k(cur) ->
            state = life[cur];
            if
            :: state == LIVE -> found = true; break
            :: state == EXPIRED -> make_dead(cur, EXPIRED)
            :: else
            fi
        :: else
        fi;
#ifdef MUTATE_INSERT_ANYWHERE
        last = cur;
#endif
        cur = link[cur] & (MARK - 1);
        do
        :: order(cur) != RUN_ORDER -> break
        :: else ->
            if
            :: atomic { link[cur] & MARK -> cur = link[cur] - MARK }
            :: else -> break
            fi
        od
    od;
    atomic { state = 0; succ = 0 }
}

inline insert(node, place, before)
{
    link[node] = before;
    d_step {
        if
        :: link[place] == (before) ->
            assert(!is_k(node) || (!any_live_k && life[K_OLD] != EXPIRED));
            link[place] = node;
            inserted[node] = true;
            ok = true;
            check_list()
        :: else -> ok = false
        fi
    }
}

/* Where nobody dies Spin sees more steps that concern nobody else, and searches less. */
#if defined(SCENE_CLAIMER_DIES)
#define claimer_dies unless { dead[mine] }
#else
#define claimer_dies
#endif
#if defined(SCENE_REMOVER_DIES)
#define remover_dies unless { dead[node] }
#else
#define remover_dies
#endif

/* Claims K with the new record `mine`; the winner may release it. */
proctype Claimer(byte mine)
{
    byte prev, cur, succ, limit, first, state, lost;
    bool ok, found;
#ifdef MUTATE_INSERT_ANYWHERE
    byte last;
#endif

    {
    life[mine] = LIVE;
    do
    :: find(RUN_ORDER);
        first = cur;
#ifdef MUTATE_INSERT_ANYWHERE
        last = prev;
#endif
        scan_run();
#ifdef MUTATE_NO_RESCAN
        do
        :: found -> break
        :: else ->
            insert(mine, prev, first);
            if
            :: ok -> break
            :: else -> find(RUN_ORDER); first = cur
            fi
        od;
        break
#else
        if
        :: found -> break
        :: else
        fi;
        if
#ifdef MUTATE_INSERT_ANYWHERE
        :: insert(mine, last, cur)
#endif
        :: insert(mine, prev, first)
        fi;
        if
        :: ok -> break
        :: else
        fi
#endif
    od;
    if
    :: found
    :: !found
    :: !found -> remove(mine, LIVE)
    fi
    } claimer_dies
}

/* Removes a record that is live or expired: an owner's release, a forget, or the hand. */
proctype Remover(byte node, from)
{
    byte prev, cur, succ, limit, lost;
    bool ok;

    { remove(node, from) } remover_dies
}

/* Claims B, whose old record it does not mind: what matters is that K's place comes and goes. */
proctype Neighbour(byte mine)
{
    byte prev, cur, succ, limit, lost;
    bool ok;

    life[mine] = LIVE;
    do
    :: find(RUN_ORDER);
        insert(mine, prev, cur);
        if
        :: ok -> break
        :: else
        fi
    od;
    remove(mine, LIVE)
}

/* Writes nothing; steps over what is going (look_up, look_behind). */
proctype Lookup()
{
    byte cur, state;
    bool found;

    d_step { k_was_absent = false; observe_k() }
    cur = link[HEAD];
    do
    :: order(cur) == HIGH_ORDER -> break
    :: else ->
        state = link[cur];
        if
        :: state & MARK -> cur = state - MARK
        :: else ->
            state = life[cur];
            if
            :: is_k(cur) && state == LIVE -> found = true; break
#ifdef MUTATE_STOP_AT_DEAD
            :: order(cur) == RUN_ORDER && state == DEAD -> break
#endif
            :: else
            fi;
            cur = link[cur] & (MARK - 1)
        fi
    od;
    assert(found || k_was_absent)
}

/* SIGKILL at some moment, or not at all. */
proctype Killer(byte victim)
{
    if
    :: dead[victim] = true
    :: true
    fi
}

/* The last one is a sweep: it visits every record, and finishes what is DEAD. */
init
{
    byte node, prev, cur, succ, limit, lost;
    bool ok;

    atomic {
        link[HEAD] = LOW;
        link[LOW] = K_OLD;
        link[K_OLD] = B_OLD;
        link[B_OLD] = HIGH;
        life[LOW] = LIVE;
        life[B_OLD] = LIVE;
        inserted[LOW] = true;
        inserted[B_OLD] = true;
        inserted[K_OLD] = true;
        life[K_OLD] = EXPIRED;
#ifdef SCENE_RIVAL
        run Claimer(NEW_2);
#endif
        run Claimer(NEW_1);
#ifdef SCENE_REMOVE_LOW
        run Remover(LOW, LIVE);
#endif
#ifdef SCENE_REMOVE_EXPIRED
        run Remover(K_OLD, EXPIRED);
#endif
#ifdef SCENE_REMOVE_OTHER
        run Remover(B_OLD, LIVE);
#endif
#ifdef SCENE_NEIGHBOUR
        run Neighbour(NEW_B);
#endif
#ifdef SCENE_LOOKUP
        run Lookup();
#endif
#ifdef SCENE_CLAIMER_DIES
        run Killer(NEW_1);
#endif
#ifdef SCENE_REMOVER_DIES
        run Killer(K_OLD);
#endif
    }
    _nr_pr == 1;
    node = LOW;
    do
    :: node == HIGH -> break
    :: else ->
        if
#ifndef MUTATE_NO_SWEEP
        :: inserted[node] && life[node] == DEAD -> unlink(node)
#endif
        :: else
        fi;
        node++
    od;
    atomic {
        node = link[HEAD];
        do
        :: node == HIGH -> break
        :: else -> assert(!(link[node] & MARK) && life[node] != DEAD); node = link[node]
        od
    }
}
