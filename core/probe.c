/* Layers that this machine can enforce, found out by doing it, each in a child process that it does
 * not outlive: a version number says nothing about a container's seccomp profile. For `belljar
 * doctor`; runs with the caller's rights. */
#include "core/probe.h"
#include "lockdown/cgroup.h"
#include "lockdown/steps.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define DETAIL_BYTES  sizeof(((struct probe_report *)NULL)->detail)
#define PROBE_SECONDS 10

struct probe_answer {
    int error; /* 0: it works */
    char detail[DETAIL_BYTES];
};

static const struct settings probe_settings = {
    .memory_bytes = 64 << 20,
    .scratch_bytes = 1 << 20,
    .scratch_files = 16,
    .descriptors = 64,
    .uid = 65534,
    .gid = 65534,
};

PRINTF(3, 4) static void answer(struct probe_answer *answer, int error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    answer->error = error;
    vsnprintf(answer->detail, sizeof answer->detail, format, arguments);
    va_end(arguments);
}

static void probe_user(struct probe_answer *ret_answer)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &probe_settings;
    uid_t before = geteuid();
    int error = privileges_become_user(&lockdown);
    answer(ret_answer, error,
           error < 0             ? "root cannot become uid 65534 here: start as an ordinary user"
           : before == geteuid() ? "uid %u, stays so"
                                 : "from root to uid %u",
           geteuid());
}

static void probe_privileges(struct probe_answer *ret_answer)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    int error = privileges_no_new(&lockdown);
    if (error == 0)
        error = privileges_drop_capabilities(&lockdown);
    answer(ret_answer, error, "no_new_privs, all capabilities dropped");
}

/* The supervisor's way into a guest's memory: opened before it is undumpable, used after. */
static void probe_memory(struct probe_answer *ret_answer)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    char word[] = "before";
    CLEANUP(fd_close) int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
    if (memory < 0) {
        answer(ret_answer, -errno, "/proc/self/mem cannot be opened: mount /proc");
        return;
    }
    int error = privileges_undumpable(&lockdown);
    if (error == 0 && pwrite(memory, "behind", 6, (off_t)(uintptr_t)word) != 6)
        error = -EIO;
    answer(ret_answer, error, "works on an undumpable process");
}

static int load_notifying(int number, unsigned flags)
{
    const struct sock_filter notifying[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return seccomp_load(&(struct filter){ (struct sock_filter *)notifying, ARRAY_SIZE(notifying) },
                        flags);
}

static void probe_filter(struct probe_answer *ret_answer)
{
    CLEANUP(filter_release) struct filter filter = FILTER_INIT;
    int error = filter_build(syscall_rows, syscall_row_count, GRANTS_FULL, &filter);
    unsigned instructions = filter.count;
    if (error == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        error = -errno;
    /* Loaded twice, as the guest's filter and its seal are. */
    for (int i = 0; error == 0 && i < 2; i++)
        error = seccomp_load(&filter, 0);
    if (error == 0 && (syscall(SYS_clone3, NULL, 0) == 0 || errno != ENOSYS))
        error = -EIO;
    answer(ret_answer, error, "%u instructions for all grants", instructions);
}

static void probe_notification(struct probe_answer *ret_answer)
{
    int listener = load_notifying(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    answer(ret_answer, listener < 0 ? listener : 0, "%s",
           listener == -EBUSY
               ? "another supervisor (of the container?) holds the one listener that there can be"
           : listener < 0 ? "needs kernel 5.0, and a seccomp profile that lets seccomp() through"
                          : "the supervisor can answer system calls");
}

static void probe_wait_killable(struct probe_answer *ret_answer)
{
    int listener = load_notifying(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                                   SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
    answer(ret_answer, listener < 0 ? listener : 0, "%s",
           listener < 0 ? "needs kernel 5.19"
                        : "signals do not cut off a call that is being served");
}

static void probe_addfd(struct probe_answer *ret_answer)
{
    int listener = load_notifying(SYS_getppid, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    pid_t caller = listener < 0 ? -1 : fork();
    if (caller == 0)
        _exit(fcntl((int)syscall(SYS_getppid), F_GETFD) == FD_CLOEXEC ? 0 : 1);
    struct seccomp_notif call = { 0 };
    int error = caller < 0 || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call) < 0 ? -errno : 0;
    struct seccomp_notif_addfd install = {
        .id = call.id,
        .flags = SECCOMP_ADDFD_FLAG_SEND,
        .srcfd = 0,
        .newfd_flags = O_CLOEXEC,
    };
    install.srcfd = (__u32)listener;
    if (error == 0 && ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &install) < 0)
        error = -errno;
    int status = 0;
    if (error == 0 && (waitpid(caller, &status, 0) < 0 || status != 0))
        error = -EIO;
    answer(ret_answer, error, "%s",
           error < 0 ? "needs kernel 5.14" : "a descriptor can be a call's answer");
}

static void probe_landlock(struct probe_answer *ret_answer)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    int abi = landlock_abi(), error = abi;
    if (abi > 0) {
        error = privileges_no_new(&lockdown);
        if (error == 0)
            error = landlock_make_guest_ruleset(&lockdown);
        if (error == 0)
            error = landlock_restrict(&lockdown);
        if (error == 0 && (open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) >= 0 || errno != EACCES))
            error = -EIO;
    }
    answer(ret_answer, error < 0 ? error : 0,
           abi > 0 ? "version %d: files%s%s%s"
                   : "not in this kernel or not switched on (lsm=landlock,...), or a seccomp "
                     "profile forbids it",
           abi, abi >= 3 ? ", truncation" : "", abi >= 4 ? ", TCP" : "",
           abi >= 6 ? ", signals, abstract sockets" : "");
}

static void probe_namespaces(struct probe_answer *ret_answer)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &probe_settings;
    int error = privileges_become_user(&lockdown);
    if (error == 0)
        error = namespaces_enter(&lockdown);
    if (error == LOCKDOWN_UNAVAILABLE) {
        answer(ret_answer, -lockdown.unavailable, "%s", lockdown.reason);
        return;
    }
    if (error == 0)
        error = namespaces_empty_root(&lockdown);
    if (error == 0)
        error = namespaces_scratch(&lockdown);
    namespaces_end(&lockdown);
    answer(ret_answer, error,
           error < 0 ? "entered, but: %s"
                     : "user, mount, pid, network, ipc, uts, cgroup; own tmpfs",
           strerror(-error));
}

/* Tries what network=["self"] asks for: in a child of the namespaces, as a guest does it. */
static void probe_loopback(struct probe_answer *ret_answer)
{
    struct settings settings = probe_settings;
    struct lockdown lockdown = LOCKDOWN_INIT;
    settings.grants |= GRANT_SELF;
    lockdown.settings = &settings;
    int error = privileges_become_user(&lockdown);
    if (error == 0)
        error = namespaces_enter(&lockdown);
    if (error == LOCKDOWN_UNAVAILABLE) {
        answer(ret_answer, -lockdown.unavailable, "needs namespaces");
        return;
    }
    if (error == 0)
        error = namespaces_keep_proc(&lockdown);
    if (error == 0)
        error = network_enter(&lockdown);
    namespaces_end(&lockdown);
    answer(ret_answer, error,
           error < 0 ? "no network of its own: %s"
                     : "can be granted: network=[\"self\"], --network self",
           strerror(-error));
}

static void probe_cgroup(struct probe_answer *ret_answer)
{
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &probe_settings;
    int error = cgroup_template_begin();
    if (error == 0)
        error = cgroup_adopt(&lockdown);
    if (error == LOCKDOWN_UNAVAILABLE) {
        answer(ret_answer, -lockdown.unavailable, "%s", lockdown.reason);
        return;
    }
    CLEANUP(fd_close) int guest = cgroup_guest_begin(0);
    cgroup_guest_end(0);
    cgroup_template_end();
    answer(ret_answer, error == 0 && guest < 0 ? -EIO : error,
           "memory.max, pids.max and cgroup.kill for each guest");
}

/* clang-format off */
static const struct {
    const char *layer, *mechanism;
    bool required;
    void (*probe)(struct probe_answer *ret_answer);
} probes[] = {
    { "floor",      "unprivileged user",      true,  probe_user },
    { "floor",      "privileges",             true,  probe_privileges },
    { "floor",      "/proc/self/mem",         true,  probe_memory },
    { "seccomp",    "filter",                 true,  probe_filter },
    { "seccomp",    "user notification",      true,  probe_notification },
    { "seccomp",    "uninterrupted service",  true,  probe_wait_killable },
    { "seccomp",    "descriptors as answers", true,  probe_addfd },
    { "landlock",   "own domain",             true,  probe_landlock },
    { "namespaces", "for an ordinary user",   false, probe_namespaces },
    { "namespaces", "loopback for each guest", false, probe_loopback },
    { "cgroup",     "v2, delegated",          false, probe_cgroup },
};
/* clang-format on */
static_assert(ARRAY_SIZE(probes) <= PROBES_MAX, "a report for each");

static void probe_run(void (*probe)(struct probe_answer *), struct probe_answer *ret_answer)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0) {
        answer(ret_answer, -errno, "no pipe");
        return;
    }
    CLEANUP(fd_close) int from_child = pipes[0];
    CLEANUP(fd_close) int to_parent = pipes[1];
    pid_t child = fork();
    if (child == 0) {
        alarm(PROBE_SECONDS);
        struct probe_answer answered = { 0, "" };
        probe(&answered);
        _exit(write(to_parent, &answered, sizeof answered) == sizeof answered ? 0 : 1);
    }
    fd_close(&to_parent);
    if (child < 0 || fd_read_all(from_child, ret_answer, sizeof *ret_answer) < 0)
        answer(ret_answer, -ECHILD, "the probe's process died");
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        continue;
}

unsigned probe_all(struct probe_report reports[PROBES_MAX])
{
    for (unsigned i = 0; i < ARRAY_SIZE(probes); i++) {
        struct probe_answer answered = { 0, "" };
        probe_run(probes[i].probe, &answered);
        reports[i] = (struct probe_report){ probes[i].layer, probes[i].mechanism,
                                            probes[i].required, answered.error == 0, "" };
        size_t length = strlen(answered.detail);
        memcpy(reports[i].detail, answered.detail, length);
        if (answered.error < 0 && !strstr(answered.detail, strerror(-answered.error)))
            snprintf(reports[i].detail + length, sizeof reports[i].detail - length, " (%s)",
                     strerror(-answered.error));
    }
    return ARRAY_SIZE(probes);
}
