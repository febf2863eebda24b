/* config.c - from the configuration's text to the engine: see idem_http_new. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "http/canon.h"
#include "http/exchange.h"
#include "http/field.h"
#include "http/pattern.h"
#include "http/profile.h"

#define ROUTES_MAX 1000
#define PROFILE_DEFAULT "ietf"
#define ALIGNMENT 64

/* Members beside a policy's fields. */
static bool is_extra(const char *name, bool route)
{
    return strcmp(name, "profile") == 0 || strcmp(name, route ? "match" : "routes") == 0;
}

static bool check_names(json_t *given, bool route, struct idem__buffer *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(given, name, value)
    {
        if (!is_extra(name, route) && !idem__policy_has_field(name)) {
            json_t *shown = json_string(name);
            idem__show(shown, err);
            json_decref(shown);
            idem__buffer_add_text(err, " is no field; there are profile, ");
            idem__buffer_add_text(err, route ? "match, " : "routes, ");
            idem__policy_names(err);
            return false;
        }
    }
    return true;
}

/* The name of the profile that `given` asks for; NULL and `err`. */
static const char *profile_of(json_t *given, const char *otherwise, struct idem__buffer *err)
{
    json_t *value = json_object_get(given, "profile");
    const char *name = value ? json_string_value(value) : otherwise;
    if (!name || !idem__profile(name)) {
        idem__buffer_add_text(err, "profile is ");
        idem__show(value, err);
        idem__buffer_add_text(err, " and must be one of ");
        idem__buffer_add_text(err, idem__profile_names);
        return NULL;
    }
    return name;
}

static bool update_from(json_t *merged, json_t *given)
{
    const char *name;
    json_t *value;
    json_object_foreach(given, name, value)
    {
        if (idem__policy_has_field(name) && json_object_set(merged, name, value) != 0) {
            return false;
        }
    }
    return true;
}

static bool update_from_text(json_t *merged, const char *text)
{
    json_error_t error;
    json_t *fields = idem__json_load(idem__text_span(text), 0, &error);
    const bool done = fields && json_object_update(merged, fields) == 0;
    json_decref(fields);
    return done;
}

/* The base, then the profile, then the overrides for all, then those of the route. */
static bool read_policy(idem_http *http, json_t *all, json_t *route, struct idem__policy *policy,
                        struct idem__buffer *err)
{
    const char *profile = profile_of(all, PROFILE_DEFAULT, err);
    profile = profile && route ? profile_of(route, profile, err) : profile;
    if (!profile) {
        return false;
    }
    json_t *merged = json_object();
    const bool made = merged && update_from_text(merged, idem__profile_base) &&
                      update_from_text(merged, idem__profile(profile)) &&
                      update_from(merged, all) && (!route || update_from(merged, route));
    if (json_array_append_new(http->texts, merged) != 0 || !made) {
        err->failed = true;
        return false;
    }
    policy->profile = profile;
    policy->route = route ? json_string_value(json_object_get(route, "match")) : "";
    return idem__policy_read(merged, policy, err);
}

static bool read_route(idem_http *http, json_t *all, json_t *route, size_t index,
                       struct idem__buffer *err)
{
    json_t *pattern = json_object_get(route, "match");
    const char *match = json_string_value(pattern);
    idem__buffer_format(err, "routes[%zu]", index);
    if (!json_is_object(route) || !match) {
        idem__buffer_add_text(err, " needs \"match\", a pattern such as \"POST /v1/payouts/*\"");
        return false;
    }
    idem__buffer_add_text(err, " (");
    idem__show(pattern, err);
    idem__buffer_add_text(err, "): ");
    const char *wrong = idem__pattern_wrong(match);
    if (wrong) {
        idem__buffer_format(err, "match %s", wrong);
        return false;
    }
    if (!check_names(route, true, err) ||
        !read_policy(http, all, route, &http->policies[index], err)) {
        return false;
    }
    idem__buffer_clear(err);
    return true;
}

static void want(struct idem__buffer *wanted, const char *header)
{
    const size_t start = wanted->len;
    if (!header) {
        return;
    }
    idem__buffer_add_lower(wanted, header);
    idem__buffer_add(wanted, "", 1);
    for (size_t at = 0; !wanted->failed && at < start; at += strlen(wanted->at + at) + 1) {
        if (strcmp(wanted->at + at, wanted->at + start) == 0) {
            wanted->len = start; /* is there already */
            return;
        }
    }
}

/* What the policies together read of a request. */
static void collect(idem_http *http)
{
    for (size_t i = 0; i <= http->routes; i++) {
        const struct idem__policy *policy = &http->policies[i];
        if (!policy->idempotent) {
            continue;
        }
        for (size_t h = 0; h < policy->headers.count; h++) {
            want(&http->wanted, policy->headers.at[h]);
        }
        want(&http->wanted,
             policy->principal_by == PRINCIPAL_FIELD ? policy->principal_source : NULL);
        want(&http->wanted, "Content-Length");
        want(&http->wanted, policy->canonical_json ? "Content-Type" : NULL);
        http->wants_principal = http->wants_principal || policy->principal_by == PRINCIPAL_CALLER;
    }
    idem__buffer_add(&http->wanted, "", 1);
}

static bool read_config(idem_http *http, const char *config, size_t len, struct idem__buffer *err)
{
    json_error_t error;
    json_t *all = idem__json_load(idem__span(config, len), JSON_REJECT_DUPLICATES, &error);
    if (!all && errno == ENOMEM) {
        err->failed = true;
        return false;
    }
    if (!json_is_object(all)) {
        idem__buffer_format(err, "config is no JSON object: %.100s at line %d, column %d",
                            all ? "it is another value" : error.text, all ? 1 : error.line,
                            all ? 1 : error.column);
        json_decref(all);
        return false;
    }
    http->texts = json_array();
    if (json_array_append_new(http->texts, all) != 0) {
        err->failed = true;
        return false;
    }
    json_t *routes = json_object_get(all, "routes");
    http->routes = json_array_size(routes);
    if ((routes && !json_is_array(routes)) || http->routes > ROUTES_MAX) {
        idem__buffer_format(err, "routes must be a list of at most %d objects", ROUTES_MAX);
        return false;
    }
    http->policies = calloc(http->routes + 1, sizeof(*http->policies));
    if (!http->policies) {
        err->failed = true;
        return false;
    }
    if (!check_names(all, false, err) ||
        !read_policy(http, all, NULL, &http->policies[http->routes], err)) {
        return false;
    }
    for (size_t i = 0; i < http->routes; i++) {
        if (!read_route(http, all, json_array_get(routes, i), i, err)) {
            return false;
        }
    }
    collect(http);
    err->failed = err->failed || http->wanted.failed;
    return !err->failed;
}

static int fill(idem_http *http, const char *config, size_t len, struct idem__buffer *err)
{
    const int status = idem_secret(http->store, http->secret);
    if (status) {
        idem__buffer_add_text(err, idem_last_error());
        return status;
    }
    if (sodium_init() < 0) {
        idem__buffer_add_text(err, "libsodium cannot be initialised");
        return IDEM_ESYS;
    }
    if (!config) {
        idem__buffer_add_text(err, "config: is NULL; give a JSON object, at least "
                                   "{\"profile\": ..., \"principal\": ...}");
        return IDEM_EINVAL;
    }
    if (!read_config(http, config, len, err)) {
        return err->failed ? IDEM_ESYS : IDEM_EINVAL;
    }
    return IDEM_OK;
}

/* Whatever the configuration has in it, a message is ASCII: it may be cut anywhere. */
static void tell(const char *text, char *err, size_t err_size)
{
    if (err && err_size) {
        (void)snprintf(err, err_size, "%s", text);
        for (char *c = err; *c; c++) {
            *c = *c >= ' ' && *c <= '~' ? *c : '?';
        }
    }
}

int idem_http_new(idem_store *store, const char *config, size_t len, idem_http **made, char *err,
                  size_t err_size)
{
    struct idem__buffer why = {0};
    tell("", err, err_size);
    if (!made) {
        tell("http: is NULL; give the address of an idem_http pointer", err, err_size);
        return IDEM_EINVAL;
    }
    *made = NULL;
    idem_http *http = aligned_alloc(ALIGNMENT, sizeof(*http));
    int status = IDEM_ESYS;
    if (http) {
        memset(http, 0, sizeof(*http));
        http->store = store;
        status = fill(http, config, len, &why);
    }
    if (status) {
        const bool told = why.len && !why.failed;
        idem_http_delete(http);
        http = NULL;
        tell(told ? idem__buffer_text(&why) : "no memory", err, err_size);
    }
    *made = http;
    idem__buffer_free(&why);
    return status;
}

void idem_http_delete(idem_http *http)
{
    if (http) {
        json_decref(http->texts);
        idem__buffer_free(&http->wanted);
        free(http->policies);
        sodium_memzero(http->secret, sizeof(http->secret));
        free(http);
    }
}

const char *idem_http_wanted(const idem_http *http) { return http ? http->wanted.at : ""; }

int idem_http_wants_principal(const idem_http *http) { return http && http->wants_principal; }
