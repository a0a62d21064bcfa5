/* Frames from a guest's side (frame.h). Runs in the guest, without the interpreter's lock; trusts
 * the host, which is the other end, and is itself trusted by nobody. */
#include "guest/frame.h"

#include "wire/pack.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Bytes that came with those that were asked for: a small frame is one call. */
static struct {
    uint8_t bytes[1000]; /* what most runs need; more would be pages that every guest writes to */
    size_t at, used;
} ahead;

void frame_forget(void)
{
    ahead.at = ahead.used = 0;
}

bool frame_is_there(int fd)
{
    char byte;
    return ahead.used > ahead.at || recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

static size_t take_ahead(void *bytes, size_t length)
{
    size_t there = ahead.used - ahead.at;
    if (length > there)
        length = there;
    memcpy(bytes, ahead.bytes + ahead.at, length);
    ahead.at += length;
    return length;
}

static int read_all(int fd, bool (*on_signal)(void), bool may_stop, void *bytes, size_t length)
{
    char *at = bytes;
    for (;;) {
        size_t taken = take_ahead(at, length);
        at += taken;
        length -= taken;
        if (length == 0)
            return 0;
        bool is_large = length >= sizeof ahead.bytes;
        ssize_t got = is_large ? read(fd, at, length) : read(fd, ahead.bytes, sizeof ahead.bytes);
        if (got < 0 && errno == EINTR) {
            if (on_signal != NULL && may_stop && at == bytes && on_signal())
                return -EINTR; /* what comes into a frame is for who reads it */
            continue;
        }
        if (got < 0)
            return -errno;
        if (got == 0)
            return -ENODATA;
        if (is_large) {
            at += got;
            length -= (size_t)got;
        } else {
            ahead.at = 0;
            ahead.used = (size_t)got;
        }
    }
}

static int read_frame(int fd, bool (*on_signal)(void), uint32_t *ret_type, uint8_t **ret_payload,
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

void lent_clear(struct lent_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].base != NULL)
            munmap(list->items[i].base, list->items[i].mapped);
    free(list->items);
    *list = (struct lent_list){ 0 };
}

/* Private, so that it can never be written back, and read only, so that it costs no memory of the
 * guest's: the host has sealed it besides. */
static struct lent lent_map(int fd, uint64_t offset, uint64_t length, bool copy)
{
    uint64_t before = offset % 4096;
    struct lent lent = { .mapped = before + length, .length = length, .copy = copy };
    void *base = mmap(NULL, lent.mapped, PROT_READ, MAP_PRIVATE, fd, (off_t)(offset - before));
    if (base == MAP_FAILED) {
        lent.error = errno;
        return lent;
    }
    lent.base = base;
    lent.bytes = (char *)base + before;
    return lent;
}

static int lent_add(struct lent_list *list, const uint8_t *payload, uint32_t length)
{
    struct unpacker frame;
    unpacker_init(&frame, payload, length);
    uint64_t number = unpack_u64(&frame);
    uint32_t count = unpack_count(&frame, 20);
    struct lent *grown = realloc(list->items, (list->count + count + 1) * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    list->items = grown;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset = unpack_u64(&frame), bytes = unpack_u64(&frame);
        bool copy = unpack_u32(&frame) != 0;
        /* No message is received: the supervisor answers with the next descriptor. */
        CLEANUP(fd_close) int fd = (int)syscall(SYS_recvmsg, FD_GUEST_VALUE, number, 0);
        grown[list->count++] =
            fd >= 0 ? lent_map(fd, offset, bytes, copy) : (struct lent){ .error = errno };
    }
    return unpacker_is_done(&frame) ? 0 : -EPROTO;
}

int frame_read(int fd, bool (*on_signal)(void), struct lent_list *lent, uint32_t *ret_type,
               uint8_t **ret_payload, uint32_t *ret_length)
{
    for (;;) {
        int result = read_frame(fd, on_signal, ret_type, ret_payload, ret_length);
        if (result < 0 || *ret_type != FRAME_LEND)
            return result;
        result = lent_add(lent, *ret_payload, *ret_length);
        free(*ret_payload);
        *ret_payload = NULL;
        if (result < 0)
            return result;
        on_signal = NULL; /* what it was lent for follows at once */
    }
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
