/* Inspection: a read-only store sees what others do, takes no slot, changes nothing, and may read beside them. */
#include <stdatomic.h>
#include <sys/stat.h>

#include "store.h"

static idem_store *inspect(void)
{
    return store_open_with(0, IDEM_OPEN_READONLY | IDEM_OPEN_EXISTING);
}

/* Opened for inspection in a process of its own, as a tool would. */
static void look_at_everything(void *argument)
{
    (void)argument;
    idem_store *store = inspect();
    CHECK(has_value(store, "done", "value"));
    CHECK_INT(state_of(store, "busy"), IDEM_STATE_PENDING);
    CHECK_INT(state_of(store, "orphan"), IDEM_STATE_ORPHANED);
    CHECK_INT(state_of(store, "nothing"), IDEM_ENOTFOUND);
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    uint64_t cursor = 0;
    int keys = 0;
    while (idem_scan(store, &cursor, &record) == IDEM_OK) {
        CHECK(record.key_len >= 4);
        keys++;
    }
    idem_record_free(&record);
    CHECK_INT(keys, 3);
    const struct idem_stats stats = store_stats(store);
    CHECK_INT(stats.done_keys, 1);
    CHECK_INT(stats.slots_used, 1);
    CHECK_INT(stats.owners_issued, 1);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void everything_is_seen_without_a_slot(void)
{
    idem_store *store = store_open();
    struct idem_claim claim;
    put(store, "done", "value");
    CHECK_INT(outcome_of(store, "busy"), IDEM_CLAIMED);
    CHECK_INT(claim_key(store, "orphan", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_abandon(&claim), IDEM_OK);
    CHECK_INT(test_join(test_child(look_at_everything, NULL)), 0);
    CHECK_INT(store_stats(store).owners_issued, 1);
    store_end(store);
}

static void calls_that_write_are_refused(void *argument)
{
    (void)argument;
    idem_store *store = inspect();
    struct idem_claim claim = no_claim();
    const struct idem_request request = request_of("done");
    struct idem_report report = {.size = sizeof(report)};
    const char *const says = "read-only";
    CHECK_FAILS(idem_claim(store, &request, &claim), IDEM_EINVAL, says);
    CHECK_FAILS(idem_claim_many(store, &request, &claim, 1), IDEM_EINVAL, says);
    CHECK_FAILS(idem_forget(store, "done", 4, 0), IDEM_EINVAL, says);
    CHECK_FAILS(idem_touch(store, "done", 4, 1000), IDEM_EINVAL, says);
    CHECK_FAILS(idem_resolve(store, "done", 4, NULL, 0, 0), IDEM_EINVAL, says);
    CHECK_FAILS((int)idem_sweep(store, 0), IDEM_EINVAL, says);
    CHECK_FAILS(idem_resize(store, (uint64_t)1 << 30), IDEM_EINVAL, says);
    CHECK_FAILS(idem_check(store, &report), IDEM_EINVAL, says);
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void writing_is_refused(void)
{
    idem_store *store = store_open();
    put(store, "done", "value");
    CHECK_INT(test_join(test_child(calls_that_write_are_refused, NULL)), 0);
    CHECK(has_value(store, "done", "value"));
    store_end(store);
}

/* Who may only read the file may inspect it. */
static void inspect_as_nobody(void *argument)
{
    enum { NOBODY = 65534 };
    (void)argument;
    CHECK_INT(setgid(NOBODY), 0);
    CHECK_INT(setuid(NOBODY), 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    idem_store *store;
    CHECK_INT(idem_open(test_path, NULL, &store), IDEM_ESYS);
    CHECK_INT(errno, EACCES);
    store = inspect();
    CHECK(has_value(store, "done", "value"));
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void reading_needs_no_permission_to_write(void)
{
    idem_store *store = store_open();
    put(store, "done", "value");
    if (geteuid() != 0) {
        printf("  cannot run: only root can become another user\n");
    } else {
        CHECK_INT(chmod(test_path, 0644), 0);
        CHECK_INT(test_join(test_child(inspect_as_nobody, NULL)), 0);
    }
    store_end(store);
}

struct churn {
    idem_store *store;
    atomic_int stop;
};

static void churn(void *argument)
{
    struct churn *churn = argument;
    char key[] = "churn ?", value[300];
    for (uint32_t round = 0; !atomic_load(&churn->stop); round++) {
        struct idem_claim claim = no_claim();
        key[6] = (char)('a' + round % 16);
        const struct idem_request request = request_of(key);
        memset(value, key[6], sizeof(value));
        if (idem_claim(churn->store, &request, &claim) == IDEM_OK &&
            claim.outcome == IDEM_CLAIMED) {
            CHECK_INT(idem_complete(&claim, value, round % sizeof(value), IDEM_FOREVER, 0),
                      IDEM_OK);
            CHECK_INT(idem_forget(churn->store, key, strlen(key), 0), IDEM_OK);
        }
        idem_record_free(&claim.record);
        if (round % 1000 == 0) {
            CHECK(idem_sweep(churn->store, 0) >= 0);
        }
    }
}

/* Nothing keeps memory from being reused under a reader without a slot: it never tells a mixture. */
static void look_beside_changes(void *argument)
{
    (void)argument;
    idem_store *store = inspect();
    for (int round = 0; round < TEST_ROUNDS(100000); round++) {
        char key[] = "churn ?";
        struct idem_record record;
        idem_record_init(&record, sizeof(record));
        key[6] = (char)('a' + round % 16);
        CHECK(has_value(store, "stays", "value"));
        const int status = idem_lookup(store, key, strlen(key), &record);
        CHECK(status == IDEM_OK || status == IDEM_ENOTFOUND);
        if (status == IDEM_OK && record.state == IDEM_STATE_DONE) {
            const char *bytes = record.value;
            for (size_t i = 0; i < record.value_len; i++) {
                CHECK_INT(bytes[i], key[6]);
            }
        }
        idem_record_free(&record);
    }
    for (int round = 0; round < TEST_ROUNDS(200); round++) {
        struct idem_record record;
        uint64_t cursor = 0;
        int stays = 0, status;
        idem_record_init(&record, sizeof(record));
        while ((status = idem_scan(store, &cursor, &record)) == IDEM_OK) {
            stays += has_bytes(record.key, record.key_len, "stays");
        }
        CHECK_INT(status, IDEM_ENOTFOUND);
        CHECK_INT(stays, 1);
        idem_record_free(&record);
    }
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void reading_beside_changes_tells_the_truth(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct churn *shared = shared_memory(sizeof(*shared));
    put(store, "stays", "value");
    shared->store = store;
    const pid_t writer = test_child(churn, shared);
    const pid_t reader = test_child(look_beside_changes, NULL);
    CHECK_INT(test_join(reader), 0);
    atomic_store(&shared->stop, 1);
    CHECK_INT(test_join(writer), 0);
    munmap(shared, sizeof(*shared));
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(everything_is_seen_without_a_slot),
                                    TEST(writing_is_refused),
                                    TEST(reading_needs_no_permission_to_write),
                                    TEST(reading_beside_changes_tells_the_truth),
                                    {0}});
}
