/* Resource limits of the kernel: the guest's, and no core files for anybody. */
#include "lockdown/steps.h"

#include <sys/resource.h>
#include <sys/syscall.h>

/* Hard and soft, or as much as the machine's own hard limit lets us have. */
static int limit_to(int resource, uint64_t value)
{
    struct rlimit limit = { value, value };
    if (setrlimit(resource, &limit) == 0)
        return 0;
    struct rlimit now;
    if (errno != EPERM || getrlimit(resource, &now) < 0)
        return -errno;
    if (now.rlim_max > value)
        return -EPERM;
    now.rlim_cur = now.rlim_max;
    return setrlimit(resource, &now) < 0 ? -errno : 0;
}

int limits_no_core(struct lockdown *lockdown)
{
    (void)lockdown;
    return limit_to(RLIMIT_CORE, 0);
}

/* Not here: RLIMIT_AS (OpenBLAS reserves more than it uses), RLIMIT_NPROC (counts a user, not a
 * guest), RLIMIT_CPU (a session's runs each have their own: the supervisor's clock counts). */
int limits_guest(struct lockdown *lockdown)
{
    const struct settings *settings = lockdown->settings;
    const struct {
        int resource;
        uint64_t value;
    } limits[] = {
        { RLIMIT_DATA,
          settings->memory_bytes }, /* MemoryError first; the supervisor watches resident memory */
        { RLIMIT_FSIZE,
          settings->scratch_bytes }, /* one file; the quota is the tmpfs's or the supervisor's */
        { RLIMIT_CORE, 0 },
        { RLIMIT_MEMLOCK, 0 },
        { RLIMIT_MSGQUEUE, 0 },
        { RLIMIT_SIGPENDING, 64 }, /* queued signals are kernel memory */
    };
    for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
        int error = limit_to(limits[i].resource, limits[i].value);
        if (error < 0)
            return error;
    }
    return 0;
}

/* The last limit, after the setup message: the kernel compares all descriptors of a user that are
 * on their way through sockets with the sender's limit (ETOOMANYREFS), and each parked guest has
 * some. The call itself, as the filter is on: libc would take prlimit64. */
int limits_descriptors(const struct lockdown *lockdown)
{
    struct rlimit limit = { lockdown->settings->descriptors, lockdown->settings->descriptors };
    if (syscall(SYS_setrlimit, RLIMIT_NOFILE, &limit) < 0 && errno != EPERM)
        return -errno; /* EPERM: the machine's own limit is lower */
    return 0;
}
