/* What a request's own fields, key and body decide, before the store is asked. */
#include "http.h"

#define KEY "Idempotency-Key: k1\r\n"
#define WHO "Authorization: Bearer a\r\n"
#define JSON "Content-Type: application/json\r\n"
#define CONFIG(more) "{\"profile\": \"ietf\", \"principal\": \"Authorization\"" more "}"

/* Asks once with these fields: the action, and the reason too. */
#define CHECK_ASKED(http, request_fields, action_, reason_)   \
    do {                                                      \
        struct http_call asked_ = {.fields = request_fields}; \
        CHECK_INT(http_ask(http, &asked_), action_);          \
        CHECK_INT(asked_.decision.reason, reason_);           \
        http_free(&asked_);                                   \
    } while (0)

static void fields_that_contradict_are_refused(void)
{
    static const char *const bad[] = {
        KEY WHO "Authorization: Bearer b\r\n",
        KEY WHO WHO,
        KEY "Authorization:\r\n" WHO,
        KEY WHO "Content-Length: 0\r\nContent-Length: 1\r\n",
        KEY WHO "Content-Length: 0, 0\r\n",
        KEY WHO "Content-Length: -1\r\n",
        KEY WHO "Content-Length: \r\n",
        KEY WHO "Content-Length: 99999999999999999999\r\n",
        KEY WHO "X: \x01\r\n",
        KEY WHO "no colon\r\n",
        KEY WHO "X: cut",
    };
    idem_http *http = http_new(CONFIG(""));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        CHECK_ASKED(http, bad[i], IDEM_HTTP_REJECT, IDEM_HTTP_BAD_REQUEST);
    }
    CHECK_ASKED(http, KEY WHO "Content-Length: 0\r\ncontent-length: 0\r\n", IDEM_HTTP_RUN,
                IDEM_HTTP_FIRST);
    struct http_call two = {.fields = KEY WHO "Content-Length: 0\r\nContent-Length: 1\r\n",
                            .body = "x"};
    CHECK_INT(http_ask(http, &two), IDEM_HTTP_REJECT);
    http_free(&two);
    /* Without a key they are the application's business. */
    CHECK_ASKED(http, WHO WHO, IDEM_HTTP_PASS, IDEM_HTTP_NO_KEY);
    CHECK_ASKED(http, WHO "Content-Length: x\r\n", IDEM_HTTP_PASS, IDEM_HTTP_NO_KEY);
    /* But nobody knows what else stands in fields that cannot be read. */
    CHECK_ASKED(http, WHO "X: cut", IDEM_HTTP_REJECT, IDEM_HTTP_BAD_REQUEST);
    http_end(http);
}

static void a_request_must_say_who_sends_it(void)
{
    idem_http *http = http_new(CONFIG(""));
    CHECK_INT(idem_http_wants_principal(http), 0);
    CHECK_ASKED(http, KEY, IDEM_HTTP_REJECT, IDEM_HTTP_NO_PRINCIPAL);
    CHECK_ASKED(http, KEY "Authorization: \t \r\n", IDEM_HTTP_REJECT, IDEM_HTTP_NO_PRINCIPAL);
    http_end(http);
    http = http_new("{\"principal\": \"@caller\"}");
    CHECK_INT(idem_http_wants_principal(http), 1);
    static const struct {
        const char *principal;
        int action;
    } cases[] = {{NULL, IDEM_HTTP_REJECT}, {"", IDEM_HTTP_REJECT}, {"a", IDEM_HTTP_RUN}};
    for (int i = 0; i < 3; i++) {
        struct http_call call = {.fields = KEY WHO, .principal = cases[i].principal};
        CHECK_INT(http_ask(http, &call), cases[i].action);
        CHECK(cases[i].action == IDEM_HTTP_RUN || call.decision.reason == IDEM_HTTP_NO_PRINCIPAL);
        http_free(&call);
    }
    http_end(http);
    http = http_new("{\"principal\": null}"); /* one space for all */
    struct http_call first = {.fields = KEY WHO}, other = {.fields = KEY};
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(http_ask(http, &other), IDEM_HTTP_REJECT);
    CHECK_INT(other.decision.reason, IDEM_HTTP_IN_FLIGHT);
    http_free(&first);
    http_free(&other);
    http_end(http);
}

static void a_principal_has_any_bytes(void)
{
    idem_http *http = http_new("{\"principal\": \"@caller\"}");
    static const struct {
        const char *at;
        int64_t len;
    } callers[] = {{"a\0b", 3}, {"a\0c", 3}, {"a", 1}, {"\0", 1}, {"\xff\xfe", 2}};
    for (int i = 0; i < 5; i++) {
        struct idem_http_decision decision;
        idem_http_exchange *exchange;
        idem_http_decision_init(&decision, sizeof(decision));
        CHECK_INT(idem_http_begin(http, "POST", 4, "/", 1, NULL, 0, KEY, strlen(KEY), callers[i].at,
                                  callers[i].len, &exchange, &decision),
                  IDEM_OK);
        CHECK_INT(idem_http_decide(exchange, &decision), IDEM_OK);
        CHECK_INT(decision.action, IDEM_HTTP_RUN);
        CHECK_INT(decision.reason, IDEM_HTTP_FIRST);
        CHECK_INT(idem_http_response(exchange, 200, NULL, 0, 0, &decision), IDEM_OK);
        CHECK_INT(idem_http_finish(exchange, &decision), IDEM_OK);
        idem_http_free(exchange);
    }
    http_end(http);
}

/* The message says which header, and what is wrong; half of a key is not shown as one. */
static void a_bad_key_is_told(void)
{
    idem_http *http =
        http_new("{\"profile\": \"nextapi-v1\", \"principal\": null, \"key_max\": 5,"
                 " \"headers\": [\"Idempotency-Key\", \"X-Key\"], \"key_rule\": \"sf\"}");
    static const struct {
        const char *fields, *message;
    } cases[] = {
        {"Idempotency-Key: abcdef\r\n", "Idempotency-Key is too long (at most 5"},
        {"X-Key: \"abc\r\n", "X-Key lacks its closing quote"},
        {"Idempotency-Key:\r\n", "Idempotency-Key is empty"},
        {"Idempotency-Key: a\r\nidempotency-key: a\r\n", "Idempotency-Key is given twice"},
        {"Idempotency-Key: a\r\nX-Key: b\r\n", "X-Key differs between"},
        {"Idempotency-Key: a\r\nX-Key: a b\r\n", "X-Key has a space"},
        {"Idempotency-Key: a b\r\nX-Key: c d\r\n", "Idempotency-Key has a space"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct http_call call = {.fields = cases[i].fields};
        CHECK_INT(http_ask(http, &call), IDEM_HTTP_REJECT);
        CHECK_INT(call.decision.reason, IDEM_HTTP_BAD_KEY);
        CHECK_INT(call.decision.status, 400);
        CHECK_INT(call.decision.key_len, 0);
        CHECK_INT(strlen(call.decision.key_hash), 0);
        char body[512];
        snprintf(body, sizeof(body), "%.*s", (int)call.decision.body_len,
                 (const char *)call.decision.body);
        if (strstr(body, cases[i].message) == NULL || strstr(body, "idempotency_key\"")) {
            TEST_FAIL("%s: the answer is %s, not of: %s", cases[i].fields, body, cases[i].message);
        }
        http_free(&call);
    }
    struct http_call both = {.fields = "X-Key: a\r\nIdempotency-Key: \"a\"\r\n"};
    CHECK_INT(http_ask(http, &both), IDEM_HTTP_RUN);
    CHECK_BYTES(both.decision.key, both.decision.key_len, "a");
    CHECK_INT(strlen(both.decision.key_hash), IDEM_HTTP_HASH_CHARS);
    http_free(&both);
    http_end(http);
}

/* A key belongs to an account, an endpoint, or an endpoint's method. */
static void a_key_has_its_scope(void)
{
    static const struct {
        const char *scope;
        int other_path, other_method;
    } cases[] = {
        {"account", IDEM_HTTP_REJECT, IDEM_HTTP_REJECT}, /* another request with its key */
        {"endpoint", IDEM_HTTP_RUN, IDEM_HTTP_REJECT},
        {"endpoint-method", IDEM_HTTP_RUN, IDEM_HTTP_RUN},
    };
    for (int i = 0; i < 3; i++) {
        char config[200];
        snprintf(config, sizeof(config),
                 "{\"principal\": null, \"methods\": [\"*\"], \"key_scope\": \"%s\"}",
                 cases[i].scope);
        idem_http *http = http_new(config);
        struct http_call first = {.fields = KEY}, path = {.fields = KEY, .path = "/v1/payouts/"},
                         method = {.fields = KEY, .method = "PUT"};
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        CHECK_INT(http_ask(http, &path), cases[i].other_path);
        CHECK_INT(http_ask(http, &method), cases[i].other_method);
        CHECK_INT(path.decision.reason,
                  cases[i].other_path == IDEM_HTTP_RUN ? IDEM_HTTP_FIRST : IDEM_HTTP_CONFLICT);
        CHECK_INT(method.decision.reason,
                  cases[i].other_method == IDEM_HTTP_RUN ? IDEM_HTTP_FIRST : IDEM_HTTP_CONFLICT);
        http_free(&first);
        http_free(&path);
        http_free(&method);
        http_end(http);
    }
}

/* A body is compared by its meaning where it says that it is JSON, and means something. */
static void a_body_is_compared_as_its_type_says(void)
{
    static const struct {
        const char *type, *one, *two;
        bool same;
    } cases[] = {
        {"application/json", "{\"a\":1}", "{ \"a\": 1.0 }", true},
        {NULL, "{\"a\":1}", "{ \"a\": 1.0 }", true}, /* what is not told is looked at */
        {NULL, "a=1", "a=1.0", false},
        {"Application/JSON ; charset=utf-8", "[1]", "[1e0]", true},
        {"application/problem+json", "[1]", "[ 1]", true},
        {"text/plain", "[1]", "[ 1]", false},
        {"application/jsonp", "[1]", "[ 1]", false},
        {"+json", "[1]", "[ 1]", false},
        {"application/json", "[1", "[1", true}, /* no JSON: its bytes */
        {"application/json", "[1", "[1 ", false},
        {"application/json", "", "", true},
        {"application/json", "", "null", false},
        {"application/json", "9007199254740993", "9007199254740992", false},
    };
    idem_http *http = http_new(CONFIG(", \"canonical\": \"json\""));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char fields[200];
        snprintf(fields, sizeof(fields), "Idempotency-Key: k%zu\r\n" WHO "%s%s%s", i,
                 cases[i].type ? "Content-Type: " : "", cases[i].type ? cases[i].type : "",
                 cases[i].type ? "\r\n" : "");
        struct http_call one = {.fields = fields, .body = cases[i].one}, two = one;
        two.body = cases[i].two;
        CHECK_INT(http_ask(http, &one), IDEM_HTTP_RUN);
        CHECK_INT(http_ask(http, &two), IDEM_HTTP_REJECT);
        CHECK_INT(two.decision.reason, cases[i].same ? IDEM_HTTP_IN_FLIGHT : IDEM_HTTP_CONFLICT);
        http_free(&one);
        http_free(&two);
    }
    http_end(http);
}

/* What means something, and bytes that spell the form of what means it, are two. */
static void a_meaning_is_not_the_bytes_of_its_form(void)
{
    idem_http *http = http_new(CONFIG(", \"canonical\": \"json\""));
    struct http_call json = {.fields = KEY WHO JSON, .body = "[1]"};
    struct http_call bytes = {.fields = KEY WHO "Content-Type: a/b\r\n", .body = "[[1]]"};
    CHECK_INT(http_ask(http, &json), IDEM_HTTP_RUN);
    CHECK_INT(http_ask(http, &bytes), IDEM_HTTP_REJECT);
    CHECK_INT(bytes.decision.reason, IDEM_HTTP_CONFLICT);
    http_free(&json);
    http_free(&bytes);
    http_end(http);
}

/* Cut in any pieces a body is one. */
static void a_body_comes_in_pieces(void)
{
    static const char *const configs[] = {CONFIG(""), CONFIG(", \"canonical\": \"json\""),
                                          CONFIG(", \"fingerprint\": \"blake2b\"")};
    static const char body[] = "{\"amount\": 100, \"to\": [\"a\", \"b\"]}";
    for (int i = 0; i < 3; i++) {
        idem_http *http = http_new(configs[i]);
        struct http_call whole = {.fields = KEY WHO JSON, .body = body}, pieces = whole;
        CHECK_INT(http_ask(http, &whole), IDEM_HTTP_RUN);
        CHECK_INT(http_answer(&whole, 200, "", "x"), IDEM_HTTP_KEPT);
        for (size_t step = 1; step < sizeof(body); step++) {
            CHECK_INT(http_begin(http, &pieces), IDEM_HTTP_NEED_BODY);
            for (size_t at = 0; at < strlen(body); at += step) {
                const size_t left = strlen(body) - at;
                CHECK_INT(idem_http_body(pieces.exchange, body + at, left < step ? left : step,
                                         &pieces.decision),
                          IDEM_OK);
                CHECK_INT(idem_http_body(pieces.exchange, NULL, 0, &pieces.decision), IDEM_OK);
            }
            CHECK_INT(idem_http_decide(pieces.exchange, &pieces.decision), IDEM_OK);
            CHECK_INT(pieces.decision.action, IDEM_HTTP_REPLAY);
            http_free(&pieces);
        }
        http_free(&whole);
        http_end(http);
    }
}

/* Its limit is of all pieces together, and is told at the piece that passes it. */
static void a_body_has_its_largest(void)
{
    idem_http *http = http_new(CONFIG(", \"max_request\": 4"));
    static const size_t pieces[][3] = {{4, 0, 0}, {3, 1, 0}, {0, 0, 4}, {5, 0, 0},
                                       {4, 1, 0}, {3, 2, 0}, {1, 1, 3}};
    for (int i = 0; i < 7; i++) {
        struct http_call call = {.fields = KEY WHO};
        CHECK_INT(http_begin(http, &call), IDEM_HTTP_NEED_BODY);
        size_t given = 0;
        for (int p = 0; p < 3 && call.decision.action == IDEM_HTTP_NEED_BODY; p++) {
            CHECK_INT(idem_http_body(call.exchange, "12345", pieces[i][p], &call.decision),
                      IDEM_OK);
            given += pieces[i][p];
            CHECK_INT(call.decision.action, given > 4 ? IDEM_HTTP_REJECT : IDEM_HTTP_NEED_BODY);
        }
        CHECK(i < 3 || call.decision.reason == IDEM_HTTP_TOO_LARGE);
        http_free(&call);
    }
    http_end(http);
}

int main(void)
{
    return test_run((struct test[]){TEST(fields_that_contradict_are_refused),
                                    TEST(a_request_must_say_who_sends_it),
                                    TEST(a_principal_has_any_bytes),
                                    TEST(a_bad_key_is_told),
                                    TEST(a_key_has_its_scope),
                                    TEST(a_body_is_compared_as_its_type_says),
                                    TEST(a_meaning_is_not_the_bytes_of_its_form),
                                    TEST(a_body_comes_in_pieces),
                                    TEST(a_body_has_its_largest),
                                    {0}});
}
