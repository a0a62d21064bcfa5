/* A session's fork: a guest clones itself, with all its state, when the host asks for it.
 * Supervisor.
 *
 *   host:        MSG_BRANCH; once it is permitted, FRAME_BRANCH on the value channel
 *   guest:       clone(CLONE_PARENT), continued once, and in the child setpgid(0, 0)
 *   supervisor:  that call comes from a thread of nobody in the family, so it is the branch: it
 *   gets
 *                channels of its own (ADDFD puts them at 0 to 4), and the zygote, which is trusted
 *                and may (CAP_SYS_PTRACE in the user namespace), opens its /proc entries
 *
 * Until then the branch can do nothing: each of its calls waits here.
 *
 * The guest is hostile, and its child is there before we know it. So a permit is one clone. A child
 * that does not show itself, since it makes no call at all, is still in its parent's process group,
 * which only a branch's first call leaves: the zygote kills what it finds there when the branch is
 * not there in time, when the parent says that there is none, and when the parent ends.
 *
 * A filter's listener is shared by all that inherit the filter. So a notification's sender is found
 * by asking the kernel whose thread it is: tgkill(2) with signal 0. Only one of a family has the
 * listener in the epoll set. */
#define _GNU_SOURCE
#include "supervisor/branch.h"

#include "files/files.h"
#include "supervisor/answer.h"
#include "supervisor/guests.h"
#include "supervisor/host.h"
#include "supervisor/limits.h"
#include "supervisor/loop.h"
#include "supervisor/pairs.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#define BRANCH_MS 10000 /* for copying the page tables of a large session */

static int branch_refuse(uint64_t parent, int error)
{
    return host_tell(MSG_REFUSED, U64(parent), U32(error));
}

/* The parent's permit is used up or taken back. */
static void branch_settle(struct supervisor *supervisor, struct guest *parent, bool is_there)
{
    struct guest *unborn = is_there ? NULL : guest_find(supervisor, parent->branch);
    if (unborn != NULL)
        guest_drop(supervisor, unborn);
    parent->branch = 0;
    parent->fork = FORK_NONE;
    parent->fork_tid = 0;
}

int branch_prepare(struct supervisor *supervisor, struct guest *parent)
{
    struct guest *branch;
    /* Without a user namespace nobody may open an undumpable process's memory; and a zygote that has
     * become the guest neither opens it nor ends strays. */
    if (supervisor->init_pidfd < 0 || supervisor->is_zygote_spent)
        return branch_refuse(parent->id, EOPNOTSUPP);
    if (supervisor->settings.grants & GRANT_SELF) /* a guest has its network for itself alone */
        return branch_refuse(parent->id, ENETDOWN);
    if (parent->state != GUEST_LIVE || parent->kill_at_ns != 0)
        return branch_refuse(parent->id, ECHILD);
    if (parent->branch != 0)
        return branch_refuse(parent->id, EBUSY);
    int error = guest_new(supervisor, &branch);
    if (error < 0)
        return branch_refuse(parent->id, -error);
    if (parent->family == 0)
        parent->family = parent->id;
    parent->branch = branch->id;
    branch->parent = parent->id;
    parent->fork = FORK_PERMITTED;
    parent->fork_deadline_ns = clock_now_ns() + BRANCH_MS * 1000000ull;
    limits_stir(supervisor, parent);
    return host_tell(MSG_PERMITTED, U64(parent->id));
}

/* Kills what is in the guest's process group and is not itself. True if there was something, or if
 * that cannot be found out. */
static bool has_strays(struct supervisor *supervisor, const struct guest *guest)
{
    int error = message_send(supervisor->zygote, NULL, 0, MSG_STRAYS, U64(guest->pid));
    uint8_t bytes[64];
    ssize_t length = error < 0 ? error
                               : channel_receive(supervisor->zygote, bytes, sizeof bytes, NULL,
                                                 NULL, 0, NULL, 0);
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    supervisor->is_ticking = true; /* to reap them */
    return length <= 0 || unpack_u32(&message) != MSG_COUNTED || unpack_u32(&message) != 0;
}

void branch_end_strays(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->fork == FORK_USED)
        (void)!has_strays(supervisor, guest);
    guest->fork = FORK_NONE;
}

void branch_clone(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  struct answer *answer)
{
    answer->rule = "processes";
    answer->hint = "a session is forked by its host: Sandbox.fork()";
    answer->error = EPERM;
    if (guest->fork == FORK_PERMITTED) {
        guest->fork = FORK_USED;
        guest->fork_tid = call->tid;
        answer->error = 0;
        answer->continues = true;
        return;
    }
    answer->refused = true;
    /* That thread again: its clone has returned, so what it made can be found. It says that it
     * made nothing (the machine gave no process). */
    if (guest->fork != FORK_USED || guest->fork_tid != call->tid)
        return;
    if (has_strays(supervisor, guest)) {
        guest_kill(guest, END_STRAY);
        return;
    }
    answer->refused = false;
    answer->error = EAGAIN;
    branch_settle(supervisor, guest, false);
    (void)!branch_refuse(guest->id, EAGAIN);
}

static bool is_thread_of(const struct guest *guest, pid_t tid)
{
    return guest->pid > 0 && (syscall(SYS_tgkill, guest->pid, tid, 0) == 0 || errno == EPERM);
}

struct guest *branch_caller(struct supervisor *supervisor, struct guest *guest, pid_t tid)
{
    if (guest->family == 0 || guest->pid == tid)
        return guest;
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        struct guest *other = supervisor->slots[i];
        if (other != NULL && other->family == guest->family && is_thread_of(other, tid))
            return other;
    }
    return NULL;
}

/* The family's member that waits for its branch. */
static struct guest *branch_parent(struct supervisor *supervisor, const struct guest *guest)
{
    for (uint32_t i = 0; i < supervisor->slot_count; i++) {
        struct guest *other = supervisor->slots[i];
        if (other != NULL && other->family == guest->family && other->branch != 0)
            return other;
    }
    return NULL;
}

/* Asks the zygote for the branch's descriptors. */
static int branch_look(struct supervisor *supervisor, struct guest *branch)
{
    int error = message_send(supervisor->zygote, NULL, 0, MSG_LOOK, U64(branch->pid));
    uint8_t bytes[64];
    int fds[4];
    unsigned count = 0;
    ssize_t length = error < 0 ? error
                               : channel_receive(supervisor->zygote, bytes, sizeof bytes, fds,
                                                 &count, ARRAY_SIZE(fds), NULL, 0);
    if (length <= 0)
        return length < 0 ? (int)length : -EPIPE;
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    uint32_t type = unpack_u32(&message);
    error = (int)unpack_u32(&message);
    branch->inner_pid = (pid_t)unpack_u32(&message);
    if (type != MSG_LOOKED || !unpacker_is_done(&message) || error != 0 ||
        count != ARRAY_SIZE(fds)) {
        for (unsigned i = 0; i < count; i++)
            fd_close(&fds[i]);
        return error > 0 ? -error : -EBADMSG;
    }
    branch->fds[GUEST_MEMORY] = fds[0];
    branch->fds[GUEST_MAPS] = fds[1];
    branch->fds[GUEST_STATUS] = fds[2];
    branch->fds[GUEST_PIDFD] = fds[3];
    files_set_process(branch->files, (uint32_t)branch->inner_pid, branch->fds[GUEST_STATUS]);
    return 0;
}

/* Its own channels at the numbers where it has its parent's. */
static int branch_give_channels(struct guest *parent, struct guest *branch, const struct call *call)
{
    static const int numbers[] = { FD_GUEST_VALUE, FD_GUEST_STDIN, FD_GUEST_STDOUT, FD_GUEST_STDERR,
                                   FD_GUEST_CRASH };
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct seccomp_notif_addfd install = { .id = call->id,
                                               .flags = SECCOMP_ADDFD_FLAG_SETFD,
                                               .srcfd = (__u32)branch->to_guest[i],
                                               .newfd = (__u32)numbers[i] };
        if (answer_ioctl(parent, SECCOMP_IOCTL_NOTIF_ADDFD, &install) < 0)
            return -errno;
        fd_close(&branch->to_guest[i]);
    }
    return 0;
}

int branch_adopt(struct supervisor *supervisor, struct guest *guest, const struct call *call)
{
    struct guest *parent = branch_parent(supervisor, guest);
    struct guest *branch = parent ? guest_find(supervisor, parent->branch) : NULL;
    if (branch == NULL || parent->fork != FORK_USED || call->number != SYS_setpgid ||
        call->args[0] != 0 || call->args[1] != 0)
        return EPERM; /* it stays where the zygote finds it */
    branch->pid = call->tid;
    branch->family = parent->family;
    branch->is_foreign = parent->is_foreign;
    branch->cpu_limit_ns = parent->cpu_limit_ns;
    branch->protected_bytes = parent->protected_bytes;
    branch->data_limit = parent->data_limit;
    branch->inherited_kib = pairs_held(parent);
    int error =
        branch_look(supervisor, branch); /* it waits for our answer: the number is its own */
    if (error == 0)
        error = branch_give_channels(parent, branch, call);
    if (error == 0) {
        branch->fds[GUEST_LISTENER] = fcntl(parent->fds[GUEST_LISTENER], F_DUPFD_CLOEXEC, 0);
        error = branch->fds[GUEST_LISTENER] < 0 ? -errno : 0;
    }
    if (error == 0)
        error = guests_start(supervisor, branch);
    if (error < 0) { /* it has not left its parent's group yet: it dies there */
        (void)!has_strays(supervisor, parent);
        branch->pid = 0;
        branch_settle(supervisor, parent, true);
        guests_abort(supervisor, branch);
        return branch_refuse(parent->id, -error) < 0 ? EIO : -error;
    }
    branch_settle(supervisor, parent, true);
    return 0;
}

void branch_leave(struct supervisor *supervisor, struct guest *guest)
{
    if (guest->branch != 0) {
        branch_settle(supervisor, guest, false);
        (void)!branch_refuse(guest->id, ECHILD);
    }
    if (guest->is_watching)
        (void)!loop_remove(supervisor, guest->fds[GUEST_LISTENER]);
    for (uint32_t i = 0; guest->family != 0 && guest->is_watching && i < supervisor->slot_count;
         i++) {
        struct guest *other = supervisor->slots[i];
        if (other != NULL && other != guest && other->family == guest->family &&
            other->state == GUEST_LIVE &&
            loop_add(supervisor, other->fds[GUEST_LISTENER], EVENT_LISTENER, other->id) == 0) {
            other->is_watching = true;
            break;
        }
    }
    guest->is_watching = false;
}
