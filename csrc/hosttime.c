/* hosttime.c - see hosttime.h. */
#include "hosttime.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define OFFSETS_PATH "/proc/self/timens_offsets"
#define WORD_DIGITS 16 /* hexadecimal digits of 64 bits */

/* Reads a small file of /proc as a string; -1 and errno. */
static int read_text(const char *path, char *text, size_t size)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    const ssize_t length = read(fd, text, size - 1);
    const int kept_errno = errno;
    close(fd);
    if (length < 0) {
        errno = kept_errno;
        return -1;
    }
    text[length] = '\0';
    return 0;
}

/* The "boottime" line of timens_offsets: seconds and nanoseconds. */
static bool parse_offset(const char *text, int64_t *offset_ms)
{
    const char *line = strstr(text, "boottime");
    int64_t seconds, nanoseconds;
    if (line == NULL ||
        sscanf(line, "boottime %" SCNd64 " %" SCNd64, &seconds, &nanoseconds) != 2) {
        return false;
    }
    *offset_ms = seconds * IDEM__MS_PER_S + nanoseconds / IDEM__NS_PER_MS;
    return true;
}

int idem__timens_offset_ms(int64_t *offset_ms)
{
    struct stat own, children;
    *offset_ms = 0;
    if (stat("/proc/self/ns/time", &own) != 0) {
        if (errno == ENOENT && stat("/proc/self/ns/mnt", &own) == 0) {
            return IDEM_OK; /* /proc is there, so this kernel has no time namespaces */
        }
        return idem__fail_errno("cannot tell this process's time namespace: /proc/self/ns/time is "
                                "needed (mount /proc)");
    }
    if (stat("/proc/self/ns/time_for_children", &children) != 0) {
        return idem__fail_errno("cannot tell this process's time namespace: "
                                "/proc/self/ns/time_for_children is needed");
    }
    /* timens_offsets tells of the children's namespace. */
    if (own.st_ino != children.st_ino || own.st_dev != children.st_dev) {
        errno = EINVAL;
        return idem__fail(IDEM_ESYS,
                          "this process has unshared its time namespace without entering "
                          "it, so its clock offset cannot be known: open the store before "
                          "unshare(CLONE_NEWTIME), or in a child");
    }
    char text[256];
    if (read_text(OFFSETS_PATH, text, sizeof(text)) != 0) {
        return idem__fail_errno("cannot read this process's clock offset from " OFFSETS_PATH);
    }
    if (!parse_offset(text, offset_ms)) {
        errno = EINVAL;
        return idem__fail(IDEM_ESYS, OFFSETS_PATH " has no line \"boottime SECONDS NANOSECONDS\"");
    }
    return IDEM_OK;
}

int idem__boot_id(uint64_t words[2])
{
    char text[64];
    if (read_text(BOOT_ID_PATH, text, sizeof(text)) != 0) {
        return idem__fail_errno("cannot read the boot's id from " BOOT_ID_PATH " (mount /proc)");
    }
    words[0] = words[1] = 0;
    int digits = 0;
    for (const char *c = text; *c != '\0' && digits < 2 * WORD_DIGITS; c++) {
        unsigned digit;
        if (*c != '-' && sscanf((char[]){*c, '\0'}, "%x", &digit) == 1) {
            words[digits / WORD_DIGITS] = words[digits / WORD_DIGITS] << 4 | digit;
            digits++;
        }
    }
    /* A version-4 UUID has a bit set in each half; zero means "being set" in the header. */
    if (digits != 2 * WORD_DIGITS || words[0] == 0 || words[1] == 0) {
        errno = EINVAL;
        return idem__fail(IDEM_ESYS, BOOT_ID_PATH " holds no UUID: \"%.40s\"", text);
    }
    return IDEM_OK;
}
