/* response.c - from the application's response to what is recorded: response, data, finish, abort. */
#include <errno.h>
#include <stdlib.h>

#include "http/exchange.h"
#include "http/field.h"
#include "http/stored.h"

#define FIRST_SERVER_ERROR 500
#define STATUS_NOT_FOUND 404

/* These say "not now" or "not you": whether the operation happens is left to a later request. */
static bool is_undecided(int32_t status)
{
    static const int undecided[] = {401, 403, 405, 407, 408, 421, 425, 426, 429};
    for (size_t i = 0; i < sizeof(undecided) / sizeof(*undecided); i++) {
        if (status == undecided[i]) {
            return true;
        }
    }
    return status >= FIRST_SERVER_ERROR;
}

/* What the handler says of its response: 1 keep, 0 do not, -1 nothing (or nonsense). */
static int asked_to_keep(struct idem_http_exchange *exchange, struct idem__span fields)
{
    struct idem__field field;
    int keep = -1;
    while (idem__field_next(&fields, &field) == FIELD_GOT) {
        if (idem__span_is_like(field.name, "x-idemkey-keep")) {
            exchange->strip = true;
            if (idem__span_is_like(field.value, "yes")) {
                keep = 1;
            } else if (idem__span_is_like(field.value, "no")) {
                keep = 0;
            }
        }
    }
    return keep;
}

const struct idem_claim *idem_http_claim(const idem_http_exchange *exchange)
{
    return exchange && exchange->has_claim ? &exchange->claim : NULL;
}

int idem_http_response(idem_http_exchange *exchange, int32_t status, const char *fields,
                       size_t fields_len, int32_t unrouted, struct idem_http_decision *decision)
{
    const struct idem__span block = idem__span(fields, fields_len);
    if (!exchange || exchange->stage != STAGE_RUNNING || (!fields && fields_len) ||
        !idem__decision_ok(decision)) {
        return IDEM_EINVAL;
    }
    if (!idem__stored_begin(&exchange->stored, status, block)) {
        return IDEM_EINVAL;
    }
    const int asked = asked_to_keep(exchange, block);
    const bool decided = !is_undecided(status) && !(status == STATUS_NOT_FOUND && unrouted != 0);
    exchange->keeps = asked >= 0 ? asked == 1 : decided || exchange->policy->keeps_all;
    exchange->stage = STAGE_HELD;
    return idem__decide_as(exchange, decision, IDEM_HTTP_BUFFER, IDEM_HTTP_NO_REASON);
}

/* The retention left to a key that has just been completed: see idem_complete. */
static int64_t retention_ms(const struct idem_http_exchange *exchange)
{
    const struct idem__policy *policy = exchange->policy;
    if (policy->ttl_ms == IDEM_FOREVER || policy->ttl_from_completion) {
        return policy->ttl_ms;
    }
    const int64_t gone_ms = exchange->claim.record.age_ms + idem__monotonic_ms() - exchange->ran_ms;
    return gone_ms < policy->ttl_ms ? policy->ttl_ms - gone_ms : policy->ttl_ms;
}

/* The claim was ended, as `reason` says; what the response must be told of it. */
static void ended(struct idem_http_exchange *exchange, enum idem_http_reason reason)
{
    const bool completed = reason == IDEM_HTTP_KEPT || reason == IDEM_HTTP_KEPT_WITHOUT;
    exchange->has_claim = false;
    exchange->end_reason = (int32_t)reason;
    exchange->claim.record.expires_in_ms = completed ? retention_ms(exchange) : 0;
    idem__buffer_clear(&exchange->fields);
    if (reason == IDEM_HTTP_KEPT) {
        idem__add_retention(exchange, exchange->claim.record.expires_in_ms);
    } else if (reason != IDEM_HTTP_RELEASED) {
        idem__field_add_text(&exchange->fields, "Idempotency-Stored", "false");
    }
}

static void fail(struct idem_http_exchange *exchange, int status)
{
    idem__buffer_clear(&exchange->detail);
    idem__buffer_add_text(&exchange->detail, idem_last_error());
    ended(exchange, status == IDEM_ELOST ? IDEM_HTTP_LOST : IDEM_HTTP_STORE_FAILED);
}

/* The operation has happened. A claim whose completion failed stays claimed: it must not run again. */
static void complete(struct idem_http_exchange *exchange, struct idem__span value)
{
    const struct idem__policy *policy = exchange->policy;
    const int status = idem_complete(&exchange->claim, value.at, value.len,
                                     policy->ttl_from_completion ? policy->ttl_ms : IDEM_TTL_SAME,
                                     IDEM_ALLOW_NOT_KEPT);
    if (status) {
        fail(exchange, status);
    } else {
        ended(exchange,
              value.len && exchange->claim.record.kept ? IDEM_HTTP_KEPT : IDEM_HTTP_KEPT_WITHOUT);
    }
}

static void release(struct idem_http_exchange *exchange)
{
    const int status = idem_release(&exchange->claim);
    ended(exchange, IDEM_HTTP_RELEASED);
    if (status) {
        idem__buffer_clear(&exchange->detail);
        idem__buffer_add_text(&exchange->detail, idem_last_error());
        exchange->end_reason = status == IDEM_ELOST ? IDEM_HTTP_LOST : IDEM_HTTP_STORE_FAILED;
    }
}

int idem_http_data(idem_http_exchange *exchange, const void *piece, size_t len,
                   struct idem_http_decision *decision)
{
    if (!exchange || (exchange->stage != STAGE_HELD && exchange->stage != STAGE_STREAM) ||
        (!piece && len) || !idem__decision_ok(decision)) {
        return IDEM_EINVAL;
    }
    if (exchange->stage == STAGE_HELD) {
        const int64_t room = exchange->policy->max_response_bytes - exchange->response_bytes;
        const bool fits = len <= (uint64_t)room;
        if (fits) {
            exchange->response_bytes += (int64_t)len;
            idem__buffer_add(&exchange->stored, piece, exchange->keeps ? len : 0);
        }
        if (!fits || exchange->stored.failed) {
            exchange->stage = STAGE_STREAM;
            idem__buffer_free(&exchange->stored);
            if (exchange->keeps) {
                complete(exchange, idem__span("", 0));
            }
        }
    }
    return exchange->stage == STAGE_HELD
               ? idem__decide_as(exchange, decision, IDEM_HTTP_BUFFER, IDEM_HTTP_NO_REASON)
               : idem__decide_as(exchange, decision, IDEM_HTTP_STREAM,
                                 (enum idem_http_reason)exchange->end_reason);
}

int idem_http_finish(idem_http_exchange *exchange, struct idem_http_decision *decision)
{
    if (!exchange || (exchange->stage != STAGE_HELD && exchange->stage != STAGE_STREAM) ||
        !idem__decision_ok(decision)) {
        return IDEM_EINVAL;
    }
    if (exchange->has_claim && exchange->keeps) {
        complete(exchange, exchange->stored.failed ? idem__span("", 0)
                                                   : idem__buffer_span(&exchange->stored));
    } else if (exchange->has_claim) {
        release(exchange);
    }
    exchange->stage = STAGE_ENDED;
    return idem__decide_as(exchange, decision, IDEM_HTTP_SEND,
                           (enum idem_http_reason)exchange->end_reason);
}

int idem_http_abort(idem_http_exchange *exchange, int32_t how)
{
    if (!exchange || (how != IDEM_HTTP_RELEASE && how != IDEM_HTTP_ABANDON)) {
        return IDEM_EINVAL;
    }
    int status = IDEM_OK;
    if (exchange->has_claim) {
        exchange->has_claim = false;
        status = how == IDEM_HTTP_RELEASE ? idem_release(&exchange->claim)
                                          : idem_abandon(&exchange->claim);
    }
    exchange->stage = STAGE_ENDED;
    return status;
}

void idem_http_free(idem_http_exchange *exchange)
{
    if (!exchange) {
        return;
    }
    if (exchange->has_claim) {
        (void)idem_abandon(&exchange->claim);
    }
    idem__waiter_leave(exchange);
    idem_record_free(&exchange->claim.record);
    idem__buffer_free(&exchange->key);
    idem__buffer_free(&exchange->name);
    idem__buffer_free(&exchange->body);
    idem__buffer_free(&exchange->fields);
    idem__buffer_free(&exchange->text);
    idem__buffer_free(&exchange->detail);
    idem__buffer_free(&exchange->stored);
    free(exchange);
}
