/* Landlock: the second wall for files, TCP, signals, abstract sockets and tracing between guests.
 *
 * A guest's ruleset has no rule at all; made once by the zygote, it gives each guest a domain of
 * its own (two guests of one domain could trace each other). The supervisor's has a rule for each
 * mount of the policy. Linux's headers of Debian 12 end at ABI 2, so the newer rights are named
 * here. */
#include "lockdown/steps.h"

#include <linux/landlock.h>
#include <sys/syscall.h>

#define ACCESS_FS_TRUNCATE  (UINT64_C(1) << 14)
#define ACCESS_NET_TCP      UINT64_C(3) /* bind, connect */
#define SCOPE_ABSTRACT_UNIX UINT64_C(1)
#define SCOPE_SIGNAL        UINT64_C(2)

struct ruleset {
    uint64_t access_fs, access_net, scoped;
};

/* The rights that each version of the interface can refuse. A kernel newer than the table gets its
 * last row. */
static const struct {
    uint64_t access_fs, access_net, scoped;
} abi_rights[] = {
    [1] = { (UINT64_C(1) << 13) - 1, 0, 0 },
    [2] = { (UINT64_C(1) << 14) - 1, 0, 0 }, /* rename and link between directories */
    [3] = { (UINT64_C(1) << 15) - 1, 0, 0 }, /* truncate */
    [4] = { (UINT64_C(1) << 15) - 1, ACCESS_NET_TCP, 0 },
    [5] = { (UINT64_C(1) << 16) - 1, ACCESS_NET_TCP, 0 }, /* ioctl on devices */
    [6] = { (UINT64_C(1) << 16) - 1, ACCESS_NET_TCP, SCOPE_ABSTRACT_UNIX | SCOPE_SIGNAL },
};

#define RIGHTS_READ_FILE  LANDLOCK_ACCESS_FS_READ_FILE
#define RIGHTS_READ       (RIGHTS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define RIGHTS_WRITE_FILE (LANDLOCK_ACCESS_FS_WRITE_FILE | ACCESS_FS_TRUNCATE)
/* No devices, pipes or sockets, whatever the broker lets through. */
#define RIGHTS_WRITE                                                                               \
    (RIGHTS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |          \
     LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM |     \
     LANDLOCK_ACCESS_FS_REFER)

int landlock_abi(void)
{
    int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : abi;
}

static struct ruleset rights_of(int abi)
{
    int row = abi < (int)ARRAY_SIZE(abi_rights) ? abi : (int)ARRAY_SIZE(abi_rights) - 1;
    return (struct ruleset){ abi_rights[row].access_fs, abi_rights[row].access_net,
                             abi_rights[row].scoped };
}

/* Older kernels take the longer struct as long as what they do not know is zero. */
static int ruleset_create(struct ruleset rights, int *ret_fd)
{
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rights, sizeof rights, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int landlock_make_guest_ruleset(struct lockdown *lockdown)
{
    int abi = landlock_abi();
    if (abi < 0)
        return step_unavailable(lockdown, "landlock_create_ruleset");
    return ruleset_create(rights_of(abi), &lockdown->landlock_ruleset);
}

/* The domain is the process's own; the ruleset is not needed again. */
int landlock_restrict(struct lockdown *lockdown)
{
    if (lockdown->landlock_ruleset < 0) {
        int abi = landlock_abi();
        return abi < 0 ? step_unavailable(lockdown, "landlock_create_ruleset") : -EBADF;
    }
    if (syscall(SYS_landlock_restrict_self, lockdown->landlock_ruleset, 0) < 0)
        return -errno;
    fd_close(&lockdown->landlock_ruleset);
    return 0;
}

/* Signals are not scoped: the guests are outside the supervisor's domain, and it has to kill them.
 * Whom it can signal is limited by its seccomp list: only those whose pidfd it was given. */
int landlock_supervisor_begin(struct lockdown *lockdown)
{
    int abi = landlock_abi();
    if (abi < 0)
        return 0; /* the step itself reports it */
    struct ruleset rights = rights_of(abi);
    rights.scoped &= ~SCOPE_SIGNAL;
    /* The supervisor binds and connects its guests' sockets, which it was given; it can make none. */
    if (lockdown->settings->grants & GRANT_SELF)
        rights.access_net = 0;
    int error = ruleset_create(rights, &lockdown->landlock_ruleset);
    if (error == 0 && lockdown->root >= 0)
        error = landlock_supervisor_allow(lockdown, lockdown->root, true, true);
    return error;
}

static int allow(struct lockdown *lockdown, int fd, uint64_t rights)
{
    if (lockdown->landlock_ruleset < 0)
        return 0;
    struct landlock_path_beneath_attr rule = {
        .allowed_access = rights & rights_of(landlock_abi()).access_fs,
        .parent_fd = fd,
    };
    if (syscall(SYS_landlock_add_rule, lockdown->landlock_ruleset, LANDLOCK_RULE_PATH_BENEATH,
                &rule, 0) < 0)
        return -errno;
    return 0;
}

int landlock_supervisor_allow(struct lockdown *lockdown, int fd, bool is_directory, bool writable)
{
    uint64_t rights = is_directory ? RIGHTS_READ : RIGHTS_READ_FILE;
    if (writable)
        rights |= is_directory ? RIGHTS_WRITE : RIGHTS_WRITE_FILE;
    return allow(lockdown, fd, rights);
}

int landlock_supervisor_allow_rmdir(struct lockdown *lockdown, int fd)
{
    return allow(lockdown, fd, LANDLOCK_ACCESS_FS_REMOVE_DIR);
}
