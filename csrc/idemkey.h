/*
 * idemkey.h - idempotency keys in shared memory: the public C interface. The declarations, which
 * are the manual, stand in idemkey_decl.h.
 *
 * Concurrency of two calls on one key, in whatever processes (lf = lock-free, neither waits):
 *
 *              claim      complete   release    lookup     forget     resolve
 *   claim      one wins   lf         lf         lf         lf         lf
 *   complete              ELOST*     ELOST*     lf         lf**       ELOST*
 *   release                          ELOST*     lf         lf**       ELOST*
 *
 *   *  of two calls that end one claim, one succeeds and the other hears IDEM_ELOST.
 *   ** forget refuses (IDEM_EBUSY) while a living process runs the key, unless IDEM_FORCE.
 */
#ifndef IDEMKEY_H
#define IDEMKEY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#include <idemkey_decl.h>
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
