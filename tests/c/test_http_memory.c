/*
 * No memory, at every allocation of the engine in turn: each call says so or does its work; nothing leaks, nothing
 * is run twice, and no key is read for another.
 */
#include <errno.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The engine's files that allocate are compiled into this program, by these functions. */
static long left = -1; /* allocations until one fails; negative: none does */
static bool fails(void)
{
    if (left < 0 || left-- > 0) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

static void *scarce_realloc(void *at, size_t size) { return fails() ? NULL : realloc(at, size); }
static void *scarce_calloc(size_t n, size_t size) { return fails() ? NULL : calloc(n, size); }
static void *scarce_malloc(size_t size) { return fails() ? NULL : malloc(size); }
static void *scarce_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : aligned_alloc(alignment, size);
}

/* jansson reads on after a failed allocation, behind its own buffers too: it reads with memory, or not at all. */
static json_t *scarce_loadb(const char *text, size_t len, size_t flags, json_error_t *error)
{
    if (fails()) {
        return NULL;
    }
    const long before = left;
    left = -1;
    json_t *value = json_loadb(text, len, flags, error);
    left = before;
    return value;
}
#define realloc scarce_realloc
#define calloc scarce_calloc
#define aligned_alloc scarce_aligned_alloc
#define json_loadb scarce_loadb
#include "http/bytes.c"
#include "http/canon.c"
#include "http/config.c"
#include "http/request.c"
#undef realloc
#undef calloc
#undef aligned_alloc
#undef json_loadb

#include "http.h"

enum { ALLOCATIONS_MAX = 20000 };

#define BODY "{\"b\": [1.0, \"x\", {\"a\": 2.50}], \"a\": \"\\u00e9\"}"
#define SAME "{\"a\":\"\xc3\xa9\",\"b\":[1,\"x\",{\"a\":25e-1}]}"
#define FIELDS                                                                      \
    "Idempotency-Key: \"k1\"\r\nX-Key: k1\r\nAuthorization: Basic YWxpY2U6b2xk\r\n" \
    "Content-Type: application/json\r\n"

static const char config[] =
    "{\"profile\": \"nextapi-v1\", \"principal\": \"Authorization\", \"key_rule\": \"sf\", "
    "\"headers\": [\"Idempotency-Key\", \"X-Key\"], \"on_crash\": \"hold\", \"retention_header\": "
    "\"X-Left\", \"routes\": [{\"match\": \"POST /v1/payouts\", \"replay_marker\": \"X-Again\"}]}";

static uint64_t keys_in_store(void)
{
    const struct idem_stats stats = store_stats(http_store);
    return stats.pending_keys + stats.orphaned_keys + stats.done_keys;
}

static void a_configuration_is_read_or_not(void)
{
    http_store = store_open();
    int status = IDEM_ESYS;
    for (long n = 0; status != IDEM_OK; n++) {
        char err[200];
        idem_http *http;
        CHECK(n < ALLOCATIONS_MAX);
        left = n;
        status = idem_http_new(http_store, config, strlen(config), &http, err, sizeof(err));
        left = -1;
        CHECK((http == NULL) == (status != IDEM_OK));
        if (status != IDEM_OK) {
            if (status != IDEM_ESYS || errno != ENOMEM || strcmp(err, "no memory") != 0) {
                TEST_FAIL("allocation %ld: status %d, errno %d, %s", n, status, errno, err);
            }
        }
        idem_http_delete(http);
    }
    store_end(http_store);
    http_store = NULL;
}

/* A whole exchange; stops at the first call that fails. What had been decided by then. */
struct outcome {
    bool ran, kept, failed;
};

static bool works(int status, struct outcome *outcome)
{
    if (status != IDEM_OK) {
        CHECK_INT(status, IDEM_ESYS);
        CHECK_INT(errno, ENOMEM);
        outcome->failed = true;
    }
    return status == IDEM_OK;
}

static struct outcome exchange_with(idem_http *http, const char *body, int status)
{
    static const char path[] = "/v1/payouts", answer[] = "Content-Type: text/plain\r\nX: 1\r\n";
    struct outcome outcome = {0};
    struct idem_http_decision decision;
    idem_http_exchange *exchange;
    idem_http_decision_init(&decision, sizeof(decision));
    if (!works(idem_http_begin(http, "POST", 4, path, strlen(path), NULL, 0, FIELDS, strlen(FIELDS),
                               NULL, IDEM_HTTP_NO_ONE, &exchange, &decision),
               &outcome)) {
        CHECK(exchange == NULL);
        return outcome;
    }
    CHECK_INT(decision.action, IDEM_HTTP_NEED_BODY);
    if (works(idem_http_body(exchange, body, strlen(body), &decision), &outcome) &&
        works(idem_http_decide(exchange, &decision), &outcome)) {
        CHECK_INT(decision.action, IDEM_HTTP_RUN);
        /* From here on the operation has happened: its end is told, whatever memory there is. */
        outcome.ran = true;
        CHECK_INT(idem_http_response(exchange, status, answer, strlen(answer), 0, &decision),
                  IDEM_OK);
        CHECK_INT(idem_http_data(exchange, "made", 4, &decision), IDEM_OK);
        CHECK_INT(idem_http_finish(exchange, &decision), IDEM_OK);
        outcome.kept = decision.reason == IDEM_HTTP_KEPT;
        CHECK(outcome.kept == (http_line_in(&decision, "X-Left: 86399") ||
                               http_line_in(&decision, "X-Left: 86400")));
    }
    idem_http_free(exchange);
    return outcome;
}

static void an_exchange_is_whole_or_told(void)
{
    for (int status = 200; status <= 500; status += 300) {
        struct outcome outcome = {.failed = true};
        for (long n = 0; outcome.failed || !outcome.kept; n++) {
            CHECK(n < ALLOCATIONS_MAX);
            unlink(test_path);
            idem_http *http = http_new(config);
            left = n;
            outcome = exchange_with(http, BODY, status);
            const bool all = left > 0; /* no allocation failed */
            left = -1;
            CHECK(outcome.ran || keys_in_store() == 0);
            struct http_call again = {.fields = FIELDS, .body = SAME};
            const int action = http_ask(http, &again);
            CHECK_INT(keys_in_store(), 1);
            if (outcome.kept) {
                CHECK_INT(action, IDEM_HTTP_REPLAY);
                CHECK_BYTES(again.decision.body, again.decision.body_len, "made");
                CHECK(http_has_line(&again, "X: 1") && http_has_line(&again, "X-Again: true"));
            } else if (outcome.ran && status == 200) {
                /* There was no room to hold what it answered. */
                CHECK_INT(action, IDEM_HTTP_REJECT);
                CHECK_INT(again.decision.reason, IDEM_HTTP_NOT_KEPT);
            } else {
                /* It never ran, or gave the key back. */
                CHECK_INT(action, IDEM_HTTP_RUN);
                CHECK_INT(again.decision.reason, IDEM_HTTP_FIRST);
            }
            http_free(&again);
            http_end(http);
            if (all) {
                CHECK(!outcome.failed && outcome.kept == (status == 200));
                break;
            }
        }
    }
}

/* The answers, too: a refusal without its body is no answer. */
static void an_answer_is_whole_or_told(void)
{
    static const struct {
        const char *fields, *body;
        int action;
    } cases[] = {
        {FIELDS, SAME, IDEM_HTTP_REPLAY},
        {FIELDS, "{}", IDEM_HTTP_REJECT},
        {"Idempotency-Key: \"\r\nAuthorization: a\r\n", "", IDEM_HTTP_REJECT},
        {"Idempotency-Key: a\r\nX-Key: b\r\nAuthorization: a\r\n", "", IDEM_HTTP_REJECT},
    };
    idem_http *http = http_new(config);
    CHECK(exchange_with(http, BODY, 200).kept);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        int status = IDEM_ESYS;
        for (long n = 0; status != IDEM_OK; n++) {
            static const char path[] = "/v1/payouts";
            struct idem_http_decision decision;
            idem_http_exchange *exchange;
            CHECK(n < ALLOCATIONS_MAX);
            idem_http_decision_init(&decision, sizeof(decision));
            left = n;
            status = idem_http_begin(http, "POST", 4, path, strlen(path), NULL, 0, cases[i].fields,
                                     strlen(cases[i].fields), NULL, IDEM_HTTP_NO_ONE, &exchange,
                                     &decision);
            if (status == IDEM_OK && decision.action == IDEM_HTTP_NEED_BODY) {
                status = idem_http_body(exchange, cases[i].body, strlen(cases[i].body), &decision);
                status = status ? status : idem_http_decide(exchange, &decision);
            }
            left = -1;
            if (status == IDEM_OK) {
                CHECK_INT(decision.action, cases[i].action);
                CHECK(decision.body_len > 0 && decision.fields_len > 0);
                char length[40];
                snprintf(length, sizeof(length), "Content-Length: %zu\r\n", decision.body_len);
                CHECK(memmem(decision.fields, decision.fields_len, length, strlen(length)));
            } else {
                CHECK_INT(status, IDEM_ESYS);
                CHECK_INT(errno, ENOMEM);
            }
            idem_http_free(exchange);
        }
    }
    CHECK_INT(keys_in_store(), 1);
    http_end(http);
}

int main(void)
{
    json_set_alloc_funcs(scarce_malloc, free);
    return test_run((struct test[]){TEST(a_configuration_is_read_or_not),
                                    TEST(an_exchange_is_whole_or_told),
                                    TEST(an_answer_is_whole_or_told),
                                    {0}});
}
