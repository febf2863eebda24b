/*
 * exchanges.c - see exchanges.h.
 *
 * An input chooses a setup, then steps on a few exchanges at once. Beside the engine stands a model of what
 * it promises: a key (of one caller, and of one endpoint where the setup says so) is run by one exchange at a
 * time; once it is done nothing runs again, and a replay is what was recorded; a call that is not due changes
 * nothing; memory that runs out is told; nothing is left claimed when all exchanges have been freed.
 */
#include "exchanges.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "host.h"
#include "promises.h"
#include "scarce.h"

enum { STEPS_MAX = 64, CALLERS = 3, KEYS = 3, PATHS = 3, METHODS = 2 };
#define LONG_MS ((uint64_t)400 * 86400 * 1000) /* beyond every ttl of the setups */

#define SETUP(more) "{\"principal\": \"Authorization\"" more "}"
static const struct setup setups[] = {
    {.config = SETUP("")},
    {.config = SETUP(", \"wait\": 5, \"max_waiters\": 2, \"max_response\": 40"), .waiters = 2},
    {.config = SETUP(", \"profile\": \"nextapi-v1\", \"on_crash\": \"hold\", \"retention_header\": "
                     "\"X-Left\""),
     .by_path = true,
     .by_method = true},
    {.config = SETUP(", \"profile\": \"nextapi-v2\", \"headers\": [\"Idempotency-Key\"]"),
     .waiters = 64},
    {.config = SETUP(", \"profile\": \"stripe\", \"fingerprint\": \"blake2b\""), .keeps_all = true},
    {.config = SETUP(", \"profile\": \"noticia\", \"crash_grace\": 2, \"max_request\": 30")},
    {.config = SETUP(", \"profile\": \"entities\", \"applies_to\": null, \"key_rule\": \"sf\", "
                     "\"methods\": [\"*\"]"),
     .by_path = true,
     .no_mismatch = true},
    {.config = SETUP(", \"on_store_failure\": \"run\", \"ttl_base\": \"completion\", "
                     "\"canonical\": \"json\", \"max_response\": 0")},
};

/* A caller in two spellings, a key likewise: the second of each means the same. */
static const char *const callers[CALLERS][2] = {
    {"Authorization: Basic YWxpY2U6b2xk\r\n", "authorization: basic YWxpY2U6bmV3\r\n"},
    {"Authorization: alice\r\n", "AUTHORIZATION:alice \r\n"},
    {"Authorization: Bearer b\r\n", "Authorization:\tBearer b\r\n"}};
static const char *const keys[KEYS][2] = {
    {"Idempotency-Key: k1\r\n", "idempotency-key:k1\r\n"},
    {"Idempotency-Key: k2\r\n", "Idempotency-Key: k2 \r\n"},
    {"Idempotency-Key: a-key-that-is-longer-than-others\r\n",
     "Idempotency-Key:\ta-key-that-is-longer-than-others\r\n"}};
static const char *const paths[PATHS] = {"/", "/v1/payouts", "/v1/payouts/1"};
static const char *const methods[METHODS] = {"POST", "PUT"};
static const char *const bodies[] = {"", "{}", "{\"a\":1}", "{ \"a\" : 1.0 }", "[", "x", "12345"};

static idem_http *http;
static idem_store *open_store;
static struct key known[CALLERS][PATHS][METHODS][KEYS];

static struct idem_http_decision fresh(void)
{
    struct idem_http_decision decision;
    idem_http_decision_init(&decision, sizeof decision);
    return decision;
}

static void begin(struct input *input, struct slot *slot)
{
    const uint64_t kind = take(input, 1), which = take(input, 1);
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    char fields[200];
    const char *method = methods[which % METHODS], *path = paths[which / METHODS % PATHS];
    const uint64_t caller = which / 8 % 4 % CALLERS, key = which / 32 % KEYS;
    snprintf(fields, sizeof fields, "%s%s%s", keys[key][kind % 2], callers[caller][kind / 2 % 2],
             kind / 4 % 2 ? "Content-Type: application/json\r\n" : "");
    const int status =
        idem_http_begin(http, method, strlen(method), path, strlen(path), NULL, 0, fields,
                        strlen(fields), NULL, IDEM_HTTP_NO_ONE, &slot->exchange, &decision);
    if (!worked(status, true, false, &before, &decision)) {
        EXPECT(slot->exchange == NULL);
        return;
    }
    if (decision.action == IDEM_HTTP_PASS) {
        EXPECT(slot->exchange == NULL && decision.reason == IDEM_HTTP_NOT_APPLICABLE);
        return;
    }
    EXPECT(decision.action == IDEM_HTTP_NEED_BODY && slot->exchange != NULL);
    slot->stage = BODY;
    slot->key = &known[caller][setup->by_path ? which / METHODS % PATHS : 0]
                      [setup->by_method ? which % METHODS : 0][key];
}

/* A request of any bytes, on an engine of its own space: what it does to its keys is not followed. */
static void begin_anyhow(struct input *input)
{
    size_t method_len, path_len, query_len, fields_len;
    const char *method = take_text(input, 8, &method_len), *path = take_text(input, 20, &path_len);
    const char *query = take_text(input, 4, &query_len),
               *fields = take_text(input, 120, &fields_len);
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    idem_http_exchange *exchange;
    const int status = idem_http_begin(http, method, method_len, path, path_len, query, query_len,
                                       fields, fields_len, NULL, 0, &exchange, &decision);
    EXPECT(worked(status, true, false, &before, &decision) || exchange == NULL);
    /* It goes no further, for its key may be one that is followed. */
    idem_http_free(exchange);
}

/* What a binding does when it is told that there is no memory: nothing has run. */
static void give_up(struct slot *slot)
{
    EXPECT(idem_http_claim(slot->exchange) == NULL);
    idem_http_free(slot->exchange);
    *slot = (struct slot){0};
}

static void body(struct input *input, struct slot *slot)
{
    const char *piece = bodies[take(input, 1) % (sizeof bodies / sizeof bodies[0])];
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    const bool due = slot->stage == BODY;
    const int status = idem_http_body(slot->exchange, piece, strlen(piece), &decision);
    if (worked(status, due, false, &before, &decision)) {
        if (decision.action != IDEM_HTTP_NEED_BODY) {
            EXPECT(decision.action == IDEM_HTTP_REJECT && decision.reason == IDEM_HTTP_TOO_LARGE);
            slot->stage = ENDED;
        }
    } else if (due) {
        give_up(slot);
    }
}

static void decide(struct input *input, struct slot *slot)
{
    const uint64_t kind = take(input, 1);
    const bool waits = kind % 4 == 0;
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    const int64_t timeout_ms = kind == 252 ? -1 : (int64_t)kind * 40;
    const bool due = waits ? slot->stage == WAITING && timeout_ms >= 0
                           : slot->stage == BODY || slot->stage == WAITING;
    const int status = waits ? idem_http_wait(slot->exchange, timeout_ms, &decision)
                             : idem_http_decide(slot->exchange, &decision);
    if (worked(status, due, slot->runs, &before, &decision)) {
        was_told(slot, &decision);
    } else if (due) {
        give_up(slot);
    }
}

static void response(struct input *input, struct slot *slot)
{
    static const int32_t statuses[] = {200, 201, 204, 304, 400, 404, 409,
                                       429, 500, 503, 599, 199, 600};
    static const char *const blocks[] = {"",
                                         "Content-Type: a/b\r\nX: 1\r\nx:2\r\n",
                                         "X-Idemkey-Keep: yes\r\n",
                                         "X-Idemkey-Keep: no\r\nSet-Cookie: a\r\n",
                                         "Connection: X, close\r\nX: 1\r\nDate: d\r\n",
                                         "malformed"};
    const uint64_t kind = take(input, 1), which = take(input, 1);
    const int32_t code = statuses[kind % (sizeof statuses / sizeof statuses[0])];
    const uint64_t block = which % 6;
    const bool unrouted = which / 8 % 2;
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    const bool due = slot->stage == RUNNING && block != 5 && code >= 200 && code <= 599;
    const int status = idem_http_response(slot->exchange, code, blocks[block],
                                          strlen(blocks[block]), unrouted, &decision);
    if (worked(status, due, slot->runs, &before, &decision)) {
        EXPECT(decision.action == IDEM_HTTP_BUFFER);
        EXPECT(decision.strip == (block == 2 || block == 3));
        slot->stage = HELD;
        slot->status = code;
        slot->answer_len = 0;
        slot->keep = block == 2 ||
                     (block != 3 && (setup->keeps_all ||
                                     (code < 500 && code != 429 && !(code == 404 && unrouted))));
    }
}

static void data(struct input *input, struct slot *slot)
{
    static const char pieces[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    const size_t len = take(input, 1) % sizeof pieces;
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    if (slot->answer_len + len > ANSWER_MAX) {
        return;
    }
    const int status = idem_http_data(slot->exchange, pieces, len, &decision);
    if (worked(status, slot->stage == HELD || slot->stage == STREAM, true, &before, &decision)) {
        memcpy(slot->answer + slot->answer_len, pieces, len);
        slot->answer_len += len;
        EXPECT(decision.action == IDEM_HTTP_STREAM ||
               (decision.action == IDEM_HTTP_BUFFER && slot->stage == HELD));
        if (decision.action == IDEM_HTTP_STREAM && slot->stage == HELD && slot->keep) {
            EXPECT(decision.reason != IDEM_HTTP_KEPT);
            has_ended(slot, decision.reason);
        }
        slot->stage = decision.action == IDEM_HTTP_STREAM ? STREAM : HELD;
    }
}

static void finish(struct slot *slot)
{
    const struct idem_http_decision before = fresh();
    struct idem_http_decision decision = before;
    const bool due = slot->stage == HELD || slot->stage == STREAM;
    const int status = idem_http_finish(slot->exchange, &decision);
    if (worked(status, due, true, &before, &decision)) {
        EXPECT(decision.action == IDEM_HTTP_SEND);
        if (slot->runs) {
            has_ended(slot, decision.reason);
        }
        slot->stage = ENDED;
    }
}

static void abort_or_free(struct input *input, struct slot *slot)
{
    const uint64_t how = take(input, 1) % 4;
    if (how == 0) {
        idem_http_free(slot->exchange);
        was_left(slot, true);
        *slot = (struct slot){0};
        return;
    }
    const int status = idem_http_abort(slot->exchange, (int32_t)how);
    EXPECT((status == IDEM_EINVAL) == (how == 3 || slot->exchange == NULL));
    EXPECT(status != IDEM_ELOST || slot->lost);
    if (status != IDEM_EINVAL) {
        was_left(slot, how == IDEM_HTTP_ABANDON);
        slot->stage = ENDED;
    }
}

/* Time goes by: a little, or so much that all but what runs is forgotten. */
static void pass_time(struct input *input)
{
    const uint64_t kind = take(input, 1);
    if (kind < 250) {
        *host_now_ms += kind * 20;
        return;
    }
    *host_now_ms += LONG_MS;
    for (size_t i = 0; i < sizeof known / sizeof(struct key); i++) {
        struct key *key = (struct key *)known + i;
        key->done = false;
        key->unsure = key->unsure || (key->orphaned && !is_running(key));
    }
}

/* An operator takes all keys out, those that run too. */
static void forget_all(void)
{
    struct idem_record record;
    idem_record_init(&record, sizeof record);
    for (uint64_t cursor = 0; idem_scan(open_store, &cursor, &record) == IDEM_OK;) {
        char name[IDEM_KEY_MAX];
        const size_t len = record.key_len;
        memcpy(name, record.key, len);
        EXPECT(idem_forget(open_store, name, len, IDEM_FORCE) == IDEM_OK);
    }
    idem_record_free(&record);
    memset(known, 0, sizeof known);
    for (int i = 0; i < SLOTS; i++) {
        slots[i].lost = slots[i].runs;
    }
}

static void step(struct input *input)
{
    const uint64_t kind = take(input, 1);
    struct slot *slot = &slots[kind / 16 % SLOTS];
    if (kind >= 192) { /* in this call the memory runs out */
        scarce_after((uint32_t)take(input, 1) % 16);
    }
    switch (kind % 16) {
    case 0:
    case 1:
    case 2:
        if (slot->stage == FREE) {
            begin(input, slot);
            break;
        }
        /* fall through */
    case 3:
    case 4:
    case 5:
        decide(input, slot);
        break;
    case 6:
        body(input, slot);
        break;
    case 7:
    case 8:
        response(input, slot);
        break;
    case 9:
    case 10:
        data(input, slot);
        break;
    case 11:
        finish(slot);
        break;
    case 12:
        abort_or_free(input, slot);
        break;
    case 13:
        pass_time(input);
        break;
    case 14:
        begin_anyhow(input);
        break;
    default:
        if (take(input, 1) % 8 == 0) {
            forget_all();
        } else {
            finish(slot);
        }
    }
    (void)scarce_end();
    drop_owned(input);
    int64_t waiting = 0;
    for (int i = 0; i < SLOTS; i++) {
        waiting += slots[i].stage == WAITING;
    }
    EXPECT(waiting <= setup->waiters);
}

void exchanges_run(idem_store *store, struct input *input)
{
    struct idem_stats stats = {.size = sizeof stats};
    char err[512];
    open_store = store;
    memset(known, 0, sizeof known);
    memset(slots, 0, sizeof slots);
    setup = &setups[take(input, 1) % (sizeof setups / sizeof setups[0])];
    EXPECT(idem_http_new(store, setup->config, strlen(setup->config), &http, err, sizeof err) ==
           IDEM_OK);
    EXPECT(idem_stats(store, &stats) == IDEM_OK);
    const uint64_t pending = stats.pending_keys;
    for (int i = 0; i < STEPS_MAX && input->left > 0; i++) {
        step(input);
    }
    for (int i = 0; i < SLOTS; i++) {
        idem_http_free(slots[i].exchange);
    }
    idem_http_delete(http);
    EXPECT(idem_stats(store, &stats) == IDEM_OK);
    EXPECT(stats.pending_keys <= pending);
}
