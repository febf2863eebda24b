#include "http/profile.h"

#include <stddef.h>
#include <string.h>

const char idem__profile_base[] =
    "{\"idempotent\": true, \"headers\": [\"Idempotency-Key\"], \"methods\": [\"POST\"],"
    " \"applies_to\": null, \"required\": false, \"key_rule\": \"text\", \"key_max\": 255,"
    " \"key_scope\": \"account\", \"canonical\": \"bytes\", \"fingerprint\": \"xxh3\","
    " \"on_mismatch\": 409, \"on_busy\": 409, \"wait\": 0, \"max_waiters\": 64, \"retry_after\": 1,"
    " \"replay_marker\": null, \"keeps\": \"decided\", \"ttl\": 86400, \"ttl_base\": \"claim\","
    " \"on_crash\": \"reclaim\", \"crash_grace\": 0, \"on_store_failure\": \"refuse\","
    " \"max_request\": 1048576, \"max_response\": 1048576, \"retention_header\": null,"
    " \"error_form\": \"problem\", \"conflict_code\": \"IDEMPOTENCY_KEY_CONFLICT\","
    " \"bad_key_message\": null}";

const char idem__profile_names[] =
    "nextapi-v2, entities, nextapi-v1, noticia, nextsign, ietf, stripe";

static const struct {
    const char *name;
    const char *fields;
} profiles[] = {
    {"nextapi-v2", "{\"headers\": [\"X-Idempotency-Key\"], \"canonical\": \"json\", \"wait\": 10,"
                   " \"methods\": [\"POST\", \"PUT\", \"PATCH\", \"DELETE\"],"
                   " \"replay_marker\": \"X-Idempotency-Replayed\", \"error_form\": \"error\"}"},
    {"entities",
     "{\"headers\": [\"idempotency-key\", \"x-idempotency-key\"],"
     " \"applies_to\": [\"POST /downstream-entities/onboarding/invite\","
     " \"POST /downstream-entities/onboarding/add\"],"
     " \"key_rule\": \"uuid\", \"key_scope\": \"endpoint\", \"on_mismatch\": \"replay\","
     " \"ttl\": 3600, \"ttl_base\": \"completion\", \"error_form\": \"message\","
     " \"bad_key_message\": \"Invalid idempotency key format. The idempotency-key must be"
     " a valid UUID\"}"},
    {"nextapi-v1", "{\"methods\": [\"POST\", \"PUT\"], \"key_scope\": \"endpoint-method\","
                   " \"canonical\": \"json\", \"error_form\": \"error-with-key\"}"},
    {"noticia", "{\"methods\": [\"POST\", \"PUT\", \"PATCH\", \"DELETE\"],"
                " \"replay_marker\": \"Idempotent-Replayed\", \"error_form\": \"code\","
                " \"conflict_code\": \"IDEMPOTENCY_CONFLICT\"}"},
    /* Its API has no idempotency of requests at all. */
    {"nextsign", "{\"idempotent\": false}"},
    /* draft-ietf-httpapi-idempotency-key-header-07 */
    {"ietf", "{\"methods\": [\"POST\", \"PATCH\"], \"key_rule\": \"sf\", \"on_mismatch\": 422}"},
    {"stripe", "{\"on_mismatch\": 400, \"replay_marker\": \"Idempotent-Replayed\","
               " \"keeps\": \"all\", \"error_form\": \"stripe\"}"},
};

const char *idem__profile(const char *name)
{
    for (size_t i = 0; i < sizeof(profiles) / sizeof(*profiles); i++) {
        if (strcmp(profiles[i].name, name) == 0) {
            return profiles[i].fields;
        }
    }
    return NULL;
}
