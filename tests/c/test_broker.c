/* supervisor/broker.c, decide.c, answer.c over a real listener: a child with the guest's filter
 * makes calls, and the broker answers them from here, with a record of a guest that nobody forked.
 * */
#define _GNU_SOURCE
/* The tests see inside. */
#include "supervisor/broker.c"
#include "supervisor/placement.c"

#include "files/assemble.h"
#include "files/files.h"
#include "lockdown/steps.h"
#include "supervisor/answer.h"
#include "supervisor/broker.h"
#include "supervisor/loop.h"
#include "tests/c/test.h"
#include "wire/channel.h"
#include "wire/messages.h"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct supervisor supervisor;
static struct guest guest;
static pid_t child = -1;
static int scratch_parent = -1; /* where scratch is, on disk */

/* The results come back over a pipe: write(2) is native. */
static void child_run(int channel, void (*program)(void))
{
    struct filter filter = FILTER_INIT;
    int fds[3] = { -1, open("/proc/self/mem", O_RDWR), open("/proc/self/maps", O_RDONLY) };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK_EQUAL(filter_build(syscall_rows, syscall_row_count, supervisor.settings.grants, &filter),
                0);
    struct sock_fprog loaded = { .len = (unsigned short)filter.count,
                                 .filter = filter.instructions };
    fds[0] = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER,
                          &loaded);
    if (fds[0] < 0)
        _exit(errno == EBUSY ? TEST_EXIT_SKIPPED : 1);
    CHECK_EQUAL(message_send(channel, fds, 3, MSG_GUEST_READY, U64(1)), 0);
    program();
    _exit(0);
}

static void start(void (*program)(void), bool audit)
{
    static char path[PATH_MAX];
    int pair[2];
    uint8_t bytes[64];
    int fds[3];
    unsigned count = 0;
    supervisor = (struct supervisor){ .resume_due_ns = UINT64_MAX,
                                      .schedstat = -1,
                                      .scratch_parent = SCRATCH_PARENT_NONE };
    supervisor.settings = (struct settings){ .grants = GRANT_FILES | GRANT_THREADS,
                                             .memory_bytes = 1 << 29,
                                             .descriptors = 64,
                                             .scratch_bytes = 1 << 20,
                                             .scratch_files = 10,
                                             .python = "/usr/bin/python3",
                                             .audit = audit };
    decide_prepare(&supervisor);
    CHECK_EQUAL(tree_new(&supervisor.settings, &supervisor.tree, path), 0);
    supervisor.epoll = epoll_create1(EPOLL_CLOEXEC);
    supervisor.init_pidfd = supervisor.zygote = -1;
    guest = (struct guest){ .id = 1, .state = GUEST_LIVE, .is_watching = true };
    for (unsigned i = 0; i < GUEST_FDS; i++)
        guest.fds[i] = -1;
    CHECK_EQUAL(files_new(supervisor.tree, &supervisor.settings, 1, scratch_parent, &guest.files),
                0);
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    child = fork();
    if (child == 0)
        child_run(pair[1], program);
    close(pair[1]);
    ssize_t length = channel_receive(pair[0], bytes, sizeof bytes, fds, &count, 3, NULL, 0);
    if (length <= 0)
        SKIP("no listener: another supervisor of seccomp notifications is above this process");
    CHECK_EQUAL(count, 3);
    guest.fds[GUEST_LISTENER] = fds[0], guest.fds[GUEST_MEMORY] = fds[1],
    guest.fds[GUEST_MAPS] = fds[2];
    guest.pid = child;
    guest.inner_pid = child;
    CHECK_EQUAL(answer_listen(&guest), 0);
    CHECK_EQUAL(loop_add(&supervisor, guest.fds[GUEST_LISTENER], EVENT_LISTENER, guest.id), 0);
}

/* Serves until the child is gone. Its exit status. */
static int serve(void)
{
    int status = -1;
    struct epoll_event event;
    while (epoll_wait(supervisor.epoll, &event, 1, 20000) == 1 && (event.events & EPOLLIN) != 0)
        CHECK_EQUAL(broker_serve(&supervisor, &guest), 0);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* ---- Programs, under the filter: an exit status that is not 0 says which claim was wrong ---- */

#define CLAIM(claim)                                                                               \
    do {                                                                                           \
        if (!(claim))                                                                              \
            syscall(SYS_exit_group, __LINE__ - program_line);                                      \
    } while (0)

enum { program_line = __LINE__ };
static void opens_and_is_refused(void)
{
    char text[16] = "";
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY);
    CLAIM(fd >= 0 && read(fd, text, sizeof text) == 8 && memcmp(text, "belljar\n", 8) == 0);
    CLAIM(syscall(SYS_openat, AT_FDCWD, "/etc/shadow", O_RDONLY) == -1 && errno == EACCES);
    CLAIM(syscall(SYS_openat, AT_FDCWD, (void *)8, O_RDONLY) == -1 && errno == EFAULT);
    CLAIM(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_getuid) == 1000);
    CLAIM(syscall(SYS_getppid) == 0);
    CLAIM(syscall(SYS_kill, 1, 0) == -1 && errno == EPERM);
    CLAIM(syscall(SYS_uname, 8) == -1 && errno == EFAULT);
    syscall(SYS_exit_group, 0);
}

TEST(calls_are_served_and_refusals_are_on_record)
{
    SKIP_UNDER_ASAN();
    start(opens_and_is_refused, false);
    CHECK_EQUAL(serve(), 0);
    CHECK_EQUAL(guest.refused, 3);
    CHECK_EQUAL(guest.violation_count, 3);
    CHECK_TEXT(guest.violations[0].op, "openat");
    CHECK_TEXT(guest.violations[0].target, "/etc/shadow");
    CHECK_TEXT(guest.violations[1].op, "socket");
    CHECK_TEXT(guest.violations[2].op, "kill");
    CHECK_TEXT(guest.violations[2].target, "process 1");
    for (unsigned i = 0; i < 3; i++)
        CHECK(guest.violations[i].rule != NULL && guest.violations[i].hint != NULL);
    CHECK_EQUAL(guest.served, 8);
    CHECK(guest.charged_ns > 0);
}

static void reads_and_writes(void)
{
    CLAIM(syscall(SYS_openat, AT_FDCWD, "/etc/hostname", O_RDONLY) >= 0);
    CLAIM(syscall(SYS_getppid) == 0);
    CLAIM(syscall(SYS_openat, AT_FDCWD, "/work/a", O_WRONLY | O_CREAT, 0600) >= 0);
    syscall(SYS_exit_group, 0);
}

TEST(who_may_write_to_scratch_from_now_on_is_looked_at_soon)
{
    SKIP_UNDER_ASAN();
    static char top[] = "/tmp/belljar-test-XXXXXX";
    const uint64_t late_ns = UINT64_MAX - 1;
    struct epoll_event event;
    CHECK(mkdtemp(top) != NULL);
    scratch_parent = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    start(reads_and_writes, false);
    guest.look_due_ns = supervisor.tick_due_ns = late_ns;
    while (guest.served < 2) {
        CHECK(epoll_wait(supervisor.epoll, &event, 1, 20000) == 1);
        CHECK_EQUAL(broker_serve(&supervisor, &guest), 0);
    }
    if (guest.served == 2)
        CHECK_EQUAL(guest.look_due_ns, late_ns);
    CHECK_EQUAL(serve(), 0);
    CHECK(guest.look_due_ns < clock_now_ns() + 2000000u);
    CHECK_EQUAL(supervisor.tick_due_ns, guest.look_due_ns);
    CHECK(supervisor.is_ticking);
    files_free(guest.files);
    CHECK(rmdir(top) == 0);
}

static void refused_often(void)
{
    for (int i = 0; i < VIOLATIONS_MAX + 50; i++)
        syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    syscall(SYS_exit_group, 0);
}

TEST(records_are_bounded_and_the_count_goes_on)
{
    SKIP_UNDER_ASAN();
    start(refused_often, false);
    CHECK_EQUAL(serve(), 0);
    CHECK_EQUAL(guest.violation_count, VIOLATIONS_MAX);
    CHECK_EQUAL(guest.refused, VIOLATIONS_MAX + 50);
}

/* The host reads nothing: calls wait, untaken, as long as there is no room for their records. */
TEST(what_cannot_be_recorded_is_not_done)
{
    SKIP_UNDER_ASAN();
    int control[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control) == 0);
    int room = 4096;
    CHECK(dup2(control[1], 200) == 200 && dup2(control[0], FD_CONTROL) == FD_CONTROL);
    CHECK(setsockopt(FD_CONTROL, SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
    start(refused_often, true);
    unsigned rounds = 0;
    struct epoll_event event;
    while (guest.held_until_ns == 0 && rounds++ < VIOLATIONS_MAX + 50 &&
           epoll_wait(supervisor.epoll, &event, 1, 20000) == 1)
        CHECK_EQUAL(broker_serve(&supervisor, &guest), 0);
    CHECK(guest.held_until_ns != 0 && supervisor.held_count == 1);
    uint64_t served = guest.served;
    CHECK(served > 0 && served < VIOLATIONS_MAX);
    CHECK_EQUAL(epoll_wait(supervisor.epoll, &event, 1, 50), 0); /* it is not looked at */
    uint8_t bytes[1024];
    unsigned read_count = 0;
    while (recv(200, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        read_count++;
    CHECK_EQUAL(read_count, served);
    broker_forget_hold(&supervisor, &guest);
    CHECK_EQUAL(loop_add(&supervisor, guest.fds[GUEST_LISTENER], EVENT_LISTENER, guest.id), 0);
    CHECK(epoll_wait(supervisor.epoll, &event, 1, 20000) == 1);
    CHECK_EQUAL(broker_serve(&supervisor, &guest), 0);
    CHECK_EQUAL(guest.served, served + 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* The call is gone when it is answered: its process was killed. */
TEST(an_answer_to_nobody_is_no_error)
{
    SKIP_UNDER_ASAN();
    start(refused_often, false);
    struct pollfd ready = { guest.fds[GUEST_LISTENER], POLLIN, 0 };
    CHECK(poll(&ready, 1, 20000) == 1);
    struct call call = { .id = 12345 };
    struct answer answer = { .error = EPERM, .install_fd = -1 };
    CHECK_EQUAL(answer_send(&guest, &call, &answer), 0);
    answer = (struct answer){ .install_fd = open("/dev/null", O_RDONLY) };
    CHECK_EQUAL(answer_send(&guest, &call, &answer), 0);
    CHECK_EQUAL(answer.install_fd, -1); /* and nothing is left open */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* A guest that is alone never waits: neither the first of all nor one whose predecessor has ended. */
TEST(only_guests_that_live_compete)
{
    const uint64_t second_ns = 1000000000;
    /* the low 20 bits are the slot */
    struct guest a = { .id = (1 << 20) | 0, .state = GUEST_LIVE };
    struct guest b = { .id = (2 << 20) | 1, .state = GUEST_LIVE };
    struct guest *slots[] = { &a, &b };
    supervisor = (struct supervisor){ .slots = slots, .slot_count = 2 };
    uint64_t now_ns = second_ns;
    CHECK(!broker_competes(&supervisor, a.id, now_ns));
    CHECK(!broker_competes(&supervisor, a.id, now_ns));
    CHECK(broker_competes(&supervisor, b.id, now_ns));
    CHECK(broker_competes(&supervisor, a.id, now_ns));
    CHECK(broker_competes(&supervisor, a.id, now_ns + second_ns - 1));
    CHECK(!broker_competes(&supervisor, a.id, now_ns + second_ns)); /* the other is silent */
    CHECK(broker_competes(&supervisor, b.id, now_ns + second_ns));
    a.state = GUEST_ENDED; /* the host has not released it */
    CHECK(!broker_competes(&supervisor, b.id, now_ns + second_ns));
    slots[0] = NULL;
    CHECK(!broker_competes(&supervisor, b.id, now_ns + second_ns));
}

/* ---- What calls cost ---- */

static void say_queued(const char *text)
{
    CHECK(ftruncate(supervisor.schedstat, 0) == 0);
    CHECK(pwrite(supervisor.schedstat, text, strlen(text), 0) == (ssize_t)strlen(text));
}

TEST(a_call_is_weighed_by_a_reading_that_is_no_older_than_a_dear_call)
{
    struct scales scales;
    supervisor.schedstat = memfd_create("schedstat", MFD_CLOEXEC);
    CHECK(supervisor.schedstat >= 0);
    say_queued("1 5000000 1\n");
    scales_start(&supervisor, &guest, &scales);
    CHECK_EQUAL(scales.queued_ns, -1); /* none was dear lately */
    guest.weigh_until_ns = UINT64_MAX;
    scales_start(&supervisor, &guest, &scales);
    CHECK_EQUAL(scales.queued_ns, 5000000);
    say_queued("1 6000000 1\n");
    supervisor.queued_read_ns = clock_now_ns() + 1000000000; /* a slow machine's test */
    scales_start(&supervisor, &guest, &scales);
    supervisor.queued_read_ns = clock_now_ns() - DEAR_NS - 1;
    scales_start(&supervisor, &guest, &scales);
    CHECK_EQUAL(scales.queued_ns, 6000000);
    static const struct {
        const char *text; /* "": it cannot be read */
        uint64_t least, most;
    } rows[] = {
        { "1 14000000 1\n", 2000000, UINT64_MAX }, /* 8 of 10 ms were others' */
        { "1 6000000 1\n", 10000000, UINT64_MAX },
        { "1 5999999 1\n", 10000000, UINT64_MAX }, /* not believed */
        { "1 9000000000000 1\n", 0, 0 },
        { "", 10000000, UINT64_MAX },
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        say_queued(rows[i].text);
        scales = (struct scales){ .start_ns = clock_now_ns() - 10000000, .queued_ns = 6000000 };
        guest.weigh_until_ns = UINT64_MAX;
        uint64_t cost_ns = scales_read(&supervisor, &guest, &scales);
        CHECK(cost_ns >= rows[i].least && cost_ns <= rows[i].most);
    }
}

/* ---- Where they are served ---- */

static void relax(void)
{
    uint64_t now_ns = clock_now_ns();
    guest.burst_start_ns = now_ns - ALONE_NS;
    placement_relax(&supervisor, now_ns);
    CHECK(guest.pinned != 0 && supervisor.pinned_count == 1);
    placement_relax(&supervisor, now_ns + 1);
    CHECK(guest.pinned == 0 && supervisor.pinned_count == 0);
}

TEST(a_guest_that_is_pinned_with_another_is_set_free_sooner)
{
    struct guest other = { .pinned = gettid() }, *slots[] = { &guest, &other };
    supervisor.slots = slots;
    supervisor.slot_count = 2;
    supervisor.pinned_count = 2;
    guest.pinned = gettid();
    guest.burst_start_ns = other.burst_start_ns = clock_now_ns();
    placement_relax(&supervisor, guest.burst_start_ns + BURST_NS);
    CHECK_EQUAL(supervisor.pinned_count, 2);
    placement_relax(&supervisor, guest.burst_start_ns + BURST_NS + 1);
    CHECK_EQUAL(supervisor.pinned_count, 0);
}

TEST(a_burst_that_was_interrupted_goes_on_with_its_next_call)
{
    struct guest *slots[] = { &guest };
    pid_t tid = gettid();
    CHECK(sched_getaffinity(0, sizeof supervisor.cpus, &supervisor.cpus) == 0);
    supervisor.slots = slots;
    supervisor.slot_count = 1;
    placement_note_call(&supervisor, &guest, tid);
    CHECK_EQUAL(guest.pinned, 0);
    for (int i = 0; i < 100 && guest.pinned == 0; i++) { /* a busy machine loses time in between */
        guest.burst_calls = BURST_CALLS - 1;
        guest.burst_start_ns = clock_now_ns();
        placement_note_call(&supervisor, &guest, tid);
    }
    CHECK_EQUAL(guest.pinned, tid);
    relax();
    guest.burst_ns = clock_now_ns();
    placement_note_call(&supervisor, &guest, tid);
    CHECK_EQUAL(guest.pinned, tid);
    relax();
    guest.burst_ns = clock_now_ns() - AGAIN_NS - 1;
    placement_note_call(&supervisor, &guest, tid);
    CHECK_EQUAL(guest.pinned, 0);
}

TEST(who_asks_dear_things_comes_after_all_others_and_one_at_a_time)
{
    struct guest guests[5] = { 0 }, *slots[5];
    supervisor = (struct supervisor){ .slots = slots, .slot_count = ARRAY_SIZE(slots) };
    for (unsigned i = 0; i < ARRAY_SIZE(guests); i++) {
        slots[i] = &guests[i];
        guests[i] = (struct guest){ .id = 1u << 20 | i, .state = GUEST_LIVE };
    }
    guests[0].dear_until_ns = guests[2].dear_until_ns = clock_now_ns() + 60000000000u;
    guests[3].dear_until_ns = 1; /* that was long ago */
    static const struct {
        enum event_kind kind;
        unsigned guest;
    } rows[] = { { EVENT_LISTENER, 0 }, { EVENT_LISTENER, 1 }, { EVENT_LISTENER, 2 },
                 { EVENT_CONTROL, 0 },  { EVENT_EXIT, 2 },     { EVENT_LISTENER, 3 },
                 { EVENT_LISTENER, 4 } },
      sorted[] = { { EVENT_LISTENER, 1 }, { EVENT_CONTROL, 0 },  { EVENT_EXIT, 2 },
                   { EVENT_LISTENER, 3 }, { EVENT_LISTENER, 4 }, { EVENT_LISTENER, 0 } };
    struct epoll_event events[ARRAY_SIZE(rows)];
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
        events[i].data.u64 = (uint64_t)rows[i].kind << EVENT_KIND_SHIFT | guests[rows[i].guest].id;
    CHECK_EQUAL(broker_sort(&supervisor, events, ARRAY_SIZE(rows)), ARRAY_SIZE(sorted));
    for (unsigned i = 0; i < ARRAY_SIZE(sorted); i++)
        CHECK(events[i].data.u64 ==
              ((uint64_t)sorted[i].kind << EVENT_KIND_SHIFT | guests[sorted[i].guest].id));
}

TEST(of_those_who_ask_dear_things_the_one_whose_turn_is_longest_ago_is_next)
{
    struct guest guests[3] = { 0 }, *slots[3];
    supervisor = (struct supervisor){ .slots = slots, .slot_count = ARRAY_SIZE(slots) };
    for (unsigned i = 0; i < ARRAY_SIZE(guests); i++) {
        slots[i] = &guests[i];
        guests[i] = (struct guest){ .id = 1u << 20 | i,
                                    .state = GUEST_LIVE,
                                    .dear_until_ns = clock_now_ns() + 60000000000u };
    }
    for (unsigned round = 1; round <= 9; round++) { /* threads of each of them wait all the time */
        struct epoll_event events[ARRAY_SIZE(guests)];
        for (unsigned i = 0; i < ARRAY_SIZE(guests); i++)
            events[i].data.u64 = (uint64_t)EVENT_LISTENER << EVENT_KIND_SHIFT | guests[i].id;
        CHECK_EQUAL(broker_sort(&supervisor, events, ARRAY_SIZE(events)), 1);
        struct guest *next = guest_find(&supervisor, events[0].data.u64 & EVENT_ID_MASK);
        CHECK(next == &guests[(round - 1) % ARRAY_SIZE(guests)]);
        next->turn_ns = round;
    }
}
