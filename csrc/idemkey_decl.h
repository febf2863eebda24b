/*
 * idemkey_decl.h - every public declaration, without a preprocessor directive, so that the C
 * compiler, cffi and LuaJIT read the same text. C programs include <idemkey.h>.
 *
 * Conventions that hold for every call below:
 *  - It returns IDEM_OK (0) or a negative enum idem_status; idem_last_error() then tells, for the
 *    calling thread, which argument was wrong, its value, the limit and what to do.
 *  - Times are milliseconds unless the name says otherwise. IDEM_FOREVER is the ttl "for ever".
 *  - Structs that the caller fills start with their own size: call the _init function first.
 *  - A call may be made by any thread of any process; two calls never need to be serialised by the
 *    caller, except that one struct must not be used by two calls at once.
 *  - A process may be killed inside any call: the key is then either as before the call or as
 *    after it, and no other process waits.
 *  - No call is a cancellation point: a thread that is cancelled in one finishes it first. It must not
 *    let itself be cancelled asynchronously in one.
 *  - After fork a store handle may be used by parent and child alike; a claim only by the process
 *    that made it (the child's copy is refused with IDEM_ELOST).
 */

/* A store: a region opened by this process. Never dereferenced; a closed handle is recognised. */
typedef struct idem_store idem_store;

enum idem_status {
    IDEM_OK = 0,
    IDEM_EINVAL = -1,    /* an argument is wrong; nothing was done */
    IDEM_EFULL = -2,     /* no room for a new claim, or the file system is full */
    IDEM_ELOST = -3,     /* the claim is no longer this caller's; nothing was changed */
    IDEM_ENOTFOUND = -4, /* no such key, or not in the state that the call needs */
    IDEM_ETOOBIG = -5,   /* the value is above the store's largest; nothing was changed */
    IDEM_ETIMEDOUT = -6, /* the deadline passed */
    IDEM_EVERSION = -7,  /* the file was made by an incompatible build */
    IDEM_ECORRUPT = -8,  /* the file is damaged, or is no idemkey region */
    IDEM_EREPLACED = -9, /* the file was unlinked or replaced under the open store */
    IDEM_ESLOTS = -10,   /* too many processes or threads use the region at once */
    IDEM_ESYS = -11,     /* a system call failed: see errno */
    IDEM_EBUSY = -12     /* a living process is running the key's operation */
};

enum idem_outcome {
    IDEM_CLAIMED = 1,   /* run it: the claim has a token */
    IDEM_RECLAIMED = 2, /* run it: has a token; an earlier attempt's fate is unknown */
    IDEM_BUSY = 3,      /* don't: it is being run */
    IDEM_DONE = 4,      /* don't: it has been run, here is its value */
    IDEM_MISMATCH = 5,  /* don't: the key belongs to a request with another fingerprint */
    IDEM_HELD = 6       /* don't: its owner died or left, and a person must resolve it */
};

enum idem_state {
    IDEM_STATE_PENDING = 1,  /* being run by a living process */
    IDEM_STATE_ORPHANED = 2, /* its owner died, or left without a verdict */
    IDEM_STATE_DONE = 3      /* completed */
};

enum idem_limit {
    IDEM_KEY_MAX = 1024,        /* bytes of a key */
    IDEM_FINGERPRINT_SIZE = 16, /* bytes of a fingerprint */
    IDEM_SECRET_SIZE = 192      /* bytes of a region's secret */
};

enum idem_ttl {
    IDEM_FOREVER = -1, /* a ttl that never ends */
    IDEM_TTL_SAME = 0  /* idem_complete: the ttl that the claim asked for */
};

enum idem_open_flag {
    IDEM_OPEN_EXISTING = 1,  /* do not create */
    IDEM_OPEN_EXCLUSIVE = 2, /* fail with IDEM_ESYS/EEXIST if it exists */
    IDEM_OPEN_READONLY = 4,  /* inspect only: lookup, scan, stats; takes no thread slot */
    IDEM_OPEN_ANONYMOUS = 8  /* a memfd without a name, shared through fork; path must be NULL */
};

enum idem_claim_flag {
    IDEM_HOLD = 1 /* on_crash=hold: if the owner dies, a person resolves the key */
};

enum idem_complete_flag {
    IDEM_ALLOW_NOT_KEPT =
        1 /* a value above the largest: complete as "not kept", not IDEM_ETOOBIG */
};

enum idem_forget_flag {
    IDEM_FORCE = 1 /* also a key that a living process is running */
};

struct idem_options {
    uint32_t size;
    uint32_t flags;           /* enum idem_open_flag */
    uint64_t max_bytes;       /* the region's limit at creation; 0 = 256 MiB */
    uint32_t max_value_bytes; /* largest value, at creation; 0 = 1 MiB or what the region allows */
    uint32_t mode;            /* permission bits at creation; default 0600 */
    int64_t group;            /* group id at creation; -1 = the process's */
};

/* Limits of times, beyond which a number is taken for a mistake of units: ttl_ms 10 years, lease_ms and
   crash_grace_ms 30 days, wait_ms and timeouts 1 day. */
struct idem_request {
    uint32_t size;
    uint32_t flags; /* enum idem_claim_flag */
    const void *key;
    size_t key_len;          /* 1 to IDEM_KEY_MAX bytes */
    const void *fingerprint; /* IDEM_FINGERPRINT_SIZE bytes, or NULL: not compared */
    const void *intent;      /* kept with the claim for whoever must reconcile; may be NULL */
    size_t intent_len;
    int64_t ttl_ms;         /* how long the key is kept; > 0 or IDEM_FOREVER; default 24 h */
    int64_t lease_ms;       /* 0 = as long as the owner's process lives */
    int64_t crash_grace_ms; /* BUSY for so long after the owner's death */
    int64_t wait_ms;        /* on BUSY sleep at most so long for the key to be done or free */
};

/*
 * What is known of a key. The byte strings point into `buffer` if the caller gave one that is
 * large enough, else into memory that idem_record_free returns.
 */
struct idem_record {
    uint32_t size;
    int32_t state;           /* enum idem_state */
    uint64_t id;             /* the key record's public id, unique in the store */
    int32_t attempt;         /* 1 for the first claim, +1 at every takeover; 0 once done */
    int32_t held;            /* 1: orphaned, and waits for idem_resolve */
    int32_t kept;            /* done: 0 = the value was not kept */
    int32_t has_fingerprint; /* 1: `fingerprint` is set */
    int64_t age_ms;          /* since the key's first claim */
    int64_t lease_left_ms;   /* pending: -1 = no lease */
    int64_t done_age_ms;     /* done, kept: since its completion; else -1 */
    int64_t expires_in_ms;   /* retention left; IDEM_FOREVER; pending: of the claim's ttl */
    uint8_t fingerprint[16];
    const void *key; /* set by idem_scan only */
    size_t key_len;
    const void *value;
    size_t value_len;
    const void *intent;
    size_t intent_len;
    void *buffer; /* the caller's, or NULL */
    size_t buffer_size;
    void *owned; /* the library's: freed by idem_record_free */
};

/* A claim and what the store said. Plain data: may be copied; the copies share one token. */
struct idem_claim {
    uint32_t size;
    int32_t outcome;     /* enum idem_outcome; 0 after an error */
    int32_t status;      /* of this item of a batch: enum idem_status */
    uint32_t owner;      /* token: the owner's id; 0 = no token */
    uint32_t block;      /* token: the record's block number */
    uint32_t generation; /* token: the block's generation */
    idem_store *store;
    struct idem_record record;
};

/* What idem_stats reports. Counters of bytes, blocks and processes at one moment. */
struct idem_stats {
    uint32_t size;
    uint32_t version;         /* of the format */
    uint64_t max_bytes;       /* the limit in force */
    uint64_t ceiling_bytes;   /* idem_resize goes no higher */
    uint64_t allocated_bytes; /* backed by memory: tables, index and slabs */
    uint64_t used_bytes;      /* index, and blocks of live keys and their values */
    uint64_t pending_keys, orphaned_keys, done_keys;
    uint64_t record_blocks, value_blocks; /* live ones */
    uint64_t retired_blocks;              /* waiting for a grace period, or to be reused */
    uint64_t slab_bytes, slabs, slabs_free, slabs_max;
    uint64_t buckets;                        /* size of the index */
    uint64_t key_max, value_max, intent_max; /* bytes */
    uint64_t slots_used, slots_max;          /* thread slots of living processes */
    uint64_t epoch;                          /* grace periods begun */
    uint64_t epoch_laggards; /* slots of living processes that hold the epoch back */
    uint64_t owners_issued;  /* process identities ever given */
    int64_t now_ms;          /* the store's clock */
};

/* What idem_check found. */
struct idem_report {
    uint32_t size;
    uint32_t pad;
    uint64_t violations;
    uint64_t records, values, heads; /* checked */
    char first[256];                 /* the first violation: its invariant's name and place */
};

/* The library's version, "major.minor.patch". Static storage. */
const char *idem_version(void);
/* The name of a status ("IDEM_EFULL: ..."), or of an outcome ("CLAIMED"). Static storage. */
const char *idem_strerror(int status);
const char *idem_outcome_name(int outcome);
/* What the last failing call of this thread found wrong. Valid until its next call. */
const char *idem_last_error(void);

/* Set the defaults; `size` is sizeof the caller's struct. NULL is left to the call that is given it. */
void idem_options_init(struct idem_options *options, size_t size);
void idem_request_init(struct idem_request *request, size_t size);
void idem_record_init(struct idem_record *record, size_t size);
void idem_claim_init(struct idem_claim *claim, size_t size);

/*
 * Opens the region at `path`, creating it if need be; many processes may do so at once. `options`
 * may be NULL. IDEM_EVERSION, IDEM_ECORRUPT: not a region of this build. IDEM_EFULL: the file
 * system has no room. IDEM_ESYS: errno tells (a symlink in place of the file: ELOOP).
 */
int idem_open(const char *path, const struct idem_options *options, idem_store **store);
/* Waits for this process's calls in flight, then unmaps. Open claims stay BUSY until exit. */
int idem_close(idem_store *store);

/*
 * Claims `request->key`, or tells who has it: see enum idem_outcome. Lock-free. On
 * IDEM_CLAIMED and IDEM_RECLAIMED the caller must end the claim by complete, release or abandon.
 * With wait_ms > 0 sleeps while BUSY. IDEM_EFULL: no room, nothing was evicted.
 */
int idem_claim(idem_store *store, const struct idem_request *request, struct idem_claim *claim);
/* As idem_claim for each of `n` requests, overlapping their cache misses; wait_ms is not honoured. */
int idem_claim_many(idem_store *store, const struct idem_request *requests,
                    struct idem_claim *claims, size_t n);
/*
 * Ends the claim: later claimers get IDEM_DONE and the value, for ttl_ms from now. Never fails for
 * want of room: then record.kept is set to 0 in `claim`. IDEM_ELOST: taken over, nothing changed.
 */
int idem_complete(struct idem_claim *claim, const void *value, size_t value_len, int64_t ttl_ms,
                  uint32_t flags);
/* The operation did not happen: the key is free (attempt 1), or orphaned (later attempts). */
int idem_release(struct idem_claim *claim);
/* The caller leaves without a verdict: as if its process had died. */
int idem_abandon(struct idem_claim *claim);
/* Sets the claim's lease to end lease_ms from now; 0 = no lease. */
int idem_renew(struct idem_claim *claim, int64_t lease_ms);

/* Reads a key: IDEM_OK and `record`, or IDEM_ENOTFOUND. Lock-free; changes no key (at most it puts a
   head of the index in). */
int idem_lookup(idem_store *store, const void *key, size_t key_len, struct idem_record *record);
/* As idem_lookup for `n` keys; status of each in `statuses`, overlapping their cache misses. */
int idem_lookup_many(idem_store *store, const void *const *keys, const size_t *key_lens,
                     struct idem_record *records, int *statuses, size_t n);
/* Sleeps until the key is not being run, at most timeout_ms: then as idem_lookup. */
int idem_wait(idem_store *store, const void *key, size_t key_len, int64_t timeout_ms,
              struct idem_record *record);
/* Removes a key and zeroes its bytes. IDEM_EBUSY: a living process runs it (unless IDEM_FORCE). */
int idem_forget(idem_store *store, const void *key, size_t key_len, uint32_t flags);
/* Sets a done key's retention to ttl_ms from now. IDEM_EBUSY: it is not done yet. */
int idem_touch(idem_store *store, const void *key, size_t key_len, int64_t ttl_ms);
/*
 * Ends an orphaned (held) key: as done with `value`, or, with a NULL value and ttl_ms 0, as
 * forgotten. IDEM_EBUSY: it has a living owner. IDEM_ENOTFOUND: no such key, or not orphaned.
 */
int idem_resolve(idem_store *store, const void *key, size_t key_len, const void *value,
                 size_t value_len, int64_t ttl_ms);
/*
 * One live key a call: start with *cursor = 0; IDEM_ENOTFOUND ends it. A key that is live
 * throughout is seen exactly once.
 */
int idem_scan(idem_store *store, uint64_t *cursor, struct idem_record *record);
/* Does reclaiming now, at most `budget` blocks (0 = all). Returns blocks freed, or a status. */
int64_t idem_sweep(idem_store *store, uint64_t budget);
int idem_stats(idem_store *store, struct idem_stats *stats);
/* Verifies every invariant; IDEM_ECORRUPT and report->first if one is broken. */
int idem_check(idem_store *store, struct idem_report *report);
/* Raises the limit, while others work. Lower than the limit in force, or above the ceiling: EINVAL. */
int idem_resize(idem_store *store, uint64_t max_bytes);
/* Keyed XXH3-128 over `n` length-prefixed parts. Not a MAC. `out`: IDEM_FINGERPRINT_SIZE bytes. */
int idem_fingerprint(const void *secret, size_t secret_len, const void *const *parts,
                     const size_t *part_lens, size_t n, uint8_t *out);
/*
 * Copies the region's random secret to `out`, IDEM_SECRET_SIZE bytes: the same for all processes of
 * one region, and unlike any other's. Made for fingerprints that strangers cannot foresee.
 */
int idem_secret(idem_store *store, uint8_t *out);
/* Returns what a record points to outside the caller's buffer. Idempotent. */
void idem_record_free(struct idem_record *record);
