/*
 * fuzz_http.c - a libFuzzer target: what clients, applications, operators and the store's bytes may hand to the
 * HTTP engine. An input is one text for one of the engine's readers, or a list of steps on several exchanges.
 *
 * Every text lies at a place of its own, so that AddressSanitizer sees a byte read too far.
 */
#include <inttypes.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "exchanges.h"
#include "host.h"
#include "http/canon.h"
#include "http/field.h"
#include "http/key.h"
#include "http/pattern.h"
#include "http/stored.h"
#include "promises.h"
#include "scarce.h"

#define TEXT_MAX 500u
#define TEMPLATE_EMPTY 0u
#define TEMPLATE_FULL 5u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t inputs;

/* All that is left of the input. */
static struct idem__span take_rest(struct input *input)
{
    struct idem__span rest = {owned(input, input->left ? input->left : 1), input->left};
    memcpy((char *)(uintptr_t)rest.at, input->data, rest.len); /* NOLINT: ours */
    input->left = 0;
    return rest;
}

/* Written out and read again, fields are the same: what is left of the block is told to be malformed. */
static void read_fields(struct input *input)
{
    const struct idem__span block = take_rest(input);
    struct idem__span rest = block, again;
    struct idem__buffer written = {0};
    struct idem__field one, two;
    enum idem__field_step step;
    while ((step = idem__field_next(&rest, &one)) > FIELD_END) {
        EXPECT(one.name.at >= block.at && one.value.at + one.value.len <= block.at + block.len);
        EXPECT(idem__field_name_ok(one.name));
        idem__buffer_clear(&written);
        idem__field_add(&written, one);
        again = idem__buffer_span(&written);
        EXPECT(idem__field_next(&again, &two) == step && again.len == 0);
        EXPECT(idem__span_equals(one.name, two.name) && idem__span_equals(one.value, two.value));
        (void)idem__field_kept(one.name);
        EXPECT(idem__field_number(one.value) >= -1);
        while (idem__field_list_next(&one.value, &two.name)) {
            EXPECT(!two.name.len || !memchr(two.name.at, ',', two.name.len));
        }
    }
    EXPECT(step == FIELD_MALFORMED || rest.len == 0);
    idem__buffer_free(&written);
}

/* A key is visible ASCII within its limit; quoted, it reads the same. */
static void read_key(struct input *input)
{
    const enum idem__key_rule rule = (enum idem__key_rule)(take(input, 1) % (KEY_SF_STRICT + 1));
    const size_t max = 1 + take(input, 1);
    const struct idem__span value = take_rest(input);
    struct idem__buffer key = {0}, again = {0}, quoted = {0};
    if (idem__key_read(rule, max, value, &key) == NULL) {
        EXPECT(key.len > 0 && key.len <= max);
        idem__buffer_add_text(&quoted, "\"");
        for (size_t i = 0; i < key.len; i++) {
            EXPECT(key.at[i] >= ' ' && key.at[i] <= '~');
            if (key.at[i] == '"' || key.at[i] == '\\') {
                idem__buffer_add_text(&quoted, "\\");
            }
            idem__buffer_add(&quoted, &key.at[i], 1);
        }
        idem__buffer_add_text(&quoted, "\"");
        EXPECT(idem__key_read(KEY_SF_STRICT, max, idem__buffer_span(&quoted), &again) == NULL);
        EXPECT(idem__span_equals(idem__buffer_span(&key), idem__buffer_span(&again)));
    }
    idem__buffer_free(&key);
    idem__buffer_free(&again);
    idem__buffer_free(&quoted);
}

/* A good pattern without wildcards matches itself, and one with them what they stand for. */
static void match_pattern(struct input *input)
{
    size_t method_len, path_len;
    const char *method = take_text(input, 8, &method_len), *path = take_text(input, 40, &path_len);
    const struct idem__span rest = take_rest(input);
    char *pattern = owned(input, rest.len + 1);
    memcpy(pattern, rest.at, rest.len);
    const char *wrong = idem__pattern_wrong(pattern);
    if (wrong == NULL) {
        const char *own = strchr(pattern, '/');
        const struct idem__span methods = idem__pattern_methods(pattern);
        struct idem__span list = methods, first = {0};
        (void)idem__field_list_next(&list, &first);
        EXPECT(own && idem__pattern_matches(pattern, first, idem__text_span(own)));
        EXPECT(!methods.len || idem__pattern_has_method(methods, first));
        (void)idem__pattern_matches(pattern, idem__span(method, method_len),
                                    idem__span(path, path_len));
    }
}

/* A canonical form means itself. */
static void read_json(struct input *input)
{
    struct idem__buffer form = {0}, again = {0};
    if (idem__canon_json(take_rest(input), &form) == CANON_DONE) {
        /* In an array of one. */
        EXPECT(form.len > 2 && form.at[0] == '[' && form.at[form.len - 1] == ']');
        EXPECT(idem__canon_json(idem__span(form.at + 1, form.len - 2), &again) == CANON_DONE);
        EXPECT(idem__span_equals(idem__buffer_span(&form), idem__buffer_span(&again)));
    } else {
        EXPECT(form.len == 0);
    }
    idem__buffer_free(&form);
    idem__buffer_free(&again);
}

/* What a region's bytes may hold in the place of a response. */
static void read_stored(struct input *input)
{
    const struct idem__span value = take_rest(input);
    struct idem_http_decision decision;
    struct idem__buffer written = {0};
    idem_http_decision_init(&decision, sizeof decision);
    const int status = idem_http_stored(value.at, value.len, &decision);
    EXPECT(status == IDEM_OK || status == IDEM_ECORRUPT);
    if (status == IDEM_OK) {
        const struct idem__span fields = {decision.fields, decision.fields_len};
        const struct idem__span body = {decision.body, decision.body_len};
        EXPECT(fields.at >= value.at && body.at == fields.at + fields.len);
        EXPECT(body.at + body.len == value.at + value.len);
        EXPECT(idem__stored_begin(&written, decision.status, fields));
    }
    idem__buffer_free(&written);
}

/* What an application answers comes back, but for the fields that a replay must not have. */
static void store_and_read(struct input *input)
{
    const int32_t status = (int32_t)(take(input, 2) % 700);
    size_t fields_len;
    const char *fields = take_text(input, 200, &fields_len);
    const struct idem__span body = take_rest(input);
    struct idem__buffer value = {0}, again = {0};
    struct idem__stored stored;
    if (idem__stored_begin(&value, status, idem__span(fields, fields_len))) {
        idem__buffer_add_span(&value, body);
        EXPECT(idem__stored_read(idem__buffer_span(&value), &stored));
        EXPECT(stored.status == status && idem__span_equals(stored.body, body));
        EXPECT(idem__stored_begin(&again, status, stored.fields));
        idem__buffer_add_span(&again, body);
        EXPECT(idem__span_equals(idem__buffer_span(&value), idem__buffer_span(&again)));
    }
    idem__buffer_free(&value);
    idem__buffer_free(&again);
}

static idem_store *store_begin(struct input *input, struct idem__region **region)
{
    idem_store *store;
    const struct template *template =
        &templates[take(input, 1) % 8 ? TEMPLATE_EMPTY : TEMPLATE_FULL];
    *host_now_ms = template->now_ms;
    image_write(&template->image);
    EXPECT(idem_open(image_path, NULL, &store) == IDEM_OK);
    *region = guard_begin(store);
    return store;
}

static void store_end(idem_store *store, struct idem__region *region)
{
    struct idem_report report = {.size = sizeof report};
    EXPECT(idem_check(store, &report) == IDEM_OK);
    guard_end();
    EXPECT(idem_close(store) == IDEM_OK);
    host_forget(region);
}

/* It is refused with a message, or a request can be made under it. */
static void try_config(idem_store *store, const char *config, size_t len)
{
    static const char fields[] =
        "Idempotency-Key: k1\r\nX-Idempotency-Key: k1\r\nAuthorization: a\r\n";
    char err[256];
    idem_http *http;
    memset(err, 1, sizeof err);
    const int status = idem_http_new(store, config, len, &http, err, sizeof err);
    const bool scarce = scarce_end();
    EXPECT(status == IDEM_OK || status == IDEM_EINVAL || (status == IDEM_ESYS && scarce));
    EXPECT((http != NULL) == (status == IDEM_OK));
    EXPECT(memchr(err, '\0', sizeof err) && (*err != '\0') == (status != IDEM_OK));
    if (status == IDEM_OK) {
        struct idem_http_decision decision;
        idem_http_exchange *exchange;
        for (const char *name = idem_http_wanted(http); *name; name += strlen(name) + 1) {
            EXPECT(idem__field_name_ok(idem__text_span(name)));
        }
        idem_http_decision_init(&decision, sizeof decision);
        EXPECT(idem_http_begin(http, "POST", 4, "/v1", 3, NULL, 0, fields, strlen(fields), "p", 1,
                               &exchange, &decision) == IDEM_OK);
        decision_is_sound(&decision);
        if (decision.action == IDEM_HTTP_NEED_BODY) {
            EXPECT(idem_http_decide(exchange, &decision) == IDEM_OK);
            decision_is_sound(&decision);
        }
        idem_http_free(exchange);
        idem_http_delete(http);
    }
}

static void read_config(struct input *input)
{
    struct idem__region *region;
    idem_store *store = store_begin(input, &region);
    const struct idem__span config = take_rest(input);
    try_config(store, config.at, config.len);
    store_end(store, region);
}

/* Members that there are, with values that are right for one or another. */
static void build_config(struct input *input)
{
    static const char *const names[] = {"profile",
                                        "headers",
                                        "methods",
                                        "applies_to",
                                        "required",
                                        "key_rule",
                                        "key_max",
                                        "key_scope",
                                        "canonical",
                                        "fingerprint",
                                        "on_mismatch",
                                        "on_busy",
                                        "wait",
                                        "max_waiters",
                                        "retry_after",
                                        "replay_marker",
                                        "keeps",
                                        "ttl",
                                        "ttl_base",
                                        "error_form",
                                        "on_crash",
                                        "crash_grace",
                                        "on_store_failure",
                                        "max_request",
                                        "max_response",
                                        "retention_header",
                                        "conflict_code",
                                        "bad_key_message",
                                        "idempotent",
                                        "principal"};
    static const char *const values[] = {"null",
                                         "true",
                                         "false",
                                         "0",
                                         "1",
                                         "0.5",
                                         "2",
                                         "400",
                                         "422",
                                         "86400",
                                         "1e9",
                                         "-1",
                                         "\"\"",
                                         "\"ietf\"",
                                         "\"stripe\"",
                                         "\"entities\"",
                                         "\"nextapi-v1\"",
                                         "\"noticia\"",
                                         "\"Authorization\"",
                                         "\"@caller\"",
                                         "\"X-A\"",
                                         "[\"X-A\",\"X-B\"]",
                                         "[\"*\"]",
                                         "[\"POST\"]",
                                         "[\"POST /v1\"]",
                                         "[\"/**\"]",
                                         "\"text\"",
                                         "\"uuid\"",
                                         "\"sf\"",
                                         "\"sf-strict\"",
                                         "\"account\"",
                                         "\"endpoint\"",
                                         "\"endpoint-method\"",
                                         "\"json\"",
                                         "\"bytes\"",
                                         "\"blake2b\"",
                                         "\"replay\"",
                                         "\"all\"",
                                         "\"forever\"",
                                         "\"completion\"",
                                         "\"code\"",
                                         "\"error\"",
                                         "\"error-with-key\"",
                                         "\"message\"",
                                         "\"problem\"",
                                         "\"hold\"",
                                         "\"run\"",
                                         "\"Set-Cookie\"",
                                         "\"\\u00e9\\\"\"",
                                         "{}"};
    struct idem__region *region;
    idem_store *store = store_begin(input, &region);
    struct idem__buffer config = {0};
    bool in_route = false;
    const uint32_t scarce = take(input, 1) % 4 == 0 ? (uint32_t)take(input, 1) : UINT32_MAX;
    idem__buffer_add_text(&config, "{\"principal\":null");
    while (input->left > 0) {
        const uint64_t name = take(input, 1);
        if (name == 255 && !in_route) {
            in_route = true;
            idem__buffer_add_text(&config, ",\"routes\":[{\"match\":\"POST /v1\"");
        } else if (name == 255) {
            idem__buffer_add_text(&config, "},{\"match\":\"/**\"");
        }
        idem__buffer_format(&config, ",\"%s\":%s",
                            names[name % (sizeof names / sizeof names[0] - 1)],
                            values[take(input, 1) % (sizeof values / sizeof values[0])]);
    }
    idem__buffer_add_text(&config, in_route ? "}]}" : "}");
    if (!config.failed) {
        scarce_after(scarce); /* UINT32_MAX: never */
        try_config(store, config.at, config.len);
    }
    idem__buffer_free(&config);
    store_end(store, region);
}

static void run_exchanges(struct input *input)
{
    struct idem__region *region;
    idem_store *store = store_begin(input, &region);
    exchanges_run(store, input);
    store_end(store, region);
}

static void print_figures(void)
{
    printf("inputs %" PRIu64 "\n", inputs);
    promises_print();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    EXPECT(sodium_init() >= 0);
    host_begin();
    templates_begin();
    image_file_begin();
    atexit(print_figures);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct input *) = {
        read_fields, read_key,     match_pattern, read_json,     read_stored,   store_and_read,
        read_config, build_config, run_exchanges, run_exchanges, run_exchanges, run_exchanges};
    struct input input = {.data = data, .left = size};
    kinds[take(&input, 1) % (sizeof kinds / sizeof kinds[0])](&input);
    drop_owned(&input);
    inputs++;
    return 0;
}
