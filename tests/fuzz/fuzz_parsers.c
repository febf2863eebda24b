/*
 * fuzz_parsers.c - a libFuzzer target: arguments that nobody should pass are refused, and good values come
 * back as they were stored. An input is a list of calls with their arguments, made on a sound store.
 *
 * Every buffer that is passed has exactly the bytes that its length says, so that AddressSanitizer sees a
 * byte read too far; lengths beyond HONEST_BYTES are lies, which must be refused before a byte is read.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "check.h"
#include "host.h"
#include "input.h"

#define CALLS_PER_INPUT 32u
#define PARTS_MAX 4u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t inputs, calls;

static void init_request(void *memory, size_t size) { idem_request_init(memory, size); }
static void init_claim(void *memory, size_t size) { idem_claim_init(memory, size); }
static void init_record(void *memory, size_t size) { idem_record_init(memory, size); }
static void init_options(void *memory, size_t size) { idem_options_init(memory, size); }
static void init_size(void *memory, size_t size) { *(uint32_t *)memory = (uint32_t)size; }

/* Usually the open store; else NULL, a closed one, or any number. */
static idem_store *open_store, *closed_store;
static idem_store *take_store(struct input *input)
{
    switch (take(input, 1) % 16) {
    case 0:
        return NULL;
    case 1:
        return closed_store;
    case 2: {
        idem_store *any = (idem_store *)(uintptr_t)take_number(input); /* NOLINT: never followed */
        return any == open_store ? NULL : any;
    }
    default:
        return open_store;
    }
}

#define ARGUMENTS (MAY(IDEM_OK) | MAY(IDEM_EINVAL))

static struct idem_request *take_request(struct input *input)
{
    bool whole;
    struct idem_request *request = take_struct(input, sizeof *request, init_request, &whole);
    if (request != NULL && whole) {
        const uint64_t set = take(input, 2);
        request->key = take_key(input, &request->key_len);
        request->flags = set & 1 ? (uint32_t)take_number(input) : 0;
        request->fingerprint = set & 2 ? owned(input, IDEM_FINGERPRINT_SIZE) : NULL;
        request->intent = set & 4 ? take_bytes(input, &request->intent_len) : NULL;
        request->ttl_ms = set & 8 ? (int64_t)take_number(input) : request->ttl_ms;
        request->lease_ms = set & 16 ? (int64_t)take_number(input) : 0;
        request->crash_grace_ms = set & 32 ? (int64_t)take_number(input) : 0;
        request->wait_ms = set & 64 ? take_wait_ms(input) : 0;
    }
    return request;
}

static struct idem_record *take_record(struct input *input)
{
    bool whole;
    struct idem_record *record = take_struct(input, sizeof *record, init_record, &whole);
    if (record != NULL && whole && take(input, 1) % 2) {
        record->buffer_size = take(input, 1);
        record->buffer = take(input, 1) % 8 ? owned(input, record->buffer_size) : NULL;
    }
    return record;
}

static void give_record(struct idem_record *record, int status)
{
    if (status == IDEM_OK) {
        record_is_readable(record);
    }
    if (record != NULL && record->size == sizeof *record) {
        idem_record_free(record);
    }
}

/* What was completed is looked up: the same bytes. */
static void comes_back(const struct idem_request *request, const void *value, size_t length)
{
    struct idem_record record;
    idem_record_init(&record, sizeof record);
    EXPECT(idem_lookup(open_store, request->key, request->key_len, &record) == IDEM_OK);
    record_is_readable(&record);
    EXPECT(record.state == IDEM_STATE_DONE && (!record.kept || record.value_len == length));
    EXPECT(!record.kept || length == 0 || memcmp(record.value, value, length) == 0);
    idem_record_free(&record);
}

static void end(struct input *input, const struct idem_request *request, struct idem_claim *claim)
{
    const uint32_t allowed = ARGUMENTS | MAY(IDEM_ELOST) | MAY(IDEM_ETOOBIG);
    const uint64_t kind = take(input, 1);
    const struct idem_claim before = *claim;
    if (kind & 8) {
        claim->store = take_store(input);
    }
    if (kind & 16) { /* a forged token */
        uint32_t *const parts[] = {&claim->size,
                                   &claim->owner,
                                   &claim->block,
                                   &claim->generation,
                                   (uint32_t *)&claim->record.attempt,
                                   (uint32_t *)&claim->outcome};
        *parts[take(input, 1) % (sizeof parts / sizeof parts[0])] = (uint32_t)take_number(input);
    }
    size_t length = 0;
    const void *value;
    int64_t ttl_ms;
    switch (kind % 4) {
    case 0:
        answered("release", idem_release(claim), allowed);
        break;
    case 1:
        answered("abandon", idem_abandon(claim), allowed);
        break;
    case 2:
        answered("renew", idem_renew(claim, (int64_t)take_number(input)), allowed);
        break;
    default:
        value = take_bytes(input, &length);
        ttl_ms = kind & 32 ? (int64_t)take_number(input) : IDEM_FOREVER;
        if (answered("complete",
                     idem_complete(claim, value, length, ttl_ms,
                                   kind & 64 ? (uint32_t)take(input, 4) : 0),
                     allowed) == IDEM_OK &&
            ttl_ms == IDEM_FOREVER && claim->block == before.block) {
            comes_back(request, value, length);
        }
    }
    if (claim->size != sizeof *claim) {
        EXPECT(idem_release(claim) == IDEM_EINVAL);
    }
}

static void claim_one(struct input *input)
{
    idem_store *store = take_store(input);
    struct idem_request *request = take_request(input);
    bool whole;
    struct idem_claim *claim = take_struct(input, sizeof *claim, init_claim, &whole);
    const int status = answered("claim", idem_claim(store, request, claim),
                                ARGUMENTS | MAY(IDEM_ETOOBIG) | MAY(IDEM_EFULL));
    if (claim == NULL || !whole) {
        EXPECT(status == IDEM_EINVAL || status == IDEM_ETOOBIG);
        return;
    }
    if (status == IDEM_OK) {
        EXPECT(claim->outcome >= IDEM_CLAIMED && claim->outcome <= IDEM_HELD);
        record_is_readable(&claim->record);
        if (claim->outcome <= IDEM_RECLAIMED) {
            end(input, request, claim);
        }
    }
    idem_record_free(&claim->record);
}

static void claim_many(struct input *input)
{
    enum { MANY = 3 };
    struct idem_request requests[MANY];
    struct idem_claim claims[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        const struct idem_request *request = take_request(input);
        idem_request_init(&requests[i], sizeof requests[i]);
        if (request != NULL && request->size == sizeof *request) {
            requests[i] = *request;
        }
        idem_claim_init(&claims[i], sizeof claims[i]);
        claims[i].size -= take(input, 1) % 8 == 1;
    }
    const uint64_t kind = take(input, 1);
    const uint32_t allowed = ARGUMENTS | MAY(IDEM_ETOOBIG) | MAY(IDEM_EFULL);
    answered("claim_many",
             idem_claim_many(
                 take_store(input), kind % 8 ? requests : NULL, kind / 8 % 8 ? claims : NULL,
                 kind % 8 && kind / 8 % 8 ? take(input, 1) % (MANY + 1) : take_number(input)),
             allowed);
    for (uint32_t i = 0; i < MANY; i++) {
        idem_record_free(&claims[i].record);
    }
}

static void look_up(struct input *input)
{
    size_t length;
    const void *key = take_key(input, &length);
    struct idem_record *record = take_record(input);
    give_record(record, answered("lookup", idem_lookup(take_store(input), key, length, record),
                                 ARGUMENTS | MAY(IDEM_ENOTFOUND)));
}

static void look_up_many(struct input *input)
{
    enum { MANY = 3 };
    const void *keys[MANY];
    size_t lengths[MANY];
    struct idem_record records[MANY];
    int statuses[MANY];
    for (uint32_t i = 0; i < MANY; i++) {
        keys[i] = take_key(input, &lengths[i]);
        idem_record_init(&records[i], sizeof records[i]);
        records[i].size = take(input, 1) % 8 ? sizeof records[i] : (uint32_t)take(input, 1);
    }
    const uint64_t kind = take(input, 1);
    answered("lookup_many",
             idem_lookup_many(take_store(input), kind & 1 ? NULL : keys, kind & 2 ? NULL : lengths,
                              kind & 4 ? NULL : records, kind & 8 ? NULL : statuses,
                              kind & 15 ? take_number(input) : take(input, 1) % (MANY + 1)),
             ARGUMENTS);
    for (uint32_t i = 0; i < MANY; i++) {
        idem_record_free(&records[i]);
    }
}

static void wait(struct input *input)
{
    size_t length;
    const void *key = take_key(input, &length);
    struct idem_record *record = take_record(input);
    const int64_t timeout_ms = take_wait_ms(input);
    give_record(record,
                answered("wait", idem_wait(take_store(input), key, length, timeout_ms, record),
                         ARGUMENTS | MAY(IDEM_ENOTFOUND) | MAY(IDEM_ETIMEDOUT)));
}

static void by_hand(struct input *input)
{
    const uint32_t allowed = ARGUMENTS | MAY(IDEM_ENOTFOUND) | MAY(IDEM_EBUSY);
    size_t length, value_length;
    const void *key = take_key(input, &length), *value;
    idem_store *store = take_store(input);
    switch (take(input, 1) % 3) {
    case 0:
        answered("touch", idem_touch(store, key, length, (int64_t)take_number(input)), allowed);
        break;
    case 1:
        answered("forget", idem_forget(store, key, length, (uint32_t)take_number(input)), allowed);
        break;
    default:
        value = take_bytes(input, &value_length);
        answered("resolve",
                 idem_resolve(store, key, length, value, value_length, (int64_t)take_number(input)),
                 allowed | MAY(IDEM_ETOOBIG) | MAY(IDEM_EFULL));
    }
}

static void of_store(struct input *input)
{
    bool whole;
    uint64_t cursor = take_number(input);
    struct idem_record *record;
    int64_t freed;
    switch (take(input, 1) % 5) {
    case 0:
        record = take_record(input);
        give_record(record,
                    answered("scan",
                             idem_scan(take_store(input), cursor % 16 ? &cursor : NULL, record),
                             ARGUMENTS | MAY(IDEM_ENOTFOUND)));
        break;
    case 1:
        freed = idem_sweep(take_store(input), take_number(input));
        answered("sweep", freed < 0 ? (int)freed : IDEM_OK, ARGUMENTS);
        break;
    case 2:
        answered("stats",
                 idem_stats(take_store(input),
                            take_struct(input, sizeof(struct idem_stats), init_size, &whole)),
                 ARGUMENTS);
        break;
    case 3:
        answered("check",
                 idem_check(take_store(input),
                            take_struct(input, sizeof(struct idem_report), init_size, &whole)),
                 ARGUMENTS);
        break;
    default:
        /* Up to the room that the guard knows: no larger file. */
        answered("resize",
                 idem_resize(take_store(input), take(input, 1) % 2
                                                    ? IDEM__REGION_MIN_BYTES
                                                    : take_number(input) | (uint64_t)1 << 40),
                 ARGUMENTS);
    }
}

static void fingerprint(struct input *input)
{
    const void *parts[PARTS_MAX];
    size_t lengths[PARTS_MAX], secret_length;
    const uint64_t kind = take(input, 1), count = take(input, 1) % (PARTS_MAX + 1);
    const void *secret = take_bytes(input, &secret_length);
    uint8_t *out = owned(input, IDEM_FINGERPRINT_SIZE);
    /* Here no length is too long, so none may be a lie. */
    secret_length = secret ? idem__min_u64(secret_length, HONEST_BYTES) : secret_length;
    for (uint32_t i = 0; i < count; i++) {
        parts[i] = take_bytes(input, &lengths[i]);
        lengths[i] = parts[i] ? idem__min_u64(lengths[i], HONEST_BYTES) : lengths[i];
    }
    answered("fingerprint",
             idem_fingerprint(secret, secret_length, kind & 1 ? NULL : parts,
                              kind & 2 ? NULL : lengths, kind & 3 ? take_number(input) : count,
                              kind & 4 ? NULL : out),
             ARGUMENTS);
}

/* A path beside the image's file: nothing else of the host is touched. */
static const char *take_path(struct input *input)
{
    enum { PATH_BYTES = 6000 }; /* more than PATH_MAX */
    const uint64_t kind = take(input, 1) % 8;
    if (kind == 0) {
        return NULL;
    }
    char *path = owned(input, PATH_BYTES);
    if (kind == 1) {
        return path;
    }
    const size_t prefix = (size_t)snprintf(path, PATH_BYTES, "%s.", image_path);
    if (kind == 2) {
        memset(path + prefix, 'x', take(input, 2) % (PATH_BYTES - prefix - 1));
        return path;
    }
    for (size_t i = prefix, length = take(input, 1) % 64; length > 0; i++, length--) {
        path[i] = (char)take(input, 1);
        if (path[i] == '/') {
            path[i] = '.';
        }
    }
    return path;
}

static void open_any(struct input *input)
{
    bool whole;
    const char *path = take_path(input);
    struct idem_options *options = take_struct(input, sizeof *options, init_options, &whole);
    if (options != NULL && whole) {
        const uint64_t set = take(input, 1);
        options->flags = set & 1 ? (uint32_t)take(input, 1) % 20 : 0;
        options->max_bytes = set & 2 ? take_number(input) : IDEM__REGION_MIN_BYTES;
        options->max_value_bytes = set & 4 ? (uint32_t)take_number(input) : 0;
        options->mode = set & 8 ? (uint32_t)take_number(input) : options->mode;
        options->group = set & 16 ? (int64_t)take_number(input) : -1;
        options->flags |= set & 32 ? (uint32_t)take_number(input) : 0;
    }
    idem_store *store;
    /* ESYS: names that no file can have, a region that is not there, and the like. */
    if (answered("open", idem_open(path, options, &store), ARGUMENTS | MAY(IDEM_ESYS)) == IDEM_OK) {
        EXPECT(idem_close(store) == IDEM_OK);
        EXPECT(idem_close(store) == IDEM_EINVAL);
    } else {
        EXPECT(store == NULL);
    }
    if (path != NULL) {
        (void)unlink(path);
    }
}

static void print_figures(void)
{
    printf("inputs %" PRIu64 "\ncalls %" PRIu64 "\n", inputs, calls);
    answers_print();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    host_begin();
    templates_begin();
    image_file_begin();
    atexit(print_figures);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kinds[])(struct input *) = {claim_one,    claim_one, claim_many, look_up,
                                                    look_up_many, wait,      by_hand,    of_store,
                                                    fingerprint,  open_any};
    struct input input = {.data = data, .left = size};
    const struct template *template = &templates[take(&input, 1) % TEMPLATES];
    *host_now_ms = template->now_ms;
    image_write(&template->image);
    EXPECT(idem_open(image_path, NULL, &closed_store) == IDEM_OK);
    EXPECT(idem_close(closed_store) == IDEM_OK);
    EXPECT(idem_open(image_path, NULL, &open_store) == IDEM_OK);
    struct idem__region *region = guard_begin(open_store);
    for (uint32_t i = 0; i < CALLS_PER_INPUT && input.left > 0; i++) {
        kinds[take(&input, 1) % (sizeof kinds / sizeof kinds[0])](&input);
        drop_owned(&input);
        calls++;
    }
    struct idem_report report = {.size = sizeof report};
    EXPECT(idem_check(open_store, &report) == IDEM_OK);
    guard_end();
    EXPECT(idem_close(open_store) == IDEM_OK);
    host_forget(region);
    inputs++;
    return 0;
}
