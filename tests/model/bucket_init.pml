/*
 * bucket_init.pml - putting a bucket's head into the list, whoever dies at it.
 *
 *     PARENT -> BEFORE -> (HEAD) -> [ ADDED ] -> AFTER -> TAIL         in order of their order keys
 *
 * A head is one link word in the index area: 0 = nobody began; INIT | initialiser | target; or
 * READY | target. PARENT is READY from the start.
 *
 * Protocol. One CAS 0 -> INIT|me makes the initialiser. It looks for the place from the nearest READY
 * ancestor, stores INIT|me|successor into the head and swings the predecessor's link to the head; if
 * that fails it looks again. Then it clears INIT, keeping the target, in a CAS loop: whoever meets the
 * head *in the list* may by then have inserted or unlinked behind it, with INIT kept as it was. Who
 * comes to an INIT head *directly* neither follows nor writes its target and walks from the ancestor.
 * If the initialiser is dead, one CAS INIT|dead|x -> INIT|me|x makes a new one; if that one meets the
 * head in the list, only the clearing is left.
 *
 * Argument. As long as the head is not in the list one process alone may write it: its initialiser,
 * whose death is known and final when another takes its place. So "store, then link" is as safe as
 * filling a fresh record. The target may be a node that is removed and freed before the head is
 * linked; nobody follows it until then, and linking succeeds only while the target is still the
 * predecessor's successor, so it is in the list.
 *
 * Properties
 *   no freed node is ever followed (each load of a node's link asserts it)
 *   a READY head is in the list, once; the list is ordered and ends
 *   nothing in the list is freed, at each change and at the end
 *
 * Mutations
 *   MUTATE_HELPERS         whoever finds INIT of a living initialiser helps along
 *   MUTATE_FOLLOW_INIT     who comes directly follows an INIT head's target
 *   MUTATE_LINK_TWICE      a new initialiser does not look whether the head is in the list already
 *   MUTATE_STORE_READY     the initialiser publishes READY before the head is linked
 *
 * SCENE_ switches say what each of the three processes does once it has its starting point.
 */
#define PARENT 1
#define BEFORE 2
#define BUCKET 3
#define ADDED 4
#define AFTER 5
#define TAIL 6
#define NODES 7

/* Link words: target in bits 0-2, MARK, READY, then the initialiser (0 = not INIT). */
#define TARGET 7
#define MARK 8
#define READY 16
#define OWNER_SHIFT 5
#define init_by(owner) ((owner) << OWNER_SHIFT)
#define initialiser(word) ((word) >> OWNER_SHIFT)
#define FLAGS_OF_HEAD 240 /* READY and the initialiser */

#define OWNERS 4 /* numbers 1 to 3 */

#include "atomics.inc"
#include "grace.inc"

byte link[NODES];
bool dead[OWNERS];
hidden byte walker;
hidden byte steps;
hidden byte met_head;

/* What must be true of the list after each change. */
inline check_list()
{
    walker = PARENT;
    met_head = 0;
    do
    :: walker == TAIL -> break
    :: else ->
        assert(!freed(walker));
        assert((link[walker] & TARGET) > walker); /* ordered, hence without a cycle */
        if
        :: walker == BUCKET -> met_head = 1
        :: else
        fi;
        walker = link[walker] & TARGET
    od;
    assert(met_head == 1 || !(link[BUCKET] & READY));
    walker = 0;
    met_head = 0
}

/* Links are compared with their flags: a head's INIT or READY is kept by whoever changes its target. */
inline cas_link(node, expected, desired)
{
    assert(!freed(node));
    d_step {
        if
        :: link[node] == (expected) -> link[node] = (desired); ok = true; check_list()
        :: else -> ok = false; lost = link[node]
        fi
    }
}

inline load_link(node, into)
{
    d_step { assert(!freed(node)); into = link[node] }
}

/* prev_word = the link of `prev`, whose target is `cur`: the first node from `start` at `bound` or behind. */
inline find(start, bound)
{
    prev = start;
    load_link(prev, prev_word);
    do
    :: cur = prev_word & TARGET;
        if
        :: cur == TAIL -> break
        :: else
        fi;
        load_link(cur, word);
        if
        :: word & MARK ->
            atomic {
                cas_link(prev, prev_word, (prev_word & FLAGS_OF_HEAD) | (word & TARGET));
                prev_word = (ok -> (prev_word & FLAGS_OF_HEAD) | (word & TARGET) : lost);
                lost = 0
            }
            if
            :: prev_word & MARK -> prev = start; load_link(prev, prev_word)
            :: else
            fi
        :: else ->
            if
            :: cur >= bound -> break
            :: else -> prev = cur; prev_word = word
            fi
        fi
    od;
    word = 0
}

/* Only its initialiser writes a head that is not in the list. */
inline link_head()
{
    do
    :: find(PARENT, BUCKET);
#ifndef MUTATE_LINK_TWICE
        if
        :: cur == BUCKET -> break
        :: else
        fi;
#endif
#ifdef MUTATE_STORE_READY
        link[BUCKET] = READY | cur;
#else
        link[BUCKET] = init_by(me) | cur;
#endif
        cas_link(prev, prev_word, (prev_word & FLAGS_OF_HEAD) | BUCKET);
        if
        :: ok -> break
        :: else
        fi
    od;
    do
    :: word = link[BUCKET];
        if
        :: initialiser(word) == 0 -> break
        :: else ->
            cas_link(BUCKET, word, READY | (word & TARGET));
            if
            :: ok -> break
            :: else
            fi
        fi
    od
}

/* from = where to start walking for this bucket; initialises its head if nobody alive does. */
inline start_of_bucket()
{
    from = PARENT;
    word = link[BUCKET];
    if
    :: word & READY -> from = BUCKET
    :: word == 0 ->
        cas(link[BUCKET], 0, init_by(me), ok);
        if
        :: ok -> link_head(); from = BUCKET
        :: else
        fi
    :: else ->
        if
#ifdef MUTATE_HELPERS
        :: true ->
#else
        :: dead[initialiser(word)] ->
#endif
            cas(link[BUCKET], word, init_by(me) | (word & TARGET), ok);
            if
            :: ok -> link_head(); from = BUCKET
            :: else
            fi
        :: else
        fi
    fi;
    word = 0
}

inline insert(node)
{
    do
    :: find(from, node);
        link[node] = cur;
        cas_link(prev, prev_word, (prev_word & FLAGS_OF_HEAD) | node);
        if
        :: ok -> break
        :: else
        fi
    od
}

inline remove(node)
{
    do
    :: load_link(node, word);
        cas_link(node, word, word | MARK);
        if
        :: ok -> break
        :: else
        fi
    od;
    limit = node + 1;
    find(from, limit);
    retire(node)
}

/*
 * A process with the owner number `me`: gets a starting point, then does its job. BEFORE lies ahead of
 * the bucket, so its remover starts at the parent (and meets the head in the list if it is there).
 */
proctype Worker(byte me; bool inserts; byte removes)
{
    byte prev, prev_word, cur, word, from, limit, lost;
    bool ok;

    {
        enter(1 << me);
        start_of_bucket();
        if
        :: inserts -> insert(ADDED)
        :: else
        fi;
        if
        :: removes != 0 && removes < BUCKET -> from = PARENT
        :: else
        fi;
        if
        :: removes -> remove(removes)
        :: else
        fi;
        leave(1 << me)
    } unless { dead[me] -> leave(1 << me) }
}

/* Writes nothing, not even a head's initialisation. Marked nodes it walks through. */
proctype Lookup(byte me)
{
    byte cur, word;

    enter(1 << me);
    cur = PARENT;
    word = link[BUCKET];
    if
#ifdef MUTATE_FOLLOW_INIT
    :: (word & TARGET) != 0 -> cur = word & TARGET
#else
    :: word & READY -> cur = word & TARGET
#endif
    :: else -> cur = PARENT
    fi;
    word = 0;
    do
    :: cur == TAIL -> break
    :: else -> load_link(cur, cur); cur = cur & TARGET
    od;
    leave(1 << me)
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
        link[PARENT] = READY | BEFORE;
        link[BEFORE] = AFTER;
        link[AFTER] = TAIL;
        run Worker(1, 0, 0);
        run Killer(1);
#ifdef SCENE_SECOND
        run Worker(2, 0, 0);
#endif
#ifdef SCENE_SECOND_DIES
        run Killer(2);
#endif
#ifdef SCENE_INSERT
        run Worker(2, 1, ADDED);
#endif
#ifdef SCENE_REMOVE_AFTER
        run Worker(3, 0, AFTER);
#endif
#ifdef SCENE_REMOVE_BEFORE
        run Worker(3, 0, BEFORE);
#endif
#ifdef SCENE_LOOKUP
        run Lookup(4);
#endif
    }
    _nr_pr == 1; /* all have left their sections: what is retired is freed */
    atomic { check_list() }
}
