/* Each profile's answers, byte for byte: refusals in its form, replays with its marker. */
#include "http.h"

#define MISMATCH "Idempotency key was used with different parameters"
#define NO_STORE "Cache-Control: no-store\r\n"

/* Puts the hexadecimal id in the place of "%ID%", and compares. */
static void check_body(const struct http_call *call, const char *expected)
{
    char wanted[1024] = "";
    const char *id = strstr(expected, "%ID%");
    if (id == NULL) {
        snprintf(wanted, sizeof(wanted), "%s", expected);
    } else {
        CHECK(call->decision.id != 0);
        snprintf(wanted, sizeof(wanted), "%.*s%016" PRIx64 "%s", (int)(id - expected), expected,
                 call->decision.id, id + 4);
    }
    CHECK_BYTES(call->decision.body, call->decision.body_len, wanted);
}

static void check_refusal(const struct http_call *call, int status, const char *type, bool later,
                          const char *body)
{
    char fields[300];
    CHECK_INT(call->decision.action, IDEM_HTTP_REJECT);
    CHECK_INT(call->decision.status, status);
    check_body(call, body);
    snprintf(fields, sizeof(fields), "Content-Type: %s\r\nContent-Length: %zu\r\n" NO_STORE "%s",
             type, call->decision.body_len, later ? "Retry-After: 1\r\n" : "");
    CHECK_BYTES(call->decision.fields, call->decision.fields_len, fields);
    CHECK_INT(call->decision.retry_after_ms, later ? 1000 : 0);
}

struct expected {
    const char *profile, *type, *path, *key_fields, *bad_fields, *replay_more;
    int mismatch_status; /* 0: another payload is replayed */
    const char *mismatch, *busy, *bad, *nobody;
};

#define PROBLEM(title, status, detail) \
    "{\"title\":\"" title "\",\"status\":" status ",\"detail\":\"" detail "\"}"
#define IN_FLIGHT \
    "A request with this idempotency key is being processed; retry later with the same key"
#define NOBODY "A request with an idempotency key must say who sends it"
#define TOO_LONG(header) "The idempotency key in " header " is too long (at most 255 characters)"
#define EIGHT "xxxxxxxx"
#define LONG32 EIGHT EIGHT EIGHT EIGHT
#define LONG256 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32 LONG32
#define UUID "550e8400-e29b-41d4-a716-446655440000"

static const struct expected profiles[] = {
    {
        .profile = "nextapi-v2",
        .type = "application/json",
        .path = "/v2/payout-requests",
        .key_fields = "X-Idempotency-Key: k1\r\n",
        .bad_fields = "X-Idempotency-Key: " LONG256 "\r\n",
        .replay_more = "X-Idempotency-Replayed: true\r\n",
        .mismatch_status = 409,
        .mismatch =
            "{\"error\":{\"code\":\"IDEMPOTENCY_KEY_CONFLICT\",\"message\":\"" MISMATCH "\"}}",
        .busy = "{\"error\":{\"code\":\"IDEMPOTENCY_IN_PROGRESS\",\"message\":\"" IN_FLIGHT "\"}}",
        .bad = "{\"error\":{\"code\":\"IDEMPOTENCY_KEY_INVALID\",\"message\":\"" TOO_LONG(
            "X-Idempotency-Key") "\"}}",
        .nobody = "{\"error\":{\"code\":\"PRINCIPAL_REQUIRED\",\"message\":\"" NOBODY "\"}}",
    },
    {
        .profile = "entities",
        .type = "application/json",
        .path = "/downstream-entities/onboarding/invite",
        .key_fields = "x-idempotency-key: " UUID "\r\n",
        .bad_fields = "idempotency-key: k1\r\n",
        .replay_more = "",
        .mismatch_status = 0,
        .busy = "{\"message\":\"" IN_FLIGHT "\"}",
        .bad = "{\"message\":\"Invalid idempotency key format. The idempotency-key must be a valid "
               "UUID\"}",
        .nobody = "{\"message\":\"" NOBODY "\"}",
    },
    {
        .profile = "nextapi-v1",
        .type = "application/json",
        .path = "/v1/payouts",
        .key_fields = "Idempotency-Key: k\"1\r\n",
        .bad_fields = "Idempotency-Key: " LONG256 "\r\n",
        .replay_more = "",
        .mismatch_status = 409,
        .mismatch =
            "{\"error\":{\"code\":\"IDEMPOTENCY_KEY_CONFLICT\",\"message\":\"" MISMATCH "\","
            "\"idempotency_key\":\"k\\\"1\",\"existing_request_id\":\"req_%ID%\"}}",
        .busy = "{\"error\":{\"code\":\"IDEMPOTENCY_IN_PROGRESS\",\"message\":\"" IN_FLIGHT "\","
                "\"idempotency_key\":\"k\\\"1\",\"existing_request_id\":\"req_%ID%\"}}",
        .bad = "{\"error\":{\"code\":\"IDEMPOTENCY_KEY_INVALID\",\"message\":\"" TOO_LONG(
            "Idempotency-Key") "\"}}",
        .nobody = "{\"error\":{\"code\":\"PRINCIPAL_REQUIRED\",\"message\":\"" NOBODY "\","
                  "\"idempotency_key\":\"k\\\"1\"}}",
    },
    {
        .profile = "noticia",
        .type = "application/json",
        .path = "/v1/profiles",
        .key_fields = "Idempotency-Key: k1\r\n",
        .bad_fields = "Idempotency-Key: " LONG256 "\r\n",
        .replay_more = "Idempotent-Replayed: true\r\n",
        .mismatch_status = 409,
        .mismatch = "{\"code\":\"IDEMPOTENCY_CONFLICT\",\"message\":\"" MISMATCH "\"}",
        .busy = "{\"code\":\"IDEMPOTENCY_IN_PROGRESS\",\"message\":\"" IN_FLIGHT "\"}",
        .bad = "{\"code\":\"IDEMPOTENCY_KEY_INVALID\",\"message\":\"" TOO_LONG(
            "Idempotency-Key") "\"}",
        .nobody = "{\"code\":\"PRINCIPAL_REQUIRED\",\"message\":\"" NOBODY "\"}",
    },
    {
        .profile = "ietf",
        .type = "application/problem+json",
        .path = "/orders",
        .key_fields = "Idempotency-Key: \"k1\"\r\n",
        .bad_fields = "Idempotency-Key: \"" LONG256 "\"\r\n",
        .replay_more = "",
        .mismatch_status = 422,
        .mismatch = PROBLEM("Idempotency key reused", "422", MISMATCH),
        .busy = PROBLEM("Request in flight", "409", IN_FLIGHT),
        .bad = PROBLEM("Idempotency key invalid", "400", TOO_LONG("Idempotency-Key")),
        .nobody = PROBLEM("Unknown caller", "400", NOBODY),
    },
    {
        .profile = "stripe",
        .type = "application/json",
        .path = "/v1/charges",
        .key_fields = "Idempotency-Key: k1\r\n",
        .bad_fields = "Idempotency-Key: " LONG256 "\r\n",
        .replay_more = "Idempotent-Replayed: true\r\n",
        .mismatch_status = 400,
        .mismatch = "{\"error\":{\"type\":\"idempotency_error\",\"message\":\"" MISMATCH "\"}}",
        .busy = "{\"error\":{\"type\":\"idempotency_error\",\"message\":\"" IN_FLIGHT
                "\",\"code\":\"idempotency_key_in_use\"}}",
        .bad = "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"" TOO_LONG(
            "Idempotency-Key") "\"}}",
        .nobody = "{\"error\":{\"type\":\"invalid_request_error\",\"message\":\"" NOBODY "\"}}",
    },
};

static void answers_of(const struct expected *of)
{
    char config[200], fields[400], bad[600];
    snprintf(config, sizeof(config),
             "{\"profile\": \"%s\", \"principal\": \"Authorization\", \"wait\": 0}", of->profile);
    snprintf(fields, sizeof(fields), "%sAuthorization: Bearer a\r\n", of->key_fields);
    snprintf(bad, sizeof(bad), "%sAuthorization: Bearer a\r\n", of->bad_fields);
    idem_http *http = http_new(config);
    struct http_call first = {.path = of->path, .fields = fields, .body = "{\"a\":1}"};
    struct http_call same = first, other = first, wrong = first, nobody = first, again = first;
    other.body = "{\"a\":2}";
    wrong.fields = bad;
    nobody.fields = of->key_fields;

    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    http_ask(http, &same);
    check_refusal(&same, 409, of->type, true, of->busy);
    http_ask(http, &other);
    if (of->mismatch_status) {
        check_refusal(&other, of->mismatch_status, of->type, false, of->mismatch);
    } else {
        check_refusal(&other, 409, of->type, true, of->busy);
    }
    http_free(&other);
    http_ask(http, &wrong);
    check_refusal(&wrong, 400, of->type, false, of->bad);
    http_ask(http, &nobody);
    check_refusal(&nobody, 400, of->type, false, of->nobody);

    CHECK_INT(http_answer(&first, 201, "Content-Type: text/plain\r\n", "made"), IDEM_HTTP_KEPT);
    CHECK_INT(http_ask(http, &again), IDEM_HTTP_REPLAY);
    CHECK_INT(again.decision.status, 201);
    CHECK_BYTES(again.decision.body, again.decision.body_len, "made");
    char replay[300];
    snprintf(replay, sizeof(replay),
             "Content-Type: text/plain\r\nContent-Length: 4\r\n" NO_STORE "%s", of->replay_more);
    CHECK_BYTES(again.decision.fields, again.decision.fields_len, replay);
    CHECK_INT(http_ask(http, &other), of->mismatch_status ? IDEM_HTTP_REJECT : IDEM_HTTP_REPLAY);
    if (of->mismatch_status) {
        check_refusal(&other, of->mismatch_status, of->type, false, of->mismatch);
    }
    http_free(&first);
    http_free(&same);
    http_free(&other);
    http_free(&wrong);
    http_free(&nobody);
    http_free(&again);
    http_end(http);
}

static void each_profile_answers_in_its_form(void)
{
    for (size_t i = 0; i < sizeof(profiles) / sizeof(*profiles); i++) {
        printf("  %s\n", profiles[i].profile);
        answers_of(&profiles[i]);
    }
}

/* Which requests each profile is about: nothing else is touched. */
static void each_profile_has_its_requests(void)
{
    static const struct {
        const char *profile, *methods, *path;
    } cases[] = {
        {"nextapi-v2", "POST PUT PATCH DELETE ", "/v2/x"},
        {"entities", "POST ", "/downstream-entities/onboarding/add"},
        {"entities", "", "/downstream-entities/onboarding"},
        {"nextapi-v1", "POST PUT ", "/v1/x"},
        {"noticia", "POST PUT PATCH DELETE ", "/x"},
        {"nextsign", "", "/x"},
        {"ietf", "POST PATCH ", "/x"},
        {"stripe", "POST ", "/v1/x"},
    };
    static const char *const methods[] = {"GET", "HEAD",  "OPTIONS", "TRACE", "POST",
                                          "PUT", "PATCH", "DELETE",  "post",  "QUERY"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char config[200], covered[100] = "";
        snprintf(config, sizeof(config), "{\"profile\": \"%s\", \"principal\": null}",
                 cases[i].profile);
        idem_http *http = http_new(config);
        for (size_t m = 0; m < sizeof(methods) / sizeof(*methods); m++) {
            struct http_call call = {.method = methods[m],
                                     .path = cases[i].path,
                                     .fields = "Idempotency-Key: " UUID "\r\n"
                                               "X-Idempotency-Key: " UUID "\r\n"};
            if (http_begin(http, &call) == IDEM_HTTP_NEED_BODY) {
                strcat(strcat(covered, methods[m]), " ");
            } else {
                CHECK_INT(call.decision.reason, IDEM_HTTP_NOT_APPLICABLE);
                CHECK(call.exchange == NULL);
            }
            http_free(&call);
        }
        CHECK_INT(strcmp(covered, cases[i].methods), 0);
        http_end(http);
    }
}

static void refuse_each(const char *form, const char *type, const char *const bodies[])
{
    char config[300];
    snprintf(config, sizeof(config),
             "{\"principal\": null, \"required\": true, \"error_form\": \"%s\", \"on_crash\": "
             "\"hold\", \"max_request\": 4, \"max_response\": 0, \"headers\": [\"Key\"]}",
             form);
    idem_http *http = http_new(config);
    struct http_call none = {0}, large = {.fields = "Key: a\r\n", .body = "12345"};
    struct http_call cut = {.fields = "Key: a\r\nContent-Length: 2\r\n"};
    struct http_call first = {.fields = "Key: b\r\n"}, not_kept = first;
    struct http_call held = {.fields = "Key: c\r\n"}, unknown = held;
    http_ask(http, &none);
    check_refusal(&none, 400, type, false, bodies[0]);
    http_ask(http, &large);
    check_refusal(&large, 413, type, false, bodies[1]);
    http_ask(http, &cut);
    check_refusal(&cut, 400, type, false, bodies[2]);
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(idem_http_response(first.exchange, 200, "", 0, 0, &first.decision), IDEM_OK);
    CHECK_INT(idem_http_data(first.exchange, "x", 1, &first.decision), IDEM_OK);
    CHECK_INT(idem_http_finish(first.exchange, &first.decision), IDEM_OK);
    http_ask(http, &not_kept);
    check_refusal(&not_kept, 409, type, false, bodies[3]);
    CHECK_INT(http_ask(http, &held), IDEM_HTTP_RUN);
    http_free(&held);
    http_ask(http, &unknown);
    check_refusal(&unknown, 409, type, false, bodies[4]);
    http_free(&none);
    http_free(&large);
    http_free(&cut);
    http_free(&first);
    http_free(&not_kept);
    http_free(&unknown);
    http_end(http);
}

#define NO_KEY "This operation must be sent with an idempotency key in Key"
#define LARGE \
    "The request's body is larger than one with an idempotency key may be: at most 4 bytes"
#define CUT \
    "The request was not processed: it has not as many bytes of body as its Content-Length says"
#define NOT_KEPT "The operation was completed, but its response was not kept; it was not run again"
#define UNKNOWN                                                                               \
    "The operation was interrupted and its outcome is unknown; it is held until it has been " \
    "resolved"
#define CODED(code, message) "\"code\":\"" code "\",\"message\":\"" message "\""

static void each_refusal_has_its_form(void)
{
    refuse_each("problem", "application/problem+json",
                (const char *[]){PROBLEM("Idempotency key missing", "400", NO_KEY),
                                 PROBLEM("Request too large", "413", LARGE),
                                 PROBLEM("Bad request", "400", CUT),
                                 PROBLEM("Response not kept", "409", NOT_KEPT),
                                 PROBLEM("Outcome unknown", "409", UNKNOWN)});
    refuse_each("code", "application/json",
                (const char *[]){"{" CODED("IDEMPOTENCY_KEY_REQUIRED", NO_KEY) "}",
                                 "{" CODED("REQUEST_TOO_LARGE", LARGE) "}",
                                 "{" CODED("BAD_REQUEST", CUT) "}",
                                 "{" CODED("IDEMPOTENCY_RESPONSE_NOT_KEPT", NOT_KEPT) "}",
                                 "{" CODED("IDEMPOTENCY_OUTCOME_UNKNOWN", UNKNOWN) "}"});
    refuse_each(
        "error", "application/json",
        (const char *[]){"{\"error\":{" CODED("IDEMPOTENCY_KEY_REQUIRED", NO_KEY) "}}",
                         "{\"error\":{" CODED("REQUEST_TOO_LARGE", LARGE) "}}",
                         "{\"error\":{" CODED("BAD_REQUEST", CUT) "}}",
                         "{\"error\":{" CODED("IDEMPOTENCY_RESPONSE_NOT_KEPT", NOT_KEPT) "}}",
                         "{\"error\":{" CODED("IDEMPOTENCY_OUTCOME_UNKNOWN", UNKNOWN) "}}"});
    refuse_each(
        "error-with-key", "application/json",
        (const char *[]){
            "{\"error\":{" CODED("IDEMPOTENCY_KEY_REQUIRED", NO_KEY) "}}",
            "{\"error\":{" CODED("REQUEST_TOO_LARGE", LARGE) ",\"idempotency_key\":\"a\"}}",
            "{\"error\":{" CODED("BAD_REQUEST", CUT) ",\"idempotency_key\":\"a\"}}",
            "{\"error\":{" CODED(
                "IDEMPOTENCY_RESPONSE_NOT_KEPT",
                NOT_KEPT) ",\"idempotency_key\":\"b\",\"existing_request_id\":\"req_%ID%\"}}",
            "{\"error\":{" CODED(
                "IDEMPOTENCY_OUTCOME_UNKNOWN",
                UNKNOWN) ",\"idempotency_key\":\"c\",\"existing_request_id\":\"req_%ID%\"}}"});
    refuse_each("message", "application/json",
                (const char *[]){"{\"message\":\"" NO_KEY "\"}", "{\"message\":\"" LARGE "\"}",
                                 "{\"message\":\"" CUT "\"}", "{\"message\":\"" NOT_KEPT "\"}",
                                 "{\"message\":\"" UNKNOWN "\"}"});
#define STRIPE(type, message) "{\"error\":{\"type\":\"" type "\",\"message\":\"" message "\"}}"
    refuse_each("stripe", "application/json",
                (const char *[]){
                    STRIPE("invalid_request_error", NO_KEY), STRIPE("invalid_request_error", LARGE),
                    STRIPE("invalid_request_error", CUT), STRIPE("idempotency_error", NOT_KEPT),
                    STRIPE("idempotency_error", UNKNOWN)});
}

/* What the operator writes for himself may have any characters. */
static void texts_of_the_configuration_are_quoted(void)
{
    idem_http *http = http_new("{\"principal\": null, \"error_form\": \"code\", \"conflict_code\": "
                               "\"\\\"\\u00e9\\n\", \"bad_key_message\": \"\\\\ \\\"\"}");
    struct http_call first = {.fields = "Idempotency-Key: a\r\n"}, other = first, bad = first;
    other.body = "x";
    bad.fields = "Idempotency-Key: \"\r\n";
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    http_ask(http, &other);
    check_refusal(&other, 422, "application/json", false,
                  "{\"code\":\"\\\"\xc3\xa9\\n\",\"message\":\"" MISMATCH "\"}");
    http_ask(http, &bad);
    check_refusal(&bad, 400, "application/json", false,
                  "{\"code\":\"IDEMPOTENCY_KEY_INVALID\",\"message\":\"\\\\ \\\"\"}");
    http_free(&first);
    http_free(&other);
    http_free(&bad);
    http_end(http);
}

/* Statuses without content have none in a replay, whatever the application sent with them. */
static void statuses_without_content_are_replayed_without(void)
{
    static const struct {
        int status;
        const char *fields, *body;
    } cases[] = {
        {204, NO_STORE, ""}, {304, NO_STORE, ""}, {200, "Content-Length: 1\r\n" NO_STORE, "x"}};
    for (int i = 0; i < 3; i++) {
        idem_http *http = http_new("{\"principal\": null}");
        struct http_call first = {.fields = "Idempotency-Key: a\r\n"}, again = first;
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        CHECK_INT(http_answer(&first, cases[i].status, "Date: x\r\n", "x"), IDEM_HTTP_KEPT);
        CHECK_INT(http_ask(http, &again), IDEM_HTTP_REPLAY);
        CHECK_INT(again.decision.status, cases[i].status);
        CHECK_BYTES(again.decision.fields, again.decision.fields_len, cases[i].fields);
        CHECK_BYTES(again.decision.body, again.decision.body_len, cases[i].body);
        http_free(&first);
        http_free(&again);
        http_end(http);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(each_profile_answers_in_its_form),
                                    TEST(each_profile_has_its_requests),
                                    TEST(each_refusal_has_its_form),
                                    TEST(texts_of_the_configuration_are_quoted),
                                    TEST(statuses_without_content_are_replayed_without),
                                    {0}});
}
