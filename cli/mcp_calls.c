/* Calls: each is a small machine that the loop moves on. It waits (for its turn in its session, for a
 * free place, for a guest), begins, runs its commands and its code one after the other, and is done.
 * The answer goes out when it is, unless it was cancelled. */
#include "cli/mcp.h"

#include <stdarg.h>
#include <string.h>

#define PROGRESS_MS   250  /* between two notifications about one call */
#define QUEUE_MS      1000 /* one that has waited so long is told of it */
#define CODE_GRACE    1000 /* ms after an interrupt until the guest is ended */
#define GUEST_ASK_MS  20   /* how often a guest is asked for, should nothing be heard */
#define STEPS_AT_ONCE 64   /* commands of one call without looking at the others */

static uint64_t ms_until(uint64_t due_ns, uint64_t now_ns)
{
    return due_ns > now_ns ? (due_ns - now_ns) / 1000000u + 1 : 0;
}

/* ---- Making and forgetting ---- */

static void call_free(struct mcp *mcp, struct mcp_call *call)
{
    if (call->session != NULL && call->session->busy == call)
        call->session->busy = NULL;
    mcp_fork_free(call->fork);
    belljar_guest_free(call->guest);
    for (unsigned i = 0; i < call->step_count; i++)
        if (!call->steps[i].is_shared)
            free(call->steps[i].code.bytes);
    for (unsigned i = 0; i < call->file_count; i++) {
        free((char *)call->files[i].path);
        free((void *)call->files[i].bytes);
    }
    free(call->steps);
    free(call->files);
    mcp_shown_release(&call->shown);
    json_decref(call->id);
    json_decref(call->arguments);
    json_decref(call->token);
    json_decref(call->answer);
    json_decref(call->made);
    mcp->waiting_bytes -= call->bytes;
    mcp->call_count--;
    free(call);
}

void mcp_call_new(struct mcp *mcp, const json_t *id, const struct mcp_tool *tool, json_t *arguments,
                  json_t *token, size_t bytes)
{
    bool is_full = mcp->call_count >= MCP_CALLS_MAX || bytes > MCP_WAITING_MAX - mcp->waiting_bytes;
    struct mcp_call *call = is_full && id != NULL ? NULL : calloc(1, sizeof *call);
    if (call == NULL) {
        mcp_refuse(mcp, id, RPC_BUSY,
                   "%u requests are waiting or running: send this one again later",
                   mcp->call_count);
        return;
    }
    call->id = json_deep_copy(id);
    call->arguments = arguments != NULL ? json_incref(arguments) : json_object();
    call->token = json_incref(token);
    call->mcp = mcp;
    call->tool = tool;
    call->bytes = bytes;
    call->arrived_ns = clock_now_ns();
    mcp->waiting_bytes += bytes;
    mcp->call_count++;
    struct mcp_call **at = &mcp->calls;
    while (*at != NULL)
        at = &(*at)->next;
    *at = call;
}

static struct mcp_call *find_call(const struct mcp *mcp, const json_t *id)
{
    struct mcp_call *call = mcp->calls;
    while (call != NULL && (call->id == NULL || call->is_cancelled || !json_equal(call->id, id)))
        call = call->next;
    return call;
}

bool mcp_call_has(const struct mcp *mcp, const json_t *id)
{
    return find_call(mcp, id) != NULL;
}

void mcp_calls_release(struct mcp *mcp)
{
    while (mcp->calls != NULL) {
        struct mcp_call *next = mcp->calls->next;
        call_free(mcp, mcp->calls);
        mcp->calls = next;
    }
    mcp->running = 0;
}

/* ---- Ends ---- */

void mcp_call_done(struct mcp_call *call, json_t *answer)
{
    json_decref(call->answer);
    call->answer = answer;
    call->state = MCP_DONE;
}

void mcp_call_fail(struct mcp_call *call, const char *format, ...)
{
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mcp_call_done(call, mcp_text_answer(text, NULL, true));
}

void mcp_call_kill(struct mcp_call *call, const char *cause)
{
    call->cause = cause;
    if (call->state == MCP_RUNNING && call->on != NULL)
        (void)!belljar_guest_kill(call->on, BELLJAR_ERROR);
}

/* Nobody waits for it. Its session stays, if the code can be interrupted. */
void mcp_call_cancel(struct mcp *mcp, const json_t *id)
{
    struct mcp_call *call = find_call(mcp, id);
    if (call == NULL)
        return;
    call->is_cancelled = true;
    if (call->state == MCP_WAITING) {
        call->state = MCP_DONE;
    } else if (call->state == MCP_RUNNING && call->session != NULL) {
        (void)!belljar_guest_interrupt(call->on);
        call->is_late = true;
        call->soft_ns = clock_now_ns();
    } else if (call->state == MCP_RUNNING) {
        mcp_call_kill(call, "it was cancelled");
    }
}

/* ---- Jobs ---- */

static int add_step(struct mcp_call *call, const struct mcp_step *step)
{
    struct mcp_step *grown = realloc(call->steps, (call->step_count + 1) * sizeof *grown);
    if (grown == NULL)
        return -ENOMEM;
    call->steps = grown;
    call->steps[call->step_count++] = *step;
    return 0;
}

int mcp_call_step(struct mcp_call *call, struct belljar_guest *guest, struct belljar_code *code)
{
    int error = add_step(call, &(struct mcp_step){ .code = *code, .guest = guest });
    if (error < 0)
        free(code->bytes);
    *code = (struct belljar_code){ 0 };
    return error;
}

int mcp_call_step_shared(struct mcp_call *call, struct belljar_guest *guest,
                         const struct belljar_code *code)
{
    return add_step(call, &(struct mcp_step){ .code = *code, .is_shared = true, .guest = guest });
}

static void on_output(int stream, const char *bytes, size_t length, void *context)
{
    struct mcp_call *call = context;
    (void)stream;
    while (length > 0 && (bytes[length - 1] == '\n' || bytes[length - 1] == '\r'))
        length--;
    const char *line = length > 0 ? memrchr(bytes, '\n', length) : NULL;
    if (line != NULL) {
        length -= (size_t)(line + 1 - bytes);
        bytes = line + 1;
    }
    if (length == 0)
        return;
    snprintf(call->last_line, sizeof call->last_line, "%.*s",
             (int)(length < sizeof call->last_line ? length : sizeof call->last_line), bytes);
    call->has_line = true;
}

static void on_display(const struct belljar_display *forms, unsigned count, void *context)
{
    struct mcp_call *call = context;
    mcp_shown_add(call->mcp, &call->shown, forms, count);
}

/* A guest that sends a malformed display has broken the protocol: that is the run's verdict. */
static int on_frame(uint32_t type, const uint8_t *payload, size_t length, void *context)
{
    struct mcp_call *call = context;
    int error = belljar_guest_on_display(call->on, type, payload, length, on_display, call);
    if (error == -EBADMSG)
        (void)!belljar_guest_kill(call->on, BELLJAR_VIOLATION);
    return error;
}

/* The policy's limit, or less: where there is a session, some of it is left to interrupt first. */
static void set_times(const struct mcp *mcp, struct mcp_call *call, struct belljar_job *job)
{
    uint64_t most = mcp->limits.wall_ms, wanted = call->timeout_ms;
    if (most != 0 && (wanted == 0 || wanted > most))
        wanted = most;
    if (wanted == 0)
        return;
    job->wall_ms = (int64_t)wanted;
    if (call->session == NULL && !call->is_new)
        return;
    uint64_t hard = wanted + CODE_GRACE;
    if (most != 0 && hard > most)
        hard = most;
    uint64_t grace = wanted / 10 < CODE_GRACE ? wanted / 10 : CODE_GRACE;
    uint64_t soft = hard > wanted + grace ? wanted : hard - grace;
    job->wall_ms = (int64_t)hard;
    call->soft_ns = clock_now_ns() + soft * 1000000u;
}

/* Begins the next command, or the code. */
static void start_job(struct mcp *mcp, struct mcp_call *call)
{
    struct belljar_error error = { 0 };
    struct belljar_job job = BELLJAR_JOB_INIT;
    struct belljar_callbacks callbacks = { .context = call };
    job.soon = true; /* the loop steps whatever runs, each time */
    bool is_command = call->step < call->step_count;
    job.session = is_command || call->session != NULL || call->is_new;
    if (is_command) {
        const struct mcp_step *step = &call->steps[call->step];
        call->on = step->guest;
        job.code = (const char *)step->code.bytes;
        job.code_length = step->code.length;
        job.kind = BELLJAR_COMMAND;
    } else {
        const json_t *code = json_object_get(call->arguments, "python_code");
        code = code != NULL ? code : json_object_get(call->arguments, "code");
        job.code = json_string_value(code);
        job.code_length = json_string_length(code);
        job.last_value = job.shows = true;
        job.files = call->files;
        job.file_count = call->file_count;
        call->is_coding = true;
        callbacks.on_frame = on_frame;
        callbacks.on_output = call->token != NULL ? on_output : NULL;
        set_times(mcp, call, &job);
    }
    if (belljar_guest_start(call->on, &job, &callbacks, &error) == 0)
        return;
    struct mcp_session *session = call->session;
    if (session != NULL && belljar_guest_has_ended(call->on)) {
        mcp_call_fail(call, "The session %s is over: %s. Make a new one with create_session.",
                      session->handle, error.message);
        mcp_session_end(mcp, session, "%s", error.message);
    } else {
        mcp_call_fail(call, "%s: %s", error.step, error.message);
    }
}

/* A step has come to its end, or (without a result) the fork. */
static void finish(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    call->tool->finish(mcp, call, result);
    if (call->is_more && call->state == MCP_RUNNING) {
        call->is_more = false;
        start_job(mcp, call);
    }
}

/* The result of a command or of the code is there. */
static void on_result(struct mcp *mcp, struct mcp_call *call, struct belljar_result *result)
{
    if (!call->is_coding && call->step < call->step_count && result->verdict == BELLJAR_OK &&
        call->cause == NULL) {
        call->step++;
        if (call->step < call->step_count || call->tool == &mcp_tools[0]) {
            start_job(mcp, call);
            return;
        }
    }
    call->soft_ns = 0;
    finish(mcp, call, result);
}

/* Moves on whatever its guest has to say. */
static void step_job(struct mcp *mcp, struct mcp_call *call)
{
    if (mcp_call_is_forking(call)) {
        if (mcp_fork_is_done(call->fork))
            finish(mcp, call, NULL);
        return;
    }
    for (int i = 0; i < STEPS_AT_ONCE && call->state == MCP_RUNNING && !mcp_call_is_forking(call);
         i++) {
        struct belljar_error error = { 0 };
        struct belljar_result *result = NULL;
        int done = belljar_guest_step(call->on, &result, &error);
        if (done == 0)
            return;
        if (result != NULL)
            on_result(mcp, call, result);
        else
            /* files that cannot be handed in are the caller's to mend */
            mcp_call_fail(call, "%s%s: %s",
                          strcmp(error.step, "files") == 0 ? "" : "belljar itself failed: ",
                          error.step, error.message);
        belljar_result_free(result);
    }
}

/* ---- Beginning ---- */

/* The session that it names; it fails if there is none. */
static void find_session(struct mcp *mcp, struct mcp_call *call, const char *handle)
{
    call->session = mcp_session_find(mcp, handle);
    if (call->session == NULL)
        mcp_call_fail(call, "There is no session %.60s: %s", handle,
                      mcp_session_cause(mcp, handle));
    else if (call->id != NULL)
        call->session->used_ns = clock_now_ns();
}

/* A fresh guest, if it wants one and there is one. False if it has to wait. */
static bool take_guest(struct mcp *mcp, struct mcp_call *call)
{
    struct belljar_error error = { 0 };
    if (!call->tool->wants_guest || call->guest != NULL ||
        (call->tool == &mcp_tools[0] && call->session != NULL))
        return true;
    if (mcp->is_short_of_guests)
        return false; /* somebody waits already who came before */
    int taken = belljar_guest_try_take(mcp->template, &call->guest, &error);
    mcp->is_short_of_guests = taken == -EAGAIN;
    if (taken == -EAGAIN)
        return false;
    if (taken < 0)
        mcp_call_fail(call, "No sandbox can be started: %s: %s", error.step, error.message);
    return taken == 0;
}

/* Those before it in the same session have to be done first. */
static bool is_first(const struct mcp *mcp, const struct mcp_call *call)
{
    if (call->session == NULL || !call->tool->waits_its_turn)
        return true;
    for (const struct mcp_call *other = mcp->calls; other != call; other = other->next)
        if (other->session == call->session && other->state == MCP_WAITING &&
            other->tool->waits_its_turn)
            return false;
    return true;
}

/* The first look at a call: its arguments. */
static bool check_call(struct mcp *mcp, struct mcp_call *call)
{
    if (call->tool->begin == NULL || call->is_checked)
        return true;
    call->is_checked = true;
    const char *handle = json_string_value(json_object_get(call->arguments, "session"));
    bool is_run = call->tool == &mcp_tools[0];
    CLEANUP(heap_free)
    char *wrong = call->id != NULL ? mcp_check_arguments(call->tool->name, call->arguments) : NULL;
    if (wrong != NULL)
        mcp_call_fail(call, "%s. Call it again with that mended.", wrong);
    else if (is_run && handle != NULL && strcmp(handle, "new") == 0)
        call->is_new = true;
    else if (handle != NULL)
        find_session(mcp, call, handle);
    return call->state == MCP_WAITING && is_first(mcp, call);
}

static bool is_blocked(const struct mcp *mcp, const struct mcp_call *call)
{
    bool uses_place = call->tool->wants_guest || call->tool->waits_its_turn;
    return (uses_place && mcp->running >= mcp->limits.jobs) ||
           (call->tool->wants_packages && mcp->packages == NULL) ||
           (call->tool->waits_its_turn && call->session != NULL && call->session->busy != NULL &&
            call->session->busy != call);
}

/* Answers to tools/list, which wait for what is installed to be known. */
static void begin(struct mcp *mcp, struct mcp_call *call)
{
    if (call->tool->begin == NULL) {
        json_t *result = json_pack("{s:O}", "tools", mcp->tools);
        if (mcp->era == MCP_IS_MODERN) {
            json_object_set_new(result, "ttlMs", json_integer(3600000));
            json_object_set_new(result, "cacheScope", json_string("private"));
        }
        mcp_call_done(call, result);
        return;
    }
    call->state = MCP_RUNNING;
    call->on = call->session != NULL ? call->session->guest : call->guest;
    if (call->session != NULL && call->tool->waits_its_turn)
        call->session->busy = call;
    call->tool->begin(mcp, call);
    if (call->state == MCP_RUNNING)
        start_job(mcp, call);
}

/* ---- Progress ---- */

static void tell_progress(struct mcp *mcp, struct mcp_call *call, uint64_t now_ns)
{
    char text[96];
    if (call->token == NULL || call->is_cancelled || call->state == MCP_DONE ||
        now_ns - call->told_ns < PROGRESS_MS * 1000000ull)
        return;
    if (call->state == MCP_WAITING) {
        unsigned before = 0;
        for (struct mcp_call *other = mcp->calls; other != call; other = other->next)
            before += other->state == MCP_WAITING;
        if (now_ns - (call->told_ns != 0 ? call->told_ns : call->arrived_ns) <
            QUEUE_MS * 1000000ull)
            return;
        snprintf(text, sizeof text, "waiting, %u before it", before);
    } else if (!call->has_line) {
        return;
    }
    mcp_notify_progress(mcp, call->token, ++call->progress,
                        call->state == MCP_WAITING ? text : call->last_line);
    call->has_line = false;
    call->told_ns = now_ns;
}

/* ---- All of them ---- */

/* One that is to be over by now is interrupted, so that its session stays; then ended. */
static void watch_time(struct mcp_call *call, uint64_t now_ns)
{
    if (call->soft_ns == 0 || now_ns < call->soft_ns || call->state != MCP_RUNNING)
        return;
    if (!call->is_late) {
        call->is_late = true;
        (void)!belljar_guest_interrupt(call->on);
    } else if (call->is_cancelled && now_ns - call->soft_ns > CODE_GRACE * 1000000ull) {
        call->soft_ns = 0;
        mcp_call_kill(call, "its code was cancelled and did not stop when it was interrupted");
    }
}

/* Sends its answer. */
static void settle(struct mcp *mcp, struct mcp_call *call)
{
    if (call->id == NULL || call->is_cancelled)
        return;
    if (call->answer == NULL)
        mcp_refuse(mcp, call->id, RPC_INTERNAL, "out of memory");
    else
        mcp_answer(mcp, call->id, json_incref(call->answer));
}

static void advance(struct mcp *mcp, struct mcp_call *call, uint64_t now_ns)
{
    bool was_running = call->state == MCP_RUNNING;
    if (call->state == MCP_WAITING && check_call(mcp, call) && !is_blocked(mcp, call) &&
        take_guest(mcp, call))
        begin(mcp, call);
    else if (call->state == MCP_RUNNING)
        step_job(mcp, call);
    watch_time(call, now_ns);
    mcp->running += (call->state == MCP_RUNNING) - was_running;
    tell_progress(mcp, call, now_ns);
}

void mcp_calls_advance(struct mcp *mcp)
{
    uint64_t now_ns = clock_now_ns();
    mcp->is_short_of_guests = false;
    for (struct mcp_call **at = &mcp->calls; *at != NULL;) {
        struct mcp_call *call = *at;
        if (call->state == MCP_RUNNING || (call->state == MCP_WAITING && is_first(mcp, call)))
            advance(mcp, call, now_ns);
        if (call->state != MCP_DONE) {
            at = &call->next;
            continue;
        }
        settle(mcp, call);
        *at = call->next;
        call_free(mcp, call);
    }
}

unsigned mcp_calls_pollfds(struct mcp *mcp, struct pollfd *fds, unsigned most, int *timeout_ms)
{
    unsigned count = 0;
    bool waits_for_guest = false;
    uint64_t now_ns = clock_now_ns();
    for (struct mcp_call *call = mcp->calls; call != NULL; call = call->next) {
        int wait_ms = call->token != NULL ? PROGRESS_MS : INT32_MAX;
        if (call->state == MCP_RUNNING && mcp_call_is_forking(call) && most - count >= 8) {
            fds[count++] = (struct pollfd){ mcp_fork_fd(call->fork), POLLIN, 0 };
        } else if (call->state == MCP_RUNNING && most - count >= 8) {
            int own_ms;
            count += belljar_guest_pollfds(call->on, fds + count, most - count, &own_ms);
            wait_ms = own_ms < wait_ms ? own_ms : wait_ms;
        } else if (call->state == MCP_WAITING && call->tool->wants_guest &&
                   mcp->running < mcp->limits.jobs) {
            waits_for_guest = true;
        }
        if (call->state == MCP_RUNNING && call->soft_ns != 0) {
            uint64_t due = call->soft_ns + (call->is_late ? CODE_GRACE * 1000000ull : 0);
            uint64_t left = ms_until(due, now_ns);
            if (!call->is_late || call->is_cancelled)
                wait_ms = (int)(left < (uint64_t)wait_ms ? left : (uint64_t)wait_ms);
        }
        *timeout_ms = wait_ms < *timeout_ms ? wait_ms : *timeout_ms;
    }
    if (waits_for_guest && count < most) {
        fds[count++] = (struct pollfd){ belljar_template_fd(mcp->template), POLLIN, 0 };
        *timeout_ms = GUEST_ASK_MS < *timeout_ms ? GUEST_ASK_MS : *timeout_ms;
    }
    return count;
}
