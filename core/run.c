/* One run, from the job to the result. Host process. Read downwards: start, wait and pump, finish.
 *
 * - belljar_guest_start: sends the job on the value channel
 * - belljar_guest_step: pumps stdin, stdout, stderr and frames until there is a result or the guest
 *   is gone
 * - run_finish: verdict and output; usage and violations come with belljar_result_complete
 *
 * The supervisor is told of a run only when it takes longer than ARM_AFTER_MS, and before anything
 * of the caller's is called, which may take its time: it keeps the limits from then on, counted
 * from the true start. The host keeps a clock of its own beside it (guest_watch). Everything read
 * from the guest is hostile: sizes are checked before room is made, and a guest that breaks the
 * protocol is killed. */
#define _GNU_SOURCE
#include "core/internal.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define ARM_AFTER_MS      2
#define TELL_MS           100
#define INTERPRETER_BYTES (10u << 20) /* what is not left for files of a memory limit */
#define CANCEL_EVERY_MS   100
#define OVERDUE_MS        250  /* after a limit the supervisor has so long to end the run, */
#define OVERDUE_SILENT_MS 500  /* then so long to show that it lives, */
#define OVERDUE_KILL_MS   1000 /* and a living one is told to so long after the limit */
#define LOOK_EVERY_MS     1000 /* to see whether the supervisor lives, before a limit */
#define FEED_BYTES        (64 * 1024)
#define OUTPUT_KILL_TIMES 64 /* a guest that writes so many times its output limit is ended, */
#define OUTPUT_KILL_LEAST (16u << 20) /* but not below this */

/* ---- Sending ---- */

static int guest_queue(struct belljar_guest *guest, uint32_t type, const void *payload,
                       size_t length)
{
    uint32_t header[2] = { (uint32_t)length, type };
    if (length > FRAME_PAYLOAD_MAX)
        return -E2BIG;
    size_t kept = guest->outgoing_used - guest->outgoing_at;
    uint8_t *grown = malloc(kept + sizeof header + length);
    if (grown == NULL)
        return -ENOMEM;
    if (kept > 0)
        memcpy(grown, guest->outgoing + guest->outgoing_at, kept);
    memcpy(grown + kept, header, sizeof header);
    if (length > 0)
        memcpy(grown + kept + sizeof header, payload, length);
    free(guest->outgoing);
    guest->outgoing = grown;
    guest->outgoing_at = 0;
    guest->outgoing_used = kept + sizeof header + length;
    return 0;
}

/* Writes what the channel takes. A guest that is gone is noticed when reading. */
static void guest_flush(struct belljar_guest *guest)
{
    while (guest->outgoing_at < guest->outgoing_used) {
        ssize_t sent = send(guest->value, guest->outgoing + guest->outgoing_at,
                            guest->outgoing_used - guest->outgoing_at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (sent < 0)
            break;
        guest->outgoing_at += (size_t)sent;
    }
    free(guest->outgoing);
    guest->outgoing = NULL;
    guest->outgoing_at = guest->outgoing_used = 0;
}

int belljar_guest_send(struct belljar_guest *guest, uint32_t type, const void *payload,
                       size_t length)
{
    int error = guest->is_dead ? -EPIPE : guest_queue(guest, type, payload, length);
    if (error == 0)
        guest_flush(guest);
    return error;
}

/* The descriptors go by the supervisor, which has them before the guest hears of them. */
static int guest_lend_some(struct belljar_guest *guest, const struct belljar_memory *memory,
                           unsigned count)
{
    int fds[LEND_MAX];
    CLEANUP(packer_release) struct packer payload = PACKER_INIT;
    pack_u64(&payload, guest->lend_number);
    pack_u32(&payload, count);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = memory[i].fd;
        pack_u64(&payload, memory[i].offset);
        pack_u64(&payload, memory[i].length);
        pack_u32(&payload, memory[i].copy);
    }
    int error = payload.failed ? -ENOMEM : guest_lend(guest, fds, count);
    return error < 0 ? error : guest_queue(guest, FRAME_LEND, payload.bytes, payload.used);
}

int belljar_guest_lend(struct belljar_guest *guest, const struct belljar_memory *memory,
                       unsigned count)
{
    int error = guest->is_dead ? -EPIPE : 0;
    guest->lend_number++;
    while (error == 0 && count > 0) {
        unsigned some = count < LEND_MAX ? count : LEND_MAX;
        error = guest_lend_some(guest, memory, some);
        memory += some;
        count -= some;
    }
    return error;
}

static void pack_job(struct packer *frame, const struct belljar_job *job)
{
    const char *filename = job->filename ? job->filename : "<code>";
    uint32_t flags = (job->last_value ? RUN_LAST_VALUE : 0) | (job->module ? RUN_MODULE : 0) |
                     (job->session ? RUN_SESSION : 0) | (job->script ? RUN_SCRIPT : 0) |
                     (job->command ? RUN_COMMAND : 0) | (job->bytes ? RUN_BYTES : 0) |
                     (job->shows ? RUN_SHOWS : 0);
    pack_u32(frame, flags);
    pack_bytes(frame, job->code, job->code_length);
    pack_string(frame, filename);
    pack_string(frame, job->path0 ? job->path0 : "/work");
    pack_u32(frame, job->argv ? job->argc : 1);
    for (unsigned i = 0; job->argv != NULL && i < job->argc; i++)
        pack_string(frame, job->argv[i]);
    if (job->argv == NULL)
        pack_string(frame, filename);
    pack_u32(frame, job->file_count);
    for (unsigned i = 0; i < job->file_count; i++) {
        pack_string(frame, job->files[i].path);
        pack_bytes(frame, job->files[i].bytes, job->files[i].length);
    }
}

/* Where stdin comes from: a descriptor of the caller's that is read here, bytes, or the callback.
 */
static int guest_set_stdin(struct belljar_guest *guest, const struct belljar_job *job)
{
    bool is_given =
        guest->callbacks.on_input != NULL || job->stdin_fd >= 0 || job->stdin_bytes != NULL;
    /* The commands of a session come before, between and after what its stdin is for. */
    guest->stdin_ends = is_given || !job->session || !job->command;
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

/* Tells the supervisor of a run, with its limits; that it is on only with one on its wall time. */
static int guest_tell(struct belljar_guest *guest, int64_t wall_ms)
{
    struct packer message = PACKER_INIT;
    pack_u32(&message, MSG_ARM);
    pack_u64(&message, guest->id);
    pack_u64(&message, guest->started_ns);
    pack_u64(&message, wall_ms > 0 ? (uint64_t)wall_ms : 0);
    pack_u64(&message, guest->cpu_ms > 0 ? (uint64_t)guest->cpu_ms : 0);
    pthread_mutex_lock(&guest->template->lock);
    int error = template_send(guest->template, &message);
    pthread_mutex_unlock(&guest->template->lock);
    packer_release(&message);
    guest->told_ns = clock_now_ns();
    return error;
}

static int guest_arm(struct belljar_guest *guest)
{
    guest->is_armed = true;
    return guest_tell(guest, guest->wall_ms);
}

/* A run's limit on CPU time holds until the next begins, for threads that it left behind. Of that
 * the supervisor hears now and then: short runs in a row, each of which it would make longer, have
 * one limit together for an eighth of it. */
static int guest_tell_of_run(struct belljar_guest *guest)
{
    uint64_t every_ms = guest->cpu_ms / 8 < TELL_MS ? (uint64_t)guest->cpu_ms / 8 : TELL_MS;
    if (!guest->is_session || guest->cpu_ms <= 0 ||
        (guest->told_ns != 0 && guest->started_ns - guest->told_ns < every_ms * 1000000u))
        return 0;
    return guest_tell(guest, 0);
}

/* True if a session's guest has ended since its last run. */
static bool guest_is_gone(const struct belljar_guest *guest)
{
    char byte;
    return guest->run_count > 0 && recv(guest->value, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

int guest_ended_between(struct belljar_guest *guest, struct belljar_error *reterr)
{
    guest->is_dead = guest->has_ended_between = true;
    (void)!guest_end(guest, END_CLOSED);
    struct belljar_result *result = result_new();
    int error = result == NULL ? error_set(reterr, ENOMEM, "run", "out of memory")
                               : guest_await_end(guest, reterr);
    if (error == 0) {
        result_from_end(result, guest);
        error = error_set(reterr, EPIPE, "session", "it was ended between two runs: %s (%s: %s)",
                          belljar_verdict_name(result->verdict),
                          result->error_name ? result->error_name : "SystemExit",
                          result->error_value ? result->error_value : "0");
    }
    belljar_result_free(result);
    return error;
}

/* A run that begins after its supervisor has ended is none. */
static int check_supervisor(struct belljar_template *template, struct belljar_error *reterr)
{
    struct pollfd control = { template->control, 0, 0 };
    if (poll(&control, 1, 0) <= 0)
        return 0;
    template_drain(template); /* it may have said why */
    pthread_mutex_lock(&template->lock);
    int error = template_check(template, reterr);
    pthread_mutex_unlock(&template->lock);
    return error < 0 ? error : error_set(reterr, EPIPE, "supervisor", "the supervisor has ended");
}

/* Files go in through the guest's memory, where each is twice for a moment. */
static int check_files(const struct settings *settings, const struct belljar_job *job,
                       struct belljar_error *reterr)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < job->file_count; i++)
        bytes += job->files[i].length;
    if (bytes == 0 || 2 * bytes + INTERPRETER_BYTES <= settings->memory_bytes)
        return 0;
    return error_set(
        reterr, E2BIG, "files",
        "the files handed in (%s%s: %llu bytes) pass through the guest's memory, twice, "
        "and its limit is %llu bytes (--memory): raise it, or grant reading them",
        job->files[0].path, job->file_count > 1 ? " and others" : "", (unsigned long long)bytes,
        (unsigned long long)settings->memory_bytes);
}

static int guest_begin(struct belljar_guest *guest, const struct belljar_job *job,
                       const struct belljar_callbacks *callbacks, struct belljar_error *reterr)
{
    if (guest->template->owner != getpid())
        return template_check(guest->template, reterr);
    if (guest->has_ended_between)
        return guest_ended_between(guest, reterr);
    if (guest->is_dead || guest->state == RUN_GOING)
        return error_set(reterr, guest->is_dead ? EPIPE : EBUSY, "run",
                         guest->is_dead ? "this guest has ended: take another"
                                        : "a run is on already");
    if (guest_is_gone(guest))
        return guest_ended_between(guest, reterr);
    const struct settings *settings = &guest->template->settings;
    int error = check_supervisor(guest->template, reterr);
    if (error == 0)
        error = check_files(settings, job, reterr);
    if (error < 0)
        return error;
    struct packer frame = PACKER_INIT;
    pack_job(&frame, job);
    error = frame.failed ? -ENOMEM : guest_queue(guest, FRAME_RUN, frame.bytes, frame.used);
    packer_release(&frame);
    if (error == 0) {
        guest->callbacks = callbacks ? *callbacks : (struct belljar_callbacks){ 0 };
        error = guest_set_stdin(guest, job);
    }
    if (error < 0)
        return error_set(reterr, -error, "run",
                         error == -E2BIG ? "code and files are larger than %u bytes: grant reading "
                                           "them, or write them in a session, one by one"
                                         : "out of memory",
                         FRAME_PAYLOAD_MAX);
    capture_release(&guest->captures[0]);
    capture_release(&guest->captures[1]);
    capture_init(&guest->captures[0], settings->output_bytes);
    capture_init(&guest->captures[1], settings->output_bytes);
    guest->is_session = job->session;
    guest->is_armed = guest->is_overdue = guest->setup_failed = false;
    guest->has_files = job->file_count > 0;
    guest->wall_ms = job->wall_ms == 0 ? (int64_t)settings->wall_ms : job->wall_ms;
    guest->cpu_ms = job->cpu_ms == 0 ? (int64_t)settings->cpu_ms : job->cpu_ms;
    belljar_result_free(guest->result);
    guest->result = NULL;
    guest->state = RUN_GOING;
    guest->started_ns = clock_now_ns();
    guest->run_count++;
    guest->look_ns = guest->started_ns + LOOK_EVERY_MS * 1000000u;
    if (guest_tell_of_run(guest) < 0)
        return error_set(reterr, EPIPE, "run", "the supervisor is gone");
    guest_flush(guest);
    return 0;
}

/* ---- The limits ---- */

/* Before something of the caller's is called: it may take its time, the limits hold meanwhile. A
 * supervisor that is gone has taken the guest with it, which is noticed where it is read. */
static void guest_arm_first(struct belljar_guest *guest)
{
    if (!guest->is_armed && guest->state == RUN_GOING)
        (void)!guest_arm(guest);
}

static bool has_passed(const struct belljar_guest *guest, uint64_t now_ns, int64_t limit_ms,
                       int64_t more_ms)
{
    return limit_ms > 0 && now_ns >= guest->started_ns + (uint64_t)(limit_ms + more_ms) * 1000000u;
}

/* The host's own clock: the supervisor is looked after now and then, and closely once a limit has
 * passed. One that does not answer is ended, and the run with it (template_look). Without a wall
 * limit, and for the CPU time, which only the supervisor can see, a stopped one is found out at
 * once and one that hangs after SILENT_MS. */
static void guest_watch(struct belljar_guest *guest)
{
    uint64_t now_ns = clock_now_ns();
    bool is_late = has_passed(guest, now_ns, guest->wall_ms, OVERDUE_MS);
    if (!is_late && now_ns < guest->look_ns)
        return;
    bool may_be_late = is_late || has_passed(guest, now_ns, guest->cpu_ms, OVERDUE_MS);
    bool is_owed = template_look(guest->template, is_late ? OVERDUE_SILENT_MS : SILENT_MS,
                                 may_be_late ? OVERDUE_SILENT_MS : SILENT_MS);
    uint64_t next_ms = may_be_late || is_owed ? SLICE_MS : LOOK_EVERY_MS;
    guest->look_ns = now_ns + next_ms * 1000000u;
    if (!guest->is_overdue && has_passed(guest, now_ns, guest->wall_ms, OVERDUE_KILL_MS)) {
        guest->is_overdue = true;
        (void)!guest_end(guest, END_WALL);
    }
}

/* How long a wait may last: until the run has to be reported, or the supervisor looked after. */
static int guest_timeout_ms(const struct belljar_guest *guest)
{
    if (!guest->is_armed)
        return ARM_AFTER_MS;
    uint64_t now_ns = clock_now_ns(), due_ns = guest->look_ns;
    if (guest->wall_ms > 0) {
        uint64_t late_ns = guest->started_ns + (uint64_t)(guest->wall_ms + OVERDUE_MS) * 1000000u;
        if (late_ns < due_ns && late_ns > now_ns)
            due_ns = late_ns;
        else if (late_ns <= now_ns)
            due_ns = now_ns + SLICE_MS * 1000000u;
    }
    uint64_t left_ms = due_ns > now_ns ? (due_ns - now_ns) / 1000000u + 1 : 0;
    bool asks = guest->callbacks.is_cancelled != NULL || guest->callbacks.on_input != NULL;
    return asks && left_ms > CANCEL_EVERY_MS ? CANCEL_EVERY_MS : (int)left_ms;
}

/* ---- Receiving ---- */

/* One whole frame from the guest. 0 to go on, 1: the result is there, negative: it broke the
 * protocol. */
static int guest_on_frame(struct belljar_guest *guest, uint32_t type, const uint8_t *payload,
                          size_t length)
{
    if (type == FRAME_RESULT) {
        guest->result = result_new();
        if (guest->result == NULL)
            return -ENOMEM;
        if (result_unpack(guest->result, payload, length) < 0)
            return -EBADMSG;
        uint32_t fields[3]; /* outcome, status, flags: result_unpack has read them */
        memcpy(fields, payload, sizeof fields);
        guest->setup_failed = guest->has_files && (fields[2] & RESULT_SETUP) != 0;
        return 1;
    }
    if (guest->callbacks.on_frame == NULL)
        return -EBADMSG;
    guest_arm_first(guest);
    return guest->callbacks.on_frame(type, payload, length, guest->callbacks.context) < 0
               ? -ECANCELED
               : 0;
}

/* Reads what is there. The room for a payload grows with what has come, not with what the header
 * promises. A guest that does not read its answers is not listened to either: else it could make us
 * keep any number of them. */
static int guest_read_value(struct belljar_guest *guest)
{
    while (guest->outgoing == NULL) {
        uint32_t header[2] = { 0, 0 };
        size_t wanted = FRAME_HEADER_BYTES;
        if (guest->incoming_used >= FRAME_HEADER_BYTES) {
            memcpy(header, guest->incoming, sizeof header);
            if (header[0] > FRAME_PAYLOAD_MAX)
                return -EBADMSG;
            wanted += header[0];
        }
        if (guest->incoming_used >= FRAME_HEADER_BYTES && guest->incoming_used == wanted) {
            guest->incoming_used = 0;
            int error =
                guest_on_frame(guest, header[1], guest->incoming + FRAME_HEADER_BYTES, header[0]);
            if (error != 0)
                return error;
            continue;
        }
        if (guest->incoming_used == guest->incoming_size) {
            size_t size = guest->incoming_size ? guest->incoming_size * 2 : 4096;
            uint8_t *grown = realloc(guest->incoming, size);
            if (grown == NULL)
                return -ENOMEM;
            guest->incoming = grown;
            guest->incoming_size = size;
        }
        /* Not past this frame: what follows belongs to the next. */
        size_t room = guest->incoming_size - guest->incoming_used;
        size_t ask = guest->incoming_used < FRAME_HEADER_BYTES
                         ? FRAME_HEADER_BYTES - guest->incoming_used
                         : wanted - guest->incoming_used;
        ssize_t got = recv(guest->value, guest->incoming + guest->incoming_used,
                           ask < room ? ask : room, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0) {
            guest->is_dead = true;
            return guest->incoming_used > 0 ? -EBADMSG : 0; /* in the middle of a frame */
        }
        guest->incoming_used += (size_t)got;
    }
    return 0;
}

static int guest_read_output(struct belljar_guest *guest, int stream)
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
            guest_arm_first(guest);
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

/* ---- stdin ---- */

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
static void guest_fetch_stdin(struct belljar_guest *guest, bool source_is_ready)
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
        guest_arm_first(guest);
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

static void guest_feed(struct belljar_guest *guest)
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

/* ---- Waiting ---- */

static bool guest_source_wanted(const struct belljar_guest *guest)
{
    return guest->in >= 0 && !guest->feed_at_end && guest->feed_at == guest->feed_used;
}

unsigned belljar_guest_pollfds(struct belljar_guest *guest, struct pollfd *fds, unsigned max,
                               int *ret_timeout_ms)
{
    unsigned count = 0;
    struct pollfd wanted[6];
    if (!guest->is_dead)
        wanted[count++] = (struct pollfd){ guest->value, guest->outgoing ? POLLOUT : POLLIN, 0 };
    if (guest->out >= 0)
        wanted[count++] = (struct pollfd){ guest->out, POLLIN, 0 };
    if (guest->err >= 0)
        wanted[count++] = (struct pollfd){ guest->err, POLLIN, 0 };
    if (guest->in >= 0 && guest->feed_at < guest->feed_used)
        wanted[count++] = (struct pollfd){ guest->in, POLLOUT, 0 };
    else if (guest_source_wanted(guest) && guest->stdin_fd >= 0 &&
             guest->callbacks.on_input == NULL)
        wanted[count++] = (struct pollfd){ guest->stdin_fd, POLLIN, 0 };
    if (guest->template->settings.audit)
        wanted[count++] = (struct pollfd){ guest->template->control, POLLIN, 0 };
    for (unsigned i = 0; i < count && i < max; i++)
        fds[i] = wanted[i];
    *ret_timeout_ms = guest_timeout_ms(guest);
    return count < max ? count : max;
}

/* ---- Finishing ---- */

static int take_capture(struct belljar_guest *guest, int stream, char **ret_text,
                        size_t *ret_length, uint64_t *ret_total)
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

/* What the supervisor knows of the run. If it has failed, that is what the run came to. */
static int run_await(struct belljar_guest *guest, bool has_ended, struct belljar_error *reterr)
{
    struct belljar_error failure = { 0 };
    int error = has_ended ? guest_await_end(guest, &failure) : guest_await_report(guest, &failure);
    if (error == 0)
        return 0;
    if (error == -EOWNERDEAD) {
        if (reterr != NULL)
            *reterr = failure;
        return error;
    }
    guest->is_dead = true;
    struct belljar_error what = failure;
    if (has_passed(guest, guest->ended_ns, guest->wall_ms, 0))
        error_set(&what, failure.code, failure.step,
                  "the run was not ended at its limit of %g s: %s", (double)guest->wall_ms / 1000,
                  failure.message);
    result_from_failure(guest->result, &what);
    return 0;
}

/* What was handed in does not fit: the caller's error, not a verdict on a program that never ran.
 */
static int run_not_begun(struct belljar_guest *guest, struct belljar_error *reterr)
{
    const struct settings *settings = &guest->template->settings;
    int error = error_set(
        reterr, EINVAL, "files",
        "%.400s; files are handed in below /work, /tmp, /var/tmp, /dev/shm and the home directory, "
        "or where the policy grants writing, and count for its scratch (%llu bytes) and "
        "scratch_files (%u)",
        guest->result->error_value != NULL ? guest->result->error_value : "a file does not fit",
        (unsigned long long)settings->scratch_bytes, settings->scratch_files);
    guest->is_dead = true;
    if (guest->is_session) /* half of its files are there */
        (void)!guest_end(guest, END_HOST);
    belljar_result_free(guest->result);
    guest->result = NULL;
    return error;
}

/* There is a result, or the guest is gone: makes the whole of it. */
static int run_finish(struct belljar_guest *guest, struct belljar_result **ret_result,
                      struct belljar_error *reterr)
{
    guest->ended_ns = clock_now_ns();
    guest->state = RUN_FINISHED;
    int error = guest_read_output(guest, 1);
    if (error == 0)
        error = guest_read_output(guest, 2);
    bool has_result = guest->result != NULL;
    bool says_refused = has_result && guest->result->verdict == BELLJAR_VIOLATION;
    if (says_refused)
        result_set_refused(guest->result, false); /* until it is known */
    if (!has_result || !guest->is_session) {
        guest->is_dead = true;
        /* A guest is used once. It exits by itself; one that does not is ended here. */
        if (guest->killed_for == 0)
            (void)!guest_end(guest, has_result ? END_HOST : END_CLOSED);
    }
    if (!has_result) {
        guest->result = result_new();
        if (error == 0)
            error = guest->result == NULL ? -ENOMEM : run_await(guest, true, reterr);
        if (error == 0 && !guest->result->is_complete)
            result_from_end(guest->result, guest);
        /* It may have written until its last moment. */
        if (error == 0)
            error = guest_read_output(guest, 1);
        if (error == 0)
            error = guest_read_output(guest, 2);
    } else if (guest->result->verdict == BELLJAR_MEMORY) {
        /* The guest says so: what the supervisor knows decides. Nobody waits for this often. */
        if (error == 0)
            error = belljar_result_complete(guest, guest->result, reterr);
        if (error == 0)
            result_check_memory(guest->result, &guest->template->settings);
    } else if (guest->is_session && guest->is_armed) {
        error = error == 0 ? run_await(guest, false, reterr) : error;
        if (error == 0 && !guest->result->is_complete)
            error = result_add_report(guest->result, &guest->report);
    }
    if (error == 0 && guest->setup_failed)
        return run_not_begun(guest, reterr);
    struct belljar_result *result = guest->result;
    /* That it was refused is the guest's word, from the errno that its program ended with. Whether
     * anything was, the supervisor knows: a permission that the program took from itself is its own
     * error. */
    if (error == 0 && says_refused) {
        error = belljar_result_complete(guest, result, reterr);
        result_set_refused(result, result->refused > 0);
    }
    if (error == 0)
        error = take_capture(guest, 1, &result->stdout_bytes, &result->stdout_length,
                             &result->stdout_total);
    if (error == 0)
        error = take_capture(guest, 2, &result->stderr_bytes, &result->stderr_length,
                             &result->stderr_total);
    if (error < 0)
        return reterr != NULL && reterr->code != 0
                   ? error
                   : error_set(reterr, -error, "run", "%s", strerror(-error));
    result->usage.wall_ms = (double)(guest->ended_ns - guest->started_ns) / 1e6;
    guest->result = NULL;
    *ret_result = result;
    return 1;
}

int belljar_guest_start(struct belljar_guest *guest, const struct belljar_job *job,
                        const struct belljar_callbacks *callbacks, struct belljar_error *reterr)
{
    int error = guest_begin(guest, job, callbacks, reterr);
    if (error == 0 && !job->soon)
        guest_arm_first(guest); /* an event loop may come back late: it is busy with others */
    return error;
}

int belljar_guest_step(struct belljar_guest *guest, struct belljar_result **ret_result,
                       struct belljar_error *reterr)
{
    if (guest->state != RUN_GOING)
        return error_set(reterr, EINVAL, "run", "no run is on");
    if (reterr != NULL)
        reterr->code = 0;
    if (guest->outgoing != NULL)
        guest_flush(guest);
    if (guest->in >= 0) {
        if (guest_source_wanted(guest)) {
            struct pollfd source = { guest->stdin_fd, POLLIN, 0 };
            bool is_ready =
                guest->stdin_fd >= 0 && (guest->stdin_is_regular || poll(&source, 1, 0) > 0);
            guest_fetch_stdin(guest, is_ready);
        }
        guest_feed(guest);
    }
    int error = guest_read_output(guest, 1);
    if (error == 0)
        error = guest_read_output(guest, 2);
    if (error == 0)
        error = guest_read_value(guest);
    if (error == -EBADMSG || error == -ECANCELED) {
        /* Only its own run suffers: it is ended, and its result says so. */
        (void)!belljar_guest_kill(guest, error == -EBADMSG ? BELLJAR_VIOLATION : BELLJAR_ERROR);
        belljar_result_free(guest->result);
        guest->result = NULL;
        guest->is_dead = true;
        error = 0;
    }
    if (error < 0)
        return error_set(reterr, -error, "run", "%s", strerror(-error));
    if (guest->template->settings.audit) {
        guest_arm_first(guest); /* on_operation is the caller's as well */
        template_drain(guest->template);
    }
    if (guest->result == NULL && !guest->is_dead) {
        if (!guest->is_armed && clock_now_ns() - guest->started_ns >= ARM_AFTER_MS * 1000000u)
            guest_arm_first(guest);
        guest_watch(guest);
    }
    /* has_failed is only ever set; whoever misses it here sees it in the next step. */
    if (guest->result != NULL || guest->is_dead ||
        __atomic_load_n(&guest->template->has_failed, __ATOMIC_RELAXED))
        return run_finish(guest, ret_result, reterr);
    return 0;
}

int belljar_guest_run(struct belljar_guest *guest, const struct belljar_job *job,
                      const struct belljar_callbacks *callbacks, struct belljar_result **ret_result,
                      struct belljar_error *reterr)
{
    int error = guest_begin(guest, job, callbacks, reterr);
    while (error == 0) {
        struct pollfd fds[8];
        int timeout_ms;
        unsigned count = belljar_guest_pollfds(guest, fds, ARRAY_SIZE(fds), &timeout_ms);
        if (poll(fds, count, timeout_ms) < 0 && errno != EINTR)
            return error_set(reterr, errno, "run", "poll: %s", strerror(errno));
        /* Reported before the caller is asked anything. */
        if (clock_now_ns() - guest->started_ns >= ARM_AFTER_MS * 1000000u)
            guest_arm_first(guest);
        if (guest->callbacks.is_cancelled != NULL && guest->killed_for == 0 &&
            guest->callbacks.is_cancelled(guest->callbacks.context))
            (void)!belljar_guest_kill(guest, BELLJAR_ERROR);
        error = belljar_guest_step(guest, ret_result, reterr);
    }
    return error < 0 ? error : 0;
}

int belljar_result_complete(struct belljar_guest *guest, struct belljar_result *result,
                            struct belljar_error *reterr)
{
    if (result->is_complete)
        return 0;
    int error = guest->is_session && !guest->is_dead ? guest_await_report(guest, reterr)
                                                     : guest_await_end(guest, reterr);
    return error < 0 ? error : result_add_report(result, &guest->report);
}
