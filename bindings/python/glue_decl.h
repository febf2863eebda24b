/*
 * glue_decl.h - what the Python package adds to idemkey_decl.h, read by the C compiler and by cffi.
 *
 * A cffi call with plain arguments costs a quarter of filling a struct from Python field by field;
 * hence these. They hold no logic: each fills a request, calls the core once, and sorts the reply.
 * A batch passes its byte strings joined into one, with their lengths; a length of 0 where the
 * string is optional means that there is none.
 */

enum idem__py_limit {
    /* A reply stays within the 512 bytes up to which CPython allocates from its own pools. */
    IDEM__PY_SPACE_BYTES = 256,
    /* Added to what a call returns: the reply owns memory, so copy it and call idem__py_free. */
    IDEM__PY_OWNED = 256
};

/* What one Claim or Record of Python keeps: the core's answer, and room for its byte strings. */
struct idem__py_reply {
    const char *value; /* the record's, near at hand: each step into a struct costs Python 50 ns */
    int64_t value_len; /* -1: not done, or not kept */
    struct idem_claim claim;
    unsigned char space[256];
};

/* Returns the outcome, or a status; with IDEM__PY_OWNED as told above. So do, or 0, all that fill a
   reply; a batch does in `results`. */
static int idem__py_claim(idem_store *store, struct idem__py_reply *reply, const char *key,
                          size_t key_len, const char *fingerprint, const char *intent,
                          size_t intent_len, int64_t ttl_ms, int64_t lease_ms,
                          int64_t crash_grace_ms, uint32_t flags, int64_t wait_ms);
static int idem__py_claim_many(idem_store *store, size_t n, const char *keys,
                               const size_t *key_lens, const char *fingerprints,
                               const size_t *fingerprint_lens, const char *intents,
                               const size_t *intent_lens, int64_t ttl_ms, int64_t lease_ms,
                               int64_t crash_grace_ms, uint32_t flags,
                               struct idem__py_reply **replies, int *results);

static int idem__py_complete(struct idem__py_reply *reply, const char *value, size_t value_len,
                             int64_t ttl_ms, uint32_t flags);
static int idem__py_release(struct idem__py_reply *reply);
static int idem__py_abandon(struct idem__py_reply *reply);
static int idem__py_renew(struct idem__py_reply *reply, int64_t lease_ms);

static int idem__py_lookup(idem_store *store, const char *key, size_t key_len,
                           struct idem__py_reply *reply);
static int idem__py_lookup_many(idem_store *store, size_t n, const char *keys,
                                const size_t *key_lens, struct idem__py_reply **replies,
                                int *results);
static int idem__py_wait(idem_store *store, const char *key, size_t key_len, int64_t timeout_ms,
                         struct idem__py_reply *reply);
static int idem__py_scan(idem_store *store, uint64_t *cursor, struct idem__py_reply *reply);
static void idem__py_free(struct idem__py_reply *reply);

static int idem__py_fingerprint(const char *secret, size_t secret_len, size_t n,
                                const char *parts, const size_t *part_lens, uint8_t *out);
