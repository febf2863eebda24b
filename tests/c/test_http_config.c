/* Configurations: what is wrong is told by member, value, limit and what to do; what is right counts. */
#include "http.h"
#include "http/bytes.h"

static idem_store *store;

/* The message about a configuration that must be wrong. Static storage. */
static const char *refusal(const char *config, size_t len)
{
    static char err[2048];
    idem_http *http = (void *)&http;
    /* Its bytes alone: AddressSanitizer sees one that is read too far. */
    char *copy = malloc(len ? len : 1);
    memcpy(copy, config, len);
    memset(err, 'x', sizeof(err));
    const int status = idem_http_new(store, copy, len, &http, err, sizeof(err));
    free(copy);
    CHECK_INT(status, IDEM_EINVAL);
    CHECK(http == NULL);
    const size_t told = strnlen(err, sizeof(err));
    CHECK(told > 0 && told < sizeof(err));
    for (size_t i = 0; i < told; i++) {
        CHECK(err[i] >= ' ' && err[i] <= '~');
    }
    return err;
}

/* Refused, with a message that has each of the parts, separated by "|"; one that ends by "$" ends it. */
static void check_refused(const char *config, const char *parts)
{
    const char *message = refusal(config, strlen(config));
    char wanted[512];
    snprintf(wanted, sizeof(wanted), "%s", parts);
    for (char *part = strtok(wanted, "|"); part != NULL; part = strtok(NULL, "|")) {
        const size_t len = strcspn(part, "$"); /* at the end */
        const char *at = memmem(message, strlen(message), part, len);
        if (at == NULL || (part[len] == '$' && at[len] != '\0')) {
            TEST_FAIL("of %s it says \"%s\", which lacks \"%s\"", config, message, part);
        }
    }
}

static idem_http *made(const char *config)
{
    char err[2048];
    idem_http *http;
    if (idem_http_new(store, config, strlen(config), &http, err, sizeof(err)) != IDEM_OK) {
        TEST_FAIL("%s is refused: %s", config, err);
    }
    CHECK_INT(strlen(err), 0);
    return http;
}

/* Each value that a member must not have, and what the message says must be instead. */
static void each_member_is_checked(void)
{
    static const struct {
        const char *name, *values[6], *wanted;
    } cases[] = {
        {"idempotent", {"1", "\"yes\"", "null"}, "true or false"},
        {"headers",
         {"\"Idempotency-Key\"", "[]", "[\"a b\"]", "[\"A\",\"a\"]",
          "[\"a\",\"b\",\"c\",\"d\",\"e\"]", "[1]"},
         "a list of 1 to 4 different header names"},
        {"methods",
         {"\"POST\"", "[]", "[\"post\"]", "[\"POST\",\"POST\"]", "[\"*\",\"POST\"]", "[\"\"]"},
         "a list of 1 to 32 methods in capitals, or [\"*\"] for all"},
        {"applies_to",
         {"[]", "\"/a\"", "[1]", "[\"/a\",\"/a\"]", "{}"},
         "null, or a list of 1 to 32 patterns such as \"POST /v1/*\""},
        {"required", {"0", "\"\"", "[]"}, "true or false"},
        {"key_rule",
         {"\"UUID\"", "4", "null"},
         "one of \"text\", \"uuid\", \"uuid4\", \"sf\", \"sf-strict\""},
        {"key_max", {"0", "1025", "1.5", "-1", "\"255\"", "255.0"}, "a whole number of 1 to 1024"},
        {"key_scope",
         {"\"path\"", "false"},
         "one of \"account\", \"endpoint\", \"endpoint-method\""},
        {"canonical", {"\"JSON\"", "true"}, "one of \"bytes\", \"json\""},
        {"fingerprint", {"\"sha256\"", "null"}, "one of \"xxh3\", \"blake2b\""},
        {"on_mismatch",
         {"399", "500", "200", "\"run\"", "null"},
         "a whole number of 400 to 499, or \"replay\""},
        {"on_busy", {"399", "500", "\"replay\""}, "a whole number of 400 to 499"},
        {"wait",
         {"-1", "3601", "\"forever\"", "null", "-0.001"},
         "a number of seconds of 0 to 3600"},
        {"max_waiters", {"-1", "100001", "1.5"}, "a whole number of 0 to 100000"},
        {"retry_after", {"0", "3601", "0.5"}, "a whole number of 1 to 3600"},
        {"replay_marker", {"\"\"", "\"a b\"", "false", "\"a:\""}, "a header's name, or null"},
        {"keeps", {"\"none\"", "true"}, "one of \"decided\", \"all\""},
        {"ttl",
         {"0", "0.5", "-1", "315360001", "\"never\"", "null"},
         "a number of seconds of 1 to 315360000, or \"forever\""},
        {"ttl_base", {"\"now\"", "1"}, "one of \"claim\", \"completion\""},
        {"error_form",
         {"\"json\"", "null"},
         "one of \"problem\", \"error\", \"error-with-key\", \"message\", \"code\", \"stripe\""},
        {"on_crash", {"\"run\"", "false"}, "one of \"reclaim\", \"hold\""},
        {"crash_grace", {"-1", "2592001", "\"1\""}, "a number of seconds of 0 to 2592000"},
        {"on_store_failure", {"\"pass\"", "null"}, "one of \"refuse\", \"run\""},
        {"max_request", {"-1", "1073741825", "1000.0"}, "a whole number of 0 to 1073741824"},
        {"max_response", {"-1", "1073741825", "\"1\""}, "a whole number of 0 to 1073741824"},
        {"retention_header", {"\"\"", "1", "\"a b\""}, "a header's name, or null"},
        {"conflict_code", {"\"\"", "null", "1"}, "a text that is not empty"},
        {"bad_key_message", {"\"\"", "false"}, "a text that is not empty, or null"},
        {"principal",
         {"true", "\"\"", "\"a b\"", "\"@other\"", "[]", "1"},
         "the name of the header that says who sends a request, \"@caller\" where the engine's "
         "caller tells, or null for one space for all callers"},
        {"profile",
         {"\"IETF\"", "\"\"", "null", "1"},
         "one of nextapi-v2, entities, nextapi-v1, noticia, nextsign, ietf, stripe"},
    };
    store = store_open();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (int v = 0; v < 6 && cases[i].values[v]; v++) {
            const bool own = strcmp(cases[i].name, "principal") == 0;
            char config[300], parts[300];
            snprintf(config, sizeof(config), "{%s\"%s\": %s}", own ? "" : "\"principal\": null, ",
                     cases[i].name, cases[i].values[v]);
            snprintf(parts, sizeof(parts), "%s is %s and must be %s$", cases[i].name,
                     cases[i].values[v], cases[i].wanted);
            check_refused(config, parts);
        }
    }
    store_end(store);
}

/* The least and the most that each may be. */
static void limits_are_within(void)
{
    static const char *const good[] = {
        "\"key_max\": 1",
        "\"key_max\": 1024",
        "\"on_mismatch\": 400",
        "\"on_mismatch\": 499",
        "\"on_mismatch\": \"replay\"",
        "\"on_busy\": 400",
        "\"on_busy\": 499",
        "\"wait\": 0",
        "\"wait\": 3600",
        "\"wait\": 0.25",
        "\"max_waiters\": 0",
        "\"max_waiters\": 100000",
        "\"retry_after\": 1",
        "\"retry_after\": 3600",
        "\"ttl\": 1",
        "\"ttl\": 1.5",
        "\"ttl\": 315360000",
        "\"ttl\": \"forever\"",
        "\"crash_grace\": 0",
        "\"crash_grace\": 2592000",
        "\"max_request\": 0",
        "\"max_request\": 1073741824",
        "\"max_response\": 0",
        "\"max_response\": 1073741824",
        "\"headers\": [\"a\",\"b\",\"c\",\"d\"]",
        "\"methods\": [\"*\"]",
        "\"methods\": [\"POST\",\"QUERY\"]",
        "\"applies_to\": [\"/a\",\"PATCH /a\"]",
        "\"applies_to\": null",
        "\"replay_marker\": null",
        "\"retention_header\": \"X-Left\"",
        "\"bad_key_message\": null",
        "\"routes\": []",
    };
    store = store_open();
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        char config[200];
        snprintf(config, sizeof(config), "{\"principal\": false, %s}", good[i]);
        idem_http_delete(made(config));
    }
    store_end(store);
}

static void what_is_no_configuration_is_told(void)
{
    store = store_open();
    check_refused("", "config is no JSON object");
    check_refused("[]", "config is no JSON object");
    check_refused("\"x\"", "config is no JSON object");
    check_refused("{\"principal\": null,}", "config is no JSON object|line 1");
    check_refused("{\n\"principal\": nil}", "line 2");
    check_refused("{\"principal\": null} x", "config is no JSON object");
    check_refused("{\"principal\": null, \"principal\": null}", "duplicate|principal");
    check_refused("{}", "principal is missing|\"@caller\"|null for one space");
    check_refused("{\"profile\": \"stripe\"}", "principal is missing");
    check_refused("{\"profile\": \"nextsign\"}", "principal is missing");
    check_refused(
        "{\"principal\": null, \"tll\": 60}",
        "\"tll\" is no field; there are profile, routes, idempotent, |, bad_key_message$");
    check_refused("{\"principal\": null, \"match\": \"/a\"}", "\"match\" is no field");
    check_refused("{\"principal\": null, \"\": 1}", "\"\" is no field");
    check_refused("{\"principal\": \"a\\u0000b\"}", "config is no JSON object");
    check_refused("{\"principal\": null, \"replay_marker\": \"Set-Cookie\"}",
                  "replay_marker is \"Set-Cookie\"|another header");
    check_refused("{\"principal\": null, \"retention_header\": \"content-length\"}",
                  "retention_header is \"content-length\"|another header");
    CHECK(strstr(refusal("{\"principal\": \"\xff\"}", 18), "config is no JSON object"));
    CHECK(strstr(refusal("{\"principal\": null}\0", 20), "config is no JSON object"));
    store_end(store);
}

static void routes_are_checked_at_start(void)
{
    store = store_open();
    check_refused("{\"principal\": null, \"routes\": {}}", "routes must be a list");
    check_refused("{\"principal\": null, \"routes\": null}", "routes must be a list");
    check_refused("{\"principal\": null, \"routes\": [1]}", "routes[0] needs \"match\"");
    check_refused("{\"principal\": null, \"routes\": [{\"ttl\": 60}]}",
                  "routes[0] needs \"match\"");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"/a\"}, {\"match\": 1}]}",
                  "routes[1] needs \"match\"");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"a\"}]}",
                  "routes[0] (\"a\"): match|slash");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"/caf\xc3\xa9\"}]}",
                  "routes[0]|caf\\u00E9|percent-encoded");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"/a\", \"tll\": 1}]}",
                  "routes[0] (\"/a\"): \"tll\" is no field|match");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"/a\", \"routes\": []}]}",
                  "\"routes\" is no field");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"/a\", \"ttl\": 0}]}",
                  "routes[0] (\"/a\"): ttl is 0|1 to 315360000");
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"/a\", \"profile\": \"x\"}]}",
                  "routes[0] (\"/a\"): profile is \"x\"|ietf");
    check_refused("{\"principal\": null, \"applies_to\": [\"a\"]}", "applies_to is \"a\"|slash");
    /* It would go on untouched. */
    check_refused("{\"principal\": null, \"routes\": [{\"match\": \"POST,DELETE /a\"}]}",
                  "routes[0]|DELETE|methods");
    check_refused("{\"principal\": null, \"applies_to\": [\"POST /a\", \"PUT /b\"]}",
                  "applies_to names PUT, which is not in methods");
    check_refused("{\"principal\": null, \"profile\": \"entities\", \"methods\": [\"PUT\"]}",
                  "applies_to names POST");
    idem_http_delete(made("{\"principal\": null, \"applies_to\": [\"PATCH /a\", \"/b\"]}"));
    idem_http_delete(made("{\"principal\": null, \"routes\": [{\"match\": \"DELETE /a\", "
                          "\"idempotent\": false}, {\"match\": \"DELETE /b\", \"methods\": "
                          "[\"DELETE\"]}]}"));
    /* As many as are allowed, and one more. */
    struct idem__buffer config = {0};
    for (int routes = 1000; routes <= 1001; routes++) {
        idem__buffer_clear(&config);
        idem__buffer_add_text(&config, "{\"principal\": null, \"routes\": [");
        for (int i = 0; i < routes; i++) {
            idem__buffer_format(&config, "%s{\"match\": \"/r/%d\"}", i ? "," : "", i);
        }
        idem__buffer_add_text(&config, "]}");
        if (routes == 1000) {
            idem_http_delete(made(idem__buffer_text(&config)));
        } else {
            check_refused(idem__buffer_text(&config), "at most 1000");
        }
    }
    idem__buffer_free(&config);
    store_end(store);
}

/* However long and strange a value, the message is short and readable, and fits where it must. */
static void messages_are_cut(void)
{
    enum { LONG = 2000 };
    char *config = malloc(LONG + 100);
    static const char *const templates[] = {
        "{\"principal\": null, \"ttl\": \"%s\"}", "{\"principal\": null, \"%s\": 1}",
        "{\"principal\": null, \"profile\": \"%s\"}", "{\"principal\": \"%s\"}",
        "{\"principal\": null, \"routes\": [{\"match\": \"%s\"}]}"};
    char *value = malloc(LONG + 1);
    store = store_open();
    for (size_t t = 0; t < sizeof(templates) / sizeof(*templates); t++) {
        for (size_t i = 0; i < LONG; i += 2) {
            memcpy(value + i, "\xc3\xa9", 2);
        }
        value[LONG] = '\0';
        snprintf(config, LONG + 100, templates[t], value); /* NOLINT: of this table */
        const char *message = refusal(config, strlen(config));
        CHECK(strlen(message) < 1000);
        CHECK(strstr(message, "\\u00E9") && strstr(message, "..."));
        for (size_t size = 0; size < 4; size++) {
            char cut[4] = {'?', '?', '?', '?'};
            idem_http *http;
            CHECK_INT(idem_http_new(store, config, strlen(config), &http, cut, size), IDEM_EINVAL);
            CHECK(size == 0 ? cut[0] == '?' : strlen(cut) == size - 1);
            CHECK(cut[size] == '?');
        }
    }
    free(config);
    free(value);
    store_end(store);
}

static void misuse_is_refused(void)
{
    static const char config[] = "{\"principal\": null}";
    char err[200];
    idem_http *http = (void *)&http;
    store = store_open();
    CHECK_INT(idem_http_new(NULL, config, strlen(config), &http, err, sizeof(err)), IDEM_EINVAL);
    CHECK(http == NULL && strstr(err, "store"));
    CHECK_INT(idem_http_new(store, NULL, 0, &http, err, sizeof(err)), IDEM_EINVAL);
    CHECK(http == NULL && strstr(err, "config"));
    CHECK_INT(idem_http_new(store, config, strlen(config), NULL, err, sizeof(err)), IDEM_EINVAL);
    CHECK(strstr(err, "http"));
    CHECK_INT(idem_http_new(store, "{}", 2, &http, NULL, 100), IDEM_EINVAL);
    CHECK_INT(strcmp(idem_http_wanted(NULL), ""), 0);
    CHECK_INT(idem_http_wants_principal(NULL), 0);
    idem_http_delete(NULL);
    idem_store *closed = store;
    store_end(store);
    CHECK_INT(idem_http_new(closed, config, strlen(config), &http, err, sizeof(err)), IDEM_EINVAL);
}

/* The names that a binding must hand over: lower case, once each, ended by an empty one. */
static void check_wanted(const char *config, const char *names)
{
    idem_http *http = made(config);
    char got[300] = "";
    for (const char *at = idem_http_wanted(http); *at; at += strlen(at) + 1) {
        strcat(strcat(got, at), " ");
    }
    if (strcmp(got, names) != 0) {
        TEST_FAIL("%s wants %s, not %s", config, got, names);
    }
    idem_http_delete(http);
}

static void the_fields_that_are_read_are_told(void)
{
    store = store_open();
    check_wanted("{\"principal\": null}", "idempotency-key content-length ");
    check_wanted("{\"principal\": \"@caller\"}", "idempotency-key content-length ");
    check_wanted("{\"principal\": \"X-API-Key\", \"profile\": \"nextapi-v2\"}",
                 "x-idempotency-key x-api-key content-length content-type ");
    check_wanted("{\"principal\": \"Authorization\", \"profile\": \"entities\"}",
                 "idempotency-key x-idempotency-key authorization content-length ");
    check_wanted("{\"principal\": \"A\", \"profile\": \"nextsign\"}", "");
    check_wanted("{\"principal\": \"A\", \"routes\": [{\"match\": \"/a\"}, {\"match\": \"/b\", "
                 "\"headers\": [\"X-Key\", \"idempotency-key\"], \"canonical\": \"json\"}]}",
                 "idempotency-key a content-length x-key content-type ");
    check_wanted(
        "{\"principal\": \"A\", \"profile\": \"nextsign\", \"routes\": [{\"match\": \"/a\", "
        "\"profile\": \"stripe\", \"idempotent\": true, \"principal\": \"B\"}]}",
        "idempotency-key b content-length ");
    store_end(store);
}

/* The base, the profile, what holds for all, the route: the later counts. The first route that fits. */
static void the_nearest_setting_counts(void)
{
    static const char config[] =
        "{\"profile\": \"stripe\", \"principal\": null, \"on_busy\": 425, \"retry_after\": 7,"
        " \"routes\": ["
        "  {\"match\": \"/a/*\", \"on_busy\": 423},"
        "  {\"match\": \"/a/**\", \"idempotent\": false},"
        "  {\"match\": \"/b\", \"profile\": \"noticia\", \"required\": true},"
        "  {\"match\": \"/b\", \"on_busy\": 499}]}";
    static const struct {
        const char *path, *profile, *route;
        int status; /* of the duplicate; 0: it passes */
    } cases[] = {
        {"/", "stripe", "", 425},
        {"/a/x", "stripe", "/a/*", 423},
        {"/a/x/y", "stripe", "/a/**", 0},
        {"/b", "noticia", "/b", 425},
    };
    idem_http *http = http_new(config);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char fields[60];
        snprintf(fields, sizeof(fields), "Idempotency-Key: k%zu\r\n", i);
        struct http_call one = {.path = cases[i].path, .fields = fields}, two = one;
        CHECK_INT(http_ask(http, &one), cases[i].status ? IDEM_HTTP_RUN : IDEM_HTTP_PASS);
        CHECK_INT(strcmp(one.decision.profile, cases[i].profile), 0);
        CHECK_INT(strcmp(one.decision.route, cases[i].route), 0);
        http_ask(http, &two);
        CHECK_INT(two.decision.status, cases[i].status);
        CHECK(!cases[i].status || http_has_line(&two, "Retry-After: 7"));
        http_free(&one);
        http_free(&two);
    }
    struct http_call none = {.path = "/b"};
    CHECK_INT(http_ask(http, &none), IDEM_HTTP_REJECT);
    CHECK_INT(none.decision.reason, IDEM_HTTP_NO_KEY);
    http_free(&none);
    http_end(http);
}

int main(void)
{
    return test_run((struct test[]){TEST(each_member_is_checked),
                                    TEST(limits_are_within),
                                    TEST(what_is_no_configuration_is_told),
                                    TEST(routes_are_checked_at_start),
                                    TEST(messages_are_cut),
                                    TEST(misuse_is_refused),
                                    TEST(the_fields_that_are_read_are_told),
                                    TEST(the_nearest_setting_counts),
                                    {0}});
}
