/* key.c - calls on keys that are no claims. */
#include "core.h"

static int low_lookup(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);

    return idem__lua_answer(L,
                            idem_lookup(store, key, len, &idem__lua_push_reply(L)->claim.record));
}

static int low_lookup_many(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    const int n = idem__lua_count_at(L, 2);
    const void **keys = idem__lua_push_array(L, n, sizeof *keys);
    size_t *lens = idem__lua_push_array(L, n, sizeof *lens);
    struct idem_record *records = idem__lua_push_array(L, n, sizeof *records);
    int *statuses = idem__lua_push_array(L, n, sizeof *statuses);
    const int replies = idem__lua_push_replies(L, n);
    int status;

    for (int i = 0; i < n; i++) {
        lua_rawgeti(L, 3, i + 1);
        keys[i] = luaL_checklstring(L, -1, &lens[i]);
        lua_pop(L, 1);
        records[i] = idem__lua_reply_in(L, replies, i)->claim.record;
    }
    status = idem_lookup_many(store, keys, lens, records, statuses, (size_t)n);
    for (int i = 0; i < n && status == IDEM_OK; i++) {
        struct reply *reply = idem__lua_reply_in(L, replies, i);

        reply->claim.record = records[i];
        reply->claim.status = statuses[i];
    }
    return idem__lua_answer(L, status);
}

static int low_wait(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);
    const int64_t timeout_ms = integer_at(L, 3);

    return idem__lua_answer(
        L, idem_wait(store, key, len, timeout_ms, &idem__lua_push_reply(L)->claim.record));
}

static int low_scan(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    struct reply *reply;

    lua_settop(L, 2);
    reply = lua_isnil(L, 2) ? idem__lua_push_reply(L) : idem__lua_reply_at(L, 2);
    return idem__lua_answer(L, idem_scan(store, &reply->cursor, &reply->claim.record));
}

static int low_forget(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);

    return status_only(L, idem_forget(store, key, len, (uint32_t)integer_at(L, 3)));
}

static int low_touch(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    size_t len;
    const char *key = luaL_checklstring(L, 2, &len);

    return status_only(L, idem_touch(store, key, len, integer_at(L, 3)));
}

static int low_resolve(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    size_t len;
    size_t value_len = 0;
    const char *key = luaL_checklstring(L, 2, &len);
    const char *value = luaL_optlstring(L, 3, NULL, &value_len);

    return status_only(L, idem_resolve(store, key, len, value, value_len, integer_at(L, 4)));
}

const luaL_Reg idem__lua_key_functions[] = {
    {"lookup", low_lookup},   {"lookup_many", low_lookup_many},
    {"wait", low_wait},       {"scan", low_scan},
    {"forget", low_forget},   {"touch", low_touch},
    {"resolve", low_resolve}, {NULL, NULL},
};
