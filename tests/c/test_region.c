/* Creating and opening regions: races, deaths, damage, permissions, arguments. */
#include "region.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "clock_limits.h"
#include "file.h"
#include "test.h"

#define RACERS 32
#define RACE_ROUNDS 12
#define NOBODY 65534 /* uid and gid without rights */

static struct idem_options defaults(void)
{
    return (struct idem_options){.size = sizeof(struct idem_options), .mode = 0600, .group = -1};
}

static struct idem__region *open_region(const struct idem_options *options)
{
    struct idem__region *region;
    CHECK_INT(idem__region_open(test_path, options, &region), IDEM_OK);
    return region;
}

static int try_open(const char *path, const struct idem_options *options)
{
    struct idem__region *region;
    const int status = idem__region_open(path, options, &region);
    if (status == IDEM_OK) {
        idem__region_close(region);
    }
    return status;
}

static void a_new_region_is_complete(void)
{
    struct idem_options options = defaults();
    options.max_bytes = 1u << 20;
    options.mode = 0666;
    const mode_t mask = umask(077);
    struct idem__region *region = open_region(&options);
    umask(mask);
    struct stat stat;
    CHECK_INT(lstat(test_path, &stat), 0);
    CHECK_INT(stat.st_mode, S_IFREG | 0666);
    CHECK_INT(stat.st_nlink, 1);
    CHECK(stat.st_blocks * 512 < 64 << 10);
    CHECK_INT(region->slab_shift, IDEM__SLAB_SHIFT_MIN);
    CHECK(idem__load32(&region->header->slab_limit) >= 60);
    CHECK_INT(stat.st_size,
              IDEM__SLAB_AREA_OFF +
                  ((uint64_t)idem__load32(&region->header->slab_limit) << region->slab_shift));
    CHECK_INT((uintptr_t)region->slab_area % (2u << 20), 0);
    CHECK_INT(region->max_value_bytes,
              region->classes[region->class_count - 1].block_bytes - sizeof(struct value_shm));
    for (uint32_t i = 0; i < IDEM__WAIT_WORDS; i++) {
        CHECK_INT(idem__load32(&region->wait_words[i]), 0);
    }
    idem__region_close(region);
}

static void slabs_are_a_sixty_fourth(void)
{
    const struct {
        uint64_t max_bytes;
        uint32_t slab_shift;
    } cases[] = {{1u << 20, 14},  {(2u << 20) - 1, 14}, {2u << 20, 15},
                 {64u << 20, 20}, {128u << 20, 21},     {IDEM__REGION_MAX_BYTES, 21}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unlink(test_path);
        struct idem_options options = defaults();
        options.max_bytes = cases[i].max_bytes;
        struct idem__region *region = open_region(&options);
        CHECK_INT(region->slab_shift, cases[i].slab_shift);
        CHECK(((uint64_t)idem__load32(&region->header->slab_limit) << region->slab_shift) <
              cases[i].max_bytes);
        CHECK(idem__region_ceiling_bytes(region->slab_shift) >= cases[i].max_bytes);
        idem__region_close(region);
    }
}

static void a_region_is_shared_within_the_process(void)
{
    struct idem__region *one = open_region(NULL), *two = open_region(NULL);
    CHECK(one == two);
    idem__region_close(one);
    CHECK_INT(idem__load32(&two->header->next_owner), IDEM__OWNER_START); /* still mapped */
    struct idem_options options = defaults();
    options.flags = IDEM_OPEN_READONLY;
    struct idem__region *inspected = open_region(&options);
    CHECK(inspected != two && inspected->readonly);
    CHECK_FAILS(idem__region_back(inspected, IDEM__SLAB_AREA_OFF, 4096), IDEM_EINVAL, "read-only");
    idem__region_close(inspected);
    idem__region_close(two);
    /* Another limit is no error: the file's counts. */
    options = defaults();
    options.max_bytes = 1u << 20;
    struct idem__region *again = open_region(&options);
    CHECK_INT(idem__load64(&again->header->max_bytes), IDEM__REGION_DEFAULT_BYTES);
    idem__region_close(again);
}

static void anonymous_regions_are_distinct(void)
{
    struct idem_options options = defaults();
    options.flags = IDEM_OPEN_ANONYMOUS;
    struct idem__region *one, *two;
    CHECK_INT(idem__region_open(NULL, &options, &one), IDEM_OK);
    CHECK_INT(idem__region_open(NULL, &options, &two), IDEM_OK);
    CHECK(one != two && one->ino != two->ino);
    CHECK_INT(idem__region_check_replaced(one, 1000), IDEM_OK);
    idem__region_close(one);
    idem__region_close(two);
}

static void wrong_arguments_are_named(void)
{
    struct idem_options options = defaults();
    options.size = 8;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "options.size is 8");
    options = defaults();
    options.flags = 0x100 | IDEM_OPEN_EXISTING;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "0x100 is unknown");
    options = defaults();
    options.max_bytes = (1u << 20) - 1;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "1048575");
    options.max_bytes = IDEM__REGION_MAX_BYTES + 1;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "68719476737");
    options = defaults();
    options.max_bytes = 1u << 20;
    options.max_value_bytes = 16u << 10;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "max_value_bytes is 16384");
    options = defaults();
    options.mode = 04600;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "options.mode is 04600");
    options = defaults();
    options.group = -2;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "options.group is -2");
    options = defaults();
    options.flags = IDEM_OPEN_ANONYMOUS;
    CHECK_FAILS(try_open(test_path, &options), IDEM_EINVAL, "pass NULL");
    CHECK_FAILS(try_open(NULL, NULL), IDEM_EINVAL, "path is NULL");
    CHECK_FAILS(try_open("", NULL), IDEM_EINVAL, "path is empty");
    CHECK_INT(access(test_path, F_OK), -1);
}

static void places_that_hold_no_region_are_named(void)
{
    struct idem_options options = defaults();
    options.flags = IDEM_OPEN_EXISTING;
    CHECK_FAILS(try_open(test_path, &options), IDEM_ESYS, test_path);
    CHECK_INT(errno, ENOENT);
    CHECK_FAILS(try_open("/dev/shm/no/such/folder.idem", NULL), IDEM_ESYS, "folder must exist");
    CHECK_FAILS(try_open("/dev/shm", NULL), IDEM_EINVAL, "not a regular file");
    CHECK_FAILS(try_open("/dev/null", NULL), IDEM_EINVAL, "not a regular file");
    CHECK_INT(symlink("/dev/shm/elsewhere.idem", test_path), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ESYS, "symbolic link");
    CHECK_INT(errno, ELOOP);
    unlink(test_path);
    CHECK_INT(mkfifo(test_path, 0600), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_EINVAL, "not a regular file");
    unlink(test_path);
    const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", test_path);
    CHECK_INT(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_EINVAL, "not a regular file");
    close(listener);
    unlink(test_path);
    open_region(NULL)->before_unmap = NULL; /* stays open to the end of the process */
    options.flags = IDEM_OPEN_EXCLUSIVE;
    CHECK_FAILS(try_open(test_path, &options), IDEM_ESYS, "exclusively");
    CHECK_INT(errno, EEXIST);
}

static void as_nobody(void *unused)
{
    (void)unused;
    CHECK_INT(setgid(NOBODY), 0);
    CHECK_INT(setuid(NOBODY), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ESYS, "no permission");
    CHECK_INT(errno, EACCES);
    CHECK_FAILS(try_open("/proc/none.idem", NULL), IDEM_ESYS, "/proc/none.idem");
}

static void as_group(void *unused)
{
    (void)unused;
    CHECK_INT(setgid(NOBODY), 0);
    CHECK_INT(setuid(NOBODY), 0);
    CHECK_INT(try_open(test_path, NULL), IDEM_OK);
}

static void permissions_hold(void)
{
    if (geteuid() != 0) {
        printf("  cannot run without root: needs processes of two users\n");
        return;
    }
    CHECK_INT(try_open(test_path, NULL), IDEM_OK);
    CHECK_INT(test_join(test_child(as_nobody, NULL)), 0);
    unlink(test_path);
    struct idem_options options = defaults();
    options.mode = 0660;
    options.group = NOBODY;
    CHECK_INT(try_open(test_path, &options), IDEM_OK);
    CHECK_INT(test_join(test_child(as_group, NULL)), 0);
}

static void small_limits_are_told(void *unused)
{
    (void)unused;
    const rlim_t file_bytes = 1u << 20;
    CHECK_INT(setrlimit(RLIMIT_FSIZE, &(struct rlimit){file_bytes, file_bytes}), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ESYS, "ulimit -f");
    CHECK_INT(access(test_path, F_OK), -1);
}

static void address_space_is_told(void *unused)
{
    (void)unused;
    const rlim_t space_bytes = (rlim_t)8 << 30;
    CHECK_INT(setrlimit(RLIMIT_AS, &(struct rlimit){space_bytes, space_bytes}), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ESYS, "ulimit -v");
}

static void limits_of_the_process_are_told(void)
{
    CHECK_INT(test_join(test_child(small_limits_are_told, NULL)), 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they need all of it */
    CHECK_INT(test_join(test_child(address_space_is_told, NULL)), 0);
#else
    (void)address_space_is_told;
#endif
}

/* Writes `length` bytes at `offset` of the file. */
static void damage(uint64_t offset, const void *bytes, size_t length)
{
    const int fd = open(test_path, O_RDWR);
    CHECK(fd >= 0);
    CHECK_INT(pwrite(fd, bytes, length, (off_t)offset), length);
    close(fd);
}

static void damaged_headers_are_refused(void)
{
#define FIELD(field, value, status)                         \
    {                                                       \
#field, offsetof(struct header_shm, field), value,  \
            sizeof(((struct header_shm *)0)->field), status \
    }
    const struct {
        const char *field;
        uint64_t offset, value;
        size_t length;
        int status;
    } cases[] = {
        FIELD(magic, 0, IDEM_ECORRUPT),
        FIELD(version, IDEM__FORMAT_VERSION + 1, IDEM_EVERSION),
        FIELD(byte_order, 0x04030201, IDEM_EVERSION),
        FIELD(layout, 1, IDEM_EVERSION),
        FIELD(slab_shift, IDEM__SLAB_SHIFT_MIN - 1, IDEM_ECORRUPT),
        FIELD(slab_shift, IDEM__SLAB_SHIFT_MAX + 1, IDEM_ECORRUPT),
        FIELD(slab_shift, UINT32_MAX, IDEM_ECORRUPT),
        FIELD(max_value_bytes, 0, IDEM_ECORRUPT),
        FIELD(max_value_bytes, UINT32_MAX, IDEM_ECORRUPT),
        FIELD(max_bytes, 0, IDEM_ECORRUPT),
        FIELD(max_bytes, UINT64_MAX, IDEM_ECORRUPT),
        FIELD(slab_limit, 0, IDEM_ECORRUPT),
        FIELD(slab_limit, IDEM__SLABS_MAX + 1, IDEM_ECORRUPT),
        FIELD(slab_high, 1000, IDEM_ECORRUPT),
        FIELD(slot_high, IDEM__SLOTS_MAX + 1, IDEM_ECORRUPT),
        FIELD(next_owner, 0, IDEM_ECORRUPT),
        FIELD(epoch, 0, IDEM_ECORRUPT),
        FIELD(epoch, UINT64_MAX, IDEM_ECORRUPT),
        FIELD(buckets_log2, IDEM__BUCKETS_LOG2_MAX + 1, IDEM_ECORRUPT),
        FIELD(high_ms, 0, IDEM_ECORRUPT),
        FIELD(high_ms, IDEM__CLOCK_MAX_MS + 1, IDEM_ECORRUPT),
    };
#undef FIELD
    struct idem_options options = defaults();
    options.max_bytes = 1u << 20;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        unlink(test_path);
        CHECK_INT(try_open(test_path, &options), IDEM_OK);
        damage(cases[i].offset, &cases[i].value, cases[i].length);
        if (try_open(test_path, NULL) != cases[i].status) {
            TEST_FAIL("%s = %" PRIu64 " is not refused (%s)", cases[i].field, cases[i].value,
                      idem_last_error());
        }
        CHECK(strstr(idem_last_error(), test_path) != NULL);
        CHECK(strstr(idem_last_error(), "remove") != NULL ||
              strstr(idem_last_error(), "another") != NULL);
    }
}

static void files_of_other_kinds_are_refused(void)
{
    const int fd = open(test_path, O_CREAT | O_RDWR, 0600);
    CHECK(fd >= 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ECORRUPT, "not an idemkey region: it has 0 bytes");
    CHECK_INT(ftruncate(fd, sizeof(struct header_shm) - 1), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ECORRUPT, "not an idemkey region");
    CHECK_INT(ftruncate(fd, 16 << 20), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ECORRUPT, "does not begin with");
    close(fd);
    unlink(test_path);
    CHECK_INT(try_open(test_path, NULL), IDEM_OK);
    CHECK_INT(truncate(test_path, 3 << 20), 0);
    CHECK_FAILS(try_open(test_path, NULL), IDEM_ECORRUPT, "truncated");
}

/* Any bit of the header: an answer, never a crash. The open region is used as far as this layer goes. */
static void flipped_bits_never_crash(void)
{
    struct idem_options options = defaults();
    options.max_bytes = 1u << 20;
    CHECK_INT(try_open(test_path, &options), IDEM_OK);
    struct header_shm header;
    const int fd = open(test_path, O_RDWR);
    CHECK_INT(pread(fd, &header, sizeof(header), 0), sizeof(header));
    for (int i = 0; i < 4000; i++) {
        struct header_shm broken = header;
        for (int flips = 0; flips < 1 + i % 3; flips++) {
            const uint64_t bit = test_random() % (8 * sizeof(broken));
            ((unsigned char *)&broken)[bit / 8] ^= (unsigned char)(1u << bit % 8);
        }
        CHECK_INT(pwrite(fd, &broken, sizeof(broken), 0), sizeof(broken));
        const int status = try_open(test_path, NULL);
        CHECK(status == IDEM_OK || status == IDEM_ECORRUPT || status == IDEM_EVERSION);
    }
    close(fd);
}

/* Opens; tells the inode; is perhaps killed at any moment by the parent. */
static void race_body(void *argument)
{
    const int *pipes = argument;
    char go;
    CHECK_INT(read(pipes[0], &go, 1), 1);
    struct idem__region *region;
    CHECK_INT(idem__region_open(test_path, NULL, &region), IDEM_OK);
    const uint64_t found[2] = {region->ino, region->header->store_id};
    CHECK_INT(write(pipes[3], found, sizeof(found)), sizeof(found));
}

static void of_many_creators_one_wins(void)
{
    int killed = 0;
    for (int round = 0; round < RACE_ROUNDS; round++) {
        unlink(test_path);
        int pipes[4];
        CHECK_INT(pipe(pipes), 0);
        CHECK_INT(pipe(pipes + 2), 0);
        pid_t racers[RACERS];
        for (int i = 0; i < RACERS; i++) {
            racers[i] = test_child(race_body, pipes);
        }
        char go[RACERS] = {0};
        CHECK_INT(write(pipes[1], go, sizeof(go)), sizeof(go));
        const int victims = (int)(test_random() % (RACERS / 2));
        for (int i = 0; i < victims; i++) {
            kill(racers[i], SIGKILL);
        }
        for (int i = 0; i < RACERS; i++) {
            const int status = test_join(racers[i]);
            CHECK(status == 0 || (i < victims && status == -SIGKILL));
            killed += status != 0;
        }
        close(pipes[3]);
        uint64_t first[2] = {0}, found[2];
        int openers = 0;
        while (read(pipes[2], found, sizeof(found)) == sizeof(found)) {
            if (openers++ == 0) {
                memcpy(first, found, sizeof(first));
            }
            CHECK(memcmp(first, found, sizeof(first)) == 0);
        }
        CHECK(openers >= RACERS - victims);
        struct idem__region *region = open_region(NULL);
        CHECK_INT(region->ino, first[0]);
        idem__region_close(region);
        close(pipes[0]);
        close(pipes[1]);
        close(pipes[2]);
    }
    printf("  %d racers killed\n", killed);
}

/* Killed at ever later moments while creating: the path is absent or holds a whole region. */
static void create_body(void *unused)
{
    (void)unused;
    CHECK_INT(try_open(test_path, NULL), IDEM_OK);
}

static void a_dying_creator_leaves_nothing_half_made(void)
{
    struct idem_options existing = defaults();
    existing.flags = IDEM_OPEN_EXISTING;
    int absent = 0, whole = 0;
    for (int i = 0; i < 300; i++) {
        unlink(test_path);
        const pid_t child = test_child(create_body, NULL);
        nanosleep(&(struct timespec){.tv_nsec = (long)(test_random() % 600000)}, NULL);
        kill(child, SIGKILL);
        (void)test_join(child);
        if (access(test_path, F_OK) == 0) {
            CHECK_INT(try_open(test_path, &existing), IDEM_OK);
            whole++;
        } else {
            CHECK_INT(try_open(test_path, &existing), IDEM_ESYS);
            absent++;
        }
    }
    printf("  absent %d times, whole %d times\n", absent, whole);
}

/* What a file system without O_TMPFILE answers. */
static void refuse_nameless_files(void)
{
    const unsigned tmpfile_bit = O_TMPFILE & ~(unsigned)O_DIRECTORY;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, tmpfile_bit, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EOPNOTSUPP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};
    CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    CHECK_INT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void without_nameless_files(void *unused)
{
    (void)unused;
    refuse_nameless_files();
    CHECK_INT(open("/dev/shm", O_TMPFILE | O_RDWR, 0600), -1);
    CHECK_INT(errno, EOPNOTSUPP);
    CHECK_INT(try_open(test_path, NULL), IDEM_OK);
    struct stat stat;
    CHECK_INT(lstat(test_path, &stat), 0);
    CHECK_INT(stat.st_nlink, 1); /* the other name is gone */
    struct idem_options options = defaults();
    options.flags = IDEM_OPEN_EXCLUSIVE;
    CHECK_FAILS(try_open(test_path, &options), IDEM_ESYS, "exclusively");
    CHECK_FAILS(try_open("/dev/shm/no/such/folder.idem", NULL), IDEM_ESYS, "folder must exist");
}

static void old_file_systems_do_too(void)
{
    CHECK_INT(test_join(test_child(without_nameless_files, NULL)), 0);
}

static void *open_and_close(void *unused)
{
    (void)unused;
    for (int i = 0; i < 200; i++) {
        struct idem__region *region;
        CHECK_INT(idem__region_open(test_path, NULL, &region), IDEM_OK);
        CHECK_INT(idem__load32(&region->header->next_owner), IDEM__OWNER_START);
        idem__region_close(region);
    }
    return NULL;
}

static void threads_open_and_close_at_once(void)
{
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(pthread_create(&threads[i], NULL, open_and_close, NULL), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(pthread_join(threads[i], NULL), 0);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(a_new_region_is_complete),
                                    TEST(slabs_are_a_sixty_fourth),
                                    TEST(a_region_is_shared_within_the_process),
                                    TEST(anonymous_regions_are_distinct),
                                    TEST(wrong_arguments_are_named),
                                    TEST(places_that_hold_no_region_are_named),
                                    TEST(permissions_hold),
                                    TEST(limits_of_the_process_are_told),
                                    TEST(damaged_headers_are_refused),
                                    TEST(files_of_other_kinds_are_refused),
                                    TEST(flipped_bits_never_crash),
                                    TEST(of_many_creators_one_wins),
                                    TEST(a_dying_creator_leaves_nothing_half_made),
                                    TEST(old_file_systems_do_too),
                                    TEST(threads_open_and_close_at_once),
                                    {0}});
}
