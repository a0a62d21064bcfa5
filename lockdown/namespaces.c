/* Namespaces: the third wall, where an ordinary user may have them.
 *
 * The supervisor enters a new user namespace (there it is called 0 and keeps two capabilities for
 * its zygote) and with it new mounts, process numbers, network, ipc, host and cgroup names; its
 * children are born into them. The zygote, once its modules are loaded, turns to an empty read-only
 * root. Each guest that may have files copies that view and mounts a tmpfs of its own in it: its
 * scratch, with exact limits. The mount is what lets the supervisor in: Landlock judges a path by
 * where it is mounted, and the supervisor has a rule for the empty root. When the guest dies its
 * view goes, and nobody opens anything there again. */
#include "lockdown/steps.h"

#include "policy/mounts.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
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

/* The part of entering that a machine may refuse. On failure *ret_what names the call. */
static int enter_user_namespace(const char **ret_what)
{
    char uid_map[64], gid_map[64];
    /* User 0 inside: the kernel gives the /proc entries of an undumpable process to its namespace's
     * root, and the zygote has to open those of a branch. It is a name only: all capabilities but
     * two are gone, and those two from the guests. */
    snprintf(uid_map, sizeof uid_map, "0 %u 1", geteuid());
    snprintf(gid_map, sizeof gid_map, "0 %u 1", getegid());
    const struct {
        const char *path, *text;
    } maps[] = {
        { "/proc/self/setgroups", "deny" },
        { "/proc/self/uid_map", uid_map },
        { "/proc/self/gid_map", gid_map },
    };

    *ret_what = "unshare(CLONE_NEWUSER|CLONE_NEWNS)";
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return -errno;
    for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
        *ret_what = maps[i].path;
        int error = write_text(maps[i].path, maps[i].text);
        if (error < 0)
            return error;
    }
    *ret_what = "making mounts private";
    if (mount(NULL, "/", NULL, MOUNT_RECURSIVELY_PRIVATE, NULL) < 0)
        return -errno;
    *ret_what = "unshare(CLONE_NEWPID|CLONE_NEWIPC|CLONE_NEWUTS|CLONE_NEWCGROUP)";
    if (unshare(CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP) < 0)
        return -errno;
    return 0;
}

/* Half-entered there is no way back (Ubuntu gives a user namespace without rights in it): so a
 * child goes first. */
int namespaces_try(const char **ret_what)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return -errno;
    CLEANUP(fd_close) int from_child = pipes[0];
    CLEANUP(fd_close) int to_parent = pipes[1];
    struct {
        int error;
        const char *what; /* the same program: its strings are at the same place */
    } answer = { 0, "" };

    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        answer.error = enter_user_namespace(&answer.what);
        _exit(write(to_parent, &answer, sizeof answer) == sizeof answer ? 0 : 1);
    }
    fd_close(&to_parent);
    int error = fd_read_all(from_child, &answer, sizeof answer);
    waitpid(child, NULL, 0);
    *ret_what = answer.what;
    return error < 0 ? error : answer.error;
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

int namespaces_enter(struct lockdown *lockdown)
{
    const char *what = "a child to try in";
    int error = namespaces_try(&what);
    if (error < 0) {
        errno = -error;
        return step_unavailable(lockdown, what);
    }
    error = enter_user_namespace(&what);
    if (error == 0 && unshare(CLONE_NEWNET) < 0)
        error = -errno;
    if (error == 0 && sethostname("belljar", 7) < 0)
        error = -errno;
    if (error == 0)
        error = make_empty_root(lockdown);
    if (error == 0)
        error = privileges_keep_sys_admin((lockdown->settings->grants & GRANT_SELF) != 0);
    lockdown->namespaces = error == 0;
    return error;
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
