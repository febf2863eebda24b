#include "http/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define BUFFER_FIRST_BYTES 256u

bool idem__span_equals(struct idem__span a, struct idem__span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

bool idem__span_is(struct idem__span span, const char *text)
{
    return idem__span_equals(span, idem__text_span(text));
}

bool idem__span_is_like(struct idem__span span, const char *text)
{
    return span.len == strlen(text) && strncasecmp(span.at, text, span.len) == 0;
}

bool idem__buffer_room(struct idem__buffer *buffer, size_t len)
{
    if (buffer->failed || len > SIZE_MAX / 4 - buffer->len) {
        buffer->failed = true;
        return false;
    }
    const size_t needed = buffer->len + len;
    if (needed > buffer->capacity) {
        size_t capacity = buffer->capacity ? buffer->capacity : BUFFER_FIRST_BYTES;
        while (capacity < needed) {
            capacity *= 2;
        }
        char *grown = realloc(buffer->at, capacity);
        if (!grown) {
            buffer->failed = true;
            return false;
        }
        buffer->at = grown;
        buffer->capacity = capacity;
    }
    return true;
}

void idem__buffer_add(struct idem__buffer *buffer, const void *bytes, size_t len)
{
    if (len && idem__buffer_room(buffer, len)) {
        memcpy(buffer->at + buffer->len, bytes, len);
        buffer->len += len;
    }
}

void idem__buffer_add_span(struct idem__buffer *buffer, struct idem__span span)
{
    idem__buffer_add(buffer, span.at, span.len);
}

void idem__buffer_add_text(struct idem__buffer *buffer, const char *text)
{
    idem__buffer_add(buffer, text, strlen(text));
}

void idem__buffer_add_lower(struct idem__buffer *buffer, const char *text)
{
    const size_t start = buffer->len;
    idem__buffer_add_text(buffer, text);
    for (size_t i = start; i < buffer->len; i++) {
        const char c = buffer->at[i];
        buffer->at[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
}

void idem__buffer_format(struct idem__buffer *buffer, const char *format, ...)
{
    char text[IDEM__FORMAT_BYTES];
    va_list args;
    va_start(args, format);
    const int length = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(text)) {
        buffer->failed = true;
        return;
    }
    idem__buffer_add(buffer, text, (size_t)length);
}

const char *idem__buffer_text(struct idem__buffer *buffer)
{
    if (!idem__buffer_room(buffer, 1)) {
        return "";
    }
    buffer->at[buffer->len] = '\0';
    return buffer->at;
}

void idem__buffer_clear(struct idem__buffer *buffer)
{
    buffer->len = 0;
    buffer->failed = false;
}

void idem__buffer_free(struct idem__buffer *buffer)
{
    free(buffer->at);
    *buffer = (struct idem__buffer){0};
}
