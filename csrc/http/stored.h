/*
 * stored.h - how a response stands in the store. Layer 17.
 *
 *      byte 0        1        2   3     4  5  6  7     8 ...       ...
 *    +----------+---------+---------+--------------+-----------+--------+
 *    | version  |   0     | status  |  fields_len  |  fields   |  body  |   integers are little-endian
 *    +----------+---------+---------+--------------+-----------+--------+
 *
 * `fields` is a block of header fields. An empty value is no response: it says that none was kept.
 */
#ifndef IDEM_HTTP_STORED_H
#define IDEM_HTTP_STORED_H

#include "http/bytes.h"

#define IDEM__STATUS_MIN 200
#define IDEM__STATUS_MAX 599

struct idem__stored {
    int32_t status;
    struct idem__span fields;
    struct idem__span body;
};

/*
 * Begins a stored response in an empty buffer, with those of the response's fields that a replay
 * has; its body is added behind. False: the fields are malformed.
 */
bool idem__stored_begin(struct idem__buffer *out, int32_t status, struct idem__span fields);
/* Reads one; everything is checked. False: it is none. */
bool idem__stored_read(struct idem__span value, struct idem__stored *stored);

#endif
