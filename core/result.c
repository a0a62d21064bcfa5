/* Results: what a guest said of its run, what the supervisor knows of its end. Host process; the
 * payload is hostile. */
#define _GNU_SOURCE
#include "core/result.h"

#include "core/guest.h"
#include "core/size.h"
#include "core/template.h"
#include "wire/frame.h"
#include "wire/messages.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* Limits that python/belljar_guest/_outcome.py keeps to; a guest that does not is cut off. */
#define EXIT_NO_ROOM   70 /* guest/exchange.c: not even its own frames found room */
#define DISPLAYS_MAX   4096
#define ERROR_NAME_MAX 256
#define ERROR_TEXT_MAX (64u << 10)

const char *belljar_verdict_name(enum belljar_verdict verdict)
{
    static const char *const names[] = {
        [BELLJAR_OK] = "ok",
        [BELLJAR_ERROR] = "error",
        [BELLJAR_TIMEOUT] = "timeout",
        [BELLJAR_CPU] = "cpu",
        [BELLJAR_MEMORY] = "memory",
        [BELLJAR_OUTPUT] = "output",
        [BELLJAR_VIOLATION] = "violation",
        [BELLJAR_CRASHED] = "crashed",
        [BELLJAR_INFRA_ERROR] = "infra_error",
    };
    return (unsigned)verdict < ARRAY_SIZE(names) ? names[verdict] : "unknown";
}

struct belljar_result *result_new(void)
{
    return calloc(1, sizeof(struct belljar_result));
}

bool belljar_result_exception(const struct belljar_result *result,
                              struct belljar_exception *ret_exception)
{
    const char *name = result->error_name;
    bool is_exit = name != NULL && name[0] == '\0';
    if (name == NULL || (is_exit && result->exit_status == 0))
        return false;
    snprintf(ret_exception->status, sizeof ret_exception->status, "%d", result->exit_status);
    ret_exception->name = is_exit ? "SystemExit" : name;
    ret_exception->value = is_exit                       ? ret_exception->status
                           : result->error_value != NULL ? result->error_value
                                                         : "";
    ret_exception->traceback = !is_exit && result->traceback != NULL ? result->traceback : "";
    return true;
}

void belljar_result_free(struct belljar_result *result)
{
    if (result == NULL)
        return;
    for (unsigned i = 0; i < result->display_count; i++) {
        free((char *)result->displays[i].mime);
        free((uint8_t *)result->displays[i].bytes);
    }
    struct report report = { .violations = result->violations,
                             .violation_count = result->violation_count };
    report_release(&report);
    free(result->displays);
    free(result->stdout_bytes);
    free(result->stderr_bytes);
    free(result->error_name);
    free(result->error_value);
    free(result->traceback);
    free(result->text);
    free(result->value);
    free(result);
}

static void *copy_bytes(struct bytes field)
{
    char *copy = malloc(field.length + 1);
    if (copy != NULL) {
        memcpy(copy, field.bytes, field.length);
        copy[field.length] = '\0';
    }
    return copy;
}

/* The status that a shell sees, by verdict: those of timeout(1) and of shells, where they have one.
 */
static int verdict_exit_status(enum belljar_verdict verdict, int own)
{
    switch (verdict) {
    case BELLJAR_TIMEOUT:
    case BELLJAR_CPU:
        return 124;
    case BELLJAR_INFRA_ERROR:
        return 125;
    case BELLJAR_OUTPUT:
    case BELLJAR_VIOLATION:
        return 126;
    case BELLJAR_MEMORY:
        return 137;
    default:
        return own;
    }
}

static void result_set_outcome(struct belljar_result *result, uint32_t outcome, uint32_t status,
                               uint32_t flags)
{
    result->exit_status = 0;
    result->is_shown = flags & RESULT_SHOWN;
    if (outcome == RUN_EXCEPTION) {
        result->verdict = flags & RESULT_MEMORY    ? BELLJAR_MEMORY
                          : flags & RESULT_REFUSED ? BELLJAR_VIOLATION
                                                   : BELLJAR_ERROR;
        result->exit_status =
            verdict_exit_status(result->verdict, flags & RESULT_INTERRUPT ? 130 : 1);
    } else if (outcome == RUN_EXIT) {
        result->exit_status = (int)(status & 0xff);
        result->verdict = result->exit_status == 0 ? BELLJAR_OK : BELLJAR_ERROR;
    }
}

void result_set_refused(struct belljar_result *result, bool is_refused)
{
    result->verdict = is_refused ? BELLJAR_VIOLATION : BELLJAR_ERROR;
    result->exit_status = verdict_exit_status(result->verdict, 1);
}

static int unpack_displays(struct unpacker *message, struct belljar_result *result)
{
    uint32_t groups = unpack_count(message, 4);
    if (groups > DISPLAYS_MAX)
        return -EBADMSG;
    for (uint32_t i = 0; i < groups && !message->failed; i++) {
        uint32_t count = unpack_count(message, 8);
        if (count > DISPLAYS_MAX - result->display_count)
            return -EBADMSG; /* eight bytes of a guest's are a hundred of ours */
        for (uint32_t j = 0; j < count && !message->failed; j++) {
            struct belljar_display *grown =
                realloc(result->displays, (result->display_count + 1) * sizeof *result->displays);
            if (grown == NULL)
                return -ENOMEM;
            result->displays = grown;
            struct belljar_display *display = &grown[result->display_count++];
            struct bytes mime = unpack_bytes(message);
            struct bytes data = unpack_bytes(message);
            *display =
                (struct belljar_display){ copy_bytes(mime), copy_bytes(data), data.length, i };
            if (display->mime == NULL || display->bytes == NULL)
                return -ENOMEM;
        }
    }
    return 0;
}

int result_unpack(struct belljar_result *result, const uint8_t *payload, size_t length)
{
    struct unpacker message;
    unpacker_init(&message, payload, length);
    uint32_t outcome = unpack_u32(&message);
    uint32_t status = unpack_u32(&message);
    uint32_t flags = unpack_u32(&message);
    struct bytes name = unpack_bytes(&message);
    struct bytes text_of_error = unpack_bytes(&message);
    struct bytes traceback = unpack_bytes(&message);
    struct bytes text = unpack_bytes(&message);
    struct bytes value = unpack_bytes(&message);
    int error = unpack_displays(&message, result);
    if (error == 0 && (name.length > ERROR_NAME_MAX || text_of_error.length > 2 * ERROR_TEXT_MAX ||
                       traceback.length > 2 * ERROR_TEXT_MAX))
        return -EBADMSG;
    if (error < 0 || !unpacker_is_done(&message) || outcome > RUN_EXIT)
        return error < 0 ? error : -EBADMSG;
    if (outcome != RUN_OK) {
        result->error_name = copy_bytes(name);
        result->error_value = copy_bytes(text_of_error);
        result->traceback = copy_bytes(traceback);
        if (result->error_name == NULL || result->error_value == NULL || result->traceback == NULL)
            return -ENOMEM;
    }
    if (text.length > 0 && (result->text = copy_bytes(text)) == NULL)
        return -ENOMEM;
    if (value.length > 0) {
        result->value = copy_bytes(value);
        result->value_length = value.length;
        if (result->value == NULL)
            return -ENOMEM;
    }
    result_set_outcome(result, outcome, status, flags);
    return 0;
}

static void result_set_error(struct belljar_result *result, enum belljar_verdict verdict,
                             const char *name, const char *format, ...) PRINTF(4, 5);
static void result_set_error(struct belljar_result *result, enum belljar_verdict verdict,
                             const char *name, const char *format, ...)
{
    char text[sizeof((struct belljar_error *)NULL)->message + 64];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    result->verdict = verdict;
    result->error_name = strdup(name);
    result->error_value = strdup(text);
}

/* An allocation failed. Where there was room, that was one that is larger than what it may have; but
 * memory that would be executable is refused whatever its size, and libffi, asked for a
 * callback, has no other word for it. */
void result_check_memory(struct belljar_result *result, const struct settings *settings)
{
    if (result->usage.peak_bytes >= settings->memory_bytes - settings->memory_bytes / 8)
        return;
    for (unsigned i = 0; i < result->violation_count; i++) {
        if (strcmp(result->violations[i].rule, "jit") == 0) {
            result->verdict = BELLJAR_VIOLATION;
            result->exit_status = verdict_exit_status(BELLJAR_VIOLATION, 1);
            return;
        }
    }
}

/* The words of a limit go on with this where a guest never came to its first run: the caller's text took
 * its time, and not the program. */
static const char *warm_up_words(const struct belljar_guest *guest)
{
    const struct settings *settings = &guest->tmpl->settings;
    bool has_text = settings->warm != NULL && settings->warm[0] != '\0' && !settings->is_warm_ours;
    return has_text && guest->run_count == 1 && guest->is_unread && !guest->has_spoken
               ? " before this code was read: the text of warm= had not come to its end"
               : "";
}

/* Died by a signal of its own doing, or left with os._exit(). */
static void result_from_status(struct belljar_result *result, const struct belljar_guest *guest)
{
    int status = guest->report.status;
    const struct settings *settings = &guest->tmpl->settings;
    if (WIFEXITED(status)) {
        result->exit_status = WEXITSTATUS(status);
        if (guest->is_unread && !guest->has_spoken) { /* no end of the program's: it never began */
            result_set_error(result, BELLJAR_CRASHED, "Crash",
                             "the interpreter ended, with status %d, before it had read this code: "
                             "the text of warm= or an earlier run's thread ended it, or closed "
                             "descriptor 3",
                             result->exit_status);
            return;
        }
        if (result->exit_status == EXIT_NO_ROOM &&
            guest->report.peak_bytes > settings->memory_bytes / 2) {
            result_set_error(result, BELLJAR_MEMORY, "MemoryError", "no memory was left to say so");
            return;
        }
        if (result->exit_status == 0)
            result->verdict = BELLJAR_OK;
        else
            result_set_error(result, BELLJAR_ERROR, "SystemExit", "%d", result->exit_status);
        return;
    }
    result->signal = WTERMSIG(status);
    result->exit_status = 128 + result->signal;
    if (result->signal == SIGSYS)
        result_set_error(result, BELLJAR_VIOLATION, "Violation",
                         "made a system call that ends the process (rule: system calls)");
    else if (result->signal == SIGXCPU)
        result_set_error(result, BELLJAR_CPU, "TimeoutError", "CPU time limit reached");
    else
        result_set_error(result, BELLJAR_CRASHED, "Crash", "the interpreter died by signal %d (%s)",
                         result->signal,
                         sigabbrev_np(result->signal) ? sigabbrev_np(result->signal) : "?");
}

/* faulthandler's text without the frames of belljar's own runner, which stand at the outer end. */
static char *crash_traceback(const char *crash)
{
    char *text = strdup(crash);
    char *to = text;
    bool in_runner = false;
    for (const char *line = text; text != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');
        size_t length = end ? (size_t)(end - line) + 1 : strlen(line);
        bool is_frame = strncmp(line, "  File ", 7) == 0;
        in_runner = is_frame && (in_runner || strncmp(line, "  File \"<belljar", 16) == 0);
        if (!in_runner) {
            memmove(to, line, length);
            to += length;
        }
        line += length;
    }
    if (text != NULL)
        *to = '\0';
    return text;
}

void result_from_end(struct belljar_result *result, const struct belljar_guest *guest)
{
    const struct settings *settings = &guest->tmpl->settings;
    int killed_for = guest->killed_for - 1;
    switch (guest->report.reason) {
    case END_WALL:
        result_set_error(result, BELLJAR_TIMEOUT, "TimeoutError",
                         "wall time limit of %g s reached%s", (double)guest->wall_ms / 1000,
                         warm_up_words(guest));
        break;
    case END_CPU:
        result_set_error(result, BELLJAR_CPU, "TimeoutError", "CPU time limit of %g s reached%s",
                         (double)guest->cpu_ms / 1000, warm_up_words(guest));
        break;
    case END_MEMORY:
        result_set_error(result, BELLJAR_MEMORY, "MemoryError", "memory limit of %s reached",
                         size_words(settings->memory_bytes).text);
        break;
    case END_THREADS:
        result_set_error(result, BELLJAR_VIOLATION, "Violation",
                         "more than %u threads (rule: threads); allow more with --threads N or "
                         "Policy(threads=N)",
                         settings->threads);
        break;
    case END_SCRATCH:
        result_set_error(result, BELLJAR_VIOLATION, "Violation",
                         "more than %s or %u files of scratch (rule: scratch); allow more "
                         "with --scratch SIZE, "
                         "--scratch-files N",
                         size_words(settings->scratch_bytes).text, settings->scratch_files);
        break;
    case END_UNSEEN:
        result_set_error(result, BELLJAR_VIOLATION, "Violation",
                         "its main thread ended while others went on, so that its limits could not "
                         "be looked at (rule: limits); end the program with sys.exit or os._exit");
        break;
    case END_STRAY:
        result_set_error(result, BELLJAR_VIOLATION, "Violation",
                         "made a process of its own, or none, when it was to be forked (rule: "
                         "processes)");
        break;
    case END_CLOSED:
        result_set_error(result, BELLJAR_VIOLATION, "ProtocolError", "closed its value channel");
        break;
    case END_PROTOCOL:
        result_set_error(result, BELLJAR_INFRA_ERROR, "SandboxError",
                         "the supervisor could not serve this guest");
        break;
    case END_HOST:
        if (killed_for == BELLJAR_OUTPUT)
            result_set_error(result, BELLJAR_OUTPUT, "OutputError",
                             "wrote far more than the output limit of %s",
                             size_words(settings->output_bytes).text);
        else if (killed_for == BELLJAR_VIOLATION)
            result_set_error(result, BELLJAR_VIOLATION, "ProtocolError",
                             "sent a malformed message on its value channel");
        else if (killed_for == BELLJAR_TIMEOUT)
            result_set_error(result, BELLJAR_TIMEOUT, "TimeoutError",
                             "ended by the host: time is up");
        else
            result_set_error(result, BELLJAR_ERROR, "Cancelled", "ended by the host");
        break;
    default:
        if (killed_for == BELLJAR_VIOLATION) /* it had gone already when we made sure */
            result_set_error(result, BELLJAR_VIOLATION, "ProtocolError",
                             "sent a malformed message on its value channel");
        else
            result_from_status(result, guest);
    }
    result->exit_status =
        verdict_exit_status(result->verdict, result->exit_status ? result->exit_status : 1);
    if (result->verdict == BELLJAR_OK)
        result->exit_status = 0;
    if (guest->report.crash != NULL && guest->report.crash[0] != '\0')
        result->traceback = crash_traceback(guest->report.crash);
}

void result_was_interrupted(struct belljar_result *result, const struct belljar_guest *guest)
{
    bool is_wall = guest->report.reason == END_WALL;
    free(result->error_name);
    free(result->error_value);
    result_set_error(result, is_wall ? BELLJAR_TIMEOUT : BELLJAR_CPU, "TimeoutError",
                     "%s time limit of %g s reached%s", is_wall ? "wall" : "CPU",
                     (double)(is_wall ? guest->wall_ms : guest->cpu_ms) / 1000,
                     guest->has_ended ? "" : ": the code was interrupted, the session goes on");
    result->exit_status = verdict_exit_status(result->verdict, 1);
}

/* A refusal that ended a guest, not by an answer of the supervisor's, is on record as well. The
 * report's array has room for one. */
static void report_add_end(struct report *report, const struct belljar_result *result)
{
    static const struct belljar_violation records[] = {
        [END_ITSELF] = { "result", "channel", "protocol",
                         "descriptors 3 and 4 are belljar's own: leave them alone" },
        [END_THREADS] = { "clone", "thread", "threads",
                          "allow more with --threads N or Policy(threads=N)" },
        [END_UNSEEN] = { "exit", "the main thread", "threads",
                         "end the process (sys.exit, os._exit), not its main thread alone" },
        [END_STRAY] = { "clone", "process", "processes",
                        "a session is forked by its host: Sandbox.fork()" },
    };
    static const struct belljar_violation call = { "system call", "one that ends the process",
                                                   "system calls", "not part of any policy" };
    const struct belljar_violation *found = &records[END_ITSELF];
    if (result->signal == SIGSYS)
        found = &call;
    else if (report->reason < ARRAY_SIZE(records) && records[report->reason].op != NULL)
        found = &records[report->reason];
    struct belljar_violation *record = &report->violations[0];
    record->op = strdup(found->op);
    record->target = strdup(found->target);
    record->rule = strdup(found->rule);
    record->hint = strdup(found->hint);
    report->violation_count = report->refused = 1;
}

void result_from_failure(struct belljar_result *result, const struct belljar_error *error)
{
    free(result->error_name);
    free(result->error_value);
    free(result->traceback);
    result->traceback = NULL;
    result_set_error(result, BELLJAR_INFRA_ERROR, "SandboxError", "%s: %s", error->step,
                     error->message);
    result->exit_status = verdict_exit_status(result->verdict, 1);
    result->is_complete = true; /* nobody is left who knows more */
}

int result_add_report(struct belljar_result *result, struct report *report)
{
    if (!report->is_there)
        return -EINVAL;
    if (result->verdict == BELLJAR_VIOLATION && report->refused == 0 && report->violations != NULL)
        report_add_end(report, result);
    result->usage.cpu_ms = (double)report->cpu_us / 1000;
    result->usage.peak_bytes = report->peak_bytes;
    result->usage.served = report->served;
    result->refused = report->refused;
    result->probes = report->probes;
    result->violations = report->violations; /* taken */
    result->violation_count = report->violation_count;
    report->violations = NULL;
    report->violation_count = 0;
    result->is_complete = true;
    return 0;
}
