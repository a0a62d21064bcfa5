/* Packets with descriptors (channel.h). Every process. */
#define _GNU_SOURCE
#include "wire/channel.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int channel_send(int fd, const struct packer *message, const int *fds, unsigned fd_count, int flags)
{
    if (message->failed)
        return -ENOMEM;
    struct iovec part = { message->bytes, message->used };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int))];
    } control;
    struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd_count > CHANNEL_FDS_MAX)
        return -EINVAL;
    if (fd_count > 0) {
        memset(&control, 0, sizeof control);
        packet.msg_control = control.bytes;
        packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&packet);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(header), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &packet, flags | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int message_send_fields(int channel, const int *fds, unsigned fd_count, uint32_t type,
                        const struct field *fields, size_t count)
{
    CLEANUP(packer_release) struct packer message = PACKER_INIT;
    pack_u32(&message, type);
    for (size_t i = 0; i < count; i++) {
        if (fields[i].kind == FIELD_U32)
            pack_u32(&message, (uint32_t)fields[i].number);
        else if (fields[i].kind == FIELD_U64)
            pack_u64(&message, fields[i].number);
        else
            pack_string(&message, fields[i].text);
    }
    return channel_send(channel, &message, fds, fd_count, 0);
}

/* ret_lost: descriptors came for which this process has no numbers left; none is given then. */
static ssize_t receive(int fd, void *bytes, size_t size, int *ret_fds, unsigned *ret_fd_count,
                       unsigned max_fds, pid_t *ret_pid, int flags, bool *ret_lost)
{
    struct iovec part = { bytes, size };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(CHANNEL_FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct msghdr packet = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes };
    ssize_t got;
    bool was_reset = false;
    for (;;) {
        got = recvmsg(fd, &packet, flags | MSG_CMSG_CLOEXEC);
        /* A peer that ended with messages of ours unread: said once, before its own last words,
         * which say why it ended. */
        if (got < 0 && errno == ECONNRESET && !was_reset)
            was_reset = true;
        else if (got >= 0 || errno != EINTR)
            break;
    }
    if (got < 0)
        return -errno;
    int fds[CHANNEL_FDS_MAX];
    unsigned count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&packet); header != NULL;
         header = CMSG_NXTHDR(&packet, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_RIGHTS) {
            count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(header), count * sizeof(int));
        } else if (header->cmsg_type == SCM_CREDENTIALS && ret_pid != NULL) {
            struct ucred sender;
            memcpy(&sender, CMSG_DATA(header), sizeof sender);
            *ret_pid = sender.pid;
        }
    }
    /* Some had no room in our table: then none is taken, and the words are. */
    *ret_lost = (packet.msg_flags & MSG_CTRUNC) != 0;
    bool is_refused = count > max_fds || (packet.msg_flags & MSG_TRUNC) != 0;
    if (is_refused || *ret_lost) {
        for (unsigned i = 0; i < count; i++)
            close(fds[i]);
        count = 0;
    }
    if (is_refused)
        return -EBADMSG;
    if (count > 0)
        memcpy(ret_fds, fds, count * sizeof(int));
    if (ret_fd_count != NULL)
        *ret_fd_count = count;
    return got;
}

ssize_t channel_receive(int fd, void *bytes, size_t size, int *ret_fds, unsigned *ret_fd_count,
                        unsigned max_fds, pid_t *ret_pid, int flags)
{
    bool lost = false;
    return receive(fd, bytes, size, ret_fds, ret_fd_count, max_fds, ret_pid, flags, &lost);
}

ssize_t channel_receive_lossy(int fd, void *bytes, size_t size, int *ret_fds,
                              unsigned *ret_fd_count, unsigned max_fds, bool *ret_lost, int flags)
{
    return receive(fd, bytes, size, ret_fds, ret_fd_count, max_fds, NULL, flags, ret_lost);
}
