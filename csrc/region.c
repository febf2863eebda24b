/*
 * region.c - the process's list of regions; opening and closing. See region.h.
 */
#include "region.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "error.h"
#include "map.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t prepared = PTHREAD_ONCE_INIT;
/* Never shrinks: a region once used keeps its identity until exit. */
static struct idem__region *regions;

void idem__process_lock(void) { pthread_mutex_lock(&mutex); }

void idem__process_unlock(void) { pthread_mutex_unlock(&mutex); }

static void prepare(void)
{
    /* The only failure is ENOMEM; without it a fork at an unlucky moment leaves the child locked. */
    (void)pthread_atfork(idem__process_lock, idem__process_unlock, idem__process_unlock);
}

static char *absolute_path(const char *path)
{
    if (path[0] == '/') {
        return strdup(path);
    }
    char folder[PATH_MAX];
    char *absolute;
    if (getcwd(folder, sizeof(folder)) == NULL || asprintf(&absolute, "%s/%s", folder, path) < 0) {
        return NULL;
    }
    return absolute;
}

/* NULL and errno. */
static struct idem__region *new_entry(void)
{
    struct idem__region *entry = calloc(1, sizeof(*entry));
    idem__a64 *cache = calloc(IDEM__OWNER_CACHE_ENTRIES, sizeof(*cache));
    void *page =
        mmap(NULL, IDEM__PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (entry == NULL || cache == NULL || page == MAP_FAILED ||
        madvise(page, IDEM__PAGE_BYTES, MADV_WIPEONFORK) != 0) {
        const int kept_errno = errno;
        if (page != MAP_FAILED) {
            munmap(page, IDEM__PAGE_BYTES);
        }
        free(cache);
        free(entry);
        errno = kept_errno;
        return NULL;
    }
    entry->owner_cache = cache;
    entry->identity = page;
    entry->fd = -1;
    return entry;
}

/* The entry of the file, or one that can serve it: an unused one without identity, or a new one. */
static struct idem__region *find_entry(const struct stat *stat, bool readonly)
{
    struct idem__region *spare = NULL;
    for (struct idem__region *region = regions; region != NULL; region = region->next) {
        if (region->dev == stat->st_dev && region->ino == stat->st_ino &&
            region->readonly == readonly) {
            return region;
        }
        if (region->references == 0 && idem__peek32(&region->identity->owner) == 0) {
            spare = region;
        }
    }
    if (spare == NULL) {
        spare = new_entry();
        if (spare != NULL) {
            spare->next = regions;
            regions = spare;
        }
    }
    return spare;
}

/* First use of the file in this process, or again after its last close. */
static int set_up(struct idem__region *region, const struct idem__file_options *asked,
                  const struct idem__file *file)
{
    char *path = NULL;
    if (asked->path != NULL && (path = absolute_path(asked->path)) == NULL) {
        return idem__fail_errno("cannot make path %s absolute", asked->path);
    }
    region->readonly = (asked->flags & IDEM_OPEN_READONLY) != 0;
    region->anonymous = path == NULL;
    const int status = idem__map(region, file, path ? path : "the anonymous region");
    if (status != IDEM_OK) {
        free(path);
        return status;
    }
    region->dev = file->stat.st_dev;
    region->ino = file->stat.st_ino;
    free(region->path);
    region->path = path;
    atomic_store(&region->fd, file->fd);
    idem__poke32(&region->replaced, 0);
    idem__poke64(&region->replaced_checked_ms, 0);
    idem__poke64(&region->clock_checked_ms, 0);
    /* What was known of owners may have been of another file with this inode's number. */
    for (uint32_t i = 0; i < IDEM__OWNER_CACHE_ENTRIES; i++) {
        idem__poke64(&region->owner_cache[i], 0);
    }
    return IDEM_OK;
}

int idem__region_open(const char *path, const struct idem_options *options,
                      struct idem__region **region)
{
    struct idem__file_options asked;
    struct idem__file file;
    int status = idem__file_options(path, options, &asked);
    if (status == IDEM_OK) {
        status = idem__file_open(&asked, &file);
    }
    if (status != IDEM_OK) {
        return status;
    }
    pthread_once(&prepared, prepare);
    bool kept = false;
    idem__process_lock();
    struct idem__region *entry = find_entry(&file.stat, (asked.flags & IDEM_OPEN_READONLY) != 0);
    if (entry == NULL) {
        status = idem__fail_errno("no memory to open a region (Linux 4.14 or later is needed)");
    } else if (entry->references == 0) {
        status = set_up(entry, &asked, &file);
        kept = status == IDEM_OK;
    }
    if (status == IDEM_OK) {
        entry->references++;
        *region = entry;
    }
    idem__process_unlock();
    if (!kept) {
        const int kept_errno = errno;
        close(file.fd);
        errno = kept_errno;
    }
    return status;
}

void idem__region_close(struct idem__region *region)
{
    idem__process_lock();
    if (--region->references == 0) {
        if (region->before_unmap != NULL) {
            region->before_unmap(region);
        }
        /* Whatever was stamped is stale from here on; the id, and its lock, stay until exit. */
        idem__poke64(&region->identity->stamp, 0);
        idem__unmap(region);
        idem__region_drop_fd(region);
    }
    idem__process_unlock();
}
