/* Calls that are wrong: refused with IDEM_EINVAL, and nothing changed. */
#include "http.h"

#define KEY "Idempotency-Key: k1\r\n"
static const char config[] = "{\"principal\": \"@caller\", \"wait\": 3600}";

static struct idem_http_decision fresh(void)
{
    struct idem_http_decision decision;
    memset(&decision, 0xa5, sizeof(decision));
    idem_http_decision_init(&decision, sizeof(decision));
    return decision;
}

static void a_decision_starts_empty(void)
{
    const struct idem_http_decision decision = fresh();
    const unsigned char *bytes = (const unsigned char *)&decision;
    CHECK_INT(decision.size, sizeof(decision));
    for (size_t i = sizeof(decision.size); i < sizeof(decision); i++) {
        CHECK_INT(bytes[i], 0);
    }
    /* Of an older header, or none at all: as much as there is. */
    unsigned char small[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    idem_http_decision_init((void *)small, 6);
    CHECK_INT(small[0], 6);
    CHECK(small[5] == 0 && small[6] == 1);
    idem_http_decision_init((void *)small, 3);
    CHECK_INT(small[0], 6);
    idem_http_decision_init(NULL, sizeof(decision));
}

static void each_number_has_its_name(void)
{
    CHECK_INT(strcmp(idem_http_action_name(IDEM_HTTP_PASS), "PASS"), 0);
    CHECK_INT(strcmp(idem_http_action_name(IDEM_HTTP_SEND), "SEND"), 0);
    CHECK_INT(strcmp(idem_http_reason_name(IDEM_HTTP_NO_REASON), "NO_REASON"), 0);
    CHECK_INT(strcmp(idem_http_reason_name(IDEM_HTTP_LOST), "LOST"), 0);
    static const int none[] = {-1, 0, IDEM_HTTP_SEND + 1, INT32_MAX, INT32_MIN};
    for (int i = 0; i < 5; i++) {
        CHECK_INT(strcmp(idem_http_action_name(none[i]), "?"), 0);
    }
    for (int action = IDEM_HTTP_PASS; action <= IDEM_HTTP_SEND; action++) {
        for (int other = IDEM_HTTP_PASS; other < action; other++) {
            CHECK(strcmp(idem_http_action_name(action), idem_http_action_name(other)) != 0);
        }
    }
    for (int reason = IDEM_HTTP_NO_REASON; reason <= IDEM_HTTP_LOST; reason++) {
        for (int other = IDEM_HTTP_NO_REASON; other < reason; other++) {
            CHECK(strcmp(idem_http_reason_name(reason), idem_http_reason_name(other)) != 0);
        }
    }
    CHECK_INT(strcmp(idem_http_reason_name(-1), idem_http_reason_name(INT32_MAX)), 0);
}

#define REFUSED(call)                                             \
    do {                                                          \
        CHECK_INT(call, IDEM_EINVAL);                             \
        CHECK(memcmp(&decision, &before, sizeof(decision)) == 0); \
    } while (0)

static void a_wrong_begin_is_refused(void)
{
    idem_http *http = http_new(config);
    struct idem_http_decision decision = fresh();
    const struct idem_http_decision before = decision;
    idem_http_exchange *exchange;
#define BEGIN(http, method, path, query, query_len, fields, fields_len, who, who_len, out,        \
              decision)                                                                           \
    idem_http_begin(http, method, 4, path, 1, query, query_len, fields, fields_len, who, who_len, \
                    out, decision)
    REFUSED(BEGIN(NULL, "POST", "/", "", 0, "", 0, "a", 1, &exchange, &decision));
    REFUSED(BEGIN(http, NULL, "/", "", 0, "", 0, "a", 1, &exchange, &decision));
    REFUSED(BEGIN(http, "POST", NULL, "", 0, "", 0, "a", 1, &exchange, &decision));
    REFUSED(BEGIN(http, "POST", "/", NULL, 1, "", 0, "a", 1, &exchange, &decision));
    REFUSED(BEGIN(http, "POST", "/", "", 0, NULL, 1, "a", 1, &exchange, &decision));
    REFUSED(BEGIN(http, "POST", "/", "", 0, "", 0, NULL, 1, &exchange, &decision));
    REFUSED(BEGIN(http, "POST", "/", "", 0, "", 0, "a", 1, NULL, &decision));
    REFUSED(BEGIN(http, "POST", "/", "", 0, "", 0, "a", 1, &exchange, NULL));
    decision.size--;
    CHECK_INT(BEGIN(http, "POST", "/", "", 0, "", 0, "a", 1, &exchange, &decision), IDEM_EINVAL);
    decision.size++;
    /* NULL where there is nothing is right. */
    CHECK_INT(
        BEGIN(http, "POST", "/", NULL, 0, NULL, 0, NULL, IDEM_HTTP_NO_ONE, &exchange, &decision),
        IDEM_OK);
    CHECK_INT(decision.reason, IDEM_HTTP_NO_KEY);
    CHECK(exchange == NULL);
    http_end(http);
}

/* Each call in each stage, and with what it must not be given. */
static void check_calls(idem_http_exchange *exchange, bool body, bool decide, bool wait,
                        bool response, bool data)
{
    struct idem_http_decision decision = fresh();
    const struct idem_http_decision before = decision;
    REFUSED(idem_http_body(NULL, "", 0, &decision));
    REFUSED(idem_http_decide(NULL, &decision));
    REFUSED(idem_http_wait(NULL, 0, &decision));
    REFUSED(idem_http_response(NULL, 200, "", 0, 0, &decision));
    REFUSED(idem_http_data(NULL, "", 0, &decision));
    REFUSED(idem_http_finish(NULL, &decision));
    REFUSED(idem_http_body(exchange, body ? NULL : "", body ? 1 : 0, &decision));
    REFUSED(idem_http_body(exchange, "", 0, NULL));
    REFUSED(idem_http_decide(decide ? NULL : exchange, &decision));
    REFUSED(idem_http_decide(exchange, NULL));
    REFUSED(idem_http_wait(exchange, wait ? -1 : 0, &decision));
    REFUSED(idem_http_wait(exchange, 0, NULL));
    REFUSED(
        idem_http_response(exchange, 200, response ? NULL : "", response ? 1 : 0, 0, &decision));
    REFUSED(idem_http_response(exchange, 199, "", 0, 0, &decision));
    REFUSED(idem_http_response(exchange, 600, "", 0, 0, &decision));
    REFUSED(idem_http_response(exchange, 200, "A", 1, 0, &decision));
    REFUSED(idem_http_response(exchange, 200, "", 0, 0, NULL));
    REFUSED(idem_http_data(exchange, data ? NULL : "", data ? 1 : 0, &decision));
    REFUSED(idem_http_data(exchange, "", 0, NULL));
    REFUSED(idem_http_finish(data ? NULL : exchange, &decision));
    REFUSED(idem_http_finish(exchange, NULL));
    decision.size = sizeof(decision) - 1;
    CHECK_INT(idem_http_body(exchange, "", 0, &decision), IDEM_EINVAL);
    CHECK_INT(idem_http_decide(exchange, &decision), IDEM_EINVAL);
    CHECK_INT(idem_http_wait(exchange, 0, &decision), IDEM_EINVAL);
    CHECK_INT(idem_http_response(exchange, 200, "", 0, 0, &decision), IDEM_EINVAL);
    CHECK_INT(idem_http_data(exchange, "", 0, &decision), IDEM_EINVAL);
    CHECK_INT(idem_http_finish(exchange, &decision), IDEM_EINVAL);
}

static void calls_out_of_turn_change_nothing(void)
{
    idem_http *http = http_new(config);
    struct http_call call = {.fields = KEY, .body = "x", .principal = "a"}, waiter = call,
                     same = call;
    CHECK_INT(http_begin(http, &call), IDEM_HTTP_NEED_BODY);
    check_calls(call.exchange, true, true, false, false, false);
    CHECK_INT(idem_http_body(call.exchange, "x", 1, &call.decision), IDEM_OK);
    check_calls(call.exchange, true, true, false, false, false);
    CHECK_INT(idem_http_decide(call.exchange, &call.decision), IDEM_OK);
    CHECK_INT(call.decision.action, IDEM_HTTP_RUN);
    check_calls(call.exchange, false, false, false, true, false);
    CHECK_INT(http_ask(http, &waiter), IDEM_HTTP_WAIT);
    check_calls(waiter.exchange, false, true, true, false, false);
    CHECK_INT(idem_http_response(call.exchange, 200, "", 0, 0, &call.decision), IDEM_OK);
    check_calls(call.exchange, false, false, false, false, true);
    CHECK_INT(idem_http_data(call.exchange, "made", 4, &call.decision), IDEM_OK);
    check_calls(call.exchange, false, false, false, false, true);
    CHECK_INT(idem_http_finish(call.exchange, &call.decision), IDEM_OK);
    CHECK_INT(call.decision.reason, IDEM_HTTP_KEPT);
    check_calls(call.exchange, false, false, false, false, false);
    CHECK_INT(idem_http_wait(waiter.exchange, 0, &waiter.decision), IDEM_OK);
    CHECK_BYTES(waiter.decision.body, waiter.decision.body_len, "made");
    check_calls(waiter.exchange, false, false, false, false, false);
    CHECK_INT(http_ask(http, &same), IDEM_HTTP_REPLAY);
    CHECK_BYTES(same.decision.body, same.decision.body_len, "made");
    CHECK(idem_http_claim(NULL) == NULL);
    idem_http_free(NULL);
    http_free(&call);
    http_free(&waiter);
    http_free(&same);
    http_end(http);
}

/* A caller of a newer header has a larger struct: what is not known here stays as it was. */
static void a_larger_decision_is_filled(void)
{
    struct {
        struct idem_http_decision decision;
        uint64_t newer;
    } larger;
    idem_http *http = http_new(config);
    idem_http_exchange *exchange;
    idem_http_decision_init(&larger.decision, sizeof(larger));
    CHECK_INT(larger.newer, 0);
    larger.newer = 42;
    CHECK_INT(idem_http_begin(http, "POST", 4, "/", 1, NULL, 0, KEY, strlen(KEY), "a", 1, &exchange,
                              &larger.decision),
              IDEM_OK);
    CHECK_INT(larger.decision.action, IDEM_HTTP_NEED_BODY);
    CHECK_INT(larger.decision.size, sizeof(larger));
    CHECK_INT(larger.newer, 42);
    idem_http_free(exchange);
    http_end(http);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_decision_starts_empty),
                                    TEST(each_number_has_its_name),
                                    TEST(a_wrong_begin_is_refused),
                                    TEST(calls_out_of_turn_change_nothing),
                                    TEST(a_larger_decision_is_filled),
                                    {0}});
}
