/*
 * map.c - see map.h.
 *
 * The whole ceiling is mapped at once, beyond the end of the file too: a raised limit then never
 * moves the mapping. That costs address space, not memory.
 */
#include "map.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#include "error.h"

#define HUGE_PAGE_BYTES ((uint64_t)2 << 20)
#define LOG2_LINKS_BYTES 3u /* a bucket head is 8 bytes */

/* The file, at an address that is aligned to huge pages. */
static char *map_aligned(int fd, uint64_t bytes, int protection)
{
    const uint64_t room = bytes + HUGE_PAGE_BYTES;
    char *reserved =
        mmap(NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) {
        return MAP_FAILED;
    }
    char *base = (char *)idem__align_up((uintptr_t)reserved, HUGE_PAGE_BYTES);
    if (mmap(base, bytes, protection, MAP_SHARED | MAP_NORESERVE | MAP_FIXED, fd, 0) ==
        MAP_FAILED) {
        const int kept_errno = errno;
        munmap(reserved, room);
        errno = kept_errno;
        return MAP_FAILED;
    }
    if (base > reserved) {
        munmap(reserved, (size_t)(base - reserved));
    }
    if (base + bytes < reserved + room) {
        munmap(base + bytes, (size_t)(reserved + room - (base + bytes)));
    }
    return base;
}

int idem__map(struct idem__region *region, const struct idem__file *file, const char *name)
{
    const uint32_t shift = file->header.slab_shift;
    const uint64_t bytes = idem__file_bytes(shift, IDEM__SLABS_MAX);
    char *base =
        map_aligned(file->fd, bytes, region->readonly ? PROT_READ : PROT_READ | PROT_WRITE);
    if (base == MAP_FAILED) {
        return idem__fail_errno("cannot map %s: it needs %" PRIu64
                                " MiB of address space (not of memory); is it limited (ulimit -v)?",
                                name, bytes >> 20);
    }
    /* Hints: what they give is not needed. Values are plaintext and do not belong in core files. */
    (void)madvise(base, bytes, MADV_DONTDUMP);
    if ((uint64_t)1 << shift == HUGE_PAGE_BYTES) {
        (void)madvise(base + IDEM__SLAB_AREA_OFF, bytes - IDEM__SLAB_AREA_OFF, MADV_HUGEPAGE);
    }
    struct statfs fs;
    region->tmpfs = fstatfs(file->fd, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
    region->header = (struct header_shm *)base;
    region->slab_area = base + IDEM__SLAB_AREA_OFF;
    region->slab_table = (struct slab_shm *)(base + IDEM__SLAB_TABLE_OFF);
    region->chunks = (idem__a32 *)(base + IDEM__CHUNK_OFF);
    region->slots = (struct slot_shm *)(base + IDEM__SLOT_OFF);
    region->wait_words = (idem__a32 *)(base + IDEM__WAIT_OFF);
    region->slab_shift = shift;
    region->chunk_shift = shift - LOG2_LINKS_BYTES;
    region->class_count = idem__classes_make(region->classes, shift);
    region->max_value_bytes = file->header.max_value_bytes;
    idem__poke32(&region->slabs_in_file, 0); /* seen at the first use */
    region->map_bytes = bytes;
    return IDEM_OK;
}

void idem__unmap(struct idem__region *region)
{
    munmap(region->header, region->map_bytes);
    region->header = NULL;
}
