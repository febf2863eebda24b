#include "http/canon.h"

#include <errno.h>
#include <math.h>

/* Every whole number up to it is a double, and no other whole number's text rounds to it. */
#define WHOLE_MAX (((json_int_t)1 << 53) - 1)
/* A page of memory of levels; jansson has a limit of its own, far above. */
#define DEPTH_MAX 200

static int add(const char *text, size_t len, void *out)
{
    idem__buffer_add(out, text, len);
    return ((const struct idem__buffer *)out)->failed ? -1 : 0;
}

static bool is_whole(double real) { return real == floor(real); }

/* Has every number in `value` a place in a canonical form, and is it not too deep? */
/* NOLINTNEXTLINE(misc-no-recursion): a tree; no deeper than DEPTH_MAX */
static bool has_form(json_t *value, int depth)
{
    const char *name;
    size_t index;
    json_t *child;
    if (json_is_integer(value)) {
        const json_int_t whole = json_integer_value(value);
        return whole >= -WHOLE_MAX && whole <= WHOLE_MAX;
    }
    if (json_is_real(value)) {
        const double real = json_real_value(value);
        return isfinite(real) && (!is_whole(real) || fabs(real) <= (double)WHOLE_MAX);
    }
    if (json_is_object(value)) {
        json_object_foreach(value, name, child)
        {
            if (depth == DEPTH_MAX || !has_form(child, depth + 1)) {
                return false;
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, child)
        {
            if (depth == DEPTH_MAX || !has_form(child, depth + 1)) {
                return false;
            }
        }
    }
    return true;
}

static bool is_whole_real(const json_t *value)
{
    return json_is_real(value) && is_whole(json_real_value(value));
}

/* The integer that a whole number is written as. New reference; NULL: no memory. */
static json_t *integer(const json_t *value)
{
    return json_integer((json_int_t)json_real_value(value));
}

/* Replaces the whole numbers with a fraction or an exponent below `value`. False: no memory. */
/* NOLINTNEXTLINE(misc-no-recursion): a tree; no deeper than DEPTH_MAX */
static bool settle(json_t *value)
{
    const char *name;
    size_t index;
    json_t *child;
    if (json_is_object(value)) {
        json_object_foreach(value, name, child)
        {
            if (is_whole_real(child) ? json_object_set_new(value, name, integer(child)) != 0
                                     : !settle(child)) {
                return false;
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, child)
        {
            if (is_whole_real(child) ? json_array_set_new(value, index, integer(child)) != 0
                                     : !settle(child)) {
                return false;
            }
        }
    }
    return true;
}

json_t *idem__json_load(struct idem__span text, size_t flags, json_error_t *error)
{
    errno = 0;
    json_t *value = json_loadb(text.at ? text.at : "", text.len, flags, error);
    const bool no_memory = errno == ENOMEM;
    if (no_memory) {
        json_decref(value);
        value = NULL;
    }
    errno = no_memory ? ENOMEM : 0;
    return value;
}

enum idem__canon idem__canon_json(struct idem__span body, struct idem__buffer *out)
{
    json_error_t error;
    const size_t before = out->len;
    json_t *parsed =
        idem__json_load(body, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (!parsed) {
        return errno == ENOMEM ? CANON_NO_MEMORY : CANON_NONE;
    }
    if (!has_form(parsed, 0)) {
        json_decref(parsed);
        return CANON_NONE;
    }
    /* In an array of one, a number at the top is like any other. */
    json_t *holder = json_array();
    const bool done = json_array_append_new(holder, parsed) == 0 && settle(holder) &&
                      json_dump_callback(holder, add, out, JSON_COMPACT | JSON_SORT_KEYS) == 0;
    json_decref(holder);
    if (!done) {
        out->len = before;
    }
    return done ? CANON_DONE : CANON_NO_MEMORY;
}
