/*
 * work.h - what a process of a storm does besides claiming: it ends its claims, looks, forgets, resolves,
 * sweeps, forks, and turns into a new program by exec.
 */
#ifndef IDEM_STORM_WORK_H
#define IDEM_STORM_WORK_H

#include "claims.h"

/* The caller of an ending call is about to give the key up. */
static void leave(const struct held *held, uint32_t flags)
{
    struct grant *grant = &oracle->grants[held->grant];
    uint32_t number = held->grant;
    atomic_fetch_or(&grant->flags, flags);
    atomic_compare_exchange_strong(&oracle->key[grant->key].holder, &number, 0);
}

/* An ending call or a renewal by the grant's own token has returned. */
static void judge_end(const struct held *held, enum call call, int status, bool overtaken)
{
    const struct grant *grant = &oracle->grants[held->grant];
    expect(call, status, ALLOW(IDEM_ELOST));
    if (status == IDEM_OK && overtaken) {
        violation("key %u: grant %u was overtaken, yet its call %d is accepted", grant->key,
                  held->grant, call);
    } else if (status == IDEM_ELOST && !overtaken && !grant_in_doubt(grant)) {
        violation("key %u: grant %u is refused its call %d, though nobody may have taken it",
                  grant->key, held->grant, call);
    }
}

static void do_complete(struct thread *thread, struct held *held, bool overtaken)
{
    static _Thread_local uint64_t value[VALUE_MAX / 8 + 1];
    static const size_t sizes[] = {0, 16, 20, 100, 3000, VALUE_MAX, VALUE_MAX};
    static const int64_t ttls_ms[] = {IDEM_TTL_SAME, IDEM_TTL_SAME, HOUR_MS, IDEM_FOREVER, 1};
    struct grant *grant = &oracle->grants[held->grant];
    const size_t bytes = PICK(thread, sizes);
    const int64_t ttl_ms = PICK(thread, ttls_ms);
    write_value(value, VALUE_MAX, grant->key, held->grant);
    grant->value_bytes = bytes;
    grant->removals_at_end = gate_count(&oracle->key[grant->key].removals);
    const bool lasts = ttl_ms == IDEM_TTL_SAME ? grant->lasting : ttl_ms != 1;
    grant->expires_ns = lasts ? NEVER_NS : now_ns() + NS_PER_MS;
    if (ttl_ms == IDEM_TTL_SAME && !grant->lasting) {
        grant->expires_ns = 0; /* it may be over already */
    }
    leave(held, GRANT_ENDING | GRANT_COMPLETING);
    const int status =
        idem_complete(&held->claim, bytes ? value : NULL, bytes, ttl_ms, IDEM_ALLOW_NOT_KEPT);
    if (status == IDEM_OK) {
        atomic_store(&grant->kept, held->claim.record.kept != 0);
        if (bytes != 0 && !held->claim.record.kept) {
            count(CALL_COMPLETE, RESULT_NOT_KEPT);
        }
        grant_acked(held->grant);
    } else {
        atomic_fetch_or(&grant->flags, GRANT_REFUSED);
    }
    judge_end(held, CALL_COMPLETE, status, overtaken);
}

static void do_renew(struct thread *thread, struct held *held, bool overtaken)
{
    static const int64_t leases_ms[] = {0, 1, 10, 100};
    struct grant *grant = &oracle->grants[held->grant];
    const int64_t lease_ms = PICK(thread, leases_ms);
    const uint64_t old_ns = atomic_load(&grant->lease_end_ns);
    const uint64_t new_ns = lease_ms ? now_ns() + (uint64_t)lease_ms * NS_PER_MS : NEVER_NS;
    atomic_fetch_or(&grant->flags, GRANT_LEASED);
    /* Until it is known, either may count. */
    atomic_store(&grant->lease_end_ns, new_ns < old_ns ? new_ns : old_ns);
    const int status = idem_renew(&held->claim, lease_ms);
    judge_end(held, CALL_RENEW, status, overtaken);
    if (status == IDEM_OK) {
        atomic_store(&grant->lease_end_ns, new_ns);
    }
}

/* Ends or renews a claim of the thread's. */
static void use_claim(struct thread *thread)
{
    const uint32_t which = (uint32_t)pick(thread, thread->holds);
    struct held *held = &thread->held[which];
    const bool overtaken = atomic_load(&oracle->grants[held->grant].flags) & GRANT_OVERTAKEN;
    const uint64_t what = pick(thread, 10);
    if (what == 0) {
        do_renew(thread, held, overtaken);
        return;
    }
    if (what < 7) {
        do_complete(thread, held, overtaken);
    } else if (what < 9) {
        leave(held, GRANT_ENDING);
        judge_end(held, CALL_RELEASE, idem_release(&held->claim), overtaken);
    } else {
        leave(held, 0);
        judge_end(held, CALL_ABANDON, idem_abandon(&held->claim), overtaken);
    }
    thread->late[pick(thread, LATE_MAX)] = held->claim;
    *held = thread->held[--thread->holds];
}

/* A token that was used up, or, in a child, a copy of its parent's. */
static void use_foreign(struct thread *thread, struct idem_claim *claim, enum call call)
{
    const uint64_t what = pick(thread, 4);
    const int status = what == 0   ? idem_complete(claim, "late", 4, IDEM_TTL_SAME, 0)
                       : what == 1 ? idem_release(claim)
                       : what == 2 ? idem_abandon(claim)
                                   : idem_renew(claim, 0);
    count_status(call, status);
    if (status != IDEM_ELOST) {
        violation("%s token is accepted: status %d",
                  call == CALL_LATE ? "a late" : "a child's copy of a", status);
    }
}

static void do_look(struct thread *thread, uint32_t key)
{
    char name[32];
    const size_t length = name_of(name, sizeof(name), key);
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    const bool wait = pick(thread, 10) == 0;
    const struct before before = look_before(key);
    const int status =
        wait ? idem_wait(thread->store, name, length, (int64_t)pick(thread, WAIT_MAX_MS), &record)
             : idem_lookup(thread->store, name, length, &record);
    expect(wait ? CALL_WAIT : CALL_LOOKUP, status,
           ALLOW(IDEM_ENOTFOUND) | (wait ? ALLOW(IDEM_ETIMEDOUT) : 0));
    if (status == IDEM_OK && record.state == IDEM_STATE_DONE) {
        judge_value(key, &record, &before);
    } else {
        judge_not_done(key, &before, "absent or being run");
        judge_intent(key, &record);
    }
    idem_record_free(&record);
}

static void do_touch(struct thread *thread, uint32_t key)
{
    char name[32];
    const size_t length = name_of(name, sizeof(name), key);
    const bool shortens = pick(thread, 4) == 0;
    if (shortens) {
        gates_begin(thread, key, false);
    }
    const struct before before = look_before(key);
    const int status = idem_touch(thread->store, name, length, shortens ? 1 : HOUR_MS);
    expect(CALL_TOUCH, status, ALLOW(IDEM_ENOTFOUND) | ALLOW(IDEM_EBUSY));
    if (status != IDEM_OK) {
        judge_not_done(key, &before, "not to be touched");
    }
    if (shortens) {
        gates_end(thread, key, false);
    }
}

static void do_forget(struct thread *thread, uint32_t key)
{
    char name[32];
    const size_t length = name_of(name, sizeof(name), key);
    const bool forced = pick(thread, 6) == 0;
    gates_begin(thread, key, forced);
    const int status = idem_forget(thread->store, name, length, forced ? IDEM_FORCE : 0);
    gates_end(thread, key, forced);
    expect(CALL_FORGET, status, ALLOW(IDEM_ENOTFOUND) | (forced ? 0 : ALLOW(IDEM_EBUSY)));
}

/* As done, which is a completion without a claim, or as forgotten. */
static void do_resolve(struct thread *thread, uint32_t key)
{
    static _Thread_local uint64_t value[VALUE_MAX / 8 + 1];
    char name[32];
    const size_t length = name_of(name, sizeof(name), key);
    const uint32_t allowed = ALLOW(IDEM_ENOTFOUND) | ALLOW(IDEM_EBUSY);
    if (pick(thread, 2)) {
        gates_begin(thread, key, false);
        const int status = idem_resolve(thread->store, name, length, NULL, 0, 0);
        gates_end(thread, key, false);
        expect(CALL_RESOLVE, status, allowed);
        return;
    }
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    const int seen = idem_lookup(thread->store, name, length, &record);
    const uint32_t number =
        seen == IDEM_OK && record.state == IDEM_STATE_ORPHANED ? grant_new(key, thread->life) : 0;
    idem_record_free(&record);
    if (number == 0) {
        return;
    }
    /* Its record may have gone meanwhile and be another: so it vouches for nothing, but its value may be seen. */
    struct grant *grant = &oracle->grants[number];
    grant->any_record = true;
    grant->value_bytes = 2 * sizeof(value[0]) + pick(thread, 500);
    write_value(value, grant->value_bytes, key, number);
    atomic_fetch_or(&grant->flags, GRANT_COMPLETING);
    grant->removals_at_end = gate_count(&oracle->key[key].removals);
    grant->expires_ns = NEVER_NS;
    const int status =
        idem_resolve(thread->store, name, length, value, grant->value_bytes, HOUR_MS);
    if (status == IDEM_OK) {
        atomic_store(&grant->kept, true);
        atomic_store(&oracle->key[key].acked, number);
    } else {
        atomic_fetch_or(&grant->flags, GRANT_REFUSED);
    }
    expect(CALL_RESOLVE, status, allowed | ALLOW(IDEM_EFULL));
}

static void do_upkeep(struct thread *thread)
{
    struct idem_stats stats = {.size = sizeof(stats)};
    int64_t freed;
    switch (pick(thread, 4)) {
    case 0:
        freed = idem_sweep(thread->store, pick(thread, 2) ? 0 : 100);
        expect(CALL_SWEEP, freed < 0 ? (int)freed : IDEM_OK, 0);
        break;
    case 1:
        /* Lower than the limit in force is refused. */
        expect(CALL_RESIZE,
               idem_resize(thread->store,
                           oracle->max_bytes + RESIZE_STEP_BYTES * pick(thread, RESIZE_STEPS)),
               ALLOW(IDEM_EINVAL));
        break;
    default:
        expect(CALL_STATS, idem_stats(thread->store, &stats), 0);
        if (stats.used_bytes > stats.allocated_bytes || stats.slots_used > stats.slots_max) {
            violation("stats: %" PRIu64 " bytes used of %" PRIu64 ", %" PRIu64 " slots",
                      stats.used_bytes, stats.allocated_bytes, stats.slots_used);
        }
    }
}

static void do_check(idem_store *store)
{
    struct idem_report report = {.size = sizeof(report)};
    const int status = idem_check(store, &report);
    expect(CALL_CHECK, status, 0);
    if (report.violations != 0) {
        violation("check finds %" PRIu64 ", first %s", report.violations, report.first);
    }
}

static void one_call(struct thread *thread)
{
    const uint32_t key = (uint32_t)pick(thread, oracle->keys);
    const uint64_t what = pick(thread, 1000);
    if (thread->holds == HELD_MAX || (thread->holds > 0 && what < 350)) {
        use_claim(thread);
    } else if (what < 600) {
        do_claim(thread, key);
    } else if (what < 640) {
        do_claim_many(thread);
    } else if (what < 800) {
        do_look(thread, key);
    } else if (what < 910) {
        do_forget(thread, key);
    } else if (what < 950) {
        do_touch(thread, key);
    } else if (what < 970) {
        do_resolve(thread, key);
    } else if (what < 996) {
        struct idem_claim *late = &thread->late[pick(thread, LATE_MAX)];
        if (late->owner != 0) {
            use_foreign(thread, late, CALL_LATE);
        }
    } else {
        do_upkeep(thread);
    }
    if (pick(thread, CALLS_A_CHECK) == 0) {
        do_check(thread->store);
    }
}

static uint32_t life_begin(uint32_t spawn, uint32_t parent)
{
    const uint32_t number = atomic_fetch_add(&oracle->next_life, 1);
    CHECK(number < LIVES_MAX);
    oracle->lives[number].spawn = spawn;
    oracle->lives[number].parent = parent;
    oracle->lives[number].pid = getpid();
    return number;
}

/* In the child of a fork: the parent's claims are not its own; then it works for a while. It goes with the
   thread that made it. */
static void child_works(struct thread *thread, pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(0);
    }
    thread->life = life_begin(thread->spawn, thread->life);
    thread->index = 0;
    thread->is_child = true;
    for (uint32_t i = 0; i < thread->holds; i++) {
        use_foreign(thread, &thread->held[i].claim, CALL_CHILDS);
    }
    thread->holds = 0;
    for (uint32_t i = 0; i < CHILD_CALLS && !atomic_load(&oracle->stop); i++) {
        one_call(thread);
    }
    atomic_store(&oracle->lives[thread->life].ended, true);
    _exit(0);
}

static void reap_child(struct thread *thread, int options)
{
    int status;
    if (thread->child != 0 && waitpid(thread->child, &status, options) == thread->child) {
        if (status != 0) {
            violation("a child ends with %#x", (unsigned)status);
        }
        thread->child = 0;
    }
}

static void maybe_fork(struct thread *thread)
{
    reap_child(thread, WNOHANG);
    if (thread->child != 0 || pick(thread, CALLS_A_FORK) != 0) {
        return;
    }
    const pid_t parent = getpid();
    thread->random++; /* the child's choices are its own */
    const pid_t child = fork();
    if (child < 0) {
        return; /* the host has no room for it now */
    }
    if (child == 0) {
        thread->random ^= (uint64_t)getpid() << 20;
        child_works(thread, parent);
    }
    thread->child = child;
    count_status(CALL_FORK, IDEM_OK);
}

static void maybe_exec(struct thread *thread)
{
    if (pick(thread, CALLS_AN_EXEC) != 0) {
        return;
    }
    /* What the new program knows of the storm: see work_after_exec in storm.c. */
    char fd[24], slot[24], spawn[24], seed[24], random[24];
    snprintf(fd, sizeof(fd), "%d", oracle_fd);
    snprintf(slot, sizeof(slot), "%u", thread->slot);
    snprintf(spawn, sizeof(spawn), "%u", thread->spawn);
    snprintf(seed, sizeof(seed), "%" PRIu64, test_seed);
    snprintf(random, sizeof(random), "%" PRIu64, thread->random);
    atomic_store(&oracle->lives[thread->life].ended, true);
    count_status(CALL_EXEC, IDEM_OK);
    execl("/proc/self/exe", "storm", "worker", test_path, fd, slot, spawn, seed, random, NULL);
    CHECK_INT(errno, 0);
}

static void *thread_works(void *argument)
{
    struct thread *thread = argument;
    while (!atomic_load(&oracle->stop)) {
        one_call(thread);
        maybe_fork(thread);
        maybe_exec(thread);
    }
    reap_child(thread, 0);
    return NULL;
}

/* A process, until the round is over. */
_Noreturn static void process_works(idem_store *store, uint32_t slot, uint32_t spawn, uint64_t seed)
{
    static struct thread threads[THREADS_MAX];
    pthread_t others[THREADS_MAX];
    const uint32_t wanted = slot % 3 == 0 ? THREADS_MAX : 1;
    uint32_t count = 1;
    const uint32_t life = life_begin(spawn, 0);
    for (uint32_t i = 0; i < wanted; i++) {
        threads[i] = (struct thread){.store = store,
                                     .life = life,
                                     .index = i,
                                     .slot = slot,
                                     .spawn = spawn,
                                     .random = seed + i};
        if (i == count && pthread_create(&others[i], NULL, thread_works, &threads[i]) == 0) {
            count++; /* else the host has no room for it now */
        }
    }
    thread_works(&threads[0]);
    for (uint32_t i = 1; i < count; i++) {
        pthread_join(others[i], NULL);
    }
    atomic_store(&oracle->lives[life].ended, true);
    _exit(0);
}

#endif
