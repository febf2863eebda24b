/* calls.c - see calls.h. */
#include "calls.h"

#include <inttypes.h>
#include <string.h>

#include "check.h"
#include "host.h"

#define BATCH 8u
#define VALUE_MAX_BYTES 9000u
/* A scan gives a block once: there are no more in a file, cut into the smallest. */
#define SCAN_CALLS_MAX (IMAGE_MAX_BYTES / IDEM__BLOCK_MIN_BYTES)
#define BUFFER_BYTES 64u
#define LONG_WAIT_MS 300 /* several naps; of the host's clock here */

/* Any call may find damage. ESLOTS: the ids or slots of a damaged header are used up. */
#define ANY_CALL (MAY(IDEM_OK) | MAY(IDEM_ECORRUPT) | MAY(IDEM_ESLOTS))

/* What an input asks for, beside damage: bits of program->options. */
enum option {
    OPTION_BUFFER = 1, /* records have a buffer of the caller's */
    OPTION_WAIT = 2,
    OPTION_RESIZE = 4,
    OPTION_LEASE = 8,
    OPTION_LONG_VALUE = 16,
    OPTION_NEW_KEYS = 32,  /* half of the keys are not in the template */
    OPTION_READ_ONLY = 64, /* before, or else after the other calls */
    OPTION_READ_ONLY_FIRST = 128
};

#define CALLS_MAX 24u
#define STATUSES 13u
static struct {
    const char *call;
    uint64_t count[STATUSES];
} answers[CALLS_MAX];

int answered(const char *call, int status, uint32_t allowed)
{
    uint32_t i = 0;
    while (answers[i].call != NULL && strcmp(answers[i].call, call) != 0) {
        i++;
    }
    EXPECT(i < CALLS_MAX);
    answers[i].call = call;
    if (status > 0 || status <= -(int)STATUSES || !(allowed & MAY(status))) {
        fprintf(stderr, "%s answered %d (%s): %s\n", call, status, idem_strerror(status),
                idem_last_error());
        abort();
    }
    answers[i].count[-status]++;
    EXPECT(status == IDEM_OK || idem_last_error()[0] != '\0');
    return status;
}

void answers_print(void)
{
    for (uint32_t i = 0; i < CALLS_MAX && answers[i].call != NULL; i++) {
        printf("answers %s", answers[i].call);
        for (int status = 0; status < (int)STATUSES; status++) {
            if (answers[i].count[status] > 0) {
                const char *name = idem_strerror(-status);
                printf(" %.*s=%" PRIu64, (int)strcspn(name, ":"), name, answers[i].count[status]);
            }
        }
        printf("\n");
    }
}

static void read_bytes(const void *bytes, size_t count)
{
    EXPECT(bytes != NULL || count == 0);
    for (size_t i = 0; i < count; i++) {
        (void)((const volatile uint8_t *)bytes)[i];
    }
}

void record_is_readable(const struct idem_record *record)
{
    EXPECT(record->state >= 0 && record->state <= IDEM_STATE_DONE);
    EXPECT(record->key_len <= IDEM_KEY_MAX && (record->held | record->kept) <= 1);
    EXPECT(record->expires_in_ms >= IDEM_FOREVER && record->age_ms >= 0);
    read_bytes(record->key, record->key_len);
    read_bytes(record->value, record->value_len);
    read_bytes(record->intent, record->intent_len);
    read_bytes(record->fingerprint, sizeof record->fingerprint);
}

/* The calls on one open store. */
struct session {
    const struct program *program;
    idem_store *store;
    uint32_t keys;   /* asked for so far */
    uint8_t *buffer; /* of exactly so many bytes: AddressSanitizer sees one more */
};

static uint32_t next_key(struct session *session, char key[FUZZ_KEY_BYTES])
{
    const uint32_t number = session->program->keys + session->keys++ * 7;
    const bool new = session->program->options &OPTION_NEW_KEYS &&number % 2;
    return fuzz_key(new ? number + FUZZ_KEYS : number % FUZZ_KEYS, key);
}

static struct idem_record new_record(const struct session *session)
{
    struct idem_record record;
    idem_record_init(&record, sizeof record);
    if (session->program->options & OPTION_BUFFER) {
        record.buffer = session->buffer;
        record.buffer_size = BUFFER_BYTES;
    }
    return record;
}

static void take_record(struct idem_record *record, int status)
{
    if (status == IDEM_OK) {
        record_is_readable(record);
    }
    idem_record_free(record);
}

static void look_up(struct session *session)
{
    char keys[BATCH][FUZZ_KEY_BYTES];
    const void *names[BATCH];
    size_t lengths[BATCH];
    struct idem_record records[BATCH];
    int statuses[BATCH];
    const uint32_t allowed = ANY_CALL | MAY(IDEM_ENOTFOUND);
    for (uint32_t i = 0; i < BATCH; i++) {
        lengths[i] = next_key(session, keys[i]);
        names[i] = keys[i];
        records[i] = new_record(session);
        take_record(&records[i],
                    answered("lookup",
                             idem_lookup(session->store, keys[i], lengths[i], &records[i]),
                             allowed));
        idem_record_init(&records[i], sizeof records[i]);
    }
    answered("lookup_many",
             idem_lookup_many(session->store, names, lengths, records, statuses, BATCH), ANY_CALL);
    for (uint32_t i = 0; i < BATCH; i++) {
        take_record(&records[i], answered("lookup_many[]", statuses[i], allowed));
    }
}

static void wait(struct session *session)
{
    char key[FUZZ_KEY_BYTES];
    const uint32_t length = next_key(session, key);
    const int64_t timeout_ms = session->program->options & OPTION_WAIT ? LONG_WAIT_MS : 0;
    struct idem_record record = new_record(session);
    take_record(&record,
                answered("wait", idem_wait(session->store, key, length, timeout_ms, &record),
                         ANY_CALL | MAY(IDEM_ENOTFOUND) | MAY(IDEM_ETIMEDOUT)));
}

static void scan(struct session *session)
{
    uint64_t cursor = 0;
    int status = IDEM_OK;
    for (uint64_t calls = 0; status == IDEM_OK || status == IDEM_ECORRUPT; calls++) {
        EXPECT(calls < SCAN_CALLS_MAX);
        const uint64_t before = cursor;
        struct idem_record record = new_record(session);
        status = answered("scan", idem_scan(session->store, &cursor, &record),
                          ANY_CALL | MAY(IDEM_ENOTFOUND));
        take_record(&record, status);
        if (cursor == before) {
            break; /* refused before it began */
        }
    }
}

static struct idem_request next_request(struct session *session, char key[FUZZ_KEY_BYTES])
{
    static const char bytes[VALUE_MAX_BYTES] = "intent";
    const uint8_t options = session->program->options;
    struct idem_request request;
    idem_request_init(&request, sizeof request);
    request.key_len = next_key(session, key);
    request.key = key;
    request.flags = session->keys % 3 == 0 ? IDEM_HOLD : 0;
    request.fingerprint = session->keys % 4 == 0 ? bytes : NULL;
    request.intent = bytes;
    request.intent_len = session->keys % 5 == 0 ? session->program->keys : 0;
    request.ttl_ms = session->keys % 2 ? 1 : IDEM_FOREVER;
    request.lease_ms = options & OPTION_LEASE ? 1 : 0;
    return request;
}

static void end_claim(struct session *session, struct idem_claim *claim)
{
    static const char bytes[VALUE_MAX_BYTES] = "value";
    const uint32_t allowed = ANY_CALL | MAY(IDEM_ELOST);
    const size_t length = session->program->options & OPTION_LONG_VALUE
                              ? session->keys * 331 % VALUE_MAX_BYTES
                              : session->keys % 40;
    switch (session->keys % 6) {
    case 0:
        answered("release", idem_release(claim), allowed);
        break;
    case 1:
        answered("abandon", idem_abandon(claim), allowed);
        break;
    case 2:
        answered("renew", idem_renew(claim, 50), allowed);
        break;
    default:
        /* ETOOBIG: by the largest value that a damaged header tells. */
        answered("complete", idem_complete(claim, bytes, length, IDEM_TTL_SAME, 0),
                 allowed | MAY(IDEM_ETOOBIG));
    }
}

#define CLAIM_ANSWERS (ANY_CALL | MAY(IDEM_EFULL))

static void take_claim(struct session *session, struct idem_claim *claim, int status)
{
    if (status == IDEM_OK) {
        EXPECT(claim->outcome >= IDEM_CLAIMED && claim->outcome <= IDEM_HELD);
        record_is_readable(&claim->record);
        if (claim->outcome <= IDEM_RECLAIMED) {
            end_claim(session, claim);
        }
    }
    idem_record_free(&claim->record);
}

static void claim(struct session *session)
{
    char keys[BATCH][FUZZ_KEY_BYTES];
    struct idem_request requests[BATCH];
    struct idem_claim claims[BATCH];
    for (uint32_t i = 0; i < BATCH; i++) {
        requests[i] = next_request(session, keys[i]);
        idem_claim_init(&claims[i], sizeof claims[i]);
        claims[i].record = new_record(session);
        requests[i].wait_ms = i == 0 && session->program->options & OPTION_WAIT ? LONG_WAIT_MS : 0;
        take_claim(
            session, &claims[i],
            answered("claim", idem_claim(session->store, &requests[i], &claims[i]), CLAIM_ANSWERS));
    }
    for (uint32_t i = 0; i < BATCH; i++) {
        requests[i] = next_request(session, keys[i]);
        idem_claim_init(&claims[i], sizeof claims[i]);
    }
    answered("claim_many", idem_claim_many(session->store, requests, claims, BATCH), CLAIM_ANSWERS);
    for (uint32_t i = 0; i < BATCH; i++) {
        take_claim(session, &claims[i], answered("claim_many[]", claims[i].status, CLAIM_ANSWERS));
    }
}

static void by_hand(struct session *session)
{
    const uint32_t allowed = ANY_CALL | MAY(IDEM_ENOTFOUND) | MAY(IDEM_EBUSY);
    for (uint32_t i = 0; i < 3; i++) {
        char key[FUZZ_KEY_BYTES];
        uint32_t length = next_key(session, key);
        answered("touch", idem_touch(session->store, key, length, i ? 1000 : IDEM_FOREVER),
                 allowed);
        length = next_key(session, key);
        answered("resolve",
                 idem_resolve(session->store, key, length, i ? "resolved" : NULL, i ? 8 : 0, i),
                 allowed | MAY(IDEM_EFULL) | MAY(IDEM_ETOOBIG));
        length = next_key(session, key);
        answered("forget", idem_forget(session->store, key, length, i ? IDEM_FORCE : 0), allowed);
    }
}

static void check(struct session *session)
{
    struct idem_report report = {.size = sizeof report};
    answered("check", idem_check(session->store, &report), ANY_CALL);
    EXPECT(memchr(report.first, '\0', sizeof report.first) != NULL);
}

static void sweep(struct session *session)
{
    const int64_t freed = idem_sweep(session->store, session->keys % 2 ? 0 : 100);
    answered("sweep", freed < 0 ? (int)freed : IDEM_OK, ANY_CALL);
}

static void stats(struct session *session)
{
    struct idem_stats stats = {.size = sizeof stats};
    answered("stats", idem_stats(session->store, &stats), ANY_CALL);
}

static void resize(struct session *session)
{
    /* EINVAL: a damaged limit may be above. */
    if (session->program->options & OPTION_RESIZE) {
        answered("resize", idem_resize(session->store, IDEM__REGION_MIN_BYTES + (256u << 10)),
                 ANY_CALL | MAY(IDEM_EFULL) | MAY(IDEM_EINVAL));
    }
}

static int open_file(struct session *session, uint32_t flags)
{
    struct idem_options options;
    idem_options_init(&options, sizeof options);
    options.flags = IDEM_OPEN_EXISTING | flags;
    return answered(flags ? "open read-only" : "open",
                    idem_open(image_path, &options, &session->store),
                    MAY(IDEM_OK) | MAY(IDEM_ECORRUPT) | MAY(IDEM_EVERSION));
}

static void close_file(struct session *session, struct idem__region *region)
{
    guard_end();
    EXPECT(idem_close(session->store) == IDEM_OK);
    host_forget(region);
}

static void read_only(struct session *session)
{
    if (open_file(session, IDEM_OPEN_READONLY) == IDEM_OK) {
        struct idem__region *region = guard_begin(session->store);
        look_up(session);
        scan(session);
        stats(session);
        close_file(session, region);
    }
}

static void read_write(struct session *session)
{
    static void (*const calls[])(struct session *) = {look_up, claim, scan,  check,
                                                      by_hand, sweep, stats, resize};
    enum { CALLS = sizeof calls / sizeof calls[0] };
    const struct program *program = session->program;
    if (open_file(session, 0) != IDEM_OK) {
        return;
    }
    struct idem__region *region = guard_begin(session->store);
    /* Any first call, and from there forwards in strides that meet all. */
    const uint32_t stride = program->order >> 3 | 1;
    for (uint32_t i = 0; i < CALLS; i++) {
        if (i == CALLS / 2 && program->late < program->count) {
            program_apply(program, program->late, program->count, image_live());
            guard_widen();
        }
        calls[(program->order + i * stride) % CALLS](session);
    }
    wait(session);
    close_file(session, region);
}

void calls_on_file(const struct program *program)
{
    struct session session = {.program = program, .buffer = malloc(BUFFER_BYTES)};
    EXPECT(session.buffer != NULL);
    const uint8_t read_only_first = OPTION_READ_ONLY | OPTION_READ_ONLY_FIRST;
    if ((program->options & read_only_first) == read_only_first) {
        read_only(&session);
    }
    read_write(&session);
    if ((program->options & read_only_first) == OPTION_READ_ONLY) {
        read_only(&session);
    }
    free(session.buffer);
}
