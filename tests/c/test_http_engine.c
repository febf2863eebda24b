/* The HTTP engine from request to replay. */
#include "http.h"

#define KEY "Idempotency-Key: k1\r\n"
#define WHO "Authorization: Bearer a\r\n"
#define CONFIG(more) "{\"profile\": \"ietf\", \"principal\": \"Authorization\"" more "}"

static void a_request_runs_once_and_is_replayed(void)
{
    idem_http *http = http_new(CONFIG(", \"replay_marker\": \"Idempotent-Replayed\""));
    struct http_call first = {.fields = KEY WHO, .body = "{}"}, second = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(first.decision.reason, IDEM_HTTP_FIRST);
    CHECK(idem_http_claim(first.exchange) != NULL);
    CHECK_INT(http_answer(&first, 201,
                          "Content-Type: text/plain\r\nSet-Cookie: a=b\r\nX-A: 1\r\nX-A: 2\r\n",
                          "made"),
              IDEM_HTTP_KEPT);
    CHECK_INT(first.decision.fields_len, 0);
    CHECK_INT(http_ask(http, &second), IDEM_HTTP_REPLAY);
    CHECK_INT(second.decision.status, 201);
    CHECK_BYTES(second.decision.fields, second.decision.fields_len,
                "Content-Type: text/plain\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\n"
                "Cache-Control: no-store\r\nIdempotent-Replayed: true\r\n");
    CHECK_BYTES(second.decision.body, second.decision.body_len, "made");
    CHECK(second.decision.id == first.decision.id);
    http_free(&first);
    http_free(&second);
    http_end(http);
}

static void another_payload_is_refused_before_busy(void)
{
    idem_http *http = http_new(CONFIG(""));
    struct http_call first = {.fields = KEY WHO, .body = "{}"};
    struct http_call other = {.fields = KEY WHO, .body = "[]"};
    struct http_call query = {.fields = KEY WHO, .body = "{}", .query = "a=1"};
    struct http_call same = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(http_ask(http, &other), IDEM_HTTP_REJECT);
    CHECK_INT(other.decision.status, 422);
    CHECK_INT(other.decision.reason, IDEM_HTTP_CONFLICT);
    CHECK_INT(http_ask(http, &query), IDEM_HTTP_REJECT);
    CHECK_INT(query.decision.reason, IDEM_HTTP_CONFLICT);
    CHECK_INT(http_ask(http, &same), IDEM_HTTP_REJECT);
    CHECK_INT(same.decision.status, 409);
    CHECK_INT(same.decision.reason, IDEM_HTTP_IN_FLIGHT);
    CHECK(http_has_line(&same, "Retry-After: 1"));
    http_free(&first); /* abandoned: the next may run again */
    http_free(&same);
    CHECK_INT(http_ask(http, &same), IDEM_HTTP_RUN);
    CHECK_INT(same.decision.reason, IDEM_HTTP_AGAIN);
    CHECK_INT(same.decision.attempt, 2);
    http_free(&other);
    http_free(&query);
    http_free(&same);
    http_end(http);
}

static void callers_do_not_meet(void)
{
    idem_http *http = http_new(CONFIG(""));
    static const char *const callers[] = {
        KEY "Authorization: Bearer a\r\n",
        KEY "Authorization: Bearer b\r\n",
        KEY "Authorization: Basic YWxpY2U6b2xk\r\n", /* alice:old */
        KEY "authorization: bearer\r\n",
    };
    for (size_t i = 0; i < sizeof(callers) / sizeof(*callers); i++) {
        struct http_call call = {.fields = callers[i]};
        CHECK_INT(http_ask(http, &call), IDEM_HTTP_RUN);
        CHECK_INT(http_answer(&call, 200, "", callers[i]), IDEM_HTTP_KEPT);
        http_free(&call);
    }
    for (size_t i = 0; i < sizeof(callers) / sizeof(*callers); i++) {
        struct http_call call = {.fields = callers[i]};
        CHECK_INT(http_ask(http, &call), IDEM_HTTP_REPLAY);
        CHECK_BYTES(call.decision.body, call.decision.body_len, callers[i]);
        http_free(&call);
    }
    /* Of Basic credentials the user counts: a new secret keeps its keys. */
    struct http_call rotated = {.fields = KEY "Authorization: basic YWxpY2U6bmV3\r\n"};
    CHECK_INT(http_ask(http, &rotated), IDEM_HTTP_REPLAY);
    CHECK_BYTES(rotated.decision.body, rotated.decision.body_len, callers[2]);
    http_free(&rotated);
    struct http_call nobody = {.fields = KEY};
    CHECK_INT(http_ask(http, &nobody), IDEM_HTTP_REJECT);
    CHECK_INT(nobody.decision.reason, IDEM_HTTP_NO_PRINCIPAL);
    http_free(&nobody);
    http_end(http);
}

static void what_decides_nothing_is_given_back(void)
{
    static const struct {
        int status;
        const char *fields;
        int reason;
    } cases[] = {
        {200, "", IDEM_HTTP_KEPT},
        {400, "", IDEM_HTTP_KEPT},
        {404, "", IDEM_HTTP_KEPT},
        {500, "", IDEM_HTTP_RELEASED},
        {429, "", IDEM_HTTP_RELEASED},
        {401, "", IDEM_HTTP_RELEASED},
        {200, "X-Idemkey-Keep: no\r\n", IDEM_HTTP_RELEASED},
        {503, "x-idemkey-keep: yes\r\n", IDEM_HTTP_KEPT},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        idem_http *http = http_new(CONFIG(""));
        struct http_call call = {.fields = KEY WHO}, again = call;
        CHECK_INT(http_ask(http, &call), IDEM_HTTP_RUN);
        CHECK_INT(http_answer(&call, cases[i].status, cases[i].fields, "x"), cases[i].reason);
        CHECK_INT(call.decision.strip, cases[i].fields[0] != '\0');
        CHECK_INT(http_ask(http, &again),
                  cases[i].reason == IDEM_HTTP_KEPT ? IDEM_HTTP_REPLAY : IDEM_HTTP_RUN);
        CHECK(!http_has_line(&again, "X-Idemkey-Keep: yes"));
        http_free(&call);
        http_free(&again);
        http_end(http);
    }
}

static void a_duplicate_waits_and_is_replayed(void)
{
    idem_http *http = http_new(CONFIG(", \"wait\": 3600, \"max_waiters\": 1"));
    struct http_call first = {.fields = KEY WHO}, second = first, third = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(http_ask(http, &second), IDEM_HTTP_WAIT);
    CHECK(second.decision.retry_after_ms > 0);
    CHECK_INT(http_ask(http, &third), IDEM_HTTP_REJECT); /* one waits already */
    CHECK_INT(third.decision.reason, IDEM_HTTP_IN_FLIGHT);
    CHECK_INT(idem_http_wait(second.exchange, 1, &second.decision), IDEM_OK);
    CHECK_INT(second.decision.action, IDEM_HTTP_WAIT);
    CHECK_INT(http_answer(&first, 200, "", "done"), IDEM_HTTP_KEPT);
    CHECK_INT(idem_http_wait(second.exchange, 3600000, &second.decision), IDEM_OK);
    CHECK_INT(second.decision.action, IDEM_HTTP_REPLAY);
    CHECK_BYTES(second.decision.body, second.decision.body_len, "done");
    http_free(&first);
    http_free(&second);
    http_free(&third);
    http_end(http);
}

static void a_large_response_is_done_before_it_streams(void)
{
    idem_http *http = http_new(CONFIG(", \"max_response\": 10"));
    struct http_call first = {.fields = KEY WHO}, second = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(idem_http_response(first.exchange, 200, "", 0, 0, &first.decision), IDEM_OK);
    CHECK_INT(idem_http_data(first.exchange, "0123456789", 10, &first.decision), IDEM_OK);
    CHECK_INT(first.decision.action, IDEM_HTTP_BUFFER);
    CHECK_INT(idem_http_data(first.exchange, "!", 1, &first.decision), IDEM_OK);
    CHECK_INT(first.decision.action, IDEM_HTTP_STREAM);
    CHECK_INT(first.decision.reason, IDEM_HTTP_KEPT_WITHOUT);
    CHECK(http_has_line(&first, "Idempotency-Stored: false"));
    CHECK_INT(http_ask(http, &second), IDEM_HTTP_REJECT);
    CHECK_INT(second.decision.status, 409);
    CHECK_INT(second.decision.reason, IDEM_HTTP_NOT_KEPT);
    CHECK_INT(idem_http_data(first.exchange, "more", 4, &first.decision), IDEM_OK);
    CHECK_INT(idem_http_finish(first.exchange, &first.decision), IDEM_OK);
    http_free(&first);
    http_free(&second);
    http_end(http);
}

static void bodies_are_judged(void)
{
    idem_http *http = http_new(CONFIG(", \"max_request\": 4"));
    struct http_call large = {.fields = KEY WHO, .body = "12345"};
    CHECK_INT(http_ask(http, &large), IDEM_HTTP_REJECT);
    CHECK_INT(large.decision.status, 413);
    http_free(&large);
    struct http_call told = {.fields = KEY WHO "Content-Length: 5\r\n"};
    CHECK_INT(http_begin(http, &told), IDEM_HTTP_REJECT);
    CHECK_INT(told.decision.status, 413);
    http_free(&told);
    struct http_call cut = {.fields = KEY WHO "Content-Length: 4\r\n", .body = "123"};
    CHECK_INT(http_ask(http, &cut), IDEM_HTTP_REJECT);
    CHECK_INT(cut.decision.status, 400);
    http_free(&cut);
    struct http_call good = {.fields = KEY WHO "Content-Length: 4\r\n", .body = "1234"};
    CHECK_INT(http_ask(http, &good), IDEM_HTTP_RUN);
    http_free(&good);
    http_end(http);
}

static void json_counts_by_its_meaning(void)
{
    idem_http *http = http_new(CONFIG(", \"canonical\": \"json\""));
    const char *json = KEY WHO "Content-Type: application/json; charset=utf-8\r\n";
    struct http_call first = {.fields = json, .body = "{\"a\": 1, \"b\": [1.0, \"\\u00e9\"]}"};
    struct http_call same = {.fields = json, .body = "{\"b\":[1,\"\xc3\xa9\"],\"a\":1e0}"};
    struct http_call other = {.fields = json, .body = "{\"b\":[1,\"\xc3\xa9\"],\"a\":2}"};
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(http_answer(&first, 200, "", ""), IDEM_HTTP_KEPT);
    CHECK_INT(http_ask(http, &same), IDEM_HTTP_REPLAY);
    CHECK_INT(http_ask(http, &other), IDEM_HTTP_REJECT);
    http_free(&first);
    http_free(&same);
    http_free(&other);
    http_end(http);
}

static void calls_that_are_not_due_are_refused(void)
{
    idem_http *http = http_new(CONFIG(""));
    struct http_call call = {.fields = KEY WHO};
    CHECK_INT(http_begin(http, &call), IDEM_HTTP_NEED_BODY);
    CHECK_INT(idem_http_response(call.exchange, 200, "", 0, 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_data(call.exchange, "", 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_finish(call.exchange, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_wait(call.exchange, 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_decide(call.exchange, &call.decision), IDEM_OK);
    CHECK_INT(idem_http_body(call.exchange, "", 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_response(call.exchange, 99, "", 0, 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_response(call.exchange, 200, "bad", 3, 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(http_answer(&call, 200, "", ""), IDEM_HTTP_KEPT);
    CHECK_INT(idem_http_finish(call.exchange, &call.decision), IDEM_EINVAL);
    http_free(&call);
    http_end(http);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_request_runs_once_and_is_replayed),
                                    TEST(another_payload_is_refused_before_busy),
                                    TEST(callers_do_not_meet),
                                    TEST(what_decides_nothing_is_given_back),
                                    TEST(a_duplicate_waits_and_is_replayed),
                                    TEST(a_large_response_is_done_before_it_streams),
                                    TEST(bodies_are_judged),
                                    TEST(json_counts_by_its_meaning),
                                    TEST(calls_that_are_not_due_are_refused),
                                    {0}});
}
