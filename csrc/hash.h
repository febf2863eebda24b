/* hash.h - keyed XXH3, inlined from the system's xxhash.h. Layer 2. */
#ifndef IDEM_HASH_H
#define IDEM_HASH_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "layout.h"

/* Keyed by the region's random secret: who does not know it cannot choose colliding keys. */
static inline uint64_t idem__hash(const struct header_shm *header, const void *key, size_t len)
{
    return XXH3_64bits_withSecret(key, len, header->secret, IDEM__SECRET_BYTES);
}

#endif
