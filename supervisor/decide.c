/* The decision about a call: the policy's row decides, the handler does, and a refusal is recorded.
 * Supervisor. Nothing of the guest is read twice; a call is never continued if what a pointer of it
 * shows decides anything
 * (seccomp_unotify(2), "Caveats regarding the use of SECCOMP_USER_NOTIF_FLAG_CONTINUE"). */
#define _GNU_SOURCE
#include "supervisor/decide.h"

#include "files/files.h"
#include "files/memory.h"
#include "files/tree.h"
#include "policy/syscalls.h"
#include "supervisor/host.h"
#include "supervisor/loopback.h"
#include "supervisor/self.h"
#include "supervisor/told.h"
#include "wire/told.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Whether even looking at the call's arguments may take time: the guest's memory may be a mapped
 * file of a file system that does not answer. Then the worker looks. Not where scratch is on disk:
 * only the supervisor keeps the account of that. */
static bool decide_may_wait(const struct supervisor *supervisor, const struct guest *guest,
                            const struct syscall_row *row)
{
    return guest->is_foreign && files_scratch_is_exact(guest->files) &&
           !supervisor->tree->may_wait && row != NULL && row->action == CALL_BROKER &&
           row->number != SYS_recvmsg;
}

/* Which socket it would have been. Two are asked for by libraries that only want to know whether there are
 * any, and go on: IPv6, by urllib3 as it is imported, and the name service's, by libc in its own way. */
static void decide_socket(uint32_t grants, const struct call *call, struct answer *answer)
{
    static const struct {
        int family;
        const char *name;
    } families[] = { { AF_UNIX, "AF_UNIX" },     { AF_INET, "AF_INET" },
                     { AF_INET6, "AF_INET6" },   { AF_NETLINK, "AF_NETLINK" },
                     { AF_PACKET, "AF_PACKET" }, { AF_VSOCK, "AF_VSOCK" } };
    int family = (int)call->args[0];
    snprintf(answer->target, sizeof answer->target, "address family %d", family);
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        if (families[i].family == family)
            snprintf(answer->target, sizeof answer->target, "%s", families[i].name);
    }
    bool has_loopback = (grants & GRANT_SELF) != 0;
    answer->searched = (family == AF_INET6 && !has_loopback) ||
                       (family == AF_NETLINK && has_loopback) || /* getaddrinfo of libc */
                       (family == AF_UNIX && (call->args[1] & SOCK_NONBLOCK) != 0);
    answer->refused = !answer->searched;
    if (has_loopback)
        answer->hint =
            "network=[\"self\"] is TCP and UDP, socket.SOCK_STREAM and SOCK_DGRAM of AF_INET "
            "and AF_INET6, and there is no other network; hand data in by files= or "
            "expose() a host function";
}

/* Whose object one argument is: calls that the table refuses whatever they name, so it is for the record alone
 * that it is read. Not where that might have to wait. */
static const struct {
    int number;
    uint8_t argument;
    const char *kind; /* of what the number is; NULL: a string of the guest's */
} objects[] = {
    { SYS_open, 0, NULL }, /* paths: where the policy grants no files */
    { SYS_openat, 1, NULL },
    { SYS_stat, 0, NULL },
    { SYS_lstat, 0, NULL },
    { SYS_newfstatat, 1, NULL },
    { SYS_access, 0, NULL },
    { SYS_faccessat, 1, NULL },
    { SYS_faccessat2, 1, NULL },
    { SYS_readlink, 0, NULL },
    { SYS_readlinkat, 1, NULL },
    { SYS_chdir, 0, NULL },
    { SYS_mkdir, 0, NULL },
    { SYS_mkdirat, 1, NULL },
    { SYS_rmdir, 0, NULL },
    { SYS_unlink, 0, NULL },
    { SYS_unlinkat, 1, NULL },
    { SYS_rename, 0, NULL },
    { SYS_renameat, 1, NULL },
    { SYS_renameat2, 1, NULL },
    { SYS_link, 0, NULL },
    { SYS_linkat, 1, NULL },
    { SYS_symlink, 1, NULL },
    { SYS_symlinkat, 2, NULL },
    { SYS_truncate, 0, NULL },
    { SYS_chmod, 0, NULL },
    { SYS_fchmodat, 1, NULL },
    { SYS_chown, 0, NULL },
    { SYS_lchown, 0, NULL },
    { SYS_fchownat, 1, NULL },
    { SYS_utimensat, 1, NULL },
    { SYS_statfs, 0, NULL },
    { SYS_execve, 0, NULL },
    { SYS_execveat, 1, NULL },
    { SYS_mknod, 0, NULL },
    { SYS_mknodat, 1, NULL },
    { SYS_chroot, 0, NULL },
    { SYS_memfd_create, 0, NULL },
    { SYS_setxattr, 0, NULL },
    { SYS_lsetxattr, 0, NULL },
    { SYS_fsetxattr, 0, "descriptor" },
    { SYS_fremovexattr, 0, "descriptor" },
    { SYS_removexattr, 0, NULL },
    { SYS_lremovexattr, 0, NULL },
    { SYS_sethostname, 0, NULL },
    { SYS_setdomainname, 0, NULL },
    { SYS_pidfd_open, 0, "process" },
    { SYS_setpgid, 0, "process" },
    { SYS_sched_setparam, 0, "process" },
    { SYS_sched_setscheduler, 0, "process" },
    { SYS_sched_getparam, 0, "process" },
    { SYS_sched_getscheduler, 0, "process" },
    { SYS_sched_setaffinity, 0, "process" },
    { SYS_sched_rr_get_interval, 0, "process" },
    { SYS_setpriority, 2, "priority" },
    { SYS_getpriority, 1, "that of" },
    { SYS_setuid, 0, "user" },
    { SYS_setreuid, 0, "user" },
    { SYS_setresuid, 0, "user" },
    { SYS_setgid, 0, "group" },
    { SYS_setregid, 0, "group" },
    { SYS_setresgid, 0, "group" },
    { SYS_fchown, 1, "to user" },
    { SYS_prlimit64, 1, "resource" },
    { SYS_clock_settime, 0, "clock" },
    { SYS_clock_gettime, 0, "clock" },
    { SYS_clock_getres, 0, "clock" },
    { SYS_pidfd_send_signal, 0, "descriptor" },
    { SYS_recvfrom, 0, "descriptor" },
    { SYS_recvmsg, 0, "descriptor" },
    { SYS_listen, 0, "descriptor" },
    { SYS_accept4, 0, "descriptor" },
    { SYS_setsockopt, 2, "option" },
    { SYS_ioctl, 1, "command" },
    { SYS_fcntl, 1, "command" },
    { SYS_prctl, 0, "option" },
    { SYS_arch_prctl, 0, "option" },
};

static void decide_object(const struct guest *guest, const struct call *call, struct answer *answer)
{
    if (strcmp(answer->rule, "jit") == 0)
        snprintf(answer->target, sizeof answer->target, "executable memory");
    if (!guest->is_foreign)
        loopback_object(guest, call, answer);
    for (size_t i = 0; i < ARRAY_SIZE(objects); i++) {
        if (objects[i].number != call->number)
            continue;
        unsigned argument = objects[i].argument;
        bool is_of_several = call->number >= SYS_setreuid && call->number <= SYS_setresgid;
        while (is_of_several && argument < 2 && (uint32_t)call->args[argument] == UINT32_MAX)
            argument++; /* -1: stays as it is */
        uint64_t value = call->args[argument];
        char string[sizeof answer->target];
        if (objects[i].kind != NULL)
            snprintf(answer->target, sizeof answer->target, "%s %d", objects[i].kind, (int)value);
        else if (!guest->is_foreign &&
                 memory_read_string(guest->fds[GUEST_MEMORY], value, string, sizeof string) == 0)
            memory_print(string, answer->target, sizeof answer->target);
    }
}

/* Where the policy grants no files. Whoever looks goes on without, as beside a grant (files/request.c). */
static bool call_only_looks(int number)
{
    return number == SYS_stat || number == SYS_lstat || number == SYS_newfstatat ||
           number == SYS_access || number == SYS_faccessat || number == SYS_faccessat2 ||
           number == SYS_readlink || number == SYS_readlinkat;
}

/* No row lets it through, or no handler did anything: the row's words. */
static void decide_refuse(const struct syscall_row *row, const struct syscall_row *first,
                          uint32_t grants, const struct call *call, struct answer *answer)
{
    const struct syscall_row *words = row ? row : first;
    answer->continues = false;
    answer->error = EPERM;
    answer->searched |= call->number == SYS_connect && (int)call->args[0] == NAME_SOUGHT;
    answer->searched |= row == NULL && call_only_looks(call->number);
    answer->refused = !answer->searched; /* a handler may take it for a question */
    answer->rule = words != NULL && words->rule != NULL ? words->rule : "system calls";
    answer->hint = words != NULL && words->hint != NULL ? words->hint : "not part of any policy";
    if (strcmp(answer->rule, "jit") == 0 && (grants & GRANT_JIT) != 0)
        answer->hint =
            "code made at run time lies in memory of its own (mmap of -1), not in a file";
    if (words != NULL && words->action == CALL_REFUSE && words->error != 0)
        answer->error = words->error;
    if (call->number == SYS_socket)
        decide_socket(grants, call, answer);
}

/* The table is long: a look through it at each call would take the CPU's nearest cache from what the
 * call needs. */
void decide_prepare(struct supervisor *supervisor)
{
    for (size_t i = syscall_row_count; i-- > 0;)
        supervisor->rows[syscall_rows[i].number] = &syscall_rows[i];
}

/* The rows of a number, which stand together. */
static const struct syscall_row *decide_rows(const struct supervisor *supervisor, int number,
                                             size_t *ret_count)
{
    const struct syscall_row *first =
        number >= 0 && number <= SYSCALL_NEWEST ? supervisor->rows[number] : NULL;
    const struct syscall_row *end = first;
    while (first != NULL && end < syscall_rows + syscall_row_count && end->number == first->number)
        end++;
    *ret_count = (size_t)(end - first);
    return first;
}

void decide_call(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                 struct answer *answer)
{
    size_t count;
    const struct syscall_row *first = decide_rows(supervisor, call->number, &count);
    const struct syscall_row *row =
        syscall_decide(first, count, supervisor->settings.grants, call->number, call->args);
    bool may_continue = row != NULL && row->action == CALL_CONTINUE;
    answer->may_wait = decide_may_wait(supervisor, guest, row);
    if (answer->may_wait)
        return;
    bool is_served = row != NULL && (row->action == CALL_BROKER || may_continue) &&
                     (files_serve(guest->files, guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS],
                                  call, answer) ||
                      self_serve(supervisor, guest, call, answer)) &&
                     (!answer->continues || may_continue);
    /* A file that it may write to from now on is looked at before it can be too large. */
    guest_look_by(supervisor, guest, files_scratch_due_ns(guest->files));
    if (!is_served)
        decide_refuse(row, first, supervisor->settings.grants, call, answer);
    if ((answer->refused || answer->searched) && answer->target[0] == '\0')
        decide_object(guest, call, answer);
}

int decide_record(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  const struct answer *answer)
{
    char buffer[32];
    bool is_told = answer->refused || supervisor->settings.audit;
    const char *name = is_told ? syscall_name(call->number, buffer) : NULL;
    guest->served++;
    guest->searched += answer->searched && !answer->refused;
    told_keep(guest, call, answer);
    if (answer->refused)
        guest_record(guest, name, answer->target, answer->rule, answer->hint);
    guest_publish(guest); /* before it is answered */
    return supervisor->settings.audit ? host_audit(guest->id, name, answer) : 0;
}
