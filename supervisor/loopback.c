/* Sockets of a guest's own network (GRANT_SELF, lockdown/network.c). Supervisor.
 *
 * The kernel makes them, as numbers say which; reads, writes, accepts and closes are native. A call
 * with an address is done here: the address is copied once, looked at, and the call is made on a copy
 * of the guest's descriptor, which the zygote gets (MSG_GRAB) and which is closed again at once, as
 * it would keep the socket when the guest has closed it. So whatever number the guest names, and
 * however its threads change what that is: the copy is one socket to an address, in the guest's
 * network.
 *
 * Nothing here may wait for the guest. Most connections are there at once. One that is not goes on by
 * itself, and connect() says so: EINPROGRESS, or EINTR where it should have waited, after which
 * Python (and who goes by POSIX) waits by poll(). A copy may be the last to be closed, so SO_LINGER
 * never makes closing wait. And a guest that may have mapped files of a file system that does not
 * answer could hold the lock of its socket for as long: it is refused.
 *
 * Queues are kernel memory. Whichever way one can be filled, the socket came through here before, and
 * has small ones from then on; those that it accepts have its sizes. All sockets of the network
 * count (pairs.c): so do those that were closed and have something unsent, and those that nobody has
 * accepted. Who connects while there are few gets larger ones, and the first two connections the
 * largest, for programs that send in one thread what they read there afterwards: no more have those
 * than there were few. */
#define _GNU_SOURCE
#include "supervisor/loopback.h"

#include "files/memory.h"
#include "supervisor/answer.h"
#include "supervisor/pairs.h"
#include "wire/channel.h"
#include "wire/messages.h"
#include "wire/told.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

/* Of kernel 5.14; the headers of some libraries are older. */
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#define SOCK_SNDBUF_LOCK 1
#define SOCK_RCVBUF_LOCK 2

/* Sizes as setsockopt takes them: the kernel doubles them, for what it needs itself. Both full are
 * LOOPBACK_KIB, but that a last packet goes in beyond. */
#define SEND_BYTES    (16 << 10)
#define RECEIVE_BYTES (32 << 10)
#define LARGE_BYTES   (208 << 10)
#define LARGEST_BYTES (1 << 20) /* where the machine allows as much (net.core.wmem_max, rmem_max) */
#define FEW_KIB       1536      /* held: at most 19 sockets */
#define FEWEST_KIB    (4 * LOOPBACK_KIB) /* at most two connections */
#define BACKLOG_MAX   128
#define MESSAGE_MAX   65535 /* of a datagram, with its headers */
#define FLAGS_ALLOWED (MSG_DONTWAIT | MSG_NOSIGNAL)

#define OTHERS_HINT                                                                                \
    "network=[\"self\"] is 127.0.0.1 and ::1 of the guest's own, and there is no other network; "  \
    "hand data in by files= or expose() a host function"

#define UNIX_HINT                                                                                  \
    "sockets of AF_UNIX have no addresses here: socket.socketpair() makes two that are "           \
    "connected, "                                                                                  \
    "and 127.0.0.1 is the guest's own"
#define NAMES_HINT                                                                                 \
    "network=[\"self\"] has the names of its /etc/hosts, localhost first; hand data in by files= " \
    "or expose() a host function"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
};

static void loopback_refuse(struct answer *answer, int error, const char *hint)
{
    answer->error = error;
    answer->refused = true;
    answer->rule = "network";
    answer->hint = hint;
}

/* Room for one socket more; and how much is held, in KiB. */
static bool has_room(const struct guest *guest, unsigned *ret_held, struct answer *answer)
{
    *ret_held = pairs_held(guest);
    if (*ret_held + LOOPBACK_KIB <= PAIRS_KIB_MAX)
        return true;
    snprintf(answer->target, sizeof answer->target, "16 MiB for sockets and pipes");
    loopback_refuse(answer, ENOBUFS,
                    "close what is not needed; also counted are connections that nobody has "
                    "accepted, and closed ones with something unsent");
    return false;
}

/* ---- The guest's descriptor ---- */

/* Once set, a size is not changed by the kernel any more; one that the guest has set is kept if it is
 * no larger. */
static int size_queue(int fd, int option, int bytes)
{
    int now = 0, locks = 0;
    socklen_t size = sizeof now;
    if (getsockopt(fd, SOL_SOCKET, option, &now, &size) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &locks, &size) < 0)
        return errno;
    bool is_set = (locks & (option == SO_SNDBUF ? SOCK_SNDBUF_LOCK : SOCK_RCVBUF_LOCK)) != 0;
    if (is_set && now <= 2 * bytes)
        return 0;
    return setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes) < 0 ? errno : 0;
}

static int size_queues(int fd, int send_bytes, int receive_bytes)
{
    int error = size_queue(fd, SO_SNDBUF, send_bytes);
    return error != 0 ? error : size_queue(fd, SO_RCVBUF, receive_bytes);
}

static int ask_zygote(const struct supervisor *supervisor, const struct guest *guest, int number,
                      int *ret_fd)
{
    uint8_t bytes[64];
    unsigned count = 0;
    int fds[1] = { -1 };
    int error =
        message_send(supervisor->zygote, NULL, 0, MSG_GRAB, U64(guest->inner_pid), U32(number));
    ssize_t length = error < 0 ? error
                               : channel_receive(supervisor->zygote, bytes, sizeof bytes, fds,
                                                 &count, ARRAY_SIZE(fds), NULL, 0);
    struct unpacker message;
    unpacker_init(&message, bytes, length > 0 ? (size_t)length : 0);
    uint32_t type = unpack_u32(&message);
    error = (int)unpack_u32(&message);
    if (type == MSG_GRABBED && error == 0 && count == 1) {
        *ret_fd = fds[0];
        return 0;
    }
    fd_close(&fds[0]);
    return type != MSG_GRABBED || error <= 0 ? EIO : error;
}

/* A copy of the guest's socket, the queues of one for datagrams small. False if there is none: then the answer says so. */
static bool grab(const struct supervisor *supervisor, const struct guest *guest, uint64_t number,
                 int *ret_fd, bool *ret_is_stream, struct answer *answer)
{
    CLEANUP(fd_close) int fd = -1;
    int type = 0;
    socklen_t size = sizeof type;
    if (guest->is_foreign) { /* and so in a worker, which the zygote must not be asked by */
        loopback_refuse(answer, ENETDOWN,
                        "a guest that has opened files of a file system that may not answer has no "
                        "loopback any more: copy them into a plain directory");
        return false;
    }
    answer->error = ask_zygote(supervisor, guest, (int)number, &fd);
    if (answer->error == 0 && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        answer->error = errno;
    if (answer->error == 0 && type != SOCK_STREAM)
        answer->error = size_queues(fd, SEND_BYTES, RECEIVE_BYTES);
    if (answer->error == EOPNOTSUPP) {
        if (answer->target[0] == '\0')
            snprintf(answer->target, sizeof answer->target, "AF_UNIX");
        loopback_refuse(answer, EOPNOTSUPP, "for sockets of AF_INET and AF_INET6 only");
    }
    if (answer->error != 0) /* not EPERM, which would be a refusal without a word */
        answer->error = answer->error == EPERM ? EIO : answer->error;
    if (answer->error != 0)
        return false;
    *ret_is_stream = type == SOCK_STREAM;
    *ret_fd = fd_take(&fd);
    return true;
}

/* ---- Addresses ---- */

static bool v4_is_own(uint32_t address)
{
    return ntohl(address) >> 24 == IN_LOOPBACKNET || address == INADDR_ANY;
}

/* The loopback, or no address at all, which means it: nothing else is up. */
static bool address_is_own(const union address *address)
{
    if (address->any.sa_family == AF_INET)
        return v4_is_own(address->v4.sin_addr.s_addr);
    const struct in6_addr *v6 = &address->v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_UNSPECIFIED(v6) ||
           (IN6_IS_ADDR_V4MAPPED(v6) && v4_is_own(v6->s6_addr32[3]));
}

static void address_print(const union address *address, struct answer *answer)
{
    char text[sizeof address->local.sun_path + 1] = "?", path[sizeof text];
    bool is_v6 = address->any.sa_family == AF_INET6;
    const void *number = is_v6 ? (const void *)&address->v6.sin6_addr : &address->v4.sin_addr;
    if (is_v6 || address->any.sa_family == AF_INET) {
        (void)!inet_ntop(address->any.sa_family, number, text, sizeof text);
        snprintf(answer->target, sizeof answer->target, "%s, port %u", text,
                 ntohs(is_v6 ? address->v6.sin6_port : address->v4.sin_port));
    } else if (address->any.sa_family == AF_UNIX) {
        snprintf(path, sizeof path, "%.*s", (int)sizeof address->local.sun_path,
                 address->local.sun_path);
        memory_print(path, text, sizeof text);
        snprintf(answer->target, sizeof answer->target, "AF_UNIX%s%s", text[0] != '\0' ? " " : "",
                 text);
    } else {
        snprintf(answer->target, sizeof answer->target, "address family %u",
                 address->any.sa_family);
    }
}

/* Copies the address, and looks at it. False if nothing is to be done: then the answer says so. */
static bool read_address(const struct guest *guest, uint64_t at, uint64_t length, bool may_be_none,
                         union address *address, socklen_t *ret_length, struct answer *answer)
{
    memset(address, 0, sizeof *address);
    answer->error = EINVAL;
    if ((uint32_t)length < sizeof address->any.sa_family ||
        (uint32_t)length > sizeof(struct sockaddr_storage))
        return false;
    *ret_length = (uint32_t)length < sizeof *address ? (socklen_t)length : sizeof *address;
    answer->error = memory_read(guest->fds[GUEST_MEMORY], at, address, *ret_length);
    if (answer->error != 0)
        return false;
    bool is_v6 = address->any.sa_family == AF_INET6;
    bool is_internet = is_v6 || address->any.sa_family == AF_INET;
    if (address->any.sa_family == AF_UNSPEC && may_be_none)
        return true; /* ends an association: there is no address in it */
    if (is_internet && *ret_length < (is_v6 ? sizeof address->v6 : sizeof address->v4))
        answer->error = EINVAL;
    if (answer->error != 0 || (is_internet && address_is_own(address)))
        return answer->error == 0;
    address_print(address, answer);
    loopback_refuse(answer, EPERM, address->any.sa_family == AF_UNIX ? UNIX_HINT : OTHERS_HINT);
    return false;
}

static bool is_about_name(const struct call *call)
{
    return call->number == SYS_connect &&
           ((int)call->args[0] == NAME_ASKED || (int)call->args[0] == NAME_SOUGHT);
}

void loopback_object(const struct guest *guest, const struct call *call, struct answer *answer)
{
    int memory = guest->fds[GUEST_MEMORY];
    char text[sizeof answer->target];
    union address address; /* all of it zero: a short one has no rest of ours */
    memset(&address, 0, sizeof address);
    unsigned at = call->number == SYS_sendto ? 4 : 1;
    size_t size = (uint32_t)call->args[at + 1];
    if (is_about_name(call)) {
        if (memory_read_string(memory, call->args[1], text, sizeof text) == 0)
            memory_print(text, answer->target, sizeof answer->target);
    } else if ((call->number == SYS_connect || call->number == SYS_bind ||
                call->number == SYS_sendto) &&
               size >= sizeof address.any.sa_family &&
               memory_read(memory, call->args[at], &address,
                           size < sizeof address ? size : sizeof address) == 0) {
        address_print(&address, answer);
    } else if (call->number == SYS_sendto) {
        snprintf(answer->target, sizeof answer->target, "flags 0x%x", (unsigned)call->args[3]);
    }
}

/* ---- The calls ---- */

void loopback_socket(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                     struct answer *answer)
{
    (void)supervisor;
    int type = (int)call->args[1] & ~(SOCK_CLOEXEC | SOCK_NONBLOCK), protocol = (int)call->args[2];
    unsigned held;
    bool is_known = (type == SOCK_STREAM && (protocol == 0 || protocol == IPPROTO_TCP)) ||
                    (type == SOCK_DGRAM && (protocol == 0 || protocol == IPPROTO_UDP));
    if ((int)call->args[0] == AF_UNIX && (call->args[1] & SOCK_NONBLOCK) != 0)
        return; /* libc's, of the name service: decide.c */
    if (is_known && has_room(guest, &held, answer))
        answer_continue(answer);
}

/* Waits for nothing: a socket that would is made not to for as long as this takes, which other threads
 * of the guest may see. The answer of a listener that has room is there as the first call ends, and the
 * second tells; else the connection goes on by itself. A thread that makes the socket wait meanwhile
 * gains no more than the next tick: SO_SNDTIMEO is what connect() goes by then, and the guest sets it
 * through here alone. */
static int connect_at_once(int fd, const union address *address, socklen_t length)
{
    struct timeval kept, shortly = { 0, 1 };
    socklen_t size = sizeof kept;
    bool would_wait = (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0;
    if (would_wait && fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return errno;
    if (getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kept, &size) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &shortly, sizeof shortly) < 0)
        return errno;
    int error = connect(fd, &address->any, length) < 0 ? errno : 0;
    if (would_wait && error == EINPROGRESS)
        error = connect(fd, &address->any, length) < 0 ? errno : 0;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kept, sizeof kept) < 0 ||
        (would_wait && fcntl(fd, F_SETFL, 0) < 0))
        return errno;
    return would_wait && (error == EALREADY || error == EINPROGRESS) ? EINTR : error;
}

void loopback_address(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                      struct answer *answer)
{
    CLEANUP(fd_close) int fd = -1;
    union address address;
    socklen_t length;
    unsigned held = 0;
    bool is_stream, connects = call->number == SYS_connect;
    if (is_about_name(call)) {
        loopback_refuse(answer, EPERM, NAMES_HINT);
        answer->searched = (int)call->args[0] == NAME_SOUGHT;
        answer->refused = !answer->searched;
        return;
    }
    if (!read_address(guest, call->args[1], call->args[2], connects, &address, &length, answer) ||
        !grab(supervisor, guest, call->args[0], &fd, &is_stream, answer))
        return;
    connects = connects && is_stream;
    if (connects && !has_room(guest, &held, answer)) /* for the other end */
        return;
    int large = held <= FEWEST_KIB ? LARGEST_BYTES : held <= FEW_KIB ? LARGE_BYTES : 0;
    if (connects)
        answer->error = size_queues(fd, large ? large : SEND_BYTES, large ? large : RECEIVE_BYTES);
    answer->value = 0;
    if (connects && answer->error == 0)
        answer->error = connect_at_once(fd, &address, length);
    else if (!connects &&
             (call->number == SYS_connect ? connect : bind)(fd, &address.any, length) < 0)
        answer->error = errno;
    if (answer->error == EPERM) /* the kernel's, and no refusal */
        answer->error = EACCES;
    if (answer->error == EACCES && call->number == SYS_bind) {
        address_print(&address, answer);
        loopback_refuse(answer, EACCES,
                        "ports below 1024 are the administrator's: take another, or 0 for any");
    }
}

void loopback_listen(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                     struct answer *answer)
{
    CLEANUP(fd_close) int fd = -1;
    bool is_stream;
    unsigned backlog = (unsigned)call->args[1];
    if (!grab(supervisor, guest, call->args[0], &fd, &is_stream, answer))
        return;
    answer->value = 0;
    answer->error = size_queues(fd, SEND_BYTES, RECEIVE_BYTES); /* those of all that it accepts */
    if (answer->error == 0 && listen(fd, backlog < BACKLOG_MAX ? (int)backlog : BACKLOG_MAX) < 0)
        answer->error = errno;
}

void loopback_send(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                   struct answer *answer)
{
    CLEANUP(fd_close) int fd = -1;
    CLEANUP(heap_free) void *bytes = NULL;
    union address address;
    socklen_t length;
    bool is_stream;
    if (call->args[4] == 0 || ((int)call->args[3] & ~FLAGS_ALLOWED) != 0) {
        /* what the native row did not let through */
        snprintf(answer->target, sizeof answer->target, "flags 0x%x", (unsigned)call->args[3]);
        loopback_refuse(answer, EPERM, "no flag but MSG_DONTWAIT and MSG_NOSIGNAL");
        return;
    }
    if (!read_address(guest, call->args[4], call->args[5], false, &address, &length, answer))
        return;
    answer->error = EMSGSIZE;
    if (call->args[2] > MESSAGE_MAX)
        return;
    bytes = malloc(call->args[2] + 1);
    answer->error =
        bytes == NULL ? ENOMEM
                      : memory_read(guest->fds[GUEST_MEMORY], call->args[1], bytes, call->args[2]);
    if (answer->error != 0 || !grab(supervisor, guest, call->args[0], &fd, &is_stream, answer))
        return;
    answer->value = sendto(fd, bytes, call->args[2], FLAGS_ALLOWED, &address.any, length);
    if (answer->value < 0)
        answer->error = errno == EPERM ? EACCES : errno;
}

/* ---- Options ---- */

enum option_way {
    OPTION_GET,   /* read by the kernel */
    OPTION_BOTH,  /* and set by it: an int that concerns the socket alone */
    OPTION_BYTES, /* read by the kernel, set here: at most what a queue may have */
    OPTION_TIME,  /* as above: connect_at_once uses it */
    OPTION_CLOSE, /* as above: closing may not wait */
};

static const struct {
    int level, option;
    enum option_way way;
} options[] = {
    { SOL_SOCKET, SO_TYPE, OPTION_GET },
    { SOL_SOCKET, SO_ERROR, OPTION_GET },
    { SOL_SOCKET, SO_DOMAIN, OPTION_GET },
    { SOL_SOCKET, SO_PROTOCOL, OPTION_GET },
    { SOL_SOCKET, SO_ACCEPTCONN, OPTION_GET },
    { SOL_SOCKET, SO_REUSEADDR, OPTION_BOTH },
    { SOL_SOCKET, SO_REUSEPORT, OPTION_BOTH },
    { SOL_SOCKET, SO_KEEPALIVE, OPTION_BOTH },
    { SOL_SOCKET, SO_BROADCAST, OPTION_BOTH },
    { SOL_SOCKET, SO_OOBINLINE, OPTION_BOTH },
    { SOL_SOCKET, SO_RCVTIMEO, OPTION_BOTH },
    { SOL_SOCKET, SO_SNDTIMEO, OPTION_TIME },
    { SOL_SOCKET, SO_SNDBUF, OPTION_BYTES },
    { SOL_SOCKET, SO_RCVBUF, OPTION_BYTES },
    { SOL_SOCKET, SO_LINGER, OPTION_CLOSE },
    { IPPROTO_TCP, TCP_MAXSEG, OPTION_GET },
    { IPPROTO_TCP, TCP_NODELAY, OPTION_BOTH },
    { IPPROTO_TCP, TCP_CORK, OPTION_BOTH },
    { IPPROTO_TCP, TCP_QUICKACK, OPTION_BOTH },
    { IPPROTO_TCP, TCP_KEEPIDLE, OPTION_BOTH },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPTION_BOTH },
    { IPPROTO_TCP, TCP_KEEPCNT, OPTION_BOTH },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPTION_BOTH },
    { IPPROTO_IPV6, IPV6_V6ONLY, OPTION_BOTH },
};

/* Its row, or -1. */
static int option_find(const struct call *call)
{
    for (unsigned i = 0; i < ARRAY_SIZE(options); i++) {
        if (options[i].level == (int)call->args[1] && options[i].option == (int)call->args[2])
            return (int)i;
    }
    return -1;
}

bool loopback_may_get(const struct call *call)
{
    return option_find(call) >= 0;
}

/* Those that the kernel must not set from the guest's memory. */
static int option_set(int fd, const struct call *call, enum option_way way, int memory)
{
    union {
        int bytes;
        struct linger linger;
        struct timeval time;
    } value = { 0 };
    const socklen_t size = way == OPTION_BYTES   ? sizeof value.bytes
                           : way == OPTION_CLOSE ? sizeof value.linger
                                                 : sizeof value.time;
    if ((uint32_t)call->args[4] < size)
        return EINVAL;
    int error = memory_read(memory, call->args[3], &value, size);
    if (error != 0)
        return error;
    int most = (int)call->args[2] == SO_SNDBUF ? SEND_BYTES : RECEIVE_BYTES;
    if (way == OPTION_BYTES && (unsigned)value.bytes > (unsigned)most)
        value.bytes = most; /* as the kernel does at its own most */
    if (way == OPTION_CLOSE && value.linger.l_onoff != 0 && value.linger.l_linger != 0)
        return EOPNOTSUPP;
    return setsockopt(fd, (int)call->args[1], (int)call->args[2], &value, size) < 0 ? errno : 0;
}

void loopback_set(struct supervisor *supervisor, struct guest *guest, const struct call *call,
                  struct answer *answer)
{
    CLEANUP(fd_close) int fd = -1;
    bool is_stream;
    int row = option_find(call);
    snprintf(answer->target, sizeof answer->target, "option %d of level %d", (int)call->args[2],
             (int)call->args[1]);
    if (row < 0 || options[row].way == OPTION_GET) {
        loopback_refuse(answer, EPERM,
                        "these can be set: SO_REUSEADDR, SO_REUSEPORT, SO_KEEPALIVE, SO_BROADCAST, "
                        "SO_LINGER, SO_RCVTIMEO, SO_SNDTIMEO, SO_RCVBUF, SO_SNDBUF, TCP_NODELAY, "
                        "TCP_CORK, TCP_KEEPIDLE and the like, IPV6_V6ONLY");
        return;
    }
    if (options[row].way == OPTION_BOTH) {
        answer_continue(answer);
        return;
    }
    if (!grab(supervisor, guest, call->args[0], &fd, &is_stream, answer))
        return;
    answer->value = 0;
    answer->error = option_set(fd, call, options[row].way, guest->fds[GUEST_MEMORY]);
    if (answer->error == EOPNOTSUPP)
        loopback_refuse(answer, EOPNOTSUPP, "SO_LINGER without a time: closing waits for nobody");
}
