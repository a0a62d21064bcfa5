/* supervisor/worker.c: a worker ends with its supervisor, whenever that ends. What it does in between is
 * not decide.c's here: it says that it has come so far, and waits for ever. */
#define _GNU_SOURCE
#define decide_call test_decide_call
/* The tests see inside. */
#include "supervisor/worker.c"
#undef decide_call

#include "tests/c/guest_fixture.h"

#include <poll.h>

#include <sys/ptrace.h>

static int told[2];

void test_decide_call(struct supervisor *owner, struct guest *guest, const struct call *call,
                      struct answer *answer)
{
    (void)owner, (void)guest, (void)call, (void)answer;
    (void)!write(told[1], "w", 1);
    for (;;)
        pause();
}

static bool comes(int fd, short events)
{
    struct pollfd come = { fd, events, 0 };
    return poll(&come, 1, 10000) == 1;
}

/* Away from the numbers of the fixture. */
static void make_pipe(void)
{
    int ends[2];
    CHECK(pipe(ends) == 0);
    for (unsigned i = 0; i < 2; i++) {
        told[i] = fcntl(ends[i], F_DUPFD, 210);
        CHECK(told[i] >= 0);
        close(ends[i]);
    }
}

static struct guest *start_one(void)
{
    struct guest *guest = NULL;
    struct call call = { .number = SYS_getpid };
    fixture_start();
    CHECK_EQUAL(guest_new(&supervisor, &guest), 0);
    CHECK_EQUAL(worker_start(&supervisor, guest, guest, &call), 0);
    return guest;
}

TEST(a_worker_does_the_call_while_its_supervisor_lives_and_is_ended_with_it)
{
    make_pipe();
    struct guest *guest = start_one();
    CHECK(comes(told[0], POLLIN));
    int pidfd =
        supervisor.workers[0] > 0 ? supervisor.workers[0] : supervisor.workers[WORKERS_MAX - 1];
    CHECK(pidfd > 0);
    worker_end(guest, 0);
    CHECK(comes(pidfd, POLLIN));
}

/* Stopped by its tracer where it begins, the worker goes on when its supervisor is gone. */
TEST(a_worker_whose_supervisor_ended_before_it_could_ask_for_that_does_nothing)
{
    make_pipe();
    pid_t parent = fork();
    if (parent == 0) {
        if (ptrace(PTRACE_TRACEME, 0, 0, 0) < 0 || raise(SIGSTOP) != 0)
            _exit(1);
        start_one();
        for (;;)
            pause();
    }
    int status;
    unsigned long worker = 0;
    CHECK_EQUAL(waitpid(parent, &status, 0), parent);
    if (!WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, parent, 0, PTRACE_O_TRACEFORK | PTRACE_O_TRACECLONE) < 0)
        SKIP("nothing can be traced here");
    CHECK_EQUAL(ptrace(PTRACE_CONT, parent, 0, 0), 0);
    CHECK_EQUAL(waitpid(parent, &status, 0), parent);
    CHECK_EQUAL(ptrace(PTRACE_GETEVENTMSG, parent, 0, &worker), 0);
    CHECK_EQUAL(waitpid((pid_t)worker, &status, __WALL), (pid_t)worker);
    int pidfd = (int)syscall(SYS_pidfd_open, (pid_t)worker, 0);
    CHECK(pidfd >= 0);
    CHECK_EQUAL(kill(parent, SIGKILL), 0);
    while (waitpid(parent, &status, 0) == parent && WIFSTOPPED(status))
        continue;
    CHECK_EQUAL(ptrace(PTRACE_DETACH, (pid_t)worker, 0, 0), 0);
    bool has_ended = comes(pidfd, POLLIN);
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    CHECK(has_ended);
    close(told[1]);
    char byte;
    CHECK_EQUAL(read(told[0], &byte, 1), 0);
}
