/*
 * idemkey_http_decl.h - the HTTP engine's public declarations, without a preprocessor directive, so
 * that the C compiler, cffi and LuaJIT read the same text. C programs include <idemkey_http.h>.
 *
 * The engine decides what becomes of a request with an idempotency key: run it, replay what was
 * recorded, refuse it. It does no I/O, calls nobody back, and sleeps in idem_http_wait only. One
 * exchange is one request with its response:
 *
 *     begin --> PASS                                run the application; free
 *           --> NEED_BODY  body ... decide          feed the request's body
 *                            --> REPLAY, REJECT     send the answer; free
 *                            --> WAIT               wait (or sleep and decide); the same again
 *                            --> RUN                run the application:
 *                                 response, data ... --> BUFFER  hold what the application sends back
 *                                                    --> STREAM  send what was held, and the rest as it comes
 *                                 finish             the response is complete: then send it; free
 *                                 abort              there will be none; free
 *
 * Conventions that hold for every call below:
 *  - It returns IDEM_OK or a negative enum idem_status. Misuse (a call that is not due, a NULL) is
 *    IDEM_EINVAL; the exchange is then as before. What the store refuses is no error but a decision.
 *  - A decision's pointers are valid until the exchange's next call. Byte strings have lengths and
 *    are not terminated by a zero.
 *  - Header fields travel in one piece, as in an HTTP/1.1 message: lines `name: value CR LF`, in
 *    order, without the empty line at the end. A value must not have a CR or LF in it.
 *  - Two calls on one exchange must not run at once; anything else may. An idem_http may be shared by
 *    threads and, after fork, by parent and child; an exchange that holds a claim belongs to the
 *    process that began it.
 *  - A process may be killed anywhere: the key is then abandoned, see `on_crash` of its profile.
 */

/* A configuration bound to an open store; and one request with its response. */
typedef struct idem_http idem_http;
typedef struct idem_http_exchange idem_http_exchange;

enum idem_http_action {
    IDEM_HTTP_PASS = 1,      /* idempotency does not apply: run the application, untouched */
    IDEM_HTTP_NEED_BODY = 2, /* give the request's body, then decide */
    IDEM_HTTP_RUN = 3,       /* run the application and give its response */
    IDEM_HTTP_WAIT = 4,      /* it is being run: wait for it */
    IDEM_HTTP_REPLAY = 5,    /* send the answer: what was recorded */
    IDEM_HTTP_REJECT = 6,    /* send the answer: a refusal; nothing runs */
    IDEM_HTTP_BUFFER = 7,    /* hold the response's body back */
    IDEM_HTTP_STREAM = 8,    /* send what was held back, and the rest as it comes */
    IDEM_HTTP_SEND = 9       /* finished: send the response */
};

/* Why. */
enum idem_http_reason {
    IDEM_HTTP_NO_REASON = 0,
    IDEM_HTTP_NOT_APPLICABLE = 1, /* PASS: the method or route is not covered */
    IDEM_HTTP_NO_KEY = 2,         /* PASS, or REJECT where a key is required */
    IDEM_HTTP_BAD_KEY = 3,        /* REJECT */
    IDEM_HTTP_NO_PRINCIPAL = 4,   /* REJECT: the request does not say who sends it */
    IDEM_HTTP_BAD_REQUEST = 5,    /* REJECT: malformed fields, or a body cut short */
    IDEM_HTTP_TOO_LARGE = 6,      /* REJECT: the request's body */
    IDEM_HTTP_FIRST = 7,          /* RUN: the key is new */
    IDEM_HTTP_AGAIN = 8,          /* RUN: an earlier attempt's fate is unknown: reconcile */
    IDEM_HTTP_RECORDED = 9,       /* REPLAY */
    IDEM_HTTP_NOT_KEPT = 10,      /* REJECT: done, but its response was not kept */
    IDEM_HTTP_CONFLICT = 11,      /* REJECT: the key belongs to another request */
    IDEM_HTTP_IN_FLIGHT = 12,     /* WAIT, REJECT: it is being run */
    IDEM_HTTP_UNKNOWN = 13,       /* REJECT: its owner died; a person must resolve the key */
    IDEM_HTTP_STORE_FAILED =
        14,              /* REJECT, or PASS where the profile fails open; SEND: not recorded */
    IDEM_HTTP_KEPT = 15, /* SEND: the response was recorded */
    IDEM_HTTP_KEPT_WITHOUT = 16, /* STREAM, SEND: the key is done, its response too large to keep */
    IDEM_HTTP_RELEASED = 17,     /* SEND: the response decides nothing, the key may run again */
    IDEM_HTTP_LOST = 18          /* SEND: the claim had been taken over meanwhile */
};

/* How an exchange ends without a complete response. */
enum idem_http_abort {
    IDEM_HTTP_RELEASE = 1, /* the operation did not happen (an exception says so) */
    IDEM_HTTP_ABANDON = 2  /* nobody knows (a time-out, a lost upstream, a cancelled task) */
};

/* Principal's length for a request whose sender the caller does not tell. */
enum idem_http_principal { IDEM_HTTP_NO_ONE = -1 };

enum idem_http_limit {
    IDEM_HTTP_HASH_CHARS = 32 /* of key_hash */
};

/* What to do, and why. Filled by the library; only `size` is set by the caller. */
struct idem_http_decision {
    uint32_t size;
    int32_t action;         /* enum idem_http_action */
    int32_t reason;         /* enum idem_http_reason */
    int32_t status;         /* of the answer: REPLAY, REJECT */
    int32_t outcome;        /* enum idem_outcome; 0: the store was not asked */
    int32_t attempt;        /* RUN: 1, or more after takeovers */
    int32_t strip;          /* SEND, STREAM: 1 = take X-Idemkey-Keep out of the response's fields */
    uint64_t id;            /* the key's public id in the store; 0: none */
    int64_t retry_after_ms; /* WAIT: how much longer to wait; REJECT: 0 = no Retry-After */
    int64_t expires_in_ms;  /* the retention left; IDEM_FOREVER; 0: not known */
    const char *fields; /* REPLAY, REJECT: the answer's. SEND, STREAM: to add to the response's */
    size_t fields_len;
    const void *body; /* REPLAY, REJECT: the answer's */
    size_t body_len;
    const char *profile; /* the profile's name, and the route's pattern or "", zero-terminated */
    const char *route;
    const char *key; /* as its rule reads it (quotes off, a UUID in small letters); do not log it */
    size_t key_len;
    const char *key_hash; /* IDEM_HTTP_HASH_CHARS hex digits, zero-terminated; "" without a key */
    const char *detail;   /* for a log: what failed, zero-terminated; "" if nothing did */
};

void idem_http_decision_init(struct idem_http_decision *decision, size_t size);
/* Names such as "RUN" and "IN_FLIGHT". Static storage. */
const char *idem_http_action_name(int action);
const char *idem_http_reason_name(int reason);

/*
 * Reads `config`, a JSON object of `len` bytes: docs/http.md has its members. `store` must stay open
 * as long as *http. IDEM_EINVAL: `err` (of `err_size` bytes, may be NULL) says which member is wrong,
 * its value, the limit and what to do.
 */
int idem_http_new(idem_store *store, const char *config, size_t len, idem_http **http, char *err,
                  size_t err_size);
/* After the last exchange was freed. NULL is left alone. */
void idem_http_delete(idem_http *http);
/*
 * The names of the request header fields that the engine reads, lower case, each ended by a zero,
 * the list by an empty one: a binding needs to give idem_http_begin no others. Lives as long as `http`.
 */
const char *idem_http_wanted(const idem_http *http);
/* Is the caller to give each request's principal (the profile says "principal": "@caller")? 0 or 1. */
int idem_http_wants_principal(const idem_http *http);

/*
 * Begins an exchange: `path` is as on the request line, without the query, which comes without its
 * "?" (query_len 0: none); `fields` are header fields. The principal, of any bytes (none: nobody is
 * told), is looked at only where idem_http_wants_principal. Decides PASS (*exchange is NULL, for there
 * is nothing more to ask), NEED_BODY or REJECT. All is copied. IDEM_ESYS: no memory, *exchange is NULL.
 */
int idem_http_begin(idem_http *http, const char *method, size_t method_len, const char *path,
                    size_t path_len, const char *query, size_t query_len, const char *fields,
                    size_t fields_len, const char *principal, int64_t principal_len,
                    idem_http_exchange **exchange, struct idem_http_decision *decision);
/* A piece of the request's body. Decides NEED_BODY, or REJECT as soon as it is too large. */
int idem_http_body(idem_http_exchange *exchange, const void *piece, size_t len,
                   struct idem_http_decision *decision);
/* The body is complete, or a wait is over. Decides RUN, WAIT, REPLAY, REJECT, or PASS. */
int idem_http_decide(idem_http_exchange *exchange, struct idem_http_decision *decision);
/* After WAIT: sleeps at most `timeout_ms`, and not beyond the profile's wait; then as decide. */
int idem_http_wait(idem_http_exchange *exchange, int64_t timeout_ms,
                   struct idem_http_decision *decision);
/* After RUN: the claim, for whoever must fence its own writes; else NULL. The exchange's: do not end it. */
const struct idem_claim *idem_http_claim(const idem_http_exchange *exchange);
/*
 * The application's response begins. `unrouted` = 1: it is a 404 that came from routing, no
 * handler ran. Decides BUFFER.
 */
int idem_http_response(idem_http_exchange *exchange, int32_t status, const char *fields,
                       size_t fields_len, int32_t unrouted, struct idem_http_decision *decision);
/*
 * A piece of its body. Decides BUFFER, or STREAM: it is larger than is kept, and what had to be
 * recorded before its first byte goes out is recorded.
 */
int idem_http_data(idem_http_exchange *exchange, const void *piece, size_t len,
                   struct idem_http_decision *decision);
/* The response is complete: records it, or gives the key back. Decides SEND; memory that runs out is no
   error of this call or of idem_http_data, for the operation has happened. */
int idem_http_finish(idem_http_exchange *exchange, struct idem_http_decision *decision);
/* There will be no complete response. `how` is enum idem_http_abort. */
int idem_http_abort(idem_http_exchange *exchange, int32_t how);
/* Ends an exchange anywhere; a claim that it still holds is abandoned. NULL is left alone. */
void idem_http_free(idem_http_exchange *exchange);

/*
 * Reads a stored response, as found by idem_lookup under a key of the engine's. IDEM_ECORRUPT: it is
 * none. `decision` gets status, fields and body, which point into `value`.
 */
int idem_http_stored(const void *value, size_t len, struct idem_http_decision *decision);
