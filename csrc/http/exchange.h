/* exchange.h - an engine and an exchange from inside. Layer 19. */
#ifndef IDEM_HTTP_EXCHANGE_H
#define IDEM_HTTP_EXCHANGE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "http/bytes.h"
#include "http/digest.h"
#include "http/idemkey_http.h"
#include "http/policy.h"

struct idem_http {
    _Alignas(64) uint8_t secret[IDEM_SECRET_SIZE]; /* the region's */
    idem_store *store;
    struct idem__policy *policies; /* of the routes in order, then the one for all else */
    size_t routes;
    json_t *texts; /* what the policies point into */
    struct idem__buffer wanted;
    bool wants_principal;
    _Atomic uint64_t waiters; /* pid << 32 | how many wait in that process: a child begins at 0 */
};

/* Which calls are due. */
enum idem__stage {
    STAGE_BODY = 1, /* body, decide */
    STAGE_WAITING,  /* wait, decide */
    STAGE_RUNNING,  /* response */
    STAGE_HELD,     /* data, finish: the response is held back */
    STAGE_STREAM,   /* data, finish: it goes out */
    STAGE_ENDED     /* free */
};

/* A value up to this size is read without an allocation. */
#define IDEM__SPACE_BYTES 2048

/* What is added to a response: "Idempotency-Stored: false", or a header of this length with a number. */
#define IDEM__END_FIELDS_BYTES (IDEM__NAME_MAX + 32u)

struct idem_http_exchange {
    struct idem__digest digest; /* of the request, in the making */
    idem_http *http;
    const struct idem__policy *policy;
    enum idem__stage stage;

    struct idem__buffer key; /* as its rule reads it */
    struct idem__buffer
        name; /* the key's in the store, and then, where claims are held, the intent */
    size_t name_len;
    struct idem__buffer body;   /* the request's, where its meaning counts */
    struct idem__buffer fields; /* of an answer, or to be added to a response */
    struct idem__buffer text;   /* an answer's body */
    struct idem__buffer detail; /* what went wrong, for a log */
    const char *wrong;          /* what is wrong with the key or the request */
    const char *wrong_in;       /* the header that carries that key */
    char key_hash[IDEM_HTTP_HASH_CHARS + 1];

    bool is_json;
    int64_t content_length; /* -1: not told */
    int64_t body_bytes;
    uint8_t fingerprint[IDEM_FINGERPRINT_SIZE];

    struct idem_claim claim;
    bool has_claim;   /* and it must still be ended */
    int64_t began_ms; /* when the store was first asked, by the monotonic clock; -1: not yet */
    int64_t ran_ms;   /* when it granted the claim */
    pid_t waits_in;   /* the process that counts it as a waiter; 0: none does */

    bool keeps;                 /* the response decides: record it */
    bool strip;                 /* it had X-Idemkey-Keep */
    int32_t end_reason;         /* of SEND and STREAM */
    struct idem__buffer stored; /* the response in the making */
    int64_t response_bytes;

    char space[IDEM__SPACE_BYTES]; /* of claim.record */
};

/* Fills a decision; its pointers go to the exchange's own. 0, or IDEM_ESYS when memory ran out. */
int idem__decide_as(struct idem_http_exchange *exchange, struct idem_http_decision *decision,
                    enum idem_http_action action, enum idem_http_reason reason);
/* Fills a decision that there is no exchange for. */
void idem__decide_alone(struct idem_http_decision *decision, enum idem_http_action action,
                        enum idem_http_reason reason, const struct idem__policy *policy);
/* Is the caller's struct one that this build may fill? */
bool idem__decision_ok(const struct idem_http_decision *decision);

/* The answers, which end the exchange's asking: a refusal, in the profile's form; a replay. */
int idem__refuse(struct idem_http_exchange *exchange, struct idem_http_decision *decision,
                 enum idem_http_reason reason);
int idem__replay(struct idem_http_exchange *exchange, struct idem_http_decision *decision);

/* Adds the retention left, where the policy has a header for it. */
void idem__add_retention(struct idem_http_exchange *exchange, int64_t left_ms);

/* The monotonic clock. */
int64_t idem__monotonic_ms(void);

/* The waiting that is bounded: true if the exchange is counted, or was; false where as many wait as may. */
bool idem__waiter_enter(struct idem_http_exchange *exchange);
/* Nothing where it is not counted. */
void idem__waiter_leave(struct idem_http_exchange *exchange);

#endif
