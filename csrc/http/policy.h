/* policy.h - what holds for a request: the fields of a profile, read and checked. Layer 18. */
#ifndef IDEM_HTTP_POLICY_H
#define IDEM_HTTP_POLICY_H

#include <jansson.h>

#include "http/bytes.h"
#include "http/digest.h"
#include "http/key.h"

#define IDEM__LIST_MAX 32  /* headers are fewer, see policy.c */
#define IDEM__NAME_MAX 200 /* characters of a header that is added; policy.c says so in a message */

/* Texts of the configuration, which outlives the policy. */
struct idem__texts {
    const char *at[IDEM__LIST_MAX];
    size_t count;
};

enum idem__principal_by {
    PRINCIPAL_NONE = 0,  /* one space for all */
    PRINCIPAL_FIELD = 1, /* a request header's value */
    PRINCIPAL_CALLER = 2 /* the engine's caller gives it */
};
#define IDEM__BY_CALLER "@caller" /* is no header's name */

enum idem__key_scope { SCOPE_ACCOUNT = 0, SCOPE_ENDPOINT = 1, SCOPE_ENDPOINT_METHOD = 2 };

enum idem__error_form {
    FORM_PROBLEM = 0,
    FORM_ERROR = 1,
    FORM_ERROR_WITH_KEY = 2,
    FORM_MESSAGE = 3,
    FORM_CODE = 4,
    FORM_STRIPE = 5
};

struct idem__policy {
    const char *profile;
    const char *route;             /* its pattern, or "" */
    struct idem__texts headers;    /* that carry the key */
    struct idem__texts methods;    /* of one "*": all */
    struct idem__texts applies_to; /* patterns; with none of them: everywhere */
    const char *principal_source;  /* a header's name, IDEM__BY_CALLER, or NULL */
    const char *replay_marker;     /* NULL: none; as the next */
    const char *retention_header;
    const char *conflict_code;
    const char *bad_key_message;
    int64_t idempotent, required, canonical_json, keeps_all; /* 0 or 1, as the next two lines */
    int64_t ttl_from_completion, hold;
    int64_t runs_without_store;
    int64_t principal_by, key_rule, key_scope, error_form, digest; /* enums */
    int64_t key_max;
    int64_t mismatch_status; /* 0: replay what another payload got */
    int64_t busy_status;
    int64_t wait_ms, max_waiters, retry_after_s;
    int64_t ttl_ms, crash_grace_ms; /* a ttl may be IDEM_FOREVER */
    int64_t max_request_bytes, max_response_bytes;
};

/*
 * Reads `fields`, which has every field of a profile and "principal", into a policy that points into
 * it, and whose profile and route are known. False: `err` says what is wrong with which.
 */
bool idem__policy_read(json_t *fields, struct idem__policy *policy, struct idem__buffer *err);
/* Is the name one of a policy's fields? */
bool idem__policy_has_field(const char *name);
/* All names, for a message. */
void idem__policy_names(struct idem__buffer *out);
/* Adds a value as JSON, cut to the length of a message; NULL: "?". */
void idem__show(const json_t *value, struct idem__buffer *out);
/* Is the method one of `methods`? */
bool idem__policy_has_method(const struct idem__policy *policy, struct idem__span method);
/* Does the policy cover this request? */
bool idem__policy_covers(const struct idem__policy *policy, struct idem__span method,
                         struct idem__span path);

#endif
