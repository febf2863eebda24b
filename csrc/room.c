/*
 * room.c - the file behind an open region: its descriptor, its pages, its size, and whether it is
 * still there. See region.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cancel.h"
#include "error.h"
#include "file.h"
#include "region.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; EINVAL before */
#endif

static const char *name_of(const struct idem__region *region)
{
    return region->path ? region->path : "the anonymous region";
}

static bool is_ours(const struct idem__region *region, int fd, struct stat *stat)
{
    return fd >= 0 && fstat(fd, stat) == 0 && stat->st_dev == region->dev &&
           stat->st_ino == region->ino;
}

/* Opens the file at the region's path, if it is still the region's; -1 and errno. */
static int open_by_path(const struct idem__region *region)
{
    struct stat stat;
    if (region->path == NULL) {
        errno = ENOENT;
        return -1;
    }
    const int fd = open(region->path, (region->readonly ? O_RDONLY : O_RDWR) | O_NOFOLLOW |
                                          O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && !is_ours(region, fd, &stat)) {
        close(fd);
        errno = ESTALE;
        return -1;
    }
    return fd;
}

/* Our descriptor, and what fstat says of it; -1 and errno. */
static int verified_fd(struct idem__region *region, struct stat *stat)
{
    int fd = atomic_load(&region->fd);
    if (IDEM_LIKELY(is_ours(region, fd, stat))) {
        return fd;
    }
    /* Somebody closed it, and its number may be in use for something else: leave it alone. */
    const int cancel = idem__cancel_put_off();
    const int fresh = open_by_path(region);
    if (fresh >= 0) {
        if (atomic_compare_exchange_strong(&region->fd, &fd, fresh)) {
            fd = fresh;
        } else {
            close(fresh); /* another thread was first, and `fd` is now what it opened */
        }
    }
    idem__cancel_restore(cancel);
    return is_ours(region, fd, stat) ? fd : -1;
}

int idem__region_fd(struct idem__region *region)
{
    struct stat stat;
    return verified_fd(region, &stat);
}

void idem__region_drop_fd(struct idem__region *region)
{
    struct stat stat;
    const int fd = atomic_exchange(&region->fd, -1);
    if (is_ours(region, fd, &stat)) {
        close(fd);
    }
}

int idem__region_reopen(struct idem__region *region)
{
    const int by_path = open_by_path(region);
    if (by_path >= 0) {
        return by_path;
    }
    /* No path, unlinked, or out of reach since a chroot: by way of the descriptor. */
    struct stat stat;
    char self[64];
    const int fd = verified_fd(region, &stat);
    if (fd < 0) {
        return -1;
    }
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    return open(self, (region->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
}

/* The descriptor, for a change of the file's pages or size. */
static int writable_fd(struct idem__region *region, struct stat *stat, int *fd)
{
    if (region->readonly) {
        return idem__fail(IDEM_EINVAL, "%s is open read-only", name_of(region));
    }
    *fd = verified_fd(region, stat);
    if (*fd < 0) {
        return idem__fail_errno("the descriptor of %s was closed by someone else, and it cannot be "
                                "opened again",
                                name_of(region));
    }
    return IDEM_OK;
}

/*
 * A whole slab of 2 MiB on tmpfs: touching it may give one huge page, fallocate gives small ones. Where
 * there is no room this fails, and does not raise SIGBUS.
 */
static bool populate(struct idem__region *region, uint64_t offset, uint64_t length)
{
    const uint64_t slab_bytes = (uint64_t)1 << region->slab_shift;
    return region->tmpfs && region->slab_shift == IDEM__SLAB_SHIFT_MAX && length == slab_bytes &&
           (offset & (slab_bytes - 1)) == 0 &&
           madvise((char *)region->header + offset, length, MADV_POPULATE_WRITE) == 0;
}

int idem__region_back(struct idem__region *region, uint64_t offset, uint64_t length)
{
    struct stat stat;
    int fd = -1;
    const int status = writable_fd(region, &stat, &fd);
    if (status != IDEM_OK) {
        return status;
    }
    if (offset + length > (uint64_t)stat.st_size) {
        return idem__fail(IDEM_ECORRUPT,
                          "%s is damaged: it has %" PRId64 " bytes, expected at least "
                          "%" PRIu64 ": it was truncated while in use",
                          name_of(region), (int64_t)stat.st_size, offset + length);
    }
    if (populate(region, offset, length)) {
        return IDEM_OK;
    }
    /* The size stays: growing the file would hide a truncation. */
    return idem__file_allocate(fd, FALLOC_FL_KEEP_SIZE, offset, length, name_of(region));
}

int idem__region_fail_full(struct idem__region *region)
{
    struct stat stat;
    const int fd = verified_fd(region, &stat);
    errno = ENOSPC;
    return idem__file_fail_full(fd, name_of(region));
}

int idem__region_punch(struct idem__region *region, uint64_t offset, uint64_t length)
{
    struct stat stat;
    int fd = -1;
    const int status = writable_fd(region, &stat, &fd);
    if (status != IDEM_OK) {
        return status;
    }
    return idem__file_allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length,
                               name_of(region));
}

int idem__region_resize(struct idem__region *region, uint64_t max_bytes)
{
    const uint32_t shift = region->slab_shift;
    const uint64_t current = idem__load64(&region->header->max_bytes);
    const uint64_t ceiling = idem__region_ceiling_bytes(shift);
    if (max_bytes < current || max_bytes > ceiling) {
        return idem__fail(IDEM_EINVAL,
                          "max_bytes is %" PRIu64 ", but may go from the limit in force, "
                          "%" PRIu64 ", up to this region's ceiling, %" PRIu64,
                          max_bytes, current, ceiling);
    }
    struct stat stat;
    int fd = -1;
    int status = writable_fd(region, &stat, &fd);
    if (status != IDEM_OK) {
        return status;
    }
    const uint32_t slabs = idem__region_slabs_for(shift, max_bytes);
    const uint64_t bytes = idem__file_bytes(shift, slabs);
    if ((uint64_t)stat.st_size < bytes) {
        status = idem__file_check_limit(bytes, name_of(region));
        if (status == IDEM_OK) {
            /* Not ftruncate, which would shrink the file that a larger, faster call has extended. */
            status = idem__file_allocate(fd, 0, bytes - IDEM__PAGE_BYTES, IDEM__PAGE_BYTES,
                                         name_of(region));
        }
    }
    if (status == IDEM_OK) {
        /* In this order: file.c checks on opening that the slabs fit the bytes. */
        idem__max64(&region->header->max_bytes, max_bytes);
        idem__max32(&region->header->slab_limit, slabs);
    }
    return status;
}

/* Only what is certain: a path that is out of reach (chroot) says nothing about the file. */
static bool is_replaced(struct idem__region *region)
{
    struct stat at_path, own;
    if (lstat(region->path, &at_path) == 0) {
        return at_path.st_dev != region->dev || at_path.st_ino != region->ino;
    }
    if (errno != ENOENT && errno != ENOTDIR) {
        return false;
    }
    return !is_ours(region, atomic_load(&region->fd), &own) || own.st_nlink == 0;
}

uint32_t idem__region_slabs_in_file(const struct idem__region *region, uint32_t high)
{
    struct idem__region *own = (struct idem__region *)(uintptr_t)region;
    struct stat stat;
    const int kept_errno = errno;
    if (verified_fd(own, &stat) >= 0) {
        const uint64_t area = (uint64_t)stat.st_size - IDEM__SLAB_AREA_OFF;
        const uint64_t slabs =
            (uint64_t)stat.st_size < IDEM__SLAB_AREA_OFF ? 0 : area >> region->slab_shift;
        idem__poke32(&own->slabs_in_file, (uint32_t)idem__min_u64(slabs, IDEM__SLABS_MAX));
    }
    errno = kept_errno;
    /* Where the file cannot be asked any more: as far as it was seen. */
    return (uint32_t)idem__min_u64(high, idem__peek32(&own->slabs_in_file));
}

int idem__region_ask_replaced(struct idem__region *region, uint64_t now_ms)
{
    const int kept_errno = errno;
    if (region->path != NULL && !idem__peek32(&region->replaced)) {
        idem__poke32(&region->replaced, is_replaced(region));
    }
    idem__poke64(&region->replaced_checked_ms, now_ms);
    errno = kept_errno;
    if (idem__peek32(&region->replaced)) {
        return idem__fail(IDEM_EREPLACED,
                          "%s was unlinked or replaced while this process had it open; "
                          "other processes may be using another file: close the store "
                          "and open it again",
                          name_of(region));
    }
    return IDEM_OK;
}
