/* Duplicates that wait: bounded in time and number, in each process by itself, woken by each end of the first. */
#include <pthread.h>
#include <stdatomic.h>

#include "http.h"

#define KEY "Idempotency-Key: k1\r\n"
#define CONFIG(more) "{\"principal\": null" more "}"
#define LONG_MS 3600000

static void a_wait_ends_in_time(void)
{
    idem_http *http = http_new(CONFIG(", \"wait\": 0.5, \"max_waiters\": 1"));
    struct http_call first = {.fields = KEY}, second = first, third = first;
    CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
    CHECK_INT(http_ask(http, &second), IDEM_HTTP_WAIT);
    CHECK(second.decision.retry_after_ms > 0 && second.decision.retry_after_ms <= 500);
    CHECK_INT(idem_http_wait(second.exchange, LONG_MS, &second.decision), IDEM_OK);
    CHECK_INT(second.decision.action, IDEM_HTTP_REJECT);
    CHECK_INT(second.decision.reason, IDEM_HTTP_IN_FLIGHT);
    CHECK_INT(idem_http_wait(second.exchange, 0, &second.decision), IDEM_EINVAL);
    /* It does not wait any more, though it is not freed yet. */
    CHECK_INT(http_ask(http, &third), IDEM_HTTP_WAIT);
    CHECK_INT(idem_http_wait(third.exchange, -1, &third.decision), IDEM_EINVAL);
    http_free(&second);
    http_free(&third);
    http_free(&first);
    http_end(http);
}

static void as_many_wait_as_may(void)
{
    enum { MANY = 5 };
    static const char *const configs[] = {CONFIG(", \"wait\": 3600, \"max_waiters\": 0"),
                                          CONFIG(", \"wait\": 3600, \"max_waiters\": 3"),
                                          CONFIG(", \"wait\": 0, \"max_waiters\": 3")};
    static const int allowed[] = {0, 3, 0};
    for (int i = 0; i < 3; i++) {
        idem_http *http = http_new(configs[i]);
        struct http_call first = {.fields = KEY}, calls[MANY];
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        for (int round = 0; round < 2; round++) { /* who has left makes room */
            for (int n = 0; n < MANY; n++) {
                calls[n] = (struct http_call){.fields = KEY};
                CHECK_INT(http_ask(http, &calls[n]),
                          n < allowed[i] ? IDEM_HTTP_WAIT : IDEM_HTTP_REJECT);
                /* Asking again is no second place. */
                CHECK(n >= allowed[i] ||
                      idem_http_decide(calls[n].exchange, &calls[n].decision) == IDEM_OK);
            }
            for (int n = 0; n < MANY; n++) {
                CHECK(n % 2 || idem_http_abort(calls[n].exchange, IDEM_HTTP_ABANDON) == IDEM_OK);
                http_free(&calls[n]);
            }
        }
        CHECK_INT(http_answer(&first, 200, "", ""), IDEM_HTTP_KEPT);
        http_free(&first);
        http_end(http);
    }
}

static void each_end_of_the_first_is_heard(void)
{
    static const struct {
        int status; /* 0: abandoned */
        int action, reason;
    } cases[] = {{200, IDEM_HTTP_REPLAY, IDEM_HTTP_RECORDED},
                 {500, IDEM_HTTP_RUN, IDEM_HTTP_FIRST},
                 {0, IDEM_HTTP_RUN, IDEM_HTTP_AGAIN}};
    for (int i = 0; i < 3; i++) {
        idem_http *http = http_new(CONFIG(", \"wait\": 3600, \"max_waiters\": 1"));
        struct http_call first = {.fields = KEY}, second = first, third = first;
        struct http_call other = {.fields = "Idempotency-Key: k2\r\n"}, another = other;
        CHECK_INT(http_ask(http, &first), IDEM_HTTP_RUN);
        CHECK_INT(http_ask(http, &second), IDEM_HTTP_WAIT);
        CHECK(idem_http_claim(second.exchange) == NULL);
        if (cases[i].status) {
            (void)http_answer(&first, cases[i].status, "", "");
        } else {
            CHECK_INT(idem_http_abort(first.exchange, IDEM_HTTP_ABANDON), IDEM_OK);
        }
        CHECK_INT(idem_http_wait(second.exchange, LONG_MS, &second.decision), IDEM_OK);
        CHECK_INT(second.decision.action, cases[i].action);
        CHECK_INT(second.decision.reason, cases[i].reason);
        /* Who has been answered, or runs it, leaves his place. */
        CHECK_INT(http_ask(http, &other), IDEM_HTTP_RUN);
        CHECK_INT(http_ask(http, &another), IDEM_HTTP_WAIT);
        http_free(&another);
        CHECK_INT(http_ask(http, &third), i == 0 ? IDEM_HTTP_REPLAY : IDEM_HTTP_WAIT);
        http_free(&third);
        http_free(&other);
        http_free(&first);
        http_free(&second);
        http_end(http);
    }
}

/* In a child of fork nobody waits yet; and its copies of the parent's exchanges end nothing of the parent's. */
struct family {
    idem_http *http;
    struct http_call first, waiter;
};

static void wait_in_the_child(void *argument)
{
    struct family *family = argument;
    struct http_call one = {.fields = KEY}, two = one;
    CHECK_INT(http_ask(family->http, &one), IDEM_HTTP_WAIT);
    http_free(&family->waiter); /* a copy: the child's own place stays taken */
    CHECK_INT(http_ask(family->http, &two), IDEM_HTTP_REJECT);
    CHECK_INT(idem_http_response(family->first.exchange, 200, "", 0, 0, &family->first.decision),
              IDEM_OK);
    CHECK_INT(idem_http_finish(family->first.exchange, &family->first.decision), IDEM_OK);
    CHECK_INT(family->first.decision.reason, IDEM_HTTP_LOST);
    http_free(&family->first);
    http_free(&one);
    http_free(&two);
    CHECK_INT(http_ask(family->http, &one), IDEM_HTTP_WAIT);
    http_free(&one);
    idem_http_delete(family->http);
}

static void a_child_counts_for_itself(void)
{
    struct family family = {.http = http_new(CONFIG(", \"wait\": 3600, \"max_waiters\": 1")),
                            .first = {.fields = KEY},
                            .waiter = {.fields = KEY}};
    struct http_call third = {.fields = KEY};
    CHECK_INT(http_ask(family.http, &family.first), IDEM_HTTP_RUN);
    CHECK_INT(http_ask(family.http, &family.waiter), IDEM_HTTP_WAIT);
    CHECK_INT(test_join(test_child(wait_in_the_child, &family)), 0);
    CHECK_INT(http_ask(family.http, &third), IDEM_HTTP_REJECT);
    http_free(&third);
    CHECK_INT(http_answer(&family.first, 200, "", "of the parent"), IDEM_HTTP_KEPT);
    CHECK_INT(idem_http_wait(family.waiter.exchange, LONG_MS, &family.waiter.decision), IDEM_OK);
    CHECK_INT(family.waiter.decision.action, IDEM_HTTP_REPLAY);
    CHECK_BYTES(family.waiter.decision.body, family.waiter.decision.body_len, "of the parent");
    http_free(&family.waiter);
    http_free(&family.first);
    http_end(family.http);
}

/* Threads that share an engine: one runs, as many as may wait get its response, the rest is refused. */
enum { THREADS = 8, MAY_WAIT = 3 };
struct crowd {
    idem_http *http;
    atomic_int runs, replays, refused;
};

static void *fire(void *argument)
{
    struct crowd *crowd = argument;
    struct http_call call = {.fields = KEY, .body = "{}"};
    switch (http_ask(crowd->http, &call)) {
    case IDEM_HTTP_RUN:
        atomic_fetch_add(&crowd->runs, 1);
        /* Everybody else waits, or is refused. */
        CHECK_SOON(atomic_load(&crowd->refused) == THREADS - 1 - MAY_WAIT);
        CHECK_INT(http_answer(&call, 200, "", "once"), IDEM_HTTP_KEPT);
        break;
    case IDEM_HTTP_WAIT:
        while (call.decision.action == IDEM_HTTP_WAIT) {
            CHECK_INT(idem_http_wait(call.exchange, 1000, &call.decision), IDEM_OK);
        }
        CHECK_INT(call.decision.action, IDEM_HTTP_REPLAY);
        CHECK_BYTES(call.decision.body, call.decision.body_len, "once");
        atomic_fetch_add(&crowd->replays, 1);
        break;
    default:
        CHECK_INT(call.decision.reason, IDEM_HTTP_IN_FLIGHT);
        atomic_fetch_add(&crowd->refused, 1);
    }
    http_free(&call);
    return NULL;
}

static void threads_share_an_engine(void)
{
    for (int round = 0; round < TEST_ROUNDS(25); round++) {
        pthread_t threads[THREADS];
        struct crowd crowd = {.http = http_new(CONFIG(", \"wait\": 3600, \"max_waiters\": 3"))};
        for (int i = 0; i < THREADS; i++) {
            CHECK_INT(pthread_create(&threads[i], NULL, fire, &crowd), 0);
        }
        for (int i = 0; i < THREADS; i++) {
            CHECK_INT(pthread_join(threads[i], NULL), 0);
        }
        CHECK_INT(crowd.runs, 1);
        CHECK_INT(crowd.replays, MAY_WAIT);
        CHECK_INT(crowd.refused, THREADS - 1 - MAY_WAIT);
        http_end(crowd.http);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(a_wait_ends_in_time),
                                    TEST(as_many_wait_as_may),
                                    TEST(each_end_of_the_first_is_heard),
                                    TEST(a_child_counts_for_itself),
                                    TEST(threads_share_an_engine),
                                    {0}});
}
