/* http.h - what the tests of the HTTP engine use beside store.h: an engine, an exchange, expectations. */
#ifndef IDEM_TEST_HTTP_H
#define IDEM_TEST_HTTP_H

#include "http/idemkey_http.h"
#include "store.h"

/* An engine on a store of its own, by a configuration that must be good. */
static idem_store *http_store;
static inline idem_http *http_new(const char *config)
{
    char err[512];
    idem_http *http;
    if (http_store == NULL) {
        http_store = store_open();
    }
    if (idem_http_new(http_store, config, strlen(config), &http, err, sizeof(err)) != IDEM_OK) {
        TEST_FAIL("%s is refused: %s", config, err);
    }
    return http;
}

static inline void http_end(idem_http *http)
{
    idem_http_delete(http);
    store_end(http_store);
    http_store = NULL;
    unlink(test_path);
}

/* One request, and the last decision about it. Its fields are lines that end in "\r\n". */
struct http_call {
    const char *method, *path, *query, *fields, *body, *principal;
    idem_http_exchange *exchange;
    struct idem_http_decision decision;
};

static inline int http_begin(idem_http *http, struct http_call *call)
{
    const char *method = call->method ? call->method : "POST";
    const char *path = call->path ? call->path : "/v1/payouts";
    const char *query = call->query ? call->query : "";
    const char *fields = call->fields ? call->fields : "";
    idem_http_decision_init(&call->decision, sizeof(call->decision));
    CHECK_INT(idem_http_begin(http, method, strlen(method), path, strlen(path), query,
                              strlen(query), fields, strlen(fields), call->principal,
                              call->principal ? (int64_t)strlen(call->principal) : IDEM_HTTP_NO_ONE,
                              &call->exchange, &call->decision),
              IDEM_OK);
    return call->decision.action;
}

/* Begins, gives the body and decides: the action. */
static inline int http_ask(idem_http *http, struct http_call *call)
{
    if (http_begin(http, call) != IDEM_HTTP_NEED_BODY) {
        return call->decision.action;
    }
    const char *body = call->body ? call->body : "";
    CHECK_INT(idem_http_body(call->exchange, body, strlen(body), &call->decision), IDEM_OK);
    if (call->decision.action == IDEM_HTTP_NEED_BODY) {
        CHECK_INT(idem_http_decide(call->exchange, &call->decision), IDEM_OK);
    }
    return call->decision.action;
}

/* Gives a whole response and finishes: the reason. */
static inline int http_answer(struct http_call *call, int status, const char *fields,
                              const char *body)
{
    CHECK_INT(
        idem_http_response(call->exchange, status, fields, strlen(fields), 0, &call->decision),
        IDEM_OK);
    CHECK_INT(call->decision.action, IDEM_HTTP_BUFFER);
    CHECK_INT(idem_http_data(call->exchange, body, strlen(body), &call->decision), IDEM_OK);
    CHECK_INT(idem_http_finish(call->exchange, &call->decision), IDEM_OK);
    CHECK_INT(call->decision.action, IDEM_HTTP_SEND);
    return call->decision.reason;
}

static inline void http_free(struct http_call *call)
{
    idem_http_free(call->exchange);
    call->exchange = NULL;
}

#define CHECK_BYTES(got, got_len, expected)                                    \
    do {                                                                       \
        if (!has_bytes(got, got_len, expected)) {                              \
            TEST_FAIL("%s is \"%.*s\", expected \"%s\"", #got, (int)(got_len), \
                      (const char *)(got), expected);                          \
        }                                                                      \
    } while (0)

/* Do the decision's fields have this line? */
static inline bool http_line_in(const struct idem_http_decision *decision, const char *line)
{
    char want[300];
    snprintf(want, sizeof(want), "%s\r\n", line);
    return decision->fields_len > 0 &&
           memmem(decision->fields, decision->fields_len, want, strlen(want)) != NULL;
}
static inline bool http_has_line(const struct http_call *call, const char *line)
{
    return http_line_in(&call->decision, line);
}

#endif
