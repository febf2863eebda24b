/* core.c - the C module `idemkey.core`: core.h describes it. */
#include "core.h"

static void add_functions(lua_State *L, const luaL_Reg *functions)
{
    for (; functions->name != NULL; functions++) {
        lua_pushcfunction(L, functions->func);
        lua_setfield(L, -2, functions->name);
    }
}

/* What require calls; the only symbol that the module exports. */
__attribute__((visibility("default"))) int luaopen_idemkey_core(lua_State *L);

int luaopen_idemkey_core(lua_State *L)
{
    idem__lua_make_store_type(L);
    idem__lua_make_reply_type(L);
    lua_newtable(L);
    add_functions(L, idem__lua_store_functions);
    add_functions(L, idem__lua_reply_functions);
    add_functions(L, idem__lua_claim_functions);
    add_functions(L, idem__lua_key_functions);
    return 1;
}
