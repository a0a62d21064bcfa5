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
#include "supervisor/answer.h"
#include "supervisor/branch.h"
#include "supervisor/lending.h"
#include "supervisor/limits.h"
#include "supervisor/told.h"
#include "wire/messages.h"
#include "wire/told.h"

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

/* A handler finds the answer refused with EPERM: it has to do something to allow anything. */
#define HANDLER(name)                                                                              \
    static void name(__attribute__((unused)) struct supervisor *supervisor, struct guest *guest,   \
                     __attribute__((unused)) const struct call *call, struct answer *answer)

static void answer_refuse(struct answer *answer, const char *rule, const char *hint)
{
    answer->error = EPERM;
    answer->refused = true;
    answer->rule = rule;
    answer->hint = hint;
}

static void answer_continue(struct answer *answer)
{
    answer->error = 0;
    answer->continues = true;
}

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

HANDLER(self_signal)
{
    pid_t target = (pid_t)call->args[0];
    snprintf(answer->target, sizeof answer->target, "process %d", target);
    if (target == guest->inner_pid)
        answer_continue(answer);
    else
        answer_refuse(answer, "processes", "a guest may signal only itself");
}

/* F_GETLK and F_OFD_GETLK: nobody else holds a lock on what is this guest's alone. */
HANDLER(self_get_lock)
{
    struct flock lock;
    answer->error = memory_read(guest->fds[GUEST_MEMORY], call->args[2], &lock, sizeof lock);
    lock.l_type = F_UNLCK;
    if (answer->error == 0)
        answer_bytes(guest, call->args[2], &lock, sizeof lock, 0, answer);
}

HANDLER(self_time)
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

HANDLER(self_sysinfo)
{
    struct sysinfo info = { .totalram = supervisor->settings.memory_bytes,
                            .freeram = supervisor->settings.memory_bytes / 2,
                            .procs = 1,
                            .mem_unit = 1 };
    answer_bytes(guest, call->args[0], &info, sizeof info, 0, answer);
}

HANDLER(self_rusage)
{
    if ((int)call->args[0] == TOLD_ASKED) {
        told_answer(guest, call, answer);
        return;
    }
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

HANDLER(self_times)
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
    if (is_other)
        answer_refuse(answer, "processes", "a guest may look at its own limits only");
    else if (new_address != 0)
        answer_refuse(answer, "limits",
                      "limits are the policy's: set timeout, memory or cpu outside");
    else if (syscall(SYS_prlimit64, guest->pid, resource, NULL, &limit) < 0)
        answer->error = errno;
    else if (old_address != 0)
        answer_bytes(guest, old_address, &limit, sizeof limit, 0, answer);
    else
        answer_value(answer, 0);
}

/* mprotect that takes the right to write away (numbers only). What is written then counts no more
 * for RLIMIT_DATA, so that as much could be had again. The little that shared objects relocate is
 * free; beyond, nobody takes more out than fits into the limit, and the ticks come faster. */
HANDLER(self_protect)
{
    uint64_t length = call->args[1];
    struct limits_use use;
    uint64_t sum = guest->protected_bytes + length;
    guest->protected_bytes = sum < length ? UINT64_MAX : sum;
    answer->error = ENOMEM;
    if (guest->protected_bytes <= PROTECTED_FREE)
        answer_continue(answer);
    else if (!limits_measure(guest, &use))
        limits_kill_unseen(guest);
    else if (use.own <= supervisor->settings.memory_bytes)
        answer_continue(answer);
}

/* A thread, by pthread_create's flags; its pointers are to the guest's own memory, and nothing is
 * decided by what is there. The kernel counts threads by user only, and each is 30 KiB of its
 * memory, so a bomb is not left to the next tick. Threads that were joined may still be counted
 * for a moment: those of a whole pool, while the next one starts. */
HANDLER(self_thread)
{
    struct limits_use use;
    const uint64_t most = 2 * supervisor->settings.threads + 8u;
    answer->error = EAGAIN;
    if (++guest->threads <= most) /* at the most: some have ended since the last look */
        answer_continue(answer);
    else if (!limits_measure(guest, &use))
        limits_kill_unseen(guest);
    else if ((guest->threads = use.threads) > most)
        guest_kill(guest, END_THREADS);
    else
        answer_continue(answer);
}

/* Every socket that a guest can hold is one end of a UNIX stream pair without a name. */
HANDLER(self_socket_name)
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

HANDLER(self_socket_option)
{
    /* SO_PEERCRED and the like tell about the supervisor. */
    static const struct {
        int option;
        int32_t value;
    } options[] = {
        { SO_DOMAIN, AF_UNIX }, { SO_TYPE, SOCK_STREAM }, { SO_PROTOCOL, 0 }, { SO_ERROR, 0 }
    };
    uint32_t size = sizeof options[0].value;
    answer->error = ENOPROTOOPT;
    for (size_t i = 0; call->args[1] == SOL_SOCKET && i < ARRAY_SIZE(options); i++) {
        if ((int)call->args[2] != options[i].option)
            continue;
        answer_bytes(guest, call->args[3], &options[i].value, size, 0, answer);
        if (answer->error == 0)
            answer_bytes(guest, call->args[4], &size, sizeof size, 0, answer);
    }
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
        numbers[i] = answer_ioctl(guest, SECCOMP_IOCTL_NOTIF_ADDFD, &install);
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

HANDLER(self_pair)
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

HANDLER(self_event)
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

HANDLER(self_clone)
{
    if (call->args[0] & CLONE_THREAD) /* the rows let a session's fork and a thread through */
        self_thread(supervisor, guest, call, answer);
    else
        branch_clone(supervisor, guest, call, answer);
}

HANDLER(self_pid)
{
    if ((call->number == SYS_getpgid || call->number == SYS_getsid) && call->args[0] != 0 &&
        (pid_t)call->args[0] != guest->inner_pid)
        answer->error = ESRCH;
    else
        answer_value(answer, guest->inner_pid);
}

HANDLER(self_ids)
{
    uint32_t id = GUEST_UID;
    answer->error = 0;
    for (unsigned i = 0; i < 3 && answer->error == 0; i++)
        answer_bytes(guest, call->args[i], &id, sizeof id, 0, answer);
}

HANDLER(self_getrlimit)
{
    self_limits(guest, 0, (unsigned)call->args[0], 0, call->args[1], answer);
}

HANDLER(self_prlimit)
{
    self_limits(guest, (pid_t)call->args[0], (unsigned)call->args[1], call->args[2], call->args[3],
                answer);
}

HANDLER(self_take_lent)
{
    if (!lending_take(guest, call->args[1], answer))
        answer->error = EPERM; /* of this number nothing is lent */
}

/* ---- The calls ---- */

/* struct new_utsname of the kernel: six fields of 65 bytes. The release is no secret of the host's.
 * */
static const struct utsname machine = { .sysname = "Linux",
                                        .nodename = "belljar",
                                        .release = "6.1.0-belljar",
                                        .version = "#1 belljar",
                                        .machine = "x86_64" };
static_assert(sizeof machine == 6 * 65, "the kernel's layout");
static const struct timespec resolution = { 0, 1 };
static const uint64_t one_cpu = 1;

/* A call's answer: a handler, or a constant, or the kernel's own. */
struct self_call {
    void (*serve)(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  struct answer *answer);
    const void *bytes; /* constant that is written to the guest, */
    uint16_t length;
    uint8_t address;  /* where this argument says */
    bool may_be_null; /* that is no fault, and nothing is written */
    uint8_t room;     /* EINVAL if this argument is less than its length; 0: not looked at */
    int64_t value;    /* that is returned with a constant, or alone */
    bool is_value, continues;
};
#define SERVE(handler)                                                                             \
    {                                                                                              \
        .serve = (handler)                                                                         \
    }
#define VALUE(number)                                                                              \
    {                                                                                              \
        .is_value = true, .value = (number)                                                        \
    }
#define BYTES(constant, where, size, number)                                                       \
    {                                                                                              \
        .bytes = &(constant), .length = sizeof(constant), .address = (where), .room = (size),      \
        .value = (number)                                                                          \
    }
#define CONTINUE                                                                                   \
    {                                                                                              \
        .continues = true                                                                          \
    } /* no arguments, or numbers only */

static const struct self_call self_calls[] = {
    [SYS_getpid] = SERVE(self_pid),
    [SYS_getpgrp] = SERVE(self_pid),
    [SYS_getpgid] = SERVE(self_pid),
    [SYS_getsid] = SERVE(self_pid),
    [SYS_getppid] = VALUE(0), /* as in a pid namespace whose parent is outside */
    [SYS_getuid] = VALUE(GUEST_UID),
    [SYS_geteuid] = VALUE(GUEST_UID),
    [SYS_getgid] = VALUE(GUEST_UID),
    [SYS_getegid] = VALUE(GUEST_UID),
    [SYS_getgroups] = VALUE(0),
    [SYS_getresuid] = SERVE(self_ids),
    [SYS_getresgid] = SERVE(self_ids),
    [SYS_uname] = BYTES(machine, 0, 0, 0),
    [SYS_sched_getaffinity] = BYTES(one_cpu, 2, 1, sizeof one_cpu),
    [SYS_clock_getres] = { .bytes = &resolution,
                           .length = sizeof resolution,
                           .address = 1,
                           .may_be_null = true },
    [SYS_time] = SERVE(self_time),
    [SYS_gettimeofday] = SERVE(self_time),
    [SYS_sysinfo] = SERVE(self_sysinfo),
    [SYS_times] = SERVE(self_times),
    [SYS_getrusage] = SERVE(self_rusage),
    [SYS_getrlimit] = SERVE(self_getrlimit),
    [SYS_prlimit64] = SERVE(self_prlimit),
    [SYS_fcntl] = SERVE(self_get_lock),
    [SYS_getsockname] = SERVE(self_socket_name),
    [SYS_getpeername] = SERVE(self_socket_name),
    [SYS_getsockopt] = SERVE(self_socket_option),
    [SYS_socketpair] = SERVE(self_pair),
    [SYS_pipe] = SERVE(self_pair),
    [SYS_pipe2] = SERVE(self_pair),
    [SYS_eventfd2] = SERVE(self_event),
    [SYS_recvmsg] = SERVE(self_take_lent),
    [SYS_kill] = SERVE(self_signal),
    [SYS_tgkill] = SERVE(self_signal),
    [SYS_tkill] = SERVE(self_signal),
    [SYS_clone] = SERVE(self_clone),
    [SYS_mprotect] = SERVE(self_protect),
    [SYS_gettid] = CONTINUE,
    [SYS_alarm] = CONTINUE,
    [SYS_dup] = CONTINUE,
    [SYS_dup3] = CONTINUE,
    [SYS_shutdown] = CONTINUE,
};

bool self_serve(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                struct answer *answer)
{
    if (call->number < 0 || (size_t)call->number >= ARRAY_SIZE(self_calls))
        return false;
    const struct self_call *row = &self_calls[call->number];
    if (row->serve != NULL)
        row->serve(supervisor, guest, call, answer);
    else if (row->continues)
        answer_continue(answer);
    else if (row->is_value || (row->may_be_null && call->args[row->address] == 0))
        answer_value(answer, row->value);
    else if (row->bytes != NULL && row->room != 0 && call->args[row->room] < row->length)
        answer->error = EINVAL;
    else if (row->bytes != NULL)
        answer_bytes(guest, call->args[row->address], row->bytes, row->length, row->value, answer);
    else
        return false;
    /* Left as it came, or said no without saying why: the policy's row has the words. */
    return answer->error != EPERM || answer->refused;
}
