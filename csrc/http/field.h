/* field.h - header fields as they travel: lines `name: value CR LF`. Layer 16. */
#ifndef IDEM_HTTP_FIELD_H
#define IDEM_HTTP_FIELD_H

#include "http/bytes.h"

/* A field: its name, and its value without the space around it. Both point into the block. */
struct idem__field {
    struct idem__span name;
    struct idem__span value;
};

enum idem__field_step {
    FIELD_END = 0,
    FIELD_GOT = 1,
    FIELD_UNSAFE = 2,    /* got, but its value has a control character in it */
    FIELD_MALFORMED = -1 /* no name, no colon, or no CR LF */
};

/* Takes the next field off `rest`. */
enum idem__field_step idem__field_next(struct idem__span *rest, struct idem__field *field);
/* Adds a line. */
void idem__field_add(struct idem__buffer *fields, struct idem__field field);
void idem__field_add_text(struct idem__buffer *fields, const char *name, const char *value);
/* Is the name one of RFC 9110 (a token)? */
bool idem__field_name_ok(struct idem__span name);
/* Is it a method as the configuration writes one: a token without small letters? */
bool idem__method_ok(struct idem__span method);

/*
 * Goes through a list of comma-separated names, as in Connection: takes the next off `rest`; false at
 * its end.
 */
bool idem__field_list_next(struct idem__span *rest, struct idem__span *name);

/* A decimal number of digits alone; -1 if it is none, or too large for a length. */
int64_t idem__field_number(struct idem__span value);

/*
 * Whether a replay of a response has this field: not those of one connection, one moment or one
 * authentication (Set-Cookie, Date, hop-by-hop ...), nor those that a replay has of its own.
 */
bool idem__field_kept(struct idem__span name);

#endif
