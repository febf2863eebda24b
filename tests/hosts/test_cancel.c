/*
 * Threads that are cancelled: their slots come back, and nothing of the process stays locked. No call is a
 * cancellation point: one that is under way when the cancellation comes is finished first. (Asynchronous
 * cancellation inside a call is not promised, as for all functions that POSIX does not name.)
 */
#include <pthread.h>

#include "../c/inside.h"
#include "hosts.h"

#define KEYS 500
#define VALUE_BYTES 4000

/* AddressSanitizer does not see the stack unwound: variables are none of the functions that are left so. */
#define NOT_INLINED __attribute__((noinline))

static idem_store *store;
static void (*work)(void); /* of the thread to be cancelled */
static atomic_int may_be_cancelled, is_cancelled, call_is_over;

static void *do_the_work(void *unused)
{
    work();
    return unused;
}

static void cancel_a_thread(void (*its_work)(void))
{
    pthread_t thread;
    void *result;
    work = its_work;
    atomic_store(&may_be_cancelled, 0);
    atomic_store(&is_cancelled, 0);
    atomic_store(&call_is_over, 0);
    CHECK_INT(pthread_create(&thread, NULL, do_the_work, NULL), 0);
    CHECK_SOON(atomic_load(&may_be_cancelled));
    CHECK_INT(pthread_cancel(thread), 0);
    atomic_store(&is_cancelled, 1);
    CHECK_INT(pthread_join(thread, &result), 0);
    CHECK(result == PTHREAD_CANCELED);
}

/* ---- between calls -------------------------------------------------------------------------- */

static NOT_INLINED void get_ready(int cancel_type)
{
    int unused;
    put(store, "key", "value");
    CHECK_INT(pthread_setcanceltype(cancel_type, &unused), 0);
    atomic_store(&may_be_cancelled, 1);
}

static void wait_for_a_cancellation(void)
{
    get_ready(PTHREAD_CANCEL_DEFERRED);
    for (;;) {
        pause();
    }
}

static void run_until_cancelled(void)
{
    get_ready(PTHREAD_CANCEL_ASYNCHRONOUS);
    for (;;) { /* no cancellation point here */
    }
}

static void a_cancelled_thread_gives_its_slot_back(void)
{
    void (*const works[])(void) = {wait_for_a_cancellation, run_until_cancelled};
    store = store_open();
    CHECK_INT(store_stats(store).slots_used, 1);
    for (int i = 0; i < 2; i++) {
        cancel_a_thread(works[i]);
        CHECK_INT(store_stats(store).slots_used, 1);
        CHECK(has_value(store, "key", "value"));
        CHECK_INT(idem_forget(store, "key", 3, 0), IDEM_OK);
    }
    store_end(store);
}

/* ---- inside a call -------------------------------------------------------------------------- */

static void open_store(void) { store = store_open(); }
static void close_store(void) { CHECK_INT(idem_close(store), IDEM_OK); }
static void claim_and_release(void)
{
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "key", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_release(&claim), IDEM_OK);
}

static void take_slabs(void)
{
    const char value[VALUE_BYTES] = "";
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        struct idem_claim claim;
        snprintf(key, sizeof(key), "key %d", i);
        CHECK_INT(claim_key(store, key, &claim), IDEM_CLAIMED);
        CHECK_INT(idem_complete(&claim, value, sizeof(value), IDEM_TTL_SAME, 0), IDEM_OK);
        CHECK_INT(claim.record.kept, 1);
    }
}

static void give_slabs_back(void)
{
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %d", i);
        CHECK_INT(idem_forget(store, key, strlen(key), 0), IDEM_OK);
    }
    CHECK(idem_sweep(store, 0) >= 0);
}

static void resize(void)
{
    CHECK_INT(idem_resize(store, store_stats(store).max_bytes + (1 << 20)), IDEM_OK);
}

static void wait_for_a_key(void)
{
    struct idem_record record;
    idem_record_init(&record, sizeof(record));
    struct idem_claim claim;
    CHECK_INT(claim_key(store, "held", &claim), IDEM_CLAIMED);
    CHECK_INT(idem_wait(store, "held", 4, 30, &record), IDEM_ETIMEDOUT);
    idem_record_free(&record);
    complete_with(&claim, "value");
}

/* Until there is no room: the main thread, in a section, keeps what is released from being used again. */
static void use_up_the_room(void)
{
    int status = IDEM_OK;
    for (int i = 0; status == IDEM_OK; i++) {
        char key[32];
        struct idem_claim claim = no_claim();
        snprintf(key, sizeof(key), "other %d", i);
        const struct idem_request request = request_of(key);
        status = idem_claim(store, &request, &claim);
        if (status == IDEM_OK) {
            CHECK_INT(idem_release(&claim), IDEM_OK);
        }
    }
    CHECK_INT(status, IDEM_EFULL);
}

static void (*call)(void);

/* Makes the call with a cancellation pending, which comes behind it. */
static NOT_INLINED void call_with_one_pending(void)
{
    int unused;
    CHECK_INT(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &unused), 0);
    atomic_store(&may_be_cancelled, 1);
    CHECK_SOON(atomic_load(&is_cancelled));
    CHECK_INT(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &unused), 0);
    call();
    atomic_store(&call_is_over, 1);
}

static void call_when_cancelled(void)
{
    call_with_one_pending();
    pthread_testcancel();
}

static void check_finishes(void (*its_call)(void), const char *name)
{
    call = its_call;
    cancel_a_thread(call_when_cancelled);
    if (!atomic_load(&call_is_over)) {
        TEST_FAIL("%s was left in the middle", name);
    }
}
#define CHECK_FINISHES(call) check_finishes(call, #call)

static void a_call_is_finished_before_a_cancellation(void)
{
    /* Each in a thread of its own, which therefore also takes a slot. */
    CHECK_FINISHES(open_store);        /* which makes it */
    CHECK_FINISHES(claim_and_release); /* which makes this process an owner */
    CHECK_FINISHES(close_store);
    CHECK_FINISHES(open_store);
    CHECK_FINISHES(claim_and_release);
    CHECK_FINISHES(take_slabs);
    CHECK_FINISHES(give_slabs_back);
    CHECK_FINISHES(resize);
    CHECK_FINISHES(wait_for_a_key);
    CHECK_INT(store_stats(store).slots_used, 1);
    store_end(store);
    unlink(test_path);
    store = store_open_with(STORE_SMALLEST_BYTES, 0);
    struct idem__op op = inside_begin(store);
    CHECK_FINISHES(use_up_the_room);
    inside_end(&op);
    CHECK_INT(store_stats(store).slots_used, 1);
    store_end(store);
}

int main(void)
{
    return test_run((struct test[]){TEST(a_cancelled_thread_gives_its_slot_back),
                                    TEST(a_call_is_finished_before_a_cancellation),
                                    {0}});
}
