/* Frames from a guest's side (frame.h). Runs in the guest, without the interpreter's lock; trusts
 * the host, which is the other end, and is itself trusted by nobody. */
#include "guest/frame.h"

#include <string.h>

static int read_all(int fd, bool (*on_signal)(void), bool may_stop, void *bytes, size_t length)
{
    char *at = bytes;
    while (length > 0) {
        ssize_t got = read(fd, at, length);
        if (got < 0 && errno == EINTR) {
            if (on_signal != NULL && on_signal() && may_stop && at == bytes)
                return -EINTR;
            continue;
        }
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

int frame_read(int fd, bool (*on_signal)(void), uint32_t *ret_type, uint8_t **ret_payload,
               uint32_t *ret_length)
{
    uint32_t header[2];
    int result = read_all(fd, on_signal, true, header, sizeof header);
    if (result < 0)
        return result;
    if (header[0] > FRAME_PAYLOAD_MAX)
        return -EPROTO;
    CLEANUP(heap_free) uint8_t *payload = malloc(header[0] ? header[0] : 1);
    if (payload == NULL)
        return -ENOMEM;
    result = read_all(fd, on_signal, false, payload, header[0]);
    if (result < 0)
        return result;
    *ret_type = header[1];
    *ret_length = header[0];
    *ret_payload = payload;
    payload = NULL;
    return 0;
}

int frame_write(int fd, uint32_t type, const void *payload, size_t length)
{
    if (length > FRAME_PAYLOAD_MAX)
        return -EMSGSIZE;
    /* Small frames, most of them, in one system call: the host wakes once. (writev would be one
     * call more to permit.) */
    uint32_t header[2] = { (uint32_t)length, type };
    char whole[4096];
    size_t beside = length <= sizeof whole - sizeof header ? length : 0;
    memcpy(whole, header, sizeof header);
    memcpy(whole + sizeof header, payload, beside);
    int result = fd_write_all(fd, whole, sizeof header + beside);
    return result < 0 ? result : fd_write_all(fd, (const char *)payload + beside, length - beside);
}
