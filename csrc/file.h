/*
 * file.h - finding, making and judging a region's file. Layer 2. Knows nothing of mappings.
 */
#ifndef IDEM_FILE_H
#define IDEM_FILE_H

#include <stdbool.h>
#include <sys/stat.h>

#include "idemkey.h"
#include "layout.h"

/* What a caller asked for, checked and with the defaults filled in. */
struct idem__file_options {
    const char *path; /* NULL: anonymous */
    uint32_t flags;
    uint64_t max_bytes;
    uint32_t max_value_bytes;
    uint32_t slab_shift;
    mode_t mode;
    gid_t group; /* (gid_t)-1: the process's */
};

/* An open region file whose header has been checked. */
struct idem__file {
    int fd; /* the receiver's to close */
    struct stat stat;
    struct header_shm header; /* as it was when it was checked */
};

/* Checks `options` (may be NULL) and `path`. IDEM_EINVAL names the argument. */
int idem__file_options(const char *path, const struct idem_options *options,
                       struct idem__file_options *asked);

/* Opens the file, making it if need be and allowed. Many processes may do so at once. */
int idem__file_open(const struct idem__file_options *asked, struct idem__file *file);

/*
 * Makes a region file that is complete before anyone sees it, and gives it its name in one step.
 * `*fd` is -1, and the answer IDEM_OK, if another process was first. create.c.
 */
int idem__file_create(const struct idem__file_options *asked, int *fd);

/* Is this a region of this build, and sound? IDEM_ECORRUPT, IDEM_EVERSION: the message tells what was
   found, what was expected and what to do. `name` is for the message. */
int idem__file_check(const struct idem__file *file, const char *name);
/* A number made of all that two builds must agree upon to share a region. */
uint64_t idem__layout_fingerprint(void);

/* The apparent size of a file with so many slabs. */
static inline uint64_t idem__file_bytes(uint32_t slab_shift, uint32_t slabs)
{
    return IDEM__SLAB_AREA_OFF + ((uint64_t)slabs << slab_shift);
}

/*
 * fallocate that is not interrupted. Statuses instead of errno: IDEM_EFULL names the file system
 * and its size. `name` is for the message.
 */
int idem__file_allocate(int fd, int mode, uint64_t offset, uint64_t length, const char *name);
/* IDEM_EFULL, with the file system's size and the reason in errno. */
int idem__file_fail_full(int fd, const char *name);
/* Refuses sizes above RLIMIT_FSIZE, which would kill the process by SIGXFSZ. */
int idem__file_check_limit(uint64_t bytes, const char *name);

#endif
