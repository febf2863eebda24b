/*
 * glue_http.h - the few lines of C between cffi and the HTTP engine; glue_http_decl.h says why.
 * Included once, after glue.h, by the generated source of idemkey._core.
 */
#include <http/idemkey_http.h>

#include "glue_http_decl.h"

_Static_assert((int)IDEM_HTTP_LOST < (int)IDEM__PY_HTTP_ABANDONED, "a reason beside the engine's");
_Static_assert((int)IDEM__PY_HTTP_REASONS ==
                   sizeof(((struct idem__py_counts *)0)->reasons) / sizeof(uint64_t),
               "cffi reads no constant in an array's length");

/* Adds one, from any thread. */
static int counted(struct idem__py_exchange *begun, int reason)
{
    if (begun->counts->profile != NULL) /* relaxed: it orders nothing */
        (void)__atomic_fetch_add(&begun->counts->reasons[reason], 1, __ATOMIC_RELAXED);
    return reason << IDEM__PY_HTTP_REASON_SHIFT | IDEM__PY_HTTP_TOLD;
}

/* What the calls that decide return: what ends the asking is counted, and what ends the claim. */
static int decided(struct idem__py_exchange *begun, int status)
{
    const struct idem_http_decision *decision = &begun->decision;
    int code;

    if (status != IDEM_OK)
        return status;
    code = decision->action | decision->reason << IDEM__PY_HTTP_REASON_SHIFT |
           decision->status << IDEM__PY_HTTP_STATUS_SHIFT;
    switch (decision->action) {
    case IDEM_HTTP_WAIT: /* once, and not at every look */
        if (begun->waits)
            return code;
        begun->waits = 1;
        return code | counted(begun, decision->reason);
    case IDEM_HTTP_STREAM:
    case IDEM_HTTP_SEND:
        if (decision->strip || decision->fields_len > 0)
            code |= IDEM__PY_HTTP_CHANGED;
        if (!begun->running || decision->reason == IDEM_HTTP_NO_REASON)
            return code;
        begun->running = 0;
        return code | counted(begun, decision->reason);
    case IDEM_HTTP_RUN:
    case IDEM_HTTP_PASS:
    case IDEM_HTTP_REPLAY:
    case IDEM_HTTP_REJECT:
        begun->running = decision->action == IDEM_HTTP_RUN;
        return code | counted(begun, decision->reason);
    default:
        return code;
    }
}

static int idem__py_http_begin(idem_http *http, struct idem__py_counts *counts,
                               struct idem__py_exchange *begun, const char *request,
                               size_t method_len, size_t path_len, size_t query_len,
                               size_t fields_len, const char *principal, int64_t principal_len)
{
    const char *path = request + method_len, *query = path + path_len, *fields = query + query_len;
    int status;

    begun->running = begun->waits = 0;
    idem_http_decision_init(&begun->decision, sizeof begun->decision);
    status =
        idem_http_begin(http, request, method_len, path, path_len, query, query_len, fields,
                        fields_len, principal, principal_len, &begun->exchange, &begun->decision);
    while (status == IDEM_OK && counts->profile != NULL &&
           strcmp(counts->profile, begun->decision.profile) != 0)
        counts++;
    begun->counts = counts;
    return decided(begun, status);
}

static int idem__py_http_body(struct idem__py_exchange *begun, const char *piece, size_t len)
{
    return decided(begun, idem_http_body(begun->exchange, piece, len, &begun->decision));
}

static int idem__py_http_decide(struct idem__py_exchange *begun, const char *body, size_t len)
{
    if (len > 0) {
        int status = idem_http_body(begun->exchange, body, len, &begun->decision);

        if (status != IDEM_OK || begun->decision.action != IDEM_HTTP_NEED_BODY)
            return decided(begun, status);
    }
    return decided(begun, idem_http_decide(begun->exchange, &begun->decision));
}

static int idem__py_http_wait(struct idem__py_exchange *begun, int64_t timeout_ms)
{
    return decided(begun, idem_http_wait(begun->exchange, timeout_ms, &begun->decision));
}

static int idem__py_http_response(struct idem__py_exchange *begun, int32_t status,
                                  const char *fields, size_t fields_len, int32_t unrouted)
{
    return decided(begun, idem_http_response(begun->exchange, status, fields, fields_len, unrouted,
                                             &begun->decision));
}

static int idem__py_http_data(struct idem__py_exchange *begun, const char *piece, size_t len)
{
    return decided(begun, idem_http_data(begun->exchange, piece, len, &begun->decision));
}

static int idem__py_http_finish(struct idem__py_exchange *begun)
{
    return decided(begun, idem_http_finish(begun->exchange, &begun->decision));
}

static int idem__py_http_respond(struct idem__py_exchange *begun, int32_t status,
                                 const char *fields, size_t fields_len, int32_t unrouted,
                                 const char *body, size_t len)
{
    idem_http_exchange *exchange = begun->exchange;
    struct idem_http_decision *decision = &begun->decision;
    int result = idem_http_response(exchange, status, fields, fields_len, unrouted, decision);

    if (result == IDEM_OK)
        result = idem_http_data(exchange, body, len, decision);
    if (result == IDEM_OK)
        result = idem_http_finish(exchange, decision);
    return decided(begun, result);
}

static int idem__py_http_abort(struct idem__py_exchange *begun, int32_t how)
{
    int status = idem_http_abort(begun->exchange, how);

    if (status == IDEM_OK && begun->running)
        status = counted(begun, how == IDEM_HTTP_RELEASE ? IDEM_HTTP_RELEASED
                                                         : IDEM__PY_HTTP_ABANDONED);
    begun->running = 0;
    return status;
}

static void idem__py_http_free(struct idem__py_exchange *begun)
{
    struct idem_http_decision *decision = &begun->decision;

    idem_http_free(begun->exchange);
    begun->exchange = NULL;
    decision->fields = decision->body = decision->key = decision->key_hash = decision->detail = "";
    decision->fields_len = decision->body_len = decision->key_len = 0;
}
