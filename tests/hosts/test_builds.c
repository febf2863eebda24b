/* Two builds of different layout (hosts.mk makes the other one): each refuses the other's file, untouched. */
#include <dlfcn.h>
#include <libgen.h>

#include "hosts.h"

/* A build, as a program that is linked with it would see it. */
struct build {
    int (*open)(const char *, const struct idem_options *, idem_store **);
    int (*close)(idem_store *);
    int (*claim)(idem_store *, const struct idem_request *, struct idem_claim *);
    int (*complete)(struct idem_claim *, const void *, size_t, int64_t, uint32_t);
    int (*check)(idem_store *, struct idem_report *);
    const char *(*last_error)(void);
};

static struct build this_build(void)
{
    return (struct build){.open = idem_open,
                          .close = idem_close,
                          .claim = idem_claim,
                          .complete = idem_complete,
                          .check = idem_check,
                          .last_error = idem_last_error};
}

static void *symbol(void *library, const char *name)
{
    void *found = dlsym(library, name);
    CHECK(found != NULL);
    return found;
}

static struct build other_build(void)
{
    char self[256], path[320];
    const ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    CHECK(length > 0);
    self[length] = '\0';
    snprintf(path, sizeof(path), "%s/../other-layout/libidemkey.so", dirname(self));
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        TEST_FAIL("%s", dlerror());
    }
    struct build build;
    /* By way of void **: ISO C knows no conversion of pointers to functions. */
    *(void **)&build.open = symbol(library, "idem_open");
    *(void **)&build.close = symbol(library, "idem_close");
    *(void **)&build.claim = symbol(library, "idem_claim");
    *(void **)&build.complete = symbol(library, "idem_complete");
    *(void **)&build.check = symbol(library, "idem_check");
    *(void **)&build.last_error = symbol(library, "idem_last_error");
    CHECK(build.open != idem_open);
    return build;
}

static int try_open(const struct build *build, uint32_t flags, idem_store **store)
{
    struct idem_options options;
    idem_options_init(&options, sizeof(options));
    options.flags = flags;
    options.max_bytes = STORE_SMALLEST_BYTES;
    return build->open(test_path, &options, store);
}

/* The file's bytes, which the caller frees. */
static char *contents(size_t *length, struct stat *stat)
{
    const int fd = open(test_path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_INT(fstat(fd, stat), 0);
    *length = (size_t)stat->st_size;
    char *bytes = malloc(*length);
    CHECK(bytes != NULL);
    CHECK_INT(pread(fd, bytes, *length, 0), *length);
    close(fd);
    return bytes;
}

/* `stranger` is refused in every way of opening, and leaves no trace. */
static void refuse(const struct build *stranger)
{
    const uint32_t ways[] = {0, IDEM_OPEN_EXISTING, IDEM_OPEN_READONLY};
    struct stat stat_before, stat_after;
    size_t length_before, length_after;
    char *before = contents(&length_before, &stat_before);
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        idem_store *store;
        CHECK_INT(try_open(stranger, ways[i], &store), IDEM_EVERSION);
        CHECK(store == NULL);
        CHECK(strstr(stranger->last_error(), test_path) &&
              strstr(stranger->last_error(), "layout"));
    }
    char *after = contents(&length_after, &stat_after);
    CHECK_INT(length_after, length_before);
    CHECK(memcmp(after, before, length_before) == 0);
    CHECK_INT(stat_after.st_ino, stat_before.st_ino);
    CHECK_INT(stat_after.st_blocks, stat_before.st_blocks);
    CHECK_INT(stat_after.st_mtim.tv_sec, stat_before.st_mtim.tv_sec);
    CHECK_INT(stat_after.st_mtim.tv_nsec, stat_before.st_mtim.tv_nsec);
    free(before);
    free(after);
}

/* While `maker` has it open with a claim begun, and when it is closed. */
static void one_makes_the_other_refuses(const struct build *maker, const struct build *stranger)
{
    idem_store *store;
    struct idem_claim claim = no_claim();
    struct idem_report report = {.size = sizeof(report)};
    const struct idem_request request = request_of("key");
    CHECK_INT(try_open(maker, 0, &store), IDEM_OK);
    CHECK_INT(maker->claim(store, &request, &claim), IDEM_OK);
    CHECK_INT(claim.outcome, IDEM_CLAIMED);
    refuse(stranger);
    CHECK_INT(maker->complete(&claim, "value", 5, IDEM_TTL_SAME, 0), IDEM_OK);
    CHECK_INT(maker->close(store), IDEM_OK);
    refuse(stranger);
    CHECK_INT(try_open(maker, 0, &store), IDEM_OK);
    CHECK_INT(maker->claim(store, &request, &claim), IDEM_OK);
    CHECK_INT(claim.outcome, IDEM_DONE);
    CHECK(has_bytes(claim.record.value, claim.record.value_len, "value"));
    idem_record_free(&claim.record);
    CHECK_INT(maker->check(store, &report), IDEM_OK);
    CHECK_INT(maker->close(store), IDEM_OK);
}

static void this_build_refuses_the_others_file(void)
{
    const struct build mine = this_build(), other = other_build();
    one_makes_the_other_refuses(&other, &mine);
}

static void the_other_build_refuses_this_ones_file(void)
{
    const struct build mine = this_build(), other = other_build();
    one_makes_the_other_refuses(&mine, &other);
}

/* A program that was compiled with an older header: its structs are shorter, and nothing behind them is
   written, nor do the calls take them. */
static void structs_of_an_older_header(void)
{
    union {
        uint32_t size;
        struct idem_options options;
        struct idem_request request;
        struct idem_record record;
        struct idem_claim claim;
        unsigned char bytes[sizeof(struct idem_claim)];
    } given;
    const size_t older = 3 * sizeof(uint32_t);
    for (int i = 0; i < 4; i++) {
        memset(&given, 0xa5, sizeof(given));
        i == 0   ? idem_options_init(&given.options, older)
        : i == 1 ? idem_request_init(&given.request, older)
        : i == 2 ? idem_record_init(&given.record, older)
                 : idem_claim_init(&given.claim, older);
        CHECK_INT(given.size, older);
        for (size_t at = older; at < sizeof(given); at++) {
            CHECK_INT(given.bytes[at], 0xa5);
        }
    }
    idem_store *store;
    idem_options_init(&given.options, older);
    CHECK_FAILS(idem_open(test_path, &given.options, &store), IDEM_EINVAL, "options.size is 12");
    idem_options_init(NULL, sizeof(given.options));
    idem_request_init(NULL, sizeof(given.request));
    idem_record_init(NULL, sizeof(given.record));
    idem_claim_init(NULL, sizeof(given.claim));
    store = store_open();
    CHECK_FAILS(idem_claim(store, NULL, NULL), IDEM_EINVAL, "NULL");
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(this_build_refuses_the_others_file),
                                    TEST(the_other_build_refuses_this_ones_file),
                                    TEST(structs_of_an_older_header),
                                    {0}});
}
