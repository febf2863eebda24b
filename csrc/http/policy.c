#include "http/policy.h"

#include <math.h>
#include <stdlib.h>

#include "http/field.h"
#include "http/pattern.h"

#define HEADERS_MAX 4
#define MS_PER_S 1000
#define TTL_MAX_S (10LL * 365 * 86400) /* as of idem_claim; so is the next */
#define GRACE_MAX_S (30LL * 86400)
#define WAIT_MAX_S 3600LL
#define WAITERS_MAX 100000LL
#define BODY_MAX_BYTES (1LL << 30)
#define STATUS_FIRST 400LL
#define STATUS_LAST 499LL
#define ANY_METHOD "*"
#define SHOWN_CHARS 60        /* of a wrong value */
#define METHOD_SHOWN_CHARS 40 /* of a method that is not covered */

/* How a member is read. */
enum kind {
    FLAG,      /* true, false */
    WORD,      /* one of `words`: its place */
    TEXT,      /* a text that is not empty */
    TEXT_NONE, /* that, or null */
    NAME_NONE, /* a header's name, or null */
    NAMES,     /* a list of header names */
    METHODS,   /* a list of methods */
    PATTERNS,  /* a list of patterns, or null */
    NUMBER,    /* a whole number of min to max; or the one word of `words`: 0 */
    SECONDS, /* a number of seconds of min to max, kept in ms; or the one word of `words`: for ever */
    PRINCIPAL /* a header's name, "@caller", null or false */
};

struct member {
    const char *name;
    enum kind kind;
    size_t offset; /* in struct idem__policy */
    int64_t min, max;
    const char *words[7];
};

#define AT(field) offsetof(struct idem__policy, field)
static const struct member members[] = {
    {"idempotent", FLAG, AT(idempotent), 0, 0, {0}},
    {"headers", NAMES, AT(headers), 1, HEADERS_MAX, {0}},
    {"methods", METHODS, AT(methods), 1, IDEM__LIST_MAX, {0}},
    {"applies_to", PATTERNS, AT(applies_to), 1, IDEM__LIST_MAX, {0}},
    {"required", FLAG, AT(required), 0, 0, {0}},
    {"key_rule", WORD, AT(key_rule), 0, 0, {"text", "uuid", "uuid4", "sf", "sf-strict"}},
    {"key_max", NUMBER, AT(key_max), 1, IDEM_KEY_MAX, {0}},
    {"principal", PRINCIPAL, AT(principal_by), 0, 0, {0}},
    {"key_scope", WORD, AT(key_scope), 0, 0, {"account", "endpoint", "endpoint-method"}},
    {"canonical", WORD, AT(canonical_json), 0, 0, {"bytes", "json"}},
    {"fingerprint", WORD, AT(digest), 0, 0, {"xxh3", "blake2b"}},
    {"on_mismatch", NUMBER, AT(mismatch_status), STATUS_FIRST, STATUS_LAST, {"replay"}},
    {"on_busy", NUMBER, AT(busy_status), STATUS_FIRST, STATUS_LAST, {0}},
    {"wait", SECONDS, AT(wait_ms), 0, WAIT_MAX_S, {0}},
    {"max_waiters", NUMBER, AT(max_waiters), 0, WAITERS_MAX, {0}},
    {"retry_after", NUMBER, AT(retry_after_s), 1, WAIT_MAX_S, {0}},
    {"replay_marker", NAME_NONE, AT(replay_marker), 0, 0, {0}},
    {"keeps", WORD, AT(keeps_all), 0, 0, {"decided", "all"}},
    {"ttl", SECONDS, AT(ttl_ms), 1, TTL_MAX_S, {"forever"}},
    {"ttl_base", WORD, AT(ttl_from_completion), 0, 0, {"claim", "completion"}},
    {"error_form",
     WORD,
     AT(error_form),
     0,
     0,
     {"problem", "error", "error-with-key", "message", "code", "stripe"}},
    {"on_crash", WORD, AT(hold), 0, 0, {"reclaim", "hold"}},
    {"crash_grace", SECONDS, AT(crash_grace_ms), 0, GRACE_MAX_S, {0}},
    {"on_store_failure", WORD, AT(runs_without_store), 0, 0, {"refuse", "run"}},
    {"max_request", NUMBER, AT(max_request_bytes), 0, BODY_MAX_BYTES, {0}},
    {"max_response", NUMBER, AT(max_response_bytes), 0, BODY_MAX_BYTES, {0}},
    {"retention_header", NAME_NONE, AT(retention_header), 0, 0, {0}},
    {"conflict_code", TEXT, AT(conflict_code), 0, 0, {0}},
    {"bad_key_message", TEXT_NONE, AT(bad_key_message), 0, 0, {0}},
};
#define MEMBERS (sizeof(members) / sizeof(*members))

static void add_words(const struct member *member, struct idem__buffer *err)
{
    for (const char *const *word = member->words; *word; word++) {
        idem__buffer_format(err, "%s\"%s\"", word == member->words ? "" : ", ", *word);
    }
}

/* What the member must be. */
static void add_wanted(const struct member *member, struct idem__buffer *err)
{
    const long long min = member->min, max = member->max;
    switch (member->kind) {
    case FLAG:
        idem__buffer_add_text(err, "true or false");
        break;
    case WORD:
        idem__buffer_add_text(err, "one of ");
        add_words(member, err);
        break;
    case TEXT:
        idem__buffer_add_text(err, "a text that is not empty");
        break;
    case TEXT_NONE:
        idem__buffer_add_text(err, "a text that is not empty, or null");
        break;
    case NAME_NONE:
        idem__buffer_add_text(err, "a header's name, or null");
        break;
    case NAMES:
        idem__buffer_format(err, "a list of %lld to %lld different header names", min, max);
        break;
    case METHODS:
        idem__buffer_format(err, "a list of %lld to %lld methods in capitals, or [\"*\"] for all",
                            min, max);
        break;
    case PATTERNS:
        idem__buffer_format(err, "null, or a list of %lld to %lld patterns such as \"POST /v1/*\"",
                            min, max);
        break;
    case NUMBER:
    case SECONDS:
        idem__buffer_format(err, "a%s number %sof %lld to %lld",
                            member->kind == NUMBER ? " whole" : "",
                            member->kind == NUMBER ? "" : "of seconds ", min, max);
        if (member->words[0]) {
            idem__buffer_add_text(err, ", or ");
            add_words(member, err);
        }
        break;
    case PRINCIPAL:
        idem__buffer_add_text(err, "the name of the header that says who sends a request, "
                                   "\"@caller\" where the engine's caller tells, or null for one "
                                   "space for all callers");
        break;
    }
}

void idem__show(const json_t *value, struct idem__buffer *out)
{
    char *shown = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    idem__buffer_format(out, "%.*s%s", SHOWN_CHARS, shown ? shown : "?",
                        shown && strlen(shown) > SHOWN_CHARS ? "..." : "");
    free(shown);
}

static bool refuse(const struct member *member, const json_t *value, const char *why,
                   struct idem__buffer *err)
{
    idem__buffer_format(err, "%s is ", member->name);
    idem__show(value, err);
    if (why) {
        idem__buffer_format(err, ", which %s", why);
    } else {
        idem__buffer_add_text(err, " and must be ");
        add_wanted(member, err);
    }
    return false;
}

static int word_of(const struct member *member, const json_t *value)
{
    for (int i = 0; json_is_string(value) && member->words[i]; i++) {
        if (strcmp(member->words[i], json_string_value(value)) == 0) {
            return i;
        }
    }
    return -1;
}

/* A text without a zero byte in it, and not empty; else NULL. */
static const char *text_of(const json_t *value)
{
    const char *text = json_string_value(value);
    return text && *text && strlen(text) == json_string_length(value) ? text : NULL;
}

static const char *header_of(const json_t *value)
{
    const char *text = text_of(value);
    return text && idem__field_name_ok(idem__text_span(text)) ? text : NULL;
}

static bool has_text(const struct idem__texts *texts, const char *text)
{
    for (size_t i = 0; i < texts->count; i++) {
        if (idem__span_is_like(idem__text_span(texts->at[i]), text)) {
            return true;
        }
    }
    return false;
}

static bool read_list(const struct member *member, json_t *value, struct idem__texts *texts,
                      struct idem__buffer *err)
{
    size_t index;
    json_t *item;
    texts->count = 0;
    if (member->kind == PATTERNS && json_is_null(value)) {
        return true;
    }
    const size_t size = json_array_size(value);
    if (size < (size_t)member->min || size > (size_t)member->max) {
        return refuse(member, value, NULL, err);
    }
    json_array_foreach(value, index, item)
    {
        const char *text = member->kind == PATTERNS ? text_of(item) : header_of(item);
        const bool method = member->kind == METHODS;
        if (!text || has_text(texts, text) ||
            (method && (!idem__method_ok(idem__text_span(text)) ||
                        (strcmp(text, ANY_METHOD) == 0 && size > 1)))) {
            return refuse(member, value, NULL, err);
        }
        const char *wrong = member->kind == PATTERNS ? idem__pattern_wrong(text) : NULL;
        if (wrong) {
            return refuse(member, item, wrong, err);
        }
        texts->at[texts->count++] = text;
    }
    return true;
}

static bool read_number(const struct member *member, const json_t *value, int64_t *number)
{
    if (member->words[0] && word_of(member, value) == 0) {
        *number = member->kind == SECONDS ? IDEM_FOREVER : 0;
        return true;
    }
    if (!json_is_number(value) || (member->kind == NUMBER && !json_is_integer(value))) {
        return false;
    }
    const double given = json_number_value(value);
    if (!(given >= (double)member->min && given <= (double)member->max)) {
        return false;
    }
    *number = member->kind == NUMBER ? json_integer_value(value) : (int64_t)ceil(given * MS_PER_S);
    return true;
}

static bool read_principal(const json_t *value, struct idem__policy *policy)
{
    const char *text = text_of(value);
    if (json_is_null(value) || json_is_false(value)) {
        policy->principal_by = PRINCIPAL_NONE;
        policy->principal_source = NULL;
        return true;
    }
    const bool caller = text && strcmp(text, IDEM__BY_CALLER) == 0;
    policy->principal_by = caller ? PRINCIPAL_CALLER : PRINCIPAL_FIELD;
    policy->principal_source = caller ? text : header_of(value);
    return policy->principal_source != NULL;
}

/* What is wrong with the name of a header that the engine adds; NULL: nothing, or there is none. */
static const char *name_wrong(const char *name)
{
    if (name && !idem__field_kept(idem__text_span(name))) {
        return "has a meaning of its own: name another header";
    }
    return name && strlen(name) > IDEM__NAME_MAX ? "is longer than 200 characters" : NULL;
}

static bool read_member(const struct member *member, json_t *value, struct idem__policy *policy,
                        struct idem__buffer *err)
{
    void *at = (char *)policy + member->offset;
    bool good = false;
    switch (member->kind) {
    case FLAG:
        *(int64_t *)at = json_is_true(value);
        good = json_is_boolean(value);
        break;
    case WORD:
        *(int64_t *)at = word_of(member, value);
        good = *(int64_t *)at >= 0;
        break;
    case TEXT:
    case TEXT_NONE:
        *(const char **)at = text_of(value);
        good = *(const char **)at || (member->kind == TEXT_NONE && json_is_null(value));
        break;
    case NAME_NONE:
        *(const char **)at = header_of(value);
        good = *(const char **)at || json_is_null(value);
        return (good && !name_wrong(*(const char **)at)) ||
               refuse(member, value, name_wrong(*(const char **)at), err);
    case NAMES:
    case METHODS:
    case PATTERNS:
        return read_list(member, value, at, err);
    case NUMBER:
    case SECONDS:
        good = read_number(member, value, at);
        break;
    case PRINCIPAL:
        good = read_principal(value, policy);
        break;
    }
    return good || refuse(member, value, NULL, err);
}

/* What a pattern names must be covered, or it would go on untouched, and nobody would know. */
static bool check_covered(const struct idem__policy *policy, const char *member,
                          const char *pattern, struct idem__buffer *err)
{
    struct idem__span methods = idem__pattern_methods(pattern), method;
    while (policy->idempotent && idem__field_list_next(&methods, &method)) {
        if (!idem__policy_has_method(policy, method)) {
            idem__buffer_format(
                err, "%s names %.*s, which is not in methods: add it there, or leave it out of %s",
                member, METHOD_SHOWN_CHARS < method.len ? METHOD_SHOWN_CHARS : (int)method.len,
                method.at, member);
            return false;
        }
    }
    return true;
}

bool idem__policy_read(json_t *fields, struct idem__policy *policy, struct idem__buffer *err)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        json_t *value = json_object_get(fields, members[i].name);
        if (!value) { /* only "principal" has no default */
            idem__buffer_format(err, "%s is missing and must be ", members[i].name);
            add_wanted(&members[i], err);
            return false;
        }
        if (!read_member(&members[i], value, policy, err)) {
            return false;
        }
    }
    bool covered = check_covered(policy, "match", policy->route, err);
    for (size_t i = 0; covered && i < policy->applies_to.count; i++) {
        covered = check_covered(policy, "applies_to", policy->applies_to.at[i], err);
    }
    return covered;
}

bool idem__policy_has_field(const char *name)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        if (strcmp(members[i].name, name) == 0) {
            return true;
        }
    }
    return false;
}

void idem__policy_names(struct idem__buffer *out)
{
    for (size_t i = 0; i < MEMBERS; i++) {
        idem__buffer_format(out, "%s%s", i ? ", " : "", members[i].name);
    }
}

bool idem__policy_has_method(const struct idem__policy *policy, struct idem__span method)
{
    bool has = strcmp(policy->methods.at[0], ANY_METHOD) == 0;
    for (size_t i = 0; !has && i < policy->methods.count; i++) {
        has = idem__span_is(method, policy->methods.at[i]);
    }
    return has;
}

bool idem__policy_covers(const struct idem__policy *policy, struct idem__span method,
                         struct idem__span path)
{
    if (!policy->idempotent || !idem__policy_has_method(policy, method)) {
        return false;
    }
    bool applies = policy->applies_to.count == 0;
    for (size_t i = 0; !applies && i < policy->applies_to.count; i++) {
        applies = idem__pattern_matches(policy->applies_to.at[i], method, path);
    }
    return applies;
}
