/* Namespaces: the third wall, where an ordinary user may have them.
 *
 * The supervisor has a child born into a new user namespace (there it is called 0 and keeps two
 * capabilities for its zygote) and with it new mounts, process numbers, network, ipc, host and
 * cgroup names, and joins it; its further children are born into them. The zygote, once its modules
 * are loaded, turns to an empty read-only root. Each guest that may have files copies that view and
 * mounts a tmpfs of its own in it: its scratch, with exact limits. The mount is what lets the
 * supervisor in: Landlock judges a path by where it is mounted, and the supervisor has a rule for
 * the empty root. When the guest dies its view goes, and nobody opens anything there again. */
#include "lockdown/steps.h"

#include "policy/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* The rest of <sys/mount.h>, which does not go together with <linux/mount.h>. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define MOUNT_RECURSIVELY_PRIVATE (1ul << 14 | 1ul << 18) /* MS_REC | MS_PRIVATE */
#define UNMOUNT_DETACH            2                       /* MNT_DETACH */

#define SCRATCH_NAME "scratch"
#define SCRATCH_PATH "/" SCRATCH_NAME
/* A lookup stops at the process's root, except that ".." there is the mount that lies on top of it.
 */
#define ON_TOP_OF_ROOT "/.."
/* The scratch's own: its top and the places in it. */
#define SCRATCH_INODES_OWN (1 + MOUNT_SCRATCH_DIRECTORIES)

static int write_text(const char *path, const char *text)
{
    CLEANUP(fd_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, text, strlen(text));
}

#define BORN_INTO                                                                                  \
    (CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP)

/* Process 1 tells how it went: it is the same program, so its strings are at the same place. */
struct birth {
    int error;
    const char *what;
};

/* Users and groups as they are called inside. */
struct maps {
    char users[64], groups[64];
};

/* By the caller's own entry: where /proc is of another pid namespace, our number of a process is another's. */
static int write_maps(const struct maps *maps, const char **ret_what)
{
    const char *const files[][2] = { { "/proc/self/setgroups", "deny" },
                                     { "/proc/self/uid_map", maps->users },
                                     { "/proc/self/gid_map", maps->groups } };
    int error = 0;
    for (size_t i = 0; error == 0 && i < ARRAY_SIZE(files); i++) {
        *ret_what = files[i][0];
        error = write_text(files[i][0], files[i][1]);
    }
    return error;
}

/* Process 1 of the pid namespace: if it dies, the kernel kills all others in it. Nothing else to do
 * once it has said whether it has rights in there: the guests are the supervisor's children, so
 * nobody is left here to be reaped. The network is made by unshare, which zygote and guests need
 * too: where that is refused nothing has been entered yet. */
static void child_init(const struct maps *maps, int from_child, int to_parent)
{
    struct birth birth = { 0, "prctl(PR_SET_PDEATHSIG)" };
    close(from_child); /* a parent that ended before the prctl is noticed when nobody reads */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        birth.error = -errno;
    if (birth.error == 0)
        birth.error = write_maps(maps, &birth.what);
    if (birth.error == 0) {
        birth.what = "making mounts private";
        birth.error = mount(NULL, "/", NULL, MOUNT_RECURSIVELY_PRIVATE, NULL) < 0 ? -errno : 0;
    }
    if (birth.error == 0) {
        birth.what = "unshare(CLONE_NEWNET)";
        birth.error = unshare(CLONE_NEWNET) < 0 ? -errno : 0;
    }
    if (fd_write_all(to_parent, &birth, sizeof birth) < 0 || birth.error < 0 ||
        prctl(PR_SET_NAME, "belljar-init") < 0 || privileges_drop_capabilities(NULL) < 0)
        _exit(1);
    close_range(0, ~0U, 0);
    for (;;)
        pause();
}

static void process_end(pid_t process)
{
    kill(process, SIGKILL);
    while (waitpid(process, NULL, 0) < 0 && errno == EINTR)
        continue;
}

/* Namespaces, and process 1 in them. On failure nothing is left of them, and *ret_what names the
 * call. */
static int namespaces_make(pid_t *ret_init, const char **ret_what)
{
    int pipes[2];
    struct birth birth;
    struct maps maps;
    /* User 0 inside: the kernel gives the /proc entries of an undumpable process to its namespace's
     * root, and the zygote has to open those of a branch. It is a name only: all capabilities but
     * two are gone, and those two from the guests. */
    snprintf(maps.users, sizeof maps.users, "0 %u 1", geteuid());
    snprintf(maps.groups, sizeof maps.groups, "0 %u 1", getegid());
    *ret_what = "pipe2";
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP(fd_close) int from_child = pipes[0];
    CLEANUP(fd_close) int to_parent = pipes[1];
    *ret_what = "clone(CLONE_NEWUSER|CLONE_NEWNS|CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS|"
                "CLONE_NEWCGROUP)";
    pid_t child = (pid_t)syscall(SYS_clone, BORN_INTO | SIGCHLD, NULL, NULL, NULL, NULL);
    if (child < 0)
        return -errno;
    if (child == 0)
        child_init(&maps, from_child, to_parent);
    fd_close(&to_parent);
    *ret_what = "process 1 of the namespaces";
    int error = fd_read_all(from_child, &birth, sizeof birth);
    if (error == 0 && birth.error < 0) {
        *ret_what = birth.what;
        error = birth.error;
    }
    if (error < 0)
        process_end(child);
    else
        *ret_init = child;
    return error;
}

int namespaces_try(const char **ret_what)
{
    pid_t init = -1;
    int error = namespaces_make(&init, ret_what);
    if (error == 0)
        process_end(init);
    return error;
}

static int tmpfs_set(int context, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, key, text, 0) < 0 ? -errno : 0;
}

/* A tmpfs that is mounted nowhere yet: a directory descriptor. */
static int tmpfs_new(uint64_t bytes, uint64_t files, int *ret_fd)
{
    CLEANUP(fd_close) int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    int error = tmpfs_set(context, "size", bytes ? bytes : 1); /* 0 would be: no limit */
    if (error == 0)
        error = tmpfs_set(context, "nr_inodes", files);
    if (error < 0)
        return error;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int fd = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                          MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

int namespaces_memory(uint64_t bytes, int *ret_fd)
{
    return tmpfs_new(bytes, 0, ret_fd);
}

static int attach(int mount_fd, const char *path)
{
    return syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

/* The root that the zygote will turn to, put on top of ours, where no path leads but
 * ON_TOP_OF_ROOT. */
static int make_empty_root(struct lockdown *lockdown)
{
    CLEANUP(fd_close) int root = -1;
    int error = tmpfs_new(4096, 2, &root);
    if (error < 0)
        return error;
    if (mkdirat(root, SCRATCH_NAME, 0700) < 0)
        return -errno;
    struct mount_attr read_only = { .attr_set = MOUNT_ATTR_RDONLY };
    if (syscall(SYS_mount_setattr, root, "", AT_EMPTY_PATH, &read_only, sizeof read_only) < 0)
        return -errno;
    error = attach(root, "/");
    if (error == 0)
        lockdown->root = fd_take(&root);
    return error;
}

/* Half-entered there would be no way back (Ubuntu gives a user namespace without rights in it): so a child is
 * born into them, and is joined when it has shown that it may do there what it must. */
int namespaces_enter(struct lockdown *lockdown)
{
    const char *what;
    pid_t init = -1;
    int error = namespaces_make(&init, &what);
    if (error == 0) {
        what = "setns";
        lockdown->init_pidfd = (int)syscall(SYS_pidfd_open, init, 0);
        if (lockdown->init_pidfd < 0 || setns(lockdown->init_pidfd, BORN_INTO | CLONE_NEWNET) < 0) {
            error = -errno;
            process_end(init);
            fd_close(&lockdown->init_pidfd);
        }
    }
    if (error < 0) {
        errno = -error;
        return step_unavailable(lockdown, what);
    }
    if (sethostname("belljar", 7) < 0)
        return -errno;
    error = make_empty_root(lockdown);
    if (error == 0)
        error = privileges_keep_sys_admin((lockdown->settings->grants & GRANT_SELF) != 0);
    lockdown->namespaces = error == 0;
    return error;
}

void namespaces_end(struct lockdown *lockdown)
{
    if (lockdown->init_pidfd < 0)
        return;
    siginfo_t info;
    syscall(SYS_pidfd_send_signal, lockdown->init_pidfd, SIGKILL, NULL, 0);
    while (syscall(SYS_waitid, P_PIDFD, lockdown->init_pidfd, &info, WEXITED, NULL) < 0 &&
           errno == EINTR)
        continue;
    fd_close(&lockdown->init_pidfd);
}

int namespaces_keep_proc(struct lockdown *lockdown)
{
    lockdown->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return lockdown->proc_fd < 0 ? -errno : 0;
}

int namespaces_empty_root(struct lockdown *lockdown)
{
    CLEANUP(fd_close) int root = open(ON_TOP_OF_ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    struct stat status;
    if (fstatat(root, SCRATCH_NAME, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return step_unavailable(lockdown, "the supervisor has none");
    /* Of our own, so that the supervisor's is untouched; the old root goes with all that is mounted
     * on it. */
    if (unshare(CLONE_NEWNS) < 0 || chdir(ON_TOP_OF_ROOT) < 0 ||
        syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", UNMOUNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    lockdown->namespaces = true;
    return 0;
}

int namespaces_scratch(struct lockdown *lockdown)
{
    const struct settings *settings = lockdown->settings;
    CLEANUP(fd_close) int scratch = -1;
    if (!(settings->grants & GRANT_FILES))
        return 0; /* no call of its leads to a file: the empty root that all share will do */
    if (!lockdown->is_only_guest && unshare(CLONE_NEWNS) < 0)
        return -errno;
    int error =
        tmpfs_new(settings->scratch_bytes, settings->scratch_files + SCRATCH_INODES_OWN, &scratch);
    if (error == 0)
        error = attach(scratch, SCRATCH_PATH);
    if (error == 0)
        lockdown->scratch = fd_take(&scratch);
    return error;
}
