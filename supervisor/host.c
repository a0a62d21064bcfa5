/* Messages to the host. Supervisor. */
#define _GNU_SOURCE
#include "supervisor/host.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int host_send(const struct packer *message, const int *fds, unsigned fd_count)
{
    return channel_send(FD_CONTROL, message, fds, fd_count, 0);
}

int host_failed(int error, const char *step, const char *format, ...)
{
    char text[6144];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int sent = host_tell(MSG_FAILED, U32(error), TEXT(step), TEXT(text));
    return sent < 0 ? sent : -error;
}

/* A quarter of the socket's buffer may be audit records: poll(2) says that a socket of this kind
 * can be written to while no more is taken, and a record is far smaller than the rest. So answers
 * to what the host asked for have room however many records it leaves unread. */
bool host_has_room(void)
{
    struct pollfd control = { .fd = FD_CONTROL, .events = POLLOUT };
    return poll(&control, 1, 0) == 1;
}

int host_audit(uint64_t guest_id, const char *op, const struct answer *answer)
{
    return host_tell(MSG_AUDIT, U64(guest_id), TEXT(op), TEXT(answer->target),
                     TEXT(answer->error == 0 ? "ok" : strerrorname_np(answer->error)),
                     TEXT(answer->refused || answer->searched ? answer->rule : NULL));
}
