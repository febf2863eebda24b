/* What a key is called in the store, and what a request is compared by: nothing else has the same. */
#include <sodium.h>

#include "http/digest.h"
#include "store.h"

static uint8_t secret[IDEM_SECRET_SIZE];

static struct idem__span text(const char *of) { return idem__text_span(of); }

static void new_secret(void)
{
    for (size_t i = 0; i < sizeof(secret); i++) {
        secret[i] = (uint8_t)test_random();
    }
}

static struct idem__buffer name_of(const struct idem__scope *scope)
{
    struct idem__buffer name = {0};
    idem__buffer_add_text(&name, "before");
    idem__scope_join(scope, secret, &name);
    CHECK(!name.failed && name.len > 6 && name.len - 6 <= IDEM_KEY_MAX);
    CHECK(memcmp(name.at, "before", 6) == 0);
    name.len -= 6;
    memmove(name.at, name.at + 6, name.len);
    return name;
}

static bool same_name(const struct idem__scope *a, const struct idem__scope *b)
{
    struct idem__buffer one = name_of(a), two = name_of(b);
    const bool same = idem__span_equals(idem__buffer_span(&one), idem__buffer_span(&two));
    idem__buffer_free(&one);
    idem__buffer_free(&two);
    return same;
}

/* A part of few different bytes and odd lengths, so that parts joined carelessly would meet. */
static struct idem__span random_part(char *space, size_t max)
{
    static const size_t lengths[] = {0, 1, 2, 3, 4, 8, 16};
    size_t len = lengths[test_random() % 7];
    if (test_random() % 64 == 0) {
        len = test_random() % (max + 1);
    }
    for (size_t i = 0; i < len; i++) {
        space[i] = "\0\1/a"[test_random() % 4];
    }
    return idem__span(space, len);
}

enum { PART_MAX = 1200 };
struct parts {
    char principal[PART_MAX], path[PART_MAX], method[PART_MAX], key[PART_MAX];
};

static struct idem__scope random_scope(struct parts *parts)
{
    static const char *const sources[] = {NULL, "Authorization", "X-Api-Key", "@caller"};
    const char *source = sources[test_random() % 4];
    return (struct idem__scope){
        .principal = {source,
                      source ? random_part(parts->principal, PART_MAX) : (struct idem__span){0}},
        .path = random_part(parts->path, PART_MAX),
        .method = random_part(parts->method, PART_MAX),
        .key = random_part(parts->key, PART_MAX),
    };
}

static bool same_scope(const struct idem__scope *a, const struct idem__scope *b)
{
    return a->principal.source == b->principal.source &&
           idem__span_equals(a->principal.value, b->principal.value) &&
           idem__span_equals(a->path, b->path) && idem__span_equals(a->method, b->method) &&
           idem__span_equals(a->key, b->key);
}

static void no_two_scopes_share_a_name(void)
{
    static struct parts parts[2];
    int pairs = 0;
    new_secret();
    for (int round = 0; round < TEST_ROUNDS(8000); round++) {
        const struct idem__scope one = random_scope(&parts[0]);
        struct idem__scope two = random_scope(&parts[1]);
        if (round % 2) { /* one part of a pair that else is the same */
            const struct idem__scope other = two;
            two = one;
            switch (round / 2 % 4) {
            case 0:
                two.path = other.path;
                break;
            case 1:
                two.method = other.method;
                break;
            case 2:
                two.key = other.key;
                break;
            default:
                two.principal = other.principal;
            }
        }
        CHECK(same_name(&one, &two) == same_scope(&one, &two));
        pairs += !same_scope(&one, &two);
    }
    CHECK(pairs > TEST_ROUNDS(8000) / 4);
    /* A byte moved from one part to the next: the same bytes in a row. */
    const struct idem__scope moved[] = {
        {.path = text("/ab"), .method = text("POST"), .key = text("k")},
        {.path = text("/a"), .method = text("bPOST"), .key = text("k")},
        {.path = text("/abPOST"), .key = text("k")},
        {.path = text("/abPOSTk")},
        {.key = text("/abPOSTk")},
        {.method = text("/abPOSTk")},
    };
    for (size_t i = 0; i < 6; i++) {
        for (size_t j = 0; j < i; j++) {
            CHECK(!same_name(&moved[i], &moved[j]));
        }
    }
}

/* A store's key has at most 1024 bytes: what is longer is known by its digest, wherever it differs. */
static void long_scopes_are_digested(void)
{
    static char path[4096];
    new_secret();
    memset(path, 'x', sizeof(path));
    size_t longest = 0;
    for (size_t len = 900; len < sizeof(path); len += len < 1100 ? 1 : 97) {
        const struct idem__scope scope = {.path = idem__span(path, len), .key = text("k")};
        struct idem__buffer name = name_of(&scope);
        longest = name.len > longest ? name.len : longest;
        CHECK(len < 1024 || name.len < 64);
        CHECK((name.at[0] == 'h') == (len > IDEM_KEY_MAX - 1 - 4 * 4 - 1)); /* no name of parts */
        idem__buffer_free(&name);
        const size_t at = test_random() % len;
        static char changed[sizeof(path)];
        memcpy(changed, path, len);
        changed[at] = 'y';
        const struct idem__scope other = {.path = idem__span(changed, len), .key = text("k")};
        CHECK(!same_name(&scope, &other));
        const struct idem__scope shorter = {.path = idem__span(path, len - 1), .key = text("k")};
        CHECK(!same_name(&scope, &shorter));
    }
    CHECK_INT(longest, IDEM_KEY_MAX);
}

static struct idem__scope of_principal(const char *source, const char *value)
{
    return (struct idem__scope){.principal = {source, text(value)}, .key = text("k")};
}

#define SAME(s1, v1, s2, v2)                                                           \
    do {                                                                               \
        const struct idem__scope a_ = of_principal(s1, v1), b_ = of_principal(s2, v2); \
        CHECK(same_name(&a_, &b_));                                                    \
    } while (0)
#define DIFFER(s1, v1, s2, v2)                                                         \
    do {                                                                               \
        const struct idem__scope a_ = of_principal(s1, v1), b_ = of_principal(s2, v2); \
        CHECK(!same_name(&a_, &b_));                                                   \
    } while (0)

/* Of Basic credentials the user's name counts, so a rotated secret keeps its keys. */
static void the_user_of_basic_credentials_counts(void)
{
    static const char *const name = "Authorization";
    new_secret();
    SAME(name, "Basic YWxpY2U6b2xk", name, "basic YWxpY2U6bmV3"); /* alice:old, alice:new */
    SAME(name, "Basic YWxpY2U6b2xk", "authorization", "BASIC   YWxpY2U6");
    SAME(name, "Basic YWxpY2U6YTpi", name, "Basic YWxpY2U6b2xk");   /* alice:a:b */
    DIFFER(name, "Basic YWxpY2U6b2xk", name, "Basic Ym9iOm9sZA=="); /* bob:old */
    DIFFER(name, "Basic YWxpY2U6b2xk", name, "Basic QWxpY2U6b2xk"); /* Alice:old */
    /* Without a user's name the rest is what tells callers apart: ":k1" and ":k2". */
    DIFFER(name, "Basic Omsx", name, "Basic Omsy");
    /* Others and what is no Basic at all: as they are. */
    DIFFER(name, "Bearer YWxpY2U6b2xk", name, "Bearer YWxpY2U6bmV3");
    DIFFER(name, "Bearer a", name, "bearer a");
    DIFFER(name, "Basic", name, "Basic ");
    DIFFER(name, "Basic YWxpY2U=", name, "Basic YWxpY2U6"); /* no colon */
    DIFFER(name, "Basic YWxpY2U6b2xk!", name, "Basic YWxpY2U6bmV3!");
}

/* Who can write a text must not become whom it spells. */
static void principals_that_spell_the_same_are_two(void)
{
    new_secret();
    DIFFER("Authorization", "Basic YWxpY2U6b2xk", "Authorization", "alice");
    DIFFER("Authorization", "Basic YWxpY2U6b2xk", "Authorization", "Basic alice");
    DIFFER("Authorization", "alice", "X-Account", "alice");
    DIFFER("@caller", "alice", "X-Account", "alice");
    DIFFER("@caller", "Basic YWxpY2U6b2xk", "@caller", "Basic YWxpY2U6bmV3");
    DIFFER("X-Account", "Basic YWxpY2U6b2xk", "X-Account", "Basic YWxpY2U6bmV3");
    SAME("X-Account", "alice", "x-ACCOUNT", "alice");
    const struct idem__scope none = {.key = text("k")};
    const struct idem__scope empty = of_principal("@caller", "");
    CHECK(!same_name(&none, &empty));
}

/* A principal is often a secret: its bytes are not in the store. */
static void a_principal_is_not_in_the_name(void)
{
    new_secret();
    const struct idem__scope scope = of_principal("Authorization", "Bearer sk_live_4242");
    struct idem__buffer name = name_of(&scope);
    CHECK(memmem(name.at, name.len, "sk_live", 7) == NULL);
    struct idem__buffer before = name;
    new_secret(); /* and without the region's secret nobody can try which it is */
    name = name_of(&scope);
    CHECK(!idem__span_equals(idem__buffer_span(&name), idem__buffer_span(&before)));
    idem__buffer_free(&name);
    idem__buffer_free(&before);
}

struct fingerprint {
    uint8_t at[IDEM_FINGERPRINT_SIZE];
};

static struct fingerprint digest_of(enum idem__digest_kind kind, const char *const parts[],
                                    struct idem__span body, size_t piece)
{
    struct fingerprint out;
    struct idem__digest digest;
    idem__digest_begin(&digest, kind, secret);
    for (; *parts; parts++) {
        idem__digest_part(&digest, text(*parts));
    }
    for (size_t at = 0; at < body.len; at += piece) {
        const size_t left = body.len - at;
        idem__digest_piece(&digest, idem__span(body.at + at, left < piece ? left : piece));
    }
    idem__digest_end(&digest, out.at);
    return out;
}

static bool same_print(struct fingerprint a, struct fingerprint b)
{
    return memcmp(a.at, b.at, sizeof(a.at)) == 0;
}

static void a_fingerprint_depends_on_each_part_and_not_on_the_pieces(void)
{
    static const char *const post[] = {"POST", "/a", "", NULL},
                             *const put[] = {"PUT", "/a", "", NULL},
                             *const query[] = {"POST", "/", "a", NULL},
                             *const joined[] = {"POST", "/a", NULL};
    static char body[5000];
    new_secret();
    for (size_t i = 0; i < sizeof(body); i++) {
        body[i] = (char)test_random();
    }
    for (int kind = DIGEST_XXH3; kind <= DIGEST_BLAKE2B; kind++) {
        for (size_t len = 0; len < sizeof(body); len += 1 + len / 3) {
            const struct idem__span span = idem__span(body, len);
            const struct fingerprint whole = digest_of(kind, post, span, sizeof(body));
            CHECK(same_print(whole, digest_of(kind, post, span, 1 + test_random() % 300)));
            CHECK(!same_print(whole, digest_of(kind, put, span, 1000)));
            CHECK(!same_print(whole, digest_of(kind, query, span, 1000)));
            CHECK(!same_print(whole, digest_of(kind, joined, span, 1000)));
            CHECK(!same_print(whole, digest_of(kind, post, idem__span(body, len + 1), 1000)));
            if (len > 0) {
                const size_t at = test_random() % len;
                body[at] ^= 1;
                CHECK(!same_print(whole, digest_of(kind, post, span, 1000)));
                body[at] ^= 1;
            }
            secret[0] ^= 1;
            CHECK(!same_print(whole, digest_of(kind, post, span, 1000)));
            secret[0] ^= 1;
        }
    }
    /* The last part's length is told at its end: what spells a part is none. */
    static const char *const more[] = {"POST", "/a", "", "json", NULL};
    static const char spelt[] = "\4\0\0\0\0\0\0\0json[1]";
    CHECK(!same_print(digest_of(DIGEST_XXH3, more, text("[1]"), 1),
                      digest_of(DIGEST_XXH3, post, idem__span(spelt, sizeof(spelt) - 1), 1)));
    CHECK(!same_print(digest_of(DIGEST_XXH3, post, text("x"), 1),
                      digest_of(DIGEST_BLAKE2B, post, text("x"), 1)));
}

static void a_hash_for_logs_is_32_hex_digits(void)
{
    char one[33], two[33];
    memset(one, '!', sizeof(one));
    idem__key_hash(text("k1"), one, 32);
    idem__key_hash(text("k2"), two, 32);
    CHECK_INT(strlen(one), 32);
    CHECK_INT(strspn(one, "0123456789abcdef"), 32);
    CHECK(strcmp(one, two) != 0);
    idem__key_hash(text("k1"), two, 32);
    CHECK(strcmp(one, two) == 0);
}

int main(void)
{
    CHECK(sodium_init() >= 0);
    return test_run((struct test[]){TEST(no_two_scopes_share_a_name),
                                    TEST(long_scopes_are_digested),
                                    TEST(the_user_of_basic_credentials_counts),
                                    TEST(principals_that_spell_the_same_are_two),
                                    TEST(a_principal_is_not_in_the_name),
                                    TEST(a_fingerprint_depends_on_each_part_and_not_on_the_pieces),
                                    TEST(a_hash_for_logs_is_32_hex_digits),
                                    {0}});
}
