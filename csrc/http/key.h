/* key.h - from a header's value to the key that it names, by a profile's rule. Layer 17. */
#ifndef IDEM_HTTP_KEY_H
#define IDEM_HTTP_KEY_H

#include "http/bytes.h"

enum idem__key_rule {
    KEY_TEXT = 0,     /* visible characters and inner spaces of ASCII, without a comma */
    KEY_UUID = 1,     /* of RFC 9562, any version, or nil or max; its case is folded */
    KEY_UUID4 = 2,    /* version 4 only */
    KEY_SF = 3,       /* a String of RFC 8941, section 3.3.3, or a bare token that reads the same */
    KEY_SF_STRICT = 4 /* the String only */
};

/*
 * Reads `value` into `key`. Returns NULL, or what is wrong, for a person: static storage. Two values
 * that name the same key give the same bytes. Sources: RFC 8941 (sf-string), RFC 9562 (UUID).
 */
const char *idem__key_read(enum idem__key_rule rule, size_t max, struct idem__span value,
                           struct idem__buffer *key);

#endif
