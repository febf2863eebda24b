/* The file at the path: read-only, another user's, a symlink, unlinked or replaced under an open store. */
#include "hosts.h"

static int try_open(uint32_t flags, idem_store **store)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.flags = flags;
    return idem_open(test_path, &options, store);
}

static void open_and_put(void *unused)
{
    (void)unused;
    idem_store *store = store_open();
    put(store, "key", "value");
    store_end(store);
}

/* By another process: an owner keeps the file open until it exits. */
static void make_store(void) { CHECK_INT(test_join(test_child(open_and_put, NULL)), 0); }

/* Opens it for inspection alone, where writing is not allowed for `reason`. */
static void check_readable_only(const char *reason, int expected_errno)
{
    idem_store *store;
    CHECK_FAILS(try_open(0, &store), IDEM_ESYS, reason);
    CHECK_INT(errno, expected_errno);
    CHECK(strstr(idem_last_error(), test_path) != NULL);
    CHECK(store == NULL);
    CHECK_INT(try_open(IDEM_OPEN_READONLY, &store), IDEM_OK);
    CHECK(has_value(store, "key", "value"));
    CHECK_INT(idem_close(store), IDEM_OK);
}

static void read_a_file_that_none_may_write(void *unused)
{
    (void)unused;
    host_become_nobody();
    check_readable_only("no permission", EACCES);
}

static void remount_readonly(void)
{
    char folder[64];
    make_store();
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(test_path, '/') - test_path), test_path);
    CHECK_INT(mount(NULL, folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    check_readable_only("Read-only file system", EROFS);
    /* And nothing is made there. */
    idem_store *store;
    snprintf(test_path, sizeof(test_path), "%s/other.idem", folder);
    CHECK_FAILS(try_open(0, &store), IDEM_ESYS, "folder must be writable");
}

static void a_readonly_file(void)
{
    make_store();
    CHECK_INT(chmod(test_path, 0444), 0);
    CHECK_INT(test_join(test_child(read_a_file_that_none_may_write, NULL)), 0);
    host_on_tmpfs("size=4m", remount_readonly);
}

static void be_a_stranger(void *unused)
{
    (void)unused;
    host_become_nobody();
    idem_store *store;
    for (uint32_t flags = 0; flags <= IDEM_OPEN_READONLY; flags += IDEM_OPEN_READONLY) {
        CHECK_FAILS(try_open(flags, &store), IDEM_ESYS, "no permission");
        CHECK_INT(errno, EACCES);
        CHECK(strstr(idem_last_error(), test_path) && strstr(idem_last_error(), "options.group"));
        CHECK(store == NULL);
    }
    CHECK_INT(unlink(test_path), -1); /* the folder is sticky: nor can it be replaced */
}

/* The mode of a new file keeps others out, whatever the umask. */
static void the_file_of_another_user(void)
{
    const mode_t mask = umask(0);
    make_store();
    umask(mask);
    CHECK_INT(test_join(test_child(be_a_stranger, NULL)), 0);
    idem_store *store = store_open();
    CHECK(has_value(store, "key", "value"));
    store_end(store);
}

static void a_symlink_in_its_place(void)
{
    char target[sizeof(test_path) + 8];
    make_store();
    snprintf(target, sizeof(target), "%s.target", test_path);
    CHECK_INT(rename(test_path, target), 0);
    for (int dangling = 0; dangling < 2; dangling++) {
        idem_store *store;
        CHECK_INT(symlink(target, test_path), 0);
        CHECK_FAILS(try_open(0, &store), IDEM_ESYS, "symbolic link");
        CHECK_INT(errno, ELOOP);
        CHECK_FAILS(try_open(IDEM_OPEN_READONLY, &store), IDEM_ESYS, "symbolic link");
        CHECK_FAILS(try_open(IDEM_OPEN_EXCLUSIVE, &store), IDEM_ESYS, "exclusively");
        CHECK_INT(unlink(test_path), 0);
        CHECK_INT(unlink(target), dangling ? -1 : 0); /* nothing was made behind it */
    }
}

/* ---- under an open store -------------------------------------------------------------------- */

static char beside[sizeof(test_path) + 8];

static void unlink_it(void) { CHECK_INT(unlink(test_path), 0); }
static void unlink_it_and_make_another(void)
{
    unlink_it();
    make_store();
}
static void rename_another_over_it(void)
{
    CHECK_INT(rename(test_path, beside), 0);
    make_store();
    CHECK_INT(unlink(beside), 0);
}
static void put_a_symlink_there(void)
{
    CHECK_INT(rename(test_path, beside), 0);
    CHECK_INT(symlink(beside, test_path), 0);
}

static void replaced_under_an_open_store(void)
{
    void (*const replace[])(void) = {unlink_it, unlink_it_and_make_another, rename_another_over_it,
                                     put_a_symlink_there};
    snprintf(beside, sizeof(beside), "%s.moved", test_path);
    for (size_t i = 0; i < sizeof(replace) / sizeof(replace[0]); i++) {
        idem_store *store = store_open();
        struct idem_claim open_claim, other = no_claim();
        const struct idem_request request = request_of("new");
        CHECK_INT(claim_key(store, "begun", &open_claim), IDEM_CLAIMED);
        put(store, "done", "value");
        replace[i]();
        /* No new operation is begun on what others no longer see, by any call, from then on. */
        CHECK_SOON(idem_claim(store, &request, &other) == IDEM_EREPLACED);
        CHECK(strstr(idem_last_error(), test_path) && strstr(idem_last_error(), "open it again"));
        CHECK_INT(other.outcome, 0);
        CHECK_INT(idem_claim_many(store, &request, &other, 1), IDEM_EREPLACED);
        CHECK_INT(idem_claim(store, &request, &other), IDEM_EREPLACED);
        /* What was begun ends; what is done is replayed. */
        complete_with(&open_claim, "value");
        CHECK(has_value(store, "begun", "value") && has_value(store, "done", "value"));
        store_end(store);
        unlink(beside);
        if (replace[i] == put_a_symlink_there) {
            CHECK_FAILS(try_open(0, &store), IDEM_ESYS, "symbolic link");
            unlink(test_path);
        }
        /* Opened again, it is the file that others have. */
        store = store_open();
        const bool another =
            replace[i] == unlink_it_and_make_another || replace[i] == rename_another_over_it;
        CHECK_INT(state_of(store, "key"), another ? IDEM_STATE_DONE : IDEM_ENOTFOUND);
        CHECK_INT(state_of(store, "begun"), IDEM_ENOTFOUND);
        CHECK_INT(outcome_of(store, "new"), IDEM_CLAIMED);
        store_end(store);
        unlink(test_path);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(a_readonly_file),
                                    TEST(the_file_of_another_user),
                                    TEST(a_symlink_in_its_place),
                                    TEST(replaced_under_an_open_store),
                                    {0}});
}
