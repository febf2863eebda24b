/* promises.h - what the HTTP engine promises of several exchanges at once, kept beside them and compared. */
#ifndef FUZZ_PROMISES_H
#define FUZZ_PROMISES_H

#include <stdbool.h>
#include <stddef.h>

#include "http/idemkey_http.h"

enum { SLOTS = 4, ANSWER_MAX = 400 };

/* A configuration, and what of it counts here. */
struct setup {
    const char *config;
    bool by_path, by_method, keeps_all, no_mismatch;
    int64_t waiters;
};
extern const struct setup *setup;

/* What is known of a key. */
struct key {
    bool done, orphaned, unsure; /* unsure: memory ran out while its state was told */
    int32_t status;
    size_t answer_len;
    char answer[ANSWER_MAX];
};

enum stage { FREE, BODY, WAITING, RUNNING, HELD, STREAM, ENDED };
struct slot {
    idem_http_exchange *exchange;
    enum stage stage;
    struct key *key;
    bool runs, lost; /* it has the claim; which somebody took out of the store */
    bool keep;       /* its response decides */
    int32_t status;
    size_t answer_len;
    char answer[ANSWER_MAX];
};
extern struct slot slots[SLOTS];

/* The decision can be read to its last byte, and is one that the header tells of. */
void decision_is_sound(const struct idem_http_decision *decision);
/*
 * A call's status. Due: it did its work, or memory ran out (not where the operation has happened). Not due:
 * nothing changed.
 */
bool worked(int status, bool due, bool happened, const struct idem_http_decision *before,
            const struct idem_http_decision *decision);

/* Does an exchange run the key's operation? */
bool is_running(const struct key *key);
/* What an exchange was told by decide or wait; what its claim became; that it was left without a verdict, or
   given back. */
void was_told(struct slot *slot, const struct idem_http_decision *decision);
void has_ended(struct slot *slot, int32_t reason);
void was_left(struct slot *slot, bool abandoned);

/* How often each action was decided, and each reason given. */
void promises_print(void);

#endif
