#include "hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t idem__hash(const struct header_shm *header, const void *key, size_t len)
{
    const uint64_t hash = XXH3_64bits_withSecret(key, len, header->secret, IDEM__SECRET_BYTES);
    /* Never the highest order: the list looks for what is above a key's. */
    return hash >= UINT64_MAX - 1 ? hash - 2 : hash;
}
