/* A guest's three streams, as the host pumps them: stdin from the caller, stdout and stderr to it.
 * Host process; what a guest writes is hostile and is limited. */
#define _GNU_SOURCE
#include "core/stream.h"

#include "core/guest.h"
#include "core/limits.h"
#include "core/template.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#define FEED_BYTES        (64 * 1024)
#define OUTPUT_KILL_TIMES 64 /* a guest that writes so many times its output limit is ended, */
#define OUTPUT_KILL_LEAST (16u << 20) /* but not below this */

/* ---- stdin ---- */

/* Where stdin comes from: a descriptor of the caller's that is read here, bytes, or the callback.
 */
int stream_set_input(struct belljar_guest *guest, const struct belljar_job *job)
{
    bool is_given =
        guest->callbacks.on_input != NULL || job->stdin_fd >= 0 || job->stdin_bytes != NULL;
    /* The commands of a session come before, between and after what its stdin is for. */
    guest->stdin_ends = is_given || !job->session || job->kind != BELLJAR_COMMAND;
    guest->stdin_fd = job->stdin_fd;
    guest->feed_at_end = false;
    if (guest->callbacks.on_input != NULL)
        return 0;
    if (job->stdin_fd >= 0) {
        struct stat found;
        guest->stdin_is_regular = fstat(job->stdin_fd, &found) == 0 && S_ISREG(found.st_mode);
        return 0;
    }
    guest->feed_at_end = true;
    if (job->stdin_length == 0)
        return 0;
    size_t kept = guest->feed_used - guest->feed_at; /* by an earlier run of the session */
    if (job->stdin_length > SIZE_MAX - kept)
        return -ENOMEM;
    char *feed = malloc(kept + job->stdin_length);
    if (feed == NULL)
        return -ENOMEM;
    if (kept > 0)
        memcpy(feed, guest->feed + guest->feed_at, kept);
    memcpy(feed + kept, job->stdin_bytes, job->stdin_length);
    free(guest->feed);
    guest->feed = feed;
    guest->feed_at = 0;
    guest->feed_size = guest->feed_used = kept + job->stdin_length;
    return 0;
}

/* Writes to the guest's stdin without a SIGPIPE for the host program, whatever it does with that
 * signal. */
static ssize_t write_quietly(int fd, const char *bytes, size_t length)
{
    sigset_t pipe_signal, before, pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    ssize_t written = write(fd, bytes, length);
    int error = errno;
    if (written < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
        const struct timespec now = { 0, 0 };
        sigtimedwait(&pipe_signal, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = error;
    return written;
}

/* Gets more stdin from its source, if there is none left. */
void stream_fetch_input(struct belljar_guest *guest, bool source_is_ready)
{
    if (guest->feed_at < guest->feed_used || guest->feed_at_end)
        return;
    if (guest->feed_size < FEED_BYTES) {
        free(guest->feed);
        guest->feed = malloc(FEED_BYTES);
        guest->feed_size = guest->feed != NULL ? FEED_BYTES : 0;
        guest->feed_at = guest->feed_used = 0;
        if (guest->feed == NULL) {
            guest->feed_at_end = true;
            return;
        }
    }
    ptrdiff_t got = -1;
    if (guest->callbacks.on_input != NULL) {
        limits_arm_first(guest);
        got = guest->callbacks.on_input(guest->feed, FEED_BYTES, guest->callbacks.context);
    } else if (source_is_ready) {
        got = read(guest->stdin_fd, guest->feed, FEED_BYTES);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            got = 0;
    }
    guest->feed_at = 0;
    guest->feed_used = got > 0 ? (size_t)got : 0;
    guest->feed_at_end = got == 0;
}

void stream_feed(struct belljar_guest *guest)
{
    while (guest->in >= 0 && guest->feed_at < guest->feed_used) {
        ssize_t written = write_quietly(guest->in, guest->feed + guest->feed_at,
                                        guest->feed_used - guest->feed_at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0 && errno == EAGAIN)
            return;
        if (written < 0)
            fd_close(&guest->in); /* it closed its stdin */
        else
            guest->feed_at += (size_t)written;
    }
    if (guest->feed_at_end && guest->feed_at == guest->feed_used && guest->stdin_ends)
        fd_close(&guest->in);
}

bool stream_wants_input(const struct belljar_guest *guest)
{
    return guest->in >= 0 && !guest->feed_at_end && guest->feed_at == guest->feed_used;
}

/* ---- stdout and stderr ---- */

int stream_read_output(struct belljar_guest *guest, int stream)
{
    int *fd = stream == 1 ? &guest->out : &guest->err;
    struct capture *capture = &guest->captures[stream - 1];
    static _Thread_local char bytes[64 * 1024];
    while (*fd >= 0) {
        ssize_t got = read(*fd, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0) {
            fd_close(fd);
            return 0;
        }
        uint64_t before = capture->total;
        if (capture_add(capture, bytes, (size_t)got) < 0)
            return -ENOMEM;
        size_t shown = before >= capture->limit ? 0 : capture->limit - (size_t)before;
        if (shown > (size_t)got)
            shown = (size_t)got;
        if (shown > 0 && guest->callbacks.on_output != NULL) {
            limits_arm_first(guest);
            guest->callbacks.on_output(stream, bytes, shown, guest->callbacks.context);
        }
        capture->emitted += shown;
        uint64_t most = capture->limit * (uint64_t)OUTPUT_KILL_TIMES;
        if (capture->total > (most > OUTPUT_KILL_LEAST ? most : OUTPUT_KILL_LEAST) &&
            guest->killed_for == 0)
            return belljar_guest_kill(guest, BELLJAR_OUTPUT);
        if ((size_t)got < sizeof bytes)
            return 0; /* most likely empty; poll will tell */
    }
    return 0;
}

int stream_take_output(struct belljar_guest *guest, int stream, char **ret_text, size_t *ret_length,
                       uint64_t *ret_total)
{
    struct capture *capture = &guest->captures[stream - 1];
    size_t rest_length = 0;
    char *rest = capture_rest(capture, &rest_length);
    if (rest != NULL && guest->callbacks.on_output != NULL)
        guest->callbacks.on_output(stream, rest, rest_length, guest->callbacks.context);
    free(rest);
    *ret_text = capture_text(capture, ret_length);
    *ret_total = capture->total;
    if (capture->total > capture->limit)
        guest->result->truncated = true;
    capture_release(capture);
    return *ret_text == NULL ? -ENOMEM : 0;
}
