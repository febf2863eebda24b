/* decision.c - filling what the caller is told. */
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "http/exchange.h"

#define MS_PER_S 1000
#define NS_PER_MS 1000000
#define PID_SHIFT 32
#define COUNT_MASK UINT32_MAX

void idem_http_decision_init(struct idem_http_decision *decision, size_t size)
{
    if (decision && size >= sizeof(decision->size)) {
        memset(decision, 0, size);
        decision->size = (uint32_t)size;
    }
}

const char *idem_http_action_name(int action)
{
    static const char *const names[] = {"?",      "PASS",   "NEED_BODY", "RUN",    "WAIT",
                                        "REPLAY", "REJECT", "BUFFER",    "STREAM", "SEND"};
    const bool known = action > 0 && (size_t)action < sizeof(names) / sizeof(*names);
    return names[known ? action : 0];
}

const char *idem_http_reason_name(int reason)
{
    static const char *const names[] = {
        "NO_REASON",   "NOT_APPLICABLE", "NO_KEY",    "BAD_KEY", "NO_PRINCIPAL",
        "BAD_REQUEST", "TOO_LARGE",      "FIRST",     "AGAIN",   "RECORDED",
        "NOT_KEPT",    "CONFLICT",       "IN_FLIGHT", "UNKNOWN", "STORE_FAILED",
        "KEPT",        "KEPT_WITHOUT",   "RELEASED",  "LOST"};
    const bool known = reason > 0 && (size_t)reason < sizeof(names) / sizeof(*names);
    return names[known ? reason : 0];
}

bool idem__decision_ok(const struct idem_http_decision *decision)
{
    return decision && decision->size >= sizeof(*decision);
}

void idem__decide_alone(struct idem_http_decision *decision, enum idem_http_action action,
                        enum idem_http_reason reason, const struct idem__policy *policy)
{
    const uint32_t size = decision->size;
    *decision = (struct idem_http_decision){.size = size,
                                            .action = (int32_t)action,
                                            .reason = (int32_t)reason,
                                            .profile = policy->profile,
                                            .route = policy->route,
                                            .fields = "",
                                            .body = "",
                                            .key = "",
                                            .key_hash = "",
                                            .detail = ""};
}

int idem__decide_as(struct idem_http_exchange *exchange, struct idem_http_decision *decision,
                    enum idem_http_action action, enum idem_http_reason reason)
{
    const struct idem_claim *claim = &exchange->claim;
    idem__decide_alone(decision, action, reason, exchange->policy);
    decision->outcome = claim->outcome;
    decision->attempt = claim->record.attempt;
    decision->id = claim->record.id;
    decision->expires_in_ms = claim->record.expires_in_ms;
    decision->strip = exchange->strip;
    decision->key_hash = exchange->key_hash;
    decision->key = exchange->key.at ? exchange->key.at : "";
    decision->key_len = exchange->key.len;
    if (exchange->fields.len) {
        decision->fields = exchange->fields.at;
        decision->fields_len = exchange->fields.len;
    }
    if (exchange->detail.len) {
        decision->detail = idem__buffer_text(&exchange->detail);
    }
    if (exchange->key.failed || exchange->name.failed || exchange->fields.failed ||
        exchange->text.failed) { /* without its detail a decision is one, too */
        errno = ENOMEM;
        return IDEM_ESYS;
    }
    return IDEM_OK;
}

void idem__add_retention(struct idem_http_exchange *exchange, int64_t left_ms)
{
    if (exchange->policy->retention_header && left_ms != IDEM_FOREVER) {
        idem__buffer_add_text(&exchange->fields, exchange->policy->retention_header);
        idem__buffer_format(&exchange->fields, ": %lld\r\n",
                            (long long)(left_ms < 0 ? 0 : left_ms / MS_PER_S));
    }
}

int64_t idem__monotonic_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * MS_PER_S + now.tv_nsec / NS_PER_MS;
}

bool idem__waiter_enter(struct idem_http_exchange *exchange)
{
    _Atomic uint64_t *waiters = &exchange->http->waiters;
    const pid_t process = getpid();
    const uint64_t own = (uint64_t)process << PID_SHIFT;
    if (exchange->waits_in == process) {
        return true;
    }
    /* Relaxed, here and below: the number orders nothing. */
    uint64_t seen = atomic_load_explicit(waiters, memory_order_relaxed);
    uint64_t count;
    do {
        count = (seen & ~(uint64_t)COUNT_MASK) == own ? seen & COUNT_MASK : 0;
        if (count >= (uint64_t)exchange->policy->max_waiters) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(waiters, &seen, own | (count + 1),
                                                    memory_order_relaxed, memory_order_relaxed));
    exchange->waits_in = process;
    return true;
}

void idem__waiter_leave(struct idem_http_exchange *exchange)
{
    /* A child's copy of a parent's exchange is counted by the parent alone. */
    if (exchange->waits_in && exchange->waits_in == getpid()) {
        (void)atomic_fetch_sub_explicit(&exchange->http->waiters, 1, memory_order_relaxed);
    }
    exchange->waits_in = 0;
}
