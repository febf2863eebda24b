/*
 * hosts.h - what the tests of this folder use beside tests/c: namespaces, small file systems, other users.
 *
 * What a host does not allow is a failure that says so, never a test left out: a promise about namespaces
 * is not shown by a machine that has none.
 */
#ifndef IDEM_TEST_HOSTS_H
#define IDEM_TEST_HOSTS_H

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "../c/store.h"

#define HOST_NOBODY 65534 /* uid and gid without rights */
#define HOST_PAGE_BYTES 4096

static inline void host_write(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
        TEST_FAIL("cannot write \"%s\" to %s: %s", text, path, strerror(errno));
    }
    close(fd);
}

/* Namespaces of this process's own: as root, else by way of a user namespace. Call it in a child. */
static inline void host_unshare(int flags)
{
    const unsigned uid = getuid(), gid = getgid();
    if (unshare(flags) == 0) {
        return;
    }
    if (errno != EPERM || unshare(CLONE_NEWUSER | flags) != 0) {
        TEST_FAIL(
            "needs namespaces (unshare 0x%x: %s): run it as root, or where users may make them",
            (unsigned)flags, strerror(errno));
    }
    char map[64];
    host_write("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "0 %u 1", uid);
    host_write("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "0 %u 1", gid);
    host_write("/proc/self/gid_map", map);
}

/* Runs `body` in a child with a tmpfs of its own, where test_path is then. Nothing of it stays. */
struct host_mount {
    const char *options; /* of tmpfs */
    void (*body)(void);
    char folder[32];
};

static inline void host_in_mount(void *argument)
{
    struct host_mount *mounted = argument;
    host_unshare(CLONE_NEWNS);
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", mounted->folder, "tmpfs", 0, mounted->options) != 0) {
        TEST_FAIL("cannot mount a tmpfs at %s: %s", mounted->folder, strerror(errno));
    }
    snprintf(test_path, sizeof(test_path), "%s/region.idem", mounted->folder);
    mounted->body();
}

static inline void host_on_tmpfs(const char *options, void (*body)(void))
{
    struct host_mount mounted = {options, body, "/tmp/idemkey-hosts-XXXXXX"};
    CHECK(mkdtemp(mounted.folder) != NULL);
    const int status = test_join(test_child(host_in_mount, &mounted));
    CHECK_INT(rmdir(mounted.folder), 0);
    CHECK_INT(status, 0); /* -SIGBUS: a page was touched that the file system could not give */
}

/* The free pages of the file system that the region's path is on. */
static inline uint64_t host_free_pages(void)
{
    char folder[sizeof(test_path)];
    snprintf(folder, sizeof(folder), "%s", test_path);
    *strrchr(folder, '/') = '\0';
    struct statvfs fs;
    CHECK_INT(statvfs(folder, &fs), 0);
    return (uint64_t)fs.f_bavail * fs.f_frsize / HOST_PAGE_BYTES;
}

/* Leaves so many pages free: a file beside the region's takes all others. */
static inline void host_leave_pages(uint64_t pages)
{
    char filler[sizeof(test_path) + 8];
    snprintf(filler, sizeof(filler), "%s.filler", test_path);
    const int fd = open(filler, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    const uint64_t now = host_free_pages();
    CHECK(now >= pages);
    if (now > pages) {
        CHECK_INT(fallocate(fd, 0, 0, (off_t)((now - pages) * HOST_PAGE_BYTES)), 0);
    }
    close(fd);
    CHECK_INT(host_free_pages(), pages);
}

static inline void host_leave_all(void)
{
    char filler[sizeof(test_path) + 8];
    snprintf(filler, sizeof(filler), "%s.filler", test_path);
    CHECK_INT(unlink(filler), 0);
}

/* A child as another user, without rights. */
static inline void host_become_nobody(void)
{
    if (getuid() == HOST_NOBODY || setgid(HOST_NOBODY) != 0 || setuid(HOST_NOBODY) != 0) {
        TEST_FAIL("needs processes of two users: run it as root (%s)", strerror(errno));
    }
}

/* Steps of processes that take turns: each waits until `step` has come so far. */
static inline void host_await(atomic_int *step, int at_least)
{
    CHECK_SOON(atomic_load(step) >= at_least);
}

#endif
