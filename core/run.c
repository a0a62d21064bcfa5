/* One run, from the job to the result. Host process. Read downwards: start, wait and pump, finish.
 *
 * - belljar_guest_start: sends the job on the value channel
 * - belljar_guest_step: pumps stdin, stdout, stderr (core/stream.c) and frames until there is a
 *   result or the guest is gone; core/limits.c keeps the time
 * - run_finish: verdict and output; usage and violations come with belljar_result_complete
 *
 * Everything read from the guest is hostile: sizes are checked before room is made, and a guest
 * that breaks the protocol is killed. */
#define _GNU_SOURCE
#include "core/failure.h"
#include "core/guest.h"
#include "core/limits.h"
#include "core/link.h"
#include "core/result.h"
#include "core/send.h"
#include "core/size.h"
#include "core/stream.h"
#include "core/template.h"
#include "policy/mounts.h"
#include "wire/messages.h"

#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#define INTERPRETER_BYTES (10u << 20)   /* what is not left for files of a memory limit */
#define LINGER_NS         (200 * 1000u) /* a wait that is no longer is not slept through; */
#define LONG_WAITS        3             /* after so many longer ones in a row */
#define SLEEPS            64            /* so many are */

/* ---- Starting ---- */

static void pack_job(struct packer *frame, const struct belljar_job *job)
{
    const char *filename = job->filename ? job->filename : "<code>";
    static const uint32_t kinds[] = { [BELLJAR_SOURCE] = 0,
                                      [BELLJAR_BYTES] = RUN_BYTES,
                                      [BELLJAR_SCRIPT] = RUN_SCRIPT,
                                      [BELLJAR_MODULE] = RUN_MODULE,
                                      [BELLJAR_COMMAND] = RUN_COMMAND };
    uint32_t flags = kinds[job->kind] | (job->last_value ? RUN_LAST_VALUE : 0) |
                     (job->session ? RUN_SESSION : 0) | (job->shows ? RUN_SHOWS : 0) |
                     (job->prepared ? RUN_PREPARED : 0);
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

/* A run that begins after its supervisor has ended is none, nor is one whose session's guest has
 * ended since its last run. Both are looked after in one call. */
static int check_others(struct belljar_guest *guest, struct belljar_error *reterr)
{
    struct belljar_template *tmpl = guest->tmpl;
    struct pollfd fds[] = { { guest->value, POLLRDHUP, 0 }, { tmpl->control, 0, 0 } };
    if (poll(fds, ARRAY_SIZE(fds), 0) == 0)
        return 0;
    char byte; /* what a guest said before it ended is read as any other */
    if (guest->run_count > 0 && recv(guest->value, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
        return guest_ended_between(guest, reterr);
    if (fds[1].revents == 0)
        return 0;
    link_drain(tmpl); /* it may have said why */
    pthread_mutex_lock(&tmpl->lock);
    int error = template_check(tmpl, reterr);
    pthread_mutex_unlock(&tmpl->lock);
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
    return error_set(reterr, E2BIG, "files",
                     "the files handed in (%s%s: %s) pass through the guest's memory, twice, "
                     "and its limit is %s (--memory): raise it, or grant reading them",
                     job->files[0].path, job->file_count > 1 ? " and others" : "",
                     size_words(bytes).text, size_words(settings->memory_bytes).text);
}

static int guest_begin(struct belljar_guest *guest, const struct belljar_job *job,
                       const struct belljar_callbacks *callbacks, struct belljar_error *reterr)
{
    if (guest->tmpl->owner != getpid())
        return template_check(guest->tmpl, reterr);
    if ((unsigned)job->kind > BELLJAR_COMMAND)
        return error_set(reterr, EINVAL, "run", "%u is not a kind of code", (unsigned)job->kind);
    if (guest->has_ended_between)
        return guest_ended_between(guest, reterr);
    if (guest->is_dead || guest->state == RUN_GOING)
        return error_set(reterr, guest->is_dead ? EPIPE : EBUSY, "run",
                         guest->is_dead ? "this guest has ended: take another"
                                        : "a run is on already");
    const struct settings *settings = &guest->tmpl->settings;
    int error = check_others(guest, reterr);
    if (error == 0)
        error = check_files(settings, job, reterr);
    if (error < 0)
        return error;
    bool must_settle = guest->must_settle;
    if (must_settle && (error = send_queue(guest, FRAME_SETTLE, NULL, 0)) < 0)
        return error_set(reterr, -error, "run", "out of memory");
    struct packer frame = PACKER_INIT;
    pack_job(&frame, job);
    error = frame.failed ? -ENOMEM : send_queue(guest, FRAME_RUN, frame.bytes, frame.used);
    packer_release(&frame);
    if (error == 0) {
        guest->callbacks = callbacks ? *callbacks : (struct belljar_callbacks){ 0 };
        error = stream_set_input(guest, job);
    }
    if (error < 0)
        return error_set(reterr, -error, "run",
                         error == -E2BIG ? "code and files are larger than %s: grant reading "
                                           "them, or write them in a session, one by one"
                                         : "out of memory",
                         size_words(FRAME_PAYLOAD_MAX).text);
    capture_release(&guest->captures[0]);
    capture_release(&guest->captures[1]);
    capture_init(&guest->captures[0], settings->output_bytes);
    capture_init(&guest->captures[1], settings->output_bytes);
    guest->is_session = job->session;
    guest->is_armed = guest->is_overdue = guest->setup_failed = false;
    guest->has_spoken = guest->is_unread = false;
    guest->has_files = job->file_count > 0;
    guest->wall_ms = job->wall_ms == 0 ? (int64_t)settings->wall_ms : job->wall_ms;
    guest->cpu_ms = job->cpu_ms == 0 ? (int64_t)settings->cpu_ms : job->cpu_ms;
    belljar_result_free(guest->result);
    guest->result = NULL;
    guest->state = RUN_GOING;
    guest->cpu_used_ns = 0;
    guest->has_cpu = job->session && guest_cpu(guest, &guest->cpu_start_ns);
    guest->started_ns = clock_now_ns();
    guest->run_count++;
    guest->look_ns = guest->started_ns + LOOK_EVERY_MS * 1000000u;
    guest->must_settle = false;
    guest_set_interrupts(guest, INTERRUPTS_WAIT);
    if (limits_tell_of_run(guest) < 0)
        return error_set(reterr, EPIPE, "run", "the supervisor is gone");
    send_flush(guest);
    if (!must_settle)
        guest_set_interrupts(guest, INTERRUPTS_GO);
    return 0;
}

/* ---- Receiving ---- */

static int hear_result(struct belljar_guest *guest, const uint8_t *payload, size_t length)
{
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

static int hear_call(struct belljar_guest *guest, const uint8_t *payload, size_t length)
{
    if (guest->callbacks.on_frame == NULL)
        return -EBADMSG;
    limits_arm_first(guest);
    return guest->callbacks.on_frame(FRAME_CALL, payload, length, guest->callbacks.context) < 0
               ? -ECANCELED
               : 0;
}

/* Signals that come from now on are this run's. */
static int hear_settled(struct belljar_guest *guest, const uint8_t *payload, size_t length)
{
    (void)payload;
    if (length != 0 || guest->interrupts != INTERRUPTS_WAIT)
        return -EBADMSG;
    guest_set_interrupts(guest, INTERRUPTS_GO);
    return 0;
}

/* The frames that a guest may send, and in which state of its run. Any other breaks the protocol.
 */
static const struct {
    uint32_t type;
    enum run_state state;
    /* One whole frame. 0 to go on, 1: the result is there, negative: it broke the protocol. */
    int (*hear)(struct belljar_guest *guest, const uint8_t *payload, size_t length);
} frame_rows[] = {
    { FRAME_CALL, RUN_GOING, hear_call },
    { FRAME_RESULT, RUN_GOING, hear_result },
    { FRAME_SETTLED, RUN_GOING, hear_settled },
};

/* The row of a frame that may come now, or -1. */
static int frame_row(const struct belljar_guest *guest, uint32_t type)
{
    for (unsigned i = 0; i < ARRAY_SIZE(frame_rows); i++) {
        if (frame_rows[i].type == type && frame_rows[i].state == guest->state)
            return (int)i;
    }
    return -1;
}

/* Bytes of the frame that `incoming` begins with if all of it has come, else 0; -EBADMSG. */
static ssize_t frame_whole(const struct belljar_guest *guest, int *ret_row)
{
    uint32_t header[2];
    *ret_row = -1;
    if (guest->incoming_used < FRAME_HEADER_BYTES)
        return 0;
    memcpy(header, guest->incoming, sizeof header);
    *ret_row = frame_row(guest, header[1]);
    if (header[0] > FRAME_PAYLOAD_MAX || *ret_row < 0)
        return -EBADMSG;
    size_t whole = FRAME_HEADER_BYTES + header[0];
    return guest->incoming_used < whole ? 0 : (ssize_t)whole;
}

/* Reads until a frame is whole or nothing more is there, with what comes behind it in one call. The
 * room for a payload grows with what has come, not with what the header promises. A guest that does
 * not read its answers is not listened to either: else it could make us keep any number of them. */
static int value_receive(struct belljar_guest *guest)
{
    while (guest->outgoing == NULL) {
        int row;
        ssize_t whole = frame_whole(guest, &row);
        if (whole != 0)
            return whole < 0 ? (int)whole : 0;
        if (guest->incoming_used == guest->incoming_size) {
            size_t size = guest->incoming_size ? guest->incoming_size * 2 : 4096;
            uint8_t *grown = realloc(guest->incoming, size);
            if (grown == NULL)
                return -ENOMEM;
            guest->incoming = grown;
            guest->incoming_size = size;
        }
        ssize_t got = recv(guest->value, guest->incoming + guest->incoming_used,
                           guest->incoming_size - guest->incoming_used, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && errno == EAGAIN)
            return 0;
        if (got <= 0) {
            guest->is_dead = true;
            guest->is_unread |= got < 0 && errno == ECONNRESET;
            return guest->incoming_used > 0 ? -EBADMSG : 0; /* in the middle of a frame */
        }
        guest->has_spoken = true;
        guest->incoming_used += (size_t)got;
    }
    return 0;
}

static int guest_read_value(struct belljar_guest *guest)
{
    while (guest->outgoing == NULL) {
        int row = -1;
        int error = value_receive(guest);
        ssize_t whole = error < 0 ? error : frame_whole(guest, &row);
        if (whole <= 0)
            return (int)whole;
        error = frame_rows[row].hear(guest, guest->incoming + FRAME_HEADER_BYTES,
                                     (size_t)whole - FRAME_HEADER_BYTES);
        guest->incoming_used -= (size_t)whole;
        memmove(guest->incoming, guest->incoming + whole, guest->incoming_used);
        if (error != 0)
            return error;
    }
    return 0;
}

/* True if the next frame is the result: then its output is read at the end, and not before. */
static bool has_result(const struct belljar_guest *guest)
{
    int row;
    return frame_whole(guest, &row) > 0 && frame_rows[row].type == FRAME_RESULT;
}

/* ---- Waiting ---- */

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
    else if (stream_wants_input(guest) && guest->stdin_fd >= 0 && guest->callbacks.on_input == NULL)
        wanted[count++] = (struct pollfd){ guest->stdin_fd, POLLIN, 0 };
    if (guest->tmpl->settings.audit)
        wanted[count++] = (struct pollfd){ guest->tmpl->control, POLLIN, 0 };
    for (unsigned i = 0; i < count && i < max; i++)
        fds[i] = wanted[i];
    /* No poll sees a result that belljar_guest_start has read. */
    bool is_over = guest->outgoing == NULL && has_result(guest);
    *ret_timeout_ms = is_over ? 0 : limits_timeout_ms(guest);
    return count < max ? count : max;
}

/* A session's runs are short, most of them. Who sleeps until such a one is over has to be woken, and so
 * has the guest, each on the CPU where it was: on two CPUs that takes longer than the run. So the
 * caller's thread looks again and again, and lets go of its CPU in between, as long as short runs
 * are what comes; a guest whose runs turn out longer is slept for, and tried again now and then.
 * Returns what poll returns; 0 if nothing has come. */
static int linger(struct belljar_guest *guest, struct pollfd *fds, unsigned count)
{
    if (!guest->is_session || guest->run_count < 2)
        return 0;
    if (guest->sleeps > 0) {
        guest->sleeps--;
        return 0;
    }
    uint64_t until_ns = clock_now_ns() + LINGER_NS;
    do {
        sched_yield();
        int ready = poll(fds, count, 0);
        if (ready != 0) {
            guest->long_waits = 0;
            return ready;
        }
    } while (clock_now_ns() < until_ns);
    if (guest->long_waits < LONG_WAITS - 1)
        guest->long_waits++;
    else
        guest->sleeps = SLEEPS;
    return 0;
}

/* ---- Finishing ---- */

/* Waits for the supervisor's word on the run. If it has failed, that is what the run came to. */
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
    if (limits_have_passed(guest, guest->ended_ns, guest->wall_ms, 0))
        error_set(&what, failure.code, failure.step,
                  "the run was not ended at its limit of %g s: %s", (double)guest->wall_ms / 1000,
                  failure.message);
    result_from_failure(guest->result, &what);
    return 0;
}

/* Of a session's run the CPU time is known here, to its own moments. */
static int add_report(struct belljar_result *result, struct belljar_guest *guest)
{
    int error = result_add_report(result, &guest->report);
    if (error == 0 && guest->has_cpu)
        result->usage.cpu_ms = (double)guest->cpu_used_ns / 1e6;
    return error;
}

/* Files that were handed in do not fit: the caller's error, not a verdict on a program that never
 * ran. */
static int run_not_begun(struct belljar_guest *guest, struct belljar_error *reterr)
{
    const struct settings *settings = &guest->tmpl->settings;
    int error = error_set(reterr, EINVAL, "files",
                          "%.400s; files are handed in below one of" MOUNT_SCRATCH_WORDS
                          ", or where the policy grants "
                          "writing, and count for its scratch (%s) and "
                          "scratch_files (%u)",
                          guest->result->error_value != NULL ? guest->result->error_value
                                                             : "a file does not fit",
                          size_words(settings->scratch_bytes).text, settings->scratch_files);
    guest->is_dead = true;
    if (guest->is_session) /* half of its files are there */
        (void)!guest_end(guest, END_HOST);
    belljar_result_free(guest->result);
    guest->result = NULL;
    return error;
}

static int read_streams(struct belljar_guest *guest)
{
    int error = stream_read_output(guest, 1);
    return error != 0 ? error : stream_read_output(guest, 2);
}

/* There is a result, or the guest is gone: makes the whole of it. Where the run was silent there is
 * no output to read before its result. */
static int run_finish(struct belljar_guest *guest, bool is_silent,
                      struct belljar_result **ret_result, struct belljar_error *reterr)
{
    uint64_t cpu_ns = 0;
    guest->ended_ns = clock_now_ns();
    guest->state = RUN_FINISHED;
    guest_set_interrupts(guest, INTERRUPTS_NONE);
    guest->has_cpu = guest->has_cpu && guest_cpu(guest, &cpu_ns);
    guest->cpu_used_ns = cpu_ns - guest->cpu_start_ns;
    bool is_there = guest->result != NULL;
    int error = is_silent && is_there ? 0 : read_streams(guest);
    if (is_there)
        guest->result->is_unrefused = guest_is_unrefused(guest);
    bool says_refused = is_there && guest->result->verdict == BELLJAR_VIOLATION;
    if (says_refused)
        result_set_refused(guest->result, false); /* until it is known */
    if (!is_there || !guest->is_session) {
        guest->is_dead = true;
        /* A guest is used once. It exits by itself; one that does not is ended here. */
        if (guest->killed_for == 0)
            (void)!guest_end(guest, is_there ? END_HOST : END_CLOSED);
    }
    if (!is_there) {
        guest->result = result_new();
        if (error == 0)
            error = guest->result == NULL ? -ENOMEM : run_await(guest, true, reterr);
        if (error == 0 && !guest->result->is_complete)
            result_from_end(guest->result, guest);
        /* The guest may have written until its last moment. */
        if (error == 0)
            error = read_streams(guest);
    } else if (guest->result->verdict == BELLJAR_MEMORY) {
        /* The guest says so: what the supervisor knows decides. Nobody waits for this often. */
        if (error == 0)
            error = belljar_result_complete(guest->result, guest, reterr);
        if (error == 0)
            result_check_memory(guest->result, &guest->tmpl->settings);
    } else if (guest->is_session && (guest->is_armed || guest->was_interrupted)) {
        error = error == 0 ? run_await(guest, false, reterr) : error;
        if (error == 0 && !guest->result->is_complete)
            error = add_report(guest->result, guest);
        if (error == 0 && (guest->report.reason == END_WALL || guest->report.reason == END_CPU))
            result_was_interrupted(guest->result, guest);
        /* Once the supervisor has answered, the signal has been sent. */
        guest->must_settle = guest->was_interrupted || guest->report.reason != END_ITSELF;
    }
    if (error == 0 && guest->setup_failed)
        return run_not_begun(guest, reterr);
    struct belljar_result *result = guest->result;
    /* That it was refused is the guest's word, from the errno that its program ended with. Whether
     * anything was, the supervisor knows: a permission that the program took from itself is its own
     * error. */
    if (error == 0 && says_refused) {
        error = belljar_result_complete(result, guest, reterr);
        result_set_refused(result, result->refused > 0);
    }
    if (error == 0)
        error = stream_take_output(guest, 1, &result->stdout_bytes, &result->stdout_length,
                                   &result->stdout_total);
    if (error == 0)
        error = stream_take_output(guest, 2, &result->stderr_bytes, &result->stderr_length,
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

/* ---- In one go, or in steps ---- */

/* True if the result has come already: no supervisor need hear of such a run. */
static bool is_over_at_once(struct belljar_guest *guest)
{
    struct pollfd value = { guest->value, POLLIN, 0 };
    return guest->outgoing == NULL && guest->in < 0 && linger(guest, &value, 1) > 0 &&
           value_receive(guest) == 0 && has_result(guest);
}

int belljar_guest_start(struct belljar_guest *guest, const struct belljar_job *job,
                        const struct belljar_callbacks *callbacks, struct belljar_error *reterr)
{
    int error = guest_begin(guest, job, callbacks, reterr);
    if (error == 0 && !job->soon && !is_over_at_once(guest))
        limits_arm_first(guest); /* an event loop may come back late: it is busy with others */
    return error;
}

/* is_silent: when the first byte of the next frame had come, nothing had been written. If that frame
 * is the result, then what the run wrote, all of it before its result, has been read. */
static int guest_step(struct belljar_guest *guest, bool is_silent,
                      struct belljar_result **ret_result, struct belljar_error *reterr)
{
    if (guest->state != RUN_GOING)
        return error_set(reterr, EINVAL, "run", "no run is on");
    if (reterr != NULL)
        reterr->code = 0;
    if (guest->outgoing != NULL)
        send_flush(guest);
    if (guest->in >= 0) {
        if (stream_wants_input(guest)) {
            struct pollfd source = { guest->stdin_fd, POLLIN, 0 };
            bool is_ready =
                guest->stdin_fd >= 0 && (guest->stdin_is_regular || poll(&source, 1, 0) > 0);
            stream_fetch_input(guest, is_ready);
        }
        stream_feed(guest);
    }
    int error = value_receive(guest);
    if (error == 0 && !has_result(guest)) { /* what it wrote before it asks for anything */
        is_silent = false;
        error = read_streams(guest);
    }
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
    if (guest->tmpl->settings.audit) {
        limits_arm_first(guest); /* on_operation is the caller's as well */
        link_drain(guest->tmpl);
    }
    if (guest->result == NULL && !guest->is_dead) {
        if (!guest->is_armed && clock_now_ns() - guest->started_ns >= ARM_AFTER_MS * 1000000u)
            limits_arm_first(guest);
        limits_watch(guest);
    }
    /* has_failed is only ever set; whoever misses it here sees it in the next step. */
    if (guest->result != NULL || guest->is_dead ||
        __atomic_load_n(&guest->tmpl->has_failed, __ATOMIC_RELAXED))
        return run_finish(guest, is_silent, ret_result, reterr);
    return 0;
}

int belljar_guest_step(struct belljar_guest *guest, struct belljar_result **ret_result,
                       struct belljar_error *reterr)
{
    return guest_step(guest, false, ret_result, reterr);
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
        int ready = linger(guest, fds, count);
        if (ready == 0)
            ready = poll(fds, count, timeout_ms);
        if (ready < 0 && errno != EINTR)
            return error_set(reterr, errno, "run", "poll: %s", strerror(errno));
        /* Reported before the caller is asked anything. */
        if (clock_now_ns() - guest->started_ns >= ARM_AFTER_MS * 1000000u)
            limits_arm_first(guest);
        if (guest->callbacks.is_cancelled != NULL && guest->killed_for == 0 &&
            guest->callbacks.is_cancelled(guest->callbacks.context))
            (void)!belljar_guest_kill(guest, BELLJAR_ERROR);
        /* The value channel is looked at first, the streams after it. */
        bool is_silent = ready == 1 && fds[0].fd == guest->value && fds[0].revents == POLLIN &&
                         guest->incoming_used == 0;
        error = guest_step(guest, is_silent, ret_result, reterr);
    }
    return error < 0 ? error : 0;
}

int belljar_result_complete(struct belljar_result *result, struct belljar_guest *guest,
                            struct belljar_error *reterr)
{
    if (result->is_complete)
        return 0;
    bool goes_on = guest->is_session && !guest->is_dead;
    if (goes_on && result->verdict != BELLJAR_MEMORY && guest_did_nothing(guest)) {
        result->usage.peak_bytes = guest->reported_peak;
        result->usage.cpu_ms = (double)guest->cpu_used_ns / 1e6;
        result->is_complete = true;
        return 0;
    }
    int error = goes_on ? guest_await_report(guest, reterr) : guest_await_end(guest, reterr);
    return error < 0 ? error : add_report(result, guest);
}
