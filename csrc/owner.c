/*
 * owner.c - see owner.h.
 *
 * Registration, and why nobody ever sees an issued id of a living process unlocked [O1]:
 *
 *     candidate = next_owner
 *     lock byte BASE + candidate          taken by another: candidate + 1
 *     CAS next_owner: seen <= candidate -> candidate + 1
 *         seen > candidate: lost; unlock; candidate = seen; again
 *
 * An id counts as issued when it is below next_owner. It is ours only if our CAS stepped over it, and
 * then its lock was ours before. Ids that were stepped over without being anybody's (two processes
 * locked 5 and 6, and 6 came first) are locked by nobody who keeps them: they read as dead, and no
 * record names them. An id is never locked again once it is issued, so dead is final.
 *
 * The crash points: before the CAS the lock vanishes and the id is still unissued; after it the id is
 * issued and, with its process, dead. Nothing is left to clean up.
 *
 * The lock belongs to an open file description of its own, which is kept by a mapping alone. The
 * mapping is not copied by fork (MADV_DONTFORK), not closed by closing all descriptors, and goes with
 * the process's memory: exit, exec, SIGKILL.
 */
#include "owner.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "error.h"

/* Ids that are locked but not issued are of processes in the middle of registering. */
#define CANDIDATES_MAX (1u << 16)

/* Ends up in every stamp. In normal memory: a child counts on from its parent's. */
static idem__a64 stamps;

/*  63        32 31          1  0
 * |  owner    | alive until  | 1 |   or owner << 32 | 0: dead      until: coarse ms, low 31 bits */
#define CACHE_ALIVE 1u
#define UNTIL_MASK (UINT32_MAX >> 1)

static int lock_byte(int fd, short type, uint32_t owner)
{
    struct flock lock = {.l_type = type,
                         .l_whence = SEEK_SET,
                         .l_start = IDEM__OWNER_LOCK_BASE + (off_t)owner,
                         .l_len = 1};
    int rc;
    do {
        rc = fcntl(fd, F_OFD_SETLK, &lock);
    } while (rc != 0 && errno == EINTR);
    return rc;
}

/* [O1] */
static int issue(struct idem__region *region, int fd, uint32_t *owner)
{
    idem__a32 *next_owner = &region->header->next_owner;
    uint32_t seen = idem__load32(next_owner);
    uint32_t candidate = seen;
    for (uint32_t tries = 0; tries < CANDIDATES_MAX; tries++) {
        if (candidate < IDEM__OWNER_START) {
            return idem__fail(IDEM_ECORRUPT,
                              "the region is damaged: header.next_owner is %u, which "
                              "is nobody's",
                              candidate);
        }
        if (candidate == UINT32_MAX) {
            return idem__fail(IDEM_ESLOTS,
                              "all %u process ids of the region have been given: make a "
                              "new region",
                              UINT32_MAX);
        }
        if (lock_byte(fd, F_WRLCK, candidate) != 0) {
            if (errno != EAGAIN && errno != EACCES) {
                return idem__fail_errno(
                    "cannot lock byte 2^40 + %u of the region's file, which shows "
                    "that this process lives: does its file system have "
                    "open-file-description locks?",
                    candidate);
            }
            candidate++;
            continue;
        }
        seen = idem__load32(next_owner);
        while (seen <= candidate) {
            if (idem__cas32(next_owner, &seen, candidate + 1)) {
                *owner = candidate;
                return IDEM_OK;
            }
        }
        (void)lock_byte(fd, F_UNLCK, candidate);
        candidate = seen;
    }
    return idem__fail(IDEM_ESLOTS, "%u processes are registering at this moment", CANDIDATES_MAX);
}

/* Makes the calling process an owner. Under idem__process_lock: no fork copies the descriptor, or the
   mapping before it is marked. */
static int register_process(struct idem__region *region, uint32_t *owner)
{
    if (region->readonly) {
        return idem__fail(IDEM_EINVAL, "%s is open read-only", region->path);
    }
    /* A child may be in another time namespace than its parent, which opened the region. */
    int status = idem__clock_open(region);
    if (status != IDEM_OK) {
        return status;
    }
    const int fd = idem__region_reopen(region);
    if (fd < 0) {
        return idem__fail_errno("cannot open %s once more, to register this process",
                                region->path ? region->path : "the anonymous region");
    }
    status = issue(region, fd, owner);
    if (status == IDEM_OK) {
        void *keeper = mmap(NULL, IDEM__PAGE_BYTES, PROT_NONE, MAP_SHARED, fd, 0);
        if (keeper == MAP_FAILED || madvise(keeper, IDEM__PAGE_BYTES, MADV_DONTFORK) != 0) {
            status = idem__fail_errno("cannot map the region's lock");
            if (keeper != MAP_FAILED) {
                munmap(keeper, IDEM__PAGE_BYTES);
            }
        }
    }
    const int kept_errno = errno;
    close(fd); /* the mapping, if there is one, keeps the description and its lock */
    errno = kept_errno;
    return status;
}

int idem__owner_self(struct idem__region *region, uint32_t *owner)
{
    struct idem__identity *self = region->identity;
    if (idem__load64(&self->stamp) != 0) {
        *owner = idem__peek32(&self->owner); /* [O2] after the stamp's acquire */
        return IDEM_OK;
    }
    int status = IDEM_OK;
    idem__process_lock();
    if (idem__peek64(&self->stamp) == 0) {
        uint32_t id = idem__peek32(&self->owner); /* of before the store was closed and reopened */
        if (id == 0) {
            status = register_process(region, &id);
        }
        if (status == IDEM_OK) {
            idem__poke32(&self->owner, id);
            /* [O2] release: whoever sees the stamp sees the id. */
            idem__store64(&self->stamp,
                          atomic_fetch_add_explicit(&stamps, 1, memory_order_relaxed) + 1);
        }
    }
    *owner = idem__peek32(&self->owner);
    idem__process_unlock();
    return status;
}

/* Asks the kernel. Unknown is alive: a takeover must never come from not knowing. */
static bool ask_dead(struct idem__region *region, uint32_t owner)
{
    const int fd = idem__region_fd(region);
    if (fd < 0) {
        return false;
    }
    struct flock lock = {.l_type = F_WRLCK,
                         .l_whence = SEEK_SET,
                         .l_start = IDEM__OWNER_LOCK_BASE + (off_t)owner,
                         .l_len = 1};
    int rc;
    do {
        rc = fcntl(fd, F_OFD_GETLK, &lock);
    } while (rc != 0 && errno == EINTR);
    return rc == 0 && lock.l_type == F_UNLCK;
}

static bool owner_dead(struct idem__region *region, uint32_t owner, bool believe_alive)
{
    if (owner == idem__peek32(&region->identity->owner)) {
        return false;
    }
    /* Relaxed: each entry is one word, and a stale one is as good as asking a moment earlier. */
    idem__a64 *entry = &region->owner_cache[owner % IDEM__OWNER_CACHE_ENTRIES];
    const uint64_t known = idem__peek64(entry);
    const uint32_t now_ms = (uint32_t)idem__coarse_ms() & UNTIL_MASK;
    if (known >> 32 == owner) {
        if ((known & CACHE_ALIVE) == 0) {
            return true;
        }
        const uint32_t until_ms = (uint32_t)known >> 1;
        if (believe_alive && ((until_ms - now_ms) & UNTIL_MASK) - 1 < IDEM__ALIVE_CACHE_MS) {
            return false;
        }
    }
    const int kept_errno = errno;
    const bool dead = ask_dead(region, owner);
    errno = kept_errno;
    const uint32_t until_ms = (now_ms + IDEM__ALIVE_CACHE_MS) & UNTIL_MASK;
    idem__poke64(entry, (uint64_t)owner << 32 | (dead ? 0 : until_ms << 1 | CACHE_ALIVE));
    return dead;
}

bool idem__owner_dead(struct idem__region *region, uint32_t owner)
{
    return owner_dead(region, owner, true);
}

bool idem__owner_dead_now(struct idem__region *region, uint32_t owner)
{
    return owner_dead(region, owner, false);
}
