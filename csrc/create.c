/*
 * create.c - making a region file. See file.h.
 *
 * The file is complete - header, tables, permissions - before it has a name, and gets its name by one
 * link(2), which fails if the name is taken. So of many creators one wins, the others open its file,
 * and a creator that dies half-way leaves nothing at the path.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "cancel.h"
#include "clock_limits.h"
#include "error.h"
#include "file.h"
#include "hosttime.h"

/* Header, wait words and chunk table: never a hole, since they are read before anything is written. */
#define BACKED_BYTES IDEM__SLOT_OFF
#define NAME_TRIES 100
#define MIB ((uint64_t)1 << 20)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x8u /* Linux 6.3; some systems refuse memory files without it */
#endif

IDEM_COLD int idem__file_fail_full(int fd, const char *name)
{
    const int kept_errno = errno;
    struct statvfs fs;
    if (fstatvfs(fd, &fs) != 0) {
        fs = (struct statvfs){0};
    }
    errno = kept_errno;
    char reason[128];
    return idem__fail(
        IDEM_EFULL,
        "the file system of %s has no room (%s): %" PRIu64 " of its %" PRIu64
        " MiB are free. Enlarge it (Docker's default /dev/shm is 64 MiB: --shm-size), or "
        "create the region elsewhere or with a smaller max_bytes",
        name, strerror_r(kept_errno, reason, sizeof(reason)),
        (uint64_t)fs.f_bavail * fs.f_frsize / MIB, (uint64_t)fs.f_blocks * fs.f_frsize / MIB);
}

static int fail_allocate(int fd, const char *name)
{
    switch (errno) {
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
        return idem__file_fail_full(fd, name);
    case EOPNOTSUPP:
    case ENOSYS:
        return idem__fail_errno(
            "the file system of %s cannot reserve pages (fallocate), without which "
            "a full one would kill processes: use /dev/shm, ext4, xfs or btrfs",
            name);
    default:
        return idem__fail_errno("cannot reserve pages of %s", name);
    }
}

int idem__file_allocate(int fd, int mode, uint64_t offset, uint64_t length, const char *name)
{
    const int cancel = idem__cancel_put_off();
    int rc;
    do {
        rc = fallocate(fd, mode, (off_t)offset, (off_t)length);
    } while (rc != 0 && errno == EINTR);
    idem__cancel_restore(cancel);
    return rc == 0 ? IDEM_OK : fail_allocate(fd, name);
}

int idem__file_check_limit(uint64_t bytes, const char *name)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= bytes) {
        return IDEM_OK;
    }
    errno = EFBIG;
    return idem__fail(IDEM_ESYS,
                      "%s would have an apparent size of %" PRIu64 " bytes (it is sparse), "
                      "above this process's file size limit of %" PRIu64
                      ": raise it (ulimit -f), or choose a smaller max_bytes",
                      name, bytes, (uint64_t)limit.rlim_cur);
}

static int fill_random(void *bytes, size_t length)
{
    /* Up to 256 bytes come whole, and only fail before the system has gathered entropy. */
    static_assert(IDEM__SECRET_BYTES <= 256, "one getrandom is enough");
    if (getrandom(bytes, length, 0) != (ssize_t)length) {
        return idem__fail_errno("cannot get %zu random bytes", length);
    }
    return IDEM_OK;
}

static int make_header(const struct idem__file_options *asked, struct header_shm *header)
{
    int64_t timens_offset_ms;
    uint64_t boot_id[2];
    int status = idem__timens_offset_ms(&timens_offset_ms);
    if (status == IDEM_OK) {
        status = idem__boot_id(boot_id);
    }
    memset(header, 0, sizeof(*header));
    if (status == IDEM_OK) {
        status = fill_random(header->secret, sizeof(header->secret));
    }
    if (status == IDEM_OK) {
        status = fill_random(&header->store_id, sizeof(header->store_id));
    }
    if (status != IDEM_OK) {
        return status;
    }
    memcpy(header->magic, IDEM__MAGIC, sizeof(header->magic));
    header->version = IDEM__FORMAT_VERSION;
    header->byte_order = IDEM__BYTE_ORDER;
    header->layout = idem__layout_fingerprint();
    header->slab_shift = asked->slab_shift;
    header->max_value_bytes = asked->max_value_bytes;
    header->created_wall_ms = idem__wall_ms();
    idem__poke64(&header->epoch, IDEM__EPOCH_START);
    idem__poke32(&header->next_owner, IDEM__OWNER_START);
    idem__poke32(&header->slab_high, IDEM__FIRST_SLABS);
    idem__poke32(&header->slab_limit, idem__region_slabs_for(asked->slab_shift, asked->max_bytes));
    idem__poke64(&header->max_bytes, asked->max_bytes);
    idem__poke32(&header->buckets_log2, IDEM__BUCKETS_LOG2_START);
    idem__poke64(&header->high_ms, IDEM__CLOCK_START_MS);
    idem__poke64(&header->high_wall_ms, header->created_wall_ms);
    idem__poke64(&header->anchor_ms, IDEM__CLOCK_START_MS - idem__host_boot_ms(timens_offset_ms));
    idem__poke64(&header->boot_id[0], boot_id[0]);
    idem__poke64(&header->boot_id[1], boot_id[1]);
    return IDEM_OK;
}

static int write_word(int fd, const void *word, size_t length, uint64_t offset, const char *name)
{
    return pwrite(fd, word, length, (off_t)offset) == (ssize_t)length
               ? IDEM_OK
               : idem__fail_errno("cannot write the index of %s", name);
}

/* The first index chunk: see layout.h. */
static int make_index(int fd, uint32_t slab_shift, const char *name)
{
    const uint64_t state = IDEM__FIRST_SLAB_STATE, head = IDEM__FIRST_HEAD;
    const uint32_t chunk = IDEM__FIRST_CHUNK;
    int status =
        idem__file_allocate(fd, FALLOC_FL_KEEP_SIZE, IDEM__SLAB_TABLE_OFF, IDEM__PAGE_BYTES, name);
    if (status == IDEM_OK) {
        status = idem__file_allocate(fd, FALLOC_FL_KEEP_SIZE, IDEM__SLAB_AREA_OFF,
                                     (uint64_t)1 << slab_shift, name);
    }
    if (status == IDEM_OK) {
        status = write_word(fd, &state, sizeof state,
                            IDEM__SLAB_TABLE_OFF + offsetof(struct slab_shm, state), name);
    }
    if (status == IDEM_OK) {
        status = write_word(fd, &chunk, sizeof chunk, IDEM__CHUNK_OFF, name);
    }
    return status == IDEM_OK ? write_word(fd, &head, sizeof head, IDEM__SLAB_AREA_OFF, name)
                             : status;
}

/* The first claim takes a page of thread slots and a slab: a store that could hold no key is refused when
   it is made, not in use. */
static int check_room(int fd, uint32_t slab_shift, const char *name)
{
    const uint64_t needed_bytes = IDEM__PAGE_BYTES + ((uint64_t)1 << slab_shift);
    struct statvfs fs;
    /* A file system without a limit (a tmpfs of size=0, a memory file) has 0 blocks. */
    if (fstatvfs(fd, &fs) != 0 || fs.f_blocks == 0 ||
        (uint64_t)fs.f_bavail * fs.f_frsize >= needed_bytes) {
        return IDEM_OK;
    }
    errno = ENOSPC;
    return idem__file_fail_full(fd, name);
}

/* Makes the empty file `fd` a complete region. */
static int fill(int fd, const struct idem__file_options *asked, const char *name)
{
    const uint64_t bytes = idem__file_bytes(
        asked->slab_shift, idem__region_slabs_for(asked->slab_shift, asked->max_bytes));
    int status = idem__file_check_limit(bytes, name);
    if (status != IDEM_OK) {
        return status;
    }
    if (ftruncate(fd, (off_t)bytes) != 0) {
        return idem__fail_errno("cannot give %s its apparent size of %" PRIu64 " bytes", name,
                                bytes);
    }
    status = idem__file_allocate(fd, FALLOC_FL_KEEP_SIZE, 0, BACKED_BYTES, name);
    if (status != IDEM_OK) {
        return status;
    }
    status = make_index(fd, asked->slab_shift, name);
    if (status == IDEM_OK) {
        status = check_room(fd, asked->slab_shift, name);
    }
    if (status != IDEM_OK) {
        return status;
    }
    struct header_shm header;
    status = make_header(asked, &header);
    if (status != IDEM_OK) {
        return status;
    }
    if (pwrite(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header)) {
        return idem__fail_errno("cannot write the header of %s", name);
    }
    /* The group first: chown may take permission bits away. Both whatever the umask says. */
    if (asked->group != (gid_t)-1 && fchown(fd, (uid_t)-1, asked->group) != 0) {
        return idem__fail_errno("cannot give %s to group %u (options.group)", name,
                                (unsigned)asked->group);
    }
    if (asked->path != NULL && fchmod(fd, asked->mode) != 0) {
        return idem__fail_errno("cannot set the mode of %s to 0%o", name, (unsigned)asked->mode);
    }
    return IDEM_OK;
}

static int create_anonymous(const struct idem__file_options *asked, int *fd)
{
    *fd = memfd_create("idemkey", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
    if (*fd < 0 && errno == EINVAL) {
        *fd = memfd_create("idemkey", MFD_CLOEXEC);
    }
    if (*fd < 0) {
        return idem__fail_errno("cannot make an anonymous region");
    }
    const int status = fill(*fd, asked, "the anonymous region");
    if (status != IDEM_OK) {
        close(*fd);
        *fd = -1;
    }
    return status;
}

/* A file without a name in the folder of `path`; -1 and errno. */
static int open_nameless(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t length = slash == NULL ? 0 : (size_t)(slash - path);
    if (length >= sizeof(folder)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(folder, path, length);
    folder[length] = '\0';
    const char *where = slash == NULL ? "." : length == 0 ? "/" : folder;
    return open(where, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

/* For file systems without nameless files: a name of its own beside `path`. */
static int open_named(const char *path, char *name, size_t name_size)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        uint64_t random;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
            return -1;
        }
        if ((size_t)snprintf(name, name_size, "%s.%016" PRIx64 ".new", path, random) >= name_size) {
            errno = ENAMETOOLONG;
            return -1;
        }
        const int fd = open(name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

static int fail_create(const char *path)
{
    switch (errno) {
    case ENOENT:
        return idem__fail_errno("cannot create %s: its folder must exist", path);
    case ENOTDIR:
        return idem__fail_errno("cannot create %s: what should be its folder is none", path);
    case EACCES:
    case EPERM:
    case EROFS:
        return idem__fail_errno("cannot create %s: its folder must be writable", path);
    case ENOSPC:
    case EDQUOT:
        return idem__fail(IDEM_EFULL,
                          "cannot create %s: its file system has no room for another file", path);
    default:
        return idem__fail_errno("cannot create %s", path);
    }
}

int idem__file_create(const struct idem__file_options *asked, int *fd)
{
    if (asked->path == NULL) {
        return create_anonymous(asked, fd);
    }
    char name[PATH_MAX] = ""; /* empty: nameless */
    *fd = open_nameless(asked->path);
    /* ENOENT and EISDIR: what old file systems say to O_TMPFILE. */
    if (*fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
        *fd = open_named(asked->path, name, sizeof(name));
    }
    if (*fd < 0) {
        return fail_create(asked->path);
    }
    int status = fill(*fd, asked, asked->path);
    bool first = false;
    if (status == IDEM_OK) {
        char self[64];
        snprintf(self, sizeof(self), "/proc/self/fd/%d", *fd);
        first = name[0] == '\0'
                    ? linkat(AT_FDCWD, self, AT_FDCWD, asked->path, AT_SYMLINK_FOLLOW) == 0
                    : link(name, asked->path) == 0;
        if (!first && errno != EEXIST) {
            status = fail_create(asked->path);
        }
    }
    if (name[0] != '\0') {
        (void)unlink(name);
    }
    if (!first) {
        const int kept_errno = errno;
        close(*fd);
        *fd = -1;
        errno = kept_errno;
    }
    return status;
}
