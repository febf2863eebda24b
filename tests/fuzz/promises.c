/* promises.c - see promises.h. */
#include "promises.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "http/field.h"
#include "scarce.h"

enum { ACTIONS = IDEM_HTTP_SEND + 1, REASONS = IDEM_HTTP_LOST + 1 };

const struct setup *setup;
struct slot slots[SLOTS];
static uint64_t action_counts[ACTIONS], reason_counts[REASONS];

static void read_all(const void *at, size_t len)
{
    static volatile unsigned char sink;
    for (size_t i = 0; i < len; i++) {
        sink = ((const unsigned char *)at)[i];
    }
    (void)sink;
}

/* Fields that a server can send; with a length, if there is a body, that is the body's. */
static void answer_is_sound(const struct idem_http_decision *decision)
{
    struct idem__span rest = idem__span(decision->fields, decision->fields_len);
    struct idem__field field;
    enum idem__field_step step;
    int64_t length = -1;
    while ((step = idem__field_next(&rest, &field)) == FIELD_GOT) {
        if (idem__span_is_like(field.name, "content-length")) {
            EXPECT(length == -1);
            length = idem__field_number(field.value);
        }
    }
    EXPECT(step == FIELD_END);
    EXPECT(length == (int64_t)decision->body_len || (length == -1 && decision->body_len == 0));
    EXPECT(decision->status >= 200 && decision->status <= 599);
}

void decision_is_sound(const struct idem_http_decision *decision)
{
    EXPECT(decision->size == sizeof *decision);
    EXPECT(decision->action > 0 && decision->action < ACTIONS);
    EXPECT(decision->reason >= 0 && decision->reason < REASONS);
    read_all(decision->fields, decision->fields_len);
    read_all(decision->body, decision->body_len);
    read_all(decision->key, decision->key_len);
    read_all(decision->profile, strlen(decision->profile) + 1);
    read_all(decision->route, strlen(decision->route) + 1);
    read_all(decision->detail, strlen(decision->detail) + 1);
    const size_t hash = strlen(decision->key_hash);
    EXPECT(hash == 0 || hash == IDEM_HTTP_HASH_CHARS);
    if (decision->action == IDEM_HTTP_REPLAY || decision->action == IDEM_HTTP_REJECT) {
        answer_is_sound(decision);
    } else {
        EXPECT(decision->body_len == 0 && decision->status == 0);
    }
    action_counts[decision->action]++;
    reason_counts[decision->reason]++;
}

bool worked(int status, bool due, bool happened, const struct idem_http_decision *before,
            const struct idem_http_decision *decision)
{
    const bool scarce = scarce_end() && !happened;
    if (!due) {
        EXPECT(status == IDEM_EINVAL);
        EXPECT(memcmp(before, decision, sizeof *before) == 0);
        return false;
    }
    EXPECT(status == IDEM_OK || (status == IDEM_ESYS && scarce));
    if (status == IDEM_OK) {
        decision_is_sound(decision);
    }
    return status == IDEM_OK;
}

bool is_running(const struct key *key)
{
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].key == key && slots[i].runs && !slots[i].lost) {
            return true;
        }
    }
    return false;
}

void was_told(struct slot *slot, const struct idem_http_decision *decision)
{
    struct key *key = slot->key;
    const bool running = is_running(key);
    slot->stage = ENDED;
    switch (decision->action) {
    case IDEM_HTTP_RUN:
        EXPECT(!running && (!key->done || key->unsure));
        EXPECT(decision->reason == (key->orphaned ? IDEM_HTTP_AGAIN : IDEM_HTTP_FIRST) ||
               key->unsure);
        EXPECT(decision->attempt >= 1 && idem_http_claim(slot->exchange) != NULL);
        slot->stage = RUNNING;
        slot->runs = true;
        slot->lost = false;
        key->orphaned = decision->reason == IDEM_HTTP_AGAIN;
        key->done = key->unsure = false;
        return;
    case IDEM_HTTP_WAIT:
        EXPECT(setup->waiters > 0 && decision->retry_after_ms > 0);
        EXPECT(running || key->orphaned || key->unsure); /* or in its grace */
        slot->stage = WAITING;
        return;
    case IDEM_HTTP_REPLAY:
        EXPECT((key->done && !running) || key->unsure);
        EXPECT(key->unsure ||
               (decision->status == key->status && decision->body_len == key->answer_len &&
                memcmp(decision->body, key->answer, key->answer_len) == 0));
        return;
    case IDEM_HTTP_PASS:
        EXPECT(decision->reason == IDEM_HTTP_STORE_FAILED);
        return;
    default:
        EXPECT(decision->action == IDEM_HTTP_REJECT);
        EXPECT(decision->reason != IDEM_HTTP_CONFLICT || !setup->no_mismatch);
        EXPECT(decision->reason != IDEM_HTTP_IN_FLIGHT || running || key->orphaned || key->unsure);
        EXPECT(decision->reason != IDEM_HTTP_UNKNOWN || key->orphaned || key->unsure);
        EXPECT(decision->reason != IDEM_HTTP_NOT_KEPT || key->done || key->unsure);
    }
}

void has_ended(struct slot *slot, int32_t reason)
{
    struct key *key = slot->key;
    EXPECT(idem_http_claim(slot->exchange) == NULL);
    slot->runs = false;
    if (slot->lost) {
        EXPECT(reason == IDEM_HTTP_LOST);
    } else if (slot->keep) {
        EXPECT(reason == IDEM_HTTP_KEPT || reason == IDEM_HTTP_KEPT_WITHOUT);
        key->done = true;
        key->orphaned = false;
        key->status = slot->status;
        key->answer_len = slot->status == 204 || slot->status == 304 ? 0 : slot->answer_len;
        memcpy(key->answer, slot->answer, sizeof key->answer);
    } else {
        EXPECT(reason == IDEM_HTTP_RELEASED); /* a later attempt's release leaves it orphaned */
    }
}

/* Left without a verdict, or given back: a key that had been orphaned stays so. */
void was_left(struct slot *slot, bool abandoned)
{
    if (slot->runs && !slot->lost) {
        slot->key->orphaned = slot->key->orphaned || abandoned;
    }
    slot->runs = false;
}

void promises_print(void)
{
    for (int i = 1; i < ACTIONS; i++) {
        printf("answers action %s %" PRIu64 "\n", idem_http_action_name(i), action_counts[i]);
    }
    for (int i = 0; i < REASONS; i++) {
        printf("answers reason %s %" PRIu64 "\n", idem_http_reason_name(i), reason_counts[i]);
    }
}
