/*
 * world.h - what must not differ between two runs of one call, so that "instruction k" means the same in
 * both: time, chance, and the bytes of the region.
 *
 * Time stands still but where a scenario moves it. So nothing that a survivor does at once can have come
 * from waiting for a time-out. The library calls the C library's functions of these names; the linker finds
 * ours first.
 */
#ifndef IDEM_CRASH_WORLD_H
#define IDEM_CRASH_WORLD_H

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "inside.h"

#define WORLD_PAGE_BYTES 4096u
#define WORLD_START_NS ((uint64_t)1000000 * 1000000000)   /* any */
#define WORLD_UNIX_NS ((uint64_t)1700000000 * 1000000000) /* any: the wall clock is ahead by this */
/* The part of the file that is put back and compared: all of a region that has 64 slabs of 16 KiB. */
#define WORLD_BYTES (IDEM__SLAB_AREA_OFF + ((uint64_t)64 << IDEM__SLAB_SHIFT_MIN))
#define WORLD_PAGES (WORLD_BYTES / WORLD_PAGE_BYTES)

/* Of this process: children go on from their parent's. */
static uint64_t world_now_ns = WORLD_START_NS;
static uint64_t world_step_ns; /* what each look at a clock adds */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    world_now_ns += world_step_ns;
    const uint64_t ns = world_now_ns + (clock == CLOCK_REALTIME ? WORLD_UNIX_NS : 0);
    now->tv_sec = (time_t)(ns / 1000000000u);
    now->tv_nsec = (long)(ns % 1000000000u);
    return 0;
}

/* Chance comes from the seed: the store's secret, and with it every key's place, is the same again. */
ssize_t getrandom(void *buffer, size_t length, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < length; i++) {
        ((uint8_t *)buffer)[i] = (uint8_t)(test_random() >> 32);
    }
    return (ssize_t)length;
}

static inline void world_pass_ms(uint64_t ms) { world_now_ns += ms * 1000000; }

static char *world_region;           /* the mapping of the region */
static char *world_saved;            /* its bytes at world_save */
static char *world_last;             /* its bytes at the last world_changed */
static unsigned char *world_present; /* pages that were there at world_save */
static int world_fd;
static off_t world_file_bytes;

static inline void world_begin(idem_store *store)
{
    struct idem__region *region = idem__handle_get(store);
    CHECK(region != NULL);
    world_region = (char *)region->header;
    idem__handle_put();
    world_saved = shared_memory(WORLD_BYTES);
    world_last = shared_memory(WORLD_BYTES);
    world_present = shared_memory(WORLD_PAGES);
    world_fd = open(test_path, O_RDWR | O_CLOEXEC);
    CHECK(world_fd >= 0);
}

/* Which pages the file has: reading another one would make it. */
static inline void world_pages(unsigned char *present)
{
    CHECK(mincore(world_region, WORLD_BYTES, present) == 0);
}

/* Does a page stand in a slab that has pages? Reading one that is not there makes it. */
static inline bool world_in_slab(uint64_t page)
{
    const uint64_t at = page * WORLD_PAGE_BYTES;
    const struct header_shm *header = (const struct header_shm *)world_region;
    const struct slab_shm *table = (const struct slab_shm *)(world_region + IDEM__SLAB_TABLE_OFF);
    if (at < IDEM__SLAB_AREA_OFF) {
        return false;
    }
    const uint64_t slab = (at - IDEM__SLAB_AREA_OFF) >> IDEM__SLAB_SHIFT_MIN;
    if (slab >= idem__load32(&header->slab_high)) {
        return false;
    }
    const uint32_t state = idem__slab_state(idem__load64(&table[slab].state));
    return state != SLAB_UNUSED && state != SLAB_PUNCH;
}

static inline void world_save(void)
{
    /* A page that is reserved becomes one that is there by being read. */
    for (uint64_t page = 0; page < WORLD_PAGES; page++) {
        if (page < IDEM__SLOT_OFF / WORLD_PAGE_BYTES || world_in_slab(page)) {
            (void)*(volatile char *)(world_region + page * WORLD_PAGE_BYTES);
        }
    }
    world_pages(world_present);
    for (uint64_t page = 0; page < WORLD_PAGES; page++) {
        if (world_present[page] & 1) {
            const uint64_t at = page * WORLD_PAGE_BYTES;
            memcpy(world_saved + at, world_region + at, WORLD_PAGE_BYTES);
        }
    }
    memcpy(world_last, world_saved, WORLD_BYTES);
    world_file_bytes = lseek(world_fd, 0, SEEK_END);
    CHECK(world_file_bytes > 0);
}

/* The region as it was saved, and its file's pages. Nobody else may be using it. */
static inline void world_restore(void)
{
    CHECK(ftruncate(world_fd, world_file_bytes) == 0);
    for (uint64_t page = 0, next; page < WORLD_PAGES; page = next) {
        const uint64_t at = page * WORLD_PAGE_BYTES;
        next = page + 1;
        if (world_present[page] & 1) {
            if (memcmp(world_region + at, world_saved + at, WORLD_PAGE_BYTES) != 0) {
                memcpy(world_region + at, world_saved + at, WORLD_PAGE_BYTES);
            }
            continue;
        }
        while (next < WORLD_PAGES && !(world_present[next] & 1)) {
            next++;
        }
        CHECK(fallocate(world_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)at,
                        (off_t)((next - page) * WORLD_PAGE_BYTES)) == 0);
    }
}

/* What the file takes of memory. */
static inline uint64_t world_file_pages(void)
{
    struct stat stat;
    CHECK(fstat(world_fd, &stat) == 0);
    return (uint64_t)stat.st_blocks * 512 / WORLD_PAGE_BYTES;
}

/* Has the region changed since this was last asked? */
static inline bool world_changed(void)
{
    bool changed = false;
    for (uint64_t page = 0; page < WORLD_PAGES; page++) {
        const uint64_t at = page * WORLD_PAGE_BYTES;
        const bool there = at < IDEM__SLAB_AREA_OFF ? world_present[page] & 1 : world_in_slab(page);
        if (there && memcmp(world_last + at, world_region + at, WORLD_PAGE_BYTES) != 0) {
            memcpy(world_last + at, world_region + at, WORLD_PAGE_BYTES);
            changed = true;
        }
    }
    return changed;
}

#endif
