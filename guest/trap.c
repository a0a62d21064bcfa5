/* Answers SECCOMP_RET_TRAP inside the guest. Has no right that the guest has not: it only says the
 * same thing in other calls, each judged by the filter again. Async-signal-safe; leaves errno
 * alone.
 *
 * Why: glibc 2.33 to 2.38 makes fstat(fd) into newfstatat(fd, "", AT_EMPTY_PATH), which the filter
 * cannot let pass (the kernel resolves a path that is not empty), and asking the supervisor costs
 * ten times as much as fstat itself. Shared anonymous memory escapes RLIMIT_DATA; a guest has
 * nobody to share with, so it gets private memory. Which file a descriptor is, and what lies behind
 * /dev/stdin and /dev/fd/N, only the guest itself can say: it adds the file's number to fchmod, and
 * opens what is open again when the supervisor answers so (deed.h). And whether there is what a call that
 * has no effect here is about: a descriptor, memory. It lowers the guest's own limit of memory when
 * the supervisor asks for that: who does not gets no memory made read-only. */
#define _GNU_SOURCE
#include "guest/trap.h"

#include "files/call.h"
#include "guest/ahead.h"
#include "guest/deed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef SYS_SECCOMP
#define SYS_SECCOMP 1 /* si_code: raised by a filter */
#endif

static long trap_call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

/* A call is made again where a signal cut it off: another thread than the first asks outside of the handler. */
static long trap_call_whole(long number, long a, long b, long c, long d, long e)
{
    long result;
    do
        result = trap_call(number, a, b, c, d, e, 0);
    while (result == -EINTR);
    return result;
}

/* The user that the kernel takes the guest for: not the one that it is told to be. NOBODY_YET: this is
 * the zygote. */
#define NOBODY_YET ((uid_t)-1)
static uid_t own_user = NOBODY_YET;

/* Signals are sent to the process: while another waits for the first thread, the next thread may get
 * one, and it would do that deed for a call of its own. */
static pthread_t first_thread;

/* fstat, with the owners that stat tells (serve_stat in files/look.c): its own, and root's. */
static long trap_stat(long number, long address)
{
    struct stat *stat = (struct stat *)address; /* a bad pointer is EFAULT before it is used */
    long result = trap_call(SYS_fstat, number, address, 0, 0, 0, 0);
    if (result == 0 && own_user != NOBODY_YET)
        stat->st_uid = stat->st_gid = stat->st_uid == own_user ? GUEST_UID : 0;
    return result;
}

/* What lstat says of the name of a descriptor. */
static long trap_stat_link(long number, long address)
{
    struct stat *stat = (struct stat *)address;
    long result = trap_stat(number, address);
    if (result == 0) {
        stat->st_mode = S_IFLNK | 0700;
        stat->st_size = 64;
        stat->st_blocks = 0;
        stat->st_nlink = 1;
    }
    return result;
}

int trap_fstat(int number, struct stat *ret_stat)
{
    long result = trap_stat(number, (long)ret_stat);
    if (result < 0)
        errno = (int)-result;
    return result < 0 ? -1 : 0;
}

/* "pipe:[17]", as the kernel has it. */
static long trap_name(const char *kind, unsigned long number, char *buffer, unsigned long size)
{
    char digits[20];
    unsigned long used = 0, count = 0;
    for (; *kind != '\0' && used < size; kind++)
        buffer[used++] = *kind;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    for (; count > 0 && used < size; count--)
        buffer[used++] = digits[count - 1];
    if (used < size)
        buffer[used++] = ']';
    return (long)used;
}

/* The supervisor does not see what a guest takes that was opened ahead: it is told the name when that is
 * wanted. */
static void trap_tell_name(long number, const struct stat *stat)
{
    const char *path = ahead_name(number, stat);
    if (path != NULL)
        trap_call_whole(SYS_getdents, AT_FDCWD, (long)path, number, (long)stat->st_ino, FILE_NAMED);
}

/* What a descriptor is: of files the supervisor has the name. */
static long trap_link(long number, long buffer, long size)
{
    struct stat stat = { .st_ino = 0 };
    if (size <= 0)
        return -EINVAL;
    long result = trap_call(SYS_fstat, number, (long)&stat, 0, 0, 0, 0);
    if (result < 0)
        return result;
    if (S_ISFIFO(stat.st_mode) || S_ISSOCK(stat.st_mode))
        return trap_name(S_ISFIFO(stat.st_mode) ? "pipe:[" : "socket:[", stat.st_ino,
                         (char *)buffer, (unsigned long)size);
    trap_tell_name(number, &stat);
    result = trap_call_whole(SYS_readlinkat, number, FILE_KNOWN, buffer, size, (long)stat.st_ino);
    return result >= 0 ? result
                       : trap_name("file:[", stat.st_ino, (char *)buffer, (unsigned long)size);
}

/* A file or folder is opened anew under its name, for a position of its own, as the kernel does it. */
static long trap_open_named(long number, const struct stat *stat, long flags)
{
    char path[PATH_MAX];
    struct stat found = { .st_ino = 0 };
    trap_tell_name(number, stat);
    long length = trap_call_whole(SYS_readlinkat, number, FILE_KNOWN, (long)path, sizeof path - 1,
                                  (long)stat->st_ino);
    if (length <= 0)
        return -ENOENT;
    path[length] = '\0';
    long result = trap_call(SYS_openat, AT_FDCWD, (long)path,
                            flags & ~(long)(O_CREAT | O_EXCL | O_NOFOLLOW), 0, 0, 0);
    if (result < 0 || (trap_call(SYS_fstat, result, (long)&found, 0, 0, 0, 0) == 0 &&
                       found.st_ino == stat->st_ino && found.st_dev == stat->st_dev))
        return result;
    trap_call(SYS_close, result, 0, 0, 0, 0, 0);
    return -ENOENT;
}

/* Of what has no name, a pipe, or a file that was renamed or removed, there is a copy, where that makes
 * no difference: for what it is open for, and from its beginning. */
static long trap_open(long number, long flags)
{
    struct stat stat = { .st_ino = 0 };
    long result = trap_call(SYS_fstat, number, (long)&stat, 0, 0, 0, 0);
    long mode = trap_call(SYS_fcntl, number, F_GETFL, 0, 0, 0, 0) & O_ACCMODE;
    long wanted = flags & O_ACCMODE;
    bool has_position = S_ISREG(stat.st_mode) || S_ISDIR(stat.st_mode);
    if (result < 0)
        return result;
    if (has_position && (result = trap_open_named(number, &stat, flags)) != -ENOENT)
        return result;
    if (mode != O_RDWR && mode != wanted && (has_position || wanted != O_RDWR))
        return -EACCES;
    if (has_position &&
        ((flags & O_TRUNC) != 0 || trap_call(SYS_lseek, number, 0, SEEK_CUR, 0, 0, 0) != 0))
        return -ENOENT;
    return trap_call(SYS_fcntl, number, (flags & O_CLOEXEC) ? F_DUPFD_CLOEXEC : F_DUPFD, 0, 0, 0,
                     0);
}

/* Memory that becomes read-only leaves RLIMIT_DATA: the limit goes down first. */
static void trap_lower(int deed, greg_t *registers)
{
    rlim_t bytes = (rlim_t)DEED_NUMBER(deed) << 20;
    struct rlimit limit = { bytes, bytes };
    trap_call(SYS_prlimit64, 0, RLIMIT_DATA, (long)&limit, 0, 0, 0);
    if (DEED_DETAIL(deed) != 0 && registers[REG_RAX] == -ENXIO)
        registers[REG_RAX] = trap_call(SYS_mprotect, registers[REG_RDI], registers[REG_RSI],
                                       registers[REG_RDX], 0, 0, 0);
}

/* Whether there is memory, by a call that reads one word and waits for no time: a fault here would be
 * the end. */
bool trap_is_readable(const void *bytes, size_t length)
{
    static const struct timespec no_time;
    const long places[] = { (long)bytes, (long)bytes + (long)length - 4 };
    for (int i = 0; i < 2; i++) {
        long result = trap_call(SYS_futex, places[i], FUTEX_WAIT_PRIVATE, 0, (long)&no_time, 0, 0);
        if (result != -EAGAIN && result != -ETIMEDOUT)
            return false;
    }
    return true;
}

/* Parts with flags or an address, which writev has not, as one. */
static long trap_send_parts(long fd, const struct msghdr *message, long flags)
{
    unsigned long size = 0, used = 0;
    if (message->msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    if (!trap_is_readable(message->msg_iov, message->msg_iovlen * sizeof *message->msg_iov))
        return -EFAULT;
    for (unsigned long i = 0; i < message->msg_iovlen; i++) {
        unsigned long length = message->msg_iov[i].iov_len;
        if (length > INT_MAX || (size += length) > INT_MAX)
            return -EMSGSIZE;
        uintptr_t from = (uintptr_t)message->msg_iov[i].iov_base & ~(uintptr_t)3;
        uintptr_t last = ((uintptr_t)message->msg_iov[i].iov_base + length - 1) & ~(uintptr_t)3;
        if (length > 0 && !trap_is_readable((const void *)from, last - from + 4))
            return -EFAULT;
    }
    long room = trap_call(SYS_mmap, 0, (long)size + 1, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room < 0 && room > -4096)
        return room;
    for (unsigned long i = 0; i < message->msg_iovlen; i++) {
        const char *from = message->msg_iov[i].iov_base;
        for (unsigned long at = 0; at < message->msg_iov[i].iov_len && used < size; at++)
            ((char *)room)[used++] = from[at];
    }
    long result =
        trap_call(SYS_sendto, fd, room, (long)used, flags,
                  message->msg_namelen ? (long)message->msg_name : 0, message->msg_namelen);
    trap_call(SYS_munmap, room, (long)size + 1, 0, 0, 0, 0);
    return result;
}

/* A message without control data, as writev and send have it: what the filter keeps from it is
 * descriptors on their way to others. */
static long trap_send(long fd, const struct msghdr *message, long flags)
{
    if (!trap_is_readable(message, sizeof *message))
        return -EFAULT;
    const struct msghdr copy = *message;
    if (copy.msg_controllen != 0) /* which is refused, with words and a record */
        return trap_call(SYS_sendmmsg, fd, (long)message, 0, 0, 0, 0);
    if (copy.msg_iovlen > 1)
        return copy.msg_namelen != 0 || (flags & ~MSG_NOSIGNAL) != 0
                   ? trap_send_parts(fd, &copy, flags)
                   : trap_call(SYS_writev, fd, (long)copy.msg_iov, (long)copy.msg_iovlen, 0, 0, 0);
    struct iovec part = { NULL, 0 };
    if (copy.msg_iovlen == 1 && !trap_is_readable(copy.msg_iov, sizeof part))
        return -EFAULT;
    if (copy.msg_iovlen == 1)
        part = *copy.msg_iov;
    return trap_call(SYS_sendto, fd, (long)part.iov_base, (long)part.iov_len, flags,
                     copy.msg_namelen ? (long)copy.msg_name : 0, copy.msg_namelen);
}

static bool is_own_id(long id)
{
    return (uint32_t)id == GUEST_UID || (uint32_t)id == UINT32_MAX;
}

/* Calls about a descriptor: that it is there, and which file it is, can be seen from here. What is
 * advice or is to outlast the guest then has no effect (policy/syscalls.c says why). */
static long trap_descriptor(int number, const long args[4])
{
    struct stat stat = { .st_ino = 0 };
    long result = trap_call(SYS_fstat, args[0], (long)&stat, 0, 0, 0, 0);
    if (result < 0)
        return result;
    bool is_regular = S_ISREG(stat.st_mode);
    mode_t mode;
    if (number == SYS_fchmod || number == SYS_utimensat)
        trap_tell_name(args[0], &stat);
    switch (number) {
    case SYS_fchmod:
        return trap_call(SYS_fchmod, args[0], args[1], (long)stat.st_ino, FILE_KNOWN, 0, 0);
    case SYS_utimensat: /* without a path */
        return trap_call(SYS_utimensat, args[0], 0, args[2], args[3], (long)stat.st_ino,
                         FILE_KNOWN);
    case SYS_fstatfs:
        return trap_call(SYS_fstatfs, args[0], args[1], FILE_KNOWN, 0, 0, 0);
    case SYS_fchown:
        if (!is_own_id(args[1]) || !is_own_id(args[2]))
            return trap_call(SYS_fchown, args[0], args[1], args[2], FILE_KNOWN, 0, 0);
        mode = deed_owned_mode(stat.st_mode);
        return is_regular && stat.st_uid == own_user && mode != stat.st_mode
                   ? trap_descriptor(SYS_fchmod, (const long[4]){ args[0], mode & 07777 })
                   : 0;
    case SYS_fsync:
    case SYS_fdatasync:
        return is_regular || S_ISDIR(stat.st_mode) ? 0 : -EINVAL;
    case SYS_fadvise64:
        return S_ISFIFO(stat.st_mode)                      ? -ESPIPE
               : args[2] < 0 || (unsigned long)args[3] > 5 ? -EINVAL
                                                           : 0;
    case SYS_readahead:
        return is_regular ? 0 : -EINVAL;
    default:
        return -ENOSYS;
    }
}

long trap_deed(int deed, const long args[4])
{
    long number = DEED_NUMBER(deed), result;
    unsigned detail = DEED_DETAIL(deed);
    switch (DEED_KIND(deed)) {
    case DEED_OPEN:
        result = trap_open(number, detail < 4 ? args[detail] : O_CREAT | O_WRONLY | O_TRUNC);
        break;
    case DEED_STAT:
        result = trap_stat(number, args[detail & 3]);
        break;
    case DEED_LSTAT:
        result = trap_stat_link(number, args[detail & 3]);
        break;
    case DEED_MODE:
        result = trap_descriptor(SYS_fchmod, (const long[]){ number, args[detail & 3], 0, 0 });
        break;
    case DEED_TIMES:
        result = trap_descriptor(SYS_utimensat, (const long[]){ number, 0, args[detail & 3], 0 });
        break;
    case DEED_OWNER:
        result = trap_descriptor(
            SYS_fchown, (const long[]){ number, args[detail & 3], args[(detail + 1) & 3], 0 });
        break;
    case DEED_LENGTH:
        result = trap_call(SYS_ftruncate, number, args[detail & 3], 0, 0, 0, 0);
        result = result == -EBADF && trap_call(SYS_fcntl, number, F_GETFD, 0, 0, 0, 0) >= 0
                     ? -EACCES /* not open for writing */
                     : result;
        break;
    case DEED_SPACE:
        result = trap_descriptor(SYS_fstatfs, (const long[]){ number, args[detail & 3], 0, 0 });
        break;
    case DEED_ACCESS:
        result = trap_call(SYS_fcntl, number, F_GETFD, 0, 0, 0, 0);
        result = result > 0 ? 0 : result;
        break;
    case DEED_LINK:
        result = trap_link(number, args[detail & 3], args[(detail + 1) & 3]);
        break;
    default:
        return -ENXIO;
    }
    return result == -EBADF ? -ENOENT : result;
}

static void trap_handle(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    long a = registers[REG_RDI], b = registers[REG_RSI], c = registers[REG_RDX];
    long d = registers[REG_R10], e = registers[REG_R8], f = registers[REG_R9];
    long result = -ENOSYS;
    if (info->si_code == SI_QUEUE && DEED_KIND(info->si_value.sival_int) == DEED_LIMIT) {
        trap_lower(info->si_value.sival_int, registers);
        return;
    }
    if (info->si_code == SI_QUEUE && registers[REG_RAX] == -ENXIO &&
        pthread_equal(pthread_self(), first_thread)) {
        registers[REG_RAX] = trap_deed(info->si_value.sival_int, (const long[]){ a, b, c, d });
        return;
    }
    if (info->si_code != SYS_SECCOMP)
        return;
    if (info->si_syscall == SYS_newfstatat && (d & AT_EMPTY_PATH)) {
        /* a bad pointer faults here instead of in the kernel: the guest's own doing, its own crash
         */
        if (b == 0 || *(const volatile char *)b == '\0')
            result = trap_stat(a, c);
        else
            result = trap_call(SYS_newfstatat, a, b, c, d & ~(long)AT_EMPTY_PATH, 0, 0);
    } else if (info->si_syscall == SYS_mmap && (d & MAP_ANONYMOUS) &&
               (d & MAP_TYPE) != MAP_PRIVATE) {
        result = trap_call(SYS_mmap, a, b, c, (d & ~(long)MAP_TYPE) | MAP_PRIVATE, e, f);
    } else if (info->si_syscall == SYS_sendmsg) {
        result = trap_send(a, (const struct msghdr *)b, c);
    } else if (info->si_syscall == SYS_msync) {
        result = (c & MS_ASYNC) ? -EINVAL
                                : trap_call(SYS_msync, a, b, (c & ~MS_SYNC) | MS_ASYNC, 0, 0, 0);
    } else if (info->si_syscall == SYS_madvise) {
        result = trap_call(SYS_madvise, a, b, MADV_NORMAL, 0, 0, 0);
    } else if (info->si_syscall == SYS_preadv2 || info->si_syscall == SYS_pwritev2) {
        result = trap_call(info->si_syscall, a, b, c, d, e, f & ~(long)(RWF_DSYNC | RWF_SYNC));
    } else {
        result = trap_descriptor(info->si_syscall, (const long[]){ a, b, c, d });
    }
    registers[REG_RAX] = result;
}

int trap_install(void)
{
    /* SA_NODEFER: the handler's own calls may trap if a hostile guest changes arguments under it;
     * blocked, that would kill */
    struct sigaction action = { .sa_sigaction = trap_handle,
                                .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };
    own_user = geteuid();
    first_thread = pthread_self();
    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGSYS);
    return sigaction(SIGSYS, &action, NULL) < 0 ? -errno : 0;
}
