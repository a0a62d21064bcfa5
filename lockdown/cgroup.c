/* cgroup v2 (cgroup.h). Supervisor; begins as whoever started it, goes on as the policy's user
 * behind Landlock, so everything is done by way of the template's directory descriptor.
 *
 *   <parent>/belljar-<pid>/            ours: memory and pids enabled for what is below
 *   <parent>/belljar-<pid>/trusted/    supervisor, zygote: a cgroup with controllers below holds no
 *                                      process itself
 *   <parent>/belljar-<pid>/g<id>/      one guest
 */
#include "lockdown/cgroup.h"
#include "lockdown/steps.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The guest's pages of scratch are charged to it as well, and page tables and kernel objects. */
#define KERNEL_SHARE_BYTES (UINT64_C(32) << 20)

static struct {
    int parent, top; /* directories */
    int home;        /* cgroup.procs of where we came from, opened with the rights of then */
    char name[32];
    const char *reason; /* why there is none */
    int error;
    uint64_t memory_bytes;
    uint32_t processes;
} cgroup = { .parent = -1, .top = -1, .home = -1 };

static int write_at(int directory, const char *name, const char *text)
{
    CLEANUP(fd_close) int fd = openat(directory, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, text, strlen(text));
}

static bool file_has_word(int directory, const char *name, const char *word)
{
    char text[512];
    CLEANUP(fd_close) int fd = openat(directory, name, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        return false;
    text[length] = '\0';
    for (char *rest = text, *found; (found = strsep(&rest, " \n"));)
        if (strcmp(found, word) == 0)
            return true;
    return false;
}

/* Where cgroup v2 is mounted, and our place in it: as a path. */
static int own_path(char path[PATH_MAX])
{
    char line[PATH_MAX], mounted[PATH_MAX] = "", own[PATH_MAX] = "";
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof line, mounts))
        if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s %*s %4095s", mounted) == 1)
            break;
    if (mounts)
        fclose(mounts);
    FILE *cgroups = fopen("/proc/self/cgroup", "re");
    while (cgroups && fgets(line, sizeof line, cgroups))
        if (sscanf(line, "0::%4095[^\n]", own) == 1)
            break;
    if (cgroups)
        fclose(cgroups);
    if (!mounted[0] || !own[0] || snprintf(path, PATH_MAX, "%s%s", mounted, own) >= PATH_MAX)
        return -ENOENT;
    return 0;
}

static void remove_all(void)
{
    if (cgroup.top >= 0) {
        if (cgroup.home >= 0)
            (void)!write(cgroup.home, "0", 1);
        unlinkat(cgroup.top, "trusted", AT_REMOVEDIR);
        fd_close(&cgroup.top);
        unlinkat(cgroup.parent, cgroup.name, AT_REMOVEDIR);
    }
    fd_close(&cgroup.parent);
    fd_close(&cgroup.home);
}

/* Makes our directory in the parent and moves there. 0 or a negative errno: then the caller
 * removes. */
static int settle(void)
{
    snprintf(cgroup.name, sizeof cgroup.name, "belljar-%d", (int)getpid());
    if (mkdirat(cgroup.parent, cgroup.name, 0755) < 0)
        return -errno;
    cgroup.top = openat(cgroup.parent, cgroup.name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup.top < 0)
        return -errno;
    if (!file_has_word(cgroup.top, "cgroup.controllers", "memory") ||
        !file_has_word(cgroup.top, "cgroup.controllers", "pids")) {
        int error = write_at(cgroup.parent, "cgroup.subtree_control", "+memory +pids");
        if (error < 0)
            return error;
    }
    if (mkdirat(cgroup.top, "trusted", 0755) < 0)
        return -errno;
    int error = write_at(cgroup.top, "trusted/cgroup.procs", "0");
    if (error == 0)
        error = write_at(cgroup.top, "cgroup.subtree_control", "+memory +pids");
    return error;
}

int cgroup_template_begin(void)
{
    static const char *const parents[] = { ".", ".." };
    char path[PATH_MAX];
    cgroup.reason = "cgroup v2 is not mounted";
    cgroup.error = own_path(path);
    if (cgroup.error < 0)
        return 0;
    CLEANUP(fd_close) int own = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (own < 0) {
        cgroup.error = -errno;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(parents); i++) {
        cgroup.reason = "memory and pids are not delegated to this user";
        cgroup.parent = openat(own, parents[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cgroup.home = openat(own, "cgroup.procs", O_WRONLY | O_CLOEXEC);
        cgroup.error = cgroup.parent < 0 || cgroup.home < 0 ? -EACCES : -EOPNOTSUPP;
        if (cgroup.parent >= 0 && cgroup.home >= 0 &&
            file_has_word(cgroup.parent, "cgroup.controllers", "memory") &&
            file_has_word(cgroup.parent, "cgroup.controllers", "pids"))
            cgroup.error = settle();
        if (cgroup.error == 0)
            return 0;
        remove_all();
    }
    return 0;
}

/* The lockdown's step: our directory becomes the policy's user's, who will make the guests' in it;
 * moving a process takes the right to write to the cgroup.procs of the common ancestor, too. */
int cgroup_adopt(struct lockdown *lockdown)
{
    const struct settings *settings = lockdown->settings;
    if (cgroup.top < 0) {
        errno = -cgroup.error;
        return step_unavailable(lockdown, cgroup.reason ? cgroup.reason : "not begun");
    }
    if (geteuid() == 0 &&
        (fchown(cgroup.top, settings->uid, settings->gid) < 0 ||
         fchownat(cgroup.top, "cgroup.procs", settings->uid, settings->gid, 0) < 0))
        return -errno;
    cgroup.memory_bytes = settings->memory_bytes + settings->scratch_bytes + KERNEL_SHARE_BYTES;
    cgroup.processes = settings->threads + 1;
    return 0;
}

void cgroup_template_end(void)
{
    remove_all();
}

int cgroup_directory(void)
{
    return cgroup.top;
}

static void guest_name(uint64_t guest, char name[32])
{
    snprintf(name, 32, "g%llu", (unsigned long long)guest);
}

int cgroup_guest_begin(uint64_t guest)
{
    char name[32], memory[24], processes[16];
    if (cgroup.top < 0)
        return -1;
    guest_name(guest, name);
    snprintf(memory, sizeof memory, "%llu", (unsigned long long)cgroup.memory_bytes);
    snprintf(processes, sizeof processes, "%u", cgroup.processes);
    if (mkdirat(cgroup.top, name, 0700) < 0)
        return -1;
    CLEANUP(fd_close) int directory = openat(cgroup.top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0 || write_at(directory, "memory.max", memory) < 0 ||
        write_at(directory, "pids.max", processes) < 0 ||
        write_at(directory, "memory.oom.group", "1") < 0) {
        cgroup_guest_end(guest);
        return -1;
    }
    /* There is no such file where the kernel has no swap. */
    (void)!write_at(directory, "memory.swap.max", "0");
    return fd_take(&directory);
}

bool cgroup_guest_was_oom(uint64_t guest)
{
    char name[32], path[64], text[512];
    if (cgroup.top < 0)
        return false;
    guest_name(guest, name);
    snprintf(path, sizeof path, "%s/memory.events", name);
    CLEANUP(fd_close) int fd = openat(cgroup.top, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        return false;
    text[length] = '\0';
    const char *kills = strstr(text, "\noom_kill ");
    return kills && strtoul(kills + strlen("\noom_kill "), NULL, 10) > 0;
}

void cgroup_guest_end(uint64_t guest)
{
    char name[32], path[64];
    if (cgroup.top < 0)
        return;
    guest_name(guest, name);
    snprintf(path, sizeof path, "%s/cgroup.kill", name);
    (void)!write_at(cgroup.top, path, "1");
    unlinkat(cgroup.top, name, AT_REMOVEDIR);
}
