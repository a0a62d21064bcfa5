/* belljar-supervisor: the trusted process of one template. It knows no Python, trusts the host, and
 * no guest. Started by the host (core/template.c) with the control channel as descriptor 3, the
 * guest's module as 4 and its source as 5; as the caller, or, started as root, as the policy's
 * unprivileged user.
 *
 * Theory of operation
 *
 * Four phases, each with fewer rights than the one before:
 *
 *   1. settings   as the caller. The policy comes as the first message; where it grants anything,
 *                 the mounts are opened (O_PATH) and become the guests' tree (files/). What
 *                 cannot be opened ends the template here.
 *   2. zygote     as the policy's user, in new namespaces where there are some. The interpreter is
 *                 started, imports what the host names, locks itself down and waits (zygote.c);
 *                 meanwhile this process opens what is the runtime's, and makes its ruleset.
 *   3. lockdown   Landlock leaves the mounts and the scratch, a filter the calls of
 *                 lockdown/supervisor_calls.c. The host is told which layers are on (MSG_STARTED).
 *   4. serving    the loop below. From here on bytes are hostile.
 *
 * One thread serves all guests, and waits for nobody: it sleeps in epoll_wait, and each event names
 * a guest and a kind (loop.h).
 *
 *   EVENT_CONTROL   the host asks for something: a table of messages (requests.c)
 *   EVENT_SETUP     a forked guest is locked down, and hands over the listener of its filter, its
 *                   memory and its pidfd (guests.c): it is live, and its code may be hostile
 *   EVENT_LISTENER  a guest makes a call that its filter does not let through (broker.c):
 *
 *       take the notification -> whose thread is it (branch.c) -> the policy's row (decide.c)
 *         -> a handler: files/ for paths, self.c for the rest; EPERM until it sets something else
 *         -> the record of a refusal, the audit -> a value, an errno or a descriptor (answer.c)
 *
 *     A handler copies each argument once, decides on the copy and acts on the copy. A call with a
 *     pointer is never continued. A call that may wait for a file system is done by a forked copy
 *     (worker.c).
 *   EVENT_CHANGE    something has changed in a folder that is watched (files/watch.c)
 *   EVENT_WORKER    that copy is done
 *   EVENT_EXIT      a guest has ended: reaped, reported, and with its strays gone (ending.c)
 *   EVENT_ZYGOTE    the zygote speaks only to say that it failed: the end of the template
 *
 * Before each sleep: limits of all guests that are due (limits.c), those that were held because
 * their calls were dear (broker.c), guests that are to be forked later (guests.c).
 *
 * What a guest does wrong ends that guest, or is an errno for it. An error that a handler of an
 * event returns (a negative errno) is the end of this process, and the kernel kills its guests with
 * it: the parent-death signal, the namespace. There is no state between.
 *
 * Files call downwards only (tests/py/test_layers.py): main, requests, ending, broker, worker,
 * decide, self, branch, guests, limits; then loopback, guest (the record), answer, pairs, locks, lending, placement; host
 * and loop; files/. */
#define _GNU_SOURCE
#include "files/assemble.h"
#include "files/tree.h"
#include "files/watch.h"
#include "lockdown/cgroup.h"
#include "lockdown/lockdown.h"
#include "policy/mounts.h"
#include "supervisor/branch.h"
#include "supervisor/broker.h"
#include "supervisor/decide.h"
#include "supervisor/ending.h"
#include "supervisor/guests.h"
#include "supervisor/host.h"
#include "supervisor/limits.h"
#include "supervisor/locks.h"
#include "supervisor/loop.h"
#include "supervisor/placement.h"
#include "supervisor/requests.h"
#include "supervisor/zygote.h"
#include "wire/channel.h"
#include "wire/counts.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SKELETON_BYTES (1u << 20) /* for names and links: no file in it has any content */

static int receive_settings(struct settings *ret_settings)
{
    static uint8_t bytes[MESSAGE_BYTES_MAX];
    ssize_t length = channel_receive(FD_CONTROL, bytes, sizeof bytes, NULL, NULL, 0, NULL, 0);
    if (length <= 0)
        return length < 0 ? (int)length : -ENODATA;
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    if (unpack_u32(&message) != MSG_SETTINGS)
        return -EBADMSG;
    return settings_unpack(&message, ret_settings);
}

/* Every guest costs seven descriptors here: take as many as the caller may have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int allow_mount(int fd, bool is_directory, bool writable, void *context)
{
    return landlock_supervisor_allow(context, fd, is_directory, writable);
}

/* The ruleset: the mounts, the scratch's parent, and nothing else. Those directories of the interpreter's that are not
 * known yet come later. */
static int make_ruleset(struct supervisor *supervisor, struct lockdown *lockdown)
{
    int error = landlock_supervisor_begin(lockdown);
    if (error == 0)
        error = tree_each_mount(supervisor->tree, allow_mount, lockdown);
    if (error == 0 && supervisor->scratch_parent.fd >= 0)
        error = landlock_supervisor_allow(lockdown, supervisor->scratch_parent.fd, true, true);
    if (error == 0 && supervisor->scratch_parent.base >= 0)
        error = landlock_supervisor_allow_rmdir(
            lockdown, supervisor->scratch_parent.base); /* its own, at the end */
    if (error == 0 && cgroup_directory() >= 0)
        error = landlock_supervisor_allow(lockdown, cgroup_directory(), true, true);
    return error;
}

static int send_started(const struct lockdown *lockdown, uint32_t hexversion)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_STARTED);
    pack_u32(&message, hexversion);
    pack_u32(&message, lockdown->report_count);
    for (unsigned i = 0; i < lockdown->report_count; i++) {
        pack_string(&message, lockdown->reports[i].name);
        pack_u32(&message, lockdown->reports[i].state);
        pack_string(&message, lockdown->reports[i].reason);
    }
    int error = host_send(&message, NULL, 0);
    packer_release(&message);
    return error;
}

/* Where scratch lies that is no guest's tmpfs, and what is listed in the place of synthetic
 * directories. Without the latter "/" cannot be listed. */
static int make_places(struct supervisor *supervisor, bool has_namespaces)
{
    const struct settings *settings = &supervisor->settings;
    const char *chosen = settings->scratch_parent;
    int error = 0;
    /* Where there are namespaces, only a branch has its scratch on disk. */
    if (chosen[0] != '\0' || !has_namespaces || !settings->once)
        error = scratch_parent_make(chosen, &supervisor->scratch_parent);
    if (error < 0 && (chosen[0] != '\0' || !has_namespaces))
        return host_failed(
            -error, "scratch",
            "no place for scratch: %s: %s; name a writable directory with --scratch-dir",
            chosen[0] ? chosen : "none of " SCRATCH_PARENTS(", ", ", ") " can be written to",
            strerror(-error));
    CLEANUP(fd_close) int memory = -1;
    if (has_namespaces && namespaces_memory(SKELETON_BYTES, &memory) == 0)
        tree_take_skeleton(supervisor->tree, &memory);
    else if (supervisor->scratch_parent.fd >= 0)
        (void)!tree_make_skeleton(supervisor->tree, supervisor->scratch_parent.fd);
    return 0;
}

static bool has_grants(const struct settings *settings)
{
    for (uint32_t i = 0; i < settings->mount_count; i++)
        if (!settings->mounts[i].optional)
            return true;
    return false;
}

static int make_tree(struct supervisor *supervisor)
{
    char path[PATH_MAX];
    int error = tree_new(&supervisor->settings, &supervisor->tree, path);
    return error < 0 ? host_failed(-error, "grants", "%s: %s", path, strerror(-error)) : 0;
}

/* Whether `user`, who we are by now, gets to the grants. */
static int check_grants(const struct supervisor *supervisor, uid_t user, bool is_root)
{
    char path[PATH_MAX];
    int error = tree_check_access(supervisor->tree, path);
    if (error == 0)
        return 0;
    return host_failed(-error, "grants",
                       "%s: %s for user %u, who runs the sandbox%s: give that user access "
                       "(chown, chmod) or run it as another%s",
                       path, strerror(-error), user, is_root ? " when root starts it" : "",
                       is_root ? " (--user)" : "");
}

static int begin_watching(struct supervisor *supervisor)
{
    unsigned most = has_grants(&supervisor->settings) ? WATCHED_MAX : WATCHED_OF_ALL;
    int error = watches_new(most, &supervisor->tree->watches);
    if (error == 0)
        error = loop_add(supervisor, watches_fd(supervisor->tree->watches), EVENT_CHANGE, 0);
    return error < 0 ? host_failed(-error, "epoll", "%s", strerror(-error)) : 0;
}

/* All that needs neither the interpreter nor its user, while it starts. */
static int get_ready(struct supervisor *supervisor, struct lockdown *lockdown)
{
    int error = make_places(supervisor, lockdown->namespaces);
    if (error < 0)
        return error;
    error = make_ruleset(supervisor, lockdown);
    if (error < 0)
        return host_failed(-error, "landlock", "no ruleset for the supervisor: %s",
                           strerror(-error));
    supervisor->locks = locks_open();
    supervisor->schedstat = open("/proc/self/schedstat", O_RDONLY | O_CLOEXEC);
    supervisor->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (supervisor->epoll < 0 || loop_add(supervisor, FD_CONTROL, EVENT_CONTROL, 0) < 0)
        return host_failed(errno, "epoll", "%s", strerror(errno));
    /* Calls that are audited are asked for, each time. */
    bool is_watching =
        !supervisor->settings.audit && (supervisor->settings.grants & GRANT_FILES) != 0;
    return is_watching ? begin_watching(supervisor) : 0;
}

/* From the settings to the locked-down supervisor with a locked-down zygote. Failures are told to
 * the host here. */
static int start(struct supervisor *supervisor)
{
    const char *step = "";
    struct lockdown lockdown = LOCKDOWN_INIT;
    lockdown.settings = &supervisor->settings;

    int error = receive_settings(&supervisor->settings);
    if (error < 0)
        return host_failed(-error, "settings", "the settings cannot be read");
    supervisor->counts = mmap(NULL, COUNTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, FD_COUNTS, 0);
    if (supervisor->counts == MAP_FAILED)
        return host_failed(errno, "counts", "%s", strerror(errno));
    fd_close(&(int){ FD_COUNTS });
    raise_descriptor_limit();
    decide_prepare(supervisor);
    if (sched_getaffinity(0, sizeof supervisor->cpus, &supervisor->cpus) < 0)
        return host_failed(errno, "cpus", "%s", strerror(errno));
    /* Grants are opened while we still are who the caller is: /root/data is the caller's to give.
     * The runtime is anybody's, and can wait until the interpreter starts. */
    bool is_early = has_grants(&supervisor->settings);
    error = is_early ? make_tree(supervisor) : 0;
    if (error < 0)
        return error;
    error = cgroup_template_begin();
    if (error < 0)
        return host_failed(-error, "cgroup", "%s", strerror(-error));
    /* The user it is going to be, as seen from outside: in its user namespace it is called 0. */
    bool is_root = geteuid() == 0;
    uid_t user = is_root ? supervisor->settings.uid : geteuid();
    error = lockdown_apply(lockdown_supervisor_early, lockdown_supervisor_early_count, &lockdown,
                           &step);
    supervisor->init_pidfd = fd_take(&lockdown.init_pidfd); /* to be ended whatever comes */
    if (error < 0)
        return host_failed(-error, step, "the supervisor cannot be locked down: %s",
                           strerror(-error));
    if ((supervisor->settings.grants & GRANT_SELF) && !lockdown.namespaces)
        return host_failed(ENETDOWN, "network",
                           "network=[\"self\"] (--network self) needs user namespaces, which this "
                           "machine does not give (belljar doctor says why): leave it out");
    error = is_early ? check_grants(supervisor, user, is_root) : 0;
    CLEANUP(zygote_start_release) struct zygote_start zygote = ZYGOTE_START_NONE;
    if (error == 0)
        error = zygote_start(supervisor, &zygote);
    if (error == 0 && !is_early)
        error = make_tree(supervisor);
    if (error == 0)
        error = get_ready(supervisor, &lockdown);
    uint32_t hexversion = 0;
    if (error == 0)
        error = zygote_await(supervisor, &zygote, &hexversion);
    if (error < 0)
        return error;
    fd_close(&(int){ FD_GUEST_MODULE });
    fd_close(&(int){ FD_GUEST_SOURCE });
    error = tree_each_mount(supervisor->tree, allow_mount, &lockdown);
    if (error < 0)
        return host_failed(-error, "landlock", "no ruleset for the supervisor: %s",
                           strerror(-error));
    if (loop_add(supervisor, supervisor->zygote, EVENT_ZYGOTE, 0) < 0)
        return host_failed(errno, "epoll", "%s", strerror(errno));
    error = lockdown_apply(lockdown_supervisor, lockdown_supervisor_count, &lockdown, &step);
    if (error < 0)
        return host_failed(-error, step, "the supervisor cannot be locked down: %s",
                           strerror(-error));
    return send_started(&lockdown, hexversion);
}

/* The zygote speaks only to say that it failed; one that becomes the guest closes its channel. */
static int handle_zygote(struct supervisor *supervisor)
{
    uint8_t bytes[8192];
    ssize_t length =
        channel_receive(supervisor->zygote, bytes, sizeof bytes, NULL, NULL, 0, NULL, MSG_DONTWAIT);
    if (length == -EAGAIN)
        return 0;
    if (length == 0 && supervisor->is_zygote_spent) {
        fd_close(&supervisor->zygote);
        return 0;
    }
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    char step[64] = "zygote", text[4096] = "the zygote is gone";
    int error = ECHILD;
    if (length > 0 && unpack_u32(&message) == MSG_ZYGOTE_FAILED) {
        error = (int)unpack_u32(&message);
        unpack_string(&message, step, sizeof step);
        unpack_string(&message, text, sizeof text);
    }
    return host_failed(error, step, "%s", text);
}

static int handle_event(struct supervisor *supervisor, uint64_t data, uint32_t events)
{
    enum event_kind kind = (enum event_kind)(data >> EVENT_KIND_SHIFT);
    if (kind == EVENT_CONTROL)
        return requests_handle(supervisor);
    if (kind == EVENT_ZYGOTE)
        return handle_zygote(supervisor);
    if (kind == EVENT_CHANGE) {
        guests_take_changes(supervisor);
        return 0;
    }
    struct guest *guest = guest_find(supervisor, data & EVENT_ID_MASK);
    if (guest == NULL)
        return 0; /* dropped by an earlier event of the same batch */
    switch (kind) {
    case EVENT_SETUP:
        return guests_handle_setup(supervisor, guest);
    case EVENT_EXIT:
        return guest->state == GUEST_LIVE ? ending_handle_exit(supervisor, guest) : 0;
    case EVENT_LISTENER:
        if (guest->state != GUEST_LIVE)
            return 0;
        if ((events & EPOLLIN) ==
            0) { /* all that used the filter are gone: receiving would wait for ever */
            branch_leave(supervisor, guest);
            return 0;
        }
        /* A listener that cannot be served is the end of that guest, not of us. */
        if (broker_serve(supervisor, guest) < 0)
            guest_kill(guest, END_PROTOCOL);
        limits_check_scratch(guest); /* a tick may come after its end */
        return 0;
    case EVENT_WORKER:
        return broker_worker(supervisor, guest);
    default:
        return -EINVAL;
    }
}

static int serve(struct supervisor *supervisor)
{
    while (!supervisor->is_stopping) {
        int timeout_ms = limits_tick(supervisor);
        broker_resume(supervisor, &timeout_ms);
        int error = guests_refill(supervisor, &timeout_ms);
        if (error < 0)
            return error;
        if (supervisor->pinned_count > 0) {
            placement_relax(supervisor, clock_now_ns());
            if (timeout_ms < 0 || timeout_ms > 10)
                timeout_ms = 10;
        }
        struct epoll_event events[32];
        int count = epoll_wait(supervisor->epoll, events, ARRAY_SIZE(events), timeout_ms);
        if (count < 0 && errno != EINTR)
            return -errno;
        count = broker_sort(supervisor, events, count);
        for (int i = 0; i < count; i++) {
            error = handle_event(supervisor, events[i].data.u64, events[i].events);
            if (error < 0)
                return error;
            if (i + 1 < count)
                (void)limits_tick(supervisor); /* limits do not wait for the rest of the batch */
        }
    }
    return 0;
}

static void end_child(int pidfd)
{
    if (pidfd >= 0)
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* Nothing is left behind. The end of init is the end of its pid namespace; but init waits for
 * zombies that only we can reap, so all are killed first and then reaped in whatever order they
 * die. A guest whose setup message never came goes because its channels are closed. */
static void stop(struct supervisor *supervisor)
{
    end_child(supervisor->init_pidfd);
    end_child(supervisor->zygote_pidfd);
    ending_all(supervisor);
    fd_close(&supervisor->zygote);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        continue;
    cgroup_template_end();
    tree_free(supervisor->tree);
    scratch_parent_remove(&supervisor->scratch_parent);
    settings_release(&supervisor->settings);
    free(supervisor->slots);
}

int main(void)
{
    struct supervisor supervisor = { .epoll = -1,
                                     .locks = -1,
                                     .schedstat = -1,
                                     .zygote = -1,
                                     .zygote_pidfd = -1,
                                     .init_pidfd = -1,
                                     .resume_due_ns = UINT64_MAX,
                                     .scratch_parent = SCRATCH_PARENT_NONE };
    prctl(PR_SET_NAME, "belljar-superv");
    umask(0); /* modes are the guest's business: its own umask has been applied to them */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* the terminal's: the host decides what it means */
    int error = start(&supervisor);
    if (error == 0)
        error = serve(&supervisor);
    stop(&supervisor);
    return error < 0;
}
