/* Calls that never wait, for the kernel, and so are never cut off by a signal: nobody asks them for EINTR. Here they
 * wait for the supervisor, and until it has taken them up a signal ends them, before anything was done: a stat would be an
 * InterruptedError, and os.path.exists would say no. So they are made again once the handler has run, as SA_RESTART
 * would; with that flag also those would be that a program wants to be cut off (sleeping, reading). In the guest, among hostile
 * code, which fools itself alone. Async-signal-safe. */
#define _GNU_SOURCE
#include "guest/again.h"

#include "guest/trap.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

static const short calls[] = {
    /* files */
    SYS_open, SYS_openat, SYS_creat, SYS_stat, SYS_lstat, SYS_newfstatat, SYS_access, SYS_faccessat,
    SYS_faccessat2, SYS_readlink, SYS_readlinkat, SYS_mkdir, SYS_mkdirat, SYS_mknod, SYS_mknodat,
    SYS_rmdir, SYS_unlink, SYS_unlinkat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_link,
    SYS_linkat, SYS_symlink, SYS_symlinkat, SYS_truncate, SYS_chmod, SYS_fchmod, SYS_fchmodat,
    SYS_chown, SYS_lchown, SYS_fchownat, SYS_utime, SYS_utimes, SYS_futimesat, SYS_utimensat,
    SYS_statfs, SYS_fstatfs, SYS_chdir, SYS_fchdir, SYS_getcwd, SYS_umask,
    /* about itself */
    SYS_getpid, SYS_getppid, SYS_gettid, SYS_getuid, SYS_geteuid, SYS_getgid, SYS_getegid,
    SYS_getresuid, SYS_getresgid, SYS_getgroups, SYS_getpgrp, SYS_getpgid, SYS_getsid, SYS_setuid,
    SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_getpriority,
    SYS_setpriority, SYS_getrusage, SYS_times, SYS_time, SYS_gettimeofday, SYS_clock_gettime,
    SYS_clock_getres, SYS_getitimer, SYS_rt_sigpending, SYS_sysinfo, SYS_uname, SYS_getrlimit,
    SYS_prlimit64, SYS_sched_getaffinity, SYS_sched_setaffinity, SYS_sched_setparam,
    SYS_sched_setscheduler, SYS_sched_get_priority_max, SYS_sched_get_priority_min,
    SYS_sched_getparam, SYS_sched_getscheduler, SYS_sched_rr_get_interval, SYS_kill, SYS_tgkill,
    SYS_tkill, SYS_alarm, SYS_mprotect,
    /* channels to itself */
    SYS_dup, SYS_dup3, SYS_pipe, SYS_pipe2, SYS_eventfd2, SYS_socketpair, SYS_socket, SYS_bind,
    SYS_listen, SYS_getsockname, SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_shutdown
};

static struct sigaction installed[_NSIG]; /* as the interpreter wanted them */

static bool never_waits(uint32_t number)
{
    for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
        if ((uint32_t)calls[i] == number)
            return true;
    return false;
}

/* The length of an instruction that fills an argument's register: with another or a number, by xor, mov. 0: it is
 * something else. */
static size_t filler_length(const uint8_t *at)
{
    uint8_t prefix = (*at & 0xf0) == 0x40 ? *at : 0;
    const uint8_t *code = at + (prefix != 0);
    bool is_high = (prefix & 1) != 0; /* not eax */
    if ((*code == 0x31 || *code == 0x89) && code[1] >> 6 == 3 && (is_high || (code[1] & 7) != 0))
        return 2 + (prefix != 0);
    return *code >> 3 == 0xb8 >> 3 && (prefix & 8) == 0 && (is_high || *code != 0xb8)
               ? 5u + (prefix != 0)
               : 0;
}

/* libc's "mov $number, %eax; syscall", just behind which the signal came, also with some arguments made in between. The
 * kernel has put the result in the place of the number. */
#define GAP_MAX 16
static bool is_cut_off(const greg_t *registers, uint32_t *ret_number)
{
    const uint8_t *end = (const uint8_t *)registers[REG_RIP] - 2;
    const uintptr_t first = ((uintptr_t)end - GAP_MAX - 5) & ~(uintptr_t)3;
    if (registers[REG_RAX] != -EINTR || !trap_is_readable((const void *)first, sizeof(uint32_t)) ||
        end[0] != 0x0f || end[1] != 0x05)
        return false;
    for (const uint8_t *from = end; from >= end - GAP_MAX; from--) {
        if (from[-5] != 0xb8)
            continue;
        size_t length = 1;
        const uint8_t *at = from;
        while (at < end && (length = filler_length(at)) > 0)
            at += length;
        memcpy(ret_number, from - 4, sizeof *ret_number);
        if (at == end && never_waits(*ret_number))
            return true;
    }
    return false;
}

static void handle(int number, siginfo_t *info, void *context)
{
    const struct sigaction *action = &installed[number];
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    uint32_t call;
    if (is_cut_off(registers, &call)) {
        registers[REG_RAX] = call;
        registers[REG_RIP] -= 2;
    }
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(number, info, context);
    else
        action->sa_handler(number);
}

int again_sigaction(int number, const struct sigaction *action, struct sigaction *ret_old)
{
    struct sigaction old, wanted;
    if (number < 1 || number >= _NSIG)
        return sigaction(number, action, ret_old);
    const struct sigaction before = installed[number];
    if (action != NULL) {
        wanted = *action;
        if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN) {
            installed[number] = *action;
            wanted.sa_sigaction = handle;
            wanted.sa_flags |= SA_SIGINFO;
        }
    }
    int result = sigaction(number, action != NULL ? &wanted : NULL, &old);
    if (result < 0)
        installed[number] = before;
    else if (ret_old != NULL)
        *ret_old = (old.sa_flags & SA_SIGINFO) && old.sa_sigaction == handle ? before : old;
    return result;
}
