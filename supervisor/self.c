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
#include "supervisor/locks.h"
#include "supervisor/loopback.h"
#include "supervisor/pairs.h"
#include "supervisor/protect.h"
#include "supervisor/told.h"
#include "wire/messages.h"
#include "wire/told.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <time.h>

static const uint64_t one_cpu = 1; /* of which a guest knows: the first */

/* A handler finds the answer refused with EPERM: it has to do something to allow anything. */
#define HANDLER(name)                                                                              \
    static void name(__attribute__((unused)) struct supervisor *supervisor,                        \
                     __attribute__((unused)) struct guest *guest,                                  \
                     __attribute__((unused)) const struct call *call, struct answer *answer)

static void answer_refuse(struct answer *answer, const char *rule, const char *hint)
{
    answer->error = EPERM;
    answer->refused = true;
    answer->rule = rule;
    answer->hint = hint;
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
    bool is_group = call->number == SYS_kill && target < -1;
    if (target == -1)
        snprintf(answer->target, sizeof answer->target, "all processes");
    else
        snprintf(answer->target, sizeof answer->target,
                 is_group || target == 0 ? "process group %d" : "process %d",
                 is_group ? -target : target);
    if (target == guest->inner_pid)
        answer_continue(answer);
    else if (call->number == SYS_kill &&
             (target == -guest->inner_pid || (target == 0 && call->args[1] == 0)))
        /* Its group is itself, whatever group the kernel has it in. But 0 is also what it is told of its
         * parent, and who means to end that would end itself. */
        answer->error =
            syscall(SYS_pidfd_send_signal, guest->fds[GUEST_PIDFD], (int)call->args[1], NULL, 0) < 0
                ? errno
                : 0;
    else
        answer_refuse(answer, "processes", "a guest may signal only itself");
}

/* Record locks: the kernel keeps them, and would let a guest hold any number. */
HANDLER(self_lock)
{
    int command = (int)call->args[1];
    struct flock lock = { .l_type = F_WRLCK };
    bool asks = command == F_GETLK || command == F_OFD_GETLK;
    guest->has_ofd_locks |= command == F_OFD_SETLK || command == F_OFD_SETLKW;
    (void)!memory_read(guest->fds[GUEST_MEMORY], call->args[2], &lock, sizeof lock);
    if (asks || locks_has_room(supervisor, guest, lock.l_type == F_UNLCK))
        answer_continue(answer);
    else
        answer->error = ENOLCK;
}

HANDLER(self_time)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct timeval now_us = { now.tv_sec, now.tv_nsec / 1000 };
    bool is_time = call->number == SYS_time; /* of which the seconds are the beginning */
    size_t length = is_time ? sizeof now_us.tv_sec : sizeof now_us;
    answer_value(answer, is_time ? now.tv_sec : 0);
    if (call->args[0] != 0)
        answer_bytes(guest, call->args[0], &now_us, length, answer->value, answer);
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
        struct guest_use use;
        if (guest_measure(guest, &use))
            usage.ru_maxrss = (long)(use.resident / 1024);
    }
    answer_bytes(guest, call->args[1], &usage, sizeof usage, 0, answer);
}

HANDLER(self_times)
{
    struct tms times_of = { .tms_utime = (clock_t)(guest_cpu_ns(guest) / 10000000) };
    answer_value(answer, (int64_t)(clock_now_ns() / 10000000));
    if (call->args[0] != 0)
        answer_bytes(guest, call->args[0], &times_of, sizeof times_of, answer->value, answer);
}

/* prlimit64(0 or itself, resource, new, old). The kernel does it: the supervisor could do it to any
 * process of its user, so it has no such call. Nobody raises a hard limit; who tries is on record,
 * if he does not change the words meanwhile. */
HANDLER(self_limits)
{
    struct rlimit64 now, wanted;
    pid_t target = (pid_t)call->args[0];
    if (target != 0 && target != guest->inner_pid) {
        snprintf(answer->target, sizeof answer->target, "process %d", target);
        answer_refuse(answer, "processes", "a guest may look at its own limits only");
        return;
    }
    answer->error = 0;
    if (call->args[2] != 0)
        answer->error =
            memory_read(guest->fds[GUEST_MEMORY], call->args[2], &wanted, sizeof wanted);
    if (answer->error == 0 && call->args[2] != 0 &&
        syscall(SYS_prlimit64, guest->pid, (unsigned)call->args[1], NULL, &now) < 0)
        answer->error = errno;
    if (answer->error == 0 && call->args[2] != 0 && wanted.rlim_max > now.rlim_max)
        answer->error = EPERM; /* in the words of the policy's row */
    if (answer->error == 0)
        answer_continue(answer);
}

/* A thread, by pthread_create's flags; its pointers are to the guest's own memory, and nothing is
 * decided by what is there. The kernel counts threads by user only, and each is 30 KiB of its
 * memory, so a bomb is not left to the next tick. Threads that were joined may still be counted
 * for a moment: those of a whole pool, while the next one starts. */
HANDLER(self_thread)
{
    struct guest_use use;
    const uint64_t most = 2 * supervisor->settings.threads + 8u;
    answer->error = EAGAIN;
    if (++guest->threads > most) { /* at the most: some have ended since the last look */
        if (!guest_measure(guest, &use)) {
            guest_kill_unseen(guest);
            return;
        }
        guest->threads = use.threads;
    }
    if (guest->threads > most)
        guest_kill(guest, END_THREADS);
    else
        answer_continue(answer);
}

/* Without a network of its own a guest's sockets are ends of UNIX stream pairs, which have no name. */
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

/* SO_PEERCRED and the like tell about the supervisor. */
HANDLER(self_socket_option)
{
    if (loopback_may_get(call)) {
        answer_continue(answer);
        return;
    }
    snprintf(answer->target, sizeof answer->target, "option %d of level %d", (int)call->args[2],
             (int)call->args[1]);
    answer->error = ENOPROTOOPT;
    answer->searched = true;
    answer->rule = "network";
    answer->hint = "options that tell of the socket alone can be read";
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

/* A process that becomes the user it is. */
HANDLER(self_become)
{
    unsigned ids = call->number == SYS_setuid || call->number == SYS_setgid       ? 1
                   : call->number == SYS_setreuid || call->number == SYS_setregid ? 2
                                                                                  : 3;
    for (unsigned i = 0; i < ids; i++) {
        uint32_t id = (uint32_t)call->args[i];
        if (id != GUEST_UID && (ids == 1 || id != UINT32_MAX))
            return;
    }
    answer_value(answer, 0);
}

static bool is_itself(const struct guest *guest, uint64_t number)
{
    return (pid_t)number == 0 || (pid_t)number == guest->inner_pid;
}

/* The kernel's number: 20 for a thread that is not nice, less for others. */
static int nice_of(id_t thread)
{
    long priority = syscall(SYS_getpriority, PRIO_PROCESS, thread);
    return priority > 0 ? (int)priority : 20;
}

HANDLER(self_priority)
{
    if (call->number == SYS_getpriority && (int)call->args[0] == PRIO_PGRP &&
        is_itself(guest, call->args[1]))
        answer_value(answer, nice_of((id_t)guest->pid)); /* nobody else is in its group */
    if ((int)call->args[0] != PRIO_PROCESS || !is_itself(guest, call->args[1]))
        return;
    answer_continue(answer);
    /* the calling thread's, or the first one's: the kernel has them by thread */
    id_t whose = (id_t)(call->args[1] == 0 ? call->tid : guest->pid);
    if (call->number == SYS_setpriority && (int)call->args[2] < 20 - nice_of(whose)) {
        answer_refuse(answer, "limits", "a guest may be nicer to others, not less so");
        answer->error = EACCES;
        answer->continues = false;
    }
}

/* Of another thread nothing is said, whose it is not being known by its number. Libraries ask about
 * their own, by way of libc, and go on: no violation. */
HANDLER(self_schedule)
{
    if (is_itself(guest, call->args[0]))
        answer_continue(answer);
    else
        answer->searched = true;
}

/* To the ordinary one, which it has. */
HANDLER(self_scheduler)
{
    bool is_parameter = call->number == SYS_sched_setparam;
    int32_t priority = 0;
    if (!is_itself(guest, call->args[0]) || (!is_parameter && (int)call->args[1] != SCHED_OTHER))
        return;
    answer->error = memory_read(guest->fds[GUEST_MEMORY], call->args[is_parameter ? 1 : 2],
                                &priority, sizeof priority);
    if (answer->error == 0 && priority != 0)
        answer->error = EINVAL;
    answer->value = 0;
}

/* A guest has one CPU, the first, as sched_getaffinity says. Of a set the kernel takes what there
 * is. */
HANDLER(self_affinity)
{
    uint64_t set = 0;
    size_t size = call->args[1] < sizeof set ? call->args[1] : sizeof set;
    if (!is_itself(guest, call->args[0]))
        return;
    answer->error = memory_read(guest->fds[GUEST_MEMORY], call->args[2], &set, size);
    if (answer->error == 0 && (set & one_cpu) == 0)
        answer->error = EINVAL;
    answer->value = 0;
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
    [SYS_getrlimit] = CONTINUE,
    [SYS_prlimit64] = SERVE(self_limits),
    [SYS_fcntl] = SERVE(self_lock),
    [SYS_flock] = CONTINUE,
    [SYS_fsync] = CONTINUE,
    [SYS_fdatasync] = CONTINUE,
    [SYS_msync] = CONTINUE,
    [SYS_readv] = CONTINUE,
    [SYS_writev] = CONTINUE,
    [SYS_preadv] = CONTINUE,
    [SYS_pwritev] = CONTINUE,
    [SYS_preadv2] = CONTINUE,
    [SYS_pwritev2] = CONTINUE,
    [SYS_pause] = CONTINUE,
    [SYS_getitimer] = CONTINUE,
    [SYS_rt_sigpending] = CONTINUE,
    [SYS_rt_sigtimedwait] = CONTINUE,
    [SYS_rt_sigsuspend] = CONTINUE,
    [SYS_setuid] = SERVE(self_become),
    [SYS_setgid] = SERVE(self_become),
    [SYS_setreuid] = SERVE(self_become),
    [SYS_setregid] = SERVE(self_become),
    [SYS_setresuid] = SERVE(self_become),
    [SYS_setresgid] = SERVE(self_become),
    [SYS_setfsuid] = VALUE(GUEST_UID),
    [SYS_setfsgid] = VALUE(GUEST_UID),
    [SYS_getpriority] = SERVE(self_priority),
    [SYS_setpriority] = SERVE(self_priority),
    [SYS_sched_setaffinity] = SERVE(self_affinity),
    [SYS_sched_setparam] = SERVE(self_scheduler),
    [SYS_sched_setscheduler] = SERVE(self_scheduler),
    [SYS_sched_getscheduler] = SERVE(self_schedule),
    [SYS_sched_getparam] = SERVE(self_schedule),
    [SYS_sched_rr_get_interval] = SERVE(self_schedule),
    [SYS_sched_get_priority_max] = CONTINUE,
    [SYS_sched_get_priority_min] = CONTINUE,
    [SYS_getsockname] = SERVE(self_socket_name),
    [SYS_getpeername] = SERVE(self_socket_name),
    [SYS_clock_gettime] = CONTINUE,
    [SYS_getsockopt] = SERVE(self_socket_option),
    [SYS_setsockopt] = SERVE(loopback_set),
    [SYS_socket] = SERVE(loopback_socket),
    [SYS_bind] = SERVE(loopback_address),
    [SYS_connect] = SERVE(loopback_address),
    [SYS_listen] = SERVE(loopback_listen),
    [SYS_sendto] = SERVE(loopback_send),
    [SYS_socketpair] = SERVE(pairs_make),
    [SYS_pipe] = SERVE(pairs_make),
    [SYS_pipe2] = SERVE(pairs_make),
    [SYS_eventfd2] = SERVE(pairs_make_counter),
    [SYS_recvmsg] = SERVE(self_take_lent),
    [SYS_kill] = SERVE(self_signal),
    [SYS_tgkill] = SERVE(self_signal),
    [SYS_tkill] = SERVE(self_signal),
    [SYS_clone] = SERVE(self_clone),
    [SYS_mprotect] = SERVE(protect_serve),
    [SYS_gettid] = CONTINUE,
    [SYS_sigaltstack] = CONTINUE,
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
