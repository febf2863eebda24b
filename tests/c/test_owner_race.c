/*
 * The moments of registration that chance does not find: this program's own fcntl lets a whole life of
 * another process happen right before the lock is tried, or right after it was had.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>

#include "owner.h"
#include "test.h"

static struct idem__region *region;
static pid_t helper; /* lives its life when told */
static int go[2];
static enum { NEVER, BEFORE, AFTER } when;

static void live(void)
{
    CHECK_INT(write(go[1], "", 1), 1);
    CHECK_INT(test_join(helper), 0);
    when = NEVER;
}

/* What the core calls; everything else goes through. */
int fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    const bool is_lock =
        command == F_OFD_SETLK && ((const struct flock *)argument)->l_type == F_WRLCK;
    if (is_lock && when == BEFORE) {
        live();
    }
    const int rc = (int)syscall(SYS_fcntl, fd, command, argument);
    if (is_lock && when == AFTER) {
        live();
    }
    return rc;
}

static void register_when_told(void *owner)
{
    char byte;
    when = NEVER;
    CHECK_INT(read(go[0], &byte, 1), 1);
    CHECK_INT(idem__owner_self(region, owner), IDEM_OK);
    CHECK_INT(*(uint32_t *)owner, 1);
}

/* The helper gets the id that this process has just seen to be next, and dies. */
static void an_id_that_is_issued_before_the_lock_is_not_taken(void)
{
    uint32_t owner;
    CHECK_INT(idem__region_open(test_path, NULL, &region), IDEM_OK);
    CHECK_INT(pipe(go), 0);
    helper = test_child(register_when_told, &owner);
    when = BEFORE;
    CHECK_INT(idem__owner_self(region, &owner), IDEM_OK);
    CHECK_INT(when, NEVER);
    CHECK_INT(owner, 2);
    CHECK(idem__owner_dead_now(region, 1));
    idem__region_close(region);
}

static void skip_when_told(void *owner)
{
    char byte;
    when = NEVER;
    CHECK_INT(read(go[0], &byte, 1), 1);
    CHECK_INT(idem__owner_self(region, owner), IDEM_OK);
    CHECK_INT(*(uint32_t *)owner, 2); /* 1 is locked */
    CHECK_INT(idem__load32(&region->header->next_owner), 3);
}

/* The helper meets the lock, steps over it, and is issued a higher id: this one is lost. */
static void an_id_that_was_stepped_over_is_given_up(void)
{
    uint32_t owner;
    CHECK_INT(idem__region_open(test_path, NULL, &region), IDEM_OK);
    helper = test_child(skip_when_told, &owner);
    when = AFTER;
    CHECK_INT(idem__owner_self(region, &owner), IDEM_OK);
    CHECK_INT(when, NEVER);
    CHECK_INT(owner, 3);
    CHECK(idem__owner_dead_now(region, 1) && idem__owner_dead_now(region, 2));
    idem__region_close(region);
}

int main(void)
{
    return test_run((struct test[]){TEST(an_id_that_is_issued_before_the_lock_is_not_taken),
                                    TEST(an_id_that_was_stepped_over_is_given_up),
                                    {0}});
}
