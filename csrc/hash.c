#include "hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t idem__hash(const struct header_shm *header, const void *key, size_t len)
{
    return XXH3_64bits_withSecret(key, len, header->secret, IDEM__SECRET_BYTES);
}
