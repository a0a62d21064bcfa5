/* Packets with descriptors over AF_UNIX SEQPACKET: control, zygote and setup channels. */
#ifndef BELLJAR_CHANNEL_H
#define BELLJAR_CHANNEL_H

#include "wire/pack.h"

#include <sys/types.h>

#define CHANNEL_FDS_MAX 16

/* Sends one packet with descriptors (borrowed: the caller still closes them). flags: MSG_DONTWAIT
 * or 0. 0 or a negative errno; -ENOMEM if the packer failed. */
MUST_CHECK int channel_send(int fd, const struct packer *message, const int *fds, unsigned fd_count,
                            int flags);

/* One field of a message. */
struct field {
    enum { FIELD_U32, FIELD_U64, FIELD_TEXT } kind;
    uint64_t number;
    const char *text; /* NULL is sent as empty */
};
#define U32(value)                                                                                 \
    {                                                                                              \
        .kind = FIELD_U32, .number = (uint32_t)(value)                                             \
    }
#define U64(value)                                                                                 \
    {                                                                                              \
        .kind = FIELD_U64, .number = (uint64_t)(value)                                             \
    }
#define TEXT(value)                                                                                \
    {                                                                                              \
        .kind = FIELD_TEXT, .text = (value)                                                        \
    }

/* Packs and sends a message of these fields: message_send(channel, fds, 2, MSG_X, U64(id), U32(1)).
 * Unlike a format, they cannot disagree with what follows. As channel_send without flags. */
#define message_send(channel, fds, fd_count, type, ...)                                            \
    message_send_fields(channel, fds, fd_count, type, (const struct field[]){ __VA_ARGS__ },       \
                        ARRAY_SIZE(((const struct field[]){ __VA_ARGS__ })))
MUST_CHECK int message_send_fields(int channel, const int *fds, unsigned fd_count, uint32_t type,
                                   const struct field *fields, size_t count);

/* Receives one packet. The caller owns ret_fds[0..*ret_fd_count). More descriptors than max_fds or
 * a cut packet: all are closed, -EBADMSG. If this process has no room for all of them (EMFILE),
 * all are closed and *ret_fd_count is 0: who needs them sees that they are missing. *ret_pid (may
 * be NULL; needs SO_PASSCRED) is the sender as this process sees it. Returns the packet's length, 0
 * at the end of the stream, or a negative errno. */
MUST_CHECK ssize_t channel_receive(int fd, void *bytes, size_t size, int *ret_fds,
                                   unsigned *ret_fd_count, unsigned max_fds, pid_t *ret_pid,
                                   int flags);

/* channel_receive that says whether descriptors came for which this process had no room:
 * *ret_lost. */
MUST_CHECK ssize_t channel_receive_lossy(int fd, void *bytes, size_t size, int *ret_fds,
                                         unsigned *ret_fd_count, unsigned max_fds, bool *ret_lost,
                                         int flags);

#endif
