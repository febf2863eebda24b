#include "http/pattern.h"

#include "http/field.h"

/* The pattern's methods, empty if it has none; its path. */
static struct idem__span split(const char *pattern, const char **path)
{
    const char *space = strchr(pattern, ' ');
    *path = space ? space + 1 : pattern;
    return idem__span(pattern, space ? (size_t)(space - pattern) : 0);
}

struct idem__span idem__pattern_methods(const char *pattern)
{
    const char *path;
    return split(pattern, &path);
}

/* Takes a segment and the slash before it off `path`; false at the end. */
static bool next_segment(struct idem__span *path, struct idem__span *segment)
{
    if (!path->len) {
        return false;
    }
    const char *slash = memchr(path->at + 1, '/', path->len - 1);
    const size_t len = slash ? (size_t)(slash - path->at) : path->len;
    *segment = idem__span(path->at + 1, len - 1);
    *path = idem__span(path->at + len, path->len - len);
    return true;
}

const char *idem__pattern_wrong(const char *pattern)
{
    const char *path;
    const struct idem__span methods = split(pattern, &path);
    struct idem__span rest = methods, method, segment;
    bool good = path == pattern || (methods.len && methods.at[methods.len - 1] != ',');
    while (idem__field_list_next(&rest, &method)) {
        good = good && idem__method_ok(method);
        if (idem__span_is(method, "*")) {
            return "has * as a method: leave the methods out to have them all";
        }
    }
    if (!good) {
        return "has a method that is none (they are in capitals): write \"POST /path\" or "
               "\"POST,PUT /path\"";
    }
    if (*path != '/') {
        return "has no path that begins with a slash: write \"POST /path\" or \"/path\"";
    }
    for (const char *c = path; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '?' || *c == '#') {
            return "has a character in its path that a request's path never has: write it "
                   "percent-encoded, and no query";
        }
    }
    rest = idem__text_span(path);
    while (next_segment(&rest, &segment)) {
        const bool any = idem__span_is(segment, "*");
        const bool all = idem__span_is(segment, "**") && !rest.len;
        if (!any && !all && segment.len && memchr(segment.at, '*', segment.len)) {
            return "has a * within a segment, or ** before its end: * stands for a whole segment";
        }
    }
    return NULL;
}

bool idem__pattern_has_method(struct idem__span list, struct idem__span method)
{
    struct idem__span listed;
    while (idem__field_list_next(&list, &listed)) {
        if (idem__span_equals(listed, method)) {
            return true;
        }
    }
    return false;
}

bool idem__pattern_matches(const char *pattern, struct idem__span method, struct idem__span path)
{
    const char *own_path;
    const struct idem__span methods = split(pattern, &own_path);
    if ((methods.len && !idem__pattern_has_method(methods, method)) || !path.len ||
        *path.at != '/') {
        return false;
    }
    struct idem__span own = idem__text_span(own_path), wanted, segment;
    while (next_segment(&own, &wanted)) {
        if (idem__span_is(wanted, "**")) {
            return true;
        }
        if (!next_segment(&path, &segment)) {
            return false;
        }
        const bool fits =
            idem__span_is(wanted, "*") ? segment.len > 0 : idem__span_equals(wanted, segment);
        if (!fits) {
            return false;
        }
    }
    return path.len == 0;
}
