/* hash.h - keyed XXH3, inlined from the system's xxhash.h. Layer 2. */
#ifndef IDEM_HASH_H
#define IDEM_HASH_H

#include "layout.h"

/* Keyed by the region's random secret: who does not know it cannot choose colliding keys. */
uint64_t idem__hash(const struct header_shm *header, const void *key, size_t len);

#endif
