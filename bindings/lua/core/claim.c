/* claim.c - claims: made alone or many at once, and ended. */
#include "core.h"

/* Whose byte strings stay valid as long as they are on the stack, or in a table that is. */
static void set_request(struct idem_request *request, lua_State *L, int key, int fingerprint,
                        int intent, int times)
{
    size_t fingerprint_len;

    idem_request_init(request, sizeof *request);
    request->key = luaL_checklstring(L, key, &request->key_len);
    if (lua_toboolean(L, fingerprint)) { /* nil or false: none */
        request->fingerprint = luaL_checklstring(L, fingerprint, &fingerprint_len);
        luaL_argcheck(L, fingerprint_len == IDEM_FINGERPRINT_SIZE, fingerprint, "wrong size");
    }
    request->intent = luaL_checklstring(L, intent, &request->intent_len);
    request->ttl_ms = integer_at(L, times);
    request->lease_ms = integer_at(L, times + 1);
    request->crash_grace_ms = integer_at(L, times + 2);
    request->flags = (uint32_t)integer_at(L, times + 3);
}

static int low_claim(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    struct idem_request request;
    struct reply *reply;
    int status;

    set_request(&request, L, 2, 3, 4, 5);
    request.wait_ms = integer_at(L, 9);
    reply = idem__lua_push_reply(L);
    status = idem_claim(store, &request, &reply->claim);
    reply->open = reply->claim.owner != 0;
    return idem__lua_answer(L, status);
}

static int low_claim_many(lua_State *L)
{
    idem_store *store = idem__lua_store_at(L, 1);
    const int n = idem__lua_count_at(L, 2);
    struct idem_request *requests = idem__lua_push_array(L, n, sizeof *requests);
    struct idem_claim *claims = idem__lua_push_array(L, n, sizeof *claims);
    const int replies = idem__lua_push_replies(L, n);
    int status;

    for (int i = 0; i < n; i++) {
        const int top = lua_gettop(L);

        for (int table = 3; table <= 5; table++)
            lua_rawgeti(L, table, i + 1);
        set_request(&requests[i], L, top + 1, top + 2, top + 3, 6);
        lua_settop(L, top);
        claims[i] = idem__lua_reply_in(L, replies, i)->claim;
    }
    status = idem_claim_many(store, requests, claims, (size_t)n);
    for (int i = 0; i < n; i++) {
        struct reply *reply = idem__lua_reply_in(L, replies, i);

        reply->claim = claims[i];
        reply->open = claims[i].owner != 0;
    }
    lua_pushinteger(L, status);
    return 2;
}

/* Ends a claim, if the call has: then nothing is left to abandon. */
static int end_claim(lua_State *L, struct reply *reply, int status)
{
    if (status == IDEM_OK)
        reply->open = false;
    return status_only(L, status);
}

static int low_complete(lua_State *L)
{
    struct reply *reply = idem__lua_reply_at(L, 1);
    size_t len;
    const char *value = luaL_checklstring(L, 2, &len);
    const int64_t ttl_ms = integer_at(L, 3);

    const uint32_t flags = (uint32_t)integer_at(L, 4);

    end_claim(L, reply, idem_complete(&reply->claim, value, len, ttl_ms, flags));
    lua_pushboolean(L, reply->claim.record.kept);
    return 2;
}

static int low_release(lua_State *L)
{
    struct reply *reply = idem__lua_reply_at(L, 1);

    return end_claim(L, reply, idem_release(&reply->claim));
}

static int low_abandon(lua_State *L)
{
    struct reply *reply = idem__lua_reply_at(L, 1);

    return end_claim(L, reply, idem_abandon(&reply->claim));
}

static int low_renew(lua_State *L)
{
    return status_only(L, idem_renew(&idem__lua_reply_at(L, 1)->claim, integer_at(L, 2)));
}

const luaL_Reg idem__lua_claim_functions[] = {
    {"claim", low_claim},
    {"claim_many", low_claim_many},
    {"complete", low_complete},
    {"release", low_release},
    {"abandon", low_abandon},
    {"renew", low_renew},
    {NULL, NULL},
};
