/* file.c - see file.h: options, opening, judging. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "class.h"
#include "clock_limits.h"
#include "error.h"

#define MODE_BITS 0777u
#define KNOWN_FLAGS                                                             \
    ((uint32_t)(IDEM_OPEN_EXISTING | IDEM_OPEN_EXCLUSIVE | IDEM_OPEN_READONLY | \
                IDEM_OPEN_ANONYMOUS))
/* A file that is made and removed by others in turn: after so many rounds we say so. */
#define OPEN_ROUNDS 100
#define DEFAULT_MODE 0600u

/* The largest slab that is at most 1 / IDEM__SLABS_PER_REGION of the region. */
static uint32_t slab_shift_for(uint64_t max_bytes)
{
    uint32_t shift = IDEM__SLAB_SHIFT_MIN;
    while (shift < IDEM__SLAB_SHIFT_MAX && max_bytes >> (shift + 1) >= IDEM__SLABS_PER_REGION) {
        shift++;
    }
    return shift;
}

static uint32_t largest_value_bytes(uint32_t slab_shift)
{
    struct idem__class classes[IDEM__CLASSES_MAX];
    const uint32_t count = idem__classes_make(classes, slab_shift);
    return classes[count - 1].block_bytes - (uint32_t)sizeof(struct value_shm);
}

static int check_flags(const char *path, uint32_t flags)
{
    if (flags & ~KNOWN_FLAGS) {
        return idem__fail(IDEM_EINVAL, "options.flags is 0x%x, of which 0x%x is unknown", flags,
                          flags & ~KNOWN_FLAGS);
    }
    if (flags & IDEM_OPEN_ANONYMOUS) {
        if (path != NULL) {
            return idem__fail(IDEM_EINVAL,
                              "path is \"%s\", but IDEM_OPEN_ANONYMOUS is set: an "
                              "anonymous region has no path, pass NULL",
                              path);
        }
        if (flags & ~(uint32_t)IDEM_OPEN_ANONYMOUS) {
            return idem__fail(IDEM_EINVAL,
                              "options.flags is 0x%x: IDEM_OPEN_ANONYMOUS goes with no "
                              "other flag",
                              flags);
        }
        return IDEM_OK;
    }
    if (path == NULL || path[0] == '\0') {
        return idem__fail(IDEM_EINVAL,
                          "path is %s: name a file, such as /dev/shm/name.idem, or set "
                          "IDEM_OPEN_ANONYMOUS",
                          path == NULL ? "NULL" : "empty");
    }
    if ((flags & IDEM_OPEN_EXCLUSIVE) && (flags & (IDEM_OPEN_EXISTING | IDEM_OPEN_READONLY))) {
        return idem__fail(IDEM_EINVAL,
                          "options.flags is 0x%x: IDEM_OPEN_EXCLUSIVE creates, "
                          "IDEM_OPEN_EXISTING and IDEM_OPEN_READONLY do not",
                          flags);
    }
    return IDEM_OK;
}

static int check_sizes(const struct idem_options *options, struct idem__file_options *asked)
{
    asked->max_bytes = options->max_bytes ? options->max_bytes : IDEM__REGION_DEFAULT_BYTES;
    if (asked->max_bytes < IDEM__REGION_MIN_BYTES || asked->max_bytes > IDEM__REGION_MAX_BYTES) {
        return idem__fail(IDEM_EINVAL,
                          "options.max_bytes is %" PRIu64 ", but must be %u (1 MiB) to %" PRIu64
                          " (64 GiB), or 0 for 256 MiB",
                          asked->max_bytes, IDEM__REGION_MIN_BYTES, IDEM__REGION_MAX_BYTES);
    }
    asked->slab_shift = slab_shift_for(asked->max_bytes);
    const uint32_t largest = largest_value_bytes(asked->slab_shift);
    if (options->max_value_bytes > largest) {
        return idem__fail(IDEM_EINVAL,
                          "options.max_value_bytes is %u, but a region of %" PRIu64
                          " bytes keeps values of at most %u: ask for less, or raise max_bytes",
                          options->max_value_bytes, asked->max_bytes, largest);
    }
    asked->max_value_bytes = options->max_value_bytes
                                 ? options->max_value_bytes
                                 : (uint32_t)idem__min_u64(IDEM__VALUE_DEFAULT_BYTES, largest);
    return IDEM_OK;
}

int idem__file_options(const char *path, const struct idem_options *options,
                       struct idem__file_options *asked)
{
    const struct idem_options defaults = {
        .size = sizeof(defaults), .mode = DEFAULT_MODE, .group = -1};
    if (options == NULL) {
        options = &defaults;
    }
    if (options->size != sizeof(*options)) {
        return idem__fail(IDEM_EINVAL,
                          "options.size is %u, but this build knows %zu: call "
                          "idem_options_init(&options, sizeof(options)) first",
                          options->size, sizeof(*options));
    }
    const int status = check_flags(path, options->flags);
    if (status != IDEM_OK) {
        return status;
    }
    if (options->mode & ~MODE_BITS) {
        return idem__fail(IDEM_EINVAL,
                          "options.mode is 0%o, but only permission bits (0777) may be "
                          "set",
                          options->mode);
    }
    if (options->group < -1 || options->group >= (int64_t)(gid_t)-1) {
        return idem__fail(IDEM_EINVAL,
                          "options.group is %" PRId64 ", but must be a group id, or -1 "
                          "for the process's",
                          options->group);
    }
    *asked = (struct idem__file_options){.path = path,
                                         .flags = options->flags,
                                         .mode = options->mode,
                                         .group = (gid_t)options->group};
    return check_sizes(options, asked);
}

uint64_t idem__layout_fingerprint(void)
{
    const uint64_t facts[] = {
        sizeof(struct header_shm),
        offsetof(struct header_shm, epoch),
        offsetof(struct header_shm, next_owner),
        offsetof(struct header_shm, slab_high),
        offsetof(struct header_shm, buckets_log2),
        offsetof(struct header_shm, high_ms),
        sizeof(struct slot_shm),
        sizeof(struct slab_shm),
        sizeof(struct record_shm),
        offsetof(struct record_shm, intent_len),
        sizeof(struct value_shm),
        IDEM__WAIT_OFF,
        IDEM__WAIT_WORDS,
        IDEM__CHUNK_OFF,
        IDEM__CHUNKS_MAX,
        IDEM__SLOT_OFF,
        IDEM__SLOTS_MAX,
        IDEM__SLAB_TABLE_OFF,
        IDEM__SLABS_MAX,
        IDEM__SLAB_AREA_OFF,
        IDEM__BLOCK_STEP_BYTES,
        IDEM__BLOCK_MIN_BYTES,
        IDEM__BLOCK_STEPPED_BYTES,
    };
    /* FNV-1a over whole words: only has to differ when a fact does. */
    uint64_t fingerprint = 0xcbf29ce484222325u;
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        fingerprint = (fingerprint ^ facts[i]) * 0x100000001b3u;
    }
    return fingerprint;
}

/* Is it a region at all, and of a build that agrees with this one? */
static int check_identity(const struct header_shm *header, const char *name)
{
    if (memcmp(header->magic, IDEM__MAGIC, sizeof(header->magic)) != 0) {
        return idem__fail(
            IDEM_ECORRUPT,
            "%s is not an idemkey region: it does not begin with \"idemkey\\n\". Give "
            "another path, or remove the file",
            name);
    }
    if (header->byte_order != IDEM__BYTE_ORDER) {
        return idem__fail(IDEM_EVERSION,
                          "%s was made on a machine of another byte order (0x%08x, "
                          "expected 0x%08x): remove it",
                          name, header->byte_order, IDEM__BYTE_ORDER);
    }
    if (header->version != IDEM__FORMAT_VERSION) {
        return idem__fail(IDEM_EVERSION,
                          "%s has format version %u, this build (idemkey %s) reads %u: "
                          "use the build that made it, or remove it",
                          name, header->version, idem_version(), IDEM__FORMAT_VERSION);
    }
    if (header->layout != idem__layout_fingerprint()) {
        return idem__fail(IDEM_EVERSION,
                          "%s has layout 0x%016" PRIx64 ", this build 0x%016" PRIx64
                          ": it was made with other constants; use that build, or "
                          "remove it",
                          name, header->layout, idem__layout_fingerprint());
    }
    return IDEM_OK;
}

/* One field of the header, and the range that it must lie in. */
static int check_field(const char *name, const char *field, uint64_t value, uint64_t low,
                       uint64_t high)
{
    if (value >= low && value <= high) {
        return IDEM_OK;
    }
    return idem__fail(IDEM_ECORRUPT,
                      "%s is damaged: header.%s is %" PRIu64 ", expected %" PRIu64 " to %" PRIu64
                      ". Stop its users and remove it",
                      name, field, value, low, high);
}

static int check_ranges(const struct header_shm *header, const char *name)
{
    int status = check_field(name, "slab_shift", header->slab_shift, IDEM__SLAB_SHIFT_MIN,
                             IDEM__SLAB_SHIFT_MAX);
    if (status != IDEM_OK) {
        return status; /* the ranges below follow from it */
    }
    const uint32_t shift = header->slab_shift;
    const uint64_t max_bytes = idem__peek64(&header->max_bytes);
    const uint32_t slab_limit = idem__peek32(&header->slab_limit);
    const struct {
        const char *field;
        uint64_t value, low, high;
    } ranges[] = {
        {"max_bytes", max_bytes, IDEM__REGION_MIN_BYTES, idem__region_ceiling_bytes(shift)},
        /* A resize raises max_bytes first: slab_limit may be behind, never ahead. */
        {"slab_limit", slab_limit, 1, idem__region_slabs_for(shift, max_bytes)},
        {"slab_high", idem__peek32(&header->slab_high), IDEM__FIRST_SLABS, slab_limit},
        {"max_value_bytes", header->max_value_bytes, 1, largest_value_bytes(shift)},
        {"slot_high", idem__peek32(&header->slot_high), 0, IDEM__SLOTS_MAX},
        {"next_owner", idem__peek32(&header->next_owner), IDEM__OWNER_START, UINT32_MAX},
        {"epoch", idem__peek64(&header->epoch), IDEM__EPOCH_START, UINT64_MAX >> 1},
        {"buckets_log2", idem__peek32(&header->buckets_log2), 0, IDEM__BUCKETS_LOG2_MAX},
        {"high_ms", idem__peek64(&header->high_ms), IDEM__CLOCK_START_MS, IDEM__CLOCK_MAX_MS},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && status == IDEM_OK; i++) {
        status = check_field(name, ranges[i].field, ranges[i].value, ranges[i].low, ranges[i].high);
    }
    return status;
}

int idem__file_check(const struct idem__file *file, const char *name)
{
    int status = check_identity(&file->header, name);
    if (status == IDEM_OK) {
        status = check_ranges(&file->header, name);
    }
    if (status != IDEM_OK) {
        return status;
    }
    const uint64_t needed =
        idem__file_bytes(file->header.slab_shift, idem__peek32(&file->header.slab_limit));
    if ((uint64_t)file->stat.st_size < needed) {
        return idem__fail(IDEM_ECORRUPT,
                          "%s is damaged: it has %" PRId64 " bytes, expected at least "
                          "%" PRIu64 ": it was truncated. Stop its users and remove it",
                          name, (int64_t)file->stat.st_size, needed);
    }
    return IDEM_OK;
}

/* Looks at a header that contradicts itself before it counts as damaged. */
#define CHECKS_MAX 4

/* Fills in stat and header of file->fd, and checks them. */
static int judge(struct idem__file *file, const char *name)
{
    if (fstat(file->fd, &file->stat) != 0) {
        return idem__fail_errno("cannot look at %s", name);
    }
    if (!S_ISREG(file->stat.st_mode)) {
        return idem__fail(IDEM_EINVAL,
                          "path %s is not a regular file: give the path of one, or of "
                          "none yet",
                          name);
    }
    /* Another process may be raising the limit between two reads: what it leaves is whole. */
    int status = IDEM_ECORRUPT;
    for (int i = 0; i < CHECKS_MAX && status == IDEM_ECORRUPT; i++) {
        const ssize_t length = pread(file->fd, &file->header, sizeof(file->header), 0);
        /* The size after the header: the file grows before its limit does. */
        if (length < 0 || fstat(file->fd, &file->stat) != 0) {
            return idem__fail_errno("cannot read %s", name);
        }
        if ((size_t)length < sizeof(file->header)) {
            return idem__fail(IDEM_ECORRUPT,
                              "%s is not an idemkey region: it has %zd bytes, expected at "
                              "least %" PRIu64 ". Give another path, or remove the file",
                              name, length, IDEM__SLAB_AREA_OFF);
        }
        status = idem__file_check(file, name);
    }
    return status;
}

static int fail_open(const struct idem__file_options *asked)
{
    const char *path = asked->path;
    switch (errno) {
    case ELOOP:
        return idem__fail_errno("path %s is a symbolic link (or passes too many), which is not "
                                "followed: give the path of the file itself",
                                path);
    case EISDIR:
    case ENXIO: /* a socket */
        return idem__fail(IDEM_EINVAL,
                          "path %s is not a regular file: give the path of one, or of "
                          "none yet",
                          path);
    case EACCES:
    case EPERM:
        return idem__fail_errno(
            "no permission to open %s %s: see options.mode and options.group of "
            "whoever creates it",
            path, asked->flags & IDEM_OPEN_READONLY ? "for reading" : "for reading and writing");
    case ENOENT:
        return idem__fail_errno("there is no region at %s", path);
    default:
        return idem__fail_errno("cannot open %s", path);
    }
}

/* Opens what is there; *found = false and IDEM_OK if nothing is. */
static int open_existing(const struct idem__file_options *asked, struct idem__file *file,
                         bool *found)
{
    const int access = asked->flags & IDEM_OPEN_READONLY ? O_RDONLY : O_RDWR;
    /* O_NONBLOCK: a FIFO in place of the file is refused, not waited for. */
    file->fd = open(asked->path, access | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    *found = file->fd >= 0;
    if (file->fd < 0) {
        const bool may_create = !(asked->flags & (IDEM_OPEN_EXISTING | IDEM_OPEN_READONLY));
        return errno == ENOENT && may_create ? IDEM_OK : fail_open(asked);
    }
    const int status = judge(file, asked->path);
    if (status != IDEM_OK) {
        close(file->fd);
    }
    return status;
}

int idem__file_open(const struct idem__file_options *asked, struct idem__file *file)
{
    for (int round = 0; round < OPEN_ROUNDS; round++) {
        if (!(asked->flags & (IDEM_OPEN_EXCLUSIVE | IDEM_OPEN_ANONYMOUS))) {
            bool found;
            const int status = open_existing(asked, file, &found);
            if (status != IDEM_OK || found) {
                return status;
            }
        }
        int status = idem__file_create(asked, &file->fd);
        if (status != IDEM_OK) {
            return status;
        }
        if (file->fd >= 0) {
            status = judge(file, asked->path ? asked->path : "the anonymous region");
            if (status != IDEM_OK) {
                close(file->fd);
            }
            return status;
        }
        if (asked->flags & IDEM_OPEN_EXCLUSIVE) {
            errno = EEXIST;
            return idem__fail_errno("cannot create %s exclusively", asked->path);
        }
    }
    errno = EAGAIN;
    return idem__fail_errno("%s is made and removed again and again by others", asked->path);
}
