/* The command's end by a signal: with its supervisor, which ends the guests. Nobody would reap a
 * supervisor that is left behind where process 1 does not (a container without an init). Runs as
 * the caller, in a signal handler: makes only async-signal-safe calls. */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#define END_MS    2000 /* for a supervisor to end all that it has */
#define KILLED_MS 1000 /* and for a killed one to be gone */

/* Reaps all children. False if some are left after that time. */
static bool reap(int milliseconds)
{
    const struct timespec step = { 0, 2000000 };
    for (int waited = 0; waited <= milliseconds;) {
        pid_t ended = waitpid(-1, NULL, WNOHANG);
        if (ended < 0 && errno != EINTR)
            return true;
        if (ended == 0) {
            nanosleep(&step, NULL);
            waited += 2;
        }
    }
    return false;
}

/* Those that are left: a supervisor that is stopped. */
static void signal_children(int number)
{
    char text[1024];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, text, sizeof text);
    fd_close(&fd);
    pid_t child = 0;
    for (ssize_t i = 0; i < got; i++) {
        if (text[i] >= '0' && text[i] <= '9') {
            child = child * 10 + (text[i] - '0');
        } else {
            if (child > 1)
                kill(child, number);
            child = 0;
        }
    }
}

void end_by_signal(int number)
{
    /* The supervisor takes the end of its channel as its own. */
    syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, 0);
    bool is_over = reap(END_MS);
    if (!is_over) {
        signal_children(SIGCONT);
        is_over = reap(END_MS);
    }
    if (!is_over) {
        signal_children(SIGKILL);
        (void)!reap(KILLED_MS);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    signal(number, SIG_DFL);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
}

void end_by_signals(void)
{
    static const int numbers[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct sigaction before, action = { .sa_handler = end_by_signal };
        sigfillset(&action.sa_mask);
        /* Signals that the caller has ignored (nohup) stay so. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            sigaction(numbers[i], &action, NULL);
    }
}

void open_streams(void)
{
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; stream++) {
        if (fcntl(stream, F_GETFD) >= 0)
            continue;
        int fd = open("/dev/null", O_RDWR); /* the lowest free number: this one */
        if (fd < 0)
            fd = memfd_create("nothing", 0);
        if (fd > STDERR_FILENO)
            close(fd);
    }
}
