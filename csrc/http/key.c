#include "http/key.h"

#define UUID_CHARS 36u
#define UUID_VERSION_AT 14u /* the first digit of the third group */
#define UUID_VARIANT_AT 19u /* the first digit of the fourth */

static bool is_ascii(struct idem__span value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < ' ' || value.at[i] > '~') {
            return false;
        }
    }
    return true;
}

static const char *read_text(struct idem__span value, struct idem__buffer *key)
{
    /* Servers join repeated fields by a comma: two keys must not pass for one. */
    if (memchr(value.at, ',', value.len)) {
        return "has a comma: give one key, once";
    }
    idem__buffer_add_span(key, value);
    return NULL;
}

/* A hexadecimal digit in lower case; 0 if it is none. */
static char hex_digit(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')) {
        return c;
    }
    return c >= 'A' && c <= 'F' ? (char)(c - 'A' + 'a') : '\0';
}

static bool is_all(const char *uuid, char digit)
{
    for (size_t i = 0; i < UUID_CHARS; i++) {
        if (uuid[i] != '-' && uuid[i] != digit) {
            return false;
        }
    }
    return true;
}

static const char *read_uuid(struct idem__span value, bool only4, struct idem__buffer *key)
{
    static const char wrong[] = "is no UUID";
    char uuid[UUID_CHARS];
    if (value.len != UUID_CHARS) {
        return wrong;
    }
    for (size_t i = 0; i < UUID_CHARS; i++) {
        const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        uuid[i] = dash ? (value.at[i] == '-' ? '-' : '\0') : hex_digit(value.at[i]);
        if (!uuid[i]) {
            return wrong;
        }
    }
    const char version = uuid[UUID_VERSION_AT];
    const bool numbered =
        version >= '1' && version <= '8' && strchr("89ab", uuid[UUID_VARIANT_AT]) != NULL;
    if (only4 ? !(numbered && version == '4')
              : !(numbered || is_all(uuid, '0') || is_all(uuid, 'f'))) {
        return only4 ? "is no UUID of version 4" : wrong;
    }
    idem__buffer_add(key, uuid, sizeof(uuid));
    return NULL;
}

static const char *read_string(struct idem__span value, struct idem__buffer *key)
{
    for (size_t i = 1; i < value.len; i++) {
        char c = value.at[i];
        if (c == '"') {
            return i + 1 == value.len ? NULL : "has something behind its closing quote";
        }
        if (c == '\\') {
            c = ++i < value.len ? value.at[i] : '\0';
            if (c != '"' && c != '\\') {
                return "has a backslash before something else than \\ or \"";
            }
        }
        idem__buffer_add(key, &c, 1);
    }
    return "lacks its closing quote";
}

static const char *read_bare(struct idem__span value, struct idem__buffer *key)
{
    for (size_t i = 0; i < value.len; i++) {
        if (strchr(" \",;\\", value.at[i])) {
            return "has a space, comma, semicolon, quote or backslash: put it in double quotes";
        }
    }
    idem__buffer_add_span(key, value);
    return NULL;
}

const char *idem__key_read(enum idem__key_rule rule, size_t max, struct idem__span value,
                           struct idem__buffer *key)
{
    const char *wrong = NULL;
    if (!value.len) {
        return "is empty";
    }
    if (!is_ascii(value)) {
        return "has a character that is not visible ASCII";
    }
    if (rule == KEY_UUID || rule == KEY_UUID4) {
        wrong = read_uuid(value, rule == KEY_UUID4, key);
    } else if (rule == KEY_TEXT) {
        wrong = read_text(value, key);
    } else if (value.at[0] == '"') {
        wrong = read_string(value, key);
    } else {
        wrong = rule == KEY_SF ? read_bare(value, key) : "is not in double quotes";
    }
    if (!wrong && !key->len) {
        return "is empty";
    }
    return !wrong && key->len > max ? "is too long" : wrong;
}
