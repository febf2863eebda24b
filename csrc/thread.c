/*
 * thread.c - see thread.h.
 *
 * A place (struct idem__thread) is memory of one OS thread; the slot in it is of one identity. Places
 * are linked twice: by `next` for the thread, which frees them when it exits, and by `siblings` for the
 * region, whose last close takes their slots away. A place whose stamp is not the identity's is stale -
 * left by a close, or copied by fork - and its slot is not to be touched.
 */
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "cancel.h"
#include "error.h"

/* Slots looked at for a dead owner before the table grows: enough to find one where many died, and few
   enough that 4,096 living processes are not all asked about by each newcomer. */
#define DEAD_PROBES 64u

__thread struct idem__thread *idem__thread_recent;
static __thread struct idem__thread *places;

static pthread_once_t prepared = PTHREAD_ONCE_INIT;
static pthread_key_t exit_key;
static int exit_key_error;

/* The slot is this process's, and its thread is in no section. */
static void release_slot(struct idem__thread *place)
{
    uint32_t owner = place->owner;
    idem__store64(&place->slot->epoch, 0);
    (void)idem__cas32(&place->slot->owner, &owner, 0);
}

static void remove_sibling(struct idem__thread *place)
{
    struct idem__thread **link = &place->region->threads;
    while (*link != NULL && *link != place) {
        link = &(*link)->siblings;
    }
    if (*link == place) {
        *link = place->siblings;
    }
}

static void at_thread_exit(void *unused)
{
    (void)unused;
    idem__thread_recent = NULL;
    while (places != NULL) {
        struct idem__thread *place = places;
        places = place->next;
        idem__process_lock();
        remove_sibling(place);
        if (place->slot != NULL && place->stamp == idem__owner_stamp(place->region)) {
            release_slot(place);
        }
        idem__process_unlock();
        free(place);
    }
}

/* region->before_unmap, under idem__process_lock, with no call in flight. */
static void before_unmap(struct idem__region *region)
{
    struct idem__thread *place = region->threads;
    region->threads = NULL;
    while (place != NULL) {
        if (place->stamp == idem__owner_stamp(region)) {
            release_slot(place);
        }
        place = place->siblings; /* its memory stays its thread's, who finds it stale */
    }
}

static void prepare(void) { exit_key_error = pthread_key_create(&exit_key, at_thread_exit); }

/* From 0, or from a dead owner. */
static bool take_from(struct idem__region *region, uint32_t index, uint32_t from, uint32_t owner)
{
    struct slot_shm *slot = &region->slots[index];
    if (!idem__cas32(&slot->owner, &from, owner)) {
        return false;
    }
    /* [P1] Only now, as its owner: see epoch.h on takeovers. */
    idem__store64(&slot->epoch, 0);
    return true;
}

static bool take_free(struct idem__region *region, uint32_t high, uint32_t owner, uint32_t *index)
{
    for (*index = 0; *index < high; ++*index) {
        if (idem__load32(&region->slots[*index].owner) == 0 &&
            take_from(region, *index, 0, owner)) {
            return true;
        }
    }
    return false;
}

/* Looks at `probes` of the slots, from a place that differs between owners. */
static bool take_dead(struct idem__region *region, uint32_t high, uint32_t probes, uint32_t owner,
                      uint32_t *index)
{
    for (uint32_t i = 0; i < high && i < probes; i++) {
        *index = (uint32_t)(((uint64_t)owner * DEAD_PROBES + i) % high);
        const uint32_t other = idem__load32(&region->slots[*index].owner);
        if (idem__owner_issued(region, other) && idem__owner_dead(region, other) &&
            take_from(region, *index, other, owner)) {
            return true;
        }
    }
    return false;
}

/* One more slot, on a page that is there. Killed in between, the next one does the same again. */
static int grow(struct idem__region *region, uint32_t high)
{
    const uint64_t offset = IDEM__SLOT_OFF + (uint64_t)high * sizeof(struct slot_shm);
    if (offset % IDEM__PAGE_BYTES == 0) {
        const int status = idem__region_back(region, offset, IDEM__PAGE_BYTES);
        if (status != IDEM_OK) {
            return status;
        }
    }
    (void)idem__cas32(&region->header->slot_high, &high, high + 1);
    return IDEM_OK;
}

static int take_slot(struct idem__region *region, uint32_t owner, uint32_t *index)
{
    for (;;) {
        const uint32_t high = idem__load32(&region->header->slot_high);
        if (high > IDEM__SLOTS_MAX) {
            return idem__fail(IDEM_ECORRUPT,
                              "the region is damaged: header.slot_high is %u, expected "
                              "at most %u",
                              high, IDEM__SLOTS_MAX);
        }
        if (take_free(region, high, owner, index) ||
            take_dead(region, high, DEAD_PROBES, owner, index)) {
            return IDEM_OK;
        }
        int status = IDEM_ESLOTS;
        if (high < IDEM__SLOTS_MAX) {
            status = grow(region, high);
            if (status == IDEM_OK) {
                continue;
            }
        }
        if (take_dead(region, high, high, owner, index)) {
            return IDEM_OK;
        }
        return status != IDEM_ESLOTS
                   ? status
                   : idem__fail(IDEM_ESLOTS,
                                "all %u thread slots of the region are in use by living "
                                "processes: run fewer threads, or use several regions",
                                IDEM__SLOTS_MAX);
    }
}

/* The thread's place for the region, perhaps stale; NULL with the error set. */
static struct idem__thread *place_of(struct idem__region *region)
{
    for (struct idem__thread *place = places; place != NULL; place = place->next) {
        if (place->region == region) {
            return place;
        }
    }
    struct idem__thread *place = calloc(1, sizeof(*place));
    if (place == NULL) {
        (void)idem__fail_errno("no memory for a thread's place in the region");
        return NULL;
    }
    pthread_once(&prepared, prepare);
    errno = exit_key_error ? exit_key_error : pthread_setspecific(exit_key, place);
    if (errno != 0) {
        (void)idem__fail_errno("cannot have this thread's exit noticed");
        free(place);
        return NULL;
    }
    place->region = region;
    place->next = places;
    places = place;
    return place;
}

static int find(struct idem__region *region, struct idem__thread **thread)
{
    struct idem__thread *place = place_of(region);
    if (place == NULL) {
        return IDEM_ESYS;
    }
    uint32_t owner, index;
    int status = idem__owner_self(region, &owner);
    if (status != IDEM_OK) {
        return status;
    }
    const uint64_t stamp = idem__owner_stamp(region);
    if (place->stamp != stamp) {
        status = take_slot(region, owner, &index);
        if (status != IDEM_OK) {
            return status;
        }
        struct idem__thread *next = place->next;
        idem__process_lock();
        /* All siblings have one stamp. Another one: this is a child, and they are its parent's. */
        if (region->threads != NULL && region->threads->stamp != stamp) {
            region->threads = NULL;
        }
        memset(place, 0, sizeof(*place));
        place->region = region;
        place->stamp = stamp;
        place->slot = &region->slots[index];
        place->owner = owner;
        place->slot_index = index;
        place->next = next;
        place->siblings = region->threads;
        region->threads = place;
        region->before_unmap = before_unmap;
        idem__process_unlock();
    }
    idem__thread_recent = place;
    *thread = place;
    return IDEM_OK;
}

int idem__thread_find(struct idem__region *region, struct idem__thread **thread)
{
    const int cancel = idem__cancel_put_off();
    const int status = find(region, thread);
    idem__cancel_restore(cancel);
    return status;
}
