/* calls.h - every call on a store, whatever state it is in; and what it may answer. */
#ifndef FUZZ_CALLS_H
#define FUZZ_CALLS_H

#include "step.h"

/* Opens the file read-only, and reads; opens it for writing, and makes every call; closes. */
void calls_on_file(const struct program *program);

/* A status is one that the call documents; its message says something. Counts it. */
int answered(const char *call, int status, uint32_t allowed);
#define MAY(status) (1u << -(status))
/* How often each call gave each status. */
void answers_print(void);

/* Every byte that a record says it has can be read; its numbers are in the ranges of the header. */
void record_is_readable(const struct idem_record *record);

#endif
