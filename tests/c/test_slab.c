/* Slabs change their class and go back to the system; a slow owner of one is waited for, a dead one not. */
#include "slab.h"

#include "inside.h"

#define STATES (SLAB_PUNCH + 1)

static void count_states(idem_store *store, uint32_t counts[STATES])
{
    struct idem__op op = inside_begin(store);
    memset(counts, 0, STATES * sizeof(counts[0]));
    for (uint32_t slab = 0; slab < idem__slab_high(op.region); slab++) {
        counts[idem__slab_state(idem__load64(&op.region->slab_table[slab].state))]++;
    }
    inside_end(&op);
}

static void fill(idem_store *store, int keys, const char *value)
{
    for (int i = 0; i < keys; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %06d", i);
        put(store, key, value);
    }
}
static void empty(idem_store *store, int keys)
{
    for (int i = 0; i < keys; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %06d", i);
        CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
    }
}

static void empty_slabs_go_back(void)
{
    enum { KEYS = 3000 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    uint32_t counts[STATES];
    const uint64_t before = store_stats(store).allocated_bytes;
    fill(store, KEYS, "value");
    count_states(store, counts);
    CHECK(counts[SLAB_ACTIVE] > 20);
    empty(store, KEYS);
    (void)used_after_sweep(store);
    count_states(store, counts);
    CHECK_INT(counts[SLAB_ACTIVE] + counts[SLAB_DRAINING] + counts[SLAB_INIT] + counts[SLAB_PUNCH],
              0);
    const struct idem_stats after = store_stats(store);
    CHECK(after.allocated_bytes <= before + counts[SLAB_INDEX] * after.slab_bytes);
    fill(store, KEYS, "value");
    store_end(store);
}

/* A later block of the same place has a higher generation, whatever the slab was meanwhile. */
static void generations_rise_across_lives_of_a_slab(void)
{
    enum { LIVES = 5 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct idem_claim claims[LIVES];
    for (int life = 0; life < LIVES; life++) {
        char key[200];
        memset(key, 'k', sizeof(key));
        key[life % 2 ? 150 : 8] = '\0'; /* another class each time */
        CHECK_INT(claim_key(store, key, &claims[life]), IDEM_CLAIMED);
        struct idem_claim copy = claims[life];
        CHECK_INT(idem_release(&copy), IDEM_OK);
        (void)used_after_sweep(store);
        for (int earlier = 0; earlier < life; earlier++) {
            CHECK(claims[earlier].block != claims[life].block ||
                  claims[earlier].generation < claims[life].generation);
        }
    }
    store_end(store);
}

static uint32_t an_active_slab(idem_store *store)
{
    struct idem__op op = inside_begin(store);
    uint32_t slab = 0;
    while (idem__slab_state(idem__load64(&op.region->slab_table[slab].state)) != SLAB_ACTIVE) {
        slab++;
        CHECK(slab < idem__slab_high(op.region));
    }
    inside_end(&op);
    return slab;
}

/* INIT and PUNCH of a dead process are taken over, those of a living one never. */
static void only_the_dead_lose_a_slab(void)
{
    for (int state = SLAB_INIT; state <= SLAB_PUNCH; state += SLAB_PUNCH - SLAB_INIT) {
        for (int dead = 0; dead < 2; dead++) {
            unlink(test_path);
            idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
            CHECK_INT(outcome_of(store, "key"), IDEM_CLAIMED);
            CHECK_INT(idem_forget(store, "key", 3, IDEM_FORCE), IDEM_OK);
            const uint32_t slab = an_active_slab(store);
            const uint32_t owner = dead ? inside_dead_owner(store) : 1;
            struct idem__op op = inside_begin(store);
            struct slab_shm *entry = &op.region->slab_table[slab];
            if (!dead) {
                CHECK_INT(op.thread->owner, owner);
            }
            inside_end(&op);
            const uint64_t word = idem__slab_word((uint32_t)state, 0, 0, owner);
            idem__store64(&entry->state, word);
            struct idem_claim claim = no_claim();
            int status = IDEM_OK;
            for (int i = 0; status == IDEM_OK; i++) {
                char key[16];
                snprintf(key, sizeof(key), "key %06d", i);
                const struct idem_request request = request_of(key);
                status = idem_claim(store, &request, &claim);
            }
            CHECK_INT(status, IDEM_EFULL);
            CHECK_INT(idem__load64(&entry->state) == word, !dead);
            idem__store64(&entry->state,
                          idem__load64(&entry->state) == word ? 0 : idem__load64(&entry->state));
            store_end(store);
        }
    }
}

/* Killed between naming an index chunk and saying so: the slab stays the index's. */
static void a_named_chunk_of_the_dead_stays_an_index(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    const uint32_t dead = inside_dead_owner(store);
    struct idem__op op = inside_begin(store);
    struct slab_shm *entry = &op.region->slab_table[0];
    CHECK_INT(idem__slab_state(idem__load64(&entry->state)), SLAB_INDEX);
    inside_end(&op);
    idem__store64(&entry->state, idem__slab_word(SLAB_INIT, 0, 0, dead));
    fill(store, 100, "value");
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %06d", i);
        CHECK(has_value(store, key, "value"));
    }
    CHECK_SOON(idem__owner_dead(op.region, dead));
    for (int i = 100; idem__slab_state(idem__load64(&entry->state)) == SLAB_INIT; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %06d", i);
        put(store, key, "value");
        CHECK(i < 100000);
    }
    CHECK_INT(idem__slab_state(idem__load64(&entry->state)), SLAB_INDEX);
    store_end(store);
}

/* A word that is nearly UNUSED: whoever looks for a slab leaves it alone, and ends its search. */
static void a_damaged_entry_is_left_alone(void)
{
    enum { KEYS = 3000 };
    const uint64_t damage = (uint64_t)0x34630c7e
                            << 12; /* state bits 0, and others that no state has */
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    fill(store, KEYS, "value");
    empty(store, KEYS);
    (void)used_after_sweep(store);
    struct idem__op op = inside_begin(store);
    const uint32_t high = idem__slab_high(op.region);
    inside_end(&op);
    uint32_t slab = 0;
    while (slab < high && idem__load64(&op.region->slab_table[slab].state) != 0) {
        slab++;
    }
    CHECK(slab < high);
    struct slab_shm *entry = &op.region->slab_table[slab];
    idem__store64(&entry->state, damage);
    fill(store, KEYS, "value");
    CHECK_INT(idem__load64(&entry->state), damage);
    store_end(store);
}

/* Closed slabs: how many. The blocks of one are not taken. */
static uint32_t count_closed(const struct idem__region *region)
{
    uint32_t closed = 0;
    for (uint32_t slab = 0; slab < idem__slab_high(region); slab++) {
        closed += idem__slab_closed(idem__load64(&region->slab_table[slab].state));
    }
    return closed;
}

static uint32_t close_all(const struct idem__op *op)
{
    for (uint32_t slab = 0; slab < idem__slab_high(op->region); slab++) {
        struct idem__op in = *op;
        (void)idem__slab_close(&in, slab);
    }
    return count_closed(op->region);
}

/* Records and values are read and end in a closed slab; new keys open it when no other memory is left. */
static void a_closed_slab_is_opened_when_needed(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    int keys = 0;
    char key[16];
    for (struct idem_claim claim = no_claim();; keys++) {
        snprintf(key, sizeof(key), "key %06d", keys);
        const struct idem_request request = request_of(key);
        const int status = idem_claim(store, &request, &claim);
        if (status != IDEM_OK) {
            CHECK_INT(status, IDEM_EFULL);
            break;
        }
        complete_with(&claim, "");
    }
    CHECK_INT(idem_forget(store, "key 000000", 10, 0), IDEM_OK);
    struct idem__op op = inside_begin(store);
    const uint32_t closed = close_all(&op);
    CHECK(closed > 0);
    inside_end(&op);
    CHECK(has_value(store, "key 000001", ""));
    CHECK_INT(idem_forget(store, "key 000001", 10, 0), IDEM_OK);
    CHECK_INT(outcome_of(store, "new key"), IDEM_CLAIMED);
    CHECK(count_closed(op.region) < closed);
    store_end(store);
}

static void close_and_die(void *store)
{
    struct idem__op op = inside_begin(store);
    CHECK(close_all(&op) > 0);
    raise(SIGKILL);
}

/* What was in use keeps its slab; the others are emptied by whoever comes. */
static void closed_slabs_of_the_dead_are_emptied(void)
{
    enum { KEYS = 1000 };
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    fill(store, KEYS, "value");
    empty(store, KEYS);
    put(store, "the last key", "value");
    const pid_t child = test_child(close_and_die, store);
    CHECK_INT(test_join(child), -SIGKILL);
    (void)used_after_sweep(store);
    struct idem__op op = inside_begin(store);
    const uint32_t closed = count_closed(op.region);
    inside_end(&op);
    uint32_t counts[STATES];
    count_states(store, counts);
    CHECK_INT(closed, 0);
    CHECK_INT(counts[SLAB_ACTIVE], 2); /* the last key's, and its value's */
    CHECK(has_value(store, "the last key", "value"));
    store_end(store);
}

static void *sweep_once(void *store)
{
    CHECK(idem_sweep(store, 0) >= 0);
    return NULL;
}

/* Somebody in the middle of taking a block, who saw the slab open, is waited for. */
static void a_section_keeps_a_closed_slab(void)
{
    idem_store *store = store_open_with(STORE_SMALLEST_BYTES, 0);
    put(store, "key", "value");
    CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    const uint32_t slab = an_active_slab(store);
    for (int i = 0; i < 2; i++) {
        CHECK(idem_sweep(store, 1) >= 0); /* grace periods end */
    }
    put(store, "key", "value");
    struct idem__op op = inside_begin(store);
    idem__a64 *state = &op.region->slab_table[slab].state;
    idem__a64 *word = idem__slab_words(op.region, slab);
    const uint64_t before = idem__load64(state);
    CHECK(idem__slab_open(before));
    pthread_t sweeper;
    CHECK_INT(pthread_create(&sweeper, NULL, sweep_once, store), 0);
    CHECK_INT(pthread_join(sweeper, NULL), 0);
    CHECK_INT((uint32_t)idem__load64(state), (uint32_t)before); /* still of this class */
    struct idem__drain drain = {.slab = slab + 1};
    const bool closed = idem__slab_close(&op, slab);
    const uint64_t seen = idem__load64(word);
    CHECK(closed && !idem__slab_drain(&op, &drain, UINT32_MAX));
    CHECK_INT(drain.slab, slab + 1); /* to be gone on with */
    CHECK(idem__load64(word) == seen);
    inside_end(&op);
    CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    (void)used_after_sweep(store);
    CHECK(idem__slab_state(idem__load64(state)) != SLAB_ACTIVE);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(empty_slabs_go_back),
                                    TEST(generations_rise_across_lives_of_a_slab),
                                    TEST(only_the_dead_lose_a_slab),
                                    TEST(a_named_chunk_of_the_dead_stays_an_index),
                                    TEST(a_damaged_entry_is_left_alone),
                                    TEST(a_closed_slab_is_opened_when_needed),
                                    TEST(closed_slabs_of_the_dead_are_emptied),
                                    TEST(a_section_keeps_a_closed_slab),
                                    {0}});
}
