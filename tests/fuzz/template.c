/*
 * template.c - see template.h. Each template is made by a process that ends then: every owner is dead, but for
 * owner 1, who counts as alive (image.c).
 */
#include "template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "host.h"
#include "list.h"

#define HOUR_MS 3600000
#define LARGEST_INTENT_BYTES 16000u /* a slab has 16 KiB */

struct template templates[TEMPLATES];

uint32_t fuzz_key(uint32_t number, char key[FUZZ_KEY_BYTES])
{
    /* Lengths from 8 to 137 bytes: five size classes of records. */
    return (uint32_t)snprintf(key, FUZZ_KEY_BYTES, "key-%0*u", 4 + (int)(number % 5) * 33, number);
}

static idem_store *open_new(const char *path)
{
    struct idem_options options;
    idem_store *store;
    idem_options_init(&options, sizeof options);
    options.max_bytes = IDEM__REGION_MIN_BYTES;
    EXPECT(idem_open(path, &options, &store) == IDEM_OK);
    return store;
}

enum ending { ENDS_OPEN, ENDS_DONE, ENDS_ABANDONED, ENDS_RELEASED };

struct shape {
    enum ending ending;
    uint32_t flags;
    uint32_t value_bytes, intent_bytes;
    bool fingerprint;
    int64_t lease_ms, ttl_ms;
};

static int put(idem_store *store, uint32_t number, const struct shape *shape)
{
    static const char bytes[LARGEST_INTENT_BYTES] = "value or intent";
    char key[FUZZ_KEY_BYTES];
    struct idem_request request;
    struct idem_claim claim;
    idem_request_init(&request, sizeof request);
    idem_claim_init(&claim, sizeof claim);
    request.key = key;
    request.key_len = fuzz_key(number, key);
    request.flags = shape->flags;
    request.fingerprint = shape->fingerprint ? bytes : NULL;
    request.intent = bytes;
    request.intent_len = shape->intent_bytes;
    request.lease_ms = shape->lease_ms;
    request.ttl_ms = shape->ttl_ms ? shape->ttl_ms : HOUR_MS;
    int status = idem_claim(store, &request, &claim);
    if (status != IDEM_OK || claim.outcome != IDEM_CLAIMED) {
        return status;
    }
    if (shape->ending == ENDS_DONE) {
        status = idem_complete(&claim, bytes, shape->value_bytes, IDEM_TTL_SAME, 0);
    } else if (shape->ending == ENDS_ABANDONED) {
        status = idem_abandon(&claim);
    } else if (shape->ending == ENDS_RELEASED) {
        status = idem_release(&claim);
    }
    idem_record_free(&claim.record);
    return status;
}

/* Keys [from, to) in every state that a key can have. */
static void put_all_states(idem_store *store, uint32_t from, uint32_t to)
{
    static const struct shape shapes[] = {
        {.ending = ENDS_DONE},
        {.ending = ENDS_DONE, .value_bytes = 5},
        {.ending = ENDS_OPEN},
        {.ending = ENDS_OPEN, .flags = IDEM_HOLD, .intent_bytes = 40},
        {.ending = ENDS_DONE, .value_bytes = 900, .fingerprint = true, .ttl_ms = IDEM_FOREVER},
        {.ending = ENDS_ABANDONED, .intent_bytes = 12, .fingerprint = true},
        {.ending = ENDS_OPEN, .lease_ms = 1000},
        {.ending = ENDS_ABANDONED, .flags = IDEM_HOLD},
        {.ending = ENDS_RELEASED},
    };
    for (uint32_t number = from; number < to; number++) {
        EXPECT(put(store, number, &shapes[number % (sizeof shapes / sizeof shapes[0])]) == IDEM_OK);
    }
}

static void wait_for(pid_t child)
{
    int status;
    EXPECT(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0);
}

static void make_empty(const char *path) { EXPECT(idem_close(open_new(path)) == IDEM_OK); }

static void make_states(const char *path) { put_all_states(open_new(path), 0, FUZZ_KEYS / 2); }

static void make_expired(const char *path)
{
    put_all_states(open_new(path), 0, FUZZ_KEYS / 2);
    *host_now_ms += 2 * HOUR_MS;
}

static void make_values(const char *path)
{
    idem_store *store = open_new(path);
    uint32_t bytes = 0;
    for (uint32_t number = 0; number < FUZZ_KEYS / 2; number++, bytes += 1 + bytes / 2) {
        const struct shape shape = {.ending = ENDS_DONE,
                                    .value_bytes = bytes % LARGEST_INTENT_BYTES};
        EXPECT(put(store, number, &shape) == IDEM_OK);
    }
}

/* Claims of two dead processes, some to be held, beside a living one's. */
static void make_orphans(const char *path)
{
    idem_store *store = open_new(path);
    put_all_states(store, 0, 9);
    for (uint32_t from = 9; from < 27; from += 9) {
        const pid_t child = fork();
        if (child == 0) {
            put_all_states(store, from, from + 9);
            _exit(0);
        }
        wait_for(child);
    }
}

static void make_full(const char *path)
{
    idem_store *store = open_new(path);
    int status = IDEM_OK;
    for (uint32_t number = 0; status == IDEM_OK; number++) {
        const struct shape shape = {.ending = number % 2 ? ENDS_DONE : ENDS_OPEN,
                                    .intent_bytes = number < 16 ? 0 : LARGEST_INTENT_BYTES / 2};
        status = put(store, number, &shape);
    }
    EXPECT(status == IDEM_EFULL);
}

/* Slabs of many classes, and an index of two chunks, whose heads the look-ups put in. */
static void make_grown(const char *path)
{
    idem_store *store = open_new(path);
    for (uint32_t number = 0; number < FUZZ_KEYS; number++) {
        const struct shape shape = {.ending = ENDS_DONE, .intent_bytes = number % 12 * 16};
        EXPECT(put(store, number, &shape) == IDEM_OK);
    }
    for (uint32_t number = 0; number < FUZZ_KEYS; number++) {
        char key[FUZZ_KEY_BYTES];
        struct idem_record record;
        idem_record_init(&record, sizeof record);
        EXPECT(idem_lookup(store, key, fuzz_key(number, key), &record) == IDEM_OK);
        idem_record_free(&record);
    }
}

/* Most of a grown store forgotten again: emptied slabs, and such whose pages went back. */
static void make_emptied(const char *path)
{
    idem_store *store = open_new(path);
    put_all_states(store, 0, 9);
    for (uint32_t number = 9; number < FUZZ_KEYS; number++) {
        const struct shape shape = {
            .ending = ENDS_DONE, .value_bytes = number * 37, .intent_bytes = number % 12 * 16};
        EXPECT(put(store, number, &shape) == IDEM_OK);
    }
    for (uint32_t number = 9; number < FUZZ_KEYS; number++) {
        char key[FUZZ_KEY_BYTES];
        EXPECT(idem_forget(store, key, fuzz_key(number, key), 0) == IDEM_OK);
    }
    EXPECT(idem_sweep(store, 1) >= 0); /* empties; a reserve keeps its pages */
}

static void add_site(struct template *template, enum site site, uint64_t offset)
{
    if (template->sites[site].count < SITES_MAX) {
        template->sites[site].offset[template->sites[site].count++] = (uint32_t)offset;
    }
}

static uint64_t word_at(const struct template *template, uint64_t offset)
{
    uint64_t word;
    memcpy(&word, template->image.bytes + offset, sizeof word);
    return word;
}

static void find_in_slab(struct template *template, const struct idem__class *classes,
                         uint64_t base, uint64_t slab_bytes, uint64_t state)
{
    if (idem__slab_state(state) == SLAB_INDEX) {
        for (uint64_t offset = base; offset < base + slab_bytes; offset += sizeof(uint64_t)) {
            if (word_at(template, offset) != 0) {
                add_site(template, SITE_HEAD, offset);
            }
        }
    } else if (idem__slab_state(state) == SLAB_ACTIVE) {
        const struct idem__class *class = &classes[idem__slab_class(state)];
        const enum site content =
            idem__slab_family(state) == FAMILY_RECORD ? SITE_RECORD : SITE_VALUE;
        for (uint32_t index = 0; index < class->count; index++) {
            const uint64_t word = base + index * sizeof(uint64_t);
            if (word_at(template, word) != 0) {
                add_site(template, SITE_WORD, word);
                add_site(template, content, base + class->first_off + index * class->block_bytes);
            }
        }
    }
}

static void find_sites(struct template *template)
{
    struct idem__class classes[IDEM__CLASSES_MAX];
    const struct header_shm *header = (const struct header_shm *)(void *)template->image.bytes;
    const uint64_t slab_bytes = (uint64_t)1 << header->slab_shift;
    (void)idem__classes_make(classes, header->slab_shift);
    add_site(template, SITE_HEADER, 0);
    for (uint32_t chunk = 0; chunk < 4; chunk++) {
        add_site(template, SITE_CHUNK, IDEM__CHUNK_OFF + chunk * sizeof(uint32_t));
    }
    for (uint32_t slot = 0; slot < idem__peek32(&header->slot_high); slot++) {
        add_site(template, SITE_SLOT, IDEM__SLOT_OFF + slot * sizeof(struct slot_shm));
    }
    for (uint32_t slab = 0; slab < idem__peek32(&header->slab_high); slab++) {
        const uint64_t entry = IDEM__SLAB_TABLE_OFF + slab * sizeof(struct slab_shm);
        add_site(template, SITE_ENTRY, entry);
        find_in_slab(template, classes, IDEM__SLAB_AREA_OFF + slab * slab_bytes, slab_bytes,
                     word_at(template, entry + offsetof(struct slab_shm, state)));
    }
}

static void poke(struct template *template, enum site site, uint32_t which, uint64_t field,
                 uint64_t word)
{
    EXPECT(which < template->sites[site].count);
    memcpy(template->image.bytes + template->sites[site].offset[which] + field, &word, sizeof word);
}

/* What deaths inside calls leave: docs/crash-table.md. */
static void leave_behind(struct template *template)
{
    const uint32_t dead = 2; /* of the template's owners */
    const uint64_t life = offsetof(struct record_shm, life),
                   link = offsetof(struct record_shm, link);
    const uint32_t last = template->sites[SITE_RECORD].count - 1;
    /* A record that was not published; two that are dead, of which one is marked and still linked. */
    uint64_t word = word_at(template, template->sites[SITE_WORD].offset[0]);
    poke(template, SITE_WORD, 0, 0,
         idem__block_word(BLOCK_TAKEN, idem__block_generation(word), dead));
    poke(template, SITE_RECORD, last, life, LIFE_DEAD);
    poke(template, SITE_RECORD, last - 1, life, LIFE_DEAD | LIFE_WIPE);
    word = word_at(template, template->sites[SITE_RECORD].offset[last - 1] + link);
    poke(template, SITE_RECORD, last - 1, link, word | LINK_MARK);
    /* A head that was being put in; a reader's slot. */
    word = word_at(template, template->sites[SITE_HEAD].offset[1]);
    poke(template, SITE_HEAD, 1, 0,
         (uint64_t)dead << LINK_OWNER_SHIFT | LINK_INIT | idem__link_target(word));
    poke(template, SITE_SLOT, 0, offsetof(struct slot_shm, epoch), IDEM__EPOCH_START << 1 | 1);
    poke(template, SITE_SLOT, 0, offsetof(struct slot_shm, owner), dead);
    /* Slabs that were being filled, and punched. */
    struct header_shm *header = (struct header_shm *)(void *)template->image.bytes;
    const uint32_t high = idem__peek32(&header->slab_high);
    idem__poke32(&header->slab_high, high + 2);
    add_site(template, SITE_ENTRY, IDEM__SLAB_TABLE_OFF + high * sizeof(struct slab_shm));
    add_site(template, SITE_ENTRY, IDEM__SLAB_TABLE_OFF + (high + 1) * sizeof(struct slab_shm));
    poke(template, SITE_ENTRY, high, 0, idem__slab_word(SLAB_INIT, 0, 0, dead));
    poke(template, SITE_ENTRY, high + 1, 0, idem__slab_word(SLAB_PUNCH, 0, 0, dead));
}

static const struct {
    const char *name;
    void (*make)(const char *path);
    void (*after)(struct template *template);
} makers[TEMPLATES] = {
    {"empty", make_empty, NULL},
    {"states", make_states, NULL},
    {"values", make_values, NULL},
    {"orphans", make_orphans, NULL},
    {"expired", make_expired, NULL},
    {"full", make_full, NULL},
    {"grown", make_grown, NULL},
    {"emptied", make_emptied, NULL},
    {"leftovers", make_orphans, leave_behind},
};

void templates_begin(void)
{
    char path[256];
    const char *folder = getenv("FUZZ_FOLDER");
    snprintf(path, sizeof path, "%s/idemkey-fuzz-%d.idem", folder ? folder : "/dev/shm",
             (int)getpid());
    for (uint32_t i = 0; i < TEMPLATES; i++) {
        struct template *template = &templates[i];
        unlink(path);
        const pid_t maker = fork();
        if (maker == 0) {
            makers[i].make(path);
            _exit(0);
        }
        wait_for(maker);
        template->name = makers[i].name;
        template->now_ms = *host_now_ms;
        image_begin(&template->image);
        image_read(&template->image, path);
        find_sites(template);
        if (makers[i].after) {
            makers[i].after(template);
        }
    }
    unlink(path);
}
