/* The control channel: what the host asks for and what it is told. Supervisor. The host is trusted;
 * the bytes are checked all the same, because a mistake there must not become one here. */
#define _GNU_SOURCE
#include "policy/syscalls.h"
#include "supervisor/guest.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int control_send(const struct packer *message, const int *fds, unsigned fd_count)
{
    /* Everything is an answer to something that the host asked for, so it reads sooner or later, or
     * is gone. */
    return channel_send(FD_CONTROL, message, fds, fd_count, 0);
}

int control_failed(int error, const char *step, const char *format, ...)
{
    char text[6144];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_FAILED);
    pack_u32(&message, (uint32_t)error);
    pack_string(&message, step);
    pack_string(&message, text);
    int sent = control_send(&message, NULL, 0);
    packer_release(&message);
    return sent < 0 ? sent : -error;
}

/* A quarter of the socket's buffer may be audit records: poll(2) says that a socket of this kind
 * can be written to while no more is taken, and a record is far smaller than the rest. So answers
 * to what the host asked for have room however many records it leaves unread. */
bool control_has_room(void)
{
    struct pollfd control = { .fd = FD_CONTROL, .events = POLLOUT };
    return poll(&control, 1, 0) == 1;
}

int control_audit(const struct guest *guest, const char *op, const struct answer *answer)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_AUDIT);
    pack_u64(&message, guest->id);
    pack_string(&message, op);
    pack_string(&message, answer->target);
    pack_string(&message, answer->error == 0 ? "ok" : strerrorname_np(answer->error));
    pack_string(&message, answer->refused && answer->rule ? answer->rule : "");
    int error = control_send(&message, NULL, 0);
    packer_release(&message);
    return error;
}

/* One request about one guest. A guest that is not there any more is no error: requests and ends
 * cross. */
static int control_guest_request(struct supervisor *supervisor, uint32_t type,
                                 struct unpacker *message)
{
    struct guest *guest = guests_find(supervisor, unpack_u64(message));
    uint64_t started_ns, wall_ms, cpu_ms;
    uint32_t reason, count;
    bool is_cold;
    switch (type) {
    case MSG_ARM:
        started_ns = unpack_u64(message);
        wall_ms = unpack_u64(message);
        cpu_ms = unpack_u64(message);
        if (guest != NULL && unpacker_is_done(message))
            guests_arm(supervisor, guest, started_ns, wall_ms, cpu_ms);
        break;
    case MSG_DISARM:
        if (guest == NULL)
            break;
        if (guest->state != GUEST_LIVE)
            return guests_await(guest);
        guests_disarm(guest);
        return guests_report(guest, MSG_REPORT);
    case MSG_BRANCH:
        return guest != NULL ? branch_prepare(supervisor, guest) : 0;
    case MSG_WAIT:
        return guest != NULL ? guests_await(guest) : 0;
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
            guests_kill_soon(supervisor, guest, reason);
        else if (guest != NULL)
            guests_kill(guest, reason);
        if (is_cold)
            return guests_spawn(supervisor, count, is_cold);
        guests_spawn_later(supervisor, count);
        break;
    case MSG_RELEASE:
        if (guest != NULL && unpacker_is_done(message))
            guests_release(supervisor, guest);
        break;
    }
    return unpacker_is_done(message) ? 0 : -EBADMSG;
}

static int control_lend(struct supervisor *supervisor, struct unpacker *message, int fds[],
                        unsigned fd_count)
{
    uint64_t id = unpack_u64(message), number = unpack_u64(message);
    struct guest *guest = guests_find(supervisor, id);
    int error = unpacker_is_done(message) ? 0 : -EBADMSG;
    if (error == 0 && guest != NULL && guest->state == GUEST_LIVE)
        error = self_lend(guest, number, fds, fd_count);
    struct packer lent = PACKER_INIT;
    pack_u32(&lent, MSG_LENT);
    pack_u64(&lent, id);
    if (error == 0)
        error = control_send(&lent, NULL, 0);
    packer_release(&lent);
    return error;
}

static int control_receive(struct supervisor *supervisor, int fds[], unsigned *ret_fd_count)
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
        return control_lend(supervisor, &message, fds, *ret_fd_count);
    if (type >= MSG_ARM && type <= MSG_RELEASE)
        return control_guest_request(supervisor, type, &message);
    return -EBADMSG;
}

int control_handle(struct supervisor *supervisor)
{
    int fds[LEND_MAX];
    unsigned fd_count = 0;
    for (unsigned i = 0; i < LEND_MAX; i++)
        fds[i] = -1;
    int error = control_receive(supervisor, fds, &fd_count);
    for (unsigned i = 0; i < fd_count; i++)
        fd_close(&fds[i]); /* that nobody took */
    return error;
}
