/* The file behind an open region: pages, size, descriptor, and its disappearance. */
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "region.h"
#include "test.h"

static struct idem__region *open_region(uint64_t max_bytes)
{
    struct idem_options options = {
        .size = sizeof(options), .mode = 0600, .group = -1, .max_bytes = max_bytes};
    struct idem__region *region;
    CHECK_INT(idem__region_open(test_path, &options, &region), IDEM_OK);
    return region;
}

static uint64_t backed_bytes(void)
{
    struct stat stat;
    CHECK_INT(lstat(test_path, &stat), 0);
    return (uint64_t)stat.st_blocks * 512;
}

static uint64_t apparent_bytes(void)
{
    struct stat stat;
    CHECK_INT(lstat(test_path, &stat), 0);
    return (uint64_t)stat.st_size;
}

static void pages_come_and_go(void)
{
    const uint64_t sizes[] = {1u << 20, 256u << 20}; /* slabs of 16 KiB, and of a huge page */
    for (size_t i = 0; i < 2; i++) {
        unlink(test_path);
        struct idem__region *region = open_region(sizes[i]);
        const uint64_t slab_bytes = (uint64_t)1 << region->slab_shift, before = backed_bytes(),
                       size = apparent_bytes();
        char *slab = region->slab_area + slab_bytes;
        const uint64_t offset = IDEM__SLAB_AREA_OFF + slab_bytes;
        CHECK_INT(idem__region_back(region, offset, slab_bytes), IDEM_OK);
        CHECK_INT(backed_bytes(), before + slab_bytes);
        slab[slab_bytes - 1] = 'x';
        CHECK_INT(idem__region_back(region, offset, slab_bytes), IDEM_OK);
        CHECK_INT(backed_bytes(), before + slab_bytes);
        CHECK_INT(slab[slab_bytes - 1], 'x');
        CHECK_INT(idem__region_punch(region, offset, slab_bytes), IDEM_OK);
        CHECK_INT(backed_bytes(), before);
        CHECK_INT(slab[slab_bytes - 1], 0);
        CHECK_INT(apparent_bytes(), size);
        idem__region_close(region);
    }
}

static void backing_beyond_a_truncation_is_refused(void)
{
    struct idem__region *region = open_region(0);
    CHECK_INT(truncate(test_path, IDEM__SLAB_AREA_OFF), 0);
    CHECK_FAILS(idem__region_back(region, IDEM__SLAB_AREA_OFF, 4096), IDEM_ECORRUPT, "truncated");
    CHECK_INT(apparent_bytes(), IDEM__SLAB_AREA_OFF);
    idem__region_close(region);
}

/* On a file system of 5 MiB: the slabs that fit are given, then EFULL; nothing raises SIGBUS. */
static void on_a_small_file_system(void *unused)
{
    (void)unused;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/idemkey-small-%d", (int)getpid());
    CHECK_INT(mkdir(path, 0700), 0);
    const bool mounted = unshare(CLONE_NEWNS) == 0 &&
                         mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                         mount("tmpfs", path, "tmpfs", 0, "size=5m,nr_inodes=4") == 0;
    if (!mounted) {
        printf("  cannot run: no permission to mount a small file system (%s)\n", strerror(errno));
        fflush(stdout);
        rmdir(path);
        return;
    }
    snprintf(test_path, sizeof(test_path), "%s/region", path);
    const uint64_t sizes[] = {256u << 20, 64u << 20};
    for (size_t s = 0; s < 2; s++) {
        unlink(test_path);
        struct idem__region *region = open_region(sizes[s]);
        const uint64_t slab_bytes = (uint64_t)1 << region->slab_shift;
        uint64_t slabs = 0;
        int status;
        while ((status = idem__region_back(region, IDEM__SLAB_AREA_OFF + slabs * slab_bytes,
                                           slab_bytes)) == IDEM_OK) {
            memset(region->slab_area + slabs * slab_bytes, 1, slab_bytes);
            slabs++;
        }
        CHECK_FAILS(status, IDEM_EFULL, "--shm-size");
        CHECK(strstr(idem_last_error(), "of its 5 MiB") != NULL);
        CHECK_INT(slabs, 4 * 1048576 / slab_bytes);
        uint64_t offset = IDEM__SLAB_AREA_OFF + slabs * slab_bytes;
        while (idem__region_back(region, offset, IDEM__PAGE_BYTES) == IDEM_OK) {
            offset += IDEM__PAGE_BYTES; /* the rest that is less than a slab */
        }
        CHECK_FAILS(idem__region_resize(region, sizes[s] * 4), IDEM_EFULL, "no room");
        CHECK_INT(idem__load64(&region->header->max_bytes), sizes[s]);
        CHECK_INT(idem__region_punch(region, IDEM__SLAB_AREA_OFF, slab_bytes), IDEM_OK);
        CHECK_INT(idem__region_back(region, IDEM__SLAB_AREA_OFF, slab_bytes), IDEM_OK);
        idem__region_close(region);
    }
    /* No room for a region at all. */
    unlink(test_path);
    char filler[300];
    snprintf(filler, sizeof(filler), "%s/filler", path);
    const int fd = open(filler, O_CREAT | O_RDWR, 0600);
    CHECK_INT(fallocate(fd, 0, 0, (5 << 20) - 8192), 0);
    struct idem__region *region;
    CHECK_FAILS(idem__region_open(test_path, NULL, &region), IDEM_EFULL, "0 of its 5 MiB");
    CHECK_INT(access(test_path, F_OK), -1);
    CHECK_INT(umount2(path, MNT_DETACH), 0);
    rmdir(path);
}

static void a_full_file_system_is_told(void)
{
    CHECK_INT(test_join(test_child(on_a_small_file_system, NULL)), 0);
}

static void resize_body(void *argument)
{
    struct idem__region *region = open_region(0);
    for (uint64_t mib = 2; mib <= 64; mib++) {
        const uint64_t bytes = (mib << 20) + *(const uint64_t *)argument;
        const int status = idem__region_resize(region, bytes);
        CHECK(status == IDEM_OK || idem__load64(&region->header->max_bytes) > bytes);
    }
}

static void the_limit_is_raised_by_many(void)
{
    struct idem__region *region = open_region(1u << 20);
    const uint64_t slab_bytes = (uint64_t)1 << region->slab_shift, before = backed_bytes();
    CHECK_FAILS(idem__region_resize(region, (1u << 20) - 1), IDEM_EINVAL, "1048575");
    CHECK_FAILS(idem__region_resize(region, idem__region_ceiling_bytes(region->slab_shift) + 1),
                IDEM_EINVAL, "ceiling");
    pid_t children[4];
    uint64_t offsets[4];
    for (size_t i = 0; i < 4; i++) {
        offsets[i] = i * slab_bytes;
        children[i] = test_child(resize_body, &offsets[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        CHECK_INT(test_join(children[i]), 0);
    }
    const uint64_t expected = (64u << 20) + 3 * slab_bytes;
    CHECK_INT(idem__load64(&region->header->max_bytes), expected);
    CHECK_INT(idem__load32(&region->header->slab_limit),
              idem__region_slabs_for(region->slab_shift, expected));
    CHECK_INT(apparent_bytes(),
              IDEM__SLAB_AREA_OFF + (idem__load32(&region->header->slab_limit) * slab_bytes));
    CHECK(backed_bytes() - before <= 4 * 64 * 4096);
    /* The new slabs are within the mapping that was there. */
    const uint64_t last = (idem__load32(&region->header->slab_limit) - 1) * slab_bytes;
    CHECK_INT(idem__region_back(region, IDEM__SLAB_AREA_OFF + last, slab_bytes), IDEM_OK);
    memset(region->slab_area + last, 1, slab_bytes);
    CHECK_INT(idem__region_resize(region, idem__region_ceiling_bytes(region->slab_shift)), IDEM_OK);
    idem__region_close(region);
    region = open_region(0);
    idem__region_close(region);
}

static void a_missing_file_is_noticed(void)
{
    struct idem__region *region = open_region(0);
    uint64_t now_ms = 1000;
    CHECK_INT(idem__region_check_replaced(region, now_ms), IDEM_OK);
    unlink(test_path);
    CHECK_INT(idem__region_check_replaced(region, now_ms), IDEM_OK); /* asked a moment ago */
    now_ms += IDEM__REPLACED_CHECK_MS;
    CHECK_FAILS(idem__region_check_replaced(region, now_ms), IDEM_EREPLACED, "open it again");
    /* Another file at its path, and sticky in between. */
    struct idem__region *other = open_region(0);
    CHECK(other != region);
    CHECK_FAILS(idem__region_check_replaced(region, now_ms), IDEM_EREPLACED, test_path);
    CHECK_INT(idem__region_check_replaced(other, now_ms), IDEM_OK);
    char moved[160];
    snprintf(moved, sizeof(moved), "%s.moved", test_path);
    CHECK_INT(rename(test_path, moved), 0);
    now_ms += IDEM__REPLACED_CHECK_MS;
    CHECK_INT(idem__region_check_replaced(other, now_ms),
              IDEM_OK); /* nobody can have another yet */
    struct idem__region *third = open_region(0);
    now_ms += IDEM__REPLACED_CHECK_MS;
    CHECK_INT(idem__region_check_replaced(other, now_ms), IDEM_EREPLACED);
    unlink(moved);
    idem__region_close(third);
    idem__region_close(other);
    idem__region_close(region);
}

/* A daemon closes all descriptors; their numbers are used for something else. */
static void a_lost_descriptor_is_had_again(void)
{
    struct idem__region *region = open_region(0);
    const int lost = atomic_load(&region->fd);
    close(lost);
    const int stranger = open("/dev/null", O_RDWR);
    CHECK_INT(stranger, lost);
    const int found = idem__region_fd(region);
    CHECK(found >= 0 && found != stranger);
    CHECK_INT(idem__region_back(region, IDEM__SLAB_AREA_OFF, 4096), IDEM_OK);
    idem__region_close(region);
    CHECK_INT(fcntl(stranger, F_GETFD), 0); /* not closed: it was never ours */
    CHECK_INT(fcntl(found, F_GETFD), -1);
    close(stranger);
    /* Lost, and closed without another look: the stranger in its place is left alone. */
    region = open_region(0);
    close(atomic_load(&region->fd));
    CHECK_INT(open("/dev/null", O_RDWR), atomic_load(&region->fd));
    const int kept = atomic_load(&region->fd);
    idem__region_close(region);
    CHECK_INT(fcntl(kept, F_GETFL) & O_ACCMODE, O_RDWR);
    close(kept);
    /* Unlinked as well: it cannot be had. */
    region = open_region(0);
    unlink(test_path);
    close(atomic_load(&region->fd));
    CHECK_INT(idem__region_fd(region), -1);
    CHECK_FAILS(idem__region_back(region, IDEM__SLAB_AREA_OFF, 4096), IDEM_ESYS,
                "closed by someone");
    idem__region_close(region);
}

int main(void)
{
    return test_run((struct test[]){TEST(pages_come_and_go),
                                    TEST(backing_beyond_a_truncation_is_refused),
                                    TEST(a_full_file_system_is_told),
                                    TEST(the_limit_is_raised_by_many),
                                    TEST(a_missing_file_is_noticed),
                                    TEST(a_lost_descriptor_is_had_again),
                                    {0}});
}
