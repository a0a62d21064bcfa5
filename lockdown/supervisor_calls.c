/* System calls of the supervisor once it serves guests: everything else kills it, and with it its
 * guests. Who takes it over gains what the policy already granted. There is no exec, no socket to
 * an address, no new executable memory, no tracing, no namespaces here, and no process but a copy
 * of its own in the same jail; paths are Landlock's job. */
#define _GNU_SOURCE
#include "base/kernel.h"
#include "lockdown/steps.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <sys/inotify.h>
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
/* Calls that no test run makes, but some machine or some mishap does
 * (tests/py/test_supervisor_calls.py). */
#define RARE(call, why)                                                                            \
    {                                                                                              \
        .number = __NR_##call, .action = CALL_NATIVE, .name = #call, .detail = "rare",             \
        .reason = (why)                                                                            \
    }
/* Only where guests have a network of their own: on copies of their sockets (loopback.c). It makes none
 * itself, and its own network is empty. */
#define LOOPBACK(call, why)                                                                        \
    {                                                                                              \
        .number = __NR_##call, .grants = GRANT_SELF, .action = CALL_NATIVE, .name = #call,         \
        .reason = (why)                                                                            \
    }
#define LOOPBACK_IF(call, why, ...)                                                                \
    {                                                                                              \
        .number = __NR_##call, .grants = GRANT_SELF, .action = CALL_NATIVE, .name = #call,         \
        .reason = (why), .conditions = {                                                           \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define NOT_EXECUTABLE                                                                             \
    {                                                                                              \
        2, COMPARE_AT_MOST, 0, PROT_READ | PROT_WRITE                                              \
    }

#define FILES "the guests' files, beneath what Landlock grants"
#define LOOP  "the event loop"
#define PAIRS "pipes and pairs that guests get, and their channels"
#define LIBC  "libc: memory"
#define WATCH "changes in granted folders, so that what a guest was told of them is true"
#define LIMIT "a guest's limits, clock and end"

/* clang-format off */
const struct syscall_row supervisor_calls[] = {
    ALLOW(read, "a guest's crash text, a worker's word, a cgroup's count"), ALLOW(write, "a worker's word, a cgroup's limits"), ALLOW(close, LOOP),
    RARE(writev, "libc's last words: an assertion, a smashed stack"),
    ALLOW_IF(fcntl, "a listener for a branch", LOW_EQUAL(1, F_DUPFD_CLOEXEC)),
    ALLOW_IF(fcntl, "an opened file, without the O_NONBLOCK of its opening", LOW_EQUAL(1, F_SETFL), LOW_EQUAL(2, 0)),
    ALLOW_IF(fcntl, "as above, one that is appended to", LOW_EQUAL(1, F_SETFL), LOW_EQUAL(2, O_APPEND)),
    ALLOW_IF(fcntl, "a crash pipe; no O_ASYNC, which signals", LOW_EQUAL(1, F_SETFL), LOW_EQUAL(2, O_NONBLOCK)),
    ALLOW_IF(fcntl, "who else has a file of scratch open", LOW_EQUAL(1, F_SETLEASE), LOW_EQUAL(2, F_WRLCK)),
    ALLOW_IF(fcntl, "synthetic files", LOW_EQUAL(1, F_ADD_SEALS)),
    ALLOW(lseek, "a directory of scratch is read from its start"),
    ALLOW(pread64, "a guest's memory and status"), ALLOW(pwrite64, "a guest's memory"),
    ALLOW(epoll_ctl, LOOP), ALLOW(epoll_wait, LOOP), ALLOW(poll, "has the host room for an audit record; has a worker's supervisor ended"),
    ALLOW(sendmsg, "channels that it holds"), ALLOW(recvmsg, "channels that it holds"),
    ALLOW_IF(ioctl, "a guest's call", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_RECV)),
    ALLOW_IF(ioctl, "its answer", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_SEND)),
    ALLOW_IF(ioctl, "a descriptor as its answer", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_ADDFD)),
    ALLOW_IF(ioctl, "who wakes whom", LOW_EQUAL(1, SECCOMP_IOCTL_NOTIF_SET_FLAGS)),
    ALLOW_IF(ioctl, "may the guest write there itself", LOW_EQUAL(1, MAPS_QUERY)),
    ALLOW_IF(ioctl, "has the guest taken what was opened ahead", LOW_EQUAL(1, SIOCOUTQ)),

    ALLOW(openat2, FILES), ALLOW(fstat, FILES), ALLOW(newfstatat, FILES), ALLOW(getdents64, FILES), ALLOW(readlinkat, FILES),
    ALLOW(faccessat2, FILES), ALLOW(mkdirat, FILES), ALLOW(unlinkat, FILES), ALLOW(renameat2, FILES), ALLOW(linkat, FILES),
    ALLOW(symlinkat, FILES), ALLOW(ftruncate, FILES), ALLOW(utimensat, FILES),
    { .number = SYS_fchmodat2, .action = CALL_NATIVE, .name = "fchmodat2", .reason = FILES }, /* newer than some headers */
    RARE(fchmod, "the mode of a directory that was counted"),
    RARE(fchmodat, "in the place of fchmodat2, by /proc/self/fd"),
    RARE(fstatfs, "what is mounted inside a grant: procfs is not handed out"),
    RARE(openat, "the files of a guest's cgroup, where there is that layer"),
    ALLOW(memfd_create, "synthetic files"),
    ALLOW_IF(inotify_init1, WATCH, LOW_EQUAL(0, IN_NONBLOCK | IN_CLOEXEC)), ALLOW(inotify_add_watch, WATCH), ALLOW(inotify_rm_watch, WATCH),
    ALLOW(fchdir, "a descriptor's other name, where there is no /proc; nothing is looked up from there"),

    ALLOW_IF(socketpair, PAIRS, LOW_EQUAL(0, AF_UNIX)), ALLOW(pipe2, PAIRS), ALLOW(eventfd2, PAIRS),
    ALLOW(epoll_create1, "which of them a guest still holds"),
    ALLOW_IF(setsockopt, "who sent a setup message", LOW_EQUAL(1, SOL_SOCKET), LOW_EQUAL(2, SO_PASSCRED)),

    LOOPBACK(bind, "a guest's socket, after a look at the address"), LOOPBACK(connect, "the same"), LOOPBACK(listen, "the same"),
    LOOPBACK(sendto, "the same; it has no address but those that it has looked at"), LOOPBACK(getsockopt, "what the socket is"),
    LOOPBACK(setsockopt, "its queues; how long connect waits"), LOOPBACK_IF(fcntl, "would the guest wait", LOW_EQUAL(1, F_GETFL)),

    ALLOW(getpriority, "may a guest's thread be less nice"),
    ALLOW(pidfd_send_signal, "to whose pidfd it was given, nobody else"), ALLOW(waitid, LIMIT), ALLOW(wait4, "at its own end"),
    ALLOW_IF(prlimit64, "reads a guest's limits, changes nobody's", { 2, COMPARE_EQUAL, 0, 0 }),
    ALLOW(sched_setaffinity, "on the guest's CPU a call is answered five times sooner"),
    RARE(getcpu, "as sched_setaffinity, on a machine that does not tell without a call"),
    ALLOW(clock_gettime, "a guest's CPU time"),

    ALLOW_IF(clone, "a worker, for a file system that may wait (worker.c)", { 0, COMPARE_EQUAL, 0, CLONE_PIDFD | SIGCHLD }),
    ALLOW_IF(prctl, "a worker ends with the supervisor", LOW_EQUAL(0, PR_SET_PDEATHSIG), LOW_EQUAL(1, SIGKILL)),
    ALLOW_IF(tgkill, "whose thread is it: a session and its branches", LOW_EQUAL(2, 0)),

    ALLOW(brk, LIBC), ALLOW_IF(mmap, LIBC, NOT_EXECUTABLE), ALLOW(munmap, LIBC),
    RARE(mremap, "libc: a table of guests that grew large grows again"),
    RARE(restart_syscall, "the kernel: poll goes on after SIGCONT, or thaws"),
    ALLOW(geteuid, "whose file is it"), ALLOW(exit_group, "the end"),
};
/* clang-format on */
const size_t supervisor_call_count = ARRAY_SIZE(supervisor_calls);
