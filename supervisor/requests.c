/* Requests of the host. Supervisor. The host is trusted; the bytes are checked all the same,
 * because a mistake there must not become one here. */
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

/* ---- Handlers ---- */

/* 0 or a negative errno, which is the end of this process. guest: NULL if it is gone. */
#define REQUEST(name)                                                                              \
    static int name(__attribute__((unused)) struct supervisor *supervisor,                         \
                    __attribute__((unused)) struct guest *guest,                                   \
                    __attribute__((unused)) const uint64_t *fields)

REQUEST(request_spawn)
{
    return guests_spawn(supervisor, (uint32_t)fields[0], fields[1] != 0);
}

REQUEST(request_arm)
{
    limits_arm(supervisor, guest, fields[0], fields[1], fields[2], fields[3]);
    return 0;
}

REQUEST(request_disarm)
{
    if (guest->state != GUEST_LIVE)
        return ending_await(guest);
    limits_disarm(guest);
    return ending_report(guest, MSG_REPORT);
}

REQUEST(request_interrupt)
{
    guest_signal(guest, SIGINT);
    return 0;
}

REQUEST(request_freeze)
{
    limits_freeze(supervisor, guest, fields[0] != 0);
    return 0;
}

REQUEST(request_look)
{
    return ending_tell_usage(guest);
}

REQUEST(request_kill)
{
    uint32_t reason = (uint32_t)fields[0], count = (uint32_t)fields[1];
    bool is_cold = fields[2] != 0;
    if (guest != NULL && reason == END_CLOSED)
        limits_kill_soon(supervisor, guest, reason);
    else if (guest != NULL)
        guest_kill(guest, reason);
    if (is_cold)
        return guests_spawn(supervisor, count, is_cold);
    guests_spawn_later(supervisor, count);
    return 0;
}

REQUEST(request_wait)
{
    return ending_await(guest);
}

REQUEST(request_branch)
{
    return branch_prepare(supervisor, guest);
}

REQUEST(request_release)
{
    ending_release(supervisor, guest);
    return 0;
}

/* ---- The messages ---- */

/* Of whom a message may be. One that is not there (any more) is no error: requests and ends cross.
 * */
enum subject {
    OF_NOBODY, /* it names no guest */
    OF_ANY,    /* handled if the guest is gone, too */
    OF_RECORD, /* one that the host has not released */
    OF_LIVE,   /* one that lives */
};

/* Messages that the host may send once this process serves. MSG_SETTINGS came before; else
 * -EBADMSG. */
static const struct {
    uint32_t type;
    enum subject subject;
    const char *fields; /* after the guest: u is 32 bits, q 64 */
    int (*handle)(struct supervisor *supervisor, struct guest *guest, const uint64_t *fields);
} requests[] = {
    { MSG_SPAWN, OF_NOBODY, "uu", request_spawn },
    { MSG_ARM, OF_LIVE, "qqqq", request_arm },
    { MSG_DISARM, OF_RECORD, "", request_disarm },
    { MSG_INTERRUPT, OF_LIVE, "", request_interrupt },
    { MSG_KILL, OF_ANY, "uuu", request_kill },
    { MSG_WAIT, OF_RECORD, "", request_wait },
    { MSG_BRANCH, OF_RECORD, "", request_branch },
    { MSG_FREEZE, OF_LIVE, "u", request_freeze },
    { MSG_ASK_USAGE, OF_RECORD, "", request_look },
    { MSG_RELEASE, OF_RECORD, "", request_release },
};

/* The one message with descriptors; also how the host asks whether this process lives. */
static int requests_lend(struct supervisor *supervisor, struct unpacker *message, int fds[],
                         unsigned fd_count)
{
    uint64_t id = unpack_u64(message), number = unpack_u64(message);
    struct guest *guest = guest_find(supervisor, id);
    int error = unpacker_is_done(message) ? 0 : -EBADMSG;
    if (error == 0 && guest != NULL && guest->state == GUEST_LIVE)
        error = lending_add(guest, number, fds, fd_count);
    return error == 0 ? host_tell(MSG_LENT, U64(id)) : error;
}

static int requests_dispatch(struct supervisor *supervisor, uint32_t type, struct unpacker *message)
{
    unsigned row = 0;
    while (row < ARRAY_SIZE(requests) && requests[row].type != type)
        row++;
    if (row == ARRAY_SIZE(requests))
        return -EBADMSG;
    enum subject subject = requests[row].subject;
    uint64_t id = subject == OF_NOBODY ? 0 : unpack_u64(message), fields[4] = { 0 };
    for (unsigned i = 0; requests[row].fields[i] != '\0'; i++)
        fields[i] = requests[row].fields[i] == 'q' ? unpack_u64(message) : unpack_u32(message);
    if (!unpacker_is_done(message))
        return -EBADMSG;
    struct guest *guest = guest_find(supervisor, id);
    bool is_subject = subject == OF_LIVE     ? guest != NULL && guest->state == GUEST_LIVE
                      : subject == OF_RECORD ? guest != NULL
                                             : true;
    return is_subject ? requests[row].handle(supervisor, guest, fields) : 0;
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
    return type == MSG_LEND ? requests_lend(supervisor, &message, fds, *ret_fd_count)
                            : requests_dispatch(supervisor, type, &message);
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
