/* Keys by each rule, header fields, and the patterns of routes. */
#include "http/field.h"
#include "http/key.h"
#include "http/pattern.h"
#include "store.h"

static struct idem__span text(const char *of) { return idem__text_span(of); }

/* What reading says: NULL if `key` was read, else what is wrong. */
static const char *read_as(enum idem__key_rule rule, size_t max, const char *value, const char *key)
{
    struct idem__buffer got = {0};
    /* Exactly as many bytes as there are: AddressSanitizer sees one that is read too far. */
    const size_t len = strlen(value);
    char *copy = malloc(len ? len : 1);
    memcpy(copy, value, len);
    const char *wrong = idem__key_read(rule, max, idem__span(copy, len), &got);
    CHECK((wrong == NULL) == (key != NULL));
    CHECK(key == NULL || has_bytes(got.at, got.len, key));
    idem__buffer_free(&got);
    free(copy);
    return wrong;
}

#define READS(rule, value, key) CHECK(read_as(rule, 255, value, key) == NULL)
#define REFUSES(rule, value, part)                                                              \
    do {                                                                                        \
        const char *wrong_ = read_as(rule, 255, value, NULL);                                   \
        if (wrong_ == NULL || strstr(wrong_, part) == NULL) {                                   \
            TEST_FAIL("of %s it says \"%s\", not \"%s\"", value, wrong_ ? wrong_ : "(nothing)", \
                      part);                                                                    \
        }                                                                                       \
    } while (0)

/* RFC 8941, section 3.3.3: visible ASCII in quotes, where only \" and \\ are escaped. */
static void structured_strings_are_read(void)
{
    static const enum idem__key_rule rules[] = {KEY_SF, KEY_SF_STRICT};
    for (int i = 0; i < 2; i++) {
        READS(rules[i], "\"a\"", "a");
        READS(rules[i], "\"a b, c;d=e\"", "a b, c;d=e");
        READS(rules[i], "\"\\\\ \\\"\"", "\\ \"");
        READS(rules[i], "\"\\\"\"", "\"");
        REFUSES(rules[i], "\"\"", "empty");
        REFUSES(rules[i], "", "empty");
        REFUSES(rules[i], "\"", "closing quote");
        REFUSES(rules[i], "\"a", "closing quote");
        REFUSES(rules[i], "\"a\\\"", "closing quote");
        REFUSES(rules[i], "\"a\\", "backslash");
        REFUSES(rules[i], "\"a\\n\"", "backslash");
        REFUSES(rules[i], "\"a\", \"b\"", "behind its closing quote");
        REFUSES(rules[i], "\"a\";b=1", "behind its closing quote");
        REFUSES(rules[i], "\"a\tb\"", "ASCII");
        REFUSES(rules[i], "\"caf\xc3\xa9\"", "ASCII");
        REFUSES(rules[i], "\"a\x7f\"", "ASCII");
    }
    READS(KEY_SF, "8e03978e-40d5-43dd-bc93-6c7f4c1f3a5e", "8e03978e-40d5-43dd-bc93-6c7f4c1f3a5e");
    READS(KEY_SF, "a:b/c=d", "a:b/c=d");
    REFUSES(KEY_SF, "a b", "double quotes");
    REFUSES(KEY_SF, "a,b", "double quotes");
    REFUSES(KEY_SF, "a;b", "double quotes");
    REFUSES(KEY_SF, "a\"b\"", "double quotes");
    REFUSES(KEY_SF, "a\\b", "double quotes");
    REFUSES(KEY_SF_STRICT, "a", "not in double quotes");
}

static void uuids_are_read_without_their_case(void)
{
    static const char four[] = "550e8400-e29b-41d4-a716-446655440000";
    READS(KEY_UUID, four, four);
    READS(KEY_UUID4, four, four);
    READS(KEY_UUID4, "550E8400-E29B-41D4-A716-446655440000", four);
    READS(KEY_UUID, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
    READS(KEY_UUID, "c232ab00-9414-11ec-b3c8-9f6bdeced846", "c232ab00-9414-11ec-b3c8-9f6bdeced846");
    READS(KEY_UUID, "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0", "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0");
    READS(KEY_UUID, "00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000");
    READS(KEY_UUID, "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", "ffffffff-ffff-ffff-ffff-ffffffffffff");
    REFUSES(KEY_UUID4, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "version 4");
    REFUSES(KEY_UUID4, "00000000-0000-0000-0000-000000000000", "version 4");
    static const char *const none[] = {
        "550e8400-e29b-41d4-a716-44665544000",   /* short */
        "550e8400-e29b-41d4-a716-4466554400000", /* long */
        "550e8400e29b41d4a716446655440000",      "{50e8400-e29b-41d4-a716-44665544000}",
        "550e8400-e29b-01d4-a716-446655440000", /* version 0 */
        "550e8400-e29b-91d4-a716-446655440000", /* version 9 */
        "550e8400-e29b-41d4-c716-446655440000", /* another variant */
        "550e8400-e29b-41d4-0716-446655440000",  "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400-e29b-41d4-a716_446655440000",  "550e8400-e29b-41d4-a7164-46655440000",
        "-50e8400-e29b-41d4-a716-446655440000",  "urn:uuid:550e8400-e29b-41d4-a716-446",
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        REFUSES(KEY_UUID, none[i], "is no UUID");
        REFUSES(KEY_UUID4, none[i], "is no UUID");
    }
}

static void text_is_taken_as_it_is_but_for_commas(void)
{
    READS(KEY_TEXT, "a", "a");
    READS(KEY_TEXT, "order 4815 \"x\";\\", "order 4815 \"x\";\\");
    REFUSES(KEY_TEXT, "a,b", "comma");
    REFUSES(KEY_TEXT, ",", "comma");
    REFUSES(KEY_TEXT, "", "empty");
    REFUSES(KEY_TEXT, "\xc3\xa9", "ASCII");
    REFUSES(KEY_TEXT, "a\x01", "ASCII");
}

/* The limit is of the key's characters, not of the quotes and backslashes around them. */
static void a_key_has_its_longest(void)
{
    CHECK(read_as(KEY_TEXT, 3, "abc", "abc") == NULL);
    CHECK(strstr(read_as(KEY_TEXT, 3, "abcd", NULL), "too long") != NULL);
    CHECK(read_as(KEY_SF, 3, "\"\\\"\\\\a\"", "\"\\a") == NULL);
    CHECK(strstr(read_as(KEY_SF, 3, "\"abcd\"", NULL), "too long") != NULL);
}

/* However a block is cut or a byte of it changed: each field lies within it, and a control character is told. */
static void check_block(const char *at, size_t len)
{
    struct idem__span rest = idem__span(at, len);
    struct idem__field field;
    enum idem__field_step step;
    size_t left = len;
    while ((step = idem__field_next(&rest, &field)) > FIELD_END) {
        bool safe = true;
        CHECK(rest.len < left && rest.at + rest.len == at + len);
        CHECK(field.name.at >= at && field.name.at + field.name.len < rest.at);
        CHECK(field.value.at > field.name.at && field.value.at + field.value.len < rest.at);
        CHECK(idem__field_name_ok(field.name));
        for (size_t i = 0; i < field.value.len; i++) {
            safe = safe && ((unsigned char)field.value.at[i] >= ' ' || field.value.at[i] == '\t') &&
                   field.value.at[i] != 0x7f;
        }
        CHECK(safe == (step == FIELD_GOT));
        left = rest.len;
    }
    CHECK(step != FIELD_END || rest.len == 0);
}

static void fields_are_taken_off_their_block(void)
{
    static const char block[] = "A: 1\r\nb:2\r\nC:\r\nD: \t x  y\t \r\nE: caf\xc3\xa9:\r\n";
    static const char *const fields[][2] = {
        {"A", "1"}, {"b", "2"}, {"C", ""}, {"D", "x  y"}, {"E", "caf\xc3\xa9:"}};
    struct idem__span rest = text(block);
    struct idem__field field;
    for (int i = 0; i < 5; i++) {
        CHECK_INT(idem__field_next(&rest, &field), FIELD_GOT);
        CHECK(has_bytes(field.name.at, field.name.len, fields[i][0]));
        CHECK(has_bytes(field.value.at, field.value.len, fields[i][1]));
    }
    CHECK_INT(idem__field_next(&rest, &field), FIELD_END);
    for (size_t len = 0; len <= strlen(block); len++) {
        char *copy = malloc(len + 1);
        memcpy(copy, block, len);
        check_block(copy, len);
        for (size_t i = 0; i < len; i++) {
            copy[i] ^= (char)(1u << test_random() % 8);
            check_block(copy, len);
            copy[i] = block[i];
        }
        free(copy);
    }
}

/* RFC 9110, section 5.6.2. */
static void names_are_tokens(void)
{
    static const char allowed[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    CHECK(idem__field_name_ok(text(allowed)));
    CHECK(!idem__field_name_ok(text("")));
    for (int c = 0; c < 256; c++) {
        const char name[] = {'a', (char)c, 'b'};
        CHECK(idem__field_name_ok(idem__span(name, 3)) == (c != 0 && strchr(allowed, c) != NULL));
        CHECK(idem__method_ok(idem__span(name + 1, 1)) ==
              (c != 0 && strchr(allowed, c) != NULL && !(c >= 'a' && c <= 'z')));
    }
}

static void malformed_blocks_are_refused(void)
{
    static const char *const malformed[] = {
        "A: 1",           "A: 1\n",          "A: 1\r",       "\r\n",      "\n",
        "A\r\n",          ": 1\r\n",         "A : 1\r\n",    " A: 1\r\n", "A: 1\r\n B: 2\r\n",
        "A(: 1\r\n",      "\xc3\xa9: 1\r\n", "A: 1\r\n\r\n", "A: 1\r\nB", "A: 1\n\r\n",
        "A: 1\nB: 2\r\n",
    };
    for (size_t i = 0; i < sizeof(malformed) / sizeof(*malformed); i++) {
        struct idem__span rest = text(malformed[i]);
        struct idem__field field;
        enum idem__field_step step;
        while ((step = idem__field_next(&rest, &field)) == FIELD_GOT) {
        }
        if (step != FIELD_MALFORMED) {
            TEST_FAIL("taken for fields: %s", malformed[i]);
        }
    }
}

static void control_characters_are_told(void)
{
    static const char *const unsafe[] = {"A: 1\x01\r\n", "A: \x7f\r\n", "A: 1\rX: 2\r\n",
                                         "A: 1\r\r\n", "A: \x1b[0m\r\n"};
    struct idem__field field;
    for (size_t i = 0; i < sizeof(unsafe) / sizeof(*unsafe); i++) {
        struct idem__span rest = text(unsafe[i]);
        CHECK_INT(idem__field_next(&rest, &field), FIELD_UNSAFE);
        CHECK_INT(idem__field_next(&rest, &field), FIELD_END);
    }
    struct idem__span zero = idem__span("A: \0\r\n", 6);
    CHECK_INT(idem__field_next(&zero, &field), FIELD_UNSAFE);
}

static void lengths_are_decimal_numbers(void)
{
    CHECK_INT(idem__field_number(text("0")), 0);
    CHECK_INT(idem__field_number(text("007")), 7);
    CHECK_INT(idem__field_number(text("999999999999999")), 999999999999999);
    static const char *const none[] = {"",
                                       "-1",
                                       "+1",
                                       " 1",
                                       "1 ",
                                       "0x1",
                                       "1e3",
                                       "1,1",
                                       "1.0",
                                       "1, 1",
                                       "1000000000000000",
                                       "18446744073709551616"};
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        CHECK_INT(idem__field_number(text(none[i])), -1);
    }
}

static void patterns_match_whole_paths(void)
{
    static const struct {
        const char *pattern, *method, *path;
        bool matches;
    } cases[] = {
        {"/", "POST", "/", true},           {"/", "POST", "/a", false},
        {"/", "POST", "", false},           {"/**", "POST", "", false},
        {"/**", "POST", "*", false},        {"/**", "POST", "/", true},
        {"/**", "POST", "/a/b/", true},     {"/a", "GET", "/a", true},
        {"/a", "GET", "/a/", false},        {"/a/", "GET", "/a", false},
        {"/a", "GET", "/A", false},         {"/a", "GET", "/a%20", false},
        {"/a/*", "GET", "/a/b", true},      {"/a/*", "GET", "/a/", false},
        {"/a/*", "GET", "/a", false},       {"/a/*", "GET", "/a/b/c", false},
        {"/a/*", "GET", "/a//", false},     {"/a/*/c", "GET", "/a/b/c", true},
        {"/a/*/c", "GET", "/a//c", false},  {"/a/**", "GET", "/a", true},
        {"/a/**", "GET", "/ab", false},     {"/a/**", "GET", "/a/", true},
        {"/a/**", "GET", "/a/b/c", true},   {"POST /a", "POST", "/a", true},
        {"POST /a", "PUT", "/a", false},    {"POST /a", "post", "/a", false},
        {"POST,PUT /a", "PUT", "/a", true}, {"POST,PUT /a", "PU", "/a", false},
        {"POST,PUT /a", "", "/a", false},   {"POST,PUT /a", "POST,PUT", "/a", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        CHECK(idem__pattern_wrong(cases[i].pattern) == NULL);
        if (idem__pattern_matches(cases[i].pattern, text(cases[i].method), text(cases[i].path)) !=
            cases[i].matches) {
            TEST_FAIL("%s and %s %s: %s", cases[i].pattern, cases[i].method, cases[i].path,
                      cases[i].matches ? "no match" : "a match");
        }
    }
}

/* A pattern that no request matches, or others than its writer meant, is told at start-up. */
static void wrong_patterns_are_told(void)
{
    static const struct {
        const char *pattern, *part;
    } cases[] = {
        {"", "slash"},
        {"a", "slash"},
        {"POST", "slash"},
        {"POST a", "slash"},
        {"POST  /a", "slash"},
        {"POST PUT /a", "slash"},
        {"POST, PUT /a", "method"},
        {" /a", "method"},
        {"post /a", "method"},
        {"a /a", "method"},
        {"Pz /a", "method"},
        {"POST,,PUT /a", "method"},
        {"POST, /a", "method"},
        {"* /a", "leave"},
        {"POST,* /a", "leave"},
        {"(POST) /a", "method"},
        {"/a b", "path"},
        {"/a?b", "path"},
        {"/a#b", "path"},
        {"/caf\xc3\xa9", "percent-encoded"},
        {"/a\n", "percent-encoded"},
        {"/a*", "segment"},
        {"/**/a", "segment"},
        {"/***", "segment"},
        {"/a/**/", "segment"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *wrong = idem__pattern_wrong(cases[i].pattern);
        if (wrong == NULL || strstr(wrong, cases[i].part) == NULL) {
            TEST_FAIL("of %s it says \"%s\", not \"%s\"", cases[i].pattern,
                      wrong ? wrong : "(nothing)", cases[i].part);
        }
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(structured_strings_are_read),
                                    TEST(uuids_are_read_without_their_case),
                                    TEST(text_is_taken_as_it_is_but_for_commas),
                                    TEST(a_key_has_its_longest),
                                    TEST(fields_are_taken_off_their_block),
                                    TEST(names_are_tokens),
                                    TEST(malformed_blocks_are_refused),
                                    TEST(control_characters_are_told),
                                    TEST(lengths_are_decimal_numbers),
                                    TEST(patterns_match_whole_paths),
                                    TEST(wrong_patterns_are_told),
                                    {0}});
}
