/* How an exchange ends when the store is full, closed, or has lost the claim; holds, graces and retention. */
#include "http.h"

#define KEY "Idempotency-Key: k1\r\n"
#define CONFIG(more) "{\"principal\": null, \"retention_header\": \"X-Left\"" more "}"

/* The name of the store's only key. */
struct name {
    char at[IDEM_KEY_MAX];
    size_t len;
};
static struct name only_key(struct idem_record *record)
{
    struct name name;
    uint64_t cursor = 0;
    idem_record_init(record, sizeof(*record));
    CHECK_INT(idem_scan(http_store, &cursor, record), IDEM_OK);
    name.len = record->key_len;
    memcpy(name.at, record->key, name.len);
    return name;
}

static void forget_the_key(void)
{
    struct idem_record record;
    const struct name name = only_key(&record);
    CHECK_INT(idem_forget(http_store, name.at, name.len, IDEM_FORCE), IDEM_OK);
    idem_record_free(&record);
}

/* Fills the store with other keys until no claim fits. */
static void fill_the_store(void)
{
    static const char value[16000]; /* almost a slab of the smallest store: it is soon full */
    for (int number = 0;; number++) {
        char key[32];
        struct idem_claim claim = no_claim();
        snprintf(key, sizeof(key), "filler %d", number);
        const struct idem_request request = request_of(key);
        const int status = idem_claim(http_store, &request, &claim);
        if (status != IDEM_OK) {
            CHECK_INT(status, IDEM_EFULL);
            return;
        }
        CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
    }
}

static void a_full_store_is_told_and_nothing_runs(void)
{
    http_store = store_open_with(STORE_SMALLEST_BYTES, 0);
    idem_http *http = http_new(CONFIG(", \"retry_after\": 30"));
    struct http_call call = {.fields = KEY};
    fill_the_store();
    CHECK_INT(http_ask(http, &call), IDEM_HTTP_REJECT);
    CHECK_INT(call.decision.reason, IDEM_HTTP_STORE_FAILED);
    CHECK_INT(call.decision.status, 503);
    CHECK_INT(call.decision.outcome, 0);
    CHECK_INT(call.decision.retry_after_ms, 30000);
    CHECK(http_has_line(&call, "Retry-After: 30"));
    CHECK(strstr(call.decision.detail, "limit") != NULL);
    CHECK(idem_http_claim(call.exchange) == NULL);
    http_free(&call);
    /* An operator may prefer an operation too many to none. */
    idem_http *open = http_new(CONFIG(", \"on_store_failure\": \"run\""));
    CHECK_INT(http_ask(open, &call), IDEM_HTTP_PASS);
    CHECK_INT(call.decision.reason, IDEM_HTTP_STORE_FAILED);
    CHECK(strstr(call.decision.detail, "limit") != NULL);
    CHECK_INT(idem_http_response(call.exchange, 200, "", 0, 0, &call.decision), IDEM_EINVAL);
    CHECK_INT(idem_http_decide(call.exchange, &call.decision), IDEM_EINVAL);
    http_free(&call);
    idem_http_delete(open);
    http_end(http);
}

static void a_closed_store_is_told(void)
{
    static const struct {
        const char *config;
        int action;
    } cases[] = {{CONFIG(""), IDEM_HTTP_REJECT},
                 {CONFIG(", \"on_store_failure\": \"run\""), IDEM_HTTP_PASS}};
    for (int i = 0; i < 2; i++) {
        idem_http *http = http_new(cases[i].config);
        struct http_call before = {.fields = KEY}, after = before;
        CHECK_INT(http_ask(http, &before), IDEM_HTTP_RUN);
        store_end(http_store);
        http_store = NULL;
        CHECK_INT(http_ask(http, &after), cases[i].action);
        CHECK_INT(after.decision.reason, IDEM_HTTP_STORE_FAILED);
        CHECK(strstr(after.decision.detail, "closed") != NULL);
        CHECK_INT(http_answer(&before, 200, "", "x"), IDEM_HTTP_STORE_FAILED);
        CHECK(http_has_line(&before, "Idempotency-Stored: false"));
        CHECK(strstr(before.decision.detail, "closed") != NULL);
        http_free(&before);
        http_free(&after);
        idem_http_delete(http);
        unlink(test_path);
    }
}

/* The operation has happened: it is never run again, even if there is no room for what it answered. */
static void a_store_full_at_the_end_keeps_the_verdict(void)
{
    static char body[16000];
    memset(body, 'x', sizeof(body) - 1);
    http_store = store_open_with(STORE_SMALLEST_BYTES, 0);
    idem_http *http = http_new(CONFIG(""));
    struct http_call first = {.fields = KEY}, again = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    fill_the_store();
    CHECK_INT(http_answer(&first, 200, "", body), IDEM_HTTP_KEPT_WITHOUT);
    CHECK_BYTES(first.decision.fields, first.decision.fields_len, "Idempotency-Stored: false\r\n");
    CHECK_INT(http_ask(http, &again), IDEM_HTTP_REJECT);
    CHECK_INT(again.decision.reason, IDEM_HTTP_NOT_KEPT);
    http_free(&first);
    http_free(&again);
    http_end(http);
}

static void a_response_above_the_stores_largest_is_not_kept(void)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = STORE_SMALL_BYTES;
    options.max_value_bytes = 1000;
    CHECK_INT(idem_open(test_path, &options, &http_store), IDEM_OK);
    static char body[1100];
    memset(body, 'x', sizeof(body) - 1);
    idem_http *http = http_new(CONFIG(""));
    struct http_call first = {.fields = KEY}, again = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(http_answer(&first, 200, "", body), IDEM_HTTP_KEPT_WITHOUT);
    CHECK_INT(http_ask(http, &again), IDEM_HTTP_REJECT);
    CHECK_INT(again.decision.reason, IDEM_HTTP_NOT_KEPT);
    http_free(&first);
    http_free(&again);
    http_end(http);
}

/* Somebody removed the key, or took it over: what was recorded since is not touched. */
static void a_lost_claim_is_told(void)
{
    for (int status = 200; status <= 500; status += 300) {
        idem_http *http = http_new(CONFIG(""));
        struct http_call first = {.fields = KEY}, next = first, last = first;
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        forget_the_key();
        CHECK_INT(http_ask(http, &next), IDEM_HTTP_RUN);
        CHECK_INT(http_answer(&first, status, "", "first"), IDEM_HTTP_LOST);
        CHECK_INT(http_has_line(&first, "Idempotency-Stored: false"), status == 200);
        CHECK(strlen(first.decision.detail) > 0);
        CHECK_INT(first.decision.expires_in_ms, 0);
        CHECK(idem_http_claim(first.exchange) == NULL);
        CHECK_INT(http_answer(&next, 200, "", "next"), IDEM_HTTP_KEPT);
        CHECK_INT(http_ask(http, &last), IDEM_HTTP_REPLAY);
        CHECK_BYTES(last.decision.body, last.decision.body_len, "next");
        http_free(&first);
        http_free(&next);
        http_free(&last);
        http_end(http);
    }
    idem_http *http = http_new(CONFIG(""));
    struct http_call first = {.fields = KEY}, next = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    struct idem_claim copy = *idem_http_claim(first.exchange);
    CHECK_INT(idem_abandon(&copy), IDEM_OK);
    CHECK_INT(http_ask(http, &next), IDEM_HTTP_RUN);
    CHECK_INT(next.decision.reason, IDEM_HTTP_AGAIN);
    CHECK_INT(next.decision.attempt, 2);
    CHECK_INT(idem_http_abort(first.exchange, IDEM_HTTP_RELEASE), IDEM_ELOST);
    CHECK_INT(http_answer(&next, 200, "", ""), IDEM_HTTP_KEPT);
    http_free(&first);
    http_free(&next);
    http_end(http);
}

static void each_abort_does_what_it_says(void)
{
    static const struct {
        int how, reason;
    } cases[] = {{IDEM_HTTP_RELEASE, IDEM_HTTP_FIRST}, {IDEM_HTTP_ABANDON, IDEM_HTTP_AGAIN}};
    for (int i = 0; i < 2; i++) {
        for (int begun = 0; begun < 2; begun++) { /* with a response that was begun, too */
            idem_http *http = http_new(CONFIG(""));
            struct http_call first = {.fields = KEY}, next = first;
            CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
            CHECK(!begun ||
                  idem_http_response(first.exchange, 200, "", 0, 0, &first.decision) == IDEM_OK);
            CHECK_INT(idem_http_abort(first.exchange, 0), IDEM_EINVAL);
            CHECK_INT(idem_http_abort(first.exchange, 3), IDEM_EINVAL);
            CHECK_INT(idem_http_abort(first.exchange, cases[i].how), IDEM_OK);
            CHECK_INT(idem_http_finish(first.exchange, &first.decision), IDEM_EINVAL);
            CHECK_INT(http_ask(http, &next), IDEM_HTTP_RUN);
            CHECK_INT(next.decision.reason, cases[i].reason);
            CHECK_INT(idem_http_abort(first.exchange, cases[i].how), IDEM_OK); /* nothing left */
            CHECK_INT(http_answer(&next, 200, "", ""), IDEM_HTTP_KEPT);
            http_free(&first);
            http_free(&next);
            http_end(http);
        }
    }
    CHECK_INT(idem_http_abort(NULL, IDEM_HTTP_RELEASE), IDEM_EINVAL);
}

/* A held key waits for a person, who finds in its intent what it was; what he says counts. */
static void a_held_key_is_resolved_by_a_person(void)
{
    static char path[5001];
    memset(path, 'p', sizeof(path) - 1);
    path[0] = '/';
    const char *const paths[] = {"/v1/payouts", path};
    for (int i = 0; i < 2; i++) {
        idem_http *http = http_new(CONFIG(", \"on_crash\": \"hold\""));
        struct http_call first = {.fields = KEY, .path = paths[i]}, next = first;
        struct idem_record record;
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        http_free(&first);
        CHECK_INT(http_ask(http, &next), IDEM_HTTP_REJECT);
        CHECK_INT(next.decision.reason, IDEM_HTTP_UNKNOWN);
        CHECK_INT(next.decision.status, 409);
        CHECK_INT(next.decision.outcome, IDEM_HELD);
        http_free(&next);
        const struct name name = only_key(&record);
        CHECK_INT(record.held, 1);
        CHECK(memmem(record.intent, record.intent_len, "POST /", 6) == record.intent);
        CHECK(memmem(record.intent, record.intent_len, "\r\nk1", 4) ==
              (const char *)record.intent + record.intent_len - 4);
        CHECK(i == 1 || has_bytes(record.intent, record.intent_len, "POST /v1/payouts\r\nk1"));
        idem_record_free(&record);
        CHECK_INT(idem_resolve(http_store, name.at, name.len, "by hand", 7, IDEM_FOREVER), IDEM_OK);
        CHECK_INT(http_ask(http, &next), IDEM_HTTP_REJECT);
        CHECK_INT(next.decision.reason, IDEM_HTTP_NOT_KEPT); /* it is no response */
        CHECK(strstr(next.decision.detail, "no response") != NULL);
        http_free(&next);
        CHECK_INT(idem_forget(http_store, name.at, name.len, 0), IDEM_OK);
        CHECK_INT(http_ask(http, &next), IDEM_HTTP_RUN);
        CHECK_INT(next.decision.reason, IDEM_HTTP_FIRST);
        http_free(&next);
        http_end(http);
    }
}

static void a_grace_is_waited_for(void)
{
    idem_http *http = http_new(CONFIG(", \"crash_grace\": 0.3"));
    struct http_call first = {.fields = KEY}, next = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    http_free(&first);
    CHECK_INT(http_ask(http, &next), IDEM_HTTP_REJECT);
    while (next.decision.action != IDEM_HTTP_RUN) {
        CHECK_INT(next.decision.reason, IDEM_HTTP_IN_FLIGHT);
        http_free(&next);
        http_ask(http, &next);
    }
    CHECK_INT(next.decision.reason, IDEM_HTTP_AGAIN);
    http_free(&next);
    http_end(http);
}

/* The number in the field X-Left; -1: there is none. */
static long long left_of(const struct http_call *call)
{
    static const char name[] = "X-Left: ";
    const char *at =
        call->decision.fields_len
            ? memmem(call->decision.fields, call->decision.fields_len, name, sizeof(name) - 1)
            : NULL;
    return at ? strtoll(at + sizeof(name) - 1, NULL, 10) : -1;
}

/* What is said of the retention is what the store says, in whole seconds, rounded down. */
static void the_retention_left_is_told(void)
{
    static const char *const configs[] = {CONFIG(", \"ttl\": 1000"),
                                          CONFIG(", \"ttl\": 1000, \"ttl_base\": \"completion\""),
                                          CONFIG(", \"ttl\": \"forever\"")};
    enum { TTL_MS = 1000000, PASSED_MS = 50, ROUNDING_MS = 2000, TICKS_MS = 20 };
    const struct timespec some = {.tv_nsec = PASSED_MS * 1000000};
    for (int i = 0; i < 3; i++) {
        idem_http *http = http_new(configs[i]);
        struct http_call first = {.fields = KEY}, again = first;
        struct idem_record record;
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        http_free(&first); /* the retention counts from the key's first claim */
        nanosleep(&some, NULL);
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        CHECK_INT(first.decision.reason, IDEM_HTTP_AGAIN);
        nanosleep(&some, NULL);
        CHECK_INT(http_answer(&first, 200, "", ""), IDEM_HTTP_KEPT);
        const int64_t told_ms = first.decision.expires_in_ms;
        (void)only_key(&record);
        CHECK_INT(http_ask(http, &again), IDEM_HTTP_REPLAY);
        if (i == 2) {
            CHECK_INT(told_ms, IDEM_FOREVER);
            CHECK_INT(record.expires_in_ms, IDEM_FOREVER);
            CHECK_INT(left_of(&first), -1);
            CHECK_INT(left_of(&again), -1);
        } else {
            CHECK(i == 1 ? told_ms == TTL_MS : told_ms <= TTL_MS - 2 * PASSED_MS + TICKS_MS);
            CHECK(told_ms + ROUNDING_MS >= record.expires_in_ms);
            CHECK(told_ms <= record.expires_in_ms + TEST_DEADLINE_S * 1000);
            CHECK_INT(left_of(&first), told_ms / 1000);
            CHECK_INT(left_of(&again), again.decision.expires_in_ms / 1000);
        }
        idem_record_free(&record);
        http_free(&first);
        http_free(&again);
        http_end(http);
    }
}

static void what_is_released_has_no_retention(void)
{
    idem_http *http = http_new(CONFIG(""));
    struct http_call call = {.fields = KEY};
    CHECK_INT(http_ask(http, &call), IDEM_HTTP_RUN);
    CHECK_INT(http_answer(&call, 500, "", ""), IDEM_HTTP_RELEASED);
    CHECK_INT(call.decision.fields_len, 0);
    CHECK_INT(call.decision.expires_in_ms, 0);
    http_free(&call);
    http_end(http);
}

/* Pieces count together: what fits exactly is kept, a byte more is not. */
static void a_response_has_its_largest(void)
{
    static const size_t pieces[][3] = {{10, 0, 0}, {6, 4, 0}, {0, 5, 5},
                                       {11, 0, 0}, {6, 5, 0}, {5, 5, 1}};
    for (int i = 0; i < 6; i++) {
        idem_http *http = http_new(CONFIG(", \"max_response\": 10"));
        struct http_call first = {.fields = KEY}, again = first;
        size_t given = 0;
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        CHECK_INT(idem_http_response(first.exchange, 200, "", 0, 0, &first.decision), IDEM_OK);
        for (int p = 0; p < 3; p++) {
            CHECK_INT(idem_http_data(first.exchange, "0123456789A", pieces[i][p], &first.decision),
                      IDEM_OK);
            given += pieces[i][p];
            CHECK_INT(first.decision.action, given > 10 ? IDEM_HTTP_STREAM : IDEM_HTTP_BUFFER);
        }
        CHECK_INT(idem_http_finish(first.exchange, &first.decision), IDEM_OK);
        CHECK_INT(first.decision.reason, i < 3 ? IDEM_HTTP_KEPT : IDEM_HTTP_KEPT_WITHOUT);
        CHECK_INT(http_ask(http, &again), i < 3 ? IDEM_HTTP_REPLAY : IDEM_HTTP_REJECT);
        CHECK(i >= 3 || again.decision.body_len == 10);
        http_free(&first);
        http_free(&again);
        http_end(http);
    }
}

/* What decides nothing streams when it is large, and gives the key back at its end. */
static void a_large_response_that_decides_nothing_streams(void)
{
    idem_http *http = http_new(CONFIG(", \"max_response\": 3"));
    struct http_call first = {.fields = KEY}, next = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(idem_http_response(first.exchange, 503, "", 0, 0, &first.decision), IDEM_OK);
    CHECK_INT(idem_http_data(first.exchange, "abc", 3, &first.decision), IDEM_OK);
    CHECK_INT(first.decision.action, IDEM_HTTP_BUFFER);
    CHECK_INT(idem_http_data(first.exchange, "d", 1, &first.decision), IDEM_OK);
    CHECK_INT(first.decision.action, IDEM_HTTP_STREAM);
    CHECK_INT(first.decision.reason, IDEM_HTTP_NO_REASON);
    CHECK_INT(first.decision.fields_len, 0);
    CHECK_INT(http_ask(http, &next), IDEM_HTTP_REJECT);
    CHECK_INT(next.decision.reason, IDEM_HTTP_IN_FLIGHT);
    http_free(&next);
    CHECK_INT(idem_http_finish(first.exchange, &first.decision), IDEM_OK);
    CHECK_INT(first.decision.reason, IDEM_HTTP_RELEASED);
    CHECK_INT(http_ask(http, &next), IDEM_HTTP_RUN);
    CHECK_INT(next.decision.reason, IDEM_HTTP_FIRST);
    http_free(&first);
    http_free(&next);
    http_end(http);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_full_store_is_told_and_nothing_runs),
                                    TEST(a_closed_store_is_told),
                                    TEST(a_store_full_at_the_end_keeps_the_verdict),
                                    TEST(a_response_above_the_stores_largest_is_not_kept),
                                    TEST(a_lost_claim_is_told),
                                    TEST(each_abort_does_what_it_says),
                                    TEST(a_held_key_is_resolved_by_a_person),
                                    TEST(a_grace_is_waited_for),
                                    TEST(the_retention_left_is_told),
                                    TEST(what_is_released_has_no_retention),
                                    TEST(a_response_has_its_largest),
                                    TEST(a_large_response_that_decides_nothing_streams),
                                    {0}});
}
