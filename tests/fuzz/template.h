/* template.h - the regions that are damaged, made by the library itself when a run begins; and where in them
   the words stand that it decides by. */
#ifndef FUZZ_TEMPLATE_H
#define FUZZ_TEMPLATE_H

#include "image.h"

/* Keys of the templates: key 0 to FUZZ_KEYS - 1, where a template has that many. */
#define FUZZ_KEYS 48u
#define FUZZ_KEY_BYTES 256u

enum site {
    SITE_HEADER,
    SITE_CHUNK,  /* words of the chunk table */
    SITE_SLOT,   /* thread slots */
    SITE_ENTRY,  /* slab table entries */
    SITE_HEAD,   /* bucket heads */
    SITE_WORD,   /* block words that are not zero */
    SITE_RECORD, /* records in blocks that are not free */
    SITE_VALUE,  /* values likewise */
    SITE_KINDS
};
#define SITES_MAX 512u

struct template
{
    const char *name;
    uint64_t now_ms; /* of the host, when the image is tried */
    struct image image;
    struct {
        uint32_t count;
        uint32_t offset[SITES_MAX];
    } sites[SITE_KINDS];
};

#define TEMPLATES 9u
extern struct template templates[TEMPLATES];

/* Before image_file_begin: no descriptor of that file may be inherited. */
void templates_begin(void);

/* The bytes of key `number`; returns their count. */
uint32_t fuzz_key(uint32_t number, char key[FUZZ_KEY_BYTES]);

#endif
