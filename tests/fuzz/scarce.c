/* scarce.c - see scarce.h. */
#include "scarce.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t left = UINT32_MAX; /* UINT32_MAX: none fails */
static bool failed;

void scarce_after(uint32_t allocations) { left = allocations; }

bool scarce_end(void)
{
    const bool did = failed;
    left = UINT32_MAX;
    failed = false;
    return did;
}

static bool fails(void)
{
    if (left == UINT32_MAX || left-- > 0) {
        return false;
    }
    left = UINT32_MAX;
    failed = true;
    errno = ENOMEM;
    return true;
}

void *fuzz_realloc(void *at, size_t size);
void *fuzz_realloc(void *at, size_t size) { return fails() ? NULL : realloc(at, size); }

void *fuzz_calloc(size_t count, size_t size);
void *fuzz_calloc(size_t count, size_t size) { return fails() ? NULL : calloc(count, size); }

void *fuzz_aligned_alloc(size_t alignment, size_t size);
void *fuzz_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : aligned_alloc(alignment, size);
}
