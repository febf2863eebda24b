/* decide.c - asking the store: decide, wait. */
#include <errno.h>

#include "http/canon.h"
#include "http/exchange.h"

/* Ends the fingerprint. A body that means something is told from bytes that look like its form. */
static int end_digest(struct idem_http_exchange *exchange)
{
    static const char data[] = "json";
    struct idem__buffer *body = &exchange->body;
    if (exchange->is_json) {
        struct idem__buffer canonical = {0};
        const enum idem__canon form =
            body->failed ? CANON_NO_MEMORY : idem__canon_json(idem__buffer_span(body), &canonical);
        if (form == CANON_NO_MEMORY) {
            idem__buffer_free(&canonical);
            errno = ENOMEM;
            return IDEM_ESYS;
        }
        if (form == CANON_DONE) {
            idem__digest_part(&exchange->digest, idem__text_span(data));
            idem__digest_piece(&exchange->digest, idem__buffer_span(&canonical));
        } else {
            idem__digest_piece(&exchange->digest, idem__buffer_span(body));
        }
        idem__buffer_free(&canonical);
        idem__buffer_free(body);
    }
    idem__digest_end(&exchange->digest, exchange->fingerprint);
    return IDEM_OK;
}

/* The store cannot say. Nothing has run. */
static int store_failed(struct idem_http_exchange *exchange, struct idem_http_decision *decision)
{
    idem__buffer_clear(&exchange->detail);
    idem__buffer_add_text(&exchange->detail, idem_last_error());
    if (exchange->policy->runs_without_store) {
        exchange->stage = STAGE_ENDED;
        return idem__decide_as(exchange, decision, IDEM_HTTP_PASS, IDEM_HTTP_STORE_FAILED);
    }
    return idem__refuse(exchange, decision, IDEM_HTTP_STORE_FAILED);
}

static int busy(struct idem_http_exchange *exchange, struct idem_http_decision *decision)
{
    const int64_t left_ms = exchange->policy->wait_ms - (idem__monotonic_ms() - exchange->began_ms);
    if (left_ms > 0 && idem__waiter_enter(exchange)) {
        exchange->stage = STAGE_WAITING;
        const int status = idem__decide_as(exchange, decision, IDEM_HTTP_WAIT, IDEM_HTTP_IN_FLIGHT);
        decision->retry_after_ms = left_ms;
        return status;
    }
    idem__waiter_leave(exchange);
    return idem__refuse(exchange, decision, IDEM_HTTP_IN_FLIGHT);
}

/* Claims the key, sleeping at most `wait_ms` for it, and says what that means. */
static int claim(struct idem_http_exchange *exchange, int64_t wait_ms,
                 struct idem_http_decision *decision)
{
    const struct idem__policy *policy = exchange->policy;
    struct idem_request request;
    idem_request_init(&request, sizeof(request));
    request.flags = policy->hold ? IDEM_HOLD : 0;
    request.key = exchange->name.at;
    request.key_len = exchange->name_len;
    request.fingerprint = policy->mismatch_status ? exchange->fingerprint : NULL;
    request.intent = exchange->name.at + exchange->name_len;
    request.intent_len = exchange->name.len - exchange->name_len;
    request.ttl_ms = policy->ttl_ms;
    request.crash_grace_ms = policy->crash_grace_ms;
    request.wait_ms = wait_ms;

    idem_record_free(&exchange->claim.record);
    idem_claim_init(&exchange->claim, sizeof(exchange->claim));
    exchange->claim.record.buffer = exchange->space;
    exchange->claim.record.buffer_size = sizeof(exchange->space);
    /* Once the operation has happened, its end must not want for memory: see ended(). */
    if (exchange->name.failed || !idem__buffer_room(&exchange->fields, IDEM__END_FIELDS_BYTES)) {
        errno = ENOMEM;
        return IDEM_ESYS;
    }
    const int status = idem_claim(exchange->http->store, &request, &exchange->claim);
    const int outcome = exchange->claim.outcome;
    if (status == IDEM_OK && outcome == IDEM_BUSY) {
        return busy(exchange, decision);
    }
    idem__waiter_leave(exchange);
    if (status != IDEM_OK) {
        return store_failed(exchange, decision);
    }
    switch (outcome) {
    case IDEM_DONE:
        return idem__replay(exchange, decision);
    case IDEM_MISMATCH:
        return idem__refuse(exchange, decision, IDEM_HTTP_CONFLICT);
    case IDEM_HELD:
        return idem__refuse(exchange, decision, IDEM_HTTP_UNKNOWN);
    default:
        exchange->stage = STAGE_RUNNING;
        exchange->has_claim = true;
        exchange->ran_ms = idem__monotonic_ms();
        return idem__decide_as(exchange, decision, IDEM_HTTP_RUN,
                               outcome == IDEM_CLAIMED ? IDEM_HTTP_FIRST : IDEM_HTTP_AGAIN);
    }
}

int idem_http_decide(idem_http_exchange *exchange, struct idem_http_decision *decision)
{
    if (!exchange || !idem__decision_ok(decision) ||
        (exchange->stage != STAGE_BODY && exchange->stage != STAGE_WAITING)) {
        return IDEM_EINVAL;
    }
    if (exchange->stage == STAGE_BODY && exchange->began_ms < 0) {
        if (exchange->content_length >= 0 && exchange->content_length != exchange->body_bytes) {
            exchange->wrong = "has not as many bytes of body as its Content-Length says";
            return idem__refuse(exchange, decision, IDEM_HTTP_BAD_REQUEST);
        }
        const int status = end_digest(exchange);
        if (status) {
            return status;
        }
        exchange->began_ms = idem__monotonic_ms();
    }
    return claim(exchange, 0, decision);
}

int idem_http_wait(idem_http_exchange *exchange, int64_t timeout_ms,
                   struct idem_http_decision *decision)
{
    if (!exchange || exchange->stage != STAGE_WAITING || !idem__decision_ok(decision) ||
        timeout_ms < 0) {
        return IDEM_EINVAL;
    }
    const int64_t left_ms = exchange->policy->wait_ms - (idem__monotonic_ms() - exchange->began_ms);
    const int64_t wait_ms = left_ms < timeout_ms ? left_ms : timeout_ms;
    return claim(exchange, wait_ms > 0 ? wait_ms : 0, decision);
}
