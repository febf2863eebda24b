/* step.c - see step.h. */
#include "step.h"

#include <string.h>

#include "host.h"
#include "list.h"

enum verb {
    VERB_FLIP,
    VERB_SET,
    VERB_ADD,
    VERB_COPY, /* a word of the same kind from elsewhere */
    VERB_SWAP,
    VERB_FILL, /* a range of bytes */
    VERB_ZERO_PAGE,
    VERB_SWAP_PAGES,
    VERB_GRAFT,  /* a record moves to where no block begins, and what leads to it does too */
    VERB_LENGTH, /* truncates, or extends */
    VERB_VERSION,
    VERB_CLOCK,
    VERB_LATE /* what follows comes while the stores are open */
};
/* By the low bits of the verb's byte: words are what most damage is made of. */
static const uint8_t verbs[32] = {
    VERB_FLIP,      VERB_SET,        VERB_SET,    VERB_SET,     VERB_SET,  VERB_SET,  VERB_ADD,
    VERB_ADD,       VERB_COPY,       VERB_COPY,   VERB_COPY,    VERB_SWAP, VERB_SWAP, VERB_FILL,
    VERB_ZERO_PAGE, VERB_SWAP_PAGES, VERB_LENGTH, VERB_VERSION, VERB_LATE, VERB_LATE, VERB_CLOCK,
    VERB_FLIP,      VERB_GRAFT,      VERB_GRAFT,  VERB_GRAFT,   VERB_SET,  VERB_COPY, VERB_COPY,
    VERB_COPY,      VERB_SET,        VERB_FLIP,   VERB_SET,
};

struct field {
    uint32_t offset, bytes;
};
#define FIELD(type, name)                                             \
    {                                                                 \
        offsetof(struct type, name), sizeof(((struct type *)0)->name) \
    }

static const struct field header_fields[] = {
    FIELD(header_shm, slot_high),       FIELD(header_shm, slab_high),
    FIELD(header_shm, slab_limit),      FIELD(header_shm, buckets_log2),
    FIELD(header_shm, next_owner),      FIELD(header_shm, epoch),
    FIELD(header_shm, max_bytes),       FIELD(header_shm, record_capacity),
    FIELD(header_shm, anchor_ms),       FIELD(header_shm, high_ms),
    FIELD(header_shm, high_wall_ms),    FIELD(header_shm, no_pages_until_ms),
    FIELD(header_shm, max_value_bytes), FIELD(header_shm, slab_shift),
    FIELD(header_shm, layout),          {offsetof(struct header_shm, boot_id), 8},
};
static const struct field slot_fields[] = {FIELD(slot_shm, epoch), FIELD(slot_shm, owner)};
static const struct field entry_fields[] = {
    FIELD(slab_shm, state),    FIELD(slab_shm, state),    FIELD(slab_shm, state),
    FIELD(slab_shm, free),     FIELD(slab_shm, useful_s), FIELD(slab_shm, generation_base),
    FIELD(slab_shm, position), FIELD(slab_shm, filler),
};
static const struct field record_fields[] = {
    FIELD(record_shm, link),       FIELD(record_shm, link),        FIELD(record_shm, order),
    FIELD(record_shm, life),       FIELD(record_shm, life),        FIELD(record_shm, created_ns),
    FIELD(record_shm, ttl_s),      FIELD(record_shm, grace_ms),    FIELD(record_shm, checksum),
    FIELD(record_shm, key_len),    FIELD(record_shm, flags),       FIELD(record_shm, intent_len),
    FIELD(record_shm, generation), {sizeof(struct record_shm), 8}, /* the key */
};
static const struct field value_fields[] = {FIELD(value_shm, record_place),
                                            FIELD(value_shm, record_generation),
                                            FIELD(value_shm, length_completed)};
static const struct field word_fields[] = {{0, 8}};
static const struct field chunk_fields[] = {{0, 4}};

#define FIELDS(of) of, sizeof(of) / sizeof(of[0])
static const struct {
    const struct field *fields;
    uint32_t count;
} kinds[SITE_KINDS] = {
    [SITE_HEADER] = {FIELDS(header_fields)}, [SITE_CHUNK] = {FIELDS(chunk_fields)},
    [SITE_SLOT] = {FIELDS(slot_fields)},     [SITE_ENTRY] = {FIELDS(entry_fields)},
    [SITE_HEAD] = {FIELDS(word_fields)},     [SITE_WORD] = {FIELDS(word_fields)},
    [SITE_RECORD] = {FIELDS(record_fields)}, [SITE_VALUE] = {FIELDS(value_fields)},
};
/* By the low bits of the place's byte; SITE_KINDS: any word of any page that is there. */
static const uint8_t sites[16] = {
    SITE_HEADER, SITE_CHUNK, SITE_SLOT,  SITE_ENTRY,  SITE_ENTRY,  SITE_HEAD,
    SITE_HEAD,   SITE_WORD,  SITE_WORD,  SITE_RECORD, SITE_RECORD, SITE_RECORD,
    SITE_RECORD, SITE_VALUE, SITE_VALUE, SITE_KINDS,
};

void program_read(struct program *program, const uint8_t *data, size_t size)
{
    uint8_t plan[PLAN_BYTES] = {0};
    const size_t planned = size < PLAN_BYTES ? size : PLAN_BYTES;
    if (size > 0) {
        memcpy(plan, data, planned);
    }
    program->template = &templates[plan[0] % TEMPLATES];
    program->order = plan[1];
    program->keys = plan[2];
    program->options = plan[3];
    program->count = (uint32_t)idem__min_u64((size - planned) / STEP_BYTES, STEPS_MAX);
    program->late = program->count;
    for (uint32_t i = 0; i < program->count; i++) {
        memcpy(&program->steps[i], data + PLAN_BYTES + i * STEP_BYTES, STEP_BYTES);
        if (verbs[program->steps[i].verb % sizeof verbs] == VERB_LATE && program->late > i) {
            program->late = i;
        }
    }
}

static uint64_t mixed(uint64_t number)
{
    number *= 0x9e3779b97f4a7c15u;
    return number ^ number >> 29;
}

/* A word anywhere in the pages that the template has. */
static struct field any_word(const struct template *template, uint64_t number)
{
    uint64_t page = mixed(number) % IMAGE_PAGES;
    while (!template->image.present[page]) {
        page = (page + 1) % IMAGE_PAGES;
    }
    return (struct field){(uint32_t)(page * IDEM__PAGE_BYTES + mixed(number + 1) % 512 * 8), 8};
}

static struct field place(const struct template *template, uint8_t where, uint64_t which)
{
    const uint32_t site = sites[where % sizeof sites];
    if (site == SITE_KINDS || template->sites[site].count == 0) {
        return any_word(template, which << 4 | where >> 4);
    }
    const struct field field = kinds[site].fields[(where >> 4) % kinds[site].count];
    return (struct field){template->sites[site].offset[which % template->sites[site].count] +
                              field.offset,
                          field.bytes};
}

/* Where the template has a record, as links tell it. */
static uint64_t record_place(const struct template *template, uint32_t which)
{
    const uint32_t count = template->sites[SITE_RECORD].count;
    return count == 0
               ? which
               : (template->sites[SITE_RECORD].offset[which % count] - IDEM__SLAB_AREA_OFF) >> 4;
}

/* A place, up to three further, or up to four before the end of its slab. */
static uint64_t near(uint64_t place, uint32_t how)
{
    const uint64_t slab_places = (uint64_t)1 << (IDEM__SLAB_SHIFT_MIN - 4);
    return how & 4 ? (place | (slab_places - 1)) - (how & 3) : place + (how & 3);
}

/* Words that are likely to be half right. */
static uint64_t word_of(const struct template *template, uint32_t value)
{
    const uint32_t kind = value & 7, argument = value >> 3;
    const uint32_t blocks = template->sites[SITE_VALUE].count;
    switch (kind) {
    case 0: /* small, or small and negative */
        return argument & 1 ? ~(uint64_t)(argument >> 1) : argument >> 1;
    case 1: /* around a power of two */
        return ((uint64_t)1 << argument % 64) + (argument >> 6) % 4 - 2;
    case 2: /* a link to a record, into it, or to the end of its slab */
        return near(record_place(template, argument), argument >> 16) << LINK_TARGET_SHIFT |
               (argument >> 19 & 15);
    case 3: /* a link to a head */
        return (uint64_t)(argument >> 4) << LINK_TARGET_SHIFT | LINK_HEAD | (argument & 15);
    case 4: /* a life word that names a block */
        return (uint64_t)idem__block_number(
                   blocks ? (template->sites[SITE_VALUE].offset[argument % blocks] -
                             IDEM__SLAB_AREA_OFF) >>
                                IDEM__SLAB_SHIFT_MIN
                          : argument & 63,
                   argument >> 8 & 255)
                   << 33 |
               (uint64_t)(argument >> 16) << 3 | (argument & 7);
    case 5: /* a block's, slab's or life word of a small owner, or with a small epoch */
        return (uint64_t)(argument >> 3 & 255) << 32 | (uint64_t)(argument >> 11) << 3 |
               (argument & 7);
    case 6: /* PENDING or ORPHANED */
        return (uint64_t)(argument >> 20) << 42 | (uint64_t)(argument >> 9 & 0x7ff) << 10 |
               (uint64_t)(argument >> 2 & 127) << 3 | (argument & 3);
    default:
        return mixed(argument);
    }
}

static void swap(uint8_t *a, uint8_t *b, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        const uint8_t kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

static void change_word(const struct program *program, const struct step *step, struct image *image)
{
    const struct template *template = program->template;
    const struct field at = place(template, step->place, step->which);
    const struct field other = place(template, step->place, step->value);
    uint8_t *to = image->bytes + at.offset, *from = image->bytes + other.offset;
    uint64_t word = 0;
    if (idem__max_u64(at.offset, other.offset) + at.bytes > image->room) {
        return;
    }
    memcpy(&word, to, at.bytes);
    switch (verbs[step->verb % sizeof verbs]) {
    case VERB_FLIP:
        word ^= (uint64_t)1 << step->value % (at.bytes * 8);
        break;
    case VERB_SET:
        word = word_of(template, step->value);
        break;
    case VERB_ADD:
        word += (uint64_t)(int64_t)(int8_t)step->value << step->value / 256 % 64;
        break;
    case VERB_SWAP:
        swap(to, from, at.bytes);
        image_mark(image, other.offset, at.bytes);
        image_mark(image, at.offset, at.bytes);
        return;
    default:
        memcpy(&word, from, at.bytes);
    }
    memcpy(to, &word, at.bytes);
    image_mark(image, at.offset, at.bytes);
}

static void change_pages(const struct program *program, const struct step *step,
                         struct image *image)
{
    const uint64_t at = place(program->template, step->place, step->which).offset;
    const uint64_t other = place(program->template, step->place, step->value).offset;
    uint8_t *page = image->bytes + at / IDEM__PAGE_BYTES * IDEM__PAGE_BYTES;
    if (idem__max_u64(at, other) / IDEM__PAGE_BYTES >= image->room / IDEM__PAGE_BYTES) {
        return;
    }
    const uint64_t length = idem__min_u64(step->value >> 8 & 0xffff, image->room - at);
    switch (verbs[step->verb % sizeof verbs]) {
    case VERB_FILL:
        memset(image->bytes + at, (int)(step->value & 255), length);
        image_mark(image, at, length);
        break;
    case VERB_ZERO_PAGE:
        memset(page, 0, IDEM__PAGE_BYTES);
        break;
    default:
        swap(page, image->bytes + other / IDEM__PAGE_BYTES * IDEM__PAGE_BYTES, IDEM__PAGE_BYTES);
        image_mark(image, other, 1);
    }
    image_mark(image, at, 1);
}

/* Links to `from` in the words of one kind of site become links to `to`. */
static void redirect(const struct template *template, enum site site, uint64_t from, uint64_t to,
                     struct image *image)
{
    for (uint32_t i = 0; i < template->sites[site].count; i++) {
        const uint64_t at = template->sites[site].offset[i];
        uint64_t link;
        static_assert(offsetof(struct record_shm, link) == 0, "heads and records begin with it");
        if (at + sizeof link > image->room) {
            return;
        }
        memcpy(&link, image->bytes + at, sizeof link);
        if (idem__link_target(link) == from << LINK_TARGET_SHIFT) {
            link ^= (from ^ to) << LINK_TARGET_SHIFT;
            memcpy(image->bytes + at, &link, sizeof link);
        }
    }
}

static void graft(const struct program *program, const struct step *step, struct image *image)
{
    enum { PLACE_BYTES = 16, RECORD_BYTES = 192 };
    const struct template *template = program->template;
    const uint64_t from = record_place(template, step->which);
    const uint64_t to = near(record_place(template, step->value), step->value >> 16);
    const uint64_t source = IDEM__SLAB_AREA_OFF + from * PLACE_BYTES;
    const uint64_t target = IDEM__SLAB_AREA_OFF + to * PLACE_BYTES;
    if (idem__max_u64(source, target) + RECORD_BYTES > image->room) {
        return;
    }
    memmove(image->bytes + target, image->bytes + source, RECORD_BYTES);
    image_mark(image, target, RECORD_BYTES);
    redirect(template, SITE_RECORD, from, to, image);
    redirect(template, SITE_HEAD, from, to, image);
}

static void change_length(const struct step *step, struct image *image)
{
    /* Whole pages and odd bytes, anywhere; or a little less, or more, than there is. */
    const uint64_t length =
        step->value & 1 ? step->value >> 1 : image->length + step->which - UINT16_MAX / 2;
    image->length = length % (IMAGE_MAX_BYTES + 1);
}

void program_apply(const struct program *program, uint32_t from, uint32_t to, struct image *image)
{
    for (uint32_t i = from; i < to; i++) {
        const struct step *step = &program->steps[i];
        const bool late = i >= program->late;
        switch (verbs[step->verb % sizeof verbs]) {
        case VERB_FLIP:
        case VERB_SET:
        case VERB_ADD:
        case VERB_COPY:
        case VERB_SWAP:
            change_word(program, step, image);
            break;
        case VERB_FILL:
        case VERB_ZERO_PAGE:
        case VERB_SWAP_PAGES:
            change_pages(program, step, image);
            break;
        case VERB_GRAFT:
            graft(program, step, image);
            break;
        case VERB_LENGTH:
            /* A file that is cut off under a mapping is a SIGBUS, which no store can prevent. */
            if (!late) {
                change_length(step, image);
            }
            break;
        case VERB_VERSION:
            image->bytes[offsetof(struct header_shm, version)] = (uint8_t)step->value;
            break;
        case VERB_CLOCK:
            *host_now_ms += (uint64_t)step->value << step->which % 8;
            break;
        default: /* VERB_LATE: program_read has seen it */
            break;
        }
    }
}
