#include "http/canon.h"

#include <jansson.h>
#include <math.h>

/* Every whole number up to it is a double, and is the only text that rounds to it. */
#define WHOLE_MAX ((json_int_t)1 << 53)
/* A page of memory of levels; jansson has a limit of its own, far above. */
#define DEPTH_MAX 200

static int add(const char *text, size_t len, void *out)
{
    idem__buffer_add(out, text, len);
    return 0;
}

/* The number as it is written, or NULL if it has no place in a canonical form. New reference. */
static json_t *number(const json_t *value)
{
    if (json_is_integer(value)) {
        const json_int_t whole = json_integer_value(value);
        return whole >= -WHOLE_MAX && whole <= WHOLE_MAX ? json_integer(whole) : NULL;
    }
    const double real = json_real_value(value);
    if (!isfinite(real)) {
        return NULL;
    }
    if (real != floor(real)) {
        return json_real(real);
    }
    return fabs(real) <= (double)WHOLE_MAX ? json_integer((json_int_t)real) : NULL;
}

/* Replaces the numbers below `value` by what they are written as. */
/* NOLINTNEXTLINE(misc-no-recursion): a tree; no deeper than DEPTH_MAX */
static bool settle(json_t *value, int depth)
{
    const char *name;
    size_t index;
    json_t *child;
    if (depth > DEPTH_MAX) {
        return false;
    }
    if (json_is_object(value)) {
        json_object_foreach(value, name, child)
        {
            if (json_is_number(child) ? json_object_set_new(value, name, number(child)) != 0
                                      : !settle(child, depth + 1)) {
                return false;
            }
        }
    } else if (json_is_array(value)) {
        json_array_foreach(value, index, child)
        {
            if (json_is_number(child) ? json_array_set_new(value, index, number(child)) != 0
                                      : !settle(child, depth + 1)) {
                return false;
            }
        }
    }
    return true;
}

bool idem__canon_json(struct idem__span body, struct idem__buffer *out)
{
    /* In an array of one, a number at the top is like any other. */
    json_t *holder = json_array();
    json_t *parsed = json_loadb(body.at ? body.at : "", body.len,
                                JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const size_t before = out->len;
    bool done = holder && json_array_append_new(holder, parsed) == 0 && settle(holder, 0) &&
                json_dump_callback(holder, add, out, JSON_COMPACT | JSON_SORT_KEYS) == 0;
    json_decref(holder);
    done = done && !out->failed;
    if (!done) {
        out->len = before;
    }
    return done;
}
