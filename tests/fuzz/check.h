/* check.h - ends the run like a crash, so that libFuzzer keeps the input. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include "idemkey.h"

#define EXPECT(condition)                                                               \
    do {                                                                                \
        if (!(condition)) {                                                             \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, \
                    #condition, idem_last_error());                                     \
            abort();                                                                    \
        }                                                                               \
    } while (0)

#endif
