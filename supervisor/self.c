/* Calls by which a program asks about itself, signals itself or makes a channel to itself.
 * Supervisor.
 *
 * What would tell about the host is answered with the jar's own truth: one CPU, the policy's
 * memory, user 1000. Continued are only calls whose arguments are all numbers, after those were
 * compared. */
#define _GNU_SOURCE
#include "supervisor/self.h"

#include "files/files.h"
#include "files/memory.h"
#include "supervisor/branch.h"
#include "supervisor/lending.h"
#include "supervisor/limits.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

#define PAIRS_MAX                                                                                  \
    16 /* pipes and socket pairs a guest may have made: their buffers are kernel memory */

static void answer_value(struct answer *answer, int64_t value)
{
    answer->error = 0;
    answer->value = value;
}

/* Writes a structure to the guest and answers value, or EFAULT. */
static void answer_bytes(const struct guest *guest, uint64_t address, const void *bytes,
                         size_t length, int64_t value, struct answer *answer)
{
    answer->error =
        memory_write(guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS], address, bytes, length);
    answer->value = value;
}

static void self_signal(const struct guest *guest, const struct call *call, struct answer *answer)
{
    pid_t target = (pid_t)call->args[0];
    snprintf(answer->target, sizeof answer->target, "process %d", target);
    if (target == guest->inner_pid) {
        answer->error = 0;
        answer->continues = true;
        return;
    }
    answer->error = EPERM;
    answer->refused = true;
    answer->rule = "processes";
    answer->hint = "a guest may signal only itself";
}

/* F_GETLK and F_OFD_GETLK: nobody else holds a lock on what is this guest's alone. */
static void self_get_lock(const struct guest *guest, const struct call *call, struct answer *answer)
{
    struct flock lock;
    answer->error = memory_read(guest->fds[GUEST_MEMORY], call->args[2], &lock, sizeof lock);
    lock.l_type = F_UNLCK;
    if (answer->error == 0)
        answer_bytes(guest, call->args[2], &lock, sizeof lock, 0, answer);
}

static void self_time(const struct guest *guest, const struct call *call, struct answer *answer)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timeval now_us = { now.tv_sec, now.tv_nsec / 1000 };
    int64_t seconds = now.tv_sec;
    if (call->args[0] == 0)
        answer_value(answer, call->number == SYS_time ? seconds : 0);
    else if (call->number == SYS_time)
        answer_bytes(guest, call->args[0], &seconds, sizeof seconds, seconds, answer);
    else
        answer_bytes(guest, call->args[0], &now_us, sizeof now_us, 0, answer);
}

static void self_uname(const struct guest *guest, const struct call *call, struct answer *answer)
{
    /* struct new_utsname of the kernel: six fields of 65 bytes. The release is no secret of the
     * host's. */
    struct utsname name = { .sysname = "Linux",
                            .nodename = "belljar",
                            .release = "6.1.0-belljar",
                            .version = "#1 belljar",
                            .machine = "x86_64" };
    static_assert(sizeof name == 6 * 65, "the kernel's layout");
    answer_bytes(guest, call->args[0], &name, sizeof name, 0, answer);
}

static void self_sysinfo(const struct supervisor *supervisor, const struct guest *guest,
                         const struct call *call, struct answer *answer)
{
    struct sysinfo info = { .totalram = supervisor->settings.memory_bytes,
                            .freeram = supervisor->settings.memory_bytes / 2,
                            .procs = 1,
                            .mem_unit = 1 };
    answer_bytes(guest, call->args[0], &info, sizeof info, 0, answer);
}

static void self_rusage(const struct guest *guest, const struct call *call, struct answer *answer)
{
    struct rusage usage = { 0 };
    if ((int)call->args[0] !=
        RUSAGE_CHILDREN) { /* it has none: earlier guests are not its children */
        uint64_t cpu_us = guest_cpu_ns(guest) / 1000;
        usage.ru_utime.tv_sec = (time_t)(cpu_us / 1000000);
        usage.ru_utime.tv_usec = (suseconds_t)(cpu_us % 1000000);
        struct limits_use use;
        if (limits_measure(guest, &use))
            usage.ru_maxrss = (long)(use.resident / 1024);
    }
    answer_bytes(guest, call->args[1], &usage, sizeof usage, 0, answer);
}

static void self_times(const struct guest *guest, const struct call *call, struct answer *answer)
{
    struct tms times_of = { .tms_utime = (clock_t)(guest_cpu_ns(guest) / 10000000) };
    int64_t ticks = (int64_t)(clock_now_ns() / 10000000);
    if (call->args[0] == 0)
        answer_value(answer, ticks);
    else
        answer_bytes(guest, call->args[0], &times_of, sizeof times_of, ticks, answer);
}

/* prlimit64(0 or itself, resource, NULL, old). Setting is refused: the supervisor could do it to
 * any process of its user, so it has no such call. */
static void self_limits(const struct guest *guest, pid_t target, unsigned resource,
                        uint64_t new_address, uint64_t old_address, struct answer *answer)
{
    struct rlimit64 limit;
    bool is_other = target != 0 && target != guest->inner_pid;
    if (is_other || new_address != 0) {
        answer->error = EPERM;
        answer->refused = true;
        answer->rule = is_other ? "processes" : "limits";
        answer->hint = is_other ? "a guest may look at its own limits only"
                                : "limits are the policy's: set timeout, memory or cpu outside";
        return;
    }
    if (syscall(SYS_prlimit64, guest->pid, resource, NULL, &limit) < 0)
        answer->error = errno;
    else if (old_address != 0)
        answer_bytes(guest, old_address, &limit, sizeof limit, 0, answer);
}

/* mprotect that takes the right to write away (numbers only). What is written then counts no more
 * for RLIMIT_DATA, so that as much could be had again. The little that shared objects relocate is
 * free; beyond, nobody takes more out than fits into the limit, and the ticks come faster. */
static void self_protect(const struct supervisor *supervisor, struct guest *guest,
                         const struct call *call, struct answer *answer)
{
    uint64_t length = call->args[1];
    struct limits_use use;
    uint64_t sum = guest->protected_bytes + length;
    guest->protected_bytes = sum < length ? UINT64_MAX : sum;
    answer->continues = true;
    if (guest->protected_bytes <= PROTECTED_FREE)
        return;
    if (!limits_measure(guest, &use)) {
        answer->error = EPERM;
        limits_kill_unseen(guest);
    } else if (use.own > supervisor->settings.memory_bytes) {
        answer->error = ENOMEM;
    }
}

/* A thread, by pthread_create's flags; its pointers are to the guest's own memory, and nothing is
 * decided by what is there. The kernel counts threads by user only, and each is 30 KiB of its
 * memory, so a bomb is not left to the next tick. Threads that were joined may still be counted
 * for a moment: those of a whole pool, while the next one starts. */
static void self_thread(const struct supervisor *supervisor, struct guest *guest,
                        struct answer *answer)
{
    struct limits_use use;
    const uint64_t most = 2 * supervisor->settings.threads + 8u;
    answer->continues = true;
    if (++guest->threads <= most) /* at the most: some have ended since the last look */
        return;
    if (!limits_measure(guest, &use))
        limits_kill_unseen(guest);
    else if ((guest->threads = use.threads) > most)
        guest_kill(guest, END_THREADS);
    else
        return;
    answer->error = EAGAIN;
}

static void self_affinity(const struct guest *guest, const struct call *call, struct answer *answer)
{
    uint64_t one_cpu = 1;
    if (call->args[1] < sizeof one_cpu)
        answer->error = EINVAL;
    else
        answer_bytes(guest, call->args[2], &one_cpu, sizeof one_cpu, sizeof one_cpu, answer);
}

static void self_resolution(const struct guest *guest, const struct call *call,
                            struct answer *answer)
{
    struct timespec resolution = { 0, 1 };
    if (call->args[0] > 15) /* no clocks of other processes */
        answer->error = EINVAL;
    else if (call->args[1] == 0)
        answer_value(answer, 0);
    else
        answer_bytes(guest, call->args[1], &resolution, sizeof resolution, 0, answer);
}

/* Every socket that a guest can hold is one end of a UNIX stream pair without a name. */
static void self_socket_name(const struct guest *guest, const struct call *call,
                             struct answer *answer)
{
    sa_family_t family = AF_UNIX;
    uint32_t size = sizeof family;
    uint32_t room;
    answer->error = memory_read(guest->fds[GUEST_MEMORY], call->args[2], &room, sizeof room);
    if (answer->error == 0 && room >= sizeof family)
        answer->error = memory_write(guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS],
                                     call->args[1], &family, sizeof family);
    if (answer->error == 0)
        answer_bytes(guest, call->args[2], &size, sizeof size, 0, answer);
}

static void self_socket_option(const struct guest *guest, const struct call *call,
                               struct answer *answer)
{
    int32_t value;
    uint32_t size = sizeof value;
    switch (call->args[1] == SOL_SOCKET ? (int)call->args[2] : -1) {
    case SO_DOMAIN:
        value = AF_UNIX;
        break;
    case SO_TYPE:
        value = SOCK_STREAM;
        break;
    case SO_PROTOCOL:
    case SO_ERROR:
        value = 0;
        break;
    default: /* SO_PEERCRED and the like tell about the supervisor */
        answer->error = ENOPROTOOPT;
        return;
    }
    answer->error = memory_write(guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS], call->args[3],
                                 &value, sizeof value);
    if (answer->error == 0)
        answer_bytes(guest, call->args[4], &size, sizeof size, 0, answer);
}

/* Installs both ends in the guest and writes their numbers to address. */
static void self_install_pair(struct guest *guest, const struct call *call, int pair[2],
                              bool cloexec, uint64_t address, struct answer *answer)
{
    int32_t numbers[2];
    for (unsigned i = 0; i < 2; i++) {
        struct seccomp_notif_addfd install = { .id = call->id,
                                               .srcfd = (__u32)pair[i],
                                               .newfd_flags = cloexec ? O_CLOEXEC : 0 };
        numbers[i] = ioctl(guest->fds[GUEST_LISTENER], SECCOMP_IOCTL_NOTIF_ADDFD, &install);
        if (numbers[i] < 0) {
            answer->error =
                errno; /* EMFILE; the first of the two stays: its own table, its own loss */
            return;
        }
        files_installed(guest->files, numbers[i]);
    }
    guest->pairs++;
    answer_bytes(guest, address, numbers, sizeof numbers, 0, answer);
}

static void self_pair(struct guest *guest, const struct call *call, struct answer *answer)
{
    int pair[2];
    bool is_socket = call->number == SYS_socketpair;
    uint64_t flags = is_socket                   ? call->args[1] & ~(uint64_t)SOCK_STREAM
                     : call->number == SYS_pipe2 ? call->args[1]
                                                 : 0;
    if (is_socket && ((int)call->args[0] != AF_UNIX || call->args[2] != 0)) {
        answer->error = EAFNOSUPPORT;
        return;
    }
    if (guest->pairs >= PAIRS_MAX) {
        answer->error = EMFILE;
        return;
    }
    if ((flags & ~(uint64_t)(O_CLOEXEC | O_NONBLOCK)) !=
        0) { /* SOCK_CLOEXEC and SOCK_NONBLOCK are the same bits */
        answer->error = EINVAL;
        return;
    }
    int made =
        is_socket
            ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (int)(flags & O_NONBLOCK), 0, pair)
            : pipe2(pair, O_CLOEXEC | (int)(flags & O_NONBLOCK));
    if (made < 0) {
        answer->error = errno;
        return;
    }
    self_install_pair(guest, call, pair, (flags & O_CLOEXEC) != 0, call->args[is_socket ? 3 : 0],
                      answer);
    close(pair[0]);
    close(pair[1]);
}

static void self_event(struct guest *guest, const struct call *call, struct answer *answer)
{
    if (guest->pairs >= PAIRS_MAX) {
        answer->error = EMFILE;
        return;
    }
    answer->install_fd = eventfd((unsigned)call->args[0], (int)call->args[1] | EFD_CLOEXEC);
    answer->error = answer->install_fd < 0 ? errno : 0;
    answer->install_cloexec = (call->args[1] & EFD_CLOEXEC) != 0;
    guest->pairs++;
}

bool self_serve(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                struct answer *answer)
{
    const uint64_t *args = call->args;
    answer->error = 0;
    switch (call->number) {
    case SYS_clone: /* the rows let a session's fork and a thread through */
        if (args[0] & CLONE_THREAD)
            self_thread(supervisor, guest, answer);
        else
            branch_clone(supervisor, guest, call, answer);
        return true;
    case SYS_mprotect:
        self_protect(supervisor, guest, call, answer);
        return true;
    case SYS_getpid:
        answer_value(answer, guest->inner_pid);
        return true;
    case SYS_getppid:
        answer_value(answer, 0); /* as in a pid namespace whose parent is outside */
        return true;
    case SYS_gettid: /* no arguments, or numbers only */
    case SYS_alarm:
    case SYS_dup:
    case SYS_dup3:
    case SYS_shutdown:
        answer->continues = true;
        return true;
    case SYS_fcntl:
        self_get_lock(guest, call, answer);
        return true;
    case SYS_time:
    case SYS_gettimeofday:
        self_time(guest, call, answer);
        return true;
    case SYS_getuid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getegid:
        answer_value(answer, GUEST_UID);
        return true;
    case SYS_getresuid:
    case SYS_getresgid: {
        uint32_t id = GUEST_UID;
        for (unsigned i = 0; i < 3 && answer->error == 0; i++)
            answer->error = memory_write(guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS], args[i],
                                         &id, sizeof id);
        return true;
    }
    case SYS_getgroups:
        answer_value(answer, 0);
        return true;
    case SYS_getpgrp:
    case SYS_getpgid:
    case SYS_getsid:
        if (call->number == SYS_getpgrp || args[0] == 0 || (pid_t)args[0] == guest->inner_pid)
            answer_value(answer, guest->inner_pid);
        else
            answer->error = ESRCH;
        return true;
    case SYS_kill:
    case SYS_tgkill:
    case SYS_tkill:
        self_signal(guest, call, answer);
        return true;
    case SYS_uname:
        self_uname(guest, call, answer);
        return true;
    case SYS_sysinfo:
        self_sysinfo(supervisor, guest, call, answer);
        return true;
    case SYS_times:
        self_times(guest, call, answer);
        return true;
    case SYS_getrusage:
        self_rusage(guest, call, answer);
        return true;
    case SYS_getrlimit:
        self_limits(guest, 0, (unsigned)args[0], 0, args[1], answer);
        return true;
    case SYS_prlimit64:
        self_limits(guest, (pid_t)args[0], (unsigned)args[1], args[2], args[3], answer);
        return true;
    case SYS_sched_getaffinity:
        self_affinity(guest, call, answer);
        return true;
    case SYS_clock_getres:
        self_resolution(guest, call, answer);
        return true;
    case SYS_getsockname:
    case SYS_getpeername:
        self_socket_name(guest, call, answer);
        return true;
    case SYS_getsockopt:
        self_socket_option(guest, call, answer);
        return true;
    case SYS_socketpair:
    case SYS_pipe:
    case SYS_pipe2:
        self_pair(guest, call, answer);
        return true;
    case SYS_recvmsg:
        return lending_take(guest, args[1], answer);
    case SYS_eventfd2:
        self_event(guest, call, answer);
        return true;
    }
    return false;
}
