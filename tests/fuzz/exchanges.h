/* exchanges.h - HTTP exchanges, several at once, as an input has them; and what must hold of them. */
#ifndef FUZZ_EXCHANGES_H
#define FUZZ_EXCHANGES_H

#include "http/idemkey_http.h"
#include "input.h"

/* Exchanges on a store that is open, until the input is over. All of them end. */
void exchanges_run(idem_store *store, struct input *input);

#endif
