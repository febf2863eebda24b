/* reply.c - replies: the userdata that hold what the library answers. */
#include <string.h>

#include "core.h"

#define TYPE "idemkey.reply"

enum { ID_WORD_BITS = 32 /* a number of Lua 5.1 holds half an id */ };

/* Its address is where the registry keeps the function that is told of abandoned claims. */
static const char abandon_key;

struct reply *idem__lua_reply_at(lua_State *L, int index)
{
    return luaL_checkudata(L, index, TYPE);
}

struct reply *idem__lua_push_reply(lua_State *L)
{
    struct reply *reply = lua_newuserdata(L, sizeof *reply);

    memset(reply, 0, sizeof *reply);
    idem_claim_init(&reply->claim, sizeof reply->claim);
    reply->claim.record.buffer = reply->space;
    reply->claim.record.buffer_size = sizeof reply->space;
    luaL_getmetatable(L, TYPE);
    lua_setmetatable(L, -2);
    return reply;
}

int idem__lua_push_replies(lua_State *L, int n)
{
    lua_createtable(L, n, 0);
    for (int i = 0; i < n; i++) {
        (void)idem__lua_push_reply(L);
        lua_rawseti(L, -2, i + 1);
    }
    return lua_gettop(L);
}

struct reply *idem__lua_reply_in(lua_State *L, int table, int i)
{
    struct reply *reply;

    lua_rawgeti(L, table, i + 1);
    reply = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return reply;
}

static void push_id(lua_State *L, uint64_t id)
{
    lua_pushinteger(L, (lua_Integer)(id >> ID_WORD_BITS));
    lua_pushinteger(L, (lua_Integer)(id & UINT32_MAX));
}

static int collect_reply(lua_State *L)
{
    struct reply *reply = idem__lua_reply_at(L, 1);

    idem_record_free(&reply->claim.record);
    if (reply->open && idem_abandon(&reply->claim) == IDEM_OK) {
        lua_pushlightuserdata(L, (void *)&abandon_key);
        lua_rawget(L, LUA_REGISTRYINDEX);
        push_id(L, reply->claim.record.id);
        if (lua_pcall(L, 2, 0, 0) != 0)
            lua_pop(L, 1); /* a finalizer can tell nobody */
    }
    reply->open = false;
    return 0;
}

static int low_on_abandon(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_pushlightuserdata(L, (void *)&abandon_key);
    lua_pushvalue(L, 1);
    lua_rawset(L, LUA_REGISTRYINDEX);
    return 0;
}

static void push_bytes(lua_State *L, bool is_there, const void *bytes, size_t len)
{
    if (is_there)
        lua_pushlstring(L, bytes, len);
    else
        lua_pushnil(L);
}

static int low_read(lua_State *L)
{
    const int base = lua_gettop(L);
    struct reply *reply = idem__lua_reply_at(L, 1);
    struct idem_claim *claim = &reply->claim;
    struct idem_record *record = &claim->record;
    /* A MISMATCH has no value to tell: it is another request's. */
    const bool has_value =
        record->kept && record->state == IDEM_STATE_DONE && claim->outcome != IDEM_MISMATCH;

    lua_pushinteger(L, claim->status != IDEM_OK ? claim->status : claim->outcome);
    lua_pushinteger(L, record->state);
    lua_pushinteger(L, record->attempt);
    lua_pushboolean(L, record->held);
    lua_pushboolean(L, record->kept);
    push_id(L, record->id);
    lua_pushinteger(L, (lua_Integer)record->age_ms);
    lua_pushinteger(L, (lua_Integer)record->lease_left_ms);
    lua_pushinteger(L, (lua_Integer)record->done_age_ms);
    lua_pushinteger(L, (lua_Integer)record->expires_in_ms);
    push_bytes(L, has_value, record->value, record->value_len);
    push_bytes(L, true, record->intent, record->intent_len);
    push_bytes(L, record->has_fingerprint, record->fingerprint, sizeof record->fingerprint);
    push_bytes(L, true, record->key, record->key_len);
    idem_record_free(record);
    return lua_gettop(L) - base;
}

static int low_free(lua_State *L)
{
    (void)idem__lua_reply_at(L, 1); /* the collector takes it */
    return 0;
}

const luaL_Reg idem__lua_reply_functions[] = {
    {"on_abandon", low_on_abandon},
    {"read", low_read},
    {"free", low_free},
    {NULL, NULL},
};

void idem__lua_make_reply_type(lua_State *L)
{
    luaL_newmetatable(L, TYPE);
    lua_pushcfunction(L, collect_reply);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}
