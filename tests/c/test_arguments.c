/* Every bad argument: its status, and a message that names the argument, its value and the limit. */
#include <fcntl.h>
#include <sys/stat.h>

#include "store.h"

static idem_store *store;

static void key_of_a_wrong_length(void)
{
    store = store_open();
    char key[IDEM_KEY_MAX + 1];
    memset(key, 'k', sizeof(key));
    struct idem_claim claim = no_claim();
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    struct {
        const void *key;
        size_t length;
        const char *says;
    } bad[] = {{key, 0, "key: has 0 bytes"},
               {key, sizeof(key), "key: has 1025 bytes; must have 1 to 1024"},
               {NULL, 3, "key: is NULL"},
               {key, SIZE_MAX, "key: has 18446744073709551615 bytes"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct idem_request request = request_of("");
        request.key = bad[i].key;
        request.key_len = bad[i].length;
        CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_EINVAL, bad[i].says);
        CHECK_INT(claim.outcome, 0);
        CHECK_FAILS(idem_lookup(store, bad[i].key, bad[i].length, &record), IDEM_EINVAL,
                    bad[i].says);
        CHECK_FAILS(idem_wait(store, bad[i].key, bad[i].length, 0, &record), IDEM_EINVAL,
                    bad[i].says);
        CHECK_FAILS(idem_forget(store, bad[i].key, bad[i].length, 0), IDEM_EINVAL, bad[i].says);
        CHECK_FAILS(idem_touch(store, bad[i].key, bad[i].length, 1), IDEM_EINVAL, bad[i].says);
        CHECK_FAILS(idem_resolve(store, bad[i].key, bad[i].length, NULL, 0, 0), IDEM_EINVAL,
                    bad[i].says);
    }
    struct idem_request request = request_of("");
    request.key = key;
    request.key_len = IDEM_KEY_MAX;
    CHECK_INT(idem_claim(store, &request, &claim), IDEM_OK);
    store_end(store);
}

static void times_that_cannot_be(void)
{
    static const int64_t absurd_ms[] = {0, -2, INT64_MIN, INT64_MAX,
                                        (int64_t)11 * 366 * 86400 * 1000};
    store = store_open();
    struct idem_claim claim;
    struct idem_record record;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    idem_record_init(&record, sizeof(record));
    for (size_t i = 0; i < sizeof(absurd_ms) / sizeof(absurd_ms[0]); i++) {
        char value[64];
        snprintf(value, sizeof(value), "%lld ms", (long long)absurd_ms[i]);
        struct idem_request request = request_of("other");
        struct idem_claim other = no_claim();
        request.ttl_ms = absurd_ms[i];
        CHECK_FAILS(idem_claim(store, &request, &other), IDEM_EINVAL, "ttl_ms");
        CHECK(strstr(idem_last_error(), value) && strstr(idem_last_error(), "10 years"));
        CHECK_FAILS(idem_touch(store, "key", 3, absurd_ms[i]), IDEM_EINVAL, value);
        if (absurd_ms[i] == 0) {
            continue; /* no lease, no grace, no wait; and a ttl as the claim asked */
        }
        CHECK_FAILS(idem_complete(&claim, NULL, 0, absurd_ms[i], 0), IDEM_EINVAL, value);
        CHECK_FAILS(idem_resolve(store, "key", 3, NULL, 0, absurd_ms[i]), IDEM_EINVAL, value);
        CHECK_FAILS(idem_renew(&claim, absurd_ms[i]), IDEM_EINVAL, "lease_ms");
        CHECK(strstr(idem_last_error(), value) != NULL);
        CHECK_FAILS(idem_wait(store, "key", 3, absurd_ms[i], &record), IDEM_EINVAL, "timeout_ms");
        request = request_of("other");
        request.lease_ms = absurd_ms[i];
        CHECK_FAILS(idem_claim(store, &request, &other), IDEM_EINVAL, "lease_ms");
        request = request_of("other");
        request.crash_grace_ms = absurd_ms[i];
        CHECK_FAILS(idem_claim(store, &request, &other), IDEM_EINVAL, "crash_grace_ms");
        request = request_of("other");
        request.wait_ms = absurd_ms[i];
        CHECK_FAILS(idem_claim(store, &request, &other), IDEM_EINVAL, "wait_ms");
        CHECK(strstr(idem_last_error(), value) != NULL);
    }
    CHECK_INT(state_of(store, "key"), IDEM_STATE_PENDING);
    CHECK_INT(state_of(store, "other"), IDEM_ENOTFOUND);
    store_end(store);
}

static void flags_that_are_not_known(void)
{
    store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim = no_claim();
    request.flags = 0x82;
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_EINVAL, "flags: has unknown bits 0x82");
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_FAILS(idem_complete(&claim, NULL, 0, 0, 0x80), IDEM_EINVAL, "0x80");
    CHECK_FAILS(idem_forget(store, "key", 3, 0x80), IDEM_EINVAL, "IDEM_FORCE");
    struct idem_options options;
    idem_store *other;
    idem_options_init(&options, sizeof(options));
    options.flags = 0x80;
    CHECK_FAILS(idem_open(test_path, &options, &other), IDEM_EINVAL, "0x80");
    CHECK(other == NULL);
    store_end(store);
}

static void structs_of_a_wrong_size(void)
{
    store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim = no_claim();
    struct idem_record record = {.size = 5};
    struct idem_stats stats = {.size = 5};
    struct idem_report report = {.size = 5};
    struct idem_options options = {.size = 5};
    uint64_t cursor = 0;
    idem_store *other;
    request.size = 5;
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_EINVAL, "request: its size field is 5");
    request = request_of("key");
    claim.size = 0;
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_EINVAL, "claim: its size field is 0");
    CHECK_FAILS(idem_release(&claim), IDEM_EINVAL, "claim: its size field is 0");
    CHECK_FAILS(idem_lookup(store, "key", 3, &record), IDEM_EINVAL, "record: its size field is 5");
    CHECK_FAILS(idem_wait(store, "key", 3, 0, &record), IDEM_EINVAL, "record");
    CHECK_FAILS(idem_scan(store, &cursor, &record), IDEM_EINVAL, "record");
    CHECK_FAILS(idem_stats(store, &stats), IDEM_EINVAL, "stats");
    CHECK_FAILS(idem_check(store, &report), IDEM_EINVAL, "report");
    CHECK_FAILS(idem_open(test_path, &options, &other), IDEM_EINVAL, "options");
    CHECK_INT(state_of(store, "key"), IDEM_ENOTFOUND);
    store_end(store);
}

static void pointers_that_are_null(void)
{
    store = store_open();
    struct idem_request request = request_of("key");
    struct idem_claim claim = no_claim();
    struct idem_record record;
    uint64_t cursor = (uint64_t)1 << 40;
    idem_record_init(&record, sizeof(record));
    CHECK_FAILS(idem_claim(store, NULL, &claim), IDEM_EINVAL, "request: is NULL");
    CHECK_FAILS(idem_claim(store, &request, NULL), IDEM_EINVAL, "claim: is NULL");
    CHECK_FAILS(idem_claim_many(store, NULL, &claim, 1), IDEM_EINVAL, "requests: is NULL");
    CHECK_FAILS(idem_claim_many(store, &request, NULL, 1), IDEM_EINVAL, "claims: is NULL");
    CHECK_FAILS(idem_complete(NULL, NULL, 0, 0, 0), IDEM_EINVAL, "claim: is NULL");
    CHECK_FAILS(idem_release(NULL), IDEM_EINVAL, "claim: is NULL");
    CHECK_FAILS(idem_abandon(NULL), IDEM_EINVAL, "claim: is NULL");
    CHECK_FAILS(idem_renew(NULL, 5), IDEM_EINVAL, "claim: is NULL");
    CHECK_FAILS(idem_lookup(store, "key", 3, NULL), IDEM_EINVAL, "record: is NULL");
    CHECK_FAILS(idem_wait(store, "key", 3, 0, NULL), IDEM_EINVAL, "record: is NULL");
    CHECK_FAILS(idem_scan(store, NULL, &record), IDEM_EINVAL, "cursor: is NULL");
    CHECK_FAILS(idem_scan(store, &cursor, &record), IDEM_EINVAL, "cursor: is 1099511627776");
    CHECK_FAILS(idem_stats(store, NULL), IDEM_EINVAL, "stats: is NULL");
    CHECK_FAILS(idem_check(store, NULL), IDEM_EINVAL, "report: is NULL");
    CHECK_FAILS(idem_open(test_path, NULL, NULL), IDEM_EINVAL, "store: is NULL");
    CHECK_FAILS(idem_fingerprint(NULL, 0, NULL, NULL, 0, NULL), IDEM_EINVAL, "out: is NULL");
    request.intent_len = 5;
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_EINVAL,
                "intent: is NULL, but intent_len is 5");
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_FAILS(idem_complete(&claim, NULL, 5, 0, 0), IDEM_EINVAL,
                "value: is NULL, but value_len is 5");
    CHECK_FAILS(idem_resolve(store, "key", 3, NULL, 5, 0), IDEM_EINVAL, "value: is NULL");
    idem_record_free(NULL);
    store_end(store);
}

static void bytes_that_are_too_many(void)
{
    store = store_open();
    const struct idem_stats stats = store_stats(store);
    char *bytes = calloc(1, stats.value_max + stats.intent_max + 2000);
    struct idem_claim claim;
    char limit[32];
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    snprintf(limit, sizeof(limit), "at most %llu", (unsigned long long)stats.value_max);
    CHECK_FAILS(idem_complete(&claim, bytes, stats.value_max + 1, 0, 0), IDEM_ETOOBIG, limit);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_FAILS(idem_resolve(store, "key", 3, bytes, stats.value_max + 1, 0), IDEM_ETOOBIG, limit);
    CHECK_INT(idem_resolve(store, "key", 3, bytes, stats.value_max, 0), IDEM_OK);
    /* The largest intent goes with any key. */
    char key[IDEM_KEY_MAX];
    memset(key, 'k', sizeof(key));
    struct idem_request request = request_of("");
    request.key = key;
    request.key_len = sizeof(key);
    request.fingerprint = key;
    request.intent = bytes;
    request.intent_len = stats.intent_max;
    CHECK_INT(claim_with(store, &request, &claim), IDEM_CLAIMED);
    CHECK_INT(idem_release(&claim), IDEM_OK);
    request.intent_len = stats.intent_max + 1;
    claim = no_claim();
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_ETOOBIG, "intent: has");
    request.intent_len = SIZE_MAX;
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_ETOOBIG, "intent: has");
    free(bytes);
    store_end(store);
}

static void claims_without_a_token(void)
{
    store = store_open();
    struct idem_claim claim, busy, never = no_claim();
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_INT(claim_key(store, "key", &busy), IDEM_BUSY);
    CHECK_FAILS(idem_complete(&busy, NULL, 0, 0, 0), IDEM_EINVAL, "outcome was BUSY");
    CHECK_FAILS(idem_release(&busy), IDEM_EINVAL, "no token");
    CHECK_FAILS(idem_abandon(&never), IDEM_EINVAL, "no token");
    CHECK_FAILS(idem_renew(&never, 0), IDEM_EINVAL, "no token");
    CHECK_INT(state_of(store, "key"), IDEM_STATE_PENDING);
    store_end(store);
}

static void handles_that_are_closed(void)
{
    store = store_open();
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_close(store), IDEM_OK);
    idem_store *const closed[] = {store, NULL, (idem_store *)&claim};
    const char *const says[] = {"not open", "store is NULL", "not open"};
    for (size_t i = 0; i < 3; i++) {
        const struct idem_request request = request_of("key");
        struct idem_claim other = no_claim();
        struct idem_record record;
        struct idem_stats stats = {.size = sizeof(stats)};
        struct idem_report report = {.size = sizeof(report)};
        uint64_t cursor = 0;
        idem_record_init(&record, sizeof(record));
        CHECK_FAILS(idem_claim(closed[i], &request, &other), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_claim_many(closed[i], &request, &other, 1), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_lookup(closed[i], "key", 3, &record), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_lookup_many(closed[i], NULL, NULL, NULL, NULL, 0), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_wait(closed[i], "key", 3, 0, &record), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_forget(closed[i], "key", 3, 0), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_touch(closed[i], "key", 3, 1), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_resolve(closed[i], "key", 3, NULL, 0, 0), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_scan(closed[i], &cursor, &record), IDEM_EINVAL, says[i]);
        CHECK_FAILS((int)idem_sweep(closed[i], 0), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_stats(closed[i], &stats), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_check(closed[i], &report), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_resize(closed[i], 1 << 20), IDEM_EINVAL, says[i]);
        CHECK_FAILS(idem_close(closed[i]), IDEM_EINVAL, says[i]);
    }
    CHECK_FAILS(idem_release(&claim), IDEM_EINVAL, "not open");
    store_end(store_open());
}

static int open_at(const char *path, uint32_t flags)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.flags = flags;
    idem_store *opened;
    const int status = idem_open(path, &options, &opened);
    CHECK(opened == NULL);
    return status;
}

static void paths_that_cannot_be(void)
{
    char path[200];
    CHECK_FAILS(open_at("/dev/shm/no such folder/x.idem", 0), IDEM_ESYS, "/dev/shm/no such folder");
    CHECK_INT(errno, ENOENT);
    CHECK_FAILS(open_at("/dev/shm", 0), IDEM_EINVAL, "/dev/shm is not a regular file");
    CHECK_FAILS(open_at("/dev/null", 0), IDEM_EINVAL, "/dev/null is not a regular file");
    CHECK_FAILS(open_at("", 0), IDEM_EINVAL, "path");
    CHECK_FAILS(open_at(NULL, 0), IDEM_EINVAL, "path");
    CHECK_FAILS(open_at(test_path, IDEM_OPEN_EXISTING), IDEM_ESYS, test_path);
    CHECK_INT(errno, ENOENT);
    CHECK_FAILS(open_at(test_path, IDEM_OPEN_ANONYMOUS), IDEM_EINVAL, "path");
    idem_store *first = store_open();
    CHECK_FAILS(open_at(test_path, IDEM_OPEN_EXCLUSIVE), IDEM_ESYS, test_path);
    CHECK_INT(errno, EEXIST);
    snprintf(path, sizeof(path), "%s.link", test_path);
    CHECK_INT(symlink(test_path, path), 0);
    CHECK_FAILS(open_at(path, 0), IDEM_ESYS, path);
    CHECK_INT(errno, ELOOP);
    CHECK_INT(unlink(path), 0);
    store_end(first);
}

static void files_that_are_no_regions(void)
{
    const int fd = open(test_path, O_CREAT | O_RDWR, 0600);
    char text[8192];
    memset(text, 'x', sizeof(text));
    CHECK_INT(write(fd, text, sizeof(text)), sizeof(text));
    CHECK_FAILS(open_at(test_path, 0), IDEM_ECORRUPT, test_path);
    CHECK_INT(ftruncate(fd, 10), 0);
    CHECK_FAILS(open_at(test_path, 0), IDEM_ECORRUPT, test_path);
    close(fd);
}

static void limits_that_cannot_be(void)
{
    struct idem_options options;
    idem_store *opened;
    idem_options_init(&options, sizeof(options));
    options.max_bytes = 1000;
    CHECK_FAILS(idem_open(test_path, &options, &opened), IDEM_EINVAL, "1000");
    CHECK(strstr(idem_last_error(), "max_bytes") != NULL);
    options.max_bytes = UINT64_MAX;
    CHECK_FAILS(idem_open(test_path, &options, &opened), IDEM_EINVAL, "max_bytes");
    options.max_bytes = 1 << 20;
    options.max_value_bytes = 1 << 30;
    CHECK_FAILS(idem_open(test_path, &options, &opened), IDEM_EINVAL, "max_value_bytes");
    options.max_value_bytes = 0;
    options.mode = 01777777;
    CHECK_FAILS(idem_open(test_path, &options, &opened), IDEM_EINVAL, "mode");
    CHECK_INT(access(test_path, F_OK), -1);
    store = store_open();
    const struct idem_stats stats = store_stats(store);
    CHECK_FAILS(idem_resize(store, stats.max_bytes - 1), IDEM_EINVAL, "max_bytes");
    CHECK_FAILS(idem_resize(store, stats.ceiling_bytes + 1), IDEM_EINVAL, "ceiling");
    CHECK_INT(store_stats(store).max_bytes, stats.max_bytes);
    store_end(store);
}

static void a_replaced_file_is_noticed(void)
{
    store = store_open();
    struct idem_claim claim;
    const struct idem_request request = request_of("key");
    CHECK_INT(claim_key(store, "before", &claim), IDEM_CLAIMED);
    CHECK_INT(unlink(test_path), 0);
    struct idem_claim other = no_claim();
    CHECK_SOON(idem_claim(store, &request, &other) == IDEM_EREPLACED);
    CHECK(strstr(idem_last_error(), test_path) && strstr(idem_last_error(), "unlinked"));
    CHECK_INT(other.outcome, 0);
    /* What was begun is ended. */
    complete_with(&claim, "v");
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(key_of_a_wrong_length),
                                    TEST(times_that_cannot_be),
                                    TEST(flags_that_are_not_known),
                                    TEST(structs_of_a_wrong_size),
                                    TEST(pointers_that_are_null),
                                    TEST(bytes_that_are_too_many),
                                    TEST(claims_without_a_token),
                                    TEST(handles_that_are_closed),
                                    TEST(paths_that_cannot_be),
                                    TEST(files_that_are_no_regions),
                                    TEST(limits_that_cannot_be),
                                    TEST(a_replaced_file_is_noticed),
                                    {0}});
}
