/*
 * peer_lmdb.c - LMDB on the same tmpfs, without syncing and writing straight into its map: the
 * fastest that it has while several processes may still share the file.
 */
#include "bench.h"

#include <lmdb.h>
#include <stdio.h>
#include <unistd.h>

enum {
    MAP_BYTES_PER_KEY = 512, /* pages of a tree filled in random order are about 69% full */
    MAP_BYTES_LEAST = 64 << 20
};

static MDB_env *env;
static MDB_dbi dbi;

static void must(int status, const char *call)
{
    if (status != MDB_SUCCESS)
        bench_die("%s: %s", call, mdb_strerror(status));
}

void lmdb_open(uint64_t keys)
{
    const char *path = bench_temp_path("mdb");
    char lock[128];
    MDB_txn *txn;
    must(mdb_env_create(&env), "mdb_env_create");
    must(mdb_env_set_mapsize(env, keys * MAP_BYTES_PER_KEY + MAP_BYTES_LEAST), "set_mapsize");
    must(mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOSYNC | MDB_WRITEMAP, 0600), "mdb_env_open");
    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    must(mdb_dbi_open(txn, NULL, 0, &dbi), "mdb_dbi_open");
    must(mdb_txn_commit(txn), "mdb_txn_commit");
    snprintf(lock, sizeof lock, "%s-lock", path); /* as LMDB names it; its map keeps both */
    unlink(lock);
    unlink(path);
}

static inline void put(MDB_txn *txn, const bench_key *key)
{
    MDB_val k = {KEY_BYTES, (void *)key};
    MDB_val v = {VALUE_BYTES, (void *)bench_value};
    must(mdb_put(txn, dbi, &k, &v, MDB_NOOVERWRITE), "mdb_put");
}

void lmdb_put(const bench_key *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        MDB_txn *txn;
        must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
        put(txn, &keys[i]);
        must(mdb_txn_commit(txn), "mdb_txn_commit");
    }
}

void lmdb_put_in_one_transaction(const bench_key *keys, size_t n)
{
    MDB_txn *txn;
    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    for (size_t i = 0; i < n; i++)
        put(txn, &keys[i]);
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}

void lmdb_remove(const bench_key *keys, size_t n)
{
    MDB_txn *txn;
    must(mdb_txn_begin(env, NULL, 0, &txn), "mdb_txn_begin");
    for (size_t i = 0; i < n; i++) {
        MDB_val k = {KEY_BYTES, (void *)keys[i]};
        must(mdb_del(txn, dbi, &k, NULL), "mdb_del");
    }
    must(mdb_txn_commit(txn), "mdb_txn_commit");
}

void lmdb_close(void) { mdb_env_close(env); }
