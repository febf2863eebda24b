/*
 * digest.h - what a request is compared by, and what its key is called in the store. Layer 17.
 *
 * XXH3 is no message authentication code: keyed, it keeps a stranger from choosing two bodies that
 * collide, but who sees many fingerprints may learn the key. BLAKE2b is one (RFC 7693).
 */
#ifndef IDEM_HTTP_DIGEST_H
#define IDEM_HTTP_DIGEST_H

#include <idemkey.h>

#include "http/bytes.h"

enum idem__digest_kind { DIGEST_XXH3 = 0, DIGEST_BLAKE2B = 1 };

#define IDEM__DIGEST_STATE_BYTES 640

/* A fingerprint in the making. */
struct idem__digest {
    _Alignas(64) unsigned char state[IDEM__DIGEST_STATE_BYTES];
    enum idem__digest_kind kind;
    uint64_t streamed_bytes;
};

/* `secret`, of IDEM_SECRET_SIZE bytes, must live until the end. */
void idem__digest_begin(struct idem__digest *digest, enum idem__digest_kind kind,
                        const uint8_t *secret);
/* A part that counts with its length. */
void idem__digest_part(struct idem__digest *digest, struct idem__span part);
/* A piece of the last part, whose length only its end tells. */
void idem__digest_piece(struct idem__digest *digest, struct idem__span piece);
void idem__digest_end(struct idem__digest *digest, uint8_t out[IDEM_FINGERPRINT_SIZE]);

/* Who sends a request. */
struct idem__principal {
    const char *source;      /* what says it: a header's name, whose case does not count, or another
                                text that is none; NULL: nothing does, one space for all */
    struct idem__span value; /* of any bytes */
};

/* Which names a key has to itself: joined by idem__scope_join. */
struct idem__scope {
    struct idem__principal principal;
    struct idem__span path, method; /* empty where they do not count */
    struct idem__span key;
};

/*
 * Adds the store's key for a scope: no two scopes share one. The principal, which is often a secret,
 * is in it as a keyed digest only: of Basic credentials in "Authorization" the user's name counts
 * (RFC 7617), unless it is empty; of all else the whole value. What is longer than IDEM_KEY_MAX is replaced by its digest.
 */
void idem__scope_join(const struct idem__scope *scope, const uint8_t *secret,
                      struct idem__buffer *out);

/* A name for logs: `chars` hex digits and a zero, of the key's digest. */
void idem__key_hash(struct idem__span key, char *out, size_t chars);

#endif
