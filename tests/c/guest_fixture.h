/* A supervisor with a host and a zygote that are ends of sockets which the test holds, and guests
 * that are processes of the test's: for test_guests.c, test_branch.c, test_limits.c, test_ending.c.
 *
 * What the supervisor tells either of them is read by hear(), what the zygote answers is sent before
 * it is asked: the sockets keep it. */
#ifndef BELLJAR_GUEST_FIXTURE_H
#define BELLJAR_GUEST_FIXTURE_H

#include "files/assemble.h"
#include "files/files.h"
#include "supervisor/guest.h"
#include "supervisor/loop.h"
#include "supervisor/supervisor.h"
#include "tests/c/test.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define HOST        200 /* the host's end of the control channel */
#define ZYGOTE      201 /* the zygote's end of its channel */
#define HEARD_BYTES (64 * 1024)

static struct supervisor supervisor;

/* The last message that was heard, to be unpacked by the test. */
static struct heard {
    struct unpacker message; /* behind its type */
    int fds[16];
    unsigned fd_count;
} heard;

static void fixture_channel(int theirs, int ours)
{
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(dup2(pair[1], theirs) == theirs && dup2(pair[0], ours) == ours);
    for (unsigned i = 0; i < 2; i++)
        if (pair[i] != theirs && pair[i] != ours)
            close(pair[i]);
}

static void fixture_start(void)
{
    static char path[PATH_MAX];
    supervisor = (struct supervisor){ .zygote = 202,
                                      .zygote_pidfd = -1,
                                      .init_pidfd = -1,
                                      .locks = -1,
                                      .resume_due_ns = UINT64_MAX,
                                      .schedstat = -1,
                                      .scratch_parent = SCRATCH_PARENT_NONE };
    supervisor.settings = (struct settings){ .grants = GRANT_FILES | GRANT_THREADS,
                                             .memory_bytes = 64 << 20,
                                             .descriptors = 64,
                                             .threads = 4,
                                             .scratch_bytes = 1 << 20,
                                             .scratch_files = 10,
                                             .python = "/usr/bin/python3" };
    fixture_channel(HOST, FD_CONTROL);
    fixture_channel(ZYGOTE, supervisor.zygote);
    CHECK_EQUAL(tree_new(&supervisor.settings, &supervisor.tree, path), 0);
    supervisor.epoll = epoll_create1(EPOLL_CLOEXEC);
    CHECK(supervisor.epoll >= 0);
}

/* The type of what was said to the host or the zygote; 0: nothing was. */
static uint32_t hear(int end)
{
    static uint8_t bytes[HEARD_BYTES];
    for (unsigned i = 0; i < heard.fd_count; i++)
        fd_close(&heard.fds[i]);
    heard.fd_count = 0;
    ssize_t length = channel_receive(end, bytes, sizeof bytes, heard.fds, &heard.fd_count,
                                     ARRAY_SIZE(heard.fds), NULL, MSG_DONTWAIT);
    unpacker_init(&heard.message, bytes, length > 0 ? (size_t)length : 0);
    return length > 0 ? unpack_u32(&heard.message) : 0;
}

/* One of the next messages is of that type. */
__attribute__((unused)) static bool hears(int end, uint32_t type)
{
    uint32_t heard_type;
    while ((heard_type = hear(end)) != 0)
        if (heard_type == type)
            return true;
    return false;
}

/* A guest that lives: a process that runs `program` in a process group of its own. Until it has
 * told so, this waits. It has no filter, so no listener but `listener`. */
__attribute__((unused)) static struct guest *fixture_guest(void (*program)(void))
{
    struct guest *guest = NULL;
    char path[64];
    int ready[2];
    char byte;
    CHECK_EQUAL(guest_new(&supervisor, &guest), 0);
    CHECK(pipe(ready) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0);
        int told = fcntl(ready[1], F_DUPFD, 210); /* away from the number below */
        CHECK(dup2(guest->to_guest[4], FD_GUEST_CRASH) == FD_GUEST_CRASH);
        CHECK(write(told, "r", 1) == 1);
        program();
        _exit(0);
    }
    CHECK(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    close(ready[1]);
    guest->pid = guest->inner_pid = child;
    guest->state = GUEST_LIVE;
    guest->seen_cpu_ns = UINT64_MAX;
    guest->fds[GUEST_PIDFD] = (int)syscall(SYS_pidfd_open, child, 0);
    snprintf(path, sizeof path, "/proc/%d/status", (int)child);
    guest->fds[GUEST_STATUS] = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(guest->fds[GUEST_PIDFD] >= 0 && guest->fds[GUEST_STATUS] >= 0);
    supervisor.is_ticking = true;
    return guest;
}

__attribute__((unused)) static void sleeps(void)
{
    for (;;)
        pause();
}

#endif
