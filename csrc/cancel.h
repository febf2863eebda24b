/*
 * cancel.h - no call is a cancellation point. Layer 0.
 *
 * A thread cancelled in open() or fallocate() would leave the process's mutex locked, or a slab that waits
 * for it until the process ends. So what may come to a cancellation point puts it off; the paths that
 * make no such system call do without.
 */
#ifndef IDEM_CANCEL_H
#define IDEM_CANCEL_H

#include <pthread.h>

/* Puts cancellation off; returns what idem__cancel_restore wants. */
static inline int idem__cancel_put_off(void)
{
    int before;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before); /* cannot fail: a valid state */
    return before;
}

static inline void idem__cancel_restore(int before)
{
    int unused;
    (void)pthread_setcancelstate(before, &unused);
}

#endif
