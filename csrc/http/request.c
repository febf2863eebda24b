/* request.c - from a request to what becomes of it: begin, body, decide, wait. */
#include <errno.h>
#include <stdlib.h>

#include "http/exchange.h"
#include "http/field.h"
#include "http/pattern.h"

#define ALIGNMENT 64

/* What the fields of a request say, as far as the policy asks. */
struct asked {
    bool has_key;
    bool has_principal;
    struct idem__span principal;
};

static const struct idem__policy *policy_of(const idem_http *http, struct idem__span method,
                                            struct idem__span path)
{
    size_t i = 0;
    while (i < http->routes && !idem__pattern_matches(http->policies[i].route, method, path)) {
        i++;
    }
    return &http->policies[i];
}

static bool is_json(struct idem__span content_type)
{
    const char *end = memchr(content_type.at, ';', content_type.len);
    size_t len = end ? (size_t)(end - content_type.at) : content_type.len;
    while (len && content_type.at[len - 1] == ' ') {
        len--;
    }
    static const char json[] = "application/json", suffix[] = "+json";
    const size_t suffix_len = sizeof(suffix) - 1;
    return idem__span_is_like(idem__span(content_type.at, len), json) ||
           (len > suffix_len &&
            idem__span_is_like(idem__span(content_type.at + len - suffix_len, suffix_len), suffix));
}

/* Is it a field of the key? Reads it; sets exchange->wrong if it does not name one, or another. */
static bool read_key(struct idem_http_exchange *exchange, const struct idem__field *field,
                     bool seen[], struct asked *asked)
{
    const struct idem__policy *policy = exchange->policy;
    bool is_key = false;
    for (size_t i = 0; i < policy->headers.count; i++) {
        if (!idem__span_is_like(field->name, policy->headers.at[i])) {
            continue;
        }
        struct idem__buffer key = {0};
        const char *wrong = idem__key_read((enum idem__key_rule)policy->key_rule,
                                           (size_t)policy->key_max, field->value, &key);
        if (seen[i]) {
            wrong = "is given twice";
        } else if (!wrong && asked->has_key && !exchange->wrong &&
                   (key.len != exchange->key.len ||
                    memcmp(key.at, exchange->key.at, key.len) != 0)) {
            wrong = "differs between two headers that name it";
        }
        seen[i] = asked->has_key = is_key = true;
        exchange->wrong = exchange->wrong ? exchange->wrong : wrong;
        idem__buffer_free(&exchange->key);
        exchange->key = key;
    }
    return is_key;
}

/* Reads the fields. False: they are malformed. */
static bool read_fields(struct idem_http_exchange *exchange, struct idem__span fields,
                        struct asked *asked)
{
    const struct idem__policy *policy = exchange->policy;
    bool seen[IDEM__LIST_MAX] = {0};
    bool has_type = false;
    enum idem__field_step step;
    struct idem__field field;
    while ((step = idem__field_next(&fields, &field)) > FIELD_END) {
        if (!read_key(exchange, &field, seen, asked) && step == FIELD_UNSAFE) {
            return false;
        }
        if (policy->principal_header && idem__span_is_like(field.name, policy->principal_header)) {
            if (asked->has_principal) {
                return false;
            }
            asked->has_principal = field.value.len > 0;
            asked->principal = field.value;
        }
        if (idem__span_is_like(field.name, "content-length")) {
            exchange->content_length = idem__field_number(field.value);
            if (exchange->content_length < 0) {
                return false;
            }
        } else if (idem__span_is_like(field.name, "content-type")) {
            has_type = true;
            exchange->is_json = is_json(field.value);
        }
    }
    exchange->is_json = policy->canonical_json && (exchange->is_json || !has_type);
    return step == FIELD_END;
}

/* The key's name in the store, and the fingerprint's first parts. */
static void set_out(struct idem_http_exchange *exchange, const struct asked *asked,
                    struct idem__span method, struct idem__span path, struct idem__span query)
{
    const struct idem__policy *policy = exchange->policy;
    struct idem__buffer space = {0};
    const struct idem__span none = {0};
    const struct idem__span who = policy->principal_by == PRINCIPAL_FIELD
                                      ? idem__basic_user(asked->principal, &space)
                                      : asked->principal;
    const struct idem__scope scope = {
        .principal = policy->principal_by == PRINCIPAL_NONE ? NULL : &who,
        .path = policy->key_scope == SCOPE_ACCOUNT ? none : path,
        .method = policy->key_scope == SCOPE_ENDPOINT_METHOD ? method : none,
        .key = idem__buffer_span(&exchange->key)};
    idem__scope_join(&scope, exchange->http->secret, &exchange->name);
    idem__buffer_free(&space);
    exchange->name_len = exchange->name.len;
    if (policy->hold) { /* whoever resolves it must know what it was */
        idem__buffer_add_span(&exchange->name, method);
        idem__buffer_add_text(&exchange->name, " ");
        idem__buffer_add_span(&exchange->name, path);
        idem__buffer_add_text(&exchange->name, "\r\n");
        idem__buffer_add_span(&exchange->name, idem__buffer_span(&exchange->key));
    }
    idem__key_hash(idem__buffer_span(&exchange->key), exchange->key_hash, IDEM_HTTP_HASH_CHARS);
    idem__digest_begin(&exchange->digest, (enum idem__digest_kind)policy->digest,
                       exchange->http->secret);
    idem__digest_part(&exchange->digest, method);
    idem__digest_part(&exchange->digest, path);
    idem__digest_part(&exchange->digest, query);
}

static struct idem_http_exchange *exchange_new(idem_http *http, const struct idem__policy *policy)
{
    struct idem_http_exchange *exchange = aligned_alloc(ALIGNMENT, sizeof(*exchange));
    if (exchange) {
        /* All but the space at the end and the digest at the beginning, which are set before they are read. */
        memset(&exchange->http, 0,
               offsetof(struct idem_http_exchange, space) -
                   offsetof(struct idem_http_exchange, http));
        exchange->http = http;
        exchange->policy = policy;
        exchange->stage = STAGE_BODY;
        exchange->content_length = -1;
        exchange->began_ms = -1;
    }
    return exchange;
}

int idem_http_begin(idem_http *http, const char *method, size_t method_len, const char *path,
                    size_t path_len, const char *query, size_t query_len, const char *fields,
                    size_t fields_len, const char *principal, int64_t principal_len,
                    idem_http_exchange **begun, struct idem_http_decision *decision)
{
    if (!http || !begun || !idem__decision_ok(decision) || !method || !path ||
        (!query && query_len) || (!fields && fields_len) || (!principal && principal_len > 0)) {
        return IDEM_EINVAL;
    }
    *begun = NULL;
    const struct idem__span verb = idem__span(method, method_len);
    const struct idem__span where = idem__span(path, path_len);
    const struct idem__policy *policy = policy_of(http, verb, where);
    if (!idem__policy_covers(policy, verb, where)) {
        idem__decide_alone(decision, IDEM_HTTP_PASS, IDEM_HTTP_NOT_APPLICABLE, policy);
        return IDEM_OK;
    }
    struct idem_http_exchange *exchange = exchange_new(http, policy);
    if (!exchange) {
        return IDEM_ESYS;
    }
    struct asked asked = {0};
    const bool readable = read_fields(exchange, idem__span(fields, fields_len), &asked);
    if (policy->principal_by == PRINCIPAL_CALLER && principal_len >= 0) {
        asked.has_principal = true;
        asked.principal = idem__span(principal, (size_t)principal_len);
    }
    enum idem_http_reason reason = IDEM_HTTP_NO_REASON;
    if (!readable) {
        exchange->wrong = "has a malformed header, or one twice that may be there once";
        reason = IDEM_HTTP_BAD_REQUEST;
    } else if (!asked.has_key) {
        reason = IDEM_HTTP_NO_KEY;
    } else if (exchange->wrong) {
        reason = IDEM_HTTP_BAD_KEY;
    } else if (policy->principal_by != PRINCIPAL_NONE && !asked.has_principal) {
        reason = IDEM_HTTP_NO_PRINCIPAL;
    } else if (exchange->content_length > policy->max_request_bytes) {
        reason = IDEM_HTTP_TOO_LARGE;
    }
    if (reason == IDEM_HTTP_NO_KEY && !policy->required) {
        idem_http_free(exchange);
        idem__decide_alone(decision, IDEM_HTTP_PASS, reason, policy);
        return IDEM_OK;
    }
    *begun = exchange;
    if (reason != IDEM_HTTP_NO_REASON) {
        return idem__refuse(exchange, decision, reason);
    }
    set_out(exchange, &asked, verb, where, idem__span(query, query_len));
    return idem__decide_as(exchange, decision, IDEM_HTTP_NEED_BODY, IDEM_HTTP_NO_REASON);
}

int idem_http_body(idem_http_exchange *exchange, const void *piece, size_t len,
                   struct idem_http_decision *decision)
{
    if (!exchange || exchange->stage != STAGE_BODY || (!piece && len) ||
        !idem__decision_ok(decision)) {
        return IDEM_EINVAL;
    }
    if (len > (uint64_t)(exchange->policy->max_request_bytes - exchange->body_bytes)) {
        return idem__refuse(exchange, decision, IDEM_HTTP_TOO_LARGE);
    }
    exchange->body_bytes += (int64_t)len;
    if (exchange->is_json) {
        idem__buffer_add(&exchange->body, piece, len);
    } else {
        idem__digest_piece(&exchange->digest, idem__span(piece, len));
    }
    return idem__decide_as(exchange, decision, IDEM_HTTP_NEED_BODY, IDEM_HTTP_NO_REASON);
}
