/* seccomp: the guest's filter with its listener, the seal, and the supervisor's own list. */
#include "lockdown/steps.h"

#include <linux/seccomp.h>
#include <sys/syscall.h>

int seccomp_load(const struct filter *filter, unsigned flags)
{
    struct sock_fprog program = { filter->count, filter->instructions };
    int result = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
    return result < 0 ? -errno : result;
}

int seccomp_compile(struct lockdown *lockdown)
{
    int error = filter_build(syscall_rows, syscall_row_count, lockdown->settings->grants,
                             &lockdown->filter);
    if (error == 0)
        error = filter_build_seal(&lockdown->seal);
    return error;
}

/* WAIT_KILLABLE_RECV: else a signal cuts off a call that the supervisor is already serving, its
 * effect done. EBUSY: a container's own supervisor holds the one listener that a chain of filters
 * may have. */
int seccomp_guest(struct lockdown *lockdown)
{
    int listener = seccomp_load(&lockdown->filter, SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                                       SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    if (listener < 0)
        return listener;
    lockdown->listener = listener;
    return 0;
}

int lockdown_seal(const struct lockdown *lockdown)
{
    int error = limits_descriptors(lockdown);
    return error < 0 ? error : seccomp_load(&lockdown->seal, 0);
}

int seccomp_supervisor(struct lockdown *lockdown)
{
    CLEANUP(filter_release) struct filter filter = FILTER_INIT;
    int error = filter_build_supervisor(supervisor_calls, supervisor_call_count,
                                        lockdown->settings->grants, &filter);
    return error < 0 ? error : seccomp_load(&filter, 0);
}
