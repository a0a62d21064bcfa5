/* belljar run: one program in one fresh guest. Runs as the caller; what comes out of the guest is
 * printed or quoted, never interpreted. Start at command_run(). */
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const struct own_row run_options[] = {
    { OWN_CODE, true, "-c", "CODE", "Run CODE; what follows are its arguments." },
    { OWN_MODULE, true, "-m", "MODULE",
      "Run an importable module, as python -m does; what follows are its arguments." },
    { OWN_FILE, false, "--file", "PATH[:NAME]",
      "Copy this file or directory in, to /work, where the guest then starts. May be repeated." },
    { OWN_OUT, false, "--out", "DIR",
      "Collect what the run leaves in /work, where the guest then starts, in this directory, which "
      "may be new. Nothing there is overwritten." },
    { OWN_FORCE, false, "--force", NULL, "Let --out overwrite files." },
    { OWN_NO_SCRIPT_DIR, false, "--no-script-dir", NULL,
      "Do not let the script read its own folder." },
    { OWN_POLICY, false, "--policy", "FILE",
      "Read the policy from a JSON file; other options are applied after it." },
    { OWN_AUDIT, false, "--audit", "FILE",
      "Append one line of JSON to FILE for every operation that the supervisor performed or "
      "refused." },
    { OWN_AUDIT_ONLY, false, "--audit-only", NULL,
      "DO NOT CONFINE: run the program with all of your rights, and say on stderr what the policy "
      "would refuse. Only for programs that you trust, to find their policy." },
    { OWN_JSON, false, "--json", NULL,
      "Print nothing but one JSON object, with the keys of Execution.to_json in Python: verdict, "
      "exit, stdout, stderr, logs, error, usage, violations, refused, probes, truncated, text, "
      "results." },
    { OWN_QUIET, false, "--quiet", NULL,
      "Leave out belljar's own remarks about limits and refusals." },
    { OWN_VERBOSE, false, "--verbose", NULL,
      "Remark every refusal, and not only the one that ended the program." },
    { OWN_HELP, false, "--help", NULL, "Show this." },
    { OWN_NONE, false, NULL, NULL, NULL },
};

/* Written by the signal handler, which takes no argument: the one variable at file scope. */
static volatile sig_atomic_t interrupts;

static void on_sigint(int number)
{
    if (interrupts == 2) /* told, killed, and still here: our own output may be what blocks */
        end_by_signal(number);
    interrupts = interrupts + 1;
}

struct run {
    struct belljar_guest *guest;
    bool is_interrupted;    /* the guest was told */
    int broken_output;      /* the descriptor nobody reads any more, or 0 */
    bool ends_with_line[3]; /* by stream: the last byte was a newline, or there was none */
    FILE *audit;
    const struct missed *missed; /* a name that is on the host, and was not found; or NULL */
};

/* ---- While it runs ---- */

/* All of it to one of our own streams. False if nobody reads there any more. */
static bool write_stream(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno != EINTR && errno != EAGAIN)
            return false;
        if (written < 0 && errno == EAGAIN)
            poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
        }
    }
    return true;
}

static void on_output(int stream, const char *bytes, size_t length, void *context)
{
    struct run *run = context;
    if (run->broken_output == stream || length == 0)
        return;
    run->ends_with_line[stream] = bytes[length - 1] == '\n';
    if (!write_stream(stream, bytes, length))
        run->broken_output = stream;
}

static bool is_cancelled(void *context)
{
    struct run *run = context;
    if (interrupts > 0 && !run->is_interrupted) {
        run->is_interrupted = true;
        /* If it cannot be told it is killed: the user wants it to end. */
        return belljar_guest_interrupt(run->guest) < 0;
    }
    /* Like `python | head`, but python would find out by its own write. */
    return interrupts > 1 || run->broken_output == STDOUT_FILENO;
}

static void on_operation(const struct belljar_operation *operation, void *context)
{
    struct run *run = context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    json_t *line = json_pack("{s:f, s:I, s:o, s:o, s:o, s:o}", "time",
                             (double)now.tv_sec + (double)now.tv_nsec / 1e9, "guest",
                             (json_int_t)operation->guest, "op", json_text0(operation->op),
                             "target", json_text0(operation->target), "outcome",
                             json_text0(operation->outcome), "rule", json_text0(operation->rule));
    if (line != NULL && json_dumpf(line, run->audit, JSON_COMPACT) == 0)
        fputc('\n', run->audit);
    json_decref(line);
}

/* ---- Before ---- */

/* The program: source, and where the guest thinks it came from. */
struct program {
    struct source source;
    struct place place;
    char *path0;       /* NULL: /work */
    char *filename;    /* where the guest finds the script; NULL: nowhere */
    const char **argv; /* borrows its strings */
};

static void program_release(struct program *program)
{
    source_release(&program->source);
    free(program->path0);
    free(program->filename);
    free(program->argv);
}

/* The script's path for the guest, whose folder it has as path0. Its name is the one that was
 * given, as long as that is one in this folder too: links lead elsewhere. */
static char *script_filename(const char *path0, const char *script)
{
    CLEANUP(heap_free) char *real = realpath(script, NULL);
    char *slash = real != NULL ? strrchr(real, '/') : NULL;
    if (slash == NULL)
        return NULL;
    const char *given = strrchr(script, '/');
    given = given != NULL ? given + 1 : script;
    CLEANUP(heap_free) char *beside = NULL;
    if (asprintf(&beside, "%.*s/%s", (int)(slash - real), real, given) < 0)
        return NULL;
    char *filename = NULL;
    const char *name = access(beside, F_OK) == 0 ? given : slash + 1;
    return asprintf(&filename, "%s/%s", strcmp(path0, "/") == 0 ? "" : path0, name) < 0 ? NULL
                                                                                        : filename;
}

/* Modules are found, as with `python -c`, in the directory where it starts. */
static char *start_path0(const struct belljar_policy *policy)
{
    char *directory = policy_text(policy, "cwd"), caller[PATH_MAX];
    if (directory != NULL || getcwd(caller, sizeof caller) == NULL)
        return directory;
    return place_in_guest(policy, caller, true);
}

/* Fills the job from the command line. 0 or an exit status, after a message. */
static int prepare(struct arguments *arguments, struct program *program, struct belljar_job *job)
{
    const char *code = arguments->own[OWN_CODE], *module = arguments->own[OWN_MODULE];
    const char *script =
        code == NULL && module == NULL && arguments->rest_count > 0 ? arguments->rest[0] : NULL;
    if (code == NULL && module == NULL && script == NULL) {
        complain("nothing to run: name a script, or give -c CODE, -m MODULE or - (see belljar run "
                 "--help)");
        return EXIT_USAGE;
    }
    int status = place_set(arguments, script, &program->place);
    if (status == 0)
        status = place_check(arguments);
    if (status != 0)
        return status;
    unsigned count = (unsigned)arguments->rest_count - (script != NULL);
    program->argv = calloc(count + 1, sizeof *program->argv);
    if (program->argv == NULL) {
        complain("out of memory");
        return EXIT_BELLJAR;
    }
    program->argv[0] = code != NULL ? "-c" : module != NULL ? module : script;
    for (unsigned i = 0; i < count; i++)
        program->argv[1 + i] = arguments->rest[i + (script != NULL)];
    job->argv = program->argv;
    job->argc = count + 1;
    job->stdin_fd = fcntl(STDIN_FILENO, F_GETFD) < 0 ? -1 : STDIN_FILENO;
    if (script == NULL) {
        if (program->place.has_cwd)
            job->path0 = program->path0 = start_path0(arguments->policy);
        job->code = code != NULL ? code : module;
        job->code_length = strlen(job->code);
        job->kind = module != NULL ? BELLJAR_MODULE : BELLJAR_SOURCE;
        job->filename = code != NULL ? "<string>" : NULL;
        size_t bad = utf8_error_offset(job->code, job->code_length);
        if (bad < job->code_length) {
            complain("the value of %s is not UTF-8 (byte offset %zu)", code != NULL ? "-c" : "-m",
                     bad);
            return EXIT_USAGE;
        }
        return 0;
    }
    status = source_read(script, &program->source);
    if (status != 0)
        return status;
    bool is_stdin = strcmp(script, "-") == 0;
    job->code = program->source.bytes;
    job->code_length = program->source.length;
    job->kind = BELLJAR_SCRIPT;
    job->filename = is_stdin ? "<stdin>" : script;
    if (is_stdin)
        job->stdin_fd = -1; /* read to its end: it was the program */
    if (is_stdin && program->place.has_cwd)
        job->path0 = program->path0 = start_path0(arguments->policy);
    else if (!is_stdin)
        job->path0 = program->path0 = script_path0(arguments->policy, script);
    if (program->path0 != NULL && !is_stdin)
        program->filename = script_filename(program->path0, script);
    if (program->filename != NULL)
        job->filename = program->filename;
    return 0;
}

/* A policy option as a number, for remarks; -1 if it is none. */
static double policy_number(const struct belljar_policy *policy, const char *key)
{
    CLEANUP(heap_free) char *text = belljar_policy_json(policy);
    json_t *root = text != NULL ? json_loads(text, 0, NULL) : NULL;
    json_t *value = json_object_get(root, key);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    json_decref(root);
    return number;
}

/* ---- After ---- */

/* The frame that was running, from a traceback: python's has it last, faulthandler's first. */
static void running_frame(const char *traceback, char *frame, size_t size)
{
    frame[0] = '\0';
    if (traceback == NULL)
        return;
    /* before it there may be the traceback of an exception whose program did not come to its end */
    const char *first = strstr(traceback, "most recent call first");
    for (const char *at = first != NULL ? first : traceback; (at = strstr(at, "  File \"")) != NULL;
         at += 8) {
        snprintf(frame, size, "%.*s", (int)strcspn(at + 2, "\n"), at + 2);
        if (first != NULL)
            return;
    }
}

static bool has_python_traceback(const struct belljar_result *result)
{
    return result->traceback != NULL &&
           strstr(result->traceback, "Traceback (most recent call last)") != NULL;
}

/* "CPU time limit of 5 s reached; it was running: …" */
static void remark_time(const struct belljar_policy *policy, const char *what, const char *key,
                        const char *where)
{
    double limit = policy_number(policy, key);
    if (limit > 0)
        complain("%s limit of %g s reached%s", what, limit, where);
    else
        complain("%s limit reached%s", what, where);
}

/* One line about a limit, in the words of its option. */
static void remark_limit(const struct belljar_policy *policy, const struct belljar_result *result)
{
    char frame[512], where[560] = "";
    running_frame(result->traceback, frame, sizeof frame);
    if (frame[0] != '\0')
        snprintf(where, sizeof where, "; %s was running: %s",
                 result->error_value != NULL && strstr(result->error_value, "the text of warm=")
                     ? "the text of warm="
                     : "it",
                 frame);
    switch (result->verdict) {
    case BELLJAR_TIMEOUT:
        remark_time(policy, "time", "timeout", where);
        break;
    case BELLJAR_CPU:
        remark_time(policy, "CPU time", "cpu", where);
        break;
    case BELLJAR_MEMORY:
        if (has_python_traceback(result))
            snprintf(where, sizeof where, " and MemoryError not caught");
        complain("memory limit reached (--memory)%s", where);
        break;
    case BELLJAR_OUTPUT:
        complain("killed: it wrote far more than the output limit (--output)");
        break;
    case BELLJAR_CRASHED:
        complain("it was killed by signal %d (%s)%s", result->signal, strsignal(result->signal),
                 where);
        break;
    case BELLJAR_VIOLATION:
        if (!has_python_traceback(result)) /* ended by the supervisor: nothing else says why */
            complain("%s", result->error_value != NULL ? result->error_value
                                                       : "it was ended by a refusal");
        break;
    default:
        break;
    }
}

static void remark_refusal(const struct belljar_violation *violation)
{
    complain("refused %s%s%s%s%s%s%s%s", violation->op, violation->target[0] != '\0' ? " " : "",
             violation->target, violation->rule[0] != '\0' ? " (rule " : "", violation->rule,
             violation->rule[0] != '\0' ? ")" : "", violation->hint[0] != '\0' ? ": " : "",
             violation->hint);
}

/* The refusal that ended the program, as far as can be told: the last one that its error is about. */
static const struct belljar_violation *last_refusal(const struct belljar_result *result)
{
    const char *error = result->error_value != NULL ? result->error_value : "";
    for (unsigned i = result->violation_count; i-- > 0;) {
        const struct belljar_violation *violation = &result->violations[i];
        if (strstr(error, violation->target[0] != '\0' ? violation->target : violation->hint))
            return violation;
    }
    return result->violation_count > 0 && result->violation_count == result->refused
               ? &result->violations[result->violation_count - 1]
               : NULL;
}

/* Remarks for a user who was refused or cut. Refusals that a program coped with are for those
 * who ask. */
static void remark_refusals(const struct belljar_result *result, const struct missed *missed,
                            bool is_verbose)
{
    if (result->truncated)
        complain("output over its limit was cut: stdout had %llu bytes, stderr %llu (--output)",
                 (unsigned long long)result->stdout_total,
                 (unsigned long long)result->stderr_total);
    if (missed != NULL && result->verdict != BELLJAR_OK)
        complain("refused %s (rule files): %s", missed->target, missed->hint);
    const struct belljar_violation *last = last_refusal(result);
    if (!is_verbose) {
        if (result->verdict == BELLJAR_VIOLATION && last != NULL)
            remark_refusal(last);
        return;
    }
    for (unsigned i = 0; i < result->violation_count; i++)
        remark_refusal(&result->violations[i]);
    if (result->refused > result->violation_count)
        complain("and %u refusals more (--audit FILE lists all)",
                 result->refused - result->violation_count);
    if (result->probes > 0)
        complain("it looked %u times for what is not shown, and went on", result->probes);
}

static json_t *violations_json(const struct belljar_result *result, const struct missed *missed)
{
    json_t *list = json_array();
    if (missed != NULL)
        json_array_append_new(list, json_pack("{s:s, s:o, s:s, s:o}", "op", "open", "target",
                                              json_text0(missed->target), "rule", "files", "hint",
                                              json_text0(missed->hint)));
    for (unsigned i = 0; i < result->violation_count; i++) {
        const struct belljar_violation *violation = &result->violations[i];
        json_array_append_new(
            list, json_pack("{s:o, s:o, s:o, s:o}", "op", json_text0(violation->op), "target",
                            json_text0(violation->target), "rule", json_text0(violation->rule),
                            "hint", json_text0(violation->hint)));
    }
    return list;
}

static json_t *error_json(const struct belljar_result *result)
{
    struct belljar_exception exception;
    if (!belljar_result_exception(result, &exception))
        return json_null();
    return json_pack("{s:o, s:o, s:o}", "name", json_text0(exception.name), "value",
                     json_text0(exception.value), "traceback", json_text0(exception.traceback));
}

/* The number of bytes of a line's end at `at`, by the rule of Python's str.splitlines(); 0: none.
 */
static size_t line_end(const char *at)
{
    static const char *const ends[] = { "\r\n",     "\n",           "\r",          "\v",
                                        "\f",       "\x1c",         "\x1d",        "\x1e",
                                        "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9" };
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        if (strncmp(at, ends[i], strlen(ends[i])) == 0)
            return strlen(ends[i]);
    return 0;
}

/* The lines of a JSON string, their ends included. */
static json_t *lines_json(const json_t *text)
{
    const char *line = json_string_value(text), *at = line;
    const char *end = line != NULL ? line + json_string_length(text) : NULL;
    json_t *list = json_array();
    while (at < end) {
        size_t step = line_end(at);
        at += step > 0 ? step : 1;
        if (step > 0 || at == end) {
            json_array_append_new(list, json_stringn(line, (size_t)(at - line)));
            line = at;
        }
    }
    return list;
}

/* The shape of Execution.to_json() in Python, whether there was a result or only an error of ours.
 * A program has neither a value (`text`) nor displays (`results`). */
static int print_result_json(const struct belljar_result *result, const struct missed *missed)
{
    json_t *out = json_text(result->stdout_bytes != NULL ? result->stdout_bytes : "",
                            result->stdout_length),
           *err = json_text(result->stderr_bytes != NULL ? result->stderr_bytes : "",
                            result->stderr_length);
    json_t *logs = json_pack("{s:o, s:o}", "stdout", lines_json(out), "stderr", lines_json(err));
    json_t *usage =
        json_pack("{s:f, s:f, s:I, s:I}", "wall_ms", result->usage.wall_ms, "cpu_ms",
                  result->usage.cpu_ms, "peak_bytes", (json_int_t)result->usage.peak_bytes,
                  "served", (json_int_t)result->usage.served);
    return json_print(
        json_pack("{s:s, s:i, s:n, s:[], s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:I, s:b}", "verdict",
                  belljar_verdict_name(result->verdict), "exit", result->exit_status, "text",
                  "results", "stdout", out, "stderr", err, "logs", logs, "error",
                  error_json(result), "usage", usage, "violations", violations_json(result, missed),
                  "refused", (json_int_t)result->refused + (missed != NULL), "probes",
                  (json_int_t)result->probes, "truncated", result->truncated));
}

/* belljar's own failure, in the form that was asked for. */
static int report_failure(const struct arguments *arguments, const struct belljar_error *error)
{
    complain_error(error, EXIT_BELLJAR);
    if (arguments->own[OWN_JSON] == NULL)
        return EXIT_BELLJAR;
    char name[] = "SandboxError", value[sizeof error->step + sizeof error->message + 2];
    snprintf(value, sizeof value, "%s: %s", error->step, error->message);
    struct belljar_result result = { .verdict = BELLJAR_INFRA_ERROR,
                                     .exit_status = EXIT_BELLJAR,
                                     .error_name = name,
                                     .error_value = value };
    int status = print_result_json(&result, NULL);
    return status != 0 ? status : EXIT_BELLJAR;
}

/* The program could not be had, of which people have been told. */
static int report_bad_use(const struct arguments *arguments, int status)
{
    if (arguments->own[OWN_JSON] == NULL)
        return status;
    char name[] = "SandboxError", value[512];
    snprintf(value, sizeof value, "%s", last_complaint());
    struct belljar_result result = { .verdict = BELLJAR_INFRA_ERROR,
                                     .exit_status = status,
                                     .error_name = name,
                                     .error_value = value };
    int failed = print_result_json(&result, NULL);
    return failed != 0 ? failed : status;
}

static int report(const struct arguments *arguments, const struct run *run,
                  const struct belljar_result *result)
{
    if (arguments->own[OWN_JSON] != NULL) {
        int status = print_result_json(result, run->missed);
        return status != 0 ? status : result->exit_status;
    }
    if (run->broken_output == STDOUT_FILENO)
        return 128 + SIGPIPE;
    if (interrupts > 1) /* python's own answer to Ctrl-C */
        return 128 + SIGINT;
    bool has_traceback =
        !result->is_shown && result->traceback != NULL && result->traceback[0] != '\0';
    if (has_traceback && !run->ends_with_line[STDERR_FILENO])
        fputc('\n', stderr);
    if (result->verdict == BELLJAR_INFRA_ERROR)
        complain("%s", result->error_value != NULL ? result->error_value : "internal error");
    else if (arguments->own[OWN_QUIET] == NULL)
        remark_limit(arguments->policy, result);
    if (has_traceback) {
        fputs(result->traceback, stderr);
        if (result->traceback[strlen(result->traceback) - 1] != '\n')
            fputc('\n', stderr);
    }
    if (arguments->own[OWN_QUIET] == NULL)
        remark_refusals(result, run->missed, arguments->own[OWN_VERBOSE] != NULL);
    return result->exit_status;
}

/* ---- The run ---- */

static void template_release(struct belljar_template **template)
{
    belljar_template_close(*template);
}

static void guest_release(struct belljar_guest **guest)
{
    belljar_guest_free(*guest);
}

static void result_release(struct belljar_result **result)
{
    belljar_result_free(*result);
}

static void audit_release(struct run *run)
{
    if (run->audit != NULL && fclose(run->audit) != 0)
        complain("the audit file is not complete: %s", strerror(errno));
}

/* True if what is known of a run only once its guest has ended is to be told or collected. */
static bool must_wait(const struct arguments *arguments, const struct handing *handing,
                      const struct belljar_result *result)
{
    return arguments->own[OWN_JSON] != NULL || arguments->own[OWN_AUDIT] != NULL ||
           handing->out >= 0 || !result->is_unrefused;
}

/* No guest is made: an interpreter runs the program, and tells (python/belljar/_audit_only.py). */
static int run_audit_only(struct arguments *arguments)
{
    static const enum own_option others[] = { OWN_FILE, OWN_OUT, OWN_JSON, OWN_AUDIT };
    const char *code = arguments->own[OWN_CODE], *module = arguments->own[OWN_MODULE];
    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        if (arguments->own[others[i]] != NULL) {
            complain("--audit-only runs no guest: leave out --file, --out, --json and --audit");
            return EXIT_USAGE;
        }
    if (code == NULL && module == NULL && arguments->rest_count == 0) {
        complain("nothing to run: name a script, or give -c CODE, -m MODULE or - (see belljar run "
                 "--help)");
        return EXIT_USAGE;
    }
    struct place place;
    int status =
        place_set(arguments, code == NULL && module == NULL ? arguments->rest[0] : NULL, &place);
    if (status == 0)
        status = place_check(arguments);
    if (status != 0)
        return status;
    const char *const flags[] = { code != NULL     ? "--code"
                                  : module != NULL ? "--module"
                                                   : NULL,
                                  code != NULL ? code : module, NULL };
    return python_become("belljar._audit_only_command", arguments, flags);
}

int command_run(struct arguments *arguments)
{
    if (arguments->own[OWN_AUDIT_ONLY] != NULL)
        return run_audit_only(arguments);
    CLEANUP(program_release) struct program program = { 0 };
    struct belljar_job job = BELLJAR_JOB_INIT;
    int status = prepare(arguments, &program, &job);
    if (status != 0)
        return report_bad_use(arguments, status);
    CLEANUP(handing_release) struct handing handing = HANDING_NONE;
    status = handing_prepare(arguments, &handing);
    if (status != 0)
        return report_bad_use(arguments, status);
    job.files = handing.files;
    job.file_count = handing.count;

    CLEANUP(audit_release) struct run run = { .ends_with_line = { true, true, true } };
    struct belljar_template_options options = { .once = true, .context = &run };
    if (arguments->own[OWN_AUDIT] != NULL) {
        run.audit = fopen(arguments->own[OWN_AUDIT], "ae");
        if (run.audit == NULL) {
            complain("cannot open the audit file %s: %s", arguments->own[OWN_AUDIT],
                     strerror(errno));
            return report_bad_use(arguments, EXIT_USAGE);
        }
        options.on_operation = on_operation;
    }

    signal(SIGTTIN, SIG_IGN); /* in the background, a terminal as stdin reads as its end instead of
                                 stopping us */

    struct belljar_error error = { 0 };
    CLEANUP(template_release) struct belljar_template *template = NULL;
    if (belljar_template_open(arguments->policy, &options, &template, &error) < 0)
        return report_failure(arguments, &error);
    complain_warnings(template);
    CLEANUP(guest_release) struct belljar_guest *guest = NULL;
    if (belljar_guest_take(template, &guest, &error) < 0)
        return report_failure(arguments, &error);
    run.guest = guest;
    /* From here on there is somebody to tell of it; until then it ends us. */
    struct sigaction before, action = { .sa_handler = on_sigint };
    if (sigaction(SIGINT, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(SIGINT, &action, NULL);

    struct belljar_callbacks callbacks = { .context = &run, .is_cancelled = is_cancelled };
    if (arguments->own[OWN_JSON] == NULL)
        callbacks.on_output = on_output;
    CLEANUP(result_release) struct belljar_result *result = NULL;
    if (belljar_guest_run(guest, &job, &callbacks, &result, &error) < 0 && result == NULL)
        return report_failure(arguments, &error);
    if (must_wait(arguments, &handing, result) &&
        belljar_result_complete(result, guest, &error) < 0)
        return report_failure(arguments, &error);
    struct missed missed;
    if (place_missed(&program.place, result, &missed))
        run.missed = &missed;
    status = report(arguments, &run, result);
    int collected = handing_collect(&handing, arguments, guest);
    return status != 0 ? status : collected;
}
