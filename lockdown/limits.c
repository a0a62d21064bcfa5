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

/* Address space beside `memory`: what pool libraries reserve and never touch. */
#define RESERVED_BYTES ((uint64_t)16 << 30)
#define STACK_BYTES    (8u << 20) /* of the main thread: grows by itself, and is no RLIMIT_DATA */

/* Limits to which the kernel itself keeps a guest, whatever it does between two looks of the
 * supervisor (limits_measure in supervisor/limits.c, which ends it at `memory` and 40 MiB):
 *
 *   private memory that can be written to   RLIMIT_DATA         memory and MEMORY_UNUSED
 *   the same, made read-only                protect.c           4 MiB, then RLIMIT_DATA goes down by as much
 *   the main thread's stack                 RLIMIT_STACK        8 MiB
 *   page tables                             RLIMIT_AS / 512     32 MiB and memory / 512
 *   descriptions of mappings                vm.max_map_count    65530 of about 400 bytes: 24 MiB
 *   threads, in the kernel                  threads             about 30 KiB each
 *   ends of pipes and socket pairs          KIB_MAX (pairs.c)   16 MiB
 *   sockets of its own network (GRANT_SELF) within those 16 MiB as LOOPBACK_KIB each, and of those that
 *                                           connected while there were few 17 MiB more (loopback.c)
 *   record locks                            LOCKS_MAX           4096, at times 40,000: 10 MiB
 *   signals that wait                       RLIMIT_SIGPENDING   64
 *
 * MEMORY_UNUSED (32 MiB) is for buffers that a library asks for and does not fill: the kernel counts
 * what may be written to, touched or not, and OpenBLAS takes 128 MiB at its first product of
 * matrices, of which it uses some pages.
 *
 * Each by itself stays below `memory` and 64 MiB. Files are page cache, or scratch, which has a
 * quota of its own.
 *
 * Not here: RLIMIT_NPROC (counts a user, not a guest), RLIMIT_CPU (a session's runs each have their
 * own: the supervisor's clock counts). */
int limits_guest(struct lockdown *lockdown)
{
    const struct settings *settings = lockdown->settings;
    const struct {
        int resource;
        uint64_t value;
    } limits[] = {
        /* MemoryError first; the supervisor watches what there is */
        { RLIMIT_DATA, settings->memory_bytes + MEMORY_UNUSED },
        { RLIMIT_AS, settings->memory_bytes + RESERVED_BYTES }, /* page tables are memory, too */
        { RLIMIT_STACK, STACK_BYTES },
        { RLIMIT_FSIZE,
          settings->scratch_bytes }, /* one file; the quota is the tmpfs's or the supervisor's */
        { RLIMIT_CORE, 0 },
        { RLIMIT_MEMLOCK, 0 },
        { RLIMIT_MSGQUEUE, 0 },
        { RLIMIT_SIGPENDING, 64 }, /* queued signals are kernel memory */
        { RLIMIT_NICE, 0 },        /* what is nice stays so */
        { RLIMIT_RTPRIO, 0 },
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
