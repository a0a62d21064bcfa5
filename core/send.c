/* Frames to a guest, by its value channel. Host process. */
#define _GNU_SOURCE
#include "core/send.h"

#include "core/guest.h"
#include "core/template.h"

#include <string.h>
#include <sys/socket.h>

int send_queue(struct belljar_guest *guest, uint32_t type, const void *payload, size_t length)
{
    uint32_t header[2] = { (uint32_t)length, type };
    if (length > FRAME_PAYLOAD_MAX)
        return -E2BIG;
    size_t kept = guest->outgoing_used - guest->outgoing_at;
    uint8_t *grown = malloc(kept + sizeof header + length);
    if (grown == NULL)
        return -ENOMEM;
    if (kept > 0)
        memcpy(grown, guest->outgoing + guest->outgoing_at, kept);
    memcpy(grown + kept, header, sizeof header);
    if (length > 0)
        memcpy(grown + kept + sizeof header, payload, length);
    free(guest->outgoing);
    guest->outgoing = grown;
    guest->outgoing_at = 0;
    guest->outgoing_used = kept + sizeof header + length;
    return 0;
}

/* Writes what the channel takes. A guest that is gone is noticed when reading. */
void send_flush(struct belljar_guest *guest)
{
    while (guest->outgoing_at < guest->outgoing_used) {
        ssize_t sent = send(guest->value, guest->outgoing + guest->outgoing_at,
                            guest->outgoing_used - guest->outgoing_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (sent < 0) {
            guest->is_unread = true;
            break;
        }
        guest->outgoing_at += (size_t)sent;
    }
    free(guest->outgoing);
    guest->outgoing = NULL;
    guest->outgoing_at = guest->outgoing_used = 0;
}

int belljar_guest_send(struct belljar_guest *guest, uint32_t type, const void *payload,
                       size_t length)
{
    int error = guest->is_dead ? -EPIPE : send_queue(guest, type, payload, length);
    if (error == 0)
        send_flush(guest);
    return error;
}
