/* Names of statuses and outcomes; the thread's last error. */
#include <pthread.h>

#include "error.h"
#include "test.h"

static void every_status_has_its_own_name(void)
{
    for (int status = IDEM_OK; status >= IDEM_EBUSY; status--) {
        CHECK(strncmp(idem_strerror(status), "IDEM_", 5) == 0);
        for (int other = IDEM_OK; other > status; other--) {
            CHECK(strcmp(idem_strerror(status), idem_strerror(other)) != 0);
        }
    }
    CHECK(strcmp(idem_strerror(1), "unknown status") == 0);
    CHECK(strcmp(idem_strerror(IDEM_EBUSY - 1), "unknown status") == 0);
    CHECK(strcmp(idem_outcome_name(IDEM_RECLAIMED), "RECLAIMED") == 0);
    CHECK(strcmp(idem_outcome_name(0), "unknown outcome") == 0);
}

static void *leaves_another_error(void *unused)
{
    (void)unused;
    CHECK(strcmp(idem_last_error(), "") == 0);
    CHECK_INT(idem__fail(IDEM_EINVAL, "of %s", "another"), IDEM_EINVAL);
    return NULL;
}

static void the_last_error_is_the_threads(void)
{
    errno = EXDEV;
    CHECK_INT(idem__fail(IDEM_EFULL, "%d of %d", 1, 2), IDEM_EFULL);
    CHECK_INT(errno, EXDEV);
    pthread_t thread;
    CHECK_INT(pthread_create(&thread, NULL, leaves_another_error, NULL), 0);
    CHECK_INT(pthread_join(thread, NULL), 0);
    CHECK(strcmp(idem_last_error(), "1 of 2") == 0);
    errno = ENOENT;
    CHECK_INT(idem__fail_errno("file %s", "x"), IDEM_ESYS);
    CHECK_INT(errno, ENOENT);
    CHECK(strcmp(idem_last_error(), "file x: No such file or directory") == 0);
}

static void a_long_message_is_cut(void)
{
    char path[4096];
    memset(path, 'x', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    errno = EIO;
    CHECK_INT(idem__fail_errno("%s", path), IDEM_ESYS);
    CHECK(strlen(idem_last_error()) > 100 && strlen(idem_last_error()) < sizeof(path) - 1);
}

int main(void)
{
    return test_run((struct test[]){TEST(every_status_has_its_own_name),
                                    TEST(the_last_error_is_the_threads),
                                    TEST(a_long_message_is_cut),
                                    {0}});
}
