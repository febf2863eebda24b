/*
 * idemkey_http.h - the HTTP engine on an idemkey store: the public C interface. The declarations,
 * which are the manual, stand in idemkey_http_decl.h; docs/http.md has the configuration.
 */
#ifndef IDEMKEY_HTTP_H
#define IDEMKEY_HTTP_H

#include <idemkey.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#pragma GCC visibility push(default)
#endif
#include "idemkey_http_decl.h"
#if defined(__GNUC__)
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
