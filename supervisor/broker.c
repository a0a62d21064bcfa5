/* Answers the system calls that a guest cannot make itself. Supervisor.
 *
 * One notification at a time: take it, decide by the policy's row, let the handler work on copies,
 * answer with a value, an errno or a descriptor. Nothing of the guest is read twice; a call with a
 * pointer argument is never continued (seccomp_unotify(2), "Caveats regarding the use of
 * SECCOMP_USER_NOTIF_FLAG_CONTINUE"). The answer's ioctl is the last check that the call is still
 * there: ENOENT means that the guest died, and is no error. */
#define _GNU_SOURCE
#include "policy/syscalls.h"
#include "supervisor/guest.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

/* Of kernel 6.6; the headers of Debian 12 are older. */
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS      SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif

int broker_listen(struct guest *guest)
{
    /* EINVAL on a kernel before 6.6: slower, not weaker. */
    if (ioctl(guest->listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) <
            0 &&
        errno != EINVAL)
        return -errno;
    return 0;
}

/* Hands over the answer's descriptor as the call's result. 0, -ENOENT if the guest is gone, or a
 * positive errno to answer instead (its table is full). */
static int broker_install(struct guest *guest, const struct call *call, struct answer *answer)
{
    struct seccomp_notif_addfd install = {
        .id = call->id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = (__u32)answer->install_fd,
        .newfd_flags = answer->install_cloexec ? O_CLOEXEC : 0,
    };
    int number = ioctl(guest->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &install);
    int error = errno;
    fd_close(&answer->install_fd);
    if (number < 0)
        return error == ENOENT || error == ESRCH ? -ENOENT : error;
    files_installed(guest->files, number);
    return 0;
}

/* Before the answer, so that the handler runs before the program sees it. A signal to the process
 * goes to its main thread, if that can take it: other threads are not asked. */
static void broker_ask(const struct guest *guest, int deed)
{
    siginfo_t info = { .si_signo = SIGSYS, .si_code = SI_QUEUE };
    info.si_value.sival_int = deed;
    syscall(SYS_pidfd_send_signal, guest->pidfd, SIGSYS, &info, 0);
}

static int broker_answer(struct guest *guest, const struct call *call, struct answer *answer)
{
    if (answer->error == 0 && answer->install_fd >= 0) {
        int error = broker_install(guest, call, answer);
        if (error <= 0)
            return error == -ENOENT ? 0 : error;
        answer->error = error;
    }
    fd_close(&answer->install_fd);
    if (answer->deed != 0 && call->tid == guest->pid)
        broker_ask(guest, answer->deed);
    struct seccomp_notif_resp response = { .id = call->id };
    if (answer->error != 0)
        response.error = -answer->error;
    else if (answer->continues)
        response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else
        response.val = answer->value;
    if (ioctl(guest->listener, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

/* Serves the call if a row of the policy brokers it, else refuses it in the words of its row. */
static void broker_decide(struct supervisor *supervisor, struct guest *guest,
                          const struct call *call, struct answer *answer)
{
    const struct syscall_row *row = syscall_decide(
        syscall_rows, syscall_row_count, supervisor->settings.grants, call->number, call->args);
    bool may_continue = row != NULL && row->action == CALL_CONTINUE;
    if (row != NULL && (row->action == CALL_BROKER || may_continue) &&
        (files_serve(guest->files, guest->memory, call, answer) ||
         self_serve(supervisor, guest, call, answer)) &&
        (!answer->continues || may_continue))
        return;
    answer->continues = false;
    const struct syscall_row *words = row ? row : syscall_find(call->number);
    answer->error = EPERM;
    answer->refused = true;
    answer->rule = words != NULL && words->rule != NULL ? words->rule : "system calls";
    answer->hint = words != NULL && words->hint != NULL ? words->hint : "not part of any policy";
}

int broker_serve(struct supervisor *supervisor, struct guest *guest)
{
    struct seccomp_notif notification = { 0 };
    if (ioctl(guest->listener, SECCOMP_IOCTL_NOTIF_RECV, &notification) < 0)
        return errno == ENOENT || errno == EINTR ? 0
                                                 : -errno; /* it died in between, or comes again */
    struct call call = {
        .id = notification.id,
        .number = notification.data.nr,
        .tid = (pid_t)notification.pid,
    };
    for (unsigned i = 0; i < ARRAY_SIZE(call.args); i++)
        call.args[i] = notification.data.args[i];
    struct answer answer = ANSWER_INIT;
    struct guest *caller = branch_caller(supervisor, guest, call.tid);
    if (caller == NULL) { /* a branch's first call: what it asks for is to be taken in */
        answer.error = branch_adopt(supervisor, guest, &call);
        return broker_answer(guest, &call, &answer);
    }
    guest = caller;
    broker_decide(supervisor, guest, &call, &answer);
    guest->served++;
    if (answer.refused || supervisor->settings.audit) {
        char buffer[32];
        const char *op = syscall_name(call.number, buffer);
        if (answer.refused)
            guest_record(guest, op, answer.target, answer.rule, answer.hint);
        if (supervisor->settings.audit && control_audit(guest, op, &answer) < 0)
            answer.error = EPERM; /* what cannot be recorded is not done */
    }
    placement_note_call(supervisor, guest, call.tid);
    return broker_answer(guest, &call, &answer);
}
