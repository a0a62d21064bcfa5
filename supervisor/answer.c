/* Gives a guest the answer to its call, through its filter's listener. Supervisor. The answer's
 * ioctl is the last check that the call is still there: ENOENT means that the guest died, and is no
 * error. */
#define _GNU_SOURCE
#include "supervisor/answer.h"

#include "base/kernel.h"
#include "files/files.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

int answer_ioctl(const struct guest *guest, unsigned long request, void *argument)
{
    int result;
    do /* the listener's lock, waited for when a signal (SIGCONT) came */
        result = ioctl(guest->fds[GUEST_LISTENER], request, argument);
    while (result < 0 && errno == EINTR);
    return result;
}

int answer_listen(struct guest *guest)
{
    /* EINVAL on a kernel before 6.6: slower, not weaker. */
    if (ioctl(guest->fds[GUEST_LISTENER], SECCOMP_IOCTL_NOTIF_SET_FLAGS,
              SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP) < 0 &&
        errno != EINVAL)
        return -errno;
    return 0;
}

/* Hands over the answer's descriptor as the call's result. 0, -ENOENT if the guest is gone, or a
 * positive errno to answer instead (its table is full). After EINPROGRESS that cannot be answered
 * either, and the guest ends: a SIGSTOP or the freezer cut the ioctl off between its two halves,
 * and the kernel has answered with 0. */
static int answer_install(struct guest *guest, const struct call *call, struct answer *answer)
{
    struct seccomp_notif_addfd install = {
        .id = call->id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = (__u32)answer->install_fd,
        .newfd_flags = answer->install_cloexec ? O_CLOEXEC : 0,
    };
    int number = answer_ioctl(guest, SECCOMP_IOCTL_NOTIF_ADDFD, &install);
    int error = errno;
    fd_close(&answer->install_fd);
    if (number < 0)
        return error == ENOENT || error == ESRCH ? -ENOENT : error;
    answer->value = number;
    files_installed(guest->files, number);
    return 0;
}

void answer_ask(const struct guest *guest, int deed)
{
    siginfo_t info = { .si_signo = SIGSYS, .si_code = SI_QUEUE };
    info.si_value.sival_int = deed;
    syscall(SYS_pidfd_send_signal, guest->fds[GUEST_PIDFD], SIGSYS, &info, 0);
}

int answer_send(struct guest *guest, const struct call *call, struct answer *answer)
{
    if (answer->error == 0 && answer->install_fd >= 0) {
        int error = answer_install(guest, call, answer);
        if (error <= 0)
            return error == -ENOENT ? 0 : error;
        answer->error = error;
    }
    fd_close(&answer->install_fd);
    if (answer->deed != 0 && call->tid == guest->pid)
        answer_ask(guest, answer->deed);
    struct seccomp_notif_resp response = { .id = call->id };
    if (answer->error != 0)
        response.error = -answer->error;
    else if (answer->continues)
        response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else
        response.val = answer->value;
    if (answer_ioctl(guest, SECCOMP_IOCTL_NOTIF_SEND, &response) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}
