/* JSON by its meaning: what RFC 8785 says is the same data has one form, what it does not has another. */
#include "http/canon.h"
#include "store.h"

/* The form of `body`, on the heap; NULL if it has none. The bytes are copied: reading too far shows. */
static char *form_of(const char *body, size_t len)
{
    struct idem__buffer out = {0};
    char *copy = malloc(len ? len : 1);
    memcpy(copy, body, len);
    idem__buffer_add_text(&out, "before");
    const enum idem__canon result = idem__canon_json(idem__span(copy, len), &out);
    free(copy);
    CHECK(result == CANON_DONE || result == CANON_NONE);
    CHECK(out.len >= 6 && memcmp(out.at, "before", 6) == 0);
    if (result == CANON_NONE) {
        CHECK_INT(out.len, 6);
        idem__buffer_free(&out);
        return NULL;
    }
    char *form = strdup(idem__buffer_text(&out) + 6);
    idem__buffer_free(&out);
    return form;
}

/* A form means itself, in its array of one. */
static void check_form(const char *body, size_t len)
{
    char *form = form_of(body, len);
    if (form != NULL) {
        const size_t form_len = strlen(form);
        CHECK(form_len > 2 && form[0] == '[' && form[form_len - 1] == ']');
        char *again = form_of(form + 1, form_len - 2);
        if (again == NULL || strcmp(form, again) != 0) {
            TEST_FAIL("%s has the form %s, and that %s", body, form, again ? again : "none");
        }
        free(again);
    }
    free(form);
}

static void what_is_the_same_has_one_form(void)
{
    static const char *const same[][5] = {
        {"1", "1.0", "1e0", "10E-1", " 0.1e+1\n"},
        {"0", "-0", "0.0", "-0.0", "0e99"},
        {"100", "1e2", "1E+2", "100.000", "0.01e4"},
        {"9007199254740991", "9007199254740991.0", "9.007199254740991e15", NULL, NULL},
        {"-9007199254740991", "-9007199254740991.0", NULL, NULL, NULL},
        {"0.1", "1e-1", "0.10", "0.100000000000000000001", "10e-2"},
        {"1.5e-300", "15e-301", "0.0015e-297", NULL, NULL},
        {"\"a/b\"", "\"a\\/b\"", "\"\\u0061/b\"", NULL, NULL},
        {"\"\\n\\t\"", "\"\\u000a\\u0009\"", "\"\\u000A\\t\"", NULL, NULL},
        {"\"\xc3\xa9\"", "\"\\u00e9\"", "\"\\u00E9\"", NULL, NULL},
        {"\"\xf0\x9f\x98\x80\"", "\"\\ud83d\\ude00\"", "\"\\uD83D\\uDE00\"", NULL, NULL},
        {"\"a\\u0000b\"", "\"\\u0061\\u0000\\u0062\"", NULL, NULL, NULL},
        {"{\"a\":1,\"b\":[true,null]}", "{ \"b\" : [ true , null ] , \"a\" : 1.0 }",
         "{\"\\u0062\":[true,null],\"a\":1}", NULL, NULL},
        {"{\"\":{},\"\xe2\x82\xac\":[]}", "{\"\\u20ac\":[],\"\":{}}", NULL, NULL, NULL},
        {"[1,[2,{\"x\":3}]]", "[1.0,[2e0,{\"x\":30e-1}]]", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof(same) / sizeof(*same); i++) {
        char *first = form_of(same[i][0], strlen(same[i][0]));
        for (int j = 1; j < 5 && same[i][j]; j++) {
            char *other = form_of(same[i][j], strlen(same[i][j]));
            CHECK((first == NULL) == (other == NULL));
            if (first != NULL && strcmp(first, other) != 0) {
                TEST_FAIL("%s has the form %s, but %s %s", same[i][0], first, same[i][j], other);
            }
            free(other);
        }
        check_form(same[i][0], strlen(same[i][0]));
        free(first);
    }
}

static void what_differs_has_different_forms(void)
{
    static const char *const all[] = {
        "1",
        "\"1\"",
        "[1]",
        "[[1]]",
        "true",
        "false",
        "null",
        "\"null\"",
        "{}",
        "[]",
        "\"\"",
        "0",
        "-1",
        "0.1",
        "0.10000000000000002",
        "1.0000000000000002",
        "9007199254740991",
        "9007199254740990",
        "-9007199254740991",
        "1e-300",
        "[1,2]",
        "[2,1]",
        "{\"a\":1}",
        "{\"A\":1}",
        "{\"a\":1,\"b\":2}",
        "{\"a\":2,\"b\":1}",
        "{\"a\":null}",
        "{\"a\":{\"b\":1}}",
        "\"a\\u0000b\"",
        "\"a\"",
        "\"ab\"",
        "\"a b\"",
        "\"\xc3\xa9\"",
        "\"e\\u0301\"", /* the same to the eye: not the same data */
    };
    const size_t count = sizeof(all) / sizeof(*all);
    for (size_t i = 0; i < count; i++) {
        char *one = form_of(all[i], strlen(all[i]));
        CHECK(one != NULL);
        check_form(all[i], strlen(all[i]));
        for (size_t j = 0; j < i; j++) {
            char *other = form_of(all[j], strlen(all[j]));
            if (strcmp(one, other) == 0) {
                TEST_FAIL("%s and %s have one form, %s", all[i], all[j], one);
            }
            free(other);
        }
        free(one);
    }
}

/* What a double would round, or two readers would read differently, is left to its bytes. */
static void what_has_no_form_is_told(void)
{
    static const char *const none[] = {
        "",
        " ",
        "{",
        "{\"a\":1}x",
        "{\"a\":1,}",
        "[1,]",
        "{a:1}",
        "'a'",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "-Infinity",
        "// c\n1",
        "\xef\xbb\xbf{}",          /* a byte order mark */
        "{\"a\":1,\"a\":1}",       /* a name twice */
        "{\"a\":1,\"\\u0061\":2}", /* the same name, escaped */
        "[{\"x\":{\"b\":1,\"b\":2}}]",
        "9007199254740992", /* 2^53: 2^53 + 1 rounds to it */
        "9007199254740993",
        "-9007199254740992",
        "9007199254740992.0",
        "9007199254740993.0",
        "9007199254740992.5",
        "9.007199254740993e15",
        "1e20",
        "18446744073709551616",
        "123456789012345678901234567890",
        "1e400",
        "-1e400",
        "{\"a\":[9007199254740993]}",
        "\"\\ud800\"", /* half a surrogate pair */
        "\"\\udc00\\ud800\"",
        "\"\\x41\"",
        "\"a\nb\"",
        "\"\xff\"",
        "\"\xc0\xaf\"",         /* overlong */
        "\"\xed\xa0\x80\"",     /* a surrogate in UTF-8 */
        "\"\xf4\x90\x80\x80\"", /* above U+10FFFF */
        "\"\xc3",
        "{\"a\\u0000b\":1}", /* a zero in a name: jansson refuses it */
    };
    for (size_t i = 0; i < sizeof(none) / sizeof(*none); i++) {
        char *form = form_of(none[i], strlen(none[i]));
        if (form != NULL) {
            TEST_FAIL("%s has the form %s", none[i], form);
        }
    }
    CHECK(form_of("[1]\0", 4) == NULL);
    CHECK(form_of("\"a\0b\"", 5) == NULL);
}

static char *nested(int levels, char *text)
{
    memset(text, '[', (size_t)levels);
    memset(text + levels, ']', (size_t)levels);
    text[2 * levels] = '\0';
    return text;
}

static void nesting_is_bounded(void)
{
    enum { ALLOWED = 200, FAR = 20000 };
    char *text = malloc(2 * FAR + 1);
    /* {"a":{"a": ... 0}}, one level for each object. */
    for (int levels = ALLOWED; levels <= ALLOWED + 1; levels++) {
        text[0] = '\0';
        for (int i = 0; i < levels; i++) {
            strcat(text, "{\"a\":");
        }
        strcat(text, "0");
        memset(text + strlen(text) + 1, 0, (size_t)levels);
        memset(text + strlen(text), '}', (size_t)levels);
        char *form = form_of(text, strlen(text));
        CHECK((form != NULL) == (levels == ALLOWED));
        free(form);
    }
    check_form(nested(ALLOWED, text), 2 * ALLOWED);
    char *deepest = form_of(nested(ALLOWED, text), 2 * ALLOWED);
    CHECK(deepest != NULL);
    free(deepest);
    CHECK(form_of(nested(ALLOWED + 2, text), 2 * (ALLOWED + 2)) == NULL);
    CHECK(form_of(nested(FAR, text), 2 * FAR) == NULL);
    free(text);
}

/* Random data, written in two random ways, has one form; with one leaf changed it has another. */
struct writer {
    uint64_t data;  /* what is written */
    uint64_t style; /* how */
    uint64_t leaf, changed;
    struct idem__buffer out;
};

static uint64_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void space(struct writer *w)
{
    static const char *const spaces[] = {"", "", " ", "\n", "\t ", "\r\n"};
    idem__buffer_add_text(&w->out, spaces[next(&w->style) % 6]);
}

static void write_string(struct writer *w, uint64_t number)
{
    idem__buffer_add_text(&w->out, "\"");
    for (int i = 0; i < 4; i++, number /= 7) {
        static const char *const ways[7][2] = {
            {"a", "\\u0061"},        {"/", "\\/"},        {"\\n", "\\u000A"},
            {"\xc3\xa9", "\\u00e9"}, {"\\\"", "\\u0022"}, {"\xf0\x9f\x98\x80", "\\uD83D\\uDE00"},
            {"\\u0001", "\\u0001"}};
        idem__buffer_add_text(&w->out, ways[number % 7][next(&w->style) % 2]);
    }
    idem__buffer_add_text(&w->out, "\"");
}

static void write_leaf(struct writer *w)
{
    const uint64_t drawn = next(&w->data) + (w->leaf++ == w->changed);
    if (drawn % 2) {
        write_string(w, drawn / 2);
    } else {
        const unsigned long long number = drawn / 2;
        switch (next(&w->style) % 4) {
        case 0:
            idem__buffer_format(&w->out, "%llu", number);
            break;
        case 1:
            idem__buffer_format(&w->out, "%llu.0", number);
            break;
        case 2:
            idem__buffer_format(&w->out, "%llue0", number);
            break;
        default:
            idem__buffer_format(&w->out, "%llu0E-1", number);
        }
    }
}

static void write_value(struct writer *w, int depth)
{
    enum { MEMBERS = 3 };
    space(w);
    const uint64_t kind = depth < 4 ? next(&w->data) % 3 : 0;
    if (kind == 0) {
        write_leaf(w);
    } else if (kind == 1) {
        idem__buffer_add_text(&w->out, "[");
        for (int i = 0; i < MEMBERS; i++) {
            idem__buffer_add_text(&w->out, i ? "," : "");
            write_value(w, depth + 1);
        }
        idem__buffer_add_text(&w->out, "]");
    } else {
        /* The members' values are drawn in the order of their names, and written in another. */
        struct idem__buffer members[MEMBERS], whole = w->out;
        for (int i = 0; i < MEMBERS; i++) {
            w->out = (struct idem__buffer){0};
            write_string(w, (uint64_t)i);
            space(w);
            idem__buffer_add_text(&w->out, ":");
            write_value(w, depth + 1);
            space(w);
            members[i] = w->out;
        }
        w->out = whole;
        const uint64_t first = next(&w->style) % MEMBERS;
        idem__buffer_add_text(&w->out, "{");
        for (uint64_t i = 0; i < MEMBERS; i++) {
            idem__buffer_add_text(&w->out, i ? "," : "");
            idem__buffer_add_span(&w->out, idem__buffer_span(&members[(first + i) % MEMBERS]));
            idem__buffer_free(&members[(first + i) % MEMBERS]);
        }
        idem__buffer_add_text(&w->out, "}");
    }
    space(w);
}

static char *form_in(uint64_t data, uint64_t style, uint64_t changed, uint64_t *leaves)
{
    struct writer w = {.data = data, .style = style, .changed = changed};
    write_value(&w, 0);
    CHECK(!w.out.failed);
    char *form = form_of(w.out.at, w.out.len);
    if (form == NULL) {
        TEST_FAIL("has no form: %.*s", (int)w.out.len, w.out.at);
    }
    idem__buffer_free(&w.out);
    *leaves = w.leaf;
    return form;
}

static void random_data_keeps_its_form(void)
{
    for (int round = 0; round < TEST_ROUNDS(300); round++) {
        const uint64_t data = test_random();
        uint64_t leaves, same;
        char *one = form_in(data, test_random(), UINT64_MAX, &leaves);
        char *two = form_in(data, test_random(), UINT64_MAX, &same);
        CHECK_INT(leaves, same);
        CHECK(strcmp(one, two) == 0);
        char *other = form_in(data, test_random(), test_random() % leaves, &same);
        CHECK(strcmp(one, other) != 0);
        free(one);
        free(two);
        free(other);
    }
}

int main(void)
{
    return test_run((struct test[]){TEST(what_is_the_same_has_one_form),
                                    TEST(what_differs_has_different_forms),
                                    TEST(what_has_no_form_is_told),
                                    TEST(nesting_is_bounded),
                                    TEST(random_data_keeps_its_form),
                                    {0}});
}
