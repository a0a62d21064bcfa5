/* Pipes, pairs of sockets and event counters, by which a guest talks to itself, and how many of
 * them it holds. Supervisor.
 *
 * Their buffers are kernel memory that no other limit sees. What counts is what is held, not what
 * was ever made; and a guest's table of descriptors does not tell what it holds, since a thread
 * that waits in poll() or select() keeps what the others close. But an epoll set forgets a file
 * when its last holder lets go of it, and not before. So a guest that was given any has a set here,
 * for all of its ends. Nobody waits for it; to count is one call that takes what is ready:
 *
 *   of a pipe or pair at least one end is, as long as one is held: an empty one can be written to,
 *   a full one read, and whose other end is gone hangs up. A counter can be read or added to.
 *
 * An end that is not ready has nothing to read, so a ready one stands for all that one may have sent
 * and nobody read: 64 KiB of a pipe, at most a quarter of a MiB of a socket. */
#define _GNU_SOURCE
#include "supervisor/pairs.h"

#include "files/files.h"
#include "files/memory.h"
#include "supervisor/answer.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define ENDS_MAX    200
#define SOCK_TYPES  15 /* the kernel's SOCK_TYPE_MASK */
#define KIB_MAX     PAIRS_KIB_MAX
#define PIPE_KIB    64u
#define SOCKET_KIB  256u
#define COUNTER_KIB 1u

/* The number behind a word of a text; 0 if the word is not there. */
static unsigned number_behind(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at != NULL ? (unsigned)strtoul(at + strlen(word), NULL, 10) : 0;
}

/* Of the sockets of its own network. The guest closes them natively, and what was not read goes on
 * without a descriptor: with a peer that is closed, or one that nobody has accepted. So the kernel is
 * asked how many there are. One that has waited for its end (tw) has no buffers any more. */
static unsigned pairs_sockets(const struct guest *guest)
{
    char text[1024];
    if (guest->fds[GUEST_SOCKETS] < 0)
        return 0;
    ssize_t got = pread(guest->fds[GUEST_SOCKETS], text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    if (strstr(text, "sockets: used ") == NULL)
        return KIB_MAX;
    uint64_t kib = (uint64_t)number_behind(text, "sockets: used ") * LOOPBACK_KIB;
    unsigned ended = number_behind(text, " tw ");
    if (ended > LOOPBACK_ENDED_FREE)
        kib += (ended - LOOPBACK_ENDED_FREE) / LOOPBACK_ENDED_PER_KIB;
    return kib < KIB_MAX ? (unsigned)kib : KIB_MAX;
}

unsigned pairs_held(const struct guest *guest)
{
    struct epoll_event events[ENDS_MAX];
    unsigned others = guest->inherited_kib + pairs_sockets(guest);
    if (guest->fds[GUEST_PAIRS] < 0) /* most guests make none, and a descriptor is dear */
        return others;
    int ready = epoll_wait(guest->fds[GUEST_PAIRS], events, ENDS_MAX, 0);
    unsigned kib = ready < 0 || ready == ENDS_MAX ? KIB_MAX : others;
    for (int i = 0; i < ready; i++)
        kib += events[i].data.u32;
    return kib;
}

/* Before the guest has it: what cannot be counted is not given. 0 or a positive errno. */
static int pairs_count(struct guest *guest, int fd, unsigned kib)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT, .data.u32 = kib };
    if (guest->fds[GUEST_PAIRS] < 0 && (guest->fds[GUEST_PAIRS] = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return errno;
    return epoll_ctl(guest->fds[GUEST_PAIRS], EPOLL_CTL_ADD, fd, &event) < 0 ? errno : 0;
}

/* Installs both ends in the guest and writes their numbers to address. 0 or a positive errno. */
static int pairs_install(struct guest *guest, const struct call *call, const int ends[2],
                         bool cloexec, uint64_t address)
{
    int32_t numbers[2];
    for (unsigned i = 0; i < 2; i++) {
        struct seccomp_notif_addfd install = { .id = call->id,
                                               .srcfd = (__u32)ends[i],
                                               .newfd_flags = cloexec ? O_CLOEXEC : 0 };
        int error =
            pairs_count(guest, ends[i], call->number == SYS_socketpair ? SOCKET_KIB : PIPE_KIB);
        if (error != 0)
            return error;
        numbers[i] = answer_ioctl(guest, SECCOMP_IOCTL_NOTIF_ADDFD, &install);
        if (numbers[i] < 0)
            return errno; /* EMFILE; the first of the two stays: its own table, its own loss */
        files_installed(guest->files, numbers[i]);
    }
    return memory_write(guest->fds[GUEST_MEMORY], guest->fds[GUEST_MAPS], address, numbers,
                        sizeof numbers);
}

/* No other limit is it, so the guest's own words for the errno would name one that does not help. */
static void pairs_refuse_more(struct answer *answer)
{
    snprintf(answer->target, sizeof answer->target, "16 MiB for sockets and pipes");
    answer->error = EMFILE;
    answer->refused = true;
    answer->rule = "limits";
    answer->hint = "close what is not needed: as many are held as a guest may have";
}

static void pairs_refuse_type(const struct call *call, struct answer *answer)
{
    snprintf(answer->target, sizeof answer->target, "socket type %d",
             (int)call->args[1] & SOCK_TYPES);
    answer->error = EOPNOTSUPP;
    answer->refused = true;
    answer->rule = "network";
    answer->hint = "a pair is a stream (socket.SOCK_STREAM): send each message with its length";
}

void pairs_make(__attribute__((unused)) struct supervisor *supervisor, struct guest *guest,
                const struct call *call, struct answer *answer)
{
    int ends[2];
    bool is_socket = call->number == SYS_socketpair;
    uint64_t flags = is_socket                   ? call->args[1] & ~(uint64_t)SOCK_STREAM
                     : call->number == SYS_pipe2 ? call->args[1]
                                                 : 0;
    int ours = O_CLOEXEC | (int)(flags & O_NONBLOCK); /* SOCK_… are the same bits */
    if (is_socket && ((int)call->args[0] != AF_UNIX || call->args[2] != 0))
        answer->error = EAFNOSUPPORT;
    else if (is_socket && (flags & SOCK_TYPES) != 0)
        pairs_refuse_type(call, answer);
    else if ((flags & ~(uint64_t)(O_CLOEXEC | O_NONBLOCK)) != 0)
        answer->error = EINVAL;
    else if (pairs_held(guest) >= KIB_MAX)
        pairs_refuse_more(answer);
    else if (is_socket)
        answer->error = socketpair(AF_UNIX, SOCK_STREAM | ours, 0, ends) < 0 ? errno : 0;
    else
        answer->error = pipe2(ends, ours) < 0 ? errno : 0;
    if (answer->error != 0)
        return;
    answer->value = 0;
    answer->error =
        pairs_install(guest, call, ends, (flags & O_CLOEXEC) != 0, call->args[is_socket ? 3 : 0]);
    close(ends[0]);
    close(ends[1]);
}

void pairs_make_counter(__attribute__((unused)) struct supervisor *supervisor, struct guest *guest,
                        const struct call *call, struct answer *answer)
{
    if (pairs_held(guest) >= KIB_MAX) {
        pairs_refuse_more(answer);
        return;
    }
    CLEANUP(fd_close)
    int fd = eventfd((unsigned)call->args[0], (int)call->args[1] | EFD_CLOEXEC);
    answer->error = fd < 0 ? errno : pairs_count(guest, fd, COUNTER_KIB);
    if (answer->error != 0)
        return;
    answer->install_fd = fd_take(&fd);
    answer->install_cloexec = (call->args[1] & EFD_CLOEXEC) != 0;
}
