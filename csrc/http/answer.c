/* answer.c - the engine's own answers: refusals in the profile's form, and replays. */
#include <stdlib.h>

#include "http/exchange.h"
#include "http/field.h"
#include "http/stored.h"

#define STATUS_BAD_REQUEST 400
#define STATUS_CONFLICT 409
#define STATUS_TOO_LARGE 413
#define STATUS_UNAVAILABLE 503
#define STATUS_NO_CONTENT 204
#define STATUS_NOT_MODIFIED 304
#define MS_PER_S 1000

struct refusal {
    int status; /* 0: the policy's */
    const char *code;
    const char *title;
    const char *message;
    const char *stripe_type;
};

static const struct refusal refusals[] = {
    [IDEM_HTTP_NO_KEY] = {STATUS_BAD_REQUEST, "IDEMPOTENCY_KEY_REQUIRED", "Idempotency key missing",
                          "This operation must be sent with an idempotency key",
                          "invalid_request_error"},
    [IDEM_HTTP_BAD_KEY] = {STATUS_BAD_REQUEST, "IDEMPOTENCY_KEY_INVALID", "Idempotency key invalid",
                           "The idempotency key", "invalid_request_error"},
    [IDEM_HTTP_NO_PRINCIPAL] = {STATUS_BAD_REQUEST, "PRINCIPAL_REQUIRED", "Unknown caller",
                                "A request with an idempotency key must say who sends it",
                                "invalid_request_error"},
    [IDEM_HTTP_BAD_REQUEST] = {STATUS_BAD_REQUEST, "BAD_REQUEST", "Bad request",
                               "The request was not processed: it", "invalid_request_error"},
    [IDEM_HTTP_TOO_LARGE] = {STATUS_TOO_LARGE, "REQUEST_TOO_LARGE", "Request too large",
                             "The request's body is larger than one with an idempotency key may be",
                             "invalid_request_error"},
    [IDEM_HTTP_NOT_KEPT] =
        {STATUS_CONFLICT, "IDEMPOTENCY_RESPONSE_NOT_KEPT", "Response not kept",
         "The operation was completed, but its response was not kept; it was not "
         "run again",
         "idempotency_error"},
    [IDEM_HTTP_CONFLICT] = {0, NULL, "Idempotency key reused",
                            "Idempotency key was used with different parameters",
                            "idempotency_error"},
    [IDEM_HTTP_IN_FLIGHT] = {0, "IDEMPOTENCY_IN_PROGRESS", "Request in flight",
                             "A request with this idempotency key is being processed; retry later "
                             "with the same key",
                             "idempotency_error"},
    [IDEM_HTTP_UNKNOWN] = {STATUS_CONFLICT, "IDEMPOTENCY_OUTCOME_UNKNOWN", "Outcome unknown",
                           "The operation was interrupted and its outcome is unknown; it is held "
                           "until it has been resolved",
                           "idempotency_error"},
    [IDEM_HTTP_STORE_FAILED] = {STATUS_UNAVAILABLE, "IDEMPOTENCY_UNAVAILABLE",
                                "Idempotency unavailable",
                                "The request was not processed; retry later with the same key",
                                "api_error"},
};

static int status_of(const struct idem_http_exchange *exchange, enum idem_http_reason reason)
{
    if (reason == IDEM_HTTP_CONFLICT) {
        return (int)exchange->policy->mismatch_status;
    }
    return reason == IDEM_HTTP_IN_FLIGHT ? (int)exchange->policy->busy_status
                                         : refusals[reason].status;
}

/* The message for a person, in exchange->text. */
static const char *message_of(struct idem_http_exchange *exchange, enum idem_http_reason reason)
{
    struct idem__buffer *text = &exchange->text;
    const struct idem__policy *policy = exchange->policy;
    if (reason == IDEM_HTTP_BAD_KEY && policy->bad_key_message) {
        return policy->bad_key_message;
    }
    idem__buffer_clear(text);
    idem__buffer_add_text(text, refusals[reason].message);
    if (reason == IDEM_HTTP_BAD_KEY) {
        idem__buffer_format(text, " in %.100s %.100s (at most %lld characters)", exchange->wrong_in,
                            exchange->wrong, (long long)policy->key_max);
    } else if (reason == IDEM_HTTP_BAD_REQUEST) {
        idem__buffer_format(text, " %.200s", exchange->wrong);
    } else if (reason == IDEM_HTTP_TOO_LARGE) {
        idem__buffer_format(text, ": at most %lld bytes", (long long)policy->max_request_bytes);
    } else if (reason == IDEM_HTTP_NO_KEY) {
        idem__buffer_format(text, " in %.200s", policy->headers.at[0]);
    }
    return idem__buffer_text(text);
}

static json_t *error_object(struct idem_http_exchange *exchange, enum idem_http_reason reason,
                            const char *message)
{
    const char *code =
        reason == IDEM_HTTP_CONFLICT ? exchange->policy->conflict_code : refusals[reason].code;
    json_t *error = json_pack("{ssss}", "code", code, "message", message);
    if (exchange->policy->error_form == FORM_ERROR_WITH_KEY && exchange->key.len) {
        json_t *key = json_stringn(exchange->key.at, exchange->key.len);
        (void)json_object_set_new(error, "idempotency_key", key);
        if (exchange->claim.record.id) {
            (void)json_object_set_new(
                error, "existing_request_id",
                json_sprintf("req_%016llx", (unsigned long long)exchange->claim.record.id));
        }
    }
    return error;
}

static json_t *stripe_object(enum idem_http_reason reason, const char *message)
{
    json_t *error = json_pack("{ssss}", "type", refusals[reason].stripe_type, "message", message);
    if (reason == IDEM_HTTP_IN_FLIGHT) {
        (void)json_object_set_new(error, "code", json_string("idempotency_key_in_use"));
    }
    return error;
}

/* The body as a JSON value; NULL: no memory. */
static json_t *body_of(struct idem_http_exchange *exchange, enum idem_http_reason reason,
                       int status, const char *message)
{
    switch ((enum idem__error_form)exchange->policy->error_form) {
    case FORM_ERROR:
    case FORM_ERROR_WITH_KEY:
        return json_pack("{so}", "error", error_object(exchange, reason, message));
    case FORM_CODE:
        return error_object(exchange, reason, message);
    case FORM_MESSAGE:
        return json_pack("{ss}", "message", message);
    case FORM_STRIPE:
        return json_pack("{so}", "error", stripe_object(reason, message));
    case FORM_PROBLEM:
        break;
    }
    return json_pack("{sssiss}", "title", refusals[reason].title, "status", status, "detail",
                     message);
}

static void add_number(struct idem__buffer *fields, const char *name, long long number)
{
    idem__buffer_format(fields, "%s: %lld\r\n", name, number);
}

int idem__refuse(struct idem_http_exchange *exchange, struct idem_http_decision *decision,
                 enum idem_http_reason reason)
{
    const bool problem = exchange->policy->error_form == FORM_PROBLEM;
    const bool later = reason == IDEM_HTTP_IN_FLIGHT || reason == IDEM_HTTP_STORE_FAILED;
    const int status = status_of(exchange, reason);
    json_t *body = body_of(exchange, reason, status, message_of(exchange, reason));
    char *written = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    idem__buffer_clear(&exchange->text);
    if (written) {
        idem__buffer_add_text(&exchange->text, written);
        free(written);
    } else {
        exchange->text.failed = true;
    }
    exchange->stage = STAGE_ENDED;
    idem__buffer_clear(&exchange->fields);
    idem__field_add_text(&exchange->fields, "Content-Type",
                         problem ? "application/problem+json" : "application/json");
    add_number(&exchange->fields, "Content-Length", (long long)exchange->text.len);
    idem__field_add_text(&exchange->fields, "Cache-Control", "no-store");
    if (later) {
        add_number(&exchange->fields, "Retry-After", (long long)exchange->policy->retry_after_s);
    }
    const int result = idem__decide_as(exchange, decision, IDEM_HTTP_REJECT, reason);
    decision->status = status;
    decision->body = exchange->text.at;
    decision->body_len = exchange->text.len;
    decision->retry_after_ms = later ? exchange->policy->retry_after_s * MS_PER_S : 0;
    return result;
}

int idem__replay(struct idem_http_exchange *exchange, struct idem_http_decision *decision)
{
    const struct idem_record *record = &exchange->claim.record;
    const struct idem__policy *policy = exchange->policy;
    struct idem__stored stored;
    if (!record->kept || !record->value_len) {
        return idem__refuse(exchange, decision, IDEM_HTTP_NOT_KEPT);
    }
    if (!idem__stored_read(idem__span(record->value, record->value_len), &stored)) {
        idem__buffer_add_text(&exchange->detail, "what is kept for the key is no response");
        return idem__refuse(exchange, decision, IDEM_HTTP_NOT_KEPT);
    }
    exchange->stage = STAGE_ENDED;
    idem__buffer_clear(&exchange->fields);
    idem__buffer_add_span(&exchange->fields, stored.fields);
    if (stored.status == STATUS_NO_CONTENT || stored.status == STATUS_NOT_MODIFIED) {
        stored.body.len = 0; /* RFC 9110, section 6.4.1: whatever the application sent with it */
    } else {
        add_number(&exchange->fields, "Content-Length", (long long)stored.body.len);
    }
    idem__field_add_text(&exchange->fields, "Cache-Control", "no-store");
    if (policy->replay_marker) {
        idem__field_add_text(&exchange->fields, policy->replay_marker, "true");
    }
    idem__add_retention(exchange, record->expires_in_ms);
    const int result = idem__decide_as(exchange, decision, IDEM_HTTP_REPLAY, IDEM_HTTP_RECORDED);
    decision->status = stored.status;
    decision->body = stored.body.at;
    decision->body_len = stored.body.len;
    return result;
}

int idem_http_stored(const void *value, size_t len, struct idem_http_decision *decision)
{
    struct idem__stored stored;
    if ((!value && len) || !idem__decision_ok(decision)) {
        return IDEM_EINVAL;
    }
    if (!idem__stored_read(idem__span(value, len), &stored)) {
        return IDEM_ECORRUPT;
    }
    decision->status = stored.status;
    decision->fields = stored.fields.at;
    decision->fields_len = stored.fields.len;
    decision->body = stored.body.at;
    decision->body_len = stored.body.len;
    return IDEM_OK;
}
