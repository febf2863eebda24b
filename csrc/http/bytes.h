/* bytes.h - runs of bytes: somebody's (span) and our own, growing (buffer). Layer 15. */
#ifndef IDEM_HTTP_BYTES_H
#define IDEM_HTTP_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of somebody else; `at` may be NULL where `len` is 0. */
struct idem__span {
    const char *at;
    size_t len;
};

/* Our bytes. Zeroed is empty. `failed` is set, and stays, when memory ran out: then the bytes are incomplete. */
struct idem__buffer {
    char *at;
    size_t len;
    size_t capacity;
    bool failed;
};

static inline struct idem__span idem__span(const char *at, size_t len)
{
    return (struct idem__span){at, len};
}
static inline struct idem__span idem__text_span(const char *text)
{
    return idem__span(text, strlen(text));
}
static inline struct idem__span idem__buffer_span(const struct idem__buffer *buffer)
{
    return idem__span(buffer->at, buffer->len);
}

bool idem__span_equals(struct idem__span a, struct idem__span b);
bool idem__span_is(struct idem__span span, const char *text);
/* Letters of ASCII count without their case. */
bool idem__span_is_like(struct idem__span span, const char *text);

/* Makes room for `len` more bytes. */
bool idem__buffer_room(struct idem__buffer *buffer, size_t len);
void idem__buffer_add(struct idem__buffer *buffer, const void *bytes, size_t len);
void idem__buffer_add_span(struct idem__buffer *buffer, struct idem__span span);
void idem__buffer_add_text(struct idem__buffer *buffer, const char *text);
/* Letters of ASCII made small. */
void idem__buffer_add_lower(struct idem__buffer *buffer, const char *text);
/* Short texts only: at most IDEM__FORMAT_BYTES with the zero. */
__attribute__((format(printf, 2, 3))) void idem__buffer_format(struct idem__buffer *buffer,
                                                               const char *format, ...);
/* Ends the bytes by a zero that is not counted, and gives them; "" when memory ran out. */
const char *idem__buffer_text(struct idem__buffer *buffer);
/* Empty again, its memory kept. */
void idem__buffer_clear(struct idem__buffer *buffer);
void idem__buffer_free(struct idem__buffer *buffer);

#define IDEM__FORMAT_BYTES 256

#endif
