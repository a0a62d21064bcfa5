/* A guest's lockdown, from its first instruction to the seal (enter.h).
 *
 * Runs in the forked child, still trusted, with the zygote's rights; ends with none. The order
 * matters: what the supervisor will need is opened first (once undumpable, /proc/self belongs to
 * root), descriptors are closed before the filter is on (close_range is not in it), and after the
 * filter only calls that it lets pass are made: nobody answers a notification before the listener
 * has been handed over. */
#define _GNU_SOURCE
#include "guest/enter.h"

#include "guest/trap.h"
#include "guest/tray.h"
#include "wire/channel.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

/* Descriptors that the supervisor gets, in the order of MSG_GUEST_READY. */
enum {
    READY_LISTENER,
    READY_MEMORY,
    READY_MAPS,
    READY_STATUS,
    READY_PIDFD,
    READY_FDS,
    READY_FDS_MAX = READY_FDS + 3 /* and, where there are: a shared page, sockstat, scratch */
};

#define FDS_KEPT (FD_GUEST_CRASH + 1) /* 0 to 4 */

__attribute__((noreturn)) static void enter_fail(const struct fork_request *request, int setup,
                                                 int error, const char *step)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_GUEST_FAILED);
    pack_u64(&message, request->guest);
    pack_u32(&message, (uint32_t)error);
    pack_string(&message, step);
    _exit(channel_send(setup, &message, NULL, 0, 0) < 0 ? 126 : 127);
}

/* Puts itself into the cgroup before it uses anything that counts. */
static int join_cgroup(int directory)
{
    if (directory < 0)
        return 0;
    CLEANUP(fd_close) int fd = openat(directory, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return fd_write_all(fd, "0", 1);
}

static int open_proc(const struct lockdown *lockdown, const char *name, int flags)
{
    int fd = openat(lockdown->proc_fd, name, flags | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Brings the five that stay to their numbers. The zygote keeps 0 to 5 taken, so none of the
 * request's is overwritten. */
static int place_descriptors(const struct fork_request *request)
{
    static const int order[FDS_KEPT] = {
        [FD_GUEST_STDIN] = FORK_STDIN,   [FD_GUEST_STDOUT] = FORK_STDOUT,
        [FD_GUEST_STDERR] = FORK_STDERR, [FD_GUEST_VALUE] = FORK_VALUE,
        [FD_GUEST_CRASH] = FORK_CRASH,
    };
    for (int fd = 0; fd < FDS_KEPT; fd++) {
        if (request->fds[order[fd]] < FDS_KEPT || dup2(request->fds[order[fd]], fd) < 0)
            return request->fds[order[fd]] < FDS_KEPT ? -EBADF : -errno;
    }
    return 0;
}

/* Closes all but 0 to 4 and the given ones (-1: none). Sorts them. */
static int close_others(int *kept, unsigned count)
{
    for (unsigned i = 1; i < count; i++) {
        for (unsigned j = i; j > 0 && kept[j] < kept[j - 1]; j--) {
            int swapped = kept[j];
            kept[j] = kept[j - 1];
            kept[j - 1] = swapped;
        }
    }
    unsigned next = FDS_KEPT;
    for (unsigned i = 0; i < count; i++) {
        if (kept[i] < (int)next)
            continue; /* -1 */
        if (kept[i] > (int)next && close_range(next, (unsigned)kept[i] - 1, 0) < 0)
            return -errno;
        next = (unsigned)kept[i] + 1;
    }
    return close_range(next, ~0U, 0) < 0 ? -errno : 0;
}

void enter(struct zygote *zygote, const struct fork_request *request)
{
    struct lockdown *lockdown = &zygote->lockdown;
    int setup = request->fds[FORK_SETUP];
    zygote->is_cold = request->is_cold;
    lockdown->is_only_guest = request->becomes;
    zygote->guest_pid = getpid(); /* now: the filter brokers it */
    const char *step = "cgroup";
    int error = join_cgroup(request->fds[FORK_CGROUP]);
    if (error == 0) {
        step = "descriptors";
        error = place_descriptors(request);
    }
    int ready[READY_FDS_MAX] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    CLEANUP(fd_close) int tray = -1;
    uint64_t tray_address = 0; /* 0: there is none */
    if (error == 0) {
        step = "own /proc entries";
        ready[READY_MEMORY] = open_proc(lockdown, "self/mem", O_RDWR);
        ready[READY_MAPS] = open_proc(lockdown, "self/maps", O_RDONLY);
        ready[READY_STATUS] = open_proc(lockdown, "self/status", O_RDONLY);
        ready[READY_PIDFD] = (int)syscall(SYS_pidfd_open, getpid(), 0);
        if (ready[READY_PIDFD] < 0)
            ready[READY_PIDFD] = -errno;
        for (unsigned i = READY_MEMORY; i <= READY_PIDFD; i++) {
            if (ready[i] < 0)
                error = ready[i];
        }
    }
    if (error == 0) {
        step = "SIGSYS handler";
        error = trap_install();
    }
    if (error == 0 && (lockdown->settings->grants & GRANT_FILES) != 0) {
        step = "shared page";
        error = tray_make(lockdown->settings->once, &tray, &tray_address);
    }
    if (error == 0) {
        step = "closing descriptors";
        int kept[] = { setup,
                       lockdown->proc_fd,
                       lockdown->landlock_ruleset,
                       ready[READY_MEMORY],
                       ready[READY_MAPS],
                       ready[READY_STATUS],
                       ready[READY_PIDFD],
                       tray };
        error = close_others(kept, ARRAY_SIZE(kept));
    }
    /* Under the filter, and before the supervisor has its listener, a call that is brokered waits for
     * ever; a handler may make one (faulthandler, which raises its signal again). What crashes here is
     * killed by the kernel, and what is sent from outside comes afterwards. */
    sigset_t all, before;
    sigfillset(&all);
    if (error == 0 && sigprocmask(SIG_SETMASK, &all, &before) < 0)
        error = -errno;
    if (error == 0) {
        lockdown->setup = setup;
        error = lockdown_apply(lockdown_guest, lockdown_guest_count, lockdown, &step);
    }
    if (error < 0)
        enter_fail(request, setup, -error, step);

    ready[READY_LISTENER] = lockdown->listener;
    unsigned count = READY_FDS;
    if (tray >= 0)
        ready[count++] = fd_take(&tray);
    if (lockdown->sockets >= 0)
        ready[count++] = lockdown->sockets;
    if (lockdown->scratch >= 0)
        ready[count++] = lockdown->scratch;
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_GUEST_READY);
    pack_u64(&message, request->guest);
    pack_u32(&message, (uint32_t)zygote->guest_pid);
    pack_u64(&message, tray_address);
    if (channel_send(setup, &message, ready, count, 0) < 0)
        _exit(126);
    packer_release(&message);
    sigprocmask(SIG_SETMASK, &before, NULL);
    /* From here on the supervisor takes the guest for hostile: a failure can only end it. */
    if (lockdown_seal(lockdown) < 0)
        _exit(126);
    for (unsigned i = 0; i < READY_FDS_MAX; i++)
        fd_close(&ready[i]);
    fd_close(&lockdown->landlock_ruleset);
    fd_close(&lockdown->proc_fd);
    fd_close(&setup);
    lockdown->listener = lockdown->scratch = lockdown->sockets = lockdown->setup = -1;
}
