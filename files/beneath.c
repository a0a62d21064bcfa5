/* Opens what lies beneath a directory, and never anything else. Supervisor. The paths are hostile,
 * and the directories change under us: what holds is openat2. */
#define _GNU_SOURCE
#include "files/beneath.h"

#include "base/kernel.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* File systems that speak for the kernel or for the process that looks: "self" would be the
 * supervisor. */
static const unsigned long kernel_file_systems[] = {
    0x9fa0,     /* procfs */
    0x64626720, /* debugfs */
    0x74726163, /* tracefs */
    0x73636673, /* securityfs */
    0x6e736673, /* nsfs */
    0xcafe4a11, /* bpf */
};

/* File systems that answer from this machine's own memory and disks. The runtime's are not asked:
 * the interpreter waits for them as well. */
static const unsigned long local_file_systems[] = {
    0xef53,     /* ext2, ext3, ext4 */
    0x58465342, /* xfs */
    0x9123683e, /* btrfs */
    0x01021994, /* tmpfs */
    0x858458f6, /* ramfs */
    0x794c7630, /* overlayfs */
    0x73717368, /* squashfs */
    0xe0f5e1e2, /* erofs */
    0xf2f52010, /* f2fs */
    0x2fc12fc1, /* zfs */
    0xca451a4e, /* bcachefs */
    0x9660,     /* iso9660 */
    0x4d44,     /* vfat */
};

/* A name may be a link from one moment to the next, and chmod follows links. fchmodat2 is of kernel
 * 6.6, and some containers do not know it; then the way is by /proc. */
int beneath_chmod(int fd, mode_t mode)
{
    char path[32];
    if (syscall(SYS_fchmodat2, fd, "", mode, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)
        return -1;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return fchmodat(AT_FDCWD, path, mode, 0);
}

int beneath_chmod_in(int directory, const char *name, mode_t mode)
{
    CLEANUP(fd_close) int fd = beneath_open(directory, name, O_PATH, 0);
    return fd < 0 ? -1 : beneath_chmod(fd, mode);
}

bool beneath_may_wait(int fd)
{
    struct statfs statfs;
    if (fstatfs(fd, &statfs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(local_file_systems); i++)
        if ((unsigned long)statfs.f_type == local_file_systems[i])
            return false;
    return true;
}

bool beneath_is_kernel_file(int fd)
{
    struct statfs statfs;
    if (fstatfs(fd, &statfs) < 0)
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(kernel_file_systems); i++)
        if ((unsigned long)statfs.f_type == kernel_file_systems[i])
            return true;
    return false;
}

int beneath_stat(int fd, struct stat *ret_stat)
{
    return (int)syscall(SYS_fstat, fd, ret_stat);
}

int beneath_open_with(int directory, const char *rest, int flags, mode_t mode, uint64_t resolve)
{
    /* O_NONBLOCK: a FIFO in a granted directory must not stop the supervisor. */
    struct open_how how = {
        .flags =
            (uint64_t)(flags | O_CLOEXEC | ((flags & O_PATH) != 0 ? 0 : O_NONBLOCK | O_NOCTTY)),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | resolve,
    };
    return (int)syscall(SYS_openat2, directory, rest, &how, sizeof how);
}

int beneath_open(int directory, const char *rest, int flags, mode_t mode)
{
    return beneath_open_with(directory, rest, flags, mode, 0);
}

int beneath_each(int directory, uint64_t start,
                 int (*visit)(int directory, const struct entry *entry, void *context),
                 void *context)
{
    _Alignas(struct entry) char buffer[16384];
    if (lseek(directory, (off_t)start, SEEK_SET) < 0)
        return -1;
    for (;;) {
        long size = syscall(SYS_getdents64, directory, buffer, sizeof buffer);
        if (size <= 0)
            return size < 0 ? -1 : 0;
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(buffer + at);
            at += entry->size;
            if (strcmp(entry->name, ".") == 0 || strcmp(entry->name, "..") == 0)
                continue;
            int result = visit(directory, entry, context);
            if (result != 0)
                return result;
        }
    }
}
