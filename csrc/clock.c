/*
 * clock.c - see clock.h.
 *
 * The header's anchor belongs to one boot of the host, named by boot_id. After a reboot the first
 * opener sets a new one, under a lock on a byte of the file that dies with it:
 *
 *     boot_id = 0,0    anchor_ms = ...    boot_id[1], boot_id[0] = this boot's      [C1]
 *
 * Whoever finds both words of this boot may use the anchor: they are written after it, and it does not
 * change while they stand. Killed in between, the words say neither boot, and the next opener begins
 * again from high_ms, which the death has not changed.
 */
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "error.h"

/* Anchoring takes microseconds; whoever holds the lock for longer is stopped. */
#define ANCHOR_WAIT_MS 5000u
#define ANCHOR_RETRY_MS 5L

static bool is_anchored(const struct header_shm *header, const uint64_t boot_id[2])
{
    /* [C1] acquire: the anchor is read after. */
    return idem__load64(&header->boot_id[0]) == boot_id[0] &&
           idem__load64(&header->boot_id[1]) == boot_id[1];
}

/* The store's time by what the header tells of a boot that is over. */
static uint64_t time_after_reboot_ms(const struct header_shm *header)
{
    const uint64_t wall_ms = idem__wall_ms();
    const uint64_t high_wall_ms = idem__load64(&header->high_wall_ms);
    const uint64_t elapsed_ms = wall_ms > high_wall_ms ? wall_ms - high_wall_ms : 0;
    return idem__load64(&header->high_ms) + elapsed_ms;
}

static int lock_anchor(int fd)
{
    struct flock lock = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = IDEM__CLOCK_LOCK_BYTE, .l_len = 1};
    const uint64_t begun_ms = idem__clock_read_ms(CLOCK_MONOTONIC);
    while (fcntl(fd, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR) {
            return idem__fail_errno("cannot lock byte 2^41 of the region's file, to set its clock");
        }
        if (idem__clock_read_ms(CLOCK_MONOTONIC) - begun_ms > ANCHOR_WAIT_MS) {
            return idem__fail(IDEM_ETIMEDOUT,
                              "another process has been setting the region's clock "
                              "after the reboot for %u ms: is it stopped?",
                              ANCHOR_WAIT_MS);
        }
        const struct timespec pause = {.tv_nsec = ANCHOR_RETRY_MS * IDEM__NS_PER_MS};
        nanosleep(&pause, NULL);
    }
    return IDEM_OK;
}

static int anchor(struct idem__region *region, const uint64_t boot_id[2], int64_t offset_ms)
{
    struct header_shm *header = region->header;
    const int fd = idem__region_reopen(region);
    if (fd < 0) {
        return idem__fail_errno("cannot open %s once more, to set its clock after a reboot",
                                region->path ? region->path : "the anonymous region");
    }
    const int status = lock_anchor(fd);
    if (status == IDEM_OK && !is_anchored(header, boot_id)) {
        const uint64_t now_ms = time_after_reboot_ms(header);
        /* [C1] seq_cst stores: the zeros stand before the anchor changes, the new words come last. */
        atomic_store(&header->boot_id[0], 0);
        atomic_store(&header->boot_id[1], 0);
        atomic_store(&header->anchor_ms, now_ms - idem__host_boot_ms(offset_ms));
        atomic_store(&header->boot_id[1], boot_id[1]);
        atomic_store(&header->boot_id[0], boot_id[0]);
    }
    close(fd); /* and with it the lock */
    return status;
}

/* What the header says the store's time is, damaged or not. */
static uint64_t header_time_ms(const struct idem__region *region)
{
    const struct header_shm *header = region->header;
    const uint64_t boot_id[2] = {idem__peek64(&region->boot_id[0]),
                                 idem__peek64(&region->boot_id[1])};
    if (IDEM_LIKELY(is_anchored(header, boot_id))) {
        return idem__host_boot_ms((int64_t)idem__peek64(&region->timens_offset_ms)) +
               idem__load64(&header->anchor_ms);
    }
    return time_after_reboot_ms(header); /* read-only: not ours to set */
}

int idem__clock_open(struct idem__region *region)
{
    int64_t offset_ms;
    uint64_t boot_id[2];
    int status = idem__timens_offset_ms(&offset_ms);
    if (status == IDEM_OK) {
        status = idem__boot_id(boot_id);
    }
    if (status == IDEM_OK && !region->readonly && !is_anchored(region->header, boot_id)) {
        status = anchor(region, boot_id, offset_ms);
    }
    if (status != IDEM_OK) {
        return status;
    }
    idem__poke64(&region->boot_id[0], boot_id[0]);
    idem__poke64(&region->boot_id[1], boot_id[1]);
    idem__poke64(&region->timens_offset_ms, (uint64_t)offset_ms);
    idem__clock_refresh(region, idem__coarse_ms());
    const uint64_t now_ms = header_time_ms(region);
    if (now_ms > IDEM__CLOCK_MAX_MS) {
        return idem__fail(IDEM_ECORRUPT,
                          "%s is damaged: its clock stands at %" PRIu64
                          " ms, expected at most %" PRIu64 " (header.anchor_ms is %" PRId64
                          ", header.high_ms %" PRIu64 "). Stop its users and remove it",
                          region->path ? region->path : "the anonymous region", now_ms,
                          IDEM__CLOCK_MAX_MS, (int64_t)idem__load64(&region->header->anchor_ms),
                          idem__load64(&region->header->high_ms));
    }
    return IDEM_OK;
}

void idem__clock_refresh(struct idem__region *region, uint64_t coarse_ms)
{
    uint64_t now_ms = header_time_ms(region);
    if (IDEM_UNLIKELY(now_ms > IDEM__CLOCK_MAX_MS)) {
        /* Damaged since the opening: time stands still, or every key would expire. */
        now_ms = idem__min_u64(idem__load64(&region->header->high_ms), IDEM__CLOCK_MAX_MS);
    }
    idem__poke64(&region->clock_delta_ms, now_ms - coarse_ms);
    idem__poke64(&region->clock_checked_ms, coarse_ms);
}

void idem__clock_raise(struct idem__region *region, uint64_t now_ms)
{
    if (region->readonly) {
        return;
    }
    /* [C2] The wall clock first, and never back: a process that is killed or stopped in between makes the
       time after a reboot late, which keeps keys longer; never early. */
    idem__max64(&region->header->high_wall_ms, idem__wall_ms());
    idem__max64(&region->header->high_ms, now_ms);
}
