/* canon.h - JSON bodies that mean the same, made the same. Layer 17. */
#ifndef IDEM_HTTP_CANON_H
#define IDEM_HTTP_CANON_H

#include <jansson.h>

#include "http/bytes.h"

/*
 * json_loadb, with ENOMEM in errno if memory ran out, else 0. (jansson calls that a syntax error, or reads
 * on with what it has: it must not pass for what the text says.)
 */
json_t *idem__json_load(struct idem__span text, size_t flags, json_error_t *error);

enum idem__canon {
    CANON_NONE = 0,      /* there is no canonical form: compare byte for byte */
    CANON_DONE = 1,      /* it was written */
    CANON_NO_MEMORY = -1 /* whether there is one is not known */
};

/*
 * Writes the canonical form of the JSON text `body` to `out`: members in the order of their names,
 * no space, one spelling of each string and number. Two texts have the same form just if they are
 * the same data by RFC 8785 (JSON Canonicalization Scheme); the form itself is our own, since nobody
 * else reads it: names are ordered by their UTF-8 bytes, a whole number has no fraction, any other
 * 17 digits.
 *
 * CANON_NONE: it is no JSON, has a name twice in one object, a whole number outside of +-(2^53 - 1)
 * (which a double would round, so that two amounts would pass for one; RFC 7493, section 2.2), a
 * number that no double holds, or is nested too deeply. `out` is then as before.
 */
enum idem__canon idem__canon_json(struct idem__span body, struct idem__buffer *out);

#endif
