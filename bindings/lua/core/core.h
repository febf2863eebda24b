/*
 * core.h - the C library for PUC Lua 5.1 to 5.4: what the files of the C module `idemkey.core` share.
 * low_level.lua describes its functions.
 *
 * What is to hold the answer of a call is made before the call: no error of Lua (it may be out of
 * memory whenever something is created) can lose a claim that was won, or memory of the library's.
 */
#ifndef IDEMKEY_LUA_CORE_H
#define IDEMKEY_LUA_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#include <idemkey.h>

enum {
    SPACE_BYTES = 256 /* longer values take memory of the library's until they are read */
};

/* A claim, or what is known of a key, or one of a scan; a userdata. */
struct reply {
    struct idem_claim claim;
    uint64_t cursor;
    bool open; /* the claim is to be ended */
    char space[SPACE_BYTES];
};

/* Arguments, or an error of Lua. Lua 5.1 has doubles only; numbers that pass here are below 2^53. */
static inline int64_t integer_at(lua_State *L, int index)
{
    return (int64_t)luaL_checknumber(L, index);
}
idem_store *idem__lua_store_at(lua_State *L, int index);
struct reply *idem__lua_reply_at(lua_State *L, int index);
/* The length of a batch. */
int idem__lua_count_at(lua_State *L, int index);

/* Leaves an empty reply on the stack. */
struct reply *idem__lua_push_reply(lua_State *L);
/* Leaves a table of n empty replies on the stack; its index. */
int idem__lua_push_replies(lua_State *L, int n);
/* The reply i, from 0, of such a table. No error of Lua comes from here. */
struct reply *idem__lua_reply_in(lua_State *L, int table, int i);
/* Zeroed memory for n items, which the collector takes back. Leaves it on the stack. */
void *idem__lua_push_array(lua_State *L, int n, size_t item_bytes);

/* What a call returns whose answer is on top of the stack: that, or nil and the status. */
int idem__lua_answer(lua_State *L, int status);
static inline int status_only(lua_State *L, int status)
{
    lua_pushinteger(L, status);
    return 1;
}

/* The functions of each file, ended by an empty one. */
extern const luaL_Reg idem__lua_reply_functions[], idem__lua_claim_functions[],
    idem__lua_key_functions[], idem__lua_store_functions[];
/* Makes the types of userdata. */
void idem__lua_make_reply_type(lua_State *L);
void idem__lua_make_store_type(lua_State *L);

#endif
