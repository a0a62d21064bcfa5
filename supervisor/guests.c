/* A guest's birth: asked of the zygote, heard from, handed to the host. Supervisor. The guest is
 * hostile from the moment its setup message has come; nothing here waits for it. */
#define _GNU_SOURCE
#include "supervisor/guests.h"

#include "files/files.h"
#include "files/tree.h"
#include "files/watch.h"
#include "lockdown/cgroup.h"
#include "supervisor/answer.h"
#include "supervisor/host.h"
#include "supervisor/loop.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <signal.h>
#include <sys/socket.h>

/* Asks the zygote for the guest. */
static int guest_fork(struct supervisor *supervisor, struct guest *guest, bool is_cold)
{
    int setup[2];
    int yes = 1;
    if (supervisor->is_zygote_spent)
        return -ECHILD;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, setup) < 0)
        return -errno;
    guest->fds[GUEST_SETUP] = setup[0];
    CLEANUP(fd_close) int theirs = setup[1];
    CLEANUP(fd_close) int cgroup = cgroup_guest_begin(guest->id);
    if (cgroup < 0 && cgroup_directory() >= 0)
        return -EIO; /* the layer is on: no guest without it */
    if (setsockopt(setup[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) < 0)
        return -errno;
    int error = loop_add(supervisor, guest->fds[GUEST_SETUP], EVENT_SETUP, guest->id);
    if (error < 0)
        return error;
    int fds[7] = { theirs,
                   guest->to_guest[0],
                   guest->to_guest[1],
                   guest->to_guest[2],
                   guest->to_guest[3],
                   guest->to_guest[4],
                   cgroup };
    /* Nobody is left then to be asked for the guest's sockets; and what it has in memory already
     * would be in no cgroup's account. */
    bool becomes =
        supervisor->settings.once && cgroup < 0 && !(supervisor->settings.grants & GRANT_SELF);
    error = message_send(supervisor->zygote, fds, cgroup >= 0 ? 7 : 6, MSG_FORK, U64(guest->id),
                         U32(cgroup >= 0), U32(is_cold), U32(becomes));
    supervisor->is_zygote_spent = becomes;
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_guest); i++)
        fd_close(&guest->to_guest[i]);
    return error;
}

/* Tells the host that one of the guests that it asked for cannot be had; it alone is the loser. */
static int spawn_failed(int error, const char *step)
{
    return host_tell(MSG_SPAWN_FAILED, U32(error), TEXT(step));
}

static int guest_spawn(struct supervisor *supervisor, bool is_cold)
{
    struct guest *guest;
    int error = guest_new(supervisor, &guest);
    if (error < 0)
        return error;
    guest->is_cold = is_cold;
    error = guest_fork(supervisor, guest, is_cold);
    if (error < 0)
        guest_drop(supervisor, guest);
    return error;
}

int guests_spawn(struct supervisor *supervisor, uint32_t count, bool is_cold)
{
    count += supervisor->wanted;
    supervisor->wanted = 0;
    for (uint32_t i = 0; i < count; i++) {
        int error = guest_spawn(supervisor, is_cold);
        if (error < 0)
            error = spawn_failed(-error, "fork");
        if (error < 0)
            return error;
    }
    return 0;
}

void guests_spawn_later(struct supervisor *supervisor, uint32_t count)
{
    supervisor->wanted += count;
    supervisor->wanted_due_ns = clock_now_ns() + REFILL_MS * 1000000u;
}

int guests_refill(struct supervisor *supervisor, int *timeout_ms)
{
    if (supervisor->wanted == 0)
        return 0;
    if (clock_now_ns() >= supervisor->wanted_due_ns)
        return guests_spawn(supervisor, 0, false);
    if (*timeout_ms < 0 || *timeout_ms > REFILL_MS)
        *timeout_ms = REFILL_MS;
    return 0;
}

static void guests_count_change(struct supervisor *supervisor)
{
    for (uint32_t i = 0; i < supervisor->slot_count; i++)
        if (supervisor->slots[i] != NULL && supervisor->slots[i]->files != NULL)
            files_count_change(supervisor->slots[i]->files);
}

void guests_take_changes(struct supervisor *supervisor)
{
    guests_count_change(supervisor);
    watches_read(supervisor->tree->watches);
    guests_count_change(supervisor);
}

int guests_start(struct supervisor *supervisor, struct guest *guest)
{
    int error = loop_add(supervisor, guest->fds[GUEST_PIDFD], EVENT_EXIT, guest->id);
    if (error < 0)
        return error;
    guest->state = GUEST_LIVE;
    guest->seen_cpu_ns = UINT64_MAX;
    supervisor->is_ticking = true; /* its first look is due */
    supervisor->tick_due_ns = 0;
    guest_publish(guest);
    error = message_send(FD_CONTROL, guest->to_host, ARRAY_SIZE(guest->to_host), MSG_READY,
                         U64(guest->id), U64(guest->parent), U32(guest->is_cold));
    for (unsigned i = 0; i < ARRAY_SIZE(guest->to_host); i++)
        fd_close(&guest->to_host[i]);
    return error;
}

/* The guest's one message. Until now only trusted code has run in it. */
static int guest_is_ready(struct supervisor *supervisor, struct guest *guest,
                          struct unpacker *message, int fds[], unsigned fd_count)
{
    uint64_t id = unpack_u64(message);
    guest->inner_pid = (pid_t)unpack_u32(message);
    uint64_t tray_address = unpack_u64(message);
    static const enum guest_fd places[] = { GUEST_LISTENER, GUEST_MEMORY, GUEST_MAPS, GUEST_STATUS,
                                            GUEST_PIDFD };
    if (!unpacker_is_done(message) || id != guest->id || fd_count < ARRAY_SIZE(places))
        return -EBADMSG;
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        guest->fds[places[i]] = fd_take(&fds[i]);
    files_set_process(guest->files, (uint32_t)guest->inner_pid, guest->fds[GUEST_STATUS]);
    unsigned next = ARRAY_SIZE(places);
    int error = 0;
    if (tray_address != 0)
        error =
            next < fd_count ? files_set_tray(guest->files, fds[next++], tray_address) : -EBADMSG;
    if (error < 0)
        return error;
    if (supervisor->is_zygote_spent)
        guest->born_cpu_ns = guest_cpu_ns(guest);
    if (supervisor->settings.grants & GRANT_SELF) {
        if (fd_count <= next)
            return -EBADMSG;
        guest->fds[GUEST_SOCKETS] = fd_take(&fds[next++]);
    }
    if (fd_count > next)
        files_set_scratch(guest->files, fd_take(&fds[next]));
    fd_close(&guest->fds[GUEST_SETUP]);
    error = answer_listen(guest);
    if (error == 0)
        error = loop_add(supervisor, guest->fds[GUEST_LISTENER], EVENT_LISTENER, guest->id);
    guest->is_watching = error == 0;
    return error < 0 ? error : guests_start(supervisor, guest);
}

void guests_abort(struct supervisor *supervisor, struct guest *guest)
{
    supervisor->is_ticking = true;
    guest->is_released = true;
    fd_close(&guest->fds[GUEST_SETUP]);
    if (guest->state == GUEST_LIVE ||
        (guest->fds[GUEST_PIDFD] >= 0 &&
         loop_add(supervisor, guest->fds[GUEST_PIDFD], EVENT_EXIT, guest->id) == 0)) {
        guest->state = GUEST_LIVE;
        guest_kill(guest, END_PROTOCOL);
        return;
    }
    guest_signal(guest, SIGKILL);
    guest_drop(supervisor, guest);
}

int guests_handle_setup(struct supervisor *supervisor, struct guest *guest)
{
    uint8_t bytes[512];
    int fds[8] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    unsigned fd_count = 0;
    ssize_t length = channel_receive(guest->fds[GUEST_SETUP], bytes, sizeof bytes, fds, &fd_count,
                                     8, &guest->pid, MSG_DONTWAIT);
    if (length == -EAGAIN)
        return 0;
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    uint32_t type = unpack_u32(&message);
    int error = length > 0 ? -EBADMSG : -ECHILD;
    if (length > 0 && type == MSG_GUEST_READY)
        error = fd_count > 0 ? guest_is_ready(supervisor, guest, &message, fds, fd_count) : -EMFILE;
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]);
    if (error == 0)
        return 0;
    char step[64] = "fork";
    if (length > 0 && type == MSG_GUEST_FAILED) {
        unpack_u64(&message);
        error = -(int)unpack_u32(&message);
        unpack_string(&message, step, sizeof step);
    }
    guests_abort(supervisor,
                 guest); /* it has run nothing but our own code, and goes by itself, too */
    return spawn_failed(-error, step);
}
