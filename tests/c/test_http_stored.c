/* Stored responses: what goes in comes out, and no damage to the bytes makes more of them than they are. */
#include "http.h"
#include "http/field.h"
#include "http/stored.h"

static struct idem__buffer store_of(int32_t status, const char *fields, struct idem__span body)
{
    struct idem__buffer out = {0};
    CHECK(idem__stored_begin(&out, status, idem__text_span(fields)));
    idem__buffer_add_span(&out, body);
    CHECK(!out.failed);
    return out;
}

static void check_fields(const char *fields, const char *kept)
{
    struct idem__buffer value = store_of(200, fields, idem__text_span("body"));
    struct idem__stored stored;
    CHECK(idem__stored_read(idem__buffer_span(&value), &stored));
    CHECK_INT(stored.status, 200);
    CHECK_BYTES(stored.fields.at, stored.fields.len, kept);
    CHECK_BYTES(stored.body.at, stored.body.len, "body");
    idem__buffer_free(&value);
}

static void what_a_replay_must_not_have_is_left_out(void)
{
    check_fields("", "");
    check_fields("Content-Type: a/b\r\nX: 1\r\nX:2\r\nx: 1 \r\n",
                 "Content-Type: a/b\r\nX: 1\r\nX: 2\r\nx: 1\r\n");
    check_fields("Set-Cookie: a\r\nset-cookie: b\r\nSet-Cookie2: c\r\nDate: d\r\nDATE: e\r\n", "");
    check_fields("WWW-Authenticate: a\r\nProxy-Authenticate: b\r\nAuthentication-Info: c\r\n"
                 "Proxy-Authentication-Info: d\r\nProxy-Authorization: e\r\n",
                 "");
    check_fields("Keep-Alive: a\r\nTE: b\r\nTrailer: c\r\nTransfer-Encoding: chunked\r\n"
                 "Upgrade: d\r\nProxy-Connection: e\r\nConnection: close\r\n",
                 "");
    check_fields("Content-Length: 4\r\nCache-Control: public\r\nX-Idemkey-Keep: yes\r\n"
                 "Idempotency-Stored: false\r\n",
                 "");
    /* What Connection names is the connection's: RFC 9110, section 7.6.1. */
    check_fields("X-Hop: 1\r\nConnection: close, x-hop ,Other\r\nother: 2\r\nX-Hop2: 3\r\n",
                 "X-Hop2: 3\r\n");
    check_fields("Connection: a\r\nA: 1\r\nB: 2\r\nConnection: b\r\n", "");
}

static void responses_come_back_as_they_were(void)
{
    static char body[3000];
    for (int round = 0; round < TEST_ROUNDS(2000); round++) {
        char fields[256] = "";
        for (uint64_t i = test_random() % 4; i > 0; i--) {
            char line[32];
            snprintf(line, sizeof(line), "X-%c: %.*s\r\n", (char)('a' + test_random() % 26),
                     (int)(test_random() % 9), "a: \xc3\xa9;c");
            strcat(fields, line);
        }
        const int32_t status = (int32_t)(200 + test_random() % 400);
        const size_t len = test_random() % (round % 10 ? 100 : sizeof(body));
        for (size_t i = 0; i < len; i++) {
            body[i] = (char)test_random();
        }
        struct idem__buffer value = store_of(status, fields, idem__span(body, len));
        struct idem__stored stored;
        CHECK(idem__stored_read(idem__buffer_span(&value), &stored));
        CHECK_INT(stored.status, status);
        CHECK(idem__span_equals(stored.body, idem__span(body, len)));
        struct idem__span given = idem__text_span(fields), kept = stored.fields;
        struct idem__field one, two;
        while (idem__field_next(&given, &one) == FIELD_GOT) {
            CHECK_INT(idem__field_next(&kept, &two), FIELD_GOT);
            CHECK(idem__span_equals(one.name, two.name) && idem__span_equals(one.value, two.value));
        }
        CHECK_INT(kept.len, 0);
        idem__buffer_free(&value);
    }
}

static void impossible_responses_are_not_stored(void)
{
    static const int32_t statuses[] = {INT32_MIN, -1, 0, 99, 100, 101, 199, 600, 999, INT32_MAX};
    struct idem__buffer out = {0};
    for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
        CHECK(!idem__stored_begin(&out, statuses[i], idem__text_span("")));
    }
    CHECK(!idem__stored_begin(&out, 200, idem__text_span("A: 1\r\nB\r\n")));
    CHECK(!idem__stored_begin(&out, 200, idem__text_span("A: 1\r\nB: \x01\r\n")));
    CHECK_INT(out.len, 0);
    idem__buffer_free(&out);
}

/* Reads exactly `len` bytes at their own place on the heap; what comes out must lie within them. */
static bool read_copy(const char *bytes, size_t len)
{
    struct idem__stored stored;
    struct idem_http_decision decision;
    const char *fields = NULL;
    size_t fields_len = 0;
    char *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    const bool good = idem__stored_read(idem__span(copy, len), &stored);
    if (good) {
        CHECK(stored.status >= 200 && stored.status <= 599);
        CHECK(stored.fields.at >= copy && stored.fields.len <= len);
        CHECK(stored.body.at == stored.fields.at + stored.fields.len);
        CHECK(stored.body.at + stored.body.len == copy + len);
        struct idem__field field;
        enum idem__field_step step;
        fields = stored.fields.at;
        fields_len = stored.fields.len;
        while ((step = idem__field_next(&stored.fields, &field)) == FIELD_GOT) {
        }
        CHECK_INT(step, FIELD_END);
    }
    idem_http_decision_init(&decision, sizeof(decision));
    CHECK_INT(idem_http_stored(copy, len, &decision), good ? IDEM_OK : IDEM_ECORRUPT);
    if (good) {
        CHECK_INT(decision.status, stored.status);
        CHECK(decision.fields == fields && decision.fields_len == fields_len);
        CHECK(decision.body == stored.body.at && decision.body_len == stored.body.len);
    }
    free(copy);
    return good;
}

static void truncations_and_flipped_bytes_stay_in_bounds(void)
{
    static const char fields[] = "Content-Type: application/json\r\nX-A: 1\r\nX-B: \r\n";
    enum { BODY = 7, HEAD = 8 };
    struct idem__buffer value = store_of(201, fields, idem__text_span("{\"a\":1}"));
    const size_t head_and_fields = value.len - BODY;
    for (size_t len = 0; len <= value.len; len++) {
        /* Cut in its body it is a shorter response: the store keeps the length. */
        CHECK(read_copy(value.at, len) == (len >= head_and_fields));
    }
    for (size_t i = 0; i < value.len; i++) {
        for (int bits = 1; bits < 256; bits++) {
            value.at[i] ^= (char)bits;
            const bool good = read_copy(value.at, value.len);
            CHECK(i > 1 || !good);              /* the version; the byte that is zero */
            CHECK(i != 7 || !good);             /* a length of 16 MiB */
            CHECK(i < head_and_fields || good); /* the body is any bytes */
            value.at[i] ^= (char)bits;
        }
    }
    idem__buffer_free(&value);
}

static void random_bytes_stay_in_bounds(void)
{
    char bytes[64];
    int good = 0;
    for (int round = 0; round < TEST_ROUNDS(50000); round++) {
        const size_t len = test_random() % sizeof(bytes);
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)test_random();
        }
        if (len >= 8 && round % 4) { /* near to a response */
            memcpy(bytes, "\1\0\xc8\0\0\0\0", 7);
            bytes[4] = (char)(test_random() % (len - 7));
            bytes[7] = 0;
            for (size_t i = 8; i < len && round % 4 == 2; i++) {
                bytes[i] = "a: \r\n"[test_random() % 5];
            }
        }
        good += read_copy(bytes, len);
    }
    CHECK(good > 0);
}

static void what_is_no_value_is_no_response(void)
{
    struct idem_http_decision decision;
    idem_http_decision_init(&decision, sizeof(decision));
    CHECK_INT(idem_http_stored(NULL, 0, &decision), IDEM_ECORRUPT); /* "not kept" */
    CHECK_INT(idem_http_stored(NULL, 1, &decision), IDEM_EINVAL);
    CHECK_INT(idem_http_stored("x", 1, NULL), IDEM_EINVAL);
    decision.size--;
    CHECK_INT(idem_http_stored("x", 1, &decision), IDEM_EINVAL);
}

int main(void)
{
    return test_run((struct test[]){TEST(what_a_replay_must_not_have_is_left_out),
                                    TEST(responses_come_back_as_they_were),
                                    TEST(impossible_responses_are_not_stored),
                                    TEST(truncations_and_flipped_bytes_stay_in_bounds),
                                    TEST(random_bytes_stay_in_bounds),
                                    TEST(what_is_no_value_is_no_response),
                                    {0}});
}
