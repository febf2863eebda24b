/*
 * peer_lfht.c - liburcu's cds_lfht, under the conditions that suit it best: one process, plain
 * malloc, a table made for the population that never resizes, read locks inlined. Its entry is
 * what a program would write to keep a response by key in it.
 */
#define RCU_MEMB
#define URCU_INLINE_SMALL_FUNCTIONS
#include <urcu.h>
#include <urcu/rculfhash.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct cds_lfht_node node;
    uint32_t key_len, value_len;
    unsigned char value[VALUE_BYTES];
    char key[KEY_BYTES];
};

struct probe {
    const void *key;
    uint32_t key_len;
};

static struct cds_lfht *table;
static struct entry **removed; /* waiting for the grace period */
static size_t removed_capacity;

static int key_equals(struct cds_lfht_node *node, const void *key)
{
    const struct entry *entry = caa_container_of(node, struct entry, node);
    const struct probe *probe = key;
    return entry->key_len == probe->key_len && memcmp(entry->key, probe->key, probe->key_len) == 0;
}

void lfht_open(uint64_t keys)
{
    unsigned long buckets = 1;
    while (buckets < keys)
        buckets *= 2;
    /* Memory that is freed stays with malloc: else every round would fault it in again. */
    mallopt(M_TRIM_THRESHOLD, -1);
    mallopt(M_MMAP_MAX, 0);
    rcu_register_thread();
    table = cds_lfht_new(buckets, buckets, 0, 0, NULL);
    if (!table)
        bench_die("cds_lfht_new of %lu buckets failed", buckets);
}

static inline void add(const bench_key *keys, size_t n, int with_value)
{
    for (size_t i = 0; i < n; i++) {
        struct entry *entry = malloc(sizeof *entry);
        if (!entry)
            bench_die("no memory for an entry of cds_lfht");
        struct probe probe = {keys[i], KEY_BYTES};
        entry->key_len = KEY_BYTES;
        memcpy(entry->key, keys[i], KEY_BYTES);
        if (with_value) {
            entry->value_len = VALUE_BYTES;
            memcpy(entry->value, bench_value, VALUE_BYTES);
        }
        cds_lfht_node_init(&entry->node);
        unsigned long hash = XXH3_64bits(keys[i], KEY_BYTES);
        rcu_read_lock();
        struct cds_lfht_node *found =
            cds_lfht_add_unique(table, hash, key_equals, &probe, &entry->node);
        rcu_read_unlock();
        if (found != &entry->node)
            bench_die("cds_lfht already had a fresh key");
    }
}

void lfht_add(const bench_key *keys, size_t n) { add(keys, n, 0); }

void lfht_add_with_value(const bench_key *keys, size_t n) { add(keys, n, 1); }

static inline struct entry *find(const bench_key *key)
{
    struct probe probe = {key, KEY_BYTES};
    struct cds_lfht_iter found;
    cds_lfht_lookup(table, XXH3_64bits(key, KEY_BYTES), key_equals, &probe, &found);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&found);
    if (!node)
        bench_die("cds_lfht lost a key");
    return caa_container_of(node, struct entry, node);
}

void lfht_lookup(const bench_key *keys, size_t n)
{
    unsigned char value[VALUE_BYTES];
    for (size_t i = 0; i < n; i++) {
        rcu_read_lock();
        memcpy(value, find(&keys[i])->value, VALUE_BYTES);
        rcu_read_unlock();
        __asm__ volatile("" : : "r"(value) : "memory"); /* or the copy would be left out */
    }
}

void lfht_remove(const bench_key *keys, size_t n)
{
    if (n > removed_capacity) {
        free(removed);
        removed = bench_alloc(n * sizeof *removed);
        removed_capacity = n;
    }
    for (size_t i = 0; i < n; i++) {
        rcu_read_lock();
        removed[i] = find(&keys[i]);
        if (cds_lfht_del(table, &removed[i]->node) != 0)
            bench_die("cds_lfht_del failed");
        rcu_read_unlock();
    }
    synchronize_rcu();
    for (size_t i = 0; i < n; i++)
        free(removed[i]);
}

void lfht_close(void)
{
    struct cds_lfht_iter at;
    struct entry *entry;
    rcu_read_lock();
    cds_lfht_for_each_entry(table, &at, entry, node)
    {
        if (cds_lfht_del(table, &entry->node) != 0)
            bench_die("cds_lfht_del failed");
        free(entry); /* no other thread reads; the iterator has already loaded the next node */
    }
    rcu_read_unlock();
    cds_lfht_destroy(table, NULL);
    free(removed);
    removed = NULL;
    removed_capacity = 0;
    rcu_unregister_thread();
    malloc_trim(0);
}
