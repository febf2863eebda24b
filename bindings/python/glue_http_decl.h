/*
 * glue_http_decl.h - what the Python package adds to idemkey_http_decl.h, read by the C compiler and
 * by cffi: see glue_decl.h. A request takes few calls: begin, decide with its whole body, respond
 * with its whole response, free. What comes in pieces takes one call a piece.
 */

enum idem__py_http_limit {
    /* Reasons are below it. The last one is Python's own: an exchange left without a verdict. */
    IDEM__PY_HTTP_REASONS = 32,
    IDEM__PY_HTTP_ABANDONED = 31,
    /*
     * What a call returns, so that Python need not step into the struct: the action; above it the
     * reason; whether it was counted; whether the response's head changes; the status of an answer.
     */
    IDEM__PY_HTTP_REASON_SHIFT = 8,
    IDEM__PY_HTTP_TOLD = 65536,
    IDEM__PY_HTTP_CHANGED = 131072,
    IDEM__PY_HTTP_STATUS_SHIFT = 20
};

/* How often each reason was seen in requests of a profile. A table ends with a NULL profile. */
struct idem__py_counts {
    const char *profile;
    uint64_t reasons[32];
};

/* What one Exchange of Python keeps. */
struct idem__py_exchange {
    idem_http_exchange *exchange;
    struct idem__py_counts *counts; /* its profile's */
    int running;                    /* a claim was won, and what became of it is not told */
    int waits;                      /* and that is told */
    struct idem_http_decision decision;
};

/*
 * Each returns what is told above, or a negative status. `request` is method, path, query and fields,
 * one after the other: to encode one text costs Python less than four.
 */
static int idem__py_http_begin(idem_http *http, struct idem__py_counts *counts,
                               struct idem__py_exchange *begun, const char *request,
                               size_t method_len, size_t path_len, size_t query_len,
                               size_t fields_len, const char *principal, int64_t principal_len);
static int idem__py_http_body(struct idem__py_exchange *begun, const char *piece, size_t len);
/* Gives the body, or its last piece, and decides. With none (len 0): decides, also after a wait. */
static int idem__py_http_decide(struct idem__py_exchange *begun, const char *body, size_t len);
static int idem__py_http_wait(struct idem__py_exchange *begun, int64_t timeout_ms);
static int idem__py_http_response(struct idem__py_exchange *begun, int32_t status,
                                  const char *fields, size_t fields_len, int32_t unrouted);
static int idem__py_http_data(struct idem__py_exchange *begun, const char *piece, size_t len);
static int idem__py_http_finish(struct idem__py_exchange *begun);
/* response, data and finish at once. */
static int idem__py_http_respond(struct idem__py_exchange *begun, int32_t status,
                                 const char *fields, size_t fields_len, int32_t unrouted,
                                 const char *body, size_t len);
/* Counts as RELEASED or ABANDONED where a claim is held. */
static int idem__py_http_abort(struct idem__py_exchange *begun, int32_t how);
/* So does it. What the decision points to is gone. */
static void idem__py_http_free(struct idem__py_exchange *begun);
