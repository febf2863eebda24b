#include "http/field.h"

#define DIGITS_MAX 15 /* of a length: a petabyte */

/* Sorted by what they belong to. Lower case is not needed: names are compared without case. */
static const char *const not_kept[] = {
    /* of one connection: RFC 9110, section 7.6.1 */
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    /* of one moment, one client, one authentication */
    "date", "set-cookie", "set-cookie2", "www-authenticate", "proxy-authenticate",
    "authentication-info", "proxy-authentication-info", "proxy-authorization",
    /* a replay has its own */
    "content-length", "cache-control", "x-idemkey-keep", "idempotency-stored"};

static bool is_token_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_value_char(unsigned char c) { return c == '\t' || (c >= ' ' && c != 0x7f); }

static struct idem__span trim(struct idem__span span)
{
    while (span.len && (*span.at == ' ' || *span.at == '\t')) {
        span.at++;
        span.len--;
    }
    while (span.len && (span.at[span.len - 1] == ' ' || span.at[span.len - 1] == '\t')) {
        span.len--;
    }
    return span;
}

bool idem__field_name_ok(struct idem__span name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!is_token_char((unsigned char)name.at[i])) {
            return false;
        }
    }
    return name.len > 0;
}

bool idem__method_ok(struct idem__span method)
{
    for (size_t i = 0; i < method.len; i++) {
        if (method.at[i] >= 'a' && method.at[i] <= 'z') {
            return false;
        }
    }
    return idem__field_name_ok(method);
}

enum idem__field_step idem__field_next(struct idem__span *rest, struct idem__field *field)
{
    if (!rest->len) {
        return FIELD_END;
    }
    const char *end = memchr(rest->at, '\n', rest->len);
    if (!end || end == rest->at || end[-1] != '\r') {
        return FIELD_MALFORMED;
    }
    const struct idem__span line = idem__span(rest->at, (size_t)(end - 1 - rest->at));
    const char *colon = memchr(line.at, ':', line.len);
    if (!colon) {
        return FIELD_MALFORMED;
    }
    field->name = idem__span(line.at, (size_t)(colon - line.at));
    field->value = trim(idem__span(colon + 1, line.len - field->name.len - 1));
    if (!idem__field_name_ok(field->name)) {
        return FIELD_MALFORMED;
    }
    const size_t taken = line.len + 2;
    *rest = idem__span(rest->at + taken, rest->len - taken);
    for (size_t i = 0; i < field->value.len; i++) {
        if (!is_value_char((unsigned char)field->value.at[i])) {
            return FIELD_UNSAFE;
        }
    }
    return FIELD_GOT;
}

void idem__field_add(struct idem__buffer *fields, struct idem__field field)
{
    idem__buffer_add_span(fields, field.name);
    idem__buffer_add_text(fields, ": ");
    idem__buffer_add_span(fields, field.value);
    idem__buffer_add_text(fields, "\r\n");
}

void idem__field_add_text(struct idem__buffer *fields, const char *name, const char *value)
{
    idem__field_add(fields, (struct idem__field){idem__text_span(name), idem__text_span(value)});
}

bool idem__field_list_next(struct idem__span *rest, struct idem__span *name)
{
    if (!rest->len) {
        return false;
    }
    const char *comma = memchr(rest->at, ',', rest->len);
    const size_t len = comma ? (size_t)(comma - rest->at) : rest->len;
    *name = trim(idem__span(rest->at, len));
    const size_t taken = comma ? len + 1 : len;
    *rest = idem__span(rest->at + taken, rest->len - taken);
    return true;
}

int64_t idem__field_number(struct idem__span value)
{
    int64_t number = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9') {
            return -1;
        }
        number = number * 10 + (value.at[i] - '0');
        if (i >= DIGITS_MAX) {
            return -1;
        }
    }
    return value.len ? number : -1;
}

bool idem__field_kept(struct idem__span name)
{
    for (size_t i = 0; i < sizeof(not_kept) / sizeof(*not_kept); i++) {
        if (idem__span_is_like(name, not_kept[i])) {
            return false;
        }
    }
    return true;
}
