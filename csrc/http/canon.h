/* canon.h - JSON bodies that mean the same, made the same. Layer 17. */
#ifndef IDEM_HTTP_CANON_H
#define IDEM_HTTP_CANON_H

#include "http/bytes.h"

/*
 * Writes the canonical form of the JSON text `body` to `out`: members in the order of their names,
 * no space, one spelling of each string and number. Two texts have the same form just if they are
 * the same data by RFC 8785 (JSON Canonicalization Scheme); the form itself is our own, since nobody
 * else reads it: names are ordered by their UTF-8 bytes, a whole number of up to 2^53 has no
 * fraction, any other 17 digits.
 *
 * False: the text has no such form, and must be compared byte for byte. It is no JSON, has a name
 * twice in one object, a whole number above 2^53 (which a double would round, so that two amounts
 * would pass for one), a number that no double holds, or is nested too deeply.
 */
bool idem__canon_json(struct idem__span body, struct idem__buffer *out);

#endif
