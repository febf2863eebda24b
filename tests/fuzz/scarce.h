/* scarce.h - the HTTP engine's allocations, of which one can be made to fail: fuzz.mk compiles it with these. */
#ifndef FUZZ_SCARCE_H
#define FUZZ_SCARCE_H

#include <stdbool.h>
#include <stdint.h>

/* After so many more the next one fails, once. */
void scarce_after(uint32_t allocations);
/* No more fails. Did one, since the last call of this? */
bool scarce_end(void);

#endif
