/* What the host asks for. Supervisor. The host is trusted; the bytes are checked all the same, because a
 * mistake there must not become one here. */
#define _GNU_SOURCE
#include "supervisor/requests.h"

#include "supervisor/branch.h"
#include "supervisor/ending.h"
#include "supervisor/guests.h"
#include "supervisor/host.h"
#include "supervisor/lending.h"
#include "supervisor/limits.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <signal.h>
#include <sys/socket.h>

/* One request about one guest. A guest that is not there any more is no error: requests and ends
 * cross. */
static int requests_guest(struct supervisor *supervisor, uint32_t type, struct unpacker *message)
{
    struct guest *guest = guest_find(supervisor, unpack_u64(message));
    uint64_t started_ns, wall_ms, cpu_ms;
    uint32_t reason, count;
    bool is_cold;
    switch (type) {
    case MSG_ARM:
        started_ns = unpack_u64(message);
        wall_ms = unpack_u64(message);
        cpu_ms = unpack_u64(message);
        if (guest != NULL && unpacker_is_done(message))
            limits_arm(supervisor, guest, started_ns, wall_ms, cpu_ms);
        break;
    case MSG_DISARM:
        if (guest == NULL)
            break;
        if (guest->state != GUEST_LIVE)
            return ending_await(guest);
        limits_disarm(guest);
        return ending_report(guest, MSG_REPORT);
    case MSG_BRANCH:
        return guest != NULL ? branch_prepare(supervisor, guest) : 0;
    case MSG_WAIT:
        return guest != NULL ? ending_await(guest) : 0;
    case MSG_INTERRUPT:
        if (guest != NULL && guest->state == GUEST_LIVE)
            guest_signal(guest, SIGINT);
        break;
    case MSG_KILL:
        reason = unpack_u32(message);
        count = unpack_u32(message);
        is_cold = unpack_u32(message) != 0;
        if (!unpacker_is_done(message))
            break;
        if (guest != NULL && reason == END_CLOSED)
            limits_kill_soon(supervisor, guest, reason);
        else if (guest != NULL)
            guest_kill(guest, reason);
        if (is_cold)
            return guests_spawn(supervisor, count, is_cold);
        guests_spawn_later(supervisor, count);
        break;
    case MSG_RELEASE:
        if (guest != NULL && unpacker_is_done(message))
            ending_release(supervisor, guest);
        break;
    }
    return unpacker_is_done(message) ? 0 : -EBADMSG;
}

static int requests_lend(struct supervisor *supervisor, struct unpacker *message, int fds[],
                         unsigned fd_count)
{
    uint64_t id = unpack_u64(message), number = unpack_u64(message);
    struct guest *guest = guest_find(supervisor, id);
    int error = unpacker_is_done(message) ? 0 : -EBADMSG;
    if (error == 0 && guest != NULL && guest->state == GUEST_LIVE)
        error = lending_add(guest, number, fds, fd_count);
    struct packer lent = PACKER_INIT;
    pack_u32(&lent, MSG_LENT);
    pack_u64(&lent, id);
    if (error == 0)
        error = host_send(&lent, NULL, 0);
    packer_release(&lent);
    return error;
}

static int requests_receive(struct supervisor *supervisor, int fds[], unsigned *ret_fd_count)
{
    static uint8_t bytes[MESSAGE_BYTES_MAX];
    ssize_t length = channel_receive(FD_CONTROL, bytes, sizeof bytes, fds, ret_fd_count, LEND_MAX,
                                     NULL, MSG_DONTWAIT);
    if (length == -EAGAIN)
        return 0;
    if (length <= 0) {
        supervisor->is_stopping = true; /* the host is gone: so are we */
        return 0;
    }
    struct unpacker message;
    unpacker_init(&message, bytes, (size_t)length);
    uint32_t type = unpack_u32(&message);
    if (type == MSG_SPAWN) {
        uint32_t count = unpack_u32(&message);
        bool is_cold = unpack_u32(&message) != 0;
        return unpacker_is_done(&message) ? guests_spawn(supervisor, count, is_cold) : -EBADMSG;
    }
    if (type == MSG_LEND)
        return requests_lend(supervisor, &message, fds, *ret_fd_count);
    if (type >= MSG_ARM && type <= MSG_RELEASE)
        return requests_guest(supervisor, type, &message);
    return -EBADMSG;
}

int requests_handle(struct supervisor *supervisor)
{
    int fds[LEND_MAX];
    unsigned fd_count = 0;
    for (unsigned i = 0; i < LEND_MAX; i++)
        fds[i] = -1;
    int error = requests_receive(supervisor, fds, &fd_count);
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]); /* that nobody took */
    return error;
}
