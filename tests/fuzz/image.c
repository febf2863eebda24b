/* image.c - see image.h. */
#include "image.h"

#include <fcntl.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "handle.h"
#include "owner.h"
#include "slab.h"

#define SLAB_ENTRIES_PER_PAGE (IDEM__PAGE_BYTES / sizeof(struct slab_shm))
#define LIVING_OWNER 1u /* whoever made the template */

const char *image_path;
static int file = -1;

void image_begin(struct image *image)
{
    image->bytes = mmap(NULL, IMAGE_MAX_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT(image->bytes != MAP_FAILED);
    image->room = IMAGE_MAX_BYTES;
}

void image_read(struct image *image, const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat stat;
    EXPECT(fd >= 0 && fstat(fd, &stat) == 0 && (uint64_t)stat.st_size <= IMAGE_MAX_BYTES);
    image->length = (uint64_t)stat.st_size;
    EXPECT(pread(fd, image->bytes, image->length, 0) == (ssize_t)image->length);
    for (off_t data = lseek(fd, 0, SEEK_DATA), hole; data >= 0; data = lseek(fd, hole, SEEK_DATA)) {
        hole = lseek(fd, data, SEEK_HOLE);
        image_mark(image, (uint64_t)data, (uint64_t)(hole - data));
    }
    close(fd);
}

void image_mark(struct image *image, uint64_t offset, uint64_t length)
{
    for (uint64_t page = offset / IDEM__PAGE_BYTES; page * IDEM__PAGE_BYTES < offset + length;
         page++) {
        image->present[page] = true;
    }
}

void image_copy(struct image *image, const struct image *from)
{
    for (uint64_t page = 0; page < IMAGE_PAGES; page++) {
        uint8_t *to = image->bytes + page * IDEM__PAGE_BYTES;
        if (from->present[page]) {
            memcpy(to, from->bytes + page * IDEM__PAGE_BYTES, IDEM__PAGE_BYTES);
        } else if (image->present[page]) {
            memset(to, 0, IDEM__PAGE_BYTES);
        }
        image->present[page] = from->present[page];
    }
    image->length = from->length;
}

static void remove_file(void) { unlink(image_path); }

static void lock_living_owner(int fd)
{
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = IDEM__OWNER_LOCK_BASE + LIVING_OWNER,
                         .l_len = 1};
    EXPECT(fcntl(fd, F_OFD_SETLK, &lock) == 0);
}

void image_file_begin(void)
{
    static char path[256];
    const char *folder = getenv("FUZZ_FOLDER");
    snprintf(path, sizeof path, "%s/idemkey-fuzz-%d.idem", folder ? folder : "/dev/shm",
             (int)getpid());
    image_path = path;
    file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    EXPECT(file >= 0);
    atexit(remove_file);
    lock_living_owner(file);
}

void image_write(const struct image *image)
{
    const uint64_t pages = idem__div_up(image->length, IDEM__PAGE_BYTES);
    EXPECT(ftruncate(file, (off_t)image->length) == 0);
    for (uint64_t page = 0; page < pages;) {
        const uint64_t first = page;
        const bool present = image->present[page];
        while (page < pages && image->present[page] == present) {
            page++;
        }
        const off_t offset = (off_t)(first * IDEM__PAGE_BYTES);
        const uint64_t end = idem__min_u64(page * IDEM__PAGE_BYTES, image->length);
        const size_t bytes = end - (uint64_t)offset;
        /* Pages that are there are written over; a hole of the image is one of the file. */
        EXPECT(present ? pwrite(file, image->bytes + offset, bytes, offset) == (ssize_t)bytes
                       : fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                                   (off_t)bytes) == 0);
    }
}

struct image *image_live(void)
{
    static struct image live;
    struct stat stat;
    if (live.bytes == NULL) {
        live.bytes = mmap(NULL, IMAGE_MAX_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        EXPECT(live.bytes != MAP_FAILED);
    }
    EXPECT(fstat(file, &stat) == 0);
    live.room = live.length = idem__min_u64((uint64_t)stat.st_size, IMAGE_MAX_BYTES);
    return &live;
}

static struct idem__region *guarded;

static void allow(uint64_t offset, uint64_t length)
{
    if (offset < IMAGE_MAX_BYTES) {
        ASAN_UNPOISON_MEMORY_REGION((char *)guarded->header + offset,
                                    idem__min_u64(length, IMAGE_MAX_BYTES - offset));
    }
}

static bool claims_pages(uint32_t state)
{
    return state == SLAB_ACTIVE || state == SLAB_INDEX ||
           state == SLAB_INIT; /* of a chunk that has just been published */
}

void guard_widen(void)
{
    const struct header_shm *header = guarded->header;
    const uint64_t slots = idem__min_u64(idem__peek32(&header->slot_high), IDEM__SLOTS_MAX);
    /* Entries behind the last one too, as far as there are pages: growth makes them known. */
    const uint64_t slabs = idem__min_u64(
        idem__align_up(idem__peek32(&header->slab_high), SLAB_ENTRIES_PER_PAGE), IDEM__SLABS_MAX);
    allow(IDEM__SLOT_OFF, idem__align_up(slots * sizeof(struct slot_shm), IDEM__PAGE_BYTES));
    allow(IDEM__SLAB_TABLE_OFF, slabs * sizeof(struct slab_shm));
    for (uint32_t slab = 0; slab < slabs; slab++) {
        if (claims_pages(idem__slab_state(idem__peek64(&guarded->slab_table[slab].state)))) {
            allow(IDEM__SLAB_AREA_OFF + ((uint64_t)slab << guarded->slab_shift),
                  (uint64_t)1 << guarded->slab_shift);
        }
    }
}

struct idem__region *guard_begin(idem_store *store)
{
    guarded = idem__handle_get(store);
    EXPECT(guarded != NULL);
    idem__handle_put();
    ASAN_POISON_MEMORY_REGION(guarded->header, IMAGE_MAX_BYTES);
    allow(0, IDEM__SLOT_OFF);
    guard_widen();
    return guarded;
}

void guard_end(void)
{
    ASAN_UNPOISON_MEMORY_REGION(guarded->header, IMAGE_MAX_BYTES);
    guarded = NULL;
}

/* Between slab.c or thread.c, and room.c. */
int __real_idem__region_back(struct idem__region *region, uint64_t offset, uint64_t length);
int __wrap_idem__region_back(struct idem__region *region, uint64_t offset, uint64_t length);
int __wrap_idem__region_back(struct idem__region *region, uint64_t offset, uint64_t length)
{
    const int status = __real_idem__region_back(region, offset, length);
    if (status == IDEM_OK && region == guarded) {
        allow(offset, length);
    }
    return status;
}

int __real_idem__region_punch(struct idem__region *region, uint64_t offset, uint64_t length);
int __wrap_idem__region_punch(struct idem__region *region, uint64_t offset, uint64_t length);
int __wrap_idem__region_punch(struct idem__region *region, uint64_t offset, uint64_t length)
{
    if (region == guarded && offset + length <= IMAGE_MAX_BYTES) {
        ASAN_POISON_MEMORY_REGION((char *)region->header + offset, length);
    }
    return __real_idem__region_punch(region, offset, length);
}
