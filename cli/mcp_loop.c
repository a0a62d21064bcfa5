/* The loop: waits for the client, for guests and for time to pass, and does what is then to be done.
 * One thread; nothing in it waits for one guest. Standard output belongs to the protocol: whatever
 * else would print there goes to standard error. */
#include "cli/mcp.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>

#define READ_BYTES (256u << 10)
#define WAIT_MS    60000
#define DRAIN_MS   400 /* after the end of stdin, for what runs to be answered */
#define END_S      3   /* after a signal: a loop that is stuck by then is left */
#define FDS_LEAST  16

/* Written by the signal handler, which takes no argument: the ends of a pipe that wakes the loop. */
static int wake[2] = { -1, -1 };

static void on_signal(int number)
{
    int before = errno;
    char byte = (char)number;
    (void)!write(wake[1], &byte, 1);
    alarm(END_S); /* its handler ends everything the short way */
    errno = before;
}

void mcp_log(const char *format, ...)
{
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    complain("mcp: %s", text);
}

/* Keeps standard output for the protocol alone. A descriptor, or negative. */
static int take_stdout(bool *ret_is_socket)
{
    struct stat found;
    int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return -1;
    *ret_is_socket = fstat(fd, &found) == 0 && S_ISSOCK(found.st_mode);
    return fd;
}

static int catch_signals(void)
{
    static const int numbers[] = { SIGHUP, SIGINT, SIGTERM };
    if (pipe2(wake, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    struct sigaction last = { .sa_handler = end_by_signal };
    sigfillset(&last.sa_mask);
    sigaction(SIGALRM, &last, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        struct sigaction before, action = { .sa_handler = on_signal };
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[i], &action, NULL);
    }
    return 0;
}

/* Reads what the client has sent, and serves it. */
static void read_client(struct mcp *mcp, char *buffer)
{
    ssize_t got = read(STDIN_FILENO, buffer, READ_BYTES);
    const char *line;
    size_t length;
    if (got < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (got <= 0) {
        mcp->end_ns = clock_now_ns() + DRAIN_MS * 1000000ull;
        return;
    }
    if (mcp_lines_add(&mcp->in, buffer, (size_t)got) < 0) {
        mcp_log("out of memory");
        mcp->is_over = true;
        return;
    }
    for (;;) {
        enum mcp_line found = mcp_lines_next(&mcp->in, &line, &length);
        if (found == MCP_LINE_NONE)
            return;
        if (found == MCP_LINE_WHOLE)
            mcp_receive(mcp, line, length);
        else
            mcp_receive_too_long(mcp);
    }
}

static int open_template(struct mcp *mcp)
{
    struct belljar_error error = { 0 };
    if (belljar_template_open(mcp->arguments->policy, NULL, &mcp->template, &error) < 0)
        return complain_error(&error, EXIT_BELLJAR);
    complain_warnings(mcp->template);
    if (mcp->packages == NULL)
        mcp_call_new(mcp, NULL, &mcp_tool_packages, NULL, NULL, 0);
    return 0;
}

/* The supervisor has ended, and with it all guests: another one serves from here on. Those who had
 * sessions are told. */
static int replace_template(struct mcp *mcp)
{
    for (struct mcp_call *call = mcp->calls; call != NULL; call = call->next)
        if (call->state == MCP_RUNNING)
            return 0; /* its end is near: it finds out by itself */
    mcp_log("the supervisor has ended: another one is started, and sessions are over");
    while (mcp->sessions != NULL)
        mcp_session_end(mcp, mcp->sessions,
                        "the sandbox's supervisor has ended, and all sessions with "
                        "it. Make a new one with create_session.");
    belljar_template_close(mcp->template);
    mcp->template = NULL;
    return open_template(mcp);
}

/* One that has ended has closed its channel. */
static bool has_lost_template(const struct mcp *mcp)
{
    struct pollfd control = { .fd = belljar_template_fd(mcp->template), .events = 0 };
    return poll(&control, 1, 0) > 0 && (control.revents & (POLLHUP | POLLERR)) != 0;
}

/* Descriptors to wait for: ours first. */
struct waiting {
    struct pollfd *fds;
    unsigned size, count;
    int timeout_ms;
};
enum { WAIT_SIGNAL, WAIT_CLIENT, WAIT_OUT, WAIT_TEMPLATE, WAIT_OWN };

static int prepare(struct mcp *mcp, struct waiting *waiting)
{
    unsigned wanted = FDS_LEAST + WAIT_OWN + 8 * (mcp->running + 1);
    if (wanted > waiting->size) {
        void *grown = realloc(waiting->fds, wanted * sizeof *waiting->fds);
        if (grown == NULL)
            return -ENOMEM;
        waiting->fds = grown;
        waiting->size = wanted;
    }
    bool is_read = mcp->end_ns == 0 && mcp_out_pending(&mcp->out) < MCP_UNREAD_MAX;
    waiting->fds[WAIT_SIGNAL] = (struct pollfd){ wake[0], POLLIN, 0 };
    waiting->fds[WAIT_CLIENT] = (struct pollfd){ is_read ? STDIN_FILENO : -1, POLLIN, 0 };
    waiting->fds[WAIT_OUT] =
        (struct pollfd){ mcp->out.fd, mcp_out_pending(&mcp->out) > 0 ? POLLOUT : 0,
                         0 }; /* without a wish it tells of the reader's end */
    waiting->fds[WAIT_TEMPLATE] = (struct pollfd){ belljar_template_fd(mcp->template), 0, 0 };
    waiting->count = WAIT_OWN + mcp_calls_pollfds(mcp, waiting->fds + WAIT_OWN,
                                                  waiting->size - WAIT_OWN, &waiting->timeout_ms);
    return 0;
}

static bool is_finished(const struct mcp *mcp)
{
    if (mcp->is_over || mcp->out.is_broken)
        return true;
    if (mcp->end_ns == 0)
        return false;
    bool is_idle = mcp_out_pending(&mcp->out) == 0;
    for (const struct mcp_call *call = mcp->calls; call != NULL; call = call->next)
        is_idle &= call->id == NULL;
    return is_idle || clock_now_ns() >= mcp->end_ns;
}

static int turn(struct mcp *mcp, struct waiting *waiting, char *buffer)
{
    waiting->timeout_ms = mcp->end_ns != 0 ? 20 : WAIT_MS;
    mcp_calls_advance(mcp);
    mcp_sessions_watch(mcp, &waiting->timeout_ms);
    mcp_out_flush(&mcp->out);
    if (is_finished(mcp))
        return 0;
    if (prepare(mcp, waiting) < 0)
        return EXIT_BELLJAR;
    if (poll(waiting->fds, waiting->count, waiting->timeout_ms) < 0 && errno != EINTR)
        return EXIT_BELLJAR;
    if (waiting->fds[WAIT_SIGNAL].revents != 0)
        mcp->is_over = true;
    if (waiting->fds[WAIT_OUT].revents & (POLLERR | POLLHUP))
        mcp->out.is_broken = true;
    if (waiting->fds[WAIT_CLIENT].revents != 0)
        read_client(mcp, buffer);
    if (has_lost_template(mcp))
        return replace_template(mcp);
    return 0;
}

int mcp_serve(struct mcp *mcp)
{
    CLEANUP(heap_free) char *buffer = malloc(READ_BYTES);
    struct waiting waiting = { 0 };
    int status = buffer != NULL && catch_signals() == 0 ? 0 : EXIT_BELLJAR;
    mcp->out.fd = take_stdout(&mcp->out.is_socket);
    mcp->in.most = MCP_LINE_MAX;
    if (status != 0 || mcp->out.fd < 0) {
        complain("mcp: cannot set up its streams: %s", strerror(errno));
        return EXIT_BELLJAR;
    }
    status = open_template(mcp);
    while (status == 0 && !is_finished(mcp))
        status = turn(mcp, &waiting, buffer);
    mcp_out_flush(&mcp->out);
    free(waiting.fds);
    fd_close(&mcp->out.fd);
    return status;
}
