/* pattern.h - which requests a route is about: a method and a path with wildcards. Layer 17. */
#ifndef IDEM_HTTP_PATTERN_H
#define IDEM_HTTP_PATTERN_H

#include "http/bytes.h"

/*
 * A pattern is a path, with the methods that it is for before it, or none for all. A segment `*` is
 * any one segment that is not empty; `**` at the end is any rest, also none. Paths are compared as
 * they stand on the request line, percent-encoded, without the query.
 */

/* Returns NULL, or what is wrong with the pattern: static storage. */
const char *idem__pattern_wrong(const char *pattern);
bool idem__pattern_matches(const char *pattern, struct idem__span method, struct idem__span path);
/* The methods that it is for, "POST,PUT"; empty: all. */
struct idem__span idem__pattern_methods(const char *pattern);
/* Is `method` in such a list? */
bool idem__pattern_has_method(struct idem__span list, struct idem__span method);

#endif
