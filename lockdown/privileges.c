/* Identity, capabilities and the attributes of a process that decide who may reach into it. All
 * processes, each in its own lockdown. */
#include "lockdown/steps.h"

#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static int capabilities_set(uint64_t usable, uint64_t inheritable)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    for (unsigned i = 0; i < ARRAY_SIZE(data); i++) {
        data[i].effective = data[i].permitted = (uint32_t)(usable >> (32 * i));
        data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
    }
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static bool has_capabilities(void)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2];
    return syscall(SYS_capget, &header, data) < 0 || data[0].permitted || data[1].permitted;
}

/* Without CAP_SETPCAP this fails, and does not matter: no_new_privs keeps the set from ever being
 * used. */
void privileges_drop_bounding(void)
{
    for (int capability = 0; prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0; capability++)
        continue; /* up to the first that the kernel does not know */
}

/* An ordinary user stays who he is. Root without any capability, as in a stock container, cannot
 * become another and has nothing but its files; those are Landlock's job. */
int privileges_become_user(struct lockdown *lockdown)
{
    const struct settings *settings = lockdown->settings;
    if (geteuid() != 0 || !has_capabilities())
        return 0;
    if (settings->uid == 0 || settings->gid == 0)
        return -EINVAL;
    privileges_drop_bounding();
    if (setgroups(0, NULL) < 0 || setresgid(settings->gid, settings->gid, settings->gid) < 0 ||
        setresuid(settings->uid, settings->uid, settings->uid) < 0)
        return -errno;
    if (capabilities_set(0, 0) < 0 || setuid(0) == 0)
        return -EPERM;
    /* The change has made /proc/self root's: a user namespace's maps and /proc/self/mem are opened
     * by us. */
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 ? -errno : 0;
}

int privileges_keep_sys_admin(bool with_network)
{
    const uint64_t kept = UINT64_C(1) << CAP_SYS_ADMIN | UINT64_C(1) << CAP_SYS_PTRACE |
                          (with_network ? UINT64_C(1) << CAP_NET_ADMIN : 0);
    const uint64_t set_pcap = UINT64_C(1) << CAP_SETPCAP;
    int error = capabilities_set(kept | set_pcap, kept);
    if (error < 0)
        return error;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0) < 0 ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0) < 0 ||
        (with_network && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_ADMIN, 0, 0) < 0))
        return -errno;
    privileges_drop_bounding();
    return capabilities_set(kept, kept);
}

/* Takes the ambient set along: it cannot hold what is neither permitted nor inheritable. */
int privileges_drop_capabilities(struct lockdown *lockdown)
{
    (void)lockdown;
    return capabilities_set(0, 0);
}

int privileges_no_new(struct lockdown *lockdown)
{
    (void)lockdown;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

/* Neither traced, nor read through /proc, nor dumped to a core_pattern's pipe (which RLIMIT_CORE
 * does not stop). */
int privileges_undumpable(struct lockdown *lockdown)
{
    (void)lockdown;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

/* A parent that died before this is noticed when the setup message finds nobody. */
int privileges_die_with_parent(struct lockdown *lockdown)
{
    (void)lockdown;
    return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? -errno : 0;
}

/* No terminal, and no process group in common with the host. */
int privileges_own_session(struct lockdown *lockdown)
{
    (void)lockdown;
    return setsid() < 0 ? -errno : 0;
}

/* The guest's part of that: the zygote's session has no terminal already. A session more would be a
 * group of the scheduler's more (autogroup), which puts the guest to the end of the queue: 4 ms on
 * a busy machine. */
int privileges_own_group(struct lockdown *lockdown)
{
    if (lockdown->is_only_guest) /* the leader of its session, and so of its group */
        return getpgrp() == getpid() ? 0 : -EPERM;
    return setpgid(0, 0) < 0 ? -errno : 0;
}

/* Keeps the guest's branches from steering other tasks' speculation on its CPU: paid at a switch of
 * tasks. Store bypass is left alone: it leaks only within the process, which is the guest's anyway,
 * and costs its loops. Where the kernel has no switch (or has thrown it for good) there is nothing
 * to do. */
int privileges_speculation(struct lockdown *lockdown)
{
    (void)lockdown;
    if (prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_INDIRECT_BRANCH, PR_SPEC_FORCE_DISABLE, 0, 0) < 0 &&
        errno != ENXIO && errno != EPERM && errno != ENODEV && errno != EINVAL)
        return -errno;
    return 0;
}
