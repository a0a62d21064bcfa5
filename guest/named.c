/* /dev/stdin, /dev/fd/N and their like in every thread. In the guest, among hostile code; it has no right
 * that the guest has not. What such a name stands for only the guest can say, and it is asked for that by a
 * signal, which reaches the main thread alone (guest/deed.h). In the other threads such a call has failed
 * with ENXIO: what was to be done instead is asked for then. */
#define _GNU_SOURCE
#include "guest/named.h"

#include "guest/deed.h"
#include "guest/trap.h"
#include "guest/tray.h"
#include "wire/told.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a signal cut off before the supervisor saw it is asked again (again.c). */
#define AGAIN(result, call)                                                                        \
    do                                                                                             \
        (result) = (call);                                                                         \
    while ((result) < 0 && errno == EINTR)

/* What the call that has just failed is to be done by instead, or 0. Leaves errno as it is. */
static int named_deed(void)
{
    struct told told;
    long asked;
    if (errno != ENXIO)
        return 0;
    AGAIN(asked, syscall(SYS_getrusage, TOLD_ASKED, &told));
    errno = ENXIO;
    return asked == 0 ? told.deed : 0;
}

/* The result of a call with these arguments, as the system call has them. */
static long named_result(long result, const long args[4])
{
    int deed = result < 0 ? named_deed() : 0;
    if (deed == 0)
        return result;
    result = trap_deed(deed, args);
    if (result < 0)
        errno = (int)-result;
    return result < 0 ? -1 : result;
}

int named_open(const char *path, int flags, ...)
{
    va_list rest;
    long result;
    va_start(rest, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    AGAIN(result, tray_open(path, flags, mode));
    return (int)named_result(result, (const long[]){ AT_FDCWD, (long)path, flags, mode });
}

/* The tray's calls are newfstatat, as the arguments here. */
int named_stat(const char *path, struct stat *ret_stat)
{
    long result;
    AGAIN(result, tray_stat(path, ret_stat));
    return (int)named_result(result, (const long[]){ AT_FDCWD, (long)path, (long)ret_stat, 0 });
}

int named_lstat(const char *path, struct stat *ret_stat)
{
    long result;
    AGAIN(result, tray_lstat(path, ret_stat));
    return (int)named_result(result, (const long[]){ AT_FDCWD, (long)path, (long)ret_stat, 0 });
}

ssize_t named_readlink(const char *path, char *ret_text, size_t size)
{
    long result;
    AGAIN(result, syscall(SYS_readlink, path, ret_text, size));
    return named_result(result, (const long[]){ (long)path, (long)ret_text, (long)size, 0 });
}

int named_access(const char *path, int mode)
{
    long result;
    AGAIN(result, syscall(SYS_access, path, mode));
    return (int)named_result(result, (const long[]){ (long)path, mode, 0, 0 });
}

/* ---- The same by a folder's descriptor, and what changes a file: these are libc's own ---- */

int named_openat(int directory, const char *path, int flags, ...)
{
    va_list rest;
    long result;
    va_start(rest, flags);
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    mode_t mode = makes ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    AGAIN(result, syscall(SYS_openat, directory, path, flags, mode));
    return (int)named_result(result, (const long[]){ directory, (long)path, flags, mode });
}

/* Its flags are libc's. */
DIR *named_opendir(const char *path)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    DIR *folder;
    do
        folder = opendir(path);
    while (folder == NULL && errno == EINTR);
    if (folder != NULL)
        return folder;
    int fd = (int)named_result(-1, (const long[]){ AT_FDCWD, (long)path, flags, 0 });
    folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL && fd >= 0) {
        int kept = errno;
        close(fd);
        errno = kept;
    }
    return folder;
}

#define ARGUMENTS(a, b, c, d) ((const long[]){ (long)(a), (long)(b), (long)(c), (long)(d) })

int named_fstatat(int directory, const char *path, struct stat *ret_stat, int flags)
{
    long result;
    AGAIN(result, fstatat(directory, path, ret_stat, flags));
    return (int)named_result(result, ARGUMENTS(directory, path, ret_stat, flags));
}

ssize_t named_readlinkat(int directory, const char *path, char *ret_text, size_t size)
{
    long result;
    AGAIN(result, readlinkat(directory, path, ret_text, size));
    return named_result(result, ARGUMENTS(directory, path, ret_text, size));
}

int named_faccessat(int directory, const char *path, int mode, int flags)
{
    long result;
    AGAIN(result, faccessat(directory, path, mode, flags));
    return (int)named_result(result, ARGUMENTS(directory, path, mode, flags));
}

int named_chmod(const char *path, mode_t mode)
{
    long result;
    AGAIN(result, chmod(path, mode));
    return (int)named_result(result, ARGUMENTS(path, mode, 0, 0));
}

int named_fchmodat(int directory, const char *path, mode_t mode, int flags)
{
    long result;
    AGAIN(result, fchmodat(directory, path, mode, flags));
    return (int)named_result(result, ARGUMENTS(directory, path, mode, flags));
}

int named_utimensat(int directory, const char *path, const struct timespec times[2], int flags)
{
    long result;
    AGAIN(result, utimensat(directory, path, times, flags));
    return (int)named_result(result, ARGUMENTS(directory, path, times, flags));
}

int named_chown(const char *path, uid_t user, gid_t group)
{
    long result;
    AGAIN(result, chown(path, user, group));
    return (int)named_result(result, ARGUMENTS(path, user, group, 0));
}

int named_fchownat(int directory, const char *path, uid_t user, gid_t group, int flags)
{
    long result;
    AGAIN(result, fchownat(directory, path, user, group, flags));
    return (int)named_result(result, ARGUMENTS(directory, path, user, group));
}

int named_truncate(const char *path, off_t length)
{
    long result;
    AGAIN(result, truncate(path, length));
    return (int)named_result(result, ARGUMENTS(path, length, 0, 0));
}

/* The system call fills something of libc's. */
int named_statvfs(const char *path, struct statvfs *ret_space)
{
    int result;
    AGAIN(result, statvfs(path, ret_space));
    int deed = result < 0 ? named_deed() : 0;
    if (deed == 0)
        return result;
    result = fstatvfs(DEED_NUMBER(deed), ret_space);
    errno = errno == EBADF ? ENOENT : errno;
    return result;
}

int named_affinity(pid_t number, size_t size, void *ret_set)
{
    long result;
    AGAIN(result, sched_getaffinity(number, size, ret_set));
    return (int)result;
}
