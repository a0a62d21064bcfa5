/* What the supervisor may do once it serves guests: everything else kills it, and with it its
 * guests. Who takes it over gains what the policy already granted. There is no exec, no socket to
 * an address, no new executable memory, no tracing, no namespaces here, and no process but a copy
 * of its own in the same jail; paths are Landlock's job. */
#define _GNU_SOURCE
#include "lockdown/steps.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define ALLOW(call, why)                                                                           \
    {                                                                                              \
        .number = __NR_##call, .action = CALL_NATIVE, .name = #call, .reason = (why)               \
    }
#define ALLOW_IF(call, why, ...)                                                                   \
    {                                                                                              \
        .number = __NR_##call, .action = CALL_NATIVE, .name = #call, .reason = (why),              \
        .conditions = {                                                                            \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define LOW_EQUAL(a, v)                                                                            \
    {                                                                                              \
        a, COMPARE_LOW32_EQUAL, 0, v                                                               \
    }
#define NOT_EXECUTABLE                                                                             \
    {                                                                                              \
        2, COMPARE_AT_MOST, 0, PROT_READ | PROT_WRITE                                              \
    }
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#endif

#define FILES "the guests' files, beneath what Landlock grants"
#define LOOP  "the event loop"
#define PAIRS "pipes and pairs that guests get"
#define LIBC  "libc: memory, locks, abort"
#define LIMIT "a guest's limits, clock and end"

/* clang-format off */
const struct syscall_row supervisor_calls[] = {
    ALLOW(read, LOOP), ALLOW(write, LOOP), ALLOW(writev, LIBC), ALLOW(close, LOOP), ALLOW(close_range, LOOP),
    ALLOW_IF(fcntl, "a listener for a branch", LOW_EQUAL(1, F_DUPFD_CLOEXEC)),
    ALLOW_IF(fcntl, "a crash pipe; no O_ASYNC, which signals", LOW_EQUAL(1, F_SETFL), LOW_EQUAL(2, O_NONBLOCK)),
    ALLOW_IF(fcntl, "who else has a file of scratch open", LOW_EQUAL(1, F_SETLEASE), LOW_EQUAL(2, F_WRLCK)),
    ALLOW_IF(fcntl, "synthetic files", LOW_EQUAL(1, F_ADD_SEALS)),
    ALLOW(dup, FILES), ALLOW(lseek, FILES),
    ALLOW(pread64, "a guest's memory"), ALLOW(pwrite64, "a guest's memory"),
    ALLOW(epoll_create1, LOOP), ALLOW(epoll_ctl, LOOP), ALLOW(epoll_wait, LOOP), ALLOW(epoll_pwait, LOOP), ALLOW(poll, LOOP),
    ALLOW(sendmsg, "channels that it holds"), ALLOW(recvmsg, "channels that it holds"),
    ALLOW_IF(ioctl, "a guest's call", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_RECV)),
    ALLOW_IF(ioctl, "its answer", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_SEND)),
    ALLOW_IF(ioctl, "is it still there", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_ID_VALID)),
    ALLOW_IF(ioctl, "a descriptor as its answer", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_ADDFD)),
    ALLOW_IF(ioctl, "who wakes whom", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_SET_FLAGS)),
    ALLOW_IF(ioctl, "may the guest write there itself", LOW_EQUAL(1, 0xc0686611)), /* PROCMAP_QUERY */
    ALLOW_IF(ioctl, "what waits in a pipe", LOW_EQUAL(1, FIONREAD)),

    ALLOW(openat, FILES), ALLOW(openat2, FILES), ALLOW(open, FILES), ALLOW(fstat, FILES), ALLOW(newfstatat, FILES),
    ALLOW(stat, FILES), ALLOW(statx, FILES), ALLOW(fstatfs, FILES), ALLOW(getdents64, FILES), ALLOW(readlinkat, FILES),
    ALLOW(readlink, FILES),
    ALLOW(faccessat, FILES), ALLOW(faccessat2, FILES), ALLOW(mkdirat, FILES), ALLOW(unlinkat, FILES),
    ALLOW(rmdir, FILES), ALLOW(unlink, FILES),
    ALLOW(renameat, FILES), ALLOW(renameat2, FILES), ALLOW(linkat, FILES), ALLOW(symlinkat, FILES), ALLOW(ftruncate, FILES),
    ALLOW(fallocate, FILES), ALLOW(fchmod, FILES), ALLOW(fchmodat, FILES),
    { .number = 452, .action = CALL_NATIVE, .name = "fchmodat2", .reason = FILES }, /* newer than some headers */
    ALLOW(utimensat, FILES), ALLOW(umask, FILES),
    ALLOW(memfd_create, "synthetic files"), ALLOW(getrandom, "names that nobody guesses"),

    ALLOW_IF(socketpair, PAIRS, LOW_EQUAL(0, AF_UNIX)), ALLOW(pipe2, PAIRS),
    ALLOW_IF(setsockopt, "who sent a setup message", LOW_EQUAL(1, SOL_SOCKET), LOW_EQUAL(2, SO_PASSCRED)), ALLOW(eventfd2, PAIRS),

    ALLOW(pidfd_send_signal, "to whose pidfd it was given, nobody else"), ALLOW(waitid, LIMIT), ALLOW(wait4, LIMIT),
    ALLOW_IF(prlimit64, "reads a guest's limits, changes nobody's", { 2, COMPARE_EQUAL, 0, 0 }), ALLOW(getrusage, LIMIT), ALLOW(sysinfo, LIMIT), ALLOW(uname, LIMIT),
    ALLOW(sched_getaffinity, "on the guest's CPU a call is answered five times sooner"),
    ALLOW(sched_setaffinity, "as sched_getaffinity"), ALLOW(getcpu, "as sched_getaffinity"),
    ALLOW(clock_gettime, LIMIT), ALLOW(clock_getres, LIMIT), ALLOW(clock_nanosleep, LIMIT),
    ALLOW(timerfd_create, LIMIT), ALLOW(timerfd_settime, LIMIT),

    ALLOW_IF(clone, "a worker, for a file system that may wait (worker.c)", { 0, COMPARE_EQUAL, 0, CLONE_PIDFD | SIGCHLD }),
    ALLOW_IF(prctl, "a worker ends with the supervisor", LOW_EQUAL(0, PR_SET_PDEATHSIG), LOW_EQUAL(1, SIGKILL)),

    ALLOW(brk, LIBC), ALLOW_IF(mmap, LIBC, NOT_EXECUTABLE), ALLOW_IF(mprotect, LIBC, NOT_EXECUTABLE),
    ALLOW(munmap, LIBC), ALLOW(mremap, LIBC), ALLOW(madvise, LIBC), ALLOW(futex, LIBC), ALLOW(rt_sigaction, LIBC),
    ALLOW(rt_sigprocmask, LIBC), ALLOW(rt_sigreturn, LIBC), ALLOW(restart_syscall, LIBC), ALLOW(getpid, LIBC),
    ALLOW(gettid, LIBC), ALLOW(getuid, LIBC), ALLOW(geteuid, LIBC), ALLOW(getgid, LIBC), ALLOW(getegid, LIBC),
    ALLOW_IF(tgkill, "whose thread is it", LOW_EQUAL(2, 0)), ALLOW(exit, LIBC), ALLOW(exit_group, LIBC),
};
/* clang-format on */
const size_t supervisor_call_count = ARRAY_SIZE(supervisor_calls);
