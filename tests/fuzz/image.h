/* image.h - the bytes of a region, in memory; the file that they are tried in; and the guard around what of
   them may be touched. */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "region.h"

/* The smallest region: its file has 2 MiB of tables and 60 slabs of 16 KiB; some are extended or resized. */
#define IMAGE_MAX_BYTES ((uint64_t)4 << 20)
#define IMAGE_PAGES (IMAGE_MAX_BYTES / IDEM__PAGE_BYTES)

struct image {
    uint8_t *bytes; /* IMAGE_MAX_BYTES; zero where no page is present */
    uint64_t length;
    uint64_t room; /* of `bytes` that may be changed */
    bool present[IMAGE_PAGES];
};

void image_begin(struct image *image);
/* What stands in a file. */
void image_read(struct image *image, const char *path);
void image_copy(struct image *image, const struct image *from);
/* The pages of [offset, offset + length) are to be written to the file: call it before changing them. */
void image_mark(struct image *image, uint64_t offset, uint64_t length);

/* The file that images are tried in. It keeps its inode, and locks of ours show owner 1 as alive. */
extern const char *image_path;
/* At start, once; the file is removed at exit, or by whoever has given the folder (FUZZ_FOLDER). */
void image_file_begin(void);
void image_write(const struct image *image);
/* The file itself: what is changed in it is seen by whoever has it open. Until the next image_write. */
struct image *image_live(void);

/*
 * What an open store must not touch is poisoned: an access is an AddressSanitizer report. Allowed are the
 * tables as far as the header says, slabs that the slab table says are backed, and what is backed later.
 */
struct idem__region *guard_begin(idem_store *store);
/* After the image was changed under the store: what it claims now is allowed too. */
void guard_widen(void);
void guard_end(void);

#endif
