#include "http/digest.h"

#include <assert.h>
#include <sodium.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASHED_BYTES 32u
#define BLAKE2B_KEY_BYTES 64u /* of the secret: as many as BLAKE2b takes */

/* The first byte of a store's key tells what follows: parts, or the digest of parts. */
#define KEY_JOINED 'j'
#define KEY_HASHED 'h'

static_assert(sizeof(XXH3_state_t) <= IDEM__DIGEST_STATE_BYTES, "fits");
static_assert(sizeof(crypto_generichash_state) <= IDEM__DIGEST_STATE_BYTES, "fits");
static_assert((int)IDEM_SECRET_SIZE >= XXH3_SECRET_SIZE_MIN, "XXH3 takes the secret");
static_assert(BLAKE2B_KEY_BYTES <= crypto_generichash_KEYBYTES_MAX, "BLAKE2b takes the key");

static XXH3_state_t *xxh3(struct idem__digest *digest) { return (void *)digest->state; }
static crypto_generichash_state *blake2b(struct idem__digest *digest)
{
    return (void *)digest->state;
}

static void update(struct idem__digest *digest, const void *bytes, size_t len)
{
    if (!len) {
        return;
    }
    if (digest->kind == DIGEST_XXH3) {
        (void)XXH3_128bits_update(xxh3(digest), bytes, len);
    } else {
        (void)crypto_generichash_update(blake2b(digest), bytes, len);
    }
}

void idem__digest_begin(struct idem__digest *digest, enum idem__digest_kind kind,
                        const uint8_t *secret)
{
    digest->kind = kind;
    digest->streamed_bytes = 0;
    if (kind == DIGEST_XXH3) {
        XXH3_INITSTATE(xxh3(digest));
        (void)XXH3_128bits_reset_withSecret(xxh3(digest), secret, IDEM_SECRET_SIZE);
    } else {
        (void)crypto_generichash_init(blake2b(digest), secret, BLAKE2B_KEY_BYTES,
                                      IDEM_FINGERPRINT_SIZE);
    }
}

void idem__digest_part(struct idem__digest *digest, struct idem__span part)
{
    const uint64_t length = part.len;
    update(digest, &length, sizeof(length));
    update(digest, part.at, part.len);
}

void idem__digest_piece(struct idem__digest *digest, struct idem__span piece)
{
    update(digest, piece.at, piece.len);
    digest->streamed_bytes += piece.len;
}

void idem__digest_end(struct idem__digest *digest, uint8_t out[IDEM_FINGERPRINT_SIZE])
{
    update(digest, &digest->streamed_bytes, sizeof(digest->streamed_bytes));
    if (digest->kind == DIGEST_XXH3) {
        XXH128_canonical_t canonical;
        XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(xxh3(digest)));
        memcpy(out, canonical.digest, IDEM_FINGERPRINT_SIZE);
    } else {
        (void)crypto_generichash_final(blake2b(digest), out, IDEM_FINGERPRINT_SIZE);
    }
}

/* The user's name of Basic credentials, in `space`; empty if they are none, or have none. */
static struct idem__span basic_user(struct idem__span credential, struct idem__buffer *space)
{
    static const char scheme[] = "basic ";
    const size_t scheme_len = sizeof(scheme) - 1;
    const struct idem__span none = {0};
    if (credential.len <= scheme_len ||
        !idem__span_is_like(idem__span(credential.at, scheme_len), scheme)) {
        return none;
    }
    struct idem__span token = idem__span(credential.at + scheme_len, credential.len - scheme_len);
    while (token.len && *token.at == ' ') {
        token = idem__span(token.at + 1, token.len - 1);
    }
    size_t len = 0;
    if (!idem__buffer_room(space, token.len + 1) ||
        sodium_base642bin((unsigned char *)space->at, token.len + 1, token.at, token.len, NULL,
                          &len, NULL, sodium_base64_VARIANT_ORIGINAL) != 0) {
        return none;
    }
    const char *colon = memchr(space->at, ':', len);
    return colon ? idem__span(space->at, (size_t)(colon - space->at)) : none;
}

/* A name and a credential that spell the same are two principals, as are the values of two headers. */
static bool digest_principal(const struct idem__principal *principal, const uint8_t *secret,
                             uint8_t out[IDEM_FINGERPRINT_SIZE])
{
    static const char basic[] = "basic";
    struct idem__digest digest;
    struct idem__buffer source = {0}, space = {0};
    struct idem__span user = {0};
    idem__buffer_add_lower(&source, principal->source);
    if (idem__span_is(idem__buffer_span(&source), "authorization")) {
        user = basic_user(principal->value, &space);
    }
    idem__digest_begin(&digest, DIGEST_BLAKE2B, secret);
    idem__digest_part(&digest, idem__buffer_span(&source));
    if (user.len) {
        idem__digest_part(&digest, idem__text_span(basic));
    }
    idem__digest_part(&digest, user.len ? user : principal->value);
    idem__digest_end(&digest, out);
    const bool done = !source.failed && !space.failed;
    if (space.at) {
        sodium_memzero(space.at, space.capacity); /* a password is in it */
    }
    idem__buffer_free(&source);
    idem__buffer_free(&space);
    return done;
}

static void add_part(struct idem__buffer *out, struct idem__span part)
{
    const uint32_t length = (uint32_t)part.len;
    idem__buffer_add(out, &length, sizeof(length));
    idem__buffer_add_span(out, part);
}

void idem__scope_join(const struct idem__scope *scope, const uint8_t *secret,
                      struct idem__buffer *out)
{
    const size_t start = out->len;
    const char tag = KEY_JOINED;
    struct idem__span principal = {0};
    uint8_t who[IDEM_FINGERPRINT_SIZE];
    if (scope->principal.source) {
        out->failed = out->failed || !digest_principal(&scope->principal, secret, who);
        principal = idem__span((const char *)who, sizeof(who));
    }
    idem__buffer_add(out, &tag, 1);
    add_part(out, principal);
    add_part(out, scope->path);
    add_part(out, scope->method);
    add_part(out, scope->key);
    if (!out->failed && out->len - start > IDEM_KEY_MAX) {
        unsigned char hashed[1 + HASHED_BYTES] = {KEY_HASHED};
        (void)crypto_generichash(hashed + 1, HASHED_BYTES, (unsigned char *)out->at + start,
                                 out->len - start, secret, BLAKE2B_KEY_BYTES);
        out->len = start;
        idem__buffer_add(out, hashed, sizeof(hashed));
    }
}

void idem__key_hash(struct idem__span key, char *out, size_t chars)
{
    unsigned char hash[crypto_generichash_BYTES_MAX];
    (void)crypto_generichash(hash, sizeof(hash), (const unsigned char *)key.at, key.len, NULL, 0);
    (void)sodium_bin2hex(out, chars + 1, hash, chars / 2);
}
