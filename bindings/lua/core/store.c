/* store.c - stores: the userdata, and the calls that are about no single key. */
#include <errno.h>
#include <string.h>

#include "core.h"

#define TYPE "idemkey.store"

enum { NUMBER_BYTES = 8, NUMBERS_OFF = offsetof(struct idem_stats, max_bytes) };
_Static_assert((sizeof(struct idem_stats) - NUMBERS_OFF) % NUMBER_BYTES == 0,
               "statistics are 64-bit numbers to the end");

idem_store *idem__lua_store_at(lua_State *L, int index)
{
    return *(idem_store **)luaL_checkudata(L, index, TYPE);
}

int idem__lua_answer(lua_State *L, int status)
{
    if (status == IDEM_OK)
        return 1;
    lua_pushnil(L);
    lua_pushinteger(L, status);
    return 2;
}

int idem__lua_count_at(lua_State *L, int index)
{
    const int64_t n = integer_at(L, index);

    luaL_argcheck(L, n >= 0 && n <= INT32_MAX / (int64_t)sizeof(struct reply), index, "too many");
    return (int)n;
}

void *idem__lua_push_array(lua_State *L, int n, size_t item_bytes)
{
    const size_t bytes = (size_t)n * item_bytes;

    return memset(lua_newuserdata(L, bytes), 0, bytes);
}

static int collect_store(lua_State *L)
{
    idem_close(idem__lua_store_at(L, 1)); /* if it is closed, it is recognised as such */
    return 0;
}

static int low_version(lua_State *L)
{
    lua_pushstring(L, idem_version());
    return 1;
}

static int low_last_error(lua_State *L)
{
    const int failed_errno = errno;

    lua_pushstring(L, idem_last_error());
    if (integer_at(L, 1) != IDEM_ESYS)
        return 1;
    lua_pushinteger(L, failed_errno);
    return 2;
}

static int low_open(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct idem_options options;
    idem_store **store;

    idem_options_init(&options, sizeof options);
    options.flags = (uint32_t)integer_at(L, 2);
    options.max_bytes = (uint64_t)integer_at(L, 3);
    options.max_value_bytes = (uint32_t)integer_at(L, 4);
    options.mode = (uint32_t)integer_at(L, 5);
    options.group = integer_at(L, 6);
    store = lua_newuserdata(L, sizeof(idem_store *));
    *store = NULL;
    luaL_getmetatable(L, TYPE);
    lua_setmetatable(L, -2);
    return idem__lua_answer(L, idem_open(path, &options, store));
}

static int low_close(lua_State *L) { return status_only(L, idem_close(idem__lua_store_at(L, 1))); }

static int low_sweep(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);

    lua_pushinteger(L, (lua_Integer)idem_sweep(store, (uint64_t)integer_at(L, 2)));
    return 1;
}

static int low_stats(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    struct idem_stats stats = {.size = sizeof stats};
    uint64_t numbers[(sizeof stats - NUMBERS_OFF) / NUMBER_BYTES];
    const int status = idem_stats(store, &stats);

    memcpy(numbers, (const char *)&stats + NUMBERS_OFF, sizeof numbers);
    lua_newtable(L);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        lua_pushinteger(L, (lua_Integer)numbers[i]);
        lua_rawseti(L, -2, (int)i + 1);
    }
    return idem__lua_answer(L, status);
}

static int low_check(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    struct idem_report report = {.size = sizeof report};

    lua_pushinteger(L, idem_check(store, &report));
    lua_pushinteger(L, (lua_Integer)report.violations);
    lua_pushinteger(L, (lua_Integer)report.records);
    lua_pushinteger(L, (lua_Integer)report.values);
    lua_pushinteger(L, (lua_Integer)report.heads);
    lua_pushstring(L, report.first);
    return 6;
}

static int low_resize(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);

    return status_only(L, idem_resize(store, (uint64_t)integer_at(L, 2)));
}

static int low_fingerprint(lua_State *L)
{
    size_t secret_len;
    const char *secret = luaL_checklstring(L, 1, &secret_len);
    const int n = idem__lua_count_at(L, 2);
    const void **parts = idem__lua_push_array(L, n, sizeof *parts);
    size_t *lens = idem__lua_push_array(L, n, sizeof *lens);
    uint8_t out[IDEM_FINGERPRINT_SIZE];
    int status;

    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 3, i + 1);
        parts[i] = luaL_checklstring(L, -1, &lens[i]);
        lua_pop(L, 1);
    }
    status =
        idem_fingerprint(secret_len > 0 ? secret : NULL, secret_len, parts, lens, (size_t)n, out);
    lua_pushlstring(L, (const char *)out, sizeof out);
    return idem__lua_answer(L, status);
}

const luaL_Reg idem__lua_store_functions[] = {
    {"version", low_version},
    {"last_error", low_last_error},
    {"open", low_open},
    {"close", low_close},
    {"sweep", low_sweep},
    {"stats", low_stats},
    {"check", low_check},
    {"resize", low_resize},
    {"fingerprint", low_fingerprint},
    {NULL, NULL},
};

void idem__lua_make_store_type(lua_State *L)
{
    luaL_newmetatable(L, TYPE);
    lua_pushcfunction(L, collect_store);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
