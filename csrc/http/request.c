/* request.c - from a request to what becomes of it: begin, body, decide, wait. */
#include <errno.h>
#include <stdlib.h>

#include "http/exchange.h"
#include "http/field.h"
#include "http/pattern.h"

#define ALIGNMENT 64
/* Of an intent's method and path: with the key they fit into the smallest store's largest intent. */
#define INTENT_PART_MAX 2048u

/* What the fields of a request say, as far as the policy asks. */
struct asked {
    bool has_key;
    bool seen_principal;
    struct idem__span principal; /* empty: nobody is told */
    const char *bad;             /* what is wrong with the request, NULL if nothing is */
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
                   !idem__span_equals(idem__buffer_span(&key), idem__buffer_span(&exchange->key))) {
            wrong = "differs between two headers that name it";
        }
        seen[i] = asked->has_key = is_key = true;
        if (wrong && !exchange->wrong) {
            exchange->wrong = wrong;
            exchange->wrong_in = policy->headers.at[i];
        }
        key.failed = key.failed || exchange->key.failed;
        idem__buffer_free(&exchange->key);
        exchange->key = key;
    }
    return is_key;
}

static void read_principal(const struct idem__field *field, struct asked *asked)
{
    if (asked->seen_principal) {
        asked->bad = "has two headers that say who sends it";
    }
    asked->seen_principal = true;
    asked->principal = field->value;
}

static void read_length(struct idem_http_exchange *exchange, const struct idem__field *field,
                        struct asked *asked)
{
    const int64_t length = idem__field_number(field->value);
    if (length < 0 || (exchange->content_length >= 0 && exchange->content_length != length)) {
        asked->bad = "has a Content-Length that is not one decimal number";
    }
    exchange->content_length = length;
}

/* Reads the fields. False: they are malformed, and no more of them is known. */
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
            asked->bad = "has a control character in a header";
        }
        if (policy->principal_by == PRINCIPAL_FIELD &&
            idem__span_is_like(field.name, policy->principal_source)) {
            read_principal(&field, asked);
        }
        if (idem__span_is_like(field.name, "content-length")) {
            read_length(exchange, &field, asked);
        } else if (idem__span_is_like(field.name, "content-type")) {
            has_type = true;
            exchange->is_json = is_json(field.value);
        }
    }
    exchange->is_json = policy->canonical_json && (exchange->is_json || !has_type);
    return step == FIELD_END;
}

/* What the fields alone decide; NO_REASON: nothing. */
static enum idem_http_reason judge(struct idem_http_exchange *exchange, bool readable,
                                   const struct asked *asked)
{
    const struct idem__policy *policy = exchange->policy;
    if (readable && !asked->has_key) {
        return IDEM_HTTP_NO_KEY;
    }
    if (exchange->wrong) {
        exchange->key.len = 0; /* half of one is none */
    }
    if (!readable || asked->bad) {
        exchange->wrong = readable ? asked->bad : "has a malformed header";
        return IDEM_HTTP_BAD_REQUEST;
    }
    if (exchange->wrong) {
        return IDEM_HTTP_BAD_KEY;
    }
    if (policy->principal_by != PRINCIPAL_NONE && !asked->principal.len) {
        return IDEM_HTTP_NO_PRINCIPAL;
    }
    return exchange->content_length > policy->max_request_bytes ? IDEM_HTTP_TOO_LARGE
                                                                : IDEM_HTTP_NO_REASON;
}

static void add_cut(struct idem__buffer *out, struct idem__span part)
{
    idem__buffer_add(out, part.at, part.len < INTENT_PART_MAX ? part.len : INTENT_PART_MAX);
}

/* The key's name in the store, and the fingerprint's first parts. */
static void set_out(struct idem_http_exchange *exchange, const struct asked *asked,
                    struct idem__span method, struct idem__span path, struct idem__span query)
{
    const struct idem__policy *policy = exchange->policy;
    const struct idem__span none = {0};
    const struct idem__scope scope = {.principal = {policy->principal_source, asked->principal},
                                      .path = policy->key_scope == SCOPE_ACCOUNT ? none : path,
                                      .method = policy->key_scope == SCOPE_ENDPOINT_METHOD ? method
                                                                                           : none,
                                      .key = idem__buffer_span(&exchange->key)};
    idem__scope_join(&scope, exchange->http->secret, &exchange->name);
    exchange->name_len = exchange->name.len;
    if (policy->hold) { /* whoever resolves it must know what it was */
        add_cut(&exchange->name, method);
        idem__buffer_add_text(&exchange->name, " ");
        add_cut(&exchange->name, path);
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
        asked.principal = idem__span(principal, (size_t)principal_len);
    }
    const enum idem_http_reason reason = judge(exchange, readable, &asked);
    if (reason == IDEM_HTTP_NO_KEY && !policy->required) {
        idem_http_free(exchange);
        idem__decide_alone(decision, IDEM_HTTP_PASS, reason, policy);
        return IDEM_OK;
    }
    int status;
    if (reason == IDEM_HTTP_NO_REASON) {
        set_out(exchange, &asked, verb, where, idem__span(query, query_len));
        status = idem__decide_as(exchange, decision, IDEM_HTTP_NEED_BODY, IDEM_HTTP_NO_REASON);
    } else {
        status = idem__refuse(exchange, decision, reason);
    }
    if (status) {
        idem_http_free(exchange);
        exchange = NULL;
    }
    *begun = exchange;
    return status;
}

int idem_http_body(idem_http_exchange *exchange, const void *piece, size_t len,
                   struct idem_http_decision *decision)
{
    if (!exchange || exchange->stage != STAGE_BODY || exchange->began_ms >= 0 || (!piece && len) ||
        !idem__decision_ok(decision)) {
        return IDEM_EINVAL;
    }
    if (len > (uint64_t)(exchange->policy->max_request_bytes - exchange->body_bytes)) {
        return idem__refuse(exchange, decision, IDEM_HTTP_TOO_LARGE);
    }
    exchange->body_bytes += (int64_t)len;
    if (exchange->is_json) {
        idem__buffer_add(&exchange->body, piece, len);
        if (exchange->body.failed) {
            errno = ENOMEM;
            return IDEM_ESYS;
        }
    } else {
        idem__digest_piece(&exchange->digest, idem__span(piece, len));
    }
    return idem__decide_as(exchange, decision, IDEM_HTTP_NEED_BODY, IDEM_HTTP_NO_REASON);
}
