/* /dev/stdin, /dev/fd/N and their like in every thread. In the guest, among hostile code; it has no right
 * that the guest has not. What such a name stands for only the guest can say, and it is asked for that by a
 * signal, which reaches the main thread alone (guest/deed.h). In the other threads such a call has failed
 * with ENXIO: what was to be done instead is asked for then. */
#define _GNU_SOURCE
#include "guest/named.h"

#include "guest/trap.h"
#include "guest/tray.h"
#include "wire/told.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What a signal cut off before the supervisor saw it is asked again (again.c). */
#define AGAIN(result, call)                                                                        \
    do                                                                                             \
        (result) = (call);                                                                         \
    while ((result) < 0 && errno == EINTR)

static long named_result(long result, const long args[4])
{
    struct told told;
    long asked;
    if (result >= 0 || errno != ENXIO)
        return result;
    AGAIN(asked, syscall(SYS_getrusage, TOLD_ASKED, &told));
    if (asked != 0 || told.deed == 0) {
        errno = ENXIO;
        return -1;
    }
    result = trap_deed(told.deed, args);
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

int named_affinity(pid_t number, size_t size, void *ret_set)
{
    long result;
    AGAIN(result, sched_getaffinity(number, size, ret_set));
    return (int)result;
}
